"""The page of a session, read as a reader's browser would parse it."""

import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path

import pytest
from records import claim, evidence, record, theorem

from rlclaims.report.page.interval_picture import MARGIN, WIDTH, picture
from rlclaims.report.page.write import page
from rlclaims.report.session_figures import illustrations
from rlclaims.report.summary import summary

VOID = {"meta", "input", "link", "br"}
HOSTILE = '<script>alert("x")</script>\'"><img src=x onerror=alert(1)>{{ 7 * 7 }}'


def interval(lower, upper):
    return {"interval90": {"lower": lower, "upper": upper}}


class Elements(HTMLParser):
    """Elements with their attributes and text, and whether all of them are closed in order."""

    def __init__(self, text):
        super().__init__()
        self.found, self._open = [], []
        self.feed(text)
        assert not self._open

    def handle_starttag(self, tag, attributes):
        self.found.append({"tag": tag, "text": "", **dict(attributes)})
        if tag not in VOID:
            self._open.append(self.found[-1])

    def handle_startendtag(self, tag, attributes):
        self.found.append({"tag": tag, "text": "", **dict(attributes)})

    def handle_endtag(self, tag):
        assert self._open.pop()["tag"] == tag

    def handle_data(self, data):
        for element in self._open:
            element["text"] += data

    def of(self, tag, cls=None):
        return [e for e in self.found if e["tag"] == tag and (cls is None or cls in (e.get("class") or "").split())]


def test_each_claim_is_there_by_its_state():
    told = [
        claim("a/supported"),
        claim("a/refuted", "refuted"),
        claim("a/refuted-as-it-ships", "refuted", "refuted", expected_evidence="a study"),
        claim("a/open", "inconclusive"),
        claim("b/error", "error"),
        theorem("b/theorem"),
    ]
    found = Elements(page(record(*told)))
    states = {e["text"].split()[1]: e["data-state"] for e in found.of("details")}
    assert states == {
        "a/supported": "expected",
        "a/refuted": "contrary",
        "a/refuted-as-it-ships": "expected",
        "a/open": "open",
        "b/error": "error",
        "b/theorem": "expected",
    }
    counts = [e["text"] for e in found.of("dd")][:4]
    assert counts == ["3", "1", "1", "1"]
    anchors = {e["id"] for e in found.found if e.get("id")}
    assert {e["href"][1:] for e in found.of("a")} <= anchors  # no link leads nowhere
    assert len(found.of("a", "chip")) == 6


def test_page_escapes_everything_in_a_record():
    hostile = claim(
        HOSTILE,
        source=HOSTILE,
        says=HOSTILE,
        means=HOSTILE,
        test=HOSTILE,
        evidence=evidence(quantity=HOSTILE, scope=HOSTILE, failures=[HOSTILE], method=HOSTILE, detail=HOSTILE),
    )
    hostile["runs"][0] |= {"algorithm": HOSTILE, "task": HOSTILE, "fixture": HOSTILE}
    hostile["family"]["name"] = HOSTILE
    made = record(hostile, theorem("t", says=HOSTILE), name=HOSTILE, tasks=[HOSTILE])
    made["environment"] |= {"packages": {HOSTILE: HOSTILE}, "machine": HOSTILE, "rlclaims_sha256": HOSTILE}
    found = Elements(page(made))
    assert len(found.of("script")) == 1 and not found.of("img")  # our own
    assert not [name for e in found.found for name in e if name.startswith("on")]
    (quoted, _) = (e["text"] for e in found.of("blockquote"))
    assert quoted == HOSTILE


def test_nothing_is_fetched():
    text = page(record(claim("a/b"), theorem("c/d")))
    found = Elements(text)
    assert not [e for e in found.found if e.get("src") or e.get("srcset")]
    assert all(e["href"].startswith("#") for e in found.found if e.get("href"))
    assert "url(" not in text and "@import" not in text


def test_page_says_what_would_refute_a_claim():
    joined = {
        "operator": "all",
        "verdict": "supported",
        "reason": None,
        "n": 6,
        "parts": [evidence(), evidence(region=">= 1", region_ends=[1.0, None]), evidence(region_ends=[1.0, 2.0])],
    }
    text = Elements(page(record(claim("a/b", evidence=joined), first_seed=0))).of("details")[0]["text"]
    for words in (
        "a lower bound above 2, at an error rate of 1%",
        "an upper bound below 1, at an error rate of 1%",
        "an interval wholly outside of 1 to 2, at an error rate of 1%",
        "Part 2 of 3, joined by all: supported",
        "pytest test_it.py::test_claim",
    ):
        assert words in " ".join(text.split())
    smoke = claim("a/b")
    smoke["judged"] |= {"profile": "smoke", "evidence": False, "looks": [5]}
    smoke = page(record(smoke, name="smoke", evidence=False, looks=[5]))
    assert "--claims-profile smoke" in smoke and "Its verdicts are no evidence" in smoke


def test_one_night_is_no_verdict():
    quiet = {"sha256": "0", "e_value": 2.0, "value": 3.0, "threshold": 9.0, "alarm": False}
    told = [claim("a/quiet", "refuted", night=quiet), claim("a/alarm", "inconclusive", night={**quiet, "alarm": True})]
    states = [e["data-state"] for e in Elements(page(record(*told))).of("details")]
    assert states == ["open", "contrary"]


def place(x, low, high):
    """Return the place of a number, by its part of the range that is shown."""
    return MARGIN + (x - low) / (high - low) * (WIDTH - 2 * MARGIN)


def test_a_picture_is_to_scale():
    drawn = picture(evidence())
    low, high = 1 - 0.08, 2 + 0.08  # all seeds, bounds and ends, and a little more
    assert drawn.estimate == pytest.approx(place(1.5, low, high), abs=0.06)
    assert drawn.interval == pytest.approx((place(1.3, low, high), place(1.7, low, high)), abs=0.06)
    assert [seed.x for seed in drawn.seeds] == pytest.approx([place(x, low, high) for x in EVERY], abs=0.06)
    assert drawn.region[1] == drawn.ends[0] == pytest.approx(place(2, low, high), abs=0.06)
    assert drawn.region[0] <= 0  # to the edge
    for tick in drawn.ticks:
        assert tick.x == pytest.approx(place(float(tick.label), low, high), abs=0.06)
    assert len(drawn.ticks) >= 3


def test_close_ticks_have_different_labels():
    near = [123456.0 + i for i in range(6)]
    drawn = picture(
        evidence(values=[near], estimate=near[2], **interval(near[1], near[4]), region_ends=[None, near[5]])
    )
    low, high = near[0] - 0.4, near[5] + 0.4
    assert len({tick.label for tick in drawn.ticks}) == len(drawn.ticks) >= 3
    for tick in drawn.ticks:
        assert tick.x == pytest.approx(place(float(tick.label), low, high), abs=0.06)


def test_a_p_value_says_what_it_is_of():
    told = page(record(claim("a/b"), claim("a/c", "refuted")))
    assert "0.001, one-sided, of the hypothesis that the claim is false; 0.05 or less supports the claim" in told
    assert "0.001, one-sided, of the hypothesis that the claim is true; 0.05 or less refutes the claim" in told


def test_a_theorem_in_error_says_so():
    told = [Elements(page(record(theorem("a/b", verdict, examples=None)))).of("details") for verdict in VERDICTS]
    assert ["there is no verdict" in one["text"] for (one,) in told] == [True, False]


VERDICTS = ("error", "supported")
EVERY = [1.0, 1.2, 1.4, 1.6, 1.8, 2.0]


def test_a_ratio_is_drawn_on_a_log_scale():
    drawn = picture(
        evidence(
            log_scale=True,
            values=[[1, 10, 100]],
            seeds=[[0, 1, 2]],
            estimate=10,
            **interval(1, 100),
            region_ends=[10.0, None],
        )
    )
    assert drawn.estimate == drawn.seeds[1].x == drawn.region[0] == pytest.approx(WIDTH / 2, abs=0.06)
    assert drawn.seeds[2].x - drawn.seeds[1].x == pytest.approx(drawn.seeds[1].x - drawn.seeds[0].x, abs=0.11)
    assert {"1", "10", "100"} <= {tick.label for tick in drawn.ticks}


@pytest.mark.parametrize(
    ("changes", "drawn"),
    [
        ({"estimate": None, **interval(None, None), "values": [[None] * 6], "region_ends": [None, None]}, False),
        ({"values": [[1.0] * 6], "region_ends": [None, 1.0], "estimate": 1.0, **interval(1.0, 1.0)}, True),
        (interval(None, 1.7), True),
        ({"values": [[0.0] * 6], "region_ends": [None, 0.0], "estimate": 0.0, **interval(0.0, 0.0)}, True),
        ({"values": [[1e300, -1e300, None, 1, 1, 1]]}, True),
        ({"log_scale": True, "values": [[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]], **interval(0.0, 1.7)}, True),
    ],
)
def test_picture_stays_in_its_frame(changes, drawn):
    found = picture(evidence(**changes))
    assert (found is not None) == drawn
    if found:
        places = [seed.x for seed in found.seeds] + [tick.x for tick in found.ticks] + list(found.interval or ())
        assert all(-1 <= x <= WIDTH + 1 for x in places)
        text = page(record(claim("a/b", evidence=evidence(**changes))))
        svg = text[text.index("<svg") : text.index("</svg>") + 6]
        ET.fromstring(svg)  # well-formed, with no number that is none
        assert "nan" not in svg and "inf" not in svg


def test_seeds_after_the_verdict_are_hollow_and_not_counted():
    later = evidence(n=4, values=[[1.0, 1.2, 1.4, 1.6, 1.8, 2.0]])
    assert [seed.later for seed in picture(later).seeds] == [False] * 4 + [True] * 2
    assert picture(later).words.endswith("4 seeds")
    found = Elements(page(record(claim("a/b", evidence=later), claim("a/c"))))
    assert len(found.of("circle", "later")) == 2 and len(found.of("circle", "seed")) == 12
    assert ["hollow" in e["text"] for e in found.of("details")] == [True, False]


def test_picture_of_two_groups_has_no_seeds():
    two = evidence(values=[[101.0, 102.0], [100.0, 100.5]], seeds=[[0, 1], [7, 8]])
    drawn = picture(two)
    assert drawn.seeds == () and max(float(tick.label) for tick in drawn.ticks) < 3
    assert "101, 102" in page(record(claim("a/b", evidence=two)))


def test_a_ratio_has_no_lower_end_at_0():
    ratio = evidence(log_scale=True, region="in [0, 2]", region_ends=[0.0, 2.0])
    assert len(picture(ratio).ends) == 1
    text = " ".join(Elements(page(record(claim("a/b", evidence=ratio)))).of("details")[0]["text"].split())
    assert "would be refuted bya lower bound above 2," in text  # a term and what it says


def test_page_says_which_verdict_was_expected():
    told = {
        "supported": claim("a/b"),
        "refuted, contrary to what was expected": claim("a/b", "refuted"),
        "refuted, as expected": claim("a/b", "refuted", "refuted"),
        "supported, contrary to what was expected": claim("a/b", "supported", "refuted"),
        "inconclusive; expected to be refuted": claim("a/b", "inconclusive", "refuted"),
        "error": claim("a/b", "error"),
    }
    for words, one in told.items():
        found = Elements(page(record(one)))
        (summary,), (chip,) = found.of("summary"), found.of("a", "chip")
        assert summary["text"].split("a/b ")[1].strip() == words and chip["aria-label"] == f"a/b: {words}"


def test_a_night_says_how_far_the_nights_have_come():
    night = {"sha256": "0", "e_value": 2.0, "value": 3.5, "threshold": 900.0, "alarm": False}
    text = " ".join(Elements(page(record(claim("a/b", "refuted", night=night)))).of("details")[0]["text"].split())
    assert "refuted this night" in text and "over all nights it is 3.5, and the alarm is at 900" in text
    assert "One night" not in page(record(claim("a/b", night=None)))


def test_a_counterexample_is_shown_as_it_was_written():
    (pre,) = Elements(page(record(theorem("t/no", "refuted", counterexample="r=1,\n  a=<b>")))).of("pre")
    assert pre["text"] == "r=1,\n  a=<b>"


def test_older_records_of_this_form_have_pages_and_summaries():
    """All that the schema does not require is left out."""
    old = claim("a/b")
    for name in ("pairs", "steps", "measured", "settings"):
        old["runs"][0].pop(name, None)
    del old["baselines"], old["evidence"]["saved_group"]
    assert "Hopper-v5" in page(record(old)) and "a/b" in summary(record(old))
    illustrations(record(old), Path("there is none"))


@pytest.mark.parametrize("results", [[], [claim("a/b", "error")], [theorem("t/a")]], ids=["none", "error", "theorem"])
def test_a_session_of_little_has_a_page(results):
    found = Elements(page(record(*results)))
    assert len(found.of("details")) == len(results) and not found.of("figure")
    assert illustrations(record(*results), Path("there is none")) == {}


def test_settings_are_listed_once_and_linked():
    one, other, third = claim("a/one"), claim("a/other"), claim("a/third")
    one["runs"][0]["settings"] = other["runs"][0]["settings"] = {"hidden": [64, 64], "clip_epsilon": 0.2, "<b>": None}
    third["runs"][0]["settings"] = {"hidden": [64, 64], "clip_epsilon": None}
    found = Elements(page(record(one, other, third)))
    told = [e["text"] for e in found.of("dd") if "clip epsilon" in e["text"]]
    assert told == ["hidden [64, 64]; clip epsilon 0.2; <b> off", "hidden [64, 64]; clip epsilon off"]
    assert [e["href"] for e in found.of("a") if e["text"] == "settings"] == ["#settings-0"] * 2 + ["#settings-1"]


def test_claims_of_earlier_sessions_are_marked_by_date():
    earlier, now = claim("a/earlier"), claim("a/now")
    earlier["judged"] |= {"created": "2025-12-24T00:00:00.000000+00:00", "profile": "paper"}
    earlier, now = Elements(page(record(earlier, now))).of("details")
    assert "supported (2025-12-24)" in earlier["text"]
    assert "earlier session: 2025-12-24, profile paper, Hopper-v5, 100 steps, seeds 0 to 5" in earlier["text"]
    assert "--claims-profile paper" in earlier["text"]
    assert "2025" not in now["text"] and "earlier session" not in now["text"]


def test_fixtures_are_named_with_their_settings():
    narrow = claim("a/b")
    narrow["runs"].append({**narrow["runs"][0], "fixture": "narrow", "label": "narrow: PPO(clip_epsilon=0.1)"})
    codes = [e["text"] for e in Elements(page(record(narrow))).of("code")]
    assert {"ppo: PPO", "narrow: PPO(clip_epsilon=0.1)"} <= set(codes)

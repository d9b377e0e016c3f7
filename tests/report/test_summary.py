"""summary.md and GitHub's annotations."""

import re

from records import claim, evidence, record, theorem

from rlclaims.report.summary import annotations, summary

TOLD = [
    claim("a/supported"),
    claim(
        "a/refuted",
        "refuted",
        evidence=evidence(verdict="refuted", estimate=2.5, interval90={"lower": 2.1, "upper": None}),
    ),
    claim("a/ships", "refuted", "refuted"),
    claim("a/open|`x`", "inconclusive"),
    claim("b/error", "error"),
    theorem("b/theorem"),
]


def rows(text):
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("| ")]


def test_summary_begins_with_what_turned_red():
    text = summary(record(*TOLD))
    assert "3 as expected, 1 contrary to expectation, 1 inconclusive, 1 in error." in text
    before, _, below = text.partition("<details>")
    assert [row[1] for row in rows(before)[1:]] == ["`a/refuted`", "`b/error`"]
    assert rows(before)[1] == ["❌", "`a/refuted`", "refuted", "2.5", "2.1 to none"]
    assert [row[0] for row in rows(below.replace("\\|", "/"))[1:]] == ["✅", "❌", "✅", "❔", "💥", "✅"]
    assert "`a/open\\|x`" in below and "refuted (as it ships)" in below


def test_summary_says_if_verdicts_are_no_evidence():
    text = summary(record(claim("a/b", "inconclusive"), name="<b>*smoke*", evidence=False))
    assert "Its verdicts are no evidence" in text and "&lt;b&gt;\\*smoke\\*" in text and "<b>" not in text


def test_annotations_stand_at_what_turned_red():
    hostile = claim("a/b:c,d", "refuted", says="100%\n::warning::it is so")
    lines = [*annotations([(TOLD[0], "t.py", 3), (hostile, "dir/t,1.py", 7), (TOLD[4], "t.py", 9), (TOLD[2], "t", 1)])]
    assert lines == [
        '::error file=dir/t%2C1.py,line=7,title=a/b%3Ac%2Cd::refuted: "100%25%0A::warning::it is so" '
        "(mean over seeds of something: 1.5 [1.3, 1.7])",
        '::error file=t.py,line=9,title=b/error::error: "It is so."',
    ]


def test_a_name_stays_in_its_cell():
    names = ["a/pipe|`x`\n## heading", "a/\u202eturned", "[x](https://example.com)", "<b>"]
    rows = [line for line in summary(record(*map(claim, names))).splitlines() if line.startswith("| ✅")]
    cells = [re.split(r"(?<!\\)\|", row)[2].strip() for row in rows]
    assert cells == [r"`a/pipe\|x ## heading`", "`a/turned`", "`[x](https://example.com)`", "`<b>`"]

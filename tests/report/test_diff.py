"""Changes from one record to another, with records of claims that are judged here."""

import copy
import io
import json

import numpy as np
import pytest
from samples import STEPS
from samples import sample as named_sample
from scipy import stats
from terminal import Terminal
from typer.testing import CliRunner

from rlclaims.claims.combination import all_of
from rlclaims.cli import app
from rlclaims.planning.profile import PROFILES
from rlclaims.report.diff import diff, diff_table
from rlclaims.report.record import RecordError, document

A = np.random.default_rng(0).normal(0.0, 1.0, 10)


def sample(values, task="Hopper-v5", steps=STEPS, first_seed=0):
    return named_sample("the quantity", values, range(first_seed, first_seed + len(values)), task, steps)


def claimed(name, evidence=None, expected="supported", **changes):
    """A claim's result, in error where it has no evidence."""
    return {
        "name": name,
        "sha256": "ab",
        "expected": expected,
        "status": "confirmatory",
        "family": {"name": "test_claims.py", "size": 1, "rate": 0.05},
        "runs": [{"fixture": "ppo", "seeds": [0, 1], "digests": ["d0", "d1"]}],
        "verdict": "error" if evidence is None else str(evidence.verdict),
        "evidence": None if evidence is None else evidence.to_json(),
        **changes,
    }


def theorem(name, verdict):
    return {"name": name, "sha256": "cd", "expected": "supported", "verdict": verdict, "examples": None}


SUPPORTED, REFUTED, OPEN = sample(A) < 9, sample(A) < -9, sample(A) < float(np.mean(A))


@pytest.fixture
def compared(tmp_path):
    """Writes two records and compares them, as the command does and as data."""

    def compare(before, after, code=0, change=lambda record: None, profiles=("standard", "standard")):
        paths = []
        for name, results, profile in zip(("before", "after"), (before, after), profiles, strict=True):
            record = copy.deepcopy(document(results, PROFILES[profile], 0))
            if name == "after":
                change(record)
            paths.append(tmp_path / f"{name}.json")
            paths[-1].write_text(json.dumps(record))
        result = CliRunner().invoke(app, ["diff", *map(str, paths)])
        assert result.exit_code == code, result.output
        return result.output if code == 2 else (diff(*paths), result.output)

    return compare


def words(found):
    return {change.name: change.changed for change in found.changes if change.is_listed}


def test_equal_records_have_no_changes(compared):
    results = [claimed("a/one", SUPPORTED), claimed("a/two"), theorem("b/three", "supported")]
    found, said = compared(results, results)
    assert words(found) == {} and found.session == ()
    assert said == "Of 3 claims and theorems: nothing changed.\n"


VERDICTS = {"supported": SUPPORTED, "refuted": REFUTED, "inconclusive": OPEN, "error": None}
# From what is as expected, over what is open, to what turns a build red.
ORDER = {
    "supported": {"supported": 3, "inconclusive": 2, "refuted": 1, "error": 1},
    "refuted": {"refuted": 3, "inconclusive": 2, "supported": 1, "error": 1},
}


@pytest.mark.parametrize("expected", ORDER)
@pytest.mark.parametrize("before", VERDICTS)
@pytest.mark.parametrize("after", VERDICTS)
def test_a_verdict_gets_worse_by_what_was_expected_of_it(compared, expected, before, after):
    worse = ORDER[expected][after] < ORDER[expected][before]
    found, said = compared(
        [claimed("a/one", VERDICTS[before], expected)], [claimed("a/one", VERDICTS[after], expected)], code=int(worse)
    )
    assert found.worse == worse
    assert ("1 got worse" in said) == worse
    assert ("1 got better" in said) == (ORDER[expected][after] > ORDER[expected][before])
    assert (f"{before} -> {after}" in said) == (before != after)
    assert found.changes[0].changed == ()


def test_a_turned_verdict_is_worse_even_if_expected_now(compared):
    now = claimed("a/one", REFUTED, "refuted", sha256="another")
    found, _ = compared([claimed("a/one", SUPPORTED)], [now], code=1)
    assert words(found)["a/one"][-1] == "definition"
    # One that was contradicted, and ships as such now, has not changed.
    compared([claimed("a/one", REFUTED)], [now])


@pytest.mark.parametrize(("before", "after", "code"), [("supported", "refuted", 1), ("error", "supported", 0)])
def test_a_theorem_changes_too(compared, before, after, code):
    _, said = compared([theorem("b/three", before)], [theorem("b/three", after)], code=code)
    assert f"{before} -> {after}" in said


def test_appeared_and_disappeared_claims_are_listed_by_section(compared):
    before = [claimed("a/one", SUPPORTED), claimed("b/two", REFUTED)]
    after = [claimed("b/two", SUPPORTED), claimed("a/three", OPEN)]
    found, said = compared(before, after)
    assert [line.split() for line in said.splitlines()[1:]] == [
        ["a"],
        ["one", "disappeared,", "supported", f"{np.mean(A):.3g}"],
        ["three", "appeared,", "inconclusive", f"{np.mean(A):.3g}"],
        ["b"],
        ["two", "refuted", "->", "supported", *f"{np.mean(A):.3g} -> {np.mean(A):.3g}".split()],
        ["Of", "3", "claims", "and", "theorems:", "1", "got", "better,", "1", "appeared,", "1", "disappeared."],
    ]
    assert found.worse == 0


@pytest.mark.parametrize("shift", [0.0, 0.3, 0.55, 0.7, 1.5, -0.7])
@pytest.mark.parametrize("scale", [0.5, 1.0, 2.0])
def test_an_estimate_beyond_the_others_interval_has_moved(compared, shift, scale):
    values = A * scale + shift

    def outside(x, y):
        # Each side at 5%, by scipy.
        theirs = stats.ttest_1samp(x, 0).confidence_interval(0.90)
        return not theirs.low <= np.mean(y) <= theirs.high

    moved = outside(A, values) or outside(values, A)
    found, said = compared([claimed("a/one", sample(A) < 9)], [claimed("a/one", sample(values) < 9)])
    assert (words(found) == {"a/one": ("moved beyond its interval",)}) == moved
    assert ("1 moved beyond their intervals" in said) == moved
    if moved:
        assert f"{np.mean(A):.3g} -> {np.mean(values):.3g}" in said


def test_an_interval_may_have_no_bound_and_a_claim_several(compared):
    def joined(values):
        return all_of(sample(A) < 9, sample(values).quantile(0.9) > -99, sample(values).quantile(0.1) < 999)

    found, said = compared([claimed("a/one", joined(A))], [claimed("a/one", joined(A + 99))])
    # Ten seeds bound a 90% quantile from below alone, and a 10% quantile from above.
    assert words(found) == {"a/one": ("moved in part 2", "moved in part 3")}
    assert " -> " not in said
    found, _ = compared([claimed("a/one", joined(A))], [claimed("a/one", joined(A))])
    assert words(found) == {}


def test_another_quantity_is_another_definition(compared):
    other = named_sample("another", A + 99, range(10), "Hopper-v5") < 999
    found, _ = compared([claimed("a/one", SUPPORTED)], [claimed("a/one", other, sha256="another")])
    assert words(found) == {"a/one": ("definition",)}


@pytest.mark.parametrize(
    ("scope", "changed"),
    [
        (("Hopper-v5", STEPS, 1000), {}),
        (("Hopper-v5", 204_800), {"a/one": ("scope",)}),
        (("Walker2d-v5",), {"a/one": ("scope",)}),
    ],
)
def test_scope_changes_with_task_and_steps_not_with_seeds(compared, scope, changed):
    found, _ = compared([claimed("a/one", SUPPORTED)], [claimed("a/one", sample(A, *scope) < 9)])
    assert words(found) == changed


def runs(digests, seeds=(0, 1)):
    return [{"fixture": "ppo", "seeds": list(seeds), "digests": list(digests)}]


@pytest.mark.parametrize(
    ("taken", "told"),
    [
        (runs(["d0", "d1"]), "nothing changed"),
        (runs(["d0", "d1", "d2"], (0, 1, 2)), "nothing changed"),  # a later look
        (runs(["d0", "e1"]), "1 have runs by other code, settings or libraries"),
        (runs(["d8", "d9"], (8, 9)), "1 are on other seeds"),
    ],
)
def test_other_code_and_other_seeds_are_distinguished(compared, taken, told):
    _, said = compared([claimed("a/one", SUPPORTED)], [claimed("a/one", SUPPORTED, runs=taken)])
    assert said == f"Of 1 claims and theorems: {told}.\n"


def test_another_baseline_is_told(compared):
    one, other = ({"baselines": [{"fixture": "before", "name": "v1", "sha256": sha}]} for sha in ("ab", "cd"))
    found, _ = compared([claimed("a/one", SUPPORTED, **one)], [claimed("a/one", SUPPORTED, **other)])
    assert words(found) == {"a/one": ("baseline",)}


def test_changed_versions_are_listed_once(compared):
    def later(record):
        record["environment"]["packages"] |= {"torch": "99.1"}
        record["environment"]["packages"].pop("mujoco")
        record["first_seed"] = 5000

    found, said = compared([claimed("a/one", SUPPORTED)], [claimed("a/one", SUPPORTED)], change=later)
    before = document([], PROFILES["standard"], 0)["environment"]["packages"]
    assert found.session == (
        ("first seed", "0", "5000"),
        ("mujoco", before["mujoco"], "none"),
        ("torch", before["torch"], "99.1"),
    )
    assert f"torch: {before['torch']} -> 99.1\n" in said


def test_a_record_without_evidence_is_not_compared(compared):
    said = compared([claimed("a/one", SUPPORTED)], [claimed("a/one", OPEN)], code=2, profiles=("standard", "smoke"))
    assert said.endswith("after.json is of the profile smoke, whose verdicts are no evidence.\n")
    compared([claimed("a/one", OPEN)], [claimed("a/one", OPEN)], profiles=("smoke", "smoke"))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (None, "is no record of claims ([Errno 2] No such file or directory"),
        ("{", "is no record of claims (Expecting"),
        ("[]", "is no record of claims (a part of it has the wrong type"),
        ('{"format": 2}', "is a record of form 2, and this version reads 4; run pytest again."),
        (
            '{"format": 4, "claims": [{"name": "a/one"}]}',
            "is no record of claims (it has no 'judged'); pytest writes one.",
        ),
        ('{"format": 4, "claims": []}', "is no record of claims (it has no "),
        (
            '{"format": 4, "claims": [], "environment": 3, "profile": 4}',
            "is no record of claims (a part of it has the wrong type",
        ),
    ],
)
@pytest.mark.parametrize("which", [0, 1])
def test_a_file_that_is_no_record_is_one_sentence(compared, tmp_path, text, sentence, which):
    compared([], [])
    paths = [tmp_path / "before.json", tmp_path / "after.json"]
    paths[which].unlink()
    if text is not None:
        paths[which].write_text(text)
    result = CliRunner().invoke(app, ["diff", *map(str, paths)])
    assert result.exit_code == 2
    assert result.output.startswith(f"{paths[which]} {sentence}") and result.output.count("\n") == 1
    with pytest.raises(RecordError):
        diff(*paths)


LONG = "a/" + "a-sentence-with-a-long-name-" * 3 + "[Humanoid-v5]"


@pytest.fixture
def changed(compared):
    found, _ = compared(
        [claimed(LONG, SUPPORTED), claimed("a/two", OPEN)],
        [claimed(LONG, OPEN, sha256="another"), claimed("a/two", sample(A + 5) < 99, runs=runs(["x", "y"]))],
        code=1,
    )
    return found


def test_diff_table_keeps_ids_whole_on_a_terminal(changed):
    file = Terminal()
    diff_table(changed, file, 60)
    lines = file.getvalue().splitlines()
    (alone,) = (line for line in lines if "[Humanoid-v5]" in line)
    assert alone.strip() == LONG.removeprefix("a/")
    assert max(len(line) for line in lines if line != alone) <= 80


def test_diff_table_is_not_wrapped_in_a_pipe(changed):
    file = io.StringIO()
    diff_table(changed, file, 60)
    (row,) = (line for line in file.getvalue().splitlines() if "[Humanoid-v5]" in line)
    assert LONG.removeprefix("a/") in row and "supported -> inconclusive" in row


def test_diff_table_has_colours(changed, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    coloured = io.StringIO()
    diff_table(changed, coloured, 100)
    assert "\x1b[31msupported -> inconclusive" in coloured.getvalue()
    assert "\x1b[32minconclusive -> supported" in coloured.getvalue()


def test_verdicts_without_evidence_are_left_out(compared):
    def with_smoke(record):
        record["claims"][0]["judged"]["evidence"] = False

    both = [claimed("a/one", SUPPORTED), claimed("a/two", SUPPORTED)]
    found, _ = compared(both, [claimed("a/one", OPEN), claimed("a/two", SUPPORTED)], change=with_smoke)
    assert found.worse == 0 and found.changes[0].after is None

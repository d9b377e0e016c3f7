"""Baselines: the results of a version are saved to a file, and later versions are compared with them."""

import json
import math
import sys
from importlib.metadata import version
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from claim_text import one_claim, stored, written
from scipy import stats
from typer.testing import CliRunner

import rlclaims
from rlclaims import PPO, TRPO, cli
from rlclaims.claims.evidence import ClaimError
from rlclaims.planning.profile import Profile
from rlclaims.planning.request import RunsRequest
from rlclaims.planning.resolve import resolve
from rlclaims.pytest_plugin.trial_run import ImaginedRuns
from rlclaims.results.measured import Measured
from rlclaims.store.baseline import Baseline, BaselineSpec, SavedQuantity
from rlclaims.studies.large_updates.query import LargeUpdates
from rlclaims.studies.registry import Study
from rlclaims.studies.runs import Runs

LATE = "kl_old_new.mean.training.last(0.5)"
WORDS = "mean KL(old||new), training batch, last 50% of training"
KEY = "runs/kl_old_new/mean/training/last(0.5)"
SCHEMA = json.loads((Path(rlclaims.__file__).parent / "report" / "claims.schema.json").read_text())


def named(name, body, parameters="ppo", **changes):
    claim = one_claim(body, parameters, **changes).replace("test_claim", f"test_{name}")
    return claim.replace("section/claim", f"section/{name}")


ABSOLUTE = named("late", f"assert ppo.{LATE} > -1") + named(
    "faster", f"assert trpo.{LATE} / ppo.{LATE} > 1e-9", "ppo, trpo"
)
HEAD = "\nimport rlclaims\nfrom rlclaims import PPO, TRPO\nbefore = rlclaims.baseline('v1.0', runs='ppo')\n"
REGRESSION = HEAD + named("kl", f"kl = ppo.{LATE}\n    assert kl / before[kl] <= 1.5", "ppo, before")


def command(*arguments):
    """Run the command `rlclaims` in this process."""
    return CliRunner().invoke(cli.app, arguments)


@pytest.fixture
def save(pytester, store):
    """Return a function that runs `rlclaims baseline save` on the record of the last session."""

    def run(*arguments, code=0, report=None):
        folder = report or store / "reports" / "latest"
        result = command("baseline", "save", *arguments, f"--report={folder}")
        # A later session in this process must import these modules again.
        for name in ("test_claims", "conftest"):
            sys.modules.pop(name, None)
        assert result.exit_code == code, result.output
        return result.output

    return run


@pytest.fixture
def kept(session, save, pytester, store):
    """Create a project with a baseline of seeds 500 to 504, and return the file."""
    file = pytester.path / "reports" / "baselines" / "v1.0.json"
    cached = store / "v1.0.json"
    if not cached.exists():  # shared by all tests
        session(ABSOLUTE, "--claims-first-seed=500").assert_outcomes(passed=2)
        save("v1.0")
        cached.write_text(file.read_text())
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(cached.read_text())
    return file


def measured(store, digest, late=1):
    """Return a run's mean KL in the last of its two iterations, read from its file."""
    (file,) = store.glob(f"runs/*{digest[:32]}/measured-*")
    return json.loads(file.read_text())["series"]["kl_old_new/mean/training"][late]


def test_baseline_stores_the_judged_values_of_each_seed(kept, store):
    document = json.loads(kept.read_text())
    assert [(runs["fixture"], runs["algorithm"]) for runs in document["runs"]] == [("ppo", "PPO"), ("trpo", "TRPO")]
    for runs in document["runs"]:
        (one,) = runs["measured"]
        assert (one["key"], one["label"], one["log_scale"]) == (KEY, WORDS, False)
        # Bit-identical, although PPO is judged in one claim and TRPO only as part of a ratio.
        assert one["values"] == [measured(store, digest) for digest in runs["digests"]]
        assert runs["seeds"] == [500, 501, 502, 503, 504]
        assert (runs["task"], runs["iterations"], runs["steps"]) == ("InvertedPendulum-v5", 2, 128)
    assert document["environment"]["packages"]["torch"] == version("torch")


def test_baseline_file_suits_version_control(kept, session, save):
    lines = kept.read_text().splitlines()
    assert max(map(len, lines)) < 200 and len(kept.read_bytes()) < 5000
    assert sum(line.lstrip().startswith('"values": [') and line.endswith("]") for line in lines) == 2
    assert list(json.loads(kept.read_text())) == ["format", "created", "profile", "environment", "runs", "sha256"]
    session(ABSOLUTE, "--claims-first-seed=500")
    save("again")
    again = (kept.parent / "again.json").read_text().splitlines()
    changed = [line.split(":")[0].strip() for line, other in zip(lines, again, strict=True) if line != other]
    assert set(changed) <= {'"created"', '"sha256"'}


def test_baseline_and_current_runs_are_compared_as_two_groups(session, store, kept):
    result = session(REGRESSION + named("drop", f"kl = ppo.{LATE}\n    assert before[kl] - kl < 9", "ppo, before"))
    assert result.ret == pytest.ExitCode.OK
    record = written(store)
    assert [error.message for error in jsonschema.Draft202012Validator(SCHEMA).iter_errors(record)] == []
    then = json.loads(kept.read_text())["runs"][0]["measured"][0]["values"]
    ratio, difference = (claim["evidence"] for claim in record["claims"])
    now = [measured(store, digest) for digest in record["claims"][0]["runs"][0]["digests"]]
    # One look spends the whole 5%; refutation has half of the family's rate.
    welch = stats.ttest_ind(np.log(now), np.log(then), equal_var=False)
    assert ratio["upper"] == pytest.approx(math.exp(welch.confidence_interval(0.90).high))
    assert ratio["lower"] == pytest.approx(math.exp(welch.confidence_interval(0.95).low))
    assert ratio["seeds"] == [[0, 1, 2, 3, 4], [500, 501, 502, 503, 504]]
    assert (ratio["saved_group"], ratio["n"], ratio["paired"]) == (1, 5, False)
    assert ratio["scope"].endswith("InvertedPendulum-v5, 128 steps, seeds 500 to 504 of the baseline 'v1.0'")
    welch = stats.ttest_ind(then, now, equal_var=False)
    assert difference["upper"] == pytest.approx(welch.confidence_interval(0.90).high)
    assert difference["saved_group"] == 0
    assert "v1.0's mean KL" in difference["quantity"]
    sha256 = json.loads(kept.read_text())["sha256"]
    assert record["claims"][0]["baselines"] == [{"fixture": "before", "name": "v1.0", "sha256": sha256}]


def test_baseline_mean_serves_as_a_bound(session, store, kept):
    then = json.loads(kept.read_text())["runs"][0]["measured"][0]["values"]
    body = HEAD + named("kl", f"kl = ppo.{LATE}\n    assert kl <= 1.1 * before[kl].as_bound", "ppo, before")
    # The baseline's own seeds are allowed for a bound.
    session(body, "--claims-first-seed=500")
    (claim,) = written(store)["claims"]
    assert claim["evidence"]["region_ends"] == [None, pytest.approx(1.1 * np.mean(then))]
    assert claim["evidence"]["method"] == "t" and claim["evidence"]["values"] == [then]
    assert claim["baselines"][0]["name"] == "v1.0"


@pytest.mark.parametrize("first", [500, 497, 504])
def test_baseline_seeds_are_refused_before_training(session, kept, tmp_path, first):
    result = session(REGRESSION, f"--claims-first-seed={first}", f"--claims-store={tmp_path}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        [f"ERROR: The claim 'section/kl': PPO*'s {WORDS} and the baseline 'v1.0' share the seed 50[04]: take fresh *"]
    )
    assert stored(tmp_path, "PPO") == []


def test_baseline_seeds_of_the_last_look_are_refused(session_by_looks, kept, tmp_path):
    result = session_by_looks(REGRESSION, "--claims-first-seed=489")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: *share the seed 500: take fresh*"])


@pytest.mark.parametrize(
    ("head", "body", "sentence"),
    [
        ("before = rlclaims.baseline('nil')", "", "There is no baseline 'nil' in *, of v1.0 that there are; *"),
        ("before = rlclaims.baseline('../v1.0')", "", "A baseline's name is up to 100 letters, *, not '../v1.0'*"),
        ("before = rlclaims.baseline(3)", "", "A baseline's name is up to 100 letters, *, not 3*"),
        (
            "before = rlclaims.baseline('v1.0', runs='sac')",
            "",
            "The baseline 'v1.0' has no runs 'sac'; it has those of ppo, trpo. (the baseline 'before' of test_claims*",
        ),
        (
            "before = rlclaims.baseline('v1.0', runs='ppo')",
            "kl = ppo.kl_old_new.max.training.last(0.5)\n    assert kl / before[kl] <= 1.1",
            "The claim 'section/claim': The baseline 'v1.0' has no 'max KL(old||new), training batch, last 50% of "
            f"training' (runs/kl_old_new/max/training/last(0.5)). Closest of what it has: '{WORDS}'.",
        ),
        (
            "before = rlclaims.baseline('v1.0', runs='ppo')",
            "kl = ppo.kl_old_new.mean.training.last(0.501)\n    assert kl / before[kl] <= 1.1",
            "*has no 'mean KL(old||new), training batch, last 50.1% of training'*",
        ),
        (
            "before = rlclaims.baseline('v1.0', runs='ppo')\n"
            "ppo = rlclaims.runs(PPO, 'InvertedPendulum-v5', iterations=3, steps=64, minibatches=2)",
            "",
            f"*has '{WORDS}' of InvertedPendulum-v5, 128 steps, and not of InvertedPendulum-v5, 192 steps.",
        ),
        (
            "before = rlclaims.baseline('v1.0', runs='ppo')\n"
            "ppo = rlclaims.runs(PPO, 'Hopper-v5', iterations=2, steps=64, minibatches=2)",
            "",
            f"*has '{WORDS}' of InvertedPendulum-v5, 128 steps, and not of Hopper-v5, 128 steps.",
        ),
        (
            "before = rlclaims.baseline('v1.0')",
            "",
            f"*has '{WORDS}' of ppo and trpo: say which, rlclaims.baseline('v1.0', runs='ppo'), or save one alone, "
            "with --runs.",
        ),
        (
            "before = rlclaims.baseline('v1.0', runs='ppo')",
            f"assert ppo.{LATE} <= before['kl']",
            "*is indexed by a plain quantity of current runs, *, not by 'kl'.",
        ),
        (
            "before = rlclaims.baseline('v1.0', runs='ppo')",
            f"growth = ppo.{LATE} / ppo.kl_old_new.mean.training.first(0.5)\n    assert growth <= before[growth]",
            "*is indexed by a plain quantity of current runs, *, not by (PPO*",
        ),
    ],
)
def test_baseline_mistakes_are_reported_before_training(session, kept, tmp_path, head, body, sentence):
    body = body or f"kl = ppo.{LATE}\n    assert kl / before[kl] <= 1.1"
    result = session(
        f"\nimport rlclaims\nfrom rlclaims import PPO\n{head}\n" + one_claim(body, "ppo, before"),
        f"--claims-store={tmp_path}",
    )
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: {sentence}"])
    result.stdout.no_fnmatch_line("*rlclaims: training*")
    assert not (tmp_path / "runs").exists() or stored(tmp_path, "PPO") == []


def test_damaged_baseline_file_is_reported(session, kept, tmp_path):
    def error_of(text):
        kept.write_bytes(text.encode())
        result = session(REGRESSION, f"--claims-store={tmp_path}")
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        (line,) = (line for line in result.errlines if line.startswith("ERROR: "))
        return line

    good = kept.read_text()
    value = str(json.loads(good)["runs"][0]["measured"][0]["values"][0])
    other_digit = str((int(value[2]) + 1) % 10)
    assert "is not as it was kept, by its checksum" in error_of(
        good.replace(value, value[:2] + other_digit + value[3:])
    )
    assert "is not as it was kept, by its checksum" in error_of(good.replace('"seeds": [500', '"seeds": [505'))
    assert "is no baseline (" in error_of(f"<<<<<<< HEAD\n{good}")
    assert "is no baseline (it has no 'format')" in error_of("{}")
    assert "is no baseline (" in error_of("[]")
    assert "is a baseline of form 3, and this version reads 2." in error_of(good.replace('"format": 2', '"format": 3'))
    # Git may change line endings.
    kept.write_bytes(good.replace("\n", "\r\n").encode())
    assert session(REGRESSION).ret == pytest.ExitCode.OK


def test_every_look_uses_all_values_of_the_baseline(session_by_looks, kept, tmp_path):
    then = np.array(json.loads(kept.read_text())["runs"][0]["measured"][0]["values"])
    # The claim stays open for several looks: ratios of KLs vary widely in such short runs.
    body = HEAD + named("kl", f"kl = ppo.{LATE}\n    assert (kl / before[kl]).within(0.999, 1.001)", "ppo, before")
    session_by_looks(body)
    (claim,) = written(tmp_path)["claims"]
    evidence, now = claim["evidence"], [measured(tmp_path, digest) for digest in claim["runs"][0]["digests"]]
    looks = evidence["looks"]
    assert [look["n"] for look in looks] == [6, 8, 10, 12][: len(looks)] and len(looks) > 1
    for look in looks:
        assert look["estimate"] == pytest.approx(stats.gmean(now[: look["n"]]) / stats.gmean(then))
    assert evidence["seeds"] == [list(range(looks[-1]["n"])), [500, 501, 502, 503, 504]]


def test_smoke_profile_runs_a_regression_claim(session, kept, pytester, tmp_path):
    body = REGRESSION.replace("before =", "ppo = rlclaims.runs(PPO, steps=64, minibatches=2, epochs=1)\nbefore =")
    result = session(body, "--claims-profile=smoke", f"--claims-store={tmp_path}")
    assert result.parseoutcomes() == {"inconclusive": 1}


def test_pilot_of_a_regression_claim_uses_current_runs(session, store, kept, pytester):
    body = REGRESSION.replace("@declared('section/kl'", "@declared('section/kl', margin=1.2")
    session(body, "--claims-first-seed=10000", "--claims-write-pilots")
    (pilot,) = json.loads((pytester.path / "pilots.json").read_text()).values()
    assert pilot["seeds"] == [10000, 10001, 10002, 10003, 10004]
    session(body)
    assert written(store)["claims"][0]["evidence"]["mde"] > 1


def test_baseline_takes_the_claim_with_the_most_seeds(session_by_looks, save, tmp_path, pytester):
    still_open = "assert rlclaims.all_of(ppo.ratio.min.training.overall().quantile(0.99) < 1, ppo.LATE > -1)"
    body = "\nimport rlclaims\n" + named("late", f"assert ppo.{LATE} > -1")
    body += named("open", still_open.replace("LATE", LATE)) + named("early", f"assert ppo.{LATE} > -2")
    session_by_looks(body)
    claims = {claim["id"]: claim for claim in written(tmp_path)["claims"]}
    assert claims["section/late"]["evidence"]["n"] == 6
    output = save("v1.0", "--runs=ppo", report=tmp_path / "reports" / "latest")
    assert f"ppo, InvertedPendulum-v5, 128 steps, 12 seeds: {WORDS}\n" in output and "Saved 2 quantities to " in output
    (runs,) = json.loads((pytester.path / "reports" / "baselines" / "v1.0.json").read_text())["runs"]
    assert runs["seeds"] == list(range(12)) and len(runs["digests"]) == 12
    assert {one["key"]: len(one["values"]) for one in runs["measured"]}[KEY] == 12


def test_baseline_save_takes_only_the_selected_runs(session, save, kept, pytester):
    session(ABSOLUTE, "--claims-first-seed=500")
    output = save("trpo-alone", "test_claims.py", "--runs", "trpo")
    assert output.splitlines()[0] == f"trpo, InvertedPendulum-v5, 128 steps, 5 seeds: {WORDS}"
    document = json.loads((kept.parent / "trpo-alone.json").read_text())
    assert [runs["fixture"] for runs in document["runs"]] == ["trpo"]


def test_baseline_save_names_a_file_in_place_of_its_folder(session, save, pytester):
    session(ABSOLUTE, "--claims-first-seed=500")
    (pytester.path / "reports").mkdir(exist_ok=True)
    (pytester.path / "reports" / "baselines").write_text("")
    assert "reports/baselines is no folder" in "".join(save("v1", code=2).split("\n")).replace("│", "")


def test_baseline_save_refuses_unsuitable_records(session, save, kept, pytester, tmp_path):
    session(ABSOLUTE, "--claims-first-seed=500")
    assert "claims.json does not exist yet; pytest writes it." in save("v2", code=2, report=tmp_path / "nil")
    before = kept.read_text()
    assert "v1.0.json is there already" in save("v1.0", code=2)
    assert kept.read_text() == before
    assert "There are no runs 'sac' in the last record; there are ppo, trpo." in save("v2", "--runs=sac", code=2)
    assert "A baseline's name is up to 100 letters" in save("../v2", code=2)
    session(ABSOLUTE, "--claims-first-seed=10000")
    assert "'section/late' of the last record is of development seeds" in save("v2", code=2)
    session(ABSOLUTE, "--claims-profile=smoke", f"--claims-report={tmp_path / 'smoke'}")
    assert "'section/late' of the last record is of a smoke run" in save("v2", code=2, report=tmp_path / "smoke")
    factorial = (
        "\nimport rlclaims\nfrom rlclaims import PPO\nrates = rlclaims.factorial(PPO, 'InvertedPendulum-v5', "
        "iterations=2, steps=64, minibatches=2, value_epochs=1, epochs=(1, 2))\n"
    ) + named(
        "rates", "assert rates.factor_of('epochs', lambda r: r.kl_old_new.mean.training.last(0.5)) > 0.001", "rates"
    )
    session(factorial)
    assert "has no numbers of these claims to keep" in save("v2", code=2)
    assert sorted(file.name for file in kept.parent.iterdir()) == ["v1.0.json"]


def test_baseline_save_refuses_a_record_without_values(session, save, store, tmp_path):
    session(ABSOLUTE)
    record = written(store)
    for claim in record["claims"]:
        for runs in claim["runs"]:
            del runs["measured"], runs["pairs"], runs["steps"]
    (tmp_path / "claims.json").write_text(json.dumps(record))
    assert "has no numbers of these claims to keep" in save("v2", code=2, report=tmp_path)


def test_explain_shows_the_baseline(session, kept, monkeypatch, store):
    session(REGRESSION)
    monkeypatch.setenv("RLCLAIMS_STORE", str(store))
    output = command("explain", "section/kl").output
    assert f"before: v1.0, sha256 {json.loads(kept.read_text())['sha256']}" in " ".join(output.split())


def current(task="Hopper-v5", iterations=40, seeds=range(3), algorithm=None, study=None):
    """Return imagined runs with a mean KL, a return and a value error."""
    kind = Runs if study is None else study.definition.query()
    algorithm = algorithm or PPO()
    row = [Measured(None, {"kl_old_new/mean/training": [1.0, 2.0], "return": [1.0], "0/true/error": [1.0]})] * len(
        seeds
    )
    return kind(algorithm, task, iterations, tuple(seeds), tuple(row), *([study] if study else []))


def baseline(*kept, runs=None, versions=None, **changes):
    return Baseline(BaselineSpec("v1", runs), kept, versions or {}, "0" * 64, **changes)


def one_kept(**changes):
    usual = {"task": "Hopper-v5", "steps": 40 * 2048, "key": KEY, "label": WORDS}
    defaults = {"fixture": "mine", "log_scale": False, "values": (1.5, 2.5, 3.5), "seeds": (7, 8, 9)}
    return SavedQuantity(**{**usual, **defaults, **changes})


def late(runs):
    return runs.kl_old_new.mean.training.last(0.5)


def test_baseline_is_looked_up_by_quantity_task_and_steps():
    other = {"values": (9.0, 9.0, 9.0)}
    kept = [
        one_kept(task="Walker2d-v5", **other),
        one_kept(steps=2048, **other),
        one_kept(key=f"{KEY}!", **other),
        # Words may have been others then.
        one_kept(fixture="its", label="as it was called once"),
    ]
    # A later version may change the fixture's name and the settings.
    for runs in (current(), current(algorithm=TRPO()), current(algorithm=PPO(learning_rate=1.0))):
        sample = baseline(*kept)[late(runs)]
        assert (sample.values, sample.seeds, sample.baseline) == ((1.5, 2.5, 3.5), (7, 8, 9), "v1")
        assert sample.quantity.label == f"v1's {WORDS}"
    # Equal steps in fewer updates count as equally long training.
    assert baseline(*kept)[late(current(iterations=20, algorithm=PPO(steps=4096)))].values[0] == 1.5
    assert baseline(*kept)[late(current("Walker2d-v5"))].values[0] == 9.0
    walkers = baseline(one_kept(task="Walker2d-v5"))
    with pytest.raises(ClaimError, match="of Walker2d-v5, 81,920 steps, and not of Hopper-v5, 81,920 steps"):
        walkers[late(current())]
    assert baseline(one_kept(task="Walker2d-v5"), smoke=True)[late(current(iterations=2))].values[0] == 1.5


def test_baseline_distinguishes_large_updates_by_pairs():
    row = [Measured(None, {"return": [1.0, 2.0, 3.0], "own/return": [2.0]})] * 3
    of = LargeUpdates(PPO(), "Hopper-v5", 40, (0, 1, 2), tuple(row), Study("large_updates", 2**15))
    kept = [one_kept(key=f"large_updates-{pairs}/change", values=(pairs,) * 3) for pairs in (2**15, 2**16)]
    assert baseline(*kept)[of.change].values[0] == 2**15
    with pytest.raises(
        ClaimError, match=r"has no 'change of the return by the large update' \(large_updates-32768/change\)"
    ):
        baseline(kept[1])[of.change]


def test_baseline_refuses_a_seed_without_a_finite_value():
    with pytest.raises(ClaimError, match="has no finite number of seed 8 for 'mean KL"):
        baseline(one_kept(values=(1.0, math.nan, 2.0)))[late(current())]


def test_baseline_scope_names_changed_library_versions():
    sample = late(current())
    then = {"torch": "1.13.0", "numpy": version("numpy"), "rlclaims": "0.0.1"}
    kept = baseline(one_kept(), versions=then)[sample]
    assert kept.scope.label == "Hopper-v5, 81,920 steps, seeds 7 to 9 of the baseline 'v1', made with torch 1.13.0"
    evidence = sample / kept < 2
    assert evidence.scope.settings == (("Hopper-v5", 81_920),)


@pytest.mark.parametrize(
    ("study", "asked"),
    [
        (None, lambda runs: runs.ratio.exceedance.held_out.between(0.2, 0.4)),
        (None, lambda runs: runs.kl_old_new.max.training.rank_correlation(runs.ratio.max.held_out)),
        ("twins", lambda twins: twins.switching("clip").mean_kl.held_out.overall()),
        ("landscapes", lambda landscape: landscape.kl(1.0).at(0)),
        ("landscapes", lambda landscape: landscape.roughness(last=1, pairs=64)),
        ("late_updates", lambda updates: updates.share_lowering),
        ("large_updates", lambda updates: updates.improvement),
        ("gradients", lambda gradients: gradients.cosine(64).last(1)),
        ("near_true_gradients", lambda gradients: gradients.step("near_true").at(0)),
        ("values", lambda values: values.error("returns").last(1)),
        ("final_returns", lambda returns: returns.mean),
    ],
)
def test_any_plain_quantity_can_be_compared_with_a_baseline(study, asked):
    study = study and Study(study, {"large_updates": 4096, "gradients": 4096, "near_true_gradients": 4096}.get(study))
    profile = Profile("imagined", tasks=("Hopper-v5",), iterations=40, looks=(5,))
    runs = resolve(RunsRequest(PPO(learning_rate=0.1), "Hopper-v5"), profile, 0)
    of = ImaginedRuns("ppo", runs, 5, 0).results
    of = of if study is None else of.study_results(study)
    sample = asked(of)
    assert sample.runs is of and sample.plain == (sample,)
    assert of.kind == ("runs" if study is None else study.words)
    assert "PPO" in sample.quantity.label and "PPO" not in sample.quantity.general_label + sample.quantity.general_key
    kept = one_kept(
        key=sample.quantity.general_key,
        log_scale=sample.log_scale,
        values=(1.5, 2.5, 3.5, 4.5, 5.5),
        seeds=tuple(range(50, 55)),
    )
    saved = baseline(kept)[sample]
    assert saved.as_bound == pytest.approx(math.exp(3.5) if sample.log_scale else 3.5)

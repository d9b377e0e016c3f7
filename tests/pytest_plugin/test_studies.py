"""Studies of runs in claims (twin updates, landscapes, ...), factorials, and claims of some profiles only."""

import json

import jsonschema
import pytest
from claim_text import CONFTEST, HEADER, SUPPORTED, one_claim, written
from typer.testing import CliRunner

from rlclaims.cli import app
from rlclaims.report.record import SCHEMA
from rlclaims.studies.registry import KINDS

TWINS = """
import rlclaims
from rlclaims import PPO, TRPO

SMALL = dict(iterations=2, steps=64, minibatches=2, value_epochs=1)
pole = rlclaims.runs(PPO, "InvertedPendulum-v5", epochs=2, **SMALL)
"""

# A change of a share is at least -1, and five seeds suffice to judge a median, so this is always supported.
CHANGES = "assert pole.twins.switching('epochs').exceedance.training.overall().median > -1.5"


def test_twin_updates_are_computed_once_for_their_claims(session, tmp_path):
    def run(body):
        return session(body, f"--claims-store={tmp_path}")

    store = tmp_path
    first = run(TWINS + one_claim(CHANGES, "pole"))
    assert first.parseoutcomes() == {"passed": 1}
    first.stdout.fnmatch_lines(["rlclaims: training 5 runs of PPO *", "rlclaims: twin updates: 0 of 140 done."])
    (claim,) = written(store)["claims"]
    assert claim["evidence"]["n"] == 5 and claim["runs"][0]["kind"] == "twin updates"
    files = [json.loads(path.read_text()) for path in store.glob("runs/PPO-*/twins-*.json")]
    assert len(files) == 5
    # An update with nothing switched is the run's own update: the measurements are equal.
    for path in store.glob("runs/PPO-*/twins-*.json"):
        (measured,) = (json.loads(p.read_text())["series"] for p in path.parent.glob("measured-*.json"))
        again = json.loads(path.read_text())["series"]
        for name in ("kl_old_new/mean/training", "kl_old_new/mean/held_out", "ratio/exceedance/training"):
            assert again[f"none/{name}"] == measured[name][:1]
    again = run(TWINS + one_claim(CHANGES, "pole"))
    assert again.parseoutcomes() == {"passed": 1}
    again.stdout.no_fnmatch_line("*twin updates: *")
    # If a run's starting points are lost, the run is trained again and only its twins are computed.
    one, *_ = store.glob("runs/PPO-*-seed3-*")
    lost = (*one.glob("twins-*.json"), one / "starts.safetensors")
    before = [path.read_bytes() for path in lost]
    for path in lost:
        path.unlink()
    mended = run(TWINS + one_claim(CHANGES, "pole"))
    mended.assert_outcomes(passed=1)
    mended.stdout.fnmatch_lines(["rlclaims: training 1 runs of PPO *", "rlclaims: twin updates: 0 of 140 done."])
    assert [path.read_bytes() for path in lost] == before
    # Claims that do not use twin updates do not compute any.
    plain = run(one_claim(SUPPORTED))
    plain.stdout.no_fnmatch_line("*twin updates: *")
    table = CliRunner().invoke(app, ["mechanism", ".", "--store", str(store)])
    assert table.exit_code == 2 and "No claim here uses twin updates" in table.output


def test_mechanism_table_shows_stored_twin_updates(session, monkeypatch, tmp_path):
    monkeypatch.setenv("COLUMNS", "150")
    session(TWINS + one_claim(CHANGES, "pole"), "--collect-only")
    missing = CliRunner().invoke(app, ["mechanism", ".", "--store", str(tmp_path)])
    assert missing.exit_code == 2 and "has those of 0 seeds of PPO: run" in missing.output
    session(TWINS + one_claim(CHANGES, "pole"), f"--claims-store={tmp_path}")
    table = CliRunner().invoke(app, ["mechanism", ".", "--store", str(tmp_path)]).output
    assert "clip: on -> off" in table and "epochs: 2 -> 1" in table
    # In the first iteration Adam has no state and annealing's factor is 1: no change, in any seed.
    for name in ("adam_state: carried -> new", "annealing: on -> off"):
        first_iteration = table.split(name)[1].splitlines()[1].split()
        assert first_iteration[:3] == ["0", "1", "0"]
    assert "head = epsilon x epochs x annealing x adam_state x gradient_clip" in table


def test_factorial_is_judged_on_all_combinations(session, store):
    levels = "epochs=(1, 2), learning_rate=(lambda x: x, lambda x: x / 2)"
    fixture = f"rates = rlclaims.factorial(PPO, 'InvertedPendulum-v5', {levels}, **SMALL)\n"
    body = "assert rates.change_by('epochs', lambda runs: runs.ratio.exceedance.training.overall()).median > -1.5"
    result = session(TWINS + fixture + one_claim(body, "rates"))
    assert result.parseoutcomes() == {"passed": 1}
    (claim,) = written(store)["claims"]
    (taken,) = claim["runs"]
    assert taken["kind"] == "factorial" and taken["seeds"] == [0, 1, 2, 3, 4] * 4 and len(set(taken["digests"])) == 20
    # The mean change over both learning rates of each seed, from the runs' own measurements.
    settings = {}
    for path in store.glob("runs/PPO-*/run.json"):
        described = json.loads(path.read_text())
        (measured,) = (json.loads(p.read_text())["series"] for p in path.parent.glob("measured-*.json"))
        asked = described["algorithm"]["settings"]
        outside = measured["ratio/exceedance/training"]
        settings[asked["epochs"], asked["learning_rate"], described["seed"]] = sum(outside) / len(outside)
    expected = [
        sum(settings[2, rate, seed] - settings[1, rate, seed] for rate in (3e-4, 1.5e-4)) / 2 for seed in range(5)
    ]
    assert claim["evidence"]["values"][0] == pytest.approx(expected)
    wrong = session(TWINS + fixture + one_claim(body.replace("'epochs'", "'steps'"), "rates"))
    assert wrong.ret == pytest.ExitCode.USAGE_ERROR
    wrong.stderr.fnmatch_lines(["ERROR: *does not vary 'steps'; it varies epochs, learning_rate.*"])


def test_tuned_factorial_uses_rates_chosen_on_earlier_seeds(session, store, monkeypatch):
    levels = "epochs=(1, 2), tuned={'learning_rate': (lambda x: x, 1e-3)}"
    fixture = f"best = rlclaims.factorial(PPO, 'InvertedPendulum-v5', {levels}, **SMALL)\n"
    # After few training steps, policies return about 10.
    body = (
        TWINS
        + fixture
        + one_claim("assert best.change_by('epochs', lambda it: it.final_returns.mean).median > -900", "best")
    )
    lines = session(body, "--claims-dry-run").outlines
    have, train = next(line for line in lines if line.startswith("all, once")).split()[2:4]
    assert int(have) + int(train) == 20
    assert session(body).parseoutcomes() == {"passed": 1}
    (claim,) = written(store)["claims"]
    (taken,) = claim["runs"]
    assert taken["kind"] == "factorial of final returns" and taken["seeds"] == [0, 1, 2, 3, 4] * 4
    assert len(set(taken["digests"])) == 20
    returned = {}
    for path in store.glob("runs/PPO-*/final_returns-*.json"):
        described = json.loads((path.parent / "run.json").read_text())
        asked, groups = described["algorithm"]["settings"], json.loads(path.read_text())["series"]["return"]
        returned[asked["epochs"], asked["learning_rate"], described["seed"]] = sum(groups) / len(groups)

    def counted(epochs, seed):
        if seed == 0:
            return (returned[epochs, 3e-4, 0] + returned[epochs, 1e-3, 0]) / 2
        totals = {rate: sum(returned[epochs, rate, earlier] for earlier in range(seed)) for rate in (3e-4, 1e-3)}
        return returned[epochs, max(totals, key=totals.get), seed]

    expected = [counted(2, seed) - counted(1, seed) for seed in range(5)]
    assert claim["evidence"]["values"][0] == pytest.approx(expected)
    assert "final return, learning_rate tuned on earlier seeds" in claim["evidence"]["quantity"]
    jsonschema.validate(written(store), json.loads(SCHEMA.read_text()))
    monkeypatch.setenv("RLCLAIMS_STORE", str(store))
    explained = CliRunner().invoke(app, ["explain", "section/claim", "."])
    (line,) = (line for line in explained.output.splitlines() if line.startswith("  runs "))
    assert "best: PPO" in line
    assert "(factorial of final returns) on InvertedPendulum-v5, 2 iterations" in line


def test_smoke_profile_trains_minimal_factorial(pytester, tmp_path):
    pytester.makeconftest(CONFTEST)
    levels = "epochs=(1, 2), gamma=(0.99, 0.9), gae_lambda=(0.95, 0.9), full=True"
    large = "iterations=5, steps=19_200, minibatches=96, value_epochs=1"
    fixture = f"it = rlclaims.factorial(PPO, 'InvertedPendulum-v5', {levels}, {large})\n"
    body = "assert it.factor_of('gamma', lambda runs: runs.final_returns.mean) > 1"
    pytester.makepyfile(test_claims=HEADER + TWINS + fixture + one_claim(body, "it", profiles=["paper"]))
    options = [f"--claims-store={tmp_path}", "--claims-profile=smoke", "-p", "no:cacheprovider"]
    assert pytester.runpytest_inprocess(*options).parseoutcomes() == {"inconclusive": 1}
    (claim,) = written(tmp_path)["claims"]
    assert len(claim["runs"][0]["digests"]) == 2 * 5 and claim["evidence"]["estimate"] > 0
    trained = [json.loads(path.read_text()) for path in tmp_path.glob("runs/PPO-*/run.json")]
    settings = [run["algorithm"]["settings"] for run in trained]
    # All settings at their first value, and all at their second; steps are the whole minibatches in 4,096 steps.
    assert {(s["epochs"], s["gamma"], s["gae_lambda"]) for s in settings} == {(1, 0.99, 0.95), (2, 0.9, 0.9)}
    assert {(run["iterations"], s["steps"]) for run, s in zip(trained, settings, strict=True)} == {(2, 42 * 96)}


@pytest.mark.parametrize(
    ("fixture", "sentence"),
    [
        ("rlclaims.runs(7, 'InvertedPendulum-v5')", "Runs are of an algorithm*not of 7.*"),
        ("rlclaims.runs(PPO, 'InvertedPendulum-v5', epoch=1)", "*has no setting 'epoch'*"),
        ("rlclaims.factorial(PPO, 'InvertedPendulum-v5')", "*A factorial varies settings*"),
        ("rlclaims.factorial(PPO, 'InvertedPendulum-v5', epochs=(1, 2, 3))", "*has two values, epochs=(one, other)*"),
        ("rlclaims.factorial(PPO, 'InvertedPendulum-v5', epoch=(1, 2))", "*has no setting 'epoch'*"),
        ("rlclaims.factorial(PPO(), 'InvertedPendulum-v5', epochs=(1, 2))", "*Settings are given for a class*"),
        (
            "rlclaims.factorial(PPO, 'InvertedPendulum-v5', epochs=(1, 2), tuned={'learning_rate': (1e-3,)})",
            "A setting is tuned over two values or more, *, not (0.001,).*",
        ),
        (
            "rlclaims.factorial(PPO, 'InvertedPendulum-v5', epochs=(1, 2), tuned={'epochs': (3, 4)})",
            "epochs is tuned, so it can be neither varied nor given a value of its own.*",
        ),
        ("rlclaims.factorial(PPO, 'InvertedPendulum-v5', tuned={'epochs': (3, 4)})", "*A factorial varies settings*"),
        ("rlclaims.factorial(PPO, 'InvertedPendulum-v5', epochs=(1, 2), tuned=3)", "One setting is tuned, *, not 3.*"),
    ],
)
def test_invalid_fixtures_are_refused_before_training(session, fixture, sentence):
    own = "\nfrom dataclasses import dataclass\n\n@dataclass(frozen=True)\nclass OwnWay(PPO):\n"
    own += "    def learn(self, agent, rollout):\n        return super().learn(agent, rollout)\n"
    result = session(TWINS + own + f"\nit = {fixture}\n" + one_claim("assert it.nothing > 0", "it"))
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: {sentence}"])


@pytest.mark.parametrize(
    ("runs", "study", "sentence"),
    [
        (
            "TRPO",
            "twins.converged.mean_kl.training",
            "Twin updates are of rlclaims.PPO*, and TRPO is not one *",
        ),
        ("OwnWay", "twins.converged.mean_kl.training", "OwnWay learns in a way of its own*"),
        ("OwnWay", "large_updates(pairs=2**16).change", "OwnWay learns in a way of its own*large updates are of *"),
        ("TRPO", "large_updates(pairs=63).change", "Large updates of TRPO *, no fewer than the 64 *, not 63.*"),
        ("PPO", "large_updates(pairs=4e6).change", "*large_updates(pairs=4000000.0): a whole number of pairs *"),
        ("PPO", "large_updates().change", "*missing 1 required keyword-only argument: 'pairs'*"),
        ("PPO", "gradients(pairs=1000).step()", "Gradients are estimated from *, 1,024 or more, not 1000. *"),
        ("PPO", "gradients(near_true=1).step()", "*gradients(near_true=1): it is True or False*"),
    ],
)
def test_studies_that_cannot_be_made_are_refused(session, runs, study, sentence):
    own = "\nfrom dataclasses import dataclass\n\n@dataclass(frozen=True)\nclass OwnWay(PPO):\n"
    own += "    def learn(self, agent, rollout):\n        return super().learn(agent, rollout)\n"
    fixture = f"\nit = rlclaims.runs({runs}, 'InvertedPendulum-v5', **SMALL)\n"
    result = session(TWINS + own + fixture + one_claim(f"assert it.{study}.overall() > 0", "it"))
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: {sentence}"])


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (
            "assert pole.twins.switching('momentum').mean_kl.held_out.overall() > 1",
            "*no mechanism 'momentum' to switch: mechanisms are 'clip', 'epsilon'*",
        ),
        (
            "assert pole.twins.in_design('momentum').mean_kl.held_out.overall() > 1",
            "*no mechanism 'momentum' to switch: mechanisms are 'clip', 'epsilon'*",
        ),
        ("assert pole.twins.let_go_moved_outward.at(4) > 0", "*at(4): there are 4 kept iterations*"),
    ],
)
def test_mistakes_in_twin_claims_are_reported_before_training(session, body, sentence):
    result = session(TWINS + one_claim(body, "pole"))
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: {sentence}"])


def test_claim_is_skipped_outside_its_profiles_except_in_smoke(pytester, store):
    pytester.makeconftest(CONFTEST)
    pytester.makepyprojecttoml("[tool.rlclaims.profiles.mine]\nlooks = [5]\n")
    pytester.makepyfile(test_claims=HEADER + one_claim(SUPPORTED, profiles=["mine"]))

    def outcomes(profile):
        options = [f"--claims-store={store}", f"--claims-profile={profile}", "-p", "no:cacheprovider"]
        return pytester.runpytest_inprocess(*options, "-rs")

    skipped = outcomes("standard")
    assert skipped.parseoutcomes() == {"skipped": 1} and skipped.ret == pytest.ExitCode.OK
    skipped.stdout.fnmatch_lines(["SKIPPED *a claim of --claims-profile mine"])
    assert outcomes("smoke").parseoutcomes() == {"inconclusive": 1}
    assert outcomes("mine").parseoutcomes() == {"passed": 1}


def test_profile_mark_selects_its_claims(session):
    of_all = "\n@declared('section/of-all')\ndef test_of_all(ppo):\n    " + SUPPORTED + "\n"
    body = one_claim(SUPPORTED, profiles=["paper"]) + of_all
    result = session(body, "--claims-profile=smoke", "-m", "paper", "--strict-markers")
    assert result.parseoutcomes() == {"inconclusive": 1, "deselected": 1}


@pytest.mark.parametrize("profile", ["standard", "smoke"])
def test_claim_of_an_unknown_profile_is_refused(session, profile):
    result = session(one_claim(SUPPORTED, profiles=["paper", "papre"]), f"--claims-profile={profile}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        ["ERROR: *names the profile 'papre'; there are gate, paper, smoke, standard. Did you mean 'paper'?"]
    )


@pytest.mark.parametrize("profiles", ["paper", [], [3]])
def test_claim_profiles_must_be_a_list_of_names(session, profiles):
    result = session(one_claim(SUPPORTED, profiles=profiles))
    result.stdout.fnmatch_lines(["*has a list of profiles' names, such as ?'paper'?, not *"])


LANDSCAPES = (
    TWINS
    + """
from rlclaims import Sample

mine = rlclaims.runs(PPO, "InvertedPendulum-v5", epochs=1, **SMALL)
theirs = rlclaims.runs(TRPO, "InvertedPendulum-v5", **SMALL)

def first(it, name):
    values = tuple(measured.series[name][0] for measured in it._measured)
    return Sample(it.quantity(name, name), values, it.seeds, it.scope, it.failures)
"""
)
# Norms and numbers of pairs are never negative; a dozen seeds cannot bound a 99% quantile from above.
AROUND = "assert first(mine.landscape, '0/along/norm') > -1"
LARGE = "assert first(mine.large_updates(pairs=96), 'pairs') > -1"
LATE = "assert first(theirs.late_updates, 'before/return').quantile(0.99) < 1e9"


def another(body, parameters, name):
    return one_claim(body, parameters).replace("section/claim", f"section/{name}").replace("_claim", f"_{name}")


def files_by_seed(store, pattern):
    """Return the seeds of the runs that have such a file without a failure in it."""
    paths = store.glob(f"runs/*/{pattern}-*.json")
    return sorted(json.loads((p.parent / "run.json").read_text())["seed"] for p in paths if whole(p))


def whole(path):
    data = json.loads(path.read_text())
    return data["failure"] is None and data["series"]


def test_landscapes_are_computed_once_for_undecided_claims(session_by_looks, tmp_path):
    body = LANDSCAPES + one_claim(AROUND, "mine") + another(LATE, "theirs", "late")
    first = session_by_looks(body)
    assert first.parseoutcomes() == {"passed": 1, "inconclusive": 1}
    first.stdout.fnmatch_lines(
        [
            "rlclaims: landscapes, late updates: 0 of 12 done.",
            "rlclaims: look 2 of 4, 8 seeds, training 2 runs of TRPO *",
            "rlclaims: look 2 of 4, 8 seeds, late updates: 0 of 2 done.",
        ]
    )
    # The claim on landscapes is decided on six seeds; the other is never decided.
    assert files_by_seed(tmp_path, "landscapes") == list(range(6))
    assert files_by_seed(tmp_path, "late_updates") == list(range(12))
    assert list(tmp_path.glob("runs/*/large_updates-*")) == list(tmp_path.glob("runs/*/twins-*")) == []
    kinds = {claim["id"]: claim["runs"][0]["kind"] for claim in written(tmp_path)["claims"]}
    assert kinds == {"section/claim": "landscapes", "section/late": "late updates"}
    again = session_by_looks(body)
    assert again.parseoutcomes() == {"passed": 1, "inconclusive": 1}
    again.stdout.no_fnmatch_line("*done.")
    # A session computes the lost half again, and further studies of stored runs.
    for path in tmp_path.glob("runs/*-seed[0-2]-*/landscapes-*.json"):
        path.unlink()
    some = session_by_looks(LANDSCAPES + one_claim(AROUND, "mine") + another(LARGE, "mine", "large"))
    assert some.parseoutcomes() == {"passed": 2}
    some.stdout.fnmatch_lines(["rlclaims: landscapes, large updates: 0 of 9 done."])
    some.stdout.no_fnmatch_line("*training*")
    assert files_by_seed(tmp_path, "landscapes") == files_by_seed(tmp_path, "large_updates-96") == list(range(6))


def test_damaged_run_is_quarantined_and_trained_again(session, tmp_path):
    body = LANDSCAPES + one_claim(AROUND, "mine")
    session(body, f"--claims-store={tmp_path}").assert_outcomes(passed=1)
    before = written(tmp_path)["claims"][0]["evidence"]
    (run,) = tmp_path.glob("runs/PPO-*-seed3-*/run.safetensors")
    (other,) = tmp_path.glob("runs/PPO-*-seed4-*/landscapes-*.json")
    whole = run.read_bytes(), other.read_bytes()
    # A damaged file that no claim reads is left alone.
    run.write_bytes(whole[0][:-1])
    again = session(body, f"--claims-store={tmp_path}")
    again.assert_outcomes(passed=1)
    again.stdout.no_fnmatch_line("*warning*")
    for path in run.parent.glob("landscapes-*.json"):
        path.write_bytes(b"")
    other.write_bytes(whole[1].replace(b"return", b"nruter", 1))
    mended = session(body, f"--claims-store={tmp_path}")
    mended.assert_outcomes(passed=1)
    mended.stdout.fnmatch_lines(
        [
            f"rlclaims: warning: {run} is damaged (*); moved to quarantine/*, and its run is trained*",
            "rlclaims: training 1 runs of PPO *",
        ]
    )
    warnings = [line for line in mended.outlines if "and it is computed again." in line]
    assert len(warnings) == 2 and sum(str(other) in line for line in warnings) == 1
    assert (run.read_bytes(), other.read_bytes()) == whole
    assert written(tmp_path)["claims"][0]["evidence"] == before


def test_dry_run_counts_the_steps_of_landscapes(session_by_looks, tmp_path):
    def total(*options):
        (line,) = (
            line
            for line in session_by_looks(LANDSCAPES + one_claim(AROUND, "mine"), *options).outlines
            if line.startswith("all, once")
        )
        return line.removeprefix("all, once").split()

    have, train, million_steps, *_ = total("--claims-dry-run", "--claims-seeds=10")
    assert (have, train) == ("0", "10") and list(tmp_path.iterdir()) == []
    # Two iterations of 64 steps and one to measure on, plus the expected steps of each run's landscapes.
    expected = 10 * (3 * 64 + KINDS["landscapes"].expected_steps(None, 2)) / 1e6
    assert float(million_steps) == pytest.approx(expected, abs=0.05) and expected > 0.2
    assert session_by_looks(LANDSCAPES + one_claim(AROUND, "mine")).parseoutcomes() == {"passed": 1}
    assert total("--claims-dry-run") == ["6", "0", "0", "0", "0"]
    for path in tmp_path.glob("runs/*/landscapes-*.json"):
        path.unlink()
    # Stored runs are not trained again.
    have, train, million_steps, *_ = total("--claims-dry-run")
    least = float(million_steps.split("/")[0])
    assert (have, train.split("/")[0]) == ("6", "0")
    assert least == pytest.approx(6 * KINDS["landscapes"].expected_steps(None, 2) / 1e6, abs=0.05) and least > 0.1


def test_gradients_values_and_final_returns_are_computed_once(session, tmp_path):
    claims = {
        "pool": "gradients(pairs=1024).step_beyond(0.5).at(0).median < 9",
        "fitted": "gradients(pairs=1024, near_true=True).cosine(1, 'near_true').at(0).median < 0.5",
        "known": "values.error('returns').overall().median > 0",
        "final": "final_returns.mean.median > 0",
    }
    body = LANDSCAPES + "".join(another(f"assert mine.{judged}", "mine", name) for name, judged in claims.items())
    first = session(body, f"--claims-store={tmp_path}")
    assert first.parseoutcomes() == {"passed": 4}
    first.stdout.fnmatch_lines(["rlclaims: gradients, near true gradients, values, final returns: 0 of 20 done."])
    for pattern in ("gradients-1024", "near_true_gradients-1024", "values", "final_returns"):
        assert files_by_seed(tmp_path, pattern) == list(range(5))
    kinds = {claim["id"]: claim["runs"][0]["kind"] for claim in written(tmp_path)["claims"]}
    assert kinds == {
        "section/pool": "gradients",
        "section/fitted": "near true gradients",
        "section/known": "values",
        "section/final": "final returns",
    }
    # The judged values are those in the files.
    (final,) = (claim for claim in written(tmp_path)["claims"] if claim["id"] == "section/final")
    series = {
        json.loads((path.parent / "run.json").read_text())["seed"]: json.loads(path.read_text())["series"]["return"]
        for path in tmp_path.glob("runs/*/final_returns-*.json")
    }
    assert final["evidence"]["values"][0] == pytest.approx([sum(series[seed]) / 4 for seed in range(5)])
    again = session(body, f"--claims-store={tmp_path}")
    assert again.parseoutcomes() == {"passed": 4}
    again.stdout.no_fnmatch_line("*done.")


def test_claim_uses_several_studies_of_the_same_runs(session, tmp_path):
    body = "assert mine.final_returns.mean - mine.values.error('returns').overall() > -1e6"
    assert session(LANDSCAPES + one_claim(body, "mine"), f"--claims-store={tmp_path}").parseoutcomes() == {"passed": 1}
    (claim,) = written(tmp_path)["claims"]
    assert [(runs["fixture"], runs["kind"]) for runs in claim["runs"]] == [
        ("mine", "final returns"),
        ("mine", "values"),
    ]
    assert claim["runs"][0]["digests"] == claim["runs"][1]["digests"]
    assert [len(runs["measured"]) for runs in claim["runs"]] == [1, 1]


def test_plain_test_receives_a_study(session, tmp_path):
    body = LANDSCAPES + "\ndef test_plain(mine):\n    assert len(mine.final_returns.mean.values) == 5\n"
    assert session(body, f"--claims-store={tmp_path}").parseoutcomes() == {"passed": 1}
    assert files_by_seed(tmp_path, "final_returns") == list(range(5))


@pytest.mark.parametrize("error", ["1 / 0", "[].index(3)", "float('x')"])
def test_error_in_a_body_is_reported_before_training(session, error, tmp_path):
    body = f"threshold = {error}\n    assert mine.kl_old_new.mean.training.overall() < threshold"
    result = session(LANDSCAPES + one_claim(body, "mine"), f"--claims-store={tmp_path}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: The claim 'section/claim' fails when it is tried on imagined runs: *Error: *"])
    assert not list(tmp_path.glob("runs/*"))

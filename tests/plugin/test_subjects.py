"""What else than runs a claim may take: twin updates and factorials; and claims of some profiles only."""

import json

import pytest
from claim_text import CONFTEST, HEADER, SUPPORTED, one_claim, written
from typer.testing import CliRunner

from rlclaims.cli import app

TWINS = """
import rlclaims
from rlclaims import PPO, TRPO

SMALL = dict(iterations=2, steps=64, minibatches=2, value_epochs=1)
twins = rlclaims.twins(PPO, "InvertedPendulum-v5", epochs=2, **SMALL)
"""

# A share's change is above -1, and its median over five seeds is judged whatever the seeds do.
CHANGES = "assert twins.switching('epochs').exceedance.training.overall().median > -1.5"


def test_updates_are_made_again_once_for_the_claims_that_ask(session, tmp_path):
    def of_its_own(body):
        return session(body, f"--claims-store={tmp_path}")

    store = tmp_path
    first = of_its_own(TWINS + one_claim(CHANGES, "twins"))
    assert first.parseoutcomes() == {"passed": 1}
    first.stdout.fnmatch_lines(["rlclaims: training 5 runs of PPO *", "rlclaims: making updates again * of 140 parts."])
    (claim,) = written(store)["claims"]
    assert claim["evidence"]["n"] == 5 and claim["runs"][0]["kind"] == "twin updates"
    files = [json.loads(path.read_text()) for path in store.glob("runs/PPO-*/twins-*.json")]
    assert len(files) == 5
    # An update without anything switched is the run's own: its measurements are the same numbers.
    for path in store.glob("runs/PPO-*/twins-*.json"):
        (measured,) = (json.loads(p.read_text())["series"] for p in path.parent.glob("measured-*.json"))
        again = json.loads(path.read_text())["series"]
        for name in ("kl_old_new/mean/training", "kl_old_new/mean/held_out", "ratio/exceedance/training"):
            assert again[f"none/{name}"] == measured[name][:1]
    again = of_its_own(TWINS + one_claim(CHANGES, "twins"))
    assert again.parseoutcomes() == {"passed": 1}
    again.stdout.no_fnmatch_line("*making updates again*")
    # Without twins and without where one of them started, the session stops before any process does.
    one, *_ = store.glob("runs/PPO-*-seed3-*")
    for path in (*store.glob("runs/PPO-*/twins-*.json"), one / "starts.safetensors"):
        path.unlink()
    broken = of_its_own(TWINS + one_claim(CHANGES, "twins"))
    assert broken.ret == pytest.ExitCode.USAGE_ERROR
    broken.stdout.no_fnmatch_line("*making updates again*")
    broken.stderr.fnmatch_lines(
        ["ERROR: Where the updates of PPO-*seed3 started cannot be read *; delete the folder *"]
    )
    # Runs whose updates nobody asks for again are not burdened with them.
    plain = of_its_own(one_claim(SUPPORTED))
    plain.stdout.no_fnmatch_line("*making updates again*")
    table = CliRunner().invoke(app, ["mechanism", ".", "--store", str(store)])
    assert table.exit_code == 2 and "No claim here takes twin updates" in table.output


def test_the_mechanism_table_shows_the_twins_that_the_store_has(session, monkeypatch, tmp_path):
    monkeypatch.setenv("COLUMNS", "150")
    session(TWINS + one_claim(CHANGES, "twins"), "--collect-only")
    missing = CliRunner().invoke(app, ["mechanism", ".", "--store", str(tmp_path)])
    assert missing.exit_code == 2 and "twin updates of 0 seeds of PPO-" in missing.output
    session(TWINS + one_claim(CHANGES, "twins"), f"--claims-store={tmp_path}")
    table = CliRunner().invoke(app, ["mechanism", ".", "--store", str(tmp_path)]).output
    assert "clip: on -> off" in table and "epochs: 2 -> 1" in table
    # Adam has no state yet in the first iteration, and annealing's factor is 1: no change, in any seed.
    for name in ("adam_state: carried -> new", "annealing: on -> off"):
        first_iteration = table.split(name)[1].splitlines()[1].split()
        assert first_iteration[:3] == ["0", "1", "0"]
    assert "head = epsilon x epochs x annealing x adam_state x gradient_clip" in table


def test_a_factorial_is_judged_on_all_its_combinations(session, store):
    levels = "epochs=(1, 2), learning_rate=(lambda x: x, lambda x: x / 2)"
    fixture = f"rates = rlclaims.factorial(PPO, 'InvertedPendulum-v5', {levels}, **SMALL)\n"
    body = "assert rates.change_by('epochs', lambda runs: runs.ratio.exceedance.training.overall()).median > -1.5"
    result = session(TWINS + fixture + one_claim(body, "rates"))
    assert result.parseoutcomes() == {"passed": 1}
    (claim,) = written(store)["claims"]
    (taken,) = claim["runs"]
    assert taken["kind"] == "factorial" and taken["seeds"] == [0, 1, 2, 3, 4] * 4 and len(set(taken["digests"])) == 20
    # Seed by seed, the mean change over both learning rates, from what each run measured.
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


@pytest.mark.parametrize(
    ("fixture", "sentence"),
    [
        ("rlclaims.twins(TRPO, 'InvertedPendulum-v5')", "*Twin updates are of rlclaims.PPO*, and TRPO is none.*"),
        ("rlclaims.twins(OwnWay, 'InvertedPendulum-v5')", "*OwnWay learns in a way of its own*"),
        ("rlclaims.factorial(PPO, 'InvertedPendulum-v5')", "*A factorial varies settings*"),
        ("rlclaims.factorial(PPO, 'InvertedPendulum-v5', epochs=(1, 2, 3))", "*has two values, epochs=(one, other)*"),
        ("rlclaims.factorial(PPO, 'InvertedPendulum-v5', epoch=(1, 2))", "*has no setting 'epoch'*"),
        ("rlclaims.factorial(PPO(), 'InvertedPendulum-v5', epochs=(1, 2))", "*Settings are given for a class*"),
    ],
)
def test_fixtures_that_cannot_be_made_are_refused_before_training(session, fixture, sentence):
    own = "\nfrom dataclasses import dataclass\n\n@dataclass(frozen=True)\nclass OwnWay(PPO):\n"
    own += "    def learn(self, agent, rollout):\n        return super().learn(agent, rollout)\n"
    result = session(TWINS + own + f"\nit = {fixture}\n" + one_claim("assert it.nothing > 0", "it"))
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: {sentence}"])


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (
            "assert twins.switching('momentum').mean_kl.held_out.overall() > 1",
            "*no mechanism 'momentum'*clip, epsilon*",
        ),
        (
            "assert twins.in_design('momentum').mean_kl.held_out.overall() > 1",
            "*no mechanism 'momentum'*clip, epsilon*",
        ),
        ("assert twins.pushed_out.at(4) > 0", "*at(4): updates are made again at 4 iterations*"),
    ],
)
def test_mistakes_in_a_claim_on_twins_are_told_before_training(session, body, sentence):
    result = session(TWINS + one_claim(body, "twins"))
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: {sentence}"])


def test_a_claim_of_some_profiles_is_skipped_in_others_and_runs_where_nothing_counts(pytester, store):
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


@pytest.mark.parametrize("profile", ["standard", "smoke"])
def test_a_claim_of_a_profile_that_there_is_not_is_refused_instead_of_skipped(session, profile):
    result = session(one_claim(SUPPORTED, profiles=["paper", "papre"]), f"--claims-profile={profile}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        ["ERROR: *'section/claim' is of the profile 'papre', and there are paper, smoke, standard."]
    )


@pytest.mark.parametrize("profiles", ["paper", [], [3]])
def test_a_claims_profiles_are_a_list_of_names(session, profiles):
    result = session(one_claim(SUPPORTED, profiles=profiles))
    result.stdout.fnmatch_lines(["*has a list of profiles' names, such as ?'paper'?, not *"])

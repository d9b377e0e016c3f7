"""Profiles: built-in ones, and those in a project's pyproject.toml."""

import json

import pytest
from claim_text import CONFTEST, HEADER, REFUTED, SUPPORTED, levels, one_claim, written

from rlclaims.planning.profile import PROFILES, Profile

ON_THE_PROFILES_TASKS = """
import rlclaims

small = dict(steps=64, minibatches=2, value_epochs=1, epochs=1)
free = rlclaims.runs(rlclaims.PPO, **small)
long = rlclaims.runs(rlclaims.PPO, "InvertedPendulum-v5", iterations=50, **small)
"""
FREE = SUPPORTED.replace("ppo", "free")


@pytest.fixture
def project(pytester, store):
    """Return a function that runs a session in a project whose pyproject.toml has the given tables."""
    pytester.makeconftest(CONFTEST)

    def run(body, tables, *options):
        pytester.makepyprojecttoml(tables)
        pytester.makepyfile(test_claims=HEADER + body)
        return pytester.runpytest_inprocess(f"--claims-store={store}", "-p", "no:cacheprovider", *options)

    return run


def iterations_of(result):
    return [runs["iterations"] for runs in result["runs"]]


def test_smoke_profile_leaves_every_claim_inconclusive(project, tmp_path):
    refuted = one_claim(REFUTED).replace("section/claim", "section/false").replace("test_claim", "test_false")
    joined = "\n@declared('section/joined')\ndef test_joined(long):\n    kl = long.kl_old_new.mean.held_out\n"
    joined += "    assert rlclaims.all_of(kl.last(0.25) / kl.first(0.25) < 9, kl.overall() > -1)\n"
    result = project(
        ON_THE_PROFILES_TASKS + one_claim(SUPPORTED) + refuted + joined,
        "",
        "--claims-profile=smoke",
        f"--claims-report={tmp_path}",
    )
    assert result.parseoutcomes() == {"inconclusive": 3} and result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines(
        [f"  {name} *inconclusive (smoke is no evidence)" for name in ("claim", "false", "joined")]
    )
    claims = written(tmp_path, ".")["claims"]
    assert [claim["status"] for claim in claims] == ["smoke"] * 3
    assert [claim["evidence"]["reason"] for claim in claims] == ["no_evidence"] * 3
    assert claims[0]["evidence"]["lower"] > -1  # judged although it is no evidence: that code is exercised too
    assert iterations_of(claims[2]) == [2]  # although the claim requests 50


@pytest.mark.parametrize("option", ["--claims-strict", "--claims-write-pilots"])
def test_smoke_profile_refuses_options_that_need_evidence(project, option):
    result = project(one_claim(SUPPORTED), "", "--claims-profile=smoke", option, "--claims-first-seed=10000")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: *smoke is no evidence*"])


NIGHTLY = """
[tool.rlclaims]
profile = "nightly"
report = "here"

[tool.rlclaims.profiles.nightly]
tasks = ["InvertedPendulum-v5"]
iterations = 3
looks = [5, 7]
alpha = 0.1
family_rate = 0.2
"""


def test_project_defines_its_own_profile(project, pytester):
    body = ON_THE_PROFILES_TASKS + one_claim(FREE, "free")
    project(body, NIGHTLY).assert_outcomes(passed=1)
    record = json.loads((pytester.path / "here" / "claims.json").read_text())
    assert record["profile"] == {
        "name": "nightly",
        "tasks": ["InvertedPendulum-v5"],
        "iterations": 3,
        "looks": [5, 7],
        "alpha": 0.1,
        "family_rate": 0.2,
        "evidence": True,
    }
    (claim,) = record["claims"]
    assert iterations_of(claim) == [3] and claim["runs"][0]["task"] == "InvertedPendulum-v5"
    evidence = claim["evidence"]
    assert (evidence["alpha_support"], evidence["alpha_refute"]) == (0.1, pytest.approx(0.2))
    assert evidence["planned_looks"] == [5, 7] and evidence["n"] == 5


def test_family_rate_overrides_the_profile(project, pytester):
    named = one_claim(FREE, "free").replace(
        "'section/claim'", "'section/claim', family=rlclaims.family('a', size=2, rate=0.1)"
    )
    project(ON_THE_PROFILES_TASKS + named, NIGHTLY)
    record = json.loads((pytester.path / "here" / "claims.json").read_text())
    assert record["families"] == [{"name": "a", "size": 2, "rate": 0.1}]
    assert record["claims"][0]["evidence"]["alpha_refute"] == pytest.approx(0.05)


def test_project_profile_inherits_fields_of_the_same_name(project, store):
    body = ON_THE_PROFILES_TASKS + one_claim(FREE, "free")
    tables = '[tool.rlclaims.profiles.smoke]\ntasks = ["InvertedPendulum-v5"]\n'
    project(body, tables, "--claims-profile=smoke")
    assert written(store)["profile"]["evidence"] is False and written(store)["profile"]["looks"] == [5]


BOTH = '[tool.rlclaims.profiles.both]\ntasks = ["Hopper-v5", "InvertedPendulum-v5"]\niterations = 2\nlooks = [5]\n'


def test_family_splits_its_rate_between_tasks(project, store):
    named = one_claim(FREE, "free").replace(
        "'section/claim'", "'section/claim', family=rlclaims.family('a', size=1, rate=0.1)"
    )
    project(ON_THE_PROFILES_TASKS + named, BOTH, "--claims-profile=both").assert_outcomes(passed=2)
    assert [refute for refute, _ in levels(store).values()] == [pytest.approx(0.1 / 2)] * 2


def test_claim_without_a_task_is_judged_on_each_profile_task(project, store):
    bound = f"\nimport pytest\n\n@pytest.mark.parametrize('bound', [-1, -2]){one_claim(FREE, 'free, bound')}"
    other = one_claim(SUPPORTED).replace("section/claim", "section/other").replace("test_claim", "test_other")
    result = project(ON_THE_PROFILES_TASKS + bound + other, BOTH, "--claims-profile=both")
    result.assert_outcomes(passed=5)
    by_name = {claim["name"]: [runs["task"] for runs in claim["runs"]] for claim in written(store)["claims"]}
    assert by_name == {
        "section/claim[-1-Hopper-v5]": ["Hopper-v5"],
        "section/claim[-1-InvertedPendulum-v5]": ["InvertedPendulum-v5"],
        "section/claim[-2-Hopper-v5]": ["Hopper-v5"],
        "section/claim[-2-InvertedPendulum-v5]": ["InvertedPendulum-v5"],
        "section/other": ["InvertedPendulum-v5"],
    }
    # Every claim counts once on each task, even if its runs name a task: the rate cannot depend on the selection.
    assert [refute for refute, _ in levels(store).values()] == [pytest.approx(0.05 / 6)] * 5


WITH_ARGUMENTS = """
[tool.rlclaims.profiles.standard]
tasks = ["InvertedPendulum-v5(reset_noise_scale=NOISE)", "InvertedPendulum-v5( reset_noise_scale = 1, frame_skip=1)"]
iterations = 2
looks = [5]
"""


def test_profile_tasks_take_arguments(project, store):
    result = project(ON_THE_PROFILES_TASKS + one_claim(FREE, "free"), WITH_ARGUMENTS.replace("NOISE", ".05"))
    result.assert_outcomes(passed=2)
    record = written(store)
    texts = ["InvertedPendulum-v5(reset_noise_scale=0.05)", "InvertedPendulum-v5(frame_skip=1, reset_noise_scale=1)"]
    assert record["profile"]["tasks"] == texts
    assert {claim["name"]: claim["runs"][0]["task"] for claim in record["claims"]} == {
        f"section/claim[{text}]": text for text in texts
    }
    assert len(list(store.glob("runs/PPO-InvertedPendulum-v5-frame_skip-1-reset_noise_scale-1-seed*"))) == 5
    again = project(ON_THE_PROFILES_TASKS + one_claim(FREE, "free"), WITH_ARGUMENTS.replace("NOISE", "5e-2"))
    again.assert_outcomes(passed=2)
    # Nothing was trained again.
    assert len(list(store.glob("runs/PPO-InvertedPendulum-v5-*reset_noise_scale-*-seed*"))) == 10


@pytest.mark.parametrize(
    ("tables", "sentence"),
    [
        (
            "[tool.rlclaims]\nprofil = 'x'",
            "pyproject.toml: [[]tool.rlclaims] has no setting 'profil'; there are *Did you mean 'profile'?",
        ),
        ("[tool.rlclaims]\nprofile = 3", "pyproject.toml: [[]tool.rlclaims] profile must be a string, not 3."),
        ("[tool.rlclaims]\nprofile = 'x'", "There is no profile 'x'; there are gate, paper, smoke, standard."),
        ("[tool.rlclaims]\nprofiles = 3", "*profiles must be a table*not 3."),
        (
            "[tool.rlclaims.gate]\nsubject = 5",
            "The gate's subject must be a string such as 'my_pkg.algos:MyPPO', not 5.",
        ),
        ("[tool.rlclaims.profiles]\nx = 3", "*'x' is a table, *not 3."),
        ("[tool.rlclaims.profiles.x]\nseeds = 3", "*'x' has no field 'seeds'; there are tasks, iterations, looks, *"),
        ("[tool.rlclaims.profiles.x]\nlooks = [4, 8]", "*'x' has looks = [[]4, 8], *ascending*from 5 to 1000."),
        ("[tool.rlclaims.profiles.x]\nlooks = [8, 8]", "*looks = [[]8, 8]*ascending*"),
        ("[tool.rlclaims.profiles.x]\nlooks = 8", "*looks = 8*a list of numbers of seeds."),
        ("[tool.rlclaims.profiles.x]\nlooks = []", "*looks = [[]]*a list of numbers of seeds."),
        ("[tool.rlclaims.profiles.x]\ntasks = 'Hopper-v5'", "*tasks = 'Hopper-v5'*a list of ids*"),
        ("[tool.rlclaims.profiles.x]\ntasks = ['a', 'a']", "*tasks = *different ids*"),
        ("[tool.rlclaims.profiles.x]\ntasks = ['a(x=1,y=2)', 'a(y=2, x=1)']", "*tasks = *different ids*"),
        ("[tool.rlclaims.profiles.x]\niterations = 0", "*iterations = 0*from 1 to 1,000,000."),
        ("[tool.rlclaims.profiles.x]\nalpha = 0.7", "*alpha = 0.7*from 0.000001 up, below .5."),
        ("[tool.rlclaims.profiles.x]\nfamily_rate = true", "*family_rate = True*below .5."),
        ("[tool.rlclaims.profiles.x]\nevidence = 1", "*evidence = 1*true or false."),
        ("[tool.rlclaims.profiles.x]\nalpha = 1e-300", "*alpha = 1e-300*from 0.000001 up*"),
        ("[tool.rlclaims.profiles.x]\niterations = 9999999999", "*iterations = 9999999999*from 1 to 1,000,000."),
        ("[tool.rlclaims.profiles.smoke]\nevidence = true", "*'smoke' is no evidence; give one *"),
        ("[tool.rlclaims", "*pyproject.toml*"),
    ],
)
def test_invalid_pyproject_table_is_refused(project, pytester, tables, sentence):
    result = project(one_claim(SUPPORTED), tables)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: {sentence}"])


def test_unknown_task_of_a_profile_is_refused(project):
    tables = '[tool.rlclaims.profiles.standard]\ntasks = ["Hoper-v5", "Hopper-v5"]\n'
    result = project(ON_THE_PROFILES_TASKS + one_claim(FREE, "free"), tables)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: There is no task 'Hoper-v5'*"])


def test_unknown_task_argument_is_refused_before_training(project, store):
    tables = '[tool.rlclaims.profiles.standard]\ntasks = ["Ant-v5(weight=1)"]\n'
    result = project(ON_THE_PROFILES_TASKS + one_claim(FREE, "free"), tables)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: The task 'Ant-v5(weight=1)' has no argument 'weight'; it takes contact_*"])
    assert not list(store.glob("runs/*Ant*"))


def test_paper_profile_has_a_million_steps():
    assert PROFILES["paper"].iterations * 2048 == pytest.approx(1e6, rel=1e-3)


def test_profile_converts_looks_to_a_tuple():
    assert Profile("x", tasks=["a"], looks=[5, 9]).looks == (5, 9)

"""Invalid claims, and runs that cannot be trained, are refused in one sentence."""

import sys

import pytest
from claim_text import CONFTEST, HEADER, SUPPORTED, one_claim

CAUGHT = """
    try:
        assert ppo.kl_old_new.mean.training.overall() > -1
    except AssertionError:
        pass
"""
OR_ED = """
    evidence = ppo.kl_old_new.mean.training.overall() > -1
    fine = evidence or True
    assert fine
"""


@pytest.mark.parametrize("options", [(), ("--assert=plain",)])
@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ("pass", "judged nothing"),
        (f"{SUPPORTED}\n    {SUPPORTED}", "judged 2 times"),
        (SUPPORTED.replace("assert", "assert not"), "failed although its evidence is supported"),
        (CAUGHT, "passed although its evidence is refuted"),
        (OR_ED, "passed although its evidence is refuted"),
        (f"{SUPPORTED}\n    assert False", "failed although its evidence is supported"),
        (SUPPORTED.replace("assert ", ""), "compares without asserting"),
        (
            f"import pytest\n    {SUPPORTED}\n    pytest.skip('never mind')",
            "marked xfail after it had judged",
        ),
        ("assert ppo.ratio.max.training.overall() > float('nan')", "compared with a finite number"),
        ("assert ppo.ratio.max.training.overall() > 'x'", "compared with a finite number"),
        ("assert ppo.ratio.max.training.overall() == 1", "never equal"),
        ("assert ppo.ratio.max.training.overall()", "neither true nor false"),
        ("assert ppo.ratio.maximum.training.overall() > 1", "*no measure ratio.maximum (did you mean 'max'?)*"),
        ("assert nothing", "*'section/claim' fails when it is tried on imagined runs: NameError: *test_claims.py:*"),
        (
            "raise SystemExit(3)",
            "*'section/claim' fails when it is tried on imagined runs: SystemExit: 3*test_claims.py:*",
        ),
    ],
)
def test_claim_must_make_exactly_one_judgement(session, tmp_path, body, sentence, options):
    result = session(one_claim(body), f"--claims-store={tmp_path}", *options)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: *{sentence}*"])
    result.stdout.no_fnmatch_line("*rlclaims: training*")


def test_all_mistakes_are_reported_at_once(session):
    body = one_claim("pass") + one_claim("assert nothing").replace("section/claim", "section/two").replace(
        "test_", "test_2"
    )
    session(body).stderr.fnmatch_lines(["ERROR: *'section/claim' judged nothing*", "*'section/two' fails when*"])


# Imagined KLs are above 0.1; the KLs of two short updates are far below.
ON_REAL_RUNS_ONLY = "kl = ppo.kl_old_new.mean.training.overall()\n    assert kl > -1\n    assert kl.values[0] > 0.1"


def test_mistake_shown_by_real_runs_only_is_an_error(session):
    result = session(one_claim(ON_REAL_RUNS_ONLY))
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*failed although its evidence is supported*"])
    result.stdout.fnmatch_lines(["  claim*error*"])


@pytest.mark.parametrize("assertion", ["assert {}", "assert rlclaims.all_of({})"])
def test_invalid_margin_is_refused_before_training(session, tmp_path, assertion):
    body = f"kl = ppo.kl_old_new.mean.training\n    {assertion.format('kl.last(0.5) / kl.first(0.5) < 2')}"
    result = session("\nimport rlclaims\n" + one_claim(body, margin=0.5), f"--claims-store={tmp_path}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        ["ERROR: The claim 'section/claim': The margin of a ratio is a factor above 1, unlike 0.5."]
    )


@pytest.mark.parametrize(
    "body",
    [
        "assert kl > min(kl.values) - 0.001",
        "assert kl > -1 if sum(kl.values) > 2.5 else kl < 9",
        "assert kl > __import__('random').random() - 9",
        "assert kl > -next(CALLS)",
        "assert rlclaims.all_of(kl > -1, kl > -max(kl.values))",
        "assert kl.chance_above(min(kl.values)) > 0",
        "assert (kl.median if kl.values[0] > kl.values[1] else kl) > -1",
    ],
)
def test_claim_that_depends_on_its_data_is_refused(session, tmp_path, body):
    head = "\nimport itertools\nimport rlclaims\nCALLS = itertools.count()\n"
    claim = one_claim(f"kl = ppo.kl_old_new.mean.training.overall()\n    {body}")
    result = session(head + claim, f"--claims-store={tmp_path}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: The claim 'section/claim' judges something else on other numbers: *"])


def test_claim_that_depends_on_real_data_only_is_an_error(session):
    # Imagined KLs are above 0.1; the KLs of two short updates are far below.
    body = "kl = ppo.kl_old_new.mean.training.overall()\n    assert kl > (-1 if kl.values[0] > 0.1 else -2)"
    result = session(one_claim(body))
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*judges something else on other numbers*", "  claim*error*"])


def test_comparison_may_contain_any_expression(session):
    body = "kl = ppo.kl_old_new.mean.training.overall()\n    assert kl > (None or -1 if 0 < 1 < 2 and True else -2)"
    session(one_claim(body)).assert_outcomes(passed=1)


def test_claim_without_runs_is_tried(session):
    result = session(one_claim("assert 1 < 2", parameters=""))
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: *judged nothing*"])


@pytest.mark.parametrize("how", [("-O",), ()])
def test_python_optimized_mode_is_refused(pytester, monkeypatch, how):
    if not how:
        monkeypatch.setenv("PYTHONOPTIMIZE", "1")
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(test_claims=HEADER + one_claim(SUPPORTED))
    result = pytester.run(sys.executable, *how, "-m", "pytest")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: Claims and theorems are asserts, which python -O *remove*"])


@pytest.mark.parametrize(
    ("definition", "sentence"),
    [
        ("async def test_claim(ppo):\n    pass", "*must be a plain function, neither a class nor async*"),
        ("class TestClaim:\n    pass", "*must be a plain function, neither a class nor async*"),
    ],
)
def test_claim_must_be_a_plain_function(session, definition, sentence):
    result = session(f"\n@declared('section/claim')\n{definition}\n")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([sentence])


@pytest.mark.parametrize(
    ("runs", "sentence"),
    [
        (
            "rlclaims.runs(rlclaims.PPO, 'Hoper-v5')",
            "There is no task 'Hoper-v5': *Did you mean: `Hopper`[?] (the runs *",
        ),
        ("rlclaims.runs(rlclaims.PPO, learning_rat=1)", "PPO has no setting 'learning_rat'*"),
        ("rlclaims.runs(rlclaims.PPO, steps=100)", "*must be a multiple of minibatches*"),
        ("rlclaims.runs('PPO')", "*are of an algorithm, such as rlclaims.PPO*not of 'PPO'*"),
        ("rlclaims.runs(rlclaims.PPO(), steps=64)", "*an instance has its own*"),
        ("rlclaims.runs(rlclaims.PPO, iterations=0)", "*a positive whole number of iterations, not 0*"),
        ("rlclaims.runs(rlclaims.PPO, iterations='3')", "*a positive whole number of iterations, not '3'*"),
        ("rlclaims.runs(rlclaims.PPO, 5)", "A task is the id*not 5*"),
        ("rlclaims.runs(rlclaims.PPO, scale_rewards='no')", "*scale_rewards must be True or False, not 'no'*"),
        ("rlclaims.runs(rlclaims.PPO, steps=32)", "*a multiple of minibatches (32), and more than one*"),
        ("rlclaims.runs(rlclaims.PPO, learning_rate='fast')", "*learning_rate must be a positive number, not 'fast'*"),
        ("rlclaims.runs(rlclaims.PPO, clip_epsilon=-1)", "*clip_epsilon must be a positive number, or None for off*"),
        ("rlclaims.runs(rlclaims.TRPO, delta=float('nan'))", "*delta must be a positive number, not nan*"),
        ("rlclaims.runs(rlclaims.PPO, steps=64.0)", "*steps must be a positive whole number, not 64.0*"),
    ],
)
def test_invalid_runs_are_refused_before_training(session, runs, sentence):
    result = session(f"\nimport rlclaims\nbad = {runs}\n" + one_claim("assert False", parameters="bad, ppo"))
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: {sentence}"])
    result.stdout.no_fnmatch_line("*rlclaims: training*")


@pytest.mark.parametrize(
    ("option", "sentence"),
    [
        ("--claims-seeds=4", "*at least 5 seeds*"),
        ("--claims-first-seed=-1", "*from 0 up*"),
        ("--claims-processes=0", "*from 1 up*"),
        ("--claims-profile=grand", "*no profile 'grand'*paper, smoke, standard*"),
        ("--claims-seeds=1001", "*at most 1000*"),
        ("--claims-store=conftest.py", "*store conftest.py cannot be written*"),
        ("--claims-report=conftest.py", "*report folder conftest.py cannot be written*"),
    ],
)
def test_invalid_options_are_refused_before_training(session, option, sentence):
    result = session(one_claim(SUPPORTED), option)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: {sentence}"])


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (one_claim(SUPPORTED) + one_claim(SUPPORTED).replace("test_claim", "test_again"), "Two claims have the id*"),
        (one_claim(SUPPORTED, parameters="ppo, tmp_path"), "*takes 'tmp_path', and a claim can take only runs*"),
        ("\nimport pytest\n\n@pytest.mark.xfail" + one_claim(SUPPORTED), "*marked xfail*expected='refuted'*"),
        (
            "\nimport unittest\n\nclass TestIt(unittest.TestCase):\n"
            "    @declared('section/claim')\n    def test_claim(self):\n        pass\n",
            "*unittest.TestCase*",
        ),
    ],
)
def test_invalid_claim_is_refused_at_collection(session, body, sentence):
    result = session(body)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: {sentence}"])


@pytest.mark.parametrize("missing", ["says", "means"])
def test_claim_needs_says_and_means(session, missing):
    result = session(
        one_claim(SUPPORTED).replace(
            "@declared('section/claim'", f"@claim('x', HERE, **{{'says': 'a', 'means': 'b', {missing!r}: ' '}}"
        )
    )
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([f"*needs {missing}=*"])


SUBCLASS = """
from dataclasses import dataclass
import rlclaims

{}

mine = rlclaims.runs(Mine, "InvertedPendulum-v5", iterations=2)

@declared("section/mine")
def test_mine(mine):
    assert mine.kl_old_new.mean.training.overall() > -1
"""


@pytest.mark.parametrize(
    ("definition", "sentence"),
    [
        (
            "class Mine(rlclaims.PPO):\n    def policy_loss(self, ratio_SB, advantage_SB):\n"
            "        return -(ratio_SB * advantage_SB).mean()",
            "*must return one loss per seed*not shape ()*end it with .mean(1)*",
        ),
        (
            "class Mine(rlclaims.PPO):\n    def policy_loss(self, ratio_SB, advantage_SB):\n        return undefined",
            "*Mine.policy_loss fails*NameError: name 'undefined'*",
        ),
        (
            "class Mine(rlclaims.PPO):\n    learning_rate: float = 1.0",
            "Mine declares settings and must be decorated with @dataclass*",
        ),
        ("@dataclass(frozen=True)\nclass Mine(rlclaims.PPO):\n    epochs = 1", "Mine.epochs has no type*"),
        ("def make():\n    class Mine(rlclaims.PPO): pass\n    return Mine\nMine = make()", "*at the top of a file*"),
    ],
)
def test_faulty_subclass_is_refused_before_training(session, definition, sentence):
    result = session(SUBCLASS.format(definition))
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: {sentence}"])


def test_classes_of_two_modules_of_one_name_are_refused(pytester, store):
    for folder, rate in (("a", 1e-3), ("b", 1e-4)):
        pytester.mkdir(folder).joinpath("conftest.py").write_text(
            CONFTEST + f"\nclass Mine(PPO):\n    pass\n\nmine = rlclaims.runs(Mine, learning_rate={rate}, **SMALL)\n"
        )
        body = HEADER + one_claim(SUPPORTED.replace("ppo", "mine"), "mine").replace("section", folder)
        (pytester.path / folder / f"test_{folder}.py").write_text(body)
    result = pytester.runpytest_subprocess(f"--claims-store={store}", "--claims-seeds=5")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: Mine is ambiguous: a second module named 'conftest' was loaded*"])


@pytest.mark.parametrize(
    "body",
    [
        one_claim(SUPPORTED) + "\ntest_again = test_claim\n",
        "\nclass Base:\n    @declared('section/claim')\n    def test_claim(self, ppo):\n        "
        + SUPPORTED
        + "\n\nclass TestA(Base): pass\nclass TestB(Base): pass\n",
        "\ndef make(bound):\n    @declared('section/claim')\n    def test(ppo):\n"
        "        assert ppo.ratio.max.training.overall() > bound\n    return test\n\n"
        "test_1, test_2 = make(1), make(2)\n",
    ],
)
def test_duplicate_claim_id_is_refused(session, body):
    result = session(body)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: Two claims have the id 'section/claim': *"])


def test_imported_claim_is_refused(session, pytester):
    pytester.makepyfile(other_claims=HEADER + one_claim(SUPPORTED))
    result = session("\nfrom other_claims import test_claim\n")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: *is defined in other_claims and also collected from test_claims.py*"])


@pytest.mark.parametrize(
    "assertion",
    [
        "assert kl > -1 and kl > -2",
        "assert kl > 5 or kl > -1",
        "assert -1 < kl < 1",
        "assert all(kl > b for b in (-1, -2))",
        "assert not (kl > -1 and kl > -2)",
    ],
)
def test_short_circuiting_comparisons_are_refused(session, assertion):
    result = session(one_claim(f"kl = ppo.kl_old_new.mean.training.overall()\n    {assertion}"))
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: *of which Python may skip some*all_of*"])


def test_asserting_a_part_of_a_combination_is_refused(session):
    body = (
        "kl = ppo.kl_old_new.mean.training.overall()\n    a = kl > -1\n    b = rlclaims.any_of(a, kl > 9)\n    assert a"
    )
    result = session("\nimport rlclaims\n" + one_claim(body))
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: *asserts only a part of a joined comparison*"])


def test_unknown_or_missing_executor_is_refused(session, monkeypatch):
    result = session(one_claim(SUPPORTED), "--claims-executor=slurm")
    result.stderr.fnmatch_lines(["ERROR: There is no executor 'slurm'; there are local, ray."])
    monkeypatch.setitem(sys.modules, "ray", None)
    result = session(one_claim(SUPPORTED), "--claims-executor=ray")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: The executor 'ray' needs Ray: pip install 'rlclaims?ray?'."])

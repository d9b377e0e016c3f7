"""Families of claims and the error rates that they share."""

import pytest
from claim_text import REFUTED, SUPPORTED, levels, one_claim, written

FOUR_SHARES = (
    one_claim(SUPPORTED)
    + "\n@declared('section/other', expected='refuted', evidence='earlier')\ndef test_other(ppo):\n    "
    + REFUTED
    + "\n\nclass TestMore:\n    @declared('section/more')\n    def test_more(self, ppo):\n        "
    + SUPPORTED
    + "\n"
)


@pytest.mark.parametrize("options", [(), ("-k", "test_claim or test_other")])
def test_family_rate_does_not_depend_on_selection(session, store, options):
    session(FOUR_SHARES, "-v", *options).stdout.fnmatch_lines(["Family 'test_claims.py', of 4 shares: *"])
    assert levels(store)["section/claim"] == (pytest.approx(0.05 / 4), 0.05)
    # To be supported against expectation turns a build red too.
    assert levels(store)["section/other"] == (pytest.approx(0.05 / 4), pytest.approx(0.05 / 4))


def test_each_parameter_is_a_claim_of_the_family(session, store, pytester):
    body = (
        "\nimport pytest\n\n@pytest.mark.parametrize('bound', [-1, -2, -3])\n@declared('section/claim')\n"
        "def test_claim(ppo, bound):\n    assert ppo.kl_old_new.mean.training.overall() > bound\n"
    )
    session(body)
    assert set(levels(store).values()) == {(0.05 / 3, 0.05)}
    pytester.runpytest_inprocess(f"--claims-store={store}", "--claims-seeds=5", "test_claims.py::test_claim[-2]")
    assert set(levels(store).values()) == {(0.05 / 3, 0.05)}


NAMED = one_claim(SUPPORTED).replace("'section/claim'", "'section/claim', family=rlclaims.family('all', {})")


def test_named_family_has_its_declared_shares(session, store):
    session("\nimport rlclaims\n" + NAMED.format("size=20, rate=0.1"))
    assert levels(store)["section/claim"] == (pytest.approx(0.1 / 20), 0.05)
    assert written(store)["families"] == [{"name": "all", "size": 20, "rate": 0.1}]


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (
            FOUR_SHARES.replace("'section/other'", "'section/other', family=rlclaims.family('all', size=1)"),
            "*its claims use 2: *",
        ),
        (
            NAMED.format("size=2") + NAMED.format("size=3").replace("section/", "other/").replace("test_", "test_2"),
            "*is declared with * shares *: declare it once.",
        ),
    ],
)
def test_inconsistent_family_is_refused(session, body, sentence):
    result = session("\nimport rlclaims\n" + body)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: {sentence}"])


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [("size=0", "*whole number of shares*not 0*"), ("size=3, rate=2", "*error rate between 0 and .5, not 2*")],
)
def test_family_needs_shares_and_a_rate(session, arguments, sentence):
    result = session("\nimport rlclaims\n" + NAMED.format(arguments))
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([sentence])


PARAMETRIZED = """
import pytest

{}
@declared('section/claim')
def test_claim(ppo, bound):
    assert ppo.kl_old_new.mean.training.overall() > bound
"""


@pytest.mark.parametrize(
    ("parameters", "sentence"),
    [
        ("@pytest.mark.parametrize('bound', (-i for i in range(1, 4)))", "*becomes * claims, and its file declares *"),
        (
            "def pytest_generate_tests(metafunc):\n    metafunc.parametrize('bound', [-1, -2])\n",
            "*becomes * claims, and its file declares *",
        ),
        (
            "@pytest.fixture(params=[-1, -2])\ndef bound(request):\n    return request.param\n",
            "*takes 'bound', and a claim can take only runs*",
        ),
    ],
)
def test_undeclared_parameters_are_refused(session, parameters, sentence):
    result = session(PARAMETRIZED.format(parameters))
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: {sentence}"])


def test_claims_in_nested_classes_join_the_family(session, store):
    session(
        "\nclass TestOuter:\n    class TestInner:\n"
        "        @declared('section/inner')\n        def test_it(self, ppo):\n"
        f"            {SUPPORTED}\n" + one_claim(SUPPORTED)
    ).assert_outcomes(passed=2)
    assert {refute for refute, _ in levels(store).values()} == {0.025}


def test_family_rate_does_not_change_support(session, store):
    loose = "expected='refuted', evidence='earlier', family=rlclaims.family('loose', size=2, rate=0.4)"
    session("\nimport rlclaims\n" + one_claim(REFUTED).replace("'section/claim'", f"'section/claim', {loose}"))
    assert levels(store)["section/claim"] == (0.2, 0.05)

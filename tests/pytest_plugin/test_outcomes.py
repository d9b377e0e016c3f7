"""The end of a claim: supported, refuted, inconclusive, and against expectation."""

import pytest
from claim_text import INCONCLUSIVE, REFUTED, SUPPORTED, one_claim, written


def test_supported_passes_and_is_recorded(session, store):
    result = session(one_claim(SUPPORTED))
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["section*", "  claim*supported*5", "Record: *claims.json", "Page: *index.html"])
    (claim,) = written(store)["claims"]
    assert (claim["id"], claim["verdict"], claim["means"]) == ("section/claim", "supported", "The number is so.")
    evidence = claim["evidence"]
    assert evidence["lower"] < evidence["estimate"] < evidence["upper"]
    assert evidence["estimate"] == pytest.approx(sum(evidence["values"][0]) / 5)
    assert evidence["seeds"] == [[0, 1, 2, 3, 4]]
    assert "InvertedPendulum-v5, 128 steps" in evidence["scope"]


def test_refuted_fails_with_the_numbers_in_the_message(session):
    result = session(one_claim(REFUTED))
    result.assert_outcomes(failed=1)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(
        ['*section/claim: "It is so."', "*a test, section 1", "*refuted:*<= -1*interval*n = 5*"]
    )
    result.stdout.no_fnmatch_line("*pytest_plugin*")  # no traceback through the plugin


def test_inconclusive_is_neither_passed_nor_failed(session):
    result = session(one_claim(INCONCLUSIVE))
    assert result.parseoutcomes() == {"inconclusive": 1}
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines(["  claim*inconclusive*", "*1 inconclusive*"])


def test_a_strict_session_fails_for_an_open_claim(session):
    assert session(one_claim(INCONCLUSIVE), "--claims-strict").ret == pytest.ExitCode.TESTS_FAILED
    assert session(one_claim(SUPPORTED), "--claims-strict").ret == pytest.ExitCode.OK


def test_a_claim_that_ships_as_refuted_passes_while_it_is(session):
    changes = {"expected": "refuted", "evidence": "earlier seeds"}
    session(one_claim(REFUTED, **changes)).assert_outcomes(passed=1)
    result = session(one_claim(SUPPORTED, **changes))
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*expected   refuted: earlier seeds"])
    assert session(one_claim(INCONCLUSIVE, **changes)).parseoutcomes() == {"inconclusive": 1}


def test_several_comparisons_are_one_row(session, store):
    joined = SUPPORTED.replace("assert ", "assert rlclaims.all_of(") + ", trpo.ratio.max.training.overall() > 0)"
    result = session("\nimport rlclaims\n" + one_claim(joined, parameters="ppo, trpo"))
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["  claim*supported*all of 2*5"])
    parts = written(store)["claims"][0]["evidence"]["parts"]
    assert [part["alpha_refute"] for part in parts] == [pytest.approx(0.025)] * 2


def test_an_inconclusive_claim_says_why(session):
    session(one_claim(INCONCLUSIVE)).stdout.fnmatch_lines(["section/claim is inconclusive, underpowered: *"])


def test_runs_of_another_block_are_another_group(session, store):
    body = (
        "\nimport rlclaims\nfrom conftest import SMALL\n"
        "other = rlclaims.runs(rlclaims.PPO, 'InvertedPendulum-v5', block=1, epochs=1, **SMALL)\n"
    )
    comparison = "assert ppo.ratio.max.training.overall() / other.ratio.max.training.overall() < 99"
    session(body + one_claim(comparison, "ppo, other")).assert_outcomes(passed=1)
    evidence = written(store)["claims"][0]["evidence"]
    assert evidence["method"] == "Welch's t"
    assert evidence["seeds"] == [[0, 1, 2, 3, 4], [1000, 1001, 1002, 1003, 1004]]

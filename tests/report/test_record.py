"""Records: what is kept from earlier sessions, and what a record says about its runs."""

import pytest
from records import claim, theorem

from rlclaims.planning.profile import PROFILES
from rlclaims.report.record import (
    document,
    is_earlier,
    judged_in_words,
    of_last_session,
    runs_in_words,
    session_options,
)


def session(*results, earlier=None, profile="standard"):
    for result in results:
        result.pop("judged", None)
    return document(results, PROFILES[profile], 0, earlier)


def test_document_keeps_what_the_session_did_not_judge():
    first = session(claim("a/one"), claim("a/two"), theorem("a/three"))
    second = session(claim("a/two", "refuted"), theorem("a/four"), earlier=first)
    assert [(c["name"], c["verdict"]) for c in second["claims"]] == [("a/two", "refuted"), ("a/one", "supported")]
    assert [t["name"] for t in second["theorems"]] == ["a/four", "a/three"]
    assert [is_earlier(second, c) for c in second["claims"]] == [False, True]
    now = of_last_session(second)
    assert [r["name"] for r in (*now["claims"], *now["theorems"])] == ["a/two", "a/four"]


def test_document_keeps_evidence_from_sessions_without():
    first = session(claim("a/one"), theorem("a/theorem"))
    second = session(claim("a/one", "inconclusive"), theorem("a/theorem"), earlier=first, profile="smoke")
    assert second["claims"] == first["claims"]
    assert not is_earlier(second, second["theorems"][0])  # which takes no budget
    assert session(claim("a/one", "inconclusive"), profile="smoke")["claims"][0]["judged"]["evidence"] is False


@pytest.mark.parametrize(
    ("runs", "words"),
    [
        ([("Hopper-v5", 100, [0, 1, 2])], "Hopper-v5, 100 steps, seeds 0 to 2"),
        ([("Hopper-v5", 100, [0, 1]), ("Hopper-v5", 100, [2])], "Hopper-v5, 100 steps, seeds 0 to 2"),
        ([("Hopper-v5", 1000, [7])], "Hopper-v5, 1,000 steps, seed 7"),
        ([("A", 1, [0, 1000])], "A, 1 steps, 2 seeds from 0 to 1000"),
        ([("A", 1, [0]), ("B", 2, [1])], "A, 1 steps, seed 0; B, 2 steps, seed 1"),
        ([("A", 1, [0]), ("B", 2, [1]), ("A", 3, [1]), ("A", 4, [2])], "A, B; 1 to 4 steps; seeds 0 to 2"),
        ([], ""),
    ],
)
def test_runs_in_words_are_those_that_were_judged(runs, words):
    claims = [claim("a/b", runs=[{"task": task, "steps": n, "seeds": seeds}]) for task, n, seeds in runs]
    assert runs_in_words(claims) == words


def test_judged_in_words_has_date_profile_and_runs():
    assert judged_in_words(claim("a/b")) == "2026-01-02, profile standard, Hopper-v5, 100 steps, seeds 0 to 5"
    assert judged_in_words(theorem("a/b")) == "2026-01-02, profile standard"


def test_session_options_are_those_of_the_claims_session():
    one = claim("a/b")
    assert session_options(one) == ""
    one["judged"] |= {"profile": "paper", "first_seed": 5000, "looks": [7]}
    assert session_options(one) == "--claims-profile paper --claims-first-seed 5000 --claims-seeds 7 "

"""Looks at the seeds: only runs that undecided claims need are trained."""

from claim_text import INCONCLUSIVE, SUPPORTED, one_claim, stored, written

from rlclaims.pytest_plugin.looks import MANY


def test_looks_train_only_seeds_that_open_claims_need(session_by_looks, tmp_path):
    body = (
        one_claim(INCONCLUSIVE)
        + "\n@declared('section/both')\ndef test_both(ppo, trpo):\n"
        + "    assert ppo.kl_old_new.mean.training.overall() < trpo.kl_old_new.mean.training.overall()\n"
        + "\n@declared('section/sure')\ndef test_sure(trpo):\n    assert trpo.kl_old_new.mean.training.overall() > -1\n"
    )
    result = session_by_looks(body)
    assert result.parseoutcomes().get("inconclusive", 0) >= 1
    result.stdout.fnmatch_lines(["rlclaims: look 2 of 4, 8 seeds, training * of 3 claims decided."])
    claims = {claim["id"]: claim["evidence"] for claim in written(tmp_path)["claims"]}
    assert [look["n"] for look in claims["section/claim"]["looks"]] == [6, 8, 10, 12]
    assert claims["section/sure"]["n"] == 6
    assert stored(tmp_path, "PPO") == list(range(12))
    assert stored(tmp_path, "TRPO") == list(range(claims["section/both"]["n"]))


def test_runs_trained_ahead_are_judged_by_the_same_looks(session_by_looks, tmp_path, pytester):
    body = one_claim(INCONCLUSIVE) + (
        "\n@declared('section/sure')\ndef test_sure(trpo):\n    assert trpo.kl_old_new.mean.training.overall() > -1\n"
    )
    result = session_by_looks(body, "--claims-ahead")
    result.stdout.fnmatch_lines(["rlclaims: training 24 runs of PPO, TRPO * 0 of 2 claims decided."])
    result.stdout.no_fnmatch_line("*look 2*training*")
    assert stored(tmp_path, "PPO") == stored(tmp_path, "TRPO") == list(range(12))
    ahead = {claim["id"]: claim["evidence"] for claim in written(tmp_path)["claims"]}
    assert [look["n"] for look in ahead["section/claim"]["looks"]] == [6, 8, 10, 12]
    assert ahead["section/sure"]["n"] == 6
    afresh = pytester.path / "afresh"
    session_by_looks(body, f"--claims-store={afresh}")
    assert {claim["id"]: claim["evidence"] for claim in written(afresh)["claims"]} == ahead
    assert stored(afresh, "TRPO") == list(range(6))


def test_many_open_claims_train_all_close_looks_at_once(session_by_looks, tmp_path):
    open_too = "".join(f"\n@declared('section/{i}')\ndef test_{i}(ppo):\n    {INCONCLUSIVE}\n" for i in range(MANY))
    sure = "\n@declared('s/sure')\ndef test_sure(trpo):\n    assert trpo.kl_old_new.mean.training.overall() > -1\n"
    result = session_by_looks(one_claim(INCONCLUSIVE) + open_too + sure)
    assert result.parseoutcomes()["inconclusive"] == MANY + 1
    result.stdout.fnmatch_lines(["rlclaims: look 2 of 4, 8 seeds (all 12 made at once), training 6 runs of PPO *"])
    result.stdout.no_fnmatch_line("rlclaims: look 3 of 4,*training*")
    claims = {claim["id"]: claim["evidence"] for claim in written(tmp_path)["claims"]}
    assert [look["n"] for look in claims["section/claim"]["looks"]] == [6, 8, 10, 12]
    assert stored(tmp_path, "PPO") == list(range(12))
    assert stored(tmp_path, "TRPO") == list(range(6))


def test_many_open_claims_train_distant_looks_one_by_one(session_by_looks, pytester):
    # Distant looks, as in the profile paper: deciding early saves more than training all at once.
    claims = "".join(f"\n@declared('section/{i}')\ndef test_{i}(ppo):\n    {SUPPORTED}\n" for i in range(MANY))
    for looks, expected in (([6, 8, 10, 12], 12), ([6, 10, 15, 20], 10)):
        pytester.makepyprojecttoml(f"[tool.rlclaims.profiles.standard]\nlooks = {looks}\n")
        result = session_by_looks(one_claim(SUPPORTED) + claims, "--claims-dry-run")
        (total,) = (line for line in result.outlines if line.startswith("all, once"))
        # Without pilots a claim is expected to be decided at the second look.
        assert total.split()[3] == f"6/{expected}/{looks[-1]}"


def test_claim_decided_at_the_first_look_trains_no_more_seeds(session_by_looks, tmp_path):
    result = session_by_looks(one_claim(SUPPORTED))
    result.stdout.no_fnmatch_line("*look 2*")
    assert stored(tmp_path, "PPO") == list(range(6))


def test_claim_in_error_trains_no_more_seeds(session_by_looks, tmp_path):
    # Imagined KLs are above 0.1; the KLs of two short updates are far below.
    body = "assert 1 / (ppo.kl_old_new.mean.training.overall().values[0] > 0.1)\n    " + SUPPORTED
    session_by_looks(one_claim(body)).assert_outcomes(failed=1)
    assert stored(tmp_path, "PPO") == list(range(6))


def test_plain_test_gets_all_seeds(session_by_looks, tmp_path):
    body = "\ndef test_looks(ppo):\n    assert len(ppo.seeds) == 12\n"
    session_by_looks(one_claim(SUPPORTED) + body).assert_outcomes(passed=2)
    (claim,) = written(tmp_path)["claims"]
    assert claim["evidence"]["seeds"] == [[0, 1, 2, 3, 4, 5]]


def test_inconclusive_message_shows_every_look(session_by_looks, tmp_path, pytester):
    session_by_looks(one_claim(INCONCLUSIVE), "--junitxml=junit.xml")
    looks = written(tmp_path)["claims"][0]["evidence"]["looks"]
    intervals = ", ".join(f"{look['n']}: [{look['lower']:.4g}, none]" for look in looks)
    assert len(looks) == 4
    assert f"look 4 of 4 (seeds and interval: {intervals})" in (pytester.path / "junit.xml").read_text()

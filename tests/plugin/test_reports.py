"""What a session leaves for machines, and what it does not leave."""

import json

from claim_text import INCONCLUSIVE, SUPPORTED, one_claim

PYTESTERS_OWN = {"stdout", "stderr", "runpytest-0", "runpytest-current"}


def test_junit_has_the_verdict(session, pytester):
    session(one_claim(INCONCLUSIVE), "--junitxml=junit.xml")
    xml = (pytester.path / "junit.xml").read_text()
    assert 'name="verdict" value="inconclusive"' in xml and "<skipped" in xml


def test_a_report_goes_where_it_is_asked_to(session, pytester):
    session(one_claim(SUPPORTED), "--claims-report=here")
    assert json.loads((pytester.path / "here" / "claims.json").read_text())["claims"][0]["verdict"] == "supported"


def test_nothing_is_littered(session, pytester):
    before = {path.name for path in pytester.path.iterdir()}
    session(one_claim(SUPPORTED), "-p", "no:cacheprovider")
    assert {path.name for path in pytester.path.iterdir()} - before <= {"test_claims.py", "__pycache__", *PYTESTERS_OWN}


def test_a_project_without_claims_imports_nothing_heavy(pytester):
    heavy = {"torch", "mujoco", "scipy", "numpy", "gymnasium", "rich"}
    pytester.makepyfile(f"import sys\n\ndef test_light():\n    assert not {heavy} & set(sys.modules)\n")
    pytester.runpytest_subprocess("-p", "no:cacheprovider").assert_outcomes(passed=1)

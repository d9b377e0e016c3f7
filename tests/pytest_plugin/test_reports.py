"""Files that a session leaves for machines, and files that it does not leave."""

import json
from importlib.metadata import version
from pathlib import Path
from xml.etree import ElementTree

import jsonschema
import numpy as np
import pytest
from claim_text import INCONCLUSIVE, REFUTED, SUPPORTED, one_claim, written
from scipy import stats

PYTESTERS_OWN = {"stdout", "stderr", "runpytest-0", "runpytest-current"}


ROOT = Path(__file__).parents[2]
SCHEMA = json.loads((ROOT / "rlclaims" / "report" / "claims.schema.json").read_text())
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)


def named(name, body, parameters="ppo", **changes):
    claim = one_claim(body, parameters, **changes).replace("test_claim", f"test_{name}")
    return claim.replace("section/claim", f"section/{name}")


ALL_SORTS = (
    "\nimport rlclaims\nfrom conftest import SMALL\n"
    "other = rlclaims.runs(rlclaims.PPO, 'InvertedPendulum-v5', block=1, epochs=1, **SMALL)\n"
    + named("supported", SUPPORTED, margin=0.1)
    + named("refuted", REFUTED, expected="refuted", evidence="earlier seeds")
    + named("inconclusive", INCONCLUSIVE)
    + named("constant", "assert ppo.ratio.exceedance.training.overall().median < 0.9")
    + named("chance", "assert ppo.ratio.max.training.overall().chance_above(1) > 0")
    + named("betting", "assert ppo.ratio.exceedance.held_out.overall().by('betting') <= 0.5")
    + named("paired", "assert ppo.ratio.max.training.overall() / trpo.ratio.max.training.overall() < 9", "ppo, trpo")
    + named("groups", "assert ppo.ratio.max.training.overall() - other.ratio.max.training.overall() < 9", "ppo, other")
    + named("within", "assert ppo.ratio.max.training.overall().within(0, 9)")
    + named(
        "joined",
        "kl = ppo.kl_old_new.mean.training.overall()\n"
        "    assert rlclaims.any_of(kl > 9, rlclaims.all_of(kl > -1, kl > -2))",
    )
    # Imagined KLs are above .1, and those of two short updates far below.
    + named("error", f"assert 1 / (ppo.kl_old_new.mean.training.overall().values[0] > 0.1)\n    {SUPPORTED}")
)


def test_a_record_is_as_its_schema_says(session, store):
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    session(ALL_SORTS)
    record = written(store)
    assert [error.message for error in VALIDATOR.iter_errors(record)] == []
    verdicts = {claim["id"].removeprefix("section/"): claim["verdict"] for claim in record["claims"]}
    assert verdicts["joined"] == "supported" and verdicts["error"] == "error" and len(verdicts) == 11


def test_a_schema_leaves_nothing_undescribed():
    def undescribed(schema, path=""):
        for name, part in schema.get("properties", {}).items():
            inner = part.get("items", part)
            if not {"description", "$ref", "oneOf"} & set(part) | {"$ref"} & set(inner):
                yield f"{path}/{name}"
            yield from undescribed(inner, f"{path}/{name}")

    assert [*undescribed(SCHEMA), *(u for d in SCHEMA["$defs"].values() for u in undescribed(d))] == []


def overall(store, digest):
    """A run's largest ratio over all of training, from its files."""
    (file,) = store.glob(f"runs/*{digest[:32]}/measured-*")
    return np.mean(json.loads(file.read_text())["series"]["ratio/max/training"])


def test_a_record_has_what_a_reader_needs_to_check_it(session, store):
    session(ALL_SORTS)
    record = written(store)
    claims = {claim["id"].removeprefix("section/"): claim for claim in record["claims"]}
    asked = {runs["fixture"]: runs["settings"] for claim in record["claims"] for runs in claim["runs"]}
    assert asked["other"]["epochs"] == 1 and asked["other"]["clip_epsilon"] == 0.2 and "epochs" not in asked["trpo"]
    values = claims["supported"]["evidence"]["values"][0]
    (diagnostics,) = claims["supported"]["evidence"]["diagnostics"]
    assert diagnostics["skewness"] == pytest.approx(stats.skew(values))
    assert diagnostics["standard_deviation"] == pytest.approx(np.std(values, ddof=1))
    assert claims["constant"]["evidence"]["diagnostics"][0]["ties"] == 4
    paired = claims["paired"]["evidence"]
    sides = [[overall(store, digest) for digest in runs["digests"]] for runs in claims["paired"]["runs"]]
    assert paired["paired"] is True
    assert paired["correlation"] == pytest.approx(np.corrcoef(*np.log(sides))[0, 1])
    assert claims["groups"]["evidence"]["paired"] is False and claims["groups"]["evidence"]["correlation"] is None
    # Eleven claims, one of which takes two shares.
    assert claims["supported"]["family"] == {"name": "test_claims.py", "size": 12, "rate": 0.05}
    # One look: the p-value is held against alpha, or against one of twelve shares of the family's rate.
    supported, refuted = claims["supported"]["evidence"], claims["refuted"]["evidence"]
    assert supported["p_adjusted"] == pytest.approx(supported["p_value"])
    assert refuted["p_adjusted"] == pytest.approx(min(1, 12 * refuted["p_value"]))
    digests = claims["supported"]["runs"][0]["digests"]
    folders = [path.name for path in (store / "runs").iterdir()]
    assert all(any(folder.endswith(digest[:32]) for folder in folders) for digest in digests)
    assert record["environment"]["packages"]["mujoco"] == version("mujoco")


def test_an_adjusted_p_value_agrees_with_the_verdict(session_by_looks, tmp_path):
    session_by_looks(ALL_SORTS)
    claims = {claim["id"].removeprefix("section/"): claim for claim in written(tmp_path)["claims"]}
    assert len(claims["inconclusive"]["evidence"]["looks"]) == 4
    for name in ("supported", "refuted", "inconclusive", "chance", "paired", "groups", "within"):
        evidence = claims[name]["evidence"]
        decided = evidence["verdict"] != "inconclusive"
        assert (evidence["p_value"] <= evidence["level"]) == decided
        assert (evidence["p_adjusted"] <= evidence["p_adjusted_rate"]) == decided


def test_a_claims_digest_ignores_comments(session, store):
    def digest(body):
        session(body)
        return written(store)["claims"][0]["sha256"]

    plain = digest(one_claim(SUPPORTED))
    assert digest(one_claim(f"# why\n    {SUPPORTED}")) == plain
    assert digest(one_claim(SUPPORTED.replace("-1", "-2"))) != plain
    assert digest(one_claim(SUPPORTED, margin=0.1)) != plain


def test_junit_has_the_verdict_and_its_numbers(session, store, pytester):
    session(ALL_SORTS, "--junitxml=junit.xml")
    cases = ElementTree.parse(pytester.path / "junit.xml").iter("testcase")
    told = {case.get("name"): {p.get("name"): p.get("value") for p in case.iter("property")} for case in cases}
    claims = {f"test_{claim['id'].removeprefix('section/')}": claim for claim in written(store)["claims"]}
    assert {name: properties["verdict"] for name, properties in told.items()} == {
        name: claim["verdict"] for name, claim in claims.items()
    }
    assert float(told["test_supported"]["estimate"]) == claims["test_supported"]["evidence"]["estimate"]
    interval = claims["test_supported"]["evidence"]["interval90"]
    assert float(told["test_supported"]["interval90_lower"]) == interval["lower"]
    assert told["test_inconclusive"]["reason"] == "underpowered" and told["test_supported"]["n"] == "5"


def test_verdicts_survive_a_report_that_cannot_be_written(session, pytester):
    (pytester.path / "here").mkdir()
    (pytester.path / "here" / "claims.partial").mkdir()
    result = session(one_claim(SUPPORTED), "--claims-report=here")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["*claims.json could not be written*"])


def test_a_project_with_a_reports_folder_keeps_it_to_itself(session, pytester):
    (pytester.path / "reports").mkdir()
    session(one_claim(SUPPORTED))
    assert list((pytester.path / "reports").iterdir()) == []


def test_tables_have_a_line_a_claim_and_colours(session, monkeypatch):
    monkeypatch.setenv("COLUMNS", "20")
    lines = session(ALL_SORTS).outlines
    start = next(i for i, line in enumerate(lines) if "= claims =" in line)
    table = lines[start : next(i for i, line in enumerate(lines) if line.startswith("Record: "))]
    assert any(line.startswith("  groups  ") and line.endswith("5") for line in table)
    assert not any("MDE" in line for line in table)
    monkeypatch.setenv("FORCE_COLOR", "1")
    coloured = str(session(ALL_SORTS, "--color=yes").stdout)
    assert "\x1b[32msupported" in coloured and "\x1b[33minconclusive" in coloured and "\x1b[31merror" in coloured


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


def record_of(store):
    return json.loads((store / "reports" / "latest" / "claims.json").read_text())


def test_claims_of_an_earlier_session_stay_in_the_record(session_by_looks, tmp_path):
    session_by_looks(one_claim(SUPPORTED), "--claims-seeds=5")
    first = record_of(tmp_path)
    session_by_looks(named("other", SUPPORTED), "--claims-seeds=6")
    record = record_of(tmp_path)
    assert list(VALIDATOR.iter_errors(record)) == []
    other, claim = record["claims"]
    assert claim == first["claims"][0] and claim["judged"]["looks"] == [5] and other["judged"]["looks"] == [6]
    assert other["judged"]["created"] == record["created"] > claim["judged"]["created"]
    summary = (tmp_path / "reports" / "latest" / "summary.md").read_text()
    assert "section/other" in summary and "section/claim" not in summary
    # Judged again, it is there once.
    session_by_looks(one_claim(SUPPORTED), "--claims-seeds=6")
    assert [claim["id"] for claim in record_of(tmp_path)["claims"]] == ["section/claim", "section/other"]


def test_a_smoke_session_replaces_no_evidence(session_by_looks, tmp_path):
    session_by_looks(one_claim(SUPPORTED), "--claims-seeds=5")
    session_by_looks(one_claim(SUPPORTED) + named("other", SUPPORTED), "--claims-profile=smoke")
    statuses = {claim["id"]: claim["status"] for claim in record_of(tmp_path)["claims"]}
    assert statuses == {"section/claim": "confirmatory", "section/other": "smoke"}
    session_by_looks(named("other", SUPPORTED), "--claims-seeds=5")
    assert {claim["status"] for claim in record_of(tmp_path)["claims"]} == {"confirmatory"}


def test_a_damaged_record_is_replaced(session_by_looks, tmp_path):
    (tmp_path / "reports" / "latest").mkdir(parents=True)
    (tmp_path / "reports" / "latest" / "claims.json").write_text('{"format": 3')
    session_by_looks(one_claim(SUPPORTED), "--claims-seeds=5").assert_outcomes(passed=1)
    assert len(record_of(tmp_path)["claims"]) == 1


def test_a_fixtures_label_has_its_name_and_settings(session, store):
    session(ALL_SORTS)
    labels = {runs["fixture"]: runs["label"] for claim in written(store)["claims"] for runs in claim["runs"]}
    assert labels["other"].startswith("other: PPO(") and " epochs=1" in labels["other"]
    assert labels["trpo"].startswith("trpo: TRPO(") and " epochs=1" not in labels["trpo"]


def test_methods_and_their_meaning_are_verbose(session):
    session(one_claim(SUPPORTED, margin=0.1), "-v").stdout.fnmatch_lines(
        [
            "InvertedPendulum-v5, 128 steps, seeds 0 to 4",
            "  claim *supported *5",
            "*MDE*",
            "MDE: the distance*",
            "Page: *",
        ]
    )
    session(one_claim(SUPPORTED, margin=0.1)).stdout.no_fnmatch_line("*MDE*")

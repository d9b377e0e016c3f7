"""The result of a claim, as the plain data that `claims.json` has of it."""

import ast
import hashlib
import inspect
import math
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import asdict

import pytest

from rlclaims.claims.declaration import Claim
from rlclaims.claims.theorem import Theorem
from rlclaims.planning.profile import DEVELOPMENT_SEEDS
from rlclaims.planning.resolve import ResolvedRuns, Results
from rlclaims.pytest_plugin.session import SEEDS, STUDIES, ClaimSession, claim_name, claim_of, claim_session
from rlclaims.pytest_plugin.verdict_outcome import Judged
from rlclaims.report.record import Json, adjusted, is_theorem
from rlclaims.results.factorial import Factorial
from rlclaims.results.runs import name_of
from rlclaims.store.digest import run_digest
from rlclaims.store.run_spec import RunSpec
from rlclaims.studies.registry import Study

NIGHT = pytest.StashKey[Json | None]()
"""Stashed on an item: the evidence of a --claims-nightly session against its claim, or None."""


def result_of(item: pytest.Item, judged: Judged | None) -> Json:
    """Return a claim with its runs, its verdict and its evidence, which is None if the claim is in error."""
    declared, session = claim_of(item), claim_session(item.config)
    assert declared is not None
    family = session.families[declared.id]
    assert family.rate is not None
    # Support of a claim that is expected to be refuted turns a build red, too.
    support_rate = family.rate if declared.expected == "refuted" else session.profile.alpha
    runs = _runs(session, item, judged)
    night = {"night": item.stash.get(NIGHT, None)} if session.asked.nights is not None else {}
    return {
        **_declared(declared, claim_name(item), item.function),  # type: ignore[attr-defined]
        "test": item.nodeid,
        "status": _status(session, runs),
        "family": asdict(family),
        "correction": "Bonferroni",
        "runs": runs,
        "baselines": [
            {"fixture": fixture, "name": spec.name, "sha256": session.baseline(spec).sha256}
            for fixture, spec in session.baselines_of(item).items()
        ],
        "verdict": "error" if judged is None else str(judged.evidence.verdict),
        "evidence": None if judged is None else adjusted(judged.evidence.to_json(), support_rate, family.rate),
        **night,
    }


def properties(result: Json) -> dict[str, object]:
    """Return what JUnit's file says about a claim or a theorem, as text."""
    kind = "theorem" if is_theorem(result) else "claim"
    evidence = result if is_theorem(result) else result["evidence"] or {}
    added = {kind: result["name"], "verdict": result["verdict"], "expected": result["expected"]}
    interval = {f"interval90_{end}": bound for end, bound in evidence.get("interval90", {}).items()}
    for name in ("reason", "estimate", "interval90_lower", "interval90_upper", "n", "scope", "examples"):
        if (value := {**evidence, **interval}.get(name)) is not None:
            added[name] = value
    return {name: str(value) for name, value in added.items()}


def _status(session: ClaimSession, runs: list[Json]) -> str:
    if not session.profile.evidence:
        return "smoke"
    development = any(seed in DEVELOPMENT_SEEDS for taken in runs for seed in taken["seeds"])
    return "exploratory" if development else "confirmatory"


def _runs(session: ClaimSession, item: pytest.Item, judged: Judged | None) -> list[Json]:
    """Return the runs that a claim took, with an entry for each study of them: seeds, digests, judged numbers."""
    n = item.stash.get(SEEDS, session.profile.seeds)
    studies = item.stash.get(STUDIES, {})
    return [
        _taken(session, fixture, runs, study, n, judged)
        for fixture, runs in session.resolved(item).items()
        for study in studies.get(fixture) or (None,)
    ]


def _taken(
    session: ClaimSession, fixture: str, runs: ResolvedRuns, study: Study | None, n: int, judged: Judged | None
) -> Json:
    specs = runs.run_specs(n)
    words = "runs" if study is None else study.words
    if runs.combinations is not None:
        words = "factorial" if study is None else f"factorial of {words}"
    return {
        "fixture": fixture,
        "study": "runs" if study is None else study.kind,
        "kind": words,
        "pairs": None if study is None else study.pairs,
        "algorithm": specs[0].title,
        "label": f"{fixture}: {_label(runs)}",
        "task": runs.task,
        "iterations": runs.iterations,
        "steps": runs.steps,
        "settings": _settings(specs),
        "seeds": [spec.seed for spec in specs],
        "digests": [run_digest(spec) for spec in specs],
        "measured": [] if judged is None else _measured(judged, session.results(runs, n), study),
    }


def _label(runs: ResolvedRuns) -> str:
    """Return the algorithm with the settings that differ from the papers': `PPO(clip_epsilon=0.1)`."""
    algorithm, *others = runs.algorithms
    return type(algorithm).__name__ if others else name_of(algorithm, runs.task)


def _settings(specs: Sequence[RunSpec]) -> Json:
    """Return the settings of the runs' algorithms, without those that a factorial varies."""
    first, *others = (asdict(spec.algorithm) for spec in specs)
    return {name: value for name, value in first.items() if all(other.get(name) == value for other in others)}


def _measured(judged: Judged, results: Results, study: Study | None) -> list[Json]:
    """Return the plain quantities of some runs that a judgement is made of, seed by seed."""
    if isinstance(results, Factorial):
        return []
    of = results if study is None else results.study_results(study)
    samples = [s for comparison in judged.evidence.comparisons for s in comparison.samples if s.runs is of]
    return [
        {
            "key": key,
            "label": sample.quantity.general_label,
            "log_scale": sample.log_scale,
            "values": [value if math.isfinite(value) else None for value in sample.values],
        }
        for key, sample in {sample.quantity.general_key: sample for sample in samples}.items()
    ]


def _declared(declared: Claim, name: str, function: Callable[..., object]) -> Json:
    """Return a claim's declaration as plain data."""
    return {
        "id": declared.id,
        "name": name,
        "sha256": digest(declared, function),
        "source": str(declared.source),
        "says": declared.says,
        "means": declared.means,
        "expected": declared.expected,
        "expected_evidence": declared.evidence,
        "margin": declared.margin,
    }


def digest(declared: Claim | Theorem, function: Callable[..., object]) -> str:
    """Return a digest of a declaration and its function's code, without its comments."""
    try:
        body = ast.unparse(ast.parse(textwrap.dedent(inspect.getsource(function))))
    except (OSError, SyntaxError):  # the source is not available
        body = ""
    return hashlib.sha256(f"{declared!r}\n{body}".encode()).hexdigest()

"""Records for tests of reports: a claim of each sort, with made-up numbers."""

from copy import deepcopy

EVIDENCE = {
    "quantity": "mean over seeds of something",
    "key": "mean(something)",
    "structure": {
        "operation": "mean",
        "operands": [
            {
                "runs": "PPO",
                "study": "runs",
                "measure": "something",
                "arguments": {},
                "pairs": None,
                "window": None,
            }
        ],
        "arguments": [],
    },
    "unit": "seed",
    "region": "<= 2",
    "region_ends": [None, 2.0],
    "verdict": "supported",
    "reason": None,
    "detail": "",
    "estimate": 1.5,
    "lower": 1.2,
    "upper": 1.8,
    "interval90": {"lower": 1.3, "upper": 1.7},
    "log_scale": False,
    "method": "t",
    "guarantee": "model-based",
    "assumption": "normal seeds",
    "rearranges": False,
    "p_value": 0.001,
    "level": 0.05,
    "alpha_support": 0.05,
    "alpha_refute": 0.01,
    "paired": False,
    "correlation": None,
    "planned_looks": [6, 8],
    "looks": [{"n": 6, "estimate": 1.5, "lower": 1.2, "upper": 1.8}],
    "n": 6,
    "stop_reason": "decided",
    "margin": None,
    "can_support": True,
    "can_refute": True,
    "detects_in_sd": 1.2,
    "refutes_in_sd": 1.4,
    "mde": None,
    "mde_refuting": None,
    "n_needed": None,
    "saved_group": None,
    "seeds": [[0, 1, 2, 3, 4, 5]],
    "values": [[1.0, 1.2, 1.4, 1.6, 1.8, 2.0]],
    "diagnostics": [{"standard_deviation": 0.37, "skewness": 0.0, "ties": 0, "not_finite": 0}],
    "failures": [],
    "scope": "Hopper-v5, 100 steps, seeds 0 to 5",
    "settings": [{"task": "Hopper-v5", "steps": 100}],
    "p_adjusted": 0.001,
    "p_adjusted_rate": 0.05,
}
JUDGED = {
    "created": "2026-01-02T03:04:05.000000+00:00",
    "profile": "standard",
    "evidence": True,
    "alpha": 0.05,
    "looks": [6, 8, 10, 12],
    "first_seed": 0,
    "environment_sha256": "4" * 64,
}
CLAIM = {
    "id": "section/claim",
    "name": "section/claim",
    "sha256": "0" * 64,
    "source": "a work, section 1",
    "says": "It is so.",
    "means": "The number is so.",
    "expected": "supported",
    "expected_evidence": None,
    "margin": None,
    "test": "test_it.py::test_claim",
    "status": "confirmatory",
    "family": {"name": "test_it.py", "size": 5, "rate": 0.05},
    "correction": "Bonferroni",
    "runs": [
        {
            "fixture": "ppo",
            "study": "runs",
            "kind": "runs",
            "pairs": None,
            "algorithm": "PPO",
            "label": "ppo: PPO",
            "task": "Hopper-v5",
            "iterations": 2,
            "steps": 100,
            "seeds": [0, 1, 2, 3, 4, 5],
            "digests": ["1" * 64] * 6,
            "measured": [],
        }
    ],
    "baselines": [],
    "verdict": "supported",
    "evidence": EVIDENCE,
    "judged": JUDGED,
}


def evidence(**changes):
    return {**deepcopy(EVIDENCE), **changes}


def claim(name, verdict="supported", expected="supported", **changes):
    """A claim with evidence of its verdict."""
    made = {**deepcopy(CLAIM), "id": name, "name": name, "verdict": verdict, "expected": expected}
    made["evidence"]["verdict"] = verdict
    if verdict == "inconclusive":
        made["evidence"] |= {"reason": "underpowered", "detail": "the interval holds the bound", "p_value": 0.4}
    if verdict == "error":
        made["evidence"] = None
    return {**made, **changes}


def theorem(name, verdict="supported", **changes):
    return {
        "id": name,
        "name": name,
        "sha256": "2" * 64,
        "source": "a work, section 2",
        "says": "It is always so.",
        "means": "It is so for every number.",
        "expected": "supported",
        "expected_evidence": None,
        "test": "test_it.py::test_theorem",
        "verdict": verdict,
        "examples": 100,
        "counterexample": None,
        "judged": dict(JUDGED),
        **changes,
    }


def record(*results, **profile):
    """A session of the standard profile."""
    standard = {
        "name": "standard",
        "tasks": ["Hopper-v5"],
        "iterations": 100,
        "looks": [6, 8, 10, 12],
        "alpha": 0.05,
        "family_rate": 0.05,
        "evidence": True,
    }
    return {
        "format": 4,
        "created": JUDGED["created"],
        "profile": {**standard, **profile},
        "first_seed": 0,
        "families": [],
        "environment": {
            "python": "3.11",
            "machine": "x86_64",
            "system": "Linux",
            "packages": {"rlclaims": "0.1.0"},
            "rlclaims_sha256": "3" * 64,
        },
        "environment_sha256": JUDGED["environment_sha256"],
        "claims": [result for result in results if "examples" not in result],
        "theorems": [result for result in results if "examples" in result],
    }

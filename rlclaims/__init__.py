"""rlclaims: claims about reinforcement-learning algorithms, tested the way pytest tests functions.

Public names are imported when first used, so that having rlclaims installed costs nothing until a claim runs.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rlclaims.agents.agent import Agent
    from rlclaims.agents.algorithm import Algorithm
    from rlclaims.agents.ppo import PPO, PPOM, PPOMAtPPOsRates, PPONoClip
    from rlclaims.agents.single import SingleSeed
    from rlclaims.agents.trpo import TRPO, TRPOPlus
    from rlclaims.claims.combination import all_of, any_of
    from rlclaims.claims.declaration import Claim, Source, claim, family, source
    from rlclaims.claims.evidence import ClaimError, Evidence
    from rlclaims.claims.sample import Sample
    from rlclaims.claims.theorem import theorem
    from rlclaims.pytest_plugin.fixtures import (
        baseline,
        factorial,
        runs,
    )
    from rlclaims.results.factorial import Factorial
    from rlclaims.sim.environment import make
    from rlclaims.store.baseline import Baseline
    from rlclaims.studies.final_returns.query import FinalReturns
    from rlclaims.studies.gradients.query import Gradients
    from rlclaims.studies.landscape.query import Landscapes
    from rlclaims.studies.large_updates.query import LargeUpdates
    from rlclaims.studies.late_updates.query import LateUpdates
    from rlclaims.studies.runs import Runs
    from rlclaims.studies.twin_updates.query import TwinUpdates
    from rlclaims.studies.values.query import Values
    from rlclaims.update import Batch, Rollout, Update

_HOME = {
    "Agent": "agents.agent",
    "Algorithm": "agents.algorithm",
    "Baseline": "store.baseline",
    "Batch": "update",
    "Claim": "claims.declaration",
    "ClaimError": "claims.evidence",
    "Evidence": "claims.evidence",
    "Factorial": "results.factorial",
    "FinalReturns": "studies.final_returns.query",
    "Gradients": "studies.gradients.query",
    "Landscapes": "studies.landscape.query",
    "LargeUpdates": "studies.large_updates.query",
    "LateUpdates": "studies.late_updates.query",
    "PPO": "agents.ppo",
    "PPOM": "agents.ppo",
    "PPOMAtPPOsRates": "agents.ppo",
    "PPONoClip": "agents.ppo",
    "Rollout": "update",
    "Runs": "studies.runs",
    "Sample": "claims.sample",
    "SingleSeed": "agents.single",
    "Source": "claims.declaration",
    "TRPO": "agents.trpo",
    "TwinUpdates": "studies.twin_updates.query",
    "TRPOPlus": "agents.trpo",
    "Update": "update",
    "Values": "studies.values.query",
    "all_of": "claims.combination",
    "any_of": "claims.combination",
    "baseline": "pytest_plugin.fixtures",
    "claim": "claims.declaration",
    "factorial": "pytest_plugin.fixtures",
    "family": "claims.declaration",
    "make": "sim.environment",
    "runs": "pytest_plugin.fixtures",
    "source": "claims.declaration",
    "theorem": "claims.theorem",
}

__all__ = [
    "PPO", "PPOM", "TRPO", "Agent", "Algorithm", "Baseline", "Batch", "Claim", "ClaimError", "Evidence", "Factorial",
    "FinalReturns", "Gradients", "Landscapes", "LargeUpdates", "LateUpdates", "PPOMAtPPOsRates", "PPONoClip",
    "Rollout", "Runs", "Sample", "SingleSeed", "Source", "TRPOPlus", "TwinUpdates", "Update", "Values", "all_of",
    "any_of", "baseline", "claim", "factorial", "family", "make", "runs", "source", "theorem",
]  # fmt: skip


if not TYPE_CHECKING:  # for which any name would be one

    def __getattr__(name: str) -> Any:
        if name == "strategies":
            return import_module("rlclaims.strategies")
        if name not in _HOME:
            raise AttributeError(f"module 'rlclaims' has no attribute {name!r}")
        return getattr(import_module(f"rlclaims.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)

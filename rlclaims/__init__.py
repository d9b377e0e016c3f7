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
    from rlclaims.judging.baseline import Baseline
    from rlclaims.judging.claim import Claim, Source, claim, family, source
    from rlclaims.judging.evidence import ClaimError, Evidence
    from rlclaims.judging.factorial import Factorial
    from rlclaims.judging.final_returns import FinalReturns
    from rlclaims.judging.gradients import Gradients
    from rlclaims.judging.joined import all_of, any_of
    from rlclaims.judging.landscapes import Landscapes
    from rlclaims.judging.runs import Runs
    from rlclaims.judging.samples import Sample
    from rlclaims.judging.theorem import theorem
    from rlclaims.judging.twins import TwinUpdates
    from rlclaims.judging.update_quality import LargeUpdates, LateUpdates
    from rlclaims.judging.values import Values
    from rlclaims.pytest_plugin.fixtures import (
        baseline,
        factorial,
        final_returns,
        gradients,
        landscape,
        large_updates,
        late_updates,
        runs,
        twins,
        values,
    )
    from rlclaims.sim.environment import make
    from rlclaims.update import Batch, Rollout, Update

_HOME = {
    "Agent": "agents.agent",
    "Algorithm": "agents.algorithm",
    "Baseline": "judging.baseline",
    "Batch": "update",
    "Claim": "judging.claim",
    "ClaimError": "judging.evidence",
    "Evidence": "judging.evidence",
    "Factorial": "judging.factorial",
    "FinalReturns": "judging.final_returns",
    "Gradients": "judging.gradients",
    "Landscapes": "judging.landscapes",
    "LargeUpdates": "judging.update_quality",
    "LateUpdates": "judging.update_quality",
    "PPO": "agents.ppo",
    "PPOM": "agents.ppo",
    "PPOMAtPPOsRates": "agents.ppo",
    "PPONoClip": "agents.ppo",
    "Rollout": "update",
    "Runs": "judging.runs",
    "Sample": "judging.samples",
    "SingleSeed": "agents.single",
    "Source": "judging.claim",
    "TRPO": "agents.trpo",
    "TwinUpdates": "judging.twins",
    "TRPOPlus": "agents.trpo",
    "Update": "update",
    "Values": "judging.values",
    "all_of": "judging.joined",
    "any_of": "judging.joined",
    "baseline": "pytest_plugin.fixtures",
    "claim": "judging.claim",
    "factorial": "pytest_plugin.fixtures",
    "family": "judging.claim",
    "final_returns": "pytest_plugin.fixtures",
    "gradients": "pytest_plugin.fixtures",
    "landscape": "pytest_plugin.fixtures",
    "large_updates": "pytest_plugin.fixtures",
    "late_updates": "pytest_plugin.fixtures",
    "make": "sim.environment",
    "runs": "pytest_plugin.fixtures",
    "source": "judging.claim",
    "theorem": "judging.theorem",
    "twins": "pytest_plugin.fixtures",
    "values": "pytest_plugin.fixtures",
}

__all__ = [
    "PPO", "PPOM", "TRPO", "Agent", "Algorithm", "Baseline", "Batch", "Claim", "ClaimError", "Evidence", "Factorial",
    "FinalReturns", "Gradients", "Landscapes", "LargeUpdates", "LateUpdates", "PPOMAtPPOsRates", "PPONoClip",
    "Rollout", "Runs", "Sample", "SingleSeed", "Source", "TRPOPlus", "TwinUpdates", "Update", "Values", "all_of",
    "any_of", "baseline", "claim", "factorial", "family", "final_returns", "gradients", "landscape", "large_updates",
    "late_updates", "make", "runs", "source", "theorem", "twins", "values",
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

"""Measure what the gate catches: planted violations in graded doses, and harmless refactorings that must stay green.

python benchmarks/mutants.py --store .rlclaims             (some forty minutes on two cores with an empty store)

PPO and TRPO with the papers' settings for Hopper-v5 are trained for 30 updates on ten development seeds, 10,000 and up.
The gate's bounds are a quarter above these runs' means over seeds, except for TRPO's constraint, whose bound is delta.
Then the gate judges each mutant and refactoring on ten seeds from 0 on, as
`pytest --pyargs rlclaims.gate --claims-subject mutants:NAME` does, with runs that are already in the store. A mutant is
caught if any test is red.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any
from xml.etree import ElementTree

import torch
from torch import Tensor

from rlclaims.agents.ppo import PPO
from rlclaims.agents.trpo import TRPO
from rlclaims.execution.cohorts import plan
from rlclaims.execution.pool import cores
from rlclaims.execution.train import execute
from rlclaims.store.run_spec import RunSpec
from rlclaims.store.store import Store

TASK, ITERATIONS, SEEDS, DEVELOPMENT = "Hopper-v5", 30, 10, 10_000
SLACK = 1.25
"""Factor from a development mean to the gate's bound."""
DELTA = 0.13
"""Bound of TRPO's constraint, also for mutants with another delta."""


@dataclass(frozen=True)
class SignFlipped(PPO):
    def policy_loss(self, ratio_SB: Tensor, advantage_SB: Tensor) -> Tensor:
        return super().policy_loss(ratio_SB, -advantage_SB)


@dataclass(frozen=True)
class OldLogProbsRecomputed(PPO):
    """PPO with old log densities computed after each step, so that every ratio is 1 and nothing is ever clipped."""

    def policy_loss(self, ratio_SB: Tensor, advantage_SB: Tensor) -> Tensor:
        return super().policy_loss(ratio_SB / ratio_SB.detach(), advantage_SB)


@dataclass(frozen=True)
class ClippedOnTheWrongSide(PPO):
    def policy_loss(self, ratio_SB: Tensor, advantage_SB: Tensor) -> Tensor:
        assert self.clip_epsilon is not None
        clipped_SB = ratio_SB.clamp(1 - self.clip_epsilon, 1 + self.clip_epsilon)
        return -torch.maximum(ratio_SB * advantage_SB, clipped_SB * advantage_SB).mean(1)


@dataclass(frozen=True)
class LineSearchSkipped(TRPO):
    def _line_search(self, _old_SP: Tensor, full_step_SP: Tensor, *_: object) -> Tensor:
        return full_step_SP


@dataclass(frozen=True)
class KLReversed(TRPO):
    """TRPO whose line search keeps KL(new || old) within delta."""

    def improve(self, agent: Any, batch: Any) -> None:
        old = agent.policy()(batch.observation_SBO)
        kl = type(old).kl
        try:
            type(old).kl = lambda one, other: kl(other, one)
            super().improve(agent, batch)
        finally:
            type(old).kl = kl


@dataclass(frozen=True)
class ObjectiveByCases(PPO):
    """PPO's objective, written case by case."""

    def policy_loss(self, ratio_SB: Tensor, advantage_SB: Tensor) -> Tensor:
        assert self.clip_epsilon is not None
        high_SB, low_SB = ratio_SB.clamp(max=1 + self.clip_epsilon), ratio_SB.clamp(min=1 - self.clip_epsilon)
        return -(torch.where(advantage_SB > 0, high_SB, low_SB) * advantage_SB).mean(1)


@dataclass(frozen=True)
class ObjectiveByASum(PPO):
    """PPO's objective, as a sum divided by the number of pairs."""

    def policy_loss(self, ratio_SB: Tensor, advantage_SB: Tensor) -> Tensor:
        assert self.clip_epsilon is not None
        clipped_SB = ratio_SB.clamp(1 - self.clip_epsilon, 1 + self.clip_epsilon)
        least_SB = torch.minimum(advantage_SB * clipped_SB, advantage_SB * ratio_SB)
        return -least_SB.sum(1) / ratio_SB.shape[1]


@dataclass(frozen=True)
class ObjectiveInDoublePrecision(PPO):
    def policy_loss(self, ratio_SB: Tensor, advantage_SB: Tensor) -> Tensor:
        return super().policy_loss(ratio_SB.double(), advantage_SB.double()).float()


@dataclass(frozen=True)
class Renamed(PPO):
    pass


@dataclass(frozen=True)
class RenamedTRPO(TRPO):
    pass


ppo, trpo = PPO.for_task(TASK), TRPO.for_task(TASK)
settings = vars(ppo)
settings_of_trpo = vars(trpo)

MUTANTS: dict[str, PPO | TRPO] = {
    "rate_x1_5": replace(ppo, learning_rate=1.5 * ppo.learning_rate),
    "rate_x2": replace(ppo, learning_rate=2 * ppo.learning_rate),
    "rate_x4": replace(ppo, learning_rate=4 * ppo.learning_rate),
    "clipping_removed": replace(ppo, clip_epsilon=None),
    "clip_doubled": replace(ppo, clip_epsilon=0.4),
    "clipped_on_the_wrong_side": ClippedOnTheWrongSide(**settings),
    "old_log_probs_recomputed": OldLogProbsRecomputed(**settings),
    "sign_flipped": SignFlipped(**settings),
    "advantages_not_normalised": replace(ppo, normalize_advantages=False),
    "annealing_dropped": replace(ppo, anneal_learning_rates=False),
    "epochs_doubled": replace(ppo, epochs=2 * ppo.epochs),
    "epochs_x4": replace(ppo, epochs=4 * ppo.epochs),
    "line_search_skipped": LineSearchSkipped(**settings_of_trpo),
    "kl_reversed": KLReversed(**settings_of_trpo),
    "delta_x1_5": replace(trpo, delta=1.5 * trpo.delta),
    "delta_x2": replace(trpo, delta=2 * trpo.delta),
}
REFACTORINGS: dict[str, PPO | TRPO] = {
    "ppo": ppo,
    "trpo": trpo,
    "objective_by_cases": ObjectiveByCases(**settings),
    "objective_by_a_sum": ObjectiveByASum(**settings),
    "objective_in_double_precision": ObjectiveInDoublePrecision(**settings),
    "renamed": Renamed(**settings),
    "renamed_trpo": RenamedTRPO(**settings_of_trpo),
}
OTHER_SEEDS = 1000, 2000
"""First seeds of further blocks on which the unchanged algorithms are judged."""
globals().update(MUTANTS | REFACTORINGS)  # so that `--claims-subject mutants:NAME` finds them


def specs_of(algorithm: PPO | TRPO, first: int) -> list[RunSpec]:
    return [RunSpec(algorithm, TASK, ITERATIONS, first + seed) for seed in range(SEEDS)]


def bounds(store: Store, algorithm: PPO | TRPO) -> dict[str, float]:
    """Return the gate's bounds for an algorithm and its mutants."""
    measured = [store.measured(spec).series for spec in specs_of(algorithm, DEVELOPMENT)]
    bounds = {
        name: SLACK * fmean(fmean(series[measure]) for series in measured)
        for name, measure in (("mean_kl", "kl_old_new/mean/training"), ("exceedance", "ratio/exceedance/training"))
    }
    agreement = fmean(
        fmean(series["kl_old_new/mean/held_out"]) / fmean(series["kl_old_new/mean/training"][::10])
        for series in measured
    )
    bounds["held_out_agreement"] = SLACK * agreement
    return bounds | ({"constraint": DELTA} if isinstance(algorithm, TRPO) else {})


def failed_tests(name: str, bounds: dict[str, float], store: Path, first: int) -> list[str]:
    """Run the gate on one algorithm and return the names of its failed tests."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            [
                sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--pyargs", "rlclaims.gate",
                f"--claims-subject=mutants:{name}", f"--claims-first-seed={first}", f"--claims-store={store}",
                f"--claims-report={folder}", "--claims-no-figures", "-k", "not reproduces",
                f"--junitxml={folder}/tests",
                *(f"--claims-bound={bound}={value!r}" for bound, value in bounds.items()),
            ],
            cwd=Path(__file__).parent,
            stdout=subprocess.DEVNULL,
        )  # fmt: skip
        tests = ElementTree.parse(Path(folder) / "tests").iter("testcase")
        failed = [test.attrib["name"] for test in tests if test.find("failure") is not None]
        return [name.removeprefix("test_").partition("[")[0].replace("_", "-") for name in failed]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", type=Path, default=Path(".rlclaims"), help="folder of runs (default: .rlclaims)")
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    store = Store(options.store.absolute())
    store.prepare()
    # Not from __main__: the gate's processes find these classes in the module `mutants`.
    import mutants

    algorithms = mutants.MUTANTS | mutants.REFACTORINGS
    specs = [spec for algorithm in (ppo, trpo) for spec in specs_of(algorithm, DEVELOPMENT)]
    specs += [spec for algorithm in algorithms.values() for spec in specs_of(algorithm, 0)]
    execute(plan(specs, store), store, cores(), lambda _: None)
    original_bounds = {kind: bounds(store, algorithm) for kind, algorithm in ((PPO, ppo), (TRPO, trpo))}
    for kind, values in original_bounds.items():
        print(f"bounds of {kind.__name__}:", ", ".join(f"{name} {value:.4g}" for name, value in values.items()))
    judged = [(name, algorithm, 0) for name, algorithm in algorithms.items()]
    judged += [(name, algorithms[name], first) for name in ("ppo", "trpo") for first in OTHER_SEEDS]
    for name, algorithm, first in judged:
        original = TRPO if isinstance(algorithm, TRPO) else PPO
        failed = failed_tests(name, original_bounds[original], store.root, first)
        kind = "mutant" if name in MUTANTS else "harmless"
        steps = SEEDS * ITERATIONS * algorithm.steps
        outcome = f"red: {', '.join(failed)}" if failed else "green"
        print(f"{kind:9}{name:32}seeds from {first:<6}{steps:>9,} steps   {outcome}", flush=True)


if __name__ == "__main__":
    main()

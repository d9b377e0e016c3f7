"""Time a few iterations of each algorithm on this machine; nothing is stored.

The job holds one run of each algorithm, of one task and number of steps. The message is one JSON object: for each of
the sizes asked for, the seconds that it takes to collect the steps of that many seeds of every algorithm, and that each
algorithm takes to learn from them; the number of parameters of a policy; and of numbers in a pair with its advantage.
For an external run it is the seconds that one iteration and three iterations take.
"""

import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

from rlclaims.adapters.external import ExternalTraining, train_external
from rlclaims.agents.algorithm import Algorithm
from rlclaims.execution.worker_process import receive
from rlclaims.sim.tasks import task_named
from rlclaims.store.run_spec import RunSpec
from rlclaims.training import Cohort, Group


class _Timed(Cohort):
    """Training that times its parts, without measurements on held-out pairs: they cost what collecting does."""

    def __init__(self, specs: Sequence[RunSpec], seeds: int, iterations: int) -> None:
        groups = [Group(spec.algorithm, tuple(range(seeds))) for spec in specs if isinstance(spec.algorithm, Algorithm)]
        super().__init__(task_named(specs[0].task), groups, iterations)
        self.seconds: list[float] = []
        """Seconds of the last iteration: collecting, then each algorithm's learning."""
        self._last = 0.0

    def _iterate(self, iteration: int) -> None:
        self.seconds = []
        self._last = time.perf_counter()
        super()._iterate(iteration)

    def _collect(self, *args: Any, **how: Any) -> Any:
        rollout = super()._collect(*args, **how)
        self._note()
        return rollout

    def _collect_held_out(self, iteration: int) -> Any:  # noqa: ARG002
        return None

    def _record(self, which: slice, agent: Any, measured: Mapping[str, Any], iteration: int) -> None:
        super()._record(which, agent, measured, iteration)
        self._note()

    def _finish_episodes(self) -> None:
        pass

    def _note(self) -> None:
        now = time.perf_counter()
        self.seconds.append(now - self._last)
        self._last = now


def _external(algorithm: ExternalTraining, task: str) -> dict[int, float]:
    seconds = {}
    for iterations in (1, 1, 3):  # the first time costs more
        started = time.perf_counter()
        train_external(algorithm, task, 0, iterations)
        seconds[iterations] = time.perf_counter() - started
    return seconds


def main() -> None:
    """Read a job from standard input and do it."""
    payload, specs, output = receive()
    if isinstance(specs[0].algorithm, ExternalTraining):
        print(json.dumps(_external(specs[0].algorithm, specs[0].task)), file=output, flush=True)
        return
    _Timed(specs, 1, 1).train()  # the first time costs more
    sizes = {}
    for size in payload["sizes"]:
        cohort = _Timed(specs, size, 1)
        cohort.train()
        sizes[size] = cohort.seconds
    parameters = [len(record.policy_parameters[0]) for record in cohort.records[:: payload["sizes"][-1]]]
    simulator = cohort._simulator
    pair = simulator.n_observation + simulator.n_action + 1
    message = {"seconds": sizes, "parameters": parameters, "numbers_per_pair": pair}
    print(json.dumps(message), file=output, flush=True)


if __name__ == "__main__":
    main()

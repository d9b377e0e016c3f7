"""One process that measures with finished runs.

The job holds runs, of each a kind of study and its pairs, and how many of them to skip. It speaks one JSON object a
line on standard output: {"steps": n} now and then, for steps of the simulator since the last time, and when it is
done with a run {"run": its place, "failure": why it has no numbers, or null, "series": {name: numbers}}.
"""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rlclaims.agents.algorithm import Algorithm
from rlclaims.execution.worker_process import receive
from rlclaims.store.store import Store
from rlclaims.studies.kinds import SimulationFailure, measured

SAY_EVERY_SECONDS = 2.0


class Steps:
    """Steps of the simulator, told now and then."""

    def __init__(self, say: Callable[..., None]) -> None:
        self._say, self._made, self._said = say, 0, time.monotonic()

    def __call__(self, steps: int) -> None:
        """Count some."""
        self._made += steps
        if time.monotonic() - self._said >= SAY_EVERY_SECONDS:
            self.tell()

    def tell(self) -> None:
        """Tell those since the last time."""
        if self._made:
            self._say(steps=self._made)
        self._made, self._said = 0, time.monotonic()


def main() -> None:
    """Read a job from standard input and do it."""
    job, specs, answers = receive()
    store = Store(Path(job["store"]))

    def say(**answer: Any) -> None:
        print(json.dumps(answer), file=answers, flush=True)

    steps = Steps(say)
    for place, (spec, (kind, pairs)) in enumerate(zip(specs, job["studies"], strict=True)):
        if place < job.get("skip", 0):
            continue
        start, history = store.start(spec), store.history(spec)
        failure, series = None, {}
        assert isinstance(spec.algorithm, Algorithm)
        try:
            series = measured(kind, pairs, spec.algorithm, spec.task, spec.iterations, start, history, steps)
        except SimulationFailure as error:
            failure = str(error)
        steps.tell()
        say(run=place, failure=failure, series=series)


if __name__ == "__main__":
    main()

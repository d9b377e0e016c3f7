"""One process that computes studies of finished runs.

Its input lists runs and jobs, and how many jobs to skip. A job names a kind of study, its pairs, which of the kind's
jobs it is, and the places of its runs. It writes one JSON object per line to standard output: now and then
{"steps": n}, the simulator steps since the last message; and after each job {"job": its place, "failure": why it has no
numbers, or null, "series": [{name: numbers} for each run]}.
"""

import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from rlclaims.agents.algorithm import Algorithm
from rlclaims.execution.worker_process import receive
from rlclaims.store.run_spec import RunSpec
from rlclaims.store.store import Store
from rlclaims.studies.kind import RunData
from rlclaims.studies.registry import KINDS
from rlclaims.studies.replayed_run import Numbers, SimulationFailure

REPORT_EVERY_SECONDS = 2.0


class Steps:
    """Counts simulator steps, and reports them now and then."""

    def __init__(self, send: Callable[..., None]) -> None:
        self._send = send
        self._steps = 0
        self._reported = time.monotonic()

    def __call__(self, steps: int) -> None:
        """Count some steps."""
        self._steps += steps
        if time.monotonic() - self._reported >= REPORT_EVERY_SECONDS:
            self.report()

    def report(self) -> None:
        """Report the steps since the last report."""
        if self._steps:
            self._send(steps=self._steps)
        self._steps = 0
        self._reported = time.monotonic()


def main() -> None:
    """Read jobs from standard input and do them."""
    payload, specs, output = receive()
    store = Store(Path(payload["store"]))

    def send(**message: Any) -> None:
        print(json.dumps(message), file=output, flush=True)

    steps = Steps(send)
    group: object = None
    runs: list[RunData] = []
    for place, job in enumerate(payload["jobs"]):
        if place < payload.get("skip", 0):
            continue
        previous = group
        group = (job["kind"], job["pairs"], job["runs"])
        if group != previous:  # otherwise reuse the arrays that were read
            runs = [run_data(store, specs[i]) for i in job["runs"]]
        failure = None
        series: list[Numbers] = []
        try:
            series = KINDS[job["kind"]].compute(runs, job["pairs"], job["name"], steps)
        except SimulationFailure as error:
            failure = str(error)
        steps.report()
        send(job=place, failure=failure, series=series)


def run_data(store: Store, spec: RunSpec) -> RunData:
    """Return a finished run of the store, to be read when its arrays are needed."""
    assert isinstance(spec.algorithm, Algorithm)
    return RunData(
        algorithm=spec.algorithm,
        task=spec.task,
        iterations=spec.iterations,
        read_start=partial(store.start, spec),
        read_history=partial(store.history, spec),
    )


if __name__ == "__main__":
    main()

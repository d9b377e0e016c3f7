"""One training process: it trains the runs of its job, a cohort or external runs, into the store.

Runs that the store has are skipped: another process with the same job may have been lost. It writes one JSON object a
line to standard output: {"iteration": k} after each iteration, {"stored": n} at the end; {"warning": a sentence} on a
damaged file that it moved away, {"store_error": a sentence} if the store cannot be written.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rlclaims.adapters.external import ExternalTraining, train_external
from rlclaims.execution.cohorts import groups
from rlclaims.execution.worker_process import receive
from rlclaims.sim.tasks import task_named
from rlclaims.store.resume import KEEP_EVERY_SECONDS, Arrays, forget, keeping, resume_point
from rlclaims.store.run_spec import RunSpec
from rlclaims.store.store import Store, StoreError
from rlclaims.training import Cohort


def main() -> None:
    """Read a job from standard input and do it."""
    payload, specs, output = receive()

    def send(**message: Any) -> None:
        print(json.dumps(message), file=output, flush=True)

    store = Store(Path(payload["store"]), lambda sentence: send(warning=sentence))
    for spec in specs:
        # Computes the digests now: a source that is edited during training must not change the names of these runs.
        store.measurements(spec)
    wanted = len(specs)
    specs = [spec for spec in specs if not (store.has(spec) and store.is_whole(spec))]
    if not specs:
        send(stored=wanted)
        return
    first = specs[0]
    try:
        if isinstance(first.algorithm, ExternalTraining):
            for done, spec in enumerate(specs, start=1):
                store.put(spec, train_external(first.algorithm, spec.task, spec.seed, spec.iterations))
                send(iteration=done * spec.iterations // len(specs))
        else:
            train(store, specs, lambda done: send(iteration=done))
        send(stored=wanted)
    except StoreError as error:
        send(store_error=str(error))


def train(
    store: Store,
    specs: Sequence[RunSpec],
    on_iteration: Callable[[int], None],
    keep_every_seconds: float = KEEP_EVERY_SECONDS,
) -> None:
    """Train runs that can step together into the store, each from its last resume point if it has one.

    Args:
        store: the store, for finished runs and for resume points.
        specs: the runs.
        on_iteration: called after each iteration with the mean number of iterations that the runs have completed.
        keep_every_seconds: time between resume points.

    Raises:
        StoreError: a finished run cannot be written.
    """
    points = {spec: resume_point(store, spec) for spec in specs}
    done = {spec: iteration for spec, (iteration, _) in points.items()}
    # Runs with the same number of iterations train together; numbers differ if cohorts were split differently before.
    for first_iteration in sorted(set(done.values()), reverse=True):
        together = {
            spec: points.pop(spec)[1] for spec in specs if spec in points and points[spec][0] == first_iteration
        }

        def report(specs_done: Iterable[RunSpec], iteration: int) -> None:
            done.update(dict.fromkeys(specs_done, iteration))
            on_iteration(sum(done.values()) // len(specs))

        _train_together(store, together, first_iteration, report, keep_every_seconds)


def _train_together(
    store: Store,
    runs: Mapping[RunSpec, Arrays],
    first_iteration: int,
    report: Callable[[Iterable[RunSpec], int], None],
    keep_every_seconds: float,
) -> None:
    """Train runs in lockstep, each from its state after `first_iteration` iterations."""
    first = next(iter(runs))
    cohort_groups = groups(list(runs))
    by_run = {(spec.algorithm, spec.seed): spec for spec in runs}
    specs = [by_run[group.algorithm, seed] for group in cohort_groups for seed in group.seeds]
    cohort = Cohort(task_named(first.task), cohort_groups, first.iterations)
    if first_iteration:
        cohort.load_state_dict(first_iteration, [runs[spec] for spec in specs])
    keep = keeping(store, specs, cohort, keep_every_seconds)

    def after_iteration(iteration: int) -> None:
        report(specs, iteration)
        keep()

    for spec, record in zip(specs, cohort.train(after_iteration), strict=True):
        store.put(spec, record)
        forget(store, spec)


if __name__ == "__main__":
    main()

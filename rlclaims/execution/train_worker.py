"""One training process: given a job, it trains a cohort, or external runs, into the store.

What the store has it leaves out: another process with the same job may have been lost. It speaks one JSON object a
line on standard output: {"iteration": k} after each iteration, {"stored": n} at the end; {"told": a sentence} on what
it found in the store and set aside, {"broken": a sentence} if that cannot be written.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rlclaims.adapters.external import ExternalTraining, trained
from rlclaims.execution.cohorts import groups
from rlclaims.execution.worker_process import receive
from rlclaims.sim.tasks import task_named
from rlclaims.store.resume import KEEP_EVERY_SECONDS, Arrays, forget, keeping, resume_point
from rlclaims.store.run_spec import RunSpec
from rlclaims.store.store import Store, StoreError
from rlclaims.training import Cohort


def main() -> None:
    """Read a job from standard input and do it."""
    job, specs, answers = receive()

    def say(**answer: Any) -> None:
        print(json.dumps(answer), file=answers, flush=True)

    store = Store(Path(job["store"]), lambda sentence: say(told=sentence))
    for spec in specs:
        # Names the code as it is now: sources edited while this trains must not give their name to its runs.
        store.measurements(spec)
    wanted, specs = len(specs), [spec for spec in specs if not (store.has(spec) and store.is_whole(spec))]
    if not specs:
        say(stored=wanted)
        return
    (first, *_) = specs
    try:
        if isinstance(first.algorithm, ExternalTraining):
            for done, spec in enumerate(specs, start=1):
                store.put(spec, trained(first.algorithm, spec.task, spec.seed, spec.iterations))
                say(iteration=done * spec.iterations // len(specs))
        else:
            train(store, specs, lambda done: say(iteration=done))
        say(stored=wanted)
    except StoreError as error:
        say(broken=str(error))


def train(
    store: Store,
    specs: Sequence[RunSpec],
    on_iteration: Callable[[int], None],
    keep_every_seconds: float = KEEP_EVERY_SECONDS,
) -> None:
    """Train runs that can step together into the store, each on from where it stood when it was last kept, if it was.

    Args:
        store: where they go, and where they are kept until then.
        specs: the runs.
        on_iteration: told after each iteration how many all of the runs have, on average.
        keep_every_seconds: how often they are kept.

    Raises:
        StoreError: a finished run cannot be written.
    """
    points = {spec: resume_point(store, spec) for spec in specs}
    done = {spec: iteration for spec, (iteration, _) in points.items()}
    # Those that stood at the same iteration go on together; there are several such if they were split otherwise before.
    for begun in sorted(set(done.values()), reverse=True):
        together = {spec: points.pop(spec)[1] for spec in specs if spec in points and points[spec][0] == begun}

        def tell(specs_done: Iterable[RunSpec], iteration: int) -> None:
            done.update(dict.fromkeys(specs_done, iteration))
            on_iteration(sum(done.values()) // len(specs))

        _train_together(store, together, begun, tell, keep_every_seconds)


def _train_together(
    store: Store,
    runs: Mapping[RunSpec, Arrays],
    begun: int,
    tell: Callable[[Iterable[RunSpec], int], None],
    keep_every_seconds: float,
) -> None:
    """Train runs in lockstep, each on from what it stood at after so many iterations."""
    (first, *_), cohort_groups = runs, groups(list(runs))
    by_run = {(spec.algorithm, spec.seed): spec for spec in runs}
    specs = [by_run[group.algorithm, seed] for group in cohort_groups for seed in group.seeds]
    cohort = Cohort(task_named(first.task), cohort_groups, first.iterations)
    if begun:
        cohort.load_state_dict(begun, [runs[spec] for spec in specs])
    keep = keeping(store, specs, cohort, keep_every_seconds)

    def after_iteration(iteration: int) -> None:
        tell(specs, iteration)
        keep()

    for spec, record in zip(specs, cohort.train(after_iteration), strict=True):
        store.put(spec, record)
        forget(store, spec)


if __name__ == "__main__":
    main()

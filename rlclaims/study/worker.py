"""One training process: `rlclaims.study.worker`, given a job, trains a cohort, or foreign runs, into the store.

What the store has it leaves out: another process with the same job may have been lost. It speaks one JSON object a
line on standard output: {"iteration": k} after each iteration, {"stored": n} at the end.
"""

import json
from pathlib import Path

from rlclaims.adapters.foreign import Foreign, trained
from rlclaims.sim.tasks import task_named
from rlclaims.study.plan import groups
from rlclaims.study.process import receive
from rlclaims.study.store import Store
from rlclaims.training import Cohort


def main() -> None:
    """Read a job from standard input and do it."""
    job, specs, answers = receive()
    store = Store(Path(job["store"]))

    def say(**answer: int) -> None:
        print(json.dumps(answer), file=answers, flush=True)

    for spec in specs:
        # Names the code as it is now: sources edited while this trains must not give their name to its runs.
        store.measurements(spec)
    wanted, specs = len(specs), [spec for spec in specs if not store.has(spec)]
    if not specs:
        say(stored=wanted)
        return
    (first, *_) = specs
    if isinstance(first.algorithm, Foreign):
        for done, spec in enumerate(specs, start=1):
            store.put(spec, trained(first.algorithm, spec.task, spec.seed, spec.iterations))
            say(iteration=done * spec.iterations // len(specs))
    else:
        cohort = Cohort(task_named(first.task), groups(specs), first.iterations)
        by_run = {(spec.algorithm, spec.seed): spec for spec in specs}
        for record in cohort.train(lambda done: say(iteration=done)):
            store.put(by_run[record.algorithm, record.seed], record)
    say(stored=wanted)


if __name__ == "__main__":
    main()

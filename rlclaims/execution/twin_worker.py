"""One process that makes updates again.

The job holds finished runs of one algorithm, task and length, some of `twin_updates.compute.parts`, and how many of
these to skip. After each it says {name: one list per run}, a JSON object a line.
"""

import json
from pathlib import Path

from rlclaims.agents.ppo import PPO
from rlclaims.execution.worker_process import receive
from rlclaims.store.store import Store
from rlclaims.studies.twin_updates.compute import Twins, measured


def main() -> None:
    """Read a job from standard input and do it."""
    job, specs, answers = receive()
    store, algorithm = Store(Path(job["store"])), specs[0].algorithm
    assert isinstance(algorithm, PPO)
    twins = Twins(algorithm, specs[0].iterations, [store.start(spec) for spec in specs])
    for part in job["parts"][job.get("skip", 0) :]:
        series = {name: value_SK.tolist() for name, value_SK in measured(twins, part).items()}
        print(json.dumps(series), file=answers, flush=True)


if __name__ == "__main__":
    main()

"""A process that repeatedly trains small runs in children that it kills at random, and prints a summary.

`python killed.py FOLDER KILLS SECONDS`: after that many kills or seconds, the last child may finish. Children are
forked, because importing torch takes longer than training these runs. The summary is one line of JSON: kills, children
that found a checkpoint, and rounds, each with a finished store of its own. FOLDER/whole is a store without kills.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path

import numpy as np
import torch

from rlclaims.agents.ppo import PPO
from rlclaims.agents.trpo import TRPO
from rlclaims.execution.cohorts import plan
from rlclaims.execution.train_worker import train
from rlclaims.store.resume import tidy
from rlclaims.store.run_spec import RunSpec
from rlclaims.store.store import Store

SMALL = {"steps": 32, "minibatches": 2, "value_epochs": 1, "hidden": (8,)}
SPECS = [
    *(RunSpec(PPO(epochs=1, **SMALL), "InvertedPendulum-v5", 14, seed) for seed in (3, 4)),
    RunSpec(TRPO(**SMALL), "InvertedPendulum-v5", 14, 3),
]


def child(store, keep_every_seconds):
    """Train the runs missing from a store in a forked process, and return its id."""
    pid = os.fork()
    if pid == 0:
        missing = plan(SPECS, store).missing
        if missing:
            train(store, missing, lambda _: None, keep_every_seconds)
        tidy(store, SPECS)
        os._exit(0)
    return pid


def main(folder, kills, seconds):
    torch.set_num_threads(1)
    ends, rng = time.monotonic() + seconds, np.random.default_rng(30)
    whole = Store(folder / "whole")
    whole.prepare()
    plan(SPECS, whole)  # names runs, which need not be done in every child
    begun = time.monotonic()
    assert os.waitstatus_to_exitcode(os.waitpid(child(whole, 3600.0), 0)[1]) == 0
    took = time.monotonic() - begun
    made = went_on = rounds = 0
    while True:
        store = Store(folder / f"round-{rounds}")
        store.prepare()
        finished = False
        while not finished:
            went_on += (store.root / "unfinished").exists()
            pid = child(store, 0.0)
            if made < kills and time.monotonic() < ends:
                # Often before the first checkpoint, sometimes after all runs are stored.
                time.sleep(took * rng.uniform(0, 0.8))
                os.kill(pid, signal.SIGKILL)
            finished = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
            made += not finished
        rounds += 1
        if made >= kills or time.monotonic() >= ends:
            break
    print(
        json.dumps(
            {"kills": made, "went_on": went_on, "rounds": rounds, "in_time": time.monotonic() < ends, "took": took}
        )
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))

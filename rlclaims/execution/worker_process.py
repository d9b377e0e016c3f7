"""Processes that are given a job about runs: JSON on standard input, answers on standard output, and a log.

A process of its own for each core has no lock to share with the others, and nothing of pytest's to disturb.
"""

import gc
import json
import os
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TextIO

from rlclaims.execution.child_process import Child, begin
from rlclaims.store.digest import run_digest
from rlclaims.store.rounding import arithmetic
from rlclaims.store.run_spec import RunSpec


def start(module: str, specs: Sequence[RunSpec], **told: Any) -> Child:
    """A process on this machine that runs a module on a job about runs; it answers on its standard output.

    Args:
        module: what is run; it reads the job by `receive`.
        specs: the runs.
        **told: what else it is told, as plain data.
    """
    return begin(module, job_text(specs, told))


def job_text(specs: Sequence[RunSpec], told: dict[str, Any]) -> str:
    """A job about runs, as one line of JSON."""
    job = {
        **told,
        "runs": [spec.to_json() for spec in specs],
        "digests": [run_digest(spec) for spec in specs],
        "arithmetic": arithmetic(),
        "sys_path": sys.path,
        "folder": str(Path.cwd()),
    }
    return json.dumps(job)


def receive() -> tuple[dict[str, Any], list[RunSpec], TextIO]:
    """In such a process: the job, its runs, and where answers go; what anything else prints goes to the log.

    It ends where a run would not be what was asked for: with the answer {"unlike": how it rounds} on a processor that
    rounds otherwise, and in words where the run's code or libraries are others.
    """
    job = json.loads(sys.stdin.readline())
    parent = os.dup(0)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    sys.path[:] = job["sys_path"]
    if job["arithmetic"] != arithmetic():
        print(json.dumps({"unlike": arithmetic()}), file=answers, flush=True)
        raise SystemExit
    specs = [RunSpec.from_json(data) for data in job["runs"]]
    for spec, digest in zip(specs, job["digests"], strict=True):
        if run_digest(spec) != digest:
            raise SystemExit(
                f"{spec.name} has another name here than planned: its source was edited meanwhile, or this machine has "
                "other code or other versions of the libraries"
            )
    gc.freeze()  # what is imported stays, and the collector need not look through it over and over
    return job, specs, answers


def _end_with(parent: int) -> None:
    """End this process, and what it runs itself, when the other end of a pipe is closed: nobody waits for it then."""
    while os.read(parent, 1):
        pass
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(1)

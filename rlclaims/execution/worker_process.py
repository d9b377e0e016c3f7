"""Worker processes with a job about runs: JSON on standard input, messages on standard output, and a log.

One process per core shares no lock with the others, and nothing with pytest.
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

from rlclaims.execution.child_process import Child, spawn
from rlclaims.store.digest import run_digest
from rlclaims.store.rounding import arithmetic
from rlclaims.store.run_spec import RunSpec


def start(module: str, specs: Sequence[RunSpec], **payload: Any) -> Child:
    """Start a process on this machine that runs a module on a job about runs; it writes to its standard output.

    Args:
        module: the module to run; it reads the job by `receive`.
        specs: the runs.
        **payload: the rest of the job, as plain data.
    """
    return spawn(module, job_text(specs, payload))


def job_text(specs: Sequence[RunSpec], payload: dict[str, Any]) -> str:
    """Return a job about runs as one line of JSON."""
    job = {
        **payload,
        "runs": [spec.to_json() for spec in specs],
        "digests": [run_digest(spec) for spec in specs],
        "arithmetic": arithmetic(),
        "sys_path": sys.path,
        "folder": str(Path.cwd()),
    }
    return json.dumps(job)


def receive() -> tuple[dict[str, Any], list[RunSpec], TextIO]:
    """Return, in a worker process, the job, its runs and the stream for messages; other output goes to the log.

    The process exits if the runs would differ from those asked for: with the message {"rounding": how it rounds} on a
    processor that rounds differently, and with a sentence if the run's code or libraries differ.
    """
    job = json.loads(sys.stdin.readline())
    parent = os.dup(0)
    threading.Thread(target=_exit_when_orphaned, args=(parent,), daemon=True).start()
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    output = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    sys.path[:] = job["sys_path"]
    if job["arithmetic"] != arithmetic():
        print(json.dumps({"rounding": arithmetic()}), file=output, flush=True)
        raise SystemExit
    specs = [RunSpec.from_json(data) for data in job["runs"]]
    for spec, digest in zip(specs, job["digests"], strict=True):
        if run_digest(spec) != digest:
            raise SystemExit(
                f"{spec.name} has another name here than planned: its source was edited meanwhile, or this machine has "
                "other code or other versions of the libraries"
            )
    gc.freeze()  # imported modules stay, so the collector need not scan them repeatedly
    return job, specs, output


def _exit_when_orphaned(parent: int) -> None:
    """Kill this process and those it started when the parent's end of a pipe is closed: nothing reads its output."""
    while os.read(parent, 1):
        pass
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(1)

"""Processes that are given a job about runs: JSON on standard input, answers on standard output, and a log.

A process of its own for each core has no lock to share with the others, and nothing of pytest's to disturb.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from typing import IO, Any, TextIO

from rlclaims.study.spec import RunSpec


def start(module: str, specs: Sequence[RunSpec], **job: Any) -> "tuple[subprocess.Popen[str], IO[bytes]]":
    """A process that runs a module on a job about runs; it answers on its standard output.

    Args:
        module: what `python -m` runs; it reads the job from standard input.
        specs: the runs.
        **job: what else it is told, as plain data.

    Returns:
        The process, and the file that its standard error goes to.
    """
    log = tempfile.TemporaryFile()  # noqa: SIM115  (closed when the process has ended)
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", module],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
        # One thread a process: the processes are the parallelism.
        env={**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        start_new_session=True,  # Ctrl-C is the parent's to handle, and `kill` ends all of it
    )
    assert process.stdin is not None
    try:
        with suppress(BrokenPipeError), process.stdin as stdin:  # else it died at once, and its log says why
            json.dump({**job, "runs": [spec.to_json() for spec in specs], "sys_path": sys.path}, stdin)
    except BaseException:  # Ctrl-C too must not leave it behind
        kill(process)
        process.wait()
        log.close()
        raise
    return process, log


def receive() -> tuple[dict[str, Any], list[RunSpec], TextIO]:
    """In such a process: the job, its runs, and where answers go; what anything else prints goes to the log."""
    job = json.load(sys.stdin)
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    sys.path[:] = job["sys_path"]
    return job, [RunSpec.from_json(data) for data in job["runs"]], answers


def kill(process: "subprocess.Popen[str]") -> None:
    """End such a process, and what it runs itself: a foreign script goes on training else."""
    if process.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # `start` has made it lead a session, and with it a group
        process.kill()


def last_words(log: IO[bytes]) -> str:
    """How a process ended by its own account, as a sentence; empty where it gave none. Closes the log."""
    log.seek(0)
    lines = log.read().decode(errors="replace").strip().splitlines()
    log.close()
    where = [line.strip() for line in lines if line.strip().startswith("File ")][-1:]
    return f" Its last words: {'; '.join([*lines[-1:], *where])}." if lines else ""

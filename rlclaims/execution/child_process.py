"""A process with a job: one line of JSON on its standard input, lines of answers on its standard output, and a log.

It imports nothing heavy, as a Ray task runs it too, which only watches.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from typing import IO, Any

Child = tuple["subprocess.Popen[str]", IO[bytes]]
"""The process, and the file that its standard error goes to."""


def begin(module: str, job: str) -> Child:
    """A process that runs a module on a job; it answers on its standard output.

    Its standard input stays open: when that closes, as it does when this process is killed, it ends itself.

    Args:
        module: what is run; `rlclaims.execution.worker_process.receive` reads the job in it.
        job: a JSON object, with "sys_path" and "folder", where modules are found and what it is in.
    """
    told: dict[str, Any] = json.loads(job)
    run = "import runpy, sys; sys.path[:] = {!r}; runpy.run_module({!r}, run_name='__main__', alter_sys=True)"
    log = tempfile.TemporaryFile()  # noqa: SIM115  (closed when the process has ended)
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", run.format(told["sys_path"], module)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
        cwd=told["folder"],
        # One thread a process: the processes are the parallelism.
        env={**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        start_new_session=True,  # Ctrl-C is the parent's to handle, and `kill` ends all of it
    )
    assert process.stdin is not None
    try:
        with suppress(BrokenPipeError):  # else it died at once, and its log says why
            process.stdin.write(job + "\n")
            process.stdin.flush()
    except BaseException:  # Ctrl-C too must not leave it behind
        end((process, log))
        raise
    return process, log


def kill(process: "subprocess.Popen[str]") -> None:
    """End such a process, and what it runs itself: a foreign script goes on training else."""
    if process.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # `begin` has made it lead a session, and with it a group
        process.kill()


def end(child: Child) -> None:
    """Kill such a process if it has not ended, and close all that is open of it."""
    process, log = child
    kill(process)
    with suppress(BrokenPipeError):  # of a job that it did not read
        process.__exit__(None, None, None)
    log.close()


def failure_summary(log: IO[bytes]) -> str:
    """How a process ended by its own account, as a sentence; empty where it gave none. Closes the log."""
    log.seek(0)
    lines = log.read().decode(errors="replace").strip().splitlines()
    log.close()
    where = [line.strip() for line in lines if line.strip().startswith("File ")][-1:]
    return f" Its last words: {'; '.join([*lines[-1:], *where])}." if lines else ""

"""A child process with a job: one line of JSON on standard input, lines of messages on standard output, and a log.

This module imports nothing heavy, since Ray tasks run it too, and they only pass messages on.
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


def spawn(module: str, job: str) -> Child:
    """Start a process that runs a module on a job; its messages come on its standard output.

    Its standard input stays open. When that closes, as it does when this process is killed, the child exits.

    Args:
        module: the module to run; it reads the job by `rlclaims.execution.worker_process.receive`.
        job: a JSON object, with "sys_path" and "folder": where modules are found, and the working directory.
    """
    payload: dict[str, Any] = json.loads(job)
    run = "import runpy, sys; sys.path[:] = {!r}; runpy.run_module({!r}, run_name='__main__', alter_sys=True)"
    log = tempfile.TemporaryFile()  # noqa: SIM115  (closed by `reap` or `failure_summary`)
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", run.format(payload["sys_path"], module)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
        cwd=payload["folder"],
        # One thread per process: the processes are the parallelism.
        env={**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        start_new_session=True,  # Ctrl-C is the parent's to handle, and `kill` ends the whole group
    )
    assert process.stdin is not None
    try:
        with suppress(BrokenPipeError):  # the child died at once, and its log says why
            process.stdin.write(job + "\n")
            process.stdin.flush()
    except BaseException:  # Ctrl-C must not leave the child behind either
        reap((process, log))
        raise
    return process, log


def kill(process: "subprocess.Popen[str]") -> None:
    """Kill a child and the processes it started: an external script would go on training otherwise."""
    if process.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # `spawn` made it the leader of a session, and so of a group
        process.kill()


def reap(child: Child) -> None:
    """Kill a child that has not exited, and close its files."""
    process, log = child
    kill(process)
    with suppress(BrokenPipeError):  # it exited without reading its job
        process.__exit__(None, None, None)
    log.close()


def failure_summary(log: IO[bytes]) -> str:
    """Return the last line of a log, and the last file it names, as a sentence; empty for an empty log. Closes it."""
    log.seek(0)
    lines = log.read().decode(errors="replace").strip().splitlines()
    log.close()
    where = [line.strip() for line in lines if line.strip().startswith("File ")][-1:]
    return f" Its last output: {'; '.join([*lines[-1:], *where])}." if lines else ""

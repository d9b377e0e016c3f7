"""What all share who make something of finished runs: which runs there is something to make of, and processes at it."""

import json
import subprocess
import threading
from collections.abc import Generator, Sequence
from contextlib import ExitStack
from queue import Queue
from typing import IO, Any

from rlclaims.study.executor import TrainingError
from rlclaims.study.process import kill, last_words, start
from rlclaims.study.spec import RunSpec
from rlclaims.study.store import Store
from rlclaims.study.studies import Studied

Share = tuple[Sequence[RunSpec], dict[str, Any]]
"""Of one process: the runs, and what else it is told, as plain data."""


def of_finished(missing: Sequence[Studied], store: Store) -> list[Studied]:
    """Those whose runs are finished; of a failed run, put its failure into the store instead."""
    finished = []
    for run, study in missing:
        failure = store.measured(run).failure
        if failure is None:
            finished.append((run, study))
        else:
            store.put_study(run, study, failure, {})
    return finished


def answers(module: str, shares: Sequence[Share], broken: str) -> Generator[tuple[int, Any], None, None]:
    """Run a module in one process for each share of a job.

    Args:
        module: what `python -m` runs; it answers one JSON object a line.
        shares: what each process is to do.
        broken: the sentence on a process that died, before its last words.

    Yields:
        The place of a process and an answer of it. All are killed when this is closed, and by Ctrl-C.

    Raises:
        TrainingError: a process died; the others are killed.
    """
    lines: Queue[tuple[int, str | None]] = Queue()

    def listen(worker: int, stdout: IO[str]) -> None:
        for line in stdout:
            lines.put((worker, line))
        lines.put((worker, None))

    with ExitStack() as closing:
        workers: list[tuple[subprocess.Popen[str], IO[bytes]]] = []
        for specs, told in shares:
            process, log = start(module, specs, **told)
            closing.callback(log.close)
            closing.enter_context(process)
            closing.callback(kill, process)  # if another one failed, or there was Ctrl-C
            threading.Thread(target=listen, args=(len(workers), process.stdout), daemon=True).start()
            workers.append((process, log))
        talking = len(workers)
        while talking:
            worker, line = lines.get()
            if line is not None:
                yield worker, json.loads(line)
                continue
            talking -= 1
            process, log = workers[worker]
            if process.wait() != 0:
                raise TrainingError(broken + last_words(log))

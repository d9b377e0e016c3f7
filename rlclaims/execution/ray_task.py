"""The Ray task: it runs a worker process on its node and passes on its messages.

This module imports nothing heavy: training happens in the process, as on one machine.
"""

import json
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rlclaims.execution.child_process import failure_summary, reap, spawn


def run_on_node(module: str, job: str, mark: str) -> Iterator[str]:
    """Run a module on a job.

    Args:
        module: the module to run.
        job: a JSON object, with "store", the folder of runs.
        mark: content of the file `mark` in that folder.

    Yields:
        First {"node": its name, "node_id": Ray's}, then the messages of the process, and last {"code": its exit status,
        "summary": its failure summary}. {"refused": a sentence} instead, if this node lacks what a job needs.
    """
    import ray

    node = socket.gethostname()
    yield json.dumps({"node": node, "node_id": ray.get_runtime_context().get_node_id()})
    if (refused := _lacks(node, json.loads(job), mark)) is not None:
        yield json.dumps({"refused": refused})
        return
    process, log = spawn(module, job)
    try:
        assert process.stdout is not None
        for line in process.stdout:  # noqa: UP028  (Ray sends values to generators)
            yield line
        yield json.dumps({"code": process.wait(), "summary": failure_summary(log)})
    finally:
        reap((process, log))


def _lacks(node: str, job: dict[str, Any], mark: str) -> str | None:
    """Return why this node cannot do a job, in a sentence, or None if it can."""
    store = Path(job["store"])
    try:
        if (store / "mark").read_text() != mark:
            return f"The Ray node {node} has another store at {store}: put it on a file system that all nodes share."
        with tempfile.TemporaryFile(dir=store / "runs"):
            pass
    except OSError as error:
        return (
            f"The Ray node {node} cannot use the store {store} ({error.strerror or error}): put it on a file system "
            "that all nodes share and may write, with --claims-store DIR or RLCLAIMS_STORE."
        )
    needed = [Path(job["folder"]), *(Path(run["algorithm"]["file"]) for run in job["runs"])]
    for path in dict.fromkeys(needed):
        if not path.exists():
            return (
                f"The Ray node {node} has no {path}: the project and its Python environment have to be at the same "
                "place on all nodes."
            )
    return None

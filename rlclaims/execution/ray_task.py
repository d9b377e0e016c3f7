"""What a Ray task does: it runs a job's process on its node and passes on what that answers.

It imports nothing heavy: training is in the process, in which everything is as on one machine.
"""

import json
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rlclaims.execution.child_process import begin, end, failure_summary


def attend(module: str, job: str, mark: str) -> Iterator[str]:
    """Run a module on a job.

    Args:
        module: what is run.
        job: a JSON object, with "store", the folder of runs.
        mark: what is written in the file `mark` of that folder.

    Yields:
        {"node": its name, "node_id": Ray's} at first; then answers as the process gives them, and at last {"code": its
        exit status, "words": its last words}. {"refused": a sentence} instead, if this node lacks what a job needs.
    """
    import ray

    node = socket.gethostname()
    yield json.dumps({"node": node, "node_id": ray.get_runtime_context().get_node_id()})
    if (refused := _lacks(node, json.loads(job), mark)) is not None:
        yield json.dumps({"refused": refused})
        return
    child = process, log = begin(module, job)
    try:
        assert process.stdout is not None
        for line in process.stdout:  # noqa: UP028  (Ray sends to what it iterates over)
            yield line
        yield json.dumps({"code": process.wait(), "words": failure_summary(log)})
    finally:
        end(child)


def _lacks(node: str, job: dict[str, Any], mark: str) -> str | None:
    """Why jobs cannot be done here, in a sentence."""
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

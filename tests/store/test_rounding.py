"""The fingerprint of rounding: the same for any number of threads, different for kernels that round differently."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from rlclaims import PPO, compiled
from rlclaims.store import digest
from rlclaims.store.rounding import arithmetic
from rlclaims.store.run_spec import RunSpec

# Its name, and a digest of the policies of short trainings.
TOLD = """
import hashlib
import os
import torch
from rlclaims import PPO, TRPO
from rlclaims.sim.tasks import task_named
from rlclaims.store.rounding import arithmetic
from rlclaims.training import Cohort, Group

torch.set_num_threads(int(os.environ["THREADS"]))
name, threads = arithmetic(), torch.get_num_threads()
small = {"steps": 256, "minibatches": 4, "value_epochs": 2}
groups = [Group(PPO(epochs=2, **small), (3, 4)), Group(TRPO(**small), (3,))]
records = Cohort(task_named("Hopper-v5"), groups, 3).train()
bits = hashlib.sha256(b"".join(theta.tobytes() for record in records for theta in record.policy_parameters))
print(name, bits.hexdigest(), threads)
"""


def told(**environment):
    env = {**os.environ, "THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[1] / "support"), **environment}
    said = subprocess.run([sys.executable, "-c", TOLD], env=env, capture_output=True, text=True, check=True)
    return said.stdout.split()


@pytest.fixture(scope="module")
def usual():
    return told()


@pytest.fixture(scope="module")
def plain():
    """Without compiled kernels, which come to the same bits by whatever libraries choose."""
    return told(RLCLAIMS_COMPILED="0")


def test_arithmetic_ignores_the_number_of_threads(usual):
    name, bits, threads = told(THREADS="3")
    assert threads == "3" and usual == [name, bits, "1"]
    assert name == arithmetic()
    assert name.startswith(f"{platform.machine()}-")


@pytest.mark.skipif(
    platform.machine() != "x86_64" or sys.platform != "linux", reason="names kernels of torch's and numpy's builds"
)
@pytest.mark.parametrize(
    "variable",
    ["ATEN_CPU_CAPABILITY=default", "MKL_CBWR=COMPATIBLE", "OPENBLAS_CORETYPE=Nehalem"],
)
def test_arithmetic_differs_when_training_bits_differ(plain, variable):
    name, bits, _ = told(RLCLAIMS_COMPILED="0", **dict([variable.split("=")]))
    assert bits != plain[1] and name != plain[0]


def test_arithmetic_tells_whether_kernels_are_compiled(usual, plain):
    assert (usual[0] != plain[0]) == (usual[1] != plain[1]) == (compiled.library() is not None)


def test_run_digest_changes_with_rounding(monkeypatch):
    spec = RunSpec(PPO(), "Hopper-v5", 2, 0)
    before = digest.run_digest(spec)
    monkeypatch.setattr(digest, "arithmetic", lambda: "another")
    assert digest.run_digest(spec) != before

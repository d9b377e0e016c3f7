"""Training on a Ray cluster that loses nodes: no finished run is lost, and none is trained twice."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from claim_text import HEADER, written

from rlclaims.execution import ray_pool
from rlclaims.store.run_spec import SpecError
from rlclaims.store.store import Store

ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'rlclaims[ray]'")

TESTS = Path(__file__).parents[1] / "support"
SECONDS = 300
"""Longest wait for an event."""

CONFTEST = """
import rlclaims
from rlclaims import PPO, TRPO
from rlclaims.adapters.loop import Loop

SMALL = dict(iterations=2, steps=64, minibatches=2, value_epochs=1)
ppo = rlclaims.runs(PPO, "InvertedPendulum-v5", epochs=1, **SMALL)
trpo = rlclaims.runs(TRPO, "InvertedPendulum-v5", **SMALL)
loop = rlclaims.runs(Loop("traced:train", 24), "CartPole-v1", iterations=2)
"""
# Says when it begins and ends with a run, and stays in one until the test lets it go.
TRACED = """
import os
import time
from pathlib import Path

import tiny_training

TRACE = Path(__file__).parent / "trace"


def tell(what, seed):
    (TRACE / f"{what}-{seed}-{time.time_ns()}-{os.getpid()}-{os.getppid()}").touch()


def train(task, seed, iterations, recorder):
    tell("begin", seed)
    tiny_training.train(task, seed, iterations, recorder)
    while (TRACE / f"hold-{seed}").exists():
        time.sleep(0.02)
    tell("end", seed)
"""
SUITE = """
@declared("s/loop")
def test_loop(loop):
    assert loop.kl_old_new.mean.training.overall() > -1
"""
OF_ALL_KINDS = """
@declared("s/trained")
def test_trained(ppo, trpo):
    assert ppo.kl_old_new.mean.training.overall() - trpo.kl_old_new.mean.training.overall() < 1

@declared("s/played")
def test_played(ppo):
    assert ppo.final_returns.mean > -1

@declared("s/again")
def test_again(ppo):
    assert ppo.twins.switching("epochs").mean_kl.training.overall() > 0.01
"""


def until(happens):
    """Wait until a condition holds, and return its value."""
    end = time.monotonic() + SECONDS
    while not (found := happens()):
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.05)
    return found


class Cluster:
    """`ray_cluster`, whose nodes can be added and killed."""

    def __init__(self):
        command = [sys.executable, "-W", "ignore", str(TESTS / "ray_cluster.py")]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        self.address = self.process.stdout.readline().strip()

    def ask(self, command):
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()

    def add(self, cores=1, *variables):
        return self.ask(f"add {cores} {' '.join(variables)}")

    def close(self):
        self.process.stdin.close()
        self.process.wait(SECONDS)
        self.process.stdout.close()


@pytest.fixture(scope="module")
def bare():
    """A cluster without a node that has cores."""
    cluster = Cluster()
    yield cluster
    cluster.close()


@pytest.fixture
def cluster(bare):
    """Two nodes of one core each."""
    nodes = [bare.add(), bare.add()]
    yield bare
    for node in nodes:
        bare.ask(f"remove {node}")


class Project:
    """A folder of claims, and sessions on them."""

    def __init__(self, folder):
        self.folder, self.trace, self.sessions = folder, folder / "trace", []
        (folder / "trace").mkdir()
        (folder / "conftest.py").write_text(CONFTEST)
        (folder / "traced.py").write_text(TRACED)
        (folder / "pyproject.toml").write_text(f"[tool.pytest.ini_options]\npythonpath = ['.', {str(TESTS)!r}]\n")

    def begin(self, body, *options, address="local", store="store"):
        """A session's process."""
        (self.folder / "test_claims.py").write_text(HEADER + body)
        given = ["-q", "-p", "no:cacheprovider", "--claims-seeds=5", "--claims-no-figures", f"--claims-store={store}"]
        env = {**os.environ, "RAY_ADDRESS": address}
        command = [sys.executable, "-m", "pytest", *given, *options]
        process = subprocess.Popen(
            command, cwd=self.folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self.sessions.append(process)
        return process

    def run(self, body, *options, **where):
        """Return a session's exit code and output."""
        process = self.begin(body, *options, **where)
        said, _ = process.communicate(timeout=SECONDS)
        return process.returncode, said

    def files(self, pattern, store="store"):
        """Return the content of a store's run files, by path relative to `runs`."""
        runs = self.folder / store / "runs"
        return {str(path.relative_to(runs)): path.read_bytes() for path in sorted(runs.glob(pattern))}

    def verdicts(self, store="store"):
        return [
            (claim["name"], claim["verdict"], claim["evidence"]["values"])
            for claim in written(self.folder / store)["claims"]
        ]

    def told(self, what):
        """Return the runs that began or ended so far, as (seed, process, parent), in order."""
        names = sorted((path.name.split("-") for path in self.trace.glob(f"{what}-*-*")), key=lambda name: int(name[2]))
        return [(int(seed), int(pid), int(parent)) for _, seed, _, pid, parent in names]

    def seeds(self, what):
        return Counter(seed for seed, _, _ in self.told(what))

    def hold(self, seed):
        (self.trace / f"hold-{seed}").touch()

    def let_go(self, seed):
        (self.trace / f"hold-{seed}").unlink()

    def at(self, seed):
        """Return the process that trains a run, and its parent, once the runs before it are stored."""
        until(lambda: self.seeds("begin")[seed] and self.seeds("end").keys() >= {0, 1, 2})
        until(lambda: len(self.files("train-*/run.json")) == 3)
        return next((pid, parent) for at, pid, parent in reversed(self.told("begin")) if at == seed)


@pytest.fixture
def project(tmp_path):
    project = Project(tmp_path)
    yield project
    for session in project.sessions:
        with session:
            session.kill()


@pytest.fixture(scope="module")
def faultless(tmp_path_factory):
    """Run the suite on this machine without faults, for comparison."""
    project = Project(tmp_path_factory.mktemp("faultless"))
    code, said = project.run(SUITE)
    assert code == 0, said
    return project


def gone(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


ONCE = dict.fromkeys(range(5), 1)


def test_nodes_give_the_bits_and_verdicts_of_this_machine(cluster, project):
    code, said = project.run(OF_ALL_KINDS, store="local")
    assert code == 0, said
    code, said = project.run(OF_ALL_KINDS, "--claims-executor=ray", address=cluster.address)
    assert code == 0, said
    for pattern in ("*/*.safetensors", "*/run.json", "*/measured-*", "*/final_returns-*"):
        made = project.files(pattern)
        assert made == project.files(pattern, "local") and len(made) >= 5
    for name, made in project.files("*/twins-*").items():
        assert json.loads(made)["series"] == json.loads(project.files(name, "local")[name])["series"]
    assert project.verdicts() == project.verdicts("local")


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.parametrize("fault", ["process", "task", "node"])
def test_lost_work_restarts_and_finished_work_does_not(bare, project, faultless, fault):
    nodes = [bare.add(2)]
    project.hold(3)
    session = project.begin(SUITE, "--claims-executor=ray", "--claims-processes=2", address=bare.address)
    pid, parent = project.at(3)
    if fault == "node":
        nodes.append(bare.add(2))
        bare.ask(f"remove {nodes.pop(0)}")
    else:
        os.kill(pid if fault == "process" else parent, signal.SIGKILL)
    until(lambda: gone(pid))
    until(lambda: project.seeds("begin")[3] == 2)
    project.let_go(3)
    said, _ = session.communicate(timeout=SECONDS)
    assert session.returncode == 0, said
    assert "train-CartPole-v1-seed2 and other runs was lost on" in said
    assert project.seeds("end") == ONCE and project.seeds("begin") == {**ONCE, 3: 2}
    for node in nodes:
        bare.ask(f"remove {node}")
    assert project.verdicts() == faultless.verdicts()
    assert project.files("*/measured-*") == faultless.files("*/measured-*")


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_killed_session_leaves_no_process_and_resumes(cluster, project, faultless):
    project.hold(3)
    # Nodes of the test before may still be counted, and more processes would be given other runs.
    ours = "--claims-executor=ray", "--claims-processes=2"
    session = project.begin(SUITE, *ours, address=cluster.address)
    pid, _ = project.at(3)
    session.kill()
    session.communicate()
    until(lambda: gone(pid))
    project.let_go(3)
    code, said = project.run(SUITE, *ours, address=cluster.address)
    assert code == 0, said
    assert "training 2 runs of train" in said and "; 3 are in the store" in said
    assert project.seeds("end") == ONCE and project.seeds("begin") == {**ONCE, 3: 2}
    assert project.verdicts() == faultless.verdicts()


def test_node_with_other_rounding_gets_no_runs(bare, project):
    # For other kernels than any processor has chosen by itself for a decade.
    other = bare.add(1, "OPENBLAS_CORETYPE=Nehalem", "MKL_CBWR=COMPATIBLE")
    code, said = project.run(SUITE, "--claims-executor=ray", address=bare.address)
    assert code == 3 and "No node of the Ray cluster rounds as this machine does" in said
    like = bare.add(1)
    code, said = project.run(SUITE, "--claims-executor=ray", "--claims-processes=2", address=bare.address)
    assert code == 0, said
    assert "rounds differently" in said and project.seeds("end") == ONCE
    for node in (other, like):
        bare.ask(f"remove {node}")


@pytest.mark.skipif(sys.platform != "linux", reason="names a folder by /proc")
def test_store_that_nodes_do_not_see_is_refused_before_training(cluster, project):
    store = "/proc/self/cwd/store"  # which is another folder in each process
    code, said = project.run(SUITE, "--claims-executor=ray", address=cluster.address, store=store)
    assert code == 3 and f"cannot use the store {store} (No such file or directory): put it on a file system" in said
    assert not project.told("begin")


def test_unreachable_cluster_is_reported_before_training(project):
    code, said = project.run(SUITE, "--claims-executor=ray", address="127.0.0.1:1")
    assert code == 4 and "The Ray cluster at RAY_ADDRESS=127.0.0.1:1 cannot be reached" in said
    assert not project.told("begin")
    code, said = project.run(SUITE, "--claims-executor=ray", address="ray://127.0.0.1:1")
    assert code == 4 and "RAY_ADDRESS is ray://127.0.0.1:1, a Ray client's address" in said
    code, said = project.run(SUITE, "--claims-executor=ray", address="nowhere")
    assert code == 4 and "cannot be reached (an address is HOST:PORT)" in said


@pytest.mark.parametrize("links", [True, False])
def test_store_has_one_mark_also_without_hard_links(tmp_path, monkeypatch, links):
    def refused(*_):
        raise PermissionError(1, "Operation not permitted")

    if not links:
        monkeypatch.setattr(Path, "hardlink_to", refused)
    mark = ray_pool.read_mark(tmp_path)
    assert len(mark) == 32 and ray_pool.read_mark(tmp_path) == mark
    assert [path.name for path in tmp_path.iterdir()] == ["mark"]


def test_read_mark_reports_an_unreadable_mark(tmp_path):
    mark = tmp_path / "mark"
    mark.write_bytes(b"\xff")
    with pytest.raises(SpecError, match=r"mark, by which nodes recognise the store, .* \(it is not text\): move away"):
        ray_pool.read_mark(tmp_path)
    mark.unlink()
    mark.mkdir()
    with pytest.raises(SpecError, match=r"mark, by which nodes recognise the store, .* \(Is a directory\): move away"):
        ray_pool.read_mark(tmp_path)


def test_ray_pool_counts_cores_without_a_store(tmp_path, monkeypatch):
    monkeypatch.setattr(ray_pool, "_connect", lambda cores: None)
    ray_pool.RayPool(Store(tmp_path / "none"), 1)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "some" / "mark").mkdir(parents=True)
    with pytest.raises(SpecError, match="mark, by which nodes recognise the store"):
        ray_pool.RayPool(Store(tmp_path / "some"), 1)


def test_ray_pool_starts_a_local_cluster_by_default(project):
    code, said = project.run(SUITE, "--claims-executor=ray")
    assert code == 0, said
    assert project.seeds("end") == ONCE

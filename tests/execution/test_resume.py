"""Killed runs resume from their last resume point, with bit-identical results."""

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from killed import SPECS
from stored_runs import without_its_last_byte

from rlclaims.agents.ppo import PPO
from rlclaims.agents.trpo import TRPO
from rlclaims.execution.cohorts import plan
from rlclaims.execution.train import execute
from rlclaims.execution.train_worker import train
from rlclaims.sim.tasks import task_named
from rlclaims.store import resume
from rlclaims.store.digest import measurement_digest
from rlclaims.store.files import sha256
from rlclaims.store.resume import keep, keeping, resume_point, unfinished
from rlclaims.store.run_spec import RunSpec
from rlclaims.store.store import Store
from rlclaims.training import Cohort, Group


def files(store):
    """Return the content of a store's run files, by path relative to `runs`."""
    runs = store.root / "runs"
    found = {path.relative_to(runs): path.read_bytes() for path in runs.rglob("*") if path.is_file()}
    return {place: content for place, content in found.items() if ".partial-" not in str(place)}


def test_runs_killed_at_thirty_moments_are_bit_identical(tmp_path):
    command = [sys.executable, str(Path(__file__).parents[1] / "support" / "killed.py"), str(tmp_path), "30", "60"]
    threads = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **threads}, check=True)
    told = json.loads(done.stdout)
    assert told["kills"] == 30 or not told["in_time"]
    assert told["went_on"] > 0 and told["rounds"] > 0
    whole = files(Store(tmp_path / "whole"))
    assert len(whole) == 4 * len(SPECS)
    for n in range(told["rounds"]):
        store = Store(tmp_path / f"round-{n}")
        assert files(store) == whole
        assert not (store.root / "unfinished").exists()


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    store = Store(tmp_path_factory.mktemp("whole"))
    store.prepare()
    train(store, SPECS, lambda _: None)
    return files(store)


class Killed(BaseException):
    pass


def begun(root, specs, iterations, **changes):
    """Return a store with resume points of runs after some iterations, where training then stopped."""
    store = Store(root, **changes)
    store.prepare()

    def kill(done):
        if done > iterations:
            raise Killed

    with pytest.raises(Killed):
        train(store, specs, kill, 0.0)
    return store


def test_runs_resume_in_other_cohorts_from_other_iterations(tmp_path, whole):
    store = begun(tmp_path, SPECS[:1], 11)
    begun(tmp_path, SPECS[1:], 3)
    assert [resume_point(store, spec)[0] for spec in SPECS] == [11, 3, 3]
    told = []
    train(store, SPECS, told.append)
    assert files(store) == whole
    # On average: the first goes on from 11 to 14, and then the others from 3.
    assert told == [(11 + k + 6) // 3 for k in range(1, 4)] + [(14 + 2 * k) // 3 for k in range(4, 15)]


def resealed(path, change):
    """Replace the content of a file, and name it by the new checksum."""
    content = change(path.read_bytes())
    path.unlink()
    path.with_name(f"at-5-{sha256(content)}.safetensors").write_bytes(content)


def of_another_run(store):
    (path,) = unfinished(store, SPECS[1]).iterdir()
    (mine,) = unfinished(store, SPECS[0]).iterdir()
    mine.unlink()
    path.rename(mine.with_name(path.name))


def as_a_link(store):
    (mine,) = unfinished(store, SPECS[0]).iterdir()
    mine.unlink()
    mine.symlink_to("/nowhere")


def as_a_folder(store):
    (mine,) = unfinished(store, SPECS[0]).iterdir()
    mine.unlink()
    mine.mkdir()


def on_file(change):
    return lambda store: change(*unfinished(store, SPECS[0]).iterdir())


DAMAGES = {
    "truncated": on_file(without_its_last_byte),
    "emptied": on_file(lambda path: path.write_bytes(b"")),
    "flipped": on_file(lambda path: path.write_bytes(path.read_bytes()[:-1] + b"\x7f")),
    "renamed": on_file(lambda path: path.rename(path.with_name("at-9" + path.name[4:]))),
    "foreign": on_file(lambda path: resealed(path, lambda _: b"\x80\x04K\x01.")),
    "monstrous": on_file(lambda path: resealed(path, lambda _: b"\xff" * 7 + b"\x7f{}")),
    "swapped": of_another_run,
    "link": as_a_link,
    "folder": as_a_folder,
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_damaged_checkpoint_is_quarantined_and_the_run_restarts(tmp_path, damage):
    told = []
    store = begun(tmp_path, SPECS, 5, notify=told.append)
    damage(store)
    assert resume_point(store, SPECS[0]) == (0, {})
    (sentence,) = told
    assert sentence.startswith(str(tmp_path / "unfinished" / "PPO-InvertedPendulum-v5-seed3-"))
    assert sentence.endswith(", and the run starts from its beginning.")
    assert len(list((tmp_path / "quarantine").iterdir())) == 1
    assert resume_point(store, SPECS[2])[0] == 5


def test_restarted_run_ends_with_the_same_bits_and_is_reported(tmp_path, whole):
    store, told = begun(tmp_path, SPECS, 5), []
    DAMAGES["flipped"](store)
    store.notify = told.append
    execute(plan(SPECS, store), store, 1, lambda _: None)
    assert files(store) == whole and not (tmp_path / "unfinished").exists()
    assert len(told) == 1 and "is not a valid checkpoint of its run" in told[0]


def test_state_of_other_code_is_not_resumed(tmp_path, monkeypatch):
    store = begun(tmp_path, SPECS[:1], 5)
    monkeypatch.setattr(resume, "measurement_digest", lambda spec: measurement_digest(spec)[::-1])
    assert resume_point(store, SPECS[0]) == (0, {})


def test_short_training_has_no_checkpoint_full_disk_is_tolerated(tmp_path, monkeypatch, whole):
    store = Store(tmp_path)
    store.prepare()
    train(store, SPECS[:1], lambda _: None)
    assert not (tmp_path / "unfinished").exists()

    def full(path, content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(resume, "write", full)
    train(store, SPECS[1:], lambda _: None, 0.0)
    assert files(store) == whole


def test_newer_state_replaces_the_old_one(tmp_path):
    store = begun(tmp_path, SPECS[:1], 5)
    (path,) = unfinished(store, SPECS[0]).iterdir()
    assert path.name == f"at-5-{sha256(path.read_bytes())}.safetensors"
    # Killed between the two: the newer one counts, if it is whole.
    keep(store, SPECS[0], 6, arrays := resume_point(store, SPECS[0])[1])
    path.write_bytes(safetensors.numpy.save(arrays))
    assert resume_point(store, SPECS[0])[0] == 6
    next(unfinished(store, SPECS[0]).glob("at-6-*")).write_bytes(b"")
    assert resume_point(store, SPECS[0])[0] == 0


SMALL = {"steps": 64, "minibatches": 2, "value_epochs": 1}


@dataclasses.dataclass(frozen=True)
class Remembering(PPO):
    """An algorithm that sets an undeclared attribute on its agent."""

    def learn(self, agent, rollout):
        agent.mine = getattr(agent, "mine", 0) + 1
        return super().learn(agent, rollout)


@pytest.mark.parametrize(
    ("algorithm", "task", "resumable"),
    [
        (PPO(epochs=1, **SMALL), "InvertedPendulum-v5", True),
        (PPO(epochs=1, **SMALL), "CartPole-v1", False),
        (Remembering(epochs=1, **SMALL), "InvertedPendulum-v5", False),
    ],
)
def test_only_runs_with_whole_state_are_kept(tmp_path, algorithm, task, resumable):
    spec, store = RunSpec(algorithm, task, 3, 0), Store(tmp_path)
    cohort = Cohort(task_named(task), [Group(algorithm, (0,))], 3)
    after = keeping(store, [spec], cohort, 0.0)
    cohort.train(lambda _: after())
    assert cohort.resumable is resumable and (tmp_path / "unfinished").exists() is resumable


@pytest.mark.parametrize("name", ["Hopper-v5", "Walker2d-v5", "Humanoid-v5"])
def test_every_task_resumes_bit_for_bit_in_mid_episode(name):
    task = dataclasses.replace(task_named(name), time_limit=20)  # so that episodes end in both ways
    ppo, trpo = PPO(epochs=1, **SMALL), TRPO(**SMALL)
    kept = []
    cohort = Cohort(task, [Group(ppo, (0, 1)), Group(trpo, (0,))], 4)
    whole = cohort.train(lambda done: done == 2 and kept.extend(cohort.state_dict(i) for i in (1, 2)))
    again = Cohort(task, [Group(ppo, (1,)), Group(trpo, (0,))], 4)
    again.load_state_dict(2, [safetensors.numpy.load(safetensors.numpy.save(run)) for run in kept])
    for one, other in zip(whole[1:], again.train(), strict=True):
        assert one.episodes == other.episodes and one.episodes
        assert one.series == other.series
        assert np.array_equal(one.policy_parameters, other.policy_parameters)
        assert np.array_equal(one.normalizations, other.normalizations)

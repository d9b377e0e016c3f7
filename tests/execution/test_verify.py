"""Damage to a store is found, and a run that is trained again is compared bit for bit."""

import json
import math
import shutil

import numpy as np
import pytest
import safetensors.numpy

from rlclaims.agents.ppo import PPO
from rlclaims.execution.cohorts import plan
from rlclaims.execution.train import execute
from rlclaims.execution.verify import _differences, differences, problems, stored_runs
from rlclaims.store.files import json_content, sha256
from rlclaims.store.run_spec import RunSpec
from rlclaims.store.store import Store
from rlclaims.studies.registry import Study

TWINS = Study("twins")

SPECS = [
    RunSpec(PPO(steps=64, minibatches=2, value_epochs=1, epochs=1), "InvertedPendulum-v5", 11, seed) for seed in (3, 4)
]

LATE, LARGE = Study("late_updates"), Study("large_updates", 128)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    store = Store(tmp_path_factory.mktemp("store"))
    store.prepare()
    execute(plan(SPECS, store), store, 1, lambda _: None)
    for spec in SPECS:
        store.put_study(
            spec, TWINS, None, {"none/ratio/max/training": [1.5, 1.25], "pushed_out/share": [0.5, math.nan]}
        )
        # Updates 8, 9 and 10 of eleven are late, of four groups of episodes each.
        store.put_study(spec, LATE, None, {"before/return": [1.5] * 12})
        store.put_study(spec, LARGE, None, {"return": [1.0] * 12, "kl": [0.5, 0.25]})
    return store


@pytest.fixture
def store(trained, tmp_path):
    """A copy of a store with two runs, to be damaged."""
    shutil.copytree(trained.root, tmp_path / "store")
    return Store(tmp_path / "store")


def change_json(path, change, *, sealed=False):
    """Change a file, and its checksum too if asked."""
    data = json.loads(path.read_text())
    change(data)
    del data["sha256"]
    path.write_bytes(json_content(path.name, data["digest"], data) if sealed else json.dumps(data).encode())


def test_undamaged_store_has_no_problems(store):
    assert list(problems(store)) == []
    assert [run.description["seed"] for run in stored_runs(store)] == [3, 4]


def rewritten_theta(store, change):
    file = store.folder(SPECS[0]) / "run.safetensors"
    arrays = safetensors.numpy.load_file(file)
    arrays["theta_KP"] = change(arrays["theta_KP"].copy())
    safetensors.numpy.save_file(arrays, file)


def sealed_theta(store, change):
    rewritten_theta(store, change)
    folder = store.folder(SPECS[0])
    checksum = sha256((folder / "run.safetensors").read_bytes())
    change_json(folder / "run.json", lambda d: d.update(run_sha256=checksum), sealed=True)


def rewritten_start(store, name, change):
    file = store.folder(SPECS[0]) / "starts.safetensors"
    arrays = safetensors.numpy.load_file(file)
    arrays[name] = change(arrays[name].copy())
    safetensors.numpy.save_file(arrays, file)


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda s: rewritten_theta(s, lambda theta: theta + 1), "run.safetensors is not what was written"),
        (lambda s: sealed_theta(s, lambda theta: theta[:-1]), "it has 11 policies"),
        (lambda s: sealed_theta(s, lambda theta: theta * np.float32(np.nan)), "some may not be finite"),
        (lambda s: (s.folder(SPECS[0]) / "run.safetensors").write_bytes(b"no"), "run.safetensors is not what"),
        (lambda s: (s.folder(SPECS[0]) / "run.safetensors").unlink(), ": run.safetensors is gone"),
        (lambda s: (s.folder(SPECS[0]) / "run.json").write_text("{"), "run.json is not what was written"),
        (
            lambda s: change_json(s.folder(SPECS[0]) / "run.json", lambda d: d.update(digest="0" * 64), sealed=True),
            "of another run",
        ),
        (
            lambda s: change_json(
                s.measurements(SPECS[0]), lambda d: d["series"]["ratio/max/training"].append(1.0), sealed=True
            ),
            "has 12 values of ratio/max/training, and should have 11",
        ),
        (
            lambda s: change_json(s.measurements(SPECS[0]), lambda d: d["series"]["ratio/max/held_out"].reverse()),
            "is not what was written",
        ),
        (lambda s: (s.root / "runs" / ".partial-x").mkdir(), "half a run"),
        (lambda s: rewritten_start(s, "10/training_advantage_T", lambda x: -x), "starts.safetensors is not what was"),
        (lambda s: (s.folder(SPECS[0]) / "starts.safetensors").unlink(), ": starts.safetensors is gone"),
        (
            lambda s: change_json(s.folder(SPECS[0]) / "run.json", lambda d: d.pop("starts_sha256"), sealed=True),
            "cannot be read (it has no 'starts_sha256')",
        ),
        (
            lambda s: change_json(
                s.study_file(SPECS[0], TWINS), lambda d: d["series"]["none/ratio/max/training"].reverse()
            ),
            "is not what was written",
        ),
        (
            lambda s: change_json(
                s.study_file(SPECS[0], TWINS), lambda d: d["series"]["pushed_out/share"].append(1.0), sealed=True
            ),
            "has 3 values of pushed_out/share, and should have 2",
        ),
        (
            lambda s: change_json(
                s.study_file(SPECS[0], LATE), lambda d: d["series"]["before/return"].append(1.0), sealed=True
            ),
            "has 13 values of before/return, and should have 12",
        ),
        (
            lambda s: change_json(s.study_file(SPECS[0], LARGE), lambda d: d["series"]["kl"].append(0.0), sealed=True),
            "has 3 values of kl, and should have 2",
        ),
        (
            lambda s: change_json(s.study_file(SPECS[0], LARGE), lambda d: d["series"]["kl"].reverse()),
            "is not what was written",
        ),
        (lambda s: s.study_file(SPECS[0], TWINS).write_text("{"), "is not what was written (its checksum"),
    ],
)
def test_problems_report_damage(store, damage, sentence):
    damage(store)
    found = list(problems(store))
    assert any(sentence in problem for problem in found)
    assert not any(SPECS[1].name in problem for problem in found)


def test_run_trained_again_alone_is_bit_identical(store):
    assert differences(SPECS, store) == {SPECS[0]: [], SPECS[1]: []}


def test_differences_report_a_single_bit(store):
    def flip(theta_KP):
        theta_KP.view(np.uint32)[7, 0] ^= 1
        return theta_KP

    rewritten_theta(store, flip)

    def reverse(measured):
        measured["series"]["kl_old_new/mean/training"].reverse()

    change_json(store.measurements(SPECS[0]), reverse, sealed=True)
    rewritten_start(store, "10/held_out_observation_TO", lambda x: np.where(np.arange(64)[:, None] == 5, 9, x))
    rewritten_start(store, "10/adam_mean_P", flip_one)
    (found,) = differences(SPECS[:1], store).values()
    assert found == [
        "theta_KP (from row 7 of 12)",
        "10/adam_mean_P (from row 3 of 4546)",
        "10/held_out_observation_TO (from row 5 of 64)",
        "kl_old_new/mean/training",
    ]


def flip_one(x_P):
    x_P.view(np.uint32)[3] ^= 1
    return x_P


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda arrays: arrays.pop("0/adam_steps"), "0/adam_steps, which is new"),
        (lambda arrays: arrays.update(more=np.zeros(1)), "more, which is in the store alone"),
        (lambda arrays: arrays.clear(), "0/adam_mean_P, which is new"),
    ],
)
def test_differences_report_an_extra_or_missing_array(store, trained, change, sentence):
    file = store.folder(SPECS[0]) / "starts.safetensors"
    arrays = safetensors.numpy.load_file(file)
    change(arrays)
    safetensors.numpy.save_file(arrays, file)
    assert sentence in list(_differences(SPECS[0], store, trained))


def test_differences_report_unreadable_starts(store, trained):
    (store.folder(SPECS[0]) / "starts.safetensors").write_bytes(b"no")
    (found,) = _differences(SPECS[0], store, trained)
    assert found.startswith("starts.safetensors, which cannot be read (SafetensorError")

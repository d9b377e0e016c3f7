import dataclasses
import errno
import hashlib
import json
import re
from itertools import product

import numpy as np
import pytest
import safetensors.numpy
from stored_runs import SERIES, SPEC, checkpoint, record, without_its_last_byte

from rlclaims.adapters.loop import Loop
from rlclaims.agents.ppo import PPO, PPOM
from rlclaims.agents.trpo import TRPO
from rlclaims.execution import cohorts as planning
from rlclaims.execution.pool import TrainingError
from rlclaims.execution.train import execute
from rlclaims.execution.verify import problems
from rlclaims.store import store as store_module
from rlclaims.store.digest import run_digest
from rlclaims.store.files import json_content
from rlclaims.store.run_spec import RunSpec, SpecError
from rlclaims.store.store import Store, StoreError
from rlclaims.studies.registry import Study, study_files

TWINS = Study("twins")


@pytest.fixture
def store(tmp_path):
    store = Store(tmp_path / "store")
    store.prepare()
    return store


def test_run_round_trips(store):
    assert not store.has(SPEC)
    store.put(SPEC, record())
    assert store.has(SPEC)
    assert store.measured(SPEC).series == SERIES
    assert store.measured(SPEC).failure is None
    arrays = safetensors.numpy.load_file(store.folder(SPEC) / "run.safetensors")
    assert arrays["theta_KP"].tolist() == [[0] * 4, [1] * 4, [2] * 4]
    assert arrays["offset_KO"].tolist() == [[0, 1.5], [1, 1.5]]
    assert arrays["inverse_std_KO"].tolist() == [[2, 0], [2, 1]]
    assert arrays["episodes_start_length_return"].tolist() == [[0, 20, 31.5], [20, 9, 8.25]]
    described = json.loads((store.folder(SPEC) / "run.json").read_text())
    assert described["seed"] == 5 and described["task"] == "Hopper-v5" and described["status"] == "finished"
    assert described["algorithm"]["settings"]["learning_rate"] == 3e-4


def test_failed_run_is_stored_as_failed(store):
    store.put(SPEC, record(failure="the simulation became unstable in iteration 1", episodes=()))
    assert store.has(SPEC)
    assert store.measured(SPEC).failure == "the simulation became unstable in iteration 1"
    assert json.loads((store.folder(SPEC) / "run.json").read_text())["status"] == "failed"


def test_new_measurements_join_a_stored_run(store, monkeypatch):
    store.put(SPEC, record())
    old = store.measurements(SPEC).name
    monkeypatch.setattr("rlclaims.store.store.measurement_digest", lambda spec: "f" * 64)
    assert not store.has(SPEC)
    store.put(SPEC, record())
    assert store.has(SPEC)
    assert {path.name for path in store.folder(SPEC).glob("measured-*")} == {old, f"measured-{'f' * 32}.json"}


def test_put_accepts_a_run_stored_meanwhile(store):
    store.put(SPEC, record())
    store.put(SPEC, record())
    assert store.measured(SPEC).series == SERIES


@pytest.mark.parametrize("written", range(4))
def test_put_on_a_full_disk_leaves_no_partial_run(store, monkeypatch, written):
    store.put(dataclasses.replace(SPEC, seed=6), dataclasses.replace(record(), seed=6))
    calls = []

    def full(_):
        calls.append(1)
        if len(calls) > written:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(
        StoreError, match=r"can no longer be written \(No space left on device\)\. .* stored\. Make room"
    ):
        store.put(SPEC, record())
    assert not store.has(SPEC)
    (kept,) = (store.root / "runs").iterdir()
    assert len(list(kept.iterdir())) == 4
    assert list(problems(store)) == []


def test_prepare_gitignores_only_a_new_store(store, tmp_path):
    assert (store.root / ".gitignore").read_text() == "*\n"
    Store(tmp_path).prepare()
    assert not (tmp_path / ".gitignore").exists()


def test_broken_measurements_are_computed_again(store):
    store.put(SPEC, record())
    store.measurements(SPEC).write_text('{"failure": nu')
    assert not store.has(SPEC)
    store.put(SPEC, record())
    assert store.measured(SPEC).series == SERIES


def test_equal_settings_give_one_run():
    one, other = (dataclasses.replace(SPEC, algorithm=PPO(reward_clip=clip)) for clip in (10, 10.0))
    assert run_digest(one) == run_digest(other)


def test_prepare_refuses_a_store_that_is_a_file(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SpecError, match=r"cannot be written .*--claims-store"):
        Store(tmp_path / "file").prepare()


def specs(n, **changes):
    return [dataclasses.replace(SPEC, seed=seed, **changes) for seed in range(n)]


def test_plan_lists_each_missing_run_once(store):
    store.put(SPEC, record())
    made = planning.plan([*specs(8), *specs(3), SPEC], store)
    assert [spec.seed for spec in made.wanted] == list(range(8))
    assert [spec.seed for spec in made.missing] == [0, 1, 2, 3, 4, 6, 7]
    assert made.environment_steps == 7 * 2 * 2048


def test_cohorts_share_task_length_and_steps():
    other = specs(4, algorithm=PPO(clip_epsilon=0.1))
    apart = specs(2, task="InvertedPendulum-v5")
    cohorts = planning.cohorts([*specs(4), *other, *apart], processes=2)
    assert sorted(len(cohort) for cohort in cohorts) == [1, 1, 4, 4]
    assert sorted(spec.seed for cohort in cohorts for spec in cohort) == sorted([*range(4), *range(4), *range(2)])
    for cohort in cohorts:
        assert len({(spec.task, spec.algorithm) for spec in cohort}) == 1


@pytest.mark.parametrize("processes", [1, 2, 3, 4, 16, 40])
def test_cohorts_have_equal_sizes_for_any_number_of_processes(processes):
    missing = [*specs(10), *specs(10, algorithm=TRPO()), *specs(10, algorithm=PPOM())]
    cohorts = planning.cohorts(missing, processes)
    sizes = [len(cohort) for cohort in cohorts]
    assert len(cohorts) == min(processes, 30) and max(sizes) - min(sizes) <= 1
    assert sorted(map(repr, missing)) == sorted(repr(spec) for cohort in cohorts for spec in cohort)


def test_plan_divides_the_suite_equally_between_two_processes():
    # Ten runs of either PPO each, whose updates cost most, and five of TRPO.
    for cohort in planning.cohorts([*specs(10), *specs(10, algorithm=PPOM()), *specs(10, algorithm=TRPO())], 2):
        names = [type(spec.algorithm).__name__ for spec in cohort]
        assert names.count("TRPO") == 5 and {names.count("PPO"), names.count("PPOM")} == {0, 10}


@dataclasses.dataclass(frozen=True)
class Dies(PPO):
    """Kills its process in the first update."""

    def policy_loss(self, ratio_SB, advantage_SB):
        raise MemoryError("there is no more of it")


def test_crashed_process_is_reported_with_its_last_output(store):
    spec = RunSpec(Dies(steps=64, minibatches=2), "InvertedPendulum-v5", 1, 0)
    with pytest.raises(TrainingError, match=r"Dies-InvertedPendulum-v5-seed0 .*there is no more of it"):
        execute(planning.plan([spec], store), store, 1, lambda _: None)
    assert not store.has(spec)


@pytest.mark.parametrize(
    "damage",
    [lambda text: "[]", lambda text: '{"failure": null, "series": {}}', lambda text: text.replace("0.2", "0.3")],
)
def test_damaged_measurements_are_computed_again(store, damage):
    store.put(SPEC, record())
    file = store.measurements(SPEC)
    file.write_text(damage(file.read_text()))
    assert not store.has(SPEC)
    store.put(SPEC, record())
    assert store.measured(SPEC).series == SERIES


def test_run_that_lost_its_files_is_written_again(store):
    store.put(SPEC, record())
    whole = {path.name for path in store.folder(SPEC).iterdir()}
    for path in store.folder(SPEC).iterdir():
        path.unlink()
    store.put(SPEC, record())
    assert {path.name for path in store.folder(SPEC).iterdir()} == whole


def test_two_processes_can_write_the_same_run(store, monkeypatch):
    real, written = store_module.write, []

    def with_another_in_between(path, content):
        real(path, content)
        written.append(path)
        if len(written) == 1:
            store.put(SPEC, record())

    monkeypatch.setattr(store_module, "write", with_another_in_between)
    store.put(SPEC, record())
    assert len(set(written)) == 8 and store.measured(SPEC).series == SERIES and store.is_whole(SPEC)
    assert [path.name for path in (store.root / "runs").iterdir()] == [store.folder(SPEC).name]
    assert not (store.root / "quarantine").exists()


def test_start_round_trips(store):
    kept = [checkpoint(0), checkpoint(1)]
    store.put(SPEC, record(checkpoints=kept))
    start = store.start(SPEC)
    assert start.seed == 5 and start.initial_P.tolist() == [0] * 4
    assert start.theta_KP.tolist() == [[0] * 4, [1] * 4]
    for one, other in zip(start.checkpoints, kept, strict=True):
        assert (one.iteration, one.adam_steps) == (other.iteration, other.adam_steps)
        for name in ("adam_mean_P", "adam_square_P", "minibatch_state", "value_P", "fitted_value_P", "reward_state"):
            assert np.array_equal(getattr(one, name), getattr(other, name))
        for name in ("training", "held_out"):
            assert all(map(np.array_equal, getattr(one, name), getattr(other, name)))


def with_another_number(file):
    content = bytearray(file.read_bytes())
    content[-1] ^= 1  # of an array: what is read back is whole, and is not what was written
    file.write_bytes(content)


def with_another_array(file):
    arrays = safetensors.numpy.load_file(file)
    safetensors.numpy.save_file({**arrays, "more": np.zeros(1)}, file)


@pytest.mark.parametrize("name", ["starts.safetensors", "run.safetensors", "run.json"])
@pytest.mark.parametrize(
    "damage", [lambda f: f.unlink(), lambda f: f.write_bytes(b""), without_its_last_byte, with_another_number]
)
def test_start_of_a_damaged_run_is_refused(store, name, damage):
    store.put(SPEC, record(checkpoints=[checkpoint(0)]))
    damage(store.folder(SPEC) / name)
    sentence = r"^The start states of the updates of PPO-Hopper-v5-seed5 cannot be read \(.*\). Run the claims again "
    with pytest.raises(SpecError, match=sentence + r"to train the run again\.$"):
        store.start(SPEC)


def test_history_round_trips(store):
    store.put(SPEC, record())
    history = store.history(SPEC)
    assert history.theta_KP.dtype == np.float32 and history.offset_KO.dtype == history.inverse_std_KO.dtype == float
    # Before the first of two updates and after each; and what each was made with.
    assert history.theta_KP.tolist() == [[0] * 4, [1] * 4, [2] * 4]
    assert history.offset_KO.tolist() == [[0, 1.5], [1, 1.5]]
    assert history.inverse_std_KO.tolist() == [[2, 0], [2, 1]]


def without_an_array(file):
    arrays = safetensors.numpy.load_file(file)
    del arrays["offset_KO"]
    safetensors.numpy.save_file(arrays, file)
    described = file.with_name("run.json")
    told = json.loads(described.read_text())
    told["run_sha256"] = hashlib.sha256(file.read_bytes()).hexdigest()
    described.write_bytes(json_content("run.json", told["digest"], {k: v for k, v in told.items() if k != "sha256"}))


DAMAGES = (lambda f: f.unlink(), lambda f: f.write_bytes(b""), without_its_last_byte, with_another_number)


@pytest.mark.parametrize(
    ("name", "damage"),
    [*product(("run.safetensors", "run.json"), DAMAGES), ("run.safetensors", without_an_array)],
)
def test_history_of_a_damaged_run_is_refused(store, name, damage):
    store.put(SPEC, record(checkpoints=[checkpoint(0)]))
    damage(store.folder(SPEC) / name)
    sentence = r"^The policies of PPO-Hopper-v5-seed5 cannot be read \(.*\). Run the claims again "
    with pytest.raises(SpecError, match=sentence + r"to train the run again\.$"):
        store.history(SPEC)


def test_history_is_readable_without_starts(store):
    store.put(SPEC, record(checkpoints=[checkpoint(0)]))
    (store.folder(SPEC) / "starts.safetensors").unlink()
    assert len(store.history(SPEC).theta_KP) == 3


def test_mean_episode_averages_over_all_of_training(store):
    store.put(SPEC, record(episodes=[(0, 20, 31.5), (20, 9, 8.25), (29, 1, 0.0)]))
    assert store.mean_episode(SPEC) == 10
    store.put(other := dataclasses.replace(SPEC, seed=6), record(episodes=()))
    assert store.mean_episode(other) == 1


def test_swapped_array_is_detected(store):
    store.put(SPEC, record(checkpoints=[checkpoint(0)]))
    with_another_array(store.folder(SPEC) / "starts.safetensors")
    with pytest.raises(SpecError, match=r"DamagedError: the checksum of starts\.safetensors differs"):
        store.start(SPEC)


def test_lost_starts_are_restored_and_the_rest_is_kept(store):
    store.put(SPEC, record(checkpoints=[checkpoint(0)]))
    store.put_study(SPEC, TWINS, None, {"a": [1.0]})
    (store.folder(SPEC) / "starts.safetensors").unlink()
    assert not store.is_whole(SPEC)
    store.put(SPEC, record(checkpoints=[checkpoint(0)]))
    assert store.is_whole(SPEC) and store.has_study(SPEC, TWINS)
    assert [c.iteration for c in store.start(SPEC).checkpoints] == [0]
    # What is made of a run's policies does not outlive other ones: of another processor, say.
    (store.folder(SPEC) / "starts.safetensors").unlink()
    told = []
    store.notify = told.append
    store.put(SPEC, record(checkpoints=[checkpoint(1)]))
    assert store.is_whole(SPEC) and not store.has_study(SPEC, TWINS)
    assert [c.iteration for c in store.start(SPEC).checkpoints] == [1]
    assert len(told) == 1 and "differs from what its run gives on this machine; moved to quarantine/" in told[0]


SERIES_OF = {"none/ratio/max/training": [1.5, 1.25], "matched_kl/ratio/exceedance/held_out": [0.5, float("nan")]}
STUDIES = [
    TWINS,
    Study("landscapes"),
    Study("late_updates"),
    Study("large_updates", 65536),
    Study("large_updates", 10**6),
    Study("gradients", 2048),
    Study("near_true_gradients", 2048),
    Study("values"),
    Study("final_returns"),
]
each_study = pytest.mark.parametrize("study", STUDIES, ids=lambda study: study.name)


@each_study
def test_study_round_trips(store, study):
    store.put(SPEC, record())
    assert not store.has_study(SPEC, study)
    store.put_study(SPEC, study, None, SERIES_OF)
    assert store.has_study(SPEC, study)
    found = store.study(SPEC, study)
    assert found.failure is None and found.series.keys() == SERIES_OF.keys()
    for name, values in SERIES_OF.items():
        assert np.array_equal(found.series[name], values, equal_nan=True)
    # It is no measurement of the run, nor of another one, nor another study.
    assert store.measured(SPEC).series == SERIES
    assert not store.has_study(dataclasses.replace(SPEC, seed=6), study)
    assert not any(store.has_study(SPEC, other) for other in STUDIES if other != study)
    store.put_study(SPEC, study, "it broke", {})
    assert (store.study(SPEC, study).failure, store.study(SPEC, study).series) == ("it broke", {})


def test_study_file_names_identify_studies(store):
    store.put(SPEC, record())
    for study in STUDIES:
        store.put_study(SPEC, study, None, {})
    folder = store.folder(SPEC)
    of_pairs = ("large_updates-65536-*", "large_updates-1000000-*", "gradients-2048-*")
    for pattern in ("twins-*", "landscapes-*", "late_updates-*", *of_pairs, "values-*", "final_returns-*"):
        (path,) = folder.glob(f"{pattern}.json")
        assert re.fullmatch(r"[0-9a-f]{32}", path.stem.rpartition("-")[2])
    (folder / "notes-of-mine.json").write_text("{}")
    found = dict(study_files(folder))
    assert found.pop(store.measurements(SPEC)) is None
    assert found == {store.study_file(SPEC, study): study for study in STUDIES}


@each_study
@pytest.mark.parametrize(
    "damage",
    [
        lambda text: "",
        lambda text: "[]",
        lambda text: text[:-9],
        lambda text: text.replace("1.25", "1.26"),
        lambda text: text.replace("none/", "clip/"),
        lambda text: '{"failure": null, "series": {}}',
    ],
)
def test_damaged_study_is_not_read(store, damage, study):
    store.put(SPEC, record())
    store.put_study(SPEC, study, None, SERIES_OF)
    file = store.study_file(SPEC, study)
    assert damage(file.read_text()) != file.read_text()
    file.write_text(damage(file.read_text()))
    assert not store.has_study(SPEC, study)
    store.put_study(SPEC, study, None, SERIES_OF)
    assert store.has_study(SPEC, study)


@each_study
def test_study_by_other_code_is_another_file(store, monkeypatch, study):
    store.put(SPEC, record())
    store.put_study(SPEC, study, None, SERIES_OF)
    monkeypatch.setattr("rlclaims.store.store.study_digest", lambda spec, study: "e" * 64)
    assert not store.has_study(SPEC, study)
    store.put_study(SPEC, study, None, SERIES_OF)
    assert len(list(store.folder(SPEC).glob(f"{study.name}-*.json"))) == 2


def test_task_with_a_namespace_has_one_folder():
    spec = RunSpec(Loop("test_store:none", 8), "ALE/Pong-v5", 2, 3)
    assert spec.name == "none-ALE-Pong-v5-seed3"

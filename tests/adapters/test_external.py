"""External training as runs: planned, trained, stored, named, checked, refused, and its cost."""

import dataclasses
import importlib
import json
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import tiny_parent
from tiny_training import STEPS

from rlclaims import PPO, ClaimError, Runs
from rlclaims.adapters.external import train_external
from rlclaims.adapters.loop import Loop
from rlclaims.adapters.script import CLEANRL, Script
from rlclaims.execution import pool
from rlclaims.execution.child_process import kill, reap
from rlclaims.execution.cohorts import cohorts, plan
from rlclaims.execution.pool import TrainingError
from rlclaims.execution.train import execute
from rlclaims.execution.verify import differences, problems
from rlclaims.execution.worker_process import start
from rlclaims.planning.cost import NOTHING, Line, Speed, _external_speed, cost, probe_key
from rlclaims.planning.study_checks import check_study
from rlclaims.results.measured import Measured
from rlclaims.store import digest
from rlclaims.store.files import json_content
from rlclaims.store.run_spec import RunSpec, SpecError, checked
from rlclaims.store.store import Store
from rlclaims.studies.registry import KINDS, Study

TASK, ITERATIONS = "InvertedPendulum-v5", 11
NO_ENVIRONMENT = "Gymnasium has no environment {}. One that a module of yours registers is given as 'my_pkg:Mine-v0'."
SCRIPT = Path(__file__).parents[1] / "data" / "single_file_ppo.py"


def loop(name, **changes):
    return Loop(f"tiny_training:{name}", STEPS, **changes)


def sb3(*args, **settings):
    pytest.importorskip("stable_baselines3")
    from rlclaims.adapters.sb3 import SB3

    return SB3(*args, **settings)


def new_store(folder):
    store = Store(folder)
    store.prepare()
    return store


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Return a store with a finished seed and one that diverged, trained in a worker process."""
    store = new_store(tmp_path_factory.mktemp("store"))
    execute(plan(SPECS, store), store, 1, reports.append)
    return store


reports = []
SPECS = [RunSpec(loop("diverging"), TASK, ITERATIONS, seed) for seed in (1, 2)]


def test_store_returns_external_runs(store):
    for spec in SPECS:
        record = train_external(spec.algorithm, spec.task, spec.seed, spec.iterations)
        assert store.measured(spec) == Measured(record.failure, record.series)
    failed, whole = map(store.measured, SPECS)
    assert failed.failure == "kl_old_new/mean/training is not finite in iteration 2"
    assert whole.failure is None and len(whole.series["ratio/max/training"]) == ITERATIONS
    assert plan(SPECS, store).missing == ()


def test_store_is_valid_and_describes_the_training(store):
    assert list(problems(store)) == []
    described = [json.loads((store.folder(spec) / "run.json").read_text()) for spec in SPECS]
    assert [d["status"] for d in described] == ["failed", "finished"]
    assert described[0]["algorithm"]["settings"] == dataclasses.asdict(SPECS[0].algorithm)
    assert store.folder(SPECS[1]).name.startswith("diverging-InvertedPendulum-v5-seed2-")
    assert store.mean_episode(SPECS[1]) == 1.0


def test_progress_is_reported_after_each_seed(store):
    steps_done = [progress.steps_done for progress in reports]
    assert sorted(steps_done) == steps_done
    # After one of two seeds, progress is half of the iterations of both, rounded down.
    assert set(steps_done) >= {2 * STEPS * (ITERATIONS // 2), 2 * STEPS * ITERATIONS}
    assert reports[0].steps_total == 2 * STEPS * ITERATIONS
    assert reports[0].cohorts[0].algorithms == {"diverging": 2}


def test_replay_is_identical_and_finds_a_changed_number(store):
    (found,) = differences(SPECS[1:], store).values()
    assert found == []
    path = store.measurements(SPECS[1])
    before = path.read_text()
    record = json.loads(before)
    path.write_bytes(json_content(path.name, record["digest"], {"failure": "none", "series": record["series"]}))
    try:
        (found,) = differences(SPECS[1:], store).values()
    finally:
        path.write_text(before)
    assert found == ["how it ended (None, and in the store 'none')"]


@pytest.mark.parametrize("held_out", [False, True])
def test_run_is_valid_with_and_without_held_out_pairs(tmp_path, held_out):
    store = new_store(tmp_path)
    spec = RunSpec(loop("holding_out" if held_out else "train", held_out=held_out), TASK, ITERATIONS, 0)
    store.put(spec, train_external(spec.algorithm, spec.task, spec.seed, spec.iterations))
    assert list(problems(store)) == []
    assert len(store.measured(spec).series.get("ratio/max/held_out", ())) == (2 if held_out else 0)


def test_error_before_first_update_ends_the_session(tmp_path):
    store = new_store(tmp_path)
    specs = [RunSpec(loop("raising_at_once"), TASK, 2, seed) for seed in (0, 1)]
    with pytest.raises(TrainingError, match="ArithmeticError: it went wrong"):
        execute(plan(specs, store), store, 1, lambda _: None)
    assert not store.has(specs[0])


def test_task_with_namespace_is_one_folder(tmp_path):
    store = new_store(tmp_path)
    spec = checked(RunSpec(sb3("A2C"), "tiny_envs:tiny/BoxBox-v0", 2, 0))
    store.put(spec, train_external(spec.algorithm, spec.task, spec.seed, spec.iterations))
    (folder,) = (tmp_path / "runs").iterdir()
    assert folder == store.folder(spec) and folder.name.startswith("sb3-A2C-tiny_envs-tiny-BoxBox-v0-seed0-")
    assert store.has(spec) and list(problems(store)) == []


def algorithms():
    yield loop("train", epsilon=0.1)
    yield Script(str(SCRIPT), 32, (*CLEANRL, "--more"))
    yield sb3("PPO", environments=2, n_steps=16, policy_kwargs={"net_arch": [8]})


def test_run_spec_survives_serialisation():
    for algorithm in algorithms():
        spec = RunSpec(algorithm, TASK, 3, 5)
        assert RunSpec.from_json(json.loads(json.dumps(spec.to_json()))) == spec


def test_cohorts_split_one_training_and_separate_two():
    one, other = loop("train"), loop("train", epsilon=0.1)
    specs = [RunSpec(algorithm, TASK, 4, seed) for seed in range(3) for algorithm in (one, other)]
    specs += [RunSpec(PPO(steps=STEPS, minibatches=2), TASK, 4, 0)]
    shares = cohorts(specs, 2)
    assert sorted(map(len, shares)) == [1, 1, 1, 2, 2]
    assert all(len({run.algorithm for run in share}) == 1 for share in shares)
    assert sorted(run.name for share in shares for run in share) == sorted(run.name for run in specs)


MODULE = """
from my_helpers import twice

def train(task, seed, iterations, recorder):
    # does nothing
    return twice(seed)
"""
HELPERS = '"""Helpers."""\n\ndef twice(x):\n    return x + x\n'


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Return a function that edits a file of a user's project."""
    files = {"my_training.py": MODULE, "my_helpers.py": HELPERS, "my_other.py": "x = 1\n", "mine.py": MODULE}
    files["my_algorithm.py"] = "from stable_baselines3 import PPO\n\nclass Mine(PPO):\n    weight = 1\n"
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()

    def edit(file, old, new):
        text = (tmp_path / file).read_text()
        assert old in text
        (tmp_path / file).write_text(text.replace(old, new))

    yield edit
    for name in files:
        sys.modules.pop(name.removesuffix(".py"), None)


def named(algorithm, **changes):
    for cached in (digest.training_code, digest._imports, digest._syntax_digest):
        cached.cache_clear()
    return digest.run_digest(dataclasses.replace(RunSpec(algorithm, TASK, 5, 0), **changes))


KINDS_OF_TRAINING = {
    "loop": (lambda folder: Loop("my_training:train", 24), "my_training.py"),
    "script": (lambda folder: Script(str(folder / "mine.py"), 24), "mine.py"),
    "sb3": (lambda folder: sb3("my_algorithm:Mine"), "my_algorithm.py"),
}


@pytest.mark.parametrize(("make", "file"), KINDS_OF_TRAINING.values(), ids=KINDS_OF_TRAINING)
def test_run_digest_covers_only_the_training_source(project, tmp_path, make, file):
    algorithm = make(tmp_path)
    first = named(algorithm)
    project("my_other.py", "x = 1", "x = 2")
    assert named(algorithm) == first
    old, new = ("weight = 1", "weight = 2") if file == "my_algorithm.py" else ("twice(seed)", "twice(seed + 1)")
    project(file, old, new)
    assert named(algorithm) != first
    project(file, new, f"{old}  # is what it was")
    assert named(algorithm) == first


def test_run_digest_covers_imports_of_the_training(project, tmp_path):
    algorithm = Loop("my_training:train", 24)
    first = named(algorithm)
    project("my_helpers.py", '"""Helpers."""', '"""Useful helpers."""')
    assert named(algorithm) == first
    project("my_helpers.py", "x + x", "2 * x")
    assert named(algorithm) != first


@pytest.mark.parametrize("name", ["random", "numpy", "pytest", "conftest", "a b.c"])
def test_run_digest_covers_a_script_of_any_name(tmp_path, name):
    path = tmp_path / f"{name}.py"
    path.write_text("x = 1\n")
    algorithm = Script(str(path), 24)
    algorithm.check()
    first = named(algorithm)
    path.write_text("x = 2\n")
    assert named(algorithm) != first


def test_run_digest_covers_every_setting(project, tmp_path):
    (tmp_path / "copy.py").write_text(MODULE)
    script = Script(str(tmp_path / "mine.py"), 24)
    others = [
        Loop("my_training:train", 24),
        Loop("my_training:train", 25),
        Loop("my_training:train", 24, epsilon=0.1),
        Loop("my_training:train", 24, held_out=True),
        script,
        dataclasses.replace(script, arguments=("--seed", "{seed}")),
        dataclasses.replace(script, path=str(tmp_path / "copy.py")),
        sb3("PPO"),
        sb3("PPO", n_steps=64),
        sb3("PPO", environments=2),
        sb3("PPO", normalize=True),
        sb3("A2C"),
        sb3("PPO", "MultiInputPolicy"),
        sb3("my_algorithm:Mine"),
    ]
    names = [named(algorithm) for algorithm in others]
    names += [named(others[0], seed=1), named(others[0], iterations=6), named(others[0], task="Pendulum-v1")]
    assert len(set(names)) == len(names)
    assert named(others[0]) == names[0]


def test_run_digest_covers_versions_of_training_libraries(project, tmp_path, monkeypatch):
    own, theirs, native = Loop("my_training:train", 24), sb3("PPO"), PPO()
    before = [named(algorithm) for algorithm in (own, theirs, native)]
    known = digest.version
    monkeypatch.setattr(digest, "version", lambda name: "0.0" if name == "stable-baselines3" else known(name))
    after = [named(algorithm) for algorithm in (own, theirs, native)]
    assert [one == other for one, other in zip(before, after, strict=True)] == [True, False, True]


@pytest.mark.parametrize(
    ("make", "task", "sentence"),
    [
        (lambda: loop("train"), "NoSuchTask-v9", NO_ENVIRONMENT.format("'NoSuchTask-v9'")),
        (lambda: loop("train"), "Hopper", NO_ENVIRONMENT.format("'Hopper'")),
        (lambda: sb3("PPO"), "no_such_module:Mine-v0", NO_ENVIRONMENT.format("'no_such_module:Mine-v0'")),
        (lambda: sb3("PPO"), "tiny_envs:tiny/No-v0", NO_ENVIRONMENT.format("'tiny_envs:tiny/No-v0'")),
        (lambda: sb3("PPO"), "", NO_ENVIRONMENT.format("''")),
        (
            lambda: sb3("PPO"),
            "InvertedPendulum-v5(noise=1)",
            "The task 'InvertedPendulum-v5(noise=1)' has no argument 'noise'; it takes frame_skip, max_episode_steps, "
            "reset_noise_scale, xml_file.",
        ),
        (
            lambda: loop("train"),
            "CartPole-v1(noise=1)",
            "The task 'CartPole-v1(noise=1)' has no argument 'noise'; it takes max_episode_steps, sutton_barto_reward.",
        ),
        (
            lambda: loop("train"),
            "FrozenLake-v1(is_slippery=False, desc=3)",
            "The task 'FrozenLake-v1(desc=3, is_slippery=False)' cannot be made: ValueError: not enough values to "
            "unpack (expected 2, got 0).",
        ),
        (
            lambda: Script(str(SCRIPT), 32),
            "CartPole-v1(sutton_barto_reward=True)",
            "single-file-ppo takes an environment's id without arguments: register "
            "'CartPole-v1(sutton_barto_reward=True)' under an id of its own.",
        ),
        (
            lambda: sb3("PPO", epochs=3),
            TASK,
            "PPO has no setting 'epochs'; it has learning_rate, n_steps, batch_size, n_epochs, gamma, gae_lambda, "
            "clip_range, clip_range_vf, normalize_advantage, ent_coef, vf_coef, max_grad_norm, use_sde, "
            "sde_sample_freq, rollout_buffer_class, rollout_buffer_kwargs, target_kl, stats_window_size, "
            "policy_kwargs.",
        ),
        (
            lambda: Script("nothing.py", 3),
            TASK,
            "There is no script 'nothing.py'; give the path of a file that ends in .py.",
        ),
        (
            lambda: loop("nothing"),
            TASK,
            "There is no training function 'tiny_training:nothing': module 'tiny_training' has no attribute 'nothing'.",
        ),
        (
            lambda: Script(str(SCRIPT), 32, ("{seed}", ["more"])),
            TASK,
            "The arguments of single-file-ppo must be a tuple of strings, in which {seed}, {task} and {steps} are "
            "filled in, not ('{seed}', ['more']).",
        ),
        (
            lambda: loop("train", held_out=np.bool_(True)),
            TASK,
            f"Loop: held_out must be True or False, not {np.bool_(True)!r}.",
        ),
    ],
)
def test_checked_refuses_what_cannot_be_trained(make, task, sentence):
    with pytest.raises(SpecError) as raised:
        checked(RunSpec(make(), task, 3, 0))
    assert str(raised.value) == sentence


def test_sb3_trains_on_a_task_with_arguments():
    algorithm = sb3("PPO", n_steps=32, batch_size=32)
    texts = "CartPole-v1(max_episode_steps=30, sutton_barto_reward=True)", "odd_envs:odd/SuttonBarto-v0", "CartPole-v1"
    with_arguments, registered, without = (train_external(algorithm, text, 3, 3).series for text in texts)
    assert with_arguments == registered != without
    spec = RunSpec(algorithm, texts[0], 3, 0)
    assert checked(spec) is spec


def test_checked_accepts_what_can_be_trained():
    for algorithm in (loop("train"), Script(str(SCRIPT), 32), sb3("PPO", n_steps=32)):
        for task in (TASK, "CartPole-v1", "tiny_envs:tiny/DictBox-v0"):
            spec = RunSpec(algorithm, task, 3, 0)
            assert checked(spec) is spec


@pytest.mark.parametrize("study", [Study(name, 4096) for name in KINDS], ids=lambda study: study.kind)
def test_studies_of_external_runs_are_refused(study):
    with pytest.raises(SpecError) as raised:
        check_study(study, loop("train"))
    assert str(raised.value) == (
        f"{study.words.capitalize()} are of algorithms that rlclaims trains itself; of train it only records updates."
    )


def runs_of(algorithm, **changes):
    series = {
        f"{name}/{states}": [1.0, 3.0] if states == "training" else [1.0]
        for states in ("training", "held_out")
        for name in ("kl_old_new/mean", "ratio/exceedance", "ratio/max")
    }
    return Runs(algorithm, TASK, 2, (0, 1), (Measured(None, series),) * 2)


def test_measures_of_external_runs_are_read():
    runs = runs_of(loop("train", held_out=True, epsilon=0.125))
    assert runs.kl_old_new.mean.training.overall().values == (2.0, 2.0)
    assert runs.kl_old_new.mean.held_out.overall().values == (1.0, 1.0)
    words = "train(function='tiny_training:train', steps_between_updates=24, epsilon=0.125, held_out=True)"
    assert runs.name == words
    assert runs.ratio.exceedance.training.quantity.label == f"{words}'s share of ratios outside 1±0.125, training batch"
    assert runs.scope.label == "InvertedPendulum-v5, 48 steps, seeds 0 to 1"


@pytest.mark.parametrize(
    ("measure", "words"),
    [
        (lambda runs: runs.kl_deployed.mean.training, "mean KL(old||new) as deployed, training batch"),
        (lambda runs: runs.kl_deployed.max.held_out, "max KL(old||new) as deployed, held out"),
        (lambda runs: runs.ratio.max.held_out, "max ratio, held out"),
    ],
)
def test_measures_that_are_not_recorded_are_refused(measure, words):
    runs = runs_of(loop("train"))
    with pytest.raises(ClaimError) as raised:
        measure(runs)
    assert str(raised.value) == (f"{words} is not available for {runs.name}: its adapter does not record it.")


def test_where_refuses_series_of_differently_set_trainings():
    one, other = runs_of(sb3("PPO")), runs_of(sb3("PPO", n_epochs=3))
    again = runs_of(sb3("PPO"))
    with pytest.raises(ClaimError, match="another series of the same runs"):
        one.ratio.max.training.where(other.ratio.max.held_out)
    assert one.ratio.max.training.where(again.ratio.max.held_out).rows == ((1.0,),) * 2


def test_cost_adds_up_over_seeds():
    of_loop, of_script = loop("train", held_out=True), Script(str(SCRIPT), 32)
    specs = [RunSpec(algorithm, TASK, 21, seed) for algorithm in (of_loop, of_script) for seed in range(3)]
    speeds = {}
    for algorithm, start_, iteration, each in ((of_loop, 2.0, 0.5, 0.25), (of_script, 3.0, 1.0, 4.0)):
        speed = Speed(start_, Line(0.0, 0.0), {algorithm: Line(0.0, iteration)}, {algorithm: 0}, 0, each)
        speeds[probe_key(RunSpec(algorithm, TASK, 21, 0))] = speed
    assert len(speeds) == 2
    assert cost([], 1, speeds) == NOTHING
    taken = cost(specs, 1, speeds)
    # Each process has a start-up time, and each seed another.
    assert taken.seconds == pytest.approx(2 + 3 * (0.25 + 21 * 0.5) + 3 + 3 * (4 + 21 * 1.0))
    # Three of the 21 iterations hold out as many pairs again; a script holds out none.
    assert (taken.runs, taken.steps) == (6, 3 * 24 * STEPS + 3 * 21 * 32)
    alone = cost(specs[3:], 3, speeds)
    assert alone.seconds == pytest.approx(3 + 4 + 21)


def test_speed_is_estimated_from_one_and_three_iterations():
    algorithm = loop("train")
    answers = [{"1": 5.0, "3": 9.0}, {"1": 7.0, "3": 11.0}]  # on average 6 and 10: 2 per iteration, and 4 before
    speed = _external_speed(algorithm, answers, 25.0)
    spec = RunSpec(algorithm, TASK, 10, 0)
    # Of the 25 seconds, 6 + 6 + 10 were training.
    assert speed.seconds([spec]) == pytest.approx(3 + 4 + 10 * 2)
    assert speed.seconds([spec] * 3) == pytest.approx(3 + 3 * (4 + 10 * 2))


def alive(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"  # killed, but not waited for yet


def gone(pid):
    deadline = time.monotonic() + 30
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not alive(pid)


linux = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


@linux
def test_killing_a_process_kills_its_children(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(Path(tiny_parent.__file__).parent))
    process, log = start("tiny_parent", [])
    child = json.loads(process.stdout.readline())["child"]
    assert alive(child)
    kill(process)
    assert process.wait() != 0 and gone(child)
    reap((process, log))  # which has ended


@linux
def test_orphaned_process_ends_with_its_children(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(Path(tiny_parent.__file__).parent))
    process, log = start("tiny_parent", [])
    child = json.loads(process.stdout.readline())["child"]
    assert alive(process.pid) and alive(child)
    process.stdin.close()  # as the end of the parent does
    assert process.wait(30) != 0 and gone(child)
    reap((process, log))


class Slow:
    """A process's output whose reader is between two lines when it is closed."""

    def __init__(self, stdout):
        self._stdout, self.close = stdout, stdout.close

    def __iter__(self):
        for line in self._stdout:
            yield line
            time.sleep(0.5)


@linux
def test_interrupted_training_leaves_no_process_or_thread(monkeypatch, tmp_path):
    children = []

    def instead(module, specs, **job):
        process, log = start("tiny_parent", [], **job)
        children.append(json.loads(process.stdout.readline())["child"])
        process.stdout = Slow(process.stdout)
        return process, log

    def interrupted(_):
        raise KeyboardInterrupt

    monkeypatch.setenv("PYTHONPATH", str(Path(tiny_parent.__file__).parent))
    monkeypatch.setattr(pool, "start", instead)
    store = new_store(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        execute(plan(SPECS, store), store, 2, interrupted)
    assert len(children) == 2 and all(map(gone, children))
    assert not [thread for thread in threading.enumerate() if "listen" in thread.name]

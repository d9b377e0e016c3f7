"""What is measured of finished runs, made by other processes and kept one by one."""

import json
import signal
import subprocess
import sys
import tempfile
from io import StringIO
from itertools import chain, product

import numpy as np
import pytest

from rlclaims import PPO, TRPO
from rlclaims.execution import derive, derive_worker, pool
from rlclaims.execution.derive import dealt, make_simulated
from rlclaims.execution.pool import TrainingError
from rlclaims.results.measured import Measured
from rlclaims.sim.tasks import task_named
from rlclaims.store.run_spec import RunSpec
from rlclaims.store.store import Store
from rlclaims.studies.kinds import KINDS, SimulationFailure, measured
from rlclaims.studies.registry import Study, length
from rlclaims.training import Cohort, Group

SMALL = {"steps": 64, "value_epochs": 1, "hidden": (8,)}
ALGORITHMS = PPO(epochs=1, minibatches=2, **SMALL), TRPO(**SMALL, minibatches=2)
TASK = "InvertedPendulum-v5"
STUDIES = (
    Study("landscapes"),
    Study("late_updates"),
    Study("large_updates", 96),
    Study("gradients", 1024),
    Study("near_true_gradients", 1024),
    Study("values"),
    Study("final_returns"),
)


@pytest.fixture(scope="module")
def records():
    groups = [Group(algorithm, (3, 4)) for algorithm in ALGORITHMS]
    return Cohort(task_named(TASK), groups, 2).train()


@pytest.fixture
def stored(tmp_path, records):
    """Two runs each of two algorithms."""
    store = Store(tmp_path / "store")
    store.prepare()
    specs = [RunSpec(record.algorithm, TASK, 2, record.seed) for record in records]
    for spec, record in zip(specs, records, strict=True):
        store.put(spec, record)
    return store, specs


def made_here(store, spec, study, on_steps=lambda _: None):
    start, history = store.start(spec), store.history(spec)
    return measured(study.kind, study.pairs, spec.algorithm, TASK, 2, start, history, on_steps)


def test_other_processes_make_the_same_numbers_and_tell_every_step(stored):
    store, specs = stored
    jobs, told, steps = list(product(specs, STUDIES)), [], []
    make_simulated(jobs, store, 2, told.append)
    for spec, study in jobs:
        here, found = made_here(store, spec, study, steps.append), store.study(spec, study)
        assert found.failure is None and found.series.keys() == here.keys()
        for name, values in here.items():
            assert np.array_equal(found.series[name], values, equal_nan=True), name
            assert len(values) == length(study, name, 2), name
    first, last = told[0], told[-1]
    assert (first.done, first.total, first.steps_done) == (0, 28, 0)
    assert first.kinds == tuple(study.kind.replace("_", " ") for study in STUDIES)
    assert first.steps_total == 4 * sum(KINDS[study.kind].expected_steps(study.pairs, 2) for study in STUDIES)
    assert (last.done, last.total) == (28, 28)
    assert last.steps_done == last.steps_total == sum(steps)
    assert sorted({progress.done for progress in told}) == list(range(29))


def test_a_failed_run_has_its_failure_and_needs_no_process(stored, records, monkeypatch):
    store, (spec, *_) = stored
    failed = RunSpec(spec.algorithm, TASK, 2, 5)
    (record,) = Cohort(task_named(TASK), [Group(spec.algorithm, (5,))], 2).train()
    record.failure = "it broke"
    store.put(failed, record)
    monkeypatch.setattr(pool, "start", None)
    make_simulated([(failed, study) for study in STUDIES], store, 2)
    assert [store.study(failed, study) for study in STUDIES] == [Measured("it broke", {})] * len(STUDIES)


def test_an_episode_that_cannot_be_simulated_is_told_in_words_and_the_next_run_is_made(stored, monkeypatch):
    store, specs = stored
    said, real = StringIO(), derive_worker.measured

    def fails_at_first(kind, pairs, algorithm, task, iterations, start, history, on_steps):
        on_steps(7)
        if start.seed == 3:
            raise SimulationFailure("it shook")
        return real(kind, pairs, algorithm, task, iterations, start, history, on_steps)

    job = {"store": str(store.root), "studies": [["late_updates", None]] * 2}
    monkeypatch.setattr(derive_worker, "measured", fails_at_first)
    monkeypatch.setattr(derive_worker, "receive", lambda: (job, specs[:2], said))
    derive_worker.main()
    first, failure, steps, done = map(json.loads, said.getvalue().splitlines())
    assert (first, failure) == ({"steps": 7}, {"run": 0, "failure": "it shook", "series": {}})
    here = []
    assert done == {"run": 1, "failure": None, "series": made_here(store, specs[1], STUDIES[1], here.append)}
    assert steps == {"steps": 7 + sum(here)}


DONE = 'import sys\nprint(\'{"run": 0, "failure": null, "series": {"before/return": [1.0]}}\', flush=True)\n'
WAITS = "import time\ntime.sleep(100)\n"


@pytest.fixture
def stand_ins(monkeypatch):
    """Processes that run other programs, in the order they are started; told with the runs they were given."""
    started = []

    def stand_in(*programs):
        def start(module, specs, **told):
            log = tempfile.TemporaryFile()  # noqa: SIM115  (the executor closes it)
            command = [sys.executable, "-c", programs[len(started)]]
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, start_new_session=True)
            started.append(
                (process, [(spec, Study(*study)) for spec, study in zip(specs, told["studies"], strict=True)])
            )
            return process, log

        monkeypatch.setattr(pool, "start", start)
        return started

    return stand_in


def test_a_process_that_dies_stops_the_others_and_loses_only_what_was_under_way(stored, stand_ins):
    store, specs = stored
    started = stand_ins(DONE + "raise SystemExit('no memory')", WAITS)
    jobs = list(product(specs, STUDIES[1:2]))
    with pytest.raises(TrainingError, match=r"^The late updates of PPO-.*seed3 and .* made\. .* words: no memory\.$"):
        make_simulated(jobs, store, 2)
    (dead, mine), (other, _) = started
    # The other did not come to its own end, which would be 0.
    assert (dead.returncode, other.returncode) == (1, -signal.SIGKILL)
    assert [job for job in jobs if store.has_study(*job)] == mine[:1]
    assert store.study(*mine[0]).series == {"before/return": [1.0]}


def test_ctrl_c_leaves_no_process_and_keeps_what_is_done(stored, stand_ins):
    store, specs = stored
    started = stand_ins(DONE + WAITS, WAITS)

    def stop_when_one_is_done(progress):
        if progress.done:
            raise KeyboardInterrupt

    jobs = list(product(specs, STUDIES[1:2]))
    with pytest.raises(KeyboardInterrupt):
        make_simulated(jobs, store, 2, stop_when_one_is_done)
    assert [process.poll() for process, _ in started] == [-signal.SIGKILL] * 2
    assert [job for job in jobs if store.has_study(*job)] == started[0][1][:1]


def test_longer_episodes_are_dealt_as_more_to_do(stored, monkeypatch):
    store, specs = stored
    lengths = dict(zip(specs, (5.0, 1.0, 2.0, 2.0), strict=True))
    monkeypatch.setattr(Store, "mean_episode", lambda self, spec: lengths[spec])
    jobs = [(spec, STUDIES[1]) for spec in specs]
    weights = derive._weights(jobs, store)
    assert [weight / weights[1] for weight in weights] == pytest.approx([5, 1, 2, 2])
    assert sorted(map(sorted, dealt(weights, 2))) == [[0], [1, 2, 3]]


@pytest.mark.parametrize("processes", [1, 2, 3, 9])
def test_processes_get_about_as_much_to_do_the_heaviest_first(processes):
    weights = np.random.default_rng(processes).exponential(size=7).tolist()
    shares = dealt(weights, processes)
    assert len(shares) == min(processes, 7) and sorted(chain(*shares)) == list(range(7))
    for share in shares:
        assert share and sorted(share, key=lambda place: -weights[place]) == share

    def longest(owner):
        return max(sum(w for w, o in zip(weights, owner, strict=True) if o == process) for process in range(processes))

    best = min(map(longest, product(range(min(processes, 3)), repeat=7))) if processes <= 3 else max(weights)
    ours = max(sum(weights[place] for place in share) for share in shares)
    # Graham's bound for the longest first.
    assert ours <= best * (4 / 3 - 1 / (3 * processes)) + 1e-12

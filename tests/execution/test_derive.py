"""Studies of finished runs, computed by worker processes and stored one by one."""

import json
import signal
import subprocess
import sys
import tempfile
from dataclasses import replace
from io import StringIO
from itertools import chain, product

import numpy as np
import pytest
from small_runs import computed

from rlclaims import PPO, TRPO
from rlclaims.execution import derive_worker, pool
from rlclaims.execution.derive import Job, _weights, derive, distribute
from rlclaims.execution.pool import TrainingError
from rlclaims.results.measured import Measured
from rlclaims.sim.tasks import task_named
from rlclaims.store.run_spec import RunSpec
from rlclaims.store.store import Store
from rlclaims.studies.registry import KINDS, Study, length
from rlclaims.studies.replayed_run import SimulationFailure
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
TWINS = Study("twins")


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


def computed_here(store, spec, study, on_steps=lambda _: None):
    start, history = store.start(spec), store.history(spec)
    return computed(study.kind, study.pairs, spec.algorithm, TASK, 2, start, history, on_steps)


def test_workers_compute_the_same_numbers_and_report_every_step(stored):
    store, specs = stored
    jobs, reports, steps = list(product(specs, STUDIES)), [], []
    derive(jobs, store, 2, reports.append)
    for spec, study in jobs:
        here, found = computed_here(store, spec, study, steps.append), store.study(spec, study)
        assert found.failure is None and found.series.keys() == here.keys()
        for name, values in here.items():
            assert np.array_equal(found.series[name], values, equal_nan=True), name
            assert len(values) == length(study, name, 2), name
    first, last = reports[0], reports[-1]
    assert (first.done, first.total, first.steps_done) == (0, 28, 0)
    assert first.studies == tuple(study.kind.replace("_", " ") for study in STUDIES)
    assert first.steps_total == 4 * sum(KINDS[study.kind].expected_steps(study.pairs, 2) for study in STUDIES)
    assert (last.done, last.total) == (28, 28)
    assert last.steps_done == last.steps_total == sum(steps)
    assert sorted({progress.done for progress in reports}) == list(range(29))


def test_failed_run_keeps_its_failure_without_a_process(stored, records, monkeypatch):
    store, (spec, *_) = stored
    failed = RunSpec(spec.algorithm, TASK, 2, 5)
    (record,) = Cohort(task_named(TASK), [Group(spec.algorithm, (5,))], 2).train()
    record.failure = "it broke"
    store.put(failed, record)
    monkeypatch.setattr(pool, "start", None)
    derive([(failed, study) for study in (*STUDIES, TWINS)], store, 2)
    assert [store.study(failed, study) for study in (*STUDIES, TWINS)] == [Measured("it broke", {})] * 8


def test_worker_reports_a_failed_simulation_and_continues(stored, monkeypatch):
    store, specs = stored
    output = StringIO()
    kind = KINDS["late_updates"]

    def fails_at_first(runs, pairs, job, on_steps):
        on_steps(7)
        if runs[0].start.seed == 3:
            raise SimulationFailure("it shook")
        return kind.compute(runs, pairs, job, on_steps)

    jobs = [{"kind": "late_updates", "pairs": None, "name": "", "runs": [i]} for i in range(2)]
    monkeypatch.setitem(KINDS, "late_updates", replace(kind, compute=fails_at_first))
    monkeypatch.setattr(derive_worker, "receive", lambda: ({"store": str(store.root), "jobs": jobs}, specs[:2], output))
    derive_worker.main()
    first, failure, steps, done = map(json.loads, output.getvalue().splitlines())
    assert (first, failure) == ({"steps": 7}, {"job": 0, "failure": "it shook", "series": []})
    monkeypatch.undo()
    here = []
    assert done == {"job": 1, "failure": None, "series": [computed_here(store, specs[1], STUDIES[1], here.append)]}
    assert steps == {"steps": 7 + sum(here)}


def test_one_call_computes_studies_of_every_protocol(stored):
    store, specs = stored
    ppo = [spec for spec in specs if isinstance(spec.algorithm, PPO)]
    jobs = [(spec, study) for spec in ppo for study in (STUDIES[6], TWINS)]
    reports = []
    derive(jobs, store, 2, reports.append)
    assert all(store.has_study(*job) for job in jobs)
    assert reports[0].studies == ("final returns", "twin updates")
    # Two runs play by themselves, and one group of both learns again in jobs.
    assert reports[-1].done == reports[-1].total == 2 + len(KINDS["twins"].jobs())


def test_worker_skips_jobs_whose_results_were_received(stored, monkeypatch):
    store, specs = stored
    output = StringIO()
    names = ["none", "clip", "epsilon"]
    jobs = [{"kind": "twins", "pairs": None, "name": name, "runs": [0, 1]} for name in names]
    payload = {"store": str(store.root), "jobs": jobs, "skip": 1}
    monkeypatch.setattr(derive_worker, "receive", lambda: (payload, specs[:2], output))
    derive_worker.main()
    messages = list(map(json.loads, output.getvalue().splitlines()))
    assert [message["job"] for message in messages] == [1, 2]
    assert all(len(message["series"]) == 2 for message in messages)
    assert {name.partition("/")[0] for message in messages for name in message["series"][0]} == set(names[1:])


DONE = 'import sys\nprint(\'{"job": 0, "failure": null, "series": [{"before/return": [1.0]}]}\', flush=True)\n'
WAITS = "import time\ntime.sleep(100)\n"


@pytest.fixture
def stand_ins(monkeypatch):
    """Processes that run other programs, in the order they are started, each with the studies that it was given."""
    started = []

    def stand_in(*programs):
        def start(module, specs, **payload):
            log = tempfile.TemporaryFile()  # noqa: SIM115  (the pool closes it)
            command = [sys.executable, "-c", programs[len(started)]]
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, start_new_session=True)
            given = [(specs[i], Study(job["kind"], job["pairs"])) for job in payload["jobs"] for i in job["runs"]]
            started.append((process, given))
            return process, log

        monkeypatch.setattr(pool, "start", start)
        return started

    return stand_in


def test_dead_worker_stops_the_others_and_loses_unfinished_jobs(stored, stand_ins):
    store, specs = stored
    started = stand_ins(DONE + "raise SystemExit('no memory')", WAITS)
    jobs = list(product(specs, STUDIES[1:2]))
    with pytest.raises(TrainingError, match=r"^The late updates of PPO-.*seed3 and .* computed\. .*: no memory\.$"):
        derive(jobs, store, 2)
    (dead, mine), (other, _) = started
    # The other one did not exit by itself, with status 0.
    assert (dead.returncode, other.returncode) == (1, -signal.SIGKILL)
    assert [job for job in jobs if store.has_study(*job)] == mine[:1]
    assert store.study(*mine[0]).series == {"before/return": [1.0]}


def test_ctrl_c_leaves_no_process_and_keeps_finished_studies(stored, stand_ins):
    store, specs = stored
    started = stand_ins(DONE + WAITS, WAITS)

    def stop_when_one_is_done(progress):
        if progress.done:
            raise KeyboardInterrupt

    jobs = list(product(specs, STUDIES[1:2]))
    with pytest.raises(KeyboardInterrupt):
        derive(jobs, store, 2, stop_when_one_is_done)
    assert [process.poll() for process, _ in started] == [-signal.SIGKILL] * 2
    assert [job for job in jobs if store.has_study(*job)] == started[0][1][:1]


def test_jobs_of_longer_episodes_weigh_more(stored, monkeypatch):
    store, specs = stored
    lengths = dict(zip(specs, (5.0, 1.0, 2.0, 2.0), strict=True))
    monkeypatch.setattr(Store, "mean_episode", lambda self, spec: lengths[spec])
    weights = _weights([Job(STUDIES[1], (spec,), "", 1.0) for spec in specs], store)
    assert [weight / weights[1] for weight in weights] == pytest.approx([5, 1, 2, 2])
    assert sorted(map(sorted, distribute(weights, 2))) == [[0], [1, 2, 3]]


@pytest.mark.parametrize("processes", [1, 2, 3, 9])
def test_distribute_balances_processes_and_puts_heavy_jobs_first(processes):
    weights = np.random.default_rng(processes).exponential(size=7).tolist()
    shares = distribute(weights, processes)
    assert len(shares) == min(processes, 7) and sorted(chain(*shares)) == list(range(7))
    for share in shares:
        assert share and sorted(share, key=lambda place: -weights[place]) == share

    def longest(owner):
        return max(sum(w for w, o in zip(weights, owner, strict=True) if o == process) for process in range(processes))

    best = min(map(longest, product(range(min(processes, 3)), repeat=7))) if processes <= 3 else max(weights)
    ours = max(sum(weights[place] for place in share) for share in shares)
    # Graham's bound for the longest first.
    assert ours <= best * (4 / 3 - 1 / (3 * processes)) + 1e-12

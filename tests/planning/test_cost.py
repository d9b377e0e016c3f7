"""Estimated cost of training, against a schedule worked out by hand."""

import math
from dataclasses import replace

import numpy as np
import pytest

from rlclaims.agents.ppo import PPO
from rlclaims.agents.trpo import TRPO
from rlclaims.execution.cohorts import plan
from rlclaims.execution.train import execute
from rlclaims.execution.worker_process import start
from rlclaims.planning import cost as cost_module
from rlclaims.planning.cost import NOTHING, Line, Speed, cost, cost_of_studies, measured_speeds
from rlclaims.store.run_spec import RunSpec
from rlclaims.store.store import Store
from rlclaims.studies.registry import KINDS, Study

TWINS = Study("twins")

SMALL = {"steps": 64, "minibatches": 2, "value_epochs": 1}
PPO_, TRPO_ = PPO(epochs=1, **SMALL), TRPO(**SMALL)
TASK = "InvertedPendulum-v5"


def runs(algorithm, seeds, iterations=25):
    return [RunSpec(algorithm, TASK, iterations, seed) for seed in range(seeds)]


SPEED = Speed(
    start=3.0,
    collect=Line(0.5, 0.125),
    learn={PPO_: Line(1.0, 0.25), TRPO_: Line(2.0, 0.5)},
    parameters={PPO_: 10, TRPO_: 20},
    numbers_per_pair=6,
)
SPEEDS = {(TASK, 64): SPEED}


def test_cost_of_no_runs_is_nothing():
    assert cost([], 2, SPEEDS) == NOTHING


def test_cost_of_one_process_is_all_in_lockstep():
    taken = cost(runs(PPO_, 4) + runs(TRPO_, 2), 1, SPEEDS)
    collecting = 0.5 + 6 * 0.125
    # 25 iterations; 0, 10 and 20 collect once more, to measure.
    assert taken.seconds == pytest.approx(3 + 28 * collecting + 25 * (1 + 4 * 0.25 + 2 + 2 * 0.5))
    assert (taken.runs, taken.steps) == (6, 6 * 28 * 64)


def test_cost_of_two_processes_is_the_longer_time():
    taken = cost(runs(PPO_, 2) + runs(TRPO_, 2), 2, SPEEDS)
    collecting = 0.5 + 2 * 0.125
    assert taken.seconds == pytest.approx(3 + 28 * collecting + 25 * (2 + 2 * 0.5))  # TRPO's, the costlier half


def test_twin_updates_cost_the_policys_share_of_learning():
    taken = cost_of_studies([(run, TWINS) for run in runs(PPO_, 3)], 2, SPEEDS)
    # Kept are iterations 0, 10 and 20, together. Of an iteration's gradient steps, 2 of 4 are the policy's. There are
    # 128 twins in the design and 9 of one mechanism, half of the design's and one of the others with half of the
    # epochs; ten times the epochs once; two updates to match their KL; and one for what is pushed out.
    updates = 64 + 64 / 2 + 8 + 1 / 2 + 10 + 2 + 1
    assert taken.seconds == pytest.approx(3 + updates * (1 + 9 * 0.25) * 2 / 4 / 2)
    assert (taken.runs, taken.steps) == (0, 0)
    # Six series of each of 140 jobs, three numbers each.
    assert taken.bytes == 3 * 25 * 6 * 140 * 3


def test_landscapes_cost_the_expected_steps_on_one_process_a_run():
    landscapes, large = Study("landscapes"), Study("large_updates", 4096)
    asked = [(run, landscapes) for run in runs(PPO_, 3)] + [(run, large) for run in runs(TRPO_, 1)]
    of_each, of_large = (KINDS[study.kind].expected_steps(study.pairs, 25) for study in (landscapes, large))
    # 128 play at a time.
    second_a_step = (0.5 + 128 * 0.125) / (128 * 64)
    taken = cost_of_studies(asked, 2, SPEEDS)
    assert (taken.runs, taken.steps) == (0, 3 * of_each + of_large)
    assert taken.seconds == pytest.approx(3 + (3 * of_each + of_large) * second_a_step / 2)
    alone = cost_of_studies(asked[:1], 2, SPEEDS)
    assert alone.seconds == pytest.approx(3 + of_each * second_a_step)
    twins = [(run, TWINS) for run in runs(PPO_, 3)]
    assert cost_of_studies(twins + asked, 2, SPEEDS) == cost_of_studies(twins, 2, SPEEDS) + taken
    assert cost_of_studies([], 2, SPEEDS) == NOTHING


def test_cost_of_separate_cohorts_waits_for_a_free_process():
    short, long = runs(PPO_, 1, iterations=10), runs(PPO_, 1, iterations=100)
    seconds = [3 + (n + math.ceil(n / 10)) * 0.625 + n * 1.25 for n in (10, 100)]
    assert cost(short + long, 1, SPEEDS).seconds == pytest.approx(sum(seconds))


@pytest.mark.parametrize("points", [[(1, 2.0), (4, 3.5)], [(1, 2.0), (4, 1.0)]])
def test_line_goes_through_its_points_and_never_falls(points):
    line = Line.through(points)
    assert line.at(4) == pytest.approx(max(points[1][1], points[0][1]))
    assert line.fixed >= 0 and line.per_seed >= 0


def test_probe_times_this_machine_and_predicts_disk_use(tmp_path):
    specs = runs(PPO_, 1, iterations=30) + runs(TRPO_, 1, iterations=30)
    (speed,) = measured_speeds(specs, 1).values()
    assert speed.start > 0 and speed.collect.at(1) > 0 and all(speed.learn[a].at(1) > 0 for a in (PPO_, TRPO_))
    store = Store(tmp_path / "store")
    store.prepare()
    execute(plan(specs, store), store, 1, lambda _: None)
    on_disk = sum(path.stat().st_size for path in store.root.rglob("*") if path.is_file())
    assert cost(specs, 1, {(TASK, 64): speed}).bytes == pytest.approx(on_disk, rel=0.1)
    # The parameters of a policy with one action: two hidden layers of 64 units, a mean and a deviation.
    assert speed.parameters[PPO_] == np.sum([4 * 64 + 64, 64 * 64 + 64, 64 + 1, 1])


def test_probe_times_equal_algorithms_once(monkeypatch):
    probed = []
    monkeypatch.setattr(cost_module, "start", lambda *a, **how: probed.append(a[1]) or start(*a, **how))
    same = [PPO_, replace(PPO_, learning_rate=1.0, clip_epsilon=None, initialization="xavier")]
    others = [replace(PPO_, epochs=40), replace(PPO_, hidden=(8,)), TRPO_]
    (speed,) = measured_speeds([run for a in (*same, *others) for run in runs(a, 2)], 1).values()
    assert [run.algorithm for run in probed[0]] == [PPO_, *others]
    assert set(speed.learn) == set(speed.parameters) == {*same, *others}
    assert speed.learn[same[0]] == speed.learn[same[1]]
    # Forty passes of the policy and one of the values against two, and one hidden layer of 8 units against two of 64.
    assert speed.learn[others[0]].at(1) > 3 * speed.learn[PPO_].at(1)
    assert speed.parameters[others[1]] == 4 * 8 + 8 + 8 + 1 + 1 < speed.parameters[PPO_] == speed.parameters[same[1]]

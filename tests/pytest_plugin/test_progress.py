"""Progress of training, on a terminal and in a pipe."""

from io import StringIO
from types import SimpleNamespace

import pytest
from rich.console import Console

from rlclaims.agents.ppo import PPO
from rlclaims.execution.cohorts import Plan
from rlclaims.execution.derive import DeriveProgress
from rlclaims.execution.train import CohortProgress, Progress
from rlclaims.pytest_plugin import progress as shown
from rlclaims.pytest_plugin.looks import Look
from rlclaims.pytest_plugin.progress import Display
from rlclaims.store.run_spec import RunSpec

RUNS = tuple(RunSpec(PPO(), "Hopper-v5", 10, seed) for seed in range(3))
PLAN = Plan(RUNS, RUNS[1:])


@pytest.fixture
def clock(monkeypatch):
    """Seconds that pass only when a test says so."""
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(shown.time, "monotonic", lambda: clock.now)
    return clock


def at(iteration):
    cohort = CohortProgress({"PPO": 2}, "Hopper-v5", iteration, 10)
    return Progress(iteration * 2 * 2048, PLAN.environment_steps, (cohort,))


def test_a_pipe_gets_a_line_every_half_minute(clock):
    file = StringIO()
    display = Display(file)
    display.look(Look(2, 4, 8, undecided=3, claims=5))
    with display.training(PLAN) as on_progress:
        for iteration in range(11):
            clock.now += 12
            on_progress(at(iteration))
    first, *lines = file.getvalue().splitlines()
    assert first == (
        "rlclaims: look 2 of 4, 8 seeds, training 2 runs of PPO (40,960 steps); 1 are in the store; "
        "2 of 5 claims decided."
    )
    # Every third report, from the thirtieth second on; 4,096 steps take 12 s.
    assert len(lines) == 3
    assert lines[0] == (
        "rlclaims: 20% trained, 341 steps/s, ETA 1:36; 2 of 5 claims decided; iteration of 2 PPO on Hopper-v5 2/10"
    )


def test_a_terminal_shows_cohorts_and_leaves_nothing_behind(clock, monkeypatch):
    file = StringIO()
    monkeypatch.setattr("rich.console.Console", lambda file: Console(file=file, force_terminal=True, width=100))
    display = Display(file)
    display.look(Look(1, 4, 6, undecided=5, claims=5))
    with display.training(PLAN) as on_progress:
        for iteration in (1, 4):
            clock.now += 10
            on_progress(at(iteration))
            live = file.getvalue()
    assert "2 PPO on Hopper-v5" in live
    # Two lines are erased, and the cursor goes up over them.
    assert file.getvalue().removeprefix(live).count("\x1b[2K") >= 2
    drawn = Console(file=StringIO(), width=100)
    watch = shown._Clock()
    watch.see(at(1))
    clock.now += 10
    watch.see(at(4))
    drawn.print(display._bars(at(4), watch))
    text = drawn.file.getvalue()
    assert "iteration 4 of 10" in text and "40% trained, 1,229 steps/s, ETA 0:20; 0 of 5 claims decided" in text


def test_studies_without_steps_report_jobs_every_half_minute(clock):
    file = StringIO()
    display = Display(file)
    display.look(Look(2, 4, 8, undecided=3, claims=5))
    for job in range(5):
        display.studies(DeriveProgress(("twin updates",), job, 5, 0, 0))
        clock.now += 12
    expected = "rlclaims: look 2 of 4, 8 seeds, twin updates: {} of 5 done."
    assert file.getvalue().splitlines() == [expected.format(job) for job in (0, 3)]


@pytest.mark.parametrize("kinds", [("landscapes",), ("landscapes", "large updates")])
def test_studies_are_reported_every_half_minute(clock, kinds):
    file = StringIO()
    display = Display(file)
    display.look(Look(2, 4, 8, undecided=3, claims=5))
    for second in range(0, 61, 10):
        # A thousand steps a second, from the tenth on; a run is done every twenty seconds.
        display.studies(DeriveProgress(kinds, second // 20, 24, 1000 * second, 190_000))
        clock.now += 10
    told = f"rlclaims: look 2 of 4, 8 seeds, {', '.join(kinds)}: "
    assert file.getvalue().splitlines() == [
        told + "0 of 24 done.",
        told + "1 of 24 done, 30,000 steps, 1,000 steps/s, ETA 2:40.",
        told + "3 of 24 done, 60,000 steps, 1,000 steps/s, ETA 2:10.",
    ]
    # Others, at another look: the time between is no time of theirs.
    display.look(Look(3, 4, 10, undecided=3, claims=5))
    clock.now += 1000
    for second in (0, 40, 80):
        display.studies(DeriveProgress(kinds, 0, 6, 500 * second, 100_000))
        clock.now += 40
    assert file.getvalue().splitlines()[-1].endswith("0 of 6 done, 40,000 steps, 500 steps/s, ETA 2:00.")


def test_waiting_for_another_session_is_reported():
    file = StringIO()
    Display(file).wait()
    assert file.getvalue() == "rlclaims: waiting for another process that trains into this store.\n"

"""An agent that diverges is a failed seed with its iteration and its cause; the rest of its cohort is bit-identical."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from small_runs import computed

from rlclaims import training
from rlclaims.agents.ppo import PPO
from rlclaims.agents.trpo import TRPO
from rlclaims.sim.simulator import Simulator
from rlclaims.sim.tasks import task_named
from rlclaims.studies.registry import KINDS
from rlclaims.studies.replayed_run import SimulationFailure
from rlclaims.training import Cohort, Group

SMALL = {"steps": 64, "minibatches": 2, "value_epochs": 2, "hidden": (8,)}
TRPO_SMALL = TRPO(**SMALL)


@dataclasses.dataclass(frozen=True)
class Diverging(PPO):
    """PPO with a named failure in the second seed's second iteration."""

    epochs: int = 2
    wrong: str = "nothing"

    def learn(self, agent, rollout):
        if agent.iteration == 1 and self.wrong == "rewards":
            rollout = dataclasses.replace(rollout, reward_ST=rollout.reward_ST * torch.tensor([[1.0], [math.inf]]))
        batch = super().learn(agent, rollout)
        if agent.iteration == 1:
            with torch.no_grad():
                if self.wrong == "values":
                    agent.phi_SP[1] = math.inf
                if self.wrong == "spread":  # of actions, which are not finite from here on
                    agent.theta_SP[1, -1] = 1e4
                if self.wrong == "no spread":  # so that old actions have no density
                    agent.theta_SP[1, -1] = -1e4
        return batch

    def run_epoch(self, agent, batch, old_log_prob_SB):
        self_wrong = agent.iteration == 1 and len(agent.seeds) > 1
        object.__setattr__(self, "_now", self_wrong)
        super().run_epoch(agent, batch, old_log_prob_SB)

    def policy_loss(self, ratio_SB, advantage_SB):
        loss_S = super().policy_loss(ratio_SB, advantage_SB)
        if getattr(self, "_now", False) and self.wrong in ("infinite loss", "NaN loss"):
            factor = math.inf if self.wrong == "infinite loss" else math.nan
            loss_S = loss_S * torch.tensor([1.0, factor])
        return loss_S


def cohort(wrong, iterations=4):
    groups = [Group(Diverging(**SMALL, wrong=wrong), (4, 7)), Group(TRPO_SMALL, (7,))]
    return Cohort(task_named("Hopper-v5"), groups, iterations)


@pytest.fixture(scope="module")
def clean():
    return cohort("nothing").train()


def unstable_simulation(simulation, monkeypatch, at):
    """Make the second simulation unstable at step `at`, with velocities that MuJoCo cannot integrate."""
    real, steps = simulation.step, []

    def step(action_SA, which=None):
        steps.append(1)
        if len(steps) == at:
            simulation.state[1][1] = 1e12
        return real(action_SA, which)

    monkeypatch.setattr(simulation, "step", step)


PARAMETERS, UNSTABLE = "the policy's parameters are no longer finite after", "the simulation became unstable in"


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # from numpy, about the planted values
@pytest.mark.parametrize(
    ("wrong", "failure", "before"),
    [
        ("infinite loss", f"{PARAMETERS} iteration 1", 2),
        ("NaN loss", f"{PARAMETERS} iteration 1", 2),
        ("rewards", f"{PARAMETERS} iteration 1", 2),
        ("values", f"{PARAMETERS} iteration 2", 3),
        ("spread", f"{UNSTABLE} iteration 2", 3),
        ("no spread", "is not finite in iteration 1", 2),
        ("simulation", f"{UNSTABLE} iteration 2", 3),
    ],
)
def test_diverging_agent_fails_its_seed_and_no_other(clean, monkeypatch, wrong, failure, before):
    made = cohort(wrong)
    if wrong == "simulation":
        unstable_simulation(made._simulator, monkeypatch, 2 * 64 + 10)
    records = made.train()
    broken, whole = records[1], clean[1]
    assert broken.failure.endswith(failure)
    assert len(broken.policy_parameters) == before
    assert np.array_equal(broken.policy_parameters[:2], whole.policy_parameters[:2])
    for name, values in whole.series.items():
        assert len(broken.series[name]) == (before - 1 if name.endswith("/training") else 1)
        assert broken.series[name][0] == values[0]
    for one, other in ((records[0], clean[0]), (records[2], clean[2])):
        assert one.failure is None and len(one.policy_parameters) == 5
        assert np.array_equal(one.policy_parameters, other.policy_parameters)
        assert one.series == other.series and one.episodes == other.episodes


def test_failed_seed_stays_failed_when_its_cohort_resumes(clean):
    made, kept = cohort("NaN loss"), []
    whole = made.train(lambda done: done == 3 and kept.extend(made.state_dict(i) for i in range(3)))
    again = cohort("NaN loss")
    again.load_state_dict(3, kept)
    records = again.train()
    assert [record.failure for record in records] == [record.failure for record in whole]
    assert records[1].failure is not None
    assert all(one.state_dict().keys() == other.state_dict().keys() for one, other in zip(records, whole, strict=True))
    assert all(one.series == other.series for one, other in zip(records, whole, strict=True))


def test_unstable_last_episode_is_a_failure(monkeypatch):
    made = cohort("nothing", 2)
    unstable_simulation(made._simulator, monkeypatch, 2 * 64 + 1)
    records = made.train()
    assert [r.failure for r in records] == [None, "the simulation became unstable after the last iteration", None]


def test_unstable_fresh_pairs_are_a_failure_of_their_seed(monkeypatch):
    real = training.simulate

    def simulate(*args):
        made = real(*args)
        if simulate.calls:
            unstable_simulation(made, monkeypatch, 5)
        simulate.calls += 1
        return made

    simulate.calls = 0
    monkeypatch.setattr(training, "simulate", simulate)
    records = cohort("nothing", 2).train()
    assert [r.failure for r in records] == [None, f"{UNSTABLE} iteration 0", None]
    assert isinstance(real(task_named("Hopper-v5"), [np.random.default_rng(0)]), Simulator)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("kind", [name for name, kind in KINDS.items() if kind.whole_episodes])
def test_policies_that_cannot_be_simulated_fail_every_study(runs, kind):
    run = runs["PPO"]
    theta_KP = np.full_like(run.history.theta_KP, 1e38)
    theta_KP[0] = run.history.theta_KP[0]
    kept = [checkpoint.iteration for checkpoint in run.start.checkpoints]
    history = dataclasses.replace(run.history, theta_KP=theta_KP)
    diverged = dataclasses.replace(run, history=history, start=dataclasses.replace(run.start, theta_KP=theta_KP[kept]))
    with pytest.raises(SimulationFailure):
        computed(kind, 256, run.algorithm, "Hopper-v5", run.iterations, diverged.start, diverged.history)

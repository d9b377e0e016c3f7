"""Estimates of the policy gradient: how far they agree with each other and with the step that the algorithm makes.

At each kept iteration theta plays a pool of whole episodes, in 32 independent blocks of equally many episodes. An
estimate from a block is a mean over its pairs of the gradient of log pi(a|s) times a weight, which is one of

    surrogate     the advantage that the algorithm learns from, as it standardises it: its first step follows this
    returns       the same with the discounted return to go in place of the advantage ("no baseline")
    near_true     on request, the same with the advantage by values that were fitted, starting from the run's own, to
                  the returns of equally many further pairs
    discounted    gamma^t (return to go - V): of the expected discounted return of an episode
    undiscounted  the undiscounted return to go - V: of the expected return

V is the run's own value network, in its state when its advantages were computed. The first three are not gradients of
any function (Nota and Thomas, 1906.07073); the last two are, and any function of the state in place of V leaves them
unchanged. If the algorithm standardises, the first three are centred by means over the run's held-out pairs: advantages
by the mean advantage, returns by the mean of the targets V + A.

The series are the square of the true gradient g and its products with the others, each a mean over pairs of different
blocks, which noise does not bias; and the noise per pair, nu, the trace of the blocks' covariance times the pairs of a
block. The mean cosine between two independent estimates from N pairs is then close to |g|^2 / (|g|^2 + nu / N), and
that of one with the true gradient to its square root.
"""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import fields

import numpy as np
import torch
from torch import Tensor

from rlclaims.agents.agent import Agent
from rlclaims.checkpoints import Checkpoint, checkpoint_iterations
from rlclaims.sim.tasks import Floats
from rlclaims.studies.replayed_run import (
    GRADIENTS,
    NEAR_TRUE,
    PILOT_EPISODES,
    POOL_STRIDE,
    FinishedRun,
    Numbers,
    rollout_of,
    split,
    steps_before,
    to_go,
    typical_episode,
)
from rlclaims.training import HELD_OUT_EVERY
from rlclaims.update import Rollout

BLOCKS = 32
FIT_EPOCHS, FIT_MINIBATCH, FIT_RATE = 10, 512, 1e-3
"""Passes over the pairs that near-true values are fitted to, minibatch size and learning rate."""
AT_ONCE = 2048
"""Most episodes that are played and held at a time, unless a block has more."""


def gradients(run: FinishedRun, pairs: int | None, *, near_true: bool = False) -> Numbers:
    """Return squares, products and noise of gradients at each kept iteration: "2/surrogate/square".

    Args:
        run: the run.
        pairs: approximate number of pairs in each iteration's pool.
        near_true: whether to play as many more, and fit values to them.

    Raises:
        SimulationFailure: MuJoCo could not simulate an episode.
    """
    assert pairs is not None
    checkpoints = run.start.checkpoints
    length_K = run.episode_length(checkpoints)
    order = range(len(checkpoints))[::-1]  # the longest episodes first
    episodes_K = [max(1, round(pairs / length / BLOCKS)) for length in length_K]
    fit_K = [math.ceil(pairs / length) if near_true else None for length in length_K]
    weigh_K = {k: Weigh(run, checkpoints[k], fit_K[k]) for k in order}
    sums: dict[int, list[dict[str, Floats]]] = {k: [] for k in order}
    pairs_K = dict.fromkeys(order, 0)
    for k, rollout in _blocks(run, order, episodes_K):
        pairs_K[k] += rollout.reward_ST.shape[1]
        sums[k].append(gradient_sums(weigh_K[k].agent, rollout, weigh_K[k](rollout)))
    numbers: Numbers = {}
    for k in order:
        # Not each block's own number of pairs, which is correlated with the sums over them.
        per_block = pairs_K[k] / BLOCKS
        blocks = {name: np.stack([block[name] for block in sums[k]]) / per_block for name in sums[k][0]}
        summary = summarize_blocks(blocks, run.step(checkpoints[k])[1], per_block)
        numbers |= {f"{k}/{name}": values for name, values in summary.items()}
    return numbers


def _blocks(run: FinishedRun, order: Sequence[int], episodes_K: Sequence[int]) -> Iterator[tuple[int, Rollout]]:
    """Yield the blocks of each kept iteration's pool, playing as many at a time as can be held."""
    policies = [(run.theta(checkpoint), checkpoint.iteration) for checkpoint in run.start.checkpoints]
    waiting = [(k, block) for k in order for block in range(BLOCKS)]
    while waiting:
        held = list(itertools.accumulate(episodes_K[k] for k, _ in waiting))
        n = max(1, sum(episodes <= AT_ONCE for episodes in held))
        now = waiting[:n]
        waiting = waiting[n:]
        listed = [
            (k, GRADIENTS + policies[k][1] * POOL_STRIDE + block * episodes_K[k] + e)
            for k, block in now
            for e in range(episodes_K[k])
        ]
        played = run.play(policies, listed, range(len(listed)))
        for (k, _), part in zip(now, split(played, [episodes_K[k] for k, _ in now]), strict=True):
            yield k, rollout_of(part, range(episodes_K[k]))


class Weigh:
    """The weights of the pairs of a kept iteration.

    Args:
        run: the run.
        checkpoint: the kept iteration.
        episodes: episodes that near-true values are fitted to; None for no near-true values.
    """

    def __init__(self, run: FinishedRun, checkpoint: Checkpoint, episodes: int | None) -> None:
        self.agent = run.agent(checkpoint)
        """The agent in its state when the update's advantages were computed."""
        self._unit = run.reward_unit(checkpoint)
        self._near_true: Agent | None = None
        if episodes is not None:
            self._near_true = run.agent(checkpoint)
            self._near_true.phi_SP.copy_(_near_true_values(run, checkpoint, episodes))
        self._mean_advantage = self._mean_return = 0.0
        if run.algorithm.standardizes_advantages:
            observation_TO, _, advantage_T = (torch.from_numpy(x)[None] for x in checkpoint.held_out)
            value_T = self.agent.value_network(self.agent.phi_SP, observation_TO)[0, :, 0]
            self._mean_advantage = float(advantage_T.mean())
            self._mean_return = float(value_T.mean()) + self._mean_advantage

    def __call__(self, rollout: Rollout) -> dict[str, Tensor]:
        """Return the weights of a rollout's pairs by gradient, (1, T) each, float64."""
        agent, gamma = self.agent, self.agent.algorithm.gamma
        value_1T, next_value_1T = agent.values(rollout)
        nothing_1T = torch.zeros_like(value_1T)
        values = self._unit * value_1T, self._unit * next_value_1T
        weights = {
            "surrogate": agent.advantages(rollout, value_1T, next_value_1T, frozen=True) - self._mean_advantage,
            "returns": to_go(agent.with_scaled_rewards(rollout), nothing_1T, nothing_1T, gamma) - self._mean_return,
            "discounted": gamma ** steps_before(rollout) * to_go(rollout, *values, gamma),
            "undiscounted": to_go(rollout, *values, 1.0),
        }
        if self._near_true is not None:
            advantage_1T = agent.advantages(rollout, *self._near_true.values(rollout), frozen=True)
            weights["near_true"] = advantage_1T - self._mean_advantage
        return {name: weight_1T.double() for name, weight_1T in weights.items()}


def _near_true_values(run: FinishedRun, checkpoint: Checkpoint, episodes: int) -> Tensor:
    """Return values fitted to the discounted returns of further episodes, starting from the run's own, (1, P)."""
    index = NEAR_TRUE + checkpoint.iteration * POOL_STRIDE
    parts = []
    for first in range(0, episodes, AT_ONCE):
        listed = [(0, index + e) for e in range(first, min(first + AT_ONCE, episodes))]
        played = run.play([(run.theta(checkpoint), checkpoint.iteration)], listed, range(len(listed)))
        parts.append(rollout_of(played, range(len(listed))))
    rollout = Rollout(*(torch.cat([getattr(p, f.name) for p in parts], dim=1) for f in fields(Rollout)))
    minibatches = max(1, rollout.reward_ST.shape[1] // FIT_MINIBATCH)
    learner = run.agent(
        checkpoint,
        gae_lambda=1.0,
        steps=minibatches * FIT_MINIBATCH,
        minibatches=minibatches,
        value_epochs=FIT_EPOCHS,
        value_learning_rate=FIT_RATE,
        value_clip=None,
        anneal_learning_rates=False,
    )
    value_1T, next_value_1T = learner.values(rollout)
    to_go_1T = learner.advantages(rollout, value_1T, next_value_1T, frozen=True)
    with torch.enable_grad():
        learner.fit_values(rollout.observation_STO, value_1T, to_go_1T)
    return learner.phi_SP.detach()


def gradient_sums(agent: Agent, rollout: Rollout, weights: dict[str, Tensor]) -> dict[str, Floats]:
    """Return sums over a rollout's pairs of weight times the gradient of log pi(a|s), (P,) by name."""
    with torch.enable_grad():
        log_prob_1T = agent.network(agent.theta_SP, rollout.observation_STO).log_prob(rollout.action_STA)
        return {
            name: torch.autograd.grad((log_prob_1T * weight_1T).sum(), agent.theta_SP, retain_graph=True)[0][0]
            .double()
            .numpy()
            for name, weight_1T in weights.items()
        }


def summarize_blocks(gradient_MP: dict[str, Floats], step_P: Floats, pairs: float) -> Numbers:
    """Return summaries of M blocks' estimates, by gradient and name; a block has `pairs` pairs."""
    # A step of length 0 has no direction.
    unit_P = step_P / (np.linalg.norm(step_P) or 1.0)
    numbers: Numbers = {}
    for name, g_MP in gradient_MP.items():
        along_M1 = (g_MP @ unit_P)[:, None]
        # Each half is divided by the other half's norm, whose noise is independent of its own.
        halves = g_MP[::2].mean(0), g_MP[1::2].mean(0)
        cosines = [float(a_P @ unit_P / np.linalg.norm(b_P)) for a_P, b_P in (halves, halves[::-1])]
        numbers |= {
            f"{name}/square": [_product(g_MP, g_MP)],
            f"{name}/noise": [float(g_MP.var(0, ddof=1).sum() * pairs)],
            f"{name}/step": [float(np.mean(cosines))],
            f"{name}/step_square": [_product(along_M1, along_M1)],
        }
    for one, other in itertools.combinations(gradient_MP, 2):
        numbers[f"{one}*{other}"] = [_product(gradient_MP[one], gradient_MP[other])]
    return numbers


def _product(x_MP: Floats, y_MP: Floats) -> float:
    """Return the inner product of two true means, estimated over all pairs of different blocks."""
    m = len(x_MP)
    return float((x_MP.sum(0) @ y_MP.sum(0) - (x_MP * y_MP).sum()) / (m * (m - 1)))


def length(name: str, iterations: int) -> int:  # noqa: ARG001
    """Return how many numbers a series has."""
    return 1


def expected_steps(pairs: int | None, iterations: int, *, near_true: bool = False) -> int:
    """Return roughly how many simulator steps one run takes."""
    kept = checkpoint_iterations(iterations, HELD_OUT_EVERY)
    return sum((1 + near_true) * (pairs or 0) + PILOT_EPISODES * typical_episode(i) for i in kept)

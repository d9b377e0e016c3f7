"""Where policy updates started: what is kept of a run at four iterations, so that these can be made again otherwise."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from rlclaims.agents.agent import Agent
from rlclaims.agents.algorithm import Algorithm
from rlclaims.update import Batch

Floats32 = npt.NDArray[np.float32]

PAIRS = ("observation_TO", "action_TA", "advantage_T")
CHECKPOINTS_AT = (0, 150 / 488, 300 / 488, 450 / 488)
"""Parts of training after which an update's start is kept: iterations 0, 150, 300, 450, as 1811.02553's figures."""


def checkpoint_iterations(iterations: int, held_out_every: int) -> tuple[int, ...]:
    """The iterations whose updates can be made again, ascending: those measured on fresh pairs that lie nearest.

    Four, except in runs so short that some of them are the same.
    """
    last = (iterations - 1) // held_out_every
    nearest = (min(round(part * iterations / held_out_every), last) for part in CHECKPOINTS_AT)
    return tuple(dict.fromkeys(held_out_every * k for k in nearest))


@dataclass(frozen=True)
class Checkpoint:
    """All that one run's policy update starts from, beside theta: what makes the same update again."""

    iteration: int
    adam_mean_P: Floats32
    """First moment of the policy's Adam."""
    adam_square_P: Floats32
    """Its second moment."""
    adam_steps: int
    """Steps that it has made."""
    minibatch_state: npt.NDArray[np.uint64]
    """Where the random stream of minibatch orders stands (`rlclaims.randomness.stream_to_array`)."""
    value_P: Floats32
    """Parameters of the value network, which says the advantages."""
    fitted_value_P: Floats32
    """Those after the iteration's regression on the training pairs."""
    reward_state: npt.NDArray[np.float64]
    """The statistic that rewards are scaled by, the training pairs in it (`agents.advantages.RewardScaler.state`)."""
    training: tuple[Floats32, Floats32, Floats32]
    """Observations (T, O), normalised, actions (T, A) and advantages (T,) that the policy learns from."""
    held_out: tuple[Floats32, Floats32, Floats32]
    """As many fresh pairs of the same policy."""
    choices: tuple[int, ...] = ()
    """Of each entry of an action, among how many it is chosen; empty where entries are numbers."""


@dataclass(frozen=True)
class Start:
    """Where the updates of one run started."""

    seed: int
    initial_P: Floats32
    """Theta before training."""
    theta_KP: Floats32
    """Theta before each of the updates."""
    checkpoints: tuple[Checkpoint, ...]
    """The rest, in the same order."""


@dataclass(frozen=True)
class History:
    """The policies of a run of K iterations, and what their observations were normalised by."""

    theta_KP: Floats32
    """Theta before the first update and after each, K + 1 rows."""
    offset_KO: npt.NDArray[np.float64]
    """What was subtracted from an observation when each update was made."""
    inverse_std_KO: npt.NDArray[np.float64]
    """What the rest was multiplied by."""


def checkpoints_to_arrays(checkpoints: Sequence[Checkpoint]) -> dict[str, npt.NDArray[Any]]:
    """Checkpoints as arrays by name, for a file."""
    return {
        f"{checkpoint.iteration}/{name}": array
        for checkpoint in checkpoints
        for name, array in {
            "adam_mean_P": checkpoint.adam_mean_P,
            "adam_square_P": checkpoint.adam_square_P,
            "adam_steps": np.array([checkpoint.adam_steps]),
            "minibatch_state": checkpoint.minibatch_state,
            "value_P": checkpoint.value_P,
            "fitted_value_P": checkpoint.fitted_value_P,
            "reward_state": checkpoint.reward_state,
            **{f"training_{part}": array for part, array in zip(PAIRS, checkpoint.training, strict=True)},
            **{f"held_out_{part}": array for part, array in zip(PAIRS, checkpoint.held_out, strict=True)},
            **({"choices": np.array(checkpoint.choices)} if checkpoint.choices else {}),
        }.items()
    }


def start_from_arrays(seed: int, theta_KP: Floats32, arrays: Mapping[str, npt.NDArray[Any]]) -> Start:
    """Where a run's updates started, from its policies after every iteration and what `checkpoints_to_arrays` made.

    Raises:
        KeyError: an array is missing.
    """
    iterations = sorted({int(name.partition("/")[0]) for name in arrays})
    checkpoints = []
    for iteration in iterations:
        of = {name.partition("/")[2]: array for name, array in arrays.items() if name.startswith(f"{iteration}/")}
        training, held_out = ([of[f"{states}_{part}"] for part in PAIRS] for states in ("training", "held_out"))
        checkpoints.append(
            Checkpoint(
                iteration,
                of["adam_mean_P"],
                of["adam_square_P"],
                int(of["adam_steps"][0]),
                of["minibatch_state"],
                of["value_P"],
                of["fitted_value_P"],
                of["reward_state"],
                (training[0], training[1], training[2]),
                (held_out[0], held_out[1], held_out[2]),
                tuple(map(int, of.get("choices", ()))),
            )
        )
    return Start(seed, theta_KP[0], theta_KP[iterations], tuple(checkpoints))


Row = tuple[Start, int]
"""One update: of a run, at its k-th kept iteration."""


def resume(agent: Agent, rows: Sequence[Row]) -> None:
    """Let an agent with as many seeds stand where updates started, each in its row; its Adam is for the caller.

    Policies, values, reward statistics and minibatch orders are those of the runs, of one algorithm all.
    """
    checkpoints = [start.checkpoints[k] for start, k in rows]
    with torch.no_grad():
        agent.theta_SP.copy_(torch.from_numpy(np.stack([start.theta_KP[k] for start, k in rows])))
        agent.phi_SP.copy_(torch.from_numpy(np.stack([checkpoint.value_P for checkpoint in checkpoints])))
    agent.load_minibatch_states([checkpoint.minibatch_state for checkpoint in checkpoints])
    agent.load_reward_states([checkpoint.reward_state for checkpoint in checkpoints])


def resumed(algorithm: Algorithm, iterations: int, start: Start, k: int) -> Agent:
    """The agent of a run as it stood when its k-th kept update was made, on whatever pairs: `algorithm.improve`.

    All but the Adam of its values, which start to be fitted anew.
    """
    checkpoint = start.checkpoints[k]
    observation_TO, action_TA, _ = checkpoint.training
    sizes = observation_TO.shape[1], action_TA.shape[1]
    agent = Agent(algorithm, [start.seed], *sizes, iterations, checkpoint.choices)
    agent.iteration = checkpoint.iteration
    resume(agent, [(start, k)])
    adam = agent.policy_adam
    adam.mean_SP, adam.square_SP = checkpoint.adam_mean_P[None].copy(), checkpoint.adam_square_P[None].copy()
    adam.steps_S = np.array([checkpoint.adam_steps])
    return agent


def start_of_update(agent: Agent) -> Callable[[int, int, Batch, Batch], Checkpoint]:
    """Keep where the policies' updates start, before one; what comes of it is added after it."""
    adam, states = agent.policy_adam.copy(), agent.minibatch_states()
    value_SP = agent.phi_SP.detach().numpy().copy()

    def pairs(batch: Batch, i: int) -> tuple[Floats32, Floats32, Floats32]:
        return batch.observation_SBO[i].numpy(), batch.action_SBA[i].numpy(), batch.advantage_SB[i].numpy()

    def checkpoint(iteration: int, i: int, training: Batch, held_out: Batch) -> Checkpoint:
        moments = adam.mean_SP[i], adam.square_SP[i], int(adam.steps_S[i])
        both = pairs(training, i), pairs(held_out, i)
        fitted_P = agent.phi_SP[i].detach().numpy().copy()
        values = value_SP[i], fitted_P
        return Checkpoint(iteration, *moments, states[i], *values, agent.reward_states()[i], *both, agent.choices)

    return checkpoint

"""Checkpoints of a run at four iterations, from which policy updates can be repeated, or varied, after training."""

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
"""Fractions of training at which a checkpoint is taken: iterations 0, 150, 300, 450, as in 1811.02553's figures."""


def checkpoint_iterations(iterations: int, held_out_every: int) -> tuple[int, ...]:
    """Return the iterations of checkpoints, ascending: the nearest to `CHECKPOINTS_AT` with fresh pairs.

    There are four, except in runs so short that some of them coincide.
    """
    last = (iterations - 1) // held_out_every
    nearest = (min(round(part * iterations / held_out_every), last) for part in CHECKPOINTS_AT)
    return tuple(dict.fromkeys(held_out_every * k for k in nearest))


@dataclass(frozen=True)
class Checkpoint:
    """The state that one run's policy update starts from, except theta: enough to repeat the update bit for bit."""

    iteration: int
    adam_mean_P: Floats32
    """First moment of the policy's Adam."""
    adam_square_P: Floats32
    """Second moment of the policy's Adam."""
    adam_steps: int
    """Steps that the policy's Adam has taken."""
    minibatch_state: npt.NDArray[np.uint64]
    """State of the random stream of minibatch orders (`rlclaims.randomness.stream_to_array`)."""
    value_P: Floats32
    """Parameters of the value network before the update, which estimate the advantages."""
    fitted_value_P: Floats32
    """Parameters of the value network after the iteration's regression on the training pairs."""
    reward_state: npt.NDArray[np.float64]
    """Statistic that scales rewards, including the training pairs (`agents.advantages.RewardScaler.state`)."""
    training: tuple[Floats32, Floats32, Floats32]
    """Observations (T, O), normalised, actions (T, A) and advantages (T,) that the policy learns from."""
    held_out: tuple[Floats32, Floats32, Floats32]
    """The same of as many fresh pairs of the same policy."""
    choices: tuple[int, ...] = ()
    """Number of choices of each entry of an action; empty for continuous actions."""


@dataclass(frozen=True)
class Start:
    """The checkpoints of one run, with the parameters that its updates started from."""

    seed: int
    initial_P: Floats32
    """Theta before training."""
    theta_KP: Floats32
    """Theta before each of the updates."""
    checkpoints: tuple[Checkpoint, ...]
    """Checkpoints of the same updates, in the same order."""


@dataclass(frozen=True)
class History:
    """The policies of a run of K iterations, and the normalisation of their observations."""

    theta_KP: Floats32
    """Theta before the first update and after each, K + 1 rows."""
    offset_KO: npt.NDArray[np.float64]
    """Offsets subtracted from observations at the time of each update."""
    inverse_std_KO: npt.NDArray[np.float64]
    """Factors that the differences were multiplied by."""


def checkpoints_to_arrays(checkpoints: Sequence[Checkpoint]) -> dict[str, npt.NDArray[Any]]:
    """Return checkpoints as arrays by name, for a file."""
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
    """Return a run's `Start`, from its policies after every iteration and the arrays of `checkpoints_to_arrays`.

    Raises:
        KeyError: an array is missing.
    """
    iterations = sorted({int(name.partition("/")[0]) for name in arrays})
    checkpoints = []
    for iteration in iterations:
        parts = {name.partition("/")[2]: array for name, array in arrays.items() if name.startswith(f"{iteration}/")}
        training, held_out = ([parts[f"{states}_{part}"] for part in PAIRS] for states in ("training", "held_out"))
        checkpoints.append(
            Checkpoint(
                iteration=iteration,
                adam_mean_P=parts["adam_mean_P"],
                adam_square_P=parts["adam_square_P"],
                adam_steps=int(parts["adam_steps"][0]),
                minibatch_state=parts["minibatch_state"],
                value_P=parts["value_P"],
                fitted_value_P=parts["fitted_value_P"],
                reward_state=parts["reward_state"],
                training=(training[0], training[1], training[2]),
                held_out=(held_out[0], held_out[1], held_out[2]),
                choices=tuple(map(int, parts.get("choices", ()))),
            )
        )
    return Start(seed, theta_KP[0], theta_KP[iterations], tuple(checkpoints))


Row = tuple[Start, int]
"""One update: a run's `Start`, and the index k of a checkpoint."""


def resume(agent: Agent, rows: Sequence[Row]) -> None:
    """Restore an agent's rows from checkpoints, one per seed, of runs of one algorithm.

    Restores policies, values, reward statistics and minibatch orders; restoring the Adams is left to the caller.
    """
    checkpoints = [start.checkpoints[k] for start, k in rows]
    with torch.no_grad():
        agent.theta_SP.copy_(torch.from_numpy(np.stack([start.theta_KP[k] for start, k in rows])))
        agent.phi_SP.copy_(torch.from_numpy(np.stack([checkpoint.value_P for checkpoint in checkpoints])))
    agent.load_minibatch_states([checkpoint.minibatch_state for checkpoint in checkpoints])
    agent.load_reward_states([checkpoint.reward_state for checkpoint in checkpoints])


def resumed(algorithm: Algorithm, iterations: int, start: Start, k: int) -> Agent:
    """Return the agent of a run before the update of its k-th checkpoint, for `algorithm.improve` on any pairs.

    The Adam of the values is not restored: it starts in its initial state.
    """
    checkpoint = start.checkpoints[k]
    observation_TO, action_TA, _ = checkpoint.training
    agent = Agent(
        algorithm,
        [start.seed],
        n_observation=observation_TO.shape[1],
        n_action=action_TA.shape[1],
        iterations=iterations,
        choices=checkpoint.choices,
    )
    agent.iteration = checkpoint.iteration
    resume(agent, [(start, k)])
    adam = agent.policy_adam
    adam.mean_SP = checkpoint.adam_mean_P[None].copy()
    adam.square_SP = checkpoint.adam_square_P[None].copy()
    adam.steps_S = np.array([checkpoint.adam_steps])
    return agent


def start_of_update(agent: Agent) -> Callable[[int, int, Batch, Batch], Checkpoint]:
    """Save the state before the policies' update; call the result after the update for the checkpoint of a seed."""
    adam = agent.policy_adam.copy()
    states = agent.minibatch_states()
    value_SP = agent.phi_SP.detach().numpy().copy()

    def pairs(batch: Batch, i: int) -> tuple[Floats32, Floats32, Floats32]:
        return batch.observation_SBO[i].numpy(), batch.action_SBA[i].numpy(), batch.advantage_SB[i].numpy()

    def checkpoint(iteration: int, i: int, training: Batch, held_out: Batch) -> Checkpoint:
        return Checkpoint(
            iteration=iteration,
            adam_mean_P=adam.mean_SP[i],
            adam_square_P=adam.square_SP[i],
            adam_steps=int(adam.steps_S[i]),
            minibatch_state=states[i],
            value_P=value_SP[i],
            fitted_value_P=agent.phi_SP[i].detach().numpy().copy(),
            reward_state=agent.reward_states()[i],
            training=pairs(training, i),
            held_out=pairs(held_out, i),
            choices=agent.choices,
        )

    return checkpoint

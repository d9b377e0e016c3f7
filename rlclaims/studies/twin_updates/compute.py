"""Twin updates: a policy update made again with mechanisms switched, which shows without noise what each of them does.

From where a run's update started (`rlclaims.checkpoints`), the same pairs, the same order of minibatches and the same
optimiser state give the same update, bit for bit. Switch one mechanism, and the difference is the effect of that
mechanism alone, with no other trajectory in between. Each is switched alone, and all are in a two-level design: a
quarter of the 2^9 combinations, chosen so that no average effect of a mechanism or a pair is confounded with that of
three others or fewer.

"Switched" means the other of two levels, fixed before the data: on and off, or half of a number.

    clip                     the ratio clipping
    epsilon                  its eps, halved; without clipping it does nothing
    epochs                   passes over the batch, halved
    learning_rate            halved
    annealing                the current factor of the learning rate
    adam_state               Adam's moments and step count, carried over or new
    gradient_clip            the bound of .5 on the gradient's norm
    advantage_normalization  in every minibatch
    head                     the share of the initial weights in the policy's last layer: the weights that the seed
                             would have had by the other initialisation replace them, and what was learnt is added

The last one changes the old policy. Its actions keep their noise, around the new means: same states, noise and
advantages. A discrete choice is an interval of levels in the policy's cumulative distribution; a level is drawn from
it, and the new distribution's choice at that level is taken.

Adam's state is the run's, unless it is switched. Its second moments come from the run's gradients and hardly move in
one update, so a mechanism that scales gradients (`advantage_normalization`, `gradient_clip`) scales the steps here,
whereas in a run of its own Adam would remove the scale. Read each next to its effect in the half of the design that has
a new Adam state.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from rlclaims.agents.adam import Adam
from rlclaims.agents.agent import Agent
from rlclaims.agents.algorithm import Algorithm
from rlclaims.agents.networks import NetworkPolicy
from rlclaims.agents.ppo import PPO
from rlclaims.checkpoints import Checkpoint, Row, Start, resume
from rlclaims.measures.divergence import mean_kl_old_new
from rlclaims.measures.ratio import exceedance, max_ratio, ratio
from rlclaims.randomness import Purpose, stream, torch_stream
from rlclaims.stats.factorial import Combination, two_level_design
from rlclaims.training import one_torch_thread
from rlclaims.update import Batch, Categorical, DiagonalGaussian, NetworkActions, Update

MECHANISMS = (
    "clip", "epsilon", "epochs", "learning_rate", "annealing", "adam_state", "gradient_clip",
    "advantage_normalization", "head",
)  # fmt: skip

GRADIENT_CLIP = 0.5
"""Optimisation 9 of 2005.12729."""

TO_CONVERGENCE = 10
"""Factor on the number of epochs; `late_gain` shows how near to convergence that is."""

WORDS = ("ACDFG", "BCEFG")
"""Products of the first seven mechanisms, A to G, that the last two follow in the design: a 2^(9-2) of resolution VI.

With resolution IV, and 32 twins, a new Adam state seemed to have an effect on the first update, where it changes
nothing: it was the effect of three mechanisms together, such as clip, eps (which does nothing without the clip) and a
third.
"""


def design() -> tuple[Combination, ...]:
    """Return the 128 combinations of switched mechanisms; the unmodified update is one of them."""
    return two_level_design(MECHANISMS, WORDS)


def name_of(switched: Collection[str]) -> str:
    """Return a twin's name: what is switched, in the order of `MECHANISMS`, or "none"."""
    return "+".join(name for name in MECHANISMS if name in switched) or "none"


def twin_of(algorithm: PPO, switched: Collection[str]) -> PPO:
    """Return the algorithm with mechanisms switched, as far as they are its settings."""
    clips = (algorithm.clip_epsilon is not None) != ("clip" in switched)
    epsilon = algorithm.ratio_epsilon / (2 if "epsilon" in switched else 1)
    clips_gradients = (algorithm.gradient_clip is not None) != ("gradient_clip" in switched)
    return replace(
        algorithm,
        clip_epsilon=epsilon if clips else None,
        epochs=max(1, algorithm.epochs // 2) if "epochs" in switched else algorithm.epochs,
        learning_rate=algorithm.learning_rate / (2 if "learning_rate" in switched else 1),
        anneal_learning_rates=algorithm.anneal_learning_rates != ("annealing" in switched),
        gradient_clip=(algorithm.gradient_clip or GRADIENT_CLIP) if clips_gradients else None,
        normalize_advantages=algorithm.normalize_advantages != ("advantage_normalization" in switched),
    )


def levels(algorithm: PPO) -> dict[str, tuple[str, str]]:
    """Return the two levels of each mechanism in words: the algorithm's own, and switched."""
    one = twin_of(algorithm, ())
    other = twin_of(algorithm, MECHANISMS)
    epsilon = algorithm.ratio_epsilon

    def switch(on: bool) -> tuple[str, str]:
        return ("on", "off") if on else ("off", "on")

    initializations = algorithm.initialization, _other_initialization(algorithm)
    return {
        "clip": switch(algorithm.clip_epsilon is not None),
        "epsilon": (f"{epsilon:g}", f"{epsilon / 2:g}"),
        "epochs": (f"{one.epochs}", f"{other.epochs}"),
        "learning_rate": (f"{one.learning_rate:g}", f"{other.learning_rate:g}"),
        "annealing": switch(algorithm.anneal_learning_rates),
        "adam_state": ("carried", "new"),
        "gradient_clip": ("off", f"{GRADIENT_CLIP:g}")
        if one.gradient_clip is None
        else (f"{one.gradient_clip:g}", "off"),
        "advantage_normalization": switch(algorithm.normalize_advantages),
        "head": initializations,
    }


@dataclass(frozen=True)
class Replay:
    """Updates of S seeds, made again."""

    old: NetworkPolicy
    path: tuple[NetworkPolicy, ...]
    """Policies after each epoch, or after each minibatch; the last is the new policy."""
    training: Batch
    held_out: Batch

    def update(self, states: str, until: int = -1) -> Update:
        """Return the update, or its path up to a point, on its own pairs ("training") or fresh ones ("held_out")."""
        return Update(self.old, self.path[until], self.training if states == "training" else self.held_out)


class _RowAdam(Adam):
    """Adam whose rows anneal their learning rates differently."""

    def __init__(self, parameters: Tensor, epsilon: float, parts_left: Sequence[float]) -> None:
        super().__init__(parameters, epsilon)
        self._parts_left = parts_left

    def _rates(self, learning_rate: float) -> Sequence[float]:
        return [learning_rate * left for left in self._parts_left]


class _Replayer(Agent):
    """An agent that repeats updates, one a row; it keeps the policy after each epoch, or after each minibatch."""

    def __init__(self, algorithm: PPO, iterations: int, rows: Sequence[Row], *, in_detail: bool) -> None:
        checkpoints = [start.checkpoints[k] for start, k in rows]
        sizes = checkpoints[0].training[0].shape[1], checkpoints[0].training[1].shape[1]
        seeds, choices = [start.seed for start, _ in rows], checkpoints[0].choices
        super().__init__(algorithm, seeds, *sizes, iterations, choices)
        self.path: list[NetworkPolicy] = []
        self._in_detail = in_detail
        resume(self, rows)
        anneals = algorithm.anneal_learning_rates
        parts_left = [1 - checkpoint.iteration / iterations if anneals else 1.0 for checkpoint in checkpoints]
        self.policy_adam = _RowAdam(self.theta_SP, algorithm.adam_epsilon, parts_left)

    def carry_adam(self, checkpoints: Sequence[Checkpoint]) -> None:
        """Continue with the moments and the steps of each row's Adam."""
        self.policy_adam.mean_SP = np.stack([checkpoint.adam_mean_P for checkpoint in checkpoints])
        self.policy_adam.square_SP = np.stack([checkpoint.adam_square_P for checkpoint in checkpoints])
        self.policy_adam.steps_S = np.array([checkpoint.adam_steps for checkpoint in checkpoints])

    def annealed(self, learning_rate: float) -> float:
        """Return the learning rate itself: each row's Adam anneals it for its own iteration."""
        return learning_rate

    def minibatches(self, epochs: int, *data: Tensor) -> Iterator[tuple[Tensor, ...]]:
        for _ in range(epochs):
            for minibatch in super().minibatches(1, *data):
                yield minibatch
                if self._in_detail:
                    self.path.append(self.policy())
            if not self._in_detail:
                self.path.append(self.policy())


class Twins:
    """Updates of several runs of one algorithm, at the iterations whose starts were kept.

    Args:
        algorithm: the algorithm of the runs.
        iterations: iterations of their training.
        starts: where their updates started, run by run; all at the same iterations.
    """

    def __init__(self, algorithm: PPO, iterations: int, starts: Sequence[Start]) -> None:
        self.algorithm = algorithm
        self._iterations = iterations
        self._starts = starts
        self.times = range(len(starts[0].checkpoints))

    @one_torch_thread()
    def replay(
        self, k: int | None, switched: Collection[str] = (), *, times_the_epochs: int = 1, in_detail: bool = False
    ) -> Replay:
        """Make the runs' updates again with mechanisms switched, run by run.

        Args:
            k: which kept iteration, from 0; None for all, one after the other, which is faster than each alone.
            switched: some of `MECHANISMS`.
            times_the_epochs: factor on the number of epochs.
            in_detail: whether the path has the policy after each minibatch instead of each epoch.
        """
        twin = twin_of(self.algorithm, switched)
        twin = replace(twin, epochs=twin.epochs * times_the_epochs)
        rows = [(start, at) for at in (self.times if k is None else [k]) for start in self._starts]
        checkpoints = [start.checkpoints[at] for start, at in rows]
        agent = _Replayer(twin, self._iterations, rows, in_detail=in_detail)
        batches = [_batch([getattr(checkpoint, states) for checkpoint in checkpoints]) for states in BATCHES]
        if "adam_state" not in switched:
            agent.carry_adam(checkpoints)
        if "head" in switched:
            batches = self._with_other_head(agent, rows, batches)
        old = agent.policy()
        twin.improve(agent, batches[0])
        return Replay(old, tuple(agent.path), *batches)

    def _with_other_head(self, agent: Agent, rows: Sequence[Row], batches: Sequence[Batch]) -> list[Batch]:
        """Start the policies from the other head, and return the pairs with their noise around the new means."""
        own = [start.initial_P for start, _ in rows]
        mlp = agent.network.mlp
        n_head = (mlp.sizes[-2] + 1) * mlp.sizes[-1]
        head = slice(mlp.n_parameters - n_head, mlp.n_parameters)
        streams = [torch_stream(seed, Purpose.POLICY_INIT) for seed in agent.seeds]
        other_SP = agent.network.initial(streams, _other_initialization(self.algorithm))
        before = agent.policy()
        with torch.no_grad():
            agent.theta_SP[:, head] += other_SP[:, head] - torch.from_numpy(np.stack(own))[:, head]
            after = agent.policy()
            return [
                replace(b, action_SBA=_carried(b, before(b.observation_SBO), after(b.observation_SBO), rows, states))
                for b, states in zip(batches, BATCHES, strict=True)
            ]


BATCHES = ("training", "held_out")


def _carried(batch: Batch, before: NetworkActions, after: NetworkActions, rows: Sequence[Row], states: str) -> Tensor:
    """Return the actions that another policy takes with the same noise, (S, B, A)."""
    if isinstance(before, DiagonalGaussian) and isinstance(after, DiagonalGaussian):
        return batch.action_SBA + (after.mean_SBA - before.mean_SBA)
    assert isinstance(before, Categorical) and isinstance(after, Categorical)
    index = [2 * start.checkpoints[k].iteration + BATCHES.index(states) for start, k in rows]
    rngs = [stream(start.seed, Purpose.TWIN_CHOICES, i) for (start, _), i in zip(rows, index, strict=True)]
    within_SBA = torch.from_numpy(np.stack([rng.random(batch.action_SBA.shape[1:]) for rng in rngs]))
    return after.at(before.levels(batch.action_SBA, within_SBA)).to(batch.action_SBA.dtype)


def _other_initialization(algorithm: Algorithm) -> str:
    return "xavier" if algorithm.initialization == "orthogonal" else "orthogonal"


def _batch(pairs: Sequence[tuple[npt.NDArray[np.float32], ...]]) -> Batch:
    return Batch(*(torch.from_numpy(np.stack(parts)) for parts in zip(*pairs, strict=True)))


def twin_combinations() -> list[Combination]:
    """Return what is switched in each twin: the combinations of the design, and each mechanism alone."""
    return list(dict.fromkeys([*design(), *(frozenset({name}) for name in MECHANISMS)]))


def jobs() -> dict[str, float]:
    """Return the jobs that twin updates are split into, each with its cost in updates; the costliest come first.

    They are three analyses, and the twins by name.
    """
    costs = {name_of(twin): 0.5 if "epochs" in twin else 1.0 for twin in twin_combinations()}
    analyses = {"converged": float(TO_CONVERGENCE), "matched_kl": 2.0, "pushed_out": 1.0}
    return analyses | dict(sorted(costs.items(), key=lambda job: -job[1]))


def cost_in_updates() -> float:
    """Return roughly how many unmodified updates take as long as all jobs."""
    return sum(jobs().values())


def measure(twins: Twins, job: str) -> dict[str, npt.NDArray[np.floating]]:
    """Return the numbers of one of `jobs`, by name, each (S, K): S runs at K kept iterations."""
    match job:
        case "converged":
            numbers = _converged(twins)
        case "matched_kl":
            # One iteration at a time: a path of every minibatch is long.
            numbers = {
                "ratio/exceedance/held_out": torch.cat([_exceedance_at_matched_kl(twins, k) for k in twins.times])
            }
        case "pushed_out":
            numbers = {"share": _pushed_out(twins)}
        case _:
            switched = [name for name in job.split("+") if name != "none"]
            numbers = _all_measures(twins.replay(None, switched), twins.algorithm)
    # Rows are run by run, iteration by iteration.
    return {f"{job}/{name}": rows.numpy().reshape(len(twins.times), -1).T for name, rows in numbers.items()}


def _all_measures(replay: Replay, algorithm: PPO) -> dict[str, Tensor]:
    measures = {}
    for states in BATCHES:
        update = replay.update(states)
        measures[f"kl_old_new/mean/{states}"] = mean_kl_old_new(update)
        # All twins are measured with the eps of the unmodified algorithm.
        measures[f"ratio/exceedance/{states}"] = exceedance(update, algorithm.ratio_epsilon)
        measures[f"ratio/max/{states}"] = max_ratio(update)
    return measures


def _exceedance_at_matched_kl(twins: Twins, k: int) -> Tensor:
    """Return the exceedance on fresh pairs of the update with clipping switched, stopped at the update's own mean KL.

    The first minibatch after which the mean KL is reached is searched in the first epoch at whose end it is reached.
    Between two minibatches exceedance is taken to be linear in mean KL. NaN for a seed that never reaches it.
    """
    own_S = mean_kl_old_new(twins.replay(k).update("held_out"))
    switched = twins.replay(k, ["clip"], in_detail=True)
    per_epoch = twins.algorithm.minibatches
    ends = range(per_epoch - 1, len(switched.path), per_epoch)
    at_ends_ES = torch.stack([mean_kl_old_new(switched.update("held_out", end)) for end in ends])
    first_S = _first(at_ends_ES >= own_S)
    # Each seed's own epoch, minibatch by minibatch, from the policy before it.
    along = torch.stack([switched.old.theta_SP, *(policy.theta_SP for policy in switched.path)])
    kl, outside = [], []
    for minibatch in range(per_epoch + 1):
        theta_SP = along[first_S.clamp(max=len(ends) - 1) * per_epoch + minibatch, range(len(own_S))]
        update = Update(switched.old, replace(switched.old, theta_SP=theta_SP), switched.held_out)
        kl.append(mean_kl_old_new(update))
        outside.append(exceedance(update, twins.algorithm.ratio_epsilon))
    kl_MS, outside_MS = torch.stack(kl), torch.stack(outside)
    here_1S = _first(kl_MS >= own_S).clamp(1, per_epoch)[None]
    kl_0, kl_1 = (kl_MS.gather(0, at)[0] for at in (here_1S - 1, here_1S))
    outside_0, outside_1 = (outside_MS.gather(0, at)[0] for at in (here_1S - 1, here_1S))
    between_S = outside_0 + (own_S - kl_0) / (kl_1 - kl_0) * (outside_1 - outside_0)
    return torch.where(first_S < len(ends), between_S, torch.nan)


def _first(true_ES: Tensor) -> Tensor:
    """Return for each column the first row that is true, or the number of rows if none is."""
    return torch.where(true_ES.any(0), true_ES.int().argmax(0), len(true_ES))


def _pushed_out(twins: Twins) -> Tensor:
    """Return the share of the batch's pairs let go by the objective whose ratio the next epoch moves further out.

    The objective lets a pair go at the end of an epoch, except the last, if its ratio is beyond 1 + eps and its
    advantage above the batch's mean, or its ratio below 1 - eps and its advantage below: the pair then has no gradient
    (Truly PPO, 1903.07940, theorem 2). Advantages that are not standardised are compared with 0 instead. NaN for a seed
    with no such pair.
    """
    replay, epsilon = twins.replay(None), twins.algorithm.ratio_epsilon
    sign_SB = twins.algorithm.weights(replay.training).sign()
    out_ESB = torch.stack([sign_SB * (ratio(replay.update("training", e)) - 1) for e in range(len(replay.path))])
    let_go_ESB, further_ESB = out_ESB[:-1] > epsilon, out_ESB[1:] > out_ESB[:-1]
    return (let_go_ESB & further_ESB).sum((0, 2)).double() / let_go_ESB.sum((0, 2))


def _converged(twins: Twins) -> dict[str, Tensor]:
    """Optimise the update's own objective much further; return also the share of its gain from the second half."""
    replay, algorithm = twins.replay(None, times_the_epochs=TO_CONVERGENCE), twins.algorithm
    halfway = replay.path[len(replay.path) // 2 - 1]
    start_S, half_S, end_S = (
        algorithm.objective(Update(replay.old, new, replay.training)) for new in (replay.old, halfway, replay.path[-1])
    )
    return _all_measures(replay, algorithm) | {"late_gain": (end_S - half_S) / (end_S - start_S)}

"""Gradients as two kinds of studies, without and with an estimate by near-true values."""

from functools import partial
from typing import TYPE_CHECKING

import torch

from rlclaims.agents.algorithm import Algorithm
from rlclaims.agents.ppo import PPO
from rlclaims.studies.gradients.compute import expected_steps, gradients, length
from rlclaims.studies.kind import REPLAY_CODE, StudyError, StudyKind, replayed
from rlclaims.studies.values.kind import check_value_network
from rlclaims.text import describe

if TYPE_CHECKING:
    from rlclaims.results.runs import TrainedRuns

LEAST_POOL = 1024
"""Fewest pairs that gradients are estimated from."""


def _query() -> "type[TrainedRuns]":
    from rlclaims.studies.gradients.query import Gradients

    return Gradients


def _near_true_query() -> "type[TrainedRuns]":
    from rlclaims.studies.gradients.query import NearTrueGradients

    return NearTrueGradients


def _check_pool(pairs: int | None, _algorithm: Algorithm) -> None:
    if type(pairs) is not int or pairs < LEAST_POOL:
        raise StudyError(
            f"Gradients are estimated from a whole number of pairs, {LEAST_POOL:,} or more, not {describe(pairs)}."
        )


def _check_first_step(_pairs: int | None, algorithm: Algorithm) -> None:
    """Refuse a PPO objective whose gradient at the old policy is not that of ratio times advantage."""
    if not isinstance(algorithm, PPO):
        return
    name = type(algorithm).__name__
    try:
        algorithm.check()
    except ValueError as error:
        raise StudyError(str(error)) from None
    if algorithm.entropy_coefficient is not None:
        raise StudyError(
            f"Gradients are of objectives without entropy, and {name} has an entropy_coefficient of "
            f"{algorithm.entropy_coefficient:g}."
        )
    ratio_SB = torch.ones((1, 4), requires_grad=True)
    advantage_SB = torch.tensor([[1.5, -1.0, 0.5, -1.0]])
    (slope_SB,) = torch.autograd.grad(-algorithm.policy_loss(ratio_SB, advantage_SB).sum(), ratio_SB)
    # A factor shared by all pairs does not change the gradient's direction.
    if not torch.cosine_similarity(slope_SB, advantage_SB) > 1 - 1e-6:
        raise StudyError(
            f"Gradients are of objectives that climb ratio times advantage where the ratio is 1; {name}.policy_loss "
            "has another slope there."
        )


KINDS = (
    StudyKind(
        name="gradients",
        words="gradients",
        query=_query,
        compute=replayed(gradients),
        length=length,
        expected_steps=expected_steps,
        code=(*REPLAY_CODE, "studies/gradients/compute.py"),
        bytes=lambda _: 4_000,
        algorithm_checks=(
            _check_pool,
            lambda _pairs, algorithm: check_value_network("gradients", algorithm),
            _check_first_step,
        ),
    ),
    StudyKind(
        name="near_true_gradients",
        words="near true gradients",
        query=_near_true_query,
        compute=replayed(partial(gradients, near_true=True)),
        length=length,
        expected_steps=partial(expected_steps, near_true=True),
        code=(*REPLAY_CODE, "studies/gradients/compute.py"),
        bytes=lambda _: 5_000,
        algorithm_checks=(
            _check_pool,
            lambda _pairs, algorithm: check_value_network("near true gradients", algorithm),
            _check_first_step,
        ),
    ),
)

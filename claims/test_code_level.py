"""Code-level optimisations, as recalled in the post's Part III, and the reliability of rankings from three seeds.

"Auxiliary optimizations hidden in the implementation details of RL algorithms drastically impact performance." PPO and
PPO-M, its core without optimisations, are each trained with the learning rates that the authors tuned for them. The
final return is the mean over 32 fresh whole episodes of the policy after the last update, not of the best policy nor
over training episodes. "Drastically" means a factor of 1.1 here. In the papers' tables PPO has 1.17 to 1.2 times
PPO-M's return after a million steps.
"""

from rlclaims import Runs, any_of, claim, family, source

POST = source("Part III, its introduction, on Part I")
POST_REPRODUCIBILITY = source("Part III, Wrapping Up")

DRASTICALLY = (
    "auxiliary optimizations hidden in the implementation details of RL algorithms drastically impact performance"
)
BRITTLE = "challenges facing deep RL, such as widespread brittleness and poor reproducibility"

A_TENTH_MORE = 1.1
"""Factor between returns from which performance counts as drastically different."""
ONE_IN_TWENTY = 0.05
"""Acceptable probability of a wrong ranking."""

FAMILY = family("the post and its papers", size=200)


@claim(
    "code-level/optimisations-change-the-return-drastically",
    POST,
    says=DRASTICALLY,
    means="PPO's final return is more than a tenth above PPO-M's, or more than a tenth below: the geometric mean over "
    "seeds of the ratio is above 1.1 or below 1 / 1.1",
    margin=A_TENTH_MORE,
    family=FAMILY,
)
def test_optimisations_change_the_return_drastically(ppo: Runs, ppo_m: Runs) -> None:
    ratio = ppo.final_returns.mean / ppo_m.final_returns.mean
    assert any_of(ratio > A_TENTH_MORE, ratio < 1 / A_TENTH_MORE)


@claim(
    "code-level/optimisations-raise-the-return",
    POST,
    says=DRASTICALLY,
    means="PPO's final return is above PPO-M's: the geometric mean over seeds of the ratio is above 1",
    margin=A_TENTH_MORE,
    family=FAMILY,
)
def test_optimisations_raise_the_return(ppo: Runs, ppo_m: Runs) -> None:
    assert ppo.final_returns.mean / ppo_m.final_returns.mean > 1


@claim(
    "code-level/three-seeds-misrank-ppo-and-trpo",
    POST_REPRODUCIBILITY,
    says=BRITTLE,
    means="three seeds, on which both are trained, rank the final returns of PPO and TRPO in the wrong order more than "
    "one time in twenty: the probability that TRPO ranks first, from the mean and the standard deviation of the "
    "differences over seeds, is between .05 and .95",
    margin=ONE_IN_TWENTY,
    family=FAMILY,
)
def test_three_seeds_misrank_ppo_and_trpo(ppo: Runs, trpo: Runs) -> None:
    difference = ppo.final_returns.mean - trpo.final_returns.mean
    assert difference.wrong_order(seeds=3).within(ONE_IN_TWENTY, 1 - ONE_IN_TWENTY)


@claim(
    "code-level/three-seeds-misrank-ppo-and-ppo-m",
    POST_REPRODUCIBILITY,
    says=BRITTLE,
    means="three seeds, on which both are trained, rank the final returns of PPO and PPO-M in the wrong order more "
    "than one time in twenty: the probability that PPO-M ranks first, from the mean and the standard deviation of the "
    "differences over seeds, is between .05 and .95",
    margin=ONE_IN_TWENTY,
    family=FAMILY,
)
def test_three_seeds_misrank_ppo_and_ppo_m(ppo: Runs, ppo_m: Runs) -> None:
    difference = ppo.final_returns.mean - ppo_m.final_returns.mean
    assert difference.wrong_order(seeds=3).within(ONE_IN_TWENTY, 1 - ONE_IN_TWENTY)

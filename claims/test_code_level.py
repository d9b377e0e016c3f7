"""Code-level optimisations, as the post's Part III recalls them, and how well three seeds rank two algorithms.

"Auxiliary optimizations hidden in the implementation details of RL algorithms drastically impact performance." PPO and
PPO-M, its core alone, are each trained with the rates that its authors tuned for it, and differ in the optimisations
that PPO-M leaves out. The final return is the mean of 32 fresh whole episodes of the policy after the last update: not
the best policy there was, nor the episodes that it learnt from. "Drastically" is a factor of 1.1 here. The papers' own
tables have 1.17 to 1.2 for PPO over PPO-M, after a million steps.
"""

from rlclaims import Runs, any_of, claim, family, source

POST = source("Part III, its introduction, on Part I")
POST_REPRODUCIBILITY = source("Part III, Wrapping Up")

DRASTICALLY = (
    "auxiliary optimizations hidden in the implementation details of RL algorithms drastically impact performance"
)
BRITTLE = "challenges facing deep RL, such as widespread brittleness and poor reproducibility"

A_TENTH_MORE = 1.1
"""Factor between returns from which performance is said to be drastically another."""
ONE_IN_TWENTY = 0.05
"""How often a ranking may come out wrong."""

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
    means="three seeds, on which both are trained, rank the final returns of PPO and TRPO the wrong way round more "
    "than one time in twenty: the probability that TRPO comes out first, from the mean and the spread of the "
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
    means="three seeds, on which both are trained, rank the final returns of PPO and PPO-M the wrong way round more "
    "than one time in twenty: the probability that PPO-M comes out first, from the mean and the spread of the "
    "differences over seeds, is between .05 and .95",
    margin=ONE_IN_TWENTY,
    family=FAMILY,
)
def test_three_seeds_misrank_ppo_and_ppo_m(ppo: Runs, ppo_m: Runs) -> None:
    difference = ppo.final_returns.mean - ppo_m.final_returns.mean
    assert difference.wrong_order(seeds=3).within(ONE_IN_TWENTY, 1 - ONE_IN_TWENTY)

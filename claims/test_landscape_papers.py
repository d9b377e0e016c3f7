"""Landscapes in other papers, judged on the data of `test_landscape.py` and with its definitions.

The paper (1811.02553v4) says that with 10^6 pairs per update TRPO's steps match the true reward and PPO's do not,
whereas the post finds TRPO's landscapes similar to PPO's. The profile `standard` has updates on 32,768 pairs, 16
batches; `paper` has a million.
"""

from rlclaims import Runs, claim, family, source

PAPER = source("section on landscapes, paraphrased", "Are Deep Policy Gradient Algorithms Truly Policy Gradient "
               "Algorithms? (1811.02553v4)")  # fmt: skip
PAPER_BATCHES = source("section on trajectories per batch, paraphrased", "Are Deep Policy Gradient Algorithms Truly "
                       "Policy Gradient Algorithms? (1811.02553v4)")  # fmt: skip
CLIFFS = source("abstract, paraphrased", "Cliff Diving: Exploring Reward Surfaces (2205.07015)")
POLICY_OPTIMIZATION_NOISE = source("abstract, paraphrased", "Policy Optimization in a Noisy Neighborhood (2309.14597)")
OUTER_PPO = source("abstract, paraphrased", "Beyond the Boundaries of Proximal Policy Optimization (2411.00666)")

TWO_PERCENT = 0.02
"""Smallest change of the return that matters, equal to the intended standard error."""
ONE_IN_TWENTY = 0.05
TWICE = 2.0

FAMILY = family("the post and its papers", size=200)


@claim(
    "landscape/ppo-trajectories-per-batch-fall",
    PAPER_BATCHES,
    says="The number of independent trajectories in a batch falls over training.",
    means="PPO's batch holds fewer trajectories late in training than at the start: the geometric mean over seeds "
    "of the ratio is below 1",
    margin=TWICE,
    family=FAMILY,
)
def test_ppo_trajectories_per_batch_fall(ppo: Runs) -> None:
    assert ppo.landscape.trajectories_per_batch.last(2) / ppo.landscape.trajectories_per_batch.at(0) < 1


@claim(
    "landscape/trpo-trajectories-per-batch-fall",
    PAPER_BATCHES,
    says="The number of independent trajectories in a batch falls over training.",
    means="TRPO's batch holds fewer trajectories late in training than at the start: the geometric mean over seeds "
    "of the ratio is below 1",
    margin=TWICE,
    family=FAMILY,
)
def test_trpo_trajectories_per_batch_fall(trpo: Runs) -> None:
    assert trpo.landscape.trajectories_per_batch.last(2) / trpo.landscape.trajectories_per_batch.at(0) < 1


@claim(
    "landscape/ppo-step-leads-over-a-cliff",
    CLIFFS,
    says="Cliffs, sudden large drops of the return, are frequent along the policy gradient.",
    means="late in training the return falls below half of that at theta somewhere within 3 times PPO's step: the mean "
    "over seeds of the lowest return, chosen on some episodes and measured on others, as a fraction of theta's, is "
    "below .5",
    margin=ONE_IN_TWENTY,
    family=FAMILY,
    expected="refuted",
    evidence="development seeds 10000 to 10005, Hopper-v5, 204,800 steps: 1.04, repeated interval [.69, 1.11]",
)
def test_ppo_step_leads_over_a_cliff(ppo: Runs) -> None:
    assert ppo.landscape.lowest.last(2) < 0.5


@claim(
    "landscape/trpo-step-leads-over-a-cliff",
    CLIFFS,
    says="Cliffs, sudden large drops of the return, are frequent along the policy gradient.",
    means="late in training the return falls below half of that at theta somewhere within 3 times TRPO's step: the "
    "mean over seeds of the lowest return, chosen on some episodes and measured on others, as a fraction of theta's, "
    "is below .5",
    margin=ONE_IN_TWENTY,
    family=FAMILY,
    expected="refuted",
    evidence="development seeds 10000 to 10009, Hopper-v5, 204,800 steps: .942, repeated interval [.566, 1.09]",
)
def test_trpo_step_leads_over_a_cliff(trpo: Runs) -> None:
    assert trpo.landscape.lowest.last(2) < 0.5


@claim(
    "landscape/ppo-one-update-spreads-the-return-widely",
    POLICY_OPTIMIZATION_NOISE,
    says="A single update leads to a wide distribution of returns.",
    means="the standard deviation of the return's true change over PPO's updates in the last quarter of training is "
    "above 5% of the return: the mean over seeds of the variance is above .0025",
    margin=ONE_IN_TWENTY**2,
    family=FAMILY,
    expected="refuted",
    evidence="seeds 0 to 9, Hopper-v5, 204,800 steps: -.0003, 90% interval [-.0010, .0005]",
)
def test_ppo_one_update_spreads_the_return_widely(ppo: Runs) -> None:
    assert ppo.late_updates.variance > ONE_IN_TWENTY**2


@claim(
    "landscape/trpo-one-update-spreads-the-return-widely",
    POLICY_OPTIMIZATION_NOISE,
    says="A single update leads to a wide distribution of returns.",
    means="the standard deviation of the return's true change over TRPO's updates in the last quarter of training "
    "is above 5% of the return: the mean over seeds of the variance is above .0025",
    margin=ONE_IN_TWENTY**2,
    family=FAMILY,
    expected="refuted",
    evidence="seeds 0 to 11, Hopper-v5, 204,800 steps: .0001, 90% interval [-.0014, .0017]",
)
def test_trpo_one_update_spreads_the_return_widely(trpo: Runs) -> None:
    assert trpo.late_updates.variance > ONE_IN_TWENTY**2


@claim(
    "landscape/ppo-one-update-has-a-long-left-tail",
    POLICY_OPTIMIZATION_NOISE,
    says="The distribution of returns after a single update has a long left tail.",
    means="the third central moment of the return's true change over PPO's updates in the last quarter of training "
    "is below 0: the median over seeds",
    family=FAMILY,
)
def test_ppo_one_update_has_a_long_left_tail(ppo: Runs) -> None:
    assert ppo.late_updates.third_moment.median < 0


@claim(
    "landscape/trpo-one-update-has-a-long-left-tail",
    POLICY_OPTIMIZATION_NOISE,
    says="The distribution of returns after a single update has a long left tail.",
    means="the third central moment of the return's true change over TRPO's updates in the last quarter of training "
    "is below 0: the median over seeds",
    family=FAMILY,
)
def test_trpo_one_update_has_a_long_left_tail(trpo: Runs) -> None:
    assert trpo.late_updates.third_moment.median < 0


@claim(
    "landscape/ppo-best-step-size-is-not-one",
    OUTER_PPO,
    says="An outer step size other than 1 does better.",
    means="the return at the best of nine step sizes from 0 to 12, chosen on some episodes and measured on others, is "
    "above that at 1: the mean gain over seeds and the last three of the four iterations is above 0",
    margin=TWO_PERCENT,
    family=FAMILY,
)
def test_ppo_best_step_size_is_not_one(ppo: Runs) -> None:
    assert ppo.landscape.best_step_gain.last(3) > 0


@claim(
    "landscape/trpo-best-step-size-is-not-one",
    OUTER_PPO,
    says="An outer step size other than 1 does better.",
    means="the return at the best of nine step sizes from 0 to 12, chosen on some episodes and measured on others, is "
    "above that at 1: the mean gain over seeds and the last three of the four iterations is above 0",
    margin=TWO_PERCENT,
    family=FAMILY,
)
def test_trpo_best_step_size_is_not_one(trpo: Runs) -> None:
    assert trpo.landscape.best_step_gain.last(3) > 0


# Updates on many more pairs: 10^6 in the papers; 32,768, 16 batches, in `standard`.


@claim(
    "landscape/trpo-large-update-raises-the-return",
    PAPER,
    says="With many samples, TRPO's steps are aligned with the true reward.",
    means="late in training (the last of the four iterations) TRPO's update on some 32,768 fresh pairs raises the "
    "return: the mean change over seeds is above 0",
    margin=TWO_PERCENT,
    family=FAMILY,
)
def test_trpo_large_update_raises_the_return(trpo: Runs) -> None:
    assert trpo.large_updates(pairs=2**15).change > 0


@claim(
    "landscape/ppo-large-update-lowers-the-return",
    PAPER,
    says="With many samples, PPO's steps still lower the true reward.",
    means="late in training (the last of the four iterations) PPO's update on some 32,768 fresh pairs lowers the "
    "return: the mean change over seeds is below 0",
    margin=TWO_PERCENT,
    family=FAMILY,
)
def test_ppo_large_update_lowers_the_return(ppo: Runs) -> None:
    assert ppo.large_updates(pairs=2**15).change < 0


@claim(
    "landscape/samples-help-trpo-more-than-ppo",
    PAPER,
    says="With many samples TRPO's steps match the true reward, and PPO's still do not.",
    means="the gain of an update on some 32,768 fresh pairs over the usual one, as a fraction of the return, is larger "
    "for TRPO than for PPO, late in training: the mean over seeds of the difference is above 0",
    margin=TWO_PERCENT,
    family=FAMILY,
)
def test_samples_help_trpo_more_than_ppo(trpo: Runs, ppo: Runs) -> None:
    assert trpo.large_updates(pairs=2**15).improvement > ppo.large_updates(pairs=2**15).improvement


@claim(
    "landscape/trpo-update-on-a-million-pairs-raises-the-return",
    PAPER,
    says="With many samples, TRPO's steps are aligned with the true reward.",
    means="as trpo-large-update-raises-the-return, on about a million fresh pairs",
    margin=TWO_PERCENT,
    family=FAMILY,
    profiles=["paper"],
)
def test_trpo_update_on_a_million_pairs_raises_the_return(trpo: Runs) -> None:
    assert trpo.large_updates(pairs=10**6).change > 0


@claim(
    "landscape/ppo-update-on-a-million-pairs-lowers-the-return",
    PAPER,
    says="With many samples, PPO's steps still lower the true reward.",
    means="as ppo-large-update-lowers-the-return, on about a million fresh pairs",
    margin=TWO_PERCENT,
    family=FAMILY,
    profiles=["paper"],
)
def test_ppo_update_on_a_million_pairs_lowers_the_return(ppo: Runs) -> None:
    assert ppo.large_updates(pairs=10**6).change < 0

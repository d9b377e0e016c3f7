"""Code-level optimisations in "Implementation Matters in Deep Policy Gradients" (2005.12729). Profile `paper` only.

The paper's grid varies four optimisations together and takes each combination at the best of several learning rates.
Here they are on and off in all sixteen combinations, each trained at the papers' rate for PPO on the task and at a
third of it (PPO-M's rates are .57, .25 and .6 of PPO's). Earlier seeds choose between the two rates
(`rlclaims.results.factorial`). A second design, on Hopper-v5 only, has all nine optimisations in 32 combinations, in
which main effects are aliased with three-factor interactions, but not with main effects or two-factor interactions.

Between algorithms as tuned by their authors, the effects of optimisations are PPO - PPO-M and TRPO+ - TRPO, and those
of the algorithm PPO - TRPO+ and PPO-M - TRPO. The paper compares the largest absolute effect of each kind. The largest
of noisy estimates is biased upwards, but the comparison needs no such estimate: |c| > |a| if and only if c or -c is
above both a and -a.

Final returns are those of `test_code_level.py`: of the last policy, over fresh episodes.
"""

import pytest

from rlclaims import Factorial, Runs, Sample, all_of, any_of, claim, family, source

IMPLEMENTATION_MATTERS = '"Implementation Matters in Deep Policy Gradients" (2005.12729)'
ABLATION = source("section on the ablation of optimisations, paraphrased", IMPLEMENTATION_MATTERS)
ORIGINS = source("section on where improvement comes from, AAI and ACLI, paraphrased", IMPLEMENTATION_MATTERS)
NO_CLIP = source("section on PPO without clipping, paraphrased", IMPLEMENTATION_MATTERS)
SUBMISSION = source(
    "on learning rates and batch sizes, in the submission alone, paraphrased",
    "Are Deep Policy Gradient Algorithms Truly Policy Gradient Algorithms? (1811.02553)",
)

EACH_MATTERS = "Reward scaling, annealing and orthogonal initialisation each change the reward that PPO reaches."

A_TENTH_MORE = 1.1
"""Smallest factor that matters between returns; the papers have 1.17 to 1.2 for all optimisations together."""
A_HUNDRED = 100.0
"""Smallest difference that matters between effects on the return: half of the least in the papers, 220 to 322."""
TWO_HUNDRED = 200.0
"""Smallest difference that matters between gains on Hopper: a tenth of the return, which is over 2,000."""

FAMILY = family("the post and its papers", size=200)

PAPER = ["paper"]


def final_return(runs: Runs) -> Sample:
    """Return the final return of a combination's runs, seed by seed."""
    return runs.final_returns.mean


@pytest.mark.parametrize("optimisation", ["scale_rewards", "anneal_learning_rates", "initialization"])
@claim(
    "code-level/raises-the-return-at-tuned-rates",
    ABLATION,
    says=EACH_MATTERS,
    means="without the optimisation PPO's final return is lower: its geometric mean factor over seeds, on average over "
    "all combinations of four optimisations, each at the learning rate of two that earlier seeds chose, is below 1",
    margin=A_TENTH_MORE,
    family=FAMILY,
    profiles=PAPER,
)
def test_raises_the_return_at_tuned_rates(ppo_four_optimisations: Factorial, optimisation: str) -> None:
    assert ppo_four_optimisations.factor_of(optimisation, final_return) < 1


@claim(
    "code-level/value-clipping-leaves-the-return-at-tuned-rates",
    ABLATION,
    says="Value clipping is not among the optimisations that PPO's reward needs.",
    means="with value clipping PPO's final return changes by a factor whose geometric mean over seeds, on average over "
    "all combinations of four optimisations, each at the learning rate of two that earlier seeds chose, lies between "
    "1 / 1.1 and 1.1",
    family=FAMILY,
    profiles=PAPER,
)
def test_value_clipping_leaves_the_return_at_tuned_rates(ppo_four_optimisations: Factorial) -> None:
    assert ppo_four_optimisations.factor_of("value_clip", final_return).within(1 / A_TENTH_MORE, A_TENTH_MORE)


@claim(
    "code-level/three-raise-the-return-among-all-nine",
    ABLATION,
    says=EACH_MATTERS,
    means="without reward scaling, without annealing and without orthogonal initialisation PPO's final return is "
    "lower on Hopper-v5: the geometric mean factor over seeds of each, on average over a design of all nine "
    "optimisations, each combination at the learning rate of two that earlier seeds chose, is below 1",
    margin=A_TENTH_MORE,
    family=FAMILY,
    profiles=PAPER,
)
def test_three_raise_the_return_among_all_nine(ppo_nine_optimisations: Factorial) -> None:
    assert all_of(
        ppo_nine_optimisations.factor_of("scale_rewards", final_return) < 1,
        ppo_nine_optimisations.factor_of("anneal_learning_rates", final_return) < 1,
        ppo_nine_optimisations.factor_of("initialization", final_return) < 1,
    )


@claim(
    "code-level/optimisations-change-more-than-the-algorithm",
    ORIGINS,
    says="On each task optimisations change the reward more than the choice between PPO's and TRPO's update does.",
    means="for mean final returns over seeds, the larger of |PPO - PPO-M| and |TRPO+ - TRPO| is above the larger of "
    "|PPO - TRPO+| and |PPO-M - TRPO|: one of PPO - PPO-M, TRPO+ - TRPO and their negatives is above all of PPO - "
    "TRPO+, PPO-M - TRPO and their negatives",
    margin=A_HUNDRED,
    family=FAMILY,
    profiles=PAPER,
)
def test_optimisations_change_more_than_the_algorithm(ppo: Runs, ppo_m: Runs, trpo: Runs, trpo_plus: Runs) -> None:
    with_all, without = ppo.final_returns.mean, ppo_m.final_returns.mean
    trpo_with_all, trpo_without = trpo_plus.final_returns.mean, trpo.final_returns.mean
    optimisations = (with_all - without, without - with_all, trpo_with_all - trpo_without, trpo_without - trpo_with_all)
    algorithms = (with_all - trpo_with_all, trpo_with_all - with_all, without - trpo_without, trpo_without - without)
    assert any_of(*(all_of(*(change > other for other in algorithms)) for change in optimisations))


@claim(
    "code-level/ppo-without-clipping-returns-more-than-ppo-m",
    NO_CLIP,
    says="PPO without clipping, with the optimisations, does better than PPO-M, which clips and has none.",
    means="PPO-NoClip's final return is above PPO-M's: the geometric mean over seeds of the ratio is above 1",
    margin=A_TENTH_MORE,
    family=FAMILY,
    profiles=PAPER,
)
def test_ppo_without_clipping_returns_more_than_ppo_m(ppo_no_clip: Runs, ppo_m: Runs) -> None:
    assert ppo_no_clip.final_returns.mean / ppo_m.final_returns.mean > 1


@claim(
    "code-level/ppo-without-clipping-returns-as-much",
    NO_CLIP,
    says="PPO without clipping does about as well as PPO.",
    means="PPO-NoClip's final return is within a tenth of PPO's: the geometric mean over seeds of the ratio lies "
    "between 1 / 1.1 and 1.1",
    family=FAMILY,
    profiles=PAPER,
)
def test_ppo_without_clipping_returns_as_much(ppo_no_clip: Runs, ppo: Runs) -> None:
    assert (ppo_no_clip.final_returns.mean / ppo.final_returns.mean).within(1 / A_TENTH_MORE, A_TENTH_MORE)


@claim(
    "code-level/trpo-plus-returns-no-less-than-ppo-on-humanoid",
    ORIGINS,
    says="With PPO's optimisations TRPO does as well as PPO on Humanoid, or better.",
    means="TRPO+'s final return on Humanoid-v5 is PPO's or more: the geometric mean over seeds of the ratio is at "
    "least 1",
    margin=A_TENTH_MORE,
    family=FAMILY,
    profiles=PAPER,
)
def test_trpo_plus_returns_no_less_than_ppo_on_humanoid(trpo_plus_on_humanoid: Runs, ppo_on_humanoid: Runs) -> None:
    assert trpo_plus_on_humanoid.final_returns.mean / ppo_on_humanoid.final_returns.mean >= 1


@claim(
    "code-level/larger-batches-do-not-call-for-larger-rates",
    SUBMISSION,
    says="The best learning rate does not grow with the batch: it is higher at 2,048 pairs than at ten times as many.",
    means="the gain in PPO's final return on Hopper-v5 after a million steps from a learning rate of 1.25e-4 over one "
    "of 5e-5 is larger with updates on 2,048 pairs than with updates on 20,480: the mean over seeds of the first gain "
    "minus the second is above 0",
    margin=TWO_HUNDRED,
    family=FAMILY,
    profiles=PAPER,
)
def test_larger_batches_do_not_call_for_larger_rates(
    ppo_at_high_rate: Runs,
    ppo_at_low_rate: Runs,
    ppo_on_large_batches_at_high_rate: Runs,
    ppo_on_large_batches_at_low_rate: Runs,
) -> None:
    gain = ppo_at_high_rate.final_returns.mean - ppo_at_low_rate.final_returns.mean
    of_large_batches = (
        ppo_on_large_batches_at_high_rate.final_returns.mean - ppo_on_large_batches_at_low_rate.final_returns.mean
    )
    assert gain > of_large_batches

"""Gradient estimates, as recalled in the post's Part III: they are noisy, and yet steps go slightly uphill.

"Despite high variance, algorithm steps were still (very slightly) correlated with the actual, 'true' gradient." At the
four iterations of `test_landscape.py`, a pool of fresh whole episodes gives estimates of three gradients: of the
surrogate, which the algorithm follows and the paper calls the true gradient; of the discounted return; and of the
return. The agreement of two estimates from N pairs follows from the squared length of the true gradient and the noise
per pair, so no estimate has to serve as the truth.

The two halves of the sentence are independent: if two estimates have a mean cosine of .1, each has a cosine of .32
with the true gradient. So the first half is a claim about two estimates, and the second one about the step and the true
gradient, whose cosine is computed net of noise. The 45 pairs of 10 estimates are not 45 replicates: the unit is the
seed.

"Late" is the mean over the last two of the four iterations.
"""

from rlclaims import Runs, claim, family, source

POST = source("Part III, its introduction, on Part II")
PAPER = source(
    "section on gradient estimation, paraphrased",
    "Are Deep Policy Gradient Algorithms Truly Policy Gradient Algorithms? (1811.02553v4)",
)
NOT_A_GRADIENT = source("abstract, paraphrased", "Is the Policy Gradient a Gradient? (1906.07073)")

NOISY = "despite high variance"
CORRELATED = 'algorithm steps were still (very slightly) correlated with the actual, "true" gradient of the reward'
DECAYS = "As training goes on, gradient estimates from as many pairs agree less."
NO_GRADIENT = "What policy gradient methods follow is not the gradient of the discounted return."

A_BATCH = 2048
"""State-action pairs of an update."""
A_MILLION = 10**6
HALF = 0.5
"""Cosine of two estimates with equal parts of signal and noise."""
SLIGHTLY = 0.3
"""Cosine up to which a step counts as only slightly uphill."""
NEARLY_THE_SAME = 0.9
"""Cosine from which two directions count as the same."""
ONE_IN_TWENTY = 0.05
A_HUNDREDTH = 0.01
A_TWENTIETH_OF_ITS_RANGE = 0.0045
"""A twentieth of .09, the square of .3: the squared cosine minus that of .3 is at least -.09."""

FAMILY = family("the post and its papers", size=200)


@claim(
    "gradient/ppo-estimates-are-noisy",
    POST,
    says=NOISY,
    means="late in training the mean cosine of two independent estimates of PPO's surrogate gradient, from 2,048 "
    "pairs each, is below .5: the mean over seeds",
    margin=ONE_IN_TWENTY,
    family=FAMILY,
)
def test_ppo_estimates_are_noisy(ppo: Runs) -> None:
    assert ppo.gradients().cosine(A_BATCH).last(2) < HALF


@claim(
    "gradient/trpo-estimates-are-noisy",
    POST,
    says=NOISY,
    means="late in training the mean cosine of two independent estimates of TRPO's surrogate gradient, from 2,048 "
    "pairs each, is below .5: the mean over seeds",
    margin=ONE_IN_TWENTY,
    family=FAMILY,
)
def test_trpo_estimates_are_noisy(trpo: Runs) -> None:
    assert trpo.gradients().cosine(A_BATCH).last(2) < HALF


@claim(
    "gradient/ppo-step-is-uphill",
    POST,
    says=CORRELATED,
    means="late in training PPO's step has a positive inner product with the surrogate's gradient, estimated from "
    "fresh pairs: the mean cosine over seeds is above 0",
    margin=A_HUNDREDTH,
    family=FAMILY,
)
def test_ppo_step_is_uphill(ppo: Runs) -> None:
    assert ppo.gradients().step().last(2) > 0


@claim(
    "gradient/trpo-step-is-uphill",
    POST,
    says=CORRELATED,
    means="late in training TRPO's step has a positive inner product with the surrogate's gradient, estimated from "
    "fresh pairs: the mean cosine over seeds is above 0",
    margin=A_HUNDREDTH,
    family=FAMILY,
)
def test_trpo_step_is_uphill(trpo: Runs) -> None:
    assert trpo.gradients().step().last(2) > 0


@claim(
    "gradient/ppo-step-is-uphill-in-the-return",
    POST,
    says=CORRELATED,
    means="late in training PPO's step has a positive inner product with the gradient of the return itself, estimated "
    "from fresh pairs: the mean cosine over seeds is above 0",
    margin=A_HUNDREDTH,
    family=FAMILY,
)
def test_ppo_step_is_uphill_in_the_return(ppo: Runs) -> None:
    assert ppo.gradients().step("undiscounted").last(2) > 0


@claim(
    "gradient/trpo-step-is-uphill-in-the-return",
    POST,
    says=CORRELATED,
    means="late in training TRPO's step has a positive inner product with the gradient of the return itself, estimated "
    "from fresh pairs: the mean cosine over seeds is above 0",
    margin=A_HUNDREDTH,
    family=FAMILY,
)
def test_trpo_step_is_uphill_in_the_return(trpo: Runs) -> None:
    assert trpo.gradients().step("undiscounted").last(2) > 0


@claim(
    "gradient/ppo-step-is-only-slightly-uphill",
    POST,
    says=CORRELATED,
    means="late in training the cosine of PPO's step with the surrogate's true gradient is below .3: the mean over "
    "seeds of its square net of noise, less that of .3, in units of the squared length of an estimate from 2,048 "
    "pairs, is below 0",
    margin=A_TWENTIETH_OF_ITS_RANGE,
    family=FAMILY,
)
def test_ppo_step_is_only_slightly_uphill(ppo: Runs) -> None:
    assert ppo.gradients().step_beyond(SLIGHTLY).last(2) < 0


@claim(
    "gradient/trpo-step-is-only-slightly-uphill",
    POST,
    says=CORRELATED,
    means="late in training the cosine of TRPO's step with the surrogate's true gradient is below .3: the mean over "
    "seeds of its square net of noise, less that of .3, in units of the squared length of an estimate from 2,048 "
    "pairs, is below 0",
    margin=A_TWENTIETH_OF_ITS_RANGE,
    family=FAMILY,
)
def test_trpo_step_is_only_slightly_uphill(trpo: Runs) -> None:
    assert trpo.gradients().step_beyond(SLIGHTLY).last(2) < 0


@claim(
    "gradient/ppo-agreement-decays",
    PAPER,
    says=DECAYS,
    means="the mean cosine of two independent estimates of PPO's surrogate gradient, from 2,048 pairs each, is lower "
    "late in training than at the start: the mean over seeds of the difference is below 0",
    margin=ONE_IN_TWENTY,
    family=FAMILY,
)
def test_ppo_agreement_decays(ppo: Runs) -> None:
    assert ppo.gradients().cosine(A_BATCH).last(2) < ppo.gradients().cosine(A_BATCH).at(0)


@claim(
    "gradient/trpo-agreement-decays",
    PAPER,
    says=DECAYS,
    means="the mean cosine of two independent estimates of TRPO's surrogate gradient, from 2,048 pairs each, is lower "
    "late in training than at the start: the mean over seeds of the difference is below 0",
    margin=ONE_IN_TWENTY,
    family=FAMILY,
)
def test_trpo_agreement_decays(trpo: Runs) -> None:
    assert trpo.gradients().cosine(A_BATCH).last(2) < trpo.gradients().cosine(A_BATCH).at(0)


@claim(
    "gradient/ppo-surrogates-gradient-is-not-the-discounted-returns",
    NOT_A_GRADIENT,
    says=NO_GRADIENT,
    means="after a third of training (the second of the four iterations) the cosine of the true gradients of PPO's "
    "surrogate and of the discounted return is below .9: the median over seeds",
    margin=ONE_IN_TWENTY,
    family=FAMILY,
    expected="refuted",
    evidence="seeds 0 to 11, Hopper-v5, 204,800 steps: median 1.00, ten of twelve above .9",
)
def test_ppo_surrogates_gradient_is_not_the_discounted_returns(ppo: Runs) -> None:
    assert ppo.gradients().between("surrogate", "discounted").at(1).median < NEARLY_THE_SAME


@claim(
    "gradient/trpo-surrogates-gradient-is-not-the-discounted-returns",
    NOT_A_GRADIENT,
    says=NO_GRADIENT,
    means="after a third of training (the second of the four iterations) the cosine of the true gradients of TRPO's "
    "surrogate and of the discounted return is below .9: the median over seeds",
    margin=ONE_IN_TWENTY,
    family=FAMILY,
)
def test_trpo_surrogates_gradient_is_not_the_discounted_returns(trpo: Runs) -> None:
    assert trpo.gradients().between("surrogate", "discounted").at(1).median < NEARLY_THE_SAME


# As many pairs as in the papers' figures, and a comparison of tasks: only `paper` has them.


@claim(
    "gradient/ppo-a-million-pairs-agree",
    PAPER,
    says="Estimates from a million pairs agree.",
    means="late in training the mean cosine of two independent estimates of PPO's surrogate gradient, from 1,000,000 "
    "pairs each, is above .9: the mean over seeds",
    margin=ONE_IN_TWENTY,
    family=FAMILY,
    profiles=["paper"],
)
def test_ppo_a_million_pairs_agree(ppo: Runs) -> None:
    assert ppo.gradients(pairs=10**6, near_true=True).cosine(A_MILLION).last(2) > NEARLY_THE_SAME


@claim(
    "gradient/ppo-agreement-decays-with-the-tasks-complexity",
    PAPER,
    says="Gradient estimates agree less the more complex the task is.",
    means="the mean cosine of two independent estimates of PPO's surrogate gradient, from 2,048 pairs each, over the "
    "four iterations, is lower on Humanoid-v5 than on Hopper-v5: the mean over seeds of the difference is below 0",
    margin=ONE_IN_TWENTY,
    family=FAMILY,
    profiles=["paper"],
)
def test_ppo_agreement_decays_with_the_tasks_complexity(ppo_on_humanoid: Runs, ppo_on_hopper: Runs) -> None:
    humanoid, hopper = (g.cosine(A_BATCH).overall() for g in (ppo_on_humanoid.gradients(), ppo_on_hopper.gradients()))
    assert humanoid < hopper

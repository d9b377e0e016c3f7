"""Trust regions by further measures: other pairs, statistics and policies, and correlations between the measures.

The post's figures show the mean KL and the largest ratio. The largest ratio grows with the number of pairs, and for a
Gaussian policy a mean KL of K makes log ratios nearly Normal(-K, 2K), so that among 2,048 pairs some ratio exceeds 1.2
for almost any algorithm. So there are also claims about the 99% quantile and the share of ratios outside 1 +- eps,
which do not grow with the number of pairs. The KL is that of the parameters only; a deployed policy's normaliser
changes as well, and its KL has claims of its own.

Held out means on fresh pairs of the old policy, training on the batch that the update learnt from.
"""

from rlclaims import TRPO, Evidence, Runs, all_of, claim, family, source

POST = source("Part III, Trust Regions")
POST_CHAIN = source("Part III, Trust Regions, on the chain of approximations")
POST_FOOTNOTE = source("Part III, Trust Regions, footnote 3")
POST_MAX_RATIO = source("Part III, Trust Regions, on the maximum ratio")
CAMERA_READY = source(
    "trust-region figures of the camera-ready version, paraphrased",
    '"Implementation Matters in Deep Policy Gradients" (2005.12729)',
)

DELTA_MARGIN = 0.013
"""A tenth of TRPO's delta on Hopper, in nats: the smallest distance from it that matters."""

TWICE = 2.0
A_QUARTER_MORE = 1.25
"""Factor up to which two KLs count as equal."""

EPS = 0.2
ONE_PLUS_EPS = 1 + EPS
ONE_IN_TWENTY = 0.05
"""Share of pairs outside the range that counts as more than a few extremes."""

ROUNDING = 1.001
"""Tolerance for rounding, as a factor: TRPO's line search sums in single precision."""

GO_TOGETHER = 0.5
"""Rank correlation from which two measures count as going together."""

FAMILY = family("the post and its papers", size=200)


def delta(runs: Runs) -> float:
    """Return TRPO's delta on the runs' task in the papers' settings, to which their figures compare all KLs."""
    return TRPO.for_task(runs.task).delta


# On the batch that the update learned from.


@claim(
    "trust-region/trpo-never-leaves-its-constraint",
    POST_FOOTNOTE,
    says="Note that this is somewhat unsurprising, since TRPO constrains this directly in its optimization.",
    means="the median over seeds of TRPO's highest training-batch mean KL(old||new) of training is at most its delta, "
    "up to rounding",
    margin=DELTA_MARGIN,
    family=FAMILY,
)
def test_trpo_never_leaves_its_constraint(trpo: Runs) -> None:
    assert trpo.kl_old_new.mean.training.highest().median <= trpo.settings.delta * ROUNDING


@claim(
    "trust-region/ppo-keeps-training-mean-kl",
    POST,
    says="PPO with optimizations does quite well at maintaining a KL trust region",
    means="the mean over seeds of PPO's late training-batch mean KL(old||new) is at most TRPO's delta on the task",
    margin=DELTA_MARGIN,
    family=FAMILY,
)
def test_ppo_keeps_training_mean_kl(ppo: Runs) -> None:
    assert ppo.kl_old_new.mean.training.last(0.25) <= delta(ppo)


@claim(
    "trust-region/ppo-m-keeps-training-mean-kl",
    CAMERA_READY,
    says="PPO and PPO-M both keep the mean KL below the bound.",
    means="the mean over seeds of PPO-M's late training-batch mean KL(old||new) is at most TRPO's delta on the task",
    margin=DELTA_MARGIN,
    family=FAMILY,
)
def test_ppo_m_keeps_training_mean_kl(ppo_m: Runs) -> None:
    assert ppo_m.kl_old_new.mean.training.last(0.25) <= delta(ppo_m)


@claim(
    "trust-region/trpo-training-mean-kl-does-not-grow",
    POST,
    says="TRPO seems to constrain this very well!",
    means="the geometric mean over seeds of TRPO's late over early training-batch mean KL(old||new) is below 2",
    margin=A_QUARTER_MORE,
    family=FAMILY,
)
def test_trpo_training_mean_kl_does_not_grow(trpo: Runs) -> None:
    kl = trpo.kl_old_new.mean.training
    assert kl.last(0.25) / kl.first(0.25) < TWICE


@claim(
    "trust-region/ppo-training-mean-kl-does-not-grow",
    POST,
    says="PPO with optimizations does quite well at maintaining a KL trust region",
    means="the geometric mean over seeds of PPO's late over early training-batch mean KL(old||new) is below 2",
    margin=A_QUARTER_MORE,
    family=FAMILY,
)
def test_ppo_training_mean_kl_does_not_grow(ppo: Runs) -> None:
    kl = ppo.kl_old_new.mean.training
    assert kl.last(0.25) / kl.first(0.25) < TWICE


@claim(
    "trust-region/ppo-m-training-mean-kl-grows",
    CAMERA_READY,
    says="PPO-M's mean KL trends upward over training.",
    means="the geometric mean over seeds of PPO-M's late over early training-batch mean KL(old||new) is above 1",
    margin=A_QUARTER_MORE,
    family=FAMILY,
    expected="refuted",
    evidence="seeds 0 to 7, Hopper-v5, 204,800 steps: .890, 90% interval [.838, .944]",
)
def test_ppo_m_training_mean_kl_grows(ppo_m: Runs) -> None:
    kl = ppo_m.kl_old_new.mean.training
    assert kl.last(0.25) / kl.first(0.25) > 1


# Held-out pairs compared with the training batch.


def same_kl_and_exceedance(runs: Runs) -> Evidence:
    """Return the evidence that the update has the same size on fresh pairs as on its own batch."""
    kl, outside = runs.kl_old_new.mean, runs.ratio.exceedance
    kl_there, outside_there = kl.training.where(kl.held_out), outside.training.where(outside.held_out)
    return all_of(
        (kl.held_out.overall() / kl_there.overall()).within(1 / A_QUARTER_MORE, A_QUARTER_MORE),
        (outside.held_out.overall() - outside_there.overall()).within(-ONE_IN_TWENTY, ONE_IN_TWENTY),
    )


HELD_OUT_SAYS = "Measured on held-out pairs, KL and ratios are nearly identical to those on the training batch."
HELD_OUT_MEANS = (
    "over the iterations measured on both, the geometric mean over seeds of held-out over training-batch mean "
    "KL(old||new) lies between .8 and 1.25, and the mean difference between the shares of ratios outside 1 +- eps "
    "within .05 of 0"
)


@claim("trust-region/trpo-held-out-is-training", CAMERA_READY, says=HELD_OUT_SAYS, means=HELD_OUT_MEANS, family=FAMILY)
def test_trpo_held_out_is_training(trpo: Runs) -> None:
    assert same_kl_and_exceedance(trpo)


@claim("trust-region/ppo-held-out-is-training", CAMERA_READY, says=HELD_OUT_SAYS, means=HELD_OUT_MEANS, family=FAMILY)
def test_ppo_held_out_is_training(ppo: Runs) -> None:
    assert same_kl_and_exceedance(ppo)


@claim("trust-region/ppo-m-held-out-is-training", CAMERA_READY, says=HELD_OUT_SAYS, means=HELD_OUT_MEANS, family=FAMILY)
def test_ppo_m_held_out_is_training(ppo_m: Runs) -> None:
    assert same_kl_and_exceedance(ppo_m)


# The policy as deployed.


@claim(
    "trust-region/trpo-keeps-mean-kl-as-deployed",
    POST,
    says="TRPO seems to constrain this very well!",
    means="the mean over seeds of TRPO's late held-out mean KL(old||new) of the policies as deployed, each with its "
    "own observation statistics, is at most its delta",
    margin=DELTA_MARGIN,
    family=FAMILY,
)
def test_trpo_keeps_mean_kl_as_deployed(trpo: Runs) -> None:
    assert trpo.kl_deployed.mean.held_out.last(0.25) <= trpo.settings.delta


@claim(
    "trust-region/ppo-keeps-mean-kl-as-deployed",
    POST,
    says="PPO with optimizations does quite well at maintaining a KL trust region",
    means="the mean over seeds of PPO's late held-out mean KL(old||new) of the policies as deployed, each with its own "
    "observation statistics, is at most TRPO's delta on the task",
    margin=DELTA_MARGIN,
    family=FAMILY,
)
def test_ppo_keeps_mean_kl_as_deployed(ppo: Runs) -> None:
    assert ppo.kl_deployed.mean.held_out.last(0.25) <= delta(ppo)


@claim(
    "trust-region/ppo-m-keeps-mean-kl-as-deployed",
    CAMERA_READY,
    says="PPO and PPO-M both keep the mean KL below the bound.",
    means="the mean over seeds of PPO-M's late held-out mean KL(old||new) of the policies as deployed, each with its "
    "own observation statistics, is at most TRPO's delta on the task",
    margin=DELTA_MARGIN,
    family=FAMILY,
)
def test_ppo_m_keeps_mean_kl_as_deployed(ppo_m: Runs) -> None:
    assert ppo_m.kl_deployed.mean.held_out.last(0.25) <= delta(ppo_m)


@claim(
    "trust-region/ppo-deploys-what-it-optimizes",
    POST,
    says="PPO with optimizations does quite well at maintaining a KL trust region",
    means="late in training, the geometric mean over seeds of PPO's held-out mean KL(old||new) as deployed over that "
    "of its parameters alone is below 1.25",
    margin=A_QUARTER_MORE,
    family=FAMILY,
)
def test_ppo_deploys_what_it_optimizes(ppo: Runs) -> None:
    assert ppo.kl_deployed.mean.held_out.last(0.25) / ppo.kl_old_new.mean.held_out.last(0.25) < A_QUARTER_MORE


# Other statistics than the largest ratio.


@claim(
    "trust-region/trpo-ratios-pass-their-line-often",
    POST_MAX_RATIO,
    says="it looks like the max ratio is not kept at all!",
    means="over all of training, the median over seeds of the 99% quantile of TRPO's held-out ratios is above 1.2, and "
    "that of the share outside 1 +- .2 is above .05",
    family=FAMILY,
)
def test_trpo_ratios_pass_their_line_often(trpo: Runs) -> None:
    assert all_of(
        trpo.ratio.q99.held_out.overall().median > ONE_PLUS_EPS,
        trpo.ratio.exceedance.held_out.overall().median > ONE_IN_TWENTY,
    )


@claim(
    "trust-region/ppo-ratios-pass-their-line-often",
    POST_MAX_RATIO,
    says="PPO does not even successfully enforce its own ratio-based trust region",
    means="over all of training, the median over seeds of the 99% quantile of PPO's held-out ratios is above 1 + eps, "
    "and that of the share outside 1 +- eps is above .05",
    family=FAMILY,
)
def test_ppo_ratios_pass_their_line_often(ppo: Runs) -> None:
    assert all_of(
        ppo.ratio.q99.held_out.overall().median > ONE_PLUS_EPS,
        ppo.ratio.exceedance.held_out.overall().median > ONE_IN_TWENTY,
    )


@claim(
    "trust-region/ppo-m-ratios-pass-their-line-often",
    POST_MAX_RATIO,
    says="it looks like the max ratio is not kept at all!",
    means="over all of training, the median over seeds of the 99% quantile of PPO-M's held-out ratios is above 1 + "
    "eps, and that of the share outside 1 +- eps is above .05",
    family=FAMILY,
)
def test_ppo_m_ratios_pass_their_line_often(ppo_m: Runs) -> None:
    assert all_of(
        ppo_m.ratio.q99.held_out.overall().median > ONE_PLUS_EPS,
        ppo_m.ratio.exceedance.held_out.overall().median > ONE_IN_TWENTY,
    )


# Correlations between the measures.


def go_together(runs: Runs) -> Evidence:
    """Return the evidence that the mean KL ranks updates over training as the largest KL and the exceedance do."""
    kl = runs.kl_old_new.mean.training
    return all_of(
        kl.rank_correlation(runs.kl_old_new.max.held_out) > GO_TOGETHER,
        kl.rank_correlation(runs.ratio.exceedance.held_out) > GO_TOGETHER,
    )


CHAIN_SAYS = (
    "there is a theoretically motivated algorithm [...] which constrains maximum KL. This motivates TRPO's bound on "
    "mean KL [...], which in turn motivates the ratio-based bound of PPO"
)
CHAIN_MEANS = (
    "the means over seeds of the rank correlations over training of the mean KL(old||new) on the training batch with "
    "the largest on held-out states, and with the share of held-out ratios outside 1 +- eps, are above .5"
)


@claim("trust-region/trpo-measures-go-together", POST_CHAIN, says=CHAIN_SAYS, means=CHAIN_MEANS, family=FAMILY)
def test_trpo_measures_go_together(trpo: Runs) -> None:
    assert go_together(trpo)


@claim("trust-region/ppo-measures-go-together", POST_CHAIN, says=CHAIN_SAYS, means=CHAIN_MEANS, family=FAMILY)
def test_ppo_measures_go_together(ppo: Runs) -> None:
    assert go_together(ppo)


@claim("trust-region/ppo-m-measures-go-together", POST_CHAIN, says=CHAIN_SAYS, means=CHAIN_MEANS, family=FAMILY)
def test_ppo_m_measures_go_together(ppo_m: Runs) -> None:
    assert go_together(ppo_m)


# The shape over training.


@claim(
    "trust-region/ppo-mean-kl-peaks-midway",
    CAMERA_READY,
    says="PPO's mean KL peaks midway through training, then falls.",
    means="the geometric means over seeds of PPO's held-out mean KL(old||new) from .375 to .625 of training over that "
    "of the first quarter, and over that of the last, are above 1",
    family=FAMILY,
    expected="refuted",
    evidence="seeds 0 to 11, Hopper-v5, 204,800 steps: midway over the first quarter .813, 90% interval [.769, .861]; "
    "with other rounding, and hence other trainings, .783 [.704, .871] and .761 [.670, .866]",
)
def test_ppo_mean_kl_peaks_midway(ppo: Runs) -> None:
    kl = ppo.kl_old_new.mean.held_out
    midway = kl.between(0.375, 0.625)
    assert all_of(midway / kl.first(0.25) > 1, midway / kl.last(0.25) > 1)


@claim(
    "trust-region/late-mean-kl-falls-for-ppo-and-rises-for-ppo-m",
    CAMERA_READY,
    says="PPO's mean KL falls late in training, and PPO-M's trends upward.",
    means="the geometric mean over seeds of the held-out mean KL(old||new) of the last quarter of training over that "
    "from .375 to .625 is below 1 for PPO and above 1 for PPO-M",
    family=FAMILY,
)
def test_late_mean_kl_falls_for_ppo_and_rises_for_ppo_m(ppo: Runs, ppo_m: Runs) -> None:
    kl, kl_m = ppo.kl_old_new.mean.held_out, ppo_m.kl_old_new.mean.held_out
    assert all_of(
        kl.last(0.25) / kl.between(0.375, 0.625) < 1,
        kl_m.last(0.25) / kl_m.between(0.375, 0.625) > 1,
    )

"""Successors of PPO, and the improvements that their authors claim. Profile `paper` only.

According to their authors, SPO and PPO-RB keep ratios nearer to 1 than PPO's clip does, and ESPO trains until ratios
have a given mean distance from 1. Here each is PPO with this change only (`successors.py`), on the same seeds and with
PPO's learning rates, as SPO's and PPO-RB's authors compare them. The authors' code differs from the suite's PPO in
more: values and policy are learnt from one loss, the gradient is clipped, and SPO's has 8 parallel environments and as
few as 4 minibatches. "Returns more" refers to final returns, as in `test_code_level.py`; the authors report means over
the last part of training, or the best.

SPO's authors make their point on deep networks. Theirs have seven layers in the policy only, up to 256 wide; here both
networks have seven, 64 wide, on Hopper-v5 only. Their statement that SPO's KL is extremely low is from version 6, which
had another algorithm, and is not a claim here.

Only the abstract of ESPO's paper was available, and reimplementations by others. "The key is a proper condition to
stop" is interpreted as a comparison with the same epochs without a clip and without stopping.
"""

from rlclaims import Runs, claim, family, source

SPO_PAPER = '"Simple Policy Optimization" (2401.16025)'
SPO_ABSTRACT = source("abstract, paraphrased", SPO_PAPER)
SPO_COMPARED = source("section 6.1, paraphrased", SPO_PAPER)
SPO_SCALING = source("section 6.2 and its table 1, paraphrased", SPO_PAPER)
ESPO_ABSTRACT = source("abstract, paraphrased", '"You May Not Need Ratio Clipping in PPO" (2202.00079)')
ROLLBACK = source("section 6, question 2, paraphrased", '"Truly Proximal Policy Optimization" (1903.07940)')

CONSTRAINS = "SPO constrains the probability ratio better than PPO's clipping does."
BOUNDS_DEEP = (
    "As the policy's network gets deeper, PPO's ratios deviate out of control, and its performance collapses in most "
    "environments; SPO constrains the deviation, and performs better than with shallow networks."
)
KEY = "The original surrogate can be optimised directly for several epochs; the key is a proper condition to stop."
RESTRICTS = (
    "With rollback far fewer ratios are out of range than with PPO, and the largest ratios and KL divergences are much "
    "smaller."
)

EPS = 0.2
"""eps of SPO and of PPO."""
A_QUARTER_MORE = 1.25
"""Smallest factor that matters between two ratios, deviations or KLs."""
A_TENTH_MORE = 1.1
"""Smallest factor that matters between two returns, as in `test_code_level.py`."""
ONE_IN_TWENTY = 0.05
"""Smallest share of pairs, or deviation, that matters."""

FAMILY = family("successors of PPO", size=40)
"""Separate family, so that the suite's other claims keep their error rates; its size leaves room for more claims."""

PAPER = ["paper"]


@claim(
    "spo/lowers-the-highest-deviation",
    SPO_SCALING,
    says=CONSTRAINS,
    means="the geometric mean over seeds of SPO's over PPO's highest mean deviation of ratios from 1, on the training "
    "batch after an update, of all updates, is below 1",
    margin=A_QUARTER_MORE,
    family=FAMILY,
    profiles=PAPER,
)
def test_spo_lowers_the_highest_deviation(spo: Runs, ppo: Runs) -> None:
    assert spo.ratio.deviation.training.highest() / ppo.ratio.deviation.training.highest() < 1


@claim(
    "spo/keeps-the-deviation-within-eps",
    SPO_SCALING,
    says=CONSTRAINS,
    means="the mean over seeds of SPO's highest mean deviation of ratios from 1, on the training batch after an "
    "update, of all updates, is at most eps",
    margin=ONE_IN_TWENTY,
    family=FAMILY,
    profiles=PAPER,
)
def test_spo_keeps_the_deviation_within_eps(spo: Runs) -> None:
    assert spo.ratio.deviation.training.highest() <= EPS


@claim(
    "spo/leaves-the-range-less-often",
    SPO_ABSTRACT,
    says=CONSTRAINS,
    means="the mean over seeds of SPO's minus PPO's late held-out share of ratios outside 1 +- eps is below 0",
    margin=ONE_IN_TWENTY,
    family=FAMILY,
    profiles=PAPER,
)
def test_spo_leaves_the_range_less_often(spo: Runs, ppo: Runs) -> None:
    assert spo.ratio.exceedance.held_out.last(0.25) < ppo.ratio.exceedance.held_out.last(0.25)


@claim(
    "spo/returns-no-less",
    SPO_COMPARED,
    says="SPO does best of eight algorithms by nearly all measures, at PPO's settings.",
    means="SPO's final return is less than a tenth below PPO's, if at all: the geometric mean over seeds of the ratio "
    "is above 1 / 1.1",
    margin=A_TENTH_MORE,
    family=FAMILY,
    profiles=PAPER,
)
def test_spo_returns_no_less(spo: Runs, ppo: Runs) -> None:
    assert spo.final_returns.mean / ppo.final_returns.mean > 1 / A_TENTH_MORE


@claim(
    "spo/returns-more",
    SPO_ABSTRACT,
    says="SPO outperforms PPO.",
    means="SPO's final return is above PPO's: the geometric mean over seeds of the ratio is above 1",
    margin=A_TENTH_MORE,
    family=FAMILY,
    profiles=PAPER,
)
def test_spo_returns_more(spo: Runs, ppo: Runs) -> None:
    assert spo.final_returns.mean / ppo.final_returns.mean > 1


@claim(
    "spo/ppo-lets-ratios-go-in-deep-networks",
    SPO_SCALING,
    says=BOUNDS_DEEP,
    means="on Hopper-v5 the geometric mean over seeds of PPO's highest mean deviation of ratios from 1, on the "
    "training batch after an update, of all updates, with networks of seven layers over that with three is above 1",
    margin=A_QUARTER_MORE,
    family=FAMILY,
    profiles=PAPER,
)
def test_ppo_lets_ratios_go_in_deep_networks(deep_ppo: Runs, ppo_on_hopper: Runs) -> None:
    assert deep_ppo.ratio.deviation.training.highest() / ppo_on_hopper.ratio.deviation.training.highest() > 1


@claim(
    "spo/keeps-the-deviation-within-eps-in-deep-networks",
    SPO_SCALING,
    says=BOUNDS_DEEP,
    means="on Hopper-v5 the mean over seeds of SPO's highest mean deviation of ratios from 1, on the training batch "
    "after an update, of all updates, is at most eps with networks of seven layers",
    margin=ONE_IN_TWENTY,
    family=FAMILY,
    profiles=PAPER,
)
def test_spo_keeps_the_deviation_within_eps_in_deep_networks(deep_spo: Runs) -> None:
    assert deep_spo.ratio.deviation.training.highest() <= EPS


@claim(
    "spo/returns-more-with-deep-networks",
    SPO_SCALING,
    says=BOUNDS_DEEP,
    means="on Hopper-v5, with networks of seven layers, SPO's final return is above PPO's: the geometric mean over "
    "seeds of the ratio is above 1",
    margin=A_TENTH_MORE,
    family=FAMILY,
    profiles=PAPER,
)
def test_spo_returns_more_with_deep_networks(deep_spo: Runs, deep_ppo: Runs) -> None:
    assert deep_spo.final_returns.mean / deep_ppo.final_returns.mean > 1


@claim(
    "espo/stops-near-its-threshold",
    ESPO_ABSTRACT,
    says=KEY,
    means="the mean over seeds of ESPO's mean deviation of ratios from 1, on the training batch after an update, over "
    "the first half of training, in which learning rates fall by half, lies between delta / 1.25 and 1.25 delta",
    family=FAMILY,
    profiles=PAPER,
)
def test_espo_stops_near_its_threshold(espo: Runs) -> None:
    delta = espo.settings.delta
    assert espo.ratio.deviation.training.between(0, 0.5).within(delta / A_QUARTER_MORE, delta * A_QUARTER_MORE)


@claim(
    "espo/stopping-holds-ratios-on-fresh-pairs",
    ESPO_ABSTRACT,
    says=KEY,
    means="the geometric mean over seeds of ESPO's over unclipped PPO's held-out mean deviation of ratios from 1, on "
    "average over training, is below 1",
    margin=A_QUARTER_MORE,
    family=FAMILY,
    profiles=PAPER,
)
def test_espo_stopping_holds_ratios_on_fresh_pairs(espo: Runs, ppo_unclipped: Runs) -> None:
    assert espo.ratio.deviation.held_out.overall() / ppo_unclipped.ratio.deviation.held_out.overall() < 1


@claim(
    "espo/stopping-raises-the-return",
    ESPO_ABSTRACT,
    says=KEY,
    means="ESPO's final return is above that of PPO without clipping and without stopping: the geometric mean over "
    "seeds of the ratio is above 1",
    margin=A_TENTH_MORE,
    family=FAMILY,
    profiles=PAPER,
)
def test_espo_stopping_raises_the_return(espo: Runs, ppo_unclipped: Runs) -> None:
    assert espo.final_returns.mean / ppo_unclipped.final_returns.mean > 1


@claim(
    "espo/returns-no-less-without-clipping",
    ESPO_ABSTRACT,
    says="Ratio clipping may not be a good option; PPO may not need it.",
    means="ESPO's final return is less than a tenth below PPO's, if at all: the geometric mean over seeds of the ratio "
    "is above 1 / 1.1",
    margin=A_TENTH_MORE,
    family=FAMILY,
    profiles=PAPER,
)
def test_espo_returns_no_less_without_clipping(espo: Runs, ppo: Runs) -> None:
    assert espo.final_returns.mean / ppo.final_returns.mean > 1 / A_TENTH_MORE


@claim(
    "espo/returns-more",
    ESPO_ABSTRACT,
    says="ESPO significantly outperforms PPO.",
    means="ESPO's final return is above PPO's: the geometric mean over seeds of the ratio is above 1",
    margin=A_TENTH_MORE,
    family=FAMILY,
    profiles=PAPER,
)
def test_espo_returns_more(espo: Runs, ppo: Runs) -> None:
    assert espo.final_returns.mean / ppo.final_returns.mean > 1


@claim(
    "ppo-rb/leaves-the-range-less-often",
    ROLLBACK,
    says=RESTRICTS,
    means="the mean over seeds of PPO-RB's minus PPO's share of ratios outside 1 +- eps, on the training batch after "
    "an update, on average over training, is below 0",
    margin=ONE_IN_TWENTY,
    family=FAMILY,
    profiles=PAPER,
)
def test_ppo_rb_leaves_the_range_less_often(ppo_rb: Runs, ppo: Runs) -> None:
    assert ppo_rb.ratio.exceedance.training.overall() < ppo.ratio.exceedance.training.overall()


@claim(
    "ppo-rb/lowers-max-ratio",
    ROLLBACK,
    says=RESTRICTS,
    means="the median over seeds of PPO-RB's over PPO's largest ratio on the training batch after an update, on "
    "average over training, is below 1",
    margin=A_QUARTER_MORE,
    family=FAMILY,
    profiles=PAPER,
)
def test_ppo_rb_lowers_max_ratio(ppo_rb: Runs, ppo: Runs) -> None:
    assert (ppo_rb.ratio.max.training.overall() / ppo.ratio.max.training.overall()).median < 1


@claim(
    "ppo-rb/lowers-max-kl",
    ROLLBACK,
    says=RESTRICTS,
    means="the median over seeds of PPO-RB's over PPO's largest KL(old||new) in a state of the training batch after an "
    "update, on average over training, is below 1",
    margin=A_QUARTER_MORE,
    family=FAMILY,
    profiles=PAPER,
)
def test_ppo_rb_lowers_max_kl(ppo_rb: Runs, ppo: Runs) -> None:
    assert (ppo_rb.kl_old_new.max.training.overall() / ppo.kl_old_new.max.training.overall()).median < 1


@claim(
    "ppo-rb/returns-no-less",
    ROLLBACK,
    says="With rollback rewards are much higher than PPO's on some tasks, Walker2d among them, and about as good on "
    "the rest.",
    means="PPO-RB's final return is less than a tenth below PPO's, if at all: the geometric mean over seeds of the "
    "ratio is above 1 / 1.1",
    margin=A_TENTH_MORE,
    family=FAMILY,
    profiles=PAPER,
)
def test_ppo_rb_returns_no_less(ppo_rb: Runs, ppo: Runs) -> None:
    assert ppo_rb.final_returns.mean / ppo.final_returns.mean > 1 / A_TENTH_MORE

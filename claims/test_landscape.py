"""Landscapes, the first half of the post's Part III: is the surrogate aligned with the true return?

"Do steps maximizing the surrogate reward consistently increase policy returns?" The return is measured at policies
displaced along an update, theta + x step, and in random directions, at four iterations of training (0, 150, 300 and 450
of 488, as in the papers' figures, or the same fractions of shorter runs). All policies of a landscape play whole
episodes on common random numbers. Changes are fractions of the return at theta. "Late" is the mean over the last two of
the four iterations or, for single updates, over the last quarter of training.

Steps that lower the return are the subject of three claims: the mean change late in training, along the step and beyond
it; the share of late updates after which the return is lower than before, as the updates' mean change telescopes to
the learning progress; and the misalignment, in which the surrogate rises and the return does not. Each is claimed for
PPO, which the post's figures show, and for TRPO, for which it says that the results are similar.

Alignment is the slope of the return on the surrogate, as noise alone would lower a correlation. The roughness of a line
through a landscape is the mean square of its second differences over that of its first differences.

The number of pairs needed to rank two points follows from their true gap, net of noise, and the variance of an
episode's return, with independent episodes at the two points, as an agent would have them.
"""

from rlclaims import Runs, all_of, claim, family, source

POST = source("Part III, Optimization Landscapes")
POST_FOOTNOTE = source("Part III, Optimization Landscapes, footnote 1")
POST_RECAP = source("Part III, Optimization Landscapes, on the surrogate reward")
POST_IMPROVES = source("Part III, Optimization Landscapes, its last paragraphs")
POST_SAMPLES = source("Part III, Optimization Landscapes, on the low sample regime")
POST_TRUST = source("Part III, Trust Regions, on informative samples")

QUICKLY = "the return increases significantly more quickly along the step direction than in the random direction"
DECREASES = (
    "going in the step direction actually decreases the average cumulative reward obtained by the resulting agent!"
)
MISALIGNED = (
    "while the steps taken do correspond to an improvement in the surrogate problem, they do not always correspond to "
    "a similar improvement in the true return"
)
IMPROVES = "none of this stops the agents from training and continually improving reward in the average sense"
NEAR_IMPOSSIBLE = (
    "near-impossible for an agent to distinguish between good and bad points in its relevant sample regime"
)
HARD_TO_DISCERN = "it is hard to even discern directions of improvement in the true reward landscape"
WELL_BEHAVED = "even when the true underlying landscape is fairly well-behaved"
JAGGED = "the reward landscape actually accessible to the model is jagged and poorly behaved"
SMOOTHER = "providing other benefits such as easier computation and a smoother optimization landscape"
UNINFORMATIVE = (
    "there is no reason to expect that these samples should tell us about the performance of a new set of parameters "
    "that is far away from"
)
SIMILAR = "All of the landscapes we plot in this post are for PPO; we have (similar) results for TRPO in our paper."

A_BATCH = 2048
"""State-action pairs of an update, all the data of an agent at a step."""
MANY_PAIRS = 100_000
"""Largest number of pairs per point in the papers' figure on samples."""

TWO_PERCENT = 0.02
"""Smallest change of the return that matters, equal to the intended standard error."""
ONE_IN_TWENTY = 0.05
A_THOUSANDTH = 0.001
"""Smallest mean change that matters by an update of the last quarter, as they add up to some percent."""
A_QUARTER = 0.25
RANDOM_WALK = 2.0
"""Roughness of a line with uncorrelated increments; a smooth line is below 1, white noise has 3."""
SMOOTH = 1.0

FAMILY = family("the post and its papers", size=200)


# Along the step, and in random directions.


@claim(
    "landscape/ppo-step-beats-random-directions-at-the-start",
    POST,
    says=QUICKLY,
    means="at random initialisation the return rises more along PPO's step than in random directions of the same "
    "length: the mean over seeds of the difference is above 0",
    margin=ONE_IN_TWENTY,
    family=FAMILY,
)
def test_ppo_step_beats_random_directions_at_the_start(ppo: Runs) -> None:
    assert ppo.landscape.change(1.0).at(0) > ppo.landscape.random_change().at(0)


@claim(
    "landscape/trpo-step-beats-random-directions-at-the-start",
    POST_FOOTNOTE,
    says=SIMILAR,
    means="at random initialisation the return rises more along TRPO's step than in random directions of the same "
    "length: the mean over seeds of the difference is above 0",
    margin=ONE_IN_TWENTY,
    family=FAMILY,
)
def test_trpo_step_beats_random_directions_at_the_start(trpo: Runs) -> None:
    assert trpo.landscape.change(1.0).at(0) > trpo.landscape.random_change().at(0)


@claim(
    "landscape/ppo-step-beats-the-papers-gaussian-at-the-start",
    POST,
    says=QUICKLY,
    means="at random initialisation the return rises more along PPO's step than in random directions of norm 2, the "
    "papers' scaling: the mean over seeds of the difference is above 0",
    margin=ONE_IN_TWENTY,
    family=FAMILY,
)
def test_ppo_step_beats_the_papers_gaussian_at_the_start(ppo: Runs) -> None:
    assert ppo.landscape.change(1.0).at(0) > ppo.landscape.random_change("norm 2").at(0)


@claim(
    "landscape/trpo-step-beats-the-papers-gaussian-at-the-start",
    POST_FOOTNOTE,
    says=SIMILAR,
    means="at random initialisation the return rises more along TRPO's step than in random directions of norm 2, "
    "the papers' scaling: the mean over seeds of the difference is above 0",
    margin=ONE_IN_TWENTY,
    family=FAMILY,
)
def test_trpo_step_beats_the_papers_gaussian_at_the_start(trpo: Runs) -> None:
    assert trpo.landscape.change(1.0).at(0) > trpo.landscape.random_change("norm 2").at(0)


@claim(
    "landscape/ppo-step-lowers-the-return-late",
    POST,
    says=DECREASES,
    means="late in training the return along PPO's step, on average from 1 to 3 times it, is lower than at theta: "
    "the mean change over seeds is below 0",
    margin=TWO_PERCENT,
    family=FAMILY,
    expected="refuted",
    evidence="seeds 0 to 11, Hopper-v5, 204,800 steps: .035, 90% interval [.016, .055]",
)
def test_ppo_step_lowers_the_return_late(ppo: Runs) -> None:
    assert ppo.landscape.change(1.0, 1.5, 2.0, 2.5, 3.0).last(2) < 0


@claim(
    "landscape/trpo-step-lowers-the-return-late",
    POST_FOOTNOTE,
    says=SIMILAR,
    means="late in training the return along TRPO's step, on average from 1 to 3 times it, is lower than at theta: "
    "the mean change over seeds is below 0",
    margin=TWO_PERCENT,
    family=FAMILY,
)
def test_trpo_step_lowers_the_return_late(trpo: Runs) -> None:
    assert trpo.landscape.change(1.0, 1.5, 2.0, 2.5, 3.0).last(2) < 0


@claim(
    "landscape/ppo-step-lowers-the-discounted-return-late",
    POST,
    says=DECREASES,
    means="as ppo-step-lowers-the-return-late, for the discounted return, on which PPO's advantages are based: the "
    "mean change over seeds is below 0",
    margin=TWO_PERCENT,
    family=FAMILY,
)
def test_ppo_step_lowers_the_discounted_return_late(ppo: Runs) -> None:
    assert ppo.landscape.change(1.0, 1.5, 2.0, 2.5, 3.0, discounted=True).last(2) < 0


@claim(
    "landscape/trpo-step-lowers-the-discounted-return-late",
    POST_FOOTNOTE,
    says=SIMILAR,
    means="as trpo-step-lowers-the-return-late, for the discounted return, on which TRPO's advantages are based: the "
    "mean change over seeds is below 0",
    margin=TWO_PERCENT,
    family=FAMILY,
)
def test_trpo_step_lowers_the_discounted_return_late(trpo: Runs) -> None:
    assert trpo.landscape.change(1.0, 1.5, 2.0, 2.5, 3.0, discounted=True).last(2) < 0


@claim(
    "landscape/ppo-late-updates-lower-the-return",
    POST,
    says=DECREASES,
    means="more than half of PPO's updates in the last quarter of training are followed by a lower return: the mean "
    "over seeds of their share is above 1/2; the share is that of measured changes, which noise pulls towards 1/2 but, "
    "unless it is skewed, not across",
    margin=ONE_IN_TWENTY,
    family=FAMILY,
    expected="refuted",
    evidence="seeds 0 to 11, Hopper-v5, 204,800 steps: .390, 90% interval [.317, .464]",
)
def test_ppo_late_updates_lower_the_return(ppo: Runs) -> None:
    assert ppo.late_updates.share_lowering > 0.5


@claim(
    "landscape/trpo-late-updates-lower-the-return",
    POST_FOOTNOTE,
    says=SIMILAR,
    means="more than half of TRPO's updates in the last quarter of training are followed by a lower return: the mean "
    "over seeds of their share is above 1/2; the share is that of measured changes, which noise pulls towards 1/2 but, "
    "unless it is skewed, not across",
    margin=ONE_IN_TWENTY,
    family=FAMILY,
    expected="refuted",
    evidence="seeds 0 to 11, Hopper-v5, 204,800 steps: .360, 90% interval [.326, .394]; with other rounding, and hence "
    "other trainings, .430 [.364, .496] and .430 [.392, .468]",
)
def test_trpo_late_updates_lower_the_return(trpo: Runs) -> None:
    assert trpo.late_updates.share_lowering > 0.5


@claim(
    "landscape/ppo-improves-on-average",
    POST_IMPROVES,
    says=IMPROVES,
    means="the mean change of the return by PPO's updates in the last quarter of training is above 0, on average "
    "over seeds",
    margin=A_THOUSANDTH,
    family=FAMILY,
)
def test_ppo_improves_on_average(ppo: Runs) -> None:
    assert ppo.late_updates.mean_change() > 0


@claim(
    "landscape/trpo-improves-on-average",
    POST_IMPROVES,
    says=IMPROVES,
    means="the mean change of the return by TRPO's updates in the last quarter of training is above 0, on average "
    "over seeds",
    margin=A_THOUSANDTH,
    family=FAMILY,
)
def test_trpo_improves_on_average(trpo: Runs) -> None:
    assert trpo.late_updates.mean_change() > 0


# The surrogate at the same points.


@claim(
    "landscape/ppo-surrogate-rises-on-fresh-pairs",
    POST,
    says=MISALIGNED,
    means="PPO's own objective rises by its step on pairs that the step was not computed from: the mean over seeds "
    "and the last three of the four iterations of the change of return that it promises is above 0",
    margin=TWO_PERCENT,
    family=FAMILY,
)
def test_ppo_surrogate_rises_on_fresh_pairs(ppo: Runs) -> None:
    assert ppo.landscape.promised(1.0).last(3) > 0


@claim(
    "landscape/trpo-surrogate-rises-on-fresh-pairs",
    POST_FOOTNOTE,
    says=SIMILAR,
    means="TRPO's own objective rises by its step on pairs that the step was not computed from: the mean over "
    "seeds and the last three of the four iterations of the change of return that it promises is above 0",
    margin=TWO_PERCENT,
    family=FAMILY,
)
def test_trpo_surrogate_rises_on_fresh_pairs(trpo: Runs) -> None:
    assert trpo.landscape.promised(1.0).last(3) > 0


@claim(
    "landscape/ppo-surrogate-rises-and-the-return-does-not",
    POST,
    says=MISALIGNED,
    means="late in training PPO's objective on its batch promises a higher return after the step, and the return is "
    "not higher: of the mean changes over seeds, the first is above 0 and the second is at most 0",
    margin=TWO_PERCENT,
    family=FAMILY,
)
def test_ppo_surrogate_rises_and_the_return_does_not(ppo: Runs) -> None:
    assert all_of(ppo.landscape.promised(1.0, "training").last(2) > 0, ppo.landscape.change(1.0).last(2) <= 0)


@claim(
    "landscape/trpo-surrogate-rises-and-the-return-does-not",
    POST_FOOTNOTE,
    says=SIMILAR,
    means="late in training TRPO's objective on its batch promises a higher return after the step, and the return "
    "is not higher: of the mean changes over seeds, the first is above 0 and the second is at most 0",
    margin=TWO_PERCENT,
    family=FAMILY,
)
def test_trpo_surrogate_rises_and_the_return_does_not(trpo: Runs) -> None:
    assert all_of(trpo.landscape.promised(1.0, "training").last(2) > 0, trpo.landscape.change(1.0).last(2) <= 0)


@claim(
    "landscape/ppo-alignment-falls",
    POST,
    says=MISALIGNED,
    means="the slope of the return on PPO's objective up to the step is smaller late in training than at the start: "
    "the mean over seeds of the difference is below 0",
    margin=A_QUARTER,
    family=FAMILY,
)
def test_ppo_alignment_falls(ppo: Runs) -> None:
    assert ppo.landscape.alignment(0.5, 1.0).last(2) < ppo.landscape.alignment(0.5, 1.0).at(0)


@claim(
    "landscape/trpo-alignment-falls",
    POST_FOOTNOTE,
    says=SIMILAR,
    means="the slope of the return on TRPO's objective up to the step is smaller late in training than at the "
    "start: the mean over seeds of the difference is below 0",
    margin=A_QUARTER,
    family=FAMILY,
)
def test_trpo_alignment_falls(trpo: Runs) -> None:
    assert trpo.landscape.alignment(0.5, 1.0).last(2) < trpo.landscape.alignment(0.5, 1.0).at(0)


@claim(
    "landscape/ppo-samples-foretell-less-the-farther",
    POST_TRUST,
    says=UNINFORMATIVE,
    means="fresh pairs predict the change of the return better from half to all of PPO's step than from 6 to 12 times "
    "it, at the last three of the four iterations: the median over seeds of the difference in the reduction of the "
    "squared error, as a fraction of the squared return, is below 0",
    margin=TWO_PERCENT,
    family=FAMILY,
)
def test_ppo_samples_foretell_less_the_farther(ppo: Runs) -> None:
    assert (ppo.landscape.forecast_gain(6.0, 12.0).last(3) - ppo.landscape.forecast_gain(0.5, 1.0).last(3)).median < 0


@claim(
    "landscape/trpo-samples-foretell-less-the-farther",
    POST_TRUST,
    says=UNINFORMATIVE,
    means="fresh pairs predict the change of the return better from half to all of TRPO's step than from 6 to 12 times "
    "it, at the last three of the four iterations: the median over seeds of the difference in the reduction of the "
    "squared error, as a fraction of the squared return, is below 0",
    margin=TWO_PERCENT,
    family=FAMILY,
)
def test_trpo_samples_foretell_less_the_farther(trpo: Runs) -> None:
    assert (trpo.landscape.forecast_gain(6.0, 12.0).last(3) - trpo.landscape.forecast_gain(0.5, 1.0).last(3)).median < 0


@claim(
    "landscape/ppo-surrogate-is-smoother-than-the-return",
    POST_RECAP,
    says=SMOOTHER,
    means="from theta to 3 times PPO's step, at the last three of the four iterations, the return is rougher than the "
    "objective, net of noise: the mean over seeds of the mean square of second differences, less the objective's "
    "roughness times that of first differences, is above 0",
    margin=TWO_PERCENT**2,
    family=FAMILY,
)
def test_ppo_surrogate_is_smoother_than_the_return(ppo: Runs) -> None:
    assert ppo.landscape.rougher_than_surrogate(last=3) > 0


@claim(
    "landscape/trpo-surrogate-is-smoother-than-the-return",
    POST_RECAP,
    says=SMOOTHER,
    means="from theta to 3 times TRPO's step, at the last three of the four iterations, the return is rougher than the "
    "objective, net of noise: the mean over seeds of the mean square of second differences, less the objective's "
    "roughness times that of first differences, is above 0",
    margin=TWO_PERCENT**2,
    family=FAMILY,
)
def test_trpo_surrogate_is_smoother_than_the_return(trpo: Runs) -> None:
    assert trpo.landscape.rougher_than_surrogate(last=3) > 0


# Points that an agent can tell apart.


@claim(
    "landscape/ppo-a-batch-does-not-tell-the-step-from-random-directions",
    POST_SAMPLES,
    says=HARD_TO_DISCERN,
    means="late in training the root mean square gap between the returns at PPO's step and in 20 random directions of "
    "the same length is smaller than the gap that 2,048 pairs at each point resolve with a probability of .95: the "
    "mean over seeds of its square, less the square of the gap that needs as many pairs, as a fraction of the squared "
    "return, is below 0",
    margin=TWO_PERCENT**2,
    family=FAMILY,
)
def test_ppo_a_batch_does_not_tell_step_from_random_directions(ppo: Runs) -> None:
    assert ppo.landscape.ranks_step_reliably(A_BATCH, 0.95).last(2) < 0


@claim(
    "landscape/trpo-a-batch-does-not-tell-the-step-from-random-directions",
    POST_SAMPLES,
    says=HARD_TO_DISCERN,
    means="late in training the root mean square gap between the returns at TRPO's step and in 20 random directions of "
    "the same length is smaller than the gap that 2,048 pairs at each point resolve with a probability of .95: the "
    "mean over seeds of its square, less the square of the gap that needs as many pairs, as a fraction of the squared "
    "return, is below 0",
    margin=TWO_PERCENT**2,
    family=FAMILY,
)
def test_trpo_a_batch_does_not_tell_step_from_random_directions(trpo: Runs) -> None:
    assert trpo.landscape.ranks_step_reliably(A_BATCH, 0.95).last(2) < 0


@claim(
    "landscape/ppo-a-batch-orders-points-little-better-than-chance",
    POST_SAMPLES,
    says=NEAR_IMPOSSIBLE,
    means="late in training the root mean square gap between the returns at PPO's step and in 20 random directions of "
    "the same length is smaller than the gap that 2,048 pairs at each point resolve with a probability of .75: the "
    "mean over seeds of its square, less the square of the gap that needs as many pairs, as a fraction of the squared "
    "return, is below 0",
    margin=TWO_PERCENT**2,
    family=FAMILY,
)
def test_ppo_a_batch_orders_points_little_better_than_chance(ppo: Runs) -> None:
    assert ppo.landscape.ranks_step_reliably(A_BATCH, 0.75).last(2) < 0


@claim(
    "landscape/trpo-a-batch-orders-points-little-better-than-chance",
    POST_SAMPLES,
    says=NEAR_IMPOSSIBLE,
    means="late in training the root mean square gap between the returns at TRPO's step and in 20 random directions of "
    "the same length is smaller than the gap that 2,048 pairs at each point resolve with a probability of .75: the "
    "mean over seeds of its square, less the square of the gap that needs as many pairs, as a fraction of the squared "
    "return, is below 0",
    margin=TWO_PERCENT**2,
    family=FAMILY,
)
def test_trpo_a_batch_orders_points_little_better_than_chance(trpo: Runs) -> None:
    assert trpo.landscape.ranks_step_reliably(A_BATCH, 0.75).last(2) < 0


@claim(
    "landscape/ppo-many-pairs-order-points",
    POST_SAMPLES,
    says=WELL_BEHAVED,
    means="late in training the root mean square gap between the returns at PPO's step and in 20 random directions of "
    "the same length is larger than the gap that 100,000 pairs at each point resolve with a probability of .95: the "
    "mean over seeds of its square, less the square of the gap that needs as many pairs, as a fraction of the squared "
    "return, is above 0",
    margin=TWO_PERCENT**2,
    family=FAMILY,
)
def test_ppo_many_pairs_order_points(ppo: Runs) -> None:
    assert ppo.landscape.ranks_step_reliably(MANY_PAIRS, 0.95).last(2) > 0


@claim(
    "landscape/trpo-many-pairs-order-points",
    POST_SAMPLES,
    says=WELL_BEHAVED,
    means="late in training the root mean square gap between the returns at TRPO's step and in 20 random directions of "
    "the same length is larger than the gap that 100,000 pairs at each point resolve with a probability of .95: the "
    "mean over seeds of its square, less the square of the gap that needs as many pairs, as a fraction of the squared "
    "return, is above 0",
    margin=TWO_PERCENT**2,
    family=FAMILY,
)
def test_trpo_many_pairs_order_points(trpo: Runs) -> None:
    assert trpo.landscape.ranks_step_reliably(MANY_PAIRS, 0.95).last(2) > 0


@claim(
    "landscape/ppo-return-is-smooth",
    POST_SAMPLES,
    says=WELL_BEHAVED,
    means="from theta to 3 times PPO's step, at the last three of the four iterations, the roughness of the return, "
    "net of noise, is below 1: the mean over seeds of the mean square of second differences less that of first "
    "differences is below 0",
    margin=TWO_PERCENT**2,
    family=FAMILY,
)
def test_ppo_return_is_smooth(ppo: Runs) -> None:
    assert ppo.landscape.rougher_than(SMOOTH, last=3) < 0


@claim(
    "landscape/trpo-return-is-smooth",
    POST_SAMPLES,
    says=WELL_BEHAVED,
    means="from theta to 3 times TRPO's step, at the last three of the four iterations, the roughness of the return, "
    "net of noise, is below 1: the mean over seeds of the mean square of second differences less that of first "
    "differences is below 0",
    margin=TWO_PERCENT**2,
    family=FAMILY,
)
def test_trpo_return_is_smooth(trpo: Runs) -> None:
    assert trpo.landscape.rougher_than(SMOOTH, last=3) < 0


@claim(
    "landscape/ppo-return-is-jagged-by-a-batch-a-point",
    POST_SAMPLES,
    says=JAGGED,
    means="from theta to 3 times PPO's step, at the last three of the four iterations, the roughness of the return "
    "with the noise of 2,048 pairs at each point is above 2, a random walk's: the median over seeds",
    margin=A_QUARTER,
    family=FAMILY,
)
def test_ppo_return_is_jagged_by_a_batch_a_point(ppo: Runs) -> None:
    assert ppo.landscape.roughness(last=3, pairs=A_BATCH).median > RANDOM_WALK


@claim(
    "landscape/trpo-return-is-jagged-by-a-batch-a-point",
    POST_SAMPLES,
    says=JAGGED,
    means="from theta to 3 times TRPO's step, at the last three of the four iterations, the roughness of the "
    "return with the noise of 2,048 pairs at each point is above 2, a random walk's: the median over seeds",
    margin=A_QUARTER,
    family=FAMILY,
)
def test_trpo_return_is_jagged_by_a_batch_a_point(trpo: Runs) -> None:
    assert trpo.landscape.roughness(last=3, pairs=A_BATCH).median > RANDOM_WALK


# PPO-M, for which neither the post nor the paper has landscapes.


@claim(
    "landscape/ppo-m-step-lowers-the-return-late",
    POST,
    says=DECREASES,
    means="as ppo-step-lowers-the-return-late, for PPO-M",
    margin=TWO_PERCENT,
    family=FAMILY,
    profiles=["paper"],
)
def test_ppo_m_step_lowers_the_return_late(ppo_m: Runs) -> None:
    assert ppo_m.landscape.change(1.0, 1.5, 2.0, 2.5, 3.0).last(2) < 0


@claim(
    "landscape/ppo-m-alignment-falls",
    POST,
    says=MISALIGNED,
    means="as ppo-alignment-falls, for PPO-M",
    margin=A_QUARTER,
    family=FAMILY,
    profiles=["paper"],
)
def test_ppo_m_alignment_falls(ppo_m: Runs) -> None:
    assert ppo_m.landscape.alignment(0.5, 1.0).last(2) < ppo_m.landscape.alignment(0.5, 1.0).at(0)

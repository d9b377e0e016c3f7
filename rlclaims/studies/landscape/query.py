"""Landscapes of runs, as a claim receives them: returns and surrogates around policies, one number per seed.

ppo_landscape.change(1.0).at(0)
------------- landscapes -----
              ------ what    at which of the kept iterations

Changes of return are told as parts of the return at theta. What is not linear in returns is taken over different groups
of episodes (`rlclaims.stats.split_samples`), so that noise, which shrinks correlations and feeds maxima, fakes nothing.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from rlclaims.checkpoints import checkpoint_iterations
from rlclaims.claims.evidence import ClaimError
from rlclaims.claims.numbers import is_number
from rlclaims.claims.sample import Sample
from rlclaims.results.checkpoint_series import CheckpointSeries
from rlclaims.results.runs import TrainedRuns
from rlclaims.stats import split_samples
from rlclaims.stats.method import Floats
from rlclaims.studies.landscape.compute import ALONG
from rlclaims.studies.replayed_run import GROUPS
from rlclaims.training import HELD_OUT_EVERY

if TYPE_CHECKING:
    from rlclaims.results.measured import Measured

DIRECTIONS = {"as far": "near", "norm 2": "far"}
"""Random displacements: as far as the step, or by the papers' Gaussian."""
NEARBY = ALONG.index(3.0) + 1
"""Points along the step up to 3, equally spaced."""
SURROGATES = ("training", "held_out", "monte_carlo", "unclipped")


class Landscapes(TrainedRuns):
    """Returns and surrogates around the policies of runs, where updates were kept (`rlclaims.studies.kinds`)."""

    def __repr__(self) -> str:
        return f"<landscapes of {self.name}: {self.scope}>"

    def change(self, *x: float, discounted: bool = False) -> CheckpointSeries:
        """By what part the return at theta + x step differs from that at theta; of several x, the mean.

        Raises:
            ClaimError: the landscape has no such x.
        """
        rows = self._places(x, "change")
        which = which_return(discounted)
        words = f"change of the {'discounted ' if discounted else ''}return {_times(x)}"

        def number(at: _At) -> float:
            change_NG = at.along(which) - at.along(which)[0]
            return float(change_NG[rows].mean() / at.scale(which))

        return self._contrast(words, number)

    def random_change(self, how: str = "as far", *, discounted: bool = False) -> CheckpointSeries:
        """The same in random directions, on average over 20: "as far" as the step, or "norm 2", the papers' scaling.

        Raises:
            ClaimError: it is neither.
        """
        if how not in DIRECTIONS:
            raise ClaimError(f"random_change({how!r}): random directions go 'as far' as the step, or 'norm 2'.")
        which = which_return(discounted)
        words = f"change of the {'discounted ' if discounted else ''}return in random directions, {how}"
        return self._contrast(words, lambda at: float(at.series(f"{DIRECTIONS[how]}/{which}").mean() / at.scale(which)))

    def promised(self, x: float = 1.0, on: str = "held_out") -> CheckpointSeries:
        """The change of return that a surrogate promises at theta + x step, as a part of the return at theta.

        Args:
            x: how much of the step.
            on: "training" or "held_out", the algorithm's own objective on the batch it had or on fresh pairs;
                "unclipped", ratio times advantage on the fresh pairs; or "monte_carlo", the same with Monte Carlo
                advantages.

        Raises:
            ClaimError: there is no such x or surrogate.
        """
        (row,) = self._places((x,), "promised")
        if on not in SURROGATES:
            raise ClaimError(f"promised(on={on!r}): surrogates are {', '.join(map(repr, SURROGATES))}.")
        words = f"change promised by the surrogate ({on.replace('_', ' ')}) {_times((x,))}"
        return self._contrast(words, lambda at: float(at.promise(on)[row] / at.scale("return")))

    def alignment(self, *x: float) -> CheckpointSeries:
        """Slope of the return's change on what the batch's own objective promises, through 0, over some x.

        Raises:
            ClaimError: the landscape has no such x.
        """
        rows = self._places(x, "alignment")

        def number(at: _At) -> float:
            change_NG = at.along("return") - at.along("return")[0]
            return split_samples.slope_through_origin(change_NG[rows], at.promise("training")[rows])

        return self._contrast(f"slope of return on surrogate {_times(x)}", number)

    def informs(self, *x: float) -> CheckpointSeries:
        """How much better fresh samples foretell the return's change at theta + x step than foretelling none would be.

        That is by how much the squared error falls, as a part of the squared return, with the unclipped surrogate on
        fresh pairs as forecast; negative where it misleads. Of several x, the mean.

        Raises:
            ClaimError: the landscape has no such x.
        """
        rows = self._places(x, "informs")

        def number(at: _At) -> float:
            change_N = (at.along("return") - at.along("return")[0]).mean(1)[rows]
            promise_N = at.promise("unclipped")[rows]
            # change^2 - (change - promise)^2 is linear in the change, so that its noise makes no bias.
            gain: float = float((2 * change_N * promise_N - promise_N**2).mean())
            return gain / at.scale("return") ** 2

        return self._contrast(f"what samples foretell of the change {_times(x)}", number)

    def telling(self, pairs: int, chance: float) -> CheckpointSeries:
        """Whether so many pairs, of each point, tell the step from a random direction as far with that certainty.

        By independent draws at both points. Above 0 where they do, below where they do not: the mean square of the
        true gaps to 20 directions, less the square that it takes by the variance of the episodes, as a part of the
        squared return. Linear in what is noisy, unlike the number of pairs or the probability themselves.

        Raises:
            ClaimError: the pairs are no whole number from 1 up, or the chance does not lie between 1/2 and 1.
        """
        self._whole(pairs, "telling")
        if not is_number(chance) or not 0.5 < chance < 1:
            raise ClaimError(f"telling({pairs}, {chance!r}): the chance lies between 1/2 and 1.")
        words = f"gap of the step to random directions beyond what {pairs:,} pairs tell at {chance:g}"
        return self._contrast(words, lambda at: at.telling(pairs, chance))

    @property
    def pairs_to_order(self) -> CheckpointSeries:
        """State-action pairs, of each point, that tell the step from a random direction as far, at 95% certainty.

        From the same gap; infinite where it is lost in noise, so that claims are better made by `telling`.
        """
        return self._contrast("pairs that tell the step from random directions", lambda at: at.pairs_to_order())

    def chance_of_order(self, pairs: int) -> CheckpointSeries:
        """Probability that so many pairs, of each point, tell the step from a random direction as far.

        By the root mean square of the gaps; 1/2 where it is lost in noise, so that claims are better made by `telling`.

        Raises:
            ClaimError: it is no whole number from 1 up.
        """
        self._whole(pairs, "chance_of_order")
        words = f"chance that {pairs:,} pairs tell the step from random directions"
        return self._contrast(words, lambda at: at.chance_of_order(pairs), bounds=(0.5, 1.0))

    def roughness(self, last: int, pairs: int) -> Sample:
        """How rough the return looks from theta to 3 steps on: 0 for a line, 2 for a random walk, 3 for white noise.

        The mean square of second differences over that of first ones, both as parts of the squared return and summed
        over kept iterations. How rough it is without the noise is for `rougher_than`: a ratio may then be lost in it.

        Args:
            last: how many of the kept iterations, from the last one back; all in runs that have fewer.
            pairs: those that an observer estimates each point by, whose noise is part of the landscape.

        Raises:
            ClaimError: one is no whole number from 1 up.
        """
        self._whole(pairs, "roughness")

        def ratio(second: float, first: float) -> float:
            return split_samples.roughness_of(second, first)

        words = f"roughness of the return as {pairs:,} pairs a point show it"
        return self._summed(words, last, lambda at: at.squares(pairs), ratio)

    def rougher_than(self, bound: float, last: int) -> Sample:
        """By how much the return is rougher than a bound on its roughness, from theta to 3 steps on, net of noise.

        The mean square of second differences less the bound times that of first ones, summed as for `roughness`: above
        0 where it is rougher, below 0 where it is smoother. Linear in both, so that noise makes no bias.

        Raises:
            ClaimError: the bound is no number, or `last` no whole number from 1 up.
        """
        if not is_number(bound):
            raise ClaimError(f"rougher_than({bound!r}): the bound is a number.")
        words = f"roughness of the return beyond {bound:g}"
        return self._summed(words, last, lambda at: at.squares(None), lambda second, first: second - bound * first)

    def rougher_than_surrogate(self, last: int) -> Sample:
        """The same with the roughness of the algorithm's objective, on the batch it had, as the bound.

        Raises:
            ClaimError: it is no whole number from 1 up.
        """

        def beyond(second: float, first: float, of_surrogate: float, by: float) -> float:
            return second - split_samples.roughness_of(of_surrogate, by) * first

        words = "roughness of the return beyond that of the surrogate"
        return self._summed(words, last, lambda at: (*at.squares(None), *at.surrogate_squares()), beyond)

    @property
    def best_step_gain(self) -> CheckpointSeries:
        """By what part of the return the best x is better than 1: chosen on some episodes, judged by others."""
        (one,) = self._places((1.0,), "best_step_gain")

        def number(at: _At) -> float:
            return split_samples.best_of(at.along("return"), one) / at.scale("return")

        return self._contrast("gain of the best step size over 1", number)

    @property
    def lowest(self) -> CheckpointSeries:
        """The lowest return up to 3 steps on, as a part of that at theta: chosen on some episodes, judged by others."""

        def number(at: _At) -> float:
            lowest, _ = split_samples.worst_of(at.along("return")[1:NEARBY], 0)
            return lowest / at.scale("return")

        return self._contrast("lowest return along the step", number)

    @property
    def trajectories_per_batch(self) -> CheckpointSeries:
        """Episodes of theta that a batch holds: its pairs over the mean length of an episode."""
        steps = self.settings.steps
        return self._contrast("trajectories per batch", lambda at: float(steps / at.series("own/length")[0]))

    def kl(self, x: float = 1.0) -> CheckpointSeries:
        """Mean KL(old || new) from theta to theta + x step, on fresh pairs, in nats.

        Raises:
            ClaimError: the landscape has no such x.
        """
        (row,) = self._places((x,), "kl")
        return self._contrast(f"mean KL {_times((x,))}", lambda at: float(at.series("along/kl")[row]))

    def _whole(self, pairs: object, what: str) -> None:
        if type(pairs) is not int or pairs < 1:
            raise ClaimError(f"{what}({pairs!r}): a whole number of pairs, from 1 up.")

    def _places(self, x: Sequence[float], what: str) -> list[int]:
        if not x or not all(is_number(each) and each in ALONG[1:] for each in x) or len(set(x)) < len(x):
            there = ", ".join(f"{at:g}" for at in ALONG[1:])
            raise ClaimError(
                f"{what}({', '.join(map(repr, x))}): the landscape has x = {there}, each to be named once."
            )
        return [ALONG.index(float(each)) for each in x]

    def _contrast(
        self, words: str, number: "Callable[[_At], float]", bounds: tuple[float, float] | None = None
    ) -> CheckpointSeries:
        rows = tuple(() if m.failure else tuple(map(number, self._kept(m))) for m in self._measured)
        return CheckpointSeries(
            f"{self.name}'s {words}", rows, self.seeds, self.scope, self.failures, False, bounds, self
        )

    def _summed(
        self, words: str, last: int, parts: "Callable[[_At], tuple[float, ...]]", number: Callable[..., float]
    ) -> Sample:
        """A number made of sums over the last kept iterations."""
        if type(last) is not int or last < 1:
            raise ClaimError(
                f"{self.name}'s {words} is of the last {last!r} kept iterations: a whole number from 1 up."
            )

        def of(measured: "Measured") -> float:
            return number(*np.array([parts(at) for at in self._kept(measured)[-last:]]).sum(0).tolist())

        values = tuple(math.nan if m.failure else of(m) for m in self._measured)
        when = f"last {last} kept iterations"
        return Sample(f"{self.name}'s {words}, {when}", values, self.seeds, self.scope, self.failures, runs=self)

    def _kept(self, measured: "Measured") -> "list[_At]":
        return [_At(measured, k) for k in range(len(checkpoint_iterations(self.iterations, HELD_OUT_EVERY)))]


class _At:
    """One run's landscape at a kept iteration."""

    def __init__(self, measured: "Measured", k: int) -> None:
        self._measured, self._k = measured, k

    def series(self, name: str) -> Floats:
        return np.array(self._measured.series[f"{self._k}/{name}"])

    def along(self, which: str) -> Floats:
        """Returns along the step, (points, groups)."""
        return self.series(f"along/{which}").reshape(-1, GROUPS)

    def promise(self, on: str) -> Floats:
        return self.series(f"along/promise/{on}")

    def scale(self, which: str) -> float:
        """The size of the return at theta, by episodes that are in no point's return."""
        return abs(float(self.series(f"own/{which}")[0]))

    def telling(self, pairs: int, chance: float) -> float:
        gap_square, variance = self._gap()
        # What `split_samples.pairs_for` would have to find at most, solved for the gap.
        needed = split_samples.pairs_for(1.0, variance, chance) / pairs
        return (gap_square - needed) / self.scale("return") ** 2

    def pairs_to_order(self) -> float:
        return split_samples.pairs_for(*self._gap())

    def chance_of_order(self, pairs: int) -> float:
        return split_samples.chance_at(pairs, *self._gap())

    def _gap(self) -> tuple[float, float]:
        return step_to_random(self._measured.series, self._k)

    def squares(self, pairs: int | None) -> tuple[float, float]:
        """Mean squares of second and first differences of the return up to 3 steps on, over the squared return."""
        x_NG = self.along("return")[:NEARBY] / self.scale("return")
        noise_N = None
        if pairs is not None:
            variance_N = self.series("along/variance")[:NEARBY] * self.series("along/length")[:NEARBY] / pairs
            noise_N = variance_N / self.scale("return") ** 2
        return split_samples.difference_squares(x_NG, noise_N)

    def surrogate_squares(self) -> tuple[float, float]:
        x_N = self.promise("training")[:NEARBY] / self.scale("return")
        return split_samples.difference_squares(x_N)


def step_to_random(series: Mapping[str, Sequence[float]], k: int) -> tuple[float, float]:
    """Mean square of the gap from the step to 20 random directions, and the variance of one pair's worth of it.

    Both are unbiased, so that their means over seeds are; the first may be negative.

    Args:
        series: of one run's landscape (`rlclaims.studies.landscape.compute`).
        k: which kept iteration.
    """
    one = ALONG.index(1.0)
    along_NG, random_NG = (np.reshape(series[f"{k}/{part}/return"], (-1, GROUPS)) for part in ("along", "near"))
    gap_square = float(split_samples.mean_square(along_NG[one] - along_NG[0] - random_NG).mean())
    of_step, of_random = (
        np.array(series[f"{k}/{part}/variance"]) * series[f"{k}/{part}/length"] for part in ("along", "near")
    )
    return gap_square, float(of_step[one] + of_random.mean())


def which_return(discounted: object) -> str:
    """The name of the returns that are asked for.

    Raises:
        ClaimError: it is neither True nor False.
    """
    if type(discounted) is not bool:
        raise ClaimError(f"discounted={discounted!r} is to be True or False.")
    return "discounted" if discounted else "return"


def _times(x: Sequence[float]) -> str:
    return f"at {', '.join(f'{each:g}' for each in x)} steps"

"""Landscapes of runs, as a claim receives them: returns and surrogates around policies, one number per seed.

    ppo.landscape.change(1.0).at(0)
                  ----------- of what
                              ----- at which of the kept iterations

Changes of return are parts of the return at theta. Numbers that are not linear in returns are taken over different
groups of episodes (`rlclaims.stats.split_samples`): noise, which shrinks correlations and raises maxima, biases none.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from rlclaims.claims.evidence import ClaimError
from rlclaims.claims.names import check_name
from rlclaims.claims.numbers import is_number
from rlclaims.claims.quantity import Argument
from rlclaims.claims.sample import Sample
from rlclaims.results.checkpoint_series import Checkpoint, CheckpointSeries, CheckpointStudy
from rlclaims.results.measured import Measured
from rlclaims.stats import split_samples
from rlclaims.stats.method import Floats
from rlclaims.studies.landscape.compute import ALONG
from rlclaims.studies.replayed_run import GROUPS

DIRECTIONS = {"as far": "near", "norm 2": "far"}
"""Random displacements: as far as the step, or by the papers' Gaussian."""
NEARBY = ALONG.index(3.0) + 1
"""Points along the step up to 3, equally spaced."""
SURROGATES = ("training", "held_out", "monte_carlo", "unclipped")


class Landscapes(CheckpointStudy):
    """Returns and surrogates around the policies of runs, at the iterations whose updates were kept."""

    def __repr__(self) -> str:
        return f"<landscapes of {self.name}: {self.scope}>"

    def change(self, *x: float, discounted: bool = False) -> CheckpointSeries:
        """Return the change of the return from theta to theta + x step, as a part of it; of several x, the mean.

        Raises:
            ClaimError: the landscape has no such x.
        """
        rows = self._places(x, "change")
        which = which_return(discounted)

        def number(at: _At) -> float:
            change_NG = at.along(which) - at.along(which)[0]
            return float(change_NG[rows].mean() / at.scale(which))

        words = f"change of the {_return(discounted)} {_times(x)}"
        return self._at_each("change", words, number, {"x": x, "discounted": discounted})

    def random_change(self, how: str = "as far", *, discounted: bool = False) -> CheckpointSeries:
        """Return the same in random directions, on average over 20.

        Args:
            how: "as far" as the step, or "norm 2", the papers' scaling.
            discounted: whether returns are discounted.

        Raises:
            ClaimError: there are no such directions.
        """
        check_name(how, DIRECTIONS, f"random_change({how!r})", "random directions")
        which = which_return(discounted)
        words = f"change of the {_return(discounted)} in random directions, {how}"
        arguments: dict[str, Argument] = {"how": DIRECTIONS[how], "discounted": discounted}
        return self._at_each(
            "random_change",
            words,
            lambda at: float(at.series(f"{DIRECTIONS[how]}/{which}").mean() / at.scale(which)),
            arguments,
        )

    def promised(self, x: float = 1.0, on: str = "held_out") -> CheckpointSeries:
        """Return the change of return that a surrogate promises at theta + x step, as a part of the return at theta.

        Args:
            x: multiple of the step.
            on: "training" or "held_out", the algorithm's own objective on the batch it had or on fresh pairs;
                "unclipped", ratio times advantage on the fresh pairs; or "monte_carlo", the same with Monte Carlo
                advantages.

        Raises:
            ClaimError: there is no such x or surrogate.
        """
        (row,) = self._places((x,), "promised")
        check_name(on, SURROGATES, f"promised(on={on!r})", "surrogates")
        words = f"change promised by the surrogate ({on.replace('_', ' ')}) {_times((x,))}"
        return self._at_each(
            "promised", words, lambda at: float(at.promise(on)[row] / at.scale("return")), {"x": x, "on": on}
        )

    def alignment(self, *x: float) -> CheckpointSeries:
        """Return the slope of the return's change on what the batch's own objective promises, through 0, over some x.

        Raises:
            ClaimError: the landscape has no such x.
        """
        rows = self._places(x, "alignment")

        def number(at: _At) -> float:
            change_NG = at.along("return") - at.along("return")[0]
            return split_samples.slope_through_origin(change_NG[rows], at.promise("training")[rows])

        return self._at_each("alignment", f"slope of return on surrogate {_times(x)}", number, {"x": x})

    def forecast_gain(self, *x: float) -> CheckpointSeries:
        """Return how much better fresh samples forecast the return's change at theta + x step than no forecast would.

        That is the fall of the squared error, as a part of the squared return, with the unclipped surrogate on fresh
        pairs as forecast; negative if it misleads. Of several x, the mean.

        Raises:
            ClaimError: the landscape has no such x.
        """
        rows = self._places(x, "forecast_gain")

        def number(at: _At) -> float:
            change_N = (at.along("return") - at.along("return")[0]).mean(1)[rows]
            promise_N = at.promise("unclipped")[rows]
            # change^2 - (change - promise)^2 is linear in the change, so that its noise makes no bias.
            gain: float = float((2 * change_N * promise_N - promise_N**2).mean())
            return gain / at.scale("return") ** 2

        return self._at_each(
            "forecast_gain", f"gain of forecasting the change from samples {_times(x)}", number, {"x": x}
        )

    def ranks_step_reliably(self, pairs: int, chance: float) -> CheckpointSeries:
        """Return whether so many pairs at each point rank the step against a random direction as far, at that chance.

        The draws at both points are independent. Above 0 if they do, below if they do not: the mean square of the true
        gaps to 20 directions, less the square that it takes by the variance of the episodes, as a part of the squared
        return. It is linear in what is noisy, unlike the number of pairs or the probability themselves.

        Raises:
            ClaimError: the pairs are not a whole number from 1 up, or the chance does not lie between 1/2 and 1.
        """
        self._whole(pairs, "ranks_step_reliably")
        if not is_number(chance) or not 0.5 < chance < 1:
            raise ClaimError(f"ranks_step_reliably({pairs}, {chance!r}): the chance lies between 1/2 and 1.")
        words = f"gap of the step to random directions beyond what {pairs:,} pairs rank at {chance:g}"
        arguments = {"pairs": pairs, "chance": chance}
        return self._at_each("ranks_step_reliably", words, lambda at: at.beyond_rank(pairs, chance), arguments)

    @property
    def pairs_to_order(self) -> CheckpointSeries:
        """The state-action pairs per point that rank the step against a random direction as far, at 95% chance.

        From the same gap; infinite if it is lost in noise, so claims are better made by `ranks_step_reliably`.
        """
        words = "pairs that rank the step against random directions"
        return self._at_each("pairs_to_order", words, lambda at: at.pairs_to_order())

    def chance_of_order(self, pairs: int) -> CheckpointSeries:
        """Return the probability that so many pairs per point rank the step against a random direction as far.

        By the root mean square of the gaps; 1/2 if it is lost in noise, so claims are better made by
        `ranks_step_reliably`.

        Raises:
            ClaimError: the pairs are not a whole number from 1 up.
        """
        self._whole(pairs, "chance_of_order")
        words = f"chance that {pairs:,} pairs rank the step against random directions"
        return self._at_each(
            "chance_of_order", words, lambda at: at.chance_of_order(pairs), {"pairs": pairs}, bounds=(0.5, 1.0)
        )

    def roughness(self, last: int, pairs: int) -> Sample:
        """Return how rough the return looks up to 3 steps on: 0 for a line, 2 for a random walk, 3 for white noise.

        The mean square of second differences over that of first ones, both as parts of the squared return and summed
        over kept iterations. For how rough it is without the noise, see `rougher_than`: a ratio may be lost in noise.

        Args:
            last: how many of the kept iterations, from the last one back; all in runs that have fewer.
            pairs: pairs that an observer estimates each point by, whose noise is part of the landscape.

        Raises:
            ClaimError: one is not a whole number from 1 up.
        """
        self._whole(pairs, "roughness")

        def ratio(second: float, first: float) -> float:
            return split_samples.roughness_ratio(second, first)

        words = f"roughness of the return as {pairs:,} pairs a point show it"
        return self._summed("roughness", words, last, lambda at: at.squares(pairs), ratio, {"pairs": pairs})

    def rougher_than(self, bound: float, last: int) -> Sample:
        """Return by how much the return is rougher than a bound on its roughness, up to 3 steps on, net of noise.

        The mean square of second differences less the bound times that of first ones, summed as for `roughness`: above
        0 if it is rougher, below if smoother. It is linear in both, so that noise makes no bias.

        Raises:
            ClaimError: the bound is not a number, or `last` not a whole number from 1 up.
        """
        if not is_number(bound):
            raise ClaimError(f"rougher_than({bound!r}): the bound is a number.")
        words = f"roughness of the return beyond {bound:g}"

        def beyond(second: float, first: float) -> float:
            return second - bound * first

        return self._summed("rougher_than", words, last, lambda at: at.squares(None), beyond, {"bound": bound})

    def rougher_than_surrogate(self, last: int) -> Sample:
        """Return the same with the roughness of the algorithm's objective, on the batch it had, as the bound.

        Raises:
            ClaimError: `last` is not a whole number from 1 up.
        """

        def beyond(second: float, first: float, of_surrogate: float, by: float) -> float:
            return second - split_samples.roughness_ratio(of_surrogate, by) * first

        words = "roughness of the return beyond that of the surrogate"
        return self._summed(
            "rougher_than_surrogate", words, last, lambda at: (*at.squares(None), *at.surrogate_squares()), beyond
        )

    @property
    def best_step_gain(self) -> CheckpointSeries:
        """The part of the return by which the best x is better than 1: chosen on some episodes, judged by others."""
        (one,) = self._places((1.0,), "best_step_gain")

        def number(at: _At) -> float:
            return split_samples.best_gain(at.along("return"), one) / at.scale("return")

        return self._at_each("best_step_gain", "gain of the best step size over 1", number)

    @property
    def lowest(self) -> CheckpointSeries:
        """The lowest return up to 3 steps on, as a part of that at theta: chosen on some episodes, judged by others."""

        def number(at: _At) -> float:
            lowest, _ = split_samples.lowest_and_reference(at.along("return")[1:NEARBY], 0)
            return lowest / at.scale("return")

        return self._at_each("lowest", "lowest return along the step", number)

    @property
    def trajectories_per_batch(self) -> CheckpointSeries:
        """The episodes of theta in a batch: its pairs over the mean length of an episode."""
        steps = self.settings.steps
        return self._at_each(
            "trajectories_per_batch", "trajectories per batch", lambda at: float(steps / at.series("own/length")[0])
        )

    def kl(self, x: float = 1.0) -> CheckpointSeries:
        """Return the mean KL(old || new) from theta to theta + x step, on fresh pairs, in nats.

        Raises:
            ClaimError: the landscape has no such x.
        """
        (row,) = self._places((x,), "kl")
        return self._at_each("kl", f"mean KL {_times((x,))}", lambda at: float(at.series("along/kl")[row]), {"x": x})

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

    def _at_each(
        self,
        measure: str,
        words: str,
        number: "Callable[[_At], float]",
        arguments: Mapping[str, Argument] | None = None,
        bounds: tuple[float, float] | None = None,
    ) -> CheckpointSeries:
        return self._checkpoint_series(measure, words, lambda at: number(_At(at)), arguments, bounds)

    def _summed(
        self,
        measure: str,
        words: str,
        last: int,
        parts: "Callable[[_At], tuple[float, ...]]",
        number: Callable[..., float],
        arguments: Mapping[str, Argument] | None = None,
    ) -> Sample:
        """Return a number that is made of sums over the last kept iterations."""
        if type(last) is not int or last < 1:
            raise ClaimError(f"{measure}(last={last!r}): a whole number of kept iterations, from 1 up.")

        def of_run(measured: Measured) -> float:
            summed = [parts(_At(Checkpoint(measured, k))) for k in self.kept[-last:]]
            return number(*np.array(summed).sum(0).tolist())

        words = f"{words}, last {last} kept iterations"
        return self._per_seed(measure, words, of_run, {**(arguments or {}), "last": last})


class _At:
    """One run's landscape at a kept iteration."""

    def __init__(self, at: Checkpoint) -> None:
        self._measured = at.measured
        self._k = at.k

    def series(self, name: str) -> Floats:
        return np.array(self._measured.series[f"{self._k}/{name}"])

    def along(self, which: str) -> Floats:
        """Return the returns along the step, (points, groups)."""
        return self.series(f"along/{which}").reshape(-1, GROUPS)

    def promise(self, on: str) -> Floats:
        return self.series(f"along/promise/{on}")

    def scale(self, which: str) -> float:
        """Return the size of the return at theta, by episodes that are in no point's return."""
        return abs(float(self.series(f"own/{which}")[0]))

    def beyond_rank(self, pairs: int, chance: float) -> float:
        gap_square, variance = self._gap()
        # The pairs that `split_samples.pairs_needed` would find necessary, solved for the gap.
        needed = split_samples.pairs_needed(1.0, variance, chance) / pairs
        return (gap_square - needed) / self.scale("return") ** 2

    def pairs_to_order(self) -> float:
        return split_samples.pairs_needed(*self._gap())

    def chance_of_order(self, pairs: int) -> float:
        return split_samples.chance_with_pairs(pairs, *self._gap())

    def _gap(self) -> tuple[float, float]:
        return step_to_random(self._measured.series, self._k)

    def squares(self, pairs: int | None) -> tuple[float, float]:
        """Return mean squares of second and first differences of the return, up to 3 steps on, over its square."""
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
    """Return the mean square of the gap from the step to 20 random directions, and the variance of it per pair.

    Both are unbiased, so their means over seeds are; the first may be negative.

    Args:
        series: numbers of one run's landscape (`compute.py`).
        k: place of the kept iteration.
    """
    one = ALONG.index(1.0)
    along_NG, random_NG = (np.reshape(series[f"{k}/{part}/return"], (-1, GROUPS)) for part in ("along", "near"))
    gap_square = float(split_samples.mean_square(along_NG[one] - along_NG[0] - random_NG).mean())
    of_step, of_random = (
        np.array(series[f"{k}/{part}/variance"]) * series[f"{k}/{part}/length"] for part in ("along", "near")
    )
    return gap_square, float(of_step[one] + of_random.mean())


def which_return(discounted: object) -> str:
    """Return the name of the returns that are asked for.

    Raises:
        ClaimError: it is neither True nor False.
    """
    if type(discounted) is not bool:
        raise ClaimError(f"discounted={discounted!r}: it is True or False.")
    return "discounted" if discounted else "return"


def _return(discounted: bool) -> str:
    return "discounted return" if discounted else "return"


def _times(x: Sequence[float]) -> str:
    return f"at {', '.join(f'{each:g}' for each in x)} steps"

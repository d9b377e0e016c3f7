"""Gradient estimates of runs, as a claim receives them: how far they agree, with each other and with the step.

ppo_gradients.cosine(2048).at(0)
------------- gradients -- at which of the kept iterations
              ------ of two independent estimates from so many pairs

The true gradient is never at hand, and is not needed: squares and products of it are unbiased (`compute.py`).
"""

import math

from rlclaims.claims.evidence import ClaimError
from rlclaims.claims.numbers import is_number
from rlclaims.results.checkpoint_series import At, CheckpointSeries, Kept

GRADIENTS = {
    "surrogate": "the surrogate's gradient",
    "returns": "the gradient without baseline",
    "near_true": "the gradient by near-true values",
    "discounted": "the discounted return's gradient",
    "undiscounted": "the return's gradient",
}
"""By what weighs the pairs (`rlclaims.studies.gradients.compute`)."""


class Gradients(Kept):
    """Estimates of the policy gradient of runs, where updates were kept."""

    _has_near_true = False

    def __repr__(self) -> str:
        return f"<gradients of {self.name}: {self.scope}>"

    def cosine(self, pairs: int, of: str = "surrogate") -> CheckpointSeries:
        """Mean cosine between two independent estimates of a gradient from so many pairs each.

        That is |g|^2 / (|g|^2 + nu / pairs), with the square of the true gradient and the noise of a pair's worth; the
        cosine of an estimate with the true gradient is its square root. Below 0 where the square is lost in noise, and
        none where it is lost in that of more pairs than were played. It is a ratio of means and not the mean of a
        ratio: beside cosines of whole-episode estimates on Hopper it was most often .003 to .022 too low, at worst .08.

        Raises:
            ClaimError: there is no such gradient, or the pairs are no whole number from 1 up.
        """
        self._known(of, "cosine")
        if type(pairs) is not int or pairs < 1:
            raise ClaimError(f"cosine({pairs!r}): a whole number of pairs, from 1 up.")

        def number(at: At) -> float:
            square = at(f"{of}/square")
            whole = square + at(f"{of}/noise") / pairs
            return square / whole if whole > 0 else math.nan

        return self._contrast(f"cosine of two estimates of {GRADIENTS[of]} from {pairs:,} pairs", number)

    def step(self, of: str = "surrogate") -> CheckpointSeries:
        """Cosine of the step that was made with a fresh estimate of a gradient, from half of the pool.

        Noise shrinks it and leaves its sign: above 0 where the step goes uphill. How far uphill is for `step_beyond`.

        Raises:
            ClaimError: there is no such gradient.
        """
        self._known(of, "step")
        return self._contrast(f"cosine of the step with an estimate of {GRADIENTS[of]}", lambda at: at(f"{of}/step"))

    def step_beyond(self, cosine: float, of: str = "surrogate") -> CheckpointSeries:
        """Whether the step is closer to a true gradient, or its opposite, than that cosine: above 0, else below.

        The squared length of the gradient along the step less cosine^2 times its squared length, as a part of the
        expected squared length of an estimate from the algorithm's own number of pairs. Linear in what is noisy
        but for that part; none where it is lost in noise, as it can be where fewer pairs than these were played.

        Raises:
            ClaimError: there is no such gradient, or the cosine does not lie between 0 and 1.
        """
        self._known(of, "step_beyond")
        if not is_number(cosine) or not 0 < cosine < 1:
            raise ClaimError(f"step_beyond({cosine!r}): the cosine lies between 0 and 1.")

        def number(at: At) -> float:
            square = at(f"{of}/square")
            whole = square + at(f"{of}/noise") / self.settings.steps
            return float((at(f"{of}/step_square") - cosine**2 * square) / whole) if whole > 0 else math.nan

        return self._contrast(f"square of the step along {GRADIENTS[of]} beyond a cosine of {cosine:g}", number)

    def between(self, one: str, other: str) -> CheckpointSeries:
        """Cosine between two true gradients: "surrogate", "discounted" or "undiscounted".

        From unbiased products and squares: noise may carry it beyond 1. There is none for a seed where a square is lost
        in noise: then a mean has no verdict, and a median takes the worst that it could have been.

        Raises:
            ClaimError: there are no two such gradients.
        """
        three = ("surrogate", "discounted", "undiscounted")
        if one not in three or other not in three or one == other:
            raise ClaimError(f"between({one!r}, {other!r}): two different ones of {', '.join(map(repr, three))}.")
        first, second = sorted((one, other), key=three.index)

        def number(at: At) -> float:
            squares = at(f"{first}/square"), at(f"{second}/square")
            if min(squares) <= 0:
                return math.nan
            return at(f"{first}*{second}") / math.sqrt(squares[0] * squares[1])

        return self._contrast(f"cosine of {GRADIENTS[first]} with {GRADIENTS[second]}", number)

    def _known(self, of: object, what: str) -> None:
        if not isinstance(of, str) or of not in GRADIENTS:
            raise ClaimError(f"{what}(of={of!r}): gradients are {', '.join(map(repr, GRADIENTS))}.")
        if of == "near_true" and not self._has_near_true:
            raise ClaimError(f"{what}(of={of!r}): values were fitted to no pairs; gradients(near_true=True) does.")


class NearTrueGradients(Gradients):
    """The same, and by values that were fitted to many pairs."""

    _has_near_true = True

    def __repr__(self) -> str:
        return f"<near true gradients of {self.name}: {self.scope}>"

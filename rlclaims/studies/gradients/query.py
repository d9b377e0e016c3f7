"""Gradient estimates of runs, as a claim receives them: how far they agree, with each other and with the step.

    ppo.gradients().cosine(2048).at(0)
                    ------------ of two independent estimates from so many pairs
                                 ----- at which of the kept iterations

The true gradient is never known, and is not needed: its squares and products are unbiased (`compute.py`).
"""

import math

from rlclaims.claims.evidence import ClaimError
from rlclaims.claims.names import check_name
from rlclaims.claims.numbers import is_number
from rlclaims.results.checkpoint_series import Checkpoint, CheckpointSeries, CheckpointStudy
from rlclaims.studies.attributes import whole_number
from rlclaims.studies.registry import Study
from rlclaims.text import describe

GRADIENTS = {
    "surrogate": "the surrogate's gradient",
    "returns": "the gradient without baseline",
    "near_true": "the gradient by near-true values",
    "discounted": "the discounted return's gradient",
    "undiscounted": "the return's gradient",
}
"""Gradients by what weighs the pairs (`compute.py`)."""


def study(*, pairs: int = 2**14, near_true: bool = False) -> Study:
    """Return estimates of the policy gradient where updates were kept, and how far they agree.

    Args:
        pairs: size of the pool that gradients are estimated from, 1,024 or more.
        near_true: whether to play as many pairs more and fit values to them, for one more estimate.

    Raises:
        ClaimError: `pairs` is not a whole number, or `near_true` is neither True nor False.
    """
    if type(near_true) is not bool:
        raise ClaimError(f"gradients(near_true={describe(near_true)}): it is True or False.")
    return Study("near_true_gradients" if near_true else "gradients", whole_number("gradients", pairs))


class Gradients(CheckpointStudy):
    """Estimates of the policy gradient of runs, at the iterations whose updates were kept."""

    _has_near_true = False

    def __repr__(self) -> str:
        return f"<gradients of {self.name}: {self.scope}>"

    def cosine(self, pairs: int, of: str = "surrogate") -> CheckpointSeries:
        """Return the mean cosine between two independent estimates of a gradient from so many pairs each.

        That is |g|^2 / (|g|^2 + nu / pairs), with the square of the true gradient and the noise of a pair; the cosine
        of an estimate with the true gradient is its square root. Below 0 if the square is lost in noise, and missing
        if it is lost in that of more pairs than were played. It is a ratio of means and not the mean of a ratio: beside
        cosines of whole-episode estimates on Hopper it was most often .003 to .022 too low, at worst .08.

        Raises:
            ClaimError: there is no such gradient, or the pairs are not a whole number from 1 up.
        """
        self._known(of, "cosine")
        if type(pairs) is not int or pairs < 1:
            raise ClaimError(f"cosine({pairs!r}): a whole number of pairs, from 1 up.")

        def number(at: Checkpoint) -> float:
            square = at(f"{of}/square")
            whole = square + at(f"{of}/noise") / pairs
            return square / whole if whole > 0 else math.nan

        words = f"cosine of two estimates of {GRADIENTS[of]} from {pairs:,} pairs"
        return self._checkpoint_series("cosine", words, number, {"pairs": pairs, "of": of})

    def step(self, of: str = "surrogate") -> CheckpointSeries:
        """Return the cosine of the step that was made with a fresh estimate of a gradient, from half of the pool.

        Noise shrinks it and keeps its sign: above 0 if the step goes uphill. For how far uphill, see `step_beyond`.

        Raises:
            ClaimError: there is no such gradient.
        """
        self._known(of, "step")
        words = f"cosine of the step with an estimate of {GRADIENTS[of]}"
        return self._checkpoint_series("step", words, lambda at: at(f"{of}/step"), {"of": of})

    def step_beyond(self, cosine: float, of: str = "surrogate") -> CheckpointSeries:
        """Return whether the step is closer to a true gradient, or its opposite, than a cosine: above 0 if it is.

        The squared length of the gradient along the step less cosine^2 times its squared length, as a part of the
        expected squared length of an estimate from the algorithm's own number of pairs. It is linear in what is noisy
        but for that part; missing if that is lost in noise, as it can be where fewer pairs than these were played.

        Raises:
            ClaimError: there is no such gradient, or the cosine does not lie between 0 and 1.
        """
        self._known(of, "step_beyond")
        if not is_number(cosine) or not 0 < cosine < 1:
            raise ClaimError(f"step_beyond({cosine!r}): the cosine lies between 0 and 1.")

        def number(at: Checkpoint) -> float:
            square = at(f"{of}/square")
            whole = square + at(f"{of}/noise") / self.settings.steps
            return float((at(f"{of}/step_square") - cosine**2 * square) / whole) if whole > 0 else math.nan

        words = f"square of the step along {GRADIENTS[of]} beyond a cosine of {cosine:g}"
        return self._checkpoint_series("step_beyond", words, number, {"cosine": cosine, "of": of})

    def between(self, one: str, other: str) -> CheckpointSeries:
        """Return the cosine between two true gradients: "surrogate", "discounted" or "undiscounted".

        From unbiased products and squares: noise may carry it beyond 1. It is missing for a seed where a square is lost
        in noise: then a mean has no verdict, and a median takes the worst that it could have been.

        Raises:
            ClaimError: there are no two such gradients.
        """
        three = ("surrogate", "discounted", "undiscounted")
        if one not in three or other not in three or one == other:
            raise ClaimError(f"between({one!r}, {other!r}): two different ones of {', '.join(map(repr, three))}.")
        first, second = sorted((one, other), key=three.index)

        def number(at: Checkpoint) -> float:
            squares = at(f"{first}/square"), at(f"{second}/square")
            if min(squares) <= 0:
                return math.nan
            return at(f"{first}*{second}") / math.sqrt(squares[0] * squares[1])

        words = f"cosine of {GRADIENTS[first]} with {GRADIENTS[second]}"
        return self._checkpoint_series("between", words, number, {"one": first, "other": second})

    def _known(self, of: object, what: str) -> None:
        check_name(of, GRADIENTS, f"{what}(of={of!r})", "gradients")
        if of == "near_true" and not self._has_near_true:
            raise ClaimError(
                f"{what}(of={of!r}): values were not fitted; gradients(near_true=True) fits values to more pairs."
            )


class NearTrueGradients(Gradients):
    """The same estimates, and one by values that were fitted to many pairs."""

    _has_near_true = True

    def __repr__(self) -> str:
        return f"<near true gradients of {self.name}: {self.scope}>"

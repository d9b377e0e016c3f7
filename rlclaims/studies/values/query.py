"""What value networks of runs know, as a claim receives it: errors, as parts of the size of what they are errors of.

ppo_values.error("held_out").last(2)
---------- values ------ on what
"""

import math

from rlclaims.claims.evidence import ClaimError
from rlclaims.claims.numbers import is_number
from rlclaims.results.checkpoint_series import At, CheckpointSeries, Kept

ERRORS = {
    "training": "the regression's target, on the pairs fitted to",
    "held_out": "the regression's target, on fresh pairs",
    "returns": "discounted returns",
}


class Values(Kept):
    """Errors of the value networks of runs, where updates were kept (`rlclaims.studies.values.compute`)."""

    def __repr__(self) -> str:
        return f"<values of {self.name}: {self.scope}>"

    def error(self, on: str) -> CheckpointSeries:
        """Root mean square error, as a part of the root mean square of what it is an error of.

        Args:
            on: "training" or "held_out", to the target V_old + A that values are fitted to, on the pairs that they were
                fitted to or on fresh ones; or "returns", to discounted returns, part of which no value could tell.

        Raises:
            ClaimError: there is no such error.
        """
        self._known(on, "error")

        def number(at: At) -> float:
            return math.sqrt(at(f"{on}/error") / at(f"{on}/size"))

        return self._contrast(f"relative error of the values to {ERRORS[on]}", number)

    def mean_relative_error(self, on: str) -> CheckpointSeries:
        """Mean of |V - x| / |x| over pairs, as the papers have it: where x is small, little is much.

        There is none for a seed with an x of 0, such as InvertedPendulum-v5 has where an episode ends in a fall. And
        steps before the time limit, which no state tells, count as much as those before a fall.

        Args:
            on: as for `error`.

        Raises:
            ClaimError: there is no such error.
        """
        self._known(on, "mean_relative_error")
        return self._contrast(f"mean relative error of the values to {ERRORS[on]}", lambda at: at(f"{on}/relative"))

    def true_beyond(self, error: float) -> CheckpointSeries:
        """Whether the relative error to the states' true values is larger than that: above 0, else below.

        The mean square of the error less error^2 times that of the true values, both unbiased, as a part of the mean
        square of returns. Linear in what is noisy; noise of returns is in neither.

        Raises:
            ClaimError: the error is no positive number.
        """
        _positive(error, "true_beyond")
        return self._contrast(
            f"square of the error to true values beyond a relative one of {error:g}",
            lambda at: (at("true/error") - error**2 * at("true/size")) / at("returns/size"),
        )

    def true_unexplained_beyond(self, share: float) -> CheckpointSeries:
        """Whether the values leave more than that share of the true values' variance over states unexplained.

        The mean square of the error less the share of the true values' variance, both unbiased, as a part of the
        variance of returns: above 0 where they leave more, else below. What all states have in common is no merit here.

        Raises:
            ClaimError: the share is no positive number.
        """
        _positive(share, "true_unexplained_beyond")
        return self._contrast(
            f"square of the error to true values beyond {share:g} of their variance",
            lambda at: (at("true/error") - share * at("true/spread")) / at("returns/spread"),
        )

    def _known(self, on: object, what: str) -> None:
        if not isinstance(on, str) or on not in ERRORS:
            raise ClaimError(
                f"{what}({on!r}): errors are on {', '.join(map(repr, ERRORS))}; true values have their own."
            )


def _positive(number: object, what: str) -> None:
    if not is_number(number) or not number > 0:
        raise ClaimError(f"{what}({number!r}): it takes a positive number.")

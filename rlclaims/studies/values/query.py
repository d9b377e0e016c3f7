"""Value networks of runs, as a claim receives them: their errors, as parts of the size of what they are errors of.

ppo.values.error("held_out").last(2)
----------------- of what
"""

import math

from rlclaims.claims.evidence import ClaimError
from rlclaims.claims.names import check_name
from rlclaims.claims.numbers import is_number
from rlclaims.results.checkpoint_series import Checkpoint, CheckpointSeries, CheckpointStudy

ERRORS = {
    "training": "the regression's target, on the pairs fitted to",
    "held_out": "the regression's target, on fresh pairs",
    "returns": "discounted returns",
}


class Values(CheckpointStudy):
    """Errors of the value networks of runs, at the iterations whose updates were kept (`compute.py`)."""

    def __repr__(self) -> str:
        return f"<values of {self.name}: {self.scope}>"

    def error(self, on: str) -> CheckpointSeries:
        """Return the root mean square error, as a part of the root mean square of what it is an error of.

        Args:
            on: "training" or "held_out", to the target V_old + A that values are fitted to, on the pairs that they were
                fitted to or on fresh ones; or "returns", to discounted returns, part of which no value could tell.

        Raises:
            ClaimError: there is no such error.
        """
        self._known(on, "error")

        def number(at: Checkpoint) -> float:
            return math.sqrt(at(f"{on}/error") / at(f"{on}/size"))

        return self._checkpoint_series("error", f"relative error of the values to {ERRORS[on]}", number, {"on": on})

    def mean_relative_error(self, on: str) -> CheckpointSeries:
        """Return the mean of |V - x| / |x| over pairs, as the papers have it: where x is small, little is much.

        It is missing for a seed with an x of 0, such as InvertedPendulum-v5 has where an episode ends in a fall. And
        steps before the time limit, which no state contains, count as much as those before a fall.

        Args:
            on: as for `error`.

        Raises:
            ClaimError: there is no such error.
        """
        self._known(on, "mean_relative_error")
        words = f"mean relative error of the values to {ERRORS[on]}"
        return self._checkpoint_series("mean_relative_error", words, lambda at: at(f"{on}/relative"), {"on": on})

    def true_beyond(self, error: float) -> CheckpointSeries:
        """Return whether the relative error to the states' true values is larger than a bound: above 0 if it is.

        The mean square of the error less error^2 times that of the true values, both unbiased, as a part of the mean
        square of returns. It is linear in what is noisy; noise of returns is in neither.

        Raises:
            ClaimError: the error is not a positive number.
        """
        _positive(error, "true_beyond")
        return self._checkpoint_series(
            "true_beyond",
            f"square of the error to true values beyond a relative one of {error:g}",
            lambda at: (at("true/error") - error**2 * at("true/size")) / at("returns/size"),
            {"error": error},
        )

    def true_unexplained_beyond(self, share: float) -> CheckpointSeries:
        """Return whether the values leave more than a share of the true values' variance over states unexplained.

        The mean square of the error less the share of the true values' variance, both unbiased, as a part of the
        variance of returns: above 0 if they leave more. A constant that all states share explains nothing.

        Raises:
            ClaimError: the share is not a positive number.
        """
        _positive(share, "true_unexplained_beyond")
        return self._checkpoint_series(
            "true_unexplained_beyond",
            f"square of the error to true values beyond {share:g} of their variance",
            lambda at: (at("true/error") - share * at("true/spread")) / at("returns/spread"),
            {"share": share},
        )

    def _known(self, on: object, what: str) -> None:
        check_name(on, ERRORS, f"{what}({on!r})", "errors")


def _positive(number: object, what: str) -> None:
    if not is_number(number) or not number > 0:
        raise ClaimError(f"{what}({number!r}): it takes a positive number.")

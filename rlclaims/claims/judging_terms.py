"""The terms that a claim is judged on: its looks, its error rates within its family, its margin and its pilot."""

from dataclasses import dataclass, replace

from rlclaims.claims.scope import Scope, Setting
from rlclaims.stats.power import pilot_bound
from rlclaims.stats.verdict import Design

ALPHA = 0.05
"""Error rate of support, which no family shares: the probability that a false sentence is declared supported."""
FAMILY_RATE = 0.05
"""Error rate that the claims of a family share: the probability that any of them turns red though it is true."""


@dataclass(frozen=True)
class Family:
    """Claims that share the rate at which a build goes red by chance.

    The shares are fixed where the family is declared, so that no verdict depends on which claims are selected, and
    shares can be left for future claims.
    """

    name: str
    size: int
    """Number of shares: one for each claim's refutation, and one for the support of each that is expected refuted."""
    rate: float | None = None
    """Largest probability that any of these verdicts is wrong; None for the profile's."""

    @property
    def share(self) -> float:
        """The error rate of one share."""
        assert self.rate is not None, "the profile's rate is filled in when claims are collected"
        return self.rate / self.size


@dataclass(frozen=True)
class Pilot:
    """The spread of a quantity over development seeds, which never judge the claim."""

    standard_deviation: float
    """Standard deviation of a seed, on the scale that the claim is judged on."""
    seeds: tuple[int, ...]
    """Seeds that it is estimated from."""
    key: str
    """Key of the estimated quantity (`Comparison.quantity`)."""
    settings: tuple[Setting, ...]
    """Tasks and steps of the runs."""
    seeds_used: int | None = None
    """Number of these seeds that had been looked at when the claim was decided, or all; None if not known."""

    def fits(self, key: str, scope: Scope, seeds: tuple[int, ...]) -> bool:
        """Return whether it is about the same quantity and setting as a comparison, on other seeds."""
        return self.key == key and self.settings == scope.settings and not set(self.seeds) & set(seeds)

    @property
    def standard_deviation_bound(self) -> float:
        """The 80% upper confidence bound of the standard deviation: a design planned on it is rarely too small."""
        return pilot_bound(self.standard_deviation, len(self.seeds))


@dataclass(frozen=True)
class JudgingTerms:
    """Everything but the data that determines a verdict."""

    looks: tuple[int, ...] | None = None
    """Numbers of seeds at which the data are looked at; None for one look at all seeds."""
    alpha_support: float = ALPHA
    """Probability of supporting a false sentence."""
    alpha_refute: float = ALPHA
    """Probability of refuting a true one."""
    margin: float | None = None
    """Distance from the claim's bound that starts to matter; a factor for a ratio."""
    pilot: Pilot | None = None
    no_evidence: str | None = None
    """Reason why no verdict on these terms counts as evidence, or None."""

    def design(self, seeds: int) -> Design:
        """Return the looks and error rates for a number of seeds."""
        return Design(self.looks or (max(seeds, 2),), self.alpha_support, self.alpha_refute)

    def split(self, support: int = 1, refute: int = 1) -> "JudgingTerms":
        """Return the terms of one of several parts that share an error rate; a pilot is only for the whole."""
        return replace(
            self,
            alpha_support=self.alpha_support / support,
            alpha_refute=self.alpha_refute / refute,
            pilot=None,
        )

"""On what terms a claim is judged: its looks, its error rates within its family, its margin and its pilot."""

from dataclasses import dataclass, replace

from rlclaims.stats.power import pilot_bound
from rlclaims.stats.verdict import Design

ALPHA = 0.05
"""Error rate of a verdict that no family shares: that a false sentence is declared supported."""
FAMILY_RATE = 0.05
"""Error rate that the claims of a family share: that any of them turns red though it is as it says."""


@dataclass(frozen=True)
class Family:
    """Claims that share the rate at which a build goes red by chance.

    The shares are fixed where the family is declared, so that no verdict depends on which claims are selected, and room
    can be left for claims to come.
    """

    name: str
    size: int
    """Shares: one for each claim's refutation, and one for the support of each that is expected to be refuted."""
    rate: float | None = None
    """Probability that any of these verdicts is wrong, at most; None for the profile's."""

    @property
    def share(self) -> float:
        """The error rate of one of them."""
        assert self.rate is not None, "a rate that is the profile's is filled in when claims are collected"
        return self.rate / self.size


@dataclass(frozen=True)
class Pilot:
    """What development seeds say of the spread over seeds, before the seeds that judge."""

    standard_deviation: float
    """Of a seed, on the scale that the claim is judged on."""
    seeds: tuple[int, ...]
    """Those it is estimated from."""
    quantity: str
    """What it is the spread of, in the words of the evidence."""
    setting: str
    """Task and steps of the runs."""
    seeds_used: int | None = None
    """How many of those seeds were looked at until they decided the claim, or all; None if that is not known."""

    def fits(self, quantity: str, scope: str, seeds: tuple[int, ...]) -> bool:
        """Whether it is a pilot for that evidence: of the same quantity and setting, on other seeds."""
        return self.quantity == quantity and self.setting == setting_of(scope) and not set(self.seeds) & set(seeds)

    @property
    def standard_deviation_bound(self) -> float:
        """Its 80% upper confidence bound: a design that is planned on it is too small once in five times."""
        return pilot_bound(self.standard_deviation, len(self.seeds))


def setting_of(scope: str) -> str:
    """Task and steps of a scope, without its seeds."""
    return "; ".join(dict.fromkeys(part.partition(", seeds")[0] for part in scope.split("; ")))


@dataclass(frozen=True)
class JudgingTerms:
    """What fixes a verdict beside the data."""

    looks: tuple[int, ...] | None = None
    """Numbers of seeds at which the data are looked at, or None for one look at all there are."""
    alpha_support: float = ALPHA
    """Probability of supporting a false sentence."""
    alpha_refute: float = ALPHA
    """Probability of refuting a true one."""
    margin: float | None = None
    """The distance from the claim's bound that starts to matter, a factor for a ratio."""
    pilot: Pilot | None = None
    no_evidence: str | None = None
    """Why nothing that is judged on these terms counts, or None."""

    def design(self, seeds: int) -> Design:
        """Looks and error rates for a sample of that many seeds."""
        return Design(self.looks or (max(seeds, 2),), self.alpha_support, self.alpha_refute)

    def split(self, support: int = 1, refute: int = 1) -> "JudgingTerms":
        """The terms of one of several parts that share an error rate; a margin is each part's, a pilot the whole's."""
        return replace(
            self,
            alpha_support=self.alpha_support / support,
            alpha_refute=self.alpha_refute / refute,
            pilot=None,
        )

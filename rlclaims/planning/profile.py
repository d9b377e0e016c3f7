"""Profiles: the budget of a run of the suite, and the error rates that it is judged at.

Three come with rlclaims. A project adds its own, or changes these, in its `pyproject.toml`; what a table leaves out is
as in the profile of that name, or else as in `standard`:

    [tool.rlclaims.profiles.nightly]
    tasks = ["Hopper-v5", "InvertedPendulum-v5(reset_noise_scale=0.05)"]
    iterations = 200
    looks = [6, 12, 18]
    alpha = 0.05
    family_rate = 0.01
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from rlclaims.claims.judging_terms import ALPHA, FAMILY_RATE
from rlclaims.sim.spelling import canonical
from rlclaims.stats.verdict import MIN_SEEDS
from rlclaims.text import describe

MOST_SEEDS = 1000
"""Seeds of a block; the next block of runs begins there."""
LEAST_RATE, MOST_ITERATIONS = 1e-6, 1_000_000
"""Beyond them a number is a slip of the pen."""
DEVELOPMENT_SEEDS = range(10_000, 100_000)
"""Seeds to look at beforehand. Those that judge are below, and those of nightly sessions from their end up."""


class ProfileError(ValueError):
    """A profile that is not valid, in one sentence."""


@dataclass(frozen=True)
class Profile:
    """The budget of a run of the suite.

    Raises:
        ProfileError: a field is not valid.
    """

    name: str
    tasks: tuple[str, ...] = ("Hopper-v5",)
    """Tasks, with or without arguments, of runs that name none; a claim about such runs is one claim on each."""
    iterations: int = 100
    """Updates of runs that set no number."""
    looks: tuple[int, ...] = (6, 8, 10, 12)
    """Runs per algorithm at which the data are looked at."""
    alpha: float = ALPHA
    """Probability of declaring a false sentence supported."""
    family_rate: float = FAMILY_RATE
    """Probability that a family turns red by chance, for families that name none."""
    evidence: bool = True
    """True if its verdicts count. A profile without evidence is a smoke test: runs are no longer than its iterations,
    learn from few steps at a time, a factorial trains just enough combinations for each setting to have either value,
    and every claim is inconclusive."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "tasks", tuple(map(canonical, self._listed("tasks", str, "ids of environments"))))
        object.__setattr__(self, "looks", self._listed("looks", int, "numbers of seeds"))
        if len(set(self.tasks)) < len(self.tasks):
            raise self._error("tasks", "different ids of environments")
        ascending = all(a < b for a, b in zip(self.looks, self.looks[1:], strict=False))
        if not ascending or self.looks[0] < MIN_SEEDS or self.looks[-1] > MOST_SEEDS:
            raise self._error("looks", f"ascending numbers of seeds from {MIN_SEEDS} to {MOST_SEEDS}")
        if type(self.iterations) is not int or not 1 <= self.iterations <= MOST_ITERATIONS:
            raise self._error("iterations", f"a whole number from 1 to {MOST_ITERATIONS:,}")
        for name in ("alpha", "family_rate"):
            rate = getattr(self, name)
            if isinstance(rate, bool) or not isinstance(rate, int | float) or not LEAST_RATE <= rate < 0.5:
                raise self._error(name, f"an error rate from {LEAST_RATE:f} up, below .5")
        if type(self.evidence) is not bool:
            raise self._error("evidence", "true or false")

    @property
    def seeds(self) -> int:
        """Runs per algorithm, when all looks are taken."""
        return self.looks[-1]

    @property
    def no_evidence(self) -> str | None:
        """The reason why its verdicts do not count, or None."""
        return None if self.evidence else f"{self.name} is no evidence"

    def _listed(self, name: str, kind: type, what: str) -> tuple[Any, ...]:
        values = getattr(self, name)
        if not isinstance(values, list | tuple) or not values or any(type(value) is not kind for value in values):
            raise self._error(name, f"a list of {what}")
        return tuple(values)

    def _error(self, name: str, what: str) -> ProfileError:
        value = getattr(self, name)
        listed = list(value) if isinstance(value, tuple) else value
        return ProfileError(f"The profile {describe(self.name)} has {name} = {describe(listed)}, which must be {what}.")


PROFILES = {
    profile.name: profile
    for profile in (
        Profile("smoke", iterations=2, looks=(5,), evidence=False),
        Profile("standard"),
        # Short trainings of one look: whether updates keep to their bounds.
        Profile("gate", iterations=30, looks=(10,)),
        # The papers' tasks, a million steps each.
        Profile("paper", ("Hopper-v5", "Walker2d-v5", "Humanoid-v5"), iterations=488, looks=(6, 10, 15, 20)),
    )
}


def profiles(tables: Mapping[str, Any]) -> dict[str, Profile]:
    """All profiles of a project, by name.

    Args:
        tables: what stands below `[tool.rlclaims.profiles]`.

    Raises:
        ProfileError: a profile makes no sense.
    """
    known = [field.name for field in fields(Profile) if field.name != "name"]
    found = dict(PROFILES)
    for name, table in tables.items():
        if not isinstance(table, Mapping):
            raise ProfileError(
                f"The profile {describe(name)} is a table, [tool.rlclaims.profiles.{name}], not {describe(table)}."
            )
        if unknown := sorted(table.keys() - set(known)):
            raise ProfileError(
                f"The profile {describe(name)} has no field {describe(unknown[0])}; there are {', '.join(known)}."
            )
        if name == "smoke" and table.get("evidence", False):
            raise ProfileError("The profile 'smoke' is no evidence; give one whose verdicts count another name.")
        found[name] = replace(PROFILES.get(name, PROFILES["standard"]), name=name, **table)
    return found

"""The numbers that one run, or one study of it, left behind."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Measured:
    """A run's measurements."""

    failure: str | None
    """Why the run failed, or None."""
    series: dict[str, list[float]]
    """Measures by name; one value per iteration measured."""

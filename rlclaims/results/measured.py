"""The numbers that one run, or one study of it, left behind."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Measured:
    """The series of one run, by name."""

    failure: str | None
    """The reason why the run failed, or None."""
    series: dict[str, list[float]]
    """Measures by name; one value per iteration measured."""

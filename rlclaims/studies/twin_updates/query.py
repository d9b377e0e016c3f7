"""Twin updates of runs, as a claim receives them: what a mechanism does to an update, one number per seed.

ppo_twins.switching("clip").mean_kl.held_out.overall()
--------- runs' updates    ------- measure   ------- over the kept iterations
          ----------------- mechanism --------- on which pairs
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING

import numpy as np

from rlclaims.claims.evidence import ClaimError
from rlclaims.results.checkpoint_series import CheckpointSeries
from rlclaims.results.runs import TrainedRuns
from rlclaims.stats.method import Floats

if TYPE_CHECKING:
    from rlclaims.results.measured import Measured


@dataclass(frozen=True)
class OnPairs:
    """A contrast, by the pairs that the updates are measured on; one that nobody asks for is not made."""

    _on: Callable[[str], CheckpointSeries]

    def __repr__(self) -> str:
        return f"OnPairs(training={self.training}, held_out={self.held_out})"

    @cached_property
    def training(self) -> CheckpointSeries:
        """On the rollout that the update learned from."""
        return self._on("training")

    @cached_property
    def held_out(self) -> CheckpointSeries:
        """On as many fresh pairs of the old policy."""
        return self._on("held_out")


@dataclass(frozen=True)
class Effect:
    """What one mechanism does to an update."""

    mean_kl: OnPairs
    """Factor on the mean KL(old || new)."""
    exceedance: OnPairs
    """Difference in the share of ratios outside [1 - eps, 1 + eps], with the eps of the algorithm as it is."""


class TwinUpdates(TrainedRuns):
    """The updates of runs over seeds, made again with mechanisms switched (`rlclaims.studies.twin_updates.compute`)."""

    def __repr__(self) -> str:
        return f"<twin updates of {self.name}: {self.scope}>"

    def switching(self, mechanism: str, *, against: str | None = None) -> Effect:
        """What it does to switch one mechanism: the twin against the update as it is, or against another twin.

        Raises:
            ClaimError: there is no such mechanism, or it is switched against itself.
        """
        self._known(mechanism)
        if against is not None:
            self._known(against)
        if against == mechanism:
            raise ClaimError(f"switching({mechanism!r}, against={against!r}): these twins are one and the same.")
        return self._effect(
            f"{mechanism} switched over {'none' if against is None else against} switched",
            [mechanism],
            [against or "none"],
        )

    def in_design(self, mechanism: str) -> Effect:
        """What it does on average over a two-level design in which all others are switched as well.

        Raises:
            ClaimError: there is no such mechanism.
        """
        from rlclaims.studies.twin_updates.compute import design, name_of

        self._known(mechanism)
        switched = [name_of(run) for run in design() if mechanism in run]
        others = [name_of(run) for run in design() if mechanism not in run]
        return self._effect(f"{mechanism} switched over not, on average over the design", switched, others)

    @property
    def clipping_at_matched_kl(self) -> CheckpointSeries:
        """Exceedance on fresh pairs: of the update, minus of its twin without clipping stopped at the same mean KL.

        Raises:
            ClaimError: the algorithm does not clip.
        """
        self._clips("has no twin without clipping")
        return self._contrast(
            "exceedance (held out) over a twin without clipping at the same mean KL",
            ["none/ratio/exceedance/held_out"],
            ["matched_kl/ratio/exceedance/held_out"],
            bounds=(-1.0, 1.0),
        )

    @property
    def converged(self) -> Effect:
        """What ten times as many epochs do to an update: its inner loop, taken further (`late_gain`: how far)."""
        return self._effect("ten times the epochs over the epochs as they are", ["converged"], ["none"])

    @property
    def late_gain(self) -> CheckpointSeries:
        """Part of the objective's gain over ten times as many epochs that their second half made: 0 if converged."""
        return self._contrast(
            "gain of the objective in the later half of ten times the epochs", ["converged/late_gain"], []
        )

    @property
    def pushed_out(self) -> CheckpointSeries:
        """Share of the pairs that the objective has let go whose ratio the next epoch moves further out, on the batch.

        Let go is a pair beyond 1 + eps with an advantage above the batch's mean, or below 1 - eps with one below it.

        Raises:
            ClaimError: the algorithm does not clip.
        """
        self._clips("lets no pair go")
        return self._contrast("share of let-go pairs pushed further out", ["pushed_out/share"], [], bounds=(0.0, 1.0))

    def _effect(self, words: str, twins: Sequence[str], others: Sequence[str]) -> Effect:
        def on(measure: str, said: str, log_scale: bool, states: str) -> CheckpointSeries:
            names = [[f"{twin}/{measure}/{states}" for twin in side] for side in (twins, others)]
            bounds = None if log_scale else (-1.0, 1.0)
            pairs = {"training": "training batch", "held_out": "held out"}[states]
            return self._contrast(f"{said} ({pairs}), {words}", *names, log_scale=log_scale, bounds=bounds)

        return Effect(
            OnPairs(partial(on, "kl_old_new/mean", "mean KL(old||new)", True)),
            OnPairs(partial(on, "ratio/exceedance", "exceedance", False)),
        )

    def _contrast(
        self,
        words: str,
        twins: Sequence[str],
        others: Sequence[str],
        *,
        log_scale: bool = False,
        bounds: tuple[float, float] | None = None,
    ) -> CheckpointSeries:
        def mean(measured: "Measured", names: Sequence[str]) -> Floats:
            values_NK = np.array([measured.series[name] for name in names])
            mean_K: Floats = (np.log(values_NK) if log_scale else values_NK).mean(0)
            return mean_K

        def row(measured: "Measured") -> tuple[float, ...]:
            if measured.failure:
                return ()
            # A KL of 0, or one that is not finite, has no factor: that is no number, and is judged as none.
            with np.errstate(divide="ignore", invalid="ignore"):
                means = [mean(measured, names) for names in (twins, others) if names]
                change = means[0] - means[1] if others else means[0]
            return tuple(float(x) if math.isfinite(x) else math.nan for x in change)

        rows = tuple(map(row, self._measured))
        return CheckpointSeries(
            f"{self.name}'s {words}", rows, self.seeds, self.scope, self.failures, log_scale, bounds, self
        )

    def _clips(self, otherwise: str) -> None:
        if self.settings.clip_epsilon is None:
            raise ClaimError(f"{self.name} does not clip, so that its update {otherwise}.")

    def _known(self, mechanism: str) -> None:
        from rlclaims.studies.twin_updates.compute import MECHANISMS

        if mechanism not in MECHANISMS:
            raise ClaimError(f"There is no mechanism {mechanism!r} to switch; there are {', '.join(MECHANISMS)}.")

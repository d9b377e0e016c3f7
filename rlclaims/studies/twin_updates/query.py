"""Twin updates of runs, as a claim receives them: what a mechanism does to an update, one number per seed.

ppo.twins.switching("clip").mean_kl.held_out.overall()
----------------- mechanism
-------          measure
-------- on which pairs
-------- over the kept iterations
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np

from rlclaims.claims.evidence import ClaimError
from rlclaims.claims.names import check_name
from rlclaims.claims.quantity import Argument
from rlclaims.results.checkpoint_series import CheckpointSeries
from rlclaims.results.measured import Measured
from rlclaims.results.runs import TrainedRuns
from rlclaims.stats.method import Floats


@dataclass(frozen=True)
class OnPairs:
    """An effect, by the pairs that the updates are measured on; computed when it is asked for."""

    _on: Callable[[str], CheckpointSeries]

    def __repr__(self) -> str:
        return f"OnPairs(training={self.training}, held_out={self.held_out})"

    @cached_property
    def training(self) -> CheckpointSeries:
        """The effect on the rollout that the update learned from."""
        return self._on("training")

    @cached_property
    def held_out(self) -> CheckpointSeries:
        """The effect on as many fresh pairs of the old policy."""
        return self._on("held_out")


@dataclass(frozen=True)
class Effect:
    """The effect of one mechanism on an update."""

    mean_kl: OnPairs
    """Factor on the mean KL(old || new)."""
    exceedance: OnPairs
    """Difference in the share of ratios outside [1 - eps, 1 + eps], with the algorithm's own eps."""


class TwinUpdates(TrainedRuns):
    """The updates of runs over seeds, replayed with mechanisms switched (`compute.py`)."""

    def __repr__(self) -> str:
        return f"<twin updates of {self.name}: {self.scope}>"

    def switching(self, mechanism: str, *, against: str | None = None) -> Effect:
        """Return the effect of switching one mechanism: the twin over the unswitched update, or over another twin.

        Raises:
            ClaimError: there is no such mechanism, or it is switched against itself.
        """
        self._known(mechanism)
        if against is not None:
            self._known(against)
        if against == mechanism:
            raise ClaimError(f"switching({mechanism!r}, against={against!r}): these twins are one and the same.")
        words = f"{mechanism} switched over {'none' if against is None else against} switched"
        arguments = {"mechanism": mechanism, "against": against}
        return self._effect("switching", words, arguments, [mechanism], [against or "none"])

    def in_design(self, mechanism: str) -> Effect:
        """Return the effect of a mechanism on average over a two-level design in which all others are switched as well.

        Raises:
            ClaimError: there is no such mechanism.
        """
        from rlclaims.studies.twin_updates.compute import design, name_of

        self._known(mechanism)
        switched = [name_of(run) for run in design() if mechanism in run]
        others = [name_of(run) for run in design() if mechanism not in run]
        words = f"{mechanism} switched over not, on average over the design"
        return self._effect("in_design", words, {"mechanism": mechanism}, switched, others)

    @property
    def clipping_at_matched_kl(self) -> CheckpointSeries:
        """The exceedance on fresh pairs, less that of the twin without clipping that is stopped at the same mean KL.

        Raises:
            ClaimError: the algorithm does not clip.
        """
        self._clips("has no twin without clipping")
        return self._checkpoint_series(
            "clipping_at_matched_kl",
            "exceedance (held out) over a twin without clipping at the same mean KL",
            ["none/ratio/exceedance/held_out"],
            ["matched_kl/ratio/exceedance/held_out"],
            bounds=(-1.0, 1.0),
        )

    @property
    def converged(self) -> Effect:
        """The effect of ten times as many epochs: the inner loop, taken further (`late_share_of_gain`: how far)."""
        words = "ten times the epochs over the algorithm's own"
        return self._effect("converged", words, {}, ["converged"], ["none"])

    @property
    def late_share_of_gain(self) -> CheckpointSeries:
        """The part of the objective's gain over ten times as many epochs made in their second half: 0 if converged."""
        words = "gain of the objective in the later half of ten times the epochs"
        return self._checkpoint_series("late_share_of_gain", words, ["converged/late_gain"], [])

    @property
    def let_go_moved_outward(self) -> CheckpointSeries:
        """The share of let-go pairs whose ratio the next epoch moves further out, on the batch.

        The objective has let a pair go if it is beyond 1 + eps with an advantage above the batch's mean, or below
        1 - eps with one below it.

        Raises:
            ClaimError: the algorithm does not clip.
        """
        self._clips("lets no pair go")
        words = "share of let-go pairs moved further out"
        return self._checkpoint_series("let_go_moved_outward", words, ["pushed_out/share"], [], bounds=(0.0, 1.0))

    def _effect(
        self,
        measure: str,
        words: str,
        arguments: Mapping[str, Argument],
        twins: Sequence[str],
        others: Sequence[str],
    ) -> Effect:
        def on(effect: str, series: str, label: str, log_scale: bool, pairs: str) -> CheckpointSeries:
            names = [[f"{twin}/{series}/{pairs}" for twin in side] for side in (twins, others)]
            return self._checkpoint_series(
                f"{measure}/{effect}",
                f"{label}, {words}",
                *names,
                arguments=arguments,
                pairs=pairs,
                log_scale=log_scale,
                bounds=None if log_scale else (-1.0, 1.0),
            )

        return Effect(
            mean_kl=OnPairs(partial(on, "mean_kl", "kl_old_new/mean", "mean KL(old||new)", True)),
            exceedance=OnPairs(partial(on, "exceedance", "ratio/exceedance", "exceedance", False)),
        )

    def _checkpoint_series(
        self,
        measure: str,
        words: str,
        twins: Sequence[str],
        others: Sequence[str],
        *,
        arguments: Mapping[str, Argument] | None = None,
        pairs: str | None = None,
        log_scale: bool = False,
        bounds: tuple[float, float] | None = None,
    ) -> CheckpointSeries:
        def mean(measured: Measured, names: Sequence[str]) -> Floats:
            values_NK = np.array([measured.series[name] for name in names])
            mean_K: Floats = (np.log(values_NK) if log_scale else values_NK).mean(0)
            return mean_K

        def row(measured: Measured) -> tuple[float, ...]:
            if measured.failure:
                return ()
            # A KL that is 0 or not finite has no factor: NaN, which is judged as a missing number.
            with np.errstate(divide="ignore", invalid="ignore"):
                means = [mean(measured, names) for names in (twins, others) if names]
                change = means[0] - means[1] if others else means[0]
            return tuple(float(x) if math.isfinite(x) else math.nan for x in change)

        return CheckpointSeries(
            quantity=self.quantity(measure, words, arguments, pairs),
            rows=tuple(map(row, self._measured)),
            seeds=self.seeds,
            scope=self.scope,
            failures=self.failures,
            log_scale=log_scale,
            bounds=bounds,
            runs=self,
        )

    def _clips(self, otherwise: str) -> None:
        if self.settings.clip_epsilon is None:
            raise ClaimError(f"{self.name} does not clip, so its update {otherwise}.")

    def _known(self, mechanism: str) -> None:
        from rlclaims.studies.twin_updates.compute import MECHANISMS

        check_name(mechanism, MECHANISMS, f"There is no mechanism {mechanism!r} to switch", "mechanisms")

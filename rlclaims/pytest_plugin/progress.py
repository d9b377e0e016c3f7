"""Progress of training for people: a live display on a terminal, a line every half minute elsewhere."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from rlclaims.execution.cohorts import Plan
    from rlclaims.execution.derive import DeriveProgress
    from rlclaims.execution.train import CohortProgress, Progress
    from rlclaims.pytest_plugin.looks import Look

LINE_EVERY_SECONDS = 30.0


class Display:
    """Progress of a session's training, in lines or live.

    Args:
        file: where to.
    """

    def __init__(self, file: TextIO) -> None:
        from rich.console import Console

        self._console = Console(file=file)
        self._look = self._decided = ""
        self._printed_at = 0.0
        self._clock = _Clock()

    def look(self, look: "Look") -> None:
        """Set the look whose seeds are trained next."""
        self._decided = f"{look.claims - look.undecided} of {look.claims} claims decided"
        seeds = f"{look.seeds} seeds" + ("" if look.made is None else f" (all {look.made} made at once)")
        self._look = "" if look.number == 1 else f"look {look.number} of {look.of}, {seeds}, "

    def wait(self) -> None:
        """Report that the session waits for another one, or for another worker of its own."""
        self.say("rlclaims: waiting for another process that trains into this store.")

    def quarantine(self, message: str) -> None:
        """Report a damaged file that was moved to quarantine."""
        self.say(f"rlclaims: warning: {message}")

    def studies(self, progress: "DeriveProgress") -> None:
        """Print the progress of studies, at the beginning and every half minute."""
        now = time.monotonic()
        begins = progress.steps_done == progress.done == 0
        if begins:
            self._clock = _Clock()
        self._clock.see(progress)
        if begins or now - self._printed_at >= LINE_EVERY_SECONDS:
            self._printed_at = now
            pace = self._clock.pace(progress)
            steps = f", {progress.steps_done:,} steps{f', {pace}' if pace else ''}" if progress.steps_done else ""
            what = f"{', '.join(progress.studies)}: {progress.done} of {progress.total} done"
            self.say(f"rlclaims: {self._look}{what}{steps}.")

    @contextmanager
    def training(self, training: "Plan") -> "Iterator[Callable[[Progress], None]]":
        """Show the progress of training."""
        n = len(training.missing)
        stored = len(training.wanted) - n
        names = dict.fromkeys(spec.title for spec in training.missing)
        self.say(
            f"rlclaims: {self._look}training {n} runs of {', '.join(names)} ({training.environment_steps:,} steps); "
            f"{stored} are in the store; {self._decided}."
        )
        display = self._live() if self._console.is_terminal else self._lines()
        with display as on_progress:
            yield on_progress

    @contextmanager
    def _live(self) -> "Iterator[Callable[[Progress], None]]":
        from rich.live import Live

        clock = _Clock()
        with Live(console=self._console, transient=True, refresh_per_second=4) as live:

            def on_progress(progress: "Progress") -> None:
                clock.see(progress)
                live.update(self._bars(progress, clock), refresh=True)

            yield on_progress

    def _bars(self, progress: "Progress", clock: "_Clock") -> Any:
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        bars = Table.grid(padding=(0, 1))
        for cohort in progress.cohorts:
            bar = ProgressBar(total=cohort.iterations, completed=cohort.iteration, width=20)
            bars.add_row(_cohort(cohort), bar, f"iteration {cohort.iteration} of {cohort.iterations}")
        return Group(bars, Text(f"{clock.summary(progress)}; {self._decided}"))

    @contextmanager
    def _lines(self) -> "Iterator[Callable[[Progress], None]]":
        clock = _Clock()
        last = time.monotonic()

        def on_progress(progress: "Progress") -> None:
            nonlocal last
            clock.see(progress)
            if progress.steps_done and progress.cohorts and time.monotonic() - last >= LINE_EVERY_SECONDS:
                last = time.monotonic()
                cohorts = ", ".join(f"{_cohort(c)} {c.iteration}/{c.iterations}" for c in progress.cohorts)
                self.say(f"rlclaims: {clock.summary(progress)}; {self._decided}; iteration of {cohorts}")

        yield on_progress

    def say(self, line: str) -> None:
        """Print a line at once."""
        self._console.print(line, highlight=False, markup=False, soft_wrap=True)
        self._console.file.flush()


class _Clock:
    """Rate and time left, measured from the first step on, when processes have started."""

    def __init__(self) -> None:
        self._first: tuple[float, int] | None = None
        self.rate = 0.0

    def see(self, progress: "Progress | DeriveProgress") -> None:
        now = time.monotonic()
        if progress.steps_done == 0:
            return
        if self._first is None:
            self._first = now, progress.steps_done
        since, steps = self._first
        if now > since:
            self.rate = (progress.steps_done - steps) / (now - since)

    def summary(self, progress: "Progress") -> str:
        """Return share, rate and time left, in words."""
        share = progress.steps_done / progress.steps_total
        pace = self.pace(progress)
        return f"{share:.0%} trained{f', {pace}' if pace else ''}"

    def pace(self, progress: "Progress | DeriveProgress") -> str:
        """Return rate and time left, in words; empty before there is a rate."""
        if not self.rate:
            return ""
        left = int((progress.steps_total - progress.steps_done) / self.rate)
        return f"{self.rate:,.0f} steps/s, ETA {left // 60}:{left % 60:02d}"


def _cohort(cohort: "CohortProgress") -> str:
    return f"{', '.join(f'{n} {name}' for name, n in cohort.algorithms.items())} on {cohort.task}"

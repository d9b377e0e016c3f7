"""Making what a session's claims need: training runs and computing studies, one session at a time on a store."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import cached_property

import pytest
from filelock import FileLock, Timeout

from rlclaims import compiled
from rlclaims.execution.cohorts import Plan, plan
from rlclaims.execution.derive import OnProgress, derive
from rlclaims.execution.pool import LocalPool, TrainingError, WorkerPool, cores
from rlclaims.execution.train import Progress, execute
from rlclaims.pytest_plugin.options import Settings
from rlclaims.store.resume import tidy
from rlclaims.store.run_spec import RunSpec, SpecError, Studied
from rlclaims.store.store import Store
from rlclaims.text import describe_error

ShowProgress = Callable[[Plan], AbstractContextManager[Callable[[Progress], None]]]


class Runner:
    """Trains runs and computes studies into a session's store."""

    def __init__(self, asked: Settings) -> None:
        self.asked = asked
        self.store = Store(asked.store)
        """Finished runs of this session."""
        self.say: Callable[[str], None] = lambda _: None
        """Shows the user a line."""

    def prepare_store(self) -> None:
        """Make sure that the store can be written.

        Raises:
            pytest.UsageError: it cannot.
        """
        try:
            self.store.prepare()
        except SpecError as error:
            raise pytest.UsageError(str(error)) from None

    def train(
        self,
        wanted: Sequence[RunSpec],
        show_progress: ShowProgress,
        wait: Callable[[], None] = lambda: None,
        studied: Sequence[Studied] = (),
    ) -> None:
        """Train the runs that the store lacks.

        Args:
            wanted: the runs.
            show_progress: shows the progress of a plan.
            wait: called before waiting for another session on the same store.
            studied: studies to be computed next: their runs are needed whole, not only their measurements.

        Raises:
            pytest.UsageError: the store cannot be written.
            TrainingError, StoreError: training failed; what was finished is stored.
        """
        tidy(self.store, wanted)
        read = {run for run, study in studied if not self.store.has_study(run, study)}
        if not plan(wanted, self.store, read).missing:
            return
        self.prepare_store()
        with self._alone(wait):
            for run in plan(wanted, self.store, read).missing:
                self.store.clear(run)
            training = plan(wanted, self.store, read)
            if training.missing:
                pool = self.pool
                if compiled.unavailable():
                    self.say(
                        "rlclaims: warning: the C compiler (cc, or the command in CC) compiles no kernels here. "
                        "Training takes half as long again, and its runs differ from those with kernels. "
                        "RLCLAIMS_COMPILED=0 asks for this on purpose."
                    )
                with show_progress(training) as on_progress:
                    execute(training, self.store, self.processes, on_progress, pool)
                if left := pool.seen(lambda: plan(wanted, self.store).missing):
                    raise TrainingError(
                        f"{left[0].name} was trained under another name than planned: its source was edited while "
                        "training started. Run the same command again."
                    )

    def make_studies(
        self, wanted: Sequence[Studied], on_progress: OnProgress, wait: Callable[[], None] = lambda: None
    ) -> None:
        """Compute the studies that the store lacks; their runs are in it.

        Args:
            wanted: runs, and a study of each.
            on_progress: called with the progress of the computation.
            wait: called before waiting for another session on the same store.

        Raises:
            pytest.UsageError: a run's checkpoints or policies cannot be read, or the store cannot be written.
            TrainingError, StoreError: a process failed; what was finished is stored.
        """
        if all(self.store.has_study(*studied) for studied in wanted):
            return
        self.prepare_store()
        with self._alone(wait):
            missing = [studied for studied in dict.fromkeys(wanted) if not self.store.has_study(*studied)]
            for studied in missing:
                self.store.clear(*studied)
            try:
                self._check_readable(missing)
            except SpecError as error:
                raise pytest.UsageError(str(error)) from None
            derive(missing, self.store, self.processes, on_progress, self.pool)

    def _check_readable(self, missing: Sequence[Studied]) -> None:
        """Read the checkpoints and policies of finished runs before any process is started."""
        for run in dict.fromkeys(run for run, _ in missing):
            if self.store.measured(run).failure is None:
                self.store.start(run)
                self.store.history(run)

    @contextmanager
    def _alone(self, wait: Callable[[], None]) -> Iterator[None]:
        """Hold the store's lock: another session may be making the same runs, which are then found finished.

        Raises:
            pytest.UsageError: the store cannot be locked.
        """
        path = self.store.root / "training.lock"
        lock = FileLock(path)
        try:
            try:
                held = lock.acquire(timeout=0)
            except Timeout:
                wait()
                held = lock.acquire()
        except (OSError, NotImplementedError) as error:
            why = getattr(error, "strerror", None) or describe_error(error)
            raise pytest.UsageError(
                f"{path} cannot be locked ({why}), and sessions that share a store take turns by this lock. Move away "
                "what is in its place, or choose a store on a file system with locks: --claims-store DIR or "
                "RLCLAIMS_STORE."
            ) from None
        with held:
            yield

    @property
    def processes(self) -> int:
        """Training processes at a time."""
        return self.asked.processes or self.pool.cores

    @property
    def probes(self) -> int:
        """Processes that measure how fast this machine trains."""
        return min(self.processes, cores()) if self.asked.on_ray else self.processes

    @cached_property
    def pool(self) -> WorkerPool:
        """The pool that runs processes; a pytest.UsageError if no Ray cluster can be reached."""
        if not self.asked.on_ray:
            return LocalPool()
        from rlclaims.execution.ray_pool import RayPool

        try:
            return RayPool(self.store, cores(), lambda line: self.say(line))
        except SpecError as error:
            raise pytest.UsageError(str(error)) from None

    def close(self) -> None:
        """Close the pool."""
        if "pool" in self.__dict__:
            self.pool.close()
            del self.pool

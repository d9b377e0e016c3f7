"""S simulations of one task, stepped together on MuJoCo's own threads."""

from collections.abc import Sequence
from typing import NamedTuple

import mujoco
import numpy as np
import numpy.typing as npt
from mujoco.batch import Batch, SimulationError

from rlclaims.sim.tasks import Bools, Floats, Moment, Task


class Step(NamedTuple):
    """What S simulations answer to S actions."""

    observation_SO: Floats
    """Where the step led; at an episode's end its last observation."""
    reward_S: Floats
    terminated_S: Bools
    truncated_S: Bools


class Simulator:
    """S simulations, each reset from its own random stream; what one does never depends on the others.

    The caller resets what has ended: `step` never does. The solver's warm start is part of MuJoCo's state, which is
    why stepping in a batch gives Gymnasium's trajectories; a reset clears it, as Gymnasium's does, and needs no
    forward pass, since observations come from positions and velocities alone.
    """

    def __init__(self, task: Task, rngs: Sequence[np.random.Generator], threads: int = 1) -> None:
        self.task = task
        # MuJoCo's own handler appends to MUJOCO_LOG.TXT in the working directory; warnings are counted below.
        mujoco.set_mju_user_warning(lambda _: None)
        model = mujoco.MjModel.from_xml_path(str(task.model_path))
        self._batch = Batch(model, nsim=len(rngs), nthread=threads)
        self._rngs = list(rngs)
        self._qpos_SQ = self._batch.bind("qpos")
        self._qvel_SV = self._batch.bind("qvel")
        self._ctrl_SA = self._batch.bind("ctrl")
        self._elapsed_S = np.zeros(len(rngs), dtype=np.int64)
        self._seconds = model.opt.timestep * task.frame_skip
        self._warnings_seen = self._batch.warning.copy()
        self.unstable_S = np.zeros(len(rngs), dtype=bool)
        """Simulations that MuJoCo has warned about (a diverged state, say) or could not step."""

    @property
    def n_observation(self) -> int:
        """Entries of an observation."""
        return int(self.task.observe(self._qpos_SQ[:1], self._qvel_SV[:1]).shape[1])

    @property
    def n_action(self) -> int:
        """Entries of an action."""
        return int(self._batch.model.nu)

    def reset(self, which: npt.ArrayLike | None = None) -> Floats:
        """Start new episodes in the given simulations (ascending; all by default); their observations."""
        which = np.arange(len(self._rngs)) if which is None else np.asarray(which)
        noise, model = self.task.reset_noise, self._batch.model
        qpos = np.stack([model.qpos0 + self._rngs[i].uniform(-noise, noise, model.nq) for i in which])
        qvel = np.stack([self._rngs[i].uniform(-noise, noise, model.nv) for i in which])
        return self.set_state(which, qpos, qvel)

    def set_state(self, which: npt.NDArray[np.int_], qpos: Floats, qvel: Floats) -> Floats:
        """Start new episodes in given states; observations of the given simulations (ascending)."""
        self._batch.reset(ids=which, stage=mujoco.mjtStage.mjSTAGE_NONE)
        self._qpos_SQ[which] = qpos
        self._qvel_SV[which] = qvel
        self._elapsed_S[which] = 0
        return self.task.observe(self._qpos_SQ[which], self._qvel_SV[which])

    def step(self, action_SA: Floats) -> Step:
        """One environment step of every simulation. A NaN action is not passed on: its simulation is unstable."""
        qpos_before = self._qpos_SQ.copy()
        self._ctrl_SA[:] = action_SA
        bad_S = ~np.isfinite(action_SA).all(axis=1)
        if bad_S.any():
            self.unstable_S |= bad_S
            self._ctrl_SA[bad_S] = 0
        try:
            self._batch.step(nstep=self.task.frame_skip)
        except SimulationError as error:
            self.unstable_S[error.ids] = True
        self._notice_warnings()
        self._elapsed_S += 1
        moment = Moment(qpos_before, self._qpos_SQ, self._qvel_SV, action_SA, self._seconds)
        terminated_S = self.task.terminated(self._qpos_SQ, self._qvel_SV)
        return Step(
            self.task.observe(self._qpos_SQ, self._qvel_SV),
            self.task.reward(moment, terminated_S),
            terminated_S,
            self._elapsed_S >= self.task.time_limit,
        )

    def _notice_warnings(self) -> None:
        warnings = self._batch.warning
        if not np.array_equal(warnings, self._warnings_seen):
            self.unstable_S |= (warnings != self._warnings_seen).any(axis=(1, 2))
            self._warnings_seen = warnings.copy()

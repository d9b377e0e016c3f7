"""Gymnasium's MuJoCo tasks, many simulations at a time, on `mujoco.batch`; and its other environments, in a loop."""

"""Gymnasium's MuJoCo tasks, many simulations at a time, on `mujoco.batch`."""

"""Simulations of tasks: MuJoCo tasks batched on `mujoco.batch`, other Gymnasium environments in a loop."""

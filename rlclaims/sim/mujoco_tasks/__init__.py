"""Gymnasium's MuJoCo tasks (-v5) as declarations over arrays of S simulations.

The formulas are those of `gymnasium.envs.mujoco`, operation by operation, and are tested against it, step for step.
"""

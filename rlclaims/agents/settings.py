"""The papers' hyperparameters, per algorithm and task, each with its source.

Every number is from MadryLab/implementation-matters at commit 5ee6ecb, the code of "Implementation Matters in
Deep Policy Gradients" (2005.12729): `src/MuJoCo.json` for what all share, `configs/*.py` for the rest. The code
names Gymnasium's -v2 tasks; the same numbers are used for -v5.
"""

from typing import Any

PAPER_SETTINGS: dict[str, dict[str, dict[str, Any]]] = {
    # configs/*_ppo.py. Value clipping is on for Walker2d and Humanoid, off for Hopper.
    "PPO": {
        "Hopper": {"learning_rate": 3e-4, "value_learning_rate": 2.5e-4, "value_clip": None},
        "Walker2d": {"learning_rate": 4e-4, "value_learning_rate": 3e-4, "value_clip": 0.2},
        "Humanoid": {"learning_rate": 1.5e-4, "value_learning_rate": 1e-4, "value_clip": 0.2},
    },
    # configs/*_ppom.py. Its learning rates were tuned apart from PPO's, so the two differ in more than the
    # optimisations that PPO-M leaves out.
    "PPOM": {
        "Hopper": {"learning_rate": 1.7e-4, "value_learning_rate": 4e-4},
        "Walker2d": {"learning_rate": 1e-4, "value_learning_rate": 2e-4},
        "Humanoid": {"learning_rate": 9e-5, "value_learning_rate": 4e-4},
    },
    # configs/*_ppo_noclip.py, whose clip of 1e32 means no clipping. The bound on the gradient differs by task.
    "PPONoClip": {
        "Hopper": {
            "learning_rate": 6e-5,
            "value_learning_rate": 4e-4,
            "gae_lambda": 0.925,
            "entropy_coefficient": -0.005,
            "reward_clip": 2.5,
            "gradient_clip": 4.0,
        },
        "Walker2d": {
            "learning_rate": 7.25e-5,
            "value_learning_rate": 6e-4,
            "gae_lambda": 0.85,
            "entropy_coefficient": -0.01,
            "reward_clip": 30.0,
            "observation_clip": None,
            "gradient_clip": 0.1,
        },
        "Humanoid": {
            "learning_rate": 2e-5,
            "value_learning_rate": 5e-5,
            "gae_lambda": 0.85,
            "entropy_coefficient": 0.005,
            "value_clip": 0.2,
            "reward_scaling": "returns",
            "initialization": "xavier",
            "anneal_learning_rates": False,
            "reward_clip": 10.0,
            "gradient_clip": 0.5,
        },
    },
    # configs/*_trpo.py; the same deltas are in Table 1 of 1811.02553v4.
    "TRPO": {
        "Hopper": {"delta": 0.13, "value_learning_rate": 2e-4},
        "Walker2d": {"delta": 0.04, "value_learning_rate": 3e-4},
        "Humanoid": {"delta": 0.07, "value_learning_rate": 3e-4},
    },
    # configs/*_trpo_plus.py. Its final deltas (.07, .04, .05) and gradient clips (1, 1, .5) are never used
    # by that code. Lambda .85 is Humanoid's alone.
    "TRPOPlus": {
        "Hopper": {"delta": 0.04, "value_learning_rate": 2e-4},
        "Walker2d": {"delta": 0.07, "value_learning_rate": 1e-4},
        "Humanoid": {
            "delta": 0.10,
            "value_learning_rate": 5e-5,
            "gae_lambda": 0.85,
            "value_clip": 0.2,
            "initialization": "xavier",
        },
    },
}


def paper_settings(algorithm: str, task: str) -> dict[str, Any] | None:
    """Return the papers' settings of an algorithm on a task ("Hopper-v5"), or None if the papers have none."""
    return PAPER_SETTINGS.get(algorithm, {}).get(task.rsplit("-v", 1)[0])

"""Subclasses of the algorithms of Stable-Baselines3 and sb3-contrib, as a user may have them."""

from sb3_contrib import TRPO
from stable_baselines3 import PPO


class Mine(PPO):
    """With nothing of its own."""


class HandsOn(PPO):
    """Hands on what it does not take itself."""

    def __init__(self, *args, bonus=0.0, **kwargs):
        super().__init__(*args, **kwargs)
        self.bonus = bonus


class MyTRPO(TRPO):
    """Of the other library."""

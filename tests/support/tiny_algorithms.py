"""Subclasses of algorithms of Stable-Baselines3 and sb3-contrib, as a user may write them."""

from sb3_contrib import TRPO
from stable_baselines3 import PPO


class Mine(PPO):
    """A subclass without changes."""


class HandsOn(PPO):
    """A subclass with an argument of its own that passes on all others."""

    def __init__(self, *args, bonus=0.0, **kwargs):
        super().__init__(*args, **kwargs)
        self.bonus = bonus


class MyTRPO(TRPO):
    """A subclass of an algorithm of sb3-contrib."""

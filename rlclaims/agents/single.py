"""Updates that are written for one seed, and looped over seeds."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
from typing import Any

import torch

from rlclaims.agents.agent import Agent, check_batch
from rlclaims.update import Batch, Rollout


@dataclass(frozen=True)
class SingleSeed(ABC):
    """Makes an algorithm of an update for one seed: `class Mine(SingleSeed, Algorithm)`, or `(SingleSeed, PPO)`.

    Its seeds learn one after the other, which takes longer than all at once: about as many times as there are seeds.
    """

    # It is no algorithm itself: a dataclass's defaults are those of its first base, which would be Algorithm's for PPO.

    def __init_subclass__(cls, **arguments: Any) -> None:
        super().__init_subclass__(**arguments)
        if cls.learn is not SingleSeed.learn:
            raise TypeError(f"{cls.__name__} would learn by another class's learn: name SingleSeed before its base.")

    def learn(self, agent: Agent, rollout: Rollout) -> Batch:
        """One iteration of each seed by itself."""
        batches = []
        for i in range(len(agent.seeds)):
            one = agent.select([i])
            batch = self.learn_one(one, rollout.select([i]))
            check_batch(batch, 1, f"{type(self).__name__}.learn_one")
            batches.append(batch)
            agent.assign([i], one)
        return Batch(*(torch.cat([getattr(batch, field.name) for batch in batches]) for field in fields(Batch)))

    @abstractmethod
    def learn_one(self, agent: Agent, rollout: Rollout) -> Batch:
        """Improve the policy and refit the values of one seed, on a rollout of its current policy.

        Every tensor has one row: losses are scalars, of means over all there is. What goes on from one iteration to
        the next is the agent's: parameters, the states of both its Adams, its shuffles, the statistic of its rewards.

        Returns:
            The pairs and advantages that the policy learned from.
        """

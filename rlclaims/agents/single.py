"""Updates written for one seed, run in a loop over seeds."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
from typing import Any

import torch

from rlclaims.agents.agent import Agent, check_batch
from rlclaims.update import Batch, Rollout


@dataclass(frozen=True)
class SingleSeed(ABC):
    """A base for updates written for one seed: `class Mine(SingleSeed, Algorithm)`, or `(SingleSeed, PPO)`.

    Its seeds learn one after the other; S seeds take about S times as long as in a batched update.
    """

    # Not a subclass of Algorithm: a dataclass takes its defaults from its first base, so PPO's would be lost.

    def __init_subclass__(cls, **arguments: Any) -> None:
        super().__init_subclass__(**arguments)
        if cls.learn is not SingleSeed.learn:
            raise TypeError(f"{cls.__name__} would use another class's learn; list SingleSeed first among its bases.")

    def learn(self, agent: Agent, rollout: Rollout) -> Batch:
        """Run one iteration of each seed separately."""
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

        Every tensor has one row, so a loss may be a mean over a whole tensor. The agent holds the state that lasts from
        one iteration to the next: parameters, both Adams, the minibatch order and the reward statistic.

        Returns:
            The pairs and advantages that the policy learned from.
        """

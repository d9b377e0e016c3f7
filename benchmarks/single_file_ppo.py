"""PPO for continuous actions as single-file libraries write it, in one loop.

One environment, one network each for policy and values, one optimiser for both; no logging, command line or GPU.
Settings are those of rlclaims' PPO instead of constants. `benchmarks/peers.py` times it.
"""

from collections.abc import Callable

import gymnasium
import numpy as np
import torch
from torch import nn
from torch.distributions import Normal

from rlclaims.agents.ppo import PPO


def layer(n_in: int, n_out: int, gain: float = 2**0.5) -> nn.Linear:
    linear = nn.Linear(n_in, n_out)
    nn.init.orthogonal_(linear.weight, gain)
    nn.init.zeros_(linear.bias)
    return linear


class Agent(nn.Module):
    def __init__(self, n_observation: int, n_action: int, width: int) -> None:
        super().__init__()

        def network(n_out: int, gain: float) -> nn.Sequential:
            hidden = layer(n_observation, width), nn.Tanh(), layer(width, width), nn.Tanh()
            return nn.Sequential(*hidden, layer(width, n_out, gain))

        self.values = network(1, 1.0)
        self.means = network(n_action, 0.01)
        self.log_std = nn.Parameter(torch.zeros(1, n_action))

    def act(
        self, x: torch.Tensor, action: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        distribution = Normal(self.means(x), self.log_std.exp())
        action = distribution.sample() if action is None else action
        return action, distribution.log_prob(action).sum(1), self.values(x)


def make_env(task: str, settings: PPO) -> gymnasium.vector.VectorEnv:
    bound = settings.observation_clip
    reward_bound = settings.reward_clip

    def one() -> gymnasium.Env:
        env = gymnasium.wrappers.RecordEpisodeStatistics(gymnasium.wrappers.ClipAction(gymnasium.make(task)))
        env = gymnasium.wrappers.NormalizeObservation(env)
        env = gymnasium.wrappers.TransformObservation(env, lambda x: np.clip(x, -bound, bound), env.observation_space)
        env = gymnasium.wrappers.NormalizeReward(env, gamma=settings.gamma)
        return gymnasium.wrappers.TransformReward(env, lambda r: np.clip(r, -reward_bound, reward_bound))

    return gymnasium.vector.SyncVectorEnv([one])


def trainer(task: str, settings: PPO, seed: int, iterations: int) -> Callable[[int], None]:
    """Return a function that trains for a number of iterations, out of `iterations` in all, at each call."""
    torch.manual_seed(seed)  # noqa: TID251  (a script of this kind owns its process)
    env = make_env(task, settings)
    n_observation, n_action = env.single_observation_space.shape[0], env.single_action_space.shape[0]
    agent = Agent(n_observation, n_action, settings.hidden[0])
    optimizer = torch.optim.Adam(agent.parameters(), lr=settings.learning_rate, eps=settings.adam_epsilon)
    n, batch = settings.steps, settings.steps // settings.minibatches
    x, actions = torch.zeros(n, 1, n_observation), torch.zeros(n, 1, n_action)
    log_probs, rewards, dones, values = (torch.zeros(n, 1) for _ in range(4))
    state = {"seen": env.reset(seed=seed)[0], "done": np.zeros(1), "iteration": 0}

    def iterate() -> None:
        optimizer.param_groups[0]["lr"] = settings.learning_rate * (1 - state["iteration"] / iterations)
        state["iteration"] += 1
        for t in range(n):
            x[t], dones[t] = torch.as_tensor(state["seen"]), torch.as_tensor(state["done"])
            with torch.no_grad():
                actions[t], log_probs[t], value = agent.act(x[t])
            values[t] = value.flatten()
            state["seen"], reward, terminated, truncated, _ = env.step(actions[t].numpy())
            rewards[t], state["done"] = torch.as_tensor(reward), terminated | truncated
        with torch.no_grad():
            after = agent.values(torch.as_tensor(state["seen"], dtype=torch.float32)).flatten()
        advantages, later = torch.zeros(n, 1), torch.zeros(1)
        for t in reversed(range(n)):
            alive = 1 - (dones[t + 1] if t + 1 < n else torch.as_tensor(state["done"], dtype=torch.float32))
            error = rewards[t] + settings.gamma * alive * (values[t + 1] if t + 1 < n else after) - values[t]
            advantages[t] = later = error + settings.gamma * settings.gae_lambda * alive * later
        flat = [part.flatten(0, 1) for part in (x, actions, log_probs, advantages, advantages + values)]
        for _ in range(settings.epochs):
            order = torch.randperm(n)
            for first in range(0, n, batch):
                seen, action, old_log_prob, advantage, target = (part[order[first : first + batch]] for part in flat)
                _, log_prob, value = agent.act(seen, action)
                ratio = (log_prob - old_log_prob).exp()
                advantage = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
                clipped = ratio.clamp(1 - settings.clip_epsilon, 1 + settings.clip_epsilon)
                policy_loss = torch.max(-advantage * ratio, -advantage * clipped).mean()
                loss = policy_loss + 0.5 * (value.flatten() - target).square().mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()

    def train(n_iterations: int) -> None:
        for _ in range(n_iterations):
            iterate()

    return train

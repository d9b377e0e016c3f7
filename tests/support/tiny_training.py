"""Short training functions for `Loop`: one that is correct, and some that are not."""

import gymnasium
import torch
from torch.distributions import Categorical, Normal

from rlclaims.adapters.recorder import Pairs

STEPS = 24


class Linear:
    """A policy that is linear in the observation."""

    def __init__(self, env, generator):
        self.chooses = isinstance(env.action_space, gymnasium.spaces.Discrete)
        n = int(env.action_space.n) if self.chooses else env.action_space.shape[0]
        weight_OA = 0.1 * torch.randn(env.observation_space.shape[0], n, generator=generator)
        self.weight_OA, self.log_std_A = weight_OA.requires_grad_(), torch.zeros(n, requires_grad=True)

    def __call__(self, observation_BO):
        out_BA = observation_BO @ self.weight_OA
        return Categorical(logits=out_BA) if self.chooses else Normal(out_BA, self.log_std_A.exp())

    def log_prob(self, observation_BO, action):
        log_prob = self(observation_BO).log_prob(action)
        return log_prob if self.chooses else log_prob.sum(-1)

    def act(self, observation_O, generator):
        with torch.no_grad():
            output = self(torch.as_tensor(observation_O, dtype=torch.float32)[None])
        if self.chooses:
            return torch.multinomial(output.probs[0], 1, generator=generator)[0]
        return (output.loc + output.scale * torch.randn(output.loc.shape, generator=generator))[0]


def collect(env, policy, generator, seed):
    observation, _ = env.reset(seed=seed)
    observations, actions, rewards = [], [], []
    for _ in range(STEPS):
        action = policy.act(observation, generator)
        observations.append(torch.as_tensor(observation, dtype=torch.float32))
        actions.append(action)
        observation, reward, terminated, truncated, _ = env.step(action.numpy())
        rewards.append(float(reward))
        if terminated or truncated:
            observation, _ = env.reset()
    return Pairs(torch.stack(observations), torch.stack(actions), torch.tensor(rewards).flip(0).cumsum(0).flip(0))


def train(task, seed, iterations, recorder, *, holds_out=lambda iteration: False, rate=lambda iteration: 0.02):
    env, held_out_env = gymnasium.make(task), gymnasium.make(task)
    generator, other = torch.Generator().manual_seed(seed), torch.Generator().manual_seed(10_000 + seed)
    policy = Linear(env, generator)
    parameters = [policy.weight_OA, policy.log_std_A]
    for iteration in range(iterations):
        pairs = collect(env, policy, generator, seed + iteration)
        held_out = (lambda: collect(held_out_env, policy, other, 10_000 + seed)) if holds_out(iteration) else None
        with recorder.update(policy, pairs, held_out):
            weight_B = (pairs.advantage - pairs.advantage.mean()) / (pairs.advantage.std() + 1e-8)
            loss = -(policy.log_prob(pairs.observation, pairs.action) * weight_B).mean()
            gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
            with torch.no_grad():
                for parameter, gradient in zip(parameters, gradients, strict=True):
                    if gradient is not None:
                        parameter -= rate(iteration) * gradient


def holding_out(task, seed, iterations, recorder):
    train(task, seed, iterations, recorder, holds_out=lambda iteration: True)


def holding_out_once(task, seed, iterations, recorder):
    train(task, seed, iterations, recorder, holds_out=lambda iteration: iteration == 0)


def too_few(task, seed, iterations, recorder):
    train(task, seed, iterations - 1, recorder)


def too_many(task, seed, iterations, recorder):
    train(task, seed, iterations + 1, recorder)


def raising_at_once(task, seed, iterations, recorder):
    raise ArithmeticError("it went wrong")


def raising_later(task, seed, iterations, recorder):
    train(task, seed, 2, recorder)
    raise ArithmeticError("it went wrong")


def diverging(task, seed, iterations, recorder):
    """Diverges in the third update if the seed is odd."""
    train(task, seed, iterations, recorder, rate=lambda iteration: 1e38 if seed % 2 and iteration == 2 else 0.02)


NO_FUNCTION = 3

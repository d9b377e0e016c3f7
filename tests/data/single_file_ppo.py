"""PPO in a file, with what it learns from at its top level; with --record, it writes down what its updates did."""

import argparse
import copy
import json
import random  # noqa: TID251  (a script seeds what it draws from)

import gymnasium as gym
import numpy as np
import torch
from torch import nn
from torch.distributions import Categorical, Normal

N_ENVS, N_STEPS, EPOCHS, MINIBATCHES, GAMMA, LAMBDA, CLIP = 2, 16, 2, 4, 0.99, 0.95, 0.2


class Agent(nn.Module):
    def __init__(self, envs):
        super().__init__()
        n_seen, space = envs.single_observation_space.shape[0], envs.single_action_space
        self.chooses = isinstance(space, gym.spaces.Discrete)
        n_out = int(space.n) if self.chooses else space.shape[0]
        self.critic = nn.Sequential(nn.Linear(n_seen, 8), nn.Tanh(), nn.Linear(8, 1))
        self.actor = nn.Sequential(nn.Linear(n_seen, 8), nn.Tanh(), nn.Linear(8, n_out))
        self.log_std = nn.Parameter(torch.zeros(1, n_out))

    def get_action_and_value(self, x, action=None):
        out = self.actor(x)
        probs = Categorical(logits=out) if self.chooses else Normal(out, self.log_std.expand_as(out).exp())
        action = probs.sample() if action is None else action
        log_prob, entropy = probs.log_prob(action), probs.entropy()
        if not self.chooses:
            log_prob, entropy = log_prob.sum(1), entropy.sum(1)
        return action, log_prob, entropy, self.critic(x).flatten()


def did(old, new, obs, actions):
    """KL(old || new) in each state and the ratio of each pair, in numpy and double precision."""
    out_old, out_new = (agent.actor(obs).detach().double().numpy() for agent in (old, new))
    actions = actions.double().numpy()
    if old.chooses:
        log_p, log_q = (out - np.log(np.exp(out).sum(1, keepdims=True)) for out in (out_old, out_new))
        chosen = np.arange(len(obs)), actions.astype(int)
        return (np.exp(log_p) * (log_p - log_q)).sum(1).tolist(), np.exp(log_q[chosen] - log_p[chosen]).tolist()
    s, t = (agent.log_std.detach().double().exp().numpy() for agent in (old, new))
    kl = np.log(t / s) + (s**2 + (out_old - out_new) ** 2) / (2 * t**2) - 0.5
    log_ratio = ((actions - out_old) / s) ** 2 / 2 - ((actions - out_new) / t) ** 2 / 2 + np.log(s / t)
    return kl.sum(1).tolist(), np.exp(log_ratio.sum(1)).tolist()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    for name, kind in (("--seed", int), ("--env-id", str), ("--total-timesteps", int), ("--record", str)):
        parser.add_argument(name, type=kind)
    args = parser.parse_args()
    random.seed(args.seed)
    np.random.seed(args.seed)  # noqa: NPY002, TID251
    torch.manual_seed(args.seed)  # noqa: TID251
    envs = gym.vector.SyncVectorEnv([lambda: gym.make(args.env_id)] * N_ENVS)
    agent = Agent(envs)
    optimizer = torch.optim.Adam(agent.parameters(), lr=3e-3)
    obs = torch.zeros(N_STEPS, N_ENVS, *envs.single_observation_space.shape)
    actions = torch.zeros(N_STEPS, N_ENVS, *envs.single_action_space.shape)
    logprobs, rewards, dones, values = (torch.zeros(N_STEPS, N_ENVS) for _ in range(4))
    next_obs, next_done = torch.Tensor(envs.reset(seed=args.seed)[0]), torch.zeros(N_ENVS)
    kl, ratio, surrogate = [], [], []
    for iteration in range(args.total_timesteps // (N_ENVS * N_STEPS)):
        for step in range(N_STEPS):
            obs[step], dones[step] = next_obs, next_done
            with torch.no_grad():
                action, logprobs[step], _, values[step] = agent.get_action_and_value(next_obs)
            actions[step] = action
            seen, reward, terminated, truncated, _ = envs.step(action.numpy())
            next_obs, next_done = torch.Tensor(seen), torch.Tensor(terminated | truncated)
            rewards[step] = torch.Tensor(reward)
        with torch.no_grad():
            next_value, last, advantages = agent.critic(next_obs).flatten(), 0.0, torch.zeros_like(rewards)
        for t in reversed(range(N_STEPS)):
            going_on = 1.0 - (next_done if t == N_STEPS - 1 else dones[t + 1])
            following = next_value if t == N_STEPS - 1 else values[t + 1]
            last = rewards[t] + GAMMA * following * going_on - values[t] + GAMMA * LAMBDA * going_on * last
            advantages[t] = last
        b_obs = obs.reshape(-1, *envs.single_observation_space.shape)
        b_logprobs = logprobs.reshape(-1)
        b_actions = actions.reshape(-1, *envs.single_action_space.shape)
        b_advantages, b_returns = advantages.reshape(-1), (advantages + values).reshape(-1)
        before, b_inds = copy.deepcopy(agent), np.arange(len(b_obs))
        for _ in range(EPOCHS):
            np.random.shuffle(b_inds)  # noqa: NPY002
            for mb_inds in np.split(b_inds, MINIBATCHES):
                taken = b_actions.long()[mb_inds] if agent.chooses else b_actions[mb_inds]
                _, newlogprob, entropy, newvalue = agent.get_action_and_value(b_obs[mb_inds], taken)
                mb_ratio, mb_adv = (newlogprob - b_logprobs[mb_inds]).exp(), b_advantages[mb_inds]
                mb_adv = (mb_adv - mb_adv.mean()) / (mb_adv.std() + 1e-8)
                pg_loss = torch.max(-mb_adv * mb_ratio, -mb_adv * mb_ratio.clamp(1 - CLIP, 1 + CLIP)).mean()
                loss = pg_loss - 0.01 * entropy.mean() + 0.5 * ((newvalue - b_returns[mb_inds]) ** 2).mean()
                optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(agent.parameters(), 0.5)
                optimizer.step()
        of_states, of_pairs = did(before, agent, b_obs, b_actions)
        kl.append(of_states)
        ratio.append(of_pairs)
        surrogate.append(np.mean(np.array(of_pairs) * b_advantages.double().numpy()))
        print(f"iteration {iteration}")
    if args.record:
        theta = torch.cat([p.detach().flatten() for p in agent.parameters()]).tolist()
        with open(args.record, "w") as file:  # noqa: PTH123
            json.dump({"kl": kl, "ratio": ratio, "surrogate": surrogate, "theta": theta}, file)
    envs.close()

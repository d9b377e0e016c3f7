"""What recording costs a training of Stable-Baselines3: the same training with and without the callback, in turns.

python benchmarks/recording.py            (some four minutes)

PPO with its own settings on Hopper-v5, one thread. Recorded are the batch before and after each update, and with fresh
pairs every tenth update a rollout more. The ratio is of processor times, the median over pairs of trainings that follow
each other, so that what else the machine does weighs little.
"""

import argparse
import time
from statistics import median

import torch
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env

from rlclaims.adapters.sb3 import RecordUpdates

TASK, STEPS = "Hopper-v5", 10 * 2048


def seconds(callback: RecordUpdates | None) -> float:
    """Processor time of a training."""
    model = PPO("MlpPolicy", TASK, seed=1, device="cpu")
    before = time.process_time()
    model.learn(STEPS, callback=callback)
    return time.process_time() - before


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=5)
    pairs = parser.parse_args().pairs
    torch.set_num_threads(1)
    seconds(None)
    ratios: dict[str, list[float]] = {"batches": [], "batches and fresh pairs": []}
    for _ in range(pairs):
        for name, made in (
            ("batches", RecordUpdates()),
            ("batches and fresh pairs", RecordUpdates(make_env=lambda: make_vec_env(TASK, 1))),
        ):
            ratios[name].append(seconds(made) / seconds(None))
    for name, found in ratios.items():
        each = ", ".join(f"{ratio:.3f}" for ratio in found)
        print(f"recording {name}: {median(found):.3f} of the time without ({each})")


if __name__ == "__main__":
    main()

"""Measure the overhead of recording a Stable-Baselines3 training, with and without the callback alternately.

python benchmarks/recording.py            (some four minutes)

PPO with its default settings on Hopper-v5, one thread. Recorded are the batch before and after each update and, with
fresh pairs, one more rollout every tenth update. The ratio is one of processor times, the median over pairs of
consecutive trainings, so that other load on the machine matters little.
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
    """Return the processor time of a training."""
    model = PPO("MlpPolicy", TASK, seed=1, device="cpu")
    before = time.process_time()
    model.learn(STEPS, callback=callback)
    return time.process_time() - before


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=5, help="pairs of trainings (default: 5)")
    pairs = parser.parse_args().pairs
    torch.set_num_threads(1)
    seconds(None)
    ratios: dict[str, list[float]] = {"batches": [], "batches and fresh pairs": []}
    for _ in range(pairs):
        for name, callback in (
            ("batches", RecordUpdates()),
            ("batches and fresh pairs", RecordUpdates(make_env=lambda: make_vec_env(TASK, 1))),
        ):
            ratios[name].append(seconds(callback) / seconds(None))
    for name, values in ratios.items():
        each = ", ".join(f"{ratio:.3f}" for ratio in values)
        print(f"recording {name}: {median(values):.3f} times the time without ({each})")


if __name__ == "__main__":
    main()

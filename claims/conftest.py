"""The algorithms that the claims are about, with the papers' settings, over the profile's seeds."""

from successors import ESPO, PPORB, SPO

import rlclaims
from rlclaims import PPO, PPOM, TRPO, PPOMAtPPOsRates, PPONoClip, TRPOPlus

ppo = rlclaims.runs(PPO)
ppo_m = rlclaims.runs(PPOM)
trpo = rlclaims.runs(TRPO)

# Taken by claims of the profile `paper` alone, where a million steps of each are affordable.
ppo_m_at_ppos_rates = rlclaims.runs(PPOMAtPPOsRates)
ppo_no_clip = rlclaims.runs(PPONoClip)
trpo_plus = rlclaims.runs(TRPOPlus)
ppo_without_baseline = rlclaims.runs(PPO, value_baseline=False)
ppo_on_hopper = rlclaims.runs(PPO, "Hopper-v5")
ppo_on_humanoid = rlclaims.runs(PPO, "Humanoid-v5")
trpo_plus_on_humanoid = rlclaims.runs(TRPOPlus, "Humanoid-v5")

# Successors of PPO, PPO without its clip alone, and the two that SPO's authors compare with deep networks: seven
# layers, of which the widths are the suite's. Also of the profile `paper`.
spo = rlclaims.runs(SPO)
espo = rlclaims.runs(ESPO)
ppo_rb = rlclaims.runs(PPORB)
ppo_unclipped = rlclaims.runs(PPO, clip_epsilon=None)
DEEP = {"hidden": (64,) * 6}
deep_ppo = rlclaims.runs(PPO, "Hopper-v5", **DEEP)
deep_spo = rlclaims.runs(SPO, "Hopper-v5", **DEEP)

# A million steps each, in updates on one batch or on ten.
ONE = {"steps": 2048, "iterations": 488}
TEN = {"steps": 20_480, "iterations": 49}
ppo_at_high_rate = rlclaims.runs(PPO, "Hopper-v5", learning_rate=1.25e-4, **ONE)
ppo_at_low_rate = rlclaims.runs(PPO, "Hopper-v5", learning_rate=5e-5, **ONE)
ppo_on_large_batches_at_high_rate = rlclaims.runs(PPO, "Hopper-v5", learning_rate=1.25e-4, **TEN)
ppo_on_large_batches_at_low_rate = rlclaims.runs(PPO, "Hopper-v5", learning_rate=5e-5, **TEN)

# The second value is what a mechanism's absence is, or half of a number, as in the twin updates.
ppo_factorial = rlclaims.factorial(
    PPO,
    clip_epsilon=(0.2, None),
    epochs=(10, 5),
    learning_rate=(lambda rate: rate, lambda rate: rate / 2),
    anneal_learning_rates=(True, False),
    initialization=("orthogonal", "xavier"),
)

# The second value is an optimisation's absence, but that value clipping is off first, as in PPO on Hopper, and the
# gradient's as in PPO on every task.
FOUR = {
    "scale_rewards": (True, False),
    "anneal_learning_rates": (True, False),
    "initialization": ("orthogonal", "xavier"),
    "value_clip": (None, 0.2),
}
RATES = {"learning_rate": (lambda rate: rate, lambda rate: rate / 3)}
ppo_four_optimisations = rlclaims.factorial(
    PPO,
    **FOUR,
    reward_clip=None,  # a bound of 10 on scaled rewards would be another, and often met, on the task's own
    full=True,
    tuned=RATES,
)
ppo_nine_optimisations = rlclaims.factorial(
    PPO,
    "Hopper-v5",  # where the steps of 64 trainings a seed are the cheapest
    **FOUR,
    reward_clip=(10.0, None),
    normalize_observations=(True, False),
    observation_clip=(10.0, None),
    activation=("tanh", "relu"),
    gradient_clip=(None, 0.5),
    tuned=RATES,
)

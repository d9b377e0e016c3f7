"""The algorithms that the claims are about, with the papers' settings, over the profile's seeds."""

import rlclaims
from rlclaims import PPO, PPOM, TRPO, PPOMAtPPOsRates, PPONoClip, TRPOPlus

ppo = rlclaims.runs(PPO)
ppo_m = rlclaims.runs(PPOM)
trpo = rlclaims.runs(TRPO)

ppo_twins = rlclaims.twins(PPO)

ppo_landscape = rlclaims.landscape(PPO)
trpo_landscape = rlclaims.landscape(TRPO)
ppo_late_updates = rlclaims.late_updates(PPO)
trpo_late_updates = rlclaims.late_updates(TRPO)
ppo_large_updates = rlclaims.large_updates(PPO, pairs=2**15)
trpo_large_updates = rlclaims.large_updates(TRPO, pairs=2**15)

# Of the profile `paper` alone, where a million steps of each are affordable.
ppo_m_at_ppos_rates = rlclaims.runs(PPOMAtPPOsRates)
ppo_no_clip = rlclaims.runs(PPONoClip)
trpo_plus = rlclaims.runs(TRPOPlus)
ppo_m_landscape = rlclaims.landscape(PPOM)
ppo_updates_on_a_million = rlclaims.large_updates(PPO, pairs=10**6)
trpo_updates_on_a_million = rlclaims.large_updates(TRPO, pairs=10**6)

# The second value is what a mechanism's absence is, or half of a number, as in the twin updates.
ppo_factorial = rlclaims.factorial(
    PPO,
    clip_epsilon=(0.2, None),
    epochs=(10, 5),
    learning_rate=(lambda rate: rate, lambda rate: rate / 2),
    anneal_learning_rates=(True, False),
    initialization=("orthogonal", "xavier"),
)

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
ppo_gradients = rlclaims.gradients(PPO)
trpo_gradients = rlclaims.gradients(TRPO)
ppo_values = rlclaims.values(PPO)
trpo_values = rlclaims.values(TRPO)
ppo_final = rlclaims.final_returns(PPO)
ppo_m_final = rlclaims.final_returns(PPOM)
trpo_final = rlclaims.final_returns(TRPO)

# Of the profile `paper` alone, where a million steps of each are affordable.
ppo_m_at_ppos_rates = rlclaims.runs(PPOMAtPPOsRates)
ppo_no_clip = rlclaims.runs(PPONoClip)
trpo_plus = rlclaims.runs(TRPOPlus)
ppo_m_landscape = rlclaims.landscape(PPOM)
ppo_updates_on_a_million = rlclaims.large_updates(PPO, pairs=10**6)
trpo_updates_on_a_million = rlclaims.large_updates(TRPO, pairs=10**6)
ppo_gradients_of_a_million = rlclaims.gradients(PPO, pairs=10**6)
ppo_gradients_on_hopper = rlclaims.gradients(PPO, "Hopper-v5")
ppo_gradients_on_humanoid = rlclaims.gradients(PPO, "Humanoid-v5")
without_baseline_final = rlclaims.final_returns(PPO, value_baseline=False)

# The second value is what a mechanism's absence is, or half of a number, as in the twin updates.
ppo_factorial = rlclaims.factorial(
    PPO,
    clip_epsilon=(0.2, None),
    epochs=(10, 5),
    learning_rate=(lambda rate: rate, lambda rate: rate / 2),
    anneal_learning_rates=(True, False),
    initialization=("orthogonal", "xavier"),
)

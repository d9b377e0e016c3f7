"""The algorithms that the claims are about, with the papers' settings, over the profile's seeds."""

import rlclaims
from rlclaims import PPO, PPOM, TRPO

ppo = rlclaims.runs(PPO)
ppo_m = rlclaims.runs(PPOM)
trpo = rlclaims.runs(TRPO)

"""Trust regions of the papers' other algorithms, and of PPO-M at PPO's learning rates. Profile `paper` only.

TRPO+ is TRPO with PPO's code-level optimisations. PPO-NoClip has no ratio clipping, and differs from PPO in more: on
Hopper its learning rate is a fifth of PPO's, its gradient is clipped, it has an entropy bonus and another reward
scaling. So the two are compared as tuned, not by the clip only (see `test_mechanism.py` for that). The papers' PPO-M
has its own learning rates, which confounds "the differences are only in auxiliary optimizations"; at PPO's rates, only
the optimisations differ.
"""

from rlclaims import TRPO, Runs, claim, family, source

POST = source("Part III, Trust Regions")
POST_MAX_RATIO = source("Part III, Trust Regions, on the maximum ratio")

A_QUARTER_MORE = 1.25
"""Smallest factor that matters between two KLs."""

FAMILY = family("the post and its papers", size=200)

PAPER = ["paper"]


@claim(
    "trust-region/trpo-plus-keeps-mean-kl",
    POST,
    says="TRPO seems to constrain this very well!",
    means="the mean over seeds of TRPO+'s late held-out mean KL(old||new) is at most its delta",
    margin=0.004,  # a tenth of the smallest of its deltas
    family=FAMILY,
    profiles=PAPER,
)
def test_trpo_plus_keeps_mean_kl(trpo_plus: Runs) -> None:
    assert trpo_plus.kl_old_new.mean.held_out.last(0.25) <= trpo_plus.settings.delta


@claim(
    "trust-region/no-clip-mean-kl-exceeds-ppos",
    POST,
    says="PPO's main mechanism for maintaining the trust region (the ratio clipping)",
    means="the geometric mean over seeds of PPO-NoClip's over PPO's late held-out mean KL(old||new) is above 1",
    margin=A_QUARTER_MORE,
    family=FAMILY,
    profiles=PAPER,
)
def test_no_clip_mean_kl_exceeds_ppos(ppo: Runs, ppo_no_clip: Runs) -> None:
    assert ppo_no_clip.kl_old_new.mean.held_out.last(0.25) / ppo.kl_old_new.mean.held_out.last(0.25) > 1


@claim(
    "trust-region/no-clip-leaves-mean-kl",
    POST,
    says="PPO's main mechanism for maintaining the trust region (the ratio clipping)",
    means="the mean over seeds of PPO-NoClip's late held-out mean KL(old||new) is above TRPO's delta on the task",
    margin=0.004,  # a tenth of the smallest of TRPO's deltas
    family=FAMILY,
    profiles=PAPER,
)
def test_no_clip_leaves_mean_kl(ppo_no_clip: Runs) -> None:
    assert ppo_no_clip.kl_old_new.mean.held_out.last(0.25) > TRPO.for_task(ppo_no_clip.task).delta


@claim(
    "trust-region/no-clip-exceedance-exceeds-ppos",
    POST_MAX_RATIO,
    says="PPO's main mechanism for maintaining the trust region (the ratio clipping)",
    means="the mean over seeds of PPO-NoClip's minus PPO's late held-out share of ratios outside 1 +- .2 is above 0",
    margin=0.05,
    family=FAMILY,
    profiles=PAPER,
)
def test_no_clip_exceedance_exceeds_ppos(ppo: Runs, ppo_no_clip: Runs) -> None:
    assert ppo_no_clip.ratio.exceedance.held_out.last(0.25) > ppo.ratio.exceedance.held_out.last(0.25)


@claim(
    "trust-region/ppo-m-at-ppos-rates-mean-kl-exceeds-ppos",
    POST,
    says="the differences are only in auxiliary optimizations such as Adam learning rate annealing or orthogonal "
    "initialization",
    means="the geometric mean over seeds of the late held-out mean KL(old||new) of PPO-M at PPO's learning rates over "
    "PPO's is above 1",
    margin=A_QUARTER_MORE,
    family=FAMILY,
    profiles=PAPER,
)
def test_ppo_m_at_ppos_rates_mean_kl_exceeds_ppos(ppo: Runs, ppo_m_at_ppos_rates: Runs) -> None:
    assert ppo_m_at_ppos_rates.kl_old_new.mean.held_out.last(0.25) / ppo.kl_old_new.mean.held_out.last(0.25) > 1


@claim(
    "trust-region/optimizations-lower-exceedance-at-ppos-rates",
    POST_MAX_RATIO,
    says="simply adding the auxiliary, code-level optimizations to PPO-M yields better trust region enforcement",
    means="the mean over seeds of PPO's late held-out share of ratios outside 1 +- eps minus that of PPO-M at PPO's "
    "learning rates is below 0",
    margin=0.05,
    family=FAMILY,
    profiles=PAPER,
)
def test_optimizations_lower_exceedance_at_ppos_rates(ppo: Runs, ppo_m_at_ppos_rates: Runs) -> None:
    assert ppo.ratio.exceedance.held_out.last(0.25) < ppo_m_at_ppos_rates.ratio.exceedance.held_out.last(0.25)

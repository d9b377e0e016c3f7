"""A ready-made suite for any algorithm: `pytest --pyargs rlclaims.gate --claims-subject my_pkg.algos:MyPPO`.

It judges the updates of short training runs on ten seeds. It fails only if a breach is shown; if compliance is merely
not proven, the claim is inconclusive. Bounds have no defaults. Give them in pyproject.toml,

    [tool.rlclaims.gate]
    subject = "my_pkg.algos:MyPPO"
    mean_kl = 0.02              # mean KL(old || new) of an update, averaged over training
    constraint = 0.015          # largest mean KL of any update, in 7 training runs of 10
    exceedance = 0.2            # share of ratios outside 1 - eps to 1 + eps
    held_out_agreement = 1.5    # mean KL on held-out pairs divided by that on the training batch

or by `--claims-bound mean_kl=0.02`. Claims without a bound are skipped.
"""

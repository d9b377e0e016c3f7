"""The ready suite for any algorithm: `pytest --pyargs rlclaims.gate --claims-subject my_pkg.algos:MyPPO`.

It judges what updates do in short trainings of ten seeds, and goes red only where a breach is shown; where compliance
is merely unproven it says "inconclusive". Bounds have no defaults: they are given in pyproject.toml,

    [tool.rlclaims.gate]
    subject = "my_pkg.algos:MyPPO"
    mean_kl = 0.02              # mean KL(old || new) of an update, mean over training
    constraint = 0.015          # the largest such KL over training, in 7 trainings of 10
    exceedance = 0.2            # share of ratios off 1 - eps to 1 + eps
    held_out_agreement = 1.5    # factor between mean KLs on fresh pairs and on the training batch

or by `--claims-bound mean_kl=0.02`. What has no bound is skipped.
"""

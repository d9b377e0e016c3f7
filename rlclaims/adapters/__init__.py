"""External training: training by other code, measured by the same code as rlclaims' own.

    actions     a policy's torch distributions as an `ActionDistribution`
    recorder    any training loop: `with recorder.update(policy, pairs): ...`
    external    the base class of trainings that run seed by seed as the runs of a claim
    loop        a training function of the user's
    sb3         Stable-Baselines3 and sb3-contrib
    script      a single-file script in CleanRL's style, in its own process
    lookup      algorithms by the names given on a command line

External runs record updates and no parameters, so they have neither twin updates nor landscapes. They have no KL as
deployed either, since their normalisation of observations is not recorded.
"""

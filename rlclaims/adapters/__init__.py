"""Somebody else's training, turned into the updates that claims are about, and measured by the same code.

    actions     what a policy of torch distributions says, as an `ActionDistribution`
    recorder    any training loop: `with recorder.update(policy, pairs): ...`
    foreign     a training that is run as it is, seed by seed, as the runs of a claim
    loop        a function of yours that trains
    sb3         Stable-Baselines3 and sb3-contrib
    script      a single-file script in CleanRL's style, in a process of its own

What is foreign leaves no parameters behind: it has updates, and neither twin updates nor landscapes; nor has it KL as
deployed, since how observations are normalised is its own affair.
"""

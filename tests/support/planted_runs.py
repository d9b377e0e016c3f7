"""Runs as claims receive them, that measured numbers of the test's choice."""

from rlclaims.planning.profile import Profile
from rlclaims.planning.resolve import resolve


def planted(request, measured, iterations, seeds, *, smoke=False):
    """Return what a fixture with that request gives, if each run measured, and each study found, `measured(run)`."""
    looks = (max(5, len(seeds)),)
    profile = Profile("planted", tasks=(request.task,), iterations=iterations, looks=looks, evidence=not smoke)

    def read(runs, study=None):
        return [measured(run) for run in runs]

    return resolve(request, profile, seeds[0]).results(len(seeds), read, read)

"""Measure the time of a verdict: one comparison of 20 seeds by each method, and a thousand claims in a row.

    python benchmarks/verdicts.py

The data are inconclusive, so that all four looks are taken. The time of a claim includes the comparison, the verdict,
the detectable effect, the message and the JSON record. The first verdict of a design also computes its levels and its
detectable effects, which are cached; it is timed separately.
"""

import argparse
import time
from statistics import median

import numpy as np

from rlclaims.claims.evidence import recording
from rlclaims.claims.judging_terms import JudgingTerms
from rlclaims.claims.quantity import named
from rlclaims.claims.sample import Sample
from rlclaims.claims.scope import Scope

TERMS = JudgingTerms(looks=(6, 10, 14, 20), alpha_refute=0.0005, margin=0.1)
ROUNDS = 20
BETWEEN = 0.5


def samples() -> dict[str, tuple[Sample, float]]:
    """Return a sample for each method, and a bound that is among its values."""
    rng = np.random.default_rng(0)

    def sample(first_seed: int = 0) -> Sample:
        values = tuple(float(x) for x in np.tile([0.1, 0.9], 10) + 0.05 * rng.random(20))
        seeds = tuple(range(first_seed, first_seed + 20))
        return Sample(named("a share"), values, seeds, Scope.of("a task", 0, seeds), bounds=(0.0, 1.0))

    one, other = sample(), sample(100)
    return {
        "t": (one, BETWEEN),
        "bootstrap-t": (one.by("bootstrap-t"), BETWEEN),
        "sign flips": ((one - BETWEEN).by("sign flips"), 0.0),
        "sign test": (one.median, BETWEEN),
        "Clopper-Pearson": (one.chance_above(BETWEEN), 0.5),
        "noncentral t": ((one - BETWEEN).wrong_order(), 0.5),
        "betting": (one.by("betting"), BETWEEN),
        "Welch's t": (one - other, 0.0),
        "permutations": ((one - other).by("permutations"), 0.0),
    }


def seconds(sample: Sample, bound: float) -> float:
    """Return the time of one claim, from the comparison to its message and record."""
    begin = time.perf_counter()
    with recording(TERMS):
        evidence = sample <= bound
        str(evidence)
        looks = len(evidence.to_json()["looks"])
    elapsed = time.perf_counter() - begin
    assert looks == len(TERMS.looks), "the benchmark's data must be inconclusive at all looks"
    return elapsed


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    print(f"{'':18}{'a verdict, ms':>14}{'first, ms':>15}")
    for name, (sample, bound) in samples().items():
        first = seconds(sample, bound)
        print(f"{name:18}{1e3 * median(seconds(sample, bound) for _ in range(ROUNDS)):14.2f}{1e3 * first:15.0f}")
    sample, _ = samples()["t"]
    begin = time.perf_counter()
    for i in range(1000):
        seconds(sample, BETWEEN + 1e-6 * i)
    print(f"\n1,000 claims by t: {time.perf_counter() - begin:.2f} s")


if __name__ == "__main__":
    main()

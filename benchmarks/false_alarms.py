"""Measure false alarms of the gate, and the delay until `--claims-nightly` detects a mutant, on real trainings.

python benchmarks/false_alarms.py --store .rlclaims        (after benchmarks/mutants.py, whose runs it uses)

Trainings of one unchanged algorithm form a bank, from which 1,000 gates of ten seeds are drawn with replacement. Their
bounds are the bank's own means, and its own quantile for the maximum: the true values, at which false alarms are most
frequent. Nights are drawn likewise. A mutant's nights are drawn from its ten seeds and judged by the bounds of
`mutants.py`.
"""

import argparse
from pathlib import Path

import mutants
import numpy as np
import numpy.typing as npt

from rlclaims.agents.ppo import PPO
from rlclaims.agents.trpo import TRPO
from rlclaims.gate.test_gate import TRAININGS_WITHIN
from rlclaims.nightly.ledger import RUN_LENGTH
from rlclaims.stats.detector import e_values_from_p, e_values_from_t, update_detector
from rlclaims.stats.distribution_free import Quantile
from rlclaims.stats.mean import StudentT
from rlclaims.stats.method import Method
from rlclaims.stats.verdict import Design, Region, decide
from rlclaims.store.run_spec import RunSpec
from rlclaims.store.store import Store

GATES = 1000
SEEDS = 10
"""Seeds of a gate."""
ALPHA = 0.05
"""Error rate of a gate."""
SHARES = 5
"""Number of the gate's claims that share the error rate."""
DETECTORS = 200
MOST_NIGHTS = 20_000
"""Nights after which a simulation without a breach ends."""
MOST_NIGHTS_OF_A_BREACH = 400
"""Nights after which a simulation with a breach ends."""

METHODS: dict[str, Method] = {"constraint": Quantile(TRAININGS_WITHIN)}
"""Methods of the claims that are not judged by t."""

Floats = npt.NDArray[np.float64]


def numbers(store: Store, specs: list[RunSpec]) -> dict[str, Floats]:
    """Return the quantities of the gate's claims, per seed, signed so that larger is worse; ratios as logarithms."""
    names = ("mean_kl", "constraint", "exceedance", "held_out_agreement", "surrogate_rises")
    samples: dict[str, list[float]] = {name: [] for name in names}
    for spec in specs:
        series = {name: np.asarray(values) for name, values in store.measured(spec).series.items()}
        kl = series["kl_old_new/mean/training"]
        held_out = series["kl_old_new/mean/held_out"]
        samples["mean_kl"].append(kl.mean())
        samples["constraint"].append(kl.max())
        samples["exceedance"].append(series["ratio/exceedance/training"].mean())
        samples["held_out_agreement"].append(np.log(held_out.mean() / kl[::10].mean()))
        rise = series["surrogate/new/training"] - series["surrogate/old/training"]
        samples["surrogate_rises"].append(-rise.mean())
    return {name: np.asarray(values) for name, values in samples.items()}


def true_value(claim: str, bank: Floats) -> float:
    """Return the bank's own value of a claim's estimand."""
    return float(METHODS.get(claim, StudentT()).estimate((bank[None, :],))[0])


def refutations(claim: str, bank: Floats, bound: float, sample_GN: npt.NDArray[np.int_]) -> npt.NDArray[np.bool_]:
    """Return for each gate whether it refutes that the claim's quantity is at most the bound."""
    method = METHODS.get(claim, StudentT())
    design = Design((SEEDS,), ALPHA, ALPHA / SHARES)
    return decide(method, (bank[sample_GN],), Region.half_line("<=", bound), design).refuted


def e_values(claim: str, x_DN: Floats, bound: float) -> Floats:
    """Return the e-value of each detector's night."""
    if claim in METHODS:
        return e_values_from_p(METHODS[claim].p_value((x_DN,), bound))
    off_D = x_DN.mean(-1) - bound
    error_D = x_DN.std(-1, ddof=1) / np.sqrt(SEEDS)
    with np.errstate(divide="ignore", invalid="ignore"):
        return e_values_from_t(np.where(error_D > 0, off_D / error_D, np.copysign(np.inf, off_D)), SEEDS)


def nights_until_alarm(
    banks: dict[str, Floats], bounds: dict[str, float], rng: np.random.Generator, most: int
) -> Floats:
    """Return the nights until each detector's first alarm of any claim, at most `most`; claims share the seeds."""
    value = np.zeros((len(banks), DETECTORS))
    nights = np.full(DETECTORS, float(most))
    for night in range(1, most):
        sample_DN = rng.integers(0, len(next(iter(banks.values()))), (DETECTORS, SEEDS))
        by_claim = [e_values(claim, bank[sample_DN], bounds[claim]) for claim, bank in banks.items()]
        value = update_detector(value, np.stack(by_claim))
        alarm = (value.max(0) >= RUN_LENGTH * len(banks)) & (nights == most)
        nights[alarm] = night
        if (nights < most).all():
            break
    return nights


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", type=Path, default=Path(".rlclaims"), help="folder of runs (default: .rlclaims)")
    store = Store(parser.parse_args().store.absolute())
    rng = np.random.default_rng(0)
    banks = {}
    for name in ("ppo", "trpo"):
        algorithm = mutants.REFACTORINGS[name]
        firsts = (0, *mutants.OTHER_SEEDS, mutants.DEVELOPMENT)
        specs = [spec for first in firsts for spec in mutants.specs_of(algorithm, first)]
        banks[name] = bank = numbers(store, specs)
        sample_GN = rng.integers(0, len(specs), (GATES, SEEDS))
        for factor, where in ((1.0, "at the bank's own values"), (mutants.SLACK, "a quarter above")):
            bounds = {claim: true_value(claim, values) * factor for claim, values in bank.items()}
            bounds |= {"held_out_agreement": bank["held_out_agreement"].mean() + np.log(factor), "surrogate_rises": 0.0}
            red = {claim: refutations(claim, values, bounds[claim], sample_GN) for claim, values in bank.items()}
            share = np.any(list(red.values()), axis=0).mean()
            shares = ", ".join(f"{claim} {100 * r.mean():.1f}%" for claim, r in red.items())
            print(f"{name}, {len(specs)} trainings, {GATES} gates, bounds {where}: {100 * share:.1f}% red ({shares})")
            if factor == 1.0:
                nights = nights_until_alarm(bank, bounds, rng, MOST_NIGHTS)
                least = "at least " if (nights == MOST_NIGHTS).any() else ""
                print(f"    nights between false alarms: {least}{nights.mean():.0f}, promised {RUN_LENGTH}")
    original_bounds = {PPO: mutants.bounds(store, mutants.ppo), TRPO: mutants.bounds(store, mutants.trpo)}
    for name, algorithm in mutants.MUTANTS.items():
        specs = mutants.specs_of(algorithm, 0)
        if any(store.measured(spec).failure for spec in specs):
            print(f"{name:32} fails in training, which the first night reports", flush=True)
            continue
        samples = numbers(store, specs)
        bounds = {"surrogate_rises": 0.0, **original_bounds[TRPO if isinstance(algorithm, TRPO) else PPO]}
        bounds["held_out_agreement"] = np.log(bounds["held_out_agreement"])
        judged = {claim: samples[claim] for claim in bounds}
        nights = nights_until_alarm(judged, bounds, rng, MOST_NIGHTS_OF_A_BREACH)
        late = np.median(nights) == MOST_NIGHTS_OF_A_BREACH
        delay = f"more than {MOST_NIGHTS_OF_A_BREACH}" if late else f"{np.median(nights):.0f}"
        print(f"{name:32} nights until an alarm, median: {delay}", flush=True)


if __name__ == "__main__":
    main()

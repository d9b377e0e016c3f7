"""How often the gate is red for nothing, and how soon `--claims-nightly` sees what is something: on real trainings.

python benchmarks/false_alarms.py --store .rlclaims        (after benchmarks/mutants.py, whose runs it takes)

Trainings of one unchanged algorithm are a bank, of which 1,000 gates of ten seeds are drawn with replacement, and held
to the bank's own means, and to its own quantile of what is largest: the very bound of what is true, where red is most
frequent. Nights are drawn alike. What a mutant's nights say is drawn from its ten seeds, against the bounds that
`mutants.py` holds it to.
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

GATES, SEEDS, ALPHA, SHARES = 1000, 10, 0.05, 5
"""Of the gate: its seeds, its error rate, and the claims that share it."""
DETECTORS = 200
MOST_NIGHTS, MOST_NIGHTS_OF_A_BREACH = 20_000, 400
"""After which a simulated detector is given up."""

METHODS: dict[str, Method] = {"constraint": Quantile(TRAININGS_WITHIN)}
"""That claims are judged by, if not by t."""

Floats = npt.NDArray[np.float64]


def numbers(store: Store, specs: list[RunSpec]) -> dict[str, Floats]:
    """What the gate's claims judge, seed by seed and so that more is worse: logarithms for a ratio."""
    found: dict[str, list[float]] = {name: [] for name in ("mean_kl", "constraint", "exceedance", "held_out_agreement")}
    found["surrogate_rises"] = []
    for spec in specs:
        series = {name: np.asarray(values) for name, values in store.measured(spec).series.items()}
        kl, held_out = series["kl_old_new/mean/training"], series["kl_old_new/mean/held_out"]
        found["mean_kl"].append(kl.mean())
        found["constraint"].append(kl.max())
        found["exceedance"].append(series["ratio/exceedance/training"].mean())
        found["held_out_agreement"].append(np.log(held_out.mean() / kl[::10].mean()))
        rise = series["surrogate/new/training"] - series["surrogate/old/training"]
        found["surrogate_rises"].append(-rise.mean())
    return {name: np.asarray(values) for name, values in found.items()}


def of_all(claim: str, bank: Floats) -> float:
    """What a claim is about, of a bank's own."""
    return float(METHODS.get(claim, StudentT()).estimate((bank[None, :],))[0])


def reds(claim: str, bank: Floats, bound: float, drawn_GN: npt.NDArray[np.int_]) -> npt.NDArray[np.bool_]:
    """Whether each of the gates refutes that it is at most the bound."""
    method = METHODS.get(claim, StudentT())
    design = Design((SEEDS,), ALPHA, ALPHA / SHARES)
    return decide(method, (bank[drawn_GN],), Region.half_line("<=", bound), design).refuted


def evidence(claim: str, x_DN: Floats, bound: float) -> Floats:
    """The e-value of each detector's night."""
    if claim in METHODS:
        return e_values_from_p(METHODS[claim].p_value((x_DN,), bound))
    off_D, error_D = x_DN.mean(-1) - bound, x_DN.std(-1, ddof=1) / np.sqrt(SEEDS)
    with np.errstate(divide="ignore", invalid="ignore"):
        return e_values_from_t(np.where(error_D > 0, off_D / error_D, np.copysign(np.inf, off_D)), SEEDS)


def nights_until_alarm(
    banks: dict[str, Floats], bounds: dict[str, float], rng: np.random.Generator, most: int
) -> Floats:
    """Of detectors on nights drawn from banks of the same seeds, until the first alarm of any claim; or `most`."""
    value, nights = np.zeros((len(banks), DETECTORS)), np.full(DETECTORS, float(most))
    for night in range(1, most):
        drawn_DN = rng.integers(0, len(next(iter(banks.values()))), (DETECTORS, SEEDS))
        e_values = [evidence(claim, bank[drawn_DN], bounds[claim]) for claim, bank in banks.items()]
        value = update_detector(value, np.stack(e_values))
        alarm = (value.max(0) >= RUN_LENGTH * len(banks)) & (nights == most)
        nights[alarm] = night
        if (nights < most).all():
            break
    return nights


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", type=Path, default=Path(".rlclaims"))
    store = Store(parser.parse_args().store.absolute())
    rng = np.random.default_rng(0)
    banks = {}
    for name in ("ppo", "trpo"):
        algorithm = mutants.REFACTORINGS[name]
        firsts = (0, *mutants.OTHER_SEEDS, mutants.DEVELOPMENT)
        specs = [spec for first in firsts for spec in mutants.specs_of(algorithm, first)]
        banks[name] = bank = numbers(store, specs)
        drawn_GN = rng.integers(0, len(specs), (GATES, SEEDS))
        for more, where in ((1.0, "at what the bank comes to"), (mutants.A_QUARTER_MORE, "a quarter above")):
            bounds = {claim: of_all(claim, values) * more for claim, values in bank.items()}
            bounds |= {"held_out_agreement": bank["held_out_agreement"].mean() + np.log(more), "surrogate_rises": 0.0}
            red = {claim: reds(claim, values, bounds[claim], drawn_GN) for claim, values in bank.items()}
            share = np.any(list(red.values()), axis=0).mean()
            of_each = ", ".join(f"{claim} {100 * r.mean():.1f}%" for claim, r in red.items())
            print(f"{name}, {len(specs)} trainings, {GATES} gates, bounds {where}: {100 * share:.1f}% red ({of_each})")
            if more == 1.0:
                nights = nights_until_alarm(bank, bounds, rng, MOST_NIGHTS)
                least = "at least " if (nights == MOST_NIGHTS).any() else ""
                print(f"    nights between false alarms: {least}{nights.mean():.0f}, promised {RUN_LENGTH}")
    held_to = {kin: mutants.bounds(store, kin_of) for kin, kin_of in ((PPO, mutants.ppo), (TRPO, mutants.trpo))}
    for name, algorithm in mutants.MUTANTS.items():
        specs = mutants.specs_of(algorithm, 0)
        if any(store.measured(spec).failure for spec in specs):
            print(f"{name:32} breaks off, which the first night tells", flush=True)
            continue
        found = numbers(store, specs)
        bounds = {"surrogate_rises": 0.0, **held_to[TRPO if isinstance(algorithm, TRPO) else PPO]}
        bounds["held_out_agreement"] = np.log(bounds["held_out_agreement"])
        judged = {claim: found[claim] for claim in bounds}
        nights = nights_until_alarm(judged, bounds, rng, MOST_NIGHTS_OF_A_BREACH)
        late = np.median(nights) == MOST_NIGHTS_OF_A_BREACH
        seen = f"more than {MOST_NIGHTS_OF_A_BREACH}" if late else f"{np.median(nights):.0f}"
        print(f"{name:32} nights until an alarm, median: {seen}", flush=True)


if __name__ == "__main__":
    main()

"""How often the gate is red for nothing, and how soon `--claims-nightly` sees what is something: on real trainings.

python benchmarks/false_alarms.py --store .rlclaims        (after benchmarks/mutants.py, whose runs it takes)

Trainings of one unchanged algorithm are a bank, of which 1,000 gates of ten seeds are drawn with replacement, and held
to the bank's own means: the very bound of what is true, where red is most frequent. Nights are drawn alike. What a
mutant's nights say is drawn from its ten seeds, against the bounds that `mutants.py` holds it to.
"""

import argparse
from pathlib import Path

import mutants
import numpy as np
import numpy.typing as npt

from rlclaims.agents.ppo import PPO
from rlclaims.agents.trpo import TRPO
from rlclaims.report.nights import RUN_LENGTH
from rlclaims.stats.detector import detected, evidence_of_t
from rlclaims.stats.mean import StudentT
from rlclaims.stats.verdict import Design, Region, decide
from rlclaims.study.spec import RunSpec
from rlclaims.study.store import Store

GATES, SEEDS, ALPHA, SHARES = 1000, 10, 0.05, 5
"""Of the gate: its seeds, its error rate, and the claims that share it."""
DETECTORS = 200
MOST_NIGHTS, MOST_NIGHTS_OF_A_BREACH = 20_000, 400
"""After which a simulated detector is given up."""

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


def reds(bank: Floats, bound: float, drawn_GN: npt.NDArray[np.int_]) -> npt.NDArray[np.bool_]:
    """Whether each of the gates refutes that the mean is at most the bound."""
    design = Design((SEEDS,), ALPHA, ALPHA / SHARES)
    return decide(StudentT(), (bank[drawn_GN],), Region.of("<=", bound), design).refuted


def nights_until_alarm(banks: list[Floats], bounds: list[float], rng: np.random.Generator, most: int) -> Floats:
    """Of detectors on nights drawn from banks of the same seeds, until the first alarm of any claim; or `most`."""
    value, nights = np.zeros((len(banks), DETECTORS)), np.full(DETECTORS, float(most))
    for night in range(1, most):
        drawn = rng.integers(0, len(banks[0]), (DETECTORS, SEEDS))
        x = np.stack([bank[drawn] - bound for bank, bound in zip(banks, bounds, strict=True)])
        error = x.std(-1, ddof=1) / np.sqrt(SEEDS)
        with np.errstate(divide="ignore", invalid="ignore"):
            t = np.where(error > 0, x.mean(-1) / error, np.copysign(np.inf, x.mean(-1)))
        value = detected(value, evidence_of_t(t, SEEDS))
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
        for more, where in ((1.0, "at the bank's means"), (mutants.A_QUARTER_MORE, "a quarter above them")):
            bounds = {claim: values.mean() * more for claim, values in bank.items()}
            bounds |= {"held_out_agreement": bank["held_out_agreement"].mean() + np.log(more), "surrogate_rises": 0.0}
            red = {claim: reds(values, bounds[claim], drawn_GN) for claim, values in bank.items()}
            share = np.any(list(red.values()), axis=0).mean()
            of_each = ", ".join(f"{claim} {100 * r.mean():.1f}%" for claim, r in red.items())
            print(f"{name}, {len(specs)} trainings, {GATES} gates, bounds {where}: {100 * share:.1f}% red ({of_each})")
            if more == 1.0:
                nights = nights_until_alarm(list(bank.values()), [bounds[claim] for claim in bank], rng, MOST_NIGHTS)
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
        judged = list(bounds)
        nights = nights_until_alarm(
            [found[claim] for claim in judged], [bounds[claim] for claim in judged], rng, MOST_NIGHTS_OF_A_BREACH
        )
        late = np.median(nights) == MOST_NIGHTS_OF_A_BREACH
        seen = f"more than {MOST_NIGHTS_OF_A_BREACH}" if late else f"{np.median(nights):.0f}"
        print(f"{name:32} nights until an alarm, median: {seen}", flush=True)


if __name__ == "__main__":
    main()

"""The figures of a session: numbers of the runs that its record names, read from the store."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from rlclaims.agents.ppo import PPO
from rlclaims.checkpoints import checkpoint_iterations
from rlclaims.measures.measure import Measure, Plot
from rlclaims.measures.registry import REGISTRY
from rlclaims.report.figure_style import Drawn
from rlclaims.report.figures import Floats, agreement, along_step, between, effects, n_star, plane, training
from rlclaims.report.page.write import Surface
from rlclaims.report.record import Json
from rlclaims.store.store import UNREADABLE, read_measured
from rlclaims.studies.landscape.compute import ALONG
from rlclaims.studies.landscape.query import step_to_random
from rlclaims.studies.planes import compute as planes
from rlclaims.studies.registry import study_files
from rlclaims.studies.replayed_run import GROUPS
from rlclaims.studies.twin_updates.compute import MECHANISMS, levels
from rlclaims.training import HELD_OUT_EVERY

PAIRS = np.logspace(1, 7, 61)
"""Numbers of pairs that curves are drawn over."""
FEWEST = 2
"""Runs that a figure needs."""
MOST_RUNS = 4
"""Runs whose planes are drawn side by side."""
LONGEST = 100
"""Characters of a file's name; file systems allow about 255."""


@dataclass(frozen=True)
class StoredRuns:
    """Runs of one algorithm on one task that claims took, with the numbers that the store has of them."""

    algorithm: str
    task: str
    iterations: int
    steps: int | None
    """Steps of a batch; None if an older record does not say."""
    series: Sequence[Mapping[str, Sequence[float]]]
    """The series of each run that did not fail, by name."""
    settings: Mapping[str, Any] | None = None
    """Settings of the algorithm; None if an older record does not say."""

    def rows(self, name: str) -> Floats:
        """Return a series of each run, (S, K)."""
        return np.array([series[name] for series in self.series], dtype=float)

    @property
    def checkpoints(self) -> tuple[int, ...]:
        """Iterations whose updates were kept as checkpoints."""
        return checkpoint_iterations(self.iterations, HELD_OUT_EVERY)


def illustrations(record: Json, store: Path) -> dict[str, Drawn]:
    """Return figures by name, as many as the store has the numbers for.

    Args:
        record: of a session.
        store: the folder of finished runs.
    """
    figures: dict[str, Drawn] = {}
    for i, task in enumerate(dict.fromkeys(runs["task"] for claim in record["claims"] for runs in claim["runs"])):
        end = "" if task == record["profile"]["tasks"][0] else f"-{task.lower()}"
        if "(" in task and end:  # other arguments may end in the same letters, or be too long for a file's name
            end = f"-{task.partition('(')[0].lower()}-{i + 1}"
        taken = {study: _taken(record, store, task, study, of) for study, of in STUDIES.items()}
        for name, title, draw in _of_task(taken, record, task):
            # Series of another version of the code may have other names, and external algorithms lack some.
            with suppress(KeyError, ValueError, IndexError):
                file = re.sub(r"[^a-z0-9]+", "-", f"{name}{end}".lower()).strip("-")[:LONGEST]
                figures[file] = replace(draw(), title=f"{title}, on {task}")
    return figures


STUDIES = {
    "runs": "runs",
    "landscapes": "landscapes",
    "planes": "landscapes",
    "gradients": "gradients",
    "twins": "twins",
}
"""Studies that have figures, and the study that claims ask for: planes are drawn of runs whose landscapes they take."""


def surfaces(record: Json, store: Path) -> list[Surface]:
    """Return landscapes to turn, as far as the store has planes (`rlclaims report --surfaces`)."""
    tasks = dict.fromkeys(runs["task"] for claim in record["claims"] for runs in claim["runs"])
    return [
        Surface(
            f"{runs.algorithm} on {task}{f', run {i + 1}' if len(runs.series) > 1 else ''}, {when}: {name}",
            planes.ALONG,
            planes.ACROSS,
            height_YX.tolist(),
        )
        for task in tasks
        for runs in _taken(record, store, task, "planes", STUDIES["planes"])
        for i in range(len(runs.series))
        for when, by_name in _heights(runs, i).items()
        for name, height_YX in by_name.items()
    ]


def _of_task(
    taken: Mapping[str, list[StoredRuns]], record: Json, task: str
) -> Iterator[tuple[str, str, Callable[[], Drawn]]]:
    for measure in REGISTRY.values():
        if (plot := measure.plot) is not None and taken["runs"]:
            yield plot.name, plot.title, partial(_training, taken["runs"], record, task, measure, plot)
    for study, name, title, draw in FIGURES:
        for runs in taken[study]:
            yield f"{name}-{runs.algorithm}", f"{title}: {runs.algorithm}", partial(draw, runs)


def _training(taken: Sequence[StoredRuns], record: Json, task: str, measure: Measure, plot: Plot) -> Drawn:
    series = f"{measure.key}/training"
    rows = {runs.algorithm: runs.rows(series) for runs in taken if all(series in numbers for numbers in runs.series)}
    if not rows:
        raise KeyError(series)
    epsilons = {f"{leaf['arguments']['epsilon']:g}" for leaf in _leaves(record, task) if "epsilon" in leaf["arguments"]}
    axis = plot.axis.format(epsilon=epsilons.pop() if len(epsilons) == 1 else "ε")
    return training(rows, axis, bound=_bounds(record, task, rows, measure.key), log=plot.log)


def _leaves(record: Json, task: str) -> Iterator[Json]:
    """Yield the plain quantities that claims on a task judge (`Plain.to_json`)."""
    todo = [
        part["structure"]
        for claim in record["claims"]
        if task in {runs["task"] for runs in claim["runs"]}
        for part in _parts(claim["evidence"])
    ]
    while todo:
        structure = todo.pop()
        if "operands" in structure:
            todo += structure["operands"]
        else:
            yield structure


def _parts(evidence: Json | None) -> Iterator[Json]:
    """Yield the comparisons that evidence is made of."""
    if evidence is not None and "parts" in evidence:
        for part in evidence["parts"]:
            yield from _parts(part)
    elif evidence is not None:
        yield evidence


def _bounds(record: Json, task: str, algorithms: Iterable[str], measure: str) -> dict[str, float]:
    """Return, by algorithm, the line that claims hold a measure on the training batch against.

    That is the least upper bound, or without one the largest lower bound.
    """
    upper: dict[str, list[float]] = {}
    lower: dict[str, list[float]] = {}
    for claim in record["claims"]:
        if claim["evidence"] is None or {runs["task"] for runs in claim["runs"]} != {task}:
            continue
        for evidence in claim["evidence"].get("parts", [claim["evidence"]]):
            if "parts" in evidence or evidence["log_scale"]:
                continue
            for name in algorithms:
                if _is_level(evidence["structure"], name, measure):
                    for bounds, end in zip((lower, upper), evidence["region_ends"], strict=True):
                        if end is not None:
                            bounds.setdefault(name, []).append(float(end))
    return {name: max(ends) for name, ends in lower.items()} | {name: min(ends) for name, ends in upper.items()}


def _is_level(structure: Json, algorithm: str, measure: str) -> bool:
    """Return whether a quantity is the mean or median over seeds of a measure on the training batch of an algorithm."""
    if structure.get("operation") not in ("mean", "median"):
        return False
    (leaf,) = structure["operands"]
    if "operands" in leaf or (leaf["study"], leaf["measure"], leaf["pairs"]) != ("runs", measure, "training"):
        return False
    _, labelled, settings = algorithm.partition(": ")
    same = leaf["runs"] == (settings or algorithm)
    return leaf["window"] is not None and (same or (not labelled and leaf["runs"].startswith(f"{algorithm}(")))


def _along(runs: StoredRuns) -> Drawn:
    curves: dict[str, dict[str, Floats]] = {}
    x_N = [x for x in ALONG if x <= 3.0]  # beyond, all curves fall off the scale
    for k, iteration in enumerate(runs.checkpoints):
        scale_S1 = np.abs(runs.rows(f"{k}/own/return"))
        return_SN = runs.rows(f"{k}/along/return").reshape(len(runs.series), -1, GROUPS).mean(-1)
        changes = {
            "return": return_SN - return_SN[:, :1],
            "promised, training batch": runs.rows(f"{k}/along/promise/training"),
            "promised, fresh pairs": runs.rows(f"{k}/along/promise/held_out"),
        }
        curves[f"update {iteration + 1}"] = {name: (x / scale_S1)[:, : len(x_N)] for name, x in changes.items()}
    return along_step(x_N, curves)


def _n_star(runs: StoredRuns) -> Drawn:
    curves = {}
    for k, iteration in enumerate(runs.checkpoints):
        gaps_S2 = np.array([step_to_random(series, k) for series in runs.series])
        # As in claims: relative to the squared return of each run, so that all runs count alike.
        parts_S2 = gaps_S2 / np.square(runs.rows(f"{k}/own/return"))
        curves[f"update {iteration + 1}"] = parts_S2[:, 0], parts_S2[:, 1]
    two = "the policy after an update and one as far in a random direction"
    return n_star(PAIRS.tolist(), curves, batch=runs.steps, of=two)


def _planes(runs: StoredRuns) -> Drawn:
    return plane(planes.ALONG, planes.ACROSS, _heights(runs, 0), episodes=planes.EPISODES)


def _planes_of_runs(runs: StoredRuns) -> Drawn:
    by_run = [_heights(runs, i) for i in range(min(len(runs.series), MOST_RUNS))]
    if len(by_run) < FEWEST:
        raise ValueError("the runs of a grid")
    when = list(by_run[0])[-1]
    drawn = plane(planes.ALONG, planes.ACROSS, {f"run {i}": of[when] for i, of in enumerate(by_run, start=1)})
    caption = (
        f"The same of {len(by_run)} runs, each around its own policy before {when}: what differs is the seed. "
        f"{between(planes.ALONG, planes.ACROSS, planes.EPISODES)}"
    )
    return replace(drawn, caption=caption)


def _heights(runs: StoredRuns, i: int) -> dict[str, dict[str, Floats]]:
    """Return returns and surrogates on the planes of a run."""
    shape = len(planes.ACROSS), len(planes.ALONG)
    return {
        f"update {iteration + 1}": {
            name: runs.rows(f"{k}/{series}")[i].reshape(shape)
            for name, series in (("return", "return"), ("change that the surrogate promises", "promise"))
        }
        for k, iteration in enumerate(runs.checkpoints)
    }


def _agreement(runs: StoredRuns) -> Drawn:
    curves = {}
    for k, iteration in enumerate(runs.checkpoints):
        square_S1, noise_S1 = runs.rows(f"{k}/surrogate/square"), runs.rows(f"{k}/surrogate/noise")
        # An unbiased square below 0 is lost in noise: no agreement.
        curves[f"update {iteration + 1}"] = square_S1.clip(0) / (square_S1.clip(0) + noise_S1 / PAIRS)
    return agreement(PAIRS.tolist(), curves, batch=runs.steps)


def _mechanisms(runs: StoredRuns) -> Drawn:
    def mean_log(twin: str) -> Floats:
        return np.asarray(np.log(runs.rows(f"{twin}/kl_old_new/mean/held_out")).mean(1))

    unswitched = mean_log("none")
    words = _switched(runs.settings)
    rows = {name.replace("_", " ") + words.get(name, ""): np.exp(mean_log(name) - unswitched) for name in MECHANISMS}
    return effects(rows, f"factor on the mean KL of an update of {runs.algorithm}", none=1.0, log=True)


def _switched(settings: Mapping[str, Any] | None) -> dict[str, str]:
    """Return the two levels of each mechanism in words; empty if a record does not say."""
    if settings is None:
        return {}
    values: dict[str, Any] = {name: tuple(x) if isinstance(x, list) else x for name, x in settings.items()}
    try:
        algorithm = PPO(**values)
    except TypeError:  # settings of another version
        return {}
    return {name: f": {one} \u2192 {other}" for name, (one, other) in levels(algorithm).items()}


FIGURES: Sequence[tuple[str, str, str, Callable[[StoredRuns], Drawn]]] = (
    ("gradients", "agreement", "Concentration of gradient estimates", _agreement),
    ("landscapes", "along-the-step", "Promise and return along the update", _along),
    ("landscapes", "n-star", "N*, the pairs that tell policies apart", _n_star),
    ("planes", "landscape", "Landscape around the policy", _planes),
    ("planes", "landscape-by-run", "Landscape around the policy, run by run", _planes_of_runs),
    ("twins", "mechanisms", "What each mechanism does", _mechanisms),
)
"""Study, name, title and the function that draws it, one for each algorithm."""


def _taken(record: Json, store: Path, task: str, study: str, of: str) -> list[StoredRuns]:
    """Return the runs that have a study, those with most updates first.

    Runs of one algorithm with other settings are kept apart, and then named by fixture and settings.
    """
    by_first_digest: dict[str, dict[str, Json]] = {}
    for claim in record["claims"]:
        for runs in claim["runs"]:
            if runs["study"] == of and runs["task"] == task and not runs["kind"].startswith("factorial"):
                # Claims that take more seeds share the first ones.
                by_first_digest.setdefault(runs["digests"][0], {}).update(dict.fromkeys(runs["digests"], runs))
    counts = Counter(next(iter(by_digest.values()))["algorithm"] for by_digest in by_first_digest.values())
    named: dict[str, StoredRuns] = {}
    for by_digest in by_first_digest.values():
        runs = next(iter(by_digest.values()))
        series = [
            numbers
            for d in by_digest
            if (numbers := _numbers(store, d, None if study == "runs" else study)) is not None
        ]
        if len(series) >= (1 if study == "planes" else FEWEST):
            iterations = runs["iterations"]
            name = runs["algorithm"] if counts[runs["algorithm"]] == 1 else runs["label"]
            if name in named:  # runs of the same fixture's name, of another length or on other seeds
                name = f"{name}, {iterations} updates, from seed {runs['seeds'][0]}"
            steps = runs["steps"] // iterations if "steps" in runs else None
            named[name] = StoredRuns(name, task, iterations, steps, series, runs.get("settings"))
    return sorted(named.values(), key=lambda taken: -taken.iterations)


def _numbers(store: Path, digest: str, kind: str | None) -> Mapping[str, Sequence[float]] | None:
    """Return the latest numbers of a study in a run's folder; None if they are missing or the run failed."""
    files = [
        path
        for folder in (store / "runs").glob(f"*-{digest[:32]}")
        for path, study in study_files(folder)
        if (None if study is None else study.kind) == kind
    ]
    for path in sorted(files, key=lambda path: path.stat().st_mtime, reverse=True):
        try:
            measured = read_measured(path, digest)
            return None if measured.failure else measured.series
        except UNREADABLE:
            continue
    return None

"""Figures drawn with matplotlib, one function each, with their data, as SVG, PDF and CSV.

    from rlclaims.report import figures
    figures.training({"PPO": ppo_SK, "TRPO": trpo_SK}, "mean KL(old || new)", bound=0.07).save(Path("figures"), "kl")

They take plain arrays, from any source. Letters at the end of a name are axes: S seeds, K
iterations, N places along something.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from rlclaims.report.figure_style import (
    COLOURS,
    INK,
    LOOKS,
    MARKERS,
    MULTIPLES,
    Drawn,
    Plain,
    lay_out,
    logarithmic,
    side_by_side,
    styled,
)

Floats = npt.NDArray[np.floating]


def training(
    rows: Mapping[str, Floats],
    quantity: str,
    *,
    every: int = 1,
    bound: float | Mapping[str, float] | None = None,
    log: bool = True,
) -> Drawn:
    """Draw a measure over training, seed by seed, with the median over seeds, as in Part III of the post.

    Args:
        rows: by algorithm, values (S, K).
        quantity: label of the measure.
        every: iterations from one value to the next.
        bound: a line to compare with, for all algorithms or by algorithm.
        log: whether the axis is logarithmic.
    """
    bounds = bound if isinstance(bound, Mapping) else {} if bound is None else dict.fromkeys(rows, bound)
    with styled():
        figure, axes = side_by_side(rows)
        for ax, (name, values_SK), colour in zip(axes, rows.items(), _colours(rows), strict=True):
            x_K = 1 + every * np.arange(values_SK.shape[1])
            ax.plot(x_K, values_SK.T, color=colour, alpha=0.3, linewidth=0.7)
            ax.plot(x_K, np.median(values_SK, axis=0), color=colour, linewidth=1.8)
            if name in bounds:
                ax.axhline(bounds[name], color=INK, linestyle=(0, (4, 3)), linewidth=1)
            ax.set(title=name, xlabel="update")
            if log:
                logarithmic(ax, "y")
        axes[0].set_ylabel(quantity)
        lay_out(figure)
    at = ", ".join(f"{bounds[name]:g} ({name})" for name in rows if name in bounds)
    line = f" Dashed lines are at {at}, the bounds of the claims." if at else ""
    seeds = ", ".join(f"{name} {len(values)}" for name, values in rows.items())
    words = f"{quantity[:1].upper()}{quantity[1:]} of each update of a training"
    caption = f"{words}: thin lines are seeds ({seeds}), bold ones their median.{line}"
    return Drawn(figure, caption, _long(rows, "update", lambda k: 1 + every * k))


def along_step(x_N: Sequence[float], curves: Mapping[str, Mapping[str, Floats]]) -> Drawn:
    """Draw the change of a return along an update and the surrogates' promises, at several times of training.

    Args:
        x_N: multiples of the update.
        curves: by time of training, by name, changes (S, N) as parts of the return.
    """
    with styled():
        figure, axes = side_by_side(curves, alike=False)
        names = list(dict.fromkeys(name for by_name in curves.values() for name in by_name))
        for ax, (when, by_name) in zip(axes, curves.items(), strict=True):
            for name, values_SN in by_name.items():
                colour = COLOURS[names.index(name) % len(COLOURS)]
                marker = MARKERS[names.index(name) % len(MARKERS)]
                low_N, middle_N, high_N = np.quantile(values_SN, (0.25, 0.5, 0.75), axis=0)
                ax.fill_between(x_N, low_N, high_N, color=colour, alpha=0.2, linewidth=0)
                ax.plot(x_N, middle_N, color=colour, label=name, marker=marker, markersize=3.5)
            ax.axhline(0, color=INK, linewidth=0.6)
            ax.axvline(1, color=INK, linewidth=0.6, linestyle=(0, (4, 3)))
            ax.set(title=when, xlabel=MULTIPLES)
        axes[0].set_ylabel("change, as a part of the return")
        handles = {str(line.get_label()): line for ax in axes for line in ax.lines if line.get_label() in names}
        figure.legend(list(handles.values()), list(handles), loc="upper center", ncols=len(names))
        lay_out(figure, above=0.08)
    columns: dict[str, list[object]] = {name: [] for name in ("when", "curve", "run", "steps", "change")}
    for when, by_name in curves.items():
        for name, values_SN in by_name.items():
            for seed, values_N in enumerate(values_SN):
                for x, value in zip(x_N, values_N, strict=True):
                    _append(columns, when, name, seed, x, float(value))
    return Drawn(
        figure,
        "How the return changes along the update that was made, 1 being all of it (dashed), and what its surrogate "
        f"promises: medians over {_seeds(*curves.values())}, and their middle half. Each time has a scale of its own.",
        columns,
    )


def plane(
    along_X: Sequence[float],
    across_Y: Sequence[float],
    heights: Mapping[str, Mapping[str, Floats]],
    *,
    episodes: int | None = None,
) -> Drawn:
    """Draw returns and surrogates on a plane through a policy, as contours side by side.

    Args:
        along_X: multiples of the update.
        across_Y: multiples of its length, in a random direction.
        heights: by row, and in it by column, heights (Y, X); rows are times of training, say.
        episodes: number of episodes that a return is the mean of.
    """
    columns: dict[str, list[object]] = {name: [] for name in ("when", "surface", "along", "across", "height")}
    names = list(next(iter(heights.values())))
    with styled():
        figure = Figure(figsize=(3.6 * len(names), 2.7 * len(heights)))
        axes = figure.subplots(len(heights), len(names), sharex=True, sharey=True, squeeze=False)
        for row, (when, by_name) in zip(axes, heights.items(), strict=True):
            for ax, (name, height_YX) in zip(row, by_name.items(), strict=True):
                filled = ax.contourf(along_X, across_Y, height_YX, levels=12, cmap="viridis")
                figure.colorbar(filled, ax=ax)
                for colour, more in (("black", 1.4), ("white", 0)):  # an edge, as the brightest heights are near white
                    ax.plot([0, 1], [0, 0], color=colour, marker="o", markersize=3 + more, linewidth=1.2 + more)
                ax.set(title=f"{name}, {when}")
                for y, height_X in zip(across_Y, height_YX, strict=True):
                    for x, height in zip(along_X, height_X, strict=True):
                        _append(columns, when, name, x, y, float(height))
            row[0].set_ylabel("random direction")
        for ax in axes[-1]:
            ax.set_xlabel(MULTIPLES)
        lay_out(figure)
    return Drawn(
        figure,
        "Around the policy before an update in one run, in units of return; the white line is the update. "
        + between(along_X, across_Y, episodes),
        columns,
    )


def between(along_X: Sequence[float], across_Y: Sequence[float], episodes: int | None) -> str:
    """Return a description of the points that contours of a plane are drawn from."""
    grid = f"Contours lie between {len(along_X)} by {len(across_Y)} points"
    noise = "" if episodes is None else f", whose returns are means of {episodes} episodes, so they are noisy"
    return f"{grid}{noise}. Each picture has a scale of its own."


def agreement(pairs_N: Sequence[float], curves: Mapping[str, Floats], *, batch: int | None = None) -> Drawn:
    """Draw the agreement of two gradient estimates against the number of pairs of each (Part I of the post).

    Args:
        pairs_N: numbers of pairs.
        curves: by name, mean cosines (S, N).
        batch: the algorithm's own number of pairs, marked.
    """
    with styled():
        figure, (ax,) = side_by_side({"": None})
        for i, (name, cosine_SN) in enumerate(curves.items()):
            colour, look = COLOURS[i % len(COLOURS)], LOOKS[i % len(LOOKS)]
            ax.plot(pairs_N, cosine_SN.T, color=colour, alpha=0.2, linewidth=0.7)
            ax.plot(pairs_N, np.median(cosine_SN, axis=0), color=colour, linestyle=look, label=name, linewidth=1.8)
        _batch(ax, batch)
        logarithmic(ax, "x")
        ax.set(ylim=(0, 1), xlabel="state-action pairs of an estimate", ylabel="cosine of two estimates")
        ax.legend(loc="lower right")
        lay_out(figure)
    columns: dict[str, list[object]] = {name: [] for name in ("curve", "run", "pairs", "cosine")}
    for name, cosine_SN in curves.items():
        for seed, cosine_N in enumerate(cosine_SN):
            for pairs, cosine in zip(pairs_N, cosine_N, strict=True):
                _append(columns, name, seed, pairs, float(cosine))
    words = "How far two estimates of the policy's gradient point the same way, 1 being wholly"
    by = "by the gradient's length and the noise of one pair, both estimated, and not tried at each number of pairs"
    lines = f"thin lines are {_seeds(curves)}, bold ones their medians"
    return Drawn(figure, f"{words}, {by}: {lines}.{_own(batch)}", columns)


def n_star(
    pairs_N: Sequence[float],
    curves: Mapping[str, tuple[Floats, Floats]],
    *,
    certainty: float = 0.95,
    batch: int | None = None,
    of: str = "two policies",
) -> Drawn:
    """Draw N*: how many state-action pairs of each of two policies put their returns in the true order (Part II).

    With n pairs of each, the order is right with a probability of Phi(gap / sqrt(variance / n)); N* is the number at
    which that is the certainty asked for. Bold lines are by the means over seeds of both, which noise does not bias.

    Args:
        pairs_N: numbers of pairs.
        curves: by name, the square of the true gap between the two returns, as `rlclaims.stats.split_samples` estimates
            it, so that it may be negative, and the variance of one pair's worth of the gap, (S,) each.
        certainty: between 1/2 and 1.
        batch: the algorithm's own number of pairs, marked.
        of: which policies, in words.

    Raises:
        ValueError: the certainty does not lie between 1/2 and 1, or a variance is negative.
    """
    from scipy.special import ndtr

    from rlclaims.stats.split_samples import pairs_needed

    columns: dict[str, list[object]] = {name: [] for name in ("curve", "run", "pairs", "chance", "n_star")}
    needs = []
    with styled():
        figure, (ax,) = side_by_side({"": None})
        for i, (name, (square_S, variance_S)) in enumerate(curves.items()):
            colour, look = COLOURS[i % len(COLOURS)], LOOKS[i % len(LOOKS)]
            mean = float(square_S.mean()), float(variance_S.mean())
            for run, gap in (*enumerate(zip(square_S.tolist(), variance_S.tolist(), strict=True)), ("mean", mean)):
                needed = pairs_needed(*gap, certainty)
                # As in `chance_with_pairs`: 1 without noise, 1/2 if the gap is lost in noise.
                variance_N = gap[1] / np.asarray(pairs_N, dtype=float)
                with np.errstate(divide="ignore"):
                    chance_N = ndtr(np.sqrt(gap[0] / variance_N)) if gap[0] > 0 else np.full(len(pairs_N), 0.5)
                if run == "mean":
                    text = f"{float(f'{needed:.3g}'):,.0f}" if np.isfinite(needed) else "none, lost in noise"
                    needs.append(f"{name}: {text}")
                    ax.plot(pairs_N, chance_N, color=colour, linestyle=look, label=name, linewidth=1.8)
                    if pairs_N[0] <= needed <= pairs_N[-1]:
                        ax.plot([needed], [certainty], "o", color=colour, markersize=4)
                else:
                    ax.plot(pairs_N, chance_N, color=colour, alpha=0.2, linewidth=0.7)
                for pairs, chance in zip(pairs_N, chance_N, strict=True):
                    _append(columns, name, run, pairs, float(chance), needed)
        ax.axhline(certainty, color=INK, linewidth=0.6)
        _batch(ax, batch)
        logarithmic(ax, "x")
        ax.set(ylim=(0.5, 1.01), xlabel="state-action pairs of each policy", ylabel="chance of the right order")
        ax.legend(loc="lower right")
        lay_out(figure)
    caption = (
        f"How likely the returns of so many pairs of each put {of} in their true order, if their noise is normal. Thin "
        f"lines are {_seeds({name: square_S for name, (square_S, _) in curves.items()})}, bold ones by the means over "
        f"them; dots are N*, the pairs that take it to {certainty:g} ({'; '.join(needs)})."
        f"{_own(batch)}"
    )
    return Drawn(figure, caption, columns)


def effects(rows: Mapping[str, Floats], quantity: str, *, none: float, log: bool = False) -> Drawn:
    """Draw effects side by side, seed by seed, with the mean and its 95% interval by Student's t, one by one.

    Args:
        rows: by what is switched, effects (S,).
        quantity: label of the effects.
        none: value without an effect.
        log: whether they are factors, and means geometric.
    """
    from scipy import stats

    columns: dict[str, list[object]] = {name: [] for name in ("switched", "run", "effect")}
    with styled():
        figure = Figure(figsize=(6.2, 0.7 + 0.32 * len(rows)))
        ax = figure.subplots()
        for y, (name, values_S) in enumerate(rows.items()):
            x_S = np.log(values_S) if log else values_S
            mean, half = x_S.mean(), stats.t.isf(0.025, len(x_S) - 1) * stats.sem(x_S)
            low, middle, high = np.exp([mean - half, mean, mean + half]) if log else (mean - half, mean, mean + half)
            ax.plot(values_S, np.full(len(values_S), y + 0.18), ".", color=COLOURS[0], alpha=0.5, markersize=4)
            ax.plot([low, high], [y, y], color=INK, linewidth=1.8)
            ax.plot([middle], [y], "D", color=INK, markersize=4)
            for seed, value in enumerate(values_S):
                _append(columns, name, seed, float(value))
        ax.axvline(none, color=INK, linewidth=0.8, linestyle=(0, (4, 3)))
        ax.set(yticks=range(len(rows)), yticklabels=list(rows), xlabel=quantity)
        if log:
            logarithmic(ax, "x")
            left, right = ax.get_xlim()
            if right / left > 5:  # below, all ticks are labelled; above, only powers of ten
                ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
                ax.xaxis.set_major_formatter(Plain(minor_thresholds=(4, 4)))
                ax.xaxis.set_minor_formatter(NullFormatter())
        ax.invert_yaxis()
        lay_out(figure)
    words = f"{quantity[:1].upper()}{quantity[1:]}, with each of these switched"
    mean_of = "geometric mean" if log else "mean"
    bars = f"bars 95% intervals of their {mean_of} by t, each for itself"
    return Drawn(figure, f"{words}: dots are {_seeds(rows)}, {bars}.", columns)


def _batch(ax: Axes, batch: int | None) -> None:
    """Mark the algorithm's own number of pairs."""
    if batch is not None:
        ax.axvline(batch, color=INK, linestyle=(0, (4, 3)), linewidth=1)


def _own(batch: int | None) -> str:
    return "" if batch is None else f" The dashed line is the algorithm's own number of pairs, {batch:,}."


def _seeds(*curves: Mapping[str, Floats]) -> str:
    """Return the number of seeds, in words."""
    counts = sorted({len(values_S) for by_name in curves for values_S in by_name.values()})
    return f"{' or '.join(map(str, counts))} seeds"


def _colours(of: Mapping[str, object]) -> list[str]:
    return [COLOURS[i % len(COLOURS)] for i in range(len(of))]


def _long(rows: Mapping[str, Floats], along: str, at: Callable[[int], int]) -> dict[str, list[object]]:
    columns: dict[str, list[object]] = {name: [] for name in ("algorithm", "run", along, "value")}
    for name, values_SK in rows.items():
        for seed, values_K in enumerate(values_SK):
            for k, value in enumerate(values_K):
                _append(columns, name, seed, at(k), float(value))
    return columns


def _append(columns: dict[str, list[object]], *row: object) -> None:
    for column, value in zip(columns.values(), row, strict=True):
        column.append(value)

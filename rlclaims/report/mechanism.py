"""The mechanism table, for people: what each mechanism does to an update, by iteration, with simultaneous intervals."""

import math
from collections.abc import Sequence
from typing import TextIO

import numpy as np
from rich.console import Console
from rich.text import Text

from rlclaims.claims.sample import Sample
from rlclaims.report.table import grid
from rlclaims.stats.factorial import aliases
from rlclaims.stats.mean import StudentT
from rlclaims.stats.verdict import nearly_constant
from rlclaims.studies.twin_updates.compute import MECHANISMS, WORDS, design, levels
from rlclaims.studies.twin_updates.query import TwinUpdates

ERROR_RATE = 0.05
"""Probability that any interval of the table misses what it estimates, at most."""


def mechanism_table(twins: TwinUpdates, iterations: Sequence[int], file: TextIO, width: int) -> None:
    """Print effects on the mean KL and on the exceedance, each alone and over the design, and what the design aliases.

    Args:
        twins: of at least two seeds.
        iterations: those whose updates were made again.
        file: where to.
        width: of the terminal.
    """
    console = Console(file=file, width=max(width, 80))
    effects = {
        name: [
            contrast
            for effect in (twins.switching(name), twins.in_design(name))
            for contrast in (effect.mean_kl.held_out, effect.exceedance.held_out)
        ]
        for name in MECHANISMS
    }
    beside = (
        twins.clipping_at_matched_kl,
        twins.converged.exceedance.training,
        twins.let_go_moved_outward,
        twins.late_share_of_gain,
    )
    alpha = ERROR_RATE / (len(effects) * 4 * (len(iterations) + 1) + len(beside))
    shown = grid("", "KL, alone", "off 1±eps, alone", "KL, in design", "off 1±eps, in design")
    for column in shown.columns:
        column.no_wrap = False  # an interval that is cut off at the edge of its column reads as another
    for name, contrasts in effects.items():
        one, other = levels(twins.settings)[name]
        shown.add_row(Text(f"{name}: {one} -> {other}", "bold"))
        for k, iteration in enumerate(iterations):
            shown.add_row(f"  {iteration}", *(_cell(contrast.at(k), alpha) for contrast in contrasts))
        shown.add_row("  all", *(_cell(contrast.overall(), alpha) for contrast in contrasts))
    console.print(f"{twins.name}, {twins.scope}: updates made again with one mechanism switched, on held-out pairs")
    console.print(shown)
    console.print(
        "Factors on the mean KL(old||new), and changes of the share of ratios off 1±eps, by the iteration of the "
        "update. Beside them, over all iterations:",
        highlight=False,
    )
    for contrast in beside:
        console.print(f"  {contrast.quantity}: {_cell(contrast.overall(), alpha)}", highlight=False)
    console.print(
        f"Means over seeds, with intervals by t that all hold with probability {1 - ERROR_RATE:.0%} if seeds are "
        "normal and their number was fixed beforehand (Bonferroni).",
        highlight=False,
    )
    groups = [group for group in aliases(MECHANISMS, design()) if len(group) > 1]
    console.print(
        f"The design is of {len(design())} twins. Effects of mechanisms and of pairs that it cannot tell apart, up to "
        f"their sign: {'none' if not groups else ''}",
        highlight=False,
    )
    for group in groups:
        console.print(f"  {' = '.join(group)}", highlight=False)
    console.print("Its last mechanisms follow products of others, by which larger groups have one estimate:")
    for name, word in zip(MECHANISMS[-len(WORDS) :], WORDS, strict=True):
        console.print(
            f"  {name} = {' x '.join(MECHANISMS[ord(letter) - ord('A')] for letter in word)}", highlight=False
        )


def _cell(sample: Sample, alpha: float) -> str:
    values_N = np.array(sample.values)
    shown = math.exp if sample.log_scale else float
    if not np.isfinite(values_N).all():
        return "none"
    if nearly_constant(values_N[None])[0]:  # a switch that changes nothing here changes nothing in any seed
        return f"{shown(values_N[0]):.3g}"
    data = (values_N[None],)
    lower, upper = StudentT().lower(data, alpha / 2)[0], StudentT().upper(data, alpha / 2)[0]
    return f"{shown(values_N.mean()):.3g} [{shown(lower):.3g}, {shown(upper):.3g}]"

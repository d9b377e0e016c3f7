"""The mechanism table: the effect of each mechanism on an update, by iteration, with simultaneous intervals."""

import math
from collections.abc import Sequence
from typing import TextIO

import numpy as np
from rich.console import Console
from rich.text import Text

from rlclaims.claims.sample import Sample
from rlclaims.report.grid import Grid, say
from rlclaims.stats.factorial import aliases
from rlclaims.stats.mean import StudentT
from rlclaims.stats.verdict import nearly_constant
from rlclaims.studies.twin_updates.compute import MECHANISMS, WORDS, design, levels
from rlclaims.studies.twin_updates.query import TwinUpdates

ERROR_RATE = 0.05
"""Largest probability that any interval of the table misses what it estimates."""


def mechanism_table(twins: TwinUpdates, iterations: Sequence[int], file: TextIO, width: int) -> None:
    """Print effects on the mean KL and on the exceedance, alone and over the design, and the aliases of the design.

    Args:
        twins: twin updates of at least two seeds.
        iterations: whose updates were replayed.
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
    table = Grid("", "KL, alone~", "off 1±eps, alone~", "KL, in design~", "off 1±eps, in design~")
    for name, contrasts in effects.items():
        one, other = levels(twins.settings)[name]
        table.add_row(Text(f"{name}: {one} -> {other}", "bold"))
        for k, iteration in enumerate(iterations):
            table.add_row(f"  {iteration}", *(_cell(contrast.at(k), alpha) for contrast in contrasts))
        table.add_row("  all", *(_cell(contrast.overall(), alpha) for contrast in contrasts))
    say(console, f"{twins.name}, {twins.scope}: updates replayed with one mechanism switched, on held-out pairs")
    table.print(console)
    say(
        console,
        "Factors on the mean KL(old||new), and changes of the share of ratios off 1±eps, by the iteration of the "
        "update. Beside them, over all iterations:",
    )
    for contrast in beside:
        say(console, f"  {contrast.quantity}: {_cell(contrast.overall(), alpha)}")
    say(
        console,
        f"Means over seeds, with intervals by t that all hold with probability {1 - ERROR_RATE:.0%} if seeds are "
        "normal and their number was fixed beforehand (Bonferroni).",
    )
    groups = [group for group in aliases(MECHANISMS, design()) if len(group) > 1]
    say(
        console,
        f"The design has {len(design())} twins. Effects of mechanisms and of pairs that it cannot tell apart, up to "
        f"their sign: {'none' if not groups else ''}",
    )
    for group in groups:
        say(console, f"  {' = '.join(group)}")
    say(console, "Its last mechanisms follow products of others, so that larger groups share one estimate:")
    for name, word in zip(MECHANISMS[-len(WORDS) :], WORDS, strict=True):
        say(console, f"  {name} = {' x '.join(MECHANISMS[ord(letter) - ord('A')] for letter in word)}")


def _cell(sample: Sample, alpha: float) -> str:
    values_N = np.array(sample.values)
    reported = math.exp if sample.log_scale else float
    if not np.isfinite(values_N).all():
        return "none"
    if nearly_constant(values_N[None])[0]:  # the switch changes nothing in any seed
        return f"{reported(values_N[0]):.3g}"
    data = (values_N[None],)
    lower, upper = StudentT().lower(data, alpha / 2)[0], StudentT().upper(data, alpha / 2)[0]
    return f"{reported(values_N.mean()):.3g} [{reported(lower):.3g}, {reported(upper):.3g}]"

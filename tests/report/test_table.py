"""The verdicts on a terminal and in a pipe: no id is broken, and reasons follow the verdicts."""

import io

import pytest
from records import claim, evidence, theorem
from rich.console import Console
from terminal import Terminal

from rlclaims.planning.cost import Cost
from rlclaims.planning.profile import PROFILES
from rlclaims.report.costs import Range, cost_table
from rlclaims.report.grid import Grid
from rlclaims.report.table import verdict_table

LONG = "clipping-lowers-exceedance-at-matched-kl-and-everything-else-too[Hopper-v5(reset_noise_scale=0.05)-0.1]"
RESULTS = [
    claim("trust/short"),
    claim(f"trust/{LONG}", "inconclusive"),
    claim("trust/contrary", "refuted"),
    claim("trust/ships", "refuted", "refuted"),
    theorem("theory/theorem"),
    theorem("theory/false", "refuted", examples=None),
]


def printed(file, results=RESULTS, *, verbose=False, profile="standard"):
    verdict_table(results, PROFILES[profile], file, 80, verbose=verbose)
    return file.getvalue().splitlines()


def test_long_id_has_a_line_of_its_own_on_a_terminal():
    lines = printed(Terminal())
    at = lines.index(f"  {LONG}")
    assert lines[at + 1].split() == ["inconclusive", "1.5", "[1.3,", "1.7]", "6"]
    assert max(len(line) for line in lines if LONG not in line) <= 80


def test_nothing_is_wrapped_in_a_pipe():
    lines = printed(io.StringIO())
    (row,) = (line for line in lines if line.startswith(f"  {LONG}"))
    assert row.split()[1:] == ["inconclusive", "1.5", "[1.3,", "1.7]", "6"]
    assert f"trust/{LONG} is inconclusive, underpowered: the interval holds the bound" in lines


@pytest.mark.parametrize("file", [Terminal, io.StringIO])
@pytest.mark.parametrize("verbose", [True, False])
def test_no_id_is_broken(file, verbose):
    words = set(" ".join(printed(file(), verbose=verbose)).split())
    assert {"short", LONG, "contrary", "ships", "theorem", "false"} <= words


def test_verdicts_come_first_and_reasons_follow():
    lines = printed(io.StringIO())
    assert lines[0] == "Hopper-v5, 100 steps, seeds 0 to 5"
    assert lines[1].split() == ["claim", "verdict", "estimate", "90%", "interval", "seeds"]
    assert lines[2:4] == ["trust", next(line for line in lines if line.startswith("  short"))]
    reasons = lines[lines.index("* expected to be refuted: the claim says on what evidence") + 1 :]
    assert [line.split()[0] for line in reasons] == [f"trust/{LONG}", "trust/contrary", "theory/false"]
    assert "mean over seeds of something is 1.5 [1.3, 1.7], the claim says <= 2" in reasons[1]


def test_methods_and_legend_are_verbose():
    plain, verbose = printed(io.StringIO()), printed(io.StringIO(), verbose=True)
    assert verbose[: len(plain)] == plain
    added = "\n".join(verbose[len(plain) :])
    assert all(
        words in added for words in ("MDE: the distance", "t: model-based (normal seeds)", "Family 'test_it.py'")
    )


def test_parts_of_a_joined_claim_are_verbose():
    parts = {"operator": "all", "verdict": "supported", "reason": None, "n": 6, "parts": [evidence(), evidence()]}
    joined = [claim("a/joined", evidence=parts)]
    assert not any(line.split()[0] == "1." for line in printed(io.StringIO(), joined))
    lines = [line.split() for line in printed(io.StringIO(), joined, verbose=True) if line]
    assert ["2.", "supported", "1.5", "[1.3,", "1.7]", "6"] in lines


def test_smoke_verdicts_say_that_they_are_no_evidence():
    lines = printed(io.StringIO(), [claim("a/b", "inconclusive"), theorem("a/c")], profile="smoke")
    assert "  b   inconclusive (smoke is no evidence)" in lines and "  c   supported" in lines


@pytest.mark.parametrize("file", [Terminal, io.StringIO])
def test_costs_keep_ids_whole(file, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    cost = Range(6, Cost(6, 1_000_000, 60.0, 10_000_000), Cost(8, 2_000_000, 120.0, 2_000_000), Cost(8, 1, 1.0, 1))
    file = file()
    cost_table({f"trust/{LONG}": cost, "short": cost}, cost, file)
    lines = file.getvalue().splitlines()
    assert any(line.startswith(f"  {LONG}") for line in lines)
    assert any(line.split()[:4] == ["all,", "once", "6", "6/8/8"] for line in lines)


@pytest.mark.parametrize("width", [60, 80, 100, 300])
def test_grid_wraps_only_columns_that_may(width):
    grid = Grid("claim", "number>", "words~")
    grid.add_row(LONG, "-1.2345e-05", "some words that are too many for a line of that width " * 3)
    grid.add_row("a heading that is much wider than its column, and is never broken, whatever the width is")
    grid.add_row("short", "1", "few")
    lines = [line.plain for line in grid.lines(width)]
    assert sum(LONG in line for line in lines) == 1 and sum("-1.2345e-05" in line for line in lines) == 1
    assert max(len(line) for line in lines if LONG not in line and "heading" not in line) <= width
    assert " ".join(" ".join(lines).split()).count("words") >= 4


def test_grid_is_in_colours_only_where_they_are_shown():
    file = io.StringIO()
    grid = Grid("claim", "verdict")
    grid.add_row("a", "b", style="red")
    grid.print(Console(file=file, force_terminal=True, color_system="standard"))
    assert "\x1b[31mb" in file.getvalue()

"""Figures: what they draw is what they were given, whatever its names are."""

import csv
import gc
import io
import json
import xml.etree.ElementTree as ET
from dataclasses import asdict

import numpy as np
import pytest
from records import claim, evidence, record
from scipy import stats

from rlclaims.agents.ppo import PPO
from rlclaims.report import figure_style, figures
from rlclaims.report.figure_style import rounded
from rlclaims.report.page.write import page
from rlclaims.report.session_figures import illustrations, surfaces
from rlclaims.store.digest import run_digest
from rlclaims.store.files import json_content
from rlclaims.store.run_spec import RunSpec
from rlclaims.store.store import Store
from rlclaims.studies.planes import compute as planes
from rlclaims.studies.twin_updates.compute import MECHANISMS

ROWS = {
    "one": np.array([[1.0, 2.0, 4.0], [3.0, 2.0, 1.0]]),
    "$two$ & <b>": np.array([[5.0, 6.0, 7.0], [1.0, 1.0, 1.0]]),
}
ALL = {
    "training": lambda: figures.training(ROWS, "a measure", every=10, bound=2.5),
    "along_step": lambda: figures.along_step([0, 1, 2], {"update 1": ROWS, "update 31": ROWS}),
    "agreement": lambda: figures.agreement([10, 100, 1000], {n: x / 10 for n, x in ROWS.items()}, batch=100),
    "n_star": lambda: figures.n_star([10, 100], {n: (x[0], x[1] * 9) for n, x in ROWS.items()}, batch=100),
    "plane": lambda: figures.plane([0, 1, 2], [0, 1], {"late": ROWS}),
    "effects": lambda: figures.effects({n: x[:, 0] + [0, 1] for n, x in ROWS.items()}, "a factor", none=1, log=True),
}


def table(drawn):
    return list(csv.DictReader(io.StringIO(drawn.csv())))


def lines(drawn, axes=0):
    return [line.get_ydata() for line in drawn.figure.axes[axes].lines]


@pytest.mark.parametrize("name", ALL)
def test_files_are_whole_and_the_same_each_time(name, tmp_path):
    one, other = (ALL[name]().save(tmp_path / folder, "it") for folder in ("a", "b"))
    assert [path.name for path in one] == ["it.svg", "it.pdf", "it.csv"]
    for path, again in zip(one, other, strict=True):
        assert path.read_bytes() == again.read_bytes() and path.stat().st_size > 50
    root = ET.parse(one[0]).getroot()
    assert root.tag.endswith("svg")
    assert one[1].read_bytes().startswith(b"%PDF")


@pytest.mark.parametrize("name", ALL)
def test_on_a_page_its_ink_is_the_pages_and_its_ids_are_its_own(name):
    svg = ALL[name]().svg("first-")
    ids = [element.get("id") for element in ET.fromstring(svg).iter() if element.get("id")]
    assert ids and all(each.startswith("first-") for each in ids)
    assert "currentColor" in svg and figure_style.INK not in svg
    if name != "effects":
        assert "<b>" not in svg and "$two$ &amp; &lt;b&gt;" in svg  # as text, and no formula


def test_drawing_leaves_the_collector_as_it_was():
    for turn, on in ((gc.disable, False), (gc.enable, True)):
        turn()
        ALL["effects"]().svg()
        with pytest.raises(ValueError, match="between 1/2 and 1"):
            figures.n_star([10], {"a": (np.ones(2), np.ones(2))}, certainty=0.5)
        assert gc.isenabled() == on


def test_training_shows_seeds_medians_and_the_bound():
    drawn = ALL["training"]()
    first, second, median, bound = lines(drawn)
    assert list(first) == [1, 2, 4] and list(second) == [3, 2, 1]
    assert list(median) == [2, 2, 2.5] and set(bound) == {2.5}
    only = figures.training(ROWS, "a measure", bound={"one": 2.0})
    assert [len(ax.lines) for ax in only.figure.axes] == [4, 3]
    rows = table(drawn)
    assert [row["update"] for row in rows[:3]] == ["1", "11", "21"]
    assert [float(row["value"]) for row in rows if row["algorithm"] == "one" and row["run"] == "1"] == [3, 2, 1]
    assert len(rows) == 12 and "one 2" in drawn.caption
    assert "at 2.5 (one), 2.5 ($two$ & <b>), the bounds of the claims" in drawn.caption  # in the order of the pictures


def test_an_effects_interval_is_a_t_interval():
    x = np.array([0.4, 0.6, 0.5, 0.9])
    drawn = figures.effects({"clip": x}, "a factor", none=1.0, log=True)
    (bar,) = (line for line in drawn.figure.axes[0].lines if line.get_linewidth() == 1.8)
    theirs = np.exp(stats.ttest_1samp(np.log(x), 0).confidence_interval(0.95))
    assert bar.get_xdata() == pytest.approx(theirs)
    assert "dots are 4 seeds" in drawn.caption and "geometric mean by t, each for itself" in drawn.caption


@pytest.mark.parametrize("factors", [(0.02, 0.06), (0.2, 60), (0.3, 0.8), (0.9, 1.3)])
def test_an_axis_of_factors_is_labelled_at_both_of_its_sides(factors):
    drawn = figures.effects({"a": np.array([factors[0]] * 3), "b": np.array([factors[1]] * 3)}, "a factor", none=1.0,
                            log=True)  # fmt: skip
    (ax,) = drawn.figure.axes
    low, high = ax.get_xlim()
    labels = [tick.get_text() for tick in (*ax.get_xticklabels(), *ax.get_xticklabels(minor=True))]
    shown = [float(text) for text in labels if text and low <= float(text) <= high]
    assert len(shown) == len(set(shown)) >= 2
    assert min(shown) <= max(low * 2.5, min(factors) * 1.2) and max(shown) >= high / 2.5


def test_a_plane_is_drawn_to_its_axes():
    drawn = ALL["plane"]()
    rows = table(drawn)
    assert [(r["along"], r["across"], float(r["height"])) for r in rows[:4]] == [
        ("0", "0", 1.0),
        ("1", "0", 2.0),
        ("2", "0", 4.0),
        ("0", "1", 3.0),
    ]
    assert len(rows) == 12 and {r["surface"] for r in rows} == set(ROWS)
    assert "between 3 by 2 points. Each" in drawn.caption
    noisy = figures.plane([0, 1, 2], [0, 1], {"late": ROWS}, episodes=7)
    assert "means of 7 episodes, so they are noisy" in noisy.caption
    titles = [ax.get_title() for ax in drawn.figure.axes if ax.get_title()]
    assert titles == ["one, late", "$two$ & <b>, late"]


def test_agreement_keeps_what_it_draws():
    rows = table(ALL["agreement"]())
    assert [(float(r["pairs"]), float(r["cosine"])) for r in rows[:3]] == [(10, 0.1), (100, 0.2), (1000, 0.4)]


@pytest.fixture
def stored(tmp_path):
    """A store with small runs, and their digests."""
    store, digests = Store(tmp_path / "store"), []
    store.prepare()
    for seed in range(3):
        spec = RunSpec(PPO(steps=64), "InvertedPendulum-v5", 2, seed)
        folder = store.folder(spec)
        folder.mkdir()
        series = {name: [0.1 * (seed + 1), 0.2] for name in MEASURED}
        broke = "it broke" if seed == 2 else None
        measured = store.measurements(spec)
        measured.write_bytes(json_content(measured.name, run_digest(spec), {"failure": broke, "series": series}))
        digests.append(run_digest(spec))
    return store, digests


def level(operation, measure, **changes):
    """The structure of a number over seeds of a measure of PPO on the training batch, over all of training."""
    window = {"name": "overall", "arguments": []}
    leaf = {"runs": "PPO", "study": "runs", "measure": measure, "arguments": {}, "pairs": "training", "window": window}
    return {"operation": operation, "operands": [{**leaf, **changes}], "arguments": []}


MEASURED = ("kl_old_new/mean/training", "ratio/max/training", "ratio/exceedance/training")


def test_a_sessions_figures_are_of_the_runs_that_its_store_has(stored):
    store, digests = stored
    told = claim(
        "a/b",
        evidence=evidence(structure=level("mean", "kl_old_new/mean")),
    )
    told["runs"][0] |= {"digests": digests, "task": "InvertedPendulum-v5"}
    drawn = illustrations(record(told, tasks=["InvertedPendulum-v5"]), store.root)
    assert list(drawn) == ["kl", "largest-ratio", "exceedance"]
    assert [float(row["value"]) for row in table(drawn["kl"])] == pytest.approx([0.1, 0.2, 0.2, 0.2])  # none that broke
    assert "Dashed lines are at 2 (PPO)" in drawn["kl"].caption  # the claim's bound
    assert "dashed" not in drawn["exceedance"].caption
    assert "<figure" in page(record(told), drawn)
    assert illustrations(record(told, tasks=["InvertedPendulum-v5"]), store.root / "elsewhere") == {}


def test_fixtures_of_one_algorithm_are_named_by_their_settings(stored):
    store, digests = stored
    one, other = claim("a/one"), claim("a/other")
    one["runs"][0] |= {"digests": digests[:2], "task": "InvertedPendulum-v5"}
    other["runs"][0] |= {"digests": digests[1::-1], "label": "quick: PPO(epochs=1)", "task": "InvertedPendulum-v5"}
    drawn = illustrations(record(one, other, tasks=["InvertedPendulum-v5"]), store.root)
    assert {row["algorithm"] for row in table(drawn["kl"])} == {"ppo: PPO", "quick: PPO(epochs=1)"}


def test_figures_of_tasks_with_arguments_are_told_apart(stored):
    store, digests = stored
    told = []
    for k, task in enumerate(("Ant-v5", "Ant-v5(ctrl_cost_weight=1.0)", "Ant-v5(ctrl_cost_weight=-1.0)", "Hopper-v5")):
        told.append(claim(f"a/{k}"))
        told[-1]["runs"][0] |= {"digests": digests, "task": task}
    drawn = illustrations(record(*told, tasks=["Ant-v5"]), store.root)
    assert [name for name in drawn if name.startswith("kl")] == ["kl", "kl-ant-v5-2", "kl-ant-v5-3", "kl-hopper-v5"]


def test_what_runs_do_not_have_is_not_drawn(stored):
    store, digests = stored
    for path in store.root.glob("runs/*/measured-*"):
        kept = json.loads(path.read_text())
        del kept["series"]["ratio/max/training"]
        path.write_bytes(json_content(path.name, kept["digest"], {name: kept[name] for name in ("failure", "series")}))
    told = claim("a/b")
    told["runs"][0] |= {"digests": digests, "task": "InvertedPendulum-v5"}
    assert list(illustrations(record(told, tasks=["InvertedPendulum-v5"]), store.root)) == ["kl", "exceedance"]


def test_n_star_is_where_the_normal_gap_is_told():
    squares, variances = np.array([4.0, 0.5, -0.1]), np.array([800.0, 200.0, 100.0])
    drawn = figures.n_star([10, 100, 1000], {"late": (squares, variances)}, certainty=0.9, batch=100)
    rows = table(drawn)
    assert [row["run"] for row in rows[::3]] == ["0", "1", "2", "mean"]
    for row in rows:
        square, variance = {"2": (0, 100), "0": (4, 800), "1": (0.5, 200)}.get(row["run"], (4.4 / 3, 1100 / 3))
        error = stats.norm(0, np.sqrt(variance / float(row["pairs"])))
        assert float(row["chance"]) == pytest.approx(error.cdf(np.sqrt(square)))
        needed = np.inf if square == 0 else 1.2815515655**2 * variance / square
        assert float(row["n_star"]) == pytest.approx(needed)
    (dot,) = (line for line in drawn.figure.axes[0].lines if line.get_marker() == "o")
    assert dot.get_xdata() == pytest.approx([1.2815515655**2 * 250]) and "(late: 411)" in drawn.caption
    lost = figures.n_star([10, 100], {"late": (-squares, variances)})
    assert "lost in noise" in lost.caption and not [
        line for line in lost.figure.axes[0].lines if line.get_marker() == "o"
    ]
    with pytest.raises(ValueError, match="between 1/2 and 1"):
        figures.n_star([10], {"late": (squares, variances)}, certainty=0.5)


def test_lines_are_those_that_claims_hold_measures_against(stored):
    store, digests = stored
    exceedance = level("median", "ratio/exceedance", arguments={"epsilon": 0.2})
    told = [
        claim("a/ratio", evidence=evidence(structure=level("median", "ratio/max"), region_ends=[1.2, None])),
        claim("a/exceedance", evidence=evidence(structure=exceedance, region_ends=[None, 0.5])),
        # A level of the twin updates, and one of another part of the distribution over seeds.
        claim("a/twins", evidence=evidence(structure=level("mean", "kl_old_new/mean", study="twins"))),
        claim("a/quantile", evidence=evidence(structure=level("quantile", "kl_old_new/mean"))),
    ]
    for one in told:
        one["runs"][0] |= {"digests": digests, "task": "InvertedPendulum-v5"}
    drawn = illustrations(record(*told, tasks=["InvertedPendulum-v5"]), store.root)
    assert "Dashed lines are at 1.2 (PPO)" in drawn["largest-ratio"].caption
    assert "Dashed lines are at 0.5 (PPO)" in drawn["exceedance"].caption
    assert "ashed" not in drawn["kl"].caption
    assert drawn["exceedance"].caption.startswith("Share of ratios outside 1±0.2 of")  # which is claimed of
    assert "1±ε" in illustrations(record(told[0], tasks=["InvertedPendulum-v5"]), store.root)["exceedance"].caption


def studied(store, kind, series):
    """Runs that a claim takes, with what a study of them came to; the last run failed."""
    for folder in (store.root / "runs").iterdir():
        failed = "it broke" if "seed2" in folder.name else None
        seed = int(folder.name.partition("seed")[2][0])
        kept = {"failure": failed, "series": series(seed)}
        (measured,) = folder.glob("measured-*")
        path = folder / f"{kind}-{'0' * 32}.json"
        path.write_bytes(json_content(path.name, json.loads(measured.read_text())["digest"], kept))


def landscape_series(seed):
    """Two kept iterations: gaps to random directions of 3 + seed in all groups, variances that make 40 a pair."""
    numbers = {}
    for k in range(2):
        along = [[5.0] * 4, [0.0] * 4, [8.0 + seed] * 4, *[[0.0] * 4] * 6]
        numbers |= {
            f"{k}/along/return": np.ravel(along).tolist(),
            f"{k}/along/variance": [0.0, 0.0, 2.0, *[0.0] * 6],
            f"{k}/along/length": [10.0] * 9,
            f"{k}/near/return": [0.0] * 80,
            f"{k}/near/variance": [4.0] * 20,
            f"{k}/near/length": [5.0] * 20,
            f"{k}/own/return": [2.0],
        }
    return numbers


def test_n_star_of_a_session_is_what_its_claims_judge(stored):
    store, digests = stored
    studied(store, "landscapes", landscape_series)
    told = claim("a/b")
    told["runs"][0] |= {
        "study": "landscapes",
        "kind": "landscapes",
        "digests": digests,
        "task": "InvertedPendulum-v5",
        "steps": 128,
    }
    drawn = illustrations(record(told, tasks=["InvertedPendulum-v5"]), store.root)
    assert list(drawn) == ["n-star-ppo"]  # what else is made of landscapes lacks its series
    needed = {row["run"]: float(row["n_star"]) for row in table(drawn["n-star-ppo"])}
    z = stats.norm.ppf(0.95)
    assert needed == pytest.approx({"0": z**2 * 40 / 9, "1": z**2 * 40 / 16, "mean": z**2 * 40 / 12.5})
    assert "own number of pairs, 64" in drawn["n-star-ppo"].caption


def test_planes_of_several_runs_stand_side_by_side_and_turn(stored):
    store, digests = stored
    studied(
        store, "planes", lambda seed: {f"{k}/{n}": [seed + x / 81 for x in range(81)] for k in range(2) for n in PLANES}
    )
    told = claim("a/b")
    told["runs"][0] |= {"study": "landscapes", "kind": "landscapes", "digests": digests, "task": "InvertedPendulum-v5"}
    made = record(told, tasks=["InvertedPendulum-v5"])
    drawn = illustrations(made, store.root)
    assert list(drawn) == ["landscape-ppo", "landscape-by-run-ppo"]
    rows = table(drawn["landscape-by-run-ppo"])
    firsts = {(row["when"], row["surface"]): float(row["height"]) for row in reversed(rows)}
    assert {when: height for (when, _), height in firsts.items()} == {"run 1": 0.0, "run 2": 1.0}
    assert "2 runs" in drawn["landscape-by-run-ppo"].caption
    for name in drawn:  # what a claim would take many episodes for
        assert f"9 by 9 points, whose returns are means of {planes.EPISODES} episodes" in drawn[name].caption
    turning = surfaces(made, store.root)
    assert len(turning) == 2 * len({s.title for s in turning if "run 1," in s.title}) > 0
    assert len({s.title for s in turning}) == len(turning)


PLANES = ("return", "promise")


def twin_series(seed):
    """Logarithms of the mean KL whose means are 0 as it is and 1 + seed with a mechanism switched."""
    names = ("none", *MECHANISMS)
    return {f"{n}/kl_old_new/mean/held_out": [np.exp((n != "none") * (1 + seed))] * 2 for n in names}


def test_what_is_switched_is_told_from_what_to_what(stored):
    store, digests = stored
    studied(store, "twins", twin_series)
    told, older = claim("a/b"), claim("a/b")
    told["runs"][0] |= {"study": "twins", "kind": "twin updates", "digests": digests, "task": "InvertedPendulum-v5"}
    older["runs"][0] |= told["runs"][0]
    told["runs"][0]["settings"] = json.loads(json.dumps(asdict(PPO(steps=64, learning_rate=0.004, epochs=6))))
    rows, without = (
        table(illustrations(record(of, tasks=["InvertedPendulum-v5"]), store.root)["mechanisms-ppo"])
        for of in (told, older)
    )
    assert [float(row["effect"]) for row in rows[:2]] == pytest.approx([np.e, np.e**2])
    names = {row["switched"] for row in rows}
    assert {"learning rate: 0.004 → 0.002", "epochs: 6 → 3", "clip: on → off"} <= names
    assert {row["switched"] for row in without} == {name.replace("_", " ") for name in MECHANISMS}


def test_a_name_of_any_length_makes_a_name_for_files(stored):
    store, digests = stored
    studied(store, "landscapes", landscape_series)
    told = claim("a/b")
    name = "x/" * 5000 + "<script>"
    told["runs"][0] |= {
        "study": "landscapes",
        "kind": "landscapes",
        "digests": digests,
        "task": "InvertedPendulum-v5",
        "algorithm": name,
    }
    (made,) = illustrations(record(told, tasks=["InvertedPendulum-v5"]), store.root)
    assert len(made) <= 100 and "/" not in made


def test_rounded_svg_keeps_its_text():
    svg = '<path d="M 1.23456 -7.0001\nL 100.5 3e-7"/><text x="0.004">0.00123</text>'
    assert rounded(svg) == '<path d="M 1.23 -7\nL 100.5 3e-7"/><text x="0">0.00123</text>'

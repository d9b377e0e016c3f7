"""Keys are what numbers are looked up by; words are free."""

from dataclasses import replace

import pytest
from records import claim, evidence, record

from rlclaims import PPO, Landscapes, TwinUpdates
from rlclaims.claims import quantity, scope
from rlclaims.claims.evidence import recording
from rlclaims.claims.judging_terms import JudgingTerms, Pilot
from rlclaims.claims.quantity import Derived, Plain, named, text_of
from rlclaims.measures.registry import REGISTRY
from rlclaims.report import session_figures
from rlclaims.report.diff import _outcome
from rlclaims.results.measured import Measured
from rlclaims.store.baseline import Baseline, BaselineSpec, SavedQuantity
from rlclaims.studies.runs import Runs

SEEDS = tuple(range(6))


class Numbers(dict):
    def __init__(self, seed):
        super().__init__()
        self.seed = seed

    def __missing__(self, name):
        return [0.1 + 0.01 * (self.seed * 7 % 5) + 0.001 * len(name)] * 40


def read(cls, seeds=SEEDS, **settings):
    return cls(PPO(**settings), "Hopper-v5", 40, seeds, tuple(Measured(None, Numbers(seed)) for seed in seeds))


def asked():
    """Samples of every kind."""
    runs, other = read(Runs), read(Runs, tuple(range(50, 56)), epochs=3)
    kl, outside = runs.kl_old_new.mean, runs.ratio.exceedance
    return {
        "mean": kl.training.last(0.25),
        "ratio": kl.held_out.between(0.2, 0.5) / outside.training.overall(),
        "two groups": kl.training.first(0.5) - other.kl_old_new.mean.training.first(0.5),
        "chance": outside.training.highest().chance_above(0.1),
        "median": (kl.training.last(1) - 0.25).median,
        "correlation": kl.training.where(outside.held_out).rank_correlation(outside.held_out),
        "twins": read(TwinUpdates).switching("clip").mean_kl.held_out.overall(),
        "landscape": read(Landscapes).trajectories_per_batch.at(1),
    }


def judged():
    """Verdicts, keys, baselines that are found, pilots that fit, rows of a diff and lines of figures."""
    found = {}
    for name, sample in asked().items():
        comparison = sample < 0.3
        key, settings = comparison.quantity.key, comparison.scope.settings
        with recording(JudgingTerms(pilot=Pilot(0.1, (10_000, 10_001), key, settings))):
            assert (sample < 0.3).pilot is not None
        taken = claim("a/b", evidence=evidence(**comparison.to_json()))
        lines = session_figures._bounds(record(taken), "Hopper-v5", ["PPO"], "kl_old_new/mean")
        found[name] = (comparison.verdict, comparison.interval, key, _outcome(taken).estimates, lines)
    late = asked()["mean"]
    saved = SavedQuantity("ppo", "Hopper-v5", 81_920, late.quantity.general_key, "words", False, (1.0,) * 3, (7, 8, 9))
    return found, Baseline(BaselineSpec("v1"), [saved], {}, "0" * 64)[late].values


def test_rewording_every_label_changes_no_lookup(monkeypatch):
    before = judged()
    assert before[0]["mean"][-1] == {"PPO": 0.3}
    labels = {name: (sample < 0.3).quantity.label for name, sample in asked().items()}
    for cls in (Plain, Derived):
        for words in ("label", "general_label"):
            monkeypatch.setattr(cls, words, property(lambda self: f"{hash(self.key)} {{0}} ' [] 1±9, seeds; x"))
    monkeypatch.setattr(scope.Part, "label", property(lambda self: "elsewhere, 3 steps, seeds 4 to 5; x"))
    monkeypatch.setattr(quantity, "PAIRS", {"training": "some", "held_out": "some"})
    for key, measure in REGISTRY.items():
        monkeypatch.setitem(REGISTRY, key, replace(measure, label="words"))
    assert judged() == before
    assert not {(sample < 0.3).quantity.label for sample in asked().values()} & set(labels.values())


def test_keys_are_identifiers():
    keys = {name: (sample < 0.3).quantity.key for name, sample in asked().items()}
    assert keys["mean"] == "mean(runs[PPO]/kl_old_new/mean/training/last(0.25))"
    assert keys["chance"] == "probability(above(runs[PPO]/ratio/exceedance(epsilon=0.2)/training/highest, 0.1))"
    assert keys["median"] == "median(difference(runs[PPO]/kl_old_new/mean/training/last(1), 0.25))"
    assert keys["two groups"].endswith("runs[PPO(epochs=3)]/kl_old_new/mean/training/first(0.5)))")
    assert len(set(keys.values())) == len(keys)


def test_labels_read_well():
    late = asked()["mean"]
    assert late.quantity.label == "PPO's mean KL(old||new), training batch, last 25% of training"
    assert late.quantity.general_label == "mean KL(old||new), training batch, last 25% of training"
    assert (late < 1).quantity.label.startswith("mean over seeds of PPO's mean KL")


def test_words_are_not_compared():
    assert Plain("a", words="one") == Plain("a", words="other") != Plain("b", words="one")
    assert named("a {0} b").label == "a {0} b"
    assert Derived("twice", (named("{x}"),), form="2 {0}").label == "2 {x}"


@pytest.mark.parametrize(
    ("argument", "text"),
    [(1, "1"), (1.0, "1"), (0.1 + 0.2, "0.30000000000000004"), (True, "true"), (None, "none"), ((1.0, 6), "[1, 6]")],
)
def test_equal_arguments_have_one_text(argument, text):
    assert text_of(argument) == text

"""Labels are for people: rewording all of them changes no key, no lookup and no verdict."""

import dataclasses
import json

import pytest
from planted_runs import planted

from rlclaims import PPO
from rlclaims.claims.evidence import recording
from rlclaims.claims.judging_terms import JudgingTerms, Pilot
from rlclaims.claims.quantity import Derived, Plain
from rlclaims.measures import registry
from rlclaims.planning.request import RunsRequest
from rlclaims.report.session_figures import _bounds
from rlclaims.results.measured import Measured
from rlclaims.store.baseline import Baseline, BaselineSpec, SavedQuantity

SEEDS = tuple(range(6))


class AnySeries(dict):
    """Numbers for a series of any name: those of its seed."""

    def __init__(self, seed):
        super().__init__()
        self.seed = seed

    def __missing__(self, name):
        return [0.1 + 0.01 * self.seed * (i + 1) for i in range(40)]


def runs():
    return planted(RunsRequest(PPO, "Hopper-v5"), lambda run: Measured(None, AnySeries(run.seed)), 40, SEEDS)


ASKED = [
    lambda ppo: ppo.kl_old_new.mean.training.overall(),
    lambda ppo: ppo.ratio.exceedance.held_out.last(0.25) - ppo.ratio.exceedance.training.first(0.25),
    lambda ppo: ppo.landscape.change(1.0).at(0) / ppo.landscape.change(2.0).at(0),
    lambda ppo: ppo.twins.switching("clip").mean_kl.held_out.overall(),
    lambda ppo: ppo.gradients(pairs=4096).cosine(64).last(2),
    lambda ppo: ppo.values.error("returns").last(1),
    lambda ppo: ppo.final_returns.mean,
]


def judged():
    """Everything that is looked up or judged, of all that is asked for, as text."""
    found = []
    for ask in ASKED:
        sample = ask(runs())
        key = f"geometric_mean({sample.quantity.key})" if sample.log_scale else f"mean({sample.quantity.key})"
        pilot = Pilot(0.5, (10_000, 10_001), key, sample.scope.settings)
        with recording(JudgingTerms(pilot=pilot)):
            evidence = sample > 0.2
        document = evidence.to_json()
        for words in ("quantity", "scope"):
            del document[words]
        assert document["mde"] is not None  # the pilot fits
        found.append((document, evidence.definition))
        if sample.runs is not None:
            saved = SavedQuantity(
                fixture="ppo",
                task="Hopper-v5",
                steps=sample.scope.settings[0][1],
                key=sample.quantity.general_key,
                label="as it was called when it was saved",
                log_scale=sample.log_scale,
                values=(1.0, 2.0),
                seeds=(50, 51),
            )
            found.append(Baseline(BaselineSpec("v1"), [saved], {}, "0" * 64)[sample].values)
    return found


def bounds():
    evidence = (runs().kl_old_new.mean.training.overall() < 2).to_json()
    claim = {"evidence": evidence, "runs": [{"task": "Hopper-v5"}]}
    return _bounds({"claims": [claim]}, "Hopper-v5", ["PPO"], "kl_old_new/mean")


def test_rewording_every_label_changes_nothing_else(monkeypatch):
    before = repr(judged()), json.dumps(bounds())
    assert bounds() == {"PPO": 2.0}
    for key, measure in registry.REGISTRY.items():
        monkeypatch.setitem(registry.REGISTRY, key, dataclasses.replace(measure, label=f"reworded {key}"))
    for cls in (Plain, Derived):
        for label in ("label", "general_label"):
            monkeypatch.setattr(cls, label, property(lambda self: "reworded"))
    assert str(runs().kl_old_new.mean.training.overall().quantity) == "reworded"
    assert (repr(judged()), json.dumps(bounds())) == before


def test_a_measure_is_added_in_three_lines(request):
    request.addfinalizer(lambda: registry.REGISTRY.pop("ratio/spread"))
    before = len(registry.REGISTRY)
    spread = registry.Measure("ratio/spread", lambda update: update.ratio.std(1), "spread of ratios", bounds=(0, 9))
    registry.register(spread)
    assert len(registry.REGISTRY) == before + 1
    assert runs().ratio.spread.held_out.overall().quantity.key == "runs[PPO]/ratio/spread/held_out/overall"
    assert runs().ratio.spread.training.overall().bounds == (0, 9)
    with pytest.raises(ValueError, match=r"There is a measure 'ratio/spread' already"):
        registry.register(spread)

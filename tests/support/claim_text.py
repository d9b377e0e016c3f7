"""Source text of claims for test sessions on a small task, and readers of the files that a session writes."""

import json

CONFTEST = """
import rlclaims
from rlclaims import PPO, TRPO

SMALL = dict(iterations=2, steps=64, minibatches=2, value_epochs=1)
ppo = rlclaims.runs(PPO, "InvertedPendulum-v5", epochs=1, **SMALL)
trpo = rlclaims.runs(TRPO, "InvertedPendulum-v5", **SMALL)
"""

HEADER = """
from rlclaims import claim, source

HERE = source("section 1", "a test")

def declared(id, **changes):
    return claim(id, HERE, says="It is so.", means="The number is so.", **changes)
"""

# KL is never negative, so the first two are decided on any seeds. A dozen seeds cannot bound a 99% quantile from
# above, and a smallest ratio is never above 1, so the last stays inconclusive.
SUPPORTED = "assert ppo.kl_old_new.mean.training.overall() > -1"

REFUTED = "assert ppo.kl_old_new.mean.training.overall() <= -1"

INCONCLUSIVE = "assert ppo.ratio.min.training.overall().quantile(0.99) < 1"


def one_claim(body, parameters="ppo", **changes):
    arguments = "".join(f", {name}={value!r}" for name, value in changes.items())
    return f"\n@declared('section/claim'{arguments})\ndef test_claim({parameters}):\n    {body}\n"


def written(store, name="reports/latest"):
    """Return the last session's part of the record in a store."""
    record = json.loads((store / name / "claims.json").read_text())
    for part in ("claims", "theorems"):
        record[part] = [result for result in record[part] if result["judged"]["created"] == record["created"]]
    names = {claim["family"]["name"] for claim in record["claims"]}
    record["families"] = [family for family in record["families"] if family["name"] in names]
    return record


def stored(folder, algorithm):
    """Return the sorted seeds of an algorithm's runs in a store."""
    return sorted(json.loads(path.read_text())["seed"] for path in folder.glob(f"runs/{algorithm}-*/run.json"))


def levels(store):
    """Return the refuting and supporting error rates of the claims in the last report, by name."""
    return {
        claim["name"]: (claim["evidence"]["alpha_refute"], claim["evidence"]["alpha_support"])
        for claim in written(store)["claims"]
    }

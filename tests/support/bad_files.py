"""Functions that give bad input to the readers of files and to the command, and return how each ended."""

import json
import shutil
from dataclasses import replace
from types import SimpleNamespace

import pytest
import records
from bad_input import check_sentence, item_taking, mutated, outcome, rubbish, texts, write
from bad_surfaces import claim_session
from hypothesis import strategies as st
from typer.testing import CliRunner

import rlclaims
from rlclaims import cli
from rlclaims.claims.judging_terms import Family
from rlclaims.cli import app
from rlclaims.execution.cohorts import plan
from rlclaims.nightly.ledger import NightsError, read_nights
from rlclaims.pytest_plugin.pilots import read_pilots
from rlclaims.store.baseline import _checksum
from rlclaims.store.digest import run_digest
from rlclaims.store.files import json_content


def baselines(draw, folder):
    """Read baselines by invalid names and from invalid files."""
    name, runs = draw(st.one_of(rubbish, st.just("mine"), st.just("mine"))), draw(st.one_of(st.none(), rubbish))
    document = {
        "format": 1, "created": "", "profile": "standard", "environment": {"packages": {"torch": "1"}},
        "runs": [{"fixture": "ppo", "kind": "runs", "pairs": None, "task": "Hopper-v5", "steps": 4, "seeds": [0, 1],
                  "measured": [{"quantity": "q", "log_scale": False, "values": [1.0, None]}]}],
    }  # fmt: skip
    document = mutated(draw, document)
    if draw(st.integers(0, 3)) and isinstance(document, dict):
        document["sha256"] = _checksum(document)
    write(folder / "mine.json", draw(files_of(document)))
    session = claim_session(folder)

    def check():
        session.check([item_taking({"before": rlclaims.baseline(name, runs=runs)})])

    return outcome(check, pytest.UsageError)


NO_FILES = (
    "", "\0", "[" * 100_000, '{"a":' * 50_000, "null", "NaN", "[]", "1" * 5000, '"\\ud800"', b"\xff\xfe",
    b"\x1f\x8b\x08",
)  # fmt: skip


def files_of(document):
    """Return the document as a file's content, sometimes as invalid JSON."""
    text = st.just(json.dumps(document))
    cut = text.map(lambda whole: whole[: len(whole) // 2])
    return st.one_of(text, text, text, st.sampled_from(NO_FILES), st.binary(max_size=20), cut)


def nights(draw, folder):
    document = {
        "format": 1, "run_length": 1000, "subject": None, "sessions": 2,
        "claims": {"ab": {"name": "a/b", "value": 0.5}},
        "last": [{"session": 2, "date": "2026-01-01", "seeds": [0, 5], "e_values": {"a/b": 1.0}, "alarms": []}],
    }  # fmt: skip
    path = folder / "nights.json"
    write(path, draw(files_of(mutated(draw, document))))

    def read():
        found = read_nights(path, 1000, None)
        float(found.threshold(["ab", "c"])), found.first_seed
        night = {"sha256": "ab", "e_value": 1.0, "value": 1.0, "threshold": 1e3, "alarm": False}
        found.after([{"name": "a/b", "night": night}], 5).write()

    return outcome(read, NightsError)


def pilots(draw, folder):
    document = {
        "a/b": {"standard_deviation": 0.1, "seeds": [10000, 10001], "quantity": "q", "setting": "s", "seeds_used": 2}
    }
    write(folder / "pilots.json", draw(files_of(mutated(draw, document))))

    def read():
        for pilot in read_pilots(folder).values():
            assert pilot.standard_deviation_bound > 0
            pilot.fits("q", "s", (1,))

    return outcome(read, pytest.UsageError)


# ---- the command, and the files that it reads


def command(folder, *arguments):
    """Run the command: exit code 1 is an answer, 2 a refusal with one sentence on standard error."""
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    if result.exit_code in (0, 1):
        return "accepted"
    assert result.exit_code == 2
    if not result.stderr.startswith("Usage: "):  # typer's own refusal, in a box
        check_sentence(result.stderr.removesuffix("\n"))
    return "refused"


def whole_record():
    part = records.evidence()
    joined = {"operator": "all", "verdict": "supported", "reason": None, "parts": [part, part]}
    measured = [{"quantity": "q", "log_scale": False, "values": [1.0, 2.0, None, 3.0, 4.0, 5.0]}]
    runs = [{**records.CLAIM["runs"][0], "measured": measured}]
    night = {"sha256": "ab", "e_value": 1.0, "value": 2.0, "threshold": 100.0, "alarm": False}
    return records.record(
        records.claim("section/claim", runs=runs),
        records.claim("section/joined", evidence=joined),
        records.claim("section/open", "inconclusive", night=night),
        records.claim("section/error", "error"),
        records.theorem("theory/theorem"),
    )


def collected(folder):
    here = rlclaims.source("here")
    claim = rlclaims.Claim("section/claim", here, "It is so.", "The number is so.")
    session = SimpleNamespace(asked=SimpleNamespace(baselines=folder / "baselines"))
    found = SimpleNamespace(
        declared=claim, name=claim.id, test="test_it.py::test_claim", file=folder / "test_it.py", line=1, runs={},
        family=Family("test_it.py", 5, 0.05), record=folder / "claims.json", session=session,
    )  # fmt: skip
    return [
        found,
        SimpleNamespace(**{**vars(found), "name": "section/joined", "declared": replace(claim, id="section/joined")}),
    ]


def record_commands(draw, folder):
    """Run the commands that read a record on records of another form."""
    shutil.rmtree(folder / "baselines", ignore_errors=True)
    write(folder / "claims.json", draw(files_of(mutated(draw, whole_record()))))
    write(folder / "other.json", json.dumps(whole_record()))
    one, other = folder / "claims.json", folder / "other.json"
    arguments = draw(
        st.sampled_from(
            [
                ("diff", one, other), ("diff", other, one), ("report", one, "--store", folder / "store"),
                ("report", one, "--store", folder / "store", "--against", other), ("list",), ("sentences",),
                ("explain", "section/claim"), ("explain", "section/joined"), ("baseline", "save", "mine"),
            ]
        )
    )  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cli, "_collected", lambda *_: collected(folder))
        return command(folder, *arguments)


def arguments(draw, folder):
    """Run the command with arguments that name nothing, or something of another kind."""
    write(folder / "claims.json", json.dumps(whole_record()))
    write(folder / "binary", b"\xff\x00\x1f")
    (folder / "folder").mkdir(exist_ok=True)
    word = st.one_of(
        texts.filter(lambda t: not t.startswith("-") and "\ud800" not in t),
        st.sampled_from([folder / "claims.json", folder / "binary", folder / "folder", folder / "none", "/dev/null"]),
    )
    kind = draw(
        st.sampled_from(["diff", "report", "out", "against", "ls", "verify", "new", "save", "explain", "store"])
    )
    one, two = draw(word), draw(word)
    given = {
        "diff": ("diff", one, two),
        "report": ("report", one, "--store", folder / "store"),
        "out": ("report", folder / "claims.json", "--store", folder / "store", "--out", folder / "binary" / "x"),
        "against": ("report", folder / "claims.json", "--store", folder / "store", "--against", one),
        "store": ("report", folder / "claims.json", "--store", one),
        "ls": ("store", "ls", "--store", one),
        "verify": ("store", "verify", "--store", one),
        "new": ("new", one, "--folder", folder / "binary"),
        "save": ("baseline", "save", one),
        "explain": ("explain", one),
    }[kind]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cli, "_collected", lambda *_: collected(folder))
        return command(folder, *given)


def stores(draw, folder):
    """Verify and list a store whose files were changed."""
    run = folder / "store" / "runs" / f"PPO-Hopper-v5-seed0-{'1' * 32}"
    shutil.rmtree(folder / "store", ignore_errors=True)
    run.mkdir(parents=True)
    described = {
        "digest": "1" * 64,
        "status": "finished",
        "iterations": 2,
        "failure": None,
        "sha256": "1",
        "starts_sha256": "2",
    }
    write(run / "run.json", draw(files_of(mutated(draw, described))))
    write(run / "run.safetensors", draw(st.binary(max_size=30)))
    name = draw(st.sampled_from(["measured", "twins", "large_updates-5", "é", "-"]))
    measured = {"series": {"a/training": [1.0, 2.0]}, "sha256": "1", "failure": None}
    write(run / f"{name}-{'2' * 32}.json", draw(files_of(mutated(draw, measured))))
    return command(folder, "store", draw(st.sampled_from(["ls", "verify"])), "--store", folder / "store")


def measurements(draw, folder):
    """Read invalid measurements from a store: the run must count as missing."""
    session = claim_session(folder)
    shutil.rmtree(folder / "store", ignore_errors=True)
    item = item_taking({"ppo": rlclaims.runs(rlclaims.PPO, iterations=2)})
    item.callspec = SimpleNamespace(params={})
    run = session.wanted([item], 5)[0]
    path = session.store.measurements(run)
    path.parent.mkdir(parents=True)
    series = {"a/training": [1.0, 2.0]}
    document = json.loads(json_content(path.name, run_digest(run), {"series": series, "failure": None}))
    write(path, draw(files_of(mutated(draw, document))))

    def read():
        if session.store.has(run):
            session.store.measured(run)
        if not plan([run], session.store).missing:
            return
        raise pytest.UsageError("It is trained again.")

    return outcome(read, pytest.UsageError)

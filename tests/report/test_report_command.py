"""`rlclaims report`: what it writes, and what it says where it cannot."""

import json
import shutil

import pytest
from records import claim, record
from typer.testing import CliRunner

from rlclaims.agents.ppo import PPO
from rlclaims.cli import app
from rlclaims.store.digest import run_digest
from rlclaims.store.files import json_content
from rlclaims.store.run_spec import RunSpec
from rlclaims.store.store import Store


def report(*arguments, code=0):
    result = CliRunner().invoke(app, ["report", *map(str, arguments)])
    assert result.exit_code == code, result.output
    return result.output


@pytest.fixture
def made(tmp_path):
    """A record of two runs, and the store that has them."""
    store, told = Store(tmp_path / "store"), claim("a/b")
    store.prepare()
    digests = []
    for seed in range(2):
        spec = RunSpec(PPO(steps=64), "InvertedPendulum-v5", 2, seed)
        store.folder(spec).mkdir()
        series = {"kl_old_new/mean/training": [0.1, 0.2]}
        measured = store.measurements(spec)
        measured.write_bytes(json_content(measured.name, run_digest(spec), {"failure": None, "series": series}))
        digests.append(run_digest(spec))
    told["runs"][0] |= {"digests": digests, "task": "InvertedPendulum-v5"}
    path = tmp_path / "claims.json"
    path.write_text(json.dumps(record(told, tasks=["InvertedPendulum-v5"])))
    return path, store.root


def test_a_store_that_was_moved_is_named(made, tmp_path):
    path, store = made
    moved = shutil.move(store, tmp_path / "elsewhere")
    said = report(path, "--store", moved, "--out", tmp_path / "out")
    assert "No figures" not in said and (tmp_path / "out" / "figures" / "kl.csv").exists()
    said = report(path, "--store", store, "--out", tmp_path / "none")
    assert f"No figures: the runs are not in the store {store}; --store DIR names another." in said.replace("\n", "")
    assert (tmp_path / "none" / "index.html").exists() and not (tmp_path / "none" / "figures").exists()


def test_a_record_without_steps_has_a_report(made, tmp_path):
    path, store = made
    old = json.loads(path.read_text())
    del old["claims"][0]["runs"][0]["steps"]
    path.write_text(json.dumps(old))
    report(path, "--store", store, "--out", tmp_path / "out")
    assert (tmp_path / "out" / "figures" / "kl.svg").exists()


@pytest.mark.parametrize("change", [{"runs": None}, {"source": 3}, {"evidence": {}}])
def test_a_file_that_is_not_a_record_is_refused(made, tmp_path, change):
    path, store = made
    broken = json.loads(path.read_text())
    broken["claims"][0] |= change
    path.write_text(json.dumps(broken))
    said = report(path, "--store", store, "--out", tmp_path / "out", code=2)
    assert "is no record of claims" in said and "Traceback" not in said

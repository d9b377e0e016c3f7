"""Sessions on stores that are full, read-only or in use by another session."""

import resource
import subprocess
import sys

import pytest
from claim_text import CONFTEST, HEADER, SUPPORTED, one_claim, written
from typer.testing import CliRunner

from rlclaims.cli import app
from rlclaims.pytest_plugin import prepare
from rlclaims.store.run_spec import SpecError
from rlclaims.store.store import Store


def read_only(store):
    """Raise as `prepare` does in a read-only folder (tests may run as root, who can write anywhere)."""
    raise SpecError(f"The store {store.root} cannot be written (Read-only file system).")


def test_read_only_store_is_judged_from(session, tmp_path, monkeypatch):
    options = f"--claims-store={tmp_path}", f"--claims-report={tmp_path / 'report'}"
    session(one_claim(SUPPORTED), *options).assert_outcomes(passed=1)
    monkeypatch.setattr(Store, "prepare", read_only)
    before = sorted(tmp_path.rglob("*"))
    monkeypatch.setattr(prepare, "writable", lambda folder: pytest.fail(f"{folder} must not be tried"))
    session(one_claim(SUPPORTED), *options).assert_outcomes(passed=1)
    assert sorted(tmp_path.rglob("*")) == before
    refused = session(one_claim(SUPPORTED, "ppo, trpo"), *options)
    assert refused.ret == pytest.ExitCode.USAGE_ERROR
    refused.stdout.no_fnmatch_line("*training*")
    refused.stderr.fnmatch_lines([f"ERROR: The store {tmp_path} cannot be written (Read-only file system)*"])


def test_full_disk_is_reported_and_leaves_no_partial_run(session, tmp_path):
    options = one_claim(SUPPORTED), f"--claims-store={tmp_path}", f"--claims-report={tmp_path / 'report'}"
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        # Of the files that training writes those of parameters are longer, and others are not.
        resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, before[1]))
        full = session(*options)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert full.ret == pytest.ExitCode.INTERNAL_ERROR
    full.stdout.fnmatch_lines(
        [f"*The store {tmp_path} can no longer be written (File too large). Finished runs are stored*"]
    )
    full.stdout.no_fnmatch_line("*Traceback*")
    assert list((tmp_path / "runs").iterdir()) == []
    session(*options).assert_outcomes(passed=1)


@pytest.mark.parametrize("what", ["folder", "link"])
def test_invalid_lock_file_is_refused_at_once(session, tmp_path, what):
    lock = tmp_path / "training.lock"
    if what == "folder":
        lock.mkdir()
    else:
        lock.symlink_to(tmp_path / "nowhere" / "lock")
    refused = session(one_claim(SUPPORTED), f"--claims-store={tmp_path}")
    assert refused.ret == pytest.ExitCode.USAGE_ERROR
    refused.stderr.fnmatch_lines([f"ERROR: {lock} cannot be locked (*), and sessions that share a store take turns *"])
    refused.stdout.no_fnmatch_line("*training*")


def test_store_with_too_long_a_name_is_refused(session, tmp_path):
    store = tmp_path / ("x" * 300)
    refused = session(one_claim(SUPPORTED), f"--claims-store={store}")
    assert refused.ret == pytest.ExitCode.USAGE_ERROR
    refused.stderr.fnmatch_lines([f"ERROR: The store {tmp_path}*x cannot be written (File name too long)*"])
    for command in ("ls", "verify"):
        found = CliRunner().invoke(app, ["store", command, "--store", str(store)])
        assert found.exit_code == 2 and "There is no store in" in found.output


def test_two_sessions_on_one_store_train_nothing_twice(pytester, tmp_path):
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(test_claims=HEADER + one_claim(SUPPORTED))

    def session(name):
        options = "--claims-seeds=5", f"--claims-store={tmp_path}", f"--claims-report={tmp_path / name}"
        command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--claims-no-figures", *options]
        return subprocess.Popen(command, cwd=pytester.path, stdout=subprocess.PIPE, text=True)

    said = [process.communicate()[0] for process in [session("one"), session("other")]]
    assert all("1 passed" in text for text in said)
    assert sum("rlclaims: training 5 runs" in text for text in said) == 1
    one, other = (written_in(tmp_path / name) for name in ("one", "other"))
    assert one["evidence"] == other["evidence"]


def written_in(folder):
    (claim,) = written(folder.parent, folder.name)["claims"]
    return claim

"""The checks of `make check` and of CI on docstrings, test names, phrases and commit subjects."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

CI = Path(__file__).parents[1] / ".ci"


def load(name):
    spec = importlib.util.spec_from_file_location(name, CI / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


style = load("style")
commits = load("commits")


def messages(source, phrases=True):
    return [f"{line}: {message}" for line, message in style.findings(source, phrases=phrases)]


@pytest.mark.parametrize(
    ("source", "line"),
    [
        ('"""Of a seed."""', 1),
        ('x = 1\n"""Those planned."""', 2),
        ('class A:\n    x: int\n    """By which runs are ordered."""', 3),
        ('def f():\n    """What it is."""', 2),
        ('class A:\n    async def f(self):\n        """\n        Whether it is so."""', 3),
    ],
)
def test_style_finds_fragments_in_docstrings_and_fields(source, line):
    (found,) = messages(source)
    assert found.startswith(f"{line}: docstring begins with the fragment")


@pytest.mark.parametrize(
    "source",
    [
        '"""Forms of it."""',
        'def f():\n    """Return what it is."""',
        'f()\n"""What is no docstring."""',
        'x = "What is no docstring."',
        "x = y is None  # and f'{x is None}' too",
    ],
)
def test_style_accepts_sentences_and_other_strings(source):
    assert messages(source) == []


def test_style_finds_long_names_of_test_functions_and_methods():
    name = "test_" + "x" * 56
    source = (
        f"def {name}(): ...\nclass TestA:\n    def {name}(self): ...\ndef {name[:-1]}(): ...\ndef long_{name}(): ..."
    )
    assert [found[:2] for found in messages(source)] == ["1:", "3:"]


@pytest.mark.parametrize(
    "source",
    [
        "x = 1\n# Somebody set it.",
        'x = (\n"there is none of it")',
        'def f():\n    """Return x, which is\n    told."""',
        "x = 1\ny = f'{x} is told'",
    ],
)
def test_style_finds_phrases_in_comments_and_strings(source):
    (found,) = messages(source)
    assert found.startswith("2: phrase to avoid")
    assert messages(source, phrases=False) == []


@pytest.mark.parametrize(
    "subject",
    [
        "ppo: fall back to autograd for custom objectives, networks and hooks",
        "execution: fix hang on Ctrl-C while workers are being closed",
        "tests, ci: need fewer seeds",
        "pytest_plugin: press on",
        "x: " + "y" * 69,
        'Revert "house: move files"',
    ],
)
def test_commit_subjects_of_the_right_form_are_accepted(subject):
    assert commits.problem(subject) is None


@pytest.mark.parametrize(
    ("subject", "problem"),
    [
        ("x: " + "y" * 70, "has 73 characters"),
        ("Baselines are stored", "does not have the form"),
        ("Sim: list pairs", "does not have the form"),
        ("sim: ", "does not have the form"),
        ("sim: List pairs", "imperative, in lower case, but with 'List'"),
        ("sim: listed pairs", "'listed'"),
        ("sim: listing pairs", "'listing'"),
        ("sim: lists pairs", "'lists'"),
        ("sim: the pairs are listed", "'the'"),
    ],
)
def test_commit_subjects_of_another_form_are_refused(subject, problem):
    assert problem in commits.problem(subject)


@pytest.fixture
def repository(tmp_path):
    """Return a function that commits files to a repository with an old commit and the check."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    identity = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]

    def git(*arguments, where=tmp_path):
        subprocess.run(["git", *identity, *arguments], cwd=where, env=environment, check=True, capture_output=True)

    git("init", "--initial-branch=main")
    git("commit", "--allow-empty", "-m", "What was before")
    (tmp_path / ".ci").mkdir()
    (tmp_path / ".ci" / "commits.py").write_text((CI / "commits.py").read_text(encoding="utf-8"), encoding="utf-8")
    git("add", ".")
    git("commit", "-m", "ci: check commit subjects")
    return git


def check(folder, **variables):
    environment = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    environment.pop("COMMITS_SINCE", None)
    command = [sys.executable, CI / "commits.py"]
    return subprocess.run(command, cwd=folder, env=environment | variables, capture_output=True, text=True)


def test_commit_check_covers_commits_after_its_introduction(repository, tmp_path):
    assert check(tmp_path).returncode == 0
    repository("commit", "--allow-empty", "-m", "sim: list pairs")
    assert check(tmp_path).returncode == 0
    repository("commit", "--allow-empty", "-m", "Pairs are listed")
    refused = check(tmp_path)
    assert refused.returncode == 1 and "'Pairs are listed' does not have the form" in refused.stdout
    assert len(refused.stdout.splitlines()) == 1
    assert check(tmp_path, COMMITS_SINCE="HEAD").returncode == 0
    assert check(tmp_path, COMMITS_SINCE="HEAD~1").returncode == 1
    assert check(tmp_path, COMMITS_SINCE="0" * 40).returncode == 1


def test_commit_check_passes_without_history(repository, tmp_path):
    repository("commit", "--allow-empty", "-m", "Pairs are listed")
    repository("clone", "--depth=1", tmp_path.as_uri(), str(tmp_path / "shallow"))
    (tmp_path / "archive").mkdir()
    for folder, variables in (("shallow", {}), ("archive", {"GIT_DIR": str(tmp_path / "none")})):
        passed = check(tmp_path / folder, **variables)
        assert (passed.returncode, passed.stdout) == (0, "No new commits to check.\n")

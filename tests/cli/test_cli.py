"""The command `rlclaims`, in this process."""

import json
import shlex
import sys

import pytest
from claim_text import CONFTEST, HEADER, INCONCLUSIVE, SUPPORTED, one_claim
from typer.testing import CliRunner

from rlclaims.cli import app


@pytest.fixture
def rlclaims(pytester):
    """Runs the command in the folder of a test."""

    def run(*arguments, code=0):
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code == code, result.output
        return result.output

    return run


@pytest.fixture
def judged(pytester):
    """A project with two claims, one of which was judged, and a store of its own."""
    pytester.makeconftest(CONFTEST)
    other = one_claim(INCONCLUSIVE).replace("section/claim", "section/other").replace("test_claim", "test_other")
    body = one_claim(SUPPORTED, margin=0.5) + other
    pytester.makepyfile(test_claims=HEADER + body)
    pytester.runpytest_inprocess("--claims-seeds=5", "-k", "not test_other").assert_outcomes(passed=1, deselected=1)
    return pytester.path


def test_new_claim_runs_unchanged(rlclaims, pytester):
    said = rlclaims("new", "mine/moves-farther", "--folder", "here")
    assert "Wrote here/test_mine_moves_farther.py" in said
    # Two iterations only.
    result = pytester.runpytest_inprocess("here", "--claims-profile=smoke")
    assert result.parseoutcomes() == {"inconclusive": 1}
    result.stdout.fnmatch_lines(["mine*", "  moves-farther *"])


def test_new_claim_passes_the_projects_checks(pytester, rlclaims):
    rlclaims("new", "mine/moves-farther")
    rules = ("--isolated", "--select=E,F,I,UP")  # at its defaults, 88 columns among them
    assert pytester.run(sys.executable, "-m", "ruff", "check", *rules, "claims").ret == 0


@pytest.mark.parametrize("wrong", ["Mine/x", "mine", "mine/", "../x", "mine/x y"])
def test_new_refuses_an_invalid_id(rlclaims, wrong):
    assert "An id is section/sentence in lower case" in rlclaims("new", wrong, code=2)


def test_new_keeps_an_existing_file(rlclaims, pytester):
    rlclaims("new", "mine/x")
    assert "already exists" in rlclaims("new", "mine/x", code=2)


def test_new_refuses_an_invalid_folder(rlclaims, pytester):
    (pytester.path / "claims").write_text("")
    assert "cannot be written" in rlclaims("new", "mine/x", code=2)


def test_list_shows_last_verdicts(rlclaims, judged):
    lines = rlclaims("list").splitlines()
    assert [line.split()[:2] for line in lines[2:]] == [["claim", "supported"], ["other", "not"]]


def test_list_reports_a_mistake_without_pytest_output(rlclaims, judged):
    assert rlclaims("list", "--profile=none", code=2).splitlines() == [
        "ERROR: There is no profile 'none'; there are gate, paper, smoke, standard."
    ]
    assert rlclaims("list", "nowhere", code=2).splitlines() == ["ERROR: file or directory not found: nowhere"]
    (judged / "test_broken.py").write_text("import nothing_of_that_name\n")
    assert "No module named 'nothing_of_that_name'" in rlclaims("list", ".", code=2)


def test_sentences_are_grouped_by_source(rlclaims, pytester):
    pytester.makeconftest(CONFTEST)
    other, paper = (
        one_claim(SUPPORTED, **changes)
        .replace("section/claim", f"section/{name}")
        .replace("test_claim", f"test_{name}")
        for name, changes in (("other", {}), ("paper", {"profiles": ["paper"]}))
    )
    pytester.makepyfile(test_claims=HEADER + one_claim(SUPPORTED, margin=0.5) + other + paper)
    pytester.runpytest_inprocess("--claims-seeds=5", "-k", "not test_other").assert_outcomes(
        passed=1, deselected=1, skipped=1
    )
    record = json.loads((pytester.path / ".rlclaims" / "reports" / "latest" / "claims.json").read_text())
    lines = [line for line in rlclaims("sentences").splitlines() if line]
    assert lines[0] == "# Sentences and their claims"
    place = lines.index(f"## {record['claims'][0]['source']}")
    # All are of one sentence.
    assert lines[place + 1] == "> It is so."
    assert lines[place + 4 :] == [
        "| `section/claim` | supported (5 seeds) |",
        "| `section/other` | not run |",
        "| `section/paper` | in the profile paper alone |",
    ]


def test_sentences_need_a_record(rlclaims, pytester):
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(test_claims=HEADER + one_claim(SUPPORTED))
    assert "claims.json does not exist yet; pytest writes it." in rlclaims("sentences", code=2)


def test_explain_shows_a_claim(rlclaims, judged):
    said = rlclaims("explain", "section/claim")
    record = json.loads((judged / ".rlclaims" / "reports" / "latest" / "claims.json").read_text())
    (look,) = record["claims"][0]["evidence"]["looks"]
    for part in (
        '"It is so."',
        "The number is so.",
        "a test, section 1",
        "margin 0.5",
        f"look at 5 seeds: {look['estimate']:.4g} [{look['lower']:.4g}, {look['upper']:.4g}]",
        "runs ppo: PPO",
        "on InvertedPendulum-v5, 2 iterations, seeds 0 to 4",
        "--claims-replay 0",
    ):
        assert part in " ".join(said.split())  # lines wrap between words


def test_explained_replay_command_works(rlclaims, judged, pytester):
    said = rlclaims("explain", "section/claim")
    (line,) = (line for line in said.splitlines() if "--claims-replay" in line)
    command, *arguments = shlex.split(line.removeprefix("  replay"))
    assert command == "pytest"
    result = pytester.runpytest_inprocess(*arguments)
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines(
        ["rlclaims: PPO-InvertedPendulum-v5-seed0, 2 iterations: the same bits as in the store."]
    )


def test_explained_replay_command_repeats_session_options(rlclaims, judged, pytester):
    pytester.runpytest_inprocess("--claims-seeds=6", "--claims-first-seed=10000", "-k", "not test_other")
    (line,) = (line for line in rlclaims("explain", "section/claim").splitlines() if "--claims-replay" in line)
    assert line.endswith("--claims-first-seed 10000 --claims-seeds 6 --claims-replay 10000")


def test_list_passes_on_pytests_usage_errors(rlclaims, judged):
    (judged / "test_double.py").write_text((judged / "test_claims.py").read_text())
    assert "ERROR: Two claims have the id 'section/claim'" in rlclaims("list", code=2)


def test_list_shows_all_tasks_of_a_profile(rlclaims, pytester):
    pytester.makepyprojecttoml(
        '[tool.rlclaims.profiles.both]\ntasks = ["Hopper-v5", "InvertedPendulum-v5"]\niterations = 2\n'
    )
    rlclaims("new", "mine/x")
    file = pytester.path / "claims" / "test_mine_x.py"
    file.write_text(file.read_text().replace(', "InvertedPendulum-v5", iterations=20', ""))
    assert "x[InvertedPendulum-v5]" in rlclaims("list", "--profile", "both")
    assert "Hopper-v5" in rlclaims("explain", "mine/x[Hopper-v5]", "--profile", "both")


def test_store_belongs_to_the_nearest_project(rlclaims, judged, monkeypatch):
    inner = judged / "inner"
    (inner / "elsewhere" / "runs").mkdir(parents=True)
    (inner / "pyproject.toml").write_text('[tool.rlclaims]\nstore = "elsewhere"\n')
    (inner / "deep").mkdir()
    monkeypatch.chdir(inner / "deep")
    assert rlclaims("store", "ls").splitlines()[-1] == "0 runs"


def test_explain_shows_a_claim_without_verdict(rlclaims, judged):
    assert "judges it" in rlclaims("explain", "section/other")


def test_explain_names_the_nearest_claims(rlclaims, judged):
    assert (
        "There is no claim 'section/nil'. Did you mean section/claim or section/other? rlclaims list lists all."
        in rlclaims("explain", "section/nil", code=2)
    )


def test_report_of_a_bad_record_says_one_thing(rlclaims, judged):
    record = json.loads((judged / ".rlclaims" / "reports" / "latest" / "claims.json").read_text())
    del record["created"]
    (judged / "bad.json").write_text(json.dumps(record))
    (line,) = rlclaims("report", "bad.json", "--store", "empty", code=2).splitlines()
    assert line.startswith("bad.json is no record of claims (it has no 'created')")


def test_list_passes_on_import_errors(rlclaims, judged):
    (judged / "test_broken.py").write_text("import nothing_of_the_kind\n")
    assert "No module named 'nothing_of_the_kind'" in rlclaims("list", code=2)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ('{"format": 1}', "is a record of form 1, and this version reads"),
        ('{"format": 4}', "is no record of claims"),
        ('{"format": 4, "claims": 5}', "is no record of claims"),
        ('{"format": 4, "claims": [{}]}', "is no record of claims"),
        ("[]", "is no record of claims"),
    ],
)
def test_list_refuses_a_record_of_another_format(rlclaims, judged, content, sentence):
    (judged / ".rlclaims" / "reports" / "latest" / "claims.json").write_text(content)
    assert sentence in rlclaims("list", code=2)


def test_list_is_not_wrapped_in_a_pipe(rlclaims, judged, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    file = judged / "test_claims.py"
    file.write_text(file.read_text().replace("It is so.", "It is so. " * 20).replace("/other", f"/{'o' * 40}"))
    lines = rlclaims("list").splitlines()
    (other,) = (line for line in lines if "o" * 40 in line)
    assert "not run" in other and other.endswith(("It is so. " * 20).strip())


def test_list_works_where_warnings_are_errors(pytester, judged):
    pytester.makeini("[pytest]\nfilterwarnings = error\n")
    result = pytester.run(sys.executable, "-c", "from rlclaims.cli import app; app()", "list")
    assert result.ret == 0


def test_list_marks_verdicts_of_a_smoke_run(rlclaims, judged, pytester):
    pytester.runpytest_inprocess("--claims-profile=smoke")
    lines = rlclaims("list").splitlines()
    # The first claim keeps the evidence that it had.
    assert lines[2].split()[:2] == ["claim", "supported"]
    assert lines[3].split()[1:4] == ["smoke", "run", "only"] and "profile smoke" in lines[3]


def test_store_ls_finds_the_store_from_a_subfolder(rlclaims, judged, monkeypatch):
    (judged / "deep").mkdir()
    monkeypatch.chdir(judged / "deep")
    lines = rlclaims("store", "ls").splitlines()
    assert lines[-1] == "5 runs"
    assert lines[1].split()[1] == "2" and lines[1].endswith("finished")


def test_store_verify_finds_damage(rlclaims, judged):
    assert rlclaims("store", "verify") == "5 runs, 0 problems\n"
    (run, *_) = sorted((judged / ".rlclaims" / "runs").iterdir())
    content = bytearray((run / "run.safetensors").read_bytes())
    content[-1] ^= 1
    (run / "run.safetensors").write_bytes(bytes(content))
    said = rlclaims("store", "verify", code=1)
    assert f"{run.name}: run.safetensors is not what was written" in said and "5 runs, 1 problem" in said


def test_store_commands_refuse_a_missing_store(rlclaims, tmp_path):
    assert "There is no store in" in rlclaims("store", "ls", "--store", str(tmp_path / "nil"), code=2)

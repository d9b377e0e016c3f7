import dataclasses
import itertools
import math
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from rlclaims.agents.ppo import PPO, PPOM
from rlclaims.agents.trpo import TRPO
from rlclaims.store import digest
from rlclaims.store.run_spec import RunSpec, SpecError, checked
from rlclaims.studies.registry import Study

TWINS = Study("twins")

HELPERS = '"""Helpers."""\n\ndef square(x):\n    return x * x\n'
ALGORITHM = """
from dataclasses import dataclass
from rlclaims.agents.ppo import PPO
from my_helpers import square

@dataclass(frozen=True)
class Mine(PPO):
    weight: float = 1.0

    def policy_loss(self, ratio_SB, advantage_SB):
        return -(ratio_SB * advantage_SB - self.weight * square(ratio_SB - 1)).mean(1)
"""


@dataclasses.dataclass(frozen=True)
class Odd(PPO):
    extra: object = None


SPEC = RunSpec(PPO(), "Hopper-v5", 100, 0)


@pytest.fixture(autouse=True)
def _no_cached_sources():
    for cached in (digest.training_code, digest._imports, digest._syntax_digest):
        cached.cache_clear()


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """A project of the user's, with an algorithm and its helpers; returns how to digest it after an edit."""
    (tmp_path / "my_helpers.py").write_text(HELPERS)
    (tmp_path / "my_algorithm.py").write_text(ALGORITHM)
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("my_helpers", "my_algorithm"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    import my_algorithm

    def digest_after(file=None, old="", new=""):
        if file is not None:
            path = tmp_path / file
            assert old in path.read_text()
            path.write_text(path.read_text().replace(old, new))
        _clear()
        return digest.run_digest(RunSpec(my_algorithm.Mine(), "Hopper-v5", 100, 0))

    def _clear():
        for cached in (digest.training_code, digest._imports, digest._syntax_digest):
            cached.cache_clear()

    yield digest_after
    for name in ("my_helpers", "my_algorithm"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize(
    "other",
    [
        dataclasses.replace(SPEC, seed=1),
        dataclasses.replace(SPEC, iterations=99),
        dataclasses.replace(SPEC, task="InvertedPendulum-v5"),
        dataclasses.replace(SPEC, algorithm=PPO(clip_epsilon=0.1)),
        dataclasses.replace(SPEC, algorithm=PPO(clip_epsilon=None)),
        dataclasses.replace(SPEC, algorithm=PPOM(learning_rate=3e-4)),
    ],
)
def test_run_digest_changes_with_every_setting(other):
    assert digest.run_digest(other) != digest.run_digest(SPEC)


def test_run_digest_changes_with_library_versions(monkeypatch):
    before, versions = digest.run_digest(SPEC), digest.library_versions()
    monkeypatch.setattr(digest, "library_versions", lambda: {**versions, "mujoco": "0.0"})
    assert digest.run_digest(SPEC) != before


def test_run_digest_covers_an_algorithm_and_its_helpers(mine):
    first = mine()
    assert mine("my_helpers.py", "x * x", "x * x * x") != first
    assert mine("my_helpers.py", "x * x * x", "x * x") == first
    assert mine("my_algorithm.py", "- 1", "- 2") != first


ENVIRONMENT = """
import gymnasium
from my_helpers import square
import safetensors

class Mine(gymnasium.Env):
    observation_space, action_space = gymnasium.spaces.Discrete(3), gymnasium.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return 1, {}

    def step(self, action):
        return int(square(action)), 1.0, False, False, {}

"""
REGISTERS = """
import gymnasium
gymnasium.register("mine/Mine-v0", "my_environment:Mine", max_episode_steps=7)
"""


@pytest.fixture
def of_mine(tmp_path, monkeypatch):
    """The digest of a run in an environment of the user's, in a module of its own, after an edit."""
    files = {"my_helpers": HELPERS, "my_environment": ENVIRONMENT, "my_registry": REGISTERS}
    for name, text in files.items():
        (tmp_path / f"{name}.py").write_text(text)
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    spec = dataclasses.replace(SPEC, task="my_registry:mine/Mine-v0")

    def digest_after(file=None, old="", new=""):
        if file is not None:
            path = tmp_path / file
            assert old in path.read_text()
            path.write_text(path.read_text().replace(old, new))
        for cached in (digest.environment_code, digest.environment_libraries, digest._imports, digest._syntax_digest):
            cached.cache_clear()
        return digest.run_digest(spec)

    yield digest_after
    for name in files:
        sys.modules.pop(name, None)


def test_run_digest_covers_code_of_the_environment(of_mine):
    first = of_mine()
    assert of_mine("my_environment.py", "1.0, False", "2.0, False") != first
    assert of_mine("my_environment.py", "2.0, False, False, {}", "1.0, False, False, {}  # alive") == first
    assert of_mine("my_helpers.py", "x * x", "x + x") != first
    assert of_mine("my_helpers.py", "x + x", "x * x") == first
    assert of_mine("my_registry.py", "max_episode_steps=7", "max_episode_steps=8") != first


def test_run_digest_covers_libraries_of_the_environment(of_mine, monkeypatch):
    first = of_mine()
    assert digest.environment_libraries("my_registry:mine/Mine-v0").keys() == {"gymnasium", "safetensors"}
    # Pictures are drawn by what is imported when they are.
    assert of_mine("my_environment.py", "        return int", "        import pluggy\n        return int") != first
    assert digest.environment_libraries("my_registry:mine/Mine-v0").keys() == {"gymnasium", "safetensors"}
    assert of_mine("my_environment.py", "        import pluggy\n", "") == first
    of_library = digest.version
    monkeypatch.setattr(digest, "version", lambda name: "0.0" if name == "safetensors" else of_library(name))
    assert of_mine() != first


def test_gymnasium_environments_add_only_their_engines():
    assert digest.environment_libraries("CartPole-v1").keys() == {"gymnasium", "numpy"}
    assert digest.environment_code("CartPole-v1") == digest.environment_code("Hopper-v5") == {}
    assert digest.environment_libraries("Hopper-v5") == {}
    assert "mujoco" in digest.environment_libraries("gymnasium.envs.mujoco:Swimmer-v5")


def test_run_digest_ignores_comments_and_docstrings(mine):
    first = mine()
    assert mine("my_helpers.py", '"""Helpers."""', '"""Useful helpers."""  # very') == first


def test_training_code_excludes_judging():
    code = set(digest.training_code(PPO))
    assert {
        "rlclaims.training",
        "rlclaims.update",
        "rlclaims.randomness",
        "rlclaims.agents.ppo",
        "rlclaims.agents.agent",
        "rlclaims.agents.algorithm",
        "rlclaims.agents.networks",
        "rlclaims.agents.advantages",
        "rlclaims.sim.environment",
        "rlclaims.sim.simulator",
        "rlclaims.sim.tasks",
        "rlclaims.sim.normalizer",
    } <= code
    assert not [name for name in code if name.startswith(("rlclaims.claims", "rlclaims.stats", "rlclaims.measures"))]


def test_measuring_code_changes_only_the_measurement_digest(tmp_path, monkeypatch):
    run, measured = digest.run_digest(SPEC), digest.measurement_digest(SPEC)
    copy = tmp_path / "rlclaims" / "measures"
    copy.mkdir(parents=True)
    for path in digest._MEASURES.glob("*.py"):
        (copy / path.name).write_text(path.read_text())
    monkeypatch.setattr(digest, "_OWN_PACKAGE", tmp_path / "rlclaims")
    monkeypatch.setattr(digest, "_MEASURES", copy)
    assert digest.measurement_digest(SPEC) == measured
    (copy / "ratio.py").write_text((copy / "ratio.py").read_text().replace("amax(1)", "amin(1)"))
    digest._syntax_digest.cache_clear()
    assert digest.measurement_digest(SPEC) != measured
    monkeypatch.undo()
    assert digest.run_digest(SPEC) == run


STUDIES = [
    TWINS,
    Study("landscapes"),
    Study("late_updates"),
    Study("large_updates", 4096),
    Study("gradients", 2048),
    Study("near_true_gradients", 2048),
    Study("values"),
    Study("final_returns"),
]


@pytest.fixture
def digest_after(tmp_path, monkeypatch):
    """The digest of what is derived from a run, after an edit of a copy of the code that makes it."""
    measured = digest.measurement_digest(SPEC)
    shutil.copytree(digest._OWN_PACKAGE, tmp_path / "rlclaims", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(digest, "_OWN_PACKAGE", tmp_path / "rlclaims")
    monkeypatch.setattr(digest, "measurement_digest", lambda spec: measured)

    def after(study, file, old, new):
        path = tmp_path / "rlclaims" / file
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new))
        digest._syntax_digest.cache_clear()
        return digest.study_digest(SPEC, study)

    return after


def test_study_digest_covers_study_and_measurements(monkeypatch):
    run, measured = digest.run_digest(SPEC), digest.measurement_digest(SPEC)
    asked = [*STUDIES, Study("large_updates", 4097), Study("gradients", 2049)]
    first = [digest.study_digest(SPEC, study) for study in asked]
    assert len({run, measured, *first}) == 2 + len(asked)
    monkeypatch.setattr(digest, "measurement_digest", lambda spec: "f" * 64)
    assert not {digest.study_digest(SPEC, study) for study in asked} & set(first)


def test_twin_code_changes_only_the_twin_digest(digest_after):
    run, measured, first = digest.run_digest(SPEC), digest.measurement_digest(SPEC), digest.study_digest(SPEC, TWINS)
    assert digest_after(TWINS, "studies/twin_updates/compute.py", "TO_CONVERGENCE = 10", "TO_CONVERGENCE = 11") != first
    assert digest_after(TWINS, "studies/twin_updates/compute.py", "TO_CONVERGENCE = 11", "TO_CONVERGENCE = 10") == first
    assert digest_after(TWINS, "stats/factorial.py", '4: ("ABC",)', '4: ("AB",)') != first
    assert (digest.run_digest(SPEC), digest.measurement_digest(SPEC)) == (run, measured)


# Of each file that measures finished runs, a number in it and the kinds of study that it makes.
OF_FILES = [
    ("landscape", "DIRECTIONS = 20", ("landscapes", "large_updates")),
    ("late_updates", "LATE_EPISODES = 8", ("late_updates",)),
    ("large_updates", "MOST_STEPS = 12_000", ("large_updates",)),
    ("gradients", "BLOCKS = 32", ("gradients", "near_true_gradients")),
    ("values", "STATES = 64", ("values",)),
    ("final_returns", "EPISODES = 32", ("final_returns",)),
]


@pytest.mark.parametrize("study", STUDIES[1:], ids=lambda study: study.name)
def test_study_code_changes_only_its_own_digest(digest_after, study):
    names = [digest.study_digest(SPEC, study)]
    twins = digest.study_digest(SPEC, TWINS)
    shared = [("studies/replayed_run", "GROUPS = 4"), ("episodes", "SLOTS = 128")]
    for file, number in [*shared, *((f"studies/{own}/compute", number) for own, number, _ in OF_FILES)]:
        names.append(digest_after(study, f"{file}.py", number, f"{number}0"))
    changes = [after != before for before, after in itertools.pairwise(names)]
    assert changes == [True, True, *(study.kind in kinds for _, _, kinds in OF_FILES)]
    assert digest.study_digest(SPEC, TWINS) == twins


@pytest.mark.parametrize("study", STUDIES, ids=lambda study: study.name)
def test_study_digest_covers_all_code_of_the_study(study):
    own = digest._OWN_PACKAGE
    covered = {own / name for name in study.definition.code} | set(digest._MEASURES.glob("*.py"))
    below = {name for cls in (PPO, TRPO) for name in digest.training_code(cls)}
    # The package's own table of names computes nothing, nor do those of its parts.
    below |= {"rlclaims", "rlclaims.stats"}
    for path in covered:
        name = ".".join(("rlclaims", *path.relative_to(own).with_suffix("").parts)).removesuffix(".__init__")
        imported = [n for n in digest._imports(path, name) if n.startswith("rlclaims")]
        missing = [n for n in imported if n not in below and (f := digest._file_of(n)) and f not in covered]
        assert not missing, (name, missing)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"""Optimisation 9 of 2005.12729."""', '"""The papers\' optimisation 9."""'),
        ("def jobs() ->", "# of the design\ndef jobs() ->"),
        ('"""Twin updates: ', '"""Twins: '),
    ],
)
def test_twin_digest_ignores_comments_and_docstrings(digest_after, old, new):
    first = digest.study_digest(SPEC, TWINS)
    assert digest_after(TWINS, "studies/twin_updates/compute.py", old, new) == first


def test_training_code_covers_checkpoints_and_not_twins():
    code = set(digest.training_code(PPO))
    assert "rlclaims.checkpoints" in code
    assert "rlclaims.studies.twin_updates.compute" not in code and "rlclaims.stats.factorial" not in code


def test_digests_agree_between_processes():
    program = (
        "from rlclaims.agents.ppo import PPO; from rlclaims.store.run_spec import RunSpec;"
        "from rlclaims.store.digest import measurement_digest;"
        "print(measurement_digest(RunSpec(PPO(), 'Hopper-v5', 100, 0)))"
    )
    printed = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=Path.home()
    )
    assert printed.stdout.strip() == digest.measurement_digest(SPEC)


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        (dataclasses.replace(SPEC, task="Hoper-v5"), "no task 'Hoper-v5'"),
        (dataclasses.replace(SPEC, iterations=0), "positive whole number of iterations"),
        (dataclasses.replace(SPEC, seed=-1), "0 or more"),
        (dataclasses.replace(SPEC, algorithm=Odd(extra=[1])), r"extra is \[1\]"),
        (dataclasses.replace(SPEC, algorithm=Odd(extra=math.nan)), "extra is nan"),
    ],
)
def test_checked_refuses_untrainable_specs(spec, sentence):
    with pytest.raises(SpecError, match=sentence):
        checked(spec)


def test_checked_refuses_a_class_inside_a_function():
    @dataclasses.dataclass(frozen=True)
    class Local(PPO):
        pass

    with pytest.raises(SpecError, match="top of a file"):
        checked(dataclasses.replace(SPEC, algorithm=Local()))


def test_spec_round_trips_through_json():
    spec = RunSpec(PPOM(hidden=(32, 16), gradient_clip=0.5), "Hopper-v5", 7, 3)
    assert RunSpec.from_json(spec.to_json()) == spec

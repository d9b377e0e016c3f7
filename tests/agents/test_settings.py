from dataclasses import dataclass, fields
from itertools import product

import pytest

from rlclaims import PPO, PPOM, TRPO, PPONoClip, TRPOPlus

# MadryLab/implementation-matters: configs/*_ppo.py, *_ppom.py, *_ppo_noclip.py, *_trpo.py and *_trpo_plus.py.
PAPERS = [
    (PPO, "Hopper-v5", {"learning_rate": 3e-4, "value_learning_rate": 2.5e-4, "value_clip": None}),
    (PPO, "Walker2d-v5", {"learning_rate": 4e-4, "value_learning_rate": 3e-4, "value_clip": 0.2}),
    (PPO, "Humanoid-v5", {"learning_rate": 1.5e-4, "value_learning_rate": 1e-4, "value_clip": 0.2}),
    (PPOM, "Hopper-v5", {"learning_rate": 1.7e-4, "value_learning_rate": 4e-4, "value_clip": None}),
    (PPOM, "Walker2d-v5", {"learning_rate": 1e-4, "value_learning_rate": 2e-4, "value_clip": None}),
    (PPOM, "Humanoid-v5", {"learning_rate": 9e-5, "value_learning_rate": 4e-4, "value_clip": None}),
    (PPONoClip, "Hopper-v5", {
        "learning_rate": 6e-5, "value_learning_rate": 4e-4, "gae_lambda": 0.925, "entropy_coefficient": -0.005,
        "value_clip": None, "reward_scaling": "rewards", "initialization": "orthogonal",
        "anneal_learning_rates": True, "reward_clip": 2.5, "observation_clip": 10, "gradient_clip": 4,
    }),
    (PPONoClip, "Walker2d-v5", {
        "learning_rate": 7.25e-5, "value_learning_rate": 6e-4, "gae_lambda": 0.85, "entropy_coefficient": -0.01,
        "value_clip": None, "reward_scaling": "rewards", "initialization": "orthogonal",
        "anneal_learning_rates": True, "reward_clip": 30, "observation_clip": None, "gradient_clip": 0.1,
    }),
    (PPONoClip, "Humanoid-v5", {
        "learning_rate": 2e-5, "value_learning_rate": 5e-5, "gae_lambda": 0.85, "entropy_coefficient": 0.005,
        "value_clip": 0.2, "reward_scaling": "returns", "initialization": "xavier",
        "anneal_learning_rates": False, "reward_clip": 10, "observation_clip": 10, "gradient_clip": 0.5,
    }),
    (TRPO, "Hopper-v5", {"delta": 0.13, "value_learning_rate": 2e-4}),
    (TRPO, "Walker2d-v5", {"delta": 0.04, "value_learning_rate": 3e-4}),
    (TRPO, "Humanoid-v5", {"delta": 0.07, "value_learning_rate": 3e-4}),
    (TRPOPlus, "Hopper-v5", {"delta": 0.04, "value_learning_rate": 2e-4, "value_clip": None}),
    (TRPOPlus, "Walker2d-v5", {"delta": 0.07, "value_learning_rate": 1e-4, "value_clip": None}),
    (TRPOPlus, "Humanoid-v5", {"delta": 0.1, "value_learning_rate": 5e-5, "value_clip": 0.2,
                               "gae_lambda": 0.85, "initialization": "xavier"}),
]  # fmt: skip
COMMON = {
    "steps": 2048, "hidden": (64, 64), "value_epochs": 10, "minibatches": 32, "gamma": 0.99, "gae_lambda": 0.95,
    "adam_epsilon": 1e-5, "normalize_observations": True, "activation": "tanh", "gradient_clip": None,
    "reward_scaling": "returns", "value_baseline": True,
}  # fmt: skip
ON = {
    "scale_rewards": True,
    "initialization": "orthogonal",
    "anneal_learning_rates": True,
    "reward_clip": 10,
    "observation_clip": 10,
}
OFF = {
    "scale_rewards": False,
    "initialization": "xavier",
    "anneal_learning_rates": False,
    "reward_clip": None,
    "observation_clip": None,
}
CLIPPED = {"epochs": 10, "clip_epsilon": 0.2, "normalize_advantages": True, "entropy_coefficient": None}
NATURAL = {
    "conjugate_gradient_steps": 10,
    "damping": 0.1,
    "fisher_fraction": 0.1,
    "backtracks": 10,
    "accept_ratio": 0.1,
}
PER_CLASS = {
    PPO: {**CLIPPED, **ON},
    PPOM: {**CLIPPED, **OFF},
    PPONoClip: {**CLIPPED, "clip_epsilon": None, **ON},
    TRPO: {**NATURAL, **OFF, "value_clip": None},
    TRPOPlus: {**NATURAL, **ON, "anneal_learning_rates": False},
}  # fmt: skip


@pytest.mark.parametrize(("algorithm", "task", "theirs"), PAPERS)
def test_settings_for_a_task_are_the_papers(algorithm, task, theirs):
    expected = {**COMMON, **PER_CLASS[algorithm], **theirs}
    ours = algorithm.for_task(task)
    assert {field.name: getattr(ours, field.name) for field in fields(ours)} == expected


@pytest.mark.parametrize("task", ["Hopper-v5", "Walker2d-v5", "Humanoid-v5"])
def test_ppom_is_ppo_without_the_named_optimisations(task):
    assert [f.name for f in fields(PPO)] == [f.name for f in fields(PPOM)]
    ours, theirs = PPO.for_task(task), PPOM.for_task(task)
    differing = {f.name for f in fields(PPO) if getattr(ours, f.name) != getattr(theirs, f.name)}
    value_clip = set() if task == "Hopper-v5" else {"value_clip"}
    assert differing == {*ON, "learning_rate", "value_learning_rate"} | value_clip


def test_other_tasks_get_the_settings_for_hopper():
    for algorithm in (PPO, PPOM, PPONoClip, TRPO, TRPOPlus):
        assert algorithm.for_task("InvertedPendulum-v5") == algorithm() == algorithm.for_task("Hopper-v5")


def test_changes_go_on_top_of_the_papers_settings():
    changed = PPO.for_task("Walker2d-v5", learning_rate=1.0)
    assert (changed.learning_rate, changed.value_clip) == (1.0, 0.2)


@dataclass(frozen=True)
class Faster(PPO):
    learning_rate: float = 1e-3


@dataclass(frozen=True)
class AsOnHopper(PPO):
    learning_rate: float = 3e-4  # which is PPO's own default, but set here


@pytest.mark.parametrize("mine", [Faster, AsOnHopper])
def test_a_subclass_default_wins_over_the_papers_settings(mine):
    ours = mine.for_task("Walker2d-v5")
    assert ours.learning_rate == mine().learning_rate
    assert (ours.value_learning_rate, ours.value_clip) == (3e-4, 0.2)


def test_an_unknown_setting_is_refused_by_name():
    with pytest.raises(ValueError, match=r"PPO has no setting 'learning_rat'; it has .*learning_rate"):
        PPO.for_task("Hopper-v5", learning_rat=1.0)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"steps": 100}, r"steps \(100\) must be a multiple of minibatches \(32\)"),
        ({"steps": 0}, "steps must be a positive"),
        ({"gamma": 1.1}, "must lie in"),
        ({"initialization": "zeros"}, "not 'zeros'"),
        ({"activation": "gelu"}, "not 'gelu'"),
        ({"reward_clip": 0.0}, "reward_clip must be a positive"),
        ({"value_clip": 0.0}, "value_clip must be a positive"),
        ({"gradient_clip": -1.0}, "gradient_clip must be a positive"),
        ({"value_baseline": None}, "value_baseline must be True or False, not None"),
        ({"normalize_advantages": 1}, "normalize_advantages must be True or False, not 1"),
        ({"entropy_coefficient": 0}, "entropy_coefficient must be a number other than 0, or None for off, not 0"),
        ({"entropy_coefficient": float("nan")}, "entropy_coefficient must be a number other than 0.* not nan"),
        ({"entropy_coefficient": "low"}, "entropy_coefficient must be a number other than 0.* not 'low'"),
        ({"reward_scaling": "values"}, "reward_scaling must be 'returns' or 'rewards', not 'values'"),
        (
            {"reward_scaling": "rewards", "scale_rewards": False},
            "reward_scaling='rewards' selects how rewards are scaled and needs scale_rewards=True",
        ),
    ],
)
def test_settings_that_do_not_fit_are_refused(changes, sentence):
    with pytest.raises(ValueError, match=f"PPO: .*{sentence}"):
        PPO(**changes)


# In their order in the paper.
OPTIMISATIONS = {
    "value_clip": (0.2, None),
    "scale_rewards": (True, False),
    "initialization": ("orthogonal", "xavier"),
    "anneal_learning_rates": (True, False),
    "reward_clip": (10.0, None),
    "normalize_observations": (True, False),
    "observation_clip": (10.0, None),
    "activation": ("tanh", "relu"),
    "gradient_clip": (0.5, None),
}


@pytest.mark.parametrize("algorithm", [PPO, TRPO])
def test_each_of_the_nine_optimisations_can_be_switched_alone(algorithm):
    made = set()
    for values in product(*OPTIMISATIONS.values()):
        one = algorithm.for_task("Walker2d-v5", **dict(zip(OPTIMISATIONS, values, strict=True)))
        one.check()
        assert tuple(getattr(one, name) for name in OPTIMISATIONS) == values
        made.add(one)
    assert len(made) == 2**9

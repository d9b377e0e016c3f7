"""Options, specs, settings and declarations: one function each, which draws bad input and returns the outcome."""

import json
import math
from dataclasses import replace
from types import SimpleNamespace

import pytest
from bad_input import (
    ALGORITHMS,
    NUMBERS,
    changes_of,
    check_sentence,
    item_taking,
    outcome,
    plain,
    rubbish,
    texts,
    write,
)  # fmt: skip
from hypothesis import strategies as st

import rlclaims
from rlclaims.adapters.lookup import find_subject
from rlclaims.adapters.loop import Loop
from rlclaims.adapters.script import Script
from rlclaims.execution.cohorts import cohorts, plan
from rlclaims.planning.profile import PROFILES
from rlclaims.planning.request import RunsRequest
from rlclaims.pytest_plugin.options import Settings, _resolve
from rlclaims.pytest_plugin.project import project_of, store_folder
from rlclaims.pytest_plugin.session import STUDIES, ClaimSession
from rlclaims.pytest_plugin.trial_run import ImaginedRuns
from rlclaims.store.run_spec import RunSpec, SpecError

# ---- options and pyproject.toml


def toml(value):
    match value:
        case bool():
            return str(value).lower()
        case float():
            return "nan" if math.isnan(value) else str(value)
        case int():
            return str(value)
        case str():
            return json.dumps(value)
        case list():
            return f"[{', '.join(map(toml, value))}]"
        case dict():
            return f"{{{', '.join(f'{json.dumps(k)} = {toml(v)}' for k, v in value.items())}}}"
    return "0"


FIELDS = ["tasks", "iterations", "looks", "alpha", "family_rate", "evidence", "name", "é", "seeds"]
like = st.sampled_from(
    [["Hopper-v5"], ["x"], [], [6, 8], [5], [6, 6], [4], [1000, 10**30], 1, 0, 10**7, 0.05, 0.5, 1e-9, True, "a"]
)
profile_tables = st.dictionaries(
    st.one_of(st.sampled_from(["smoke", "standard", "mine", "é"]), st.text(max_size=5)),
    st.one_of(plain, st.dictionaries(st.sampled_from(FIELDS), st.one_of(like, plain), max_size=3)),
    max_size=2,
)
gate_tables = st.dictionaries(
    st.sampled_from(["subject", "mean_kl", "constraint", "exceedance", "held_out_agreement", "é", "kl"]),
    st.one_of(plain, st.just("rlclaims:PPO"), st.just(0.1)),
    max_size=3,
)
tables = st.fixed_dictionaries(
    {},
    optional={
        "profile": st.one_of(plain, st.sampled_from(["smoke", "mine"])),
        "store": plain,
        "report": plain,
        "profiles": st.one_of(profile_tables, plain),
        "gate": st.one_of(gate_tables, plain),
        "é": plain,
        "seeds": plain,
    },
)
MALFORMED = (
    "[", "[tool", "tool = 1", "tool = []", "[tool]\nrlclaims = 3", "[[tool.rlclaims]]", "[tool.rlclaims]\na = ",
    "\0", "a = " + "[" * 5000, "[tool.rlclaims]\nprofile = 'x'\nprofile = 'y'", "\ufeff[tool.rlclaims]",
    "[tool.rlclaims.profiles.a.b.c.d]", "a = " + "{b=" * 3000,
)  # fmt: skip
malformed = st.sampled_from(MALFORMED)
pyprojects = st.one_of(
    tables.map(lambda table: f"tool = {{rlclaims = {toml(table)}}}"),
    plain.map(lambda value: f"tool = {{rlclaims = {toml(value)}}}"),
    malformed,
    st.text(max_size=20),
    st.just(""),
)
whole = st.one_of(
    st.none(),
    st.none(),
    st.integers(-2, 1100),
    st.sampled_from([n for n in NUMBERS if type(n) is int and abs(n) < 10**4000]),
)
flags = st.sampled_from([False, False, False, True])


def options(draw, folder):
    write(folder / "pyproject.toml", draw(pyprojects))
    (folder / "night.json").unlink(missing_ok=True)
    option = SimpleNamespace(
        claims_profile=draw(st.one_of(st.none(), st.sampled_from(["smoke", "standard", "mine"]), texts)),
        claims_seeds=draw(whole),
        claims_first_seed=draw(whole) or 0,
        claims_dry_run=draw(flags),
        claims_strict=draw(flags),
        claims_store=draw(st.one_of(st.none(), texts)),
        claims_report=draw(st.one_of(st.none(), texts)),
        claims_processes=draw(whole),
        claims_executor=draw(st.one_of(st.none(), st.sampled_from(["local", "ray"]), texts)),
        claims_replay=draw(whole),
        claims_ahead=draw(flags),
        claims_subject=draw(st.one_of(st.none(), texts)),
        claims_bound=draw(
            st.one_of(
                st.none(),
                st.lists(
                    st.one_of(
                        texts,
                        st.sampled_from(
                            ["mean_kl=0.1", "mean_kl=", "mean_kl=nan", "mean_kl=1e999", "=1", "mean_kl=1_0", "kl=1"]
                        ),
                    ),
                    max_size=2,
                ),
            )
        ),
        claims_nightly=draw(
            st.one_of(
                st.none(),
                st.sampled_from([str(folder / "night.json"), str(folder), str(folder / "no" / "night.json")]),
                texts,
            )
        ),
        claims_run_length=draw(whole),
        claims_write_pilots=draw(flags),
    )
    config = SimpleNamespace(option=option, rootpath=folder)

    def resolve():
        asked = _resolve(config)
        session = ClaimSession(asked)
        pole = "InvertedPendulum-v5"
        session.resolve(RunsRequest(rlclaims.PPO, pole, block=9), pole).seeds(asked.profile.seeds)
        if asked.subject is not None:
            _ = session.subject
        if asked.store.resolve().is_relative_to(folder):  # write only below the test's folder
            session.prepare_store()
        project_of(folder)
        store_folder(None, folder)

    return outcome(resolve, pytest.UsageError)


# ---- fixtures


def claim_session(folder, profile="standard"):
    chosen = replace(PROFILES[profile], looks=(5,), tasks=("InvertedPendulum-v5",))
    return ClaimSession(
        Settings(
            profile=chosen,
            profiles=tuple(PROFILES),
            first_seed=0,
            store=folder / "store",
            report=folder / "report",
            baselines=folder,
            processes=2,
            on_ray=False,
            ahead=False,
            subject=None,
            bounds={},
            writes_pilots=False,
            nights=None,
        )
    )


def accepted_runs(session, item, ask):
    """Do everything that a session does with runs before it trains them."""
    session.check([item])
    n = session.profile.seeds
    imagined = [ImaginedRuns(name, runs, n, 0) for name, runs in session.resolved(item).items()]
    for runs in imagined:
        repr(runs.results)
        ask(runs.results)
    item.stash[STUDIES] = {"mine": tuple(imagined[0].asked)}
    wanted, studied = session.wanted([item], n), session.studied([item], n)
    for run in wanted[:1]:
        assert RunSpec.from_json(json.loads(json.dumps(run.to_json()))) == run
    planned = plan(wanted, session.store)
    assert planned.missing
    cohorts(planned.missing, 2)
    for run, study in studied[:1]:
        assert not session.store.has_study(run, study)
        study.expected_steps(run)
    session.prepare_store()
    session.store.folder(wanted[0]).mkdir(exist_ok=True)
    session.store.folder(wanted[0]).rmdir()


FIXTURES = {"runs": rlclaims.runs, "factorial": rlclaims.factorial}
STUDY_OF_RUNS = {
    "none": lambda runs: None,
    "twins": lambda runs: runs.twins,
    "landscape": lambda runs: runs.landscape,
    "late_updates": lambda runs: runs.late_updates,
    "large_updates": lambda runs, **options: runs.large_updates(**{"pairs": 4096, **options}),
    "gradients": lambda runs, **options: runs.gradients(**options),
    "values": lambda runs: runs.values,
    "final_returns": lambda runs: runs.final_returns,
}
usual_tasks = st.sampled_from([None, "InvertedPendulum-v5", "Hopper-v5"])


def checked_runs(draw, folder, make, ask=lambda runs: None):
    session = claim_session(folder, draw(st.sampled_from(["standard", "standard", "smoke"])))

    def check():
        accepted_runs(session, item_taking({"mine": make()}), ask)

    return outcome(check, (pytest.UsageError, rlclaims.ClaimError, SpecError))


def specs(draw, folder):
    """Draw arguments of the functions that make fixtures, and of the studies of runs."""
    fixture = draw(st.sampled_from(sorted(FIXTURES)))
    study = draw(st.sampled_from(sorted(STUDY_OF_RUNS))) if fixture == "runs" else "none"
    algorithm = draw(st.one_of(st.sampled_from(ALGORITHMS), st.sampled_from(ALGORITHMS), rubbish))
    known = {"iterations": rubbish, "block": rubbish}
    options = {"large_updates": {"pairs": rubbish}, "gradients": {"pairs": rubbish, "near_true": rubbish}}
    if fixture == "factorial":
        tuned = st.dictionaries(st.sampled_from(["learning_rate", "epochs", "é"]), rubbish, max_size=2)
        known |= {"full": rubbish, "tuned": st.one_of(rubbish, tuned)}
    given = draw(st.fixed_dictionaries({}, optional=known))
    asked = draw(st.fixed_dictionaries({}, optional=options.get(study, {})))
    if draw(st.integers(0, 2)) == 0 and isinstance(algorithm, type) and issubclass(algorithm, rlclaims.Algorithm):
        given |= draw(changes_of(algorithm))
    if fixture == "factorial" and draw(st.booleans()):
        pair = st.one_of(st.tuples(rubbish, rubbish), st.just((1e-3, 1e-4)), st.just((lambda x: x, lambda x: 1 / 0)))
        given |= draw(st.dictionaries(st.sampled_from(["learning_rate", "epochs", "gamma", "é"]), pair, max_size=2))
    task = draw(st.one_of(usual_tasks, usual_tasks, rubbish))
    return checked_runs(
        draw,
        folder,
        lambda: FIXTURES[fixture](algorithm, task, **given),
        lambda runs: STUDY_OF_RUNS[study](runs, **asked),
    )


def settings(draw, folder):
    """Draw settings of an algorithm, given for its class."""
    algorithm = draw(st.sampled_from(ALGORITHMS))
    changes = draw(changes_of(algorithm))
    return checked_runs(draw, folder, lambda: rlclaims.runs(algorithm, "InvertedPendulum-v5", iterations=2, **changes))


def instances(draw, folder):
    algorithm = draw(st.sampled_from(ALGORITHMS))
    changes = {name: value for name, value in draw(changes_of(algorithm)).items() if hasattr(algorithm, name)}
    return outcome(lambda: algorithm(**changes), ValueError)


def tasks(draw, folder):
    task = draw(texts)
    return checked_runs(draw, folder, lambda: rlclaims.runs(rlclaims.PPO, task))


def adapters(draw, folder):
    """Draw arguments of the adapters for external training."""
    from rlclaims.adapters.sb3 import SB3

    write(folder / "script.py", "pass\n")
    script = str(folder / "script.py")
    choice = draw(
        st.one_of(
            st.tuples(
                st.just(SB3),
                st.just({}),
                st.fixed_dictionaries(
                    {"name": st.one_of(rubbish, st.sampled_from(["PPO", "A2C", "TRPO", "DQN"]))},
                    optional={
                        "policy": rubbish,
                        "environments": rubbish,
                        "normalize": rubbish,
                        "settings": rubbish,
                        "n_steps": rubbish,
                        "gamma": rubbish,
                        "batch_size": rubbish,
                        "clip_range": rubbish,
                        "policy_kwargs": st.one_of(rubbish, plain),
                    },
                ),
            ),
            st.tuples(
                st.just(Script),
                st.just({"path": script, "steps_between_updates": 2048}),
                st.fixed_dictionaries(
                    {},
                    optional={
                        "path": rubbish,
                        "steps_between_updates": rubbish,
                        "arguments": st.one_of(rubbish, st.tuples(texts), st.tuples(rubbish)),
                        "epsilon": rubbish,
                    },
                ),
            ),
            st.tuples(
                st.just(Loop),
                st.just({"function": "small_runs:trained", "steps_between_updates": 2048}),
                st.fixed_dictionaries(
                    {},
                    optional={
                        "function": rubbish,
                        "steps_between_updates": rubbish,
                        "epsilon": rubbish,
                        "held_out": rubbish,
                    },
                ),
            ),
        )
    )
    cls, usual, given = choice
    try:
        adapter = cls(**{**usual, **given})
    except ValueError as error:
        check_sentence(str(error))
        return "refused"
    task = draw(st.one_of(st.just("Pendulum-v1"), st.just("Pendulum-v1"), texts))
    return checked_runs(draw, folder, lambda: rlclaims.runs(adapter, task))


def subjects(draw, folder):
    name = draw(st.one_of(texts, st.tuples(texts, texts).map(":".join)))
    return outcome(lambda: find_subject(name), ValueError)


# ---- declarations


def declarations(draw, folder):
    here = rlclaims.source("here")
    kind = draw(st.sampled_from(["claim", "theorem", "family", "source"]))
    if kind == "family":
        given = draw(st.fixed_dictionaries({"name": rubbish, "size": rubbish}, optional={"rate": rubbish}))
        name = given.pop("name")
        return outcome(lambda: rlclaims.family(name, **given), rlclaims.ClaimError)
    usual = {"id": "a/b", "source": here, "says": "a", "means": "b"}
    known = dict.fromkeys([*usual, "expected", "evidence"], rubbish)
    if kind == "source":
        where, work = draw(rubbish), draw(rubbish)

        def declare_source():
            declared = rlclaims.source(where, work)
            rlclaims.claim("a/b", declared, says="a", means="b")
            str(declared)

        return outcome(declare_source, rlclaims.ClaimError)
    if kind == "claim":
        known |= dict.fromkeys(["margin", "family"], rubbish)
        known["profiles"] = st.one_of(rubbish, st.lists(rubbish, max_size=2))
    given = {**usual, **draw(st.fixed_dictionaries({}, optional=known))}
    function = draw(st.one_of(st.just(None), rubbish))

    def declare():
        declared = getattr(rlclaims, kind)(**given)
        if function is not None:
            declared(function)

        def test():
            pass

        declared(test)
        hash(getattr(test, f"__rlclaims_{kind}__"))
        f"{getattr(test, f'__rlclaims_{kind}__')!r} {getattr(test, f'__rlclaims_{kind}__').source}"

    return outcome(declare, rlclaims.ClaimError)

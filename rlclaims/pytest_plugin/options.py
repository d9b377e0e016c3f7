"""The options of a session: pytest's command line, and `[tool.rlclaims]` in the project's pyproject.toml.

This module imports nothing heavy, because pytest imports it in every project that has rlclaims installed.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from rlclaims.pytest_plugin.project import given_or, path_of, read_table, report_folder, store_folder, unknown
from rlclaims.text import describe

BOUNDS = ("mean_kl", "constraint", "exceedance", "held_out_agreement")
"""Names of the gate's bounds."""
EXECUTORS = ("local", "ray")
"""Places where training processes can run."""
TASK = "_claims_task"
"""Name of the fixture that gives the profile's task to runs that name none."""

if TYPE_CHECKING:
    from rlclaims.nightly.ledger import Nights
    from rlclaims.planning.profile import Profile


def add_options(parser: pytest.Parser) -> None:
    """Register the options; their values are plain types, as xdist requires."""
    group = parser.getgroup("rlclaims", "claims about reinforcement-learning algorithms")

    def add(name: str, text: str, **keywords: Any) -> None:
        group.addoption(f"--claims-{name}", help=text, **keywords)

    add(
        "profile",
        "budget of the session: smoke, standard, gate, paper, or a profile of pyproject.toml (default: standard)",
        metavar="NAME",
    )
    add("seeds", "runs per algorithm, judged in a single look (default: the profile's looks)", type=int, metavar="N")
    add(
        "first-seed",
        "first seed; another value replicates on fresh seeds (default: 0)",
        type=int,
        default=0,
        metavar="N",
    )
    add("dry-run", "print the runs that would be trained, with time and disk space, and exit", action="store_true")
    add("strict", "fail the session if a claim is inconclusive", action="store_true")
    add("store", "folder of finished runs (default: RLCLAIMS_STORE, or .rlclaims in the project)", metavar="DIR")
    add("report", "folder for claims.json and the report (default: reports/latest in the store)", metavar="DIR")
    add("processes", "number of training processes (default: one per core)", type=int, metavar="N")
    add(
        "executor",
        "where training runs: local (this machine) or ray (a Ray cluster) (default: local)",
        metavar="NAME",
    )
    add(
        "replay",
        "train the claims' runs of one seed again, each alone, and compare them bit for bit with the store",
        type=int,
        metavar="SEED",
    )
    add(
        "ahead",
        "train the runs of all looks before the first look; faster if some claim will need them all, and without "
        "influence on any verdict",
        action="store_true",
    )
    add(
        "subject",
        "algorithm that rlclaims.gate tests: my_pkg.algos:MyPPO, sb3:PPO or cleanrl:script.py",
        metavar="NAME",
    )
    add(
        "bound",
        "bound for rlclaims.gate, such as mean_kl=0.02; can be repeated",
        action="append",
        metavar="NAME=NUMBER",
    )
    add(
        "nightly",
        "use fresh seeds in each session, accumulate the evidence in FILE, and fail only at its alarm",
        metavar="FILE",
    )
    add(
        "run-length",
        "with --claims-nightly: at least N sessions between false alarms, on average (default: 1000)",
        type=int,
        metavar="N",
    )
    add("no-figures", "write the report without figures, which is faster", action="store_true")
    add("write-pilots", "write the spread over development seeds to pilots.json", action="store_true")


@dataclass(frozen=True)
class Settings:
    """The resolved options of a session."""

    profile: "Profile"
    """Budget, with --claims-seeds applied."""
    profiles: tuple[str, ...]
    """Names of all available profiles, sorted."""
    first_seed: int
    """First seed of block 0."""
    store: Path
    """Folder of finished runs."""
    report: Path
    """Folder for claims.json."""
    baselines: Path
    """Folder of saved baselines."""
    processes: int | None
    """Training processes; None for one per core."""
    on_ray: bool
    """True if training runs on a Ray cluster."""
    ahead: bool
    """True to train the runs of all looks before the first look."""
    subject: str | None
    """Name of the algorithm that the gate tests."""
    bounds: Mapping[str, float]
    """Bounds of the gate, by name."""
    writes_pilots: bool
    """True to write the spread over seeds to pilots.json."""
    nights: "Nights | None"
    """Evidence of earlier sessions; None without --claims-nightly."""


_SETTINGS = pytest.StashKey[Settings]()


def settings(config: pytest.Config) -> Settings:
    """Return the session's settings, resolved once.

    Raises:
        pytest.UsageError: an option is invalid.
    """
    if _SETTINGS not in config.stash:
        config.stash[_SETTINGS] = _resolve(config)
    return config.stash[_SETTINGS]


def _resolve(config: pytest.Config) -> Settings:
    from rlclaims.planning.profile import DEVELOPMENT_SEEDS

    option = config.option
    table = read_table(config.rootpath / "pyproject.toml")
    known = _profiles(table)
    profile = _profile(option, table, known)
    if option.claims_first_seed < 0:
        raise pytest.UsageError(f"--claims-first-seed is a number from 0 up, not {option.claims_first_seed}.")
    if option.claims_processes is not None and option.claims_processes < 1:
        raise pytest.UsageError(f"--claims-processes is a number from 1 up, not {option.claims_processes}.")
    if option.claims_dry_run and option.claims_replay is not None:
        raise pytest.UsageError("--claims-dry-run trains nothing and --claims-replay does: drop one of the two.")
    if option.claims_run_length is not None and option.claims_nightly is None:
        raise pytest.UsageError("--claims-run-length needs --claims-nightly FILE: add that option.")
    if option.claims_strict and not profile.evidence:
        raise pytest.UsageError(
            f"--claims-strict fails inconclusive claims, and {profile.no_evidence}: drop one of the two."
        )
    if option.claims_write_pilots and not profile.evidence:
        raise pytest.UsageError(
            f"--claims-write-pilots measures the spread over seeds, and {profile.no_evidence}: choose another profile."
        )
    if option.claims_write_pilots and option.claims_first_seed not in DEVELOPMENT_SEEDS:
        raise pytest.UsageError(
            "Pilots are made on development seeds, never on the seeds that judge: add --claims-first-seed "
            f"{DEVELOPMENT_SEEDS.start} to --claims-write-pilots."
        )

    subject = given_or(option.claims_subject, table.get("gate", {}).get("subject"))
    if not isinstance(subject, str | None):
        raise pytest.UsageError(
            f"The gate's subject must be a string such as 'my_pkg.algos:MyPPO', not {describe(subject)}."
        )
    nights = None
    first_seed = option.claims_first_seed
    if option.claims_nightly is not None:
        nights = _nights(option, profile, subject)
        # An e-value needs a number of seeds that does not depend on their data: a single look.
        profile = replace(profile, looks=profile.looks[-1:])
        first_seed = nights.first_seed
    store = store_folder(option.claims_store, config.rootpath)
    return Settings(
        profile=profile,
        profiles=tuple(sorted(known)),
        first_seed=first_seed,
        store=store,
        report=report_folder(option.claims_report, config.rootpath, store),
        baselines=config.rootpath / "reports" / "baselines",
        processes=option.claims_processes,
        on_ray=_executor(given_or(option.claims_executor, table.get("executor", EXECUTORS[0]))) == "ray",
        ahead=option.claims_ahead,
        subject=subject,
        bounds=_bounds(option.claims_bound or (), table.get("gate", {})),
        writes_pilots=option.claims_write_pilots,
        nights=nights,
    )


def _executor(name: str) -> str:
    """Return a name of `EXECUTORS` if it is available.

    Raises:
        pytest.UsageError: it does not exist, or is not installed.
    """
    from importlib.util import find_spec

    if name not in EXECUTORS:
        raise pytest.UsageError(unknown("There is no executor", name, EXECUTORS))
    if name == "ray" and find_spec("ray") is None:
        raise pytest.UsageError("The executor 'ray' needs Ray: pip install 'rlclaims[ray]'.")
    return name


def _nights(option: Any, profile: "Profile", subject: str | None) -> "Nights":
    """Read the evidence of earlier sessions.

    Raises:
        pytest.UsageError: it cannot be read, or another option conflicts with --claims-nightly.
    """
    from rlclaims.nightly.ledger import RUN_LENGTH, NightsError, read_nights

    for other, value in (("first-seed", option.claims_first_seed), ("write-pilots", option.claims_write_pilots)):
        if value:
            raise pytest.UsageError(f"--claims-nightly chooses fresh seeds itself: leave out --claims-{other}.")
    if not profile.evidence:
        raise pytest.UsageError(
            f"--claims-nightly accumulates evidence, and {profile.no_evidence}: choose another profile."
        )
    if option.claims_run_length is not None and option.claims_run_length < 1:
        raise pytest.UsageError(f"--claims-run-length is a number from 1 up, not {option.claims_run_length}.")
    try:
        nights = read_nights(path_of(option.claims_nightly), option.claims_run_length or RUN_LENGTH, subject)
    except NightsError as error:
        raise pytest.UsageError(str(error)) from None
    if option.claims_run_length not in (None, nights.run_length):
        raise pytest.UsageError(
            f"{nights.path} was started with a run length of {nights.run_length} sessions, and --claims-run-length "
            f"asks for {option.claims_run_length}: leave the option out, or name another file."
        )
    return nights


def _bounds(given: Sequence[str], table: dict[str, Any]) -> dict[str, float]:
    """Return the gate's bounds: those of the project, replaced by those of the command line.

    Raises:
        pytest.UsageError: a bound is invalid.
    """
    bounds: dict[str, Any] = {name: value for name, value in table.items() if name != "subject"}
    seen: set[str] = set()
    for text in given:
        name, _, number = text.partition("=")
        if name in seen:
            raise pytest.UsageError(f"--claims-bound gives {describe(name)} more than once; give it once.")
        seen.add(name)
        try:
            bounds[name] = float(number)
        except ValueError:
            raise pytest.UsageError(
                f"--claims-bound takes a name and a number such as mean_kl=0.02, not {describe(text)}."
            ) from None
    for name, value in bounds.items():
        if name not in BOUNDS:
            raise pytest.UsageError(unknown("The gate has no bound", name, BOUNDS))
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
            raise pytest.UsageError(f"The gate's bound {name} must be a positive number, not {describe(value)}.")
    return {name: float(value) for name, value in bounds.items()}


def _profiles(table: dict[str, Any]) -> "dict[str, Profile]":
    from rlclaims.planning.profile import ProfileError, profiles

    try:
        return profiles(table.get("profiles", {}))
    except ProfileError as error:
        raise pytest.UsageError(f"pyproject.toml: {error}") from None


def _profile(option: Any, table: dict[str, Any], known: "dict[str, Profile]") -> "Profile":
    from rlclaims.planning.profile import MOST_SEEDS
    from rlclaims.stats.verdict import MIN_SEEDS

    name = given_or(option.claims_profile, table.get("profile", "standard"))
    if name not in known:
        raise pytest.UsageError(unknown("There is no profile", name, sorted(known)))
    profile = known[name]
    seeds = option.claims_seeds
    if seeds is None:
        return profile
    if not MIN_SEEDS <= seeds <= MOST_SEEDS:
        raise pytest.UsageError(
            f"A verdict needs at least {MIN_SEEDS} seeds, and at most {MOST_SEEDS}; --claims-seeds asks for {seeds}."
        )
    return replace(profile, looks=(seeds,))

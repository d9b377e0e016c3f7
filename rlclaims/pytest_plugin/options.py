"""What a session is asked for: pytest's options, and `[tool.rlclaims]` in the project's pyproject.toml.

It imports nothing heavy, as pytest does it in every project that has rlclaims installed.
"""

import math
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from rlclaims.text import describe, describe_error

BOUNDS = ("mean_kl", "constraint", "exceedance", "held_out_agreement")
"""That the gate may be given."""
EXECUTORS = ("local", "ray")
"""Where training processes run."""
TASK = "_claims_task"
"""The fixture that runs take which name no task."""

if TYPE_CHECKING:
    from rlclaims.nightly.ledger import Nights
    from rlclaims.planning.profile import Profile


def add_options(parser: pytest.Parser) -> None:
    """Options are plain types, for xdist."""
    group = parser.getgroup("rlclaims", "claims about reinforcement-learning algorithms")

    def add(name: str, text: str, **how: Any) -> None:
        group.addoption(f"--claims-{name}", help=text, **how)

    add("profile", "budget of the suite: smoke, standard, paper, or one of pyproject.toml", metavar="NAME")
    add("seeds", "runs per algorithm, looked at once (default: the profile's looks)", type=int, metavar="N")
    add("first-seed", "first seed; another replicates on fresh seeds", type=int, default=0, metavar="N")
    add("dry-run", "print what would be trained, how long and how large, and train nothing", action="store_true")
    add("strict", "an inconclusive claim fails the session", action="store_true")
    add("store", "finished runs (default: RLCLAIMS_STORE, or .rlclaims in the project)", metavar="DIR")
    add("report", "where claims.json goes (default: reports/latest in the store)", metavar="DIR")
    add("processes", "training processes (default: one per core)", type=int, metavar="N")
    add("executor", "where they run: local, this machine, or ray, the nodes of a Ray cluster", metavar="NAME")
    add(
        "replay",
        "train the claims' runs of one seed again, alone, and compare with the store",
        type=int,
        metavar="SEED",
    )
    add(
        "ahead",
        "make the runs of all looks before the first, which is quicker where some claim stays open to the last; no "
        "verdict depends on it",
        action="store_true",
    )
    add(
        "subject",
        "the algorithm that rlclaims.gate is about: my_pkg.algos:MyPPO, sb3:PPO, cleanrl:script.py",
        metavar="NAME",
    )
    add(
        "bound",
        "a bound of rlclaims.gate, such as mean_kl=0.02; may be given more than once",
        action="append",
        metavar="NAME=NUMBER",
    )
    add(
        "nightly",
        "take fresh seeds in each session, gather the evidence in this file, and fail only at its alarm",
        metavar="FILE",
    )
    add(
        "run-length",
        "sessions between false alarms of --claims-nightly, on average and at least (default: 1000)",
        type=int,
        metavar="N",
    )
    add("no-figures", "leave figures out of the page, which is written sooner", action="store_true")
    add("write-pilots", "write the spread over development seeds into pilots.json", action="store_true")


@dataclass(frozen=True)
class Settings:
    """What a session is asked for, resolved."""

    profile: "Profile"
    """The budget, with the looks of --claims-seeds if it is given."""
    profiles: tuple[str, ...]
    """Names of all that there are, in order."""
    first_seed: int
    """Of the runs of block 0."""
    store: Path
    """Where finished runs are."""
    report: Path
    """Where claims.json goes."""
    baselines: Path
    """Where baselines are."""
    processes: int | None
    """Training processes, or None for one per core."""
    on_ray: bool
    """Whether they run on a Ray cluster."""
    ahead: bool
    """Whether the runs of all looks are made before the first."""
    subject: str | None
    """The name of the algorithm that the gate is about."""
    bounds: Mapping[str, float]
    """Those of the gate, by name."""
    writes_pilots: bool
    """Whether the spread over seeds goes into pilots.json."""
    nights: "Nights | None"
    """Where the evidence of earlier sessions stands, if it is gathered."""


_SETTINGS = pytest.StashKey[Settings]()


def settings(config: pytest.Config) -> Settings:
    """What this session is asked for.

    Raises:
        pytest.UsageError: it makes no sense.
    """
    if _SETTINGS not in config.stash:
        config.stash[_SETTINGS] = _resolved(config)
    return config.stash[_SETTINGS]


def _resolved(config: pytest.Config) -> Settings:
    from rlclaims.planning.profile import DEVELOPMENT_SEEDS

    option, table = config.option, _table(config.rootpath / "pyproject.toml")
    known = _profiles(table)
    profile = _profile(option, table, known)
    if option.claims_first_seed < 0:
        raise pytest.UsageError(f"--claims-first-seed is a number from 0 up, not {option.claims_first_seed}.")
    if option.claims_processes is not None and option.claims_processes < 1:
        raise pytest.UsageError(f"--claims-processes is a number from 1 up, not {option.claims_processes}.")
    if option.claims_dry_run and option.claims_replay is not None:
        raise pytest.UsageError("--claims-dry-run trains nothing and --claims-replay does: drop one of the two.")
    if option.claims_run_length is not None and option.claims_nightly is None:
        raise pytest.UsageError("--claims-run-length is of --claims-nightly FILE: add that.")
    if option.claims_strict and not profile.evidence:
        raise pytest.UsageError(
            f"--claims-strict fails claims that are left open, and {profile.no_evidence}: drop one of the two."
        )
    if option.claims_write_pilots and not profile.evidence:
        raise pytest.UsageError(
            f"A pilot tells the spread over seeds, and {profile.no_evidence}: choose another profile."
        )
    if option.claims_write_pilots and option.claims_first_seed not in DEVELOPMENT_SEEDS:
        raise pytest.UsageError(
            "A pilot is made on development seeds, which are not those that judge: add --claims-first-seed "
            f"{DEVELOPMENT_SEEDS.start} to --claims-write-pilots."
        )

    subject = _given(option.claims_subject, table.get("gate", {}).get("subject"))
    if not isinstance(subject, str | None):
        raise pytest.UsageError(f"The gate's subject is a text, 'my_pkg.algos:MyPPO', say, not {describe(subject)}.")
    nights, first_seed = None, option.claims_first_seed
    if option.claims_nightly is not None:
        nights = _nights(option, profile, subject)
        # A number of seeds that depends on what they say would make their e-value none.
        profile, first_seed = replace(profile, looks=profile.looks[-1:]), nights.first_seed
    store = store_folder(option.claims_store, config.rootpath)
    return Settings(
        profile,
        tuple(sorted(known)),
        first_seed,
        store,
        report_folder(option.claims_report, config.rootpath, store),
        config.rootpath / "reports" / "baselines",
        option.claims_processes,
        _executor(_given(option.claims_executor, table.get("executor", EXECUTORS[0]))) == "ray",
        option.claims_ahead,
        subject,
        _bounds(option.claims_bound or (), table.get("gate", {})),
        option.claims_write_pilots,
        nights,
    )


def _given(option: Any, otherwise: Any) -> Any:
    """An option, also where it is an empty text, as of a variable that is not set: that is refused, not left out."""
    return otherwise if option is None else option


def _executor(name: str) -> str:
    """One of `EXECUTORS`.

    Raises:
        pytest.UsageError: it is none, or is not installed.
    """
    from importlib.util import find_spec

    if name not in EXECUTORS:
        raise pytest.UsageError(f"There is no executor {name!r}; there are {', '.join(EXECUTORS)}.")
    if name == "ray" and find_spec("ray") is None:
        raise pytest.UsageError("The executor ray needs Ray: pip install 'rlclaims[ray]'.")
    return name


def _nights(option: Any, profile: "Profile", subject: str | None) -> "Nights":
    """What earlier sessions left behind.

    Raises:
        pytest.UsageError: it cannot be read, or the session is to be something else than a night.
    """
    from rlclaims.nightly.ledger import RUN_LENGTH, NightsError, read_nights

    for other, value in (("first-seed", option.claims_first_seed), ("write-pilots", option.claims_write_pilots)):
        if value:
            raise pytest.UsageError(f"--claims-nightly takes fresh seeds by itself: leave out --claims-{other}.")
    if not profile.evidence:
        raise pytest.UsageError(
            f"--claims-nightly gathers evidence, and {profile.no_evidence}: choose another profile."
        )
    if option.claims_run_length is not None and option.claims_run_length < 1:
        raise pytest.UsageError(f"--claims-run-length is a number from 1 up, not {option.claims_run_length}.")
    try:
        nights = read_nights(_path(option.claims_nightly), option.claims_run_length or RUN_LENGTH, subject)
    except NightsError as error:
        raise pytest.UsageError(str(error)) from None
    if option.claims_run_length not in (None, nights.run_length):
        raise pytest.UsageError(
            f"{nights.path} was begun for {nights.run_length} sessions between false alarms, and --claims-run-length "
            f"asks for {option.claims_run_length}: leave that out, or begin another file."
        )
    return nights


def _bounds(given: Sequence[str], table: dict[str, Any]) -> dict[str, float]:
    """The gate's bounds: those of the command line, or else of the project.

    Raises:
        pytest.UsageError: one is none.
    """
    found: dict[str, Any] = {name: value for name, value in table.items() if name != "subject"}
    taken: set[str] = set()
    for text in given:
        name, _, number = text.partition("=")
        if name in taken:
            raise pytest.UsageError(f"--claims-bound gives {describe(name)} more than once; one bound is held.")
        taken.add(name)
        try:
            found[name] = float(number)
        except ValueError:
            raise pytest.UsageError(
                f"--claims-bound is a name and a number, mean_kl=0.02, say, not {describe(text)}."
            ) from None
    for name, value in found.items():
        if name not in BOUNDS:
            raise pytest.UsageError(f"The gate has no bound {describe(name)}; there are {', '.join(BOUNDS)}.")
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
            raise pytest.UsageError(f"The gate's bound {name} is a positive number, not {describe(value)}.")
    return {name: float(value) for name, value in found.items()}


def project_of(folder: Path) -> Path:
    """The nearest folder from here up that has a store or says where it is, or else this one.

    Raises:
        pytest.UsageError: a pyproject.toml on the way is wrong.
    """
    for up in (folder, *folder.parents):
        if (up / ".rlclaims").is_dir() or _table(up / "pyproject.toml"):
            return up
    return folder


def store_folder(given: str | Path | None, project: Path) -> Path:
    """Where finished runs are: as given, by RLCLAIMS_STORE, by the project's pyproject.toml, or its `.rlclaims`.

    Raises:
        pytest.UsageError: the pyproject.toml is wrong.
    """
    table = _table(project / "pyproject.toml")
    chosen = _given(given, os.environ.get("RLCLAIMS_STORE") or None)
    return _folder(chosen, "store", table, project, project / ".rlclaims")


def report_folder(given: str | Path | None, project: Path, store: Path | None = None) -> Path:
    """Where a session's record and page go: as given, by the project's pyproject.toml, or in the store.

    Raises:
        pytest.UsageError: the pyproject.toml is wrong.
    """
    table = _table(project / "pyproject.toml")
    return _folder(given, "report", table, project, (store or store_folder(None, project)) / "reports" / "latest")


def _folder(given: str | Path | None, named: str, table: dict[str, Any], project: Path, default: Path) -> Path:
    if given is not None:
        return _path(given)
    return project / _path(table[named]) if named in table else default


def _path(given: str | Path) -> Path:
    """A file or a folder, there or not.

    Raises:
        pytest.UsageError: it can be none.
    """
    try:
        if not str(given):
            raise ValueError("Path() takes it for the folder that one is in.")
        path = Path(given).expanduser()
        with suppress(OSError):
            path.lstat()
    except (RuntimeError, ValueError):  # somebody's home who is not there; what no file system writes
        raise pytest.UsageError(f"{describe(str(given))} is no name of a file or a folder.") from None
    return path


def _profiles(table: dict[str, Any]) -> "dict[str, Profile]":
    from rlclaims.planning.profile import ProfileError, profiles

    try:
        return profiles(table.get("profiles", {}))
    except ProfileError as error:
        raise pytest.UsageError(f"pyproject.toml: {error}") from None


def _profile(option: Any, table: dict[str, Any], known: "dict[str, Profile]") -> "Profile":
    from rlclaims.planning.profile import MOST_SEEDS
    from rlclaims.stats.verdict import MIN_SEEDS

    name = _given(option.claims_profile, table.get("profile", "standard"))
    if name not in known:
        raise pytest.UsageError(f"There is no profile {describe(name)}; there are {', '.join(sorted(known))}.")
    profile, seeds = known[name], option.claims_seeds
    if seeds is None:
        return profile
    if not MIN_SEEDS <= seeds <= MOST_SEEDS:
        raise pytest.UsageError(
            f"A verdict needs at least {MIN_SEEDS} seeds, and at most {MOST_SEEDS}; --claims-seeds asks for {seeds}."
        )
    return replace(profile, looks=(seeds,))


def _table(path: Path) -> dict[str, Any]:
    """`[tool.rlclaims]` of a pyproject.toml, empty where there is none.

    Raises:
        pytest.UsageError: it holds something else than it may.
    """
    import tomllib

    try:
        tools = tomllib.loads(path.read_text(encoding="utf-8")).get("tool", {})
        table = tools.get("rlclaims", {}) if isinstance(tools, dict) else {}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        raise pytest.UsageError(f"{path} cannot be read: {describe_error(error)}.") from None
    kinds = {"profile": str, "executor": str, "store": str, "report": str, "profiles": dict, "gate": dict}
    if not isinstance(table, dict):
        raise pytest.UsageError("pyproject.toml: tool.rlclaims is a table, [tool.rlclaims].")
    for name, value in table.items():
        if name not in kinds:
            raise pytest.UsageError(
                f"pyproject.toml: [tool.rlclaims] has {describe(name)}, and may have {', '.join(kinds)}."
            )
        if not isinstance(value, kinds[name]):
            tables = {"profiles": "a table, [tool.rlclaims.profiles.NAME]", "gate": "a table, [tool.rlclaims.gate]"}
            what = tables.get(name, "a text")
            raise pytest.UsageError(f"pyproject.toml: [tool.rlclaims] {name} is {what}, not {describe(value)}.")
    return table


def writable(folder: Path, of: str, option: str) -> None:
    """Make sure that a file can be written into a folder.

    Args:
        folder: made if it is not there.
        of: what is in it.
        option: by which another is chosen.

    Raises:
        pytest.UsageError: it can not.
    """
    import tempfile

    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise pytest.UsageError(
            f"The {of} folder {folder} cannot be written ({error.strerror or error}); choose another with {option}."
        ) from None

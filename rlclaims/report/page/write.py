"""The page's words and numbers, and its template."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from shlex import quote
from typing import Any, get_args

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from rlclaims.claims.declaration import SEED_POST
from rlclaims.report.figure_style import Drawn
from rlclaims.report.page.interval_picture import MARGIN, WIDTH, Picture, picture
from rlclaims.report.record import (
    Json,
    State,
    all_results,
    interval_text,
    is_earlier,
    is_theorem,
    judged_in_words,
    runs_in_words,
    session_options,
    state,
)

GUARANTEES = {
    "exact": "its error rate is at most the stated one at any number of seeds",
    "bounded-nonparametric": "its error rate is at most the stated one at any number of seeds",
    "model-based": "its error rate is the stated one if the assumption holds",
    "asymptotic": "its error rate is the stated one for many seeds; for few, see the study of error rates",
}
MARKS = {"supported": "✓", "refuted": "✗", "inconclusive": "?", "error": "!"}


@dataclass(frozen=True)
class Part:
    """One comparison of a claim, as the page shows it."""

    name: str
    """Its number among several; empty for a single one."""
    evidence: Json
    picture: Picture | None
    guarantee: str
    refutes: str
    """The result that would have refuted it, in words."""


@dataclass(frozen=True)
class Entry:
    """A claim or a theorem, as the page shows it."""

    result: Json
    anchor: str
    state: State
    """State that gives it its colour."""
    mark: str
    parts: tuple[Part, ...]
    command: str
    """Command that judges it alone."""
    words: str
    """Its verdict, and the expected one if that differs."""
    judged: str
    """When and on what an earlier session judged it; empty if the last session did."""

    @property
    def theorem(self) -> bool:
        """True if it needs no data."""
        return is_theorem(self.result)


@dataclass(frozen=True)
class Place:
    """A place in a work, with its sentences and their claims."""

    work: str
    """The post; empty for other works."""
    where: str
    """Place in the post, or another work with the place in it."""
    anchor: str
    sentences: tuple[tuple[str, tuple[Entry, ...]], ...]

    @property
    def entries(self) -> tuple[Entry, ...]:
        """The claims on its sentences."""
        return tuple(one for _, of_sentence in self.sentences for one in of_sentence)


@dataclass(frozen=True)
class Surface:
    """Heights over a plane, which the page can turn."""

    title: str
    along: Sequence[float]
    across: Sequence[float]
    height: Sequence[Sequence[float]]
    """A row for each of `across`."""

    def to_json(self) -> Json:
        """Return plain data."""
        rows = [list(map(float, row)) for row in self.height]
        return {"title": self.title, "along": list(self.along), "across": list(self.across), "height": rows}


def plotly() -> str | None:
    """Return the library that turns surfaces, which a page with surfaces contains; None if it is not installed."""
    if find_spec("plotly") is None:
        return None
    return (files("plotly") / "package_data" / "plotly.min.js").read_text(encoding="utf-8")


def write_page(
    record: Json, folder: Path, figures: Mapping[str, Drawn] | None = None, surfaces: Sequence[Surface] = ()
) -> Path:
    """Write `index.html` into a folder, and return its path.

    Args:
        record: of a session, as `claims.json` has it.
        folder: an existing folder.
        figures: by name, to include.
        surfaces: to turn; left out if `plotly()` is None.

    Raises:
        OSError: it cannot be written.
    """
    path = folder / "index.html"
    partial = path.with_suffix(".partial")
    partial.write_text(page(record, figures or {}, surfaces), encoding="utf-8")
    partial.replace(path)
    return path


def page(record: Json, figures: Mapping[str, Drawn] | None = None, surfaces: Sequence[Surface] = ()) -> str:
    """Return the page of a record, with figures by name and surfaces to turn."""
    environment = Environment(
        loader=PackageLoader("rlclaims.report.page", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = _number
    environment.filters["interval"] = lambda evidence: interval_text(evidence, "{} to {}")
    settings = _settings(record)
    places = _places(record)
    entries = [one for place in places for one in place.entries]
    turns = plotly() if surfaces else None
    ours = files("rlclaims.report.page") / "templates"
    return environment.get_template("page.html.jinja").render(
        record=record,
        settings=settings,
        settings_of=lambda runs: settings.index(_set(runs)) if "settings" in runs else None,
        places=places,
        counts={name: sum(one.state == name for one in entries) for name in get_args(State)},
        total=len(entries),
        scope=runs_in_words(record["claims"]),
        counted=any(result["judged"]["evidence"] for result in all_results(record)) or record["profile"]["evidence"],
        figures=[_figure(name, drawn) for name, drawn in (figures or {}).items()],
        surfaces=[surface.to_json() for surface in surfaces] if turns else [],
        plotly=Markup(turns or ""),  # it has no closing script tag
        width=WIDTH,
        margin=MARGIN,
        # Files of this package: the only text that is not escaped.
        style=Markup((ours / "page.css").read_text(encoding="utf-8")),
        script=Markup((ours / "page.js").read_text(encoding="utf-8")),
    )


def _figure(name: str, drawn: Drawn) -> tuple[str, str, Markup]:
    """Return title, caption and picture, which has the title for screen readers."""
    title = drawn.title or name.replace("-", " ")
    # Numbers and names of algorithms, which matplotlib escapes.
    svg = Markup(drawn.svg(f"{name}-"))
    return title, drawn.caption, Markup('<svg role="img" aria-label="{}" ').format(title) + svg[len("<svg ") :]


def _settings(record: Json) -> list[tuple[str, tuple[tuple[str, str], ...]]]:
    """Return the settings of the algorithms of the claims' runs, each once."""
    return list(dict.fromkeys(_set(runs) for claim in record["claims"] for runs in claim["runs"] if "settings" in runs))


def _set(runs: Json) -> tuple[str, tuple[tuple[str, str], ...]]:
    """Return an algorithm, and its settings with their values in words."""
    words = {None: "off", True: "on", False: "no"}
    values = (
        (name.replace("_", " "), words[x] if x is None or isinstance(x, bool) else str(x))
        for name, x in runs["settings"].items()
    )
    return runs["algorithm"], tuple(values)


def _places(record: Json) -> list[Place]:
    """Return sentences by their place, those of the post first."""
    by_source: dict[str, dict[str, list[Entry]]] = {}
    for i, result in enumerate(all_results(record)):
        by_source.setdefault(result["source"], {}).setdefault(result["says"], []).append(_entry(record, result, i))
    first = sorted(by_source, key=lambda source: (not source.startswith(SEED_POST), *_part(source)))
    return [
        Place(*_split(source), f"place-{i}", tuple((says, tuple(of)) for says, of in by_source[source].items()))
        for i, source in enumerate(first)
    ]


def _split(source: str) -> tuple[str, str]:
    """Return the post and the place in it, or an empty text and any other source."""
    return (SEED_POST, source.removeprefix(f"{SEED_POST}, ")) if source.startswith(SEED_POST) else ("", source)


def _part(source: str) -> tuple[int, str]:
    """Return the part of the post that a place is in, to sort by; other works are sorted by name."""
    if not source.startswith(SEED_POST):
        return 0, source.partition(",")[0]
    where = source.removeprefix(SEED_POST)
    return next((i for i, part in ((3, "Part III"), (2, "Part II"), (1, "Part I")) if part in where), 0), ""


def _entry(record: Json, result: Json, i: int) -> Entry:
    parts = () if is_theorem(result) or result["evidence"] is None else tuple(_parts(result["evidence"], ""))
    return Entry(
        result=result,
        anchor=f"claim-{i}",
        state=state(result),
        mark=MARKS[result["verdict"]],
        parts=parts,
        command=_command(result),
        words=_words(result),
        judged=judged_in_words(result) if is_earlier(record, result) else "",
    )


def _words(result: Json) -> str:
    verdict, expected = str(result["verdict"]), result["expected"]
    if "night" in result:
        return f"{verdict} this night" + (
            ", and with the nights before it an alarm" if state(result) == "contrary" else ""
        )
    if state(result) == "contrary":
        return f"{verdict}, contrary to what was expected"
    if expected == "refuted":
        return f"{verdict}, as expected" if verdict == expected else f"{verdict}; expected to be refuted"
    return verdict


def _parts(evidence: Json, name: str) -> Sequence[Part]:
    if "parts" in evidence:
        return [
            part
            for i, one in enumerate(evidence["parts"], start=1)
            for part in _parts(one, f"{name}{i} of {len(evidence['parts'])}, joined by {evidence['operator']}")
        ]
    return [Part(name, evidence, picture(evidence), GUARANTEES[evidence["guarantee"]], _refutes(evidence))]


def _refutes(evidence: Json) -> str:
    """Return the result that would have refuted a comparison, in words."""
    lower, upper = evidence["region_ends"]
    if evidence["log_scale"] and lower == 0:  # all ratios are above 0
        lower = None
    at = f"at an error rate of {100 * evidence['alpha_refute']:.3g}% over all looks"
    if lower is None:
        return f"a lower bound above {upper:.4g}, {at}"
    if upper is None:
        return f"an upper bound below {lower:.4g}, {at}"
    return f"an interval wholly outside of {lower:.4g} to {upper:.4g}, {at}"


def _command(result: Json) -> str:
    return f"pytest {quote(result['test'])} {session_options(result)}".rstrip()


def _number(x: Any) -> str:
    return "none" if x is None else f"{x:.4g}"

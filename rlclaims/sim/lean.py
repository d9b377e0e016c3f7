"""Skip work of MuJoCo that affects no result: over a quarter of a Hopper's step, with bit-identical trajectories."""

import ctypes
import sys
import warnings
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from itertools import combinations
from pathlib import Path
from threading import Lock

import mujoco
import numpy as np

Pair = tuple[int, int]
"""Numbers of two geoms."""
CLOSED_FORM_GEOMS = (mujoco.mjtGeom.mjGEOM_PLANE, mujoco.mjtGeom.mjGEOM_SPHERE, mujoco.mjtGeom.mjGEOM_CAPSULE)
"""Geoms whose contacts with each other are computed in closed form, without a search."""
MAX_GEOMS, MAX_PAIRS = 64, 200
"""Limits above which testing every pair may cost more than sorting."""
PAIR_FIELDS = {
    "adhesion", "dim", "friction", "gap", "geom1", "geom2", "margin", "signature", "solimp", "solref", "solreffriction",
}  # fmt: skip
"""Fields from which the supported versions of MuJoCo make the contact of an explicit pair."""
CHANGED_PREFIXES = ("pair_", "name", "bvh_", "body_bvh", "_")
"""Prefixes of a model's fields that may change when pairs are listed explicitly."""
CHANGED_FIELDS = {
    "geom_contype", "geom_conaffinity", "body_contype", "body_conaffinity",
    "npair", "nnames", "nnames_map", "nbvh", "nbvhstatic", "nbuffer", "signature",
}  # fmt: skip
"""Other fields that may change."""
_FILTERS_LOCK = Lock()


def lean_model(path: Path) -> mujoco.MjModel:
    """Load a model and switch off all work that does not affect its trajectories; also stops MuJoCo's timers.

    The timers stop for the whole process.

    Raises:
        ValueError: MuJoCo cannot load the file.
    """
    disable_timers()
    model = with_listed_contacts(path, mujoco.MjModel.from_xml_path(str(path)))
    disable_islands(model)
    return model


def with_listed_contacts(path: Path, model: mujoco.MjModel) -> mujoco.MjModel:
    """Return the model with all pairs of geoms that may touch listed explicitly, if they are few and simple.

    At every evaluation, MuJoCo sorts a model's bodies by position to find those that are close. Explicit pairs are
    tested without that, and their contacts are made from the same numbers by the same sums, in the same order.
    Otherwise the model is returned as loaded.

    The sorting is in single precision. It might miss a contact too shallow for that precision; none was observed.
    """
    if not _has_simple_contacts(model):
        return model
    pairs = _contact_pairs(model)
    if len(pairs) > MAX_PAIRS:
        return model
    try:
        listed = _with_pairs(path, model, pairs)
    except ValueError:  # a model that can be loaded and not compiled again
        return model
    compiled_pairs = zip(listed.pair_geom1.tolist(), listed.pair_geom2.tolist(), strict=True)
    same_order = list(map(sorted, compiled_pairs)) == list(map(sorted, pairs))
    return listed if same_order and _is_equal_except_pairs(listed, model) else model


def _has_simple_contacts(model: mujoco.MjModel) -> bool:
    """Return whether all contacts are between few geoms with equal parameters and contacts in closed form."""
    others = model.npair, model.nexclude, model.nflex, model.nplugin, model.nmocap
    flags = model.opt.disableflags, model.opt.enableflags, model.geom_adhesion.any()
    parameters = model.geom_priority, model.geom_solmix, model.geom_solref, model.geom_solimp
    return (
        model.ngeom <= MAX_GEOMS
        and not any((*others, *flags))
        and mujoco.get_mjcb_contactfilter() is None
        and bool(np.isin(model.geom_type, CLOSED_FORM_GEOMS).all())
        and all(len(np.unique(by_geom, axis=0)) == 1 for by_geom in parameters)
        and {name.removeprefix("pair_") for name in dir(model) if name.startswith("pair_")} == PAIR_FIELDS
    )


def _contact_pairs(model: mujoco.MjModel) -> list[Pair]:
    """Return the pairs of geoms that are not filtered out, in MuJoCo's order."""
    pairs: list[Pair] = []
    for body, other in combinations(np.flatnonzero(model.body_geomnum).tolist(), 2):
        if not _are_joined(model, body, other):
            between = [
                (one, two) if model.geom_type[one] <= model.geom_type[two] else (two, one)
                for one in _geoms(model, body)
                for two in _geoms(model, other)
                if model.geom_contype[one] & model.geom_conaffinity[two]
                or model.geom_contype[two] & model.geom_conaffinity[one]
            ]
            pairs += sorted(between)
    return pairs


def _are_joined(model: mujoco.MjModel, body: int, other: int) -> bool:
    """Return whether two bodies are welded together, or one is the other's parent and is not the world."""
    one, two = model.body_weldid[[body, other]]
    parent_of_one, parent_of_two = model.body_weldid[model.body_parentid[[one, two]]]
    return bool(one == two or (one and two and (parent_of_one == two or parent_of_two == one)))


def _geoms(model: mujoco.MjModel, body: int) -> range:
    first = int(model.body_geomadr[body])
    return range(first, first + int(model.body_geomnum[body]))


def _with_pairs(path: Path, model: mujoco.MjModel, pairs: Sequence[Pair]) -> mujoco.MjModel:
    # All threads share Python's warning filters. The warnings were already given when the file was loaded.
    with _FILTERS_LOCK, warnings.catch_warnings(action="ignore"):
        spec = mujoco.MjSpec.from_file(str(path))
        for i, geom in enumerate(spec.geoms):
            geom.name = geom.name or f"rlclaims {i}"
        named = spec.compile()
        for geom in spec.geoms:
            geom.contype = geom.conaffinity = 0
        for pair in pairs:
            one, other = (named.geom(geom).name for geom in pair)
            spec.add_pair(geomname1=one, geomname2=other, **_contact_parameters(model, pair))
        return spec.compile()


def _contact_parameters(model: mujoco.MjModel, pair: Pair) -> dict[str, object]:
    """Return the parameters of the contact between two geoms, as MuJoCo combines theirs."""
    geoms = list(pair)
    friction = model.geom_friction[geoms].max(0)
    return {
        "condim": int(model.geom_condim[geoms].max()),
        "friction": friction[[0, 0, 1, 2, 2]],  # two sliding, one torsional and two rolling axes
        "margin": model.geom_margin[geoms].sum(),
        "gap": model.geom_gap[geoms].sum(),
        "solref": model.geom_solref[pair[0]],
        "solreffriction": np.zeros(2),
        "solimp": model.geom_solimp[pair[0]],
        "adhesion": 0.0,
    }


def _is_equal_except_pairs(listed: mujoco.MjModel, model: mujoco.MjModel) -> bool:
    """Return whether two models are equal in all fields that are not about finding contacts.

    They may differ: a file may tell the compiler to drop bodies that nothing names, or geoms that touch nothing.
    """
    names = (name for name in dir(model) if not name.startswith(CHANGED_PREFIXES) and name not in CHANGED_FIELDS)
    both = ((getattr(listed, name), getattr(model, name)) for name in names)
    return all(
        np.array_equal(one, other, equal_nan=one.dtype.kind == "f") if isinstance(one, np.ndarray) else one == other
        for one, other in both
        if isinstance(one, np.ndarray | int | float)
    )


def disable_islands(model: mujoco.MjModel) -> None:
    """Solve the constraints of a model with a single kinematic tree as one system, without a search for islands.

    At every evaluation, MuJoCo looks for islands, parts of a model that do not touch each other, and solves them one by
    one. A single kinematic tree is always one island: without the search, the same sums are made in the same order.
    With several trees, solving by islands rounds differently, so the search stays on. It also stays on where bodies may
    fall asleep, as whole islands do.
    """
    if model.ntree == 1 and not model.opt.enableflags & mujoco.mjtEnableBit.mjENBL_SLEEP:
        model.opt.disableflags |= mujoco.mjtDisableBit.mjDSBL_ISLAND


def disable_timers() -> None:
    """Stop the clock of `MjData.timer` in the whole process: a step reads it over a hundred times.

    The bindings can replace the clock (`mujoco.set_mjcb_time`) and not remove it; the C library can, where its variable
    is accessible (not on Windows, where a library does not re-export the names of others). A clock that user code has
    set is left alone.
    """
    clock = clock_of_mujoco()
    if clock is not None and mujoco.get_mjcb_time() is None:
        clock.value = None


@cache
def clock_of_mujoco() -> ctypes.c_void_p | None:
    """Return the C library's variable `mjcb_time`, a pointer to a function; None if it is not accessible."""
    with suppress(AttributeError, KeyError, OSError, TypeError, ValueError):
        # Opening a loaded library again gives the same one, and access to the names of the libraries it is linked to.
        return ctypes.c_void_p.in_dll(ctypes.CDLL(sys.modules["mujoco._functions"].__file__), "mjcb_time")
    return None

"""What MuJoCo does beside simulating, more than a quarter of a Hopper's step: left out, without a bit's difference."""

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
"""Two geoms, by their numbers."""
CLOSED_FORMS = (mujoco.mjtGeom.mjGEOM_PLANE, mujoco.mjtGeom.mjGEOM_SPHERE, mujoco.mjtGeom.mjGEOM_CAPSULE)
"""Geoms whose contacts with each other need no search."""
MOST_GEOMS, MOST_PAIRS = 64, 200
"""Beyond which to look at every pair may cost more than to sort."""
OF_A_PAIR = {
    "adhesion", "dim", "friction", "gap", "geom1", "geom2", "margin", "signature", "solimp", "solref", "solreffriction",
}  # fmt: skip
"""All that a MuJoCo that we know makes a contact of a written pair from."""
WRITTEN = ("pair_", "name", "bvh_", "body_bvh", "_")
"""How names of a model's numbers begin that may differ once pairs are written out."""
COUNTED = {
    "geom_contype", "geom_conaffinity", "body_contype", "body_conaffinity",
    "npair", "nnames", "nnames_map", "nbvh", "nbvhstatic", "nbuffer", "signature",
}  # fmt: skip
"""Others that may."""
_FILTERS = Lock()


def lean_model(path: Path) -> mujoco.MjModel:
    """The model of a file, without what does not move it; and no clock is read in all of this process from here on.

    Raises:
        ValueError: MuJoCo cannot load it.
    """
    leave_out_timers()
    model = with_listed_contacts(path, mujoco.MjModel.from_xml_path(str(path)))
    leave_out_islands(model)
    return model


def with_listed_contacts(path: Path, model: mujoco.MjModel) -> mujoco.MjModel:
    """A file's model with the pairs of geoms that may touch written out, where they are few and plain; else itself.

    MuJoCo sorts a model's bodies by where they are, at every evaluation, to find those that are near each other. A pair
    that is written out is looked at without that, and its contact is made from the same numbers by the same sums, in
    the same order.

    The sorting is in single precision. It might miss a contact that is less deep than that can tell; none was seen
    that it did.
    """
    if not _is_plain(model):
        return model
    pairs = _may_touch(model)
    if len(pairs) > MOST_PAIRS:
        return model
    try:
        listed = _listed(path, model, pairs)
    except ValueError:  # what can be loaded cannot be written anew
        return model
    in_order = zip(listed.pair_geom1.tolist(), listed.pair_geom2.tolist(), strict=True)
    written = list(map(sorted, in_order)) == list(map(sorted, pairs))
    return listed if written and _is_the_same_but_for_pairs(listed, model) else model


def _is_plain(model: mujoco.MjModel) -> bool:
    """Whether contacts come from a few geoms alone, which are made alike and touch in closed form."""
    others = model.npair, model.nexclude, model.nflex, model.nplugin, model.nmocap
    flags = model.opt.disableflags, model.opt.enableflags, model.geom_adhesion.any()
    alike = model.geom_priority, model.geom_solmix, model.geom_solref, model.geom_solimp
    return (
        model.ngeom <= MOST_GEOMS
        and not any((*others, *flags))
        and mujoco.get_mjcb_contactfilter() is None
        and bool(np.isin(model.geom_type, CLOSED_FORMS).all())
        and all(len(np.unique(of_geom, axis=0)) == 1 for of_geom in alike)
        and {name.removeprefix("pair_") for name in dir(model) if name.startswith("pair_")} == OF_A_PAIR
    )


def _may_touch(model: mujoco.MjModel) -> list[Pair]:
    """The pairs of geoms that are not filtered, in the order that MuJoCo comes to them."""
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
    """Whether two bodies are one, but for welds, or one is the other's parent, which is not the world."""
    one, two = model.body_weldid[[body, other]]
    parent_of_one, parent_of_two = model.body_weldid[model.body_parentid[[one, two]]]
    return bool(one == two or (one and two and (parent_of_one == two or parent_of_two == one)))


def _geoms(model: mujoco.MjModel, body: int) -> range:
    first = int(model.body_geomadr[body])
    return range(first, first + int(model.body_geomnum[body]))


def _listed(path: Path, model: mujoco.MjModel, pairs: Sequence[Pair]) -> mujoco.MjModel:
    # Python's filters are all threads'.
    with _FILTERS, warnings.catch_warnings(action="ignore"):  # MuJoCo's advice on the file, as on loading it
        spec = mujoco.MjSpec.from_file(str(path))
        for i, geom in enumerate(spec.geoms):
            geom.name = geom.name or f"rlclaims {i}"
        named = spec.compile()
        for geom in spec.geoms:
            geom.contype = geom.conaffinity = 0
        for pair in pairs:
            one, other = (named.geom(geom).name for geom in pair)
            spec.add_pair(geomname1=one, geomname2=other, **_contact(model, pair))
        return spec.compile()


def _contact(model: mujoco.MjModel, pair: Pair) -> dict[str, object]:
    """What MuJoCo makes a contact of two geoms from, where these are made alike."""
    geoms = list(pair)
    friction = model.geom_friction[geoms].max(0)
    return {
        "condim": int(model.geom_condim[geoms].max()),
        "friction": friction[[0, 0, 1, 2, 2]],  # sliding, turning and rolling: two, one and two axes
        "margin": model.geom_margin[geoms].sum(),
        "gap": model.geom_gap[geoms].sum(),
        "solref": model.geom_solref[pair[0]],
        "solreffriction": np.zeros(2),
        "solimp": model.geom_solimp[pair[0]],
        "adhesion": 0.0,
    }


def _is_the_same_but_for_pairs(listed: mujoco.MjModel, model: mujoco.MjModel) -> bool:
    """Whether all numbers of two models are the same that have nothing to do with how contacts are found.

    A file may say that bodies or geoms which nothing names, or which touch nothing, are to be left out.
    """
    names = (name for name in dir(model) if not name.startswith(WRITTEN) and name not in COUNTED)
    both = ((getattr(listed, name), getattr(model, name)) for name in names)
    return all(
        np.array_equal(one, other, equal_nan=one.dtype.kind == "f") if isinstance(one, np.ndarray) else one == other
        for one, other in both
        if isinstance(one, np.ndarray | int | float)
    )


def leave_out_islands(model: mujoco.MjModel) -> None:
    """Solve a model's constraints as one system, where they are one.

    MuJoCo looks for parts of a model that do not touch each other at every evaluation, and solves them one by one. A
    single kinematic tree never has two such parts: the same sums are made in the same order without the search. Where
    there are more trees, islands are solved to another rounding, and stay; and so they do where bodies may fall asleep,
    as it is islands that do.
    """
    if model.ntree == 1 and not model.opt.enableflags & mujoco.mjtEnableBit.mjENBL_SLEEP:
        model.opt.disableflags |= mujoco.mjtDisableBit.mjDSBL_ISLAND


def leave_out_timers() -> None:
    """Stop the clock that `MjData.timer` is kept by, in all of this process: a step reads it over a hundred times.

    The bindings replace it (`mujoco.set_mjcb_time`) and cannot do without; the C library can, where its variable is to
    be had (not on Windows, whose libraries do not name what others export). A clock that somebody else has set goes on.
    """
    clock = clock_of_mujoco()
    if clock is not None and mujoco.get_mjcb_time() is None:
        clock.value = None


@cache
def clock_of_mujoco() -> ctypes.c_void_p | None:
    """The C library's `mjcb_time`, a pointer to a function or none; None where it cannot be reached."""
    with suppress(AttributeError, KeyError, OSError, TypeError, ValueError):
        # Already loaded: whoever opens it again is given the same, and the names of what it is linked to.
        return ctypes.c_void_p.in_dll(ctypes.CDLL(sys.modules["mujoco._functions"].__file__), "mjcb_time")
    return None

"""Lean models move exactly as MuJoCo's own."""

import itertools
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor

import mujoco
import numpy as np
import pytest

from rlclaims.sim import lean as lean_module
from rlclaims.sim.lean import clock_of_mujoco, disable_islands, disable_timers, lean_model
from rlclaims.sim.simulator import Simulator
from rlclaims.sim.tasks import TASKS, task_named

ISLANDS = mujoco.mjtDisableBit.mjDSBL_ISLAND
BRANCHED = """
<mujoco>
  <option timestep="0.004" integrator="{integrator}" solver="{solver}" cone="{cone}" jacobian="{jacobian}"
          noslip_iterations="{noslip}"/>
  <default>
    <joint damping="0.1" armature="0.01" frictionloss="{friction}"/>
    <geom friction="1 0.1 0.1" condim="{contact}"/>
  </default>
  <worldbody>
    <geom type="plane" size="5 5 0.1"/>
    <body pos="0 0 0.6"><freejoint/><geom type="capsule" size="0.1 0.2"/><site name="trunk"/>
      <body pos="0.2 0 -0.2">
        <joint name="hip" axis="0 1 0" range="-60 60" limited="true"/>
        <geom type="capsule" fromto="0 0 0 0.3 0 0" size="0.05"/>
        <body pos="0.3 0 0"><joint type="ball"/>
          <geom type="capsule" fromto="0 0 0 0.3 0 0" size="0.05"/><site name="foot" pos="0.3 0 0"/>
        </body>
      </body>
      <body pos="-0.2 0 -0.2">
        <joint name="other hip" axis="0 1 0" range="-60 60" limited="true"/><geom type="box" size="0.1 0.1 0.1"/>
      </body>
    </body>
  </worldbody>
  <tendon>
    <spatial limited="true" range="0 0.55" frictionloss="{friction}"><site site="trunk"/><site site="foot"/></spatial>
  </tendon>
  <equality>{equality}</equality>
  <actuator><motor joint="hip" gear="5"/><motor joint="other hip" gear="5"/></actuator>
</mujoco>
"""
"""One tree with all kinds of constraints: contacts, limits, friction in joints and in a tendon, equalities."""
EQUALITIES = ("", '<joint joint1="hip" joint2="other hip"/>', '<connect site1="trunk" site2="foot"/>')


def trajectory(model, steps=60):
    data, rng = mujoco.MjData(model), np.random.default_rng(1)
    states, constraints = [], 0
    for _ in range(steps):
        data.ctrl[:] = rng.uniform(-1, 1, model.nu)
        mujoco.mj_step(model, data, nstep=4)
        states.append(np.concatenate([data.qpos, data.qvel, data.qacc_warmstart]))
        constraints += data.nefc
    assert constraints > 0, "no constraint was active, so the comparison shows nothing"
    return np.array(states)


@pytest.mark.parametrize("solver", ["PGS", "CG", "Newton"])
@pytest.mark.parametrize("cone", ["pyramidal", "elliptic"])
def test_single_tree_moves_the_same_without_islands(solver, cone):
    ways = itertools.product(
        ("Euler", "RK4", "implicitfast"), ("dense", "sparse"), (0, 3), (0, 0.1), (1, 3), EQUALITIES
    )
    for integrator, jacobian, noslip, friction, contact, equality in ways:
        xml = BRANCHED.format(
            integrator=integrator, solver=solver, cone=cone, jacobian=jacobian,
            noslip=noslip, friction=friction, contact=contact, equality=equality,
        )  # fmt: skip
        with_islands, without = (mujoco.MjModel.from_xml_string(xml) for _ in range(2))
        disable_islands(without)
        assert not with_islands.opt.disableflags & ISLANDS
        assert without.opt.disableflags & ISLANDS
        assert np.array_equal(trajectory(with_islands), trajectory(without))


def crowd(rng):
    """Return a model of bodies that fall onto each other: jointed, welded or fixed, with several different geoms."""
    kinds = {"sphere": 0.05, "capsule": 0.15}

    def geom(kind):
        size = "5 5 0.1" if kind == "plane" else " ".join(f"{x:.3f}" for x in rng.uniform(0.05, kinds[kind], 2))
        place = "" if kind == "plane" else f'pos="{" ".join(f"{x:.3f}" for x in rng.uniform(-0.1, 0.1, 3))}"'
        friction = " ".join(f"{x:.3f}" for x in rng.uniform(0.01, 1, 3))
        return (
            f'<geom type="{kind}" size="{size}" {place} friction="{friction}" condim="{rng.choice([1, 3, 4, 6])}" '
            f'margin="{rng.choice([0, 0.01, 0.05])}" gap="{rng.choice([0, 0.02])}" '
            f'contype="{rng.integers(4)}" conaffinity="{rng.integers(4)}"/>'
        )

    def body(depth, joint):
        geoms = "".join(geom(rng.choice(list(kinds))) for _ in range(rng.integers(3)))
        # A body that moves needs a mass.
        ball = '<geom type="sphere" size="0.05" contype="1" conaffinity="1"/>'
        below = "".join(
            body(depth + 1, rng.choice(["", '<joint axis="0 1 0"/>', '<joint type="ball"/>']))
            for _ in range(rng.integers(3) if depth < 2 else 0)
        )
        x, y, z = rng.uniform(-0.3, 0.3, 3)
        place = f"{x:.3f} {y:.3f} {z + 0.5 * (depth == 0):.3f}"
        return f'<body pos="{place}">{joint}{ball}{geoms}{below}</body>'

    skin = '<body name="felt"><freejoint/><site name="skin" size="0.2"/><geom type="sphere" size="0.1"/></body>'
    bodies = "".join(body(0, joint) for joint in ("<freejoint/>", "", '<joint name="arm" axis="0 1 0"/>'))
    soft = f'solref="{rng.uniform(0.01, 0.1):.3f} 1" solimp="0.8 {rng.uniform(0.81, 0.99):.3f} 0.01"'
    return f"""
<mujoco>
  <option integrator="{rng.choice(["Euler", "RK4", "implicitfast"])}" cone="{rng.choice(["pyramidal", "elliptic"])}"/>
  <default><geom {soft}/><pair solref="0.5 2" solreffriction="0.3 1" adhesion="5"/></default>
  <worldbody>{geom("plane")}{geom("sphere")}<light/><camera name="seen"/>{skin}{bodies}</worldbody>
  <actuator><motor joint="arm" gear="0.1"/></actuator>
  <sensor><touch site="skin"/><accelerometer site="skin"/><contact body1="felt" data="found force" num="3"/></sensor>
</mujoco>"""


def test_bodies_fall_the_same_with_listed_contacts(tmp_path):
    path, rng, listed, touched = tmp_path / "crowd.xml", np.random.default_rng(0), 0, 0
    for _ in range(100):
        path.write_text(crowd(rng))
        plain = mujoco.MjModel.from_xml_path(str(path))
        lean = lean_model(path)
        plain.opt.disableflags = lean.opt.disableflags  # those of islands, which other tests cover
        ours, theirs = mujoco.MjData(lean), mujoco.MjData(plain)
        for _ in range(60):
            ours.ctrl[0] = theirs.ctrl[0] = rng.uniform(-1, 1)
            for model, data in ((lean, ours), (plain, theirs)):
                mujoco.mj_step(model, data, nstep=5)
                mujoco.mj_rnePostConstraint(model, data)
            for name in ("qpos", "qvel", "qacc_warmstart", "cfrc_ext", "sensordata"):
                assert np.array_equal(getattr(ours, name), getattr(theirs, name))
            for name in ("geom", "dist", "dim", "includemargin", "friction", "solref", "solreffriction", "solimp"):
                assert np.array_equal(getattr(ours.contact, name), getattr(theirs.contact, name))
            touched += theirs.ncon
        listed += lean.npair > 0
    assert listed > 50
    assert touched > 1000


BALL = """
<mujoco>
  <default></default>
  <worldbody>
    <geom type="plane" size="5 5 1"/><light name="lamp"/>
    <body name="ball" pos="0 0 1">
      <freejoint/><geom name="skin" type="sphere" size="0.1 0.1 0.1" mass="1"/><site name="here"/>
      <body name="hat"><geom type="sphere" size="0.05" pos="0 0 0.2"/></body>
    </body>
  </worldbody>
</mujoco>
"""


def ball(tmp_path, *changes):
    """Return a ball's model as MuJoCo loads it, and as a lean model."""
    path, xml = tmp_path / "ball.xml", BALL
    for old, new in changes:
        assert old in xml
        xml = xml.replace(old, new, 1)
    path.write_text(xml)
    return mujoco.MjModel.from_xml_path(str(path)), lean_model(path)


@pytest.mark.parametrize(
    "change",
    [
        ("<worldbody>", '<contact><exclude body1="world" body2="ball"/></contact><worldbody>'),
        ("<worldbody>", '<contact><pair geom1="skin" geom2="rlclaims 0"/></contact><worldbody>'),
        ("<worldbody>", '<option><flag filterparent="disable"/></option><worldbody>'),
        ("<worldbody>", '<option><flag override="enable"/></option><worldbody>'),
        ("<worldbody>", '<worldbody><body mocap="true"><geom type="plane" size="1 1 1"/></body>'),
        ("<worldbody>", '<worldbody><geom name="rlclaims 1" type="sphere" size="0.1"/>'),
        ('type="sphere"', 'type="box"'),
        ('type="sphere"', 'type="cylinder"'),
        ('type="sphere"', 'type="sphere" adhesion="5"'),
        ('type="sphere"', 'type="sphere" priority="1"'),
        ('type="sphere"', 'type="sphere" solmix="2"'),
        ('type="sphere"', 'type="sphere" solref="0.02 2"'),
        ('type="sphere"', 'type="sphere" solimp="0.9 0.95 0.002"'),
    ],
)
def test_contacts_with_other_parameters_are_not_listed(tmp_path, change):
    assert ball(tmp_path)[1].npair == 2
    named = [('<geom type="plane"', '<geom name="rlclaims 0" type="plane"')] if "pair geom1" in change[1] else []
    plain, lean = ball(tmp_path, *named, change)
    assert lean.npair == plain.npair
    assert lean.geom_contype.any()


@pytest.mark.parametrize(
    "changes",
    [
        # The compiler does not fuse a body that a light targets, and drops a geom that can touch nothing.
        (("<default>", '<compiler fusestatic="true"/><default>'), ("<light", '<light mode="targetbody" target="hat"')),
        (
            ("<default>", '<compiler discardvisual="true"/><default>'),
            ("</worldbody>", '<body><geom type="sphere" size="0.1" contype="4" conaffinity="8"/></body></worldbody>'),
        ),
        (("<default>", '<compiler fusestatic="true"/><default>'),),
    ],
)
def test_listing_contacts_keeps_all_bodies_and_geoms(tmp_path, changes):
    plain, lean = ball(tmp_path, *changes)
    assert (lean.nbody, lean.ngeom, lean.nsite) == (plain.nbody, plain.ngeom, plain.nsite)
    assert [lean.body(i).name for i in range(lean.nbody)] == [plain.body(i).name for i in range(plain.nbody)]
    assert np.array_equal(lean.body_inertia, plain.body_inertia)


def test_contacts_in_another_order_are_not_listed(tmp_path, monkeypatch):
    assert ball(tmp_path)[1].npair == 2
    contact_pairs = lean_module._contact_pairs
    monkeypatch.setattr(lean_module, "_contact_pairs", lambda model: contact_pairs(model)[::-1])
    assert ball(tmp_path)[1].npair == 0


def test_model_that_cannot_be_compiled_again_is_unchanged(tmp_path):
    path = tmp_path / "ball.model"  # MjSpec only loads files that end in .xml or .urdf
    path.write_text(BALL)
    assert lean_model(path).npair == 0


def test_contacts_are_not_listed_under_a_user_contact_filter():
    hopper = task_named("Hopper-v5").model_path
    assert lean_model(hopper).npair == 7
    try:
        mujoco.set_mjcb_contactfilter(lambda model, data, one, two: 0)
        assert lean_model(hopper).npair == 0
    finally:
        mujoco.set_mjcb_contactfilter(None)


def test_contacts_are_not_listed_if_mujoco_has_new_pair_fields(monkeypatch):
    monkeypatch.setattr(lean_module, "PAIR_FIELDS", lean_module.PAIR_FIELDS - {"adhesion"})
    assert lean_model(task_named("Hopper-v5").model_path).npair == 0


@pytest.mark.parametrize(("n", "pairs"), [(20, 190), (21, 0), (2000, 0)])
def test_contacts_of_many_bodies_are_not_listed(tmp_path, n, pairs):
    path = tmp_path / "balls.xml"
    one = '<body pos="0 0 {}"><freejoint/><geom type="sphere" size="0.1"/></body>'
    path.write_text(f"<mujoco><worldbody>{''.join(map(one.format, range(n)))}</worldbody></mujoco>")
    assert lean_model(path).npair == pairs


def test_loading_models_in_threads_keeps_warning_filters():
    before, hopper = list(warnings.filters), task_named("Hopper-v5").model_path
    with ThreadPoolExecutor(4) as threads:
        assert {model.npair for model in threads.map(lean_model, [hopper] * 24)} == {7}
    assert warnings.filters == before


def test_disable_islands_skips_models_of_several_trees():
    with_islands = []
    for name in TASKS:
        model = mujoco.MjModel.from_xml_path(str(task_named(name).model_path))
        before = model.opt.disableflags
        disable_islands(model)
        if model.opt.disableflags == before:
            with_islands.append(name)
    assert with_islands == ["Pusher-v5", "Reacher-v5"]  # whose objects and targets are trees of their own


@pytest.mark.parametrize("integrator", ["Euler", "discrete"])
def test_disable_islands_lets_bodies_fall_asleep(integrator):
    # A box that settles on the floor; the integrator "discrete" fails if sleeping is enabled without islands.
    xml = f"""
<mujoco>
  <option integrator="{integrator}" sleep_tolerance="0.05"><flag sleep="enable"/></option>
  <worldbody>
    <geom type="plane" size="5 5 0.1"/>
    <body pos="0 0 0.15"><freejoint/><geom type="box" size="0.1 0.1 0.1"/></body>
  </worldbody>
</mujoco>
"""
    model = mujoco.MjModel.from_xml_string(xml)
    disable_islands(model)
    data = mujoco.MjData(model)
    mujoco.mj_step(model, data, nstep=500)
    assert data.tree_asleep[0] >= 0
    assert not data.qvel.any()


def test_simulator_disables_islands():
    simulator = Simulator(task_named("Hopper-v5"), [np.random.default_rng(0)])
    assert simulator._batch.model.opt.disableflags & ISLANDS


@pytest.mark.skipif(sys.platform == "win32", reason="the clock is not accessible there")
def test_simulator_stops_mujocos_timers():
    # In a new process: in this one a simulator may exist already.
    script = """
import mujoco, numpy as np
from rlclaims.sim.simulator import Simulator
from rlclaims.sim.tasks import task_named

model = mujoco.MjModel.from_xml_path(str(task_named("Hopper-v5").model_path))
step = mujoco.mjtTimer.mjTIMER_STEP
for _ in range(2):
    data = mujoco.MjData(model)
    mujoco.mj_step(model, data)
    print(data.timer[step].number, data.timer[step].duration > 0)
    Simulator(task_named("Hopper-v5"), [np.random.default_rng(0)])
"""
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["1", "True", "1", "False"]


@pytest.mark.skipif(sys.platform == "win32", reason="the clock is not accessible there")
def test_disable_timers_keeps_a_users_clock():
    # Restored at the end, as other tests in this process may have stopped the clock.
    clock, ticks = clock_of_mujoco(), itertools.count()
    assert clock is not None
    before = clock.value
    try:
        mujoco.set_mjcb_time(lambda: float(next(ticks)))
        disable_timers()
        model = mujoco.MjModel.from_xml_path(str(task_named("Hopper-v5").model_path))
        mujoco.mj_step(model, mujoco.MjData(model))
        assert next(ticks) > 0
    finally:
        mujoco.set_mjcb_time(None)
        clock.value = before

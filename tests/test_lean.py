"""What is left out of MuJoCo's work costs no bit."""

import itertools
import subprocess
import sys

import mujoco
import numpy as np
import pytest

from rlclaims.sim.lean import clock_of_mujoco, lean_model, leave_out_islands, leave_out_timers
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
"""One tree that has all kinds of constraints: contacts, limits, friction in joints and in a tendon, equalities."""
EQUALITIES = ("", '<joint joint1="hip" joint2="other hip"/>', '<connect site1="trunk" site2="foot"/>')


@pytest.fixture(autouse=True)
def quiet():
    """MuJoCo's own handler of warnings writes a file into the working directory."""
    mujoco.set_mju_user_warning(lambda _: None)


def trajectory(model, steps=60):
    data, rng = mujoco.MjData(model), np.random.default_rng(1)
    passed, constraints = [], 0
    for _ in range(steps):
        data.ctrl[:] = rng.uniform(-1, 1, model.nu)
        mujoco.mj_step(model, data, nstep=4)
        passed.append(np.concatenate([data.qpos, data.qvel, data.qacc_warmstart]))
        constraints += data.nefc
    assert constraints > 0, "nothing was solved, so nothing is shown"
    return np.array(passed)


@pytest.mark.parametrize("solver", ["PGS", "CG", "Newton"])
@pytest.mark.parametrize("cone", ["pyramidal", "elliptic"])
def test_a_tree_moves_the_same_without_a_search_for_islands(solver, cone):
    ways = itertools.product(
        ("Euler", "RK4", "implicitfast"), ("dense", "sparse"), (0, 3), (0, 0.1), (1, 3), EQUALITIES
    )
    for integrator, jacobian, noslip, friction, contact, equality in ways:
        xml = BRANCHED.format(
            integrator=integrator, solver=solver, cone=cone, jacobian=jacobian,
            noslip=noslip, friction=friction, contact=contact, equality=equality,
        )  # fmt: skip
        with_islands, without = (mujoco.MjModel.from_xml_string(xml) for _ in range(2))
        leave_out_islands(without)
        assert not with_islands.opt.disableflags & ISLANDS
        assert without.opt.disableflags & ISLANDS
        assert np.array_equal(trajectory(with_islands), trajectory(without))


def crowd(rng):
    """A model of bodies that fall onto each other: jointed, welded or fixed, and of several geoms that all differ."""

    def geom(kind):
        size = "5 5 0.1" if kind == "plane" else " ".join(f"{x:.3f}" for x in rng.uniform(0.05, 0.15, 2))
        place = "" if kind == "plane" else f'pos="{" ".join(f"{x:.3f}" for x in rng.uniform(-0.1, 0.1, 3))}"'
        friction = " ".join(f"{x:.3f}" for x in rng.uniform(0.01, 1, 3))
        return (
            f'<geom type="{kind}" size="{size}" {place} friction="{friction}" condim="{rng.choice([1, 3, 4, 6])}" '
            f'margin="{rng.choice([0, 0.01, 0.05])}" gap="{rng.choice([0, 0.02])}" '
            f'contype="{rng.integers(4)}" conaffinity="{rng.integers(4)}"/>'
        )

    def body(depth, joint):
        geoms = "".join(geom(rng.choice(["sphere", "capsule"])) for _ in range(rng.integers(3)))
        # What moves needs a mass.
        ball = '<geom type="sphere" size="0.05" contype="1" conaffinity="1"/>'
        below = "".join(
            body(depth + 1, rng.choice(["", '<joint axis="0 1 0"/>', '<joint type="ball"/>']))
            for _ in range(rng.integers(3) if depth < 2 else 0)
        )
        x, y, z = rng.uniform(-0.3, 0.3, 3)
        place = f"{x:.3f} {y:.3f} {z + 0.5 * (depth == 0):.3f}"
        return f'<body pos="{place}">{joint}<camera mode="track"/><light/>{ball}{geoms}{below}</body>'

    bodies = "".join(body(0, joint) for joint in ("<freejoint/>", "", '<joint axis="0 1 0"/>'))
    return f"<mujoco><worldbody>{geom('plane')}{geom('sphere')}<light/>{bodies}</worldbody></mujoco>"


def test_bodies_fall_the_same_with_their_contacts_listed(tmp_path):
    path, rng, listed, touched = tmp_path / "crowd.xml", np.random.default_rng(0), 0, 0
    for _ in range(100):
        path.write_text(crowd(rng))
        plain = mujoco.MjModel.from_xml_path(str(path))
        lean = lean_model(path)
        plain.opt.disableflags = lean.opt.disableflags  # of islands, which other tests are about
        ours, theirs = mujoco.MjData(lean), mujoco.MjData(plain)
        for _ in range(60):
            mujoco.mj_step(lean, ours, nstep=5)
            mujoco.mj_step(plain, theirs, nstep=5)
            assert np.array_equal(ours.qpos, theirs.qpos)
            assert np.array_equal(ours.qvel, theirs.qvel)
            assert [list(contact.geom) for contact in ours.contact] == [
                list(contact.geom) for contact in theirs.contact
            ]
            touched += theirs.ncon
        listed += lean.npair > 0
    assert listed > 50
    assert touched > 1000


@pytest.mark.parametrize(
    "change",
    [
        ("<worldbody>", '<contact><exclude body1="world" body2="ball"/></contact><worldbody>'),
        ("<worldbody>", '<option><flag filterparent="disable"/></option><worldbody>'),
        ("<worldbody>", '<sensor><touch site="here"/></sensor><worldbody>'),
        ('type="sphere"', 'type="box"'),
        ('type="sphere"', 'type="sphere" priority="1"'),
        ('type="sphere"', 'type="sphere" solmix="2"'),
        ('type="sphere"', 'type="sphere" solref="0.1 1"'),
        ('type="sphere"', 'type="sphere" solimp="0.8 0.9 0.01"'),
    ],
)
def test_contacts_that_are_made_otherwise_are_not_listed(tmp_path, change):
    path = tmp_path / "ball.xml"
    xml = """<mujoco><worldbody><geom type="plane" size="5 5 1"/><body name="ball" pos="0 0 1">
<freejoint/><geom type="sphere" size="0.1 0.1 0.1"/><site name="here"/></body></worldbody></mujoco>"""
    path.write_text(xml)
    assert lean_model(path).npair == 1
    path.write_text(xml.replace(*change))
    assert lean_model(path).npair == 0


def test_a_filter_of_contacts_that_somebody_has_set_is_asked():
    hopper = task_named("Hopper-v5").model_path
    assert lean_model(hopper).npair == 7
    try:
        mujoco.set_mjcb_contactfilter(lambda model, data, one, two: 0)
        assert lean_model(hopper).npair == 0
    finally:
        mujoco.set_mjcb_contactfilter(None)


def test_where_all_bodies_may_touch_they_are_sorted(tmp_path):
    path = tmp_path / "balls.xml"
    ball = '<body pos="0 0 {}"><freejoint/><geom type="sphere" size="0.1"/></body>'
    for n, pairs in ((20, 190), (21, 0)):
        path.write_text(f"<mujoco><worldbody>{''.join(map(ball.format, range(n)))}</worldbody></mujoco>")
        assert lean_model(path).npair == pairs


def test_models_of_several_trees_keep_their_islands():
    kept = []
    for name in TASKS:
        model = mujoco.MjModel.from_xml_path(str(task_named(name).model_path))
        before = model.opt.disableflags
        leave_out_islands(model)
        if model.opt.disableflags == before:
            kept.append(name)
    assert kept == ["Pusher-v5", "Reacher-v5"]  # whose objects and targets hang on no arm


@pytest.mark.parametrize("integrator", ["Euler", "discrete"])
def test_what_may_fall_asleep_falls_asleep(integrator):
    # A box that settles on the floor; the integrator "discrete" breaks off where it may sleep without islands.
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
    leave_out_islands(model)
    data = mujoco.MjData(model)
    mujoco.mj_step(model, data, nstep=500)
    assert data.tree_asleep[0] >= 0
    assert not data.qvel.any()


def test_a_simulator_leaves_islands_out():
    simulator = Simulator(task_named("Hopper-v5"), [np.random.default_rng(0)])
    assert simulator._batch.model.opt.disableflags & ISLANDS


@pytest.mark.skipif(sys.platform == "win32", reason="the clock cannot be reached there")
def test_no_clock_is_read_once_a_simulator_is_made():
    # In a process of its own: in this one a simulator may have been made.
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


@pytest.mark.skipif(sys.platform == "win32", reason="the clock cannot be reached there")
def test_a_clock_that_somebody_has_set_is_left_to_them():
    # Put back here, as other tests of this process may go on without one.
    clock, ticks = clock_of_mujoco(), itertools.count()
    assert clock is not None
    before = clock.value
    try:
        mujoco.set_mjcb_time(lambda: float(next(ticks)))
        leave_out_timers()
        model = mujoco.MjModel.from_xml_path(str(task_named("Hopper-v5").model_path))
        mujoco.mj_step(model, mujoco.MjData(model))
        assert next(ticks) > 0
    finally:
        mujoco.set_mjcb_time(None)
        clock.value = before

"""A lithium filament: charge against volume, stall, threshold, growth, dissolution, front, ranks."""

import json
import math

import numpy as np
import pytest
from dolfinx import fem
from launch import python
from mpi4py import MPI

from coupling.errors import RunFailure, UserError
from meshes.crack_path import CrackPath, draw_crack_path
from multiscale.domain import meshed
from multiscale.materials import Elastic, stiffness
from multiscale.mechanics.extrusion import Creep
from multiscale.mechanics.filament import FilamentModel
from multiscale.mechanics.filament_state import FilamentProperties
from multiscale.mechanics.phase_field import CrackModel
from multiscale.mechanics.weak_boundary import strip_toughness, strip_width

A = 1e-6
OXIDE = Elastic(150e9, 0.257)
ENERGY = 1.25e6**2 / OXIDE.plane_strain_modulus
PER_CHARGE = 1.300e-5 / 96485.33212
EXCHANGE, T = 10.0, 298.15


def _model(
    conductivity=0.05, over=6.0, width=30, height=15, divisions=2.0, mirrored=True, flaw=A, split="none", **properties
):
    length = A / over
    path = CrackPath(width * A, height * A, 2 * A, 3 * length, length / divisions, 2 * A, mirrored=mirrored)
    domain = meshed(draw_crack_path, MPI.COMM_WORLD, path=path)
    values = {"exchange_current_density": EXCHANGE, "temperature": T} | properties
    return FilamentModel(
        domain, domain.constant(conductivity), stiffness(domain, {"body": OXIDE}), domain.constant(ENERGY),
        CrackModel("AT1", length, split), path.size, FilamentProperties(**values), flaw, mirrored,
    )  # fmt: skip


def _flat(pressure):
    """Current density at which a flat electrode has the overpotential that stalls at a pressure."""
    return 2 * EXCHANGE * math.sinh(1.3e-5 * pressure / (2 * 8.314462618 * T))


GRIFFITH = 1.25e6 / (1.1215 * math.sqrt(math.pi * A))
"""Pressure at which a surface crack of 1 µm starts, Pa."""


@pytest.fixture(scope="module")
def grown():
    """A filament driven beyond its threshold, its states, and the current."""
    model, current = _model(width=40, height=25), _flat(1.4 * GRIFFITH)
    states = [model.step(step, current) for step in (1.0, 1.0, 0.5, 0.5, 0.5, 0.5, 0.5)]
    return model, states, current


def test_volume_is_charge(grown):
    """V = V_Li Q/F to rounding; what does not enter the filament plates on the flat electrode."""
    _, states, current = grown
    for state in states:
        assert state.volume == pytest.approx(PER_CHARGE * state.charge, rel=1e-12)
        assert state.charge + state.flat_charge == pytest.approx(current * 40 * A * state.time, rel=1e-9)
    model, _, _ = grown
    assert model.body.balance.volume * 2 == pytest.approx(states[-1].volume, rel=1e-8)


def test_crack_starts_near_griffith_and_grows_along_the_field(grown):
    _, states, _ = grown
    assert states[-1].length > 1.1 * A
    assert max(state.pressure for state in states) == pytest.approx(GRIFFITH, rel=0.06)
    x, y = states[-1].tip
    assert abs(x) < A / 6
    assert y == pytest.approx(states[-1].length, rel=1e-2)
    assert all(state.dissipated >= -1e-12 * state.fracture for state in states)
    assert states[-1].dry_length == 0
    stored = [state.elastic + state.fracture for state in states]
    work = states[-1].work - states[0].work
    assert abs(work - (stored[-1] - stored[0])) < 0.03 * work


def test_growth_follows_the_edge_crack(grown):
    """Half-plane edge crack (Tada, Paris & Irwin): K = 1.1215 p √(πa), so V = 1.1215² π p a²/E' and p²a = const in growth.

    Together p³V = E' Gc²/(1.1215² π), which needs no length; the length by its faces agrees with that by compliance.
    """
    _, states, _ = grown
    shape, modulus = 1.1215**2 * math.pi, OXIDE.plane_strain_modulus
    for last in states[-2:]:
        assert last.pressure**3 * last.volume == pytest.approx(modulus * ENERGY**2 / shape, rel=0.1)
        by_compliance = math.sqrt(last.volume * modulus / (shape * last.pressure))
        assert last.crack_area == pytest.approx(by_compliance, rel=0.09)


@pytest.mark.parametrize("ratio", [1.0, 0.75, 0.5])
def test_the_length_of_a_crack_does_not_depend_on_the_toughness_it_runs_in(ratio):
    """Two flaws along a strip that stands for a weak boundary: their lengths differ by what they differ, and their surface energy
    by the boundary's, ratio² of the grains' for every metre."""
    lengths, energies, length = [], [], A / 4
    for flaw in (A, 2 * A):
        path = CrackPath(16 * A, 8 * A, 3 * A, 3 * length, length / 3, 2 * A, mirrored=True)
        domain = meshed(draw_crack_path, MPI.COMM_WORLD, path=path)
        energy = fem.Function(fem.functionspace(domain.mesh, ("DG", 0)))
        middles = domain.mesh.geometry.x[domain.mesh.geometry.dofmap].mean(axis=1)
        strip = strip_width(length, path.size)
        weak = strip_toughness(ratio**2, strip, length, path.size)
        energy.x.array[:] = np.where(np.abs(middles[:, 0]) < strip / 2, weak, 1.0) * ENERGY
        properties = FilamentProperties(exchange_current_density=EXCHANGE, temperature=T)
        model = FilamentModel(
            domain, domain.constant(1.0), stiffness(domain, {"body": OXIDE}), energy, CrackModel("AT1", length), path.size,
            properties, flaw, mirrored=True,
        )  # fmt: skip
        lengths.append(model.state.crack_area)
        energies.append(model.state.fracture)
    assert lengths[1] - lengths[0] == pytest.approx(A, rel=0.01)
    assert lengths[0] - A == pytest.approx(math.pi * length / 9, abs=0.25 * length)  # the round tip
    assert (energies[1] - energies[0]) / (ENERGY * A) == pytest.approx(ratio**2, rel=0.01)


def test_below_the_threshold_it_stalls():
    """Kinetics decide: the pressure goes to F|η|/V of the electrode, no lithium enters any more, and nothing breaks."""
    model, aim = _model(conductivity=10.0), 0.7 * GRIFFITH
    for step in (1, 3, 10, 30, 100):
        state = model.step(float(step), _flat(aim))
    assert state.pressure == pytest.approx(aim, rel=5e-3)
    assert abs(state.current) < 1e-3 * _flat(aim) * 30 * A
    assert state.length < 1.02 * A


def test_without_the_feedback_nothing_stalls():
    on, off, current = _model(), _model(pressure_feedback=False), _flat(0.9 * GRIFFITH)
    hindered, free = ([model.step(0.3, current).current for _ in range(3)] for model in (on, off))
    assert free == pytest.approx([free[0]] * 3, rel=1e-2)
    assert hindered[0] < free[0]
    assert hindered[2] < hindered[1] < hindered[0]
    assert off.state.charge == pytest.approx(0.9 * free[0], rel=1e-2)


def test_reversed_current_returns_the_charge_and_leaves_the_crack(grown):
    model, states, current = grown
    kept, falls = model.snapshot(), []
    try:
        for _ in range(40):
            old, state = model.state, model.step(1.0, -current)
            falls.append(old.fracture - state.fracture)
            assert state.dissipated >= -1e-12 * state.fracture
            if state.volume <= 1e-9 * states[-1].volume:
                break
        assert state.charge == pytest.approx(0.0, abs=1e-8 * states[-1].charge)
        assert state.volume == pytest.approx(0.0, abs=1e-8 * states[-1].volume)
        assert state.pressure == pytest.approx(0.0, abs=1e3)
        assert state.length >= states[-1].length
        assert -1e-12 * state.fracture < max(falls) < 1e-4 * state.fracture  # of the profile, as the pressure lets it go
        assert state.fracture == pytest.approx(states[-1].fracture, rel=2e-2)
        empty = model.step(1.0, -current)
        assert empty.current == pytest.approx(0.0, abs=1e-9 * current * A)
        again = model.step(0.5, current)
        assert again.charge > 0
    finally:
        model.restore(kept)


def test_tip_stall_pressure_without_kinetics():
    """V24: an inert flaw in a uniform field feels i c/κ at its tip; with the penny's K this is the flux-detour curve."""
    critical = []
    for flaw in (1e-6, 2e-6):
        model = _model(conductivity=1e-4, exchange_current_density=1e5, flaw=flaw)
        model.filament_exchange.value = 1e-12
        model.applied.value = 10.0
        model.transport(0.0)
        stall = -96485.33212 * model.hot_spot() / 1.3e-5
        assert stall == pytest.approx(96485.33212 * 10.0 * flaw / (1e-4 * 1.3e-5), rel=0.03)
        toughness_per_current = 2 * stall / 10.0 * math.sqrt(flaw / math.pi)
        critical.append(1.25e6 / toughness_per_current)
        curve = 1e-4 * 1.3e-5 * 1.25e6 * math.sqrt(math.pi / 4) / (96485.33212 * flaw**1.5)
        assert critical[-1] == pytest.approx(curve, rel=0.03)
    assert math.log(critical[0] / critical[1]) / math.log(2) == pytest.approx(1.5, abs=0.05)


def test_metal_filament_focuses_the_flux():
    """Fast kinetics: a strip of length c on an electrode in a uniform field takes 2 i c (conformal map √(z² + c²)).

    The smeared filament is wider and longer by a part of the model's length, which halves with it.
    """
    taken = []
    for over in (6.0, 12.0):
        model = _model(conductivity=1e-4, exchange_current_density=1e3, pressure_feedback=False, over=over)
        model.applied.value = 10.0
        taken.append(model.transport(0.0) / (2 * 10.0 * A))
    print("over the exact current of a strip", np.round(taken, 4))
    assert taken[1] < taken[0]
    assert 2 * taken[1] - taken[0] == pytest.approx(1.0, rel=0.06)
    assert taken[1] == pytest.approx(1.0, rel=0.2)


CREEP = Creep(1e-3, 0.8e6, 6.6, 37e3, size_factor=31.6)


def _wedge(s):
    return np.clip(10e-9 * (1 - s / A), 1e-9, None)


def test_extrusion_caps_the_pressure():
    """With creep the steady pressure is where plating equals extrusion, below the stall; the ledger closes."""
    soft = Creep(1e-3, 0.8e6, 6.6, 37e3, size_factor=1.0)
    model, current = _model(creep=soft, unloaded_half_opening=_wedge), _flat(0.9 * GRIFFITH)
    for step in (1, 1, 2, 4, 8):
        state = model.step(float(step), current)
    assert state.extruded > 0
    assert state.volume == pytest.approx(PER_CHARGE * state.charge - state.extruded, rel=1e-9)
    flow = model.extrusion(state.pressure, model.half_opening(state.length))
    assert flow == pytest.approx(PER_CHARGE * state.current, rel=0.02)
    assert state.pressure < 0.7 * GRIFFITH


def test_stiff_lithium_leaves_the_tip_dry():
    hard = Creep(1e-9, 0.8e6, 6.6, 37e3, size_factor=100.0)
    model, current = _model(creep=hard, unloaded_half_opening=_wedge), _flat(1.5 * GRIFFITH)
    start = model.state.length
    for step in (1.0, 1.0, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5):
        state = model.step(step, current)
    assert state.dry_length > 0
    assert start + model.reach <= state.front < 1.05 * start + model.reach
    assert state.pressure > 0


def test_a_full_flaw_starts_at_the_same_pressure_whether_its_lithium_flows_or_not():
    """Only what it opens may stay dry (the defect: its own tip was held like a dry one, 1.3 times too tough)."""
    hard, starts = Creep(1e-9, 0.8e6, 6.6, 37e3, size_factor=100.0), []
    for given in ({"creep": hard, "unloaded_half_opening": _wedge}, {}):
        model, current = _model(10.0, over=4.0, width=16, height=10, **given), _flat(2.5 * GRIFFITH)
        first = state = model.state
        while state.crack_area - first.crack_area <= A / 8:
            state = model.step(0.1, current)
        assert state.extruded == pytest.approx(0.0, abs=1e-3 * state.volume)
        starts.append((state.pressure, state.time))
    assert starts[0][0] == pytest.approx(starts[1][0], rel=0.02)
    assert starts[0][1] == pytest.approx(starts[1][1], abs=0.11)
    assert starts[0][0] == pytest.approx(GRIFFITH, rel=0.06)


def test_failed_step_leaves_the_model_as_it_was(monkeypatch):
    model = _model()
    model.step(0.5, 20.0)
    before = model.snapshot()
    monkeypatch.setattr(model.body, "at_volume", lambda *given: _refuse(given))
    with pytest.raises(RunFailure, match="refused"):
        model.step(0.5, 40.0)
    after = model.snapshot()
    assert after["state"] == before["state"]
    assert np.array_equal(after["potential"], before["potential"])
    assert after["applied"] == before["applied"]


def test_split_of_the_energy():
    """Without load the filament's crack only opens: the split leaves its response as it is, but for shear in the halo."""
    found = []
    for split in ("none", "volumetric-deviatoric"):
        state = _model(width=10, height=7, over=4.0, split=split).step(1.0, 60.0)
        assert state.volume == pytest.approx(PER_CHARGE * state.charge, rel=1e-9)
        found.append(state.pressure)
    assert found[1] == pytest.approx(found[0], rel=0.05)


def _refuse(volume):
    raise RunFailure("refused")


@pytest.mark.parametrize(("name", "value"), [("temperature", 0.0), ("anodic_transfer", 1.0)])
def test_impossible_properties_are_refused(name, value):
    with pytest.raises(UserError, match=name):
        FilamentProperties(**({"exchange_current_density": 1.0, "temperature": 300.0} | {name: value}))


SCRIPT = """
import json, sys
sys.path.insert(0, "tests")
from mpi4py import MPI
from test_filament import _flat, _model, GRIFFITH
model = _model(mirrored=False, width=8, height=5, over=4.0)
states = [model.step(step, _flat(1.4 * GRIFFITH)) for step in (1.6,)]
if MPI.COMM_WORLD.rank == 0:
    print(json.dumps([[s.pressure, s.volume, s.crack_area, s.potential] for s in states]))
"""


@pytest.mark.timeout(450)
def test_ranks_do_not_matter():
    answers = []
    for ranks in (1, 2, 3):
        done = python(SCRIPT, ranks, timeout=140)
        assert done.returncode == 0, done.stderr
        answers.append(np.array(json.loads(done.stdout.strip().splitlines()[-1])))
    assert answers[1] == pytest.approx(answers[0], rel=1e-5)
    assert answers[2] == pytest.approx(answers[0], rel=1e-5)

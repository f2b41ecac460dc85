"""Initiation against analytic limits: elastic flaw, thermodynamic stall, flux detour, creep; linearity; ranks."""

import json
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("dolfinx", reason="needs dolfinx")

from mpi4py import MPI

from coupling.constants import FARADAY, LITHIUM_MOLAR_VOLUME
from coupling.errors import UserError
from meshes.flaw import Flaw
from meshes.polycrystal import COARSE, LayeredCell
from multiscale.critical_current.cell_properties import CellProperties
from multiscale.critical_current.initiation import InitiationModel
from multiscale.layered import layered_domain
from multiscale.materials import Elastic
from multiscale.mechanics.extrusion import Creep
from multiscale.mechanics.flaw import FlawMechanics
from multiscale.transport.kinetics import butler_volmer

SOLID = Elastic(22e9, 0.37)
REGIONS = ("grain", "boundary", "interphase")
FLAW = Flaw(depth=0.4e-6, mouth_opening=15e-9, tip_radius=2.5e-9)
CELL = LayeredCell(2e-6, 2e-6, 0.8e-6, 10e-9, 30e-9, FLAW, seed=1, resolution=COARSE)
CREEP = Creep(reference_rate=1e-3, reference_stress=0.8e6, exponent=6.6, activation_energy=37e3, size_factor=10.0)
PROPERTIES = CellProperties(
    conductivity={"grain": 0.25, "boundary": 0.025, "interphase": 1e-4},
    elastic=dict.fromkeys(REGIONS, SOLID),
    exchange_current_density=25.7,
    temperature=298.15,
    stack_pressure=5e6,
    grain_toughness=0.35e6,
    boundary_toughness=0.25e6,
    creep=CREEP,
)


@pytest.fixture(scope="module")
def model() -> InitiationModel:
    """The model of the small cell; tests update its properties."""
    return InitiationModel(layered_domain(CELL, MPI.COMM_SELF)[0], CELL, PROPERTIES)


def conducting(value: float) -> dict[str, float]:
    """The same conductivity everywhere."""
    return dict.fromkeys(REGIONS, value)


def test_edge_crack_in_a_wide_cell() -> None:
    """K_I → 1.1215 p √(π c), mouth opening 4 · 1.454 p c/E' of an edge crack; pressure all around: 1 - ν/(1-ν) of it.

    Sources: docs/physics.md 1.6; Tada, Paris & Irwin, Stress Analysis of Cracks Handbook (edge crack of a half plane).
    The cell is finite (20 flaw depths wide), which is worth 3 %.
    """
    flaw = replace(FLAW, depth=0.3e-6, mouth_opening=5e-9, tip_radius=1e-9)
    cell = LayeredCell(6e-6, 6e-6, 3e-6, 20e-9, 30e-9, flaw, resolution=COARSE)
    response = FlawMechanics(layered_domain(cell, MPI.COMM_SELF)[0], cell).response(dict.fromkeys(REGIONS, SOLID))
    assert response.intensity_flaw == pytest.approx(1.1215 * math.sqrt(math.pi * flaw.depth), rel=0.04)
    opening = 4 * 1.454 * flaw.depth / SOLID.plane_strain_modulus
    assert 2 * response.opening_flaw[0] == pytest.approx(opening, rel=0.06)
    net = response.intensity_flaw + response.intensity_stack
    assert net / response.intensity_flaw == pytest.approx(1 - 0.37 / 0.63, rel=0.01)


def test_stall_without_ohmic_drop_is_butler_volmer(model: InitiationModel) -> None:
    """No extrusion and very good conductors: |Δ| = V p_c/F, and i_c is Butler-Volmer of the flat surface there."""
    properties = replace(PROPERTIES.without_extrusion(), conductivity=conducting(1e6))
    model.update(properties)
    critical = model.critical_current()
    pressure = model.response.pressure_at(properties.boundary_toughness, properties.stack_pressure)
    potential = -LITHIUM_MOLAR_VOLUME * pressure / FARADAY
    expected = -butler_volmer(potential, 25.7, 0.5, 0.5, 298.15, properties.stack_pressure)
    flat = 1 - FLAW.mouth_opening / CELL.width
    assert critical.limited_by == "stall"
    assert critical.bound is None
    assert critical.state.hot_spot_overpotential == pytest.approx(potential, rel=1e-4)
    assert critical.state.flaw_pressure == pytest.approx(critical.state.stall_pressure, rel=1e-4)
    assert critical.current_density == pytest.approx(expected * flat, rel=1e-4)


def test_state_at_the_critical_current_has_the_toughness(model: InitiationModel) -> None:
    """Solving for the flaw pressure at i_c gives K_I = K_Ic; below it K_I is smaller, above larger."""
    model.update(PROPERTIES)
    critical = model.critical_current()
    assert critical.state.stress_intensity == pytest.approx(PROPERTIES.boundary_toughness, rel=1e-8)
    factors = (0.5, 1.0, 1.5)
    intensities = [model.at_current(f * critical.current_density).stress_intensity for f in factors]
    assert intensities[1] == pytest.approx(PROPERTIES.boundary_toughness, rel=1e-7)
    assert intensities[0] < intensities[1] < intensities[2]


def test_lithium_balance_and_charge(model: InitiationModel) -> None:
    """What enters the flaw leaves by creep; charge balances to 1e-10; creep raises the critical current."""
    model.update(PROPERTIES)
    with_creep = model.critical_current()
    state = with_creep.state
    assert state.charge_imbalance < 1e-10
    assert state.flaw_current * LITHIUM_MOLAR_VOLUME / FARADAY == pytest.approx(
        model.extrusion(state.flaw_pressure), rel=1e-6, abs=1e-22
    )
    model.update(PROPERTIES.without_extrusion())
    without = model.critical_current()
    assert abs(without.state.flaw_current) < 1e-6 * without.state.plated_current
    assert without.current_density < with_creep.current_density


def detoured(depth: float) -> tuple[InitiationModel, float]:
    """A flaw in a uniform conductor without kinetic resistance, everything scaled with its depth; its detour curve.

    The curve (V24; docs/physics.md 1.6) gives the tip the drop i c/κ along the flaw: i_c = κ V p_c/(F c) ∝ c^-1.5.
    """
    scale = depth / 0.4e-6
    flaw = Flaw(depth, 6e-9 * scale, 1.5e-9 * scale, at="grain", lined=False)
    cell = LayeredCell(8 * depth, 8 * depth, 4 * depth, 25e-9 * scale, 10e-9 * scale, flaw, resolution=COARSE)
    properties = replace(
        PROPERTIES.without_extrusion(),
        conductivity=conducting(1e-3), exchange_current_density=5e4 / scale, stack_pressure=0.0,
    )  # fmt: skip
    model = InitiationModel(layered_domain(cell, MPI.COMM_SELF)[0], cell, properties)
    pressure = model.response.pressure_at(properties.grain_toughness, 0.0)
    return model, 1e-3 * LITHIUM_MOLAR_VOLUME * pressure / (FARADAY * depth)


def test_flux_detour_limit() -> None:
    """The stalled flaw follows the detour curve and its c^-1.5; redistribution inside the flaw only raises i_c."""
    values, curves = [], []
    for depth in (0.2e-6, 0.8e-6):
        model, curve = detoured(depth)
        values.append(model.stalled_critical_current().current_density)
        curves.append(curve)
    assert values == pytest.approx(curves, rel=0.02)
    assert values[0] / values[1] == pytest.approx(4**1.5, rel=1e-2)
    assert model.critical_current().current_density > 2 * values[1]


def test_closures_agree_where_kinetics_dominate(model: InitiationModel) -> None:
    """At a large Wagner number lithium has no reason to move inside the flaw: both closures give one number."""
    model.update(replace(PROPERTIES.without_extrusion(), conductivity=conducting(10.0)))
    free, stalled = model.critical_current(), model.stalled_critical_current()
    assert stalled.current_density == pytest.approx(free.current_density, rel=1e-3)
    assert stalled.state.flaw_pressure == pytest.approx(stalled.state.stall_pressure, rel=1e-8)
    assert stalled.state.charge_imbalance < 1e-10


def test_critical_current_scales_linearly_with_the_conductors(model: InitiationModel) -> None:
    """All conductivities and i0 times three: the same potentials, three times the critical current."""
    base = PROPERTIES.without_extrusion()
    model.update(base)
    first = model.critical_current()
    tripled = {name: 3 * value for name, value in base.conductivity.items()}
    model.update(replace(base, conductivity=tripled, exchange_current_density=3 * base.exchange_current_density))
    second = model.critical_current()
    assert second.current_density == pytest.approx(3 * first.current_density, rel=1e-8)
    assert second.state.flaw_pressure == pytest.approx(first.state.flaw_pressure, rel=1e-12)


def test_stack_pressure_and_toughness(model: InitiationModel) -> None:
    """Toughness raises i_c, that of the boundary only; stack pressure lowers it.

    Between rollers stack pressure clamps the flaw with ν/(1-ν) of itself, but the lithium in the flaw starts from the
    whole of it, so fracture needs less pressure above the flat surface's.
    """
    base = PROPERTIES.without_extrusion()
    currents = []
    for change in ({}, {"stack_pressure": 50e6}, {"boundary_toughness": 0.3e6}, {"grain_toughness": 0.1e6}):
        model.update(replace(base, **change))
        currents.append(model.critical_current().current_density)
    assert currents[1] < currents[0] < currents[2]
    assert currents[3] == pytest.approx(currents[0], rel=1e-9)
    assert model.response.pressure_at(0.25e6, 50e6) > model.response.pressure_at(0.25e6, 5e6)


def test_soft_lithium_gives_a_lower_bound(model: InitiationModel) -> None:
    """Lithium that creeps a million times faster never breaks the cell: the answer is a bound and says so."""
    model.update(replace(PROPERTIES, creep=replace(CREEP, reference_rate=1e3, size_factor=1.0)))
    critical = model.critical_current(largest=500.0)
    assert (critical.bound, critical.limited_by, critical.current_density) == ("lower", "extrusion", 500.0)
    assert critical.state.stress_intensity < PROPERTIES.boundary_toughness


def test_pressure_that_opens_the_flaw_alone(model: InitiationModel) -> None:
    """A vanishing toughness under a high stack pressure: critical current zero, limited by the stack."""
    model.update(replace(PROPERTIES, boundary_toughness=1e3, stack_pressure=50e6))
    critical = model.critical_current()
    assert (critical.current_density, critical.limited_by) == (0.0, "stack")


def test_wrong_input_is_refused(model: InitiationModel) -> None:
    """A cell without flaw, a missing region, an impossible value."""
    with pytest.raises(UserError, match="flaw"):
        InitiationModel(model.domain, replace(CELL, flaw=None), PROPERTIES)
    with pytest.raises(UserError, match="interphase"):
        model.update(replace(PROPERTIES, conductivity={"grain": 1.0, "boundary": 1.0}))
    with pytest.raises(UserError, match="stack_pressure"):
        replace(PROPERTIES, stack_pressure=-1.0)
    with pytest.raises(UserError, match="conductivity of grain"):
        replace(PROPERTIES, conductivity=conducting(-1.0))


SCRIPT = """
import json
from mpi4py import MPI
from test_initiation import CELL, PROPERTIES
from multiscale.critical_current.initiation import InitiationModel
from multiscale.layered import layered_domain
from multiscale.critical_current.observables import CellMeter
model = InitiationModel(layered_domain(CELL, MPI.COMM_WORLD)[0], CELL, PROPERTIES)
critical = model.critical_current()
figures = CellMeter(model, 15e-9).read()
if MPI.COMM_WORLD.rank == 0:
    print(json.dumps([critical.current_density, critical.state.flaw_pressure, critical.state.hot_spot_overpotential,
                      critical.state.extrusion_share, figures.focusing_factor, figures.detour_factor,
                      figures.asr_total, *figures.asr.values()]))
"""


def test_same_numbers_on_one_two_and_three_ranks() -> None:
    """Critical current and summary figures agree to 1e-8 on 1, 2 and 3 ranks."""
    answers = []
    for ranks in (1, 2, 3):
        command = ["mpirun", "-n", str(ranks), sys.executable, "-m", "mpi4py", "-c", SCRIPT]
        here = Path(__file__).parent
        found = subprocess.run(command, cwd=here, env=_environment(here), capture_output=True, text=True, timeout=120)
        assert found.returncode == 0, found.stderr
        answers.append(json.loads(found.stdout.splitlines()[-1]))
    assert np.allclose(answers[1], answers[0], rtol=1e-8, atol=0)
    assert np.allclose(answers[2], answers[0], rtol=1e-8, atol=0)


def _environment(here: Path) -> dict[str, str]:
    import os

    return {**os.environ, "PYTHONPATH": f"{here.parent}:{here}"}

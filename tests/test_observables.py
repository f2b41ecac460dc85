"""Summary figures of a steady state: exact resistances, their split, focusing windows, charge, saved fields."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("dolfinx", reason="needs dolfinx")

from mpi4py import MPI
from test_initiation import CELL, PROPERTIES, conducting

from coupling.constants import FARADAY, GAS_CONSTANT
from coupling.errors import UserError
from multiscale.critical_current.initiation import InitiationModel
from multiscale.critical_current.observables import CellMeter, largest_mean
from multiscale.critical_current.output import triangulated, write_fields
from multiscale.layered import layered_domain

WINDOW = 15e-9


@pytest.fixture(scope="module")
def model() -> InitiationModel:
    """The model of the small cell; tests update its properties."""
    return InitiationModel(layered_domain(CELL, MPI.COMM_SELF)[0], CELL, PROPERTIES)


def test_resistances_add_up(model: InitiationModel) -> None:
    """Charge transfer and the regions' resistances sum to mean potential over current; currents balance."""
    model.update(PROPERTIES)
    model.at_current(20.0)
    figures = CellMeter(model, WINDOW).read()
    assert set(figures.asr) == {"charge_transfer", "grain", "boundary", "interphase"}
    assert sum(figures.asr.values()) == pytest.approx(figures.asr_total, rel=1e-6)
    assert figures.charge_imbalance < 1e-10
    assert figures.detour_factor > 1
    assert figures.focusing_factor > 1


def test_small_current_resistance_is_linear_kinetics_and_ohm(model: InitiationModel) -> None:
    """Uniform conductor, small current: RT/(F i0) and height/κ, up to the flaw's area (0.4 % of the cell)."""
    model.update(replace(PROPERTIES.without_extrusion(), conductivity=conducting(1e-3), stack_pressure=0.0))
    model.at_current(1e-3)
    figures = CellMeter(model, WINDOW).read()
    transfer = GAS_CONSTANT * 298.15 / (FARADAY * PROPERTIES.exchange_current_density)
    ohmic = sum(value for name, value in figures.asr.items() if name != "charge_transfer")
    assert figures.asr["charge_transfer"] == pytest.approx(transfer, rel=0.02)
    assert ohmic == pytest.approx(CELL.height / 1e-3, rel=0.02)
    assert figures.resistance_factor == pytest.approx(ohmic / (CELL.height / 1e-3), rel=1e-9)


def test_resistive_boundaries_detour_the_current(model: InitiationModel) -> None:
    """Blocking boundaries lengthen the path and raise the resistance factor; equal ones do not."""
    figures = []
    for share in (1.0, 1e-1, 1e-3):
        changed = {**PROPERTIES.conductivity, "boundary": share * PROPERTIES.conductivity["grain"]}
        model.update(replace(PROPERTIES.without_extrusion(), conductivity=changed))
        model.at_current(10.0)
        figures.append(CellMeter(model, WINDOW).read())
    assert figures[0].detour_factor == pytest.approx(1.0, abs=2e-3)
    assert figures[0].detour_factor < figures[1].detour_factor < figures[2].detour_factor
    assert figures[0].resistance_factor < figures[1].resistance_factor < figures[2].resistance_factor


def test_flux_focuses_without_kinetic_resistance(model: InitiationModel) -> None:
    """A small Wagner number focuses the current on the flaw far more than a large one."""
    currents = []
    for exchange in (25.7, 2e4):
        changed = replace(PROPERTIES.without_extrusion(), conductivity=conducting(1e-3))
        model.update(replace(changed, exchange_current_density=exchange))
        model.at_current(20.0)
        currents.append(CellMeter(model, WINDOW).read().focusing_factor)
    assert 1 < currents[0] < 1.1
    assert currents[1] > 2


def test_largest_window_mean_is_exact() -> None:
    """Pieces of density 1, 5, 1: any window up to the middle piece sees 5, a wider one the mixture."""
    length, amount = np.array([2.0, 1.0, 2.0]), np.array([2.0, 5.0, 2.0])
    assert largest_mean(length, amount, 0.5) == pytest.approx(5.0)
    assert largest_mean(length, amount, 2.0) == pytest.approx((5 + 1) / 2)
    assert largest_mean(length, amount, 5.0) == pytest.approx(9 / 5)


def test_surface_profile_covers_the_surface_once(model: InitiationModel) -> None:
    """The pieces add up to the lithium surface, and their currents to the applied one."""
    model.update(PROPERTIES)
    model.at_current(20.0)
    length, current = CellMeter(model, WINDOW).surface_profile()
    slant = np.hypot(CELL.flaw.depth - CELL.flaw.tip_radius, CELL.flaw.mouth_opening / 2 - CELL.flaw.tip_radius)
    surface = CELL.width - CELL.flaw.mouth_opening + 2 * slant + np.pi * CELL.flaw.tip_radius
    assert length.sum() == pytest.approx(surface, rel=1e-2)
    assert current.sum() == pytest.approx(20.0 * CELL.width, rel=1e-10)


def test_fields_are_written_whole_and_read_back(model: InitiationModel, tmp_path: Path) -> None:
    """ParaView fields appear under their name with no leftovers; a second write replaces the first."""
    model.update(PROPERTIES)
    model.at_current(20.0)
    for _ in range(2):
        path = write_fields(tmp_path / "fields.bp", model)
        assert path.is_dir()
        assert any(path.iterdir())
    assert [p.name for p in tmp_path.iterdir()] == ["fields.bp"]
    adios2 = pytest.importorskip("adios2", reason="needs adios2")
    with adios2.Stream(str(path), "r") as stream:
        for _ in stream.steps():
            names = set(stream.available_variables())
    assert {"potential_V", "current_density_A_per_m2", "displacement_m", "grain_index"} <= names


def test_triangulated_field_integrates_to_the_cell(model: InitiationModel) -> None:
    """Points, triangles and values for a picture: the triangles cover the cell, values are finite and positive."""
    model.update(PROPERTIES)
    model.at_current(20.0)
    points, triangles, values = triangulated(model, "current_density_A_per_m2")
    edges = points[triangles[:, 1:]] - points[triangles[:, :1]]
    wedge = (CELL.flaw.mouth_opening / 2 + CELL.flaw.tip_radius) * CELL.flaw.depth
    assert np.abs(np.linalg.det(edges)).sum() / 2 == pytest.approx(CELL.width * CELL.height - wedge, rel=1e-3)
    assert values.shape == (len(triangles),)
    assert values.min() > 0
    with pytest.raises(UserError, match="potential_V"):
        triangulated(model, "temperature")


def test_impossible_window_is_refused(model: InitiationModel) -> None:
    """A window wider than the cell."""
    with pytest.raises(UserError, match="window"):
        CellMeter(model, 1.0)

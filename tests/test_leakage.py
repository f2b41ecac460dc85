"""Mixed conduction: closed forms of both currents and of the local lithium potential, activity, thresholds, ranks."""


import numpy as np
import pytest
import ufl
from fem_tools import rectangle
from launch import answers_of_ranks
from mpi4py import MPI

from coupling.constants import FARADAY, GAS_CONSTANT, ROOM_TEMPERATURE
from coupling.errors import UserError
from multiscale.domain import piecewise
from multiscale.transport.leakage import (
    MetalContact,
    MixedConductor,
    linear_conductivity_potential,
    lithium_activity,
    nucleation_threshold,
)
from multiscale.verification.ion_transport import strip

THERMAL = GAS_CONSTANT * ROOM_TEMPERATURE / FARADAY
L, IONIC = 1e-5, 0.05


def line(n=20):
    return strip(MPI.COMM_WORLD, np.linspace(0.0, L, n + 1))


def nodal(cell, expression):
    """Places and values of a scalar expression at the nodes, sorted (one rank)."""
    from dolfinx import fem

    space = fem.functionspace(cell.domain.mesh, ("P", 2))
    points = space.element.interpolation_points
    field = fem.Function(space)
    field.interpolate(fem.Expression(expression, points() if callable(points) else points))
    x = space.tabulate_dof_coordinates()[:, 0]
    order = np.argsort(x)
    return x[order], field.x.array[order]


def test_both_currents_and_the_potential_of_lithium():
    """Stripping on the left, plating on the right, small currents: U goes linearly between the losses of the two faces."""
    i0, r = 10.0, 0.02
    contacts = {"left": MetalContact(i0, r), "right": MetalContact(i0, r)}
    cell = MixedConductor(line(), IONIC, 1e-4, contacts)
    voltage = cell.drive("left", 1e-2)
    ions, electrons = cell.currents("left")
    assert ions + electrons == pytest.approx(1e-2, rel=1e-9)
    assert electrons == pytest.approx(voltage / (L / 1e-4 + 2 * r), rel=1e-9)
    assert ions == pytest.approx(voltage / (L / IONIC + 2 * THERMAL / i0), rel=1e-6)
    x, U = nodal(cell, cell.lithium_potential)
    start = ions * THERMAL / i0 - electrons * r
    exact = start + x * (ions / IONIC - electrons / 1e-4)
    assert U == pytest.approx(exact, rel=1e-6)
    assert U[-1] == pytest.approx(electrons * r - ions * THERMAL / i0, rel=1e-6)


def test_ionic_contact_resistance_lowers_the_potential_at_the_plating_face_and_an_electron_barrier_raises_it():
    poor = MixedConductor(line(), IONIC, 1e-4, {"left": MetalContact(), "right": MetalContact(exchange_current_density=1.0)})
    poor.drive("left", 1.0)
    value, place = poor.lowest()
    assert value < 0
    assert place[0] == pytest.approx(L)
    barrier = MixedConductor(line(), IONIC, 1e-1, {"left": MetalContact(), "right": MetalContact(electronic_resistance=1e-2)})
    barrier.drive("left", 1.0)
    _, U = nodal(barrier, barrier.lithium_potential)
    assert U[-1] == pytest.approx(barrier.currents("left")[1] * 1e-2, rel=1e-8)
    assert U[-1] > 0


def test_linearly_varying_electronic_conductivity():
    domain = strip(MPI.COMM_WORLD, L * np.linspace(0.0, 1.0, 61) ** 2)
    x = ufl.SpatialCoordinate(domain.mesh)[0]
    cell = MixedConductor(domain, IONIC, 1e-5 + (1e-3 - 1e-5) * x / L, {"left": MetalContact(), "right": MetalContact()})
    cell.solve(left=0.1)
    ions, electrons = cell.currents("left")
    assert ions == pytest.approx(0.1 * IONIC / L, rel=1e-9)
    exact = 0.1 * (1e-3 - 1e-5) / L / np.log(1e-3 / 1e-5)
    assert electrons == pytest.approx(exact, rel=1e-4)
    places, U = nodal(cell, cell.lithium_potential)
    expected = linear_conductivity_potential(places, L, 1e-5, 1e-3, exact, 0.1) - 0.1 * (1 - places / L)
    assert U == pytest.approx(expected, abs=2e-4 * 0.1)
    assert U.min() == pytest.approx(expected.min(), rel=2e-3)
    assert cell.lowest()[0] < -0.02  # lithium potential below zero in the middle, with no loss at either face
    assert linear_conductivity_potential(L, L, 2.0, 2.0, 3.0, 1.0) == pytest.approx(1.0 - 3.0 * L / 2)


def test_wagner_polarisation():
    """Electrons whose conductivity follows the activity of lithium: i_e L = ∫ σ_e dU between the electrodes."""

    def follows(U):
        return 1e-4 * ufl.exp(-U / THERMAL)

    contacts = {"left": MetalContact(), "right": MetalContact(lithium_potential=0.05)}
    cell = MixedConductor(line(100), 1e3, follows, contacts)
    cell.solve(left=0.0, right=0.05)
    ions, electrons = cell.currents("right")
    assert abs(ions) < 1e-6 * abs(electrons) * 1e3
    assert electrons == pytest.approx(1e-4 * THERMAL * (1 - np.exp(-0.05 / THERMAL)) / L, rel=1e-3)


def test_a_single_ion_conductor_is_the_limit():
    cell = MixedConductor(line(), IONIC, 1e-12, {"left": MetalContact(20.0), "right": MetalContact(20.0)})
    voltage = cell.drive("left", 5.0)
    assert voltage == pytest.approx(5 * L / IONIC + 4 * THERMAL * np.arcsinh(5 / 40), rel=1e-6)


def test_activity_and_threshold():
    assert lithium_activity(0.0) == pytest.approx(1.0)
    assert lithium_activity(-THERMAL * np.log(10)) == pytest.approx(10.0)
    assert np.isfinite(lithium_activity(-1e3))
    assert nucleation_threshold(confinement=1e9) == pytest.approx(1.3e-5 * 1e9 / FARADAY)
    assert nucleation_threshold(surface_energy=0.5, radius=1.34736e-9) == pytest.approx(0.1, rel=1e-5)  # V14


def test_share_of_the_volume_beyond_a_threshold():
    cell = MixedConductor(line(200), IONIC, 1e-4, {"left": MetalContact(), "right": MetalContact(lithium_potential=-0.2)})
    cell.solve(left=0.0, right=0.0)
    assert cell.share_beyond(0.05) == pytest.approx(0.75, abs=5e-3)
    assert cell.share_beyond(0.3) == 0.0


def test_what_is_refused():
    with pytest.raises(UserError, match="two electrodes or more"):
        MixedConductor(line(2), 1.0, 1.0, {"left": MetalContact()})
    with pytest.raises(UserError, match="electronic_resistance is 0"):
        MetalContact(electronic_resistance=0.0)
    with pytest.raises(UserError, match="no electrode at top"):
        MixedConductor(line(2), 1.0, 1.0, {"left": MetalContact(), "right": MetalContact()}).solve(top=1.0)


def layered():
    """Two layers in 2-D: a leaky one on the plating electrode."""
    domain = rectangle(8, high=(L, L), halves=True)
    σ = piecewise(domain, {"lower": 1e-3, "upper": 1e-7})
    return MixedConductor(domain, IONIC, σ, {"bottom": MetalContact(5.0, 1e-3), "top": MetalContact(50.0)})


def test_currents_balance():
    cell = layered()
    cell.drive("top", 3.0)
    top, bottom = cell.currents("top"), cell.currents("bottom")
    assert np.array(top) == pytest.approx(-np.array(bottom), rel=1e-9)


SCRIPT = """
import json, sys
sys.path.insert(0, "tests")
from mpi4py import MPI
from test_leakage import layered
cell = layered()
row = [cell.drive("top", 3.0), *cell.currents("bottom"), cell.lowest()[0], float(cell.lowest()[1][1])]
if MPI.COMM_WORLD.rank == 0:
    json.dump(row, open("PATH", "w"))
"""


def test_ranks_agree(tmp_path):
    answers = answers_of_ranks(SCRIPT, tmp_path)
    assert answers[1] == pytest.approx(answers[0], rel=1e-8)
    assert answers[2] == pytest.approx(answers[0], rel=1e-8)

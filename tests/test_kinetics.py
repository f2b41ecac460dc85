"""Butler-Volmer: limits, overflow, thermodynamic consistency, one code path for numbers and UFL."""

import numpy as np
import pytest
import ufl
from dolfinx import mesh
from mpi4py import MPI

from coupling.constants import FARADAY, GAS_CONSTANT, LITHIUM_MOLAR_VOLUME, ROOM_TEMPERATURE
from multiscale.domain import integral
from multiscale.transport import kinetics

THERMAL = GAS_CONSTANT * ROOM_TEMPERATURE / FARADAY


def test_anodic_is_positive_and_plating_negative():
    assert kinetics.butler_volmer(0.01, 10.0) > 0 > kinetics.butler_volmer(-0.01, 10.0)


def test_linear_limit_is_the_charge_transfer_resistance():
    η = 1e-7
    for α in (0.3, 0.5, 0.8):
        resistance = η / kinetics.butler_volmer(η, 7.0, α)
        assert resistance == pytest.approx(kinetics.charge_transfer_resistance(7.0), rel=1e-5)


@pytest.mark.parametrize("α", [0.3, 0.5])
def test_tafel_slope(α):
    """Far from equilibrium ln|i| rises by α_a F/RT (anodic) and α_c F/RT (cathodic) per volt."""
    up = np.diff(np.log(kinetics.butler_volmer(np.array([0.6, 0.7]), 1.0, α)))[0] / 0.1
    down = np.diff(np.log(-kinetics.butler_volmer(np.array([-0.6, -0.7]), 1.0, α)))[0] / 0.1
    assert up == pytest.approx(α / THERMAL, rel=1e-4)
    assert down == pytest.approx((1 - α) / THERMAL, rel=1e-4)


def test_exact_where_physics_is_and_finite_beyond():
    """Exact for |Fη/RT| up to 40 even with α = 1; a tangent beyond; no overflow at a million volts."""
    x = np.linspace(-40, 40, 81)
    assert np.array_equal(kinetics.bounded_exp(x), np.exp(x))
    huge = kinetics.butler_volmer(np.array([-1e6, 1e6]), 1.0)
    assert np.all(np.isfinite(huge))
    limit = kinetics.EXPONENT_LIMIT
    below, above = kinetics.bounded_exp(np.array([limit - 1e-6, limit + 1e-6]))
    assert (above - below) / 2e-6 == pytest.approx(np.exp(limit), rel=1e-5)


@pytest.mark.parametrize("αm", [0.0, 0.3, 0.5, 1.0])
@pytest.mark.parametrize("p", [-2e8, 1e7, 1e9])
def test_no_current_at_the_shifted_equilibrium_for_every_mechanical_share(αm, p):
    shift = kinetics.equilibrium_shift(p)
    scale = abs(kinetics.butler_volmer(shift + 1e-3, 10.0, 0.4, pressure=p, mechanical_transfer=αm))
    assert abs(kinetics.butler_volmer(shift, 10.0, 0.4, pressure=p, mechanical_transfer=αm)) < 1e-12 * scale
    assert shift == -LITHIUM_MOLAR_VOLUME * p / FARADAY


def test_default_mechanical_share_leaves_the_exchange_current():
    """αm = αc: the current at Δ under pressure equals the free current at Δ - U(p); otherwise i0 changes as stated."""
    p, η, αc = 3e8, -0.013, 0.6
    shift = kinetics.equilibrium_shift(p)
    free = kinetics.butler_volmer(η, 10.0, 1 - αc)
    assert kinetics.butler_volmer(η + shift, 10.0, 1 - αc, pressure=p) == pytest.approx(free, rel=1e-12)
    for αm in (0.2, 0.9):
        factor = np.exp((αc - αm) * LITHIUM_MOLAR_VOLUME * p / (GAS_CONSTANT * ROOM_TEMPERATURE))
        pressed = kinetics.butler_volmer(η + shift, 10.0, 1 - αc, pressure=p, mechanical_transfer=αm)
        assert pressed == pytest.approx(factor * free, rel=1e-12)


def test_pressure_hinders_plating():
    assert 0 > kinetics.butler_volmer(-0.02, 10.0, pressure=1e8) > kinetics.butler_volmer(-0.02, 10.0)
    assert kinetics.butler_volmer(-0.02, 10.0, pressure=kinetics.stall_pressure(-0.02)) == pytest.approx(0, abs=1e-12)


def test_inverse():
    for current in (-300.0, -1.0, 0.0, 1e-6, 50.0):
        η = kinetics.overpotential_at(current, 3.0, 0.35)
        assert kinetics.butler_volmer(η, 3.0, 0.35) == pytest.approx(current, rel=1e-10, abs=1e-12)


def test_ufl_gives_the_same_numbers_as_numpy():
    square = mesh.create_unit_square(MPI.COMM_SELF, 2, 2)
    x = ufl.SpatialCoordinate(square)
    dx = ufl.dx(domain=square, metadata={"quadrature_degree": 1})
    for scale in (0.05, 4.0):  # inside and beyond the tangent
        expression = kinetics.butler_volmer(scale * (x[0] - 0.4), 10.0, 0.3, pressure=5e7 * x[1], mechanical_transfer=0.2)
        centres = square.geometry.x[square.geometry.dofmap].mean(axis=1)
        values = kinetics.butler_volmer(
            scale * (centres[:, 0] - 0.4), 10.0, 0.3, pressure=5e7 * centres[:, 1], mechanical_transfer=0.2
        )
        assert integral(expression * dx) == pytest.approx(float(values.mean()), rel=1e-12)


def test_plating_moves_the_metal_into_the_electrolyte():
    assert kinetics.plating_velocity(-10.0) > 0
    assert kinetics.deposited_thickness(36000.0) == pytest.approx(4.85048e-6, rel=1e-5)

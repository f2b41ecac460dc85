"""Lithium creep out of a slit against exact flows."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.integrate import quad

from coupling.errors import UserError
from multiscale.mechanics.extrusion import Creep, extrusion_rate, slit_flow, unit_drop

LAW = Creep(reference_rate=1e-3, reference_stress=0.8e6, exponent=6.6, activation_energy=37e3)
T = 298.15


def test_rate_follows_the_stated_power_and_temperature() -> None:
    """V13: stress doubled gives 97.0059 times the rate; 298.15 to 353.15 K gives 10.2219 times."""
    assert LAW.rate(1.6e6, T) / LAW.rate(0.8e6, T) == pytest.approx(97.0059, rel=1e-5)
    assert LAW.rate(0.8e6, 353.15) / LAW.rate(0.8e6, T) == pytest.approx(10.2219, rel=1e-5)
    assert LAW.rate(0.8e6, T) == pytest.approx(1e-3, rel=1e-12)


def test_newtonian_slit_is_poiseuille() -> None:
    """n = 1 with A = 1/(3 η): Q = 2 G h³/(3 η)."""
    viscosity, gradient, half = 5.0, 3e4, 2e-3
    newton = Creep(reference_rate=1 / (3 * viscosity), reference_stress=1.0, exponent=1.0, activation_energy=0.0)
    assert slit_flow(gradient, half, newton, T) == pytest.approx(2 * gradient * half**3 / (3 * viscosity), rel=1e-12)


def test_slit_flow_is_the_integral_of_the_velocity() -> None:
    """The closed form equals the flow integrated numerically from the shear law."""
    gradient, half = 2e14, 5e-9

    def shear(y: float) -> float:
        return math.sqrt(3) * LAW.rate(math.sqrt(3) * gradient * y, T)

    flow = 2 * quad(lambda y: y * shear(y), 0, half, epsrel=1e-12)[0]
    assert slit_flow(gradient, half, LAW, T) == pytest.approx(flow, rel=1e-9)


def test_parallel_slit_has_the_exact_drop() -> None:
    """Even plating in a parallel slit: Δp = c G(Q)/(1 + 1/n)."""
    depth, half = 0.5e-6, 5e-9
    distance = np.linspace(0, depth, 20001)
    drop = unit_drop(distance, np.full_like(distance, half), LAW, T)
    gradient = slit_flow(1.0, half, LAW, T) ** (-1 / LAW.exponent)
    assert drop == pytest.approx(depth * gradient / (1 + 1 / LAW.exponent), rel=1e-4)


def test_extrusion_is_the_power_of_the_drop_and_needs_an_opening() -> None:
    """Twice the pressure gives 2ⁿ times the flow, the other sign the other way; a closed slit lets nothing out."""
    distance = np.linspace(0, 0.5e-6, 200)
    half = np.full_like(distance, 5e-9)
    flow = extrusion_rate(1e8, distance, half, LAW, T)
    assert extrusion_rate(2e8, distance, half, LAW, T) == pytest.approx(2**6.6 * flow, rel=1e-10)
    assert extrusion_rate(-1e8, distance, half, LAW, T) == pytest.approx(-flow, rel=1e-12)
    assert extrusion_rate(1e8, distance, 0 * half, LAW, T) == 0.0
    strong = replace(LAW, size_factor=10.0)
    assert extrusion_rate(1e9, distance, half, strong, T) == pytest.approx(flow, rel=1e-10)


def test_impossible_laws_are_refused() -> None:
    """The message names the value."""
    with pytest.raises(UserError, match="reference_stress"):
        replace(LAW, reference_stress=-1.0)

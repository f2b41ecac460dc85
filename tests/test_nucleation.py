"""Classical nucleation against docs/physics.md V14 and its own identities."""

import math

import pytest

from coupling import nucleation
from coupling.constants import AVOGADRO, BOLTZMANN, ELEMENTARY_CHARGE, FARADAY


def test_critical_nucleus_of_the_reference_problem() -> None:
    """V14: γ 0.5 J/m², 100 mV, 298.15 K."""
    nucleus = nucleation.critical_nucleus(0.5, -0.1)
    assert nucleus.radius == pytest.approx(1.34736e-9, rel=1e-5)
    assert nucleus.barrier / ELEMENTARY_CHARGE == pytest.approx(23.7308, rel=1e-5)
    assert nucleus.atoms == pytest.approx(474.616, rel=1e-5)
    assert nucleus.zeldovich == pytest.approx(0.0208581, rel=1e-5)


def test_shape_factor() -> None:
    """A sixth of the sphere at 60 degrees, all of it without a wall."""
    assert nucleation.shape_factor(math.radians(60)) == pytest.approx(0.15625, rel=1e-12)
    assert nucleation.shape_factor(math.pi) == 1


def test_barrier_is_half_the_driving_energy_of_the_nucleus() -> None:
    """ΔG* = n* F|η|/(2 N_A) without confinement, on a wall too."""
    for angle in (math.pi, math.radians(70)):
        nucleus = nucleation.critical_nucleus(0.43, -0.07, contact_angle=angle)
        assert nucleus.barrier == pytest.approx(nucleus.atoms * FARADAY * 0.07 / (2 * AVOGADRO), rel=1e-12)


def test_wall_lowers_the_barrier_and_pressure_raises_it() -> None:
    """f(θ) scales the barrier, not the radius; a confining pressure P costs P V/F of overpotential."""
    free = nucleation.critical_nucleus(0.5, -0.1)
    wall = nucleation.critical_nucleus(0.5, -0.1, contact_angle=math.radians(60))
    assert wall.radius == free.radius
    assert wall.barrier == pytest.approx(0.15625 * free.barrier)
    pressed = nucleation.critical_nucleus(0.5, -0.1, confinement=371.0975e6)
    assert pressed.radius == pytest.approx(2 * free.radius, rel=1e-5)


def test_nothing_nucleates_without_driving_force() -> None:
    """Stalled by pressure, or stripping: an infinite barrier and no rate."""
    for nucleus in (nucleation.critical_nucleus(0.5, -0.1, confinement=8e8), nucleation.critical_nucleus(0.5, 0.1)):
        assert math.isinf(nucleus.barrier)
        assert nucleation.log10_rate(nucleus, 1e28, 1e9) == -math.inf


def test_rate_in_logarithms() -> None:
    """log10 J equals the formula where that does not underflow, and stays finite where it does."""
    low = nucleation.critical_nucleus(0.05, -0.2)
    attachment = nucleation.attachment_frequency(low, 1e-14, 3e-10)
    plain = 1e28 * low.zeldovich * attachment * math.exp(-low.barrier / (BOLTZMANN * 298.15))
    assert nucleation.log10_rate(low, 1e28, attachment) == pytest.approx(math.log10(plain), rel=1e-12)
    high = nucleation.critical_nucleus(0.5, -0.05)
    assert -2000 < nucleation.log10_rate(high, 1e28, attachment) < -1000


def test_what_is_not_positive_is_refused() -> None:
    """Surface energy, number of sites."""
    with pytest.raises(ValueError, match="positive"):
        nucleation.critical_nucleus(-0.1, -0.1)
    with pytest.raises(ValueError, match="positive"):
        nucleation.log10_rate(nucleation.critical_nucleus(0.5, -0.1), 0.0, 1e9)

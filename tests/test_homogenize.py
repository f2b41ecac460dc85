"""Bounds of effective properties: exact values, limits, order."""

import math

import numpy as np
import pytest

from coupling.homogenize import (
    brick_layer,
    engineering_moduli,
    hashin_shtrikman_conductivity,
    hashin_shtrikman_moduli,
    laminate,
    maxwell,
    reuss,
    voigt,
)


@pytest.mark.parametrize(("inclusion", "exact"), [(0.0, 1.6 / 2.2), (math.inf, 1.75), (5.0, 1.3870967741935485)])
def test_maxwell(inclusion, exact):
    assert maxwell(1.0, inclusion, 0.2) == pytest.approx(exact, rel=1e-14)


def test_maxwell_is_a_hashin_shtrikman_bound():
    low, high = hashin_shtrikman_conductivity([1.0, 5.0], [0.8, 0.2])
    assert low == pytest.approx(maxwell(1.0, 5.0, 0.2), rel=1e-14)
    assert high == pytest.approx(maxwell(5.0, 1.0, 0.8), rel=1e-14)


def test_laminate_is_exact():
    assert laminate([1, 5], [0.8, 0.2]) == (pytest.approx(1 / 0.84), pytest.approx(1.8))


def test_bounds_are_ordered_for_random_mixtures():
    rng = np.random.default_rng(7)
    values = 10 ** rng.uniform(-6, 1, (4, 200))
    fractions = rng.dirichlet(np.ones(4), 200).T
    low, high = hashin_shtrikman_conductivity(values, fractions)
    assert np.all(reuss(values, fractions) <= low * (1 + 1e-12))
    assert np.all(low <= high * (1 + 1e-12))
    assert np.all(high <= voigt(values, fractions) * (1 + 1e-12))
    K, G = 10 ** rng.uniform(8, 11, (2, 4, 200))
    (K_low, K_high), (G_low, G_high) = hashin_shtrikman_moduli(K, G, fractions)
    for property_values, bottom, top in ((K, K_low, K_high), (G, G_low, G_high)):
        assert np.all(reuss(property_values, fractions) <= bottom * (1 + 1e-12))
        assert np.all(bottom <= top * (1 + 1e-12))
        assert np.all(top <= voigt(property_values, fractions) * (1 + 1e-12))


def test_bulk_modulus_of_equal_shear_is_exact():
    """Hill: with one shear modulus the bulk bounds coincide, 1/(K + 4G/3) is additive."""
    (low, high), (g_low, g_high) = hashin_shtrikman_moduli([10.0, 40.0], [6.0, 6.0], [0.3, 0.7])
    assert low == pytest.approx(high, rel=1e-13)
    assert low == pytest.approx(1 / (0.3 / 18 + 0.7 / 48) - 8)
    assert g_low == pytest.approx(6.0)
    assert g_high == pytest.approx(6.0)


def test_porous_limit_and_single_phase():
    """Spherical pores: K and G bounds of a porous solid are zero below, the classical values above."""
    (K_low, K_high), (G_low, G_high) = hashin_shtrikman_moduli([3.0, 0.0], [1.0, 0.0], [0.9, 0.1])
    assert (K_low, G_low) == (0.0, 0.0)
    assert K_high == pytest.approx(4 * 3 * 1 * 0.9 / (4 * 1 + 3 * 3 * 0.1))
    assert 0 < G_high < 0.9
    low, high = hashin_shtrikman_conductivity([2.0, 0.0], [1.0, 0.0])
    assert (low, high) == (pytest.approx(2.0), pytest.approx(2.0))
    assert hashin_shtrikman_conductivity([1.0, 0.0], [0.8, 0.2])[0] == 0.0


def test_fractions_are_checked():
    with pytest.raises(ValueError, match="add up to 1"):
        hashin_shtrikman_conductivity([1.0, 2.0], [0.5, 0.6])
    with pytest.raises(ValueError, match="2 phase values but 3"):
        voigt([1.0, 2.0], [0.2, 0.3, 0.5])
    with pytest.raises(ValueError, match="not negative"):
        voigt([1.0, -2.0], [0.5, 0.5])


def test_brick_layer():
    assert brick_layer(0.1, 1e-3, 5e-6, 5e-9) == pytest.approx(0.0909091, rel=1e-6)


def test_engineering_moduli_round_trip():
    E, nu = 150e9, 0.257
    assert engineering_moduli(E / (3 * (1 - 2 * nu)), E / (2 * (1 + nu))) == (pytest.approx(E), pytest.approx(nu))

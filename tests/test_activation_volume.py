"""Activation volume: an exact line, coverage of its error, scatter beyond the errors, refusals."""

import numpy as np
import pytest

from coupling import activation_volume
from coupling.constants import GAS_CONSTANT
from coupling.errors import UserError

PRESSURES = np.array([0.0, 0.5e9, 1.0e9, 2.0e9])
TRUTH, KELVIN = 2.0e-6, 600.0  # m³/mol


def conductivities() -> np.ndarray:
    return np.exp(-TRUTH * PRESSURES / (GAS_CONSTANT * KELVIN))


def test_exact_line() -> None:
    """ln σ falls by ΔV P/(R T): 2 cm³/mol comes back to round-off."""
    values = conductivities()
    found = activation_volume.fit(PRESSURES, values, 0.05 * values, KELVIN)
    assert found.value == pytest.approx(TRUTH, rel=1e-10)
    assert not found.inflated


def test_error_covers_the_truth() -> None:
    """400 noisy sets: 68 and 95 % hold."""
    random, inside, within = np.random.default_rng(0), [], []
    for _ in range(400):
        errors = 0.1 * conductivities()
        values = conductivities() * np.exp(0.1 * random.standard_normal(4))
        found = activation_volume.fit(PRESSURES, values, errors * values / conductivities(), KELVIN)
        inside.append(abs(found.value - TRUTH) < found.stderr)
        within.append(found.low <= TRUTH <= found.high)
    assert 0.60 < np.mean(inside) < 0.76
    assert 0.90 < np.mean(within) < 0.98


def test_scatter_beyond_the_errors_widens_them() -> None:
    """Errors ten times too small are scaled up."""
    values = conductivities() * np.array([1.2, 0.8, 1.2, 0.9])
    found = activation_volume.fit(PRESSURES, values, 0.01 * values, KELVIN)
    assert found.inflated
    assert found.low < TRUTH < found.high


@pytest.mark.parametrize(
    ("pressures", "values", "errors", "message"),
    [
        ([0.0, 1e9], [1.0, 0.5], [0.1, 0.1], "at least 3"),
        ([0.0, 1e9, 1e9], [1.0, 0.5, 0.5], [0.1, 0.1, 0.1], "at least 3"),
        ([0.0, 1e9, 2e9], [1.0, 0.5], [0.1, 0.1], "one of each"),
        ([0.0, 1e9, 2e9], [1.0, 0.0, 0.5], [0.1, 0.1, 0.1], "positive"),
        ([0.0, 1e9, 2e9], [1.0, 0.7, 0.5], [0.1, np.nan, 0.1], "positive"),
    ],
)
def test_refusals(pressures: list[float], values: list[float], errors: list[float], message: str) -> None:
    with pytest.raises(UserError, match=message):
        activation_volume.fit(pressures, values, errors, KELVIN)

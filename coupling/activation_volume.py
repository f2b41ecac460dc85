"""Activation volume of a transport coefficient from runs at several pressures.

ΔV = -k_B T ∂ln σ/∂P at constant temperature (k_B T per ion; R T per mole): positive where pressure slows the ions down. Fitted
by least squares with weights 1/σ_ln²; scatter beyond the given errors (χ² improbable at 1 %) scales the error up, as in
`coupling.arrhenius`. With three or four pressures there are one or two degrees of freedom only: the interval is Student's
where the errors were scaled. Source: Keyes, J. Chem. Phys. 29, 467 (1958) (memory).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from coupling.constants import GAS_CONSTANT
from coupling.errors import UserError

FEWEST = 3
"""Fewest pressures: two make a line without a check."""
IMPROBABLE = 0.01


@dataclass(frozen=True)
class ActivationVolume:
    """Result of a fit: ΔV and its standard error in m³/mol, 95 % interval, χ², whether the errors were scaled up."""

    value: float
    stderr: float
    low: float
    high: float
    chi_square: float
    inflated: bool
    temperature: float


def fit(pressures: Sequence[float], values: Sequence[float], stderrs: Sequence[float], temperature: float) -> ActivationVolume:
    """Activation volume of a positive coefficient (conductivity or diffusivity).

    Args:
        pressures: Pa, FEWEST or more different ones.
        values: coefficient at each, any unit. stderrs: their standard errors.
        temperature: K, the same for all.

    Raises:
        UserError: fewer than FEWEST pressures, unequal lengths, a value or error that is not positive.
    """
    p, y, s = (np.asarray(numbers, dtype=float) for numbers in (pressures, values, stderrs))
    if not len(p) == len(y) == len(s):
        raise UserError(f"activation volume: {len(p)} pressures, {len(y)} values, {len(s)} errors; one of each a run is needed")
    if len(np.unique(p)) < FEWEST:
        raise UserError(f"activation volume: {len(np.unique(p))} different pressures; at least {FEWEST} are needed")
    if not ((y > 0).all() and (s > 0).all() and np.isfinite(np.concatenate([p, y, s])).all() and temperature > 0):
        raise UserError("activation volume: values, errors and the temperature must be positive and finite (a bound is no value)")
    errors = s / y
    unit = max(np.abs(p).max(), 1.0)
    design = np.column_stack([np.ones_like(p), p / unit]) / errors[:, None]
    covariance = np.linalg.inv(design.T @ design)
    solution = covariance @ design.T @ (np.log(y) / errors)
    chi_square, freedom = float(np.sum((np.log(y) / errors - design @ solution) ** 2)), len(p) - 2
    inflated = bool(stats.chi2.sf(chi_square, freedom) < IMPROBABLE)
    scale = np.sqrt(chi_square / freedom) if inflated else 1.0
    width = float(stats.t.ppf(0.975, freedom) if inflated else stats.norm.ppf(0.975))
    factor = GAS_CONSTANT * temperature / unit
    value, error = -factor * float(solution[1]), factor * scale * float(np.sqrt(covariance[1, 1]))
    return ActivationVolume(value, error, value - width * error, value + width * error, chi_square, inflated, temperature)

"""Standard errors of what is fitted to values that follow each other, a mean included: one way for short and long series.

The noise is taken for a first-order autoregression, x_i = ρ x_{i-1} + kicks. A fit takes some of the correlation out of its own
residuals, and a short series hardly tells ρ: what is told is therefore the mean over all ρ from -1 to 1, each weighted by how
likely the residuals are by it. Of a long series means of successive blocks enter, so that slow noise under fast one is seen.
Where a series spans less than some ten of its own correlation times, errors are too small: nothing in it tells of more.

Error bars are half-widths of the central 68.27 %, Student's distribution included. Of two and three values twice of them hold 84
and 90 %, of more 95 %. Errors of vibrations of a few periods and of differences of successive values are too large, those of rare
events too small.
Source: Zellner & Tiao, J. Am. Stat. Assoc. 59, 763 (1964) (memory); docs/physics.md 1.21; checked by tests/test_coverage.py.
"""

from functools import lru_cache

import numpy as np
from scipy import special, stats
from scipy.optimize import brentq

from coupling.errors import UserError

ONE_SIGMA = 0.841345
"""Share of a normal distribution below one standard deviation."""
BLOCKS = 32
"""Fewest blocks that a long series is parted into; one of fewer than twice as many values is taken as it is."""
ROUNDING = 1e-14
"""Error of a mean, as a share of the largest value, below which it is one of rounding."""
LARGE = 1e100
"""Residuals above this, or below its inverse, are scaled before they are squared."""
RHO = np.linspace(-0.99, 0.99, 100)
"""Correlations of successive values that are averaged over, all alike likely beforehand."""


def mean_error(values: np.ndarray) -> float:
    """Standard error of the mean of correlated values (n,), in their unit, n ≥ 2; 0 where all are equal but for rounding.

    Raises:
        UserError: fewer than two values, or one that is not finite.
    """
    if len(values) < 2:
        raise UserError(f"an error of a mean needs two values at least; there are {len(values)}")
    values = np.asarray(values, dtype=float)
    _require_finite(values)
    error = float(fit_errors(np.ones((len(values), 1)), values - values.mean())[0])
    return error if error > ROUNDING * np.abs(values).max() else 0.0


def _require_finite(values: np.ndarray) -> None:
    if not np.isfinite(values).all():
        raise UserError("an error cannot be told: some of the values are not finite")


def fit_errors(design: np.ndarray, residuals: np.ndarray, memory: tuple[np.ndarray, np.ndarray] | None = None) -> np.ndarray:
    """Standard errors (p,) of the parameters of a least-squares fit to successive values.

    With a = J (JᵀJ)⁻¹, J the design and C the covariance of successive blocks, parameter j has the variance σ² (aᵀ C a)_jj; of
    every ρ it is distributed as Student's t of n - p about that, and the distribution told of is their mean.

    Args:
        design: derivatives (n, p) of the fitted values by the parameters. residuals: what the fit leaves (n,), n > p.
        memory: design (n, q) and residuals of another fit to the same values, which ρ is told by; None: the same.

    Raises:
        UserError: a residual that is not finite.
    """
    _require_finite(residuals)
    if not np.any(residuals):
        return np.zeros(design.shape[1])
    largest = np.abs(residuals).max()
    if not 1 / LARGE < largest < LARGE:
        return np.asarray(largest * fit_errors(design, residuals / largest, memory))
    blocks, rest = in_blocks(design), in_blocks(residuals)
    size, units = round(len(residuals) / len(rest)), np.maximum(np.linalg.norm(blocks, axis=0), 1e-300)
    left, singular, right = np.linalg.svd(blocks / units, full_matrices=False)
    kept = singular > 1e-10 * singular[0]
    weights, variance = _posterior(left[:, kept], rest, size)
    if memory is not None:
        weights, _ = _posterior(np.linalg.qr(in_blocks(memory[0]))[0], in_blocks(memory[1]), size)
    rows = (left[:, kept] / singular[kept] @ right[kept] / units).T
    spread = np.sqrt(variance[:, None] * ((rows @ _covariance(len(rest), size)) * rows).sum(axis=2))
    return np.array([_half_width(weights, each, len(rest) - int(kept.sum())) for each in spread.T])


def independent(design: np.ndarray, residuals: np.ndarray) -> float:
    """Number of independent values, at least three, that the residuals (n,) of a fit are worth: γ(0)/(variance of their mean)."""
    count, parameters = design.shape
    if not np.any(residuals):
        return float(count)
    rest = in_blocks(residuals)
    size = round(count / len(rest))
    basis, _ = np.linalg.qr(in_blocks(design))
    weights, variance = _posterior(basis, rest, size)
    alone = float(residuals @ residuals) / max(count - parameters, 1)
    return float(np.clip(weights @ (alone / (variance * _covariance(len(rest), size).mean(axis=(1, 2)))), 3.0, count))


def looks(series: np.ndarray) -> float:
    """Independent values in series (runs, frames): their number over 1 + 2 Σ ρ(t), ρ summed until it is no longer positive.

    Still series make none. Of runs that last a few memories or less these are too many: they hardly tell their mean, and where
    they began alike their first values are one. Ten of each run (n values, memory of n/20) are not made by drift.
    """
    away, count = series - series.mean(), series.shape[1]
    spread = float(np.mean(away**2))
    if not spread > 0:
        return 0.0
    memory = 1.0
    for lag in range(1, count // 2):
        left = float(np.mean(away[:, lag:] * away[:, :-lag])) / spread
        if left <= 0:
            break
        memory += 2 * left
    return series.size / memory


def in_blocks(values: np.ndarray) -> np.ndarray:
    """Means of successive blocks of rows, all of nearly one length; fewer than 2 BLOCKS values stay as they are."""
    number = len(values) // max(1, len(values) // BLOCKS)
    return values if number == len(values) else np.array([part.mean(axis=0) for part in np.array_split(values, number)])


@lru_cache(maxsize=8)
def _covariance(number: int, size: int) -> np.ndarray:
    """Covariance (100, n, n) of n means of `size` values of an autoregression of unit variance, RHO that of values `size` apart.

    Below 0 the means themselves are the autoregression.
    """
    apart = np.abs(np.subtract.outer(np.arange(number), np.arange(number)))
    made = np.sign(RHO)[:, None, None] ** (apart % 2) * np.abs(RHO)[:, None, None] ** apart
    if size > 1:
        rho = RHO[RHO > 0] ** (1 / size)
        within = rho[:, None] ** np.abs(np.arange(1 - size, size)) @ (1 - np.abs(np.arange(1 - size, size)) / size) / size
        between = rho ** (1 - size) * ((1 - rho**size) / (1 - rho) / size) ** 2
        made[RHO > 0] *= between[:, None, None]
        made[RHO > 0] += np.eye(number) * (within - between)[:, None, None]
    return made


@lru_cache(maxsize=8)
def _whitening(number: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Inverses (100, n, n) of the Cholesky factors of `_covariance`, and the logarithms (100,) of their determinants."""
    factor = np.linalg.cholesky(_covariance(number, size))
    return np.linalg.inv(factor), -np.log(np.diagonal(factor, axis1=1, axis2=2)).sum(axis=1)


def _posterior(basis: np.ndarray, rest: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Weight (100,) of every ρ and the variance σ² (100,) by it, parameters and scale integrated out.

    p(ρ) ∝ |C|^(-1/2) |XᵀC⁻¹X|^(-1/2) S^(-(n-p)/2), X the basis (n, p), S the least rᵀC⁻¹r of the residuals r (n,) less any X b.
    """
    freedom = len(rest) - basis.shape[1]
    whiten, logarithm = _whitening(len(rest), size)
    white = whiten @ np.column_stack([basis, rest])
    gram = np.swapaxes(white, 1, 2) @ white
    inner, mixed = gram[:, :-1, :-1], gram[:, :-1, -1:]
    left = gram[:, -1, -1] - (mixed * np.linalg.solve(inner, mixed)).sum(axis=(1, 2))
    left = np.maximum(left, 1e-12 * gram[:, -1, -1])
    told = logarithm - np.linalg.slogdet(inner)[1] / 2 - freedom / 2 * np.log(left)
    weights = np.exp(told - told.max())
    return weights / weights.sum(), left / freedom


def _half_width(weights: np.ndarray, spread: np.ndarray, freedom: int) -> float:
    """Half-width of the central 68.27 % of a mean of Student's distributions about zero."""
    if not spread.all():
        return 0.0
    unit = float(spread.max())  # brentq ends at an absolute width: whatever the unit of the values, they are of order one here
    ends = 0.0, 1.001 * float(special.stdtrit(freedom, ONE_SIGMA))
    return unit * float(brentq(lambda at: weights @ special.stdtr(freedom, at * unit / spread) - ONE_SIGMA, *ends))


def student(count: float) -> float:
    """Half-width of the central 68.27 % of a mean of `count` values over their standard error: 1 of many, 1.84 of two."""
    return float(stats.t.ppf(ONE_SIGMA, max(count - 1, 1.0)))


def jackknife_error(replicates: np.ndarray) -> np.ndarray:
    """Standard errors (…) of estimates from those without one of n successive parts each (n, …): `mean_error` of pseudo-values.

    The pseudo-values n θ - (n - 1) θ_i of the parts i have the correlation of the parts; their mean is the estimate. An estimate
    that is not finite without a part has an infinite error.
    """
    n = len(replicates)
    rows = (n - 1) * np.asarray(replicates, dtype=float).reshape(n, -1)
    errors = [mean_error(row) if np.isfinite(row).all() else np.inf for row in rows.T]
    return np.array(errors).reshape(replicates.shape[1:])

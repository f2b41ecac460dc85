"""Standard errors of means of values that follow each other, from their own correlation.

The error bars are half-widths of the central 68.27 % of Student's distribution, so that twice of them still hold 95 % of few.
"""

import numpy as np
from scipy import stats

ONE_SIGMA = 0.841345
"""Share of a normal distribution below one standard deviation."""
CLEAR = 0.5
"""Standard errors of C(W) by which it must exceed that of independent values; less is taken for their noise."""
PATIENCE = 2.0
"""Exponential correlation time over the integrated one that the window is chosen for (S of Wolff; 1 … 2 are usual)."""


def mean_error(values: np.ndarray) -> float:
    """Standard error of the mean of correlated values (n,), in their unit, n ≥ 2; 0 where all are equal.

    σ² = C(W)/n with C(W) = [Γ(0) + 2 Σ_{t ≤ W} Γ(t)] (1 + (2 W + 1)/n), the second factor for the mean that Γ is taken about. The
    window W balances the truncation exp(-W/τ) against the noise τ/√(W n). C is itself known to 2 (2 W + 1)/n of its square, as of
    n/(2 W + 1) values that are independent: so many, less one, are the degrees of freedom of Student's factor. What does not
    clearly exceed the error of independent values is that.

    Source: Wolff, Comput. Phys. Commun. 156, 143 (2004), eqs. 31, 42, 49, 52 (memory); checked by tests/test_coverage.py.
    """
    n, away = len(values), np.asarray(values, dtype=float) - np.mean(values)
    if not away.any():
        return 0.0
    spectrum = np.abs(np.fft.rfft(away, 2 * n)) ** 2
    gamma = np.fft.irfft(spectrum, 2 * n)[:n] / np.arange(n, 0, -1)
    last = max(1, n // 3)
    window = _window(gamma[1 : last + 1] / gamma[0], n)
    long = (gamma[0] + 2 * gamma[1 : window + 1].sum()) * (1 + (2 * window + 1) / n)
    alone = gamma[0] * n / (n - 1)
    if long <= alone * (1 + CLEAR * np.sqrt(2 * (2 * window + 1) / n)):
        return student(n) * float(np.sqrt(alone / n))
    return student(n / (2 * window + 1)) * float(np.sqrt(long / n))


def _window(correlation: np.ndarray, n: int) -> int:
    """Lag W up to which the correlation (lags 1 …) of n values is summed."""
    lags = np.arange(1, len(correlation) + 1)
    summed = np.maximum(0.5 + np.cumsum(correlation), 0.5 + 1e-9)
    τ = PATIENCE / np.log((2 * summed + 1) / (2 * summed - 1))
    enough = np.exp(-lags / τ) < τ / np.sqrt(lags * n)
    return int(lags[np.argmax(enough)]) if enough.any() else len(lags)


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

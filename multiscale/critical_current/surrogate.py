"""A Gaussian process for a positive answer of many positive inputs, in logarithms (NumPy and SciPy alone).

ln y = linear trend + smooth deviation + noise, each with a normal prior; the scales are the most probable ones given
the data (Rasmussen & Williams, Gaussian Processes for Machine Learning, 2006, chapters 2 and 5).
"""

from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from scipy.optimize import minimize

TREND_DEVIATION = 2.0
"""Prior deviation of the trend's coefficients, in standard deviations of the answer per one of the input."""
JITTER = 1e-10
"""Added to the diagonal, relative to the answer's variance, so that the factorisation exists."""


@dataclass(frozen=True)
class Scaling:
    """How inputs become numbers of order one: logarithm where all are positive, then centred and scaled.

    Attributes:
        logarithm: which columns are taken in logarithms, shape (d,).
        centre, scale: of each column after that, shape (d,).
    """

    logarithm: np.ndarray
    centre: np.ndarray
    scale: np.ndarray

    @classmethod
    def of(cls, inputs: np.ndarray) -> "Scaling":
        """Scaling of inputs, shape (n, d); constant columns are only centred."""
        logarithm = np.all(inputs > 0, axis=0)
        values = np.where(logarithm, np.log(np.where(logarithm, inputs, 1.0)), inputs)
        spread = values.std(axis=0)
        return cls(logarithm, values.mean(axis=0), np.where(spread > 1e-12 * np.abs(values).max(axis=0), spread, 1.0))

    def apply(self, inputs: np.ndarray) -> np.ndarray:
        """Scaled inputs, shape (n, d)."""
        values = np.where(self.logarithm, np.log(np.where(self.logarithm, inputs, 1.0)), inputs)
        return (values - self.centre) / self.scale


@dataclass(frozen=True)
class Surrogate:
    """A fitted process.

    Attributes:
        scaling: of the inputs.
        points: scaled inputs it was fitted to, shape (n, d).
        weights: K⁻¹ (ln y - mean), shape (n,).
        scales: logarithms of deviation, noise and length of each input, shape (2 + d,).
        mean, spread: of ln y.
        error: root mean square of the leave-one-out residuals of ln y (cross-validation).
        deviation: standard deviation of ln y over the points.
    """

    scaling: Scaling
    points: np.ndarray
    weights: np.ndarray
    scales: np.ndarray
    mean: float
    spread: float
    error: float
    deviation: float

    def predict(self, inputs: np.ndarray) -> np.ndarray:
        """Expected ln y at raw inputs, shape (n, d) → (n,)."""
        return self.mean + self.spread * (kernel(self.scaling.apply(inputs), self.points, self.scales) @ self.weights)


def fit(inputs: np.ndarray, answers: np.ndarray, scaling: Scaling | None = None) -> Surrogate:
    """Fit the process.

    Args:
        inputs: shape (n, d), n ≥ 4.
        answers: positive, shape (n,).
        scaling: of the inputs; from the inputs themselves unless given.

    Raises:
        ValueError: too few points, or an answer that is not positive.
    """
    if len(answers) < 4 or np.any(answers <= 0) or not np.all(np.isfinite(answers)):
        raise ValueError("a surrogate needs at least four points with positive answers")
    scaling = scaling or Scaling.of(inputs)
    points, logs = scaling.apply(inputs), np.log(answers)
    mean, deviation = float(logs.mean()), float(logs.std())
    spread = deviation if deviation > 1e-12 else 1.0
    target = (logs - mean) / spread
    prior = np.concatenate([[np.log(0.5), np.log(0.05)], np.full(points.shape[1], np.log(3.0))])
    bounds = [(p - 5, p + 5) for p in prior]
    found = minimize(_cost, prior, args=(points, target, prior), method="L-BFGS-B", bounds=bounds)
    inverse = cho_solve(_factor(points, found.x), np.eye(len(points)))
    weights = inverse @ target
    residuals = weights / np.diag(inverse) * spread
    return Surrogate(
        scaling, points, weights, found.x, mean, spread, float(np.sqrt(np.mean(residuals**2))), deviation
    )


def kernel(left: np.ndarray, right: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """Covariance of trend and deviation between two sets of scaled points, shape (n, m)."""
    deviation, lengths = np.exp(2 * scales[0]), np.exp(scales[2:])
    a, b = left / lengths, right / lengths
    distance = np.sum(a**2, axis=1)[:, None] + np.sum(b**2, axis=1)[None] - 2 * a @ b.T
    trend = TREND_DEVIATION**2 * (1 + left @ right.T)
    return trend + deviation * np.exp(-0.5 * np.maximum(distance, 0.0))


def _factor(points: np.ndarray, scales: np.ndarray) -> tuple[np.ndarray, bool]:
    covariance = kernel(points, points, scales)
    covariance[np.diag_indices_from(covariance)] += np.exp(2 * scales[1]) + JITTER
    return cho_factor(covariance, lower=True)


def _cost(scales: np.ndarray, points: np.ndarray, target: np.ndarray, prior: np.ndarray) -> float:
    """Minus logarithm of the posterior of the scales: marginal likelihood and a unit normal prior on each logarithm."""
    factor = _factor(points, scales)
    likelihood = 0.5 * target @ cho_solve(factor, target) + np.sum(np.log(np.diag(factor[0])))
    return float(likelihood + 0.5 * np.sum((scales - prior) ** 2))

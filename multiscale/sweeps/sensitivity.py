"""Which variable moves the critical current: Sobol indices of ln(answer) through a surrogate, with the surrogate's own error.

The surrogate is the Gaussian process of `multiscale.critical_current.surrogate`, fitted to the finished designs. It is not
taken for the truth: the indices are computed (Saltelli 2010, scipy) for realisations of the process that pass through the
designs as well as their noise allows, and their scatter is the error told. It does not hold the error of the process's own
scales, which matters where designs are few: then the cross-validation is poor and a warning is given. What the variables do not
explain (microstructures of the replicas, error of the solves) is the share "noise". Source: Le Gratiet, Cannamela, Iooss,
SIAM/ASA J. Uncertain. Quantif. 2, 336 (2014); realisations by Matheron's rule with random Fourier features: Wilson et al.,
Proc. Mach. Learn. Res. 119, 10292 (2020).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from scipy.stats import sobol_indices, uniform

from coupling.errors import UserError
from multiscale.critical_current import surrogate as gaussian
from multiscale.sweeps.designs import between
from multiscale.sweeps.driver import Prepared
from multiscale.sweeps.settings import Axis
from multiscale.sweeps.table import cell_of

FEATURES = 500
"""Random Fourier features of a realisation."""
REALISATIONS = 24
SAMPLES = 512
"""Samples of each index, a power of two."""
LEAST = 10
"""Designs below which nothing is said."""
POOR = 0.5
"""Share of the variance that the surrogate must predict at designs left out; below it a warning is given."""


@dataclass(frozen=True)
class Index:
    """Indices of one variable with their standard errors."""

    name: str
    first: float
    first_error: float
    total: float
    total_error: float


@dataclass(frozen=True)
class Sensitivity:
    """Indices of every variable, the largest total first.

    Attributes:
        predicted: share of the variance of ln(answer) that the surrogate predicts at designs left out (cross-validation).
        noise: share of the variance that no variable explains, by the surrogate.
        designs: finished designs behind it.
        warning: what stands against trusting it, or "".
    """

    indices: tuple[Index, ...]
    predicted: float
    noise: float
    designs: int
    warning: str = ""


def indices(
    inputs: np.ndarray, answers: np.ndarray, columns_of: Callable[[np.ndarray], np.ndarray], names: Sequence[str], seed: int = 0
) -> Sensitivity:
    """Sobol indices of ln(answers).

    Args:
        inputs: of the surrogate at the finished designs, shape (n, p).
        answers: positive, shape (n,).
        columns_of: from points of the unit cube (m, d), uniform, to inputs of the surrogate (m, p).
        names: of the d variables.
        seed: of the samples.

    Raises:
        ValueError: fewer than four designs, or an answer that is not positive.
    """
    fitted = gaussian.fit(inputs, answers)
    logs = (np.log(answers) - fitted.mean) / fitted.spread
    rng = np.random.default_rng(seed)
    first, total = [], []
    for _ in range(REALISATIONS):
        realisation = _realisation(fitted, logs, rng)
        found = sobol_indices(
            func=lambda u, f=realisation: f(columns_of(u.T)), n=SAMPLES, dists=[uniform()] * len(names), rng=rng
        )
        first.append(np.atleast_1d(np.squeeze(found.first_order)))
        total.append(np.atleast_1d(np.squeeze(found.total_order)))
    means, errors = (np.array([f(first, axis=0), f(total, axis=0)]) for f in (np.mean, np.std))
    made = [Index(name, *map(float, (means[0, k], errors[0, k], means[1, k], errors[1, k]))) for k, name in enumerate(names)]
    predicted = 1.0 - (fitted.error / fitted.deviation) ** 2 if fitted.deviation > 0 else 0.0
    noise = min(float(np.exp(2 * fitted.scales[1])), 1.0)
    told = f"the surrogate predicts only {max(predicted, 0.0):.0%} of the variance at designs left out"
    told += ": run more designs, the errors told are too small"
    order = sorted(made, key=lambda index: -index.total)
    return Sensitivity(tuple(order), predicted, noise, len(answers), told if predicted < POOR else "")


def _realisation(fitted: gaussian.Surrogate, logs: np.ndarray, rng: np.random.Generator) -> Callable[[np.ndarray], np.ndarray]:
    """A function drawn from the process given the designs: raw inputs (m, p) → scaled ln(answer) (m,)."""
    deviation, noise, lengths = np.exp(fitted.scales[0]), np.exp(fitted.scales[1]), np.exp(fitted.scales[2:])
    frequencies = rng.standard_normal((len(lengths), FEATURES)) / lengths[:, None]
    phases, weights = rng.uniform(0, 2 * np.pi, FEATURES), rng.standard_normal(FEATURES)
    constant, *slopes = gaussian.TREND_DEVIATION * rng.standard_normal(1 + len(lengths))

    def prior(points: np.ndarray) -> np.ndarray:
        waves = np.cos(points @ frequencies + phases) @ weights
        return constant + points @ np.array(slopes) + deviation * np.sqrt(2 / FEATURES) * waves

    covariance = gaussian.kernel(fitted.points, fitted.points, fitted.scales)
    covariance[np.diag_indices_from(covariance)] += noise**2 + gaussian.JITTER
    missed = logs - prior(fitted.points) - noise * rng.standard_normal(len(logs))
    weight = cho_solve(cho_factor(covariance, lower=True), missed)

    def realisation(inputs: np.ndarray) -> np.ndarray:
        points = fitted.scaling.apply(inputs)
        return prior(points) + gaussian.kernel(points, fitted.points, fitted.scales) @ weight

    return realisation


def answer_column(prepared: Prepared) -> str:
    """The critical current that the designs have: with its error bar where they have one."""
    return "ccd_best_values" if prepared.sweep.settings.fidelity in ("screening", "best-values") else "ccd"


def of_sweep(prepared: Prepared, column: str | None = None, seed: int = 0) -> Sensitivity:
    """Indices of every variable of a sweep, each uniform over its own values (of a range in its own spacing).

    Raises:
        UserError: too few designs are done, or the column holds no positive numbers.
    """
    axes, name = prepared.sweep.axes, column or answer_column(prepared)
    rows, answers = [], []
    for row in prepared.rows:
        value = prepared.store.status(row["design"]).answers.get(name)
        if isinstance(value, int | float) and value > 0:
            rows.append(np.concatenate([_columns(axis, [row["values"][axis.name]])[0] for axis in axes]))
            answers.append(float(value))
    if len(answers) < LEAST:
        told = f"{len(answers)} designs have a positive {name}; sensitivities need at least {LEAST}"
        raise UserError(f"{prepared.sweep.file.path}: {told}: run the sweep, or add designs")
    pickers = [_picker(axis) for axis in axes]

    def columns_of(points: np.ndarray) -> np.ndarray:
        return np.column_stack([pick(points[:, k]) for k, pick in enumerate(pickers)])

    return indices(np.array(rows), np.array(answers), columns_of, [axis.name for axis in axes], seed)


def _columns(axis: Axis, values: Sequence[Any]) -> np.ndarray:
    """Surrogate inputs of values of a variable: the number, or a column of 0 and 1 for each choice; shape (m, 1 or choices)."""
    if axis.is_numeric:
        return np.array([[cell_of(axis, value)] for value in values], dtype=float)
    choices = _choices(axis)
    return np.array([[float(value == choice) for choice in choices] for value in values])


def _choices(axis: Axis) -> list[Any]:
    return list(axis.stated.values) if axis.stated.values else [option.name for option in axis.stated.option or ()]


def _picker(axis: Axis) -> Callable[[np.ndarray], np.ndarray]:
    """From shares (m,) to surrogate inputs of a variable."""
    if axis.is_numeric and not axis.stated.values:
        low, high = (cell_of(axis, between(axis, share)) for share in (0.0, 1.0))
        if axis.stated.spacing == "log":
            return lambda u: (low * (high / low) ** u)[:, None]
        return lambda u: (low + u * (high - low))[:, None]
    table = _columns(axis, _choices(axis))
    return lambda u: table[np.minimum((u * len(table)).astype(int), len(table) - 1)]

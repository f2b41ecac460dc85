"""Growth laws of a layer: fits with errors, comparison by evidence, and the test whether growth has stopped.

====================  ==========================================================  ==========
law                   thickness L(t)                                              parameters
====================  ==========================================================  ==========
constant              L0                                                          1
linear                L0 + v t   (reaction limits)                                2
parabolic             √(L0² + 2 k t)   (diffusion limits)                         2
Deal–Grove            L² + A L = L0² + A L0 + B t   (both, in series)             3
linear to parabolic   L0 + v t until t_c, √(L_c² + 2 k (t - t_c)) after           4
two linear            L0 + v t until t_c, L_c + w (t - t_c) after                 4
====================  ==========================================================  ==========

Successive thicknesses of one run are correlated. Errors hold that (`correlated.fit_errors`, linear in the parameters about the
best ones); what the most flexible law leaves is worth n' independent values, and the Bayesian information criterion is

    BIC = n' ln(RSS/n) + p ln n'     (Schwarz, Ann. Stat. 6, 461 (1978)),

weights exp(-BIC/2) normalised over the laws. The law of least BIC is told where every law that does not contain it as a limit is
DECIDED above it, otherwise the answer is undecided (Deal-Grove contains linear and parabolic, two regimes contain one).
Sources: Deal & Grove, J. Appl. Phys. 36, 3770 (1965) (memory); docs/physics.md 1.11. Errors and choices are checked by simulation
(tests/test_layer_growth.py).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import least_squares

from atomistic.correlated import fit_errors, independent
from coupling.errors import UserError

FEWEST = 10
"""Fewest thicknesses that a law is fitted to."""
DECIDED = 6.0
"""Difference of the criterion above which a law is taken for excluded (odds of 20 to 1)."""
CONTAINED = {"linear": ("constant",), "parabolic": ("constant",), "Deal-Grove": ("constant", "linear", "parabolic"),
             "linear to parabolic": ("constant", "linear", "parabolic"), "two linear": ("constant", "linear")}  # fmt: skip
"""Laws that a law becomes at the ends of its parameters."""
FEWEST_AT_END = 20
"""Fewest thicknesses of the last part of a run for its rate: with ten, errors of correlated data come out too small."""
LATE = 0.25
"""Share of a run, its end, that a thickness is told of."""
REGIMES = {"constant": 1, "linear": 1, "parabolic": 1, "Deal-Grove": 1, "linear to parabolic": 2, "two linear": 2}


@dataclass(frozen=True)
class Fit:
    """A law fitted to a thickness.

    Attributes:
        law: name. parameters, stderr: by name, in the units of thickness and time. residual: sum of squares.
        bic: criterion. weight: of this law among all. curve: fitted thickness at the times (n,).
    """

    law: str
    parameters: dict[str, float]
    stderr: dict[str, float]
    residual: float
    bic: float
    weight: float
    curve: np.ndarray


@dataclass(frozen=True)
class Growth:
    """All laws, best first; the effective number of values; the law that is told, or None where the data do not decide.

    `until`: the last time that they were fitted to.
    """

    fits: tuple[Fit, ...]
    effective: float
    decided: str | None
    until: float

    @property
    def two_regimes(self) -> float:
        """Weight of all laws of two regimes together."""
        return float(sum(fit.weight for fit in self.fits if REGIMES[fit.law] == 2))


def _parabolic(p: np.ndarray, t: np.ndarray) -> np.ndarray:
    return np.asarray(np.sqrt(np.maximum(p[0] ** 2 + 2 * p[1] * t, 0.0)))


def _deal_grove(p: np.ndarray, t: np.ndarray) -> np.ndarray:
    start, a, b = p
    return np.asarray(-a / 2 + np.sqrt(np.maximum((start + a / 2) ** 2 + b * t, 0.0)))


def _two_stage(p: np.ndarray, t: np.ndarray) -> np.ndarray:
    start, speed, late, change = p
    at_change = start + speed * change
    after = np.sqrt(np.maximum(at_change**2 + 2 * late * (t - change), 0.0))
    return np.where(t < change, start + speed * t, after)


def _two_linear(p: np.ndarray, t: np.ndarray) -> np.ndarray:
    start, speed, late, change = p
    return np.where(t < change, start + speed * t, start + speed * change + late * (t - change))


Law = Callable[[np.ndarray, np.ndarray], np.ndarray]
LAWS: dict[str, tuple[tuple[str, ...], Law]] = {
    "constant": (("L0",), lambda p, t: np.full_like(t, p[0])),
    "linear": (("L0", "v"), lambda p, t: p[0] + p[1] * t),
    "parabolic": (("L0", "k"), _parabolic),
    "Deal-Grove": (("L0", "A", "B"), _deal_grove),
    "linear to parabolic": (("L0", "v", "k", "t_c"), _two_stage),
    "two linear": (("L0", "v", "w", "t_c"), _two_linear),
}


def compare(times: np.ndarray, thickness: np.ndarray, laws: Sequence[str] = tuple(LAWS)) -> Growth:
    """Fit every law and weigh them.

    Args:
        times: (n,), rising, from the start of the run. thickness: (n,), in any unit. laws: which.

    Raises:
        UserError: fewer than FEWEST values, times that do not rise, or values that are not finite.
    """
    t, y = _checked(times, thickness)
    span = t[-1]
    scaled = {name: _fit(name, t / span, y) for name in laws}
    flexible = min(scaled, key=lambda name: scaled[name][1])
    found, _, slopes = scaled[flexible]
    effective = independent(slopes, y - LAWS[flexible][1](found, t / span))
    fits = []
    for name, (found, residual, slopes) in scaled.items():
        names = LAWS[name][0]
        curve = LAWS[name][1](found, t / span)
        rescale = np.array([_per_time(key, span) for key in names])
        errors = fit_errors(slopes, y - curve) * rescale
        bic = effective * np.log(max(residual, 1e-300) / len(t)) + len(names) * np.log(effective)
        told = dict(zip(names, (found * rescale).tolist(), strict=True))
        fits.append(Fit(name, told, dict(zip(names, errors.tolist(), strict=True)), residual, float(bic), 0.0, curve))
    least = min(fit.bic for fit in fits)
    weights = np.exp([-(fit.bic - least) / 2 for fit in fits])
    weights /= weights.sum()
    ranked = sorted(
        (Fit(**(vars(fit) | {"weight": float(weight)})) for fit, weight in zip(fits, weights, strict=True)), key=lambda f: f.bic
    )
    best = ranked[0]
    apart = all(fit.bic - best.bic >= DECIDED for fit in ranked[1:] if best.law not in CONTAINED.get(fit.law, ()))
    return Growth(tuple(ranked), effective, best.law if apart else None, float(span))


def _checked(times: np.ndarray, thickness: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Arrays that can be fitted. Raises UserError."""
    t, y = np.asarray(times, dtype=float), np.asarray(thickness, dtype=float)
    if len(t) != len(y) or len(t) < FEWEST:
        raise UserError(f"growth law: {len(y)} thicknesses at {len(t)} times; at least {FEWEST} are needed")
    if not (np.isfinite(t).all() and np.isfinite(y).all() and (np.diff(t) > 0).all() and t[0] >= 0):
        raise UserError("growth law: finite thicknesses at rising times from zero on are needed")
    return t, y


def _per_time(name: str, span: float) -> float:
    """Factor from a parameter in scaled time (0 … 1) to one in time."""
    return {"v": 1 / span, "w": 1 / span, "k": 1 / span, "B": 1 / span, "t_c": span}.get(name, 1.0)


def _fit(name: str, t: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, float, np.ndarray]:
    """Parameters (p,), sum of squares and derivatives of the curve by them (n, p), from several starts; times scaled to 0 … 1."""
    names, law = LAWS[name]
    first, last = max(float(y[: len(y) // 5 + 1].mean()), 1e-9), float(y[-(len(y) // 5 + 1) :].mean())
    rise, square = last - first, (last**2 - first**2) / 2
    starts = {
        "constant": [[float(y.mean())]], "linear": [[first, rise]], "parabolic": [[first, square]],
        "Deal-Grove": [[first, a, 2 * square + a * rise] for a in (0.3 * last, 5 * last)],
        "linear to parabolic": [[first, rise / c, square, c] for c in (0.25, 0.55)],
        "two linear": [[first, rise / c, 0.1 * rise, c] for c in (0.25, 0.55)],
    }[name]  # fmt: skip
    limits = {"L0": (-np.inf, np.inf), "A": (0.0, np.inf), "t_c": (0.05, 0.95)}
    low, high = np.array([limits.get(key, (-np.inf, np.inf)) for key in names]).T
    if name in ("parabolic", "Deal-Grove", "linear to parabolic"):
        low[0] = 0.0
    scale = max(float(np.abs(y).max()), 1e-12)
    common = {"bounds": (low, high), "x_scale": "jac", "max_nfev": 60}
    found = [
        least_squares(lambda p: (law(p, t) - y) / scale, np.clip(start, low + 1e-12, high - 1e-12), **common) for start in starts
    ]
    best = min(found, key=lambda fit: fit.cost)
    return best.x, float(2 * best.cost * scale**2), best.jac * scale


@dataclass(frozen=True)
class Passivation:
    """Late growth rate of a run.

    Attributes:
        rate, stderr: slope of the last part. limit: upper 95 % limit of the rate. passivated: whether it is zero within
            twice its error while what grew before is not, and below what a parabola that goes on would leave.
        since, until: times between which that part lies.
    """

    rate: float
    stderr: float
    limit: float
    passivated: bool
    since: float
    until: float

    @property
    def middle(self) -> float:
        """Mean time that the rate is told for."""
        return (self.since + self.until) / 2


def passivation(times: np.ndarray, thickness: np.ndarray, share: float = 1 / 3) -> Passivation:
    """Whether growth has stopped: slope of the last `share` s of the run, its error that of correlated values.

    A rate that noise hides is no rate of zero: the mean rate of the last part of a parabola is √(1 - s) (1 - √(1 - s))/s (0.45
    of a third) of that before at least, and the upper limit of a layer that has passivated lies below that.

    A layer whose electrolyte or metal is used up stops as well: cut the run there first (`exhaustion`).

    Raises:
        UserError: fewer than FEWEST_AT_END values in that part.
    """
    start = int(np.floor((1 - share) * len(times)))
    if (late := len(times) - start) < FEWEST_AT_END:
        raise UserError(f"passivation: {late} thicknesses in the last {share:.0%} of the run; {FEWEST_AT_END} are needed")
    t, y = _checked(times, thickness)
    rate, error = _slope(t[start:], y[start:])
    before, before_error = _slope(t[: start + 1], y[: start + 1])
    limit, left = max(rate, 0.0) + 1.645 * error, np.sqrt(1 - share)
    grew, slower = before > 2 * before_error, limit < before * left * (1 - left) / share
    passivated = bool(grew and slower and abs(rate) <= 2 * error)
    return Passivation(rate, error, limit, passivated, float(t[start]), float(t[-1]))


def _slope(t: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Least-squares slope and its error."""
    design, (_, slope), rest = _line(t, y)
    return slope, float(fit_errors(design, rest)[1])


def _line(t: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Straight line: derivatives (n, 2) by its value at the mean time and its slope, both of them (2,), what they leave (n,)."""
    design = np.column_stack([np.ones_like(t), t - t.mean()])
    found = np.linalg.lstsq(design, y, rcond=None)[0]
    return design, found, y - design @ found


def late_mean(times: np.ndarray, values: np.ndarray, share: float = LATE, grain: float = 0.0) -> tuple[float, float, float]:
    """Mean of the last `share` of a series, its standard error, and the mean time that it is told for.

    A trend within that part is no scatter: the error is that of a straight line at the mean time, of correlated values. Values
    that scatter by less than half a grain hide what is between the grains: their error is at least that of rounding.

    Args:
        times, values: (n,). grain: smallest change of a value that can be, such as one group over their number.

    Raises:
        UserError: fewer than FEWEST values in that part.
    """
    t, y = (np.asarray(numbers, dtype=float)[-max(1, round(share * len(times))) :] for numbers in (times, values))
    if len(t) < FEWEST or not np.isfinite(y).all():
        raise UserError(f"late mean: {len(t)} finite values in the last {share:.0%} of the run; {FEWEST} are needed")
    design, (value, _), rest = _line(t, y)
    error, hidden = float(fit_errors(design, rest)[0]), float(rest.std()) < grain / 2
    return float(value), max(error, grain / 12**0.5) if hidden else error, float(t.mean())

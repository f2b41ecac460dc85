"""Slopes of mean products of displacements against the lag, their errors, and whether they are those of diffusion at all.

Generalised least squares with the covariance of Brownian motion (`brownian_covariance`) gives slope and error, that of rattling
added. Both hold only where the curve is linear: an oscillator, whose curve goes up and down for ever, has a slope and a
narrow error, too, and diffuses nowhere. `judge` asks the curve: its two halves must have one slope within the errors, and it must
grow as t¹.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import stats

SIGMAS = 3.0
"""Standard errors by which the slopes of the two halves may differ."""
NARROW, WIDE = 0.3, 0.5
"""Distance of the exponent from 1 that is let pass however small its error, and that is not however large it is."""
ONE_SIDED_95 = 1.645
NOTHING = 1e-12
"""Share of the largest curve below which a curve is nothing (a framework in its own frame)."""


@dataclass(frozen=True)
class Judgement:
    """Whether one curve C(t) = <ΔR·ΔR> is that of diffusion.

    Attributes:
        diffusive: slope and error of the fit may be believed.
        limit: upper limit (95 %) of the slope per frame; None where there is none: C still grows faster than t (ballistic).
        exponent, exponent_stderr: d ln C/d ln t over the lags. reason: in words; "" where diffusive.
    """

    diffusive: bool
    limit: float | None
    exponent: float
    exponent_stderr: float
    reason: str


@dataclass(frozen=True)
class Slopes:
    """Slopes of C_ij against the lag (s, s), per frame.

    `stderr`: their standard errors; `diffusive`: what those would be without rattling.
    """

    values: np.ndarray
    stderr: np.ndarray
    diffusive: np.ndarray

    def intervals(self) -> np.ndarray:
        """`limits` of the slopes of C_ii (s, 2), nan where there are none."""
        each = zip(*(np.diag(part) for part in (self.values, self.stderr, self.diffusive)), strict=True)
        return np.array([limits(*map(float, one)) for one in each], dtype=float).reshape(-1, 2)


def judge(curve: np.ndarray, lags: np.ndarray, frames: int) -> Judgement:
    """Judge a curve C (n,) at the lags (n,), in frames, of a run of so many frames.

    Diffusion has C = s t: the slopes of the lower and the upper half of the lags agree within SIGMAS errors of their difference,
    and the exponent lies within SIGMAS errors, at least NARROW and at most WIDE, of 1. Where it does not, the secant from nothing
    to the longest lag bounds the slope of a curve that flattens: s <= max C/t_max and the slope of the upper half, each with
    1.645 errors on top.
    """
    if not curve.min() > 0:
        return Judgement(False, None, 0.0, 0.0, "nothing moves")
    covariance = 2.0 / 3.0 * brownian_covariance(lags, frames)  # of the curve over the square of its slope
    logs = np.log(lags)
    weights = (logs - logs.mean()) / np.sum((logs - logs.mean()) ** 2)
    exponent = float(weights @ np.log(curve))
    exponent_stderr = float(np.sqrt(weights @ (covariance / np.outer(lags, lags)) @ weights))
    (lower, upper), size = _halves(lags, frames), abs(float(_slope_weights(lags, frames)[0] @ curve))
    apart = float((upper - lower) @ curve)
    apart_stderr = size * float(np.sqrt((upper - lower) @ covariance @ (upper - lower)))
    secant = float(curve.max() / lags[-1]) * (1 + ONE_SIDED_95 * float(np.sqrt(covariance[-1, -1])) / float(lags[-1]))
    late = float(upper @ curve) + ONE_SIDED_95 * size * float(np.sqrt(upper @ covariance @ upper))
    allowed = min(WIDE, max(NARROW, SIGMAS * exponent_stderr))
    if exponent - 1 > allowed:
        told = f"the displacement still grows as t^{exponent:.2f}, ballistic or driven, no diffusion within the fitted lags"
        return Judgement(False, None, exponent, exponent_stderr, told)
    if 1 - exponent > allowed:
        told = f"the displacement grows as t^{exponent:.2f} only, no diffusion within the fitted lags"
        return Judgement(False, max(secant, late), exponent, exponent_stderr, told)
    if abs(apart) > SIGMAS * apart_stderr:
        told = "the slopes of the two halves of the fitted lags differ by more than three errors, not linear"
        return Judgement(False, max(secant, late), exponent, exponent_stderr, told)
    return Judgement(True, max(secant, late), exponent, exponent_stderr, "")


def agree(curve: np.ndarray, lags: np.ndarray, frames: int, own: tuple[float, float]) -> bool:
    """Whether the two halves of a mixed curve C_ij (n,) have one slope; `own`: slopes of C_ii and C_jj per frame."""
    lower, upper = _halves(lags, frames)
    slope = float(_slope_weights(lags, frames)[0] @ curve)
    variance = (own[0] * own[1] + slope**2) / 3.0 * float((upper - lower) @ brownian_covariance(lags, frames) @ (upper - lower))
    return bool(abs((upper - lower) @ curve) <= SIGMAS * np.sqrt(variance))


def _halves(lags: np.ndarray, frames: int) -> tuple[np.ndarray, np.ndarray]:
    """Weights (n,) that give the slope of the lower and of the upper half of the lags, the middle one in both."""
    middle, found = len(lags) // 2, []
    for part in (slice(0, middle + 1), slice(middle, None)):
        weights = np.zeros(len(lags))
        weights[part] = _slope_weights(lags[part], frames)[0]
        found.append(weights)
    return found[0], found[1]


def _slope_weights(lags: np.ndarray, frames: int) -> tuple[np.ndarray, float]:
    """Weights (n,) of generalised least squares with intercept, and the variance of the slope over the squared amplitude."""
    inverse = np.linalg.inv(brownian_covariance(lags, frames))
    design = np.column_stack([lags, np.ones(len(lags))]).astype(float)
    unit = np.linalg.inv(design.T @ inverse @ design)
    return (unit @ design.T @ inverse)[0], float(unit[0, 0])


def slope_matrix(curves: np.ndarray, lags: np.ndarray, frames: int, early: tuple[int, np.ndarray] | None = None) -> Slopes:
    """Slopes of C_ij against the lag with their errors, in units of C per frame, by generalised least squares.

    Args:
        curves: C_ij (n, s, s). lags: (n,), frames. frames: length of the run.
        early: a lag far below the fitted ones, in frames, and C_ij (s, s) there. What it exceeds the fitted slope by is rattling
            A_ij, whose noise adds to that of the diffusion; None: none.
    """
    weights = _slope_weights(lags, frames)[0]
    slopes = np.einsum("l,lij->ij", weights, curves)
    diffusive, mixed, rattling = (float(weights @ part @ weights) for part in _parts(lags, frames))
    own = np.abs(np.diag(slopes))
    variance = without = diffusive * (np.outer(own, own) + slopes**2)
    if early is not None:
        lag, short = early
        still = short - lag * slopes
        a = np.maximum(np.diag(still), 0.0)
        still = np.clip(still, -np.sqrt(np.outer(a, a)), np.sqrt(np.outer(a, a)))
        variance = variance + mixed * (np.outer(own, a) + np.outer(a, own) + 2 * slopes * still) / 2
        variance = variance + rattling * (np.outer(a, a) + still**2) / 4
    return Slopes(slopes, np.sqrt(variance / 3.0), np.sqrt(without / 3.0))


def limits(slope: float, error: float, diffusive: float) -> tuple[float, float] | tuple[None, None]:
    """The 95 % limits of a slope <ΔR²>/t whose error goes with it; none where most of that is rattling's, which is Gaussian.

    A mean of squares has a χ² distribution of 2 (slope/error)² degrees: of the few that a run's longest lags make, 1.96 errors
    hold 88 to 91 % and the limits 95 to 96.

    Args:
        slope, error: of `slope_matrix`. diffusive: its error without rattling.
    """
    if not slope > 2 * error or error**2 > 2 * diffusive**2:
        return None, None
    degrees = 2 * (slope / error) ** 2
    return slope * degrees / float(stats.chi2.ppf(0.975, degrees)), slope * degrees / float(stats.chi2.ppf(0.025, degrees))


def brownian_covariance(lags: np.ndarray, frames: int) -> np.ndarray:
    """Covariance (n, n) of mean products of displacements over all windows of a Brownian motion, its amplitude taken out.

    For displacements with <ΔR_i·ΔR_j> = s_ij τ in three dimensions, cov(C_ij(a), C_ij(b)) = (s_ii s_jj + s_ij²)/3 M_ab,

        M_ab = Σ_{k,l} o(k, l)² / [(N - a)(N - b)],

    where o is the number of steps that the windows k … k + a and l … l + b share (Qian, Sheetz & Elson, Biophys. J. 60, 910
    (1991), memory; checked against simulated walks).

    With a rattling that forgets itself from frame to frame on top, <ΔR_i·ΔR_j> = s_ij τ + A_ij, o(k, l) s_ij becomes
    o(k, l) s_ij + d(k, l) A_ij/2: d counts the ends that both windows share, less those at which one begins and the other ends.
    """
    return _parts(lags, frames)[0].copy()


def _parts(lags: np.ndarray, frames: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sums over k, l of o², o d and d² over [(N - a)(N - b)], (n, n) each."""
    return _covariance(tuple(int(lag) for lag in lags), frames)


@lru_cache(maxsize=64)
def _covariance(lags: tuple[int, ...], frames: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """`_parts`, computed once for the same lags."""
    found = np.empty((3, len(lags), len(lags)))
    for i, a in enumerate(lags):
        for j, b in enumerate(lags[: i + 1]):
            shift = np.arange(-b, a + 1)  # start of the window of b steps after that of a steps
            shared = np.maximum(np.minimum(a, shift + b) - np.maximum(0, shift), 0).astype(float)
            ends = (shift == 0).astype(float) + (shift == a - b) - (shift == -b) - (shift == a)
            # starts k with 0 <= k <= N - 1 - a and 0 <= k + shift <= N - 1 - b
            pairs = np.minimum(frames - 1 - a, frames - 1 - b - shift) - np.maximum(0, -shift) + 1
            products = np.array([shared * shared, shared * ends, ends * ends])
            found[:, i, j] = found[:, j, i] = products @ np.maximum(pairs, 0) / ((frames - a) * (frames - b))
    return found[0], found[1], found[2]

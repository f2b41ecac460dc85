"""Weighted fit of ln D against 1/T with its posterior, and the value at room temperature with an interval or a bound.

ln D = ln D0 − E/(R T). Three cases, decided by the data:

* Estimates at two or more temperatures: least squares with weights 1/σ², σ = stderr/D, parameters Gaussian with the
  covariance (XᵀWX)⁻¹. If the scatter about the line is too large for the errors given (χ² improbable at 1 %), the errors
  are scaled up by √(χ²/ν) and the parameters are Student's with ν degrees of freedom; `inflated` says so.
* What is known beside the estimates enters as in Bayes' rule: D does not rise on cooling (E ≥ 0); an upper bound b (95 %)
  of K counted events has the likelihood λ^K exp(−λ), λ = U(K) D/b with the 95 % limit U of a Poisson mean (3.0 where none was
  seen); a prior on ln D0 where one is given. The posterior is then held as draws, and medians, errors and intervals are theirs.
* Otherwise no line is drawn. D falls with temperature, so D at room temperature is below each bound, and below each estimate
  (value + 1.645 stderr), made at a higher temperature: the smallest of them is the bound. A known least activation energy
  sharpens it: b exp(−E (1/T_room − 1/T)/R).

A straight line says nothing of a transition below its data: the lithium of Li2S moves like a liquid's at 1000 K and hardly at all
at 298 K. `doubt` names what makes a value at room temperature doubtful: an error larger than itself, or a line carried further
than MOST_REACH times the range of 1/T that its data cover.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import special

from coupling.constants import GAS_CONSTANT, ROOM_TEMPERATURE

SAMPLES = 20_000
EXCEEDS = "its standard error exceeds the value"
CONTRADICTED = "what is known beside the estimates (D does not rise on cooling, bounds, the prior of D0), which they contradict"
ONE_SIGMA = 0.682689
"""Probability within one standard error of a Gaussian."""
MOST_REACH = 10.0
"""Distance in 1/T from the coldest datum, over the range of 1/T of the data, beyond which an extrapolation is doubtful."""
FEWEST = 200
"""Effective number of draws below which what is known beside the estimates contradicts them, and is left out."""
HOPPING_PREFACTOR = (1.5e-7, 10.0)
"""D0 of hopping in a crystal, m²/s, and the factor of its standard deviation: a²ν/6 for jumps of 3 Å tried 10¹³ times a
second (Vineyard, J. Phys. Chem. Solids 3, 121 (1957)); a decade either way for frequencies of 10¹² … 10¹⁴ Hz, jump lengths,
entropy and correlation."""


@dataclass(frozen=True)
class Point:
    """One temperature: value in any unit with its standard error, or an upper bound (95 %, no error).

    hops: events that a bound was counted of; of one that rests on no count, as many as tell about as little.
    """

    temperature: float
    value: float
    stderr: float | None = None
    bound: Literal["upper"] | None = None
    hops: int = 0

    def __post_init__(self) -> None:
        """Refuse what no fit can use."""
        if not (self.temperature > 0 and self.value > 0 and np.isfinite([self.temperature, self.value]).all()):
            raise ValueError(f"temperature {self.temperature!r} K and value {self.value!r} must be positive and finite")
        if self.bound is None and not (self.stderr is not None and 0 < self.stderr < np.inf):
            raise ValueError(f"the value at {self.temperature:g} K needs a positive standard error or to be a bound")


@dataclass(frozen=True)
class ArrheniusFit:
    """Line ln D = ln D0 − E/(R T).

    Attributes:
        log_prefactor: ln D0 (D0 in the unit of the data), posterior mean.
        activation_energy: E, J/mol, posterior mean.
        covariance: of (ln D0, E), (2, 2).
        degrees: degrees of freedom of the intervals; None for Gaussian ones.
        chi_square: scatter about the line in units of the errors given.
        inflated: whether the errors given were too small for the scatter and have been scaled up.
        bounds: how many upper bounds entered.
        temperatures: lowest and highest temperature of the data, K.
        draws: of (ln D0, E), (n, 2), where the posterior is not the plain Gaussian or Student's; else None.
        contradicted: whether the estimates contradict what is known beside them (E ≥ 0, bounds, prior), which then is left out.
    """

    log_prefactor: float
    activation_energy: float
    covariance: np.ndarray
    degrees: int | None
    chi_square: float
    inflated: bool
    bounds: int
    temperatures: tuple[float, float]
    draws: np.ndarray | None = None
    contradicted: bool = False

    def log_value(self, temperature: float) -> tuple[float, float]:
        """Logarithm of D at a temperature (K), the median, and its standard error."""
        x = np.array([1.0, -1.0 / (GAS_CONSTANT * temperature)])
        if self.draws is not None:
            logs = self.draws @ x
            return float(np.median(logs)), float(np.std(logs))
        return float(x @ [self.log_prefactor, self.activation_energy]), float(np.sqrt(x @ self.covariance @ x))

    def value(self, temperature: float) -> float:
        """D at a temperature (K): the median."""
        return float(np.exp(self.log_value(temperature)[0]))

    def interval(self, temperature: float, level: float = 0.95) -> tuple[float, float]:
        """Limits between which D at a temperature (K) lies with probability `level`."""
        if self.draws is not None:
            logs = self.draws @ np.array([1.0, -1.0 / (GAS_CONSTANT * temperature)])
            return tuple(float(v) for v in np.exp(np.quantile(logs, [0.5 - level / 2, 0.5 + level / 2])))  # type: ignore[return-value]
        centre, error = self.log_value(temperature)
        half = self.quantile(level) * error
        return float(np.exp(centre - half)), float(np.exp(centre + half))

    def energy(self) -> tuple[float, float]:
        """Activation energy, the median, and half of its central 68 %, J/mol: Student's of one or two degrees has no variance."""
        least, most = self.energy_interval(ONE_SIGMA)
        value = self.activation_energy if self.draws is None else float(np.median(self.draws[:, 1]))
        return value, (most - least) / 2

    def energy_interval(self, level: float = 0.95) -> tuple[float, float]:
        """Limits of the activation energy, J/mol."""
        if self.draws is not None:
            low, high = np.quantile(self.draws[:, 1], [0.5 - level / 2, 0.5 + level / 2])
            return float(low), float(high)
        half = self.quantile(level) * float(np.sqrt(self.covariance[1, 1]))
        return self.activation_energy - half, self.activation_energy + half

    def quantile(self, level: float) -> float:
        """Half width of a two-sided interval of the plain posterior in standard errors."""
        tail = 0.5 + level / 2
        return float(special.ndtri(tail) if self.degrees is None else special.stdtrit(self.degrees, tail))


@dataclass(frozen=True)
class RoomValue:
    """D at one temperature.

    Attributes:
        value: median of the fit, or the bound. stderr: half the 68 % interval; None for a bound.
        low, high: 95 % interval, the one that `coupling.record.sample` draws from; None for a bound.
        bound: "upper" or None. fit: the line, None where none could be drawn. method: in words.
        doubt: why the value is of low confidence, in words; "" where nothing speaks against it.
    """

    value: float
    stderr: float | None
    low: float | None
    high: float | None
    bound: Literal["upper"] | None
    fit: ArrheniusFit | None
    method: str
    doubt: str = ""


def fit(points: Sequence[Point], seed: int = 0, prefactor: tuple[float, float] | None = None) -> ArrheniusFit:
    """Fit of all points.

    Args:
        points: estimates and upper bounds.
        seed: of the draws.
        prefactor: what is known of D0 beforehand: median, in the unit of the data, and the factor of its standard
            deviation; None: nothing.

    Raises:
        ValueError: fewer than two different temperatures with an estimate.
    """
    known = [point for point in points if point.bound is None]
    limits = [point for point in points if point.bound is not None]
    if len({point.temperature for point in known}) < 2:
        raise ValueError("an Arrhenius line needs estimates at two or more temperatures")
    line, covariance, chi_square, degrees = _least_squares(known)
    inflated = bool(degrees > 0 and special.gammaincc(degrees / 2, chi_square / 2) < 0.01)
    if inflated:
        covariance = covariance * chi_square / degrees
    own = degrees if inflated else None
    draws, contradicted = None, False
    rises = line[1] < 6 * np.sqrt(covariance[1, 1])  # E ≥ 0 cuts off something
    if limits or prefactor or rises or inflated:
        draws = _posterior(line, covariance, limits, own, prefactor, seed)
        contradicted = draws is None
    if draws is not None:
        line, covariance = draws.mean(axis=0), np.cov(draws.T)
    temperatures = [point.temperature for point in points]
    return ArrheniusFit(
        log_prefactor=float(line[0]), activation_energy=float(line[1]), covariance=covariance, degrees=own,
        chi_square=chi_square, inflated=inflated, bounds=len(limits), temperatures=(min(temperatures), max(temperatures)),
        draws=draws, contradicted=contradicted,
    )  # fmt: skip


def at_temperature(
    points: Sequence[Point],
    temperature: float = ROOM_TEMPERATURE,
    least_activation_energy: float = 0.0,
    seed: int = 0,
    prefactor: tuple[float, float] | None = None,
) -> RoomValue:
    """D at `temperature` (K) from a fit where the data allow one, else an upper bound; see the module's text.

    Args:
        points: data above (or around) that temperature.
        temperature: K.
        least_activation_energy: J/mol, a known lower limit; used for bounds only.
        seed: of the draws.
        prefactor: as in `fit`.

    Raises:
        ValueError: no points, or a bound is asked for below which no datum lies (all data at lower temperatures).
    """
    if len({point.temperature for point in points if point.bound is None}) >= 2:
        line = fit(points, seed, prefactor)
        centre, _ = line.log_value(temperature)
        low, high = line.interval(temperature)
        least, most = line.interval(temperature, ONE_SIGMA)
        low_t, high_t = line.temperatures
        bounds = f", {line.bounds} of them upper bounds" if line.bounds and not line.contradicted else ""
        text = f"Arrhenius fit of {len(points)} points from {low_t:g} to {high_t:g} K{bounds}"
        text += "; errors scaled up to the scatter" if line.inflated else ""
        text += "; D does not rise on cooling" if line.draws is not None else ""
        if prefactor and line.draws is not None:
            text += f"; prior of D0 {prefactor[0]:.2g}, a factor {prefactor[1]:g} either way"
        text += f"; left out: {CONTRADICTED}" if line.contradicted else ""
        value = float(np.exp(centre))
        stderr = 0.5 * (most - least)
        return RoomValue(value, stderr, low, high, None, line, text, _doubt(line, temperature, stderr / value))
    above = [point for point in points if point.temperature >= temperature]
    if not above:
        raise ValueError(f"no bound at {temperature:g} K: no datum at or above that temperature")
    candidates = [(_limit(point, temperature, least_activation_energy), point.temperature) for point in above]
    bound, where = min(candidates)
    how = (
        f"activation energy at least {least_activation_energy:g} J/mol"
        if least_activation_energy > 0
        else "D falls with temperature"
    )
    return RoomValue(bound, None, None, None, "upper", None, f"upper bound (95 %) at {where:g} K carried down: {how}")


def reach(line: ArrheniusFit, temperature: float) -> float:
    """Distance in 1/T of a temperature (K) below the data, over the range of 1/T that they cover; negative within them."""
    low, high = line.temperatures
    return (1.0 / temperature - 1.0 / low) / (1.0 / low - 1.0 / high)


def _doubt(line: ArrheniusFit, temperature: float, relative: float) -> str:
    """Why the value of a line at a temperature (K) is doubtful; `relative`: its standard error over itself."""
    reasons = [CONTRADICTED] if line.contradicted else []
    if relative > 1.0:
        reasons.append(EXCEEDS)
    if (far := reach(line, temperature)) > MOST_REACH:
        low, high = line.temperatures
        data = f"the data ({low:.0f} to {high:.0f} K)"
        reasons.append(f"{temperature:.4g} K lies {far:.0f} times the range of 1/T of {data} below them")
    return " and ".join(reasons)


def _least_squares(points: Sequence[Point]) -> tuple[np.ndarray, np.ndarray, float, int]:
    """(ln D0, E), covariance (2, 2), χ², degrees of freedom of the weighted line."""
    inverse = np.array([1.0 / (GAS_CONSTANT * point.temperature) for point in points])
    logs = np.log([point.value for point in points])
    weights = np.array([point.value / (point.stderr or np.inf) for point in points])
    scale = np.mean(inverse)  # both columns of order one, for the conditioning of the normal equations
    design = np.column_stack([np.ones(len(points)), -inverse / scale])
    covariance = np.linalg.inv((design * weights[:, None] ** 2).T @ design)
    line = covariance @ (design.T @ (weights**2 * logs))
    chi_square = float(np.sum((weights * (logs - design @ line)) ** 2))
    back = np.array([1.0, 1.0 / scale])
    return line * back, covariance * np.outer(back, back), chi_square, len(points) - 2


def _posterior(
    line: np.ndarray, covariance: np.ndarray, limits: Sequence[Point], degrees: int | None,
    prefactor: tuple[float, float] | None, seed: int,
) -> np.ndarray | None:  # fmt: skip
    """Draws (n, 2) of the line's parameters given the fit, E ≥ 0, the bounds and the prior of ln D0.

    Student's parameters are Gaussian ones whose covariance is scaled by ν/χ²_ν. The Gaussian prior of ln D0 is joined to each
    such Gaussian in closed form, with its evidence as weight; E ≥ 0 and the bounds are weights too. None where the data
    contradict what is known so strongly that too few draws remain: then the fit alone stands, and its χ² and the bounds are
    there to be seen.
    """
    rng = np.random.default_rng(seed)
    scale = np.ones(SAMPLES) if degrees is None else degrees / rng.chisquare(degrees, SAMPLES)
    root = np.linalg.cholesky(covariance)
    draws = line + np.sqrt(scale)[:, None] * (rng.standard_normal((SAMPLES, 2)) @ root.T)
    log_weight = np.zeros(SAMPLES)
    if prefactor is not None:
        centre, width = np.log(prefactor[0]), np.log(prefactor[1])
        own = scale * covariance[0, 0]
        # a Gaussian seen through its first component: shift by the gain times what a draw of that component lacks
        gain = scale[:, None] * covariance[0] / (own + width**2)[:, None]
        draws += gain * (centre + width * rng.standard_normal(SAMPLES) - draws[:, 0])[:, None]
        log_weight -= (centre - line[0]) ** 2 / (2 * (own + width**2)) + 0.5 * np.log(own + width**2)
    for point in limits:
        over = draws[:, 0] - draws[:, 1] / (GAS_CONSTANT * point.temperature) - np.log(point.value)
        log_weight += point.hops * over - special.gammaincinv(point.hops + 1.0, 0.95) * np.exp(np.clip(over, -700, 700))
    log_weight[draws[:, 1] < 0] = -np.inf
    if not np.isfinite(log_weight).any():
        return None
    weights = np.exp(log_weight - log_weight.max())
    if weights.sum() ** 2 / (weights**2).sum() < FEWEST:
        return None
    return draws[rng.choice(SAMPLES, SAMPLES, p=weights / weights.sum())]


def _limit(point: Point, temperature: float, activation_energy: float) -> float:
    """Upper limit (95 %) at a lower temperature from one datum."""
    top = point.value if point.bound else point.value + 1.645 * (point.stderr or 0.0)
    return float(top * np.exp(-activation_energy / GAS_CONSTANT * (1.0 / temperature - 1.0 / point.temperature)))

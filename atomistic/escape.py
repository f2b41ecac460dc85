"""Rates from escape times, and the test whether a single rate explains them.

Escapes over one barrier are Poisson events: their times are exponential, n times of mean τ give the rate k = 1/τ, and 2 n τ k
follows χ² with 2 n degrees of freedom, hence the interval. Times of infrequent metadynamics that are not exponential tell
that bias fell on the barrier, that hills came too often or that the collective variable misses the slow motion.

Sources: Salvalaglio, Tiwary & Parrinello, J. Chem. Theory Comput. 10, 1420 (2014) (memory); docs/physics.md 1.9.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from coupling.errors import UserError

FEWEST_EVENTS = 10
"""Fewest escapes from which a rate is told."""
SIGNIFICANCE = 0.05
"""Probability below which the escape times are not taken for exponential."""


@dataclass(frozen=True)
class Escape:
    """Rate from escape times, in the inverse unit of the times.

    Attributes:
        rate: 1/mean. low, high: its 95 % interval (gamma distribution). events: escapes. p_value: of the
            Kolmogorov–Smirnov test against the exponential.
    """

    rate: float
    low: float
    high: float
    events: int
    p_value: float

    @property
    def trusted(self) -> bool:
        """Whether a rate may be told."""
        return self.p_value >= SIGNIFICANCE

    @property
    def mean_time(self) -> float:
        """Mean first passage time 1/k."""
        return 1.0 / self.rate

    @property
    def stderr(self) -> float:
        """Standard error of the rate, k/√n."""
        return self.rate / math.sqrt(self.events)


def escape_rate(times: Sequence[float] | np.ndarray, seed: int = 0) -> Escape:
    """Rate of an escape from independent (rescaled) times, and whether they are exponential.

    The p value is that of the Kolmogorov–Smirnov distance from the exponential of the same mean, found by simulation, since the
    mean is taken from the same times (Lilliefors, J. Am. Stat. Assoc. 64, 387 (1969), memory).

    Raises:
        UserError: fewer than FEWEST_EVENTS times, or one that is not positive and finite.
    """
    found = np.asarray(times, dtype=float)
    if len(found) < FEWEST_EVENTS:
        raise UserError(f"{len(found)} escapes are too few for a rate; at least {FEWEST_EVENTS} are needed")
    if not (np.isfinite(found).all() and (found > 0).all()):
        raise UserError("escape times must be positive and finite")
    count, mean = len(found), float(found.mean())
    drawn = np.random.default_rng(seed).exponential(size=(2000, count))
    simulated = _distance(drawn / drawn.mean(axis=1, keepdims=True))
    p_value = float(np.mean(simulated >= _distance(found[None] / mean)))
    low, high = (float(stats.gamma.ppf(level, count)) / (count * mean) for level in (0.025, 0.975))
    return Escape(1.0 / mean, low, high, count, p_value)


def _distance(scaled: np.ndarray) -> np.ndarray:
    """Kolmogorov–Smirnov distance (m,) of rows of times of mean 1 (m, n) from the unit exponential."""
    expected, count = 1 - np.exp(-np.sort(scaled, axis=1)), scaled.shape[1]
    steps = np.arange(count + 1) / count
    return np.asarray(np.maximum((steps[1:] - expected).max(axis=1), (expected - steps[:-1]).max(axis=1)))

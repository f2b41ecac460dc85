"""Where few ions hop in a run: what displacements over windows cannot tell of by their scatter.

A run in which no ion hops scatters by its rattling alone, and so does its diffusivity, whatever the rate of the hops that it
missed. K ion-windows in which an ion went farther than half a hop length a, in the time N t of all ions, leave

    D < U(K) a²/(2 d N t)     (95 %, along d axes, U the limit of a Poisson mean; all of a hop along them)

at least. A value that rests by more than half on fewer than MINIMUM_HOPS hops is no estimate (as in `diffusivity`).
"""

from dataclasses import dataclass

import numpy as np

from atomistic.brownian import ONE_SIDED_95
from atomistic.diffusivity import MINIMUM_HOPS, nearest_distance, poisson_limit


@dataclass(frozen=True)
class Hops:
    """Ion-windows that hold a hop.

    Attributes:
        count: their number. squares: sum of their squared displacements, Å². time: of all ions, N t, fs. length: of a hop, Å.
        axes: along which the displacements are.
    """

    count: int
    squares: float
    time: float
    length: float
    axes: int = 1

    def few(self, value: float, error: float) -> bool:
        """Whether a diffusivity (Å²/fs) with its standard error is within twice that of zero, or rests on too few hops."""
        share = self.squares / (2 * self.axes * self.time)
        return value < 2 * error or (self.count < MINIMUM_HOPS and share > value / 2)

    def limit(self, value: float, error: float) -> float:
        """Upper limit (95 %) of such a diffusivity, Å²/fs."""
        known = self.count < MINIMUM_HOPS
        longest = max(self.length, (self.squares / self.count) ** 0.5 if self.count else 0.0)
        missed = poisson_limit(self.count) * longest**2 / (2 * self.axes * self.time) if known else 0.0
        return max(max(value, 0.0) + ONE_SIDED_95 * error, missed)


def hop_length(tracks: np.ndarray, window: int) -> float:
    """Distance of neighbouring sites, Å: that of the ions (frames, n, 3) at their mean places in the first window."""
    return nearest_distance(tracks[:window].mean(axis=0))


def hopped(squares: np.ndarray, length: float) -> np.ndarray:
    """Which squared displacements over a window, Å², hold a hop of a length, Å."""
    return np.asarray(squares > (length / 2) ** 2)

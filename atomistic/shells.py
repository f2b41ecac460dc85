"""Shells of neighbours: distance and number of the first neighbours of a pair of elements, from g(r) of the frames of a run.

A shell is told where it is clear: the first maximum of g(r) stands out, a minimum no higher than CLEAR of it follows, and g rises
again after it. Its distance is the maximum of a cubic fitted to ln g about it (each interval weighted by the pairs that it
holds): thermal motion of an isotropic σ between two atoms at rest R apart puts it at R - σ²/R. Its coordination number counts the
neighbours up to the middle of the stretch about the minimum in which g is least.

Errors are of sampling: jackknife over successive parts of the run with their correlation (`correlated.jackknife_error`), maximum
and minimum found anew without each part; at least what rounding to an interval of r, or to one neighbour of one atom, makes. By
how much a fit to a narrower top (NARROW) moves the maximum of a shell that is no bell is added, a spread, as far as it exceeds
its own noise. They know nothing of a disorder that stays as it was built through a run.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement
from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.signal import find_peaks

from atomistic.correlated import jackknife_error, mean_error
from atomistic.diffraction import Radial
from coupling.errors import UserError
from coupling.record import Property
from coupling.units import length_to_si

STEP, SMOOTH = 0.01, 0.05
"""Interval of r, and the width (standard deviation) of the mean in which extremes of g are looked for, Å."""
STANDS_OUT, SURE = 0.3, 4.0
"""Height of a maximum of g above what surrounds it, and the same in standard errors of g there."""
CLEAR = 0.5
"""Highest minimum after a clear shell, over its maximum."""
TOP, NARROW = 0.5, 0.75
"""Shares of a maximum above which its curve is fitted: for its place, and again for what that hangs on its shape."""
FLAT = 0.02
"""Share of a maximum by which g may exceed the least g of the minimum after it."""
PARTS, FEWEST = 40, 10
"""Most parts of a run, and fewest frames."""
HOW = "jackknife over the run with its correlation, half an interval or neighbour at least"
Pair = tuple[str, str]


@dataclass(frozen=True)
class Shell:
    """First shell of neighbours of a pair (centre, neighbour), Å and 1, each with its standard error.

    `cutoff`: distance up to which neighbours count. `other`: number of neighbours told from the other species.
    """

    pair: Pair
    distance: float
    distance_error: float
    number: float
    number_error: float
    cutoff: float
    cutoff_error: float
    other: float


def pairs_of(symbols: Sequence[str]) -> list[Pair]:
    """Every pair of elements once, the rarer (of equals the first by name) as centre."""
    labels = list(symbols)
    kinds = sorted(set(labels), key=lambda name: (labels.count(name), name))
    return list(combinations_with_replacement(kinds, 2))


def bins_of(r_max: float) -> int:
    """Intervals of g(r) up to a distance (Å), as `shell` wants them."""
    return max(2, round(r_max / STEP))


def shell(pair: Pair, found: Radial, centres: int, neighbours: int) -> Shell:
    """The first shell of a pair, of g in intervals of about STEP.

    Args:
        centres, neighbours: atoms of both species, for the least error and the number about the other species.

    Raises:
        UserError: too few frames or no clear shell, and why.
    """
    name, frames = "-".join(pair), len(found.rows)
    if frames < FEWEST:
        raise UserError(f"{name}: {frames} frames; a shell with an error needs {FEWEST}")
    top, second, around, narrow = _first_maximum(name, found)
    everything = np.arange(frames)

    def read(chosen: np.ndarray) -> list[float]:
        g, counts = found.rows[chosen].mean(axis=0), found.counts[chosen].mean(axis=0)
        place, cutoff = _summit(found.r, g, counts, around, top), _cutoff(found.r, g, top, second)
        return [place, cutoff, _within(found.r, counts, cutoff), place - _summit(found.r, g, counts, narrow, top)]

    chunks = np.array_split(everything, min(PARTS, frames))
    distance, cutoff, number, apart = read(everything)
    errors = jackknife_error(np.array([read(np.delete(everything, part)) for part in chunks]))
    step = float(found.r[1] - found.r[0])
    shape = max(0.0, apart**2 - errors[3] ** 2)
    distance_error, cutoff_error, number_error = np.maximum(errors[:3], np.array([step, step, 1 / centres]) / 12**0.5)
    return Shell(pair, distance, float(np.hypot(distance_error, shape**0.5)), number, float(number_error), cutoff,
                 float(cutoff_error), number * centres / neighbours)  # fmt: skip


def _first_maximum(name: str, found: Radial) -> tuple[int, int, slice, slice]:
    """Places of the first and the next maximum, and of the first's top above TOP and NARROW. Raises UserError: no clear shell."""
    width = SMOOTH / (found.r[1] - found.r[0])
    smooth = gaussian_filter1d(found.g, width, mode="constant")
    places, seen = find_peaks(smooth, prominence=STANDS_OUT)
    rows = gaussian_filter1d(found.rows, width, axis=1, mode="constant")
    heights = zip(places, seen["prominences"], strict=True)
    peaks = [int(place) for place, height in heights if height > SURE * mean_error(rows[:, place])]
    if len(peaks) < 2:
        told = "no maximum of g(r) stands out" if not peaks else "g(r) does not rise again after its first maximum"
        raise UserError(f"{name}: no clear first shell: {told} within {found.r[-1]:.1f} Å")
    first, second = peaks[:2]
    least = float(smooth[first:second].min() / smooth[first])
    if least > CLEAR:
        raise UserError(f"{name}: no clear first shell: g(r) falls to {least:.0%} of its first maximum only")
    return first, second, _above(smooth, first, TOP), _above(smooth, first, NARROW)


def _above(smooth: np.ndarray, first: int, share: float) -> slice:
    """Places about a maximum that exceed a share of it."""
    above = smooth > share * smooth[first]
    return slice(first - int(np.argmin(above[first::-1])) + 1, first + int(np.argmin(above[first:])))


def _summit(r: np.ndarray, g: np.ndarray, counts: np.ndarray, part: slice, top: int) -> float:
    """Where a cubic fitted to ln g over `part` is highest, Å; the mean distance there where too few intervals hold pairs."""
    filled = np.flatnonzero(counts[part] > 0) + part.start
    if len(filled) < 6:
        return float(np.average(r[part], weights=counts[part]))
    middle = r[top]
    fit = np.polyfit(r[filled] - middle, np.log(g[filled]), 3, w=np.sqrt(counts[filled]))
    slope = np.polyder(fit)
    turns = np.roots(slope)
    turns = turns[np.isreal(turns)].real
    highest = turns[np.polyval(np.polyder(slope), turns) < 0]
    inside = highest[(middle + highest > r[part][0]) & (middle + highest < r[part][-1])]
    return float(middle + inside[0]) if len(inside) else float(np.average(r[part], weights=counts[part]))


def _cutoff(r: np.ndarray, g: np.ndarray, top: int, second: int) -> float:
    """Middle (Å) of the stretch between two maxima in which g, smoothed, exceeds its least by no more than FLAT of the first."""
    smooth = gaussian_filter1d(g, 2 * SMOOTH / (r[1] - r[0]), mode="constant")[top : second + 1]
    least, rise = int(np.argmin(smooth)), min(FLAT * smooth[0], (smooth[-1] - smooth.min()) / 2)
    limit = float(smooth.min() + rise)
    after = least + int(np.argmax(smooth[least:] > limit))
    before = least - int(np.argmax(smooth[least::-1] > limit))
    ends = [np.interp(limit, smooth[[inner, outer]], r[top + np.array([inner, outer])])
            for inner, outer in ((after - 1, after), (before + 1, before))]  # fmt: skip
    return float(np.mean(ends))


def _within(r: np.ndarray, counts: np.ndarray, cutoff: float) -> float:
    """Neighbours nearer than a distance."""
    edges = np.append(r - (r[1] - r[0]) / 2, r[-1] + (r[1] - r[0]) / 2)
    return float(np.interp(cutoff, edges, np.append(0.0, np.cumsum(counts))))


def shell_records(one: Shell, material: str, conditions: Mapping[str, Any], source: Mapping[str, Any]) -> list[Property]:
    """Records of a shell: "nearest_neighbour_distance" (m) and "coordination_number", conditions["pair"] centre-neighbour."""
    where = {**conditions, "pair": "-".join(one.pair)}
    told = {**source, "method": f"first maximum of g(r); error: {HOW}"}
    more = {**source, "method": f"neighbours up to the first minimum of g(r); error: {HOW}", "cutoff_A": round(one.cutoff, 3),
            "about_the_other": round(one.other, 4)}  # fmt: skip
    return [
        Property(material, "nearest_neighbour_distance", length_to_si(one.distance), "m", stderr=length_to_si(one.distance_error),
                 conditions=where, source=told),
        Property(material, "coordination_number", one.number, "1", stderr=one.number_error, conditions=where, source=more),
    ]  # fmt: skip

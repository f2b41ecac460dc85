"""Radial distribution and powder diffraction of a frame or a slice of it, averaged over frames, with errors of correlated frames.

Both atoms of a pair lie in the slice, between two planes h apart. A shell of radius r about an atom there has on average the
share γ(r) = 1 - r/2h (r < h), h/2r (beyond) of its area in the slice; what is counted is divided by it, or it by what is
expected, so that g = 1 means no order in a slice, too.

Powder pattern by the Debye sum with the mean density taken off,

    I(q) = Σ_a x_a f_a² + Σ_ab x_a f_a f_b ρ_b ∫_0^R 4π r² γ(r) [g_ab(r) - 1] sin(q r)/(q r) w(r) dr,  w = sin(π r/R)/(π r/R),

with the form factors f(q) of neutral atoms (pymatgen's table). Peaks stand at the angles of Bragg's law, 2 d sin θ = λ, and are
about 2π·1.2/R wide in q by the window w (Lorch, J. Phys. C 2, 229 (1969), memory), which is no grain size. The sum is an
average over all orientations, so that of the factors of a powder diffractometer only polarisation, 1 + cos² 2θ, is missing.

Sources: Debye, Ann. Phys. 351, 809 (1915) (memory). For an ideal crystal pymatgen's XRDCalculator gives the lines themselves.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.data import chemical_symbols

from atomistic.correlated import mean_error
from coupling.errors import UserError
from coupling.record import Property

LORCH = 1.2 * 2 * np.pi / (8 * np.log(2)) ** 0.5
"""Standard deviation in q of the line that the window makes, times R: its width at half height is 2π·1.2/R, taken as Gaussian."""
MOST_PAIRS = 3e8
"""Pairs of atoms in one frame whose list still fits memory (12 GB)."""
COPPER = 1.54184
"""Mean wavelength of Cu Kα, Å."""
STEP = 0.01
"""Distance of the points of a pattern's pair histogram, Å; a pair counts at the two beside it, which keeps its distance."""
SHORTER = (1.25, 1.5, 1.75, 2.0)
"""Squares of R over the shorter cutoffs with which peaks are looked for again."""
SETTLED = 0.75
"""Share of the width of the window (standard deviation) by which a line may move to the shortest of them."""


@dataclass(frozen=True)
class Slice:
    """Part of a cell between two depths (Å) along a cell vector, or all of it (low, high None)."""

    axis: int = 2
    low: float | None = None
    high: float | None = None

    def reach(self, r: np.ndarray) -> np.ndarray:
        """Share γ(r) of a shell about an atom of the slice that lies in the slice, mean over the atoms."""
        if self.low is None or self.high is None:
            return np.ones_like(r)
        thick = self.high - self.low
        return np.asarray(np.where(r < thick, 1 - r / (2 * thick), thick / (2 * np.maximum(r, 1e-12))))

    def holds(self, frame: Atoms) -> tuple[np.ndarray, float]:
        """Which atoms (n,) lie in it, and its volume, Å³.

        Raises:
            UserError: no three-dimensional cell, or depths outside it.
        """
        if frame.cell.rank < 3:
            raise UserError("the frame has no three-dimensional cell; a density needs a volume")
        whole = float(frame.get_volume())
        if self.low is None or self.high is None:
            return np.ones(len(frame), dtype=bool), whole
        height = whole / float(np.linalg.norm(np.cross(*np.delete(frame.cell.array, self.axis, axis=0))))
        if not 0 <= self.low < self.high <= height + 1e-9:
            raise UserError(f"slice {self.low:g} … {self.high:g} Å: two rising depths between 0 and {height:.2f} Å are needed")
        depth = frame.get_scaled_positions(wrap=True)[:, self.axis] * height
        return (depth >= self.low) & (depth < self.high), whole * (self.high - self.low) / height


@dataclass(frozen=True)
class Radial:
    """Pair distribution: r (bins,) Å, g (bins,) and its error (bins,) or None, mean number of neighbours up to r (bins,).

    `rows`: g of each frame (frames, bins). `counts`: neighbours of a centre in each interval of r (frames, bins).
    """

    r: np.ndarray
    g: np.ndarray
    stderr: np.ndarray | None
    coordination: np.ndarray
    rows: np.ndarray
    counts: np.ndarray


def radial(
    frames: Sequence[Atoms], first: str, second: str, part: Slice | None = None, r_max: float = 8.0, bins: int = 160
) -> Radial:
    """Pair distribution of two species in a slice. Raises UserError as `distributions`."""
    return distributions(frames, [(first, second)], part, r_max, bins)[first, second]


def distributions(
    frames: Sequence[Atoms], pairs: Sequence[tuple[str, str]], part: Slice | None = None, r_max: float = 8.0, bins: int = 160
) -> dict[tuple[str, str], Radial]:
    """Pair distributions of some pairs of species (centre, neighbour) in a slice, by one list of neighbours a frame.

    Raises:
        UserError: no frame, a species that the slice does not hold in every frame, or a radius that is not positive.
    """
    from matscipy.neighbours import neighbour_list

    part = part or Slice()
    if not frames or not (r_max > 0 and bins >= 2):
        raise UserError("rdf: at least one frame, a positive radius and two bins are needed")
    require_countable(frames[0], r_max, "rdf")
    edges = np.linspace(0.0, r_max, bins + 1)
    r, shells = (edges[1:] + edges[:-1]) / 2, 4 / 3 * np.pi * np.diff(edges**3)
    shells = shells * part.reach(r)
    counts, rows = np.zeros((2, len(pairs), len(frames), bins))
    for number, frame in enumerate(frames):
        inside, volume = part.holds(frame)
        symbols = np.array(frame.get_chemical_symbols())
        i, j, distances = neighbour_list("ijd", frame, float(r_max))
        for place, (first, second) in enumerate(pairs):
            centres, partners = inside & (symbols == first), inside & (symbols == second)
            others = int(partners.sum()) - (first == second)
            if missing := first if not centres.any() else second if others < 1 else "":
                raise UserError(f"rdf: frame {number}: too few {missing} in the slice, which holds {_held(symbols[inside])}")
            counts[place, number] = np.histogram(distances[centres[i] & partners[j]], edges)[0] / centres.sum()
            rows[place, number] = counts[place, number] * volume / others / shells
    return {pair: Radial(r, rows[n].mean(axis=0), _errors(rows[n]), np.cumsum(counts[n].mean(axis=0)), rows[n], counts[n])
            for n, pair in enumerate(pairs)}  # fmt: skip


def require_countable(frame: Atoms, r_max: float, name: str) -> None:
    """Refuse a radius whose pairs no memory holds. Raises UserError with their number and the longest radius."""
    if not frame.pbc.any() or frame.cell.rank < 3:
        return
    density = len(frame) / frame.get_volume()
    pairs = len(frame) * density * 4 / 3 * np.pi * r_max**3
    if pairs > MOST_PAIRS:
        longest = (MOST_PAIRS / (len(frame) * density * 4 / 3 * np.pi)) ** (1 / 3)
        raise UserError(f"{name}: a largest distance of {r_max / 10:.3g} nm means {pairs:.1g} pairs of atoms in each frame, more "
                        f"than memory holds ({MOST_PAIRS:.0g}); for {len(frame)} atoms it may be up to "
                        f"{longest / 10:.3g} nm")  # fmt: skip


def _held(symbols: np.ndarray) -> str:
    return ", ".join(sorted(set(symbols.tolist()))) or "no atom"


def _errors(rows: np.ndarray) -> np.ndarray | None:
    """Standard errors (n,) of the means of correlated rows (frames, n), `correlated.mean_error`; None below five frames."""
    return np.array([mean_error(column) for column in rows.T]) if len(rows) >= 5 else None


def _blocks(rows: np.ndarray) -> np.ndarray | None:
    """Means of rows (frames, …) over each of up to ten blocks; None below five frames."""
    if len(rows) < 5:
        return None
    return np.array([part.mean(axis=0) for part in np.array_split(rows, 5 if len(rows) < 50 else 10)])


@dataclass(frozen=True)
class Pattern:
    """Powder pattern: 2θ (n,) in degrees, intensity per atom (n,), its standard error (n,) or None, wavelength and R in Å.

    `shorter`: intensities with the shorter cutoffs R/√f, f of SHORTER (4, n). `blocks`: of each block of frames (b, n), or None.
    """

    angles: np.ndarray
    intensity: np.ndarray
    stderr: np.ndarray | None
    wavelength: float
    r_max: float
    shorter: np.ndarray
    blocks: np.ndarray | None

    def broadening(self, angle: float) -> float:
        """Standard deviation in 2θ, degrees, of a line at `angle` from the end R of the sum: λ LORCH/(2π R cos θ)."""
        return float(np.degrees(self.wavelength * LORCH / (2 * np.pi * self.r_max * np.cos(np.radians(angle) / 2))))

    def peaks(self, share: float = 0.05) -> np.ndarray:
        """Angles 2θ (k,) of the maxima that stand out by more than `share` of the highest one, refined by a parabola."""
        return _maxima(self.angles, self.intensity, share)

    def shift(self, angle: float) -> float | None:
        """How far (degrees) the end R of the sum moves the peak at `angle`; None where it is lost on the way to R/√2.

        Form factors and neighbouring lines shift a maximum by c/R², from R to R/√f by c (f - 1)/R²: the largest |shift|/(f - 1)
        of f = 1.5, 1.75 and 2, the peak followed from cutoff to cutoff by steps below half the width of the window.
        """
        place, found = angle, []
        for square, row in zip(SHORTER, self.shorter, strict=True):
            near = _maxima(self.angles, row, 0.01)
            if not len(near) or np.abs(near - place).min() > self.broadening(angle) / 2:
                return None
            place = float(near[np.abs(near - place).argmin()])
            found.append(abs(place - angle) / (square - 1))
        return max(found[1:])

    def scatter(self, angle: float) -> float:
        """Standard error (degrees) of the peak at `angle` from its places in the blocks, which may be correlated; 0 without."""
        if self.blocks is None:
            return 0.0
        rows = [_maxima(self.angles, row, 0.01) for row in self.blocks]
        places = [float(near[np.abs(near - angle).argmin()]) if len(near) else angle + self.broadening(angle) for near in rows]
        return mean_error(np.array(places))


def _maxima(angles: np.ndarray, intensity: np.ndarray, share: float) -> np.ndarray:
    """Angles of the maxima that stand out by more than `share` of the highest one, refined by a parabola."""
    from scipy.signal import find_peaks

    found, _ = find_peaks(intensity, prominence=share * float(intensity.max()))
    y0, y1, y2 = (intensity[found + shift] for shift in (-1, 0, 1))
    step = angles[1] - angles[0]
    return np.asarray(angles[found] + step * (y0 - y2) / (2 * (y0 - 2 * y1 + y2)))


def powder(
    frames: Sequence[Atoms],
    part: Slice | None = None,
    wavelength: float = COPPER,
    angles: tuple[float, float] = (10.0, 80.0),
    r_max: float = 25.0,
    points: int = 1401,
) -> Pattern:
    """Powder diffraction pattern of a slice.

    Args:
        frames: of the same atoms. part: slice. wavelength: Å.
        angles: first and last 2θ, degrees. r_max: R, Å; in a periodic cell images beyond the cell count, so that order across
            it is that of the cell. points: of the pattern.

    Raises:
        UserError: no frame, an empty slice, an element without a form factor, angles or radius that make no sense.
    """
    part = part or Slice()
    if not frames:
        raise UserError("diffraction: no frame")
    if not (0 < angles[0] < angles[1] < 180 and wavelength > 0 and r_max > 2 and points >= 10):
        raise UserError("diffraction: two rising angles between 0 and 180 degrees, a positive wavelength, a radius above 2 Å")
    require_countable(frames[0], r_max, "diffraction")
    two_theta = np.linspace(*angles, points)
    half = np.radians(two_theta) / 2
    q = 4 * np.pi * np.sin(half) / wavelength
    found = np.array([_debye(frame, part, q, r_max) for frame in frames]) * (1 + np.cos(2 * half) ** 2)
    rows, shorter = found[:, 0], found[:, 1:].mean(axis=0)
    return Pattern(two_theta, rows.mean(axis=0), _errors(rows), wavelength, r_max, shorter, _blocks(rows))


def _debye(frame: Atoms, part: Slice, q: np.ndarray, r_max: float) -> np.ndarray:
    """I(q) (5, n) of one frame, with the cutoff R and with the shorter ones."""
    from matscipy.neighbours import neighbour_list

    inside, volume = part.holds(frame)
    if not inside.any():
        raise UserError("diffraction: no atom in the slice")
    edges = np.arange(0.0, r_max + STEP / 2, STEP)
    r, shells = (edges[1:] + edges[:-1]) / 2, 4 / 3 * np.pi * np.diff(edges**3)
    ends = edges[-1] / np.sqrt([1.0, *SHORTER])[:, None]
    windows = np.where(r < ends, np.sinc(r / ends), 0.0)
    kernel = np.sinc(np.outer(q, r) / np.pi)
    first, second, distances = neighbour_list("ijd", frame, float(edges[-1]))
    kinds = sorted({int(z) for z in frame.numbers[inside]})
    factors = {z: form_factor(z, q / (4 * np.pi)) for z in kinds}
    total = np.zeros((len(ends), len(q)))
    for a in kinds:
        centres = inside & (frame.numbers == a)
        share = centres.sum() / inside.sum()
        total += share * factors[a] ** 2
        for b in kinds:
            partners = inside & (frame.numbers == b)
            pairs = _shared(distances[centres[first] & partners[second]], len(r)) / centres.sum()
            expected = partners.sum() / volume * shells * part.reach(r)
            total += share * factors[a] * factors[b] * ((windows * (pairs - expected)) @ kernel.T)
    return total


def _shared(distances: np.ndarray, points: int) -> np.ndarray:
    """Pairs counted at the points (k + 1/2) STEP, each shared by the two beside it (points,)."""
    place = np.maximum(distances / STEP - 0.5, 0.0)
    low = np.minimum(place.astype(int), points - 1)
    above = np.minimum(low + 1, points - 1)
    rest = place - low
    return np.asarray(np.bincount(low, 1 - rest, points) + np.bincount(above, rest, points))


def form_factor(number: int, s: np.ndarray) -> np.ndarray:
    """Form factor f (n,) of a neutral atom at s = sin θ/λ (n,), 1/Å, as pymatgen's XRDCalculator takes it.

    f = Z - 41.78214 s² Σ_k a_k exp(-b_k s²)

    Raises:
        UserError: no coefficients for the element.
    """
    symbol = chemical_symbols[number]
    table = _coefficients()
    if symbol not in table:
        raise UserError(f"diffraction: no form factor is known for {symbol}")
    a, b = np.array(table[symbol]).T
    return np.asarray(number - 41.78214 * s**2 * (a * np.exp(-np.outer(s**2, b))).sum(axis=1))


@cache
def _coefficients() -> dict[str, Any]:
    """Coefficients (4, 2) of every element, from pymatgen."""
    import pymatgen.analysis.diffraction as home

    for folder in home.__path__:
        path = Path(folder) / "atomic_scattering_params.json"
        if path.is_file():
            return dict(json.loads(path.read_text(encoding="utf-8")))
    raise UserError("diffraction: pymatgen's atomic_scattering_params.json is not installed")


def peak_records(
    pattern: Pattern, material: str, conditions: Mapping[str, Any], source: Mapping[str, Any]
) -> list[Property]:
    """One record a peak: quantity "diffraction_angle", 2θ in degrees.

    The error is half the step of the pattern, the shift by the end R of the sum and the scatter between blocks of frames, added
    in squares. The shift is at least the median one of the pattern's lines: neighbours may hold a maximum in place by chance. A
    peak that is lost with shorter cutoffs, or moves by more than SETTLED of the window's width, may be a side lobe of the window
    or two lines in one: its error is then that width at least, its confidence low.
    """
    step, found = float(pattern.angles[1] - pattern.angles[0]), []
    angles = [float(angle) for angle in pattern.peaks()]
    widths, shifts = [pattern.broadening(angle) for angle in angles], [pattern.shift(angle) for angle in angles]
    settled = [shift is not None and shift < SETTLED * width for shift, width in zip(shifts, widths, strict=True)]
    least = float(np.median([shift for shift, good in zip(shifts, settled, strict=True) if good] or [0.0]))
    for angle, width, shift, good in zip(angles, widths, shifts, settled, strict=True):
        size = max(shift or 0.0, least if good else width)
        method = "Debye sum, Lorch window; error: shift from R to R/sqrt(2), scatter of the frames, half a step"
        if not good:
            method += "; it moves or merges as R is made shorter, as a side lobe or two lines in one do: take a longer R"
        told = {**source, "method": method, "r_max_A": pattern.r_max, "wavelength_A": pattern.wavelength}
        error = float(np.sqrt((step / 2) ** 2 + size**2 + pattern.scatter(angle) ** 2))
        found.append(Property(material, "diffraction_angle", angle, "degree", conditions=dict(conditions), source=told,
                              stderr=error, confidence="computed" if good else "low"))  # fmt: skip
    return found

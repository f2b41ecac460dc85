"""What a two-dimensional flux looks like inside: flux lines, spectrum against depth; what a hot spot is (NumPy).

Everything works on the triangles of `transport_cases.fields.gather`; depth is the second coordinate, the sides are mirrors.
In axial symmetry the first coordinate is the radius.
"""

from dataclasses import dataclass

import numpy as np
from matplotlib.tri import Triangulation
from scipy.fft import dct
from scipy.special import j0, jn_zeros

STEPS = 20_000
"""Most steps along one flux line."""
SAMPLES = 512
"""Points across the cell at which the spectrum is taken."""


@dataclass(frozen=True)
class FluxMap:
    """A flux, linear in each triangle.

    Attributes:
        points, triangles: as matplotlib has them, m.
        flux: at the corners of each triangle, shape (m, 3, 2).
    """

    points: np.ndarray
    triangles: np.ndarray
    flux: np.ndarray

    @classmethod
    def of(cls, corners: np.ndarray, flux: np.ndarray) -> "FluxMap":
        """From the corners (m, 3, 2) of triangles and the flux there."""
        points, index = np.unique(corners.reshape(-1, 2), axis=0, return_inverse=True)
        return cls(points, index.reshape(-1, 3), flux)

    def __post_init__(self) -> None:
        """Prepare the search of the triangle that holds a point."""
        object.__setattr__(self, "_finder", Triangulation(self.points[:, 0], self.points[:, 1], self.triangles).get_trifinder())

    def at(self, places: np.ndarray) -> np.ndarray:
        """Flux at points (n, 2); NaN outside."""
        found = self._finder(*places.T)  # type: ignore[attr-defined]
        a, b, c = np.moveaxis(self.points[self.triangles[found]], 1, 0)
        area = _cross(b - a, c - a)
        share = np.stack([_cross(b - places, c - places), _cross(c - places, a - places), _cross(a - places, b - places)], axis=1)
        values = np.einsum("nk,nkd->nd", share / area[:, None], self.flux[found])
        return np.where((found >= 0)[:, None], values, np.nan)

    def size(self, places: np.ndarray) -> np.ndarray:
        """Length of the triangles that hold points, m, shape (n,)."""
        found = self._finder(*places.T)  # type: ignore[attr-defined]
        a, b, c = np.moveaxis(self.points[self.triangles[found]], 1, 0)
        return np.sqrt(np.abs(_cross(b - a, c - a)))

    def lines(self, starts: np.ndarray, bottom: float) -> list[np.ndarray]:
        """Flux lines from points (n, 2) towards greater depth, until `bottom` (m) or the side; each (k, 2), m.

        Runge's midpoint rule with steps of half a triangle.
        """
        mean = np.nanmean(self.at(starts)[:, 1])
        sign = 1.0 if mean >= 0 else -1.0
        here, alive = starts.astype(float).copy(), np.ones(len(starts), dtype=bool)
        paths = [[point.copy()] for point in here]
        for _ in range(STEPS):
            active = np.flatnonzero(alive)
            if not len(active):
                break
            place = here[active]
            step = 0.5 * self.size(place)[:, None]
            middle = place + 0.5 * step * self._along(place, sign)
            move = self._along(np.where(np.isfinite(middle), middle, place), sign)
            onward = place + step * np.where(np.isfinite(move), move, self._along(place, sign))
            over = onward[:, 1] > bottom
            share = np.where(over, (bottom - place[:, 1]) / np.maximum(onward[:, 1] - place[:, 1], 1e-300), 1.0)
            onward = place + share[:, None] * (onward - place)
            gone = ~np.isfinite(onward).all(axis=1) | (self._finder(*onward.T) < 0)  # type: ignore[attr-defined]
            for k, point, lost in zip(active, onward, gone, strict=True):
                if not lost or point[1] >= bottom:
                    paths[k].append(point.copy())
            here[active] = onward
            alive[active] = ~(gone | over)
        return [np.array(path) for path in paths]

    def _along(self, places: np.ndarray, sign: float) -> np.ndarray:
        flux = self.at(places)
        return sign * flux / np.maximum(np.linalg.norm(flux, axis=1, keepdims=True), 1e-300)

    def spectrum(self, depth: float, width: float, left: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
        """Amplitudes of the flux through a level over its mean: wavelengths (m) and amplitudes of the cosines, from k = 1.

        The sides (from `left`, m, on) are mirrors, so that the flux is Σ a_k cos(π k x/width) with wavelengths 2 width/k. Where
        there is no mesh the flux is zero.
        """
        x = left + (np.arange(SAMPLES) + 0.5) * width / SAMPLES
        through = np.nan_to_num(self.at(np.column_stack([x, np.full(SAMPLES, depth)]))[:, 1])
        mean = through.mean()
        amplitude = dct(through / mean, type=2) / SAMPLES
        k = np.arange(1, SAMPLES // 4)
        return 2 * width / k, amplitude[1 : SAMPLES // 4]

    def radial_spectrum(self, depth: float, radius: float) -> tuple[np.ndarray, np.ndarray]:
        """The same in axial symmetry, where the wall at `radius` R (m) is a mirror: wavelengths 2πR/λ_k and amplitudes.

        The flux over its mean is 1 + Σ a_k b_k with b_k = J₀(λ_k r/R)/(√2 |J₀(λ_k)|), J₁(λ_k) = 0 (Dini's series); like a cosine,
        b_k has the mean square 1/2 over the section.
        """
        share = (np.arange(SAMPLES) + 0.5) / SAMPLES
        through = np.nan_to_num(self.at(np.column_stack([share * radius, np.full(SAMPLES, depth)]))[:, 1])
        area = 2 * share / SAMPLES
        λ = jn_zeros(1, SAMPLES // 8)
        shapes = j0(np.outer(λ, share)) / (np.sqrt(2) * np.abs(j0(λ)))[:, None]
        return 2 * np.pi * radius / λ, 2 * shapes @ (area * through) / float(area @ through)


def _cross(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return u[..., 0] * v[..., 1] - u[..., 1] * v[..., 0]


def length(path: np.ndarray) -> float:
    """Length of a polyline (k, 2)."""
    return float(np.linalg.norm(np.diff(path, axis=0), axis=1).sum())


def even_starts(pieces: np.ndarray, count: int) -> np.ndarray:
    """Places along a face between which equal currents pass, each in the middle of its share; shape (count,), m.

    Args:
        pieces: of `TransportMeter.face`: size, current, x, …, sorted by x.
        count: of places.
    """
    total = np.concatenate([[0.0], np.cumsum(np.abs(pieces[:, 1]))])
    edges = np.concatenate([[pieces[0, 2] - pieces[0, 0] / 2], pieces[:, 2] + pieces[:, 0] / 2])
    return np.interp((np.arange(count) + 0.5) / count * total[-1], total, edges)


@dataclass(frozen=True)
class HotSpot:
    """The flux in one grain, boundary or layer, over the mean of the cell.

    Attributes:
        kind: "grain", "boundary", or the name of another region.
        name: of the grain ("7") or of the grains that a boundary lies between ("3-7"); empty for a layer.
        largest, mean: of the size of the flux (mean over each triangle).
        place: of the largest, m; the depth last.
        area: m² (m³ in a solid cell).
    """

    kind: str
    name: str
    largest: float
    mean: float
    place: tuple[float, ...]
    area: float


def neighbours(centres: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Names "a-b" of the two grains nearest to points (n, 2), by the grains' centres (g, 2)."""
    distance = np.linalg.norm(places[:, None] - centres[None], axis=2)
    pair = np.sort(np.argsort(distance, axis=1)[:, :2], axis=1)
    return np.array([f"{a}-{b}" for a, b in pair])

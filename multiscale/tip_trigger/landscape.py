"""What lies under a tip at each point of a map: grain or boundary, its toughness, the resistance on the way (pure NumPy)."""

from dataclasses import dataclass

import numpy as np
from scipy.special import exp1

from coupling.errors import UserError
from meshes.voronoi import relaxed_seeds

FEWEST_GRAINS, MOST_PAIRS = 4, 4e7
"""Grains of a map, at least, and grains times points, at most (they are held in memory)."""


@dataclass(frozen=True)
class Surface:
    """The surface of a polycrystal, sampled; arrays of shape (points²,) in rows of y.

    Attributes:
        x, y: places of the tip, m.
        grain, neighbour: numbers of the grain under its centre and of the one across the nearest boundary.
        distance: to that boundary, m.
        seeds: of the grains, shape (n, 2), m.
    """

    x: np.ndarray
    y: np.ndarray
    grain: np.ndarray
    neighbour: np.ndarray
    distance: np.ndarray
    seeds: np.ndarray

    def on_boundary(self, reach: float) -> np.ndarray:
        """Whether a contact of radius `reach` (m) touches the boundary."""
        return self.distance <= reach


def sampled_surface(width: float, grain_size: float, points: int, seed: int) -> Surface:
    """Seeded Voronoi grains in a square of side `width`, seen from points² places in the middles of equal squares.

    Boundaries stand upright below the surface. The distance to the boundary between seeds s and s' is
    (|x - s'|² - |x - s|²)/(2|s' - s|), the smallest over s' counts.

    Raises:
        UserError: fewer than FEWEST_GRAINS grains, or too many for the points.
    """
    if round((width / grain_size) ** 2) < FEWEST_GRAINS:
        raise UserError(f"the map holds fewer than {FEWEST_GRAINS} grains; make it wider or the grains smaller")
    if (width / grain_size) ** 2 * points**2 > MOST_PAIRS:
        told = f"more than {MOST_PAIRS:.0e} pairs of a grain and a point"
        raise UserError(f"{told}; make it narrower, the grains larger or map.points fewer")
    seeds = relaxed_seeds((0.0, 0.0, width, width), grain_size, seed)
    line = (np.arange(points) + 0.5) * width / points
    x, y = (grid.ravel() for grid in np.meshgrid(line, line))
    squared = (x[:, None] - seeds[:, 0]) ** 2 + (y[:, None] - seeds[:, 1]) ** 2
    grain = np.argmin(squared, axis=1)
    own = squared[np.arange(len(x)), grain]
    between = np.linalg.norm(seeds[:, None] - seeds[None], axis=2)[grain]
    with np.errstate(divide="ignore", invalid="ignore"):
        distance = np.where(between > 0, (squared - own[:, None]) / (2 * between), np.inf)
    neighbour = np.argmin(distance, axis=1)
    return Surface(x, y, grain, neighbour, distance[np.arange(len(x)), neighbour], seeds)


def toughness_map(surface: Surface, reach: float, toughness: float, ratio: float, spread: float, seed: int) -> np.ndarray:
    """Toughness under the tip, Pa m^½, shape (points²,).

    Each grain has its own factor and each boundary (pair of grains) its own, log-normal with median 1 and the standard
    deviation `spread` of the logarithm; a contact that touches a boundary finds the boundary's, `ratio` times the grain's
    material. The draws depend on `seed` and the grains alone, not on the points of the map.
    """
    count = len(surface.seeds)
    rng = np.random.default_rng([seed, 1])
    grains = np.exp(spread * rng.standard_normal(count))
    pairs = np.exp(spread * rng.standard_normal((count, count)))
    low, high = np.minimum(surface.grain, surface.neighbour), np.maximum(surface.grain, surface.neighbour)
    return toughness * np.where(surface.on_boundary(reach), ratio * pairs[low, high], grains[surface.grain])


def spreading_resistance(radius: float, conductivity: float) -> float:
    """Resistance of a half space to a hemisphere of radius a on it, ohm: 1/(2πκa) (Maxwell; exact, and the current is even)."""
    return 1 / (2 * np.pi * conductivity * radius)


def boundary_resistance(distance: np.ndarray, conductivity: float, sheet: float) -> np.ndarray:
    """What an upright boundary at a distance d adds to the resistance of a point contact on a half space, ohm.

    The sheet of resistance r (ohm m², beyond that of the grain it replaces) reflects the part κrk/(2 + κrk) of each wave
    number k of the field, so with s = 2/(κr)

    ΔR = 1/(2πκ) ∫ κrk/(2 + κrk) e^(-2kd) dk = 1/(2πκ) [1/(2d) - s e^(2sd) E₁(2sd)].

    Limits: nothing for r → 0; 1/(4πκd), the image of an insulating wall, for r → ∞. For d above the radius of the contact.
    """
    if sheet <= 0:
        return np.zeros_like(np.asarray(distance, dtype=float))
    s = 2 / (conductivity * sheet)
    z = 2 * s * np.asarray(distance, dtype=float)
    near, far = np.minimum(z, 50.0), np.maximum(z, 50.0)
    exact = 1 / near - np.exp(near) * exp1(near)
    series = (1 - 2 / far + 6 / far**2 - 24 / far**3) / far**2
    return s * np.where(z < 50, exact, series) / (2 * np.pi * conductivity)

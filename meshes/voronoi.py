"""Seeded Voronoi grains in a rectangle, as convex polygons shrunk by half a boundary width (pure NumPy)."""

from collections.abc import Sequence

import numpy as np

Box = tuple[float, float, float, float]
"""(x_min, y_min, x_max, y_max), m."""


def rectangle(box: Box) -> np.ndarray:
    """Corners of the box, counter-clockwise, shape (4, 2)."""
    x0, y0, x1, y1 = box
    return np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]])


def clip(polygon: np.ndarray, normal: np.ndarray, offset: float) -> np.ndarray:
    """Part of a convex polygon, shape (n, 2), where normal·x ≤ offset; shape (0, 2) if nothing is left."""
    excess = polygon @ normal - offset
    kept = []
    for k, (point, value) in enumerate(zip(polygon, excess, strict=True)):
        previous, before = polygon[k - 1], excess[k - 1]
        if (value > 0) != (before > 0):
            kept.append(previous + (point - previous) * (before / (before - value)))
        if value <= 0:
            kept.append(point)
    return np.array(kept).reshape(-1, 2)


def cell(seeds: np.ndarray, index: int, box: Box, gap: float = 0.0, weights: np.ndarray | None = None) -> np.ndarray:
    """Voronoi cell of one seed in the box, shape (n, 2), moved inwards by gap/2 at its neighbours, not at the walls.

    `weights` (n,), m², make it the cell of a power diagram (`meshes.laguerre`).
    """
    if weights is not None:
        return _heavy_cell(seeds, index, box, gap, weights)
    centre = seeds[index]
    polygon = rectangle(box)
    distance = np.linalg.norm(seeds - centre, axis=1)
    for other in np.argsort(distance, kind="stable")[1:]:
        reach = np.linalg.norm(polygon - centre, axis=1).max(initial=0.0)
        if len(polygon) == 0 or distance[other] > 2 * reach:
            break
        normal = (seeds[other] - centre) / distance[other]
        polygon = clip(polygon, normal, normal @ (seeds[other] + centre) / 2 - gap / 2)
    return polygon


def _heavy_cell(seeds: np.ndarray, index: int, box: Box, gap: float, weights: np.ndarray) -> np.ndarray:
    """Cell of a power diagram: all neighbours cut, since a heavy one may lie far away."""
    polygon, centre = rectangle(box), seeds[index]
    distance = np.linalg.norm(seeds - centre, axis=1)
    for other in np.argsort(distance, kind="stable")[1:]:
        normal = (seeds[other] - centre) / distance[other]
        more = (weights[index] - weights[other]) / (2 * distance[other])
        polygon = clip(polygon, normal, normal @ (seeds[other] + centre) / 2 + more - gap / 2)
        if len(polygon) == 0:
            break
    return polygon


def area(polygon: np.ndarray) -> float:
    """Area of a polygon, m²."""
    x, y = polygon.T
    return 0.5 * float(np.sum(x * np.roll(y, -1) - y * np.roll(x, -1)))


def centroid(polygon: np.ndarray) -> np.ndarray:
    """Centre of area of a polygon, shape (2,)."""
    x, y = polygon.T
    cross = x * np.roll(y, -1) - y * np.roll(x, -1)
    return np.array([np.sum((x + np.roll(x, -1)) * cross), np.sum((y + np.roll(y, -1)) * cross)]) / (3 * np.sum(cross))


def without_short_edges(polygon: np.ndarray, shortest: float, box: Box) -> np.ndarray:
    """The polygon with edges below `shortest` contracted; points on a wall stay on it, so no sliver opens there.

    A contracted convex polygon lies inside the old one, so grains never overlap.
    """
    points = [np.array(p) for p in polygon]
    while len(points) > 3:
        lengths = [float(np.linalg.norm(points[k] - points[k - 1])) for k in range(len(points))]
        k = int(np.argmin(lengths))
        if lengths[k] >= shortest:
            break
        walls = [_walls(points[k - 1], box), _walls(points[k], box)]
        merged = (points[k - 1] + points[k]) / 2
        if walls[0] != walls[1]:
            merged = points[k - 1] if walls[0] > walls[1] else points[k]
        points[k - 1] = merged
        del points[k]
    return np.array(points)


def _walls(point: np.ndarray, box: Box) -> int:
    """How many walls of the box the point lies on."""
    x0, y0, x1, y1 = box
    tolerance = 1e-9 * max(x1 - x0, y1 - y0)
    x, y = point
    return int(min(abs(x - x0), abs(x - x1)) < tolerance) + int(min(abs(y - y0), abs(y - y1)) < tolerance)


def relaxed_seeds(
    box: Box, grain_size: float, seed: int, fixed: Sequence[Sequence[float]] = (), iterations: int = 3
) -> np.ndarray:
    """Reproducible seeds, area/grain_size² of them: random, then moved to the centroids of their cells a few times.

    Args:
        box: rectangle that the grains fill, m.
        grain_size: square root of the mean grain area, m.
        seed: of the random numbers; the same seed gives the same seeds.
        fixed: points that are seeds and do not move, each (x, y).
        iterations: of Lloyd's relaxation (0 gives a Poisson–Voronoi structure, more gives more even grains).

    Returns:
        Seeds, shape (n, 2), the fixed ones first.
    """
    x0, y0, x1, y1 = box
    held = np.array(fixed, dtype=float).reshape(-1, 2)
    count = max(round((x1 - x0) * (y1 - y0) / grain_size**2), len(held), 1)
    rng = np.random.default_rng(seed)
    free = rng.uniform((x0, y0), (x1, y1), (count - len(held), 2))
    seeds = np.vstack([held, free])
    for _ in range(iterations):
        cells = [cell(seeds, k, box) for k in range(len(seeds))]
        seeds = np.vstack([held, *(centroid(c)[None] for c in cells[len(held) :])])
    return seeds


def cleared(seeds: np.ndarray, centre: Sequence[float], radius: float, keep: int) -> np.ndarray:
    """The seeds without those inside a circle, except the first `keep`: its centre then belongs to the kept ones."""
    inside = np.linalg.norm(seeds - np.asarray(centre), axis=1) < radius
    inside[:keep] = False
    return seeds[~inside]

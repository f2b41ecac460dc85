"""Grains of log-normal sizes: a power (Laguerre) diagram in a box, its cells of the areas or volumes drawn for them.

The cell of seed s_i with weight w_i holds the points x where |x - s_i|² - w_i is least. For any seeds there are weights, one set
but for a constant, that give every cell the size asked for (Aurenhammer, Hoffmann, Aronov, Algorithmica 20, 61 (1998)); damped
Newton steps find them (Kitagawa, Mérigot, Thibert, J. Eur. Math. Soc. 21, 2603 (2019)). Seeds then move to the centres of their
cells, so that grains are compact (Bourne, Kok, Roper, Spanjer, Philos. Mag. 100, 2677 (2020)). In two and three dimensions.
"""

import functools
from collections import defaultdict
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from coupling.errors import RunFailure, UserError

WIDEST = 0.5
"""Largest spread: at twice it the smallest of a hundred grains would be a hundred times thinner than the largest."""
RELAXATIONS = 6
"""Times that seeds move to the centres of their grains."""
CLOSE, LOOSE = 1e-7, 0.3
"""Largest error of a size over itself, at the end and while seeds still move."""
MOST_STEPS = 100
"""Newton steps for one set of weights."""


@dataclass(frozen=True)
class Diagram:
    """A power diagram in a box, its walls faces between a seed and its mirror image.

    Attributes:
        corners: of cells, shape (m, d); neighbours share theirs, and some stand there twice.
        faces: numbers of the corners of each face, in order around it, by the pair of seeds (numbered as `images`) that it parts.
        size: area or volume of each cell, shape (n,).
        centre: of each cell, shape (n, d).
        share: of each pair of seeds (i < j < n): face area over twice their distance, which is how i's size grows with w_i - w_j.
    """

    corners: np.ndarray
    faces: dict[tuple[int, int], list[int]]
    size: np.ndarray
    centre: np.ndarray
    share: dict[tuple[int, int], float]


def require_spread(spread: float) -> None:
    """Refuse an impossible spread. Raises UserError naming the key."""
    if not 0 <= spread <= WIDEST:
        raise UserError(f"geometry.electrolyte.grain_size_spread: read {spread:g}; from 0 to {WIDEST:g}")


def images(points: np.ndarray, box: np.ndarray) -> np.ndarray:
    """The points, then their mirror images beyond each wall: low and high of x, y (and z). `box` is (low, high), shape (2, d)."""
    found = [points]
    for axis in range(points.shape[1]):
        for wall in box[:, axis]:
            image = points.copy()
            image[:, axis] = 2 * wall - image[:, axis]
            found.append(image)
    return np.concatenate(found)


def diagram(points: np.ndarray, weights: np.ndarray, box: np.ndarray) -> Diagram:
    """Cells of seeds (n, d) with weights (n,) in a box: the lower hull of the seeds lifted to |s|² - w, read as its dual."""
    from scipy.spatial import ConvexHull  # here: reading a case imports this file and needs no geometry yet

    count, d = points.shape
    places = images(points, box)
    heavy = np.tile(weights, 1 + 2 * d)
    middle, scale = box.mean(axis=0), float(np.ptp(box, axis=0).max())
    level = (places - middle) / scale
    lifted = np.column_stack([level, (level**2).sum(axis=1) - heavy / scale**2])
    hull = ConvexHull(lifted, qhull_options="Qt")
    below = hull.equations[:, d] < -1e-12
    simplices, planes = hull.simplices[below], hull.equations[below]
    corners = -planes[:, :d] / planes[:, d : d + 1] / 2 * scale + middle
    around: dict[tuple[int, int], list[int]] = defaultdict(list)
    for number, simplex in enumerate(np.sort(simplices, axis=1).tolist()):
        for pair in combinations(simplex, 2):
            if pair[0] < count:
                around[pair].append(number)
    return _measured(places, heavy, corners, around, count, scale)


def _measured(
    places: np.ndarray, heavy: np.ndarray, corners: np.ndarray, around: dict[tuple[int, int], list[int]], count: int, scale: float
) -> Diagram:
    """The diagram with its sizes: each cell is the sum of pyramids from its seed to its faces."""
    d = places.shape[1]
    faces, share = {}, {}
    size, moment = np.zeros(count), np.zeros((count, d))
    for (i, j), numbers in around.items():
        across = places[j] - places[i]
        distance = float(np.linalg.norm(across))
        ring, area, middle = _face(corners, numbers, across / distance)
        if area < 1e-12 * scale ** (d - 1):
            continue
        faces[i, j] = ring
        reach = (distance + (heavy[i] - heavy[j]) / distance) / 2
        for own, height in ((i, reach), (j, distance - reach)):
            if own < count:
                size[own] += area * height / d
                moment[own] += area * height / d * (places[own] + d / (d + 1) * (middle - places[own]))
        if j < count:
            share[i, j] = area / (2 * distance)
    return Diagram(corners, faces, size, moment / np.where(size > 0, size, 1.0)[:, None], share)


def _face(corners: np.ndarray, numbers: list[int], normal: np.ndarray) -> tuple[list[int], float, np.ndarray]:
    """Corners of a face in order around it, its length or area, and its centre."""
    places = corners[numbers]
    middle = places.mean(axis=0)
    if len(normal) == 2:
        along = places @ np.array([-normal[1], normal[0]])
        ends = int(np.argmin(along)), int(np.argmax(along))
        return [numbers[k] for k in ends], float(np.ptp(along)), places[list(ends)].mean(axis=0)
    first = np.cross(normal, np.eye(3)[int(np.argmin(np.abs(normal)))])
    second = np.cross(normal, first)
    order = np.argsort(np.arctan2((places - middle) @ second, (places - middle) @ first), kind="stable")
    ring = places[order]
    normals = np.cross(ring - middle, np.roll(ring, -1, axis=0) - middle)
    areas = np.linalg.norm(normals, axis=1) / 2
    total = float(areas.sum())
    centre = ((ring + np.roll(ring, -1, axis=0) + middle) / 3 * areas[:, None]).sum(axis=0) / total if total > 0 else middle
    return [numbers[k] for k in order], total, centre


def weights_for(points: np.ndarray, wanted: np.ndarray, box: np.ndarray, weights: np.ndarray, close: float) -> np.ndarray:
    """Weights that give the cells the sizes wanted, from a first guess (or from none, where that leaves a cell empty).

    Raises:
        RunFailure: no convergence.
    """
    found = diagram(points, weights, box)
    if found.size.min() < 0.01 * wanted.min():
        weights = np.zeros(len(points))
        found = diagram(points, weights, box)
    least = 0.5 * min(found.size.min(), wanted.min())
    for _ in range(MOST_STEPS):
        error = wanted - found.size
        if np.max(np.abs(error) / wanted) < close:
            return weights
        change = np.linalg.lstsq(_growth(found, len(points)), error, rcond=None)[0]
        damping = 1.0
        while damping > 1e-6:
            tried = diagram(points, weights + damping * change, box)
            if tried.size.min() > least and np.linalg.norm(wanted - tried.size) < (1 - damping / 2) * np.linalg.norm(error):
                break
            damping /= 2
        weights, found = weights + damping * change, tried
    told = "no grains of these sizes were found; change geometry.seed or lower it"
    raise RunFailure(f"geometry.electrolyte.grain_size_spread: {told}")


def _growth(found: Diagram, count: int) -> np.ndarray:
    """How sizes grow with weights, shape (n, n)."""
    matrix = np.zeros((count, count))
    for (i, j), value in found.share.items():
        matrix[i, i] += value
        matrix[j, j] += value
        matrix[i, j] -= value
        matrix[j, i] -= value
    return matrix


def drawn_diameters(count: int, spread: float, rng: np.random.Generator) -> np.ndarray:
    """Log-normal diameters over their median, in random order: one from each of `count` parts of equal probability."""
    from scipy.special import ndtri

    quantiles = (np.arange(count) + rng.uniform(size=count)) / count
    return np.exp(spread * ndtri(rng.permutation(quantiles)))


@functools.lru_cache(maxsize=8)
def grains(
    low: tuple[float, ...], high: tuple[float, ...], grain_size: float, spread: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Seeds (n, d), m, and weights (n,), m², of grains that fill a box. The same arguments give the same grains.

    Args:
        low, high: corners of the box, m.
        grain_size: square root of the mean area or cube root of the mean volume, m.
        spread: standard deviation of the logarithm of the equivalent diameter.
        seed: of the random numbers.
    """
    box = np.array([low, high])
    d, total = box.shape[1], float(np.prod(box[1] - box[0]))
    count = max(round(total / grain_size**d), 1)
    rng = np.random.default_rng(seed)
    points = rng.uniform(box[0], box[1], (count, d))
    wanted = drawn_diameters(count, spread, rng) ** d
    wanted *= total / wanted.sum()
    weights = np.zeros(count)
    for _ in range(RELAXATIONS if count > 1 else 0):
        weights = weights_for(points, wanted, box, weights, LOOSE)
        points = diagram(points, weights, box).centre
    if count > 1:
        weights = weights_for(points, wanted, box, weights, CLOSE)
    for array in (points, weights):
        array.flags.writeable = False
    return points, weights


def owner(points: np.ndarray, seeds: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Number of the seed whose cell holds each point, shape (n,)."""
    distance = ((points[:, None] - seeds[None]) ** 2).sum(axis=2)
    return np.argmin(distance if weights is None else distance - weights, axis=1)


@dataclass(frozen=True)
class GrainSizes:
    """Distribution that a mesh has.

    Attributes:
        count: of grains.
        grain_size: square root of the mean area, or cube root of the mean volume, m.
        spread: standard deviation of the logarithm of the equivalent diameter.
        smallest, largest: root of an area or volume, m.
    """

    count: int
    grain_size: float
    spread: float
    smallest: float
    largest: float


def distribution(points: np.ndarray, weights: np.ndarray | None, box: np.ndarray) -> GrainSizes:
    """Of the cells of seeds with weights (none: Voronoi) in a box (low, high)."""
    size = diagram(points, np.zeros(len(points)) if weights is None else weights, box).size
    d = points.shape[1]
    ends = float(size.min() ** (1 / d)), float(size.max() ** (1 / d))
    return GrainSizes(len(points), float(np.mean(size) ** (1 / d)), float(np.std(np.log(size)) / d), *ends)

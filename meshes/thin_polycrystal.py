"""A layered cell with Voronoi grains in the plane whose boundaries have no thickness: lithium | interlayer | grains | counter.

For boundaries of nanometres, which a law of the faces between grains carries. The lithium surface is y = 0. The grains are
those of `meshes.polycrystal` with the same seed; edges much shorter than a grain are contracted to a point.
"""

from dataclasses import dataclass

import numpy as np

from meshes import laguerre, voronoi
from meshes.drawing import NORMAL, Feature, MeshQuality, Pen, Sizes, finish, groups, require_below, require_positive, set_sizes

SHORTEST = 0.08
"""Shortest edge of a grain over the grain size."""
AT_BOUNDARY, LARGEST = 0.06, 0.2
"""Element at a grain boundary, and largest element in a grain, over the grain size."""


@dataclass(frozen=True)
class ThinPolycrystal:
    """What is drawn. Regions "grain 0", "grain 1", … and, with an interlayer, "interphase".

    Boundaries: "lithium" (y = 0), "counter", "left" and "right".

    Attributes:
        width: of the cell, m.
        thickness: of the polycrystal, m.
        grain_size: square root of the mean grain area, m.
        interlayer: thickness of a layer between lithium and grains, m; None for none.
        divisions: elements across it.
        seed: of the grains; the same seed gives the same mesh.
        sizes: mesh-size rule.
        grain_size_spread: standard deviation of ln(equivalent diameter); 0: relaxed Voronoi grains.
    """

    width: float
    thickness: float
    grain_size: float
    interlayer: float | None = None
    divisions: float = 6.0
    seed: int = 0
    sizes: Sizes = NORMAL
    grain_size_spread: float = 0.0

    def __post_init__(self) -> None:
        """Refuse impossible cells. Raises UserError naming the key."""
        require_positive(**{"width": self.width, "electrolyte.thickness": self.thickness})
        require_positive(**{"electrolyte.grain_size": self.grain_size})
        if self.interlayer is not None:
            require_positive(**{"interlayer.thickness": self.interlayer})
        laguerre.require_spread(self.grain_size_spread)
        side = min(self.width, self.thickness)
        require_below("electrolyte.grain_size", self.grain_size, 1.0001 * side, "the cell's smaller side")

    @property
    def box(self) -> voronoi.Box:
        """Rectangle of the grains, m."""
        low = self.interlayer or 0.0
        return (0.0, low, self.width, low + self.thickness)


def seeds(cell: ThinPolycrystal) -> np.ndarray:
    """Grain centres, shape (n, 2), m."""
    return _diagram(cell)[0]


def grain_sizes(cell: ThinPolycrystal) -> laguerre.GrainSizes:
    """Distribution of the grains, before short edges are contracted."""
    return laguerre.distribution(*_diagram(cell), np.array(cell.box).reshape(2, 2))


def _diagram(cell: ThinPolycrystal) -> tuple[np.ndarray, np.ndarray | None]:
    """Grain centres, and their weights where sizes are spread."""
    if cell.grain_size_spread:
        return laguerre.grains(cell.box[:2], cell.box[2:], cell.grain_size, cell.grain_size_spread, cell.seed)
    return voronoi.relaxed_seeds(cell.box, cell.grain_size, cell.seed), None


def polygons(cell: ThinPolycrystal) -> list[np.ndarray]:
    """Corners of the grains, each (n, 2), m, anticlockwise; neighbours share theirs exactly."""
    box, (centres, heavy) = cell.box, _diagram(cell)
    outlines = [voronoi.cell(centres, k, box, weights=heavy) for k in range(len(centres))]
    shortest = SHORTEST * (cell.grain_size if heavy is None else grain_sizes(cell).smallest)
    near = 1e-6 * cell.grain_size
    places: list[np.ndarray] = []
    shapes = [[_number(places, point, near) for point in outline] for outline in outlines]
    merged = _contracted(places, shapes, shortest, box)
    found = []
    for shape in shapes:
        ring = [merged[k] for k in shape]
        kept = [k for n, k in enumerate(ring) if k != ring[n - 1]]
        found.append(np.array([places[k] for k in kept]))
    return found


def _number(places: list[np.ndarray], point: np.ndarray, near: float) -> int:
    for k, place in enumerate(places):
        if abs(place[0] - point[0]) < near and abs(place[1] - point[1]) < near:
            return k
    places.append(np.array(point))
    return len(places) - 1


def _contracted(places: list[np.ndarray], shapes: list[list[int]], shortest: float, box: voronoi.Box) -> list[int]:
    """Number of the point that each one becomes when edges below `shortest` are contracted, the shortest first.

    A point on more walls of the box than the other keeps its place; otherwise the two meet in the middle.
    """
    becomes = list(range(len(places)))
    while True:
        edges = {(min(a, b), max(a, b)) for ring in ([becomes[k] for k in s] for s in shapes)
                 for a, b in zip(ring, [*ring[1:], ring[0]], strict=True) if a != b}  # fmt: skip
        lengths = {edge: float(np.linalg.norm(places[edge[0]] - places[edge[1]])) for edge in edges}
        a, b = min(lengths, key=lambda edge: (lengths[edge], edge))
        walls = voronoi._walls(places[a], box), voronoi._walls(places[b], box)
        if lengths[a, b] >= shortest or (walls[0] == walls[1] and walls[0] > 1):
            return becomes
        if walls[0] == walls[1]:
            places[a] = (places[a] + places[b]) / 2
        elif walls[1] > walls[0]:
            places[a] = places[b]
        becomes = [a if k == b else k for k in becomes]


def draw(cell: ThinPolycrystal) -> MeshQuality:
    """Draw and mesh in the current gmsh model (one rank); nodes in metres."""
    import gmsh

    pen, unit = Pen(cell.grain_size), cell.grain_size
    points: dict[tuple[int, int], int] = {}
    lines: dict[tuple[int, int], int] = {}

    def point(place: np.ndarray) -> int:
        key = (round(place[0] / unit * 1e6), round(place[1] / unit * 1e6))
        if key not in points:
            points[key] = pen.point(float(place[0]), float(place[1]))
        return points[key]

    def line(a: int, b: int) -> int:
        if (b, a) in lines:
            return -lines[b, a]
        if (a, b) not in lines:
            lines[a, b] = int(gmsh.model.geo.addLine(a, b))
        return lines[a, b]

    regions: dict[str, list[int]] = {}
    for k, corners in enumerate(polygons(cell)):
        ring = [point(corner) for corner in corners]
        regions[f"grain {k}"] = [pen.surface(*(line(a, b) for a, b in zip(ring, [*ring[1:], ring[0]], strict=True)))]
    low = cell.box[1]
    if cell.interlayer is not None:
        above = sorted((key[0], tag) for key, tag in points.items() if key[1] == round(low / unit * 1e6))
        ends = [point(np.array([cell.width, 0.0])), point(np.array([0.0, 0.0]))]
        ring = [tag for _, tag in above] + ends
        regions["interphase"] = [pen.surface(*(line(a, b) for a, b in zip(ring, [*ring[1:], ring[0]], strict=True)))]
    gmsh.model.geo.synchronize()
    boundaries = _boundaries(cell, points, lines)
    outer = {tag for tags in boundaries.values() for tag in tags}
    groups(2, regions, boundaries)
    inner = [tag for tag in lines.values() if tag not in outer]
    features = [Feature(inner, AT_BOUNDARY * unit), Feature(boundaries["counter"], AT_BOUNDARY * unit)]
    features.append(Feature(boundaries["lithium"], AT_BOUNDARY * unit))
    largest = LARGEST * unit
    if cell.interlayer is not None:
        rim = [tag for tag in boundaries["lithium"]]
        across = cell.interlayer / cell.divisions
        features += [Feature(rim, min(across, largest)), Feature(inner, min(across, AT_BOUNDARY * unit))]
    set_sizes(features, largest, unit, cell.sizes)
    return finish(2, unit)


def _boundaries(
    cell: ThinPolycrystal, points: dict[tuple[int, int], int], lines: dict[tuple[int, int], int]
) -> dict[str, list[int]]:
    """Lines on the walls of the cell by name."""
    key_of = {tag: key for key, tag in points.items()}
    walls = {"lithium": (1, 0.0), "counter": (1, cell.box[3]), "left": (0, 0.0), "right": (0, cell.width)}
    named: dict[str, list[int]] = {name: [] for name in walls}
    for (a, b), tag in lines.items():
        for name, (axis, at) in walls.items():
            level = round(at / cell.grain_size * 1e6)
            if abs(key_of[a][axis] - level) <= 1 and abs(key_of[b][axis] - level) <= 1:
                named[name].append(tag)
    return named

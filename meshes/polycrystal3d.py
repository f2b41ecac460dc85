"""A layered cell with Voronoi grains in three dimensions: lithium | interphase | polycrystal | counter electrode.

Grains meet in faces without thickness ("grain_boundary"), which a law of the interface can carry. The lithium surface is z = 0.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial import ConvexHull, Voronoi

from coupling.errors import UserError
from coupling.units import told
from meshes import laguerre
from meshes.drawing import LARGEST_MESH, NORMAL, MeshQuality, Sizes, finish, groups, require_positive

RELAXATIONS = 6
"""Times that seeds move to the centres of their grains: even grains have few short edges."""
PER_GRAIN = 3.0
"""Elements along a grain."""
WALLS = ("left", "right", "front", "back", "bottom", "counter")
"""Names of the faces x, y and z low and high of the polycrystal."""


@dataclass(frozen=True)
class GrainBlock:
    """What is drawn. Regions "grain" and, with an interphase, "interphase".

    Boundaries: "lithium" (z = 0), "counter", "left", "right" (x), "front", "back" (y), and the inner "grain_boundary".

    Attributes:
        width, breadth: of the block along x and y, m.
        thickness: of the polycrystal, m.
        grain_size: cube root of the mean grain volume, m; one grain where it is as large as the block (a layered cell).
        interphase: thickness of a layer between lithium and polycrystal, m; None for none.
        interphase_divisions: elements across it.
        seed: of the grains; the same seed gives the same mesh.
        sizes: mesh-size rule.
        grain_size_spread: standard deviation of ln(equivalent diameter); 0: relaxed Voronoi grains.
    """

    width: float
    breadth: float
    thickness: float
    grain_size: float
    interphase: float | None = None
    interphase_divisions: int = 2
    seed: int = 0
    sizes: Sizes = NORMAL
    grain_size_spread: float = 0.0

    def __post_init__(self) -> None:
        """Refuse impossible blocks. Raises UserError naming the key."""
        lengths = {"width": self.width, "breadth": self.breadth, "electrolyte.thickness": self.thickness}
        lengths["electrolyte.grain_size"] = self.grain_size
        require_positive(**lengths, **({"interlayer.thickness": self.interphase} if self.interphase is not None else {}))
        laguerre.require_spread(self.grain_size_spread)
        cells = self.volume * 6 * (PER_GRAIN * self.sizes.fineness / self.grain_size) ** 3
        if cells > LARGEST_MESH:
            read = f"geometry.electrolyte.grain_size: read {told(self.grain_size, 'm')}; about {cells:.1g} tetrahedra"
            raise UserError(f"{read} are needed, at most {LARGEST_MESH:.0g}; make the block smaller or its grains larger")
        if self.interphase is not None and self.interphase > 0.5 * self.thickness:
            most = told(0.5 * self.thickness, "m")
            raise UserError(
                f"geometry.interlayer.thickness: read {told(self.interphase, 'm')}; at most {most}, half of the electrolyte"
            )

    @property
    def volume(self) -> float:
        """Of the polycrystal, m³."""
        return self.width * self.breadth * self.thickness

    @property
    def box(self) -> np.ndarray:
        """Corner of least and of greatest coordinates of the polycrystal, shape (2, 3), m."""
        low = self.interphase or 0.0
        return np.array([[0.0, 0.0, low], [self.width, self.breadth, low + self.thickness]])


def seeds(block: GrainBlock) -> np.ndarray:
    """Grain centres, shape (n, 3), m: random, then relaxed."""
    return _diagram(block)[0]


def grain_sizes(block: GrainBlock) -> laguerre.GrainSizes:
    """Distribution of the grains."""
    return laguerre.distribution(*_diagram(block), block.box)


def _diagram(block: GrainBlock) -> tuple[np.ndarray, np.ndarray | None]:
    """Grain centres, and their weights where sizes are spread."""
    if block.grain_size_spread:
        low, high = (tuple(corner) for corner in block.box.tolist())
        return laguerre.grains(low, high, block.grain_size, block.grain_size_spread, block.seed)
    return _relaxed(block), None


def _relaxed(block: GrainBlock) -> np.ndarray:
    low, high = block.box
    count = max(round(block.volume / block.grain_size**3), 1)
    points = np.random.default_rng(block.seed).uniform(low, high, (count, 3))
    for _ in range(RELAXATIONS if count > 1 else 0):
        cells = _tessellation(points, block.box)
        points = np.array([_centre(cells.vertices[cells.regions[cells.point_region[k]]]) for k in range(count)])
    return points


def grain_index(block: GrainBlock, points: np.ndarray) -> np.ndarray:
    """Number of the grain that holds each point, shape (n,), from points (n, 3) in m."""
    return laguerre.owner(points, *_diagram(block))


def _tessellation(points: np.ndarray, box: np.ndarray) -> Voronoi:
    """Voronoi cells of the points; their mirror images beyond each wall make the walls faces of the cells."""
    mirrored = [points]
    for axis in range(3):
        for wall in box[:, axis]:
            image = points.copy()
            image[:, axis] = 2 * wall - image[:, axis]
            mirrored.append(image)
    return Voronoi(np.concatenate(mirrored))


def _centre(corners: np.ndarray) -> np.ndarray:
    """Centre of volume of a convex polyhedron."""
    hull, middle = ConvexHull(corners), corners.mean(axis=0)
    triangles = corners[hull.simplices]
    volumes = np.abs(np.linalg.det(triangles - middle))
    return np.average((triangles.sum(axis=1) + middle) / 4, axis=0, weights=volumes)


def draw(block: GrainBlock, apart: bool = False) -> MeshQuality:
    """Draw and mesh in the current gmsh model (one rank); nodes in metres. `apart`: a region "grain 0", … for each grain."""
    import gmsh

    geo, unit = gmsh.model.geo, block.grain_size
    centres, heavy = _diagram(block)
    cells = _tessellation(centres, block.box) if heavy is None else _Power(laguerre.diagram(centres, heavy, block.box))
    faces = _Faces(cells, unit, block.grain_size / PER_GRAIN / block.sizes.fineness)
    shells: list[list[int]] = [[] for _ in centres]
    walls: dict[str, list[int]] = {name: [] for name in WALLS}
    inner = []
    for first, second, corners in faces.around(len(centres)):
        face = faces.add(corners)
        shells[first].append(face)
        if second < len(centres):
            shells[second].append(face)
            inner.append(face)
        else:
            walls[WALLS[second // len(centres) - 1]].append(face)
    regions = {"grain": [geo.addVolume([geo.addSurfaceLoop(shell)]) for shell in shells]}
    boundaries = {name: list(tags) for name, tags in walls.items()} | {"grain_boundary": inner}
    boundaries["lithium"] = boundaries.pop("bottom")
    if block.interphase is not None:
        _add_interphase(block, unit, regions, boundaries)
    geo.synchronize()
    if apart:
        regions = {f"grain {k}": [tag] for k, tag in enumerate(regions.pop("grain"))} | regions
    groups(3, regions, boundaries)
    gmsh.option.setNumber("Mesh.MeshSizeExtendFromBoundary", 1)
    gmsh.option.setNumber("Mesh.MeshSizeFromPoints", 1)
    return finish(3, unit)


def _add_interphase(block: GrainBlock, unit: float, regions: dict[str, list[int]], boundaries: dict[str, list[int]]) -> None:
    """Layers of elements below the polycrystal, drawn out of its lowest faces."""
    import gmsh

    assert block.interphase is not None
    geo, thickness = gmsh.model.geo, block.interphase / unit
    below = geo.extrude([(2, face) for face in boundaries["lithium"]], 0, 0, -thickness, numElements=[block.interphase_divisions])
    geo.removeAllDuplicates()
    geo.synchronize()
    regions["interphase"] = [tag for dim, tag in below if dim == 3]
    boundaries["lithium"] = []
    high = np.array([block.width, block.breadth]) / unit
    for volume in regions["interphase"]:
        for _, face in gmsh.model.getBoundary([(3, volume)], oriented=False):
            if len(gmsh.model.getAdjacencies(2, face)[0]) > 1:
                continue
            box = gmsh.model.getBoundingBox(2, face)
            for axis, at, name in ((0, 0.0, "left"), (0, high[0], "right"), (1, 0.0, "front"), (1, high[1], "back")):
                if abs(box[axis] - at) < 1e-5 and abs(box[axis + 3] - at) < 1e-5:
                    boundaries[name].append(face)
            if abs(box[2]) < 1e-5 and abs(box[5]) < 1e-5:
                boundaries["lithium"].append(face)


class _Power:
    """A power diagram in the shape of scipy's Voronoi cells."""

    def __init__(self, found: laguerre.Diagram) -> None:
        self.vertices = found.corners
        self.ridge_points, self.ridge_vertices = list(found.faces), list(found.faces.values())


class _Faces:
    """Polygons of a tessellation as gmsh surfaces that share their corners and edges."""

    def __init__(self, cells: "Voronoi | _Power", unit: float, size: float) -> None:
        self.cells, self.unit, self.size = cells, unit, size
        self.points: dict[tuple[int, ...], int] = {}
        self.lines: dict[tuple[int, int], int] = {}

    def around(self, count: int) -> list[tuple[int, int, Sequence[int]]]:
        """Faces of the first `count` cells: the cell, its neighbour, and the corners in order."""
        found = []
        for (a, b), corners in zip(self.cells.ridge_points, self.cells.ridge_vertices, strict=True):
            first, second = sorted((int(a), int(b)))
            if first < count and -1 not in corners:
                found.append((first, second, corners))
        return found

    def add(self, corners: Sequence[int]) -> int:
        """Tag of the surface."""
        import gmsh

        tags = list(dict.fromkeys(self._point(corner) for corner in corners))
        loop = [self._line(a, b) for a, b in zip(tags, [*tags[1:], tags[0]], strict=True)]
        return int(gmsh.model.geo.addPlaneSurface([gmsh.model.geo.addCurveLoop(loop)]))

    def _point(self, corner: int) -> int:
        import gmsh

        place = self.cells.vertices[corner] / self.unit
        key = tuple(np.rint(place * 1e7).astype(int).tolist())
        if key not in self.points:
            self.points[key] = int(gmsh.model.geo.addPoint(*place, self.size / self.unit))
        return self.points[key]

    def _line(self, a: int, b: int) -> int:
        import gmsh

        if (b, a) in self.lines:
            return -self.lines[b, a]
        if (a, b) not in self.lines:
            self.lines[a, b] = int(gmsh.model.geo.addLine(a, b))
        return self.lines[a, b]

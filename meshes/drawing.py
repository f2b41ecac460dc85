"""What every drawn geometry shares: named groups, element sizes that grow away from features, and figures of the mesh.

A geometry is drawn in units of a length of its own (`unit`, m), because gmsh's tolerances want numbers near one; `finish`
gives the nodes in metres. The same description gives the same mesh: gmsh meshes on one thread with its own fixed seed.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from coupling.errors import UserError
from coupling.units import told

LARGEST_MESH = 2e6
"""Cells above which a geometry is refused rather than drawn for hours."""
POOR = 0.2
"""Shape (see `MeshQuality`) below which a cell counts as poor."""


@dataclass(frozen=True)
class Feature:
    """Curves (or points) around which the mesh is fine.

    Attributes:
        tags: of gmsh curves (`dimension` 1), points (0) or surfaces (2).
        size: of the elements there, m.
        dimension: of the tags.
    """

    tags: Sequence[int]
    size: float
    dimension: int = 1


@dataclass(frozen=True)
class Sizes:
    """Mesh-size rule relative to the features of a geometry.

    Attributes:
        fineness: divides every size (2: elements half as large, everywhere).
        growth: of the element size per distance from a feature, at fineness 1.
        finest: largest element at points where the flux is singular, m, and twice that along a smooth lithium surface;
            None where the geometry alone says it.
    """

    fineness: float = 1.0
    growth: float = 0.3
    finest: float | None = None

    def __post_init__(self) -> None:
        """Refuse what gives no mesh. Raises UserError."""
        if not (0.05 <= self.fineness <= 20):
            raise UserError(f"geometry.resolution: read {self.fineness:g}; allowed is 0.05 to 20 (1 is usual)")


NORMAL = Sizes()


@dataclass(frozen=True)
class MeshQuality:
    """Figures of a mesh.

    Attributes:
        dimension: of the cells.
        cells, nodes: their numbers.
        worst_shape, mean_shape: radius of the inscribed over that of the circumscribed sphere, 1 for the regular simplex.
        poor: share of the cells with a shape below POOR.
        smallest_edge, largest_edge: m.
        regions: cells of each region and their area (2-D, m²; in the half plane when axisymmetric) or volume (3-D, m³).
        boundaries: length (2-D, m) or area (3-D, m²) of each named boundary or interface.
    """

    dimension: int
    cells: int
    nodes: int
    worst_shape: float
    mean_shape: float
    poor: float
    smallest_edge: float
    largest_edge: float
    regions: Mapping[str, tuple[int, float]]
    boundaries: Mapping[str, float]


class Pen:
    """Draws points and straight lines in units of a length."""

    def __init__(self, unit: float) -> None:
        self.unit = unit

    def point(self, x: float, y: float) -> int:
        """Tag of a new point at metres."""
        import gmsh

        return int(gmsh.model.geo.addPoint(x / self.unit, y / self.unit, 0))

    def chain(self, points: Sequence[int]) -> list[int]:
        """Tags of the lines from point to point."""
        import gmsh

        return [int(gmsh.model.geo.addLine(a, b)) for a, b in itertools.pairwise(points)]

    def ellipse(self, start: int, centre: int, end: int, major: int | None = None) -> int:
        """Tag of an arc of an ellipse (below 180 degrees); `major` is a point on its longer axis (`start` unless given)."""
        import gmsh

        return int(gmsh.model.geo.addEllipseArc(start, centre, start if major is None else major, end))

    def surface(self, *curves: int) -> int:
        """Tag of the plane surface inside a loop of curves."""
        import gmsh

        return int(gmsh.model.geo.addPlaneSurface([gmsh.model.geo.addCurveLoop(list(curves))]))

    def surface_with_hole(self, outer: Sequence[int], inner: Sequence[int]) -> int:
        """Tag of the plane surface between two loops of curves."""
        import gmsh

        loops = [gmsh.model.geo.addCurveLoop(list(curves)) for curves in (outer, inner)]
        return int(gmsh.model.geo.addPlaneSurface(loops))


def require_positive(**lengths: float) -> None:
    """Refuse what is no length. Raises UserError naming the key."""
    for key, value in lengths.items():
        if not (np.isfinite(value) and value > 0):
            raise UserError(f"geometry.{key}: read {value:g} m; a length is a positive number")


def require_below(key: str, value: float, most: float, what: str) -> None:
    """Refuse a length that is not below a limit. Raises UserError naming the key and the limit."""
    if not value < most:
        raise UserError(f"geometry.{key}: read {told(value, 'm')}; it must be below {told(most, 'm')}, {what}; make it smaller")


def groups(dimension: int, regions: Mapping[str, Sequence[int]], boundaries: Mapping[str, Sequence[int]]) -> None:
    """Name the regions and boundaries of the current model; empty ones are left out."""
    import gmsh

    for dim, named in ((dimension, regions), (dimension - 1, boundaries)):
        for name, tags in named.items():
            if len(tags):
                gmsh.model.addPhysicalGroup(dim, sorted(set(tags)), name=name)


def along(lithium: Sequence[int], rule: Sizes) -> list[Feature]:
    """Feature of a smooth lithium surface on which a focusing factor will be read; none where no window is given."""
    return [] if rule.finest is None else [Feature(lithium, 2 * rule.finest)]


def set_sizes(features: Sequence[Feature], largest: float, unit: float, rule: Sizes) -> None:
    """Element sizes: those of the nearest features, growing linearly away from them up to `largest` (m)."""
    import gmsh

    field = gmsh.model.mesh.field
    fields = []
    for feature in features:
        if not len(feature.tags):
            continue
        wanted = feature.size if feature.dimension or rule.finest is None else min(feature.size, rule.finest)
        size, most = min(wanted, largest) / rule.fineness / unit, largest / rule.fineness / unit
        distance, threshold = field.add("Distance"), field.add("Threshold")
        field.setNumbers(distance, ("PointsList", "CurvesList", "SurfacesList")[feature.dimension], list(feature.tags))
        if feature.dimension:
            field.setNumber(distance, "Sampling", _samples(feature, size))
        settings: dict[str, Any] = {"InField": distance, "SizeMin": size, "SizeMax": most, "DistMin": size}
        settings["DistMax"] = size + (most - size) * rule.fineness / rule.growth + 1e-9
        for name, value in settings.items():
            field.setNumber(threshold, name, value)
        fields.append(threshold)
    smallest = field.add("Min")
    field.setNumbers(smallest, "FieldsList", fields)
    field.setAsBackgroundMesh(smallest)
    for option in ("MeshSizeExtendFromBoundary", "MeshSizeFromPoints", "MeshSizeFromCurvature"):
        gmsh.option.setNumber(f"Mesh.{option}", 0)
    gmsh.option.setNumber("Mesh.MeshSizeMax", largest / rule.fineness / unit)


def _samples(feature: Feature, size: float) -> int:
    """Points from which the distance to a feature is taken on each curve (each direction of a surface): one an element."""
    import gmsh

    boxes = np.array([gmsh.model.getBoundingBox(feature.dimension, tag) for tag in feature.tags])
    longest = float(np.linalg.norm(boxes[:, 3:] - boxes[:, :3], axis=1).max())
    return int(np.clip(1.5 * longest / size, 20, 4000 if feature.dimension == 1 else 60))


def finish(dimension: int, unit: float, order: int = 1) -> MeshQuality:
    """Mesh the current model, scale it to metres, and measure it.

    Raises:
        UserError: the mesh has more than LARGEST_MESH cells.
    """
    import gmsh

    mesh = gmsh.model.mesh
    gmsh.option.setNumber("Mesh.Algorithm", 6)
    gmsh.option.setNumber("Mesh.Optimize", 1)
    gmsh.option.setNumber("Mesh.OptimizeThreshold", 0.35)
    gmsh.option.setNumber("General.NumThreads", 1)
    mesh.generate(dimension)
    if order > 1:
        mesh.setOrder(order)
        mesh.optimize("HighOrder")
    mesh.affineTransform([unit, 0, 0, 0, 0, unit, 0, 0, 0, 0, unit, 0])
    return measure(dimension)


def measure(dimension: int) -> MeshQuality:
    """Figures of the mesh in the current model, of its named groups."""
    import gmsh

    mesh = gmsh.model.mesh
    regions: dict[str, tuple[int, float]] = {}
    every = []
    for name, tags in _elements(dimension).items():
        regions[name] = (len(tags), float(np.sum(mesh.getElementQualities(tags, "volume"))))
        every.append(tags)
    boundaries = {
        name: float(np.sum(np.abs(mesh.getElementQualities(tags, "volume")))) for name, tags in _elements(dimension - 1).items()
    }
    cells = np.concatenate(every) if every else np.empty(0, dtype=np.uint64)
    if len(cells) > LARGEST_MESH:
        raise UserError(f"geometry: {len(cells)} cells; at most {LARGEST_MESH:.0g}: lower geometry.resolution or make it smaller")
    shape = mesh.getElementQualities(cells, "gamma")
    low, high = (mesh.getElementQualities(cells, name) for name in ("minEdge", "maxEdge"))
    return MeshQuality(
        dimension, len(cells), len(mesh.getNodes()[0]), float(shape.min()), float(shape.mean()), float((shape < POOR).mean()),
        float(low.min()), float(high.max()), regions, boundaries,
    )  # fmt: skip


def _elements(dimension: int) -> dict[str, np.ndarray]:
    """Element tags of each named group."""
    import gmsh

    found = {}
    for _, group in gmsh.model.getPhysicalGroups(dimension):
        entities = gmsh.model.getEntitiesForPhysicalGroup(dimension, group)
        blocks = [block for entity in entities for block in gmsh.model.mesh.getElements(dimension, entity)[1]]
        name = gmsh.model.getPhysicalName(dimension, group) or f"group-{group}"
        found[name] = np.concatenate(blocks) if blocks else np.empty(0, dtype=np.uint64)
    return found

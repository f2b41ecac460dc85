"""The layered cell lithium | interphase | polycrystal | counter electrode with one surface flaw, meshed by gmsh.

Lengths are metres. The lithium is not meshed: its surface is the line y = 0 and the faces of the flaw. Above it lie the
interphase (0 < y < thickness, and along the flaw if it is lined), then Voronoi grains with boundaries of stated width.
Rough contact (`meshes.layer_voids`) leaves voids at the foot of the grains: their faces are the boundary "void".
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from coupling.errors import UserError
from coupling.units import told
from meshes import laguerre, voronoi
from meshes.flaw import Flaw, WrongLength, add_wedge, require_positive
from meshes.layer_voids import DEEPEST, LayerVoids, contact_share, pockets
from meshes.tags import BOUNDARIES, REGIONS, VOID

SCALE = 1e6
"""Model units per metre: gmsh's tolerances want numbers near one, so it draws in micrometres."""
LARGEST_MESH = 2e6
"""Triangles above which a cell is refused rather than drawn for hours."""


@dataclass(frozen=True)
class Resolution:
    """How fine the mesh is, relative to the features that it resolves.

    Attributes:
        boundary_aspect: element length along a grain boundary over the boundary's width.
        layer_divisions: elements across the interphase.
        tip_divisions: elements on a quarter of the tip's circle.
        growth: growth of the element size per distance from a feature.
        largest: largest element over the grain size.
    """

    boundary_aspect: float = 3.0
    layer_divisions: float = 2.5
    tip_divisions: float = 4.0
    growth: float = 0.25
    largest: float = 0.15


FINE = Resolution()
"""For the case's own answer and pictures."""
COARSE = Resolution(boundary_aspect=15.0, layer_divisions=1.0, tip_divisions=1.5, growth=1.0, largest=0.5)
"""For sampling and tests: a few thousand triangles."""


@dataclass(frozen=True)
class LayeredCell:
    """What is meshed.

    Attributes:
        width: of the cell between its symmetry sides, m.
        electrolyte_thickness: of the polycrystal, m.
        grain_size: square root of the mean grain area, m.
        boundary_width: of the meshed grain boundaries, m.
        interphase_thickness: of the reaction layer on the lithium, m.
        flaw: the surface flaw, or None for a flat electrode.
        seed: of the microstructure; the same seed gives the same mesh.
        resolution: fineness of the mesh.
        voids: of a rough contact; None where everything touches.
        grain_size_spread: standard deviation of ln(equivalent diameter); 0: relaxed Voronoi grains, whose sizes fall as they may.
    """

    width: float
    electrolyte_thickness: float
    grain_size: float
    boundary_width: float
    interphase_thickness: float
    flaw: Flaw | None = None
    seed: int = 0
    resolution: Resolution = FINE
    voids: LayerVoids | None = None
    grain_size_spread: float = 0.0

    def __post_init__(self) -> None:
        """Refuse impossible cells. Raises UserError naming the key."""
        for name in ("width", "electrolyte_thickness", "grain_size", "boundary_width", "interphase_thickness"):
            require_positive(name, getattr(self, name))
        self._limit("boundary_width", self.boundary_width, 0.2 * self.grain_size, "a fifth of the grain size")
        laguerre.require_spread(self.grain_size_spread)
        if self.grain_size_spread and self.flaw is not None:
            raise UserError("geometry.electrolyte.grain_size_spread: a flaw frames grains of its own; leave one of the two out")
        smaller = min(self.width, self.electrolyte_thickness)
        self._limit("grain_size", self.grain_size, smaller, "the cell's smaller side")
        if self.flaw is None:
            return
        self._limit("interphase_thickness", self.interphase_thickness, 0.25 * self.width, "a quarter of the cell's width")
        lining = self.interphase_thickness if self.flaw.lined else 0.0
        self._limit("flaw.depth", self.flaw.depth, 0.8 * self.height - lining, "0.8 of the cell's height less the lining")
        if self.voids is not None:
            least = "a fifteenth of the flaw's smallest depth, which its voids must stay clear of"
            self._limit("contact.roughness", self.voids.roughness, DEEPEST * self.flaw.depth, least)
        most = 0.5 * self.width - 2 * self.interphase_thickness
        self._limit("flaw.mouth_opening", self.flaw.mouth_opening, most, "half the cell's width less twice the interphase")
        if self.flaw.depth <= self.interphase_thickness:
            least = f"the flaw must leave the interphase, {told(self.interphase_thickness, 'm')} thick; make it deeper"
            raise WrongLength("flaw.depth", self.flaw.depth, least)

    @staticmethod
    def _limit(key: str, value: float, most: float, what: str) -> None:
        """Refuse what is too large. Raises WrongLength."""
        if value > most:
            raise WrongLength(key, value, f"at most {told(max(most, 0.0), 'm')}, {what}; make it smaller")

    @property
    def height(self) -> float:
        """From the lithium surface to the counter electrode, m."""
        return self.interphase_thickness + self.electrolyte_thickness

    @property
    def middle(self) -> float:
        """Place of the flaw along the surface, m."""
        return self.width / 2

    def roofs(self) -> list[np.ndarray]:
        """Roofs of the voids as drawn, heights above their plane, each (n, 2), m (`LayerVoids.roofs`)."""
        if self.voids is None:
            return []
        lining = max(self.interphase_thickness, self.boundary_width)
        mouth = self.flaw.mouth_opening if self.flaw is not None else 0.0
        return self.voids.roofs(self.width, self.electrolyte_thickness, self.middle, mouth + 2 * lining, self.seed)

    @property
    def contact_share(self) -> float:
        """Share of the lithium's flat surface that touches the solid."""
        return contact_share(self.roofs(), self.width) if self.voids is not None and self.voids.mode == "empty" else 1.0

    def coarser(self) -> "LayeredCell":
        """The same cell on the coarse mesh."""
        return replace(self, resolution=COARSE)


@dataclass(frozen=True)
class Quality:
    """Figures of a mesh: counts, smallest angle (degrees) and smallest and largest edge (m)."""

    triangles: int
    nodes: int
    smallest_angle: float
    smallest_edge: float
    largest_edge: float


def seeds(cell: LayeredCell) -> np.ndarray:
    """Grain centres, shape (n, 2), m.

    Fixed seeds frame the flaw: two, whose common boundary is normal to the surface, or one, whose grain holds the flaw.
    """
    box = _polycrystal(cell)
    size, flaw, low = cell.grain_size, cell.flaw, box[1]
    if cell.grain_size_spread:
        return laguerre.grains(box[:2], box[2:], size, cell.grain_size_spread, cell.seed)[0]
    if flaw is None:
        return voronoi.relaxed_seeds(box, size, cell.seed)
    height = low + max(0.5 * size, 0.7 * (flaw.depth - low))
    aside = 0.5 * size if flaw.at == "boundary" else 0.0
    fixed = [(cell.middle - aside, height), (cell.middle + aside, height)][: 2 if aside else 1]
    found = voronoi.relaxed_seeds(box, size, cell.seed, fixed)
    margin = 0.0 if flaw.at == "boundary" else 0.3 * size
    tip = flaw.depth + (cell.interphase_thickness if flaw.lined else 0.0) + 0.15 * size
    for point in ((cell.middle, low), (cell.middle, min(tip, box[3]))):
        radius = float(np.hypot(point[0] - fixed[0][0], point[1] - fixed[0][1])) + margin
        found = voronoi.cleared(found, point, radius, keep=len(fixed))
    return found


def weights(cell: LayeredCell) -> np.ndarray | None:
    """Weights of the grain centres where sizes are spread, shape (n,), m²; None of Voronoi grains."""
    if not cell.grain_size_spread:
        return None
    box = _polycrystal(cell)
    return laguerre.grains(box[:2], box[2:], cell.grain_size, cell.grain_size_spread, cell.seed)[1]


def grain_sizes(cell: LayeredCell) -> laguerre.GrainSizes:
    """Distribution of the grains, half of their boundaries counted to each."""
    return laguerre.distribution(seeds(cell), weights(cell), np.array(_polycrystal(cell)).reshape(2, 2))


def grains(cell: LayeredCell) -> list[np.ndarray]:
    """Grain polygons without their half boundaries, each (n, 2), m."""
    box, centres = _polycrystal(cell), seeds(cell)
    shortest = max(0.05 * cell.grain_size, 2 * cell.boundary_width)
    heavy = weights(cell)
    if heavy is not None:
        shortest = min(shortest, 0.2 * laguerre.distribution(centres, heavy, np.array(box).reshape(2, 2)).smallest)
    shrunk = (voronoi.cell(centres, k, box, cell.boundary_width, heavy) for k in range(len(centres)))
    return [voronoi.without_short_edges(polygon, shortest, box) for polygon in shrunk if len(polygon) > 2]


def grain_index(cell: LayeredCell, points: np.ndarray) -> np.ndarray:
    """Number of the grain whose Voronoi cell holds each point, shape (n,), from points (n, 2 or 3) in m."""
    centres, heavy = seeds(cell), weights(cell)
    if heavy is not None:
        return laguerre.owner(points[:, :2], centres, heavy)
    distance = np.linalg.norm(points[:, None, :2] - centres[None], axis=2)
    return np.argmin(distance, axis=1)


def estimated_triangles(cell: LayeredCell) -> float:
    """Rough number of triangles, from the lengths of boundaries and interphase over their element sizes."""
    length = 2 * cell.width * cell.electrolyte_thickness / cell.grain_size
    along_boundaries = length / (cell.resolution.boundary_aspect * cell.boundary_width)
    along_layer = cell.width * cell.resolution.layer_divisions / cell.interphase_thickness
    return 8 * (along_boundaries + along_layer) * (1 + 0.2 / cell.resolution.growth)


def draw(cell: LayeredCell) -> Quality:
    """Draw and mesh the cell in the current gmsh model (one rank); physical groups carry the names of `meshes.tags`.

    Node coordinates are in metres when it returns.

    Returns:
        Figures of the mesh.

    Raises:
        UserError: the mesh would be absurdly large.
    """
    import gmsh

    expected = estimated_triangles(cell)
    if expected > LARGEST_MESH:
        raise UserError(
            f"geometry: about {expected:.0f} triangles are needed (grain boundaries {cell.boundary_width:g} m wide in a"
            f" {cell.width:g} m cell); widen geometry.boundary_width or make the cell smaller"
        )
    surfaces = _fragments(cell)
    gmsh.model.occ.synchronize()
    for name, tags in surfaces.items():
        gmsh.model.addPhysicalGroup(2, tags, REGIONS[name], name)
    curves = _named_curves(cell)
    for name, tags in curves.items():
        gmsh.model.addPhysicalGroup(1, tags, {**BOUNDARIES, **VOID}[name], name)
    _set_sizes(cell, surfaces, curves)
    gmsh.model.mesh.generate(2)
    gmsh.model.mesh.affineTransform([1 / SCALE, 0, 0, 0, 0, 1 / SCALE, 0, 0, 0, 0, 1 / SCALE, 0])
    return _quality()


def _polycrystal(cell: LayeredCell) -> voronoi.Box:
    """The rectangle of the grains."""
    return (0.0, cell.interphase_thickness, cell.width, cell.height)


def _add_polygon(points: np.ndarray) -> int:
    """Add a polygon (n, 2), m, to the OCC model; returns its surface tag."""
    import gmsh

    occ = gmsh.model.occ
    corners = [occ.addPoint(x * SCALE, y * SCALE, 0) for x, y in points]
    lines = [occ.addLine(a, b) for a, b in zip(corners, corners[1:] + corners[:1], strict=True)]
    return occ.addPlaneSurface([occ.addCurveLoop(lines)])


def _fragments(cell: LayeredCell) -> dict[str, list[int]]:
    """Cut the cell into its regions; returns the surface tags of each region present."""
    import gmsh

    occ = gmsh.model.occ
    body = [(2, _add_polygon(voronoi.rectangle((0.0, 0.0, cell.width, cell.height))))]
    layer = [(2, _add_polygon(voronoi.rectangle((0.0, 0.0, cell.width, cell.interphase_thickness))))]
    sleeve: list[tuple[int, int]] = []
    hole: list[tuple[int, int]] = []
    if cell.flaw is not None:
        hole = [(2, add_wedge(cell.flaw, cell.middle, 0.0, SCALE))]
        if cell.flaw.lined:
            lining = (2, add_wedge(cell.flaw, cell.middle, cell.interphase_thickness, SCALE))
            layer, _ = occ.fuse(layer, [lining])
        elif cell.flaw.at == "boundary":
            sleeve = [(2, add_wedge(cell.flaw, cell.middle, cell.boundary_width / 2, SCALE))]
    layer, hole = _with_voids(cell, layer, hole)
    if hole:
        body, _ = occ.cut(body, hole, removeTool=False)
    polygons = [(2, _add_polygon(polygon)) for polygon in grains(cell)]
    # Without this cut the grains' edges would go on inside the lining.
    polygons, _ = occ.cut(polygons, [*layer, *sleeve, *hole], removeTool=False)
    occ.remove(hole, recursive=True)
    _, children = occ.fragment(body, [*layer, *sleeve, *polygons])
    parts = [{tag for _, tag in child} for child in children]
    inside: set[int] = set().union(*parts[: len(body)])
    first = len(body) + len(layer)
    interphase = inside.intersection(*[set().union(*parts[len(body) : first])])
    boundary_sleeve: set[int] = set().union(*parts[first : first + len(sleeve)])
    grain = (inside & set().union(*parts[first + len(sleeve) :])) - interphase - boundary_sleeve
    occ.remove([(2, tag) for tag in sorted(set().union(*parts) - inside)], recursive=True)
    regions = {"grain": grain, "boundary": inside - grain - interphase, "interphase": interphase}
    return {name: sorted(tags) for name, tags in regions.items() if tags}


def _with_voids(cell: LayeredCell, layer: list[tuple[int, int]], hole: list[tuple[int, int]]) -> tuple[Any, Any]:
    """The interphase with the voids that it fills, and the hole with those that stay empty."""
    import gmsh

    if cell.voids is None or not (roofs := cell.roofs()):
        return layer, hole
    bare = cell.voids.mode == "empty"
    below = 0.0 if cell.voids.mode == "bridges" else 0.25 * cell.interphase_thickness
    closed = pockets(roofs, 0.0 if bare else cell.interphase_thickness, below)
    drawn = [(2, _add_polygon(polygon)) for polygon in closed]
    if cell.voids.mode == "fills":
        return gmsh.model.occ.fuse(layer, drawn)[0], hole
    return layer, [*hole, *drawn]


def _named_curves(cell: LayeredCell) -> dict[str, list[int]]:
    """Exterior curves by name."""
    import gmsh

    walls = {"lithium": (1, 0.0), "counter": (1, cell.height), "left": (0, 0.0), "right": (0, cell.width)}
    named: dict[str, list[int]] = {name: [] for name in {**BOUNDARIES, **VOID}}
    mouth = (1 + 1e-6) * cell.flaw.mouth_opening / 2 if cell.flaw is not None else 0.0
    for _, tag in gmsh.model.getEntities(1):
        if len(gmsh.model.getAdjacencies(1, tag)[0]) != 1:
            continue
        low, high = np.array(gmsh.model.getParametrizationBounds(1, tag)).ravel()
        points = np.array(gmsh.model.getValue(1, tag, [low, (low + high) / 2, high])).reshape(3, 3) / SCALE
        near = 1e-7 * cell.width
        matches = [name for name, (axis, at) in walls.items() if np.all(np.abs(points[:, axis] - at) < near)]
        inside = "flaw" if cell.voids is None or abs(points[1, 0] - cell.middle) <= mouth else "void"
        named[matches[0] if matches else inside].append(tag)
    return {name: tags for name, tags in named.items() if tags}


def _set_sizes(cell: LayeredCell, surfaces: dict[str, list[int]], curves: dict[str, list[int]]) -> None:
    """Element sizes: small in boundaries, interphase and at the flaw, growing linearly away from them."""
    import gmsh

    resolution = cell.resolution
    across = cell.interphase_thickness / resolution.layer_divisions
    rims = {name: _outlines(tags) for name, tags in surfaces.items()}
    along = resolution.boundary_aspect * cell.boundary_width
    features = [(rims.get("boundary", []), along), (rims["interphase"], across)]
    if cell.voids is not None:
        features.append((curves.get("void", []), min(across, cell.voids.correlation_length / 20)))
    if cell.flaw is not None:
        arc = [tag for tag in curves["flaw"] if gmsh.model.getType(1, tag) == "Circle"]
        quarter = np.pi / 2 * cell.flaw.tip_radius
        features += [(arc, quarter / resolution.tip_divisions), (curves["flaw"], min(across, 0.05 * cell.flaw.depth))]
    largest = resolution.largest * cell.grain_size
    fields = [_size_field(tags, size, largest, resolution.growth) for tags, size in features if tags]
    smallest = gmsh.model.mesh.field.add("Min")
    gmsh.model.mesh.field.setNumbers(smallest, "FieldsList", fields)
    gmsh.model.mesh.field.setAsBackgroundMesh(smallest)
    for option in ("MeshSizeExtendFromBoundary", "MeshSizeFromPoints", "MeshSizeFromCurvature"):
        gmsh.option.setNumber(f"Mesh.{option}", 0)
    gmsh.option.setNumber("Mesh.Algorithm", 6)


def _outlines(surfaces: list[int]) -> list[int]:
    """All curves that bound the surfaces."""
    import gmsh

    return sorted({abs(t) for s in surfaces for _, t in gmsh.model.getBoundary([(2, s)], combined=False)})


def _size_field(curves: list[int], size: float, largest: float, growth: float) -> int:
    """A gmsh field: `size` on the curves, growing by `growth` per distance up to `largest` (m)."""
    import gmsh

    field = gmsh.model.mesh.field
    distance, threshold = field.add("Distance"), field.add("Threshold")
    field.setNumbers(distance, "CurvesList", curves)
    field.setNumber(distance, "Sampling", 60)
    settings: dict[str, Any] = {"InField": distance, "SizeMin": size * SCALE, "SizeMax": max(largest, size) * SCALE}
    reach = 0.5 * size + max(largest - size, 0.0) / growth + 1e-12
    settings |= {"DistMin": 0.5 * size * SCALE, "DistMax": reach * SCALE}
    for name, value in settings.items():
        field.setNumber(threshold, name, value)
    return threshold


def _quality() -> Quality:
    """Figures of the mesh in the current model."""
    import gmsh

    tags, flat, _ = gmsh.model.mesh.getNodes()
    place = np.empty((int(tags.max()) + 1, 3))
    place[tags.astype(int)] = flat.reshape(-1, 3)
    _, nodes = gmsh.model.mesh.getElementsByType(2)
    corners = place[nodes.astype(int).reshape(-1, 3)][:, :, :2]
    sides = np.linalg.norm(np.roll(corners, -1, axis=1) - corners, axis=2)
    a, b, c = sides.T
    orders = ((a, b, c), (b, c, a), (c, a, b))
    angles = [np.arccos(np.clip((q**2 + r**2 - p**2) / (2 * q * r), -1, 1)) for p, q, r in orders]
    used = len(np.unique(nodes))
    return Quality(len(corners), used, float(np.degrees(np.min(angles))), float(sides.min()), float(sides.max()))

"""A rectangle with a fine band along the line that a crack may take: structured in the band, growing elements outside.

The crack runs along x = 0 from y = 0. One row of elements, of width `size`, is centred on that line: it becomes the
broken band of a phase-field crack, whose energy is known (docs/physics.md, V11).
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from coupling.errors import UserError
from meshes.flaw import require_positive


@dataclass(frozen=True)
class CrackPath:
    """What is meshed.

    Attributes:
        width, height: of the rectangle, m; -width/2 < x < width/2, 0 < y < height (half of it when mirrored).
        length: of the fine band from y = 0, m; at most the height.
        band: half width of the fine band, m.
        size: element size in the band, and width of the row on the crack line, m.
        coarse: largest element outside, m.
        mirrored: only x > 0 is meshed: the crack line is a mirror, the half row on it is size/2 wide.
        lying: the crack runs along x from x = 0 instead, the mirror is y = 0 (a penny in axial symmetry).
    """

    width: float
    height: float
    length: float
    band: float
    size: float
    coarse: float
    mirrored: bool = False
    lying: bool = False

    def __post_init__(self) -> None:
        """Refuse what cannot be drawn. Raises UserError naming the length."""
        for name in ("width", "height", "length", "band", "size", "coarse"):
            require_positive(f"crack_path.{name}", getattr(self, name))
        if self.length > self.height or 2 * self.band > self.width:
            raise UserError(
                f"the fine band ({self.length:g} m long, {2 * self.band:g} m wide) does not fit the body "
                f"({self.height:g} m by {self.width:g} m); make the body larger"
            )
        if self.size > min(self.band, self.length / 2):
            raise UserError(f"element size {self.size:g} m is not below the band's half width and half its length")

    @property
    def estimated_triangles(self) -> float:
        """Rough number of triangles: those of the band, and as many again for growing out of it."""
        sides = 1 if self.mirrored else 2
        return 4 * sides * self.band * self.length / self.size**2


def draw_crack_path(path: CrackPath) -> None:
    """Mesh the rectangle in the current gmsh model (one rank); coordinates are in metres when it returns.

    Region "body". Boundaries: "foot" (y = 0, where the crack starts), "top" (y = height), "left" and "right"; the left one
    is the crack line when mirrored. Lying: the same after x and y are exchanged, so that "foot" is x = 0.
    """
    import gmsh

    geo, scale = gmsh.model.geo, path.length
    columns, rows = _band_lines(path)
    box = [-path.width / 2 * (not path.mirrored) / scale, path.width / 2 / scale, path.height / scale]
    points, edges = _band_grid(geo, np.array(columns) / scale, np.array(rows) / scale, path.size / scale)
    far = path.coarse / scale
    outer = _surroundings(geo, points, edges, box, far)
    geo.synchronize()
    for name, tags in outer["curves"].items():
        gmsh.model.addPhysicalGroup(1, tags, name=name)
    gmsh.model.addPhysicalGroup(2, [*edges["surfaces"], *outer["surfaces"]], name="body")
    for option, value in (("MeshSizeExtendFromBoundary", 1), ("MeshSizeFromPoints", 1), ("Algorithm", 6)):
        gmsh.option.setNumber(f"Mesh.{option}", value)
    gmsh.model.mesh.generate(2)
    swapped = [0, scale, 0, 0, scale, 0, 0, 0, 0, 0, scale, 0]
    straight = [scale, 0, 0, 0, 0, scale, 0, 0, 0, 0, scale, 0]
    gmsh.model.mesh.affineTransform(swapped if path.lying else straight)


def _band_lines(path: CrackPath) -> tuple[list[float], list[float]]:
    """Columns of the band in x (edge, the row on the crack line, edge) and y of its ends, m."""
    half, steps = path.size / 2, max(math.ceil((path.band - path.size / 2) / path.size), 1)
    edge = half + steps * path.size
    columns = [0.0, half, edge] if path.mirrored else [-edge, -half, half, edge]
    return columns, [0.0, path.length]


def _band_grid(geo: Any, columns: np.ndarray, rows: np.ndarray, size: float) -> tuple[Any, dict[str, Any]]:
    """Structured blocks between the columns; returns points [row][column] and its curves and surfaces."""
    points = [[geo.addPoint(x, y, 0, size) for x in columns] for y in rows]
    across = [[geo.addLine(row[i], row[i + 1]) for i in range(len(columns) - 1)] for row in points]
    upward = [geo.addLine(points[0][i], points[1][i]) for i in range(len(columns))]
    along = max(round((rows[1] - rows[0]) / size), 2)
    surfaces = []
    for i in range(len(columns) - 1):
        loop = geo.addCurveLoop([across[0][i], upward[i + 1], -across[1][i], -upward[i]])
        surfaces.append(geo.addPlaneSurface([loop]))
        for row in across:
            geo.mesh.setTransfiniteCurve(row[i], max(round((columns[i + 1] - columns[i]) / size), 1) + 1)
    for line in upward:
        geo.mesh.setTransfiniteCurve(line, along + 1)
    for i, surface in enumerate(surfaces):
        geo.mesh.setTransfiniteSurface(surface, "Left" if i >= len(surfaces) / 2 else "Right")
    return points, {"across": across, "upward": upward, "surfaces": surfaces, "end": rows[-1]}


def _surroundings(geo: Any, points: Any, edges: Any, box: list[float], far: float) -> dict[str, Any]:
    """Unstructured rest of the rectangle around the band, and the named outer curves."""
    left, right, top = box
    across, upward, mirrored = edges["across"], edges["upward"], left == 0
    full = math.isclose(float(edges["end"]), top)
    low_right, high_right = geo.addPoint(right, 0, 0, far), geo.addPoint(right, top, 0, far)
    foot_right, side_right = geo.addLine(points[0][-1], low_right), geo.addLine(low_right, high_right)
    curves = {"foot": [*across[0], foot_right], "top": [], "right": [side_right], "left": [upward[0]]}
    if mirrored and not full:
        high_left = geo.addPoint(0, top, 0, far)
        curves["top"], rest = [geo.addLine(high_right, high_left)], geo.addLine(high_left, points[1][0])
        curves["left"].append(rest)
        loops = [[foot_right, side_right, *curves["top"], rest, *across[1], -upward[-1]]]
        return {"curves": curves, "surfaces": _planes(geo, loops)}
    end_right = geo.addLine(high_right, points[1][-1]) if full else None
    loops = [[foot_right, side_right, end_right, -upward[-1]]]
    curves["top"] = [end_right, *across[1]]
    if not mirrored:
        low_left, high_left = geo.addPoint(left, 0, 0, far), geo.addPoint(left, top, 0, far)
        foot_left, side_left = geo.addLine(low_left, points[0][0]), geo.addLine(high_left, low_left)
        curves |= {"foot": [foot_left, *curves["foot"]], "left": [side_left]}
        if full:
            curves["top"].append(end_left := geo.addLine(points[1][0], high_left))
            loops.append([side_left, foot_left, upward[0], end_left])
        else:
            curves["top"] = [geo.addLine(high_right, high_left)]
            around = [foot_right, side_right, *curves["top"], side_left, foot_left, upward[0], *across[1], -upward[-1]]
            loops = [around]
    return {"curves": curves, "surfaces": _planes(geo, loops)}


def _planes(geo: Any, loops: list[list[int]]) -> list[int]:
    return [geo.addPlaneSurface([geo.addCurveLoop(loop)]) for loop in loops]

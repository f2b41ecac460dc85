"""Simple bodies with exact solutions: shells, inclusions, a disk or crack in a half space, grids of blocks.

Each function draws and meshes in the current gmsh model (one rank) in units of its largest feature and scales the nodes
to metres at the end. Curved sides are meshed with curved (second-order) triangles.
"""

import math
from collections.abc import Sequence
from typing import Any


def _finish(curves: dict[str, list[int]], surfaces: dict[str, list[int]], order: int, scale: float) -> None:
    """Name the groups, mesh, and scale to metres."""
    import gmsh

    geo, mesh = gmsh.model.geo, gmsh.model.mesh
    geo.synchronize()
    for dimension, groups in ((1, curves), (2, surfaces)):
        for name, tags in groups.items():
            gmsh.model.addPhysicalGroup(dimension, tags, name=name)
    for option, value in (("MeshSizeExtendFromBoundary", 1), ("MeshSizeFromPoints", 1), ("Algorithm", 6)):
        gmsh.option.setNumber(f"Mesh.{option}", value)
    mesh.generate(2)
    mesh.setOrder(order)
    mesh.affineTransform([scale, 0, 0, 0, 0, scale, 0, 0, 0, 0, scale, 0])


def draw_quarter_shell(
    width: float, height: float, outer: float, tip_size: float, side_size: float, outer_size: float, filled: bool = False
) -> None:
    """A quarter of an ellipse inside a quarter circle: bump on an electrode, void, inclusion, thick cylinder or sphere.

    In axial symmetry (x is r, y is z) the bodies are a spheroid and a sphere. Regions: "matrix" and, if filled,
    "inclusion". Boundaries: "surface" (of the ellipse), "outer", "plane" (y = 0) and "axis" (x = 0), the last two of
    both regions.

    Args:
        width, height: semi-axes of the ellipse along x and y, m.
        outer: radius of the outer circle, m.
        tip_size, side_size, outer_size: element sizes at (0, height), at (width, 0) and on the outer circle, m.
        filled: mesh the inside too.
    """
    import gmsh

    geo, scale = gmsh.model.geo, max(width, height)
    a, b, R = width / scale, height / scale, outer / scale
    tip, side, far = tip_size / scale, side_size / scale, outer_size / scale
    centre = geo.addPoint(0, 0, 0, side)
    right, top = geo.addPoint(a, 0, 0, side), geo.addPoint(0, b, 0, tip)
    far_right, far_top = geo.addPoint(R, 0, 0, far), geo.addPoint(0, R, 0, far)
    surface = geo.addEllipseArc(right, centre, right if a > b else top, top)
    circle = geo.addCircleArc(far_right, centre, far_top)
    plane, axis = geo.addLine(right, far_right), geo.addLine(far_top, top)
    regions = {"matrix": [geo.addPlaneSurface([geo.addCurveLoop([plane, circle, axis, -surface])])]}
    planes, axes = [plane], [axis]
    if filled:
        planes.append(geo.addLine(centre, right))
        axes.append(geo.addLine(top, centre))
        regions["inclusion"] = [geo.addPlaneSurface([geo.addCurveLoop([planes[1], surface, axes[1]])])]
    _finish({"surface": [surface], "outer": [circle], "plane": planes, "axis": axes}, regions, 2, scale)


def draw_half_space(radius: float, outer: float, edge_size: float, disk_size: float, outer_size: float) -> None:
    """A quarter circle whose base is split at `radius`: a disk electrode in a plane, or one quarter of a crack.

    Region "body". Boundaries: "disk" (0 < x < radius, y = 0), "plane" (the rest of the base), "outer" and "axis".
    Nodes lie at (0, 0), (radius/2, 0), (radius, 0) and (0, radius).

    Args:
        radius: of the disk electrode, or half length of the crack, m.
        outer: radius of the outer circle, m.
        edge_size, disk_size, outer_size: element sizes at the edge, at the centre and on the outer circle, m.
    """
    import gmsh

    geo = gmsh.model.geo
    R, edge, middle, far = outer / radius, edge_size / radius, disk_size / radius, outer_size / radius
    centre, half = geo.addPoint(0, 0, 0, middle), geo.addPoint(0.5, 0, 0, middle)
    rim, above = geo.addPoint(1, 0, 0, edge), geo.addPoint(0, 1, 0, middle)
    far_right, far_top = geo.addPoint(R, 0, 0, far), geo.addPoint(0, R, 0, far)
    disk = [geo.addLine(centre, half), geo.addLine(half, rim)]
    plane, circle = geo.addLine(rim, far_right), geo.addCircleArc(far_right, centre, far_top)
    axis = [geo.addLine(far_top, above), geo.addLine(above, centre)]
    body = geo.addPlaneSurface([geo.addCurveLoop([*disk, plane, circle, *axis])])
    _finish({"disk": disk, "plane": [plane], "outer": [circle], "axis": axis}, {"body": [body]}, 2, radius)


def draw_blocks(
    x: Sequence[float], y: Sequence[float], names: Sequence[Sequence[str]], divisions: int, towards: float = 1.0
) -> None:
    """A grid of rectangles: one electrolyte, a laminate, a checkerboard, a grain with its boundaries.

    Regions as named. Boundaries: "left", "right", "bottom", "top".

    Args:
        x, y: increasing grid lines, m, lengths m + 1 and n + 1.
        names: region of each block, names[j][i] for block i along x and j along y.
        divisions: elements along each side of each block (triangles in a regular pattern).
        towards: ratio of the largest to the smallest division of a side, elements growing away from inner grid lines
            (1: equal).
    """
    import gmsh

    geo, scale = gmsh.model.geo, max(x[-1] - x[0], y[-1] - y[0])
    nx, ny = len(x), len(y)
    points = [[geo.addPoint(u / scale, v / scale, 0) for u in x] for v in y]
    across = [[geo.addLine(points[j][i], points[j][i + 1]) for i in range(nx - 1)] for j in range(ny)]
    upward = [[geo.addLine(points[j][i], points[j + 1][i]) for i in range(nx)] for j in range(ny - 1)]
    regions: dict[str, list[int]] = {}
    for j in range(ny - 1):
        for i in range(nx - 1):
            loop = geo.addCurveLoop([across[j][i], upward[j][i + 1], -across[j + 1][i], -upward[j][i]])
            regions.setdefault(names[j][i], []).append(geo.addPlaneSurface([loop]))
    for line in across:
        _divide(geo, line, divisions, towards)
    for i in range(nx):
        _divide(geo, [row[i] for row in upward], divisions, towards)
    for tag in [tag for group in regions.values() for tag in group]:
        geo.mesh.setTransfiniteSurface(tag)
    sides = {"left": [r[0] for r in upward], "right": [r[-1] for r in upward], "bottom": across[0], "top": across[-1]}
    _finish(sides, regions, 1, scale)


def _divide(geo: Any, lines: Sequence[int], divisions: int, towards: float) -> None:
    """Divide the sides of one grid line, elements growing away from its inner points."""
    ratio = math.exp(math.log(towards) / max(divisions - 1, 1))
    for position, line in enumerate(lines):
        grows = position > 0 or len(lines) == 1
        geo.mesh.setTransfiniteCurve(line, divisions + 1, "Progression", ratio if grows else -ratio)

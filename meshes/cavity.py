"""A pore or crack inside the electrolyte near the lithium surface: an ellipse (2-D) or a spheroid (axisymmetric).

The lithium surface is y = 0 (z = 0). A pore has equal axes; a crack is flat. In axial symmetry x is the radius.
"""

import math
from dataclasses import dataclass

from coupling.errors import UserError
from coupling.units import told
from meshes.drawing import (
    NORMAL,
    Feature,
    MeshQuality,
    Pen,
    Sizes,
    along,
    finish,
    groups,
    require_below,
    require_positive,
    set_sizes,
)

FLATTEST = 1e-3
"""Smallest ratio of the axes: the radius of a crack's tip, b²/a, is meshed."""
LARGEST = 1 / 8
"""Largest element over the cell's smaller side."""


@dataclass(frozen=True)
class BuriedCavity:
    """What is drawn. Regions "electrolyte" and, if filled, "filling".

    Boundaries: "lithium" (y = 0), "counter", "cavity" (its wall; the interface of the two regions when filled), "right", and
    "left" or, in axial symmetry, "axis".

    Attributes:
        width: of the cell, m; its radius when axisymmetric.
        thickness: of the electrolyte, m.
        depth: of the cavity's centre below the lithium surface, m.
        half_length, half_opening: semi-axes of the cavity, m; equal for a pore.
        tilt: angle of the longer axis from the surface, degrees (2-D only).
        axisymmetric: a spheroid on the axis of a cylinder rather than a cavity in the middle of a plane cell.
        filled: the inside is meshed too.
        sizes: mesh-size rule.
    """

    width: float
    thickness: float
    depth: float
    half_length: float
    half_opening: float
    tilt: float = 0.0
    axisymmetric: bool = False
    filled: bool = False
    sizes: Sizes = NORMAL

    def __post_init__(self) -> None:
        """Refuse what does not fit. Raises UserError naming the key."""
        lengths = {"cavity.depth": self.depth, "cavity.half_length": self.half_length, "cavity.half_opening": self.half_opening}
        require_positive(**{"width": self.width, "electrolyte.thickness": self.thickness}, **lengths)
        if self.half_opening > self.half_length or self.half_opening < FLATTEST * self.half_length:
            least = told(FLATTEST * self.half_length, "m")
            read = f"geometry.cavity.half_opening: read {told(self.half_opening, 'm')}"
            raise UserError(f"{read}; allowed is {least} to the half length, {told(self.half_length, 'm')}")
        if self.axisymmetric and self.tilt:
            read = f"geometry.cavity.tilt: read {self.tilt:g} degrees"
            raise UserError(f"{read}; a tilted cavity has no axis of symmetry; take it out or leave axial symmetry")
        if not -90 <= self.tilt <= 90:
            raise UserError(f"geometry.cavity.tilt: read {self.tilt:g} degrees; allowed is -90 to 90")
        across, up = self.reach
        require_below("cavity.half_length", across, self.width * (1.0 if self.axisymmetric else 0.5), "the space beside it")
        if not up < self.depth:
            raise UserError(
                f"geometry.cavity.depth: read {told(self.depth, 'm')}; the cavity reaches {told(up, 'm')} up and must stay"
                " below the surface: make it deeper or the cavity smaller"
            )
        require_below("cavity.depth", self.depth, self.thickness - up, "the thickness less the cavity's half height")

    @property
    def reach(self) -> tuple[float, float]:
        """Half extent along and normal to the surface, m."""
        c, s = math.cos(math.radians(self.tilt)), math.sin(math.radians(self.tilt))
        a, b = self.half_length, self.half_opening
        return math.hypot(a * c, b * s), math.hypot(a * s, b * c)

    @property
    def gap(self) -> float:
        """Shortest distance of the cavity from the lithium surface, m."""
        return self.depth - self.reach[1]


def draw(cavity: BuriedCavity) -> MeshQuality:
    """Draw and mesh in the current gmsh model (one rank); nodes in metres."""
    pen = Pen(cavity.half_length)
    return _draw_half(cavity, pen) if cavity.axisymmetric else _draw_whole(cavity, pen)


def _draw_whole(cavity: BuriedCavity, pen: Pen) -> MeshQuality:
    """A plane cell with the ellipse in its middle."""
    a, b, w, h = cavity.half_length, cavity.half_opening, cavity.width, cavity.thickness
    c, s = math.cos(math.radians(cavity.tilt)), math.sin(math.radians(cavity.tilt))
    middle, y = w / 2, cavity.depth
    tips = [pen.point(middle + a * c, y + a * s), pen.point(middle - a * c, y - a * s)]
    flanks = [pen.point(middle - b * s, y + b * c), pen.point(middle + b * s, y - b * c)]
    centre = pen.point(middle, y)
    around = [tips[0], flanks[0], tips[1], flanks[1]]
    wall = [pen.ellipse(p, centre, q, tips[0]) for p, q in zip(around, [*around[1:], around[0]], strict=True)]
    corners = [pen.point(0, 0), pen.point(w, 0), pen.point(w, h), pen.point(0, h)]
    lithium, right, counter, left = pen.chain([*corners, corners[0]])
    regions = {"electrolyte": [pen.surface_with_hole([lithium, right, counter, left], wall)]}
    if cavity.filled:
        regions["filling"] = [pen.surface(*wall)]
    boundaries = {"lithium": [lithium], "counter": [counter], "right": [right], "left": [left], "cavity": wall}
    return _meshed(cavity, regions, boundaries, tips)


def _draw_half(cavity: BuriedCavity, pen: Pen) -> MeshQuality:
    """Half a section through the axis x = 0 of a cylinder."""
    a, b, w, h, y = cavity.half_length, cavity.half_opening, cavity.width, cavity.thickness, cavity.depth
    centre, tip = pen.point(0, y), pen.point(a, y)
    low, high = pen.point(0, y - b), pen.point(0, y + b)
    wall = [pen.ellipse(low, centre, tip, tip), pen.ellipse(tip, centre, high, tip)]
    corners = [pen.point(0, 0), pen.point(w, 0), pen.point(w, h), pen.point(0, h)]
    lithium, right, counter = pen.chain(corners)
    above, below = pen.chain([corners[3], high]), pen.chain([low, corners[0]])
    back = [-arc for arc in reversed(wall)]
    regions = {"electrolyte": [pen.surface(lithium, right, counter, *above, *back, *below)]}
    axis = [*above, *below]
    if cavity.filled:
        inner = pen.chain([high, low])
        regions["filling"] = [pen.surface(*wall, *inner)]
        axis += inner
    boundaries = {"lithium": [lithium], "counter": [counter], "right": [right], "axis": axis, "cavity": wall}
    return _meshed(cavity, regions, boundaries, [tip])


def _meshed(
    cavity: BuriedCavity, regions: dict[str, list[int]], boundaries: dict[str, list[int]], tips: list[int]
) -> MeshQuality:
    """Name, size and mesh: fine at the tips (their radius), on the wall and in the gap to the surface."""
    import gmsh

    gmsh.model.geo.synchronize()
    groups(2, regions, boundaries)
    a, b = cavity.half_length, cavity.half_opening
    largest = LARGEST * min(cavity.width, cavity.thickness)
    wall = min(max(b / 2, a / 20), a / 6, cavity.gap / 3)
    features = [Feature(tips, b**2 / a / 4, 0), Feature(boundaries["cavity"], wall)]
    features += along(boundaries["lithium"], cavity.sizes)
    set_sizes(features, largest, cavity.half_length, cavity.sizes)
    return finish(2, cavity.half_length)

"""A conical or hemispherical metal tip pressed into the surface of a crystal (axisymmetric; x is the radius).

The crystal's free surface is z = 0; the tip has sunk in by `indentation` along the axis. Its apex is a sphere, which a cone
of the given half angle touches further up; without an angle the tip is the sphere alone.
"""

import math
from dataclasses import dataclass

from coupling.errors import UserError
from coupling.units import told
from meshes.drawing import NORMAL, Feature, MeshQuality, Pen, Sizes, finish, groups, require_below, require_positive, set_sizes

EDGE = 1 / 60
"""Element size at the edge of the contact, where the flux is singular, over the contact's radius."""


@dataclass(frozen=True)
class IndentedTip:
    """What is drawn. Region "crystal"; boundaries "tip", "surface" (free), "counter", "side" and "axis".

    Attributes:
        radius: of the crystal's cylinder, m.
        thickness: of the crystal, m.
        tip_radius: of the sphere at the apex, m.
        indentation: depth of the apex below the surface, m.
        half_angle: of the cone, degrees from its axis; None for a sphere alone.
        sizes: mesh-size rule.
    """

    radius: float
    thickness: float
    tip_radius: float
    indentation: float
    half_angle: float | None = None
    sizes: Sizes = NORMAL

    def __post_init__(self) -> None:
        """Refuse what does not fit. Raises UserError naming the key."""
        lengths = {"tip.radius": self.tip_radius, "tip.indentation": self.indentation}
        require_positive(**{"radius": self.radius, "electrolyte.thickness": self.thickness}, **lengths)
        if self.half_angle is not None and not 5 <= self.half_angle <= 85:
            raise UserError(f"geometry.tip.half_angle: read {self.half_angle:g} degrees; allowed is 5 to 85")
        if self.half_angle is None and self.indentation > self.tip_radius:
            most = told(self.tip_radius, "m")
            read = f"geometry.tip.indentation: read {told(self.indentation, 'm')}"
            raise UserError(f"{read}; a sphere sinks in by its radius, {most}, at most; make it less or give half_angle")
        require_below("tip.indentation", self.indentation, 0.8 * self.thickness, "0.8 of the crystal's thickness")
        require_below("tip.radius", self.contact_radius, 0.8 * self.radius, "0.8 of the crystal's radius (contact radius)")

    @property
    def cap(self) -> float:
        """Height of the spherical part that is inside the crystal, m."""
        if self.half_angle is None:
            return self.indentation
        return min(self.indentation, self.tip_radius * (1 - math.sin(math.radians(self.half_angle))))

    @property
    def cap_radius(self) -> float:
        """Radius where the spherical part ends, m."""
        return math.sqrt(self.cap * (2 * self.tip_radius - self.cap))

    @property
    def contact_radius(self) -> float:
        """Radius of the contact at the free surface, m."""
        slope = math.tan(math.radians(self.half_angle)) if self.half_angle is not None else 0.0
        return self.cap_radius + (self.indentation - self.cap) * slope

    @property
    def removed_volume(self) -> float:
        """Volume of the tip below the surface, m³."""
        cap = math.pi * self.cap**2 * (3 * self.tip_radius - self.cap) / 3
        r, a = self.cap_radius, self.contact_radius
        return cap + math.pi * (self.indentation - self.cap) * (r**2 + r * a + a**2) / 3

    @property
    def contact_area(self) -> float:
        """Area of the tip that touches, m²."""
        r, a = self.cap_radius, self.contact_radius
        return math.pi * (2 * self.tip_radius * self.cap + (r + a) * math.hypot(a - r, self.indentation - self.cap))


def draw(tip: IndentedTip) -> MeshQuality:
    """Draw and mesh half a section in the current gmsh model (one rank); nodes in metres."""
    import gmsh

    unit = tip.contact_radius
    pen = Pen(unit)
    apex, centre = pen.point(0, tip.indentation), pen.point(0, tip.indentation - tip.tip_radius)
    end = pen.point(tip.cap_radius, tip.indentation - tip.cap)
    contact = [int(gmsh.model.geo.addCircleArc(end, centre, apex))]
    edge = end
    if tip.cap < tip.indentation:
        edge = pen.point(tip.contact_radius, 0)
        contact = [*pen.chain([edge, end]), *contact]
    corners = [pen.point(tip.radius, 0), pen.point(tip.radius, tip.thickness), pen.point(0, tip.thickness)]
    surface, side, counter, axis = pen.chain([edge, *corners, apex])
    regions = {"crystal": [pen.surface(surface, side, counter, axis, *(-curve for curve in reversed(contact)))]}
    gmsh.model.geo.synchronize()
    boundaries = {"tip": contact, "surface": [surface], "side": [side], "counter": [counter], "axis": [axis]}
    groups(2, regions, boundaries)
    sphere = min(tip.tip_radius, tip.contact_radius) / 8
    features = [Feature([edge], EDGE * tip.contact_radius, 0), Feature([contact[-1]], sphere), Feature(contact, unit / 8)]
    set_sizes(features, min(tip.radius, tip.thickness) / 8, unit, tip.sizes)
    return finish(2, unit)

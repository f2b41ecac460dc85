"""A spherical pit with a ring of crack around its equator (axisymmetric; x is the radius, y runs along the crack's normal).

One half of a tip's hemispherical pit with a vertical crack below it, completed by its mirror image in the free surface: the
axis of symmetry is the normal of the crack, which lies in y = 0.
"""

from dataclasses import dataclass

from meshes.drawing import NORMAL, Feature, MeshQuality, Pen, Sizes, finish, groups, require_positive, set_sizes

FAR = 25.0
"""Radius of the body over that of the crack: what is cut off changes the stress intensity by about FAR⁻³."""


@dataclass(frozen=True)
class CrackedPit:
    """What is drawn. Region "body"; boundaries "pit", "crack", "ligament", "outer" and "axis".

    Attributes:
        radius: of the pit, m.
        crack: length of the crack beyond the pit, m.
        sizes: mesh-size rule.
    """

    radius: float
    crack: float
    sizes: Sizes = NORMAL

    def __post_init__(self) -> None:
        """Refuse what is no length. Raises UserError naming the key."""
        require_positive(**{"tip.radius": self.radius, "flaw.depth": self.crack})

    @property
    def front(self) -> float:
        """Radius of the crack's front, m."""
        return self.radius + self.crack


def draw(pit: CrackedPit) -> MeshQuality:
    """Draw and mesh a quarter section in the current gmsh model (one rank); nodes in metres, curved triangles."""
    import gmsh

    unit, far = pit.front, FAR * pit.front
    pen = Pen(unit)
    mouth, pole, centre = pen.point(pit.radius, 0), pen.point(0, pit.radius), pen.point(0, 0)
    tip, right, top = pen.point(pit.front, 0), pen.point(far, 0), pen.point(0, far)
    arc = int(gmsh.model.geo.addCircleArc(pole, centre, mouth))
    outer = int(gmsh.model.geo.addCircleArc(right, centre, top))
    crack, ligament, axis = (pen.chain(pair)[0] for pair in ([mouth, tip], [tip, right], [top, pole]))
    body = pen.surface(arc, crack, ligament, outer, axis)
    gmsh.model.geo.synchronize()
    boundaries = {"pit": [arc], "crack": [crack], "ligament": [ligament], "outer": [outer], "axis": [axis]}
    groups(2, {"body": [body]}, boundaries)
    near = min(pit.radius, pit.crack)
    features = [Feature([tip], pit.crack / 100, 0), Feature([mouth], near / 20, 0), Feature([crack], pit.crack / 12),
                Feature([arc], pit.radius / 12)]  # fmt: skip
    set_sizes(features, far / 6, unit, pit.sizes)
    return finish(2, unit, order=2)

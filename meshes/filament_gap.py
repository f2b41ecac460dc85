"""A layer with a cylindrical metal filament that ends short of the counter electrode (axisymmetric; x is the radius)."""

from dataclasses import dataclass

from coupling.errors import UserError
from coupling.units import told
from meshes.drawing import NORMAL, Feature, MeshQuality, Pen, Sizes, finish, groups, require_below, require_positive, set_sizes

BEYOND = 3.0
"""Layer beyond the filament and the electrode over its thickness: fields decay there as exp(-π x/2L)."""


@dataclass(frozen=True)
class FilamentGap:
    """What is drawn. Region "layer"; boundaries "tip", "wall" (none at zero length), "electrode", "surface", "side", "counter".

    Attributes:
        radius: of the filament, m.
        length: of the filament from the surface y = 0, m; 0 is a disk on the surface.
        thickness: of the layer, m.
        electrode_radius: of the disk on the surface that the filament starts from, m; equal to `radius`: none beside it.
        sizes: mesh-size rule.
    """

    radius: float
    length: float
    thickness: float
    electrode_radius: float
    sizes: Sizes = NORMAL

    def __post_init__(self) -> None:
        """Refuse what does not fit. Raises UserError naming the key."""
        require_positive(**{"filament.radius": self.radius, "electrolyte.thickness": self.thickness})
        require_below("filament.length", self.length, self.thickness, "the thickness of the layer")
        if self.electrode_radius < self.radius:
            read = f"geometry.electrode_radius: read {told(self.electrode_radius, 'm')}"
            raise UserError(f"{read}; at least the filament's radius, {told(self.radius, 'm')}")

    @property
    def gap(self) -> float:
        """Between filament and counter electrode, m."""
        return self.thickness - self.length


def draw(what: FilamentGap) -> MeshQuality:
    """Draw and mesh half a section in the current gmsh model (one rank); nodes in metres."""
    import gmsh

    r, y, L, R = what.radius, what.length, what.thickness, what.electrode_radius
    pen = Pen(r)
    axis, rim = pen.point(0, y), pen.point(r, y)
    corners, names = [axis, rim], ["tip"]
    if y > 0:
        corners, names = [*corners, pen.point(r, 0)], [*names, "wall"]
    if r * (1 + 1e-9) < R:
        corners, names = [*corners, pen.point(R, 0)], [*names, "electrode"]
    edge = corners[-1]
    far = R + BEYOND * L
    corners += [pen.point(far, 0), pen.point(far, L), pen.point(0, L), axis]
    curves = dict(zip([*names, "surface", "side", "counter", "axis"], pen.chain(corners), strict=True))
    layer = pen.surface(*curves.values())
    gmsh.model.geo.synchronize()
    groups(2, {"layer": [layer]}, {name: [curve] for name, curve in curves.items()})
    near = min(r, what.gap)
    features = [Feature([rim], near / 40, 0), Feature([curves["tip"]], near / 6), Feature([edge], R / 40, 0)]
    if y > 0:
        features.append(Feature([curves["wall"]], r / 3))
    set_sizes(features, L / 4, r, what.sizes)
    return finish(2, r)

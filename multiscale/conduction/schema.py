"""What a user may write in the case.toml of a conduction case: a geometry, what its regions conduct, and an applied current."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, create_model, model_validator

from coupling.errors import UserError
from coupling.toml_input import AtKey, Flag, InUnit, Table, Whole
from meshes.voxels import Labels
from multiscale.case import Choice
from multiscale.case_units import CurrentDensity, Length, Temperature

Angle = Annotated[float, InUnit("degree")]
Seed = Annotated[Whole, Field(ge=0)]
Names = tuple[Annotated[str, Field(min_length=1)], ...]


class Region(Table):
    """What a region conducts: the ionic conductivity of a material file, or one stated here with its `source`."""

    material: str | None = None
    conductivity: Annotated[float, InUnit("S/m", above=0.0)] | None = None
    source: str = ""

    @model_validator(mode="after")
    def _one_origin(self) -> "Region":
        if (self.material is None) == (self.conductivity is None):
            raise AtKey(("material",), "give exactly one of material and conductivity")
        if self.conductivity is not None and not self.source.strip():
            raise AtKey(("source",), "say where the conductivity comes from")
        return self


class Layer(Region):
    """A region of given thickness."""

    thickness: Length


class Film(Layer):
    """An interlayer on rough contact: it "fills" the voids or "bridges" them."""

    mode: Literal["fills", "bridges"] = "fills"


Spread = Annotated[float, Field(ge=0, le=0.5)]


class Grains(Layer):
    """A polycrystal of given mean area or volume of its grains (`grain_size` to the power of the dimension).

    `grain_size_spread`: standard deviation of the logarithm of the equivalent diameter, log-normal; 0 (unless given) leaves the
    sizes to relaxed Voronoi cells, about 0.1.
    """

    grain_size: Length
    grain_size_spread: Spread = 0.0


class ThinBoundary(Region):
    """Grain boundaries of a width too small to mesh; with a `material` also by its `conductivity_ratio` to the grains."""

    width: Length


class BoundedGrains(Grains):
    """A polycrystal whose boundaries may resist."""

    grain_boundary: ThinBoundary | None = None


class Contact(Table):
    """Roughness of the electrolyte's surface, and the share of the plane that does not touch."""

    roughness: Length
    correlation_length: Length
    void_fraction: Annotated[float, Field(ge=0, le=0.95)]


class Cavity(Table):
    """A pore (`radius`) or a crack (`half_length`, `half_opening`, `tilt` from the surface) below the lithium surface.

    With a `filling` the inside conducts too; without it is empty.
    """

    kind: Literal["pore", "crack"]
    depth: Length
    radius: Length | None = None
    half_length: Length | None = None
    half_opening: Length | None = None
    tilt: Angle = 0.0
    filling: Region | None = None

    @model_validator(mode="after")
    def _has_its_size(self) -> "Cavity":
        pore = ("radius",)
        crack = ("half_length", "half_opening")
        wanted, foreign = (pore, crack) if self.kind == "pore" else (crack, pore)
        for key in wanted:
            if getattr(self, key) is None:
                raise AtKey((key,), f"a {self.kind} needs {' and '.join(wanted)}; add it")
        for key in foreign:
            if getattr(self, key) is not None:
                raise AtKey((key,), f"a {self.kind} has no {key}; take it out")
        if self.kind == "pore" and self.tilt:
            raise AtKey(("tilt",), "a pore is round; take it out")
        return self

    @property
    def axes(self) -> tuple[float, float]:
        """Half length and half opening, m."""
        if self.radius is not None:
            return self.radius, self.radius
        assert self.half_length is not None
        assert self.half_opening is not None
        return self.half_length, self.half_opening


class Tip(Table):
    """A metal tip in a crystal: a sphere of `radius`, or a cone of `half_angle` from its axis that ends in one."""

    shape: Literal["hemisphere", "cone"]
    radius: Length
    indentation: Length
    half_angle: Angle | None = None

    @model_validator(mode="after")
    def _has_its_angle(self) -> "Tip":
        if (self.shape == "cone") != (self.half_angle is not None):
            raise AtKey(("half_angle",), "a cone needs half_angle; a hemisphere has none")
        return self


class Phase(Region):
    """A phase of a voxel image: its `labels` ("1", or a range "128..255") and the name of its region."""

    name: str = Field(min_length=1)
    labels: str

    @model_validator(mode="after")
    def _labels_are_whole(self) -> "Phase":
        try:
            Labels.parse(self.labels)
        except UserError as error:
            raise AtKey(("labels",), str(error).partition("; ")[2]) from None
        return self


class Structure(Table):
    """What every geometry has. `resolution` divides all element sizes."""

    resolution: Annotated[float, Field(ge=0.05, le=20)] = 1.0


class RoughContact(Structure):
    """Lithium on a rough electrolyte with contact voids, in 2-D."""

    kind: Literal["rough-contact"]
    dimension: Literal[2]
    width: Length
    seed: Seed
    electrolyte: Layer
    interlayer: Film | None = None
    contact: Contact


class BuriedCavity(Structure):
    """A pore or crack near the lithium surface: a plane cell, or axisymmetric (then `width` is the cylinder's radius)."""

    kind: Literal["buried-cavity"]
    dimension: Literal[2]
    axisymmetric: Flag = False
    width: Length
    electrolyte: Layer
    cavity: Cavity


class TipOnCrystal(Structure):
    """A tip pressed into a crystal of given `radius`; axisymmetric. The tip is the electrode that is plated."""

    kind: Literal["tip-on-crystal"]
    dimension: Literal[2]
    radius: Length
    electrolyte: Layer
    tip: Tip


class GrainBlock(Structure):
    """A layered cell in 3-D: interlayer on a polycrystal whose boundaries have no thickness."""

    kind: Literal["layered-polycrystal"]
    dimension: Literal[3]
    width: Length
    breadth: Length
    seed: Seed
    electrolyte: Grains
    interlayer: Layer | None = None


class ConductingBlock(GrainBlock):
    """The same for steady conduction, where thin grain boundaries may resist."""

    electrolyte: BoundedGrains


class Packing(Structure):
    """Spheres of a CSV file (x, y, z, radius with units; perhaps phase) in a box; lithium below, counter electrode above.

    `swell` makes all radii larger by a share, so that particles that touch form necks. The box is that of the particles
    less `trim` on every side (half the smallest radius unless given).
    """

    kind: Literal["packing"]
    dimension: Literal[3]
    particles: str
    swell: Annotated[float, Field(ge=0, le=0.5)] = 0.0
    trim: Length | None = None
    phases: dict[str, Region] = Field(min_length=1)
    matrix: Region | None = None


class Voxels(Structure):
    """A segmented image, one cell a voxel; labels without a phase are left out. Electrodes are faces of the image."""

    kind: Literal["voxels"]
    dimension: Literal[2, 3]
    image: str
    voxel: tuple[Length, ...] = Field(min_length=1, max_length=3)
    crop: tuple[tuple[Whole, Whole], ...] = ()
    coarsen: Annotated[Whole, Field(ge=1)] = 1
    phase: tuple[Phase, ...] = Field(min_length=1)
    lithium: Names = ("bottom",)
    counter: Names = ("top",)

    @model_validator(mode="after")
    def _phases_are_apart(self) -> "Voxels":
        for k, phase in enumerate(self.phase):
            mine = Labels.parse(phase.labels)
            for other in self.phase[:k]:
                theirs = Labels.parse(other.labels)
                if other.name == phase.name:
                    raise AtKey(("phase", k, "name"), "two phases have this name; each needs one of its own")
                if mine.first <= theirs.last and theirs.first <= mine.last:
                    raise AtKey(("phase", k, "labels"), f"{other.name} has labels of these, {theirs}; each belongs to one phase")
        return self


class UserMesh(Structure):
    """A mesh file with named regions and boundaries; `unit` is the length of one of its units."""

    kind: Literal["mesh"]
    dimension: Literal[2, 3]
    file: str
    unit: Length
    axisymmetric: Flag = False
    regions: dict[str, Region] = Field(min_length=1)
    lithium: Names = Field(default=("lithium",), min_length=1)
    counter: Names = Field(default=("counter",), min_length=1)


Geometry = RoughContact | BuriedCavity | TipOnCrystal | GrainBlock | Packing | Voxels | UserMesh
KINDS: dict[str, type[Structure]] = {
    "rough-contact": RoughContact, "buried-cavity": BuriedCavity, "tip-on-crystal": TipOnCrystal,
    "layered-polycrystal": ConductingBlock, "packing": Packing, "voxels": Voxels, "mesh": UserMesh,
}  # fmt: skip
"""Geometries by their kind."""


class Drive(Table):
    """The applied current density, counted on the counter electrode's cross-section, and how its focus is read.

    `window`: radius over which the current density on the lithium is averaged; without it no focusing factor is told, because
    at an edge it has no finite value.
    """

    current_density: CurrentDensity
    window: Length | None = None


class Conditions(Table):
    """What the cell is held at."""

    temperature: Temperature


class ConductionFile(Table):
    """What the case.toml of a conduction case may hold."""

    geometry: Any
    title: str
    question: str
    conditions: Conditions
    conduction: Drive
    properties: Choice = Choice()
    uses: ClassVar[str] = "steady ionic conduction"


def file_model(kind: str) -> type[ConductionFile]:
    """The model of a case file with a geometry of a kind."""
    return create_model("ConductionFile", __base__=ConductionFile, geometry=(KINDS[kind], ...))


def json_schema() -> dict[str, Any]:
    """JSON Schema of the case.toml of a conduction case, for editors: one alternative for each kind of geometry."""
    alternatives = [file_model(kind).model_json_schema() for kind in KINDS]
    definitions: dict[str, Any] = {}
    for alternative in alternatives:
        definitions |= alternative.pop("$defs")  # references start at the top of the whole schema
    return {"oneOf": alternatives, "$defs": definitions}

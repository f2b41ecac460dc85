"""A case folder: what a user writes in case.toml, checked before anything long starts."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator

from coupling.errors import UserError
from coupling.library import ORDER, QUANTITIES, Material, choose
from coupling.rate_table import RateTable
from coupling.record import Property
from coupling.store import read_records
from coupling.toml_input import (
    AtKey,
    Flag,
    InUnit,
    Location,
    Source,
    Table,
    Whole,
    fraction,
    nearest,
    read,
    require_within,
    validate,
)
from multiscale.case_folder import CaseFolder, material_folders, materials_named, refuse_other_kinds, require_case
from multiscale.case_units import CurrentDensity, Length, LithiumTemperature, MouthWidth, Pressure, refuse_others, refuse_twice

Kind = Literal["md", "measured", "derived", "assumed"]


class GrainBoundary(Table):
    """Boundaries between grains, meshed as a region of their own."""

    material: str
    width: Length


class Electrolyte(Table):
    """The polycrystalline solid electrolyte."""

    material: str
    thickness: Length
    grain_size: Length
    grain_boundary: GrainBoundary


class Interlayer(Table):
    """A layer between lithium and electrolyte: an interphase that forms, or a coating that is applied.

    `passage`: material file with the interfacial resistance between layer and electrolyte, put in series within the layer.
    `voids`: what the layer does to the voids of [geometry.contact]: "fills" them (conformal), or "bridges" (they stay empty).
    """

    material: str
    thickness: Length
    lines_flaw: Flag = True
    passage: str | None = None
    voids: Literal["fills", "bridges"] = "fills"


class Contact(Table):
    """Rough contact: the polycrystal's surface is a Gaussian random field, of which `void_fraction` does not touch.

    Bare lithium leaves the voids empty. The flaw's mouth lies in a contact, at a random place.
    """

    roughness: Length
    correlation_length: Length
    void_fraction: Annotated[float, Field(gt=0, le=0.9)]
    source: Source


class Inhomogeneity(Table):
    """Nano-mechanical inhomogeneity: moduli and toughness of the polycrystal times random factors of mean one.

    The deviations are those of the factors' logarithms, about the relative scatter.
    """

    modulus_deviation: Annotated[float, Field(ge=0, le=1)]
    toughness_deviation: Annotated[float, Field(ge=0, le=1)]
    correlation_length: Length
    source: Source


class Flaw(Table):
    """A narrow lithium-filled crack that starts at the lithium surface.

    `depth_range` says how well the depth is known; the error bar of the critical current carries it.
    """

    kind: Literal["crack"]
    depth: Length
    depth_range: tuple[Length, Length] | None = None
    mouth: MouthWidth
    at: Literal["grain-boundary", "grain"]
    source: Source

    @model_validator(mode="after")
    def _depth_lies_in_its_range(self) -> "Flaw":
        require_within("depth", self.depth, self.depth_range)
        return self


class Geometry(Table):
    """The representative cell: sides insulating, lithium below, counter electrode above."""

    kind: Literal["layered-polycrystal"]
    dimension: Literal[2]
    width: Length
    seed: Annotated[Whole, Field(ge=0)]
    electrolyte: Electrolyte
    interlayer: Interlayer | None = None
    contact: Contact | None = None
    inhomogeneity: Inhomogeneity | None = None
    flaw: tuple[Flaw, ...] = Field(min_length=1, max_length=1)


class Conditions(Table):
    """Temperature and the pressure that the cell is held under."""

    temperature: LithiumTemperature
    stack_pressure: Pressure


class Interface(Table):
    """The lithium side: metal and charge-transfer properties."""

    metal: str
    charge_transfer: str


Mechanism = Literal["initiation", "nucleation", "voiding"]
SWITCHES = ("flux-detour", "mechanical-inhomogeneity", "lithium-creep")
"""What `physics.attribute` can tell the worth of."""
Switch = Literal["flux-detour", "mechanical-inhomogeneity", "lithium-creep"]


class Physics(Table):
    """Which physics is solved.

    `mechanisms`: "initiation" always; "nucleation" and "voiding" with the tables of these names, which are idle without.
    `lithium_creep = false` keeps lithium from extruding out of the flaw. `flux_detour = false` closes contact voids and lets
    grain boundaries conduct like grains. `mechanical_inhomogeneity = false` evens [geometry.inhomogeneity] out. `attribute`:
    each of these is switched off in turn, at the best values in every microstructure, and what that changes is told.
    """

    transport: Literal["single-ion"]
    mechanics: Literal["elastic"]
    mechanisms: tuple[Mechanism, ...] = Field(min_length=1)
    lithium_creep: Flag = True
    flux_detour: Flag = True
    mechanical_inhomogeneity: Flag = True
    attribute: tuple[Switch, ...] = ()

    @field_validator("mechanisms", mode="before")
    @classmethod
    def _of_this_kind(cls, mechanisms: object) -> object:
        return refuse_others(mechanisms, ("propagation",))

    @model_validator(mode="after")
    def _initiation_is_always_there(self) -> "Physics":
        if "initiation" not in self.mechanisms:
            raise AtKey(("mechanisms",), 'the others are told beside it: add "initiation"')
        refuse_twice(self.attribute)
        return self

    def off(self) -> frozenset[str]:
        """Names of the switches that the case itself turns off."""
        on = dict(zip(SWITCHES, (self.flux_detour, self.mechanical_inhomogeneity, self.lithium_creep), strict=True))
        return frozenset(name for name, state in on.items() if not state)


class Nucleation(Table):
    """Lithium that forms inside the interlayer: one island expected on `area` in a half cycle is a short.

    `nucleus`, `electrons`: material files with what the nucleus and the leakage need. `rates`: file of records, beside case.toml,
    with the rates of `multiscale md` over overpotential and pressure; without it they are those of classical theory.
    `sampled_half_cycles`: how many the seeded stochastic source draws at the critical current of this mechanism.
    """

    nucleus: str
    electrons: str
    half_cycle: Annotated[float, InUnit("s", above=0.0)]
    area: Annotated[float, InUnit("m^2", above=0.0)]
    rates: str | None = None
    sampled_half_cycles: Annotated[Whole, Field(ge=0, le=1_000_000)] = 1000


class Voiding(Table):
    """Voids on the stripped electrode: its own limit, beside the critical current. `voids`: material file with what it needs."""

    voids: str


class Protocol(Table):
    """The current is raised from `first` until the flaw cracks or `maximum` is reached."""

    kind: Literal["steady-ramp"]
    first: CurrentDensity
    maximum: CurrentDensity

    @model_validator(mode="after")
    def _ramp_goes_up(self) -> "Protocol":
        if self.maximum <= self.first:
            raise AtKey(("maximum",), "maximum must be above first")
        return self


class Atomistic(Table):
    """What is computed by molecular dynamics.

    `potential`: a shipped name, a folder of our format, "chgnet", "sevennet", "mace_mp:NAME", a LAMMPS potential file (.toml),
    or a MACE model file (.model, .pt, .pth); paths start at the case folder. The last is a pickle, which can run any code as you
    when it is opened: `allow_pickle = true` says that you trust whoever made it. `committee`: which members of the potential
    compute ("first", "statics": all but for molecular dynamics, "all"); unset, a quick study takes "statics", the others "all".
    `quality = "shipped"` runs nothing: the records that come with the product are taken (cases/_records), if they are of this
    potential, these phases and this disorder.
    """

    potential: str = Field(min_length=1)
    allow_pickle: Flag = False
    quality: Literal["shipped", "quick", "standard", "production"]
    phases: tuple[str, ...] = Field(min_length=1)
    disorder: Annotated[float, AfterValidator(fraction)]
    seed: Annotated[Whole, Field(ge=0)]
    committee: Literal["first", "statics", "all"] | None = None

    @model_validator(mode="after")
    def _pickles_are_allowed_in_so_many_words(self) -> "Atomistic":
        if self.potential.endswith((".model", ".pt", ".pth")) and not self.allow_pickle:
            told = "a pickled model can run any code as you when it is opened, so it is refused"
            raise AtKey(("potential",), f"{told}; where you trust whoever made it, add allow_pickle = true")
        return self


class Choice(Table):
    """Which number is used where several are known: an order of kinds, and exceptions by "material.quantity".

    The order has two exceptions of its own (a bound, a doubtful number of molecular dynamics): see `coupling.library.choose`.
    """

    order: tuple[Kind, ...] = ("md", "measured", "derived", "assumed")
    use: dict[str, Kind] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _every_kind_has_a_place(self) -> "Choice":
        if sorted(self.order) != sorted(ORDER):
            raise AtKey(("order",), f"order must name each of {', '.join(ORDER)} once")
        return self

    def ranked(self, key: str, candidates: Iterable[Property]) -> list[Property]:
        """Candidates for "material.quantity", the one to use first."""
        return choose(candidates, self.order, self.use.get(key))


class Uncertainty(Table):
    """How the error bar is made: `designs` model runs carry a surrogate that `samples` draws go through."""

    level: Annotated[float, Field(ge=0.5, le=0.99)]
    samples: Annotated[Whole, Field(ge=100, le=1_000_000)]
    designs: Annotated[Whole, Field(ge=8, le=10_000)]
    microstructures: Annotated[Whole, Field(ge=1, le=1000)]
    seed: Annotated[Whole, Field(ge=0)]


class CaseFile(Table):
    """What case.toml may hold."""

    title: str
    question: str
    geometry: Geometry
    interface: Interface
    conditions: Conditions
    physics: Physics
    nucleation: Nucleation | None = None
    voiding: Voiding | None = None
    protocol: Protocol
    atomistic: Atomistic | None = None
    properties: Choice = Choice()
    uncertainty: Uncertainty

    @model_validator(mode="after")
    def _mechanisms_have_their_tables(self) -> "CaseFile":
        for name in ("nucleation", "voiding"):
            if name in self.physics.mechanisms and getattr(self, name) is None:
                raise AtKey((name,), f'physics.mechanisms names "{name}": add this table, or take the mechanism out')
        if "nucleation" in self.physics.mechanisms and self.geometry.interlayer is None:
            raise AtKey(("physics", "mechanisms"), "nucleation is that inside an interlayer: add [geometry.interlayer]")
        if "mechanical-inhomogeneity" in self.physics.attribute and self.geometry.inhomogeneity is None:
            told = '"mechanical-inhomogeneity" switches nothing off here: add [geometry.inhomogeneity], or take the name out'
            raise AtKey(("physics", "attribute"), told)
        return self


@dataclass(frozen=True)
class Case(CaseFolder[CaseFile]):
    """A checked case: its folder, its settings, the materials it names, and a hash of all that decides the answer."""

    @property
    def attachments(self) -> list[Path]:
        """The file of nucleation rates, where one is named."""
        nucleation = self.settings.nucleation
        return [self.folder / nucleation.rates] if nucleation and nucleation.rates else []

    @property
    def rates(self) -> RateTable | None:
        """Nucleation rates of that file at the case's temperature. Raises UserError."""
        for path in self.attachments:
            return RateTable.of(read_records(path), self.settings.conditions.temperature)
        return None

    @property
    def potential(self) -> str:
        """The potential of [atomistic]; a path that starts at the case folder is told from where the command runs."""
        wanted = self.settings.atomistic
        assert wanted is not None
        path = self.folder / wanted.potential
        there = path.is_file() or any((path / name).exists() for name in ("config.json", "member-0"))
        return str(path) if there else wanted.potential


def load_case(folder: str | Path) -> Case:
    """Read and check a case folder.

    Whether its numbers are known and its cell can be drawn is for `parameters.validate` to say.

    Raises:
        UserError: the folder is none or holds no case.toml; any wrong key, unit or value; an unknown material.
    """
    folder = Path(folder)
    require_case(folder)
    file = read(folder / "case.toml")
    refuse_other_kinds(file)
    settings = validate(file, CaseFile)
    case = Case(folder, settings, materials_of(file.path, settings, material_folders(folder)), file)
    _check_choice(case)
    try:
        _ = case.rates
    except UserError as error:
        raise UserError(file.complaint(("nucleation", "rates"), str(error))) from None
    return case


ELECTROLYTE: Location = ("geometry", "electrolyte", "material")
BOUNDARY: Location = ("geometry", "electrolyte", "grain_boundary", "material")
INTERLAYER: Location = ("geometry", "interlayer", "material")
PASSAGE: Location = ("geometry", "interlayer", "passage")
NUCLEUS: Location = ("nucleation", "nucleus")
ELECTRONS: Location = ("nucleation", "electrons")
VOIDS: Location = ("voiding", "voids")
METAL: Location = ("interface", "metal")
CHARGE_TRANSFER: Location = ("interface", "charge_transfer")


def named_materials(settings: CaseFile) -> list[tuple[str, Location]]:
    """Every material that the case names, with the key that names it."""
    geometry, interface = settings.geometry, settings.interface
    named = [
        (geometry.electrolyte.material, ELECTROLYTE), (geometry.electrolyte.grain_boundary.material, BOUNDARY),
        (interface.metal, METAL), (interface.charge_transfer, CHARGE_TRANSFER),
    ]  # fmt: skip
    layer = geometry.interlayer
    named += [(layer.material, INTERLAYER)] if layer else []
    named += [(layer.passage, PASSAGE)] if layer and layer.passage else []
    nucleation, voiding = settings.nucleation, settings.voiding
    named += [(nucleation.nucleus, NUCLEUS), (nucleation.electrons, ELECTRONS)] if nucleation else []
    return named + ([(voiding.voids, VOIDS)] if voiding else [])


def materials_of(path: Path, settings: CaseFile, folders: list[Path]) -> dict[str, Material]:
    """Every material that the case file at `path` needs. Raises UserError that blames the file and line that names it."""
    return materials_named(path, named_materials(settings), folders)


def _check_choice(case: Case) -> None:
    """Every key of [properties.use] names a material of the case."""
    for key in case.settings.properties.use:
        material, _, quantity_name = key.partition(".")
        if material in case.materials and quantity_name not in QUANTITIES:
            where = ("properties", "use", key)
            hint = nearest(quantity_name, list(QUANTITIES))
            raise UserError(case.file.complaint(where, f'unknown quantity "{quantity_name}"; {hint}'))
        if material not in case.materials:
            where = ("properties", "use", key)
            hint = nearest(material, sorted(case.materials))
            raise UserError(case.file.complaint(where, f'read "{key}"; write "material.quantity"; {hint}'))


def json_schema() -> dict[str, Any]:
    """JSON Schema of case.toml, for editors."""
    return CaseFile.model_json_schema()

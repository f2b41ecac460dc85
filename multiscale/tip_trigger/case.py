"""A tip case: a case folder whose geometry is a tip on a polycrystal; the voltage is ramped at many places of a map."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from coupling.errors import UserError
from coupling.toml_input import AtKey, Flag, InUnit, Location, Source, Table, Whole, read, require_within, validate
from multiscale.case import Choice, GrainBoundary
from multiscale.case_folder import CaseFolder, material_folders, materials_named, require_case
from multiscale.case_numbers import Numbers
from multiscale.case_units import Length, LithiumTemperature, MouthWidth
from multiscale.materials import Elastic
from multiscale.mechanics.extrusion import Creep
from multiscale.mechanics.tip_contact import dome_extrusion
from multiscale.parameters import Parameter

KIND = "tip-on-polycrystal"
SMALLEST_RADIUS, LARGEST_RADIUS = 5e-9, 1e-6
"""Of a tip, m: below, neither a continuum nor a sharp toughness means anything; above, the field is no longer that of a point."""
MOST_VOLTS = 10.0
"""Largest voltage of a ramp, V."""
LARGEST_MAP = 400
"""Points along a side of the map."""
Radius = Annotated[float, InUnit("m", at_least=SMALLEST_RADIUS)]
Volts = Annotated[float, InUnit("V", above=0.0)]
VoltageRate = Annotated[float, InUnit("V/s", above=0.0, at_most=1e4, why="faster, the double layer does not follow")]
"""Charging the double layer under a tip takes C r/κ, some 1e-8 s (0.1 F/m², 20 nm, 0.1 S/m): far less than a step of mV here."""


class Grains(Table):
    """The polycrystal: bulk material, what the bulk's file does not hold (`contact`), grains and their boundaries."""

    material: str
    contact: str
    grain_size: Length
    grain_boundary: GrainBoundary


class Hemisphere(Table):
    """The tip, sunk into the surface by its radius. `gap`: opening between tip and crystal through which lithium creeps out.

    `radii`: further radii, told beside the map's for a nominal grain and boundary.
    """

    radius: Radius
    radii: tuple[Radius, ...] = Field(default=(), min_length=1, max_length=12)
    gap: MouthWidth
    gap_range: tuple[MouthWidth, MouthWidth] | None = None
    source: Source

    @model_validator(mode="after")
    def _is_a_tip(self) -> "Hemisphere":
        for key, values in (("radius", (self.radius,)), ("radii", self.radii)):
            if any(value > LARGEST_RADIUS for value in values):
                raise AtKey((key,), "at most 1 um; make it smaller")
        if len(set(self.radii)) < len(self.radii):
            raise AtKey(("radii",), "name each radius once")
        require_within("gap", self.gap, self.gap_range)
        if self.gap > 0.2 * min(self.radius, *self.radii, self.radius):
            raise AtKey(("gap",), "at most a fifth of the (smallest) radius; make it narrower")
        return self


class NanoFlaw(Table):
    """A flaw that goes on from the bottom of the pit; on a boundary it lies in the boundary."""

    depth: Length
    depth_range: tuple[Length, Length] | None = None
    source: Source

    @model_validator(mode="after")
    def _lies_in_its_range(self) -> "NanoFlaw":
        require_within("depth", self.depth, self.depth_range)
        return self


class TipGeometry(Table):
    """A square of the surface, `width` along a side, of a polycrystal of `seed`."""

    kind: Literal["tip-on-polycrystal"]
    width: Length
    seed: Annotated[Whole, Field(ge=0)]
    electrolyte: Grains
    tip: Hemisphere
    flaw: NanoFlaw

    @model_validator(mode="after")
    def _sizes_fit(self) -> "TipGeometry":
        if self.tip.radius > 0.25 * self.electrolyte.grain_size:
            raise AtKey(("tip", "radius"), "at most a quarter of the grain size: a grain must be seen between its boundaries")
        if not 0.02 <= self.flaw.depth / self.tip.radius <= 50:
            raise AtKey(("flaw", "depth"), "between 0.02 and 50 times the tip's radius")
        return self


class TipInterface(Table):
    """The metal (its creep), charge transfer, and the nucleus of lithium (surface energy, contact angle)."""

    metal: str
    charge_transfer: str
    nucleus: str


class TipConditions(Table):
    """What the sample is held at."""

    temperature: LithiumTemperature


class TipPhysics(Table):
    """Switches. Without "nucleation" lithium is there from the start; without "yield" the crystal can only crack, and so on.

    `nucleation`: "median" takes the median voltage everywhere, "seeded" draws one at each point.
    """

    mechanisms: tuple[Literal["nucleation", "fracture", "yield"], ...] = Field(min_length=1)
    nucleation: Literal["median", "seeded"] = "seeded"
    lithium_creep: Flag = True

    @model_validator(mode="after")
    def _something_can_give_way(self) -> "TipPhysics":
        if not {"fracture", "yield"} & set(self.mechanisms):
            raise AtKey(("mechanisms",), 'name "fracture", "yield" or both: nothing else can trigger')
        return self


class TipRamp(Table):
    """The voltage rises from zero at `rate` up to `maximum`, solved in steps of `step`."""

    kind: Literal["voltage-ramp"]
    rate: VoltageRate
    maximum: Volts
    step: Volts

    @model_validator(mode="after")
    def _steps_fit(self) -> "TipRamp":
        if not 1 <= self.maximum / self.step <= 10_000:
            raise AtKey(("step",), "between a ten-thousandth of maximum and maximum")
        if self.maximum > MOST_VOLTS:
            raise AtKey(("maximum",), f"at most {MOST_VOLTS:g} V: LLZO gives way long before; make it smaller")
        return self


class Map(Table):
    """`points` along each side; `seed` of toughness and nucleation."""

    points: Annotated[Whole, Field(ge=2, le=LARGEST_MAP)]
    seed: Annotated[Whole, Field(ge=0)]


class TipFile(Table):
    """What case.toml of a tip case may hold."""

    title: str
    question: str
    geometry: TipGeometry
    interface: TipInterface
    conditions: TipConditions
    physics: TipPhysics
    protocol: TipRamp
    map: Map
    properties: Choice = Choice()


class TipCase(CaseFolder[TipFile]):
    """A checked tip case."""


def is_tip_case(folder: str | Path) -> bool:
    """Whether a case folder holds a tip case. Raises UserError for what is no case folder or no TOML."""
    require_case(Path(folder))
    geometry = read(Path(folder) / "case.toml").data.get("geometry")
    return isinstance(geometry, dict) and geometry.get("kind") == KIND


ELECTROLYTE: Location = ("geometry", "electrolyte", "material")
CONTACT: Location = ("geometry", "electrolyte", "contact")
BOUNDARY: Location = ("geometry", "electrolyte", "grain_boundary", "material")
METAL, TRANSFER, NUCLEUS = (("interface", key) for key in ("metal", "charge_transfer", "nucleus"))


def load_tip_case(folder: str | Path) -> TipCase:
    """Read and check a tip case. Raises UserError: a wrong key, unit or value, an unknown material."""
    folder = Path(folder)
    require_case(folder)
    file = read(folder / "case.toml")
    settings = validate(file, TipFile)
    grains, interface = settings.geometry.electrolyte, settings.interface
    named: list[tuple[str, Location]] = [
        (grains.material, ELECTROLYTE), (grains.contact, CONTACT), (grains.grain_boundary.material, BOUNDARY),
        (interface.metal, METAL), (interface.charge_transfer, TRANSFER), (interface.nucleus, NUCLEUS),
    ]  # fmt: skip
    return TipCase(folder, settings, materials_named(file.path, named, material_folders(folder)), file)


@dataclass(frozen=True)
class TipInputs:
    """Numbers of a case, SI, and where each comes from (as `check` prints them); names as in the material files."""

    parameters: dict[str, Parameter]
    radius: float
    gap: float
    flaw_depth: float
    temperature: float
    conductivity: float
    boundary_ratio: float
    boundary_width: float
    elastic: Elastic
    toughness: float
    toughness_ratio: float
    toughness_spread: float
    hardness: float
    crystal_surface_energy: float
    exchange_current_density: float
    cathodic_transfer: float
    mechanical_transfer: float
    surface_energy: float
    contact_angle: float
    creep: Creep | None

    @property
    def area(self) -> float:
        """Of the contact, m²."""
        return 2 * math.pi * self.radius**2

    @property
    def boundary_sheet(self) -> float:
        """Resistance of a boundary beyond that of the grain in its place, ohm m²."""
        return self.boundary_width / self.conductivity * (1 / self.boundary_ratio - 1)

    @property
    def extrusion(self) -> Callable[[Any], Any] | None:
        """Flow of lithium out of the contact (m³/s) at a pressure (Pa), or None."""
        creep = self.creep
        if creep is None:
            return None
        unit = float(dome_extrusion(1e6, self.radius, self.gap / 2, creep, self.temperature))

        def flow(pressure: Any) -> Any:
            scaled = pressure / 1e6
            return unit * scaled * abs(scaled) ** (creep.exponent - 1)

        return flow


CREEP = ("reference_rate", "reference_stress", "exponent", "activation_energy", "size_factor")


def resolve(case: TipCase) -> TipInputs:
    """Every number of a case. Raises UserError: one is known nowhere, or not at the case's temperature."""
    settings, numbers = case.settings, Numbers(case)
    geometry, interface = settings.geometry, settings.interface
    grains, tip, of = geometry.electrolyte, geometry.tip, numbers.of
    bulk, contact, boundary = grains.material, grains.contact, grains.grain_boundary.material
    metal, transfer, nucleus = interface.metal, interface.charge_transfer, interface.nucleus
    creep = None
    if settings.physics.lithium_creep:
        creep = Creep(**{name: of(metal, METAL, f"creep_{name}") for name in CREEP})
    cathodic = of(transfer, TRANSFER, "cathodic_transfer_coefficient")
    found = TipInputs(
        parameters=numbers.parameters,
        radius=numbers.state("geometry.tip.radius", tip.radius, "m", f"case.toml: {tip.source}"),
        gap=numbers.state("geometry.tip.gap", tip.gap, "m", f"case.toml: {tip.source}", tip.gap_range),
        flaw_depth=numbers.state(
            "geometry.flaw.depth", geometry.flaw.depth, "m", f"case.toml: {geometry.flaw.source}", geometry.flaw.depth_range
        ),
        temperature=numbers.state("conditions.temperature", settings.conditions.temperature, "K", "case.toml: test condition"),
        conductivity=of(bulk, ELECTROLYTE, "ionic_conductivity"),
        boundary_ratio=of(boundary, BOUNDARY, "conductivity_ratio"),
        boundary_width=numbers.state(
            "geometry.electrolyte.grain_boundary.width", grains.grain_boundary.width, "m", "case.toml: geometry"
        ),
        elastic=Elastic(of(bulk, ELECTROLYTE, "youngs_modulus"), of(bulk, ELECTROLYTE, "poissons_ratio")),
        toughness=of(bulk, ELECTROLYTE, "fracture_toughness"),
        toughness_ratio=of(boundary, BOUNDARY, "toughness_ratio"),
        toughness_spread=of(contact, CONTACT, "toughness_spread"),
        hardness=of(contact, CONTACT, "hardness"),
        crystal_surface_energy=of(contact, CONTACT, "surface_energy"),
        exchange_current_density=of(transfer, TRANSFER, "exchange_current_density"),
        cathodic_transfer=cathodic,
        mechanical_transfer=of(transfer, TRANSFER, "mechanical_transfer_coefficient", cathodic),
        surface_energy=of(nucleus, NUCLEUS, "surface_energy"),
        contact_angle=of(nucleus, NUCLEUS, "contact_angle"),
        creep=creep,
    )
    if found.boundary_ratio > 1:
        told = f"conductivity_ratio of {boundary} is above 1: boundaries that conduct better than grains are not modelled here"
        raise UserError(case.file.complaint(BOUNDARY, told))
    return found

"""What a user may write in the case.toml of a transport case: ion transport through layers, in time."""

import itertools
from typing import Annotated, Any, Literal

from pydantic import Field, create_model, model_validator

from coupling.toml_input import AtKey, Flag, InUnit, Source, Table, Whole
from multiscale.case import Choice
from multiscale.case_units import Length, Temperature
from multiscale.conduction.schema import KINDS, GrainBlock, Grains, Spread
from multiscale.transport.rate_expressions import DeclaredReaction, ExpressionError
from multiscale.transport_cases.face_schema import Electrodes, GrainBoundaries, Junction, Voltage
from multiscale.transport_cases.lithium import holds_lithium
from multiscale.transport_cases.mechanics_schema import MOLAR_VOLUME, Mechanics, Shares, check_shares

Current = Annotated[float, InUnit("A/m^2")]
Time = Annotated[float, InUnit("s", above=0.0)]
Diffusivity = Annotated[float, InUnit("m^2/s", above=0.0)]
Concentration = Annotated[float, InUnit("mol/m^3", at_least=0.0)]


class StackLayer(Table):
    """One layer of a flat cell."""

    name: str = Field(min_length=1)
    material: str
    thickness: Length


class Polycrystal(Table):
    """The ceramic: grains and their boundaries.

    `grain_size_spread`: standard deviation of the logarithm of the equivalent diameter, log-normal; 0 (unless given) leaves the
    sizes to relaxed Voronoi cells, about 0.1.
    """

    material: str
    thickness: Length
    grain_size: Length
    grain_size_spread: Spread = 0.0
    grain_boundary: GrainBoundaries


class Coating(Table):
    """The layer between the working electrode and the ceramic."""

    material: str
    thickness: Length


class PartialContact(Table):
    """Part of the working electrode that touches the first layer (the middle one of a cell `width` wide); the rest is void."""

    width: Length


class CellGeometry(Table):
    """The cell, from the working electrode to the counter electrode.

    "layers": flat layers, in 1-D, or in 2-D with a `width` and perhaps a `contact`. "layered-polycrystal": an interlayer on a
    polycrystal, in 2-D.
    """

    kind: Literal["layers", "layered-polycrystal"]
    dimension: Literal[1, 2]
    layer: tuple[StackLayer, ...] = ()
    width: Length | None = None
    contact: PartialContact | None = None
    seed: Annotated[Whole, Field(ge=0)] = 0
    interlayer: Coating | None = None
    electrolyte: Polycrystal | None = None
    resolution: Annotated[float, Field(gt=0.05, lt=20)] = 1.0

    @model_validator(mode="after")
    def _belongs_together(self) -> "CellGeometry":
        flat = self.kind == "layers"
        needed = ["layer"] if flat else ["interlayer", "electrolyte"]
        needed += ["width"] if self.dimension == 2 or not flat else []
        foreign = ["interlayer", "electrolyte"] if flat else ["layer", "contact"]
        foreign += ["width", "contact"] if self.dimension == 1 else []
        for key in needed:
            if not getattr(self, key):
                raise AtKey((key,), f'a {self.dimension}-D geometry of kind "{self.kind}" needs {key}; add it')
        for key in foreign:
            if key not in needed and getattr(self, key):
                raise AtKey((key,), f'a {self.dimension}-D geometry of kind "{self.kind}" has no {key}; take it out')
        if not flat and self.dimension != 2:
            raise AtKey(("dimension",), "a polycrystal is drawn in two dimensions; write 2")
        if self.contact and self.width and not self.contact.width < self.width:
            raise AtKey(("contact", "width"), "the contact must be narrower than the cell")
        names = [layer.name for layer in self.layer]
        if len(set(names)) < len(names):
            raise AtKey(("layer",), "each layer needs a name of its own")
        return self

    @property
    def media(self) -> dict[str, str]:
        """Material of each medium, from the working electrode on."""
        if self.interlayer and self.electrolyte:
            return {"interlayer": self.interlayer.material, "electrolyte": self.electrolyte.material}
        return {layer.name: layer.material for layer in self.layer}

    @property
    def thickness(self) -> dict[str, float]:
        """Thickness of each medium, m."""
        if self.interlayer and self.electrolyte:
            return {"interlayer": self.interlayer.thickness, "electrolyte": self.electrolyte.thickness}
        return {layer.name: layer.thickness for layer in self.layer}


class Ion(Table):
    """A mobile species. Numbers stated here need a `source`; those left out come from the material.

    `lithium6`: share of ⁶Li among its lithium, for the attenuation of neutrons (natural: 0.0759).
    `partial_molar_volume` (with [mechanics]): the medium swells by it, and the ion drifts down the gradient of the pressure;
    `expansion_shares` of the swelling along x, y, z (evenly unless given).
    """

    name: str = Field(min_length=1)
    charge: Annotated[Whole, Field(ge=-4, le=4)]
    diffusivity: Diffusivity | None = None
    concentration: Concentration | None = None
    sites: Annotated[float, Field(gt=0)] = 1.0
    lithium6: Annotated[float, Field(ge=0, le=1)] | None = None
    partial_molar_volume: Annotated[float, MOLAR_VOLUME] | None = None
    expansion_shares: Shares | None = None
    source: str = ""

    @model_validator(mode="after")
    def _numbers_have_a_source(self) -> "Ion":
        stated = (self.diffusivity, self.concentration, self.partial_molar_volume)
        if any(number is not None for number in stated) and not self.source.strip():
            raise AtKey(("source",), "say where diffusivity, concentration and partial_molar_volume come from")
        if self.expansion_shares is not None and self.partial_molar_volume is None:
            raise AtKey(("expansion_shares",), "it goes with partial_molar_volume; add that or take this out")
        check_shares(self.expansion_shares, "expansion_shares")
        if self.lithium6 is not None and not holds_lithium(self.name):
            raise AtKey(("lithium6",), f"{self.name} holds no lithium; take it out, or write Li in the name of the species")
        if self.name == "potential":
            raise AtKey(("name",), "that is the name of the electric potential; choose another")
        return self


class Turnover(Table):
    """A homogeneous reaction: `rate` is an expression in the names of `species` (mol/m³), of `constants`, T, F and R.

    `makes`: how many of each species one turnover makes (negative: consumes).
    """

    rate: str = Field(min_length=1)
    makes: dict[str, Annotated[float, Field(ge=-20, le=20)]] = Field(min_length=1)
    species: dict[str, str] = Field(default_factory=dict)
    constants: dict[str, str] = Field(default_factory=dict)
    source: Source

    @property
    def declared(self) -> DeclaredReaction:
        """As the continuum takes it."""
        return DeclaredReaction(self.rate, self.makes, self.species, self.constants)


class Transport(Table):
    """Transport in one medium: what determines the potential, and which ions move.

    `regions`: of the mesh that the medium covers, where the geometry names regions (unless given, the one of its own name).
    `grain_boundary`: thin layers on the faces between these regions, which are then grains (Ohm's law only).
    `relative_permittivity` of an Ohmic medium: its displacement current, in the impedance alone.
    """

    closure: Literal["ohm", "electroneutral", "poisson"]
    regions: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    grain_boundary: GrainBoundaries | None = None
    species: tuple[Ion, ...] = Field(min_length=1)
    relative_permittivity: Annotated[float, Field(gt=0)] | None = None
    fixed_charge: Annotated[float, InUnit("C/m^3")] | None = None
    site_density: Annotated[float, InUnit("mol/m^3", above=0.0)] | None = None
    reaction: tuple[Turnover, ...] = ()
    source: str = ""

    @model_validator(mode="after")
    def _reactions_are_known(self) -> "Transport":
        charges = {ion.name: ion.charge for ion in self.species}
        for number, reaction in enumerate(self.reaction):
            if self.closure == "ohm":
                raise AtKey(("reaction",), "the concentration of an Ohmic medium is fixed: nothing reacts in it")
            for key, named in (("makes", reaction.makes), ("species", reaction.species.values())):
                for name in named:
                    if name not in charges:
                        raise AtKey(("reaction", number, key), f'no such species "{name}"; there are: {", ".join(charges)}')
            if abs(sum(n * charges[name] for name, n in reaction.makes.items())) > 1e-9:
                raise AtKey(("reaction", number, "makes"), "what one turnover makes carries a charge; charge must be kept")
            try:
                reaction.declared.parsed()
            except ExpressionError as error:
                raise AtKey(("reaction", number, "rate"), str(error)) from None
        return self

    @model_validator(mode="after")
    def _fits_the_closure(self) -> "Transport":
        names = [ion.name for ion in self.species]
        if len(set(names)) < len(names):
            raise AtKey(("species",), "each species needs a name of its own")
        if self.closure == "ohm" and (len(names) != 1 or not self.species[0].charge):
            raise AtKey(("species",), "Ohm's law is that of one charged ion")
        if self.closure == "ohm" and self.species[0].partial_molar_volume is not None:
            raise AtKey(("species",), "the concentration of an Ohmic medium is fixed: its ion changes no volume")
        if self.closure == "ohm" and self.species[0].diffusivity is not None:
            raise AtKey(("species",), "the ion of an Ohmic medium has no diffusivity; its conductivity is the material's")
        if self.closure == "electroneutral" and (len(names) < 2 or not self.species[-1].charge):
            raise AtKey(("species",), "an electroneutral medium needs two species or more, the last one charged")
        if self.grain_boundary is not None and (self.closure != "ohm" or len(self.regions) < 2):
            raise AtKey(("grain_boundary",), "thin grain boundaries lie between two regions or more of an Ohmic medium")
        if self.grain_boundary is not None and self.grain_boundary.model != "thin":
            raise AtKey(("grain_boundary",), 'its boundaries have no width in the mesh; add model = "thin"')
        allowed = {"ohm": ("relative_permittivity",), "electroneutral": ("fixed_charge",)}.get(self.closure)
        for key in ("relative_permittivity", "fixed_charge", "site_density"):
            if getattr(self, key) is None:
                continue
            if allowed is not None and key not in allowed:
                raise AtKey((key,), f'closure "{self.closure}" does not use it; take it out')
            if not self.source.strip():
                raise AtKey(("source",), f"say where {key} comes from")
        return self


class Until(Table):
    """What ends a step: the first that is met. A time is always needed, since a voltage may never be reached."""

    time: Time
    voltage: Voltage | None = None
    current_density: Annotated[float, InUnit("A/m^2", above=0.0)] | None = None
    capacity: Annotated[float, InUnit("C/m^2", above=0.0)] | None = None


_STEP_KEYS = {
    "galvanostatic": ("current_density",), "potentiostatic": ("voltage",), "current-ramp": ("start", "rate"),
    "voltage-ramp": ("start_voltage", "voltage_rate"), "rest": (),
}  # fmt: skip


class Step(Table):
    """One step. Currents go from the working electrode's metal into the cell (stripping positive, plating negative)."""

    kind: Literal["galvanostatic", "potentiostatic", "current-ramp", "voltage-ramp", "rest"]
    until: Until
    current_density: Current | None = None
    voltage: Voltage | None = None
    start: Current | None = None
    rate: Annotated[float, InUnit("A/m^2/s")] | None = None
    start_voltage: Voltage | None = None
    voltage_rate: Annotated[float, InUnit("V/s")] | None = None

    @model_validator(mode="after")
    def _has_its_keys(self) -> "Step":
        wanted = _STEP_KEYS[self.kind]
        for key in wanted:
            if getattr(self, key) is None:
                raise AtKey((key,), f'a step of kind "{self.kind}" needs {" and ".join(wanted)}; add it')
        for key in {key for keys in _STEP_KEYS.values() for key in keys} - set(wanted):
            if getattr(self, key) is not None:
                told = f"it has {' and '.join(wanted)}" if wanted else "it has none of these"
                raise AtKey((key,), f'not a key of a step of kind "{self.kind}"; {told}')
        return self


class Protocol(Table):
    """Steps one after the other, and how they are followed in time.

    `on_depletion`: what an ion running out is: "fail" (the run has failed) or "end" (the answer: its time is the result).
    `cycles`: how often the steps are gone through; fields and maps are written for the first and the last time.
    Of the time steps, those left out follow from the case and keep within those that are stated.
    """

    cycles: Annotated[Whole, Field(ge=1, le=10_000)] = 1
    step: tuple[Step, ...] = Field(min_length=1)
    on_depletion: Literal["fail", "end"] = "fail"
    tolerance: Annotated[float, Field(gt=0, lt=0.5)] = 1e-3
    first_step: Time | None = None
    smallest_step: Time | None = None
    largest_step: Time | None = None

    @model_validator(mode="after")
    def _steps_are_in_order(self) -> "Protocol":
        names = [key for key in ("smallest_step", "first_step", "largest_step") if getattr(self, key) is not None]
        for low, high in itertools.pairwise(names):
            if getattr(self, low) > getattr(self, high):
                raise AtKey((low,), f"it is longer than {high}, {getattr(self, high):g} s; change one of the two")
        return self


class Attenuation(Table):
    """A synthetic neutron radiograph of the ions with a `lithium6`: attenuation against depth; the beam's way is `path`."""

    path: Length
    absorption_cross_section: Annotated[float, InUnit("m^2", above=0.0)]
    source: Source


class Output(Table):
    """What is written beside the figures."""

    window: Length | None = None
    profiles: Annotated[Whole, Field(ge=2, le=1000)] = 11
    fields: Flag = True
    attenuation: Attenuation | None = None


class Conditions(Table):
    """What the cell is held at."""

    temperature: Temperature


class TransportFile(Table):
    """What the case.toml of a transport case may hold."""

    title: str
    question: str
    geometry: Any
    conditions: Conditions
    transport: dict[str, Transport] = Field(min_length=1)
    electrode: Electrodes
    interface: tuple[Junction, ...] = ()
    mechanics: Mechanics | None = None
    protocol: Protocol
    output: Output = Output()
    properties: Choice = Choice()

    @model_validator(mode="after")
    def _attenuation_sees_something(self) -> "TransportFile":
        ions = [ion for t in self.transport.values() if t.closure != "ohm" for ion in t.species]
        if self.output.attenuation and all(ion.lithium6 is None for ion in ions):
            raise AtKey(("output", "attenuation"), "no ion with a concentration has a lithium6; add it to that species")
        return self


class ThinGrains(Grains):
    """A polycrystal whose boundaries have no thickness in the mesh: `grain_boundary` puts a thin layer there."""

    grain_boundary: GrainBoundaries | None = None

    @model_validator(mode="after")
    def _boundaries_are_thin(self) -> "ThinGrains":
        if self.grain_boundary is not None and self.grain_boundary.model != "thin":
            raise AtKey(("grain_boundary",), 'boundaries of grains in 3-D are thin layers; add model = "thin"')
        return self


class SolidCell(GrainBlock):
    """A layered cell in 3-D, interlayer on a polycrystal with thin boundaries; its media: "interlayer", "electrolyte"."""

    electrolyte: ThinGrains


CELLS = ("layers", "layered-polycrystal")
"""Kinds of flat cells; the others are geometries that conduction cases have too."""


def geometry_model(kind: Any, dimension: Any) -> type[Table]:
    """What the table [geometry] of a kind may hold."""
    if kind == "layered-polycrystal" and dimension == 3:
        return SolidCell
    return CellGeometry if kind in CELLS or kind not in KINDS else KINDS[kind]


def file_model(kind: Any, dimension: Any = None) -> type[TransportFile]:
    """The model of a case file with a geometry of a kind."""
    return create_model("TransportFile", __base__=TransportFile, geometry=(geometry_model(kind, dimension), ...))


def json_schema() -> dict[str, Any]:
    """JSON Schema of the case.toml of a transport case, for editors: one alternative for each kind of geometry."""
    kinds: list[tuple[str, int | None]] = [("layers", None), ("layered-polycrystal", 3)]
    kinds += [(kind, None) for kind in KINDS if kind not in CELLS]
    alternatives = [file_model(*kind).model_json_schema() for kind in kinds]
    definitions: dict[str, Any] = {}
    for alternative in alternatives:
        definitions |= alternative.pop("$defs")  # references start at the top of the whole schema
    return {"oneOf": alternatives, "$defs": definitions}

"""A propagation case: a case folder whose case.toml has a [fracture] table; a lithium filament that cracks its way through."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, model_validator

from coupling.errors import UserError
from coupling.library import ORDER, choose
from coupling.record import Property
from coupling.toml_input import AtKey, Flag, InUnit, Location, Table, Whole, read, validate
from multiscale.case import Choice, Conditions, CurrentDensity, Interface, Length, MouthWidth
from multiscale.case_folder import CaseFolder, material_folders, materials_named, require_case
from multiscale.materials import Elastic
from multiscale.mechanics.extrusion import Creep
from multiscale.mechanics.filament_state import FilamentProperties
from multiscale.parameters import Parameter, candidates

Current = Annotated[float, InUnit("A/m^2")]
Seconds = Annotated[float, InUnit("s", above=0.0)]


class Slab(Table):
    """The electrolyte between lithium and counter electrode, one grain."""

    material: str
    thickness: Length


class Line(Table):
    """A lithium-filled crack normal to the lithium surface, infinite in the third direction."""

    depth: Length
    mouth: MouthWidth
    source: str = Field(min_length=1)


class LineFlaw(Table):
    """A cell with one flaw in its middle; sides are mirrors (rollers, insulating)."""

    kind: Literal["line-flaw"]
    dimension: Literal[2]
    width: Length
    electrolyte: Slab
    flaw: Line

    @model_validator(mode="after")
    def _flaw_fits(self) -> "LineFlaw":
        if self.flaw.depth > 0.6 * self.electrolyte.thickness:
            raise AtKey(("flaw", "depth"), "at most 0.6 of the electrolyte's thickness; make it smaller")
        if self.width < 4 * self.flaw.depth:
            raise AtKey(("width",), "at least four times the flaw's depth; make the cell wider")
        if self.flaw.mouth > 0.2 * self.flaw.depth:
            raise AtKey(("flaw", "mouth"), "at most a fifth of the depth; make it narrower")
        return self


class Fracture(Table):
    """The phase field: `length` is its l, `elements` the elements per l."""

    model: Literal["AT1", "AT2"] = "AT1"
    length: Length
    elements: Annotated[float, Field(ge=2, le=20)] = 3.0
    split: Literal["none", "volumetric-deviatoric", "no-tension"] = "none"


class Physics(Table):
    """What is solved, and switches: creep of lithium (out of the mouth, into new crack) and the pressure's shift of kinetics."""

    transport: Literal["single-ion"]
    mechanics: Literal["elastic"]
    mechanisms: tuple[Literal["propagation"], ...] = Field(min_length=1, max_length=1)
    lithium_creep: Flag = True
    pressure_feedback: Flag = True


class Hold(Table):
    """One current for a time; negative strips."""

    current: Current
    time: Seconds


class Steps(Table):
    """Currents one after the other, as they are given."""

    kind: Literal["steps"]
    step: tuple[Hold, ...] = Field(min_length=1)


class Ramp(Table):
    """The current is raised from `first` by `increment` after each `hold` until a short or `maximum`."""

    kind: Literal["ccd-ramp"]
    first: CurrentDensity
    increment: CurrentDensity
    maximum: CurrentDensity
    hold: Seconds

    @model_validator(mode="after")
    def _goes_up(self) -> "Ramp":
        if self.maximum < self.first:
            raise AtKey(("maximum",), "maximum must not be below first")
        if (self.maximum - self.first) / self.increment > 1000:
            raise AtKey(("increment",), "more than 1000 steps to the maximum; take a larger one")
        return self

    @property
    def step(self) -> tuple[Hold, ...]:
        """The currents as steps."""
        count = math.floor((self.maximum - self.first) / self.increment * (1 + 1e-12)) + 1
        currents = self.first + self.increment * np.arange(count)
        return tuple(Hold.model_construct(current=float(i), time=self.hold) for i in currents)


class TimeSteps(Table):
    """Time steps; one in which the crack grows by more than `growth` of the phase-field length is halved and tried again."""

    first: Seconds
    smallest: Seconds
    largest: Seconds
    growth: Annotated[float, Field(gt=0, le=10)] = 1.5
    most: Annotated[Whole, Field(ge=1, le=1_000_000)] = 2000

    @model_validator(mode="after")
    def _in_order(self) -> "TimeSteps":
        if not self.smallest <= self.first <= self.largest:
            raise AtKey(("first",), "steps must be in order: smallest, first, largest")
        return self


class PropagationFile(Table):
    """What case.toml of a propagation case may hold."""

    title: str
    question: str
    geometry: LineFlaw
    interface: Interface
    conditions: Conditions
    physics: Physics
    fracture: Fracture
    protocol: Annotated[Steps | Ramp, Field(discriminator="kind")]
    time: TimeSteps
    properties: Choice = Choice()

    @model_validator(mode="after")
    def _what_is_there_fits(self) -> "PropagationFile":
        if self.conditions.stack_pressure > 0:
            raise AtKey(("conditions", "stack_pressure"), "a propagation case cannot resolve a stack pressure yet; write 0 MPa")
        if self.fracture.length > 0.25 * self.geometry.flaw.depth:
            raise AtKey(("fracture", "length"), "at most a quarter of the flaw's depth; make it smaller")
        return self


class PropagationCase(CaseFolder[PropagationFile]):
    """A checked propagation case."""


def is_propagation_case(folder: str | Path) -> bool:
    """Whether a case folder holds a propagation case. Raises UserError for what is no case folder or no TOML."""
    require_case(Path(folder))
    data = read(Path(folder) / "case.toml").data
    geometry = data.get("geometry")
    return "fracture" in data or (isinstance(geometry, dict) and geometry.get("kind") == "line-flaw")


def load_propagation_case(folder: str | Path) -> PropagationCase:
    """Read and check a propagation case. Raises UserError: a wrong key, unit or value, an unknown material."""
    folder = Path(folder)
    require_case(folder)
    file = read(folder / "case.toml")
    settings = validate(file, PropagationFile)
    named: list[tuple[str, Location]] = [
        (settings.geometry.electrolyte.material, ELECTROLYTE),
        (settings.interface.metal, ("interface", "metal")),
        (settings.interface.charge_transfer, TRANSFER),
    ]
    return PropagationCase(folder, settings, materials_named(file.path, named, material_folders(folder)), file)


ELECTROLYTE: Location = ("geometry", "electrolyte", "material")
TRANSFER: Location = ("interface", "charge_transfer")


@dataclass(frozen=True)
class PropagationInputs:
    """Numbers of a case, SI, and where each comes from (as `check` prints them)."""

    parameters: dict[str, Parameter]
    conductivity: float
    elastic: Elastic
    fracture_energy: float
    filament: FilamentProperties


def resolve(case: PropagationCase) -> PropagationInputs:
    """Every number of a case. Raises UserError: one is known nowhere, or not at the case's temperature."""
    found: dict[str, Parameter] = {}
    interface, settings = case.settings.interface, case.settings

    def number(name: str, key: Location, quantity: str, otherwise: float | None = None) -> float:
        return _number(case, found, name, key, quantity, otherwise)

    bulk, metal, transfer = settings.geometry.electrolyte.material, interface.metal, interface.charge_transfer
    elastic = Elastic(*(number(bulk, ELECTROLYTE, quantity) for quantity in ("youngs_modulus", "poissons_ratio")))
    toughness = number(bulk, ELECTROLYTE, "fracture_toughness")
    names = ("reference_rate", "reference_stress", "exponent", "activation_energy", "size_factor")
    flows = names if settings.physics.lithium_creep else ()
    creep = {name: number(metal, ("interface", "metal"), f"creep_{name}") for name in flows}
    cathodic = number(transfer, TRANSFER, "cathodic_transfer_coefficient")
    mechanical = number(transfer, TRANSFER, "mechanical_transfer_coefficient", cathodic)
    flaw = settings.geometry.flaw

    def half_opening(s: np.ndarray) -> np.ndarray:
        """The unloaded wedge: half the mouth at the surface, nothing at the tip and beyond."""
        return np.maximum(flaw.mouth / 2 * (1 - s / flaw.depth), 0.0)

    properties = FilamentProperties(
        exchange_current_density=number(transfer, TRANSFER, "exchange_current_density"),
        temperature=settings.conditions.temperature,
        creep=Creep(**creep) if creep else None,
        unloaded_half_opening=half_opening,
        anodic_transfer=1 - cathodic,
        mechanical_transfer=mechanical,
        pressure_feedback=settings.physics.pressure_feedback,
    )
    energy = toughness**2 / elastic.plane_strain_modulus
    conductivity = number(bulk, ELECTROLYTE, "ionic_conductivity")
    for key, value, unit, source in _stated(case):
        found[key] = Parameter(key, _record(key, value, unit, source))
    return PropagationInputs(found, conductivity, elastic, energy, properties)


def _stated(case: PropagationCase) -> Sequence[tuple[str, float, str, str]]:
    """Numbers that case.toml itself states."""
    geometry, conditions = case.settings.geometry, case.settings.conditions
    return [
        ("geometry.flaw.depth", geometry.flaw.depth, "m", f"case.toml: {geometry.flaw.source}"),
        ("geometry.flaw.mouth", geometry.flaw.mouth, "m", f"case.toml: {geometry.flaw.source}"),
        ("geometry.electrolyte.thickness", geometry.electrolyte.thickness, "m", "case.toml"),
        ("geometry.width", geometry.width, "m", "case.toml"),
        ("conditions.temperature", conditions.temperature, "K", "case.toml: test condition"),
        ("conditions.stack_pressure", conditions.stack_pressure, "Pa", "case.toml: test condition"),
        ("fracture.length", case.settings.fracture.length, "m", "case.toml: resolution of the crack, not a material's strength"),
    ]


def _record(key: str, value: float, unit: str, source: str) -> Property:
    material, _, quantity = key.rpartition(".")
    return Property(material, quantity, value, unit, kind="assumed", confidence="low", source={"reference": source})


def _number(
    case: PropagationCase, found: dict[str, Parameter], name: str, key: Location, quantity: str, otherwise: float | None
) -> float:
    """Value of a quantity of a material by the case's order of kinds, remembered with its source."""
    material, label = case.materials[name], f"{name}.{quantity}"
    first = case.settings.properties.use.get(label)
    order: Any = (first, *(kind for kind in ORDER if kind != first)) if first else case.settings.properties.order
    known = choose(candidates(material, quantity, (), case.settings.conditions.temperature), order)
    if known:
        found[label] = Parameter(label, known[0], tuple(known[1:]))
        return known[0].value
    if otherwise is not None:
        return otherwise
    told = f"{quantity} of {name} is not known at this temperature; add a [[property]] with it and its source to {material.path}"
    raise UserError(case.file.complaint(key, told))

"""A memristor case: a case folder whose geometry is a device with one filament; bipolar voltage sweeps, cycle after cycle."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from coupling.toml_input import AtKey, InUnit, Location, Source, Table, Whole, read, require_within, validate
from multiscale.case import Choice
from multiscale.case_folder import CaseFolder, material_folders, materials_named, require_case
from multiscale.case_numbers import Numbers
from multiscale.case_units import Length, LithiumTemperature
from multiscale.parameters import Parameter

KIND = "filament-device"
Volts = Annotated[float, InUnit("V", above=0.0)]
Rate = Annotated[float, InUnit("V/s", above=0.0)]
Ohms = Annotated[float, InUnit("ohm", at_least=0.0)]
Amperes = Annotated[float, InUnit("A", above=0.0)]
Radius = Annotated[float, InUnit("m", at_least=0.5e-9)]


class Layer(Table):
    """The electrolyte: bulk material, and what the bulk's file does not hold (`contact`)."""

    material: str
    contact: str
    thickness: Length


class Cylinder(Table):
    """The filament: a cylinder in a channel whose wall does not take lithium."""

    radius: Radius
    radius_range: tuple[Radius, Radius] | None = None
    source: Source

    @model_validator(mode="after")
    def _lies_in_its_range(self) -> "Cylinder":
        require_within("radius", self.radius, self.radius_range)
        return self


class DeviceGeometry(Table):
    """A layer on a large lithium electrode; a disk of `electrode_radius` that holds no lithium of its own on the other side."""

    kind: Literal["filament-device"]
    electrode_radius: Length
    electrolyte: Layer
    filament: Cylinder

    @model_validator(mode="after")
    def _sizes_fit(self) -> "DeviceGeometry":
        largest = max([self.filament.radius, *(self.filament.radius_range or ())])
        if largest > self.electrode_radius:
            raise AtKey(("electrode_radius",), "at least the filament's (largest) radius; make it larger")
        if largest > 0.1 * self.electrolyte.thickness:
            raise AtKey(("filament", "radius"), "at most a tenth of the layer's thickness: the filament is a thin one")
        return self


class DeviceInterface(Table):
    """Charge transfer, and lithium as a nucleus and a wire (`lithium`)."""

    charge_transfer: str
    lithium: str


class Circuit(Table):
    """Outside the device: a resistance in series and the largest current that the source gives either way."""

    series_resistance: Ohms
    compliance: Amperes
    source: Source


class DeviceConditions(Table):
    """What the device is held at."""

    temperature: LithiumTemperature


class DevicePhysics(Table):
    """Switches. "plating" always; without "fracture" no pressure opens the channel; "nucleation" delays plating.

    `nucleation`: "median" takes the median voltage in each cycle, "seeded" draws one.
    """

    mechanisms: tuple[Literal["plating", "fracture", "nucleation"], ...] = ("plating", "fracture", "nucleation")
    nucleation: Literal["median", "seeded"] = "seeded"

    @model_validator(mode="after")
    def _lithium_is_plated(self) -> "DevicePhysics":
        if "plating" not in self.mechanisms:
            raise AtKey(("mechanisms",), 'without plating no filament grows and nothing switches: add "plating"')
        return self


class BipolarSweep(Table):
    """0 V to `positive` (plates), back, to -`negative`, back; the resistance is read at `read`; `seed` of the nucleation."""

    kind: Literal["bipolar-sweep"]
    positive: Volts
    negative: Volts
    read: Volts
    rate: Rate
    cycles: Annotated[Whole, Field(ge=1, le=100_000)]
    seed: Annotated[Whole, Field(ge=0)] = 0

    @model_validator(mode="after")
    def _reads_inside(self) -> "BipolarSweep":
        if self.read >= self.positive:
            raise AtKey(("read",), "below positive: it is read on the way up and on the way back")
        if max(self.positive, self.negative) > 20:
            raise AtKey(("positive",), "at most 20 V either way")
        return self


class Published(Table):
    """A measured device to tell beside the computed one; it enters nothing."""

    on_off_ratio: Annotated[float, Field(gt=1)]
    source: Source


class MemristorFile(Table):
    """What case.toml of a memristor case may hold."""

    title: str
    question: str
    geometry: DeviceGeometry
    interface: DeviceInterface
    circuit: Circuit
    conditions: DeviceConditions
    physics: DevicePhysics = DevicePhysics()
    protocol: BipolarSweep
    published: Published | None = None
    properties: Choice = Choice()


class MemristorCase(CaseFolder[MemristorFile]):
    """A checked memristor case."""


def is_memristor_case(folder: str | Path) -> bool:
    """Whether a case folder holds a memristor case. Raises UserError for what is no case folder or no TOML."""
    require_case(Path(folder))
    geometry = read(Path(folder) / "case.toml").data.get("geometry")
    return isinstance(geometry, dict) and geometry.get("kind") == KIND


ELECTROLYTE: Location = ("geometry", "electrolyte", "material")
CONTACT: Location = ("geometry", "electrolyte", "contact")
TRANSFER: Location = ("interface", "charge_transfer")
LITHIUM: Location = ("interface", "lithium")


def load_memristor_case(folder: str | Path) -> MemristorCase:
    """Read and check a memristor case. Raises UserError: a wrong key, unit or value, an unknown material."""
    folder = Path(folder)
    require_case(folder)
    file = read(folder / "case.toml")
    settings = validate(file, MemristorFile)
    layer, interface = settings.geometry.electrolyte, settings.interface
    named: list[tuple[str, Location]] = [
        (layer.material, ELECTROLYTE), (layer.contact, CONTACT), (interface.charge_transfer, TRANSFER),
        (interface.lithium, LITHIUM),
    ]  # fmt: skip
    return MemristorCase(folder, settings, materials_named(file.path, named, material_folders(folder)), file)


@dataclass(frozen=True)
class MemristorInputs:
    """Numbers of a case, SI, and where each comes from (as `check` prints them); names as in the material files."""

    parameters: dict[str, Parameter]
    radius: float
    thickness: float
    electrode_radius: float
    series_resistance: float
    compliance: float
    temperature: float
    ionic_conductivity: float
    fracture_toughness: float
    hardness: float
    electronic_conductivity: float
    exchange_current_density: float
    cathodic_transfer_coefficient: float
    mechanical_transfer_coefficient: float
    surface_energy: float
    contact_angle: float
    electrical_resistivity: float
    electron_mean_free_path: float
    tunnel_barrier: float


def resolve(case: MemristorCase) -> MemristorInputs:
    """Every number of a case. Raises UserError: one is known nowhere, or not at the case's temperature."""
    settings, numbers = case.settings, Numbers(case)
    geometry, interface, circuit = settings.geometry, settings.interface, settings.circuit
    layer, wire = geometry.electrolyte, geometry.filament
    origins = {
        **dict.fromkeys(("fracture_toughness", "ionic_conductivity"), (layer.material, ELECTROLYTE)),
        **dict.fromkeys(("hardness", "electronic_conductivity"), (layer.contact, CONTACT)),
        **dict.fromkeys(("exchange_current_density", "cathodic_transfer_coefficient"), (interface.charge_transfer, TRANSFER)),
        **dict.fromkeys(
            ("surface_energy", "contact_angle", "electrical_resistivity", "electron_mean_free_path", "tunnel_barrier"),
            (interface.lithium, LITHIUM),
        ),
    }
    found: dict[str, Any] = {quantity: numbers.of(*origin, quantity) for quantity, origin in origins.items()}
    found["mechanical_transfer_coefficient"] = numbers.of(
        interface.charge_transfer, TRANSFER, "mechanical_transfer_coefficient", found["cathodic_transfer_coefficient"]
    )
    source = f"case.toml: {circuit.source}"
    return MemristorInputs(
        parameters=numbers.parameters,
        radius=numbers.state("geometry.filament.radius", wire.radius, "m", f"case.toml: {wire.source}", wire.radius_range),
        thickness=numbers.state("geometry.electrolyte.thickness", layer.thickness, "m", "case.toml: geometry"),
        electrode_radius=numbers.state("geometry.electrode_radius", geometry.electrode_radius, "m", "case.toml: geometry"),
        series_resistance=numbers.state("circuit.series_resistance", circuit.series_resistance, "ohm", source),
        compliance=numbers.state("circuit.compliance", circuit.compliance, "A", source),
        temperature=numbers.state("conditions.temperature", settings.conditions.temperature, "K", "case.toml: test condition"),
        **found,
    )

"""The numbers of a transport case: stated in it, taken from its materials, or derived from these; each with its source."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from coupling.constants import FARADAY, GAS_CONSTANT
from coupling.errors import UserError
from coupling.library import QUANTITIES, Material
from coupling.record import Property
from coupling.toml_input import Location
from multiscale.conduction.voxel_image import require_image
from multiscale.parameters import TEMPERATURE_TOLERANCE, Parameter, candidates
from multiscale.transport_cases.case import TransportCase, faces
from multiscale.transport_cases.face_schema import GrainBoundaries
from multiscale.transport_cases.media import Substance
from multiscale.transport_cases.schema import Ion, Transport


@dataclass(frozen=True)
class MediumInputs:
    """Numbers of one medium, SI.

    Attributes:
        conductivity: κ of an Ohmic medium, S/m; for the others that of the ions at the start (Nernst-Einstein).
        boundary_conductivity: of the grain boundaries, S/m; None without.
        diffusivity, concentration: of each species (m²/s, mol/m³); empty for an Ohmic medium.
        permittivity: relative, for Poisson's equation, or for the displacement current of an Ohmic medium; None without.
        regional: conductivity of each region of an Ohmic medium of several, S/m; empty where it is the same in all.
        boundary_width: of the grain boundaries, m.
        boundary_permittivity: relative, of thin ones; None where it is not known.
    """

    conductivity: float
    boundary_conductivity: float | None = None
    diffusivity: dict[str, float] = field(default_factory=dict)
    concentration: dict[str, float] = field(default_factory=dict)
    permittivity: float | None = None
    regional: dict[str, float] = field(default_factory=dict)
    boundary_width: float | None = None
    boundary_permittivity: float | None = None


@dataclass(frozen=True)
class FaceInputs:
    """Numbers of a face, SI.

    Attributes:
        resistance: ohm m²; None with kinetics.
        exchange_current_density, anodic_transfer, cathodic_transfer: of the kinetics, A/m² and 1.
        capacitance: of the double layer, F/m²; None: none.
        film_resistance, film_capacitance: of a film in series, ohm m² and F/m²; None: none.
        mechanical_transfer: share of the mechanical work in the transition state, 1; None: the cathodic transfer.
    """

    resistance: float | None = None
    exchange_current_density: float | None = None
    anodic_transfer: float = 0.5
    cathodic_transfer: float = 0.5
    capacitance: float | None = None
    film_resistance: float | None = None
    film_capacitance: float | None = None
    mechanical_transfer: float | None = None


@dataclass(frozen=True)
class Inputs:
    """All numbers of a case and where each comes from.

    Attributes:
        parameters: sourced, by key, as `check` prints them.
        media: by name.
        faces: by the key of the case that describes them: ("electrode", "working"), ("interface", 0), …
        mechanics: of each medium, `mechanics.MechanicalInputs`; empty without [mechanics].
    """

    parameters: dict[str, Parameter]
    media: dict[str, MediumInputs]
    faces: dict[Location, FaceInputs]
    mechanics: dict[str, Any] = field(default_factory=dict)


class Collector:
    """Looks numbers up and remembers them."""

    def __init__(self, case: TransportCase) -> None:
        self.case, self.found = case, dict[str, Parameter]()
        self.temperature = case.settings.conditions.temperature
        self.state("conditions.temperature", self.temperature, "K", "test condition")

    def state(self, key: str, value: float, unit: str, source: str, kind: str = "assumed") -> float:
        """Remember a number that the case states or that follows from others."""
        material, _, quantity = key.rpartition(".")
        told = source if kind == "derived" else f"case.toml: {source}"
        record = Property(
            material, quantity, value, unit, kind=kind, confidence="computed" if kind == "derived" else "low",  # type: ignore[arg-type]
            source={"reference": told},
        )  # fmt: skip
        self.found[key] = Parameter(key, record)
        return value

    def optional(self, name: str, *quantities: str) -> tuple[str, float] | None:
        """First of several quantities of a material that is known at the case's temperature, and its value."""
        material = self.case.materials[name]
        for quantity in quantities:
            key = f"{name}.{quantity}"
            known = self.case.settings.properties.ranked(key, candidates(material, quantity, (), self.temperature))
            if known:
                self.found[key] = Parameter(key, known[0], tuple(known[1:]))
                return quantity, known[0].value
        return None

    def needed(self, name: str, key: Location, *quantities: str, mend: str = "") -> tuple[str, float]:
        """As `optional`; a quantity known nowhere is the user's mistake, told at `key`."""
        found = self.optional(name, *quantities)
        if found is None:
            raise self.unknown(self.case.materials[name], quantities, key, mend)
        return found

    def unknown(self, material: Material, quantities: Sequence[str], key: Location, mend: str) -> UserError:
        """What to tell of a quantity that is not known, or at other temperatures only."""
        what = f"{' or '.join(quantities)} of {material.name}"
        add = f"add a [[property]] with that quantity and its source to {material.path}"
        stated = [p for p in material.properties if p.quantity in quantities and "temperature_K" in p.conditions]
        if stated:
            known = " and ".join(f"{p.conditions['temperature_K'] - 273.15:.4g} degC" for p in stated)
            told = f"{what} is known at {known} only (within {TEMPERATURE_TOLERANCE:g} K); ask for such a temperature or {add}"
            return UserError(self.case.file.refusal(("conditions", "temperature"), told))
        return UserError(self.case.file.complaint(key, f"{what} is not known; {mend}{add}"))


def resolve(case: TransportCase) -> Inputs:
    """Every number of a case.

    Raises:
        UserError: a number is known nowhere or not at the case's temperature; a start that is not electroneutral; an
            image that cannot be meshed.
    """
    from multiscale.transport_cases.face_inputs import face_inputs
    from multiscale.transport_cases.mechanics import mechanical_inputs, parameters_of_electrodes

    collector, settings = Collector(case), case.settings
    _check_choice(case)
    require_image(case, settings.geometry)
    media = {}
    for name, substance in case.media.items():
        media[name] = _medium(collector, name, substance, settings.transport[name])
        if substance.boundaries is not None:
            media[name] = _with_boundaries(collector, *substance.boundaries, media[name])
    for name, thickness in () if case.structured else settings.geometry.thickness.items():
        collector.state(f"geometry.{name}.thickness", thickness, "m", "geometry of the case")
    found = {key: face_inputs(collector, key, law) for key, law in faces(settings)}
    parameters_of_electrodes(collector, settings)
    return Inputs(collector.found, media, found, mechanical_inputs(collector, settings))


def _ohmic(collector: Collector, name: str, substance: Substance, transport: Transport) -> MediumInputs:
    """Conductivity of each region, from its material or as the geometry states it."""
    values = {}
    for region, (told, key) in substance.regions.items():
        if told.conductivity is not None:
            stated = f"{region}.ionic_conductivity"
            values[region] = collector.state(stated, told.conductivity, "S/m", told.source)
        else:
            assert told.material is not None
            values[region] = collector.needed(told.material, (*key, "material"), "ionic_conductivity")[1]
    ε = transport.relative_permittivity
    if ε is not None:
        collector.state(f"{name}.relative_permittivity", ε, "1", transport.source)
    one = len(set(values.values())) == 1
    return MediumInputs(next(iter(values.values())), permittivity=ε, regional={} if one else values)


def _medium(collector: Collector, name: str, substance: Substance, transport: Transport) -> MediumInputs:
    key: Location = ("transport", name)
    if transport.closure == "ohm":
        return _ohmic(collector, name, substance, transport)
    if len(substance.materials) != 1 or any(region.material is None for region, _ in substance.regions.values()):
        told = f'a medium of closure "{transport.closure}" is of one material; name it in each of its regions'
        raise UserError(collector.case.file.complaint((*key, "closure"), told))
    material = substance.materials[0]
    diffusivity, concentration = _from_salt(collector, name, material, transport)
    for ion in transport.species:
        if ion.diffusivity is not None:
            diffusivity[ion.name] = collector.state(f"{name}.diffusivity of {ion.name}", ion.diffusivity, "m^2/s", ion.source)
        if ion.concentration is not None:
            c = collector.state(f"{name}.concentration of {ion.name}", ion.concentration, "mol/m^3", ion.source)
            concentration[ion.name] = c
    permittivity = _permittivity(collector, name, material, transport) if transport.closure == "poisson" else None
    for quantity, unit in (("fixed_charge", "C/m^3"), ("site_density", "mol/m^3")):
        if getattr(transport, quantity) is not None:
            collector.state(f"{name}.{quantity}", getattr(transport, quantity), unit, transport.source)
    _require_neutral(collector.case, name, transport, concentration)
    κ = conductivity(transport.species, diffusivity, concentration, collector.temperature)
    collector.state(f"{name}.conductivity at the start", κ, "S/m", "F² Σ z² D c/(RT)", "derived")
    return MediumInputs(κ, None, diffusivity, concentration, permittivity)


def conductivity(
    species: Sequence[Ion], diffusivity: dict[str, float], concentration: dict[str, float], temperature: float
) -> float:
    """Nernst-Einstein conductivity F² Σ z² D c/(RT), S/m."""
    strength = sum(ion.charge**2 * diffusivity[ion.name] * concentration[ion.name] for ion in species)
    return FARADAY**2 * strength / (GAS_CONSTANT * temperature)


def _from_salt(
    collector: Collector, name: str, material: str, transport: Transport
) -> tuple[dict[str, float], dict[str, float]]:
    """Diffusivities and concentrations of the two ions of a 1:1 salt that the case leaves to the material.

    D₊ = t₊ κ RT/(F² c), D₋ = (1 - t₊) κ RT/(F² c): the ideal solution that conducts as measured. Either of the two numbers is
    stated for both ions or for none: one alone would keep neither κ nor t₊ of the material.
    """
    key: Location = ("transport", name, "species")
    ions = transport.species
    left = {what for what in ("diffusivity", "concentration") if any(getattr(ion, what) is None for ion in ions)}
    if not left:
        return {}, {}
    if len(ions) != 2 or [ion.charge for ion in ions] != [1, -1]:
        told = "diffusivity and concentration follow from the material for a 1:1 salt only, cation first; state them for each ion"
        raise UserError(collector.case.file.complaint(key, told))
    for what in sorted(left, reverse=True):
        _refuse_half_given(collector.case, key, ions, what)
    mend = "state diffusivity and concentration of each ion, or "
    c = collector.needed(material, key, "salt_concentration", mend=mend)[1]
    concentration = {ion.name: c for ion in ions}
    if "diffusivity" not in left:
        return {}, concentration
    κ = collector.needed(material, key, "ionic_conductivity", mend=mend)[1]
    t = collector.needed(material, key, "transference_number", mend=mend)[1]
    mobility = κ * GAS_CONSTANT * collector.temperature / (FARADAY**2 * c)
    values = {ions[0].name: t * mobility, ions[1].name: (1 - t) * mobility}
    how = f"Nernst-Einstein from conductivity, transference number and salt concentration of {material}"
    for ion, value in values.items():
        collector.state(f"{name}.diffusivity of {ion}", value, "m^2/s", how, "derived")
    return values, concentration


def _refuse_half_given(case: TransportCase, key: Location, ions: Sequence[Ion], what: str) -> None:
    """Refuse a salt of which one ion's number is stated and the other's left to the material. Raises UserError."""
    given = [ion.name for ion in ions if getattr(ion, what) is not None]
    for number, ion in enumerate(ions):
        if given and getattr(ion, what) is None:
            told = f"missing for {ion.name}, but stated for {given[0]}; state it for both ions, or for none (then the material's)"
            raise UserError(case.file.complaint((*key, number, what), told))


def _permittivity(collector: Collector, name: str, material: str, transport: Transport) -> float:
    if transport.relative_permittivity is not None:
        return collector.state(f"{name}.relative_permittivity", transport.relative_permittivity, "1", transport.source)
    mend = f"state relative_permittivity in [transport.{name}], or "
    return collector.needed(material, ("transport", name, "closure"), "relative_permittivity", mend=mend)[1]


def _require_neutral(case: TransportCase, name: str, transport: Transport, concentration: dict[str, float]) -> None:
    """The start of a medium carries no net charge. Raises UserError."""
    charges = [ion.charge * concentration[ion.name] for ion in transport.species]
    fixed = (transport.fixed_charge or 0.0) / FARADAY
    total, size = sum(charges) + fixed, sum(map(abs, charges)) + abs(fixed)
    if abs(total) > 1e-9 * size:
        told = f"the concentrations of {name} and its fixed charge do not add up to zero ({total:.3g} mol/m^3 of charge is left)"
        raise UserError(case.file.complaint(("transport", name, "species"), f"{told}; change one of them"))


def _with_boundaries(collector: Collector, told: GrainBoundaries, key: Location, grains: MediumInputs) -> MediumInputs:
    """Add the numbers of grain boundaries; a conductivity stated itself or as a ratio to the grains'."""
    quantity, value = collector.needed(told.material, key, "ionic_conductivity", "conductivity_ratio")
    κ = value * grains.conductivity if quantity == "conductivity_ratio" else value
    permittivity = collector.optional(told.material, "relative_permittivity") if told.model == "thin" else None
    width = collector.state(f"{told.material}.width", told.width, "m", "geometry of the case")
    return replace(
        grains, boundary_conductivity=κ, boundary_width=width, boundary_permittivity=permittivity[1] if permittivity else None
    )


def _check_choice(case: TransportCase) -> None:
    """Every key of [properties.use] names a quantity of a material of the case."""
    for key in case.settings.properties.use:
        material, _, quantity = key.partition(".")
        if material not in case.materials or quantity not in QUANTITIES:
            where: Location = ("properties", "use", key)
            told = f'read "{key}"; write "material.quantity" of one of {", ".join(sorted(case.materials))}'
            raise UserError(case.file.complaint(where, told))

"""Which number the continuum uses for what: every candidate found, one chosen by the case's stated order, the rest shown."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from coupling.constants import ROOM_TEMPERATURE
from coupling.errors import UserError
from coupling.homogenize import hashin_shtrikman_conductivity, hashin_shtrikman_moduli
from coupling.library import QUANTITIES, TEMPERED, Material
from coupling.record import Property, sample
from coupling.store import digest
from coupling.toml_input import Location
from meshes.flaw import WrongLength
from meshes.polycrystal import LARGEST_MESH, LayeredCell, estimated_triangles
from multiscale.case import (
    BOUNDARY,
    CHARGE_TRANSFER,
    ELECTROLYTE,
    ELECTRONS,
    INTERLAYER,
    METAL,
    NUCLEUS,
    PASSAGE,
    VOIDS,
    Case,
)
from multiscale.critical_current.geometry import layered_cell

Samples = Mapping[str, np.ndarray]
TEMPERATURE_TOLERANCE = 5.0
"""A number stated within so many kelvin of the case's temperature is used as it stands."""
MIXTURE_MODEL = "interlayer.position_between_bounds"
"""Leaf that says where between the Hashin–Shtrikman bounds a mixture lies: 0 lower, 1 upper bound."""
FLAW_DEPTH = "geometry.flaw.depth"
LARGEST_POISSONS_RATIO = 0.49
"""Draws of Poisson's ratio are kept below this: an uncertain one may otherwise pass the incompressible limit."""


@dataclass(frozen=True)
class Parameter:
    """One input of the continuum: the property used and the candidates that were not."""

    key: str
    used: Property
    losers: tuple[Property, ...] = ()


def _stated_value(key: str, value: float, unit: str, source: str, spread: tuple[float, float] | None = None) -> Parameter:
    """A number that the case itself states."""
    low, high = spread if spread else (None, None)
    material, _, quantity = key.rpartition(".")
    record = Property(
        material, quantity, value, unit, low=low, high=high, kind="assumed", confidence="low", source={"reference": source}
    )
    return Parameter(key, record)


def candidates(material: Material, quantity: str, records: Iterable[Property], temperature: float) -> list[Property]:
    """Properties of one quantity from files and from MD, nearest to the case's temperature first.

    Of what changes fast with temperature, only those at the case's temperature. None of runs under a pressure of gigapascals.
    """

    def away(p: Property) -> float:
        return float(abs(p.conditions.get("temperature_K", temperature) - temperature))

    named = [p for p in (*records, *material.properties) if p.material == material.name and p.quantity == quantity
             and not p.conditions.get("pressure_Pa")]  # fmt: skip
    return sorted((p for p in named if quantity not in TEMPERED or away(p) <= TEMPERATURE_TOLERANCE), key=away)


Alternatives = tuple[str, ...]
Wanted = tuple[str, Location, tuple[Alternatives, ...]]
"""A material, the key of case.toml that asks for it, and the quantities wanted of it."""


def _needed(case: Case) -> list[Wanted]:
    """Quantities wanted of each material, for each part it plays; several names in one entry mean the first that is known."""
    geometry, interface = case.settings.geometry, case.settings.interface
    bulk, boundary = geometry.electrolyte.material, geometry.electrolyte.grain_boundary.material
    needed: list[Wanted] = [
        (bulk, ELECTROLYTE, (("ionic_conductivity",), ("youngs_modulus",), ("poissons_ratio",), ("fracture_toughness",))),
        (boundary, BOUNDARY, (("ionic_conductivity", "conductivity_ratio"), ("fracture_toughness", "toughness_ratio"))),
        (interface.charge_transfer, CHARGE_TRANSFER, tuple((name,) for name in _TRANSFER)),
        (interface.metal, METAL, tuple((name,) for name in _CREEP)),
    ]
    if geometry.interlayer:
        layer = case.materials[geometry.interlayer.material]
        wanted: tuple[Alternatives, ...] = (("ionic_conductivity",), ("youngs_modulus",), ("poissons_ratio",))
        if layer.mixture:
            needed += [(c.material, INTERLAYER, (*wanted, ("molar_volume",))) for c in layer.mixture.components]
        else:
            needed.append((layer.name, INTERLAYER, wanted))
        if geometry.interlayer.passage:
            needed.append((geometry.interlayer.passage, PASSAGE, (("interfacial_resistance",),)))
    return needed + _of_other_mechanisms(case)


def _of_other_mechanisms(case: Case) -> list[Wanted]:
    """Quantities of nucleation and voiding, where the case asks for them."""
    settings, needed = case.settings, list[Wanted]()
    if settings.nucleation and "nucleation" in settings.physics.mechanisms:
        needed.append((settings.nucleation.nucleus, NUCLEUS, tuple((name,) for name in _NUCLEUS)))
        needed.append((settings.nucleation.electrons, ELECTRONS, tuple((name,) for name in _ELECTRONS)))
    if settings.voiding and "voiding" in settings.physics.mechanisms:
        needed.append((settings.voiding.voids, VOIDS, tuple((name,) for name in _VOIDS)))
    return needed


_TRANSFER = ("exchange_current_density", "cathodic_transfer_coefficient", "mechanical_transfer_coefficient")
_CREEP = (
    "creep_reference_rate", "creep_reference_stress", "creep_exponent", "creep_activation_energy", "creep_size_factor",
)  # fmt: skip
_NUCLEUS = ("surface_energy", "contact_angle", "confinement", "site_density", "self_diffusivity", "hop_length")
_ELECTRONS = (
    "electronic_conductivity", "interphase_electronic_conductivity", "contact_electronic_conductivity", "tunnel_barrier",
)  # fmt: skip
_VOIDS = ("void_radius", "self_diffusivity", "vacancy_supersaturation", "vacancy_sink_distance")
_BY_MD = ("ionic_conductivity", "youngs_modulus", "poissons_ratio", "molar_volume")


def validate(case: Case, records: Iterable[Property] | None = None) -> None:
    """Refuse a case before anything long: a number known nowhere that MD will not bring, or a cell that cannot be drawn.

    `records` are what MD has brought already; None: what the case's [atomistic] table will bring.

    Raises:
        UserError: as `resolve`, or the geometry is impossible at some depth of the flaw's range.
    """
    wanted = case.settings.atomistic
    promised = list(records) if records is not None else [
        Property(phase, quantity, 0.25, QUANTITIES[quantity], source={"reference": "what the MD stage will bring"})
        for phase in (wanted.phases if wanted else ())
        for quantity in _BY_MD
        if phase in case.materials and abs(case.settings.conditions.temperature - ROOM_TEMPERATURE) <= TEMPERATURE_TOLERANCE
    ]  # fmt: skip
    resolve(case, promised)
    flaw = case.settings.geometry.flaw[0]
    for depth in sorted({flaw.depth, *(flaw.depth_range or ())}):
        try:
            cell = layered_cell(case, depth, case.settings.geometry.seed, fine=True)
        except WrongLength as error:
            raise UserError(case.file.refusal(_key_of(case, error.key, depth), error.reason)) from None
        if (triangles := estimated_triangles(cell)) > LARGEST_MESH:
            most = f"at most {LARGEST_MESH:.0g}; make the cell smaller or its features larger"
            raise UserError(case.file.refusal(("geometry", "width"), f"the cell needs about {triangles:.1g} triangles, {most}"))
    _check_contact(case, cell)


def _check_contact(case: Case, cell: LayeredCell) -> None:
    """Refuse a rough contact that some microstructure of the case cannot draw. Raises UserError with file, line and key."""
    for number in range(case.settings.uncertainty.microstructures if cell.voids else 0):
        try:
            replace(cell, seed=cell.seed + number).roofs()
        except UserError as error:
            key, _, message = str(error).partition(": ")
            where = tuple(key.split(".")) if key.startswith("geometry.contact.") else ("geometry", "contact")
            raise UserError(case.file.complaint(where, f"{message} (microstructure {cell.seed + number})")) from None


def _key_of(case: Case, length: str, depth: float) -> Location:
    """The key of case.toml that states a length of `LayeredCell`, for a flaw of `depth`."""
    geometry = case.settings.geometry
    boundary: Location = ("geometry", "electrolyte", "grain_boundary", "width")
    keys: dict[str, Location] = {
        "grain_size": ("geometry", "electrolyte", "grain_size"),
        "boundary_width": boundary,
        "interphase_thickness": ("geometry", "interlayer", "thickness") if geometry.interlayer else boundary,
        "flaw.mouth_opening": ("geometry", "flaw", 0, "mouth"),
        "contact.roughness": ("geometry", "contact", "roughness"),
        "contact.correlation_length": ("geometry", "contact", "correlation_length"),
        "flaw.depth": ("geometry", "flaw", 0, "depth" if depth == geometry.flaw[0].depth else "depth_range"),
    }
    return keys.get(length, ("geometry",))


def resolve(case: Case, records: Iterable[Property] = ()) -> dict[str, Parameter]:
    """Every input of the continuum, by key "material.quantity" (and "geometry.flaw.depth", "conditions.stack_pressure" …).

    Args:
        case: the checked case.
        records: properties from MD; they compete with those of the material files.

    Raises:
        UserError: a quantity is known nowhere, or not at the case's temperature.
    """
    records = tuple(records)
    parameters: dict[str, Parameter] = {}
    for name, namer, quantities in _needed(case):
        material = case.materials[name]
        for names in quantities:
            parameter = _first_known(case, material, names, records)
            if parameter is None:
                raise _unknown(case, material, names, records, namer)
            parameters[parameter.key] = parameter
    return parameters | _stated(case)


def _first_known(case: Case, material: Material, names: Alternatives, records: tuple[Property, ...]) -> Parameter | None:
    for quantity in names:
        key = f"{material.name}.{quantity}"
        first = case.settings.properties.use.get(key)
        competing = candidates(material, quantity, records, case.settings.conditions.temperature)
        found = case.settings.properties.ranked(key, competing)
        if found:
            if first is not None and found[0].kind != first:
                known = ", ".join(dict.fromkeys(p.kind for p in found))
                where = ("properties", "use", key)
                raise UserError(case.file.refusal(where, f'no number of kind "{first}" is known for {key}; known: {known}'))
            return Parameter(key, found[0], tuple(found[1:]))
    return None


def _unknown(case: Case, material: Material, names: Alternatives, records: tuple[Property, ...], namer: Location) -> UserError:
    """What to tell of a quantity that is known nowhere, or not at the case's temperature."""
    what = f"{' or '.join(names)} of {material.name}"
    mend = f"add a [[property]] with that quantity and its source to {material.path}"
    stated = (p for p in (*records, *material.properties) if p.material == material.name and p.quantity in names)
    kelvins = sorted({p.conditions["temperature_K"] for p in stated if "temperature_K" in p.conditions})
    if kelvins:
        known = " and ".join(f"{kelvin - 273.15:.4g} degC" for kelvin in kelvins)
        told = f"{what} is known at {known} only; ask for such a temperature or {mend}"
        return UserError(case.file.refusal(("conditions", "temperature"), told))
    return UserError(case.file.refusal(namer, f"{what} is not known; name another material or {mend}"))


def _stated(case: Case) -> dict[str, Parameter]:
    geometry, conditions = case.settings.geometry, case.settings.conditions
    flaw, where = geometry.flaw[0], "case.toml"
    stated = [
        _stated_value(FLAW_DEPTH, flaw.depth, "m", f"{where}: {flaw.source}", flaw.depth_range),
        _stated_value("geometry.flaw.mouth", flaw.mouth, "m", f"{where}: {flaw.source}"),
        _stated_value("conditions.temperature", conditions.temperature, "K", f"{where}: test condition"),
        _stated_value("conditions.stack_pressure", conditions.stack_pressure, "Pa", f"{where}: test condition"),
    ]
    if geometry.interlayer:
        stated.append(_stated_value("geometry.interlayer.thickness", geometry.interlayer.thickness, "m", where))
    return {parameter.key: parameter for parameter in stated}


def nominal(parameters: Mapping[str, Parameter]) -> dict[str, np.ndarray]:
    """Best values as arrays of length one: the estimate, for a bound the middle of its prior, bounds' middle for mixtures."""
    leaves = {}
    for key, parameter in parameters.items():
        prop = parameter.used
        draws = sample(prop, 2001, np.random.default_rng(0)) if prop.bound else np.array([prop.value])
        leaves[key] = np.array([float(np.exp(np.median(np.log(draws))))]) if prop.bound else draws
    return leaves | {MIXTURE_MODEL: np.array([0.5])}


def draw(parameters: Mapping[str, Parameter], count: int, seed: int) -> dict[str, np.ndarray]:
    """Independent draws of every input, shape (count,) each; one random stream a key, so that adding a key moves no other."""
    streams = {key: int(digest([seed, key]), 16) % 2**63 for key in (*parameters, MIXTURE_MODEL)}
    leaves = {key: sample(p.used, count, np.random.default_rng(streams[key])) for key, p in parameters.items()}
    return leaves | {MIXTURE_MODEL: np.random.default_rng(streams[MIXTURE_MODEL]).uniform(0.0, 1.0, count)}


def _between(bounds: tuple[Any, Any], position: Any) -> Any:
    """Value at `position` between two positive bounds on a logarithmic scale."""
    low, high = bounds
    return np.exp((1.0 - position) * np.log(low) + position * np.log(high))


def _mixture(material: Material, leaf: Mapping[str, Any]) -> tuple[Any, Any, Any]:
    """Conductivity (S/m), Young's modulus (Pa) and Poisson's ratio of a mixture at its place between the bounds."""
    assert material.mixture is not None
    names = [component.material for component in material.mixture.components]
    volumes = np.array([c.moles * leaf[f"{c.material}.molar_volume"] for c in material.mixture.components])
    fractions = volumes / volumes.sum(axis=0)
    young = np.array([leaf[f"{name}.youngs_modulus"] for name in names])
    poisson = np.minimum([leaf[f"{name}.poissons_ratio"] for name in names], LARGEST_POISSONS_RATIO)
    bulk, shear = young / (3 * (1 - 2 * poisson)), young / (2 * (1 + poisson))
    position = leaf[MIXTURE_MODEL]
    conductivities = np.array([leaf[f"{name}.ionic_conductivity"] for name in names])
    conductivity = _between(hashin_shtrikman_conductivity(conductivities, fractions), position)
    bulk_bounds, shear_bounds = hashin_shtrikman_moduli(bulk, shear, fractions)
    K, G = _between(bulk_bounds, position), _between(shear_bounds, position)
    return conductivity, 9 * K * G / (3 * K + G), (3 * K - 2 * G) / (2 * (3 * K + G))


def continuum_inputs(case: Case, leaf: Mapping[str, Any]) -> dict[str, Any]:
    """What the continuum model is set up with, from one value of every leaf or from an array (n,) of each; SI units.

    Mixtures become effective media, boundary ratios multiply their base.
    """
    geometry, interface = case.settings.geometry, case.settings.interface
    bulk, boundary = geometry.electrolyte.material, geometry.electrolyte.grain_boundary.material
    metal, transfer = interface.metal, interface.charge_transfer

    def of_boundary(quantity: str, ratio: str) -> Any:
        own = f"{boundary}.{quantity}"
        return leaf[own] if own in leaf else leaf[f"{boundary}.{ratio}"] * leaf[f"{bulk}.{quantity}"]

    inputs = {
        "grain_conductivity": leaf[f"{bulk}.ionic_conductivity"],
        "boundary_conductivity": of_boundary("ionic_conductivity", "conductivity_ratio"),
        "youngs_modulus": leaf[f"{bulk}.youngs_modulus"],
        "poissons_ratio": np.minimum(leaf[f"{bulk}.poissons_ratio"], LARGEST_POISSONS_RATIO),
        "grain_toughness": leaf[f"{bulk}.fracture_toughness"],
        "boundary_toughness": of_boundary("fracture_toughness", "toughness_ratio"),
        "exchange_current_density": leaf[f"{transfer}.exchange_current_density"],
        "cathodic_transfer_coefficient": leaf[f"{transfer}.cathodic_transfer_coefficient"],
        "mechanical_transfer_coefficient": leaf[f"{transfer}.mechanical_transfer_coefficient"],
        "creep_reference_rate": leaf[f"{metal}.creep_reference_rate"],
        "creep_reference_stress": leaf[f"{metal}.creep_reference_stress"],
        "creep_exponent": leaf[f"{metal}.creep_exponent"],
        "creep_activation_energy": leaf[f"{metal}.creep_activation_energy"],
        "creep_size_factor": leaf[f"{metal}.creep_size_factor"],
        "flaw_depth": leaf[FLAW_DEPTH],
        "stack_pressure": leaf["conditions.stack_pressure"],
        "temperature": leaf["conditions.temperature"],
    }
    if geometry.interlayer:
        values = interlayer_values(case, leaf)
        names = ("interlayer_conductivity", "interlayer_youngs_modulus", "interlayer_poissons_ratio")
        inputs |= dict(zip(names, values, strict=True))
        if geometry.interlayer.passage:
            through = passage_resistance(case, leaf)
            inputs["interlayer_conductivity"] = _in_series(values[0], geometry.interlayer.thickness, through)
    return inputs


def interlayer_values(case: Case, leaf: Mapping[str, Any]) -> tuple[Any, Any, Any]:
    """The interlayer's own conductivity (S/m), Young's modulus (Pa) and Poisson's ratio, without its passage."""
    assert case.settings.geometry.interlayer is not None
    layer = case.materials[case.settings.geometry.interlayer.material]
    if layer.mixture:
        return _mixture(layer, leaf)
    κ, E, ν = (leaf.get(f"{layer.name}.{q}", 0.0) for q in ("ionic_conductivity", "youngs_modulus", "poissons_ratio"))
    return κ, E, ν


def passage_resistance(case: Case, leaf: Mapping[str, Any]) -> Any:
    """Resistance of the passage from the interlayer into the electrolyte, ohm m²; zero where the case names none."""
    layer = case.settings.geometry.interlayer
    return leaf[f"{layer.passage}.interfacial_resistance"] if layer and layer.passage else 0.0


def _in_series(conductivity: Any, thickness: float, resistance: Any) -> Any:
    """Conductivity of a layer that holds a passage's resistance (ohm m²) in series with its own: t/(t/κ + R), S/m.

    Right for currents across the layer; along it nothing flows as long as it is thin beside what the current varies over.
    """
    return thickness / (thickness / conductivity + resistance)

"""The numbers of a propagation case: every one with its source, and the inputs of the model made of any choice of them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from coupling.errors import UserError
from coupling.record import Property
from coupling.toml_input import Location
from multiscale.materials import Elastic
from multiscale.mechanics.extrusion import Creep
from multiscale.mechanics.filament_state import FilamentProperties
from multiscale.mechanics.interface_wear import InterfaceWear
from multiscale.mechanics.phase_field import CrackModel
from multiscale.mechanics.weak_boundary import strip_toughness, strip_width
from multiscale.parameters import FLAW_DEPTH, Parameter, nominal
from multiscale.propagation import tempered
from multiscale.propagation.case import BOUNDARY, ELECTROLYTE, METAL, TRANSFER, VOIDS, PropagationCase

CREEP = ("reference_rate", "reference_stress", "exponent", "activation_energy", "size_factor")
VOIDING = ("void_radius", "self_diffusivity", "vacancy_supersaturation", "vacancy_sink_distance")
LOSSLESS = 1e5
"""Factor on the conductivity that stands for none of its losses."""
BOUNDARY_RATIOS = ("conductivity_ratio", "toughness_ratio", "modulus_ratio")


@dataclass(frozen=True)
class PropagationInputs:
    """Numbers of one run, SI.

    Attributes:
        parameters: where each number of the case comes from (as `check` prints them).
        conductivity, elastic, toughness: of the grains.
        boundary: conductivity, toughness and modulus of a grain boundary over the grains'; None without boundaries.
        filament: of electrode, lithium and test.
        stack_pressure, residual_stress: Pa.
        flaw_depth: m.
    """

    parameters: dict[str, Parameter]
    conductivity: float
    elastic: Elastic
    toughness: float
    boundary: tuple[float, float, float] | None
    filament: FilamentProperties
    stack_pressure: float
    residual_stress: float
    flaw_depth: float

    @property
    def fracture_energy(self) -> float:
        """Gc = K²/E' of the grains, J/m²."""
        return self.toughness**2 / self.elastic.plane_strain_modulus


def resolve(case: PropagationCase) -> PropagationInputs:
    """Inputs at the best value of every number. Raises UserError: one is known nowhere, or not at the case's temperature."""
    found = parameters(case)
    inputs = inputs_at(case, found, {key: float(values[0]) for key, values in nominal(found).items()})
    _refuse_stress_that_breaks(case, inputs)
    return inputs


def parameters(case: PropagationCase) -> dict[str, Parameter]:
    """Every number of a case with its source, by key "material.quantity". Raises UserError: one is known nowhere."""
    found: dict[str, Parameter] = {}
    for name, key, quantities in _needed(case):
        for quantity, needed in quantities:
            parameter = tempered.known(case, name, quantity)
            if parameter is not None:
                found[parameter.key] = parameter
            elif needed:
                raise tempered.unknown(case, name, quantity, key)
    found |= tempered.energies(case, _activated(case))
    flaw = case.settings.geometry.flaw
    found[FLAW_DEPTH] = Parameter(FLAW_DEPTH, _record(FLAW_DEPTH, flaw.depth, "m", f"case.toml: {flaw.source}", flaw.depth_range))
    for stated, value, unit, source in _stated(case):
        found[stated] = Parameter(stated, _record(stated, value, unit, source))
    return found


def _needed(case: PropagationCase) -> list[tuple[str, Location, list[tuple[str, bool]]]]:
    """Material, the key that names it, and the quantities wanted of it (and whether the case cannot do without)."""
    settings, electrolyte = case.settings, case.settings.geometry.electrolyte
    bulk, interface, boundary = electrolyte.material, settings.interface, electrolyte.grain_boundary
    own = ("youngs_modulus", "poissons_ratio", "fracture_toughness", "ionic_conductivity")
    needed = [(bulk, ELECTROLYTE, [(quantity, True) for quantity in own])]
    if settings.physics.lithium_creep or interface.wear:
        needed.append((interface.metal, METAL, [(f"creep_{name}", True) for name in CREEP]))
    symmetry = [("cathodic_transfer_coefficient", True), ("mechanical_transfer_coefficient", False)]
    needed.append((interface.charge_transfer, TRANSFER, [("exchange_current_density", True), *symmetry]))
    if boundary:
        wanted = [("conductivity_ratio", True), ("toughness_ratio", True), ("modulus_ratio", False)]
        needed.append((boundary.material, BOUNDARY, wanted))
    if interface.wear:
        needed.append((interface.wear.voids, VOIDS, [(name, True) for name in VOIDING]))
    return needed


def inputs_at(case: PropagationCase, found: Mapping[str, Parameter], values: Mapping[str, float]) -> PropagationInputs:
    """Inputs of the model at given values of the case's numbers.

    Args:
        case: the case.
        found: of `parameters`.
        values: one number a key of `found`, SI.
    """
    settings = case.settings
    electrolyte, interface = settings.geometry.electrolyte, settings.interface
    bulk, metal, transfer = electrolyte.material, interface.metal, interface.charge_transfer
    creep = {name: values[f"{metal}.creep_{name}"] for name in CREEP} if settings.physics.lithium_creep else {}
    cathodic = values[f"{transfer}.cathodic_transfer_coefficient"]
    depth, mouth = values[FLAW_DEPTH], values["geometry.flaw.mouth"]

    def half_opening(s: np.ndarray) -> np.ndarray:
        """The unloaded wedge: half the mouth at the surface, nothing at the tip and beyond."""
        return np.maximum(mouth / 2 * (1 - s / depth), 0.0)

    (exchange, conductivity), *_ = (tempers := at_temperatures(case, values)).values()
    filament = FilamentProperties(
        exchange_current_density=exchange,
        temperature=settings.conditions.temperature,
        creep=Creep(**creep) if creep else None,
        unloaded_half_opening=half_opening,
        anodic_transfer=1 - cathodic,
        mechanical_transfer=values.get(f"{transfer}.mechanical_transfer_coefficient", cathodic),
        pressure_feedback=settings.physics.pressure_feedback,
        wear=_wear(case, values),
        elsewhere={T: (i0, κ / conductivity) for T, (i0, κ) in tempers.items() if T != settings.conditions.temperature},
    )
    boundary = None
    if electrolyte.grain_boundary:
        c, t, m = (values.get(f"{electrolyte.grain_boundary.material}.{name}", 1.0) for name in BOUNDARY_RATIOS)
        boundary = (c, t, m)
    return PropagationInputs(
        dict(found), conductivity * (1.0 if settings.physics.flux_detour else LOSSLESS),
        Elastic(values[f"{bulk}.youngs_modulus"], values[f"{bulk}.poissons_ratio"]), values[f"{bulk}.fracture_toughness"],
        boundary, filament, values["conditions.stack_pressure"], values["conditions.residual_stress"], depth,
    )  # fmt: skip


def _wear(case: PropagationCase, values: Mapping[str, float]) -> InterfaceWear | None:
    """What wears the contact, where the case asks for it. The metal is in bulk (size factor 1): voids are of a micrometre."""
    interface = case.settings.interface
    wanted = interface.wear
    if wanted is None:
        return None
    creep = Creep(**{name: values[f"{interface.metal}.creep_{name}"] for name in CREEP} | {"size_factor": 1.0})
    radius, diffusivity, excess, distance = (values[f"{wanted.voids}.{name}"] for name in VOIDING)
    return InterfaceWear(
        values["interface.wear.depth"], values["interface.wear.refilled"], radius, creep, diffusivity, excess, distance
    )


def _activated(case: PropagationCase) -> dict[str, str]:
    """Materials whose number changes with temperature, and that number."""
    transfer, bulk = case.settings.interface.charge_transfer, case.settings.geometry.electrolyte.material
    return {transfer: "exchange_current_density", bulk: "ionic_conductivity"}


def at_temperatures(case: PropagationCase, values: Mapping[str, float]) -> dict[float, tuple[float, float]]:
    """Exchange current density (A/m²) and ionic conductivity (S/m) at every temperature (K) of the test, the case's own first.

    Raises:
        UserError: one is not known there, and no activation energy takes it there.
    """
    def at(T: float) -> tuple[float, float]:
        i0, κ = (tempered.value_at(case, values, name, quantity, T) for name, quantity in _activated(case).items())
        return i0, κ

    return {T: at(T) for T in tempered.temperatures(case)}


def _refuse_stress_that_breaks(case: PropagationCase, inputs: PropagationInputs) -> None:
    """A residual stress that damages the sound electrolyte at this length of the phase field. Raises UserError.

    An equal stress σ along two axes stores (1 - ν) σ²/E; the strips that stand for weak boundaries bear less than the grains.
    What random fields and the stack pressure add is found on the mesh (`prestress.refuse_overload`), for every draw.
    """
    stress, fracture = case.settings.conditions.residual_stress, case.settings.fracture
    length, elastic = fracture.length, inputs.elastic
    weakest = 1.0
    if inputs.boundary is not None:
        size, ratio = length / fracture.elements, inputs.boundary[1] ** 2 / inputs.boundary[2]
        weakest = min(1.0, strip_toughness(ratio, strip_width(length, size), length, size))
    crack = CrackModel(fracture.model, length)
    bearable = crack.onset_energy(weakest * inputs.fracture_energy / crack.mesh_correction(length / fracture.elements))
    most = math.sqrt(bearable * elastic.youngs_modulus / (1 - elastic.poisson_ratio))
    if abs(stress) > 0.9 * most:
        where = "the strips of weak boundaries" if weakest < 1 else "sound material"
        told = f"at this fracture.length the smeared crack model breaks {where} beyond {0.9 * most / 1e6:.3g} MPa"
        raise UserError(case.file.refusal(("conditions", "residual_stress"), f"{told}; take a smaller length"))


def _stated(case: PropagationCase) -> Sequence[tuple[str, float, str, str]]:
    """Numbers that case.toml itself states."""
    geometry, conditions = case.settings.geometry, case.settings.conditions
    fracture, uneven = case.settings.fracture, geometry.inhomogeneity
    told = [
        ("geometry.flaw.mouth", geometry.flaw.mouth, "m", f"case.toml: {geometry.flaw.source}"),
        ("geometry.electrolyte.thickness", geometry.electrolyte.thickness, "m", "case.toml"),
        ("geometry.width", geometry.width, "m", "case.toml"),
        ("conditions.temperature", conditions.temperature, "K", "case.toml: test condition"),
        ("conditions.stack_pressure", conditions.stack_pressure, "Pa", "case.toml: test condition"),
        ("conditions.residual_stress", conditions.residual_stress, "Pa", "case.toml: state of the electrolyte as it was made"),
        ("fracture.length", fracture.length, "m", "case.toml: resolution of the crack, not a material's strength"),
    ]
    if fatigue := fracture.fatigue:
        told.append(("fracture.fatigue.threshold", fatigue.threshold, "1", f"case.toml: {fatigue.source}"))
    if wear := case.settings.interface.wear:
        told.append(("interface.wear.depth", wear.depth, "m", f"case.toml: {wear.source}"))
        told.append(("interface.wear.refilled", wear.refilled, "1", f"case.toml: {wear.source}"))
    if anisotropy := geometry.electrolyte.anisotropy:
        told.append(("geometry.electrolyte.zener_ratio", anisotropy.zener_ratio, "1", f"case.toml: {anisotropy.source}"))
    if boundary := geometry.electrolyte.grain_boundary:
        told.append(("geometry.electrolyte.grain_boundary.width", boundary.width, "m", "case.toml"))
    if geometry.electrolyte.grain_size:
        told.append(("geometry.electrolyte.grain_size", geometry.electrolyte.grain_size, "m", "case.toml"))
    if uneven:
        why = f"case.toml: {uneven.source}"
        told += [
            ("geometry.inhomogeneity.modulus_deviation", uneven.modulus_deviation, "1", why),
            ("geometry.inhomogeneity.toughness_deviation", uneven.toughness_deviation, "1", why),
            ("geometry.inhomogeneity.correlation_length", uneven.correlation_length, "m", why),
        ]
    return told


def _record(key: str, value: float, unit: str, source: str, spread: tuple[float, float] | None = None) -> Property:
    material, _, quantity = key.rpartition(".")
    low, high = spread or (None, None)
    return Property(
        material, quantity, value, unit, low=low, high=high, kind="assumed", confidence="low", source={"reference": source}
    )

"""A propagation case: a case folder whose case.toml has a [fracture] table; a lithium filament that cracks its way through."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from coupling.errors import UserError
from coupling.library import ORDER, choose
from coupling.record import Property
from coupling.toml_input import Location, read, validate
from multiscale.case_folder import CaseFolder, material_folders, materials_named, require_case
from multiscale.materials import Elastic
from multiscale.mechanics.extrusion import Creep
from multiscale.mechanics.filament_state import FilamentProperties
from multiscale.parameters import Parameter, candidates
from multiscale.propagation.settings import PropagationFile as PropagationFile


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
    stack_pressure: float = 0.0
    residual_stress: float = 0.0


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
    conditions = settings.conditions
    _refuse_stress_that_breaks(case, elastic, energy)
    return PropagationInputs(
        found, conductivity, elastic, energy, properties, conditions.stack_pressure, conditions.residual_stress
    )


def _refuse_stress_that_breaks(case: PropagationCase, elastic: Elastic, fracture_energy: float) -> None:
    """A residual stress that damages the sound electrolyte at this length of the phase field. Raises UserError.

    AT1 damages where the elastic energy density reaches 3 Gc/(16 l); an equal stress σ along two axes stores (1 - ν) σ²/E.
    """
    stress, length = case.settings.conditions.residual_stress, case.settings.fracture.length
    most = math.sqrt(3 * fracture_energy * elastic.youngs_modulus / (16 * length * (1 - elastic.poisson_ratio)))
    if abs(stress) > 0.9 * most:
        told = f"at this fracture.length the smeared crack model breaks sound material beyond {0.9 * most / 1e6:.3g} MPa"
        raise UserError(case.file.refusal(("conditions", "residual_stress"), f"{told}; take a smaller length"))


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
        ("conditions.residual_stress", conditions.residual_stress, "Pa", "case.toml: state of the electrolyte as it was made"),
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

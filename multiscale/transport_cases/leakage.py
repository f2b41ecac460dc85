"""The electronic leakage of a critical-current case: its flat cell as a mixed conductor while lithium plates."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from coupling.errors import UserError
from coupling.toml_input import nearest
from multiscale.case import Case
from multiscale.critical_current.continuum import cell_properties
from multiscale.critical_current.geometry import layered_cell
from multiscale.domain import integral, piecewise
from multiscale.layered import layered_domain
from multiscale.parameters import continuum_inputs, nominal
from multiscale.transport.leakage import MetalContact, MixedConductor, lithium_activity


def plate(
    case: Case, parameters: Mapping[str, Any], electronic: Mapping[str, float], current_density: float,
    electronic_contact: float | None, threshold: float, comm: Any,
) -> dict[str, Any]:  # fmt: skip
    """Plate lithium below from reversible lithium above, through ions and electrons; SI in and out; switches as in `flat_cell`.

    Args:
        case, parameters: the case and its resolved parameters; the best value of each is used.
        electronic: σ_e of every region ("interphase", "grain", "boundary"), S/m.
        current_density: of plating per cross-section of the cell, positive, A/m².
        electronic_contact: ohm m² at the lithium, or None.
        threshold: overpotential above which lithium can form inside, V.
        comm: communicator.

    Raises:
        UserError: a region without an electronic conductivity, or one that the cell does not have.
        RunFailure: no solution.
    """
    inputs = {name: float(np.ravel(value)[0]) for name, value in continuum_inputs(case, nominal(parameters)).items()}
    off = case.settings.physics.off()
    voids = "flux-detour" not in off
    cell = replace(layered_cell(case, inputs["flaw_depth"], case.settings.geometry.seed, False, with_voids=voids), flaw=None)
    domain, _ = layered_domain(cell, comm)
    regions = list(domain.regions)
    for name in electronic:
        if name not in regions:
            raise UserError(f"--electronic {name}: the cell has no such region; {nearest(name, regions)}")
    for name in regions:
        if name not in electronic:
            raise UserError(f'--electronic: {name} is missing; add --electronic "{name}=1e-8 S/m" with its own value')
    told = cell_properties(case, inputs, cell.contact_share, off)
    lithium = MetalContact(told.exchange_current_density, electronic_contact, anodic_transfer=told.anodic_transfer)
    contacts = {"lithium": lithium, "counter": MetalContact()}
    body = MixedConductor(
        domain, piecewise(domain, {name: told.conductivity[name] for name in regions}), piecewise(domain, dict(electronic)),
        contacts, told.temperature,
    )  # fmt: skip
    touching = integral(domain.constant(1.0) * domain.ds("lithium"))
    voltage = body.drive("lithium", -current_density * cell.width / touching)
    ions, electrons = body.currents("lithium")
    lowest, place = body.lowest()
    return {
        "current_density_A_per_m2": current_density, "cell_voltage_V": -voltage,
        "electronic_share": electrons / (ions + electrons), "lowest_V": lowest, "place_m": place.tolist(),
        "activity": float(lithium_activity(lowest, inputs["temperature"])), "threshold_V": threshold,
        "share_beyond": {name: body.share_beyond(threshold, name) for name in regions},
        "electronic_conductivity_S_per_m": dict(electronic),
    }  # fmt: skip

"""From a case and one set of continuum inputs to an initiation model: geometry, regions, properties."""

from collections.abc import Mapping
from typing import Any

from multiscale.case import Case
from multiscale.critical_current.cell_properties import CellProperties
from multiscale.critical_current.geometry import layered_cell
from multiscale.critical_current.initiation import InitiationModel
from multiscale.layered import layered_domain
from multiscale.materials import Elastic
from multiscale.mechanics.extrusion import Creep


def cell_properties(case: Case, inputs: Mapping[str, float]) -> CellProperties:
    """Material properties of every region from the continuum inputs of `parameters.continuum_inputs`."""
    grain = Elastic(inputs["youngs_modulus"], inputs["poissons_ratio"])
    layered = case.settings.geometry.interlayer is not None
    interphase = Elastic(inputs["interlayer_youngs_modulus"], inputs["interlayer_poissons_ratio"]) if layered else grain
    creep = Creep(
        reference_rate=inputs["creep_reference_rate"],
        reference_stress=inputs["creep_reference_stress"],
        exponent=inputs["creep_exponent"],
        activation_energy=inputs["creep_activation_energy"],
        size_factor=inputs["creep_size_factor"],
    )
    return CellProperties(
        conductivity={
            "grain": inputs["grain_conductivity"],
            "boundary": inputs["boundary_conductivity"],
            "interphase": inputs["interlayer_conductivity"] if layered else inputs["grain_conductivity"],
        },
        elastic={"grain": grain, "boundary": grain, "interphase": interphase},
        exchange_current_density=inputs["exchange_current_density"],
        temperature=inputs["temperature"],
        stack_pressure=inputs["stack_pressure"],
        grain_toughness=inputs["grain_toughness"],
        boundary_toughness=inputs["boundary_toughness"],
        creep=creep if case.settings.physics.lithium_creep else None,
        anodic_transfer=1.0 - inputs["cathodic_transfer_coefficient"],
        mechanical_transfer=inputs["mechanical_transfer_coefficient"],
    )


def initiation_model(case: Case, inputs: Mapping[str, float], seed: int, comm: Any, fine: bool) -> InitiationModel:
    """Mesh the cell and set up the initiation model.

    Raises:
        UserError: the geometry cannot be meshed as asked.
        RunFailure: gmsh failed.
    """
    cell = layered_cell(case, inputs["flaw_depth"], seed, fine)
    domain, _ = layered_domain(cell, comm)
    return InitiationModel(domain, cell, cell_properties(case, inputs))

"""From a case and one set of continuum inputs to an initiation model: geometry, regions, properties."""

from collections.abc import Mapping
from typing import Any

from meshes.flaw import Flaw
from meshes.polycrystal import COARSE, FINE, LayeredCell
from multiscale.case import Case
from multiscale.cell_properties import CellProperties
from multiscale.extrusion import Creep
from multiscale.initiation import InitiationModel
from multiscale.layered import layered_domain
from multiscale.materials import Elastic

TIP_SHARE = 0.2
"""Tip radius of a flaw over its mouth opening: a narrow wedge; the smallest length the mesh resolves there."""


def layered_cell(case: Case, depth: float, seed: int, fine: bool) -> LayeredCell:
    """Geometry of the case with a flaw of `depth` (m) in microstructure `seed`.

    A bare cell (no [geometry.interlayer]) keeps a thin surface region of the electrolyte's own properties, one grain
    boundary wide, so that one mesh description serves both.
    """
    geometry = case.settings.geometry
    electrolyte, flaw, layer = geometry.electrolyte, geometry.flaw[0], geometry.interlayer
    return LayeredCell(
        width=geometry.width,
        electrolyte_thickness=electrolyte.thickness,
        grain_size=electrolyte.grain_size,
        boundary_width=electrolyte.grain_boundary.width,
        interphase_thickness=layer.thickness if layer else electrolyte.grain_boundary.width,
        flaw=Flaw(
            depth=depth,
            mouth_opening=flaw.mouth,
            tip_radius=TIP_SHARE * flaw.mouth,
            at="boundary" if flaw.at == "grain-boundary" else "grain",
            lined=layer.lines_flaw if layer else False,
        ),
        seed=seed,
        resolution=FINE if fine else COARSE,
    )


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

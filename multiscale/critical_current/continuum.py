"""From a case and one set of continuum inputs to an initiation model: geometry, regions, properties."""

from collections.abc import Mapping
from typing import Any

from multiscale.case import Case
from multiscale.critical_current.cell_properties import CellProperties
from multiscale.critical_current.geometry import layered_cell
from multiscale.critical_current.initiation import InitiationModel, Unevenness
from multiscale.critical_current.shelf import Shelf
from multiscale.layered import layered_domain
from multiscale.materials import Elastic
from multiscale.mechanics.extrusion import Creep
from multiscale.mechanics.random_field import RandomField

FIELDS = {"modulus": 11, "toughness": 12}
"""Streams of the random fields of a microstructure."""


def cell_properties(
    case: Case, inputs: Mapping[str, float], contact_share: float = 1.0, off: frozenset[str] = frozenset()
) -> CellProperties:
    """Material properties of every region from the continuum inputs of `parameters.continuum_inputs`.

    The stack pressure of the case is the force over the whole face; where the lithium touches only part of it, the
    pressure there is that much larger. `off`: switches turned off.
    """
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
            "boundary": inputs["grain_conductivity" if "flux-detour" in off else "boundary_conductivity"],
            "interphase": inputs["interlayer_conductivity"] if layered else inputs["grain_conductivity"],
        },
        elastic={"grain": grain, "boundary": grain, "interphase": interphase},
        exchange_current_density=inputs["exchange_current_density"],
        temperature=inputs["temperature"],
        stack_pressure=inputs["stack_pressure"] / contact_share,
        grain_toughness=inputs["grain_toughness"],
        boundary_toughness=inputs["boundary_toughness"],
        creep=None if "lithium-creep" in off else creep,
        anodic_transfer=1.0 - inputs["cathodic_transfer_coefficient"],
        mechanical_transfer=inputs["mechanical_transfer_coefficient"],
    )


def initiation_model(
    case: Case, inputs: Mapping[str, float], seed: int, comm: Any, fine: bool, off: frozenset[str] = frozenset(),
    shelf: Shelf | None = None,
) -> InitiationModel:  # fmt: skip
    """Mesh the cell and set up the initiation model.

    Args:
        case, inputs: the case and its continuum inputs.
        seed: of the microstructure.
        comm: communicator.
        fine: mesh of the answer, else that of the sampled runs.
        off: names of `case.SWITCHES` to turn off beside those that the case turns off.
        shelf: gives the model of the same geometry, renewed, where it holds one; that is then no longer the earlier caller's.

    Raises:
        UserError: the geometry cannot be meshed as asked.
        RunFailure: gmsh failed.
    """
    off = off | case.settings.physics.off()
    cell = layered_cell(case, inputs["flaw_depth"], seed, fine, with_voids="flux-detour" not in off)
    properties = cell_properties(case, inputs, cell.contact_share, off)
    uneven = None if "mechanical-inhomogeneity" in off else _uneven(case, seed)
    shelf, place = shelf or Shelf(), comm.py2f()

    def make() -> InitiationModel:
        domain = shelf.mesh((cell, place), lambda: layered_domain(cell, comm)[0])
        return InitiationModel(domain, cell, properties, unevenness=uneven)

    return shelf.model((cell, uneven, place), make, lambda model: model.start_over(properties))


def _uneven(case: Case, seed: int) -> Unevenness | None:
    """Random fields of a microstructure; None where the case asks for none."""
    wanted = case.settings.geometry.inhomogeneity
    if wanted is None:
        return None
    length = wanted.correlation_length
    return Unevenness(
        RandomField(wanted.modulus_deviation, length, (seed, FIELDS["modulus"])),
        RandomField(wanted.toughness_deviation, length, (seed, FIELDS["toughness"])),
    )

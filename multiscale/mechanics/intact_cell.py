"""Voltage that a cell would have at a current if its crack were not there."""

from dolfinx import fem
from mpi4py import MPI

from multiscale.mechanics.filament import FilamentModel
from multiscale.transport.kinetics import overpotential_at


def intact_voltage(model: FilamentModel, current_density: float) -> float:
    """Mean potential at the counter electrode (V) with nothing plated in the crack, at the model's present temperature.

    Ohm's law in the solid and Butler–Volmer kinetics on the flat electrode alone; in an even cell with αa = ½ that is
    V = i L/κ + (2RT/F) asinh(i/2i₀). A dry part of the crack still keeps current out. The model is left as it was.

    Args:
        model: of the filament.
        current_density: applied, A/m² (positive plating).

    Raises:
        RunFailure: the potential was not found.
    """
    p, domain, potential = model.properties, model.domain, model.potential
    kept = potential.x.array.copy(), float(model.applied.value), float(model.open.value)
    model.applied.value, model.open.value = current_density, 0.0
    potential.x.array[:] = -overpotential_at(
        -current_density, p.exchange_current_density, p.anodic_transfer, temperature=p.temperature
    )
    try:
        model.circuit.solver.solve()
        found, length = (
            domain.comm.allreduce(fem.assemble_scalar(fem.form(part * domain.ds("top"))), op=MPI.SUM)
            for part in (potential, domain.constant(1.0))
        )
    finally:
        potential.x.array[:], model.applied.value, model.open.value = kept
    return float(found / length)

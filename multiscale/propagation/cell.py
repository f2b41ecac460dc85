"""The filament model of a propagation case: its mesh, its microstructure, its loads."""

import math
from typing import Any

from coupling.errors import UserError
from meshes.crack_path import CrackPath, draw_crack_path
from multiscale.domain import meshed
from multiscale.mechanics.fatigue import Wear
from multiscale.mechanics.filament import FilamentModel
from multiscale.mechanics.phase_field import CrackModel
from multiscale.mechanics.prestress import CellLoads, Overloaded, biaxial_strain
from multiscale.propagation.case import PropagationCase
from multiscale.propagation.inputs import PropagationInputs
from multiscale.propagation.microstructure import cell_fields
from multiscale.propagation.protocols import surroundings
from multiscale.propagation.settings import PropagationFile


def filament_model(case: PropagationCase, inputs: PropagationInputs, comm: Any, elements: float | None = None) -> FilamentModel:
    """Mesh the cell (half of it where the flaw is a mirror) and set the filament up; `elements` per l other than the case's.

    Raises:
        UserError: the cell cannot be meshed, or its loads break sound material of the smeared crack model.
        RunFailure: a solve failed.
    """
    geometry, fracture = case.settings.geometry, case.settings.fracture
    if not case.settings.physics.mechanical_inhomogeneity:
        geometry = geometry.even()
    height, uneven = geometry.electrolyte.thickness, geometry.uneven
    size = height / rows_of(height, inputs.flaw_depth, math.ceil(height * (elements or fracture.elements) / fracture.length))
    path = CrackPath(
        geometry.width, height, height, band_of(case.settings), size, min(height, geometry.width) / 8, mirrored=not uneven
    )
    domain = meshed(draw_crack_path, comm, path=path)
    crack = CrackModel(fracture.model, fracture.length, fracture.split)
    made = cell_fields(domain, geometry, inputs, fracture.length, size)
    loads = None
    later = tuple({p for hold in surroundings(case.settings.protocol) if (p := hold.stack_pressure)} - {inputs.stack_pressure})
    if inputs.stack_pressure or inputs.residual_stress or later:
        residual = biaxial_strain(inputs.residual_stress, inputs.elastic) if inputs.residual_stress else None
        loads = CellLoads(inputs.stack_pressure, residual, tuple(sorted(later)))
    worn = None
    if fracture.fatigue is not None:
        worn = Wear(domain, fracture.fatigue.threshold * float(crack.onset_energy(inputs.fracture_energy)))
    try:
        return FilamentModel(
            domain, made.conductivity, made.stiffness, made.fracture_energy, crack, size, inputs.filament, inputs.flaw_depth,
            mirrored=not uneven, loads=loads, worn=worn, contact=case.settings.faces_touch,
        )  # fmt: skip
    except Overloaded as error:
        conditions = case.settings.conditions
        key = "residual_stress" if abs(conditions.residual_stress) >= conditions.stack_pressure else "stack_pressure"
        mend = "take a smaller fracture.length, which bears more, or a smaller load"
        raise UserError(case.file.refusal(("conditions", key), f"{error}; {mend}")) from error


def rows_of(height: float, flaw: float, least: int) -> int:
    """Rows of elements across the electrolyte, `least` or up to 30 % more: those among which the flaw's depth fits best."""
    return min(range(least, math.ceil(1.3 * least) + 1), key=lambda rows: round(abs(rows * flaw / height % 1 - 0.5), 6) * -1)


def band_of(settings: PropagationFile) -> float:
    """Half width of the fine strip, m."""
    geometry, fracture = settings.geometry, settings.fracture
    if not settings.physics.mechanical_inhomogeneity:
        geometry = geometry.even()
    return fracture.band or min((8 if geometry.uneven else 3) * fracture.length, 0.4 * geometry.width)

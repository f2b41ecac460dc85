"""Work of adhesion of the metal on a phase as a run of a study and as a record: value, what its error holds and leaves out."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from ase.calculators.calculator import BaseCalculator

from atomistic import surface_energy
from atomistic.scheduler import Task
from coupling.errors import UserError
from coupling.record import Property

if TYPE_CHECKING:
    from atomistic.study import Toolbox

ONE_MINIMUM = 0.01
"""Relative range of works of adhesion within which all shifts are taken to have relaxed into one contact."""

STEPS = 150
"""Most steps of the relaxation of a slab, unless the study says another number."""

COHESION = {"Li": 0.92}
"""Twice the surface energy of the metal, J/m²: above it the metal itself parts first (Li (100) by PBE, Tran et al., Sci. Data 3,
160080 (2016), memory)."""


def atoms_of_thicker(tools: "Toolbox", phase: str, atoms: int) -> int:
    """Atoms of the second, thicker contact; 0 where none is asked for.

    Raises:
        UserError: it has no more than the `atoms` of the first.
    """
    thickness = tools.effort.thicker_contact
    if thickness is None or tools.contact is None:
        return 0
    more = len(tools.contact(phase, thickness)[0])
    if more <= atoms:
        told = f"thicker_contact = {thickness:g} angstrom: the contact of {tools.metal} and {phase} has {more} atoms with it"
        thin = f"contact_thickness = {tools.effort.contact_thickness:g} angstrom"
        raise UserError(f"{told}, no more than with {thin}; make it thicker")
    return more


def measured(p: Mapping[str, Any], tools: "Toolbox", calculator: BaseCalculator, tick: Callable[[float], None]) -> dict[str, Any]:
    """Answer of one run, JSON-ready: scatter of the in-plane shifts and, where asked for, change with thickness, in squares."""
    assert tools.contact is not None
    joined, metal, phase, moving, note = tools.contact(p["phase"], p["thickness"])
    shifts, steps = [(float(a), float(b)) for a, b in p["shifts"]], p.get("steps", STEPS)
    found = surface_energy.work_of_adhesion(joined, metal, phase, moving, shifts, calculator, steps=steps)
    answer = {"value": found.value, "stderr": found.stderr, "values": list(found.values), "atoms": len(joined), "strain": note,
              "forces": list(found.forces), "force": surface_energy.FORCE}  # fmt: skip
    if "thicker" not in p:
        return answer
    tick(0.4)
    joined, metal, phase, moving, _ = tools.contact(p["phase"], p["thicker"])
    change, forces = surface_energy.change_with_thickness(found, joined, metal, phase, moving, shifts, calculator, steps=steps)
    return {**answer, "stderr": float(np.hypot(found.stderr, change)), "registries": found.stderr, "thicker": change,
            "forces": [*found.forces, *forces]}  # fmt: skip


def _at_rest(task: Task, answer: Mapping[str, Any]) -> tuple[bool, str]:
    """Whether no slab is known to have been left moving, and how the slabs were relaxed, in words."""
    if "forces" not in answer:  # a run of before the forces were kept
        return True, "slabs relaxed at 0 K (whether all came to rest was not kept)"
    return surface_energy.at_rest(answer["forces"], float(answer["force"]), task.parameters.get("steps", STEPS))


def record(
    phase: str, task: Task, answer: Mapping[str, Any], source: Mapping[str, Any], conditions: Mapping[str, Any]
) -> Property:
    """Work of adhesion of the metal on the phase; the record says what its error is made of and leaves out.

    Of low confidence where a slab did not come to rest.
    """
    values = np.asarray(answer["values"], dtype=float)
    same = float(np.ptp(values)) < ONE_MINIMUM * abs(float(values.mean()))
    checked = "thicker" in answer
    rest, method = _at_rest(task, answer)
    method += ", mean over in-plane shifts, error = their scatter"
    if checked:
        method += f" and the change with {task.parameters['thicker']:g} Å of each side"
    method += ", which leaves out misfit strain" + ("" if checked else ", thickness") + " and other terminations"
    method += "" if rest else ", and by how much slabs at rest would change the value"
    if same:
        method += "; all shifts relaxed into one contact, so that their scatter is that of the relaxation alone and no error"
    most = COHESION.get(task.parameters["metal"], float("inf"))
    if answer["value"] > most:
        limit = f"above twice the surface energy of the metal ({most:g} J/m²), which parts first"
        method += f"; {limit}: a reaction's energy may be in it"
    parts = {"error_of": {"registries": answer["registries"], "thickness": answer["thicker"]}} if checked else {}
    own = {**source, "atoms": answer["atoms"], "shifts": task.parameters["shifts"], "values": answer["values"],
           "keys": [task.key], "strain": answer["strain"], "method": method, **parts}  # fmt: skip
    return Property(f"{task.parameters['metal']}|{phase}", "work_of_adhesion", answer["value"], "J/m^2", stderr=answer["stderr"],
                    conditions=conditions, source=own, confidence="computed" if rest else "low")  # fmt: skip

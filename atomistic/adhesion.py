"""Work of adhesion of the metal on a phase as a run of a study and as a record: value, what its error holds and leaves out."""

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict
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

IMPOSSIBLE = 20.0
"""J/m², above any work of adhesion (diamond's cohesion is 11, memory) and any reaction of slabs a nanometre thick."""
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
    """Answer of one run, JSON-ready.

    Its error: scatter of the in-plane shifts, what the relaxations still gained and, where asked for, change with thickness, in
    squares; each stands in `error_of`.
    """
    assert tools.contact is not None
    joined, metal, phase, moving, note = tools.contact(p["phase"], p["thickness"])
    shifts, how = [(float(a), float(b)) for a, b in p["shifts"]], (calculator, float(p["force"]), int(p["steps"]))
    found = surface_energy.work_of_adhesion(joined, metal, phase, moving, shifts, *how)
    errors, forces = {"registries": found.stderr, "relaxation": surface_energy.relaxation_error(found.gained)}, found.forces
    answer = {"value": found.value, "values": list(found.values), "gained": list(found.gained), "atoms": len(joined),
              "strain": note, "opened": [asdict(one) for one in found.opened]}  # fmt: skip
    if "thicker" in p:
        tick(0.4)
        thick = surface_energy.work_of_adhesion(*tools.contact(p["phase"], p["thicker"])[:4], shifts[:2], *how)
        errors["thickness"] = surface_energy.change_with_thickness(found, thick)
        answer["opened_change_with_thickness"] = surface_energy.separation_change(found, thick)
        forces += thick.forces
    return {**answer, "stderr": math.hypot(*errors.values()), "error_of": errors, "forces": list(forces)}


def fallen(phase: str, task: Task, answer: Mapping[str, Any]) -> str:
    """That a slab fell into a hole of the potential on its way to rest, in words; "" where the numbers are those of a contact."""
    largest = float(np.max(np.abs([*answer["values"], answer["value"], answer["stderr"]])))
    if largest <= IMPOSSIBLE:
        return ""
    where = f"{task.parameters['metal']}|{phase}"
    return f"{where}: work of adhesion left out: {largest:.3g} J/m² is no contact's; a slab fell into a hole of the potential"


def opened_in_hole(phase: str, task: Task, answer: Mapping[str, Any]) -> str:
    """The same of opened contacts, which `separation` then leaves out; "" where there is none."""
    lost = [float(work) for one in answer.get("opened", []) for work in (one["value"], one["rigid"]) if _in_hole(one)]
    if not lost:
        return ""
    told = f"{max(lost, key=abs):.3g} J/m² is no contact's; a part of it fell into a hole of the potential"
    return f"{task.parameters['metal']}|{phase}: work of separation of an opened contact left out: {told}"


def _in_hole(opened: Mapping[str, Any]) -> bool:
    """Whether a part of an opened contact, relaxed or as it was, lies in a hole of the potential."""
    return not max(abs(opened["value"]), abs(opened["rigid"])) <= IMPOSSIBLE


def record(
    phase: str, task: Task, answer: Mapping[str, Any], source: Mapping[str, Any], conditions: Mapping[str, Any]
) -> Property:
    """Work of adhesion of the metal on the phase; the record says what its error is made of and leaves out.

    Of low confidence where a slab did not come to rest, and above what the metal itself holds: a reaction's energy may be in it.
    """
    p, values = task.parameters, np.asarray(answer["values"], dtype=float)
    same = float(np.ptp(values)) < ONE_MINIMUM * abs(float(values.mean()))
    rest, method = surface_energy.at_rest(answer["forces"], p["force"], p["steps"])
    method += ", mean over in-plane shifts, error = their scatter, the energy that the last third of the steps gained"
    method += f" and the change with {p['thicker']:g} Å of each side" if "thicker" in p else ""
    method += ", which leaves out misfit strain" + ("" if "thicker" in p else ", thickness") + " and other terminations"
    method += "" if rest else ", and what slabs without rest, as those that react, gain beyond the last step"
    if same:
        method += "; all shifts relaxed into one contact, so that their scatter is that of the relaxation alone and no error"
    holds, told = _metal_holds(p["metal"], answer["value"])
    method += told
    own = {**source, "atoms": answer["atoms"], "shifts": p["shifts"], "values": answer["values"], "keys": [task.key],
           "strain": answer["strain"], "method": method, "error_of": answer["error_of"]}  # fmt: skip
    return Property(f"{p['metal']}|{phase}", "work_of_adhesion", answer["value"], "J/m^2", stderr=answer["stderr"],
                    conditions=conditions, source=own,
                    confidence="computed" if rest and holds else "low")  # fmt: skip


def separation(
    phase: str, task: Task, answer: Mapping[str, Any], source: Mapping[str, Any], conditions: Mapping[str, Any]
) -> list[Property]:
    """Work of separation: contacts at rest, opened, with their parts relaxed from where the contact left them.

    It is that of adhesion but for what joining does to the parts for good. Of fewer than two shifts at rest, as where the metal
    reacts, there is none; nor of answers from before it was asked for.
    """
    p, opened = task.parameters, [one for one in answer.get("opened", []) if not _in_hole(one)]
    if len(opened) < 2:
        return []
    values, rigid = (np.array([one[name] for one in opened]) for name in ("value", "rigid"))
    gained = np.array([one["gained"] for one in opened])
    errors = {"registries": float(np.std(values, ddof=1)), "relaxation": float(np.sqrt(np.mean(np.sum(gained**2, axis=1))))}
    if (change := answer.get("opened_change_with_thickness")) is not None:
        errors["thickness"] = change
    rest, method = surface_energy.at_rest([force for one in opened for force in one["forces"]], p["force"], p["steps"])
    method += f": contacts at rest ({len(opened)} of {len(p['shifts'])} in-plane shifts), opened; mean over the shifts, "
    method += "error = their scatter, the energy that the last third of the steps gained"
    method += f" and the change with {p['thicker']:g} Å of each side" if "thickness" in errors else ""
    method += f"; not relaxed (rigid) {rigid.mean():.4g} J/m², an upper value"
    holds, told = _metal_holds(p["metal"], float(values.mean()))
    method += told
    own = {**source, "atoms": answer["atoms"], "shifts": p["shifts"], "values": values.tolist(), "rigid": rigid.tolist(),
           "keys": [task.key], "strain": answer["strain"], "method": method, "error_of": errors}  # fmt: skip
    return [Property(f"{p['metal']}|{phase}", "work_of_separation", float(values.mean()), "J/m^2",
                     stderr=math.hypot(*errors.values()), conditions=conditions, source=own,
                     confidence="computed" if rest and holds and values.min() > 0 else "low")]  # fmt: skip


def _metal_holds(metal: str, work: float) -> tuple[bool, str]:
    """Whether a work (J/m²) is one that the metal itself bears, and what the record says where it is not."""
    most = COHESION.get(metal, float("inf"))
    if work <= most:
        return True, ""
    told = f"; above twice the surface energy of the metal ({most:g} J/m²), which parts first: a reaction's energy may be in it"
    return False, told

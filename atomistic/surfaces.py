"""Surface energies of a crystal's faces as runs of a study and as records: value, what its error holds and leaves out.

    γ = (E_slab − N e)/(2A)

E_slab: relaxed slab of N atoms, cut from the relaxed crystal, whose plane (area A) it keeps; e: that crystal's energy an atom.
Both ends of a slab are made at once: where they are not alike, γ is their mean, half the energy of cleavage. The ends are those
that cut the fewest covalent bonds among the nonpolar ones (`slabs`). A polar face (the third kind of Tasker, J. Phys. C 12, 4977
(1979)) has no surface energy as it is cut: its ions rearrange until the charge of its ends is gone.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import BaseCalculator

from atomistic import adhesion, slabs, surface_energy
from atomistic.answers import conditions_of
from atomistic.relaxation import relaxed, still_gained
from atomistic.scheduler import Task
from coupling.errors import RunFailure, UserError
from coupling.record import Property
from coupling.units import surface_energy_to_si

BULK_FORCE = 0.002
"""Largest force at which the crystal is at rest, eV/Å."""
VACUUM = 15.0
"""Å, more than twice the reach of the shipped potentials, whose descriptors see two neighbours far."""
POLAR, NONPOLAR = 0.01, 0.002
"""Formal charge σ (e/Å²) of the ends above which a face is polar, and below which its dipole does not count: the field's energy
σ² t/(2 ε) in t = 28 Å of a permittivity of 20, which no potential of short reach knows, is 0.2 and 0.008 J/m². LiCl (111) has
0.044, β-Li3PS4 (010) 0.0126, Li6PS5Cl, whose relaxed cell has no symmetry, 0.005, the drawn cell of cubic LLZO 0.0002 to 0.0011.
"""
REBUILT = 1.0
"""Å that an atom moves, beside the slab as a whole, from where a face has rebuilt itself."""


def label(phase: str, miller: Sequence[int]) -> str:
    """A face in words: "Li2S (111)"."""
    return f"{phase} ({digits(miller)})"


def digits(miller: Sequence[int]) -> str:
    """Miller indices in a row."""
    return "".join(str(index) for index in miller)


def atoms_of(crystal: Atoms, name: str, miller: slabs.Index, thicknesses: Sequence[float]) -> tuple[int, ...]:
    """Atoms of the slabs of a crystal that is not relaxed yet, thinnest first, for the cost.

    Raises:
        UserError: an element without formal charge, or two thicknesses of the same slab, whose change tells nothing.
    """
    try:
        counts = [len(slabs.ended_at(crystal, miller, 0.0, thickness, VACUUM).atoms) for thickness in sorted(thicknesses)]
    except UserError as error:
        raise UserError(f"[[phase]] {name}: surfaces: {error}") from None
    if len(set(counts)) < len(counts):
        read = ", ".join(f"{thickness:g}" for thickness in sorted(thicknesses))
        told = f"slab_thicknesses of {read} angstrom give slabs of {', '.join(map(str, counts))} atoms"
        raise UserError(f"[[phase]] {name}: surfaces: {label(name, miller)}: {told}; the change between them is its error: lay "
                        "them further apart")  # fmt: skip
    return tuple(counts)


def measured(p: Mapping[str, Any], cell: Atoms, calculator: BaseCalculator, tick: Callable[[float], None]) -> dict[str, Any]:
    """Answer of one run, JSON-ready: the surface energy of a face, or the `problem` that there is none.

    Its error: change to the thickest slab and what the relaxations of the slab, and of a crystal without rest, still gained, in
    squares (`error_of`).

    Args:
        p: parameters of the run. cell: the crystal before it is relaxed.
    """
    where = label(p["phase"], p["miller"])
    try:
        path: list[float] = []
        crystal = relaxed(cell, calculator, cell=True, force=BULK_FORCE, steps=p["steps"], strict=False, energies=path)
        tick(0.3)
        end, ends = _end(crystal, p["miller"], min(p["thicknesses"]))
        if abs(charge := _end_charge(end, crystal)) > POLAR:
            return {"problem": f"{where}: no surface energy: a polar face (Tasker III); the formal charge of its ends is "
                               f"{abs(charge):.2g} e/Å², and none of its {ends} stoichiometric ends is without"}  # fmt: skip
        left = still_gained(path) / len(crystal) if len(path) > p["steps"] else 0.0  # eV an atom; at rest nothing that counts
        answer = _of_slabs(p, crystal, end, left, calculator)
    except (RunFailure, UserError) as failure:  # among them: no stoichiometric end
        return {"problem": f"{where}: no surface energy: {failure}"}
    if not 0.0 < answer["value"] < adhesion.IMPOSSIBLE / 2:
        told = "the slab lies lower than the crystal it was cut from" if answer["value"] <= 0 else "a hole of the potential"
        return {"problem": f"{where}: surface energy left out: {answer['value']:.3g} J/m² is none: {told}"}
    return {**answer, "end_charge": charge, "terminations": ends, "symmetric": end.symmetric, "cut_bonds": end.broken}


def _end(crystal: Atoms, miller: slabs.Index, thickness: float) -> tuple[slabs.Termination, int]:
    """How a face ends, nonpolar if it can, and the number of ways to choose from."""
    ends = slabs.terminations(crystal.copy(), miller, thickness, VACUUM)
    return next((end for end in ends if abs(_end_charge(end, crystal)) <= POLAR), ends[0]), len(ends)


def _end_charge(end: slabs.Termination, crystal: Atoms) -> float:
    """Charge per area (e/Å²) that each end of a slab needs to be without dipole: the dipole over the volume of its atoms."""
    return float(end.dipole * surface_energy.area(end.atoms) / (len(end.atoms) * crystal.get_volume() / len(crystal)))


def _of_slabs(
    p: Mapping[str, Any], crystal: Atoms, end: slabs.Termination, crystal_gained: float, calculator: BaseCalculator
) -> dict[str, Any]:
    """Surface energy of relaxed slabs of one end with its error, how they came to rest and how far their atoms went.

    Args:
        crystal: relaxed, with its calculator. crystal_gained: what its relaxation still gained, eV an atom.
    """
    bare, each, left = crystal.copy(), crystal.get_potential_energy() / len(crystal), surface_energy.largest_force(crystal)
    cut = {size: slabs.ended_at(bare, p["miller"], end.cut, size, VACUUM).atoms for size in sorted(p["thicknesses"])}
    if len({len(slab) for slab in cut.values()}) < len(cut):
        sizes = ", ".join(f"{size:g} Å" for size in cut)
        raise RunFailure(f"cut from the relaxed crystal, slabs of {sizes} are one; lay slab_thicknesses further apart")
    rests: list[Atoms] = []
    found = surface_energy.surface_energy(cut.__getitem__, p["thicknesses"], each, calculator, p["force"], p["steps"],
                                          strict=False, rests=rests)  # fmt: skip
    share = len(rests[-1]) / (2 * surface_energy.area(rests[-1]))
    errors = {"thickness": found.stderr, "relaxation": math.hypot(found.gained[-1], surface_energy_to_si(share * crystal_gained))}
    pairs = list(zip(cut.values(), rests, strict=True))
    return {"value": found.value, "stderr": math.hypot(*errors.values()), "values": list(found.values), "error_of": errors,
            "forces": [left, *found.forces], "atoms": len(rests[-1]), "area_A2": surface_energy.area(rests[-1]),
            "moved_A": max(farthest(*pair) for pair in pairs),
            "bonds_lost": max(slabs.bonds_lost(*pair) for pair in pairs)}  # fmt: skip


def farthest(before: Atoms, after: Atoms) -> float:
    """Longest way of an atom (Å), that of the whole left out."""
    ways = after.positions - before.positions
    return float(np.linalg.norm(ways - ways.mean(axis=0), axis=1).max())


def rebuilt(answer: Mapping[str, Any]) -> str:
    """That the slab is no longer the crystal it was cut from, in words; "" where it is."""
    if answer["moved_A"] <= REBUILT and not answer["bonds_lost"]:
        return ""
    bonds = f"; covalent bonds open: {answer['bonds_lost']}" if answer["bonds_lost"] else ""
    return f"the face rebuilds itself: an atom moves by {answer['moved_A']:.2g} Å{bonds}"


def note(task: Task, answer: Mapping[str, Any]) -> str:
    """What `problems.json` tells of a face that has a number; "" where nothing."""
    where = label(task.parameters["phase"], task.parameters["miller"])
    rest, method = _rest(task, answer)
    told = [rebuilt(answer), "" if rest else method]
    return f"{where}: surface energy: {'; '.join(filter(None, told))}" if any(told) else ""


def _rest(task: Task, answer: Mapping[str, Any]) -> tuple[bool, str]:
    """Whether crystal and slabs came to rest, and how they were relaxed; the crystal at a smaller force than asked for here."""
    return surface_energy.at_rest(answer["forces"], task.parameters["force"], task.parameters["steps"])


def record(phase: str, task: Task, answer: Mapping[str, Any], source: Mapping[str, Any]) -> Property:
    """Surface energy of one face; of low confidence without rest, where it rebuilds itself or where its ends keep a charge."""
    p = task.parameters
    rest, method = _rest(task, answer)
    thinner, thick = sorted(p["thicknesses"])[-2:]
    method += f" of at least {thick:g} Å, cut from the relaxed crystal; error = change from {thinner:g} Å and the energy that the"
    method += " last third of the steps gained; it leaves out other ends and what a cell of "
    method += f"{answer['area_A2']:.3g} Å² cannot rebuild"
    method += "" if answer["symmetric"] else "; both faces are not alike: mean of the two, half the energy of cleavage"
    method += f"; the cut opens {answer['cut_bonds']} covalent bonds a slab" if answer["cut_bonds"] else ""
    method += f"; {told}" if (told := rebuilt(answer)) else ""
    method += f"; one cell of the disorder (seed {p['seed']})" if "disorder" in p else ""
    dipole = abs(answer["end_charge"]) > NONPOLAR
    left = f"; the ends keep a formal charge of {abs(answer['end_charge']):.2g} e/Å², whose field the potential does not know"
    method += left if dipole else ""
    own = {**source, "atoms": answer["atoms"], "thicknesses_A": p["thicknesses"], "values": answer["values"], "keys": [task.key],
           "error_of": answer["error_of"], "terminations": answer["terminations"], "moved_A": answer["moved_A"],
           "method": method}  # fmt: skip
    sound = rest and not dipole and not rebuilt(answer)
    return Property(phase, "surface_energy", answer["value"], "J/m^2", stderr=answer["stderr"],
                    conditions=conditions_of(task, miller=digits(p["miller"]), temperature_K=0.0), source=own,
                    confidence="computed" if sound else "low")  # fmt: skip

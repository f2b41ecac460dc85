"""Work of separation of a grain boundary and of the crystal in its plane, and the fracture energy that it bounds (J/m², 0 K).

    W = (E_opened - E_joined)/A,        G_c ≥ W

E_joined: a periodic cell at rest; E_opened: the same with VACUUM at one boundary, its plane kept, its atoms relaxed; A: area of a
boundary. Of thick grains W = γ_1 + γ_2 - γ_boundary, of a crystal twice its surface energy. Not relaxed, W is larger: the rigid
value. The opened cell is closed and relaxed again, and the lower of both joined states counts. The two boundaries of a cell are
alike unless atoms were removed on building; then their faces differ, and both are told.
Griffith, Phil. Trans. R. Soc. A 221, 163 (1921), and Rice, in Chemistry and Physics of Fracture (Nijhoff, 1987), memory: a
crack that runs pays at least the reversible work of making its faces; plasticity and roughness only add.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import BaseCalculator
from scipy import stats

from atomistic import adhesion, dynamics
from atomistic.relaxation import relaxed
from atomistic.surface_energy import area, at_rest
from coupling.errors import RunFailure
from coupling.record import Property
from coupling.units import surface_energy_to_si

VACUUM = 12.0
"""Width of the opening, Å: twice the reach of the shipped potentials, so that the faces do not feel each other."""
FORCE, STEPS = 0.03, 400
"""Largest force at which a cell is at rest, eV/Å, and most steps until then, unless the study says another number."""
RESTLESS = 0.1
"""Fall of a cell opened and closed, as a share of the work, above which the work hangs on where the atoms of the cell lie."""
CHANCE = 0.05
"""Chance that a work is less than its one-sided 95 % limit."""
CLEAVAGE = "work of cleavage (twice the surface energy)"
PLACES = {"boundary": "boundary", "crystal": "grain"}
"""The condition `place` of a record, by the side of a boundary study."""


def opened(atoms: Atoms, vacuum: float = VACUUM, between: bool = False) -> Atoms:
    """A copy with `vacuum` (Å), along the normal, at one of the two boundaries of a cell of `grain_boundary`; nothing is wrapped.

    At the border of the third cell vector, where grain 1 begins and grain 2 ends (and where `single_grain` is cut), or with
    `between` at the boundary within the cell: grain 2 (tag 2) moves up.
    """
    apart = atoms.copy()
    cell = apart.cell.array.copy()
    normal = np.cross(cell[0], cell[1])
    gap = vacuum * np.sign(normal @ cell[2]) * normal / np.linalg.norm(normal)
    cell[2] += gap
    apart.set_cell(cell)
    if between:
        apart.positions[apart.get_tags() == 2] += gap
    return apart


def measured(
    atoms: Atoms, calculator: BaseCalculator, vacuum: float = VACUUM, force: float = FORCE, steps: int = STEPS
) -> dict[str, Any]:
    """Works of separation, relaxed and rigid (J/m²), of every boundary of a periodic cell in turn; JSON-ready.

    What is opened is closed again: where the cell then lies lower than before (`fallen`, J/m²), atoms have found better places
    that have nothing to do with the cut, and the work is counted, reversibly, from there.

    Args:
        atoms: joined, at rest; not wrapped since it was built. With grains (tags 1 and 2) it has two boundaries, else one cut.
        vacuum: Å. force: largest wanted, eV/Å; `forces` of the answer: left in the cell joined, opened, closed.
        steps: most of each relaxation; a cell that still creeps is taken as it is.

    A closed cell that the potential does not hold (a force beyond that of any dynamics) does not count: `torn` of them.

    Raises:
        RunFailure: a force that is not finite, or a joined or opened cell that the potential does not hold.
    """
    dynamics.forget(calculator)
    torn = 0
    forces: list[float] = []
    values: list[float] = []
    rigid: list[float] = []
    fallen: list[float] = []

    def calm(cell: Atoms) -> tuple[Atoms, float]:
        rest = relaxed(cell, calculator, force=force, steps=steps, strict=False)
        left = float(np.linalg.norm(rest.get_forces(), axis=1).max())
        if left > dynamics.Guards().force:
            raise RunFailure(f"the potential does not hold the cell: a force of {left:.3g} eV/Å is left")
        forces.append(left)
        return rest, float(rest.get_potential_energy())

    joined, energy = calm(atoms)
    for between in (False, True) if 2 in atoms.get_tags() else (False,):
        apart, high = calm(opened(joined, vacuum, between))
        try:
            closed, low = calm(opened(apart, -vacuum, between))
        except RunFailure:
            closed, low, torn = joined, energy, torn + 1
        start, least = (closed, low) if low < energy else (joined, energy)
        stiff = opened(start, vacuum, between)
        stiff.calc = calculator
        for kept, work in (
            (values, high - least),
            (rigid, float(stiff.get_potential_energy()) - least),
            (fallen, energy - least),
        ):
            kept.append(float(surface_energy_to_si(work / area(atoms))))
    return {"values": values, "rigid": rigid, "fallen": fallen, "forces": forces, "force": force, "steps": steps,
            "vacuum": vacuum, "atoms": len(atoms), "torn": torn}  # fmt: skip


def records(
    material: str, side: str, answer: Mapping[str, Any], conditions: Mapping[str, Any], source: Mapping[str, Any]
) -> tuple[list[Property], list[str]]:
    """Work of separation with the fracture energy that it bounds, and a sentence for what its cells do not bear.

    Of low confidence where a cell did not come to rest, rearranged apart from the cut, or parts by itself.

    Args:
        side: "boundary" or "crystal". answer: of `measured`; two boundaries: mean and, where they differ, scatter.
    """
    values, rigid = np.array(answer["values"]), float(np.mean(answer["rigid"]))
    rest, method = at_rest(answer["forces"], answer["force"], answer["steps"])
    notes = [] if rest else [f"separation of the {side}: {method}"]
    fallen = max(answer["fallen"])
    if fallen > RESTLESS * abs(float(values.mean())):
        notes.append(f"separation of the {side}: opened and closed again the cell lies {fallen:.3g} J/m² lower than as it was "
                     f"joined, beside a work of {values.mean():.3g} J/m² that hangs on where its atoms lie")  # fmt: skip
    if torn := answer.get("torn", 0):  # runs of before did not tell
        notes.append(f"separation of the {side}: {torn} of {len(values)} cells, closed again, are not held by the "
                     "potential; the work is counted from the cell as it was joined")  # fmt: skip
    if values.min() <= 0:
        notes.append(f"separation of the {side}: {values.min():.3g} J/m², so that it parts by itself or was not at rest")
    differ = float(np.ptp(values)) > adhesion.ONE_MINIMUM * abs(float(values.mean()))
    error = float(np.std(values, ddof=1)) if differ else None
    method += f", joined and opened by {answer['vacuum']:g} Å, plane of the cell kept; of this cut and this shift alone, "
    method += "mean of two boundaries whose faces differ, error = their scatter" if differ else "so that no error is known"
    if fallen > adhesion.ONE_MINIMUM * abs(float(values.mean())):
        method += f"; counted from the cell closed again, which lies {fallen:.3g} J/m² lower than as it was joined"
    method += f"; not relaxed (rigid) {rigid:.4g} J/m², an upper value"
    own = {**source, "atoms": answer["atoms"], "values": answer["values"], "rigid": answer["rigid"], "method": method}
    work = Property(material, "work_of_separation", float(values.mean()), "J/m^2", stderr=error,
                    conditions={**conditions, "place": PLACES[side]}, source=own,
                    confidence="low" if notes else "computed")  # fmt: skip
    return with_fracture_energy([work]), notes


def consistent(records: Sequence[Property]) -> tuple[list[Property], list[str]]:
    """The records of a boundary at 0 K, and a sentence where they contradict W(boundary) = W(grain) - γ.

    That holds of the energies of thick grains with the same faces. Where it is missed by more than twice its error, a cell lies
    in another minimum than the others, and nothing tells which: all three are of low confidence then, with the fracture energies
    that they bound. A number without an error counts with ONE_MINIMUM of itself.
    """
    cold = [record for record in records if record.conditions.get("temperature_K") == 0.0]
    known = {(record.quantity, record.conditions.get("place")): record for record in cold}
    names = ("work_of_separation", "boundary"), ("work_of_separation", "grain"), ("boundary_energy", None)
    if not all(name in known for name in names):
        return list(records), []
    own, grain, excess = (known[name] for name in names)
    errors = [each.stderr or adhesion.ONE_MINIMUM * abs(each.value) for each in (own, grain, excess)]
    missed, error = own.value - (grain.value - excess.value), float(np.hypot.reduce(errors))
    if abs(missed) <= 2 * error:
        return list(records), []
    told = (f"0 K: the work of separation of the boundary, {own.value:.3g} J/m², is not that of the grain less the excess energy "
            f"of the boundary, {grain.value:.3g} - ({excess.value:.3g}) J/m²: {missed:+.3g} ± {error:.2g} J/m². A cell settled "
            "in another minimum than the others; all three are of low confidence")  # fmt: skip
    doubted = {*names, ("fracture_energy", "boundary"), ("fracture_energy", "grain")}
    return [replace(record.with_source(low_confidence=told), confidence="low")
            if record in cold and (record.quantity, record.conditions.get("place")) in doubted else record
            for record in records], [told]  # fmt: skip


def with_fracture_energy(known: Iterable[Property]) -> list[Property]:
    """The records, and behind every work of separation or adhesion and surface energy the fracture energy that it bounds.

    Of a contact with both works one bound stands, behind the work that gives it: that of no low confidence, of two the larger,
    which holds in 95 % where each of both fails in half as many.
    """
    listed = list(known)
    made = [(record, bound) for record in listed for bound in (None, *fracture_energy(record))]
    works = [(bound.material, bound.confidence) for record, bound in made if bound is not None and _of_contact(record)]
    chances = {place: CHANCE / works.count(place) for place in works}
    made = [(record, each) for record, bound in made
            for each in ([bound] if bound is None or not _of_contact(record) else
                         fracture_energy(record, chances[bound.material, bound.confidence]))]  # fmt: skip
    ranks: dict[str, tuple[bool, float]] = {}
    for record, bound in made:
        if bound is not None and _of_contact(record):
            ranks[record.material] = max(ranks.get(record.material, _rank(bound)), _rank(bound))
    return [bound or record for record, bound in made
            if bound is None or not _of_contact(record) or _rank(bound) == ranks[record.material]]  # fmt: skip


def _of_contact(work: Property) -> bool:
    """Whether it is a work of a contact in several in-plane shifts."""
    return "shifts" in work.source


def _rank(bound: Property) -> tuple[bool, float]:
    return bound.confidence != "low", bound.value


def fracture_energy(work: Property, chance: float = CHANCE) -> list[Property]:
    """Lower bound of the fracture energy that fails by a `chance`, W - 1.645 standard errors by that of a normal distribution.

    None where that is not positive, or of another quantity.

    A surface energy bounds that of cleavage along its face: W = 2γ, at the place "grain". None of a metal, which flows first.
    A crack beside a metal that parts first (`adhesion.COHESION`) runs in the metal: there that bounds it, of low confidence; so
    is what rests on a work without an error.
    """
    if work.quantity == "surface_energy" and work.material not in adhesion.COHESION:
        twice = None if work.stderr is None else 2 * work.stderr
        conditions = {**work.conditions, "place": PLACES["crystal"]}
        work = replace(work, quantity=CLEAVAGE, value=2 * work.value, stderr=twice, conditions=conditions)
    elif work.quantity not in ("work_of_separation", "work_of_adhesion"):
        return []
    name = work.quantity.replace("_", " ")
    away, spread = _normal(chance), _of_few_shifts(work, chance)
    least = work.value - away * spread
    metal = work.material.partition("|")[0] if "|" in work.material else ""
    most = adhesion.COHESION.get(metal, float("inf"))
    if least <= 0:
        return []
    shifts = ", wider as those of few shifts are" if spread > (work.stderr or 0.0) else ""
    error = f"less {away:.4g} standard errors{shifts}" if work.stderr else "as it is, since no error of it is known"
    method = f"Griffith: at least the {name} of dry faces at 0 K, {error}; plasticity and roughness only add"
    if work.value > most:
        method += f"; no more than twice the surface energy of the metal ({most:g} J/m²), which parts first"
    own = {**work.source, "work": work.value, "work_stderr": work.stderr, "work_method": work.source.get("method"),
           "method": method}  # fmt: skip
    doubtful = work.stderr is None or work.value > most
    return [replace(work, quantity="fracture_energy", value=min(least, most), stderr=None, bound="lower", low=None, high=None,
                    source=own, confidence="low" if doubtful else work.confidence)]  # fmt: skip


def _normal(chance: float) -> float:
    """Standard errors from the median of a normal distribution to what exceeds it by a chance: 1.645 of 5 %, 1.96 of 2.5 %."""
    return round(float(stats.norm.isf(chance)), 3)


def _of_few_shifts(work: Property, chance: float) -> float:
    """Standard error of a work by whose normal limit it fails by a `chance`: of few in-plane shifts more than their scatter.

    The mean of n shifts fails by Student's t of n - 1 at t s/√n: of two of scatter s 1.645 s hold 87 %, and 4.5 s 95 %.
    """
    count, scatter = len(work.source.get("values", ())), work.source.get("error_of", {}).get("registries", 0.0)
    if not work.stderr or count < 2:
        return work.stderr or 0.0
    factor = float(stats.t.isf(chance, count - 1)) / count**0.5 / _normal(chance)
    return float(np.sqrt(work.stderr**2 + max(0.0, factor**2 - 1) * scatter**2))

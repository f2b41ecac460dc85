"""Starts of jobs by name: every kind of structure that a recipe can ask for under [[structure]]."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from ase import Atoms

from atomistic.disorder import METHODS, disordered, exchanged
from atomistic.grain_boundary import grain_boundary
from atomistic.heterostructure import heterostructure
from atomistic.interface import amorphous, interface, li_slab
from atomistic.slabs import surface
from atomistic.structures import argyrodite, bulk, primitive, supercell, supercell_near, unknown
from coupling.errors import UserError

Index = tuple[int, int, int]
SCALED = {"area": 2, "gap": 1, "ewald": -1, "dipole": -1}
"""What builders tell in powers of a length."""
OF_ALL_ATOMS = ("ewald", "charge", "dipole", "polar", "symmetric")
"""What no longer holds once atoms are taken out."""


@dataclass(frozen=True)
class Structure:
    """Start of a job, as written under [[structure]] in a recipe; lengths in Å, density in g/cm³.

    kind is one of: crystal, argyrodite, disordered, surface (of lithium with `face`, of any phase with `name` and `miller`),
    interface (Li on a phase), boundary, heterostructure (`name` below, `other` above) and amorphous.
    """

    id: str
    kind: str
    name: str = ""
    face: str = "100"
    disorder: float = 0.0
    min_length: float = 1.0
    thickness: float = 9.0
    vacuum: float = 0.0
    vacancies: int = 0
    max_length: float = 11.0
    density: float = 1.8
    composition: tuple[tuple[str, int], ...] = ()
    scale: float = 1.0  # factor on all lengths, for example the teacher's lattice constant over the measured one
    primitive: bool = False  # crystal, disordered: repeat the primitive cell, not the conventional one
    atoms: int = 0  # crystal: about this many atoms, in place of min_length
    method: str = "random"  # argyrodite (its S and Cl), disordered (its Li): ordered, random or electrostatic
    miller: Index = (1, 0, 0)  # surface, heterostructure: face of `name`
    other: str = ""
    other_miller: Index = (1, 0, 0)
    max_area: float = 200.0
    max_strain: float = 0.05
    sigma: int = 5
    axis: Index = (0, 0, 1)
    plane: Index = (2, 1, 0)


def start(structure: Structure, seed: int) -> Atoms:
    """Atoms as of `built`, which carry nothing but the structure's id: as frames of a set do."""
    atoms = built(structure, seed)
    atoms.info = {"structure": structure.id}
    return atoms


def built(structure: Structure, seed: int) -> Atoms:
    """Atoms of a structure: everything random in it (disorder, vacancies, packing) follows from the seed.

    Returns:
        Periodic Atoms, not relaxed; info: what the builder tells (source, strain, area, energy of an order …).

    Raises:
        UserError: unknown kind, or whatever the builders refuse.
    """
    builders: dict[str, Callable[[], Atoms]] = {
        "crystal": lambda: _crystal(structure),
        "argyrodite": lambda: _argyrodite(structure, seed),
        "disordered": lambda: disordered(structure.name, structure.method, seed, smallest=structure.primitive),
        "surface": lambda: _surface(structure),
        "interface": lambda: interface(
            structure.name,
            structure.face,
            metal_thickness=structure.thickness,
            phase_thickness=structure.min_length,
            vacuum=structure.vacuum,
            max_length=structure.max_length,
        ),
        "boundary": lambda: grain_boundary(
            structure.name, structure.sigma, _index(structure.axis), _index(structure.plane), structure.thickness
        ),
        "heterostructure": lambda: _heterostructure(structure),
        "amorphous": lambda: amorphous(dict(structure.composition), structure.density, seed),
    }
    if structure.kind not in builders:
        raise unknown("kind of structure", structure.kind, sorted(builders))
    if not structure.scale > 0 or structure.vacancies < 0:
        told = f"scale = {structure.scale!r}, vacancies = {structure.vacancies!r}"
        raise UserError(f"structure {structure.id!r}: {told}; a factor above zero and no negative number are needed")
    atoms = builders[structure.kind]()
    if structure.vacancies:
        lithium = np.flatnonzero(atoms.symbols == "Li")
        if structure.vacancies >= len(lithium):
            raise UserError(f"structure {structure.id!r}: {structure.vacancies} vacancies among {len(lithium)} lithium atoms")
        del atoms[np.random.default_rng(seed + 1).choice(lithium, structure.vacancies, replace=False)]
        atoms.info = {key: value for key, value in atoms.info.items() if key not in OF_ALL_ATOMS}
    atoms.set_cell(atoms.cell.array * structure.scale, scale_atoms=True)
    atoms.info |= {key: atoms.info[key] * structure.scale**power for key, power in SCALED.items() if key in atoms.info}
    return atoms


def _crystal(structure: Structure) -> Atoms:
    """Supercell of a crystal: with about `atoms` atoms where that is given, else at least `min_length` wide."""
    cell = primitive(bulk(structure.name)) if structure.primitive else bulk(structure.name)
    return supercell_near(cell, structure.atoms) if structure.atoms else supercell(cell, structure.min_length)


def _argyrodite(structure: Structure, seed: int) -> Atoms:
    """Li6PS5Cl with S and Cl exchanged, in as many cubic cells as `min_length` asks for."""
    if structure.method not in METHODS:
        raise unknown("way to exchange S and Cl", structure.method, list(METHODS))
    times = max(1, math.ceil(structure.min_length / float(bulk("Li6PS5Cl").cell.lengths()[0]) - 1e-9))
    repeat = (times, times, times)
    if structure.method == "electrostatic":
        return exchanged(structure.disorder, repeat, seed)
    return argyrodite(structure.disorder if structure.method == "random" else 0.0, repeat, seed)


def _surface(structure: Structure) -> Atoms:
    """Slab of lithium (no name given) or of any crystal."""
    if not structure.name:
        return li_slab(structure.face, structure.min_length, structure.thickness, structure.vacuum)
    miller = _index(structure.miller)
    return surface(structure.name, miller, structure.thickness, structure.vacuum, structure.min_length)


def _heterostructure(structure: Structure) -> Atoms:
    """Coherent interface: `name` below, `other` above, each at least `thickness` thick."""
    return heterostructure(
        structure.name,
        structure.other,
        _index(structure.miller),
        _index(structure.other_miller),
        (structure.thickness, structure.thickness),
        structure.max_area,
        structure.max_strain,
        vacuum=structure.vacuum,
    )


def _index(read: Index) -> Index:
    """Three whole numbers, as a tuple whatever TOML gave."""
    first, second, third = (int(number) for number in read)
    return first, second, third

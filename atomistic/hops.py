"""Hop of a lithium ion into a vacancy: the path of least energy between two sites, and its barrier.

The cell stays neutral (the vacancy takes its electron along), as it does in a potential without charges. The barrier tells how
two potentials compare, no more.

Source: Henkelman, Uberuaga, Jónsson, J. Chem. Phys. 113, 9901 (2000), climbing image; Smidstrup et al., J. Chem. Phys. 140,
214106 (2014), first guess of the path.
"""

import contextlib
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.calculators.calculator import BaseCalculator
from ase.mep import NEB
from ase.neighborlist import neighbor_list
from ase.optimize import FIRE

from atomistic.relaxation import relaxed
from atomistic.sampling import ALONE
from coupling.errors import UserError


@dataclass(frozen=True)
class Hop:
    """A path between two sites.

    Attributes:
        path: frames from start to end. energies: (frames,) of the path, eV, 0 at its start. distance: between the sites, Å.
        force: largest force across the path that was left, eV/Å.
    """

    path: tuple[Atoms, ...]
    energies: np.ndarray
    distance: float
    force: float

    @property
    def barrier(self) -> float:
        """Highest energy of the path over its start, eV."""
        return float(self.energies.max())


def sites(cell: Atoms, species: str = "Li") -> tuple[int, int, np.ndarray]:
    """The nearest pair of atoms of a species: (vacated, hopping, vector from the hopping atom to the vacated site).

    Among equal distances (to 1e-3 Å) the pair of lowest indices is taken, so that two relaxed copies of a crystal hop alike.

    Raises:
        UserError: fewer than two atoms of the species.
    """
    chosen = np.array(cell.get_chemical_symbols()) == species
    if chosen.sum() < 2:
        raise UserError(f"{cell.get_chemical_formula()}: no two {species} atoms, so nothing hops; ask for a larger cell")
    i, j, d, vector = neighbor_list("ijdD", cell, 6.0)
    among = chosen[i] & chosen[j] & (i != j)
    i, j, d, vector = i[among], j[among], np.round(d[among], 3), vector[among]
    best = np.lexsort((j, i, d))[0]
    return int(i[best]), int(j[best]), -np.asarray(vector[best])


def vacancy_hop(
    cell: Atoms,
    pair: tuple[int, int],
    calculator: BaseCalculator,
    images: int = 5,
    steps: int = 150,
    progress: Callable[[float], None] = lambda share: None,
) -> Hop | None:
    """Path of the hop of atom pair[1] into the place of atom pair[0]; None where the end relaxes back into the start.

    Args:
        cell: perfect crystal at rest.
        pair: of `sites`.
        calculator: ASE calculator.
        images: between the two ends.
        steps: most steps of the search (half of them before the highest image climbs).
        progress: takes the share that is done.
    """
    gone, mover = pair
    vector = cell.get_distance(mover, gone, mic=True, vector=True)
    start = cell.copy()
    end = cell.copy()
    end.positions[mover] += vector
    del start[gone], end[gone]
    ends = [relaxed(atoms, calculator, force=0.02, steps=150, strict=False) for atoms in (start, end)]
    progress(0.3)
    moved = np.linalg.norm(ends[1].positions - ends[0].positions, axis=1).max()
    distance = float(np.linalg.norm(vector))
    if moved < 0.4 * distance:
        return None
    path = [ends[0], *(ends[0].copy() for _ in range(images)), ends[1]]
    for frame in path:
        frame.calc = calculator
    band = NEB(path, k=0.1, method="improvedtangent", allow_shared_calculator=True, world=ALONE)
    band.interpolate("idpp", mic=True)
    with contextlib.redirect_stdout(io.StringIO()):
        FIRE(band, logfile=None, maxstep=0.1, comm=ALONE).run(fmax=0.15, steps=steps // 2)
        progress(0.6)
        band.climb = True
        FIRE(band, logfile=None, maxstep=0.1, comm=ALONE).run(fmax=0.05, steps=steps // 2)
    left = float(np.linalg.norm(band.get_forces().reshape(-1, 3), axis=1).max())
    energies = energies_of(path, calculator)
    return Hop(tuple(_bare(frame) for frame in path), energies, distance, left)


def energies_of(path: Sequence[Atoms], calculator: BaseCalculator) -> np.ndarray:
    """Energies of the frames of a path (frames,) in eV, 0 at its start."""
    energies = np.array([float(calculator.get_property("energy", _bare(frame))) for frame in path])
    return np.asarray(energies - energies[0])


def _bare(frame: Atoms) -> Atoms:
    """The frame without a calculator."""
    return Atoms(frame.numbers, positions=frame.positions, cell=frame.cell, pbc=frame.pbc)

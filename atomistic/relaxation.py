"""Relaxation of atoms and cells with a stated end: largest force, or a stated number of steps."""

import os
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import BaseCalculator

from coupling.errors import RunFailure


def relaxed(
    atoms: Atoms, calculator: BaseCalculator, cell: bool = False, force: float = 0.01, steps: int = 500, strict: bool = True,
    pressure: float = 0.0, energies: list[float] | None = None,
) -> Atoms:  # fmt: skip
    """A relaxed copy of the atoms with the calculator attached.

    Args:
        atoms: periodic atoms.
        calculator: ASE calculator.
        cell: whether the cell relaxes as well (to the pressure).
        force: largest force left on an atom, eV/Å (and on the cell, eV/Å per atom scale of ASE's FrechetCellFilter).
        steps: most steps.
        strict: whether to raise when `force` is not reached; else the state reached is returned.
        pressure: on a cell that relaxes, GPa.
        energies: filled with the energy at the start and after every step, eV.

    Raises:
        RunFailure: the force is not reached, or it is not finite.
    """
    from ase import units
    from ase.filters import FrechetCellFilter
    from ase.optimize import LBFGS

    copy = atoms.copy()
    copy.calc = calculator
    target: Any = FrechetCellFilter(copy, scalar_pressure=pressure * units.GPa) if cell else copy
    with warnings.catch_warnings():  # scipy's logm warns of errors of 1e-13
        warnings.filterwarnings("ignore", message="logm result may be inaccurate")
        optimiser = LBFGS(target, logfile=os.devnull, maxstep=0.1)
        if energies is not None:
            optimiser.attach(lambda: energies.append(float(copy.get_potential_energy())))
        converged = optimiser.run(fmax=force, steps=steps)
    largest = float(np.linalg.norm(copy.get_forces(), axis=1).max())
    if not np.isfinite(largest) or (strict and not converged):
        raise RunFailure(
            f"{atoms.get_chemical_formula()}: relaxation left a force of {largest:.3g} eV/Å after {steps} steps "
            f"(wanted {force:g}); the potential may not know this structure"
        )
    return copy


def still_gained(energies: Sequence[float]) -> float:
    """Energy that the last third of a relaxation's steps gained, in the unit of `energies` (of `relaxed`).

    More than what is left where steps gain less and less. Where atoms react there may be no end, and it is no bound of anything.
    """
    return abs(energies[2 * (len(energies) - 1) // 3] - energies[-1])

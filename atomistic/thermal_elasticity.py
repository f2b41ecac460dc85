"""Isothermal elastic tensor of a crystal at a temperature, by strain and the mean stress of molecular dynamics.

A cell without stress at the temperature (the mean one of a constant-pressure run) is strained by +e and −e in each of the six
Voigt components and kept so; after it has settled, frames give the mean stress of the potential. The kinetic stress is that of
equipartition, −N k_B T/V, which knows no noise. Then

    C_ij = [σ_i(+e_j) − σ_i(−e_j)] / 2e

is free of the quadratic term. Ions that hop within the run relax the strain, as they do in a slow experiment: that belongs to
the answer. The mean stresses of a run have their covariance from its blocks, carried through the average over Cᵀ and the
rotations into the moduli; it is scaled up where elements that symmetry makes equal differ by more than their errors.

Source: Ray, Comput. Phys. Rep. 8, 109 (1988), who compares it with fluctuations of the strain (memory); docs/physics.md 1.10.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms, units
from ase.calculators.calculator import BaseCalculator

from atomistic import dynamics
from atomistic.dynamics import DynamicsSettings
from atomistic.elasticity import ElasticTensor, require_stable, strain_matrix, tensor_of
from coupling.errors import RunFailure, UserError
from coupling.units import pressure_to_si

BLOCKS = 10
"""Blocks of a run whose scatter is the error of its mean stress."""
SETTLING = 0.25
"""Share of a strained run that passes before its stress is taken."""
MOST_STRAIN = 0.03
"""Strain beyond which stress is no longer linear in it."""
NAMES = ("xx", "yy", "zz", "yz", "xz", "xy")


@dataclass(frozen=True)
class Strained:
    """The strained runs: temperature (K), strain e, length of each (ps, settling included), step and frame (fs), seed."""

    temperature: float
    strain: float = 0.01
    picoseconds: float = 10.0
    timestep: float = 2.0
    frame_interval: float = 20.0
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what gives no tensor."""
        if not 0 < self.strain <= MOST_STRAIN:
            raise UserError(f"elasticity at temperature: strain {self.strain:g}; it must lie between 0 and {MOST_STRAIN:g}")
        least = least_picoseconds(self.frame_interval)
        if self.picoseconds < least:
            told = f"strained runs of {self.picoseconds:g} ps; at least {least:.3g} ps are needed"
            raise UserError(f"elasticity at temperature: {told}")

    @property
    def dynamics(self) -> DynamicsSettings:
        """Of one strained run."""
        return DynamicsSettings(self.temperature, self.picoseconds, "nvt", timestep=self.timestep, friction_time=500.0,
                                frame_interval=self.frame_interval, checkpoint_interval=10 * self.frame_interval,
                                seed=self.seed)  # fmt: skip


def least_picoseconds(frame_interval: float = 20.0) -> float:
    """Shortest strained run, ps, that gives its mean stress an error, for a time between frames in fs."""
    return 5 * BLOCKS * frame_interval / (1 - SETTLING) / 1000


def elastic_tensor(
    atoms: Atoms, calculator: BaseCalculator, runs: Strained, rotations: np.ndarray, folder: str | Path,
    progress: Callable[[float], None] | None = None,
) -> ElasticTensor:  # fmt: skip
    """Isothermal elastic tensor, Pa.

    Args:
        atoms: crystal in its mean cell at the temperature, with momenta or without.
        calculator: with stress. runs: see Strained. rotations: point group (n, 3, 3), `elasticity.crystal_rotations`.
        folder: of the twelve runs, each of which goes on after a kill. progress: called with the share done.

    Raises:
        RunFailure: a run that broke (`dynamics.Unphysical`), or a crystal that is unstable against a strain.
    """
    mean, covariance = np.zeros((2, 6, 6)), np.zeros((2, 6, 6, 6))  # sign, strained component, stress component(s)
    for number in range(12):
        side, component = divmod(number, 6)
        strained = atoms.copy()
        amount = (1, -1)[side] * runs.strain
        strained.set_cell(atoms.cell.array @ (np.eye(3) + strain_matrix(component, amount)), scale_atoms=True)
        where = Path(folder) / f"{NAMES[component]}{'+-'[side]}"
        run = dynamics.run(strained, calculator, runs.dynamics, where)
        mean[side, component], covariance[side, component] = mean_stress(run, calculator, runs.temperature)
        if progress:
            progress((number + 1) / 12)
    slopes = (mean[0] - mean[1]).T / (2 * runs.strain)
    found = tensor_of(slopes, covariance.sum(axis=0) / (2 * runs.strain) ** 2, rotations)
    require_resolved(found, atoms.get_chemical_formula())
    return found


def require_resolved(tensor: ElasticTensor, name: str) -> None:
    """Refuse a tensor whose lowest stiffness is not above zero by two errors: moduli would be those of the noise.

    Raises:
        RunFailure: unstable (below zero by two errors), or the runs are too short to tell.
    """
    stiffness, error = lowest_stiffness(tensor)
    if stiffness + 2 * error < 0:
        require_stable(tensor.constants, name)
    if stiffness < 2 * error:
        told = f"lowest stiffness {stiffness / 1e9:.2g} ± {error / 1e9:.2g} GPa"
        raise RunFailure(f"{name}: {told}: too uncertain for constants and moduli; longer strained runs are needed")


def lowest_stiffness(tensor: ElasticTensor) -> tuple[float, float]:
    """Lowest eigenvalue of C and its standard error, Pa."""
    stiffness, vectors = np.linalg.eigh(tensor.constants)
    along = np.outer(vectors[:, 0], vectors[:, 0]).ravel()
    return float(stiffness[0]), float(np.sqrt(along @ tensor.covariance @ along))


def mean_stress(run: dynamics.Trajectory, calculator: BaseCalculator, temperature: float) -> tuple[np.ndarray, np.ndarray]:
    """Mean stress (6,), Pa, of a run at constant volume after it has settled, and the covariance of that mean (6, 6), Pa²."""
    late = range(round(SETTLING * len(run.positions)), len(run.positions))
    mean, covariance = block_mean(np.array([_stress(run, number, calculator) for number in late]))
    density = len(run.numbers) / abs(np.linalg.det(run.cells[0]))
    kinetic = -density * units.kB * temperature * np.array([1.0, 1, 1, 0, 0, 0])
    factor = pressure_to_si(1.0)
    return factor * (mean + kinetic), factor**2 * covariance


def block_mean(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean of rows (frames, n) that follow each other, and its covariance (n, n) from BLOCKS blocks."""
    blocks = np.array([part.mean(axis=0) for part in np.array_split(rows, BLOCKS)])
    return rows.mean(axis=0), np.cov(blocks.T) / BLOCKS


def _stress(run: dynamics.Trajectory, number: int, calculator: BaseCalculator) -> np.ndarray:
    """Stress (6,) of the potential in one frame, eV/Å³."""
    frame = Atoms(run.numbers, positions=run.positions[number].astype(float), cell=run.cells[number], pbc=True)
    return np.asarray(calculator.get_property("stress", frame))

"""Integrators of molecular dynamics: constant energy and Langevin baths, at constant volume or pressure.

An integrator moves a `Motion` in place. Together with the state of the random generator a `Motion` is all that the next step
depends on, so a stored one continues bit for bit. The loops work on bare arrays: no ASE object is copied or compared per step.
Nosé–Hoover chains stand in atomistic.nose_hoover.

==========  ====================================================  =========
symbol      variable                                              unit
==========  ====================================================  =========
r, p, h     positions, momenta (n, 3), cell (3, 3), rows a b c    Å, ASE, Å
T           temperature                                           K
τ_T, τ_P    thermostat_time, barostat_time                        ASE
P           pressure                                              eV/Å³
p_g, W      barostat, barostat_mass: without shape p_g = p_ε I    ASE
==========  ====================================================  =========

Sources: Leimkuhler & Matthews, J. Chem. Phys. 138, 174102 (2013), BAOAB; Quigley & Probert, J. Chem. Phys. 120, 11432 (2004),
the cell. The steps are those of ASE's LangevinBAOAB, to the last bit where the shape of the cell is kept (a test compares). With
a free shape ASE 3.29 adds tr p_g / N_f to every element of the drag; here, as in eq. 5b of the second paper, to its diagonal.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms, units
from ase.calculators.calculator import BaseCalculator, Calculator, all_changes
from ase.stress import voigt_6_to_full_3x3_stress
from scipy.linalg import expm


@dataclass
class Motion:
    """Point of the extended phase space; the integrator replaces its arrays.

    Attributes:
        positions, momenta: (n, 3). cell: (3, 3). barostat: momentum of the cell (3, 3).
        chains: (2, 2, links): thermostat and barostat; positions and momenta.
    """

    positions: np.ndarray
    momenta: np.ndarray
    cell: np.ndarray
    barostat: np.ndarray
    chains: np.ndarray


WHOLE = ((1.0, 1.0, 1.0),) * 3
"""Every component of the strain moves."""
HEIGHT = ((0.0, 0.0, 0.0), (0.0, 0.0, 0.0), (0.0, 0.0, 1.0))
"""The height along z alone moves: the area across it is held, as that of an interface on a thick crystal."""


@dataclass(frozen=True)
class Bath:
    """What an integrator is coupled to, in ASE units; None where it is not coupled.

    Attributes:
        thermostat_time: time constant of the thermostat. barostat_time: of the barostat; None keeps the cell.
        pressure: eV/Å³. free_shape: whether the cell's shape moves as well as its volume.
        moving: with free_shape, which components of the strain move, (3, 3) of 0 and 1.
        reference: temperature that sets the masses of chains and of their barostat, K.
    """

    thermostat_time: float | None
    barostat_time: float | None = None
    pressure: float = 0.0
    free_shape: bool = False
    moving: tuple[tuple[float, ...], ...] = WHOLE
    reference: float = 0.0


class ForceField:
    """Energy, forces and (when asked for) stress of moving atoms, from an ASE calculator.

    The first call goes through ASE. Later calls of the product's own fast potential go to its engine at once: that the
    elements are known need not be asked again, and that the atoms moved is certain.
    """

    def __init__(self, template: Atoms, calculator: BaseCalculator, stress: bool) -> None:
        """`template` gives elements and periodicity; `stress` tells whether it is wanted."""
        self.atoms, self.calculator, self.wants_stress = template.copy(), calculator, stress
        self.engine: Calculator | None = None
        self.energy, self.forces, self.stress = 0.0, np.zeros((len(template), 3)), np.zeros((3, 3))

    def evaluate(self, positions: np.ndarray, cell: np.ndarray) -> None:
        """Set `energy` (eV), `forces` (n, 3) in eV/Å and `stress` (3, 3) in eV/Å³."""
        self.atoms.positions[:] = positions
        self.atoms.cell[:] = cell
        if self.engine is not None:
            self.engine.calculate(self.atoms, ["energy", "forces"] + ["stress"] * self.wants_stress, all_changes)
            results: dict[str, Any] = self.engine.results
        else:
            names = ["stress", "forces", "energy"] if self.wants_stress else ["forces", "energy"]
            results = {name: self.calculator.get_property(name, self.atoms) for name in names}
            if getattr(self.calculator, "engine", "") == "symmetrix":
                self.engine = getattr(self.calculator, "inner", None)
        self.energy, self.forces = float(results["energy"]), results["forces"]
        if self.wants_stress:
            self.stress = voigt_6_to_full_3x3_stress(results["stress"])


class Langevin:
    """BAOAB at constant volume; without a thermostat velocity Verlet.

    Attributes:
        motion: what is moved. field: energy, forces, stress at its positions. freedom: degrees of freedom of the temperature.
    """

    def __init__(
        self, motion: Motion, field: ForceField, masses: np.ndarray, bath: Bath, timestep: float, rng: np.random.Generator
    ) -> None:
        """Masses (n,) in u; `timestep` in ASE units. Evaluates the force field once."""
        self.motion, self.field, self.bath, self.timestep, self.rng = motion, field, bath, timestep, rng
        self.masses = masses[:, None]
        self.freedom = 3 * len(masses)
        field.evaluate(motion.positions, motion.cell)

    def step(self, temperature: float) -> None:
        """One time step in a bath of this temperature (K)."""
        self._kick()
        self._drift()
        self._friction(temperature)
        self._drift()
        self.field.evaluate(self.motion.positions, self.motion.cell)
        self._kick()

    @property
    def twice_kinetic(self) -> float:
        """Twice the kinetic energy, eV."""
        momenta = self.motion.momenta
        return float(np.vdot(momenta, momenta / self.masses))

    def _kick(self) -> None:
        """B: half a step of the velocities."""
        velocities = self.motion.momenta / self.masses
        self.motion.momenta = self.masses * (velocities + 0.5 * self.timestep * (self.field.forces / self.masses))

    def _drift(self) -> None:
        """A: half a step of the positions."""
        self.motion.positions = self.motion.positions + 0.5 * self.timestep * (self.motion.momenta / self.masses)

    def _friction(self, temperature: float) -> None:
        """O: a whole Ornstein–Uhlenbeck step of the velocities."""
        if self.bath.thermostat_time is None:
            return
        rate = 1.0 / self.bath.thermostat_time
        velocities = self._damped(self.motion.momenta / self.masses, rate)
        noise = self.rng.normal(size=velocities.shape) / np.sqrt(self.masses)
        velocities += _noise_width(rate, temperature, self.timestep) * noise
        self.motion.momenta = self.masses * velocities

    def _damped(self, velocities: np.ndarray, rate: float) -> np.ndarray:
        """Velocities after a step of friction."""
        return np.asarray(velocities * np.exp(-rate * self.timestep))


class LangevinCell(Langevin):
    """BAOAB with a cell that is a Langevin particle itself (Quigley & Probert), moved isotropically or with its shape."""

    def __init__(
        self, motion: Motion, field: ForceField, masses: np.ndarray, bath: Bath, timestep: float, rng: np.random.Generator
    ) -> None:
        """As Langevin; the cell's mass is the rule of thumb of ASE's LangevinBAOAB, whose integrator this is."""
        super().__init__(motion, field, masses, bath, timestep, rng)
        assert bath.barostat_time is not None
        self.barostat_rate = 1.0 / bath.barostat_time
        self.barostat_mass = (((bath.barostat_time / 4.0) / (1.66 * units.fs)) * (len(masses) ** (1.0 / 6.0))) ** 2
        self._update_pull()

    def step(self, temperature: float) -> None:
        """One time step in a bath of this temperature (K)."""
        self._kick_cell()
        self._kick()
        self._drift_cell()
        self._drift()
        self._friction(temperature)
        self._cell_friction(temperature)
        self._drift()
        self._drift_cell()
        self.field.evaluate(self.motion.positions, self.motion.cell)
        self._update_pull()
        self._kick()
        self._kick_cell()

    def _update_pull(self) -> None:
        """Force on the cell, (3, 3) in eV: V (P_inside − P) + 2 E_kin / N_f; only its mean when the shape is kept."""
        volume = float(np.abs(np.linalg.det(self.motion.cell)))
        if self.bath.free_shape:
            kinetic = self.motion.momenta.T @ (self.motion.momenta / self.masses)
            inside = (kinetic - volume * self.field.stress) / volume - self.bath.pressure * np.identity(3)
            self.pull = (volume * inside + np.trace(kinetic) / self.freedom * np.identity(3)) * np.array(self.bath.moving)
            return
        kinetic = self.twice_kinetic
        inside = 1.0 / (3.0 * volume) * (kinetic - volume * np.trace(self.field.stress))
        self.pull = (3.0 * volume * (inside - self.bath.pressure) + (3.0 / self.freedom) * kinetic) * np.identity(3)

    def _kick_cell(self) -> None:
        self.motion.barostat = self.motion.barostat + 0.5 * self.timestep * self.pull

    def _drift_cell(self) -> None:
        """Half a step of the cell; the atoms keep their fractions of it."""
        if self.bath.free_shape:
            cell = self.motion.cell @ expm(0.5 * self.timestep * self.motion.barostat / self.barostat_mass).T
        else:
            volume = np.abs(np.linalg.det(self.motion.cell))
            grown = volume * np.exp(0.5 * self.timestep * 3.0 * self.motion.barostat[0, 0] / self.barostat_mass)
            cell = self.motion.cell * (grown / volume) ** (1.0 / 3.0)
        self.motion.positions = self.motion.positions @ np.linalg.solve(self.motion.cell, cell)
        self.motion.cell = cell

    def _damped(self, velocities: np.ndarray, rate: float) -> np.ndarray:
        """Velocities after a step of friction and of the drag of the moving cell (Quigley & Probert, eq. 5b)."""
        momentum = self.motion.barostat
        if not self.bath.free_shape:
            drag = (1.0 + 3.0 / self.freedom) * momentum[0, 0] / self.barostat_mass
            return np.asarray(velocities * np.exp(-(rate + drag) * self.timestep))
        drag = (momentum + np.trace(momentum) / self.freedom * np.identity(3)) / self.barostat_mass
        return np.asarray(velocities @ expm(-(rate * np.identity(3) + drag) * self.timestep).T)

    def _cell_friction(self, temperature: float) -> None:
        """A whole Ornstein–Uhlenbeck step of the cell's momentum; its noise is symmetric, so that the cell does not turn."""
        width = _noise_width(self.barostat_rate, temperature, self.timestep) * np.sqrt(self.barostat_mass)
        if self.bath.free_shape:
            noise = self.rng.normal(size=(3, 3))
            noise = (noise + noise.T) / 2 * np.array(self.bath.moving)
        else:
            noise = self.rng.normal() * np.identity(3)
        self.motion.barostat = self.motion.barostat * np.exp(-self.barostat_rate * self.timestep) + width * noise


def _noise_width(rate: float, temperature: float, timestep: float) -> float:
    """Width of the noise of an Ornstein–Uhlenbeck step for unit mass."""
    sigma = np.sqrt(2.0 * rate * units.kB * temperature)
    return float((sigma / np.sqrt(2.0 * rate)) * np.sqrt(1.0 - np.exp(-2.0 * rate * timestep)))

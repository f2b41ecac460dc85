"""Nosé–Hoover chains, at constant volume and, after Martyna, Tobias and Klein, at constant pressure.

Canonical without noise; the quantity `conserved` tells how exactly the equations were integrated.

==========  ========================================================  ====
symbol      variable                                                  unit
==========  ========================================================  ====
η, p_η, Q   chains[0]: positions, momenta; masses N_f kT τ_T², kT τ²  ASE
ξ, p_ξ, R   chains[1], the same for the cell                          ASE
p_g, W      barostat (symmetric, 3×3), (N_f + 3) kT τ_P² / 3          ASE
N_f         freedom: 3n − 3, as the total momentum stays zero         1
==========  ========================================================  ====

Sources: Martyna, Klein & Tuckerman, J. Chem. Phys. 97, 2635 (1992); Martyna, Tobias & Klein, J. Chem. Phys. 101, 4177 (1994);
integrated as in Martyna, Tuckerman, Tobias & Klein, Mol. Phys. 87, 1117 (1996). The factors of the step are those of ASE's
NoseHooverChainNVT and MTKNPT (a test compares), which count 3n degrees of freedom and nine of the cell instead of six.
"""

import math

import numpy as np
from ase import units
from scipy.special import exprel

from atomistic.ensembles import Bath, ForceField, Langevin, Motion

_YOSHIDA = (1 / (2 - 2 ** (1 / 3)), -(2 ** (1 / 3)) / (2 - 2 ** (1 / 3)), 1 / (2 - 2 ** (1 / 3)))
"""Weights of a fourth-order step (Yoshida, Phys. Lett. A 150, 262 (1990))."""


class Chains(Langevin):
    """Nosé–Hoover chains at constant volume: canonical without noise. The total momentum stays zero (freedom 3n − 3)."""

    def __init__(
        self, motion: Motion, field: ForceField, masses: np.ndarray, bath: Bath, timestep: float, rng: np.random.Generator
    ) -> None:
        """As Langevin; the generator is not drawn from."""
        super().__init__(motion, field, masses, bath, timestep, rng)
        self.freedom = max(1, 3 * len(masses) - 3)

    def step(self, temperature: float) -> None:
        """One time step in a bath of this temperature (K)."""
        self._heat(temperature)
        self._kick()
        self._drift()
        self._drift()
        self.field.evaluate(self.motion.positions, self.motion.cell)
        self._kick()
        self._heat(temperature)

    def conserved(self, temperature: float) -> float:
        """Energy of atoms and chain, eV; constant along an exact trajectory at constant temperature."""
        kinetic = 0.5 * self.twice_kinetic
        return self.field.energy + kinetic + self._chain_energy(0, self.freedom, temperature)

    def _heat(self, temperature: float) -> None:
        """Half a step of the chain, which scales the momenta."""
        assert self.bath.thermostat_time is not None
        masses = _chain_masses(self.freedom, self.bath.reference, self.bath.thermostat_time, self.motion.chains.shape[2])
        half = 0.5 * self.timestep
        scale, chain = push_chain(self.motion.chains[0], masses, self.twice_kinetic, self.freedom, units.kB * temperature, half)
        self.motion.chains = np.array([chain, self.motion.chains[1]])
        self.motion.momenta = self.motion.momenta * scale

    def _chain_energy(self, which: int, freedom: int, temperature: float) -> float:
        """Energy of the thermostat's (0) or barostat's (1) chain, eV."""
        time = self.bath.barostat_time if which else self.bath.thermostat_time
        assert time is not None
        masses = _chain_masses(freedom, self.bath.reference, time, self.motion.chains.shape[2])
        position, momentum = self.motion.chains[which]
        potential = units.kB * temperature * (freedom * position[0] + position[1:].sum())
        return float(potential + np.sum(0.5 * momentum**2 / masses))


class ChainsCell(Chains):
    """Martyna–Tobias–Klein: chains on atoms and on a cell that moves isotropically or, symmetrically, with its shape."""

    def __init__(
        self, motion: Motion, field: ForceField, masses: np.ndarray, bath: Bath, timestep: float, rng: np.random.Generator
    ) -> None:
        """As Chains. The momentum of the cell is a symmetric matrix: 6 degrees of freedom, 1 without the shape."""
        super().__init__(motion, field, masses, bath, timestep, rng)
        assert bath.barostat_time is not None
        self.barostat_mass = (self.freedom + 3) / 3 * units.kB * bath.reference * bath.barostat_time**2
        self.cell_freedom = 6 if bath.free_shape else 1

    def step(self, temperature: float) -> None:
        """One time step in a bath of this temperature (K)."""
        half, whole = 0.5 * self.timestep, self.timestep
        self._heat_cell(temperature)
        self._heat(temperature)
        self._pull_cell(half)
        self._kick_in_cell(half)
        self._drift_in_cell(whole)
        self.field.evaluate(self.motion.positions, self.motion.cell)
        self._kick_in_cell(half)
        self._pull_cell(half)
        self._heat(temperature)
        self._heat_cell(temperature)

    def conserved(self, temperature: float) -> float:
        """Enthalpy of atoms, cell and chains, eV."""
        cell = 0.5 * np.sum(self.motion.barostat**2) / self.barostat_mass
        work = self.bath.pressure * abs(np.linalg.det(self.motion.cell))
        return float(super().conserved(temperature) + cell + work + self._chain_energy(1, self.cell_freedom, temperature))

    def _heat_cell(self, temperature: float) -> None:
        """Half a step of the barostat's chain."""
        assert self.bath.barostat_time is not None
        masses = _chain_masses(self.cell_freedom, self.bath.reference, self.bath.barostat_time, self.motion.chains.shape[2])
        kinetic = float(np.sum(self.motion.barostat**2) / self.barostat_mass)
        chain, half = self.motion.chains[1], 0.5 * self.timestep
        scale, chain = push_chain(chain, masses, kinetic, self.cell_freedom, units.kB * temperature, half)
        self.motion.chains = np.array([self.motion.chains[0], chain])
        self.motion.barostat = self.motion.barostat * scale

    def _pull_cell(self, time: float) -> None:
        """ṗ_g = V (P_inside − P) + 2 E_kin / N_f, only its mean when the shape is kept."""
        volume = float(np.abs(np.linalg.det(self.motion.cell)))
        kinetic = self.motion.momenta.T @ (self.motion.momenta / self.masses)
        pull = kinetic - volume * (self.field.stress + self.bath.pressure * np.identity(3))
        pull = (pull + pull.T) / 2 + np.trace(kinetic) / self.freedom * np.identity(3)
        if not self.bath.free_shape:
            pull = np.trace(pull) / 3 * np.identity(3)
        self.motion.barostat = self.motion.barostat + time * pull

    def _kick_in_cell(self, time: float) -> None:
        """ṗ = F − (p_g + tr p_g / N_f) p / W, exactly for fixed F and p_g."""
        rates, axes = np.linalg.eigh(self.motion.barostat / self.barostat_mass)
        drag = (rates + rates.sum() / self.freedom) * time
        momenta = (self.motion.momenta @ axes) * np.exp(-drag) + time * (self.field.forces @ axes) * exprel(-drag)
        self.motion.momenta = momenta @ axes.T

    def _drift_in_cell(self, time: float) -> None:
        """ṙ = p/m + p_g r / W and ḣ = h p_g / W, exactly for fixed p and p_g."""
        rates, axes = np.linalg.eigh(self.motion.barostat / self.barostat_mass)
        growth = np.exp(rates * time)
        velocities = (self.motion.momenta / self.masses) @ axes
        positions = (self.motion.positions @ axes) * growth + time * velocities * exprel(rates * time)
        self.motion.positions = positions @ axes.T
        self.motion.cell = (self.motion.cell @ axes * growth) @ axes.T


def push_chain(
    chain: np.ndarray, masses: list[float], twice_kinetic: float, freedom: int, thermal_energy: float, time: float
) -> tuple[float, np.ndarray]:
    """Factor of the momenta it acts on, and the chain (2, links: positions, momenta), after `time`.

    Source: Martyna et al., Mol. Phys. 87, 1117 (1996), with Yoshida's fourth-order weights.
    """
    position, momentum = [float(value) for value in chain[0]], [float(value) for value in chain[1]]
    links, scale = len(masses), 1.0

    def push(link: int, time: float) -> None:
        if link == 0:
            force = twice_kinetic * scale**2 - freedom * thermal_energy
        else:
            force = momentum[link - 1] ** 2 / masses[link - 1] - thermal_energy
        last = link == links - 1
        damping = 1.0 if last else math.exp(-0.25 * time * momentum[link + 1] / masses[link + 1])
        momentum[link] = (momentum[link] * damping + 0.5 * time * force) * damping

    for weight in _YOSHIDA:
        part = weight * time
        for link in reversed(range(links)):
            push(link, part)
        for link in range(links):
            position[link] += part * momentum[link] / masses[link]
        scale *= math.exp(-part * momentum[0] / masses[0])
        for link in range(links):
            push(link, part)
    return scale, np.array([position, momentum])


def _chain_masses(freedom: int, reference: float, time: float, links: int) -> list[float]:
    """Masses of the links: N kT τ² and kT τ² (Martyna, Klein & Tuckerman 1992)."""
    return [(freedom if link == 0 else 1) * units.kB * reference * time**2 for link in range(links)]

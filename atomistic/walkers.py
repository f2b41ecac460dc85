"""Systems that a bias acts on: molecular dynamics of several walkers, and overdamped motion on a line with exact answers."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from ase import Atoms, units
from ase.calculators.calculator import BaseCalculator
from ase.constraints import FixAtoms

from atomistic.dynamics import Guards, Unphysical, Unstable, check_forces, thermal_momenta
from atomistic.ensembles import Bath, ForceField, Langevin, Motion
from atomistic.metadynamics import Bias, generator_state, set_generator
from coupling.errors import UserError

Variable = Callable[[Atoms], tuple[float, np.ndarray]]
"""Collective variable: its value and its gradient (n, 3) by the positions, per Å."""


def torch_variable(function: Callable[[Any], Any]) -> Variable:
    """Collective variable from a torch function of the positions (n, 3) (Å) that gives one number; torch gives the gradient."""
    import torch

    def evaluate(atoms: Atoms) -> tuple[float, np.ndarray]:
        positions = torch.tensor(atoms.positions, dtype=torch.float64, requires_grad=True)
        value = function(positions)
        (gradient,) = torch.autograd.grad(value, positions)
        return float(value.detach()), gradient.numpy()

    return evaluate


class Overdamped:
    """Walkers on a line in a potential U: dx = -(D/k_B T) (U + V)' dt + √(2 D) dW, with reflecting walls if there are any.

    Steps of Leimkuhler & Matthews, Appl. Math. Res. Express 2013, 34 (memory): the noise of a step is the mean of two
    successive ones, which makes the equilibrium exact to second order in the step.
    """

    def __init__(
        self,
        slope: Callable[[np.ndarray], np.ndarray],
        start: np.ndarray,
        timestep: float,
        seed: int,
        walls: tuple[float, float] | None = None,
        diffusivity: float = 1.0,
        thermal: float = 1.0,
    ) -> None:
        """`slope` is U' at places (k,); `start` (w,)."""
        self.slope, self.timestep, self.walls = slope, timestep, walls
        self.mobility, self.width = diffusivity / thermal, np.sqrt(2 * diffusivity * timestep)
        self.random = np.random.default_rng(seed)
        self.places = np.asarray(start, dtype=float).copy()
        self.noise = self.random.standard_normal(len(self.places))

    def values(self) -> np.ndarray:
        """Places (w,)."""
        return self.places

    def advance(self, bias: Bias, active: np.ndarray) -> None:
        """One time step of the walkers numbered `active`."""
        x = self.places[active]
        noise = self.random.standard_normal(len(active))
        pull = self.slope(x) + bias.at(x, active)[1]
        x = x - self.mobility * pull * self.timestep + self.width * (self.noise[active] + noise) / 2
        self.noise[active] = noise
        if self.walls is not None:
            low, high = self.walls
            x = np.where(x < low, 2 * low - x, np.where(x > high, 2 * high - x, x))
        self.places[active] = x

    def state(self) -> dict[str, np.ndarray]:
        """See Walkers."""
        return {"places": self.places, "noise": self.noise, "generator": generator_state(self.random)}

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """See Walkers."""
        self.places, self.noise = state["places"].copy(), state["noise"].copy()
        set_generator(self.random, state["generator"])


class BiasedField(ForceField):
    """Energy E + V(s) and forces F - V'(s) ∂s/∂r of one walker; a stress is not offered, since it would lack that of the bias."""

    def __init__(self, template: Atoms, calculator: BaseCalculator, variable: Variable, walker: int, moving: np.ndarray) -> None:
        """`walker` is its number; `moving` tells which atoms of the template it moves (m,), the others stay where they are."""
        super().__init__(template, calculator, stress=False)
        self.moving = moving
        self.variable, self.walker = variable, np.array([walker])
        self.bias: Bias | None = None
        self.value = float("nan")
        self.gradient: np.ndarray = np.zeros((len(moving), 3))
        self.free_energy = self.energy
        self.free_forces: np.ndarray = self.forces

    def evaluate(self, positions: np.ndarray, cell: np.ndarray) -> None:
        """Set value, energy and forces (m, 3) at positions (m, 3) of the moving atoms."""
        everyone = self.atoms.positions.copy()
        everyone[self.moving] = positions
        super().evaluate(everyone, cell)
        self.value, gradient = self.variable(self.atoms)
        self.gradient = gradient[self.moving]
        self.free_energy, self.free_forces = self.energy, np.array(self.forces)[self.moving]
        self.forces = self.free_forces
        self.refresh()

    def refresh(self) -> None:
        """Bias anew at the same place, after hills were laid."""
        if self.bias is None:
            return
        energy, slope = self.bias.at(np.array([self.value]), self.walker)
        self.energy = self.free_energy + float(energy[0])
        self.forces = np.asarray(self.free_forces - float(slope[0]) * self.gradient).reshape(len(self.moving), 3)


class Molecular:
    """Walkers of molecular dynamics at constant volume (BAOAB Langevin), each with its own noise.

    Atoms under FixAtoms stand still: states and forces are those of the others.
    """

    def __init__(
        self,
        starts: Sequence[Atoms],
        calculator: BaseCalculator,
        variable: Variable,
        temperature: float,
        timestep_fs: float = 2.0,
        friction_fs: float = 200.0,
        seed: int = 0,
    ) -> None:
        """`starts`: one structure a walker, of the same atoms; temperature in K. `timestep` then is in fs."""
        if not starts or any(not np.array_equal(atoms.numbers, starts[0].numbers) for atoms in starts):
            raise UserError("metadynamics: the walkers need structures of the same atoms, at least one")
        if any(not np.array_equal(moving_atoms(atoms), moving_atoms(starts[0])) for atoms in starts):
            raise UserError("metadynamics: the same atoms must be held fixed in the structures of all walkers")
        if not (temperature > 0 and timestep_fs > 0 and friction_fs > 0):
            raise UserError("metadynamics: temperature, time step and friction time must be positive")
        self.timestep, self.temperature = timestep_fs, temperature
        self.integrators, self.fields = [], []
        bath = Bath(thermostat_time=friction_fs * units.fs)
        for number, atoms in enumerate(starts):
            random = np.random.default_rng([seed, number])
            moving = moving_atoms(atoms)
            masses, momenta = atoms.get_masses()[moving], atoms.get_momenta()[moving]
            if not momenta.any():
                momenta = thermal_momenta(masses, temperature, random)
            cell = atoms.cell.array.copy()
            motion = Motion(atoms.positions[moving], momenta, cell, np.zeros((3, 3)), np.zeros((2, 2, 1)))
            field = BiasedField(atoms, calculator, variable, number, moving)
            self.fields.append(field)
            self.integrators.append(Langevin(motion, field, masses, bath, timestep_fs * units.fs, random))

    def values(self) -> np.ndarray:
        """Collective variable of every walker (w,)."""
        return np.array([field.value for field in self.fields])

    def advance(self, bias: Bias, active: np.ndarray) -> None:
        """One time step of the walkers numbered `active`. Raises Unphysical: a walker left what the potential knows."""
        for number in active:
            self.fields[number].bias = bias
            self.fields[number].refresh()
            self.integrators[number].step(self.temperature)
            self._check(number)

    def _check(self, number: int) -> None:
        """Raise Unphysical when the potential's force on an atom passes the limit of a run without bias, or is no number."""
        try:
            check_forces(self.fields[number].free_forces, Guards())
        except Unstable as trip:
            raise Unphysical(f"walker {number + 1} left what the potential knows: {trip}") from None

    def state(self) -> dict[str, np.ndarray]:
        """See Walkers."""
        motions = [integrator.motion for integrator in self.integrators]
        return {
            "positions": np.array([motion.positions for motion in motions]),
            "momenta": np.array([motion.momenta for motion in motions]),
            "generators": np.array([str(generator_state(integrator.rng)) for integrator in self.integrators]),
        }

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """See Walkers."""
        for number, integrator in enumerate(self.integrators):
            integrator.motion.positions = state["positions"][number].copy()
            integrator.motion.momenta = state["momenta"][number].copy()
            set_generator(integrator.rng, state["generators"][number])
            self.fields[number].evaluate(integrator.motion.positions, integrator.motion.cell)


def moving_atoms(atoms: Atoms) -> np.ndarray:
    """Numbers of the atoms that are not held fixed. Raises UserError: constraints of another kind, or no atom left to move."""
    if other := [type(one).__name__ for one in atoms.constraints if not isinstance(one, FixAtoms)]:
        raise UserError(f"walkers: constraints of kind {', '.join(other)}; only FixAtoms is known")
    free = np.ones(len(atoms), dtype=bool)
    for one in atoms.constraints:
        free[one.index] = False
    if not free.any():
        raise UserError("walkers: every atom is held fixed")
    return np.flatnonzero(free)

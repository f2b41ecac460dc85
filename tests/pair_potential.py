"""A fast Lennard-Jones calculator for the tests: whole arrays, orthogonal periodic cells wider than twice the cutoff."""

from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes

ARGON_EPSILON = 120.0 * 8.617333262e-5  # eV (Rahman 1964)
ARGON_SIGMA = 3.405  # Å


class PairPotential(Calculator):
    """Lennard-Jones energy (shifted to zero at the cutoff), forces and stress, with a Verlet list that has a skin."""

    implemented_properties = ("energy", "forces", "stress")

    def __init__(
        self, epsilon: float = ARGON_EPSILON, sigma: float = ARGON_SIGMA, cutoff: float = 8.5, skin: float = 1.0
    ) -> None:
        """epsilon in eV, lengths in Å."""
        super().__init__()
        self.epsilon, self.sigma, self.cutoff, self.skin = epsilon, sigma, cutoff, skin
        self.nl: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray] | None = None

    def calculate(self, atoms: Atoms | None = None, properties: Any = None, system_changes: Any = all_changes) -> None:
        """Fill `results`."""
        super().calculate(atoms, properties, system_changes)
        positions, lengths = self.atoms.positions, self.atoms.cell.lengths()
        first, second = self._pairs(positions, lengths)
        vector = positions[second] - positions[first]
        vector -= lengths * np.round(vector / lengths)
        square = np.einsum("ij,ij->i", vector, vector)
        inside = square < self.cutoff**2
        first, second, vector, square = first[inside], second[inside], vector[inside], square[inside]
        sixth = (self.sigma**2 / square) ** 3
        edge = (self.sigma / self.cutoff) ** 6
        energy = 4 * self.epsilon * (np.sum(sixth**2 - sixth) - len(sixth) * (edge**2 - edge))
        pull = (-24 * self.epsilon * (2 * sixth**2 - sixth) / square)[:, None] * vector
        forces = np.empty_like(positions)
        for axis in range(3):
            forces[:, axis] = np.bincount(first, pull[:, axis], len(positions)) - np.bincount(
                second, pull[:, axis], len(positions)
            )
        virial = pull.T @ vector / np.prod(lengths)
        stress = np.array([virial[0, 0], virial[1, 1], virial[2, 2], virial[1, 2], virial[0, 2], virial[0, 1]])
        self.results = {"energy": float(energy), "forces": forces, "stress": stress}

    def _pairs(self, positions: np.ndarray, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Indices of the pairs that may be inside the cutoff; the list is kept until an atom moved half the skin."""
        if self.nl is not None:
            first, second, where, box = self.nl
            moved = np.abs(positions - where).max() * np.sqrt(3) > 0.5 * self.skin
            if len(where) == len(positions) and np.array_equal(box, lengths) and not moved:
                return first, second
        first, second = np.triu_indices(len(positions), 1)
        vector = positions[second] - positions[first]
        vector -= lengths * np.round(vector / lengths)
        near = np.einsum("ij,ij->i", vector, vector) < (self.cutoff + self.skin) ** 2
        self.nl = (first[near], second[near], positions.copy(), lengths.copy())
        return first[near], second[near]

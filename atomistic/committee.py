"""Several potentials asked at once: their mean is the answer, their spread the uncertainty.

Every evaluation costs as much as all members together, so molecular dynamics runs on one member (`potential.load`) and the
committee is asked about chosen frames. Members may differ in everything but the elements: weights, channels, cutoff, order.

The spread is that of the members at hand (divided by n, not n − 1): it says where the members disagree, not how large the
error is. A claim about the error needs a calibration against labels.

Source: Schran, Brezina, Marsalek, J. Chem. Phys. 153, 104105 (2020).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import BaseCalculator, Calculator, PropertyNotImplementedError, all_changes

from atomistic import potential
from coupling.errors import UserError


@dataclass(frozen=True)
class Uncertainty:
    """Spread of a committee on one frame of n atoms.

    Attributes:
        energy_std: of the total energy, eV.
        energy_std_per_atom: the same divided by n, eV.
        forces_std: of each atom, (n,), eV/Å.
        stress_std: of each component (xx yy zz yz xz xy), (6,), eV/Å³; None where a member gives no stress.
    """

    energy_std: float
    energy_std_per_atom: float
    forces_std: np.ndarray
    stress_std: np.ndarray | None

    @property
    def largest_force_std(self) -> float:
        """Spread on the least certain atom, eV/Å."""
        return float(self.forces_std.max())


class Committee(Calculator):
    """ASE calculator that asks every member.

    ============  =============================  ======================================  ========
    result        shape                          definition (mean over the members m)    unit
    ============  =============================  ======================================  ========
    energy        ()                             ⟨E⟩                                     eV
    forces        (n, 3)                         ⟨F⟩                                     eV/Å
    stress        (6,)                           ⟨σ⟩                                     eV/Å³
    energy_std    ()                             √⟨(E_m − ⟨E⟩)²⟩, of the total energy    eV
    forces_std    (n,)                           √⟨|F_m − ⟨F⟩|²⟩, vectors of one atom    eV/Å
    stress_std    (6,)                           √⟨(σ_m − ⟨σ⟩)²⟩, each component         eV/Å³
    ============  =============================  ======================================  ========

    Attributes:
        members: calculators, two or more.
    """

    implemented_properties = [  # noqa: RUF012 (ASE's own convention)
        "energy", "free_energy", "forces", "stress", "energy_std", "forces_std", "stress_std",
    ]  # fmt: skip

    def __init__(self, members: Sequence[BaseCalculator]) -> None:
        """Take the members.

        Raises:
            UserError: fewer than two; one alone has no spread.
        """
        super().__init__()
        if len(members) < 2:
            raise UserError(f"a committee of {len(members)}: two or more members are needed for an uncertainty")
        self.members = tuple(members)

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = tuple(all_changes),
    ) -> None:
        """Compute means and spreads; stress for atoms periodic in three directions, where every member gives it.

        Raises:
            UserError: an element that a member does not cover.
        """
        super().calculate(atoms, list(properties), list(system_changes))
        own = self.atoms
        assert own is not None
        energies = np.array([member.get_property("energy", own) for member in self.members], dtype=float)
        forces = np.array([member.get_property("forces", own) for member in self.members], dtype=float)
        self.results = {
            "energy": float(energies.mean()),
            "free_energy": float(energies.mean()),
            "forces": forces.mean(axis=0),
            "energy_std": float(energies.std()),
            "forces_std": np.sqrt(((forces - forces.mean(axis=0)) ** 2).sum(axis=2).mean(axis=0)),
        }
        stresses = self._stresses(own)
        if stresses is not None:
            self.results |= {"stress": stresses.mean(axis=0), "stress_std": stresses.std(axis=0)}

    def _stresses(self, atoms: Atoms) -> np.ndarray | None:
        """Stress of every member, (members, 6) in eV/Å³; None where the cell or a member has none."""
        if not atoms.pbc.all():
            return None
        try:
            return np.array([member.get_property("stress", atoms) for member in self.members], dtype=float)
        except PropertyNotImplementedError:
            return None

    def uncertainty(self, frame: Atoms) -> Uncertainty:
        """Spread of the members on a frame, at the cost of one evaluation by each; the frame is left as it is.

        Raises:
            UserError: an element that a member does not cover.
        """
        spread: dict[str, Any] = {name: self.get_property(name, frame) for name in ("energy_std", "forces_std")}
        per_atom = spread["energy_std"] / len(frame)
        return Uncertainty(**spread, energy_std_per_atom=per_atom, stress_std=self.results.get("stress_std"))


def load_committee(name_or_path: str | Path, engine: str = "auto", dtype: str = "float64") -> Committee:
    """All members of a shipped committee or of a folder of that format; engine and dtype as in `potential.load`.

    Raises:
        UserError: unknown or broken potential; a potential of one member.
    """
    members = potential.describe(name_or_path).members
    if members < 2:
        raise UserError(f"potential {str(name_or_path)!r} has one member; an uncertainty needs a committee of two or more")
    return Committee([potential.load(name_or_path, engine, dtype, member) for member in range(members)])

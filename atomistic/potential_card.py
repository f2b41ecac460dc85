"""What a potential is, and the calculator that refuses what it was not taught."""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.stress import full_3x3_to_voigt_6_stress

from coupling.errors import UserError


@dataclass(frozen=True)
class PotentialCard:
    """Identity, size and held-out errors on crystals (None where no card states them).

    Attributes:
        name: as the user named it, or the folder's name.
        elements: chemical symbols that it covers.
        members: models of the committee, 1 for a single one.
        size_bytes, sha256: over the files of all members.
        path: its folder or file.
        targets: how many of its own targets the card says are met, and of how many; None where it states none.
        teacher: code that made its labels, as its card says; "": not stated.
    """

    name: str
    elements: tuple[str, ...]
    members: int
    force_rmse_meV_per_A: float | None
    energy_rmse_meV_per_atom: float | None
    size_bytes: int
    sha256: str
    path: Path
    targets: tuple[int, int] | None = None
    teacher: str = ""

    @property
    def caution(self) -> str:
        """A sentence for everybody who uses a potential that meets less than half of its targets; else empty."""
        if self.targets is None or 2 * self.targets[0] >= self.targets[1]:
            return ""
        met, of = self.targets
        return f"potential {self.name} meets {met} of {of} of its own targets (card.md): a first version, rely on no number of it"


class Potential(Calculator):
    """ASE calculator of a stored potential: refuses elements that the potential was not trained on.

    Attributes:
        card: what it is.
        engine: "symmetrix", "mace", "chgnet", "sevennet" or "lammps".
    """

    implemented_properties = ["energy", "free_energy", "forces", "stress"]  # noqa: RUF012 (ASE's own convention)

    def __init__(self, inner: Calculator, card: PotentialCard, engine: str) -> None:
        """Wrap the engine's own calculator."""
        super().__init__()
        self.inner, self.card, self.engine = inner, card, engine

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = tuple(all_changes),
    ) -> None:
        """Compute energy (eV), forces (n, 3) (eV/Å) and, for periodic cells, stress (xx yy zz yz xz xy) (eV/Å³).

        Raises:
            UserError: an element that the potential does not cover.
        """
        super().calculate(atoms, list(properties), list(system_changes))
        own = self.atoms
        assert own is not None
        require_elements(own, self.card)
        with _to_the_bit(self.engine):
            self.inner.calculate(own, list(properties), list(system_changes))
        self.results = {name: self.inner.results[name] for name in self.implemented_properties if name in self.inner.results}
        if "stress" in self.results and np.shape(self.results["stress"]) == (3, 3):  # CHGNet's
            self.results["stress"] = full_3x3_to_voigt_6_stress(self.results["stress"])


def _to_the_bit(engine: str) -> Any:
    """Where mace-torch answers alike from its first answer on: TorchScript rewrites the code of a network while it runs.

    What it wins is within the noise of a clock, and a run that goes on in a new process would be another in its last digits.
    """
    if engine != "mace":
        return contextlib.nullcontext()
    import torch

    return torch.jit.optimized_execution(False)


def require_elements(atoms: Atoms, card: PotentialCard) -> None:
    """Raise UserError when the atoms hold an element that the potential does not cover."""
    missing = sorted(set(atoms.get_chemical_symbols()) - set(card.elements))
    if card.elements and missing:
        covered = ", ".join(card.elements) if len(card.elements) < 30 else f"{len(card.elements)} elements"
        raise UserError(
            f"potential {card.name!r} does not know {', '.join(missing)} (it covers {covered}): "
            "choose another potential or train one on structures that hold them"
        )

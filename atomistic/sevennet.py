"""SevenNet-l3i5, a universal potential learned from MPtrj (PBE and PBE+U), as an ASE calculator and a teacher of potentials.

It needs another e3nn than mace-torch does (the two versions differ in the signs of Clebsch–Gordan coefficients), so its packages
lie in a folder of their own (`make sevennet`) and it runs in a process of its own, which stays open for many frames. On a GPU
where its torch sees one, else on the processor; single precision. A force call takes 14 to 25 ms an atom on one core (2.5 GHz)
and, at its peak, 0.5 GB and 9 MB an atom. The weights, 7net-l3i5, lie inside the package sevenn (MIT licence).

Source: Park et al., J. Chem. Theory Comput. 20, 4857 (2024).
"""

import importlib.metadata
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.data import chemical_symbols
from ase.neighborlist import neighbor_list

from atomistic import sevennet_worker
from atomistic.worker import Message, Worker, WorkerEnded
from coupling.errors import RunFailure, UserError

VERSION, MODEL = "0.13.0", sevennet_worker.MODEL
FOLDER = "MULTISCALE_SEVENNET"
"""Variable of the environment that names another folder of packages, of which several checkouts can share one."""
ELEMENTS = tuple(chemical_symbols[1:84] + chemical_symbols[89:95])
"""Elements of the model: the 89 of MPtrj, H to Bi and Ac to Pu."""
CUTOFF = 5.0
"""Å: an atom without a neighbour within it is nothing to the model; it answers with what its training does not hold."""
WEIGHTS = "sevenn/pretrained_potentials/SevenNet_l3i5/checkpoint_l3i5.pth"


def folder() -> Path:
    """Where SevenNet's packages lie, or would. Raises UserError for a relative path, which every folder would read otherwise."""
    named = Path(os.environ.get(FOLDER) or Path(__file__).parents[1] / ".sevennet")
    if not named.is_absolute():
        raise UserError(f"{FOLDER}: read {str(named)!r}; give the whole path, as in {named.resolve()}")
    return named.resolve()


def version() -> str | None:
    """Version of SevenNet in its folder, None where there is none."""
    found = importlib.metadata.distributions(name="sevenn", path=[str(folder())])
    return next((each.version for each in found), None)


def require() -> Path:
    """Folder of SevenNet's packages.

    Raises:
        UserError: it is not there, of another version than the labels are of, or without its weights.
    """
    found = version()
    if found is None:
        raise UserError(f"SevenNet is not here ({folder()}): `make sevennet` fetches it (optional)")
    if found != VERSION:
        raise UserError(f"{folder()}: holds SevenNet {found}, {VERSION} is needed; `make sevennet` fetches it")
    if not (folder() / WEIGHTS).is_file():
        raise UserError(f"{folder() / WEIGHTS}: missing; remove {folder()} and run `make sevennet` again")
    return folder()


class NoAnswer(RunFailure):
    """A teacher has no answer for these atoms; for others it has."""


class SevenNet(Calculator):
    """ASE calculator: energy (eV), forces (eV/Å), for atoms periodic in three directions stress (eV/Å³, ASE's sign and order).

    Attributes:
        knows: what the model says of itself once the process is open: atomic numbers ("elements") and cutoff (Å).
    """

    implemented_properties = ["energy", "free_energy", "forces", "stress"]  # noqa: RUF012 (ASE's own convention)

    def __init__(self) -> None:
        """Look for the packages; the process starts with the first frame. Raises UserError as `require`."""
        super().__init__()
        require()
        self.knows: dict[str, Any] = {}
        self._worker: Worker | None = None

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = tuple(all_changes),
    ) -> None:
        """Compute energy, forces and stress.

        Raises:
            UserError: SevenNet does not start.
            NoAnswer: a number is not finite or an atom has no neighbours, where the model would answer all the same.
            RunFailure: it has no answer for another reason, or its process ended; the next atoms get a new one.
        """
        super().calculate(atoms, list(properties), list(system_changes))
        own = self.atoms
        assert own is not None
        if missing := sorted(set(own.get_chemical_symbols()) - set(ELEMENTS)):
            raise RunFailure(f"SevenNet does not know {', '.join(missing)}")
        if fault := _fault_of(own):
            raise NoAnswer(f"SevenNet has no answer for {own.get_chemical_formula()}: {fault}")
        header, arrays = self._answer(own)
        if "error" in header:
            raise RunFailure(f"SevenNet has no answer for {own.get_chemical_formula()}: {_line(header['error'])}")
        forces, stress = arrays
        self.results = {"energy": header["energy"], "free_energy": header["energy"], "forces": forces}
        if own.pbc.all():
            self.results["stress"] = stress

    def _answer(self, atoms: Atoms) -> Message:
        """Answer of the process; a new one is started where none is open or the last was cut off."""
        if self._worker is None or not self._worker.ready:
            self._worker = self._start()
        request = {"numbers": atoms.numbers.tolist(), "pbc": atoms.pbc.tolist()}
        try:
            return self._worker.ask(request, [atoms.positions, atoms.cell.array])
        except WorkerEnded as end:
            raise RunFailure(f"SevenNet ended by itself at {atoms.get_chemical_formula()} ({_how(end)})") from None

    def _start(self) -> Worker:
        """An open process. Raises UserError where SevenNet does not start."""
        worker = Worker(sevennet_worker.__file__, _environment())
        try:
            greeting, _ = worker.hear()
        except WorkerEnded as end:
            greeting = {"error": _how(end)}
        if "error" in greeting:
            told = _line(greeting["error"])
            raise UserError(f"SevenNet does not start ({told}); remove {folder()} and run `make sevennet` again")
        self.knows = greeting
        return worker


def _fault_of(atoms: Atoms) -> str:
    """Why the model's answer would mean nothing; empty where it means something."""
    if not (np.isfinite(atoms.positions).all() and np.isfinite(atoms.cell.array).all()):
        return "positions or cell are not finite numbers"
    alone = len(np.unique(neighbor_list("i", atoms, CUTOFF))) < len(atoms)
    return f"an atom has no neighbours within {CUTOFF:g} Å" if alone else ""


def _environment() -> dict[str, str]:
    """Environment of the process: its own packages before all others."""
    places = [str(require()), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {"OMP_NUM_THREADS": "1"} | dict(os.environ) | {"PYTHONPATH": os.pathsep.join(places)}


def _line(text: str) -> str:
    """A message on one line, not endless."""
    return " ".join(text.split())[:300]


def _how(end: WorkerEnded) -> str:
    """How the process ended, in a few words."""
    if end.status < 0:
        return f"killed by signal {-end.status}" + (", often for want of memory" if end.status == -9 else "")
    return f"status {end.status}: {_line(end.told) or 'without a word'}"

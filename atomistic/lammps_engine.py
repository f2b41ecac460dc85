"""Potentials of LAMMPS as ASE calculators: described by a TOML file, evaluated in a process of their own.

Source: Thompson et al., LAMMPS, Comput. Phys. Commun. 271, 108171 (2022).
"""

import importlib.util
import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.lammps import Prism, convert
from ase.data import atomic_masses, atomic_numbers
from ase.geometry import complete_cell

from atomistic import lammps_worker
from atomistic.lammps_file import read_file
from atomistic.worker import Message, Worker, WorkerEnded
from coupling.errors import UserError

MARGIN = 2.0
"""Room around the atoms along directions without periodicity, Å."""


class Lammps(Calculator):
    """ASE calculator of a LAMMPS potential file; the answer depends on the atoms alone, not on earlier calls.

    Energy (eV), forces (eV/Å), and for atoms periodic in three directions the stress (eV/Å³, ASE's sign and order).
    """

    implemented_properties = ["energy", "free_energy", "forces", "stress"]  # noqa: RUF012 (ASE's own convention)

    def __init__(self, path: str | Path) -> None:
        """Read the file, start LAMMPS and try the potential on one atom of each element.

        Raises:
            UserError: a wrong file; LAMMPS is not installed or does not take the potential.
        """
        super().__init__()
        self.path = Path(path)
        self.settings, self._files = read_file(path)
        self._worker = _Worker(self.path)
        self._built: tuple[Any, ...] | None = None
        apart = 4.0 * np.arange(len(self.settings.elements))[:, None] * [1.0, 0.0, 0.0]
        probe = Atoms(self.settings.elements, positions=apart, cell=[apart[-1, 0] + 20.0, 20.0, 20.0], pbc=True)
        self._evaluate(probe)

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = tuple(all_changes),
    ) -> None:
        """Compute energy, forces and, for atoms periodic in three directions, stress.

        Raises:
            UserError: an element of no type, or LAMMPS refuses (the message is its own).
        """
        super().calculate(atoms, list(properties), list(system_changes))
        own = self.atoms
        assert own is not None
        if missing := sorted(set(own.get_chemical_symbols()) - set(self.settings.elements)):
            raise UserError(
                f"{self.path}: it has no type for {', '.join(missing)} (elements: {', '.join(self.settings.elements)})"
            )
        self.results = self._evaluate(own)

    def _evaluate(self, atoms: Atoms) -> dict[str, Any]:
        """Results in ASE units."""
        units, prism, origin = self.settings.units, *_box(atoms)
        positions = prism.vector_to_lammps(atoms.positions - origin, wrap=True)
        box = "{:.17g} {:.17g} {:.17g} {:.17g} {:.17g} {:.17g}".format(*prism.get_lammps_prism()).split()
        key = (atoms.numbers.tobytes(), atoms.pbc.tobytes())
        if not self._worker.ready:
            self._built = None
            self._worker = _Worker(self.path)
        if self._built != key:
            self._built = None
            self._worker.ask(self._build_request(atoms, box), [positions])
            self._built = key
        try:
            header, (forces, pressure) = self._worker.ask({"do": "evaluate", "lines": self._evaluate_lines(box)}, [positions])
        except UserError:
            self._built = None
            raise
        energy = float(convert(header["energy"], "energy", units, "ASE"))
        results: dict[str, Any] = {"energy": energy, "free_energy": energy}
        results["forces"] = convert(forces, "force", units, "ASE") @ prism.rot_mat.T
        if atoms.pbc.all():
            xx, yy, zz, yz, xz, xy = -convert(pressure, "pressure", units, "ASE")
            stress = prism.tensor2_to_ase(np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]]))
            results["stress"] = stress[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]
        return results

    def _build_request(self, atoms: Atoms, box: list[str]) -> dict[str, Any]:
        """Everything LAMMPS needs before the first evaluation."""
        chosen, (lx, ly, lz, xy, xz, yz) = self.settings, box
        before = [
            f"units {chosen.units}", f"atom_style {chosen.atom_style}", "atom_modify map array sort 0 0",
            "boundary " + " ".join("p" if periodic else "f" for periodic in atoms.pbc), "box tilt large",
            f"region box prism 0 {lx} 0 {ly} 0 {lz} {xy} {xz} {yz} units box", f"create_box {len(chosen.elements)} box",
        ]  # fmt: skip
        after = [f"mass {kind} {atomic_masses[atomic_numbers[name]]}" for kind, name in enumerate(chosen.elements, start=1)]
        after += [f"set type {chosen.elements.index(name) + 1} charge {value!r}" for name, value in chosen.charges.items()]
        after += [f"pair_style {self._with_paths(chosen.pair_style)}"]
        after += [f"pair_coeff {self._with_paths(line)}" for line in chosen.pair_coeff]
        after += [*chosen.commands, "thermo_style custom step pe pxx pyy pzz pyz pxz pxy", "thermo_modify norm no lost error"]
        types = [chosen.elements.index(symbol) + 1 for symbol in atoms.get_chemical_symbols()]
        return {"do": "build", "before": before, "after": after, "types": types}

    def _evaluate_lines(self, box: list[str]) -> list[str]:
        """Set the box; make the charge equilibrations anew, so that they start from nothing."""
        lx, ly, lz, xy, xz, yz = box
        fixes = [line for line in self.settings.commands if line.split()[0] == "fix"]
        return [
            f"change_box all x final 0 {lx} y final 0 {ly} z final 0 {lz} xy final {xy} xz final {xz} yz final {yz} units box",
            *(f"unfix {line.split()[1]}" for line in fixes), *fixes,
        ]  # fmt: skip

    def _with_paths(self, line: str) -> str:
        """The line with every parameter file by its full path."""
        return " ".join(f'"{self._files[word]}"' if word in self._files else word for word in line.split())


def _box(atoms: Atoms) -> tuple[Prism, np.ndarray]:
    """LAMMPS box of the atoms and the origin (3,) of that box, Å.

    Directions without periodicity are replaced by ones at right angles to the others, long enough for the atoms.
    """
    if atoms.pbc.all():
        if atoms.cell.rank < 3:
            raise UserError("periodic atoms need three cell vectors; give the cell, or set pbc to False where there is none")
        return Prism(atoms.cell.array, pbc=True, reduce_cell=True), np.zeros(3)
    cell = complete_cell(atoms.cell.array * atoms.pbc[:, None])
    for axis in np.flatnonzero(~atoms.pbc):
        cell[axis] /= np.linalg.norm(cell[axis])
    along = np.linalg.solve(cell.T, atoms.positions.T).T
    origin = np.zeros(3)
    for axis in np.flatnonzero(~atoms.pbc):
        low, high = along[:, axis].min() - MARGIN, along[:, axis].max() + MARGIN
        origin += low * cell[axis]
        cell[axis] *= high - low
    return Prism(cell, pbc=atoms.pbc, reduce_cell=True), origin


class _Worker(Worker):
    """The LAMMPS process; its words are told with the potential's file."""

    def __init__(self, path: str | Path) -> None:
        """Start it. Raises UserError when LAMMPS is not at hand."""
        if importlib.util.find_spec("lammps") is None:
            raise UserError(f"{path}: LAMMPS is not installed here: pip install lammps")
        super().__init__(lammps_worker.__file__, _environment())
        self._path = path
        self._told(self.hear)

    def ask(self, request: dict[str, Any], arrays: Sequence[np.ndarray] = ()) -> Message:
        """Answer to a request. Raises UserError with LAMMPS's own sentence."""
        return self._told(super().ask, request, arrays)

    def _told(self, wait: Callable[..., Message], *given: Any) -> Message:
        """Message that `wait` gives. Raises UserError where it is why there is none."""
        try:
            header, arrays = wait(*given)
        except WorkerEnded as end:
            raise UserError(f"{self._path}: LAMMPS ended by itself (status {end.status}): {_sentence(end.told)}") from None
        if "error" in header:
            raise UserError(f"{self._path}: {_explained(header['error'])}")
        return header, arrays


def _environment() -> dict[str, str]:
    """Environment of the worker: no trace of an outer mpirun, no hidden folder of parameter files, its own MPI library."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("OMPI_", "PMIX_", "PMI_", "PRTE_")) and name not in ("LAMMPS_POTENTIALS", "PYTHONSTARTUP")
    }
    places = [place for place in (f"{sys.prefix}/mpich/lib", f"{sys.prefix}/lib") if Path(place, "libmpi.so.12").is_file()]
    if places:
        kept["LD_LIBRARY_PATH"] = os.pathsep.join([*places, *filter(None, [kept.get("LD_LIBRARY_PATH")])])
    return {"OMP_NUM_THREADS": "1"} | kept


def _explained(error: str) -> str:
    """One sentence on what LAMMPS told, with the mend where it is known."""
    if "libmpi" in error:
        return (
            "LAMMPS is installed but its MPI library is not; put it beside the environment's own, not over it: "
            f"pip install --no-deps --ignore-installed --prefix {sys.prefix}/mpich mpich"
        )
    return f"LAMMPS does not take it: {_sentence(error)}"


def _sentence(text: str) -> str:
    """LAMMPS's message without its place in the source code and the repeated command."""
    text = re.sub(r"\s*\(src/[^)]*\)", "", text.removeprefix("ERROR: ").removeprefix("ERROR on proc 0: "))
    text = re.split(r"\n|Last (?:input|command)|For more information|Status:", text)[0]
    return " ".join(text.split())[:300]


def trial() -> str:
    """Why LAMMPS cannot run here, in one sentence; empty where it can (`multiscale doctor` and the tests ask)."""
    try:
        _Worker("LAMMPS")
    except UserError as error:
        return str(error)
    return ""

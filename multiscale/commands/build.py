"""`multiscale build`: structures of a TOML file (crystals, surfaces, grain boundaries, interfaces, packings) as files."""

import re
from pathlib import Path
from typing import Annotated, Any

import typer

from coupling.errors import UserError
from multiscale.console import JsonOption, show, show_json

UNITS = {"area": " Å²", "gap": " Å", "ewald": " eV", "dipole": " e/Å"}
"""Of what builders tell, where the key does not name it."""


def build(
    structures: Annotated[Path, typer.Argument(metavar="STRUCTURES", help="TOML file with [[structure]] tables, or a recipe.")],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder of the files, one a structure: ID.extxyz.")],
    only: Annotated[list[str] | None, typer.Option("--only", metavar="ID", help="This one; may be repeated.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of everything random: disorder, vacancies, packing.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Build structures: bulk, disorder, surfaces, grain boundaries, coherent interfaces with their strain, random packings.

    Files are extended XYZ, whose comment line holds what is told here; nothing is relaxed. `multiscale stages` goes on from one.

    Example: multiscale build interfaces.toml --out cells
    """
    from ase.io import write

    from atomistic.starts import built
    from coupling.atomic import replacing

    rows = []
    for wanted in _wanted(structures, only or []):
        try:
            atoms = built(wanted, seed)
        except UserError as error:
            raise UserError(f"{structures}: structure {wanted.id!r}: {error}") from None
        row = _told(wanted.id, atoms)
        path = out / _file_of(wanted.id)
        atoms.info = {key: value for key, value in row.items() if key not in ("formula", "atoms", "cell_A", "angles_degrees")}
        with replacing(path) as temporary:
            write(temporary, atoms, format="extxyz")
        rows.append({"file": str(path), **row})
    if as_json:
        show_json({"structures": rows})
        return
    for row in rows:
        told = [f"{key} {_shown(value)}{UNITS.get(key, '')}" for key, value in row.items() if key != "file"]
        show("; ".join([row["file"], *told]))


def _wanted(path: Path, only: list[str]) -> list[Any]:
    """Structures of the file, in its order. Raises UserError: none, a wrong key, two of one file name, one that is not there."""
    from atomistic.recipe import frozen
    from atomistic.starts import Structure
    from atomistic.structures import unknown
    from coupling import toml_input

    file = toml_input.read(path)
    entries = file.data.get("structure")
    if not isinstance(entries, list) or not entries:
        raise UserError(file.complaint(("structure",), "no [[structure]] table, so there is nothing to build"))
    found = [frozen(Structure, entry, f"{path}: structure {number}") for number, entry in enumerate(entries, 1)]
    names = [one.id for one in found]
    if len(set(names)) < len(names):
        raise UserError(file.complaint(("structure",), "two structures have the same id; each needs its own"))
    files: dict[str, str] = {}
    for number, name in enumerate(names):
        if not name.strip(". "):
            raise UserError(file.complaint(("structure", number), f"id = {name!r} names no file; give a name"))
        if (other := files.setdefault(_file_of(name), name)) != name:
            told = f"{other!r} and {name!r} would both be written to {_file_of(name)}; rename one"
            raise UserError(file.complaint(("structure", number), told))
    for name in only:
        if name not in names:
            raise unknown("structure", name, names)
    return [one for one in found if not only or one.id in only]


def _file_of(name: str) -> str:
    """Name of the file of a structure: its id without spaces, bars and other signs."""
    return f"{re.sub(r'[^A-Za-z0-9._-]+', '_', name)}.extxyz"


def _told(name: str, atoms: Any) -> dict[str, Any]:
    """What is told of a structure, ready for JSON: Å, degrees, g/cm³, Å² and strains as parts of one."""
    import numpy as np

    from atomistic.structures import density

    own = {key: value.tolist() if isinstance(value, np.generic | np.ndarray) else value for key, value in atoms.info.items()}
    own = {key: list(value) if isinstance(value, tuple) else value for key, value in own.items() if key != "structure"}
    return {
        "structure": name, "formula": atoms.get_chemical_formula(), "atoms": len(atoms),
        "cell_A": atoms.cell.lengths().round(4).tolist(), "angles_degrees": atoms.cell.angles().round(3).tolist(),
        "density_g_per_cm3": round(density(atoms), 4), **own,
    }  # fmt: skip


def _shown(value: Any) -> str:
    """A value in a line: four digits, lists with spaces."""
    if isinstance(value, list):
        return " ".join(map(_shown, value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)

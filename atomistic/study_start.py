"""Where a study's runs start: a file that ASE reads, named by `structure`, or a crystal built by a [start] table."""

from pathlib import Path
from typing import Annotated

from ase import Atoms
from pydantic import Field

from atomistic import structures
from coupling.errors import UserError
from coupling.toml_input import InUnit, Table, TomlFile

Å = 1e-10


class StartTable(Table):
    """[start]: a crystal, repeated until its edges are at least so long; disorder: of the S and Cl of Li6PS5Cl."""

    crystal: str
    edge: Annotated[float, InUnit("m", above=0.0)]
    disorder: Annotated[float, Field(ge=0, le=1)] = 0.0


def checked(file: TomlFile, structure: str | None, start: StartTable | None) -> str | None:
    """Absolute path of `structure`, which stands beside the study file; None where [start] takes its place.

    Raises:
        UserError: both or neither, an unknown crystal, or disorder of one that has none.
    """
    if (structure is None) == (start is None):
        told = "a study starts from structure = \"FILE\" or from a [start] table (crystal, edge): give one of the two"
        raise UserError(file.complaint(("structure",) if structure is not None else (), told))
    if start is not None:
        if start.crystal not in structures.names():
            wrong = structures.unknown("structure", start.crystal, structures.names())
            raise UserError(file.complaint(("start", "crystal"), str(wrong)))
        if start.disorder and start.crystal != "Li6PS5Cl":
            raise UserError(file.refusal(("start", "disorder"), "only Li6PS5Cl has S and Cl to exchange"))
        return None
    return str(file.path.resolve().parent / str(structure))


def frames(structure: str | None, start: StartTable | None, seed: int) -> list[Atoms]:
    """Frames of the file, or the built crystal alone.

    Raises:
        UserError: no such file (and which study writes it, where one does), or one that ASE does not read.
    """
    from atomistic.frames import read_frames

    if structure is None:
        assert start is not None
        cell = structures.argyrodite(start.disorder, seed=seed) if start.crystal == "Li6PS5Cl" else structures.bulk(start.crystal)
        return [structures.supercell(cell, start.edge / Å)]
    path = Path(structure)
    maker = path.parent.with_suffix(".toml")
    if not path.exists() and maker.is_file():
        raise UserError(f"{path}: not there yet; `multiscale md {maker}` writes it")
    return read_frames(path)

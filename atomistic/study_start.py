"""Where a study's runs start: a file that ASE reads, named by `structure`, or a crystal built by a [start] table."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from ase import Atoms
from pydantic import Field

from atomistic import structures
from coupling import toml_input
from coupling.errors import UserError
from coupling.toml_input import InUnit, Table, TomlFile

Å = 1e-10
TRIAL = "-trial"
"""What the folder of a study's trial ends in."""


class StartTable(Table):
    """[start]: a crystal, repeated until its edges are at least so long; disorder: of the S and Cl of Li6PS5Cl.

    direction: of a cubic crystal, laid along c.
    """

    crystal: str
    edge: Annotated[float, InUnit("m", above=0.0)]
    disorder: Annotated[float, Field(ge=0, le=1)] = 0.0
    direction: tuple[int, int, int] = (0, 0, 1)


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
        try:
            built(start, 0)
        except UserError as wrong:
            raise UserError(file.complaint(("start", "direction"), str(wrong))) from None
        return None
    return str(file.path.resolve().parent / str(structure))


def built(start: StartTable, seed: int) -> Atoms:
    """The crystal of a [start] table. Raises UserError: a direction of one that is not cubic, or of zeros."""
    cell = structures.argyrodite(start.disorder, seed=seed) if start.crystal == "Li6PS5Cl" else structures.bulk(start.crystal)
    if start.direction != (0, 0, 1):
        cell = structures.turned(cell, start.direction)
    return structures.supercell(cell, start.edge / Å)


@dataclass(frozen=True)
class Unreacted:
    """What a reaction study starts from, in place of its end: the cell, and in words what is missing."""

    atoms: Atoms
    note: str


def frames(structure: str | None, start: StartTable | None, seed: int) -> list[Atoms]:
    """Frames of the file, or the built crystal alone; the unreacted cell where the end of a study's trial is not there.

    Raises:
        UserError: no such file (and which study writes it, where one does), or one that ASE does not read.
    """
    from atomistic.frames import read_frames

    if structure is None:
        assert start is not None
        return [built(start, seed)]
    path = Path(structure)
    if path.parent.name.endswith(TRIAL) and (waits := unreacted(structure)) is not None:
        return [waits.atoms]
    maker = path.parent.with_suffix(".toml")
    if not path.exists() and maker.is_file():
        _maker(path)  # refuses a name that it does not write
        raise UserError(f"{path}: not there yet; `multiscale md {maker}` writes it and must run first")
    return read_frames(path, run=False)


def of_trial(structure: str | None) -> str | None:
    """Where a trial starts: the file, or where it is not there yet the same file of its study's own trial (REACTION-trial/)."""
    if structure is None or Path(structure).exists() or _maker(Path(structure)) is None:
        return structure
    path = Path(structure)
    return str(path.parent.with_name(path.parent.name + TRIAL) / path.name)


def unreacted(structure: str | None) -> Unreacted | None:
    """What the reaction study that writes `structure` starts from; None where the file is there, or no such study writes it."""
    if structure is None or Path(structure).exists():
        return None
    path = Path(structure)
    maker = _maker(path)
    if maker is None:
        return None
    from atomistic import reaction_study  # which needs much more than a start

    study = reaction_study.read_study(maker)
    if path.parent.name.endswith(TRIAL):
        told = f"{path.name} of the trial of {maker.name} is not there: this trial starts from its unreacted cell"
        return Unreacted(reaction_study.start(reaction_study.trial(study)), told)
    told = f"{path.name} is not there yet: `multiscale md {maker}` must run first; the cost is told for its unreacted cell"
    return Unreacted(reaction_study.start(study), told)


def _maker(path: Path) -> Path | None:
    """The reaction study that writes a file into its folder (or into that of its trial); None where there is none.

    Raises:
        UserError: there is such a study, which writes no file of that name.
    """
    from atomistic import reaction_study

    maker = path.parent.with_name(path.parent.name.removesuffix(TRIAL) + ".toml")
    if not maker.is_file() or toml_input.read(maker).data.get("kind") != "reaction":
        return None
    if path.name not in (written := reaction_study.cells(reaction_study.read_study(maker))):
        told = f"{maker} writes {', '.join(written)}: name one of them, or add its time to snapshots there"
        raise UserError(f"{path}: no such file; {told}")
    return maker

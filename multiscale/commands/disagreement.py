"""`multiscale potential compare`: how far potentials disagree on a set of structures."""

from pathlib import Path
from typing import Annotated

import typer

from coupling.errors import UserError
from multiscale.console import JsonOption, show, show_json


def compare(
    structures: Annotated[Path, typer.Argument(metavar="STRUCTURES", help="Frames in any file that ASE reads, or a .h5 set.")],
    potentials: Annotated[list[str], typer.Argument(metavar="A B …", help="Two or more potentials, as in `potential = …`.")],
    allow_pickle: Annotated[
        bool, typer.Option("--allow-pickle", help="Open local MACE files, which can run any code as you; only if you trust them.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Compare potentials on structures, pair by pair: energies, forces, stresses, by family, and the worst frame.

    Example: multiscale potential compare frames.extxyz lpscl chgnet
    """
    from atomistic import disagreement
    from multiscale.tables import plain_table, render

    names = list(dict.fromkeys(potentials))
    if len(names) < 2:
        raise UserError("potential compare: name two or more different potentials after the structures")
    frames = disagreement.read_frames(structures)
    rows = disagreement.compare(frames, {name: disagreement.open_potential(name, allow_pickle) for name in names})
    if as_json:
        show_json(disagreement.as_json(rows))
        return
    table = plain_table("", disagreement.HEADER, [disagreement.table_row(row) for row in rows])
    show(render(table, f"root mean square differences; {disagreement.OFFSETS}"))

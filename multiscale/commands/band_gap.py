"""`multiscale analyze band-gap`: estimate of the band gap of a small cell or of a slice, by CP2K."""

from typing import Annotated

import typer

from coupling.errors import UserError
from multiscale.commands.analyze import Trajectory, _require_file, _told
from multiscale.commands.structure import AxisOption, SliceOption
from multiscale.console import JsonOption, show, show_json


def register(app: typer.Typer) -> None:
    """Add the command to `multiscale analyze`."""
    app.command("band-gap")(band_gap)


def band_gap(
    trajectory: Trajectory,
    slice_: SliceOption = None,
    axis: AxisOption = "c",
    frame: Annotated[int, typer.Option(help="Number of the frame from 0; -1 is the last.")] = -1,
    functional: Annotated[str, typer.Option(help="PBE, PBEsol or LDA.")] = "PBE",
    basis: Annotated[str, typer.Option(help="Basis set of CP2K.")] = "DZVP-MOLOPT-SR-GTH",
    cutoff: Annotated[float, typer.Option(help="Of the plane waves of the density, Ry.")] = 300.0,
    threads: Annotated[int, typer.Option(min=1, help="Threads of CP2K.")] = 1,
    as_json: JsonOption = False,
) -> None:
    """Band gap at the zone centre by CP2K (`make cp2k`): an estimate; a cell with partly filled orbitals gets an upper bound.

    Example: multiscale analyze band-gap final.extxyz --slice "12 angstrom, 18 angstrom"
    """
    _require_file(trajectory)
    from atomistic import band_gap as gaps
    from atomistic.cp2k import Cp2kSettings
    from atomistic.frames import read_frames
    from multiscale.commands.structure import _depths, _slice

    part = _slice(slice_, axis)
    read = read_frames(trajectory)
    if not -len(read) <= frame < len(read):
        raise UserError(f"--frame {frame}: {trajectory} holds {len(read)} frames, counted from 0")
    atoms = read[frame]
    if slice_ is not None:
        atoms = _told(trajectory, lambda: gaps.slice_of(atoms, part.low, part.high, part.axis))
    settings = Cp2kSettings(functional=functional, basis=basis, cutoff=cutoff, threads=threads)
    found = _told(trajectory, lambda: gaps.band_gap(atoms, settings))
    where = {"slice_m": _depths(part), "axis": axis} if slice_ is not None else {}
    record = gaps.record(found, atoms, settings, where, {"trajectory": str(trajectory), "frame": frame})
    if as_json:
        from multiscale.commands.analyze import KEYS

        show_json({"band-gap": {key: record.to_dict()[key] for key in KEYS}})
        return
    sign = "< " if found.metallic else ""
    show(f"{record.material} ({len(atoms)} atoms): band gap {sign}{found.gap:.2f} eV, an estimate ({record.source['method']})")

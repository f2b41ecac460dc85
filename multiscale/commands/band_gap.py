"""`multiscale analyze band-gap`: estimate of the band gap of a small cell or of a slice, by CP2K."""

from typing import Annotated

import typer

from coupling.errors import UserError
from multiscale.commands.analyze import PictureOption, RecordOption, Trajectory, _keep, _require_file, _told
from multiscale.commands.structure import AxisOption, SliceOption
from multiscale.console import JsonOption, quantity_of, show, show_json


def register(app: typer.Typer) -> None:
    """Add the command to `multiscale analyze`."""
    app.command("band-gap")(band_gap)


def band_gap(
    trajectory: Trajectory,
    slice_: SliceOption = None,
    axis: AxisOption = "c",
    shift: Annotated[str | None, typer.Option(help="How far each face may move to a neutral cut [default: 0 angstrom].")] = None,
    frame: Annotated[int, typer.Option(help="Number of the frame from 0; -1 is the last.")] = -1,
    functional: Annotated[str, typer.Option(help="PBE, PBEsol or LDA.")] = "PBE",
    basis: Annotated[str, typer.Option(help="Basis set of CP2K.")] = "DZVP-MOLOPT-SR-GTH",
    cutoff: Annotated[float, typer.Option(help="Of the plane waves of the density, Ry.")] = 300.0,
    threads: Annotated[int, typer.Option(min=1, help="Threads of CP2K.")] = 1,
    picture: PictureOption = None,
    kept: RecordOption = None,
    as_json: JsonOption = False,
) -> None:
    """Band gap at the zone centre by CP2K (`make cp2k`): an estimate; a cell with partly filled orbitals gets an upper bound.

    A slice is cut between groups of bound atoms and refused where its formal charges do not add up to zero. The picture shows
    the levels on either side of the gap.


    Example: multiscale analyze band-gap final.extxyz --slice "12 angstrom, 18 angstrom" --shift "2 angstrom"
    """
    _require_file(trajectory)
    from atomistic import band_gap as gaps
    from atomistic.cp2k import Cp2kSettings
    from atomistic.frames import read_frames
    from atomistic.neutral_slices import conditions, cut
    from multiscale.commands.structure import _slice

    wanted, reach = _slice(slice_, axis), 0.0 if shift is None else quantity_of("--shift", shift, "m") * 1e10
    read = read_frames(trajectory, run=False)
    if not -len(read) <= frame < len(read):
        raise UserError(f"--frame {frame}: {trajectory} holds {len(read)} frames, counted from 0")
    atoms = read[frame]
    part = None
    if slice_ is not None:
        part = _told(trajectory, lambda: cut(read[frame], wanted.low, wanted.high, reach, wanted.axis))
        atoms = part.atoms
    settings = Cp2kSettings(functional=functional, basis=basis, cutoff=cutoff, threads=threads)
    found, orbitals = _told(trajectory, lambda: gaps.solve(atoms, settings))
    where = {} if part is None else {"axis": axis, **conditions(part)}
    carriers = part is not None and part.metal > 0
    record = gaps.record(found, atoms, settings, where, {"trajectory": str(trajectory), "frame": frame}, carriers)
    _keep(kept, [record])
    if picture is not None:
        from atomistic.observable_pictures import levels

        title = f"{record.material}, {functional}: {'< ' * bool(record.bound)}{found.gap:.2f} eV"
        levels(picture, orbitals, (found.highest, found.lowest), title)
    if as_json:
        from multiscale.commands.analyze import KEYS

        show_json({"band-gap": {key: record.to_dict()[key] for key in KEYS}})
        return
    sign = "< " if record.bound else ""
    show(f"{record.material} ({len(atoms)} atoms): band gap {sign}{found.gap:.2f} eV, an estimate ({record.source['method']})")

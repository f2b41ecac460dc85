"""`multiscale homogenize`: effective conductivity of a segmented image. Heavy imports happen inside."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from coupling.errors import UserError
from multiscale import parallel
from multiscale.console import JsonOption, show, show_json


def homogenize(
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help="Segmented image (.tif, .tiff, .npy, .npz) or spheres (.csv).")],
    phase: Annotated[
        list[str], typer.Option("--phase", metavar="LABEL=VALUE", help='A label or range and its conductivity: "0=1e-3 S/m".')
    ],
    voxel: Annotated[
        str | None, typer.Option(help='Edge of a voxel: "0.1 um", or one an axis: "0.1 um, 0.1 um, 0.3 um" [default: cubes].')
    ] = None,
    axis: Annotated[list[str] | None, typer.Option(metavar="x|y|z", help="Direction of the field [default: all].")] = None,
    faces: Annotated[
        str, typer.Option(help="plates (insulating sides, as in TauFactor) or periodic (full tensor).")
    ] = "plates",
    crop: Annotated[
        str | None, typer.Option(metavar="LOW:HIGH,…", help='Voxels kept along each axis: "0:80,0:80,20:100".')
    ] = None,
    coarsen: Annotated[int, typer.Option(help="Voxels merged along each axis (majority).")] = 1,
    refine: Annotated[int, typer.Option(help="Parts each voxel is cut into along each axis: a narrower enclosure.")] = 1,
    as_json: JsonOption = False,
) -> None:
    """Effective conductivity, tortuosity factor and percolation of a segmented image, enclosed between two discretisations.

    The first axis of the array is x (the pages of a TIFF stack). Between plates x, y and z are solved one by one. Spheres
    (columns x, y, z, radius with units, perhaps phase) are cut into voxels: label 0 lies between them, 1, 2 … are the phases
    in their order.

    Example: multiscale homogenize pellet.tif --phase "0=0 S/m" --phase "1=1e-3 S/m" --voxel "0.1 um"
    """
    if faces not in ("plates", "periodic"):
        raise UserError(f"--faces {faces}: plates or periodic")
    from multiscale.conduction.homogenization import Phase, answer, axes_named, prepared, table

    phases = [Phase.parse(text) for text in phase]
    shown = prepared(image, voxel, crop, coarsen, refine)
    axes = axes_named(axis, len(shown.shape))
    number = shown.phase_numbers([p.labels for p in phases])
    kind: Literal["plates", "periodic"] = "periodic" if faces == "periodic" else "plates"
    found = answer(shown, phases, number, kind, axes, parallel.world())
    if as_json:
        show_json(found)
    else:
        show(table(found))

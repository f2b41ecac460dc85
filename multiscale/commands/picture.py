"""`multiscale picture` and `multiscale export`: what a run wrote, drawn or in another format. Heavy imports happen inside."""

from pathlib import Path
from typing import Annotated

import typer

from coupling.errors import UserError
from multiscale import parallel
from multiscale.commands.quantities import quantity
from multiscale.console import show

CaseArgument = Annotated[Path, typer.Argument(metavar="CASE", help="Case folder: it holds case.toml.")]
StepOption = Annotated[str | None, typer.Option("--step", help="Step of a transport case, such as 2 [default: the last].")]
ResultsOption = Annotated[Path | None, typer.Option("--results", metavar="DIR", help="Results folder [default: CASE/results].")]


def register(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    app.command()(picture)
    app.command()(export)


def picture(
    case: CaseArgument,
    field: Annotated[str, typer.Option("--field", help="Field; of a vector its length.")] = "current_density_A_per_m2",
    step: StepOption = None,
    cut: Annotated[
        str | None, typer.Option("--slice", metavar="AXIS[=PLACE]", help='Plane through a 3-D cell: "x", "z=2 um".')
    ] = None,
    warp: Annotated[float | None, typer.Option("--warp", help="Move the cell by so many times its displacement.")] = None,
    flat: Annotated[bool, typer.Option("--flat", help="An axisymmetric cell as its plane (r, z), not turned.")] = False,
    log: Annotated[bool, typer.Option("--log", help="Logarithmic colours.")] = False,
    pixels: Annotated[int, typer.Option("--pixels", min=200, max=4000, help="Width of the picture.")] = 1200,
    results: ResultsOption = None,
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="PNG [default: FIELD.png beside the fields].")] = None,
) -> None:
    """Draw a field that a run wrote, off-screen, with PyVista (`make pictures`): plane, axisymmetric (turned) or 3-D.

    Example: multiscale picture my-case --field potential_V --slice x --out potential.png
    """
    if out is not None and out.suffix.lower() != ".png":
        raise UserError(f"--out {out}: the picture is a PNG; name it {out.with_suffix('.png').name}")
    plane = None if cut is None else _plane(cut)
    path = _written(case, results, step)
    from multiscale.reporting.render import Look, write_picture
    from multiscale.reporting.written_fields import read

    look = Look(plane, warp, _axisymmetric(case), flat, log, pixels)
    show(str(write_picture(read(path), field, look, case.resolve().name, out or path.with_name(f"{field}.png"))))


def export(
    case: CaseArgument,
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="FILE.xdmf (its FILE.h5 beside it) or FILE.vtu.")],
    step: StepOption = None,
    results: ResultsOption = None,
) -> None:
    """Write the fields of a run as XDMF or VTU, for tools that do not open VTX (`*.bp`) folders.

    Example: multiscale export my-case --out fields.xdmf
    """
    path = _written(case, results, step)
    from multiscale.reporting.written_fields import read, save

    for written in save(read(path), out):
        show(str(written))


def _written(case: Path, results: Path | None, step: str | None) -> Path:
    from multiscale.case_folder import require_case
    from multiscale.reporting.written_fields import find

    if parallel.size() > 1:
        raise UserError("multiscale picture, export: run on one rank; leave mpirun out")
    require_case(case)
    return find(results or case / "results", step)


def _plane(text: str) -> tuple[str, float | None]:
    """Axis and place (m) of a plane. Raises UserError."""
    axis, _, place = text.partition("=")
    if axis.strip() not in ("x", "y", "z"):
        raise UserError(f'--slice {text}: an axis, x, y or z, and perhaps a place: "z=2 um"')
    return axis.strip(), quantity("--slice", place, "m") if place.strip() else None


def _axisymmetric(case: Path) -> bool:
    """Whether the case's mesh is the half plane of an axisymmetric cell."""
    import tomllib

    geometry = tomllib.loads((case / "case.toml").read_text(encoding="utf-8")).get("geometry", {})
    return bool(geometry.get("axisymmetric")) or geometry.get("kind") == "tip-on-crystal"

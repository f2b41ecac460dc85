"""`multiscale animate`: the film of a propagation run as a small GIF or WebP. Heavy imports happen inside."""

from pathlib import Path
from typing import Annotated

import typer

from coupling.errors import UserError
from multiscale.console import show

KINDS = (".gif", ".webp")


def animate(
    case: Annotated[Path, typer.Argument(metavar="CASE", help="Case folder: it holds case.toml.")],
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="GIF, WebP [default: CASE/results/film.gif].")] = None,
    pixels: Annotated[int, typer.Option("--pixels", min=160, max=1600, help="Width of the picture.")] = 480,
) -> None:
    """Draw the crack and the current around it in time, from a propagation case that has been run.

    Example: multiscale animate cases/penny-flaw --out film.webp
    """
    from multiscale.propagation.case import is_propagation_case, load_propagation_case

    if out is not None and out.suffix.lower() not in KINDS:
        raise UserError(f"--out {out}: a film is a GIF or a WebP; name it {out.with_suffix('.gif').name}")
    if not is_propagation_case(case):
        raise UserError(f"{case}: only a propagation case ([fracture]) has a film")
    from multiscale.propagation.answer import read_summary
    from multiscale.propagation.figure import write_animation
    from multiscale.propagation.film import read_reel

    loaded, results = load_propagation_case(case), case / "results"
    read_summary(loaded, results)
    reel = read_reel(results / "film.npz")
    if reel is None:
        raise UserError(f"{results / 'film.npz'}: not there, or damaged; delete {results} and run `multiscale run {case}` again")
    path = out or results / "film.gif"
    write_animation(path, reel, loaded.settings.geometry.electrolyte.thickness, pixels)
    show(f"{path} · {len(reel.numbers)} frames · {path.stat().st_size / 1e3:.0f} kB")

"""`multiscale animate`: the film of a run as a small GIF or WebP. Heavy imports happen inside."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

from coupling.errors import UserError
from multiscale.console import show

KINDS = (".gif", ".webp")
SOLVED = 16
"""Pictures of a critical-current case at most: each is a steady state that is solved."""


def animate(
    case: Annotated[Path, typer.Argument(metavar="CASE", help="Case folder: it holds case.toml.")],
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="GIF, WebP [default: CASE/results/film.gif].")] = None,
    pixels: Annotated[int, typer.Option("--pixels", min=160, max=1600, help="Width of the picture.")] = 480,
    frames: Annotated[int, typer.Option("--frames", min=2, max=200, help="Most pictures.")] = 48,
    results: Annotated[Path | None, typer.Option("--results", metavar="DIR", help="Results [default: CASE/results].")] = None,
) -> None:
    """Draw a run in time: crack, filament, triggers, concentrations; of a critical current the cell on the way there.

    A critical-current case keeps its fields at the critical current alone: the others are solved for the film.

    Example: multiscale animate cases/penny-flaw --out film.webp
    """
    if out is not None and out.suffix.lower() not in KINDS:
        raise UserError(f"--out {out}: a film is a GIF or a WebP; name it {out.with_suffix('.gif').name}")
    from multiscale.reporting.animation import write_film
    from multiscale.reporting.by_kind import kind_of

    folder, kind = results or case / "results", kind_of(case)
    if kind not in FILMS:
        raise UserError(f"{case}: a {kind} case is steady and has no film; `multiscale picture {case}` draws its fields")
    pictures = FILMS[kind](case, folder, frames, pixels)
    path = out or folder / "film.gif"
    count = write_film(path, pictures)
    show(f"{path} · {count} frames · {path.stat().st_size / 1e3:.0f} kB")


def _propagation(case: Path, results: Path, frames: int, pixels: int) -> Iterable[Any]:
    from multiscale.propagation.answer import read_summary
    from multiscale.propagation.case import load_propagation_case
    from multiscale.propagation.figure import film
    from multiscale.propagation.film import read_reel

    loaded = load_propagation_case(case)
    read_summary(loaded, results)
    reel = read_reel(results / "film.npz")
    if reel is None:
        raise UserError(f"{results / 'film.npz'}: not there, or damaged; delete {results} and run `multiscale run {case}` again")
    return film(reel, loaded.settings.geometry.electrolyte.thickness, frames, pixels)


def _tip(case: Path, results: Path, frames: int, pixels: int) -> Iterable[Any]:
    from multiscale.tip_trigger.case import load_tip_case
    from multiscale.tip_trigger.film import film
    from multiscale.tip_trigger.report import read_results

    summary, found = read_results(results, case)
    _same(case, load_tip_case(case).digest, summary)
    return film(found, float(summary["rate_V_per_s"]), frames, pixels)


def _memristor(case: Path, results: Path, frames: int, pixels: int) -> Iterable[Any]:
    from multiscale.memristor.case import load_memristor_case, resolve
    from multiscale.memristor.film import film
    from multiscale.memristor.report import read_results

    summary, _, loops = read_results(results, case)
    loaded = load_memristor_case(case)
    _same(case, loaded.digest, summary)
    numbers = resolve(loaded)
    return film(loops, numbers.thickness, numbers.radius, numbers.electrode_radius, frames, pixels)


def _transport(case: Path, results: Path, frames: int, pixels: int) -> Iterable[Any]:
    from multiscale.transport_cases.case import load_transport_case
    from multiscale.transport_cases.film import film
    from multiscale.transport_cases.report import read_csv

    loaded = load_transport_case(case)
    tables = [read_csv(results / name) for name in ("profiles.csv", "time_series.csv")]
    if not all(tables):
        told = "not there (no salt is followed, or the case has not been run)"
        raise UserError(f"{results}: profiles.csv or time_series.csv is {told}; `multiscale run {case}` makes them")
    from multiscale.pipeline import read_json

    _same(case, loaded.digest, read_json(results / "summary.json", {}))
    return film(tables[0], tables[1], frames, pixels)


def _critical_current(case: Path, results: Path, frames: int, pixels: int) -> Iterable[Any]:
    from multiscale.case import load_case
    from multiscale.critical_current.film import film, inside, solved
    from multiscale.parameters import continuum_inputs, nominal, resolve
    from multiscale.pipeline import read_json, stored_records

    loaded, summary = load_case(case), read_json(results / "summary.json", {})
    if not {"ccd", "md", "hashes"} <= set(summary):
        raise UserError(f"{results / 'summary.json'}: not there yet, or of an older version; `multiscale run {case}` makes it")
    _same(case, loaded.digest, summary)
    records = stored_records(loaded, results)[0] if summary["md"] else []
    inputs = {name: float(value[0]) for name, value in nominal(resolve(loaded, records)).items()}
    kept = read_json(results / "reference.json", {})
    critical = float(kept.get("reference", {}).get("critical", {}).get("current_density", 0.0))
    if critical <= 0:
        raise UserError(f"{results}: the flaw opens without a current, or reference.json is damaged; there is nothing to show")
    count = min(frames, SOLVED)
    show(f"solving the cell at {count} currents up to {critical / 10:.4g} mA/cm^2")
    found = solved(loaded, continuum_inputs(loaded, inputs), critical, count)
    return film(found, pixels, inside(loaded, inputs, [frame.current for frame in found.frames]))


def _same(case: Path, digest: str, summary: dict[str, Any]) -> None:
    """Refuse results of another state of the case."""
    if summary.get("hashes", {}).get("case") != digest:
        told = "not run yet, or case.toml or a material file has changed since these results were computed"
        raise UserError(f"{case}: {told}; run `multiscale run {case}` again")


FILMS = {
    "propagation": _propagation, "tip": _tip, "memristor": _memristor, "transport": _transport,
    "critical current": _critical_current,
}  # fmt: skip

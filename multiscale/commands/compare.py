"""`multiscale compare`: computed against measured critical currents. Heavy imports happen inside."""

import json
from pathlib import Path
from typing import Annotated

import typer

from coupling.errors import UserError
from multiscale import parallel
from multiscale.console import JsonOption, show

CasesArgument = Annotated[
    list[Path] | None, typer.Argument(metavar="[CASES]", help="Cases that have been run [default: all measurements].")
]
PlotOption = Annotated[Path | None, typer.Option("--plot", metavar="FILE", help="Write a parity plot (PNG, SVG or PDF).")]
CsvOption = Annotated[Path | None, typer.Option("--csv", metavar="FILE", help="Write the table with every field (CSV).")]
QualityOption = Annotated[str, typer.Option(help='Model runs a cell: "rough" (18), "quick" (34) or "standard" (130).')]
TableOption = Annotated[Path | None, typer.Option("--experiments", metavar="FILE", help="Measurements [default: shipped].")]
CellsOption = Annotated[Path | None, typer.Option("--cells", metavar="DIR", help="Cell files [default: cases/_comparison].")]
StoreOption = Annotated[Path | None, typer.Option("--out", metavar="DIR", help="Store [default: cases/_comparison/results].")]


def compare(
    cases: CasesArgument = None,
    plot: PlotOption = None,
    table: CsvOption = None,
    quality: QualityOption = "quick",
    experiments: TableOption = None,
    cells: CellsOption = None,
    out: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare computed critical current densities with measured ones; nothing is fitted.

    Without CASES, every measurement is held against the cell that matches it, its own resistance, temperature and pressure
    set; what the source does not state is assumed with a range. The same line goes on after a kill, on any number of ranks.
    With CASES, their results as they were run are held against the measurements.

    Example: multiscale compare --plot parity.png --csv comparison.csv
    """
    _check_names(plot, table)
    shipped = Path(__file__).resolve().parent.parent.parent / "cases"
    measured = experiments or shipped / "_experiments" / "ccd.csv"
    if cases:
        _refuse_survey_options(table, cells, out)
        _of_cases(cases, measured, plot, as_json)
        return
    from multiscale.comparison.driver import compare_all
    from multiscale.progress import Narrator

    comm = parallel.world()
    folder = cells or shipped / "_comparison"
    narrator = Narrator(comm.rank == 0 and not as_json)
    told = compare_all(measured, folder, out or shipped / "_comparison" / "results", quality, comm, narrator)
    if comm.rank == 0:
        _write(told, plot, table)
        from multiscale.comparison.table import text

        show(json.dumps(told, indent=1, ensure_ascii=False, allow_nan=False) if as_json else text(told))


def _check_names(plot: Path | None, table: Path | None) -> None:
    """Refuse names of files that cannot be written as asked, before anything long. Raises UserError."""
    if plot is not None and plot.suffix.lower() not in (".png", ".svg", ".pdf"):
        raise UserError(f"--plot: read {plot}; write a name that ends in .png, .svg or .pdf")
    if table is not None and table.suffix.lower() != ".csv":
        raise UserError(f"--csv: read {table}; write a name that ends in .csv")


def _refuse_survey_options(table: Path | None, cells: Path | None, out: Path | None) -> None:
    for name, value in (("--csv", table), ("--cells", cells), ("--out", out)):
        if value is not None:
            raise UserError(f"{name} belongs to the comparison of all measurements; leave CASES out, or leave {name} out")


def _write(told: dict[str, object], plot: Path | None, table: Path | None) -> None:
    if plot is not None:
        from multiscale.comparison.plot import parity
        from multiscale.reporting.figures import write_figure

        write_figure(parity(told), plot)
    if table is not None:
        from coupling.atomic import write_text
        from multiscale.comparison.table import csv_text

        write_text(table, csv_text(told))


def _of_cases(cases: list[Path], experiments: Path, plot: Path | None, as_json: bool) -> None:
    """Results of cases that have been run, held against the measurements."""
    from multiscale.cli import refuse_unanswered
    from multiscale.compare import compare_cases

    for case in cases:
        refuse_unanswered(case)
    show(compare_cases(cases, experiments, plot, as_json))

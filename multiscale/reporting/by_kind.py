"""The report of a case of any kind, as text or as a file."""

from pathlib import Path
from typing import TYPE_CHECKING

from coupling.atomic import write_text
from multiscale.conduction.case import is_conduction_case
from multiscale.memristor.case import is_memristor_case
from multiscale.propagation.case import is_propagation_case
from multiscale.tip_trigger.case import is_tip_case
from multiscale.transport_cases.case import is_transport_case

if TYPE_CHECKING:
    from coupling.experiments import Measurement
    from multiscale.reporting.plates import Plate
    from multiscale.results import Run


def kind_of(case: Path) -> str:
    """'transport', 'conduction', 'propagation', 'tip', 'memristor' or 'critical current'.

    Raises:
        UserError: case.toml cannot be read.
    """
    known = {
        "conduction": is_conduction_case, "propagation": is_propagation_case, "transport": is_transport_case, "tip": is_tip_case,
        "memristor": is_memristor_case,
    }  # fmt: skip
    return next((kind for kind, is_it in known.items() if is_it(case)), "critical current")


def report_text(case: Path, results: Path, experiments: Path | None, alive: bool = False) -> str:
    """The page of a case that has been run; `alive` adds figures to be zoomed and read off.

    Raises:
        UserError: it has not been run, or its results are damaged.
    """
    kind = kind_of(case)
    if kind == "transport":
        from multiscale.transport_cases.report import transport_page

        return transport_page(results, case, alive)
    if kind == "conduction":
        from multiscale.conduction.report import conduction_page

        return conduction_page(results, case)
    if kind == "propagation":
        from multiscale.propagation.report import propagation_page

        return propagation_page(results, case, alive)
    if kind == "tip":
        from multiscale.tip_trigger.report import tip_page

        return tip_page(results, case, alive)
    if kind == "memristor":
        from multiscale.memristor.report import memristor_page

        return memristor_page(results, case, alive)
    from multiscale.reporting.report import page

    return page(*_run_of(case, results, experiments), alive)


def report_plates(case: Path, results: Path, experiments: Path | None) -> "list[Plate]":
    """Every figure of that page. Raises as `report_text`."""
    kind = kind_of(case)
    if kind == "transport":
        from multiscale.transport_cases.report import transport_plates

        return transport_plates(results, case)
    if kind == "conduction":
        from multiscale.conduction.report import resistance_plate

        return resistance_plate(results, case)
    if kind == "propagation":
        from multiscale.propagation.report import propagation_plates

        return propagation_plates(results, case)
    if kind == "tip":
        from multiscale.tip_trigger.report import tip_plates

        return tip_plates(results, case)
    if kind == "memristor":
        from multiscale.memristor.report import memristor_plates

        return memristor_plates(results, case)
    from multiscale.reporting.report import plates

    return plates(*_run_of(case, results, experiments))


def _run_of(case: Path, results: Path, experiments: Path | None) -> "tuple[Run, list[Measurement] | None]":
    """Results of a critical current, and the measurements to hold them against."""
    from coupling.experiments import read_experiments
    from multiscale.compare import case_result
    from multiscale.results import read_run

    return read_run(results, case_result(case, results)), None if experiments is None else list(read_experiments(experiments))


def write_report(case: Path, results: Path, experiments: Path | None, alive: bool = False, figures: bool = False) -> list[Path]:
    """Write report.html, and the figures as files in results/figures; gives the files.

    Raises:
        UserError: as `report_text`; Plotly is needed and not installed.
        RunFailure: a file cannot be written.
    """
    path = results / "report.html"
    write_text(path, report_text(case, results, experiments, alive))
    if not figures:
        return [path]
    from multiscale.reporting.plates import write_plates

    return [path, *write_plates(report_plates(case, results, experiments), results / "figures")]

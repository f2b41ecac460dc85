"""The report of a case of any kind, as text or as a file."""

from pathlib import Path

from coupling.atomic import write_text
from coupling.errors import UserError
from multiscale.conduction.case import is_conduction_case
from multiscale.propagation.case import is_propagation_case
from multiscale.transport_cases.case import is_transport_case


def kind_of(case: Path) -> str:
    """'transport', 'conduction', 'propagation' or 'critical current'. Raises UserError where case.toml cannot be read."""
    known = {"conduction": is_conduction_case, "propagation": is_propagation_case, "transport": is_transport_case}
    return next((kind for kind, is_it in known.items() if is_it(case)), "critical current")


def report_text(case: Path, results: Path, experiments: Path | None) -> str:
    """The page of a case that has been run.

    Raises:
        UserError: it has not been run, its results are damaged, or its kind has no report.
    """
    kind = kind_of(case)
    if kind == "transport":
        from multiscale.transport_cases.report import transport_page

        return transport_page(results, case)
    if kind == "conduction":
        from multiscale.conduction.report import conduction_page

        return conduction_page(results, case)
    if kind == "propagation":
        raise UserError(f"{case}: a propagation case has no report yet; filament.png in {results} shows its answer")
    from coupling.experiments import read_experiments
    from multiscale.compare import case_result
    from multiscale.reporting.report import page
    from multiscale.results import read_run

    run = read_run(results, case_result(case, results))
    return page(run, None if experiments is None else read_experiments(experiments))


def write_report(case: Path, results: Path, experiments: Path | None) -> Path:
    """Write report.html into the results folder and give its path. Raises as `report_text`, and RunFailure (full disk)."""
    path = results / "report.html"
    text = report_text(case, results, experiments)
    write_text(path, text)
    return path

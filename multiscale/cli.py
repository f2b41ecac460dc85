"""The command line. Heavy imports happen inside the commands, after the input has been checked."""

from pathlib import Path
from typing import Annotated, Any

import typer

from coupling.errors import RunFailure, UserError
from multiscale import parallel
from multiscale.commands.analyze import analyze_app
from multiscale.commands.animate import animate
from multiscale.commands.arrhenius import register as _register_arrhenius
from multiscale.commands.band_gap import register as _register_band_gap
from multiscale.commands.boundary import register as _register_boundary
from multiscale.commands.build import build
from multiscale.commands.cluster import register as _register_cluster
from multiscale.commands.compare import compare
from multiscale.commands.growth import register as _register_growth
from multiscale.commands.homogenize import homogenize
from multiscale.commands.interphase import register as _register_interphase
from multiscale.commands.lithium import register as _register_lithium
from multiscale.commands.mechanics import register as _register_mechanics
from multiscale.commands.picture import register as _register_picture
from multiscale.commands.potential import potential_app
from multiscale.commands.preview import preview
from multiscale.commands.records import records
from multiscale.commands.replica import replicas
from multiscale.commands.stages import stages
from multiscale.commands.starter import register as _register_starter
from multiscale.commands.starter import shipped
from multiscale.commands.structure import register as _register_structure
from multiscale.commands.sweep import sweep_app
from multiscale.commands.transport import register as _register_transport
from multiscale.commands.view import view
from multiscale.console import JsonOption
from multiscale.console import show as _show
from multiscale.console import show_json as _show_json

app = typer.Typer(
    name="multiscale",
    help="From crystal structures to a critical current density with an error bar.\n\nExample: multiscale run cases/li-lpscl",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=True,
    rich_markup_mode=None,
)
app.add_typer(potential_app, name="potential")
app.add_typer(analyze_app, name="analyze")
_register_structure(analyze_app)
_register_interphase(analyze_app)
_register_boundary(analyze_app)
_register_cluster(analyze_app)
_register_band_gap(analyze_app)
_register_mechanics(analyze_app)
_register_arrhenius(analyze_app)
app.add_typer(sweep_app, name="sweep")
app.command()(homogenize)
app.command()(build)
app.command()(replicas)
app.command()(stages)
app.command()(preview)
app.command()(animate)
app.command()(view)
app.command()(records)
_register_picture(app)
_register_transport(app)
_register_growth(app)
_register_lithium(app)
_register_starter(app)


def _tell_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        _show(f"multiscale-li {version('multiscale-li')}")
        raise typer.Exit


VersionOption = Annotated[bool, typer.Option("--version", is_eager=True, callback=_tell_version, help="Print the version.")]


@app.callback()
def _root(version: VersionOption = False) -> None:  # its help is that of the app, above
    pass


CaseArgument = Annotated[Path, typer.Argument(metavar="CASE", help="Case folder: it holds case.toml.")]
OutOption = Annotated[Path | None, typer.Option("--out", metavar="DIR", help="Results folder [default: CASE/results].")]
InteractiveOption = Annotated[
    bool, typer.Option("--interactive", help="Figures to be zoomed and read off; the file grows by 5 MB.")
]


def _results(case: Path, out: Path | None) -> Path:
    return out if out is not None else case / "results"


def _summary(case: Path, out: Path | None) -> dict[str, Any]:
    """The case's summary.json. Raises UserError where there is none yet, or it is damaged."""
    from multiscale.case_folder import require_case
    from multiscale.compare import read_result
    from multiscale.conduction.case import is_conduction_case
    from multiscale.memristor.case import is_memristor_case
    from multiscale.propagation.case import is_propagation_case
    from multiscale.tip_trigger.case import is_tip_case
    from multiscale.transport_cases.case import is_transport_case

    require_case(case)
    if is_transport_case(case):
        raise UserError(f"{case}: a transport case has no critical current; `multiscale report {case}` tells its results")
    path = _results(case, out) / "summary.json"
    if is_conduction_case(case):
        raise UserError(f"{case}: a conduction case has no critical current; {path} and the fields beside it are its answer")
    if is_propagation_case(case):
        raise UserError(f"{case}: a propagation case stands beside no measurement; `multiscale ccd {case}` tells its answer")
    if is_tip_case(case) or is_memristor_case(case):
        picture = "trigger_map.png" if is_tip_case(case) else "memristor.png"
        raise UserError(f"{case}: a case of this kind has no critical current; {path} and {picture} beside it are its answer")
    if not path.is_file():
        raise UserError(f"{path}: not there yet; `multiscale run {case}` makes it")
    summary = read_result(path)
    if not isinstance(summary, dict) or not {"ccd", "error_split"} <= set(summary):
        raise UserError(f"{path}: not the summary of a run; delete it and run `multiscale run {case}` again")
    return summary


def _refuse_stale(case: Path, summary: dict[str, Any]) -> None:
    """Results of an earlier state of the case are not told as its answer. Raises UserError."""
    from multiscale.case import load_case

    if summary.get("hashes", {}).get("case") != load_case(case).digest:
        told = "case.toml or a material file has changed since these results were computed"
        raise UserError(f"{case}: {told}; run `multiscale run {case}` again")


@app.command()
def run(
    case: CaseArgument,
    out: OutOption = None,
    no_md: Annotated[bool, typer.Option("--no-md", help="Use the material files alone, without molecular dynamics.")] = False,
) -> None:
    """Compute every stage the case still needs: MD, continuum, critical current with error bar, report.

    A case with a [transport] table is ion transport in time, one with a [conduction] table a steady current through any
    geometry, one with a [fracture] table a lithium filament that cracks its way through, one whose geometry is a
    "tip-on-polycrystal" a map of trigger voltages, a "filament-device" a memristor. A run that was killed goes on, on any
    number of ranks.

    Example: mpirun -n 2 multiscale run cases/li-lpscl
    """
    from multiscale.kinds import load_any, run_any

    run_any(load_any(case), _results(case, out), parallel.world(), with_md=not no_md)


@app.command()
def check(case: CaseArgument, out: OutOption = None, as_json: JsonOption = False) -> None:
    """Validate a case and print each parameter the continuum would use: value, error, unit, kind and source.

    Example: multiscale check cases/li-lpscl
    """
    from multiscale.case import load_case
    from multiscale.conduction.case import is_conduction_case, load_conduction_case
    from multiscale.memristor.case import is_memristor_case, load_memristor_case
    from multiscale.parameters import resolve
    from multiscale.propagation.case import is_propagation_case, load_propagation_case
    from multiscale.tables import parameter_rows, parameter_table
    from multiscale.tip_trigger.case import is_tip_case, load_tip_case
    from multiscale.transport_cases.case import is_transport_case, load_transport_case

    if is_conduction_case(case):
        from multiscale.conduction.run import show_check as show_conduction

        show_conduction(load_conduction_case(case), as_json)
        return
    if is_propagation_case(case):
        from multiscale.propagation.run import show_check as show_propagation

        show_propagation(load_propagation_case(case), as_json)
        return
    if is_transport_case(case):
        from multiscale.transport_cases.check import show_check

        show_check(load_transport_case(case), as_json)
        return
    if is_tip_case(case):
        from multiscale.tip_trigger.run import show_check as show_tip

        show_tip(load_tip_case(case), as_json)
        return
    if is_memristor_case(case):
        from multiscale.memristor.run import show_check as show_memristor

        show_memristor(load_memristor_case(case), as_json)
        return
    loaded = load_case(case)
    from multiscale.pipeline import stored_records, validate_all

    validate_all(loaded)
    records, note = stored_records(loaded, _results(case, out))
    parameters = resolve(loaded, records)
    if as_json:
        _show_json({"case": loaded.name, "md": note, "parameters": parameter_rows(parameters)})
    else:
        _show(parameter_table(loaded, parameters, note))


@app.command()
def ccd(
    case: CaseArgument,
    out: OutOption = None,
    other: Annotated[
        Path | None, typer.Option("--beside", metavar="CASE", help="A case of the other kind: initiation beside propagation.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Print the critical current density, its error bar and its mechanism.

    Initiation and propagation are cases of two kinds; `--beside` tells the mechanisms of both, the smallest, and where the
    cells differ.

    Example: multiscale ccd cases/li-lpscl --json
    """
    if other is not None:
        return _beside(case, other, out, as_json)
    from multiscale.case_folder import require_case
    from multiscale.propagation.case import is_propagation_case, load_propagation_case

    require_case(case)
    if is_propagation_case(case):
        from multiscale.propagation.answer import show_answer

        show_answer(load_propagation_case(case), _results(case, out), as_json)
        return
    summary = _summary(case, out)
    _refuse_stale(case, summary)
    if as_json:
        keys = ("case", "ccd", "mechanisms", "fitted_parameters", "error_split")
        _show_json({key: summary[key] for key in keys})
        return
    from multiscale.tables import answer_lines

    _show(answer_lines(summary))


def _beside(case: Path, other: Path, out: Path | None, as_json: bool) -> None:
    """`ccd --beside`. Raises UserError: one of the cases has not been run, or both tell of the same mechanism."""
    from multiscale.beside import beside, beside_lines, differences

    summaries = {str(case): _answer(case, out), str(other): _answer(other, None)}
    found, apart = beside(summaries), differences([case, other])
    if as_json:
        _show_json(found | {"differences": apart})
    else:
        _show("\n".join(beside_lines(found, apart)))


def _answer(case: Path, out: Path | None) -> dict[str, Any]:
    """The summary of a case that asks for a critical current, of either kind, if it is not stale. Raises UserError."""
    from multiscale.case_folder import require_case
    from multiscale.propagation.case import is_propagation_case, load_propagation_case

    require_case(case)
    if is_propagation_case(case):
        from multiscale.propagation.answer import read_summary

        return read_summary(load_propagation_case(case), _results(case, out))
    summary = _summary(case, out)
    _refuse_stale(case, summary)
    return summary


@app.command()
def report(
    case: CaseArgument,
    out: OutOption = None,
    interactive: InteractiveOption = False,
    figures: Annotated[bool, typer.Option("--figures", help="Write each figure as SVG, PNG and CSV too.")] = False,
) -> None:
    """Write the self-contained report.html of a case that has been run.

    Example: multiscale report cases/li-lpscl --figures
    """
    from multiscale.case_folder import require_case
    from multiscale.reporting.by_kind import kind_of, write_report

    require_case(case)
    results = _results(case, out)
    if kind_of(case) == "critical current":
        _refuse_stale(case, _summary(case, out))
    for path in write_report(case, results, shipped() / "_experiments" / "ccd.csv", interactive, figures):
        _show(str(path))


def refuse_unanswered(case: Path) -> None:
    """Refuse a case without results, or with those of an earlier state. Raises UserError."""
    _refuse_stale(case, _summary(case, None))


app.command()(compare)


@app.command()
def md(
    study: Annotated[Path, typer.Argument(metavar="STUDY", help="Case folder with [atomistic], or a study file (.toml).")],
    out: OutOption = None,
    estimate: Annotated[bool, typer.Option("--estimate", help="Study file: tell the time it takes, run nothing.")] = False,
    trial: Annotated[bool, typer.Option("--trial", help="Study file: its runs cut to moments, to see that each ends.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Run the molecular dynamics of a case, or a study file (cases/_studies), on its own: structures to property records.

    A study tells about how long it takes before it starts, from the speed of its potential on this machine. Killed, the same
    line goes on.

    Example: mpirun -n 2 multiscale md cases/li-lpscl
    """
    if study.suffix == ".toml":
        from multiscale.commands.study import run_file

        run_file(study, out, as_json, trial, estimate)
        return
    if estimate or trial:
        raise UserError(f"{study}: --estimate and --trial belong to study files (.toml), see cases/_studies")
    from multiscale.case import load_case

    loaded = load_case(study)
    if loaded.settings.atomistic is None:
        raise UserError(f"{study / 'case.toml'}: no [atomistic] table, so there is no MD study; add one")
    from multiscale.pipeline import run_study
    from multiscale.tables import record_table

    records = run_study(loaded, _results(study, out), parallel.world())
    if as_json:
        _show_json({"study": loaded.name, "records": [record.to_dict() for record in records]})
    else:
        _show(record_table(records))


@app.command()
def verify(
    ids: Annotated[list[str] | None, typer.Argument(metavar="[ID]", help="Problems by id, such as V05 [default: all].")] = None,
    as_json: JsonOption = False,
) -> None:
    """Solve problems with exact solutions by the product's own terms and meshes: exact, computed, error, tolerance.

    Example: multiscale verify V01 V05
    """
    from multiscale import verify as verification
    from multiscale.tables import verification_table

    rows = verification.run(ids or None)
    if as_json:
        _show_json({"rows": rows})
    else:
        _show(verification_table(rows))
    if not all(row["ok"] for row in rows):
        raise RunFailure(f"{sum(not row['ok'] for row in rows)} of {len(rows)} verification rows are outside their tolerance")


@app.command()
def doctor(as_json: JsonOption = False) -> None:
    """Say what this machine has and lacks.

    Example: multiscale doctor
    """
    from multiscale.doctor import NEEDED_FOR, OPTIONAL, examine

    found = examine()
    if as_json:
        _show_json(found)
        return
    for name, what in found.items():
        lacking = f"missing (needed for: {NEEDED_FOR[name]})" if name in NEEDED_FOR else OPTIONAL.get(name, "missing (optional)")
        _show(f"{name:12s} {what if what is not None else lacking}")


_INTERRUPTED = 130
"""What newer typer gives back for a command that Ctrl-C ended; our commands themselves give nothing back."""


def _call() -> None:
    """Run the command line; usage mistakes become `UserError`.

    typer's usage exceptions are known by what they offer, since their home moved between its versions.
    """
    try:
        interrupted = app(standalone_mode=False, prog_name="multiscale") == _INTERRUPTED
    except Exception as error:
        kind = type(error).__name__
        if kind == "Abort":
            raise KeyboardInterrupt from None
        if not hasattr(error, "format_message"):
            raise
        if kind == "NoArgsIsHelpError":
            _show(error.format_message())
            raise SystemExit(2) from None
        context = getattr(error, "ctx", None)
        path = context.command_path if context is not None else "multiscale"
        raise UserError(f"{error.format_message().rstrip('.')}. See `{path} --help`.") from None
    if interrupted:
        raise KeyboardInterrupt


def main() -> None:
    """Entry point of the `multiscale` command."""
    parallel.guard(_call)

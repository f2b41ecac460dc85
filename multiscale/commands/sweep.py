"""`multiscale sweep …`: designs of a sweep.toml run, told, drawn, ranked and searched. Heavy imports happen inside."""

import difflib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from coupling.errors import RunFailure, UserError
from multiscale import parallel
from multiscale.console import JsonOption, show, show_json

if TYPE_CHECKING:
    from multiscale.sweeps.driver import Prepared
    from multiscale.sweeps.settings import Sweep


class _RunByDefault(TyperGroup):
    """`multiscale sweep CASE` is `multiscale sweep run CASE`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put "run" before what is no option, no command and no slip of one."""
        first = next((word for word in args if not word.startswith("-")), None)
        helped = first is not None and "--help" in args[: args.index(first)]
        if first is not None and first not in self.commands and not helped and not self._slip(first):
            args = ["run", *args]
        return super().parse_args(ctx, args)

    def _slip(self, word: str) -> bool:
        """Whether a word is no folder but close to a command, which is then suggested."""
        return not Path(word).exists() and bool(difflib.get_close_matches(word, self.commands))


sweep_app = typer.Typer(cls=_RunByDefault, no_args_is_help=True, rich_markup_mode=None)
Folder = Annotated[Path, typer.Argument(metavar="CASE", help="Case folder: it holds case.toml and sweep.toml.")]
_STORE = "Store of the designs [default: CASE/results/sweep]."
StoreOption = Annotated[Path | None, typer.Option("--out", metavar="DIR", help=_STORE)]
SlotsOption = Annotated[int | None, typer.Option(min=1, help="Designs at once [default: that of sweep.toml, 2].")]
RanksOption = Annotated[int | None, typer.Option(min=1, help="MPI ranks a design [default: that of sweep.toml, 1].")]
EngineOption = Annotated[str | None, typer.Option(help='"local", "sbatch" or "parsl" [default: that of sweep.toml].')]
CodeOption = Annotated[bool, typer.Option("--run-code", help="Allow the command of [run] in sweep.toml, which runs its code.")]


@sweep_app.callback()
def _sweep() -> None:
    """Designs of a case varied by its sweep.toml: run, resumed, tabulated, drawn, ranked, searched.

    Example: multiscale sweep run cases/li-lpscl
    """


def _store(case: Path, out: Path | None) -> Path:
    return out if out is not None else case / "results" / "sweep"


def _prepared(case: Path, out: Path | None, write: bool = False) -> "Prepared":
    """The sweep of a case. Without `write`, nothing is made on the disk: designs that are not there yet are waiting."""
    from multiscale.sweeps import driver
    from multiscale.sweeps.settings import load_sweep

    sweep = load_sweep(case)
    return driver.prepare(sweep, _store(case, out)) if write else driver.look_at(sweep, _store(case, out))


def _settle(sweep: "Sweep", slots: int | None, ranks: int | None, engine: str | None, run_code: bool) -> tuple[int, int, str]:
    """Slots, ranks and engine to use. Raises UserError."""
    wanted = sweep.settings.run
    if parallel.size() > 1:
        raise UserError("start the sweep without mpirun; `--ranks N` runs each design on N ranks")
    if wanted.command and not run_code:
        told = "the sweep runs a command of its own, which can do anything as you; add --run-code if you trust it"
        raise UserError(sweep.file.refusal(("run", "command"), told))
    name = engine or wanted.engine
    if name not in ("local", "sbatch", "parsl"):
        raise UserError(f'--engine: read "{name}"; allowed: local, sbatch, parsl')
    return slots or wanted.slots, ranks or wanted.ranks, name


@sweep_app.command("run")
def run(
    case: Folder,
    out: StoreOption = None,
    slots: SlotsOption = None,
    ranks: RanksOption = None,
    engine: EngineOption = None,
    first: Annotated[int | None, typer.Option(min=1, metavar="N", help="Only the first N designs [default: all].")] = None,
    retry: Annotated[bool, typer.Option("--retry-failed", help="Try designs again that have failed.")] = False,
    run_code: CodeOption = False,
    as_json: JsonOption = False,
) -> None:
    """Run whatever the sweep still needs; the same line goes on after a kill and after the sweep was extended.

    Example: multiscale sweep run cases/li-lpscl --slots 2
    """
    from multiscale.sweeps import driver, ledger
    from multiscale.sweeps.designs import points
    from multiscale.sweeps.display import Display
    from multiscale.sweeps.settings import load_sweep

    sweep = load_sweep(case)
    count, size, name = _settle(sweep, slots, ranks, engine, run_code)
    prepared = driver.prepare(sweep, _store(case, out), points(sweep)[:first] if first else None)
    for design in prepared.names if retry else ():
        ledger.forgive(prepared.store, design)
    display = Display(sys.stderr)
    display.say(f"{len(prepared.rows)} designs of {case} · {sweep.settings.title}")
    tally = driver.complete(prepared, driver.make_engine(sweep, name, count, size, prepared.store.folder), count, size, display)
    _conclude(prepared, as_json)
    if tally.done == 0:
        reasons = [prepared.store.status(design).reason for design in prepared.names]
        raise RunFailure(f"every design failed; the first: {next((reason for reason in reasons if reason), 'no reason')}")


def _conclude(prepared: "Prepared", as_json: bool) -> None:
    """Write the table; tell how many are done, and where it is."""
    from multiscale.sweeps import kept_table, table

    built = table.build(prepared)
    path, remark = table.write(built, prepared.store.folder)
    kept_table.keep(prepared)
    states = [row["state"] for row in built.rows]
    told = {"designs": len(states), "done": states.count("done"), "failed": states.count("failed"), "table": str(path)}
    if as_json:
        show_json(told | {"ranking": _ranking_or_nothing(prepared)})
        return
    show(f"{told['done']} of {told['designs']} designs done, {told['failed']} failed · {path}")
    if remark:
        show(remark)
    for row in [row for row in built.rows if row["state"] == "failed"][:5]:
        show(f"  failed: {row['design']} {row['reason']}")


def _ranking_or_nothing(prepared: "Prepared") -> list[Any]:
    """The ranking by the first variable that is no number; empty where there is none, or too little is done."""
    from multiscale.sweeps import ranking

    axis = next((axis for axis in prepared.sweep.axes if not axis.is_numeric), None)
    if axis is None:
        return []
    try:
        return ranking.rank(prepared, axis.name).as_rows()
    except UserError:
        return []


@sweep_app.command("status")
def status(case: Folder, out: StoreOption = None, as_json: JsonOption = False) -> None:
    """Say how far a sweep is and what has failed; changes nothing.

    Example: multiscale sweep status cases/li-lpscl
    """
    prepared = _prepared(case, out)
    states = {name: prepared.store.status(name) for name in prepared.names}
    counts = {kind: sum(item.state == kind for item in states.values()) for kind in ("done", "failed", "running", "waiting")}
    left = sum(item.state == "running" and not prepared.store.is_held(name) for name, item in states.items())
    counts |= {"running": counts["running"] - left, "waiting": counts["waiting"] + left}  # begun, then killed: to be done again
    failed = [{"design": name, "reason": item.reason} for name, item in states.items() if item.state == "failed"]
    again = [{"design": name, "reason": item.reason} for name, item in states.items() if item.state == "waiting" and item.reason]
    if as_json:
        show_json({"case": str(case), "designs": len(prepared.rows), **counts, "failures": failed, "again": again})
        return
    show(f"{len(prepared.rows)} designs: " + ", ".join(f"{count} {kind}" for kind, count in counts.items()))
    for item in failed[:20]:
        show(f"  {item['design']}  {item['reason']}")
    for lost in again[:20]:
        show(f"  {lost['design']}  waits to be computed again: {lost['reason']}")


@sweep_app.command("table")
def table_command(case: Folder, out: StoreOption = None, as_json: JsonOption = False) -> None:
    """Write the table of a sweep (CSV, and Parquet where pyarrow is there) and print where it is.

    Example: multiscale sweep table cases/li-lpscl
    """
    from multiscale.sweeps import kept_table, table

    prepared = _prepared(case, out)
    built = table.build(prepared)
    path, remark = table.write(built, prepared.store.folder)
    kept_table.keep(prepared)
    if as_json:
        show_json({"table": str(path), "columns": list(built.columns), "rows": [dict(row) for row in built.rows]})
        return
    show(str(path))
    if remark:
        show(remark)


@sweep_app.command("work", hidden=True)
def work(
    store: Annotated[Path, typer.Argument(help="Store of the designs.")],
    listed: Annotated[Path, typer.Option("--list", help="List of the designs.")],
    name: Annotated[str, typer.Option("--name", help="Name of this worker.")],
    design: Annotated[str | None, typer.Option("--design", help="Run this design only.")] = None,
) -> None:
    """Be a worker of a sweep (started by its engine): run what nobody has done or is doing.

    Example: mpirun -n 2 multiscale sweep work STORE --list STORE/lists/LIST.json --name w0
    """
    from multiscale.sweeps import worker

    worker.follow_driver()
    shift = worker.read_shift(store, listed, name, design)
    worker.work(shift, None if worker.runs_a_command(shift) else parallel.world())


@sweep_app.command("plot")
def plot(case: Folder, out: StoreOption = None) -> None:
    """Draw the critical current against each variable, and over two of them; prints the files.

    Example: multiscale sweep plot cases/li-lpscl
    """
    from multiscale.sweeps import pictures

    prepared = _prepared(case, out)
    for path in pictures.draw_all(prepared, prepared.store.folder):
        show(str(path))


@sweep_app.command("rank")
def rank(
    case: Folder,
    by: Annotated[str, typer.Option("--by", metavar="VARIABLE", help="Variable whose values are ranked.")],
    out: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Rank the values of a variable by critical current, with confidence: "A beats B with 94 %"; draws ranking.png.

    Example: multiscale sweep rank cases/li-lpscl --by interlayer
    """
    from multiscale.reporting.figures import write_figure
    from multiscale.sweeps import pictures, ranking

    prepared = _prepared(case, out)
    found = ranking.rank(prepared, by)
    picture = prepared.store.folder / "ranking.png"
    write_figure(pictures.ranking(found, by), picture)
    if as_json:
        told = {"by": by, "settings": found.settings, "replicas": found.replicas, "ranking": found.as_rows()}
        show_json(told | {"picture": str(picture)})
        return
    show(f"{by} ranked by critical current over {found.settings} settings, {found.replicas} microstructures at least")
    for row in found.as_rows():
        show(f"  {row['name']:<24s} median {row['ccd_median']:.3g} mA/cm^2 · the best with {row['probability_best']:.0%}")
    show("\n".join([*found.sentences(), str(picture)]))


@sweep_app.command("sensitivity")
def sensitivity(
    case: Folder,
    of: Annotated[str | None, typer.Option("--of", metavar="ANSWER", help="Column without its unit [default: the CCD].")] = None,
    out: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say which variable moves the critical current: Sobol indices with their errors; draws sensitivity.png.

    Example: multiscale sweep sensitivity cases/li-lpscl
    """
    from dataclasses import asdict

    from coupling.toml_input import nearest
    from multiscale.reporting.figures import write_figure
    from multiscale.sweeps import pictures
    from multiscale.sweeps import sensitivity as analysis
    from multiscale.sweeps.solve import COLUMNS, WORDS

    numbers = [name for name in COLUMNS if name not in WORDS]
    if of is not None and of not in numbers:
        raise UserError(f'--of: read "{of}"; {nearest(of, numbers)}')
    prepared = _prepared(case, out)
    found = analysis.of_sweep(prepared, of)
    picture = prepared.store.folder / "sensitivity.png"
    write_figure(pictures.indices(found), picture)
    if as_json:
        show_json(asdict(found) | {"picture": str(picture)})
        return
    show(f"shares of the variance of ln({of or analysis.answer_column(prepared)}), {found.designs} designs")
    for index in found.indices:
        alone = f"alone {index.first:.2f} ± {index.first_error:.2f}"
        show(f"  {index.name:<24s} {alone} · with the others {index.total:.2f} ± {index.total_error:.2f}")
    show(f"unexplained {found.noise:.2f}; the surrogate predicts {found.predicted:.0%} of the variance at designs left out")
    show(f"warning: {found.warning}" if found.warning else str(picture))


@sweep_app.command("search")
def search(
    case: Folder,
    out: StoreOption = None,
    slots: SlotsOption = None,
    ranks: RanksOption = None,
    engine: EngineOption = None,
    run_code: CodeOption = False,
    as_json: JsonOption = False,
) -> None:
    """Search for the best designs (Optuna, the [search] table); the same line goes on after a kill; draws front.png.

    Example: multiscale sweep search cases/li-lpscl
    """
    from multiscale.reporting.figures import write_figure
    from multiscale.sweeps import driver, pictures
    from multiscale.sweeps import search as searching
    from multiscale.sweeps.display import Display
    from multiscale.sweeps.settings import load_sweep

    sweep = load_sweep(case)
    count, size, name = _settle(sweep, slots, ranks, engine, run_code)
    folder = _store(case, out)
    at_work = searching.Search(sweep, folder)
    at_work.run(lambda: driver.make_engine(sweep, name, count, size, folder), count, size, Display(sys.stderr))
    found = at_work.found()
    if not found.trials:
        raise RunFailure("no trial gave a number for every objective; `multiscale sweep table` tells why designs failed")
    picture = folder / "front.png"
    write_figure(pictures.front(found), picture)
    if as_json:
        told = {"trials": len(found.trials), "failed": found.failed, "objectives": found.objectives, "front": list(found.front)}
        show_json(told | {"picture": str(picture)})
        return
    show(f"{len(found.trials)} trials, {found.failed} failed; {len(found.front)} on the front")
    for row in found.front:
        numbers = ", ".join(f"{name} {value:.4g}" for name, value in row["objectives"].items())
        show(f"  {row['design']}  {numbers}  ({', '.join(f'{k} {v}' for k, v in row['values'].items())})")
    show(str(picture))

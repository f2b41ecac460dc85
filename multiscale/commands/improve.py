"""`multiscale potential improve`: active learning of a potential on the frames of the user's own study."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from multiscale import parallel
from multiscale.console import JsonOption, show, show_json
from multiscale.progress import Narrator, duration


def improve(
    study: Annotated[Path, typer.Argument(metavar="STUDY", help="Study (TOML): structures, dynamics, labeller, goal, budget.")],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder of the generations; the same folder continues.")],
    run_code: Annotated[bool, typer.Option("--run-code", help="Allow a labeller module:callable, which runs its code.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Improve a committee on a study's own frames until its calibrated force error is below the target or the budget is spent.

    Runs, labels and fits are shared by MPI ranks. A killed command continues, nothing is labelled or fitted twice. DIR holds
    generation-00, … , history.json, history.png and calibration.png.

    Example: mpirun -n 2 multiscale potential improve li-lpscl-chgnet.toml --out improved
    """
    from atomistic import active_learning
    from atomistic.improve_stages import Crew, default_tools
    from atomistic.improve_study import read_study

    stated = read_study(study)
    tools = default_tools(stated, run_code)
    comm = parallel.world()
    narrator = Narrator(comm.rank == 0, sys.stderr)
    with narrator.watch("improve") as update:
        crew = Crew(comm if comm.size > 1 else None, update)
        history = active_learning.improve(stated, out, tools, crew, lambda text: narrator.say("improve", text))
    narrator.say("improve", f"done in {duration(narrator.seconds())}")
    if as_json:
        show_json(history)
    else:
        show("\n".join(_lines(history, out)))


def _lines(history: dict[str, Any], out: Path) -> list[str]:
    """The answer in words: one line a generation, why it stopped, where the potential is."""
    lines = [f"{'generation':>10s}  {'found':>7s}  {'claimed':>7s}  {'covered':>7s}  {'labels':>6s}   (force errors in meV/Å)"]
    for row in history["generations"]:
        before = row["before"]
        claimed = f"{before['claimed_everywhere']:7.1f}" if before["claimed_before"] else f"{'-':>7s}"
        covered = f"{before['coverage']:7.0%}" if before["claimed_before"] else f"{'-':>7s}"
        lines.append(f"{row['generation']:>10d}  {before['found_rmse']:7.1f}  {claimed}  {covered}  {row['labels_total']:>6d}")
    made = history["potential"].startswith("generation-") or history["potential"].startswith("start")
    place = out / history["potential"] if made else history["potential"]
    return [*lines, f"stopped: {history['stop']}", f"potential: {place}"]

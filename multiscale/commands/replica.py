"""`multiscale replicas`: molecular dynamics of many copies of a structure at once, on a GPU where there is one."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from coupling.errors import UserError
from multiscale.console import quantity_of, show
from multiscale.progress import Narrator, duration


def replicas(
    structures: Annotated[list[Path], typer.Argument(metavar="STRUCTURE…", help="Structure files that ASE reads.")],
    temperature: Annotated[str, typer.Option(help='Temperature: "600 K".')],
    length: Annotated[str, typer.Option(help='Length of each run: "10 ps".')],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder of the replicas; the same folder continues.")],
    potential: Annotated[str, typer.Option(help="Potential of our own format: a shipped name or a folder.")] = "lpscl",
    member: Annotated[int, typer.Option(min=0, help="Which model of a committee.")] = 0,
    copies: Annotated[int, typer.Option(min=1, help="Copies of each structure, with velocities of their own.")] = 1,
    ensemble: Annotated[str, typer.Option(help="nvt (Langevin) or nve.")] = "nvt",
    timestep: Annotated[str, typer.Option(help="Time step.")] = "2 fs",
    frame_interval: Annotated[str, typer.Option(help="Time between stored frames.")] = "50 fs",
    friction_time: Annotated[str, typer.Option(help="Time constant of the thermostat.")] = "1 ps",
    seed: Annotated[int, typer.Option(min=0, help="Of velocities and noise.")] = 0,
    device: Annotated[str, typer.Option(help="cpu, cuda, or auto: the GPU where there is one.")] = "auto",
    precision: Annotated[str, typer.Option(help="float32 or float64.")] = "float32",
) -> None:
    """Molecular dynamics of many replicas in one batch (torch-sim); on a CPU, the replicas of `mpirun` are faster.

    Each replica gets a folder of its own (DIR/replica-000, …) with the trajectory; a killed run goes on.

    Example: multiscale replicas cell.cif --copies 32 --temperature "600 K" --length "10 ps" --out runs
    """
    values = {"--temperature": (temperature, "K"), "--length": (length, "s"), "--timestep": (timestep, "s")}
    values |= {"--frame-interval": (frame_interval, "s"), "--friction-time": (friction_time, "s")}
    si = {option: quantity_of(option, text, unit) for option, (text, unit) in values.items()}
    from atomistic import batched
    from atomistic.disagreement import read_frames
    from atomistic.dynamics import DynamicsSettings

    if ensemble not in ("nve", "nvt"):
        raise UserError(f"--ensemble {ensemble!r}; allowed: nvt, nve")
    step, frame = (round(si[option] * 1e15, 6) for option in ("--timestep", "--frame-interval"))
    settings = DynamicsSettings(
        si["--temperature"], si["--length"] * 1e12, "nve" if ensemble == "nve" else "nvt", timestep=step,
        friction_time=si["--friction-time"] * 1e15, frame_interval=frame, checkpoint_interval=10 * frame, seed=seed,
    )  # fmt: skip
    atoms = [frame.copy() for path in structures for frame in read_frames(path) for _ in range(copies)]
    folders = [out / f"replica-{number:03d}" for number in range(len(atoms))]
    narrator = Narrator(True, sys.stderr)
    with narrator.watch("replicas") as update:
        runs = batched.run(
            atoms, potential, settings, folders, device, precision, member, lambda share: update("molecular dynamics", share)
        )
    narrator.say("replicas", f"done in {duration(narrator.seconds())}")
    for folder, run in zip(folders, runs, strict=True):
        show(f"{folder}: {run.picoseconds:g} ps of {len(run.numbers)} atoms, mean temperature {run.temperatures.mean():.0f} K")

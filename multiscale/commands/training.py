"""`multiscale potential sample, train, test, card`: from a recipe to a committee that says what it is worth."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from coupling.atomic import write_text
from coupling.errors import UserError
from multiscale import parallel
from multiscale.console import JsonOption, show, show_json
from multiscale.progress import Narrator, duration

PotentialArgument = Annotated[str, typer.Argument(metavar="POTENTIAL", help="Shipped name, folder, or name of a foreign one.")]
SetArgument = Annotated[Path, typer.Argument(metavar="SET", help="Training set (.h5 or .extxyz).")]
HeldOutOption = Annotated[Path | None, typer.Option("--held-out", metavar="SET", help="Frames that no fit has seen.")]
TRAINING, HELD_OUT = "training.h5", "held_out.h5"


def _narrator() -> Narrator:
    """Progress goes to stderr, so that stdout holds the answer alone."""
    return Narrator(parallel.rank() == 0, sys.stderr)


def _say_here(narrator: Narrator, line: str) -> None:
    """One line from whichever rank has it."""
    Narrator(True, narrator.stream).say("training", line)


def sample(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE", help="Recipe (TOML): [[structure]] and [[task]].")],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder of the sets; the same folder continues.")],
    until: Annotated[int | None, typer.Option("--round", metavar="N", help="Last round to sample [default: all].")] = None,
    as_json: JsonOption = False,
) -> None:
    """Sample the frames of a recipe and label them (`labeller = "chgnet"` or "sevennet"): DIR/training.h5 and DIR/held_out.h5.

    Example: mpirun -n 2 multiscale potential sample recipe.toml --out lpscl-data
    """
    from atomistic import collecting, dataset, labelling
    from atomistic.recipe import read_recipe

    stated = read_recipe(recipe)
    if not stated.tasks:
        raise UserError(f"{recipe}: no [[task]] table, so there is nothing to sample")
    settings = labelling.labeller(stated.labeller).settings
    last = max(task.round for task in stated.tasks) if until is None else until
    comm, narrator = parallel.world(), _narrator()
    with narrator.watch("sampling") as update:
        files = collecting.collect(stated, last, out / "frames", comm, update)
    answer: dict[str, Any] = {"recipe": stated.name, "rounds": last, "sets": []}
    if comm.rank == 0:
        for frames, name in zip(collecting.gather(stated, files).values(), (TRAINING, HELD_OUT), strict=True):
            if frames:
                dataset.write(out / name, frames, settings)
                answer["sets"].append({"path": str(out / name), "frames": len(frames), "atoms": sum(map(len, frames))})
        if not answer["sets"]:
            raise UserError(f"{recipe}: not one frame of rounds 0 to {last} got a usable label; raise max_force or --round")
    comm.barrier()
    if as_json:
        show_json(answer)
    else:
        show("\n".join(f"{row['path']}: {row['frames']} frames, {row['atoms']} atoms" for row in answer["sets"]))


def train(
    source: Annotated[Path, typer.Argument(metavar="RECIPE|SET", help="Recipe (TOML) or a training set on its own.")],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder of the training; the same folder continues.")],
    training_sets: Annotated[
        list[Path] | None, typer.Option("--set", metavar="SET", help="Training set; may be repeated [default: DIR/training.h5].")
    ] = None,
    start: Annotated[str | None, typer.Option("--start", metavar="POTENTIAL", help="Start from the weights of this one.")] = None,
    held_out: HeldOutOption = None,
    device: Annotated[str, typer.Option(help="cpu, cuda, or auto: the GPU where there is one.")] = "auto",
    as_json: JsonOption = False,
) -> None:
    """Fit a committee to a training set, member by member over MPI ranks; it ends with DIR/NAME, ready for `potential = …`.

    A fit stops early where [fit] patience says so, and a killed command continues. A set on its own is fitted with three
    members of two shapes. With --held-out the errors go into the card at once; `multiscale potential card` measures the rest.
    `atomic_energies` of the recipe hold for weights that --start brings, too.

    Example: mpirun -n 2 multiscale potential train recipe.toml --out lpscl-data
    """
    from atomistic import card, dataset, training
    from atomistic.potential import folder_of
    from atomistic.recipe import as_toml, default_recipe, read_recipe

    narrator = _narrator()
    alone = source.suffix in dataset.SUFFIXES
    if alone and training_sets:
        raise UserError(f"{source}: is a training set already; give a recipe first and every set by --set")
    recipe = default_recipe(out.resolve().name) if alone else read_recipe(source)
    sets = [source] if alone else training_sets or [out / TRAINING]
    if not alone and not training_sets and not sets[0].exists():
        raise UserError(f"{sets[0]}: not there yet; `multiscale potential sample {source} --out {out}` makes it; or --set SET")
    frames = dataset.read(sets[0]) if len(sets) == 1 else dataset.merge(sets)[0]
    if held_out is not None:
        dataset.require_apart(held_out, sets, card.SEEN)
        dataset.read(held_out)
    begin = None if start is None else folder_of(start)
    if alone:
        narrator.say("training", "no recipe: three members of two shapes (24, 24 channels to 5 Å; 16 to 6 Å), early stop")
    comm = parallel.world()
    folder = training.train(recipe, frames, out, comm, None, begin, lambda line: _say_here(narrator, line), device)
    answer: dict[str, Any] = {"potential": str(folder), "members": len(recipe.members), "frames": len(frames)}
    if comm.rank == 0:
        write_text(folder / card.RECIPE, as_toml(recipe) if alone else source.read_text(encoding="utf-8"))
    comm.barrier()
    if held_out is not None:
        about = card.subject(str(folder), held_out, sets)
        with narrator.watch("card") as update:
            found = card.measure(about, out / f"{recipe.name}-card", comm, update, kinds=("errors",))
        answer["held_out"] = found["held_out"]
        if comm.rank == 0:
            card.write_card(about, found)
    if as_json:
        show_json(answer)
    else:
        show(f"{folder}: {len(recipe.members)} members fitted to {len(frames)} frames in {duration(narrator.seconds())}")


def assess(name: PotentialArgument, frames: SetArgument, as_json: JsonOption = False) -> None:
    """Errors of a potential on labelled frames by family: of the committee's mean, of each member, and how well its spread tells.

    Example: multiscale potential test lpscl held_out.h5
    """
    from atomistic import assessment, dataset
    from multiscale.tables import render

    labelled = dataset.read(frames)
    members = assessment.open_members(name)
    with _narrator().watch("testing") as update:
        answers = assessment.ask(labelled, members, lambda share: update(str(frames), share))
    found = assessment.report_of(answers)
    if as_json:
        show_json({"potential": name, "set": str(frames), **found})
        return
    parts = [_error_table("committee mean" if len(members) > 1 else name, found["mean"])]
    if len(members) > 1:
        parts += [_error_table(f"member {number}", table) for number, table in enumerate(found["members"])]
        parts += [_spread_table(found["spread"])]
    show(render(*parts))


def card(
    name: PotentialArgument,
    held_out: Annotated[Path, typer.Option("--held-out", metavar="SET", help="Frames that no fit has seen.")],
    training: Annotated[
        list[Path] | None, typer.Option("--training", metavar="SET", help="Frames of the fit, to count them; may be repeated.")
    ] = None,
    phases: Annotated[
        str, typer.Option("--phases", metavar="A,B", help="Crystals to measure [default: those of the recipe].")
    ] = "",
    work: Annotated[
        Path | None, typer.Option("--work", metavar="DIR", help="Measurements made [default: NAME-card beside the folder].")
    ] = None,
    frames: Annotated[int, typer.Option("--frames", metavar="N", help="Held-out crystal frames to copy beside the card.")] = 0,
    kinds: Annotated[
        str, typer.Option("--measure", metavar="A,B", help="errors, rest, hop, pairs, run, speed [default: all].")
    ] = "",
    as_json: JsonOption = False,
) -> None:
    """Measure what a potential is worth against its labels and its teacher, and write card.json and card.md into its folder.

    Errors, lattices, bulk moduli, reaction energies, vacancy hops, pair distributions, long runs, speed: hours in all. Each
    measurement is kept once it is made, and the same command goes on; --measure makes some of them now. Phases, reactions,
    hops, targets and what a person has to say come from [card] in the recipe.toml beside the potential.

    Example: mpirun -n 2 multiscale potential card lpscl --held-out held_out.h5 --training training.h5 --phases Li,Li2S
    """
    from atomistic import card as cards

    chosen = [phase.strip() for phase in phases.split(",") if phase.strip()]
    wanted = [kind.strip() for kind in kinds.split(",") if kind.strip()] or list(cards.COSTS)
    if unknown := sorted(set(wanted) - set(cards.COSTS)):
        raise UserError(f"--measure {', '.join(unknown)}: known are {', '.join(cards.COSTS)}")
    about = cards.subject(name, held_out, training or (), chosen)
    comm, narrator = parallel.world(), _narrator()
    with narrator.watch("card") as update:
        found = cards.measure(about, work or about.folder.parent / f"{about.name}-card", comm, update, wanted)
    if comm.rank == 0:
        cards.write_card(about, found)
        if frames:
            cards.ship_frames(about, frames)
    comm.barrier()
    if as_json:
        show_json(found)
        return
    met = sum(row["met"] for row in found["targets"])
    show(f"{about.folder / cards.TEXT}: {met} of {len(found['targets'])} targets met, {duration(narrator.seconds())}")


def _error_table(title: str, table: dict[str, dict[str, float]]) -> Any:
    """Errors by family."""
    from multiscale.tables import plain_table

    keys = ("frames", "energy_rmse_meV_per_atom", "force_rmse_meV_per_A", "force_rms_meV_per_A", "stress_rmse_GPa")
    columns = ("family", "frames", "meV/atom", "meV/Å", "size of forces", "GPa")
    return plain_table(title, columns, [(family, *(f"{row[key]:g}" for key in keys)) for family, row in table.items()])


def _spread_table(table: dict[str, dict[str, float]]) -> Any:
    """What the spread claims beside what was found."""
    from multiscale.tables import plain_table

    keys = ("atoms", "claimed_meV_per_A", "found_meV_per_A", "found_over_claimed", "rank_correlation")
    columns = ("family", "atoms", "claimed meV/Å", "found meV/Å", "found/claimed", "rank correlation")
    rows = [(family, *(f"{row[key]:g}" if key in row else "" for key in keys)) for family, row in table.items()]
    return plain_table("force error by atom: spread of the committee against the error of its mean", columns, rows)

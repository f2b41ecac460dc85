"""`multiscale analyze`: observables of any trajectory that ASE reads, each with its error."""

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from coupling.errors import UserError
from multiscale.console import JsonOption, frame_interval, quantity_of, show, show_json

analyze_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)

Trajectory = Annotated[Path, typer.Argument(metavar="TRAJECTORY", help="Any trajectory that ASE reads, or the folder of a run.")]
TimestepOption = Annotated[str, typer.Option(help='Time between two frames, with its unit: "2 fs".')]
WindowOption = Annotated[
    str | None, typer.Option(metavar='"A, B"', help='Lags of the fit: "2 ps, 20 ps" [default: 1 to 10 % of the run].')
]
PictureOption = Annotated[Path | None, typer.Option(metavar="FILE.png", help="Write a picture.")]
RecordOption = Annotated[Path | None, typer.Option("--record", metavar="FILE.json", help="Write the records to a file.")]
KEYS = ("value", "stderr", "bound", "unit", "conditions", "source")


@analyze_app.callback()
def _analyze() -> None:
    """Observables of any trajectory that ASE reads.

    Example: multiscale analyze diffusivity run.traj --species Li --timestep "10 fs"
    """


@analyze_app.command("diffusivity")
def diffusivity(
    trajectory: Trajectory,
    species: Annotated[str, typer.Option(help="Chemical symbol of the species.")],
    timestep: TimestepOption,
    temperature: Annotated[str | None, typer.Option(help='Temperature of the run, for the record: "600 K".')] = None,
    picture: PictureOption = None,
    record: RecordOption = None,
    as_json: JsonOption = False,
) -> None:
    """Self-diffusivity of a species, or an upper bound where nothing diffused.

    Example: multiscale analyze diffusivity run.traj --species Li --timestep "10 fs"
    """
    seconds = frame_interval(timestep)
    kelvin = None if temperature is None else quantity_of("--temperature", temperature, "K")
    _require_file(trajectory)
    from atomistic import diffusivity as diffusing

    if picture is not None:
        diffusing.picture(diffusing.of_file(trajectory, species, seconds * 1e15)[0], picture)
    _answer("diffusivity", [diffusing.from_file(trajectory, species, seconds * 1e15, kelvin)], as_json, record)


@analyze_app.command("conductivity")
def conductivity(
    trajectory: Trajectory,
    charges: Annotated[str, typer.Option(metavar="Li=1,…", help="Charges of the moving species; the others are the frame.")],
    timestep: TimestepOption,
    temperature: Annotated[str, typer.Option(help='Temperature of the run: "600 K".')],
    window: WindowOption = None,
    picture: PictureOption = None,
    record: RecordOption = None,
    as_json: JsonOption = False,
) -> None:
    """Ionic conductivity from the collective motion of charge, correlations between ions included, and the Haven ratio.

    Example: multiscale analyze conductivity run.traj --charges Li=1 --timestep "10 fs" --temperature "600 K"
    """
    seconds, kelvin = frame_interval(timestep), quantity_of("--temperature", temperature, "K")
    carried, fitted = _charges(charges), _window(window)
    _require_file(trajectory)
    from atomistic import collective
    from atomistic.frames import read_trajectory

    run = read_trajectory(trajectory)
    step = seconds * 1e15
    found = _told(
        trajectory,
        lambda: collective.charge_conductivity(run.positions, run.labels, run.masses, carried, step, kelvin, run.volume, fitted),
    )
    if picture is not None:
        collective.picture(found, picture)
    source = {"trajectory": str(trajectory), "frame_interval_fs": step, "charges": carried, "atoms": len(run.labels)}
    told = _told(trajectory, lambda: collective.record(found, run.formula, {"temperature_K": kelvin}, source))
    _answer("conductivity", [told], as_json, record)


@analyze_app.command("onsager")
def onsager_matrix(
    trajectory: Trajectory,
    timestep: TimestepOption,
    temperature: Annotated[str, typer.Option(help='Temperature of the run: "600 K".')],
    framework: Annotated[str, typer.Option(metavar="S,P,…", help="Species at rest [default: centre of mass].")] = "",
    method: Annotated[str, typer.Option(help="einstein (displacements) or green-kubo (velocities).")] = "einstein",
    window: WindowOption = None,
    cutoff: Annotated[str | None, typer.Option(help='green-kubo: end of the integral, flat from half of it on: "2 ps".')] = None,
    charges: Annotated[
        str | None, typer.Option(metavar="Li=1,…", help="Charges for transference numbers [default: formal ones, where known].")
    ] = None,
    picture: PictureOption = None,
    record: RecordOption = None,
    as_json: JsonOption = False,
) -> None:
    """Onsager coefficients of every pair of species, cross terms included, and transference numbers, in a stated frame.

    Example: multiscale analyze onsager run.traj --timestep "10 fs" --temperature "600 K" --framework S,P,Cl
    """
    seconds, kelvin = frame_interval(timestep), quantity_of("--temperature", temperature, "K")
    fitted, carried = _window(window), None if charges is None else _charges(charges)
    if method not in ("einstein", "green-kubo"):
        raise UserError(f"--method {method}: einstein or green-kubo")
    if method == "green-kubo" and (cutoff is None or window is not None):
        told = 'the end of the integral, flat from half of it on: --cutoff "2 ps"'
        raise UserError(f"--method green-kubo needs {told}; and no --window")
    if method == "einstein" and cutoff is not None:
        raise UserError("--cutoff belongs to --method green-kubo; the lags of einstein are --window")
    until = None if cutoff is None else quantity_of("--cutoff", cutoff, "s") * 1e15
    _require_file(trajectory)
    from atomistic import green_kubo, onsager
    from atomistic.frames import read_trajectory

    run, step = read_trajectory(trajectory), seconds * 1e15
    rest = tuple(name.strip() for name in framework.split(",") if name.strip())
    common = (run.labels, run.masses, step, kelvin, run.volume)

    def compute() -> Any:
        if until is None:
            return onsager.einstein(run.positions, *common, framework=rest, window=fitted)
        if run.velocities is None:
            raise UserError("the file holds no velocities; --method einstein needs none")
        return green_kubo.green_kubo(run.velocities, *common, cutoff=until, framework=rest)

    found = _told(trajectory, compute)
    source = {"trajectory": str(trajectory), "atoms": len(run.labels)}
    records = found.records(run.formula, {}, source)
    if all(found.frame in record.conditions["species"].split("-") for record in records):  # zeros by definition, or none at all
        raise UserError(f"{trajectory}: nothing can be told: {'; '.join(found.notes)}")
    if picture is not None:
        onsager.picture(found, picture)
    numbers, remarks = _transference(trajectory, run, step, rest, carried, fitted, until)
    if numbers is not None:
        charged = _unbalanced(numbers.charges, run.labels)
        own = {**source, **({"charges_note": charged} if charged else {})}
        records += numbers.records(run.formula, {"temperature_K": kelvin}, own)
        remarks += [charged] if charged else []
    _answer("onsager", records, as_json, record)
    if not as_json:
        for note in (*found.notes, *remarks):
            show(f"note: {note}")


def _transference(
    trajectory: Path, run: Any, step: float, framework: tuple[str, ...], charges: dict[str, float] | None,
    window: tuple[float, float] | None, cutoff: float | None,
) -> tuple[Any, list[str]]:  # fmt: skip
    """Transference numbers by the charges given, else by formal ones that add up to zero; None where neither; notes."""
    from atomistic import bulk_onsager, green_kubo, onsager
    from atomistic.frames import read_frames

    if charges is None:
        charges = bulk_onsager.species_charges(read_frames(trajectory)[0])
        if not any(charges.values()) or abs(sum(charges[label] for label in run.labels)) > 1e-6:
            return None, ["no transference numbers: the formal charges are not known, or do not add up to zero; --charges Li=1,…"]
    common, given = (run.labels, run.masses, charges, step), framework

    def compute() -> Any:
        if cutoff is not None:
            return green_kubo.transference(run.velocities, *common, cutoff=cutoff, framework=given)
        return onsager.transference(run.positions, *common, framework=given, window=window)

    found = _told(trajectory, compute)
    return found, [f"no transference numbers: {found.reason}"] if found.reason else []


def _unbalanced(charges: Mapping[str, float], labels: Sequence[str]) -> str:
    """What to say of charges (e) that do not add up to zero over the atoms; "" where they do."""
    total = sum(charges.get(label, 0.0) for label in labels)
    if abs(total) < 1e-6 * len(labels):
        return ""
    told, zero = f"the charges add up to {total:+g} e over the {len(labels)} atoms, not to zero", set(labels) - set(charges)
    return f"{told}; taken as 0: {', '.join(sorted(zero))}" if zero else told


@analyze_app.command("phases")
def phases(
    trajectory: Trajectory,
    potential: Annotated[str, typer.Option(help="Shipped potential or folder that describes the atoms.")],
    references: Annotated[str, typer.Option(metavar="Li,Li2S,…", help="Crystals that may be there.")],
    frames: Annotated[int, typer.Option(min=1, help="Frames to class, evenly spread, the last one included.")] = 1,
    axis: Annotated[str, typer.Option(help="Cell vector that depth runs along: a, b or c.")] = "c",
    picture: PictureOption = None,
    as_json: JsonOption = False,
) -> None:
    """Phases by unsupervised classes of local environments: share of the atoms in each, and thickness along an axis.

    Atoms named after a crystal with PS4 or P2S7 groups have "reduced" before its name where the nearest phosphorus, within 6 Å,
    lacks one of its four sulfur atoms. With Li among the references, lithium with many of its own kind and no other element
    around it is Li, whatever its class.

    Example: multiscale analyze phases run.traj --potential lpscl --references Li,Li2S,Li3P,LiCl,Li6PS5Cl
    """
    names = [name.strip() for name in references.split(",") if name.strip()]
    if axis not in ("a", "b", "c"):
        raise UserError(f"--axis {axis}: a, b or c")
    _require_file(trajectory)
    from atomistic import phases as classes
    from atomistic import reacted_layer, reaction_reading
    from atomistic.frames import read_frames

    read = read_frames(trajectory)
    if any(frame.cell.rank < 3 for frame in read):
        raise UserError(f"{trajectory}: no three-dimensional cell; depth runs along a vector of it")
    crystals, describe = classes.references(names), classes.mace_descriptors(potential)
    chosen = sorted({round(share * (len(read) - 1)) for share in [(n + 1) / frames for n in range(frames)]})
    found = classes.classify([read[number] for number in chosen], crystals, describe)
    grouped = {name for name, crystal in crystals.items() if reacted_layer.whole_groups(crystal).any()}
    told_by = reaction_reading.by_bonds if reacted_layer.METAL in names else reacted_layer.reduced
    rows = []
    for place, number in enumerate(chosen):
        of_atoms = told_by(read[number], found.phases(place), grouped)
        depths, shares = classes.profile(read[number], of_atoms, "abc".index(axis))
        for name, share in shares.items():
            thick = classes.thickness(depths, share)
            rows.append({"frame": number, "phase": name, "share": float((of_atoms == name).mean()), "thickness_A": thick})
    if picture is not None:
        from atomistic.observable_pictures import curves

        drawn = {name: (depths, share, None) for name, share in shares.items()}
        curves(picture, drawn, "depth (Å)", f"share of the atoms, frame {chosen[-1]}")
    if as_json:
        told = zip(found.elements, found.names, found.distances, strict=True)
        show_json({"phases": rows, "classes": [{"element": e, "phase": n, "distance": d} for e, n, d in told]})
        return
    from multiscale.tables import plain_table, render

    cells = [(str(r["frame"]), str(r["phase"]), f"{r['share']:.1%}", f"{r['thickness_A']:.1f}") for r in rows]
    show(render(plain_table("", ("frame", "phase", "share of atoms", "thickness (Å)"), cells)))


def _answer(kind: str, records: Sequence[Any], as_json: bool, kept: Path | None = None) -> None:
    """Print records, and keep them in a file; as JSON under the name of the kind, a list where there are several."""
    _keep(kept, records)
    if as_json:
        rows = [{key: record.to_dict()[key] for key in ("quantity", *KEYS)} for record in records]
        show_json({kind: rows[0] if len(rows) == 1 else rows})
        return
    from multiscale.tables import record_table

    show(record_table(records))


def _keep(file: Path | None, records: Sequence[Any]) -> None:
    """Write records to the file of --record, where one is given."""
    if file is not None:
        from coupling.store import write_records

        write_records(file, records)


def _told(path: Path | str, compute: Callable[[], Any]) -> Any:
    """What `compute` gives; its UserErrors name the file."""
    try:
        return compute()
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def _require_file(path: Path) -> None:
    if not path.is_file() and not (path / "run.json").is_file():
        raise UserError(f"{path}: no such file, nor the folder of a run (run.json)")


def _charges(text: str) -> dict[str, float]:
    """Charges from "Li=1, Cl=-1"."""
    found: dict[str, float] = {}
    for part in text.split(","):
        name, _, value = part.partition("=")
        try:
            found[name.strip()] = float(value)
            if not math.isfinite(found[name.strip()]):
                raise ValueError
        except ValueError:
            raise UserError(f'--charges: read "{part.strip()}"; write for example Li=1,Cl=-1') from None
    return found


def _window(text: str | None) -> tuple[float, float] | None:
    """First and last lag in fs from "2 ps, 20 ps"."""
    if text is None:
        return None
    parts = text.split(",")
    if len(parts) != 2:
        raise UserError(f'--window: read "{text}"; two times are needed, for example "2 ps, 20 ps"')
    first, last = (quantity_of("--window", part.strip(), "s") * 1e15 for part in parts)
    return first, last

"""`multiscale analyze interphase | onsager-profile`: growth of a reacting interface and transport against depth and time."""

from typing import Annotated, Any

import typer

from coupling.errors import UserError
from multiscale.commands.analyze import KEYS, RecordOption, TimestepOption, Trajectory, _keep, _require_file, _told
from multiscale.commands.structure import AxisOption, PictureOption, _spread
from multiscale.console import JsonOption, frame_interval, quantity_of, show, show_json


def register(app: typer.Typer) -> None:
    """Add the commands to `multiscale analyze`."""
    app.command("interphase")(interphase)
    app.command("onsager-profile")(onsager_profile)


def interphase(
    trajectory: Trajectory,
    potential: Annotated[str, typer.Option(help="Shipped potential or folder that describes the atoms.")],
    timestep: TimestepOption,
    metal: Annotated[str, typer.Option(help="Phase on one side.")] = "Li",
    electrolyte: Annotated[str, typer.Option(help="Phase on the other side, name of a structure.")] = "Li6PS5Cl",
    reaction: Annotated[str, typer.Option(help="Equation that the products are held against; empty: none.")] = (
        "Li6PS5Cl + 8 Li -> 5 Li2S + Li3P + LiCl"
    ),
    references: Annotated[str, typer.Option(metavar="A,B,…", help="Further crystals [default: those of the reaction].")] = "",
    frames: Annotated[int, typer.Option(min=1, help="Frames to class, evenly spread, first and last included.")] = 20,
    heat: Annotated[str, typer.Option(help='References in motion at this temperature: "400 K" [default: rattled].')] = "",
    interfaces: Annotated[int, typer.Option(min=1, help="Interfaces in the cell; a periodic one has two.")] = 2,
    axis: AxisOption = "c",
    picture: PictureOption = None,
    record: RecordOption = None,
    as_json: JsonOption = False,
) -> None:
    """Thickness, composition, growth law, end of growth and reaction balance of an interphase. The first frame is unreacted.

    With phosphorus in the electrolyte the thickness is by whole groups and metal, in up to 400 frames; the phases of --frames of
    them tell composition and products. Without it the thickness is by phases, too. Where electrolyte or metal is used up, growth
    is read off what lies before.

    Example: multiscale analyze interphase run.traj --potential lpscl --timestep "1 ps" --picture growth.png
    """
    seconds = frame_interval(timestep)
    if axis not in ("a", "b", "c"):
        raise UserError(f"--axis {axis}: a, b or c")
    _require_file(trajectory)
    import numpy as np

    from atomistic import exhaustion, growth, reacted_layer, structures
    from atomistic import interphase as layers
    from atomistic import reaction_reading as reading
    from atomistic.frames import read_frames

    equation = layers.Reaction.read(reaction) if reaction else None
    named, more = equation.numbers if equation else {}, [name.strip() for name in references.split(",") if name.strip()]
    metal, electrolyte, *more = (structures.synonym(name, named) for name in (metal, electrolyte, *more))
    known = list(dict.fromkeys([metal, electrolyte, *named, *more]))
    crystals = _references(known, heat, potential)
    read = read_frames(trajectory)
    if any(frame.cell.rank < 3 for frame in read):
        raise UserError(f"{trajectory}: no three-dimensional cell; depth runs along a vector of it")
    if len(read) < 2:
        raise UserError(f"{trajectory}: one frame; what a layer has become needs the unreacted start and at least one frame more")
    chosen = sorted({0, *_spread(len(read), max(frames - 1, 1))})
    picked = [read[number] for number in chosen]
    place = "abc".index(axis)
    sides = (metal, electrolyte)
    found, *others = _told(trajectory, lambda: _classed(picked, crystals, potential, sides, equation, place, interfaces))
    times, thickness, criterion, grain = np.array(chosen) * seconds, found.thickness, layers.CRITERION, 0.0
    amounts, halves, left = found.amounts, [other.amounts for other in others], found.left
    notes: list[str] = []
    if metal == reacted_layer.METAL and reacted_layer.has_groups(read[0], electrolyte):
        seen = sorted({0, *_spread(len(read), reading.SERIES)})
        series, few = (reacted_layer.counts(part, electrolyte, place) for part in ([read[number] for number in seen], picked))
        times, thickness, criterion = np.array(seen) * seconds, series.thickness(series, interfaces), reacted_layer.CRITERION
        left = {electrolyte: series.whole, metal: series.metal}
        counted = {electrolyte: few.units, metal: few.metal} if equation else {}
        amounts, halves = {**amounts, **counted}, [{**half, **counted} for half in halves]
        grain = reacted_layer.grain(read[0], electrolyte, place, interfaces)
        notes += [reading.cut_groups(series.intact[0], series.groups)] if series.intact[0] < 1 else []
    notes += [opened] if (opened := reading.first_gap(picked[1:], np.array(chosen)[1:] * seconds, place)) else []
    gone = exhaustion.used_up(times, left)
    kept, when = exhaustion.before(times, gone), "" if gone is None else gone.prefix
    kept[0] = False  # the unreacted frame is of no law
    notes += [] if gone is None else [gone.told]
    laws = reading.borne(lambda: growth.compare(times[kept], thickness[kept]), notes, when)
    if laws is not None:
        best = laws.fits[0]
        decided = "" if laws.decided else ": undecided, a fit, no more"
        notes.append(f"{when}growth by {best.law}, weight {best.weight:.2f}{decided}")
    end = reading.borne(lambda: exhaustion.late_rate(times[1:], thickness[1:], gone), notes, when)
    rows: list[layers.Balance] = []
    if equation is not None:
        reacted = equation
        rows = reading.borne(lambda: layers.balance(amounts, reacted, electrolyte, halves=halves), notes) or []
    notes += [row.beyond for row in rows if row.beyond]
    source = {"trajectory": str(trajectory), "potential": potential, "frames": len(chosen), "atoms": len(read[0])}
    source |= {} if gone is None else {"used_up": gone.told}
    records = layers.records(thickness, times, laws, end, f"{metal}|{electrolyte}", {}, source, criterion, grain)
    records = exhaustion.marked(records, gone, float(times[-1]))
    _keep(record, records)
    if picture is not None:
        fitted = {} if laws is None else {laws.fits[0].law: (times[kept] * 1e12, laws.fits[0].curve, None)}
        _draw_growth(picture, {"thickness": (times * 1e12, thickness, None), **fitted}, gone)
    budget = [{"phase": row.phase, "found": row.found, "stderr": row.stderr, "expected": row.expected,
               "deviation": row.deviation} for row in rows]  # fmt: skip
    if as_json:
        told = [{key: record.to_dict()[key] for key in ("quantity", *KEYS)} for record in records]
        fits = [] if laws is None else [{"law": fit.law, "weight": fit.weight, "bic": fit.bic} for fit in laws.fits]
        thick = {"time_s": times.tolist(), "thickness_m": (thickness * 1e-10).tolist(), "criterion": criterion}
        show_json({"interphase": {"records": told, "laws": fits, "balance": budget, "composition": found.composition,
                                  "series": thick, "notes": notes,
                                  "used_up": None if gone is None else {"phase": gone.phase, "time_s": gone.time}}})  # fmt: skip
        return
    from multiscale.tables import plain_table, record_table, render

    show(record_table(records))
    cells = [(row.phase, f"{row.expected:+g}", f"{row.found:+.2f}", "" if row.stderr is None else f"{row.stderr:.2f}",
              f"{row.deviation:+.0%}") for row in rows]  # fmt: skip
    if cells:
        show(render(plain_table("", ("phase", "equation", "found", "error", "deviation"), cells)))
    for note in notes:
        show(f"note: {note}")


def _draw_growth(picture: Any, drawn: dict[str, Any], gone: Any) -> None:
    """Thickness and the best law against time, and when a reactant was used up."""
    from atomistic.observable_pictures import curves

    upright = [] if gone is None else [(f"{gone.phase} used up", gone.time * 1e12)]
    curves(picture, drawn, "time (ps)", "thickness (Å)", points=("thickness",), upright=upright)


def _classed(
    frames: list[Any], crystals: Any, potential: str, sides: tuple[str, str], equation: Any, axis: int, interfaces: int
) -> list[Any]:
    """Layers by classes of all frames and of every other one."""
    from atomistic import interphase, phases, reacted_layer, reaction_reading

    look = phases.remembered(phases.mace_descriptors(potential))
    electrolytes = {sides[1]} if reacted_layer.has_groups(frames[0], sides[1]) else set()
    told = reaction_reading.by_bonds if sides[0] == reacted_layer.METAL else reacted_layer.reduced
    made = []
    for fitted in (None, *reaction_reading.halves(len(frames))):
        classes = phases.classify(frames, crystals, look, fitted=fitted)
        names = [told(frame, classes.phases(number), electrolytes) for number, frame in enumerate(frames)]
        made.append(interphase.layer(frames, names, *sides, equation, axis, interfaces))
    return made


def _references(names: list[str], heat: str, potential: str) -> Any:
    """Reference crystals by name, rattled or in motion at a temperature."""
    from atomistic import phases
    from atomistic import potential as potentials

    crystals = phases.references(names)
    if not heat:
        return crystals
    return phases.heated(crystals, potentials.load(potential, dtype="float32"), quantity_of("--heat", heat, "K"))


def onsager_profile(
    trajectory: Trajectory,
    timestep: TimestepOption,
    temperature: Annotated[str, typer.Option(help='Temperature of the run: "600 K".')],
    slabs: Annotated[int, typer.Option(min=1, help="Slabs along the axis.")] = 4,
    windows: Annotated[int, typer.Option(min=1, help="Windows of time.")] = 1,
    framework: Annotated[str, typer.Option(metavar="S,P,…", help="Species at rest [default: centre of mass of the slab].")] = "",
    axis: AxisOption = "c",
    picture: PictureOption = None,
    record: RecordOption = None,
    as_json: JsonOption = False,
) -> None:
    """Onsager coefficients of every pair of species against depth and time, each with its error.

    Example: multiscale analyze onsager-profile run.traj --timestep "50 fs" --temperature "600 K" --slabs 6 --windows 2
    """
    seconds, kelvin = frame_interval(timestep), quantity_of("--temperature", temperature, "K")
    if axis not in ("a", "b", "c"):
        raise UserError(f"--axis {axis}: a, b or c")
    _require_file(trajectory)
    from atomistic import onsager_profile
    from atomistic.frames import read_frames, read_trajectory

    read = read_trajectory(trajectory)
    cell = read_frames(trajectory)[0].cell.array
    rest = tuple(name.strip() for name in framework.split(",") if name.strip())
    if lacking := sorted(set(rest) - set(read.labels)):
        held = ", ".join(sorted(set(read.labels)))
        raise UserError(f"--framework: {', '.join(lacking)} not in the trajectory, which holds {held}")
    found = _told(
        trajectory,
        lambda: onsager_profile.profile(read.positions, read.labels, read.masses, cell, seconds * 1e15, kelvin, slabs, windows,
                                        "abc".index(axis), rest),
    )  # fmt: skip
    source, records = {"trajectory": str(trajectory), "atoms": len(read.labels)}, []
    for one in found:
        if one.matrix is not None:
            where = {"depths_m": [depth * 1e-10 for depth in one.depths], "times_s": [time * 1e-15 for time in one.times]}
            records += one.matrix.records(read.formula, where, source)
    notes = onsager_profile.notes(found)
    if not records and notes:
        raise UserError(f"{trajectory}: nothing can be told: {'; '.join(notes)}")
    if not records:
        told = f"no slab holds {onsager_profile.FEWEST} atoms of a species" + (" and of the framework" if rest else "")
        raise UserError(f"{trajectory}: {told}; take fewer slabs or a larger cell")
    _keep(record, records)
    if picture is not None:
        _draw_profile(picture, records)
    if as_json:
        show_json({"onsager-profile": [{key: record.to_dict()[key] for key in KEYS} for record in records]})
        return
    from multiscale.tables import plain_table, render

    cells = [
        (record.conditions["species"], "{:.2f} - {:.2f}".format(*(depth * 1e9 for depth in record.conditions["depths_m"])),
         "{:.1f} - {:.1f}".format(*(time * 1e12 for time in record.conditions["times_s"])),
         ("< " if record.bound else "") + f"{record.value:.3g}",
         "95 % bound" if record.bound else f"{record.stderr:.2g}")
        for record in records
    ]  # fmt: skip
    show(render(plain_table("", ("pair", "depth (nm)", "time (ps)", "L (1/(J m s))", "error"), cells)))
    for note in notes:
        show(f"note: {note}")


def _draw_profile(picture: Any, records: list[Any]) -> None:
    """L of every pair in the last window against depth."""
    import numpy as np

    from atomistic.observable_pictures import curves

    last = max((record.conditions["times_s"] for record in records), default=None)
    drawn: dict[str, Any] = {}
    late = [record for record in records if record.conditions["times_s"] == last]
    for pair, bound in dict.fromkeys((record.conditions["species"], record.bound) for record in late):
        own = [record for record in late if (record.conditions["species"], record.bound) == (pair, bound)]
        depth = np.array([float(np.mean(record.conditions["depths_m"])) for record in own]) * 1e9
        errors = None if bound else np.array([record.stderr for record in own])
        drawn[f"{pair}, upper bound" if bound else pair] = (depth, np.array([record.value for record in own]), errors)
    curves(picture, drawn, "depth (nm)", "L (1/(J m s))", points=tuple(drawn))

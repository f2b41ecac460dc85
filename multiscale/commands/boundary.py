"""`multiscale analyze grain-boundary | mobility`: diffusion in layers and along axes of any trajectory that ASE reads."""

from pathlib import Path
from typing import Annotated, Any

import typer

from coupling.errors import UserError
from multiscale.commands.analyze import RecordOption, TimestepOption, Trajectory, _keep, _require_file, _told
from multiscale.commands.structure import PictureOption
from multiscale.console import JsonOption, frame_interval, quantity_of, show, show_json

SpeciesOption = Annotated[str, typer.Option(help="Chemical symbol of the moving species.")]
WindowOption = Annotated[str, typer.Option(help='Time over which displacements are taken: "2 ps".')]
TemperatureOption = Annotated[str | None, typer.Option(help='Temperature of the run, for the record: "600 K".')]


def register(app: typer.Typer) -> None:
    """Add the commands to `multiscale analyze`."""
    app.command("grain-boundary")(grain_boundary)
    app.command("mobility")(mobility)


def grain_boundary(
    trajectory: Trajectory,
    species: SpeciesOption,
    timestep: TimestepOption,
    window: WindowOption,
    temperature: TemperatureOption = None,
    layers: Annotated[int, typer.Option(min=2, help="Layers between a boundary and the middle of a grain.")] = 8,
    planes: Annotated[str, typer.Option(metavar="F,F", help="Heights of the boundaries in fractions of the cell.")] = "0, 0.5",
    bulk: Annotated[
        Path | None, typer.Option(metavar="TRAJECTORY", help="Run of the crystal at the same temperature: excess energy.")
    ] = None,
    potential: Annotated[
        str | None, typer.Option(help="With --bulk: moduli along the normal of both last frames at 0 K; same orientation needed.")
    ] = None,
    sites: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The cell as built, same atoms, grains by tags: width by the framework.")
    ] = None,
    picture: PictureOption = None,
    record: RecordOption = None,
    as_json: JsonOption = False,
) -> None:
    """Diffusion along and across a grain boundary, its width, excess energy and softening; normal along the third cell vector.

    Example: multiscale analyze grain-boundary run.traj --species Li --timestep "50 fs" --window "2 ps" --bulk crystal.traj
    """
    step, span = frame_interval(timestep), quantity_of("--window", window, "s")
    conditions = {} if temperature is None else {"temperature_K": quantity_of("--temperature", temperature, "K")}
    try:
        heights = tuple(float(part) for part in planes.split(","))
    except ValueError:
        raise UserError(f'--planes: read "{planes}"; write fractions of the height, for example "0, 0.5"') from None
    if potential is not None and bulk is None:
        raise UserError("--potential belongs to --bulk: a softening is against the crystal")
    for path in (trajectory, *(each for each in (bulk, sites) if each)):
        _require_file(path)
    import numpy as np

    from atomistic import boundary_transport as boundary
    from atomistic.frames import read_frames, unwrap

    read = read_frames(trajectory)
    moving = np.flatnonzero(np.array(read[0].get_chemical_symbols()) == species)
    frames, cell = 2 * round(span / step / 2), read[0].cell.array
    found = _told(trajectory, lambda: boundary.layers(unwrap(read), moving, cell, step * 1e15, frames, layers, heights))
    source = {"trajectory": str(trajectory), "atoms": len(read[0])}
    material = read[0].get_chemical_formula(empirical=True)
    records = boundary.records(found, material, conditions, source, species)
    if sites is not None:
        wide, notes = _told(trajectory, lambda: _wide(sites, read, moving, material, conditions, source))
        records += [record.with_source(notes=notes) for record in wide]
        for note in [] if as_json else notes:
            show(f"note: {note}")
    if bulk is not None:
        other = read_frames(bulk)
        records += _against(boundary, read, other, len(heights), material, conditions, source | {"bulk": str(bulk)}, potential)
    if picture is not None:
        from atomistic.observable_pictures import curves

        drawn = {"along": (found.distance, found.along, found.along_stderr),
                 "across": (found.distance, found.across, found.across_stderr)}  # fmt: skip
        curves(picture, drawn, "distance from the boundary (Å)", "D (m²/s)", points=tuple(drawn))
    _tell("grain-boundary", records, ("direction",), as_json, record)


def _wide(
    sites: Path, read: list[Any], moving: Any, material: str, conditions: dict[str, Any], source: dict[str, Any]
) -> tuple[list[Any], list[str]]:
    """Width by the distances of all other atoms from the sites of a cell as built, and notes.

    Raises:
        UserError: sites of other atoms, in another order, or without grains; too few atoms.
    """
    import numpy as np

    from atomistic import boundary_width
    from atomistic.frames import read_frames, unwrap

    built, framework = read_frames(sites)[-1], np.setdiff1d(np.arange(len(read[0])), moving)
    if len(built) == len(read[0]) and (place := np.flatnonzero(built.numbers != read[0].numbers)).size:
        told = f"atom {place[0]} is {built.symbols[place[0]]} in {sites} and {read[0].symbols[place[0]]} in the run"
        raise UserError(f"{told}: the cell as built, with its atoms in the order of the run, is needed")
    found = boundary_width.disorder(unwrap(read), built, framework, read[0].cell.array)
    return boundary_width.records(found, material, conditions, {**source, "sites": str(sites)})


def _against(
    boundary: Any, read: list[Any], other: list[Any], count: int, material: str, conditions: dict[str, Any],
    source: dict[str, Any], potential: str | None,
) -> list[Any]:  # fmt: skip
    """Records of excess energy and, with a potential, of softening."""
    import numpy as np

    from coupling.record import Property

    try:
        own, bulk = (np.array([frame.get_potential_energy() for frame in frames]) for frames in (read, other))
    except Exception as error:  # ASE raises several where a file holds no energies
        both = f"{source['trajectory']}, {source['bulk']}"
        raise UserError(f"{both}: potential energies are needed in both files ({error})") from error
    value, spread = boundary.excess_energy(own, bulk, read[0], other[0], count)
    records = [Property(material, "boundary_energy", value, "J/m^2", stderr=spread, conditions=conditions, source=source)]
    if potential is not None:
        from atomistic.potential import load

        soft = boundary.softening(read[-1], other[-1], load(potential), count)
        told = {**source, "potential": potential}
        for name, (number, wide), unit in (("modulus_ratio_along_normal", soft.ratio, "1"),
                                             ("boundary_excess_compliance", soft.compliance, "m/Pa")):  # fmt: skip
            records.append(Property(material, name, number, unit, stderr=wide, conditions={"temperature_K": 0.0}, source=told))
    return records


def mobility(
    trajectory: Trajectory,
    species: SpeciesOption,
    timestep: TimestepOption,
    window: WindowOption,
    temperature: TemperatureOption = None,
    picture: PictureOption = None,
    record: RecordOption = None,
    as_json: JsonOption = False,
) -> None:
    """Diffusivity along x, y and z and the ratio of in-plane to normal mobility; z normal to the interface.

    Example: multiscale analyze mobility run.traj --species Li --timestep "50 fs" --window "2 ps"
    """
    step, span = frame_interval(timestep), quantity_of("--window", window, "s")
    conditions = {} if temperature is None else {"temperature_K": quantity_of("--temperature", temperature, "K")}
    _require_file(trajectory)
    import numpy as np

    from atomistic import creep
    from atomistic.frames import read_frames, unwrap

    read = read_frames(trajectory)
    moving = np.flatnonzero(np.array(read[0].get_chemical_symbols()) == species)
    if not len(moving):
        held = ", ".join(sorted(set(read[0].get_chemical_symbols())))
        raise UserError(f"--species {species}: no {species} in {trajectory}, which holds {held}")
    frames = 2 * round(span / step / 2)
    positions = _told(trajectory, lambda: unwrap(read))
    found = _told(trajectory, lambda: creep.mobility(positions, moving, step * 1e15, frames))
    if picture is not None:
        from atomistic.observable_pictures import curves

        drawn = creep.displacement_curves(positions, moving, step * 1e15, frames)
        curves(picture, drawn, "lag (ps)", f"squared displacement of {species} (Å²)")
    source = {"trajectory": str(trajectory), "atoms": len(read[0]), "window_s": frames * step,
              "method": "displacements over a window and half of it"}  # fmt: skip
    records = creep.mobility_records(found, species, read[0].get_chemical_formula(empirical=True), conditions, source)
    _tell("mobility", records, ("axis",), as_json, record)


def _tell(kind: str, records: list[Any], shown: tuple[str, ...], as_json: bool, kept: Path | None = None) -> None:
    """Records as JSON or as a table with the conditions that tell them apart; kept in a file as well."""
    _keep(kept, records)
    if as_json:
        from multiscale.commands.analyze import KEYS

        show_json({kind: [{key: record.to_dict()[key] for key in ("quantity", *KEYS)} for record in records]})
        return
    from multiscale.tables import number, plain_table, render, uncertainty

    cells = [
        (record.quantity, *(str(record.conditions.get(name, "")) for name in shown), number(record.value), uncertainty(record),
         record.unit)
        for record in records
    ]  # fmt: skip
    show(render(plain_table("", ("quantity", *shown, "value", "error", "unit"), cells)))

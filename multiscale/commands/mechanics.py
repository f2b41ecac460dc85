"""`multiscale analyze elasticity | flow | separation`: stiffness, flow and parting of any frames that ASE reads."""

from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from coupling.errors import UserError
from multiscale.commands.analyze import PictureOption, RecordOption, TimestepOption, Trajectory, _require_file, _told
from multiscale.commands.boundary import _tell
from multiscale.commands.structure import AxisOption
from multiscale.console import JsonOption, frame_interval, quantity_of, show


def register(app: typer.Typer) -> None:
    """Add the commands to `multiscale analyze`."""
    for name, command in (("elasticity", elasticity), ("flow", flow), ("separation", separation)):
        app.command(name)(command)


def elasticity(
    trajectory: Trajectory,
    temperature: Annotated[
        str | None, typer.Option(help='Temperature of the run: "300 K" [with --method stress default: structures at rest].')
    ] = None,
    method: Annotated[
        str, typer.Option(help="fluctuations (of the cell at constant pressure) or stress (regression on the strain).")
    ] = "fluctuations",
    symmetry: Annotated[
        str, typer.Option(help="triclinic, orthorhombic, tetragonal, trigonal, hexagonal (main axis z) or cubic (axes x, y, z).")
    ] = "triclinic",
    picture: PictureOption = None,
    record: RecordOption = None,
    as_json: JsonOption = False,
) -> None:
    """Elastic tensor and moduli from the strain of the cell of a run at constant pressure, or from stresses of strained frames.

    A cell whose edges and angles are not all free gives the bulk modulus alone, where it breathes or its three edges are free.

    Example: multiscale analyze elasticity npt.traj --temperature "300 K" --symmetry cubic
    """
    kelvin = None if temperature is None else quantity_of("--temperature", temperature, "K")
    if method not in ("fluctuations", "stress"):
        raise UserError(f"--method {method}: fluctuations or stress")
    if method == "fluctuations" and kelvin is None:
        raise UserError('--method fluctuations needs the temperature of the run: --temperature "300 K"')
    _require_file(trajectory)
    from atomistic import strain_fluctuations as fluctuations
    from atomistic.frames import read_frames

    fluctuations.rotations(symmetry)  # a wrong name is told before the frames are read
    read = read_frames(trajectory, run=kelvin is not None)
    source = {"trajectory": str(trajectory), "frames": len(read), "atoms": len(read[0]), "symmetry": symmetry}
    material = read[0].get_chemical_formula(empirical=True)
    records, note = _told(trajectory, lambda: _stiffness(read, kelvin, method, symmetry, material, source))
    if picture is not None:
        from atomistic.observable_pictures import bars

        drawn = {r.quantity.removeprefix("elastic_").replace("_modulus", ""): (r.value / 1e9, (r.stderr or 0.0) / 1e9, False)
                 for r in records if r.unit == "Pa"}  # fmt: skip
        bars(picture, drawn, "GPa")
    _tell("elasticity", records, (), as_json, record)
    if note and not as_json:
        show(f"note: {note}")


def _stiffness(
    read: list[Any], kelvin: float | None, method: str, symmetry: str, material: str, source: dict[str, Any]
) -> tuple[list[Any], str]:
    """Records of tensor and moduli, or of the bulk modulus alone with the reason."""
    from atomistic import elasticity as elastic
    from atomistic import strain_fluctuations as fluctuations
    from coupling.record import Property

    known, conditions = fluctuations.strains(read), {"temperature_K": kelvin or 0.0}
    if method == "stress":
        tensor = fluctuations.from_stresses(known, fluctuations.stresses(read, kelvin), symmetry)
        return elastic.properties(tensor, material, conditions, source, "regression of stress on strain"), ""
    assert kelvin is not None
    free = fluctuations.free_strains(known)
    if free == 6:
        tensor = fluctuations.from_fluctuations(known, kelvin, symmetry)
        return elastic.properties(tensor, material, conditions, source, "fluctuations of the strain at constant pressure"), ""
    value, error = fluctuations.bulk_modulus(known, kelvin)
    told = {**source, "method": "fluctuations of the volume at constant pressure", "free_strains": free}
    note = f"the cell is free in {free} of six strains: the bulk modulus alone, of a cell that strains so"
    return [Property(material, "bulk_modulus", value, "Pa", stderr=error, conditions=conditions, source=told)], note


def flow(
    trajectory: Trajectory,
    timestep: TimestepOption,
    axis: AxisOption = "c",
    skip: Annotated[float | None, typer.Option(help="True strain before steady flow [default: half of the whole].")] = None,
    temperature: Annotated[str | None, typer.Option(help='Of the run: "300 K" [default: that of the velocities].')] = None,
    picture: PictureOption = None,
    record: RecordOption = None,
    as_json: JsonOption = False,
) -> None:
    """Stress of plastic flow of a cell driven at one rate, from its cells and stresses, or an upper bound; refused if none flows.

    Example: multiscale analyze flow driven.traj --timestep "100 fs" --axis c --skip 0.2 --picture flow.png
    """
    step = frame_interval(timestep)
    kelvin = None if temperature is None else quantity_of("--temperature", temperature, "K")
    if axis not in ("a", "b", "c"):
        raise UserError(f"--axis {axis}: a, b or c")
    _require_file(trajectory)
    from atomistic import creep, flow_reading
    from atomistic.frames import read_frames

    read = read_frames(trajectory)
    found = _told(trajectory, lambda: flow_reading.flow(read, step, "abc".index(axis), skip, kelvin))
    if picture is not None:
        from atomistic.observable_pictures import curves

        curves(picture, {"deviator": (found.strains, found.stresses / 1e9, None)}, "strain", "uniaxial deviator (GPa)")
    swelling = max(frame.get_volume() for frame in read) / min(frame.get_volume() for frame in read) - 1
    source = {"trajectory": str(trajectory), "frames": len(read), "atoms": len(read[0]), "change_of_volume": swelling,
              "skip": abs(float(found.strains[-1])) / 2 if skip is None else skip}  # fmt: skip
    material = read[0].get_chemical_formula(empirical=True)
    made = _told(trajectory, lambda: creep.flow_record(found, material, {"axis": axis}, source))
    _tell("flow", [made], ("strain_rate_per_s",), as_json, record)


def separation(
    structures: Annotated[
        list[Path], typer.Argument(metavar="JOINED APART [APART]", help="Structures with energies, the last frame of each.")
    ],
    surface: Annotated[
        bool, typer.Option("--surface", help="JOINED is the crystal, APART a slab of it: its surface energy.")
    ] = False,
    picture: PictureOption = None,
    record: RecordOption = None,
    as_json: JsonOption = False,
) -> None:
    """Work of separation, of adhesion (two parts) or surface energy of relaxed structures; the fracture energy it bounds.

    Area: of the first two cell vectors; cuts: layers of vacuum along the third. One file may hold both: joined first, apart last.

    Example: multiscale analyze separation joined.traj lithium.traj slab.traj
    """
    if len(structures) > 3:
        raise UserError(f"{len(structures)} structures; one joined and one or two apart are needed")
    for path in structures:
        _require_file(path)
    from atomistic import parting

    joined, *apart = _with_energies(structures)
    source = {"structures": [str(path) for path in structures]}
    records, notes = _told(structures[0], lambda: parting.records(joined, apart, surface, source))
    if picture is not None:
        from atomistic.observable_pictures import bars

        bars(picture, {r.quantity.replace("_", " "): (r.value, 0.0, False) for r in records}, "J/m²")
    _tell("separation", records, (), as_json, record)
    for note in notes if not as_json else []:
        show(f"note: {note}")


def _with_energies(paths: list[Path]) -> list[Any]:
    """Structures joined and apart: last frames, or the first and the last of one file. Raises UserError: one without energy."""
    from atomistic.frames import read_frames
    from atomistic.parting import energy_of

    read = [read_frames(path, run=False) for path in paths]
    ends = [(path, len(frames) - 1, frames[-1]) for path, frames in zip(paths, read, strict=True)]
    chosen = [(paths[0], 0, read[0][0]), *ends] if len(paths) == 1 else ends
    for path, number, frame in chosen:
        _told(f"{path}: frame {number}", partial(energy_of, frame))
    return [frame for _, _, frame in chosen]

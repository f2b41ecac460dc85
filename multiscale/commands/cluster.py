"""`multiscale analyze cluster`: size of the largest cluster of an element, lithium metal say, in any trajectory."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from coupling.errors import UserError
from multiscale.commands.analyze import RecordOption, Trajectory, _answer, _require_file, _told
from multiscale.commands.boundary import _tell
from multiscale.commands.structure import AxisOption, PictureOption, _no_error
from multiscale.console import JsonOption, frame_interval, quantity_of, show


def register(app: typer.Typer) -> None:
    """Add the command to `multiscale analyze`."""
    app.command("cluster")(cluster)


def cluster(
    trajectory: Trajectory,
    element: Annotated[str, typer.Option(help="Element of the cluster.")] = "Li",
    foreign: Annotated[str, typer.Option(metavar="S,P,…", help="Elements that metal has no contact with.")] = "",
    softness: Annotated[float, typer.Option(help="How gradually an atom becomes metal, in neighbours.")] = 0.5,
    low: Annotated[str | None, typer.Option(help='With --high: metal counts between these depths alone: "10 angstrom".')] = None,
    high: Annotated[str | None, typer.Option(help="See --low.")] = None,
    axis: AxisOption = "c",
    timestep: Annotated[str | None, typer.Option(help='Time between two frames: "50 fs" [attachment rate].')] = None,
    temperature: Annotated[str | None, typer.Option(help='Temperature of the run: "600 K" [free energy of the size].')] = None,
    picture: PictureOption = None,
    record: RecordOption = None,
    as_json: JsonOption = False,
) -> None:
    """Size of the largest metal cluster, counted smoothly (as nucleation studies do); its error holds the frames' correlation.

    With --temperature the free energy F(n) of the size (of a run without bias) and, with --timestep, its barrier; with --timestep
    the rate at which atoms join, or an upper bound of it.

    Example: multiscale analyze cluster run.traj --foreign S,P,Cl --softness 1 --low "2 nm" --high "3 nm" --timestep "50 fs"
    --temperature "600 K" --picture cluster.png
    """
    step = None if timestep is None else frame_interval(timestep)
    kelvin = None if temperature is None else quantity_of("--temperature", temperature, "K")
    if axis not in ("a", "b", "c"):
        raise UserError(f"--axis {axis}: a, b or c")
    depths = tuple(None if text is None else _depth(name, text) for name, text in (("--low", low), ("--high", high)))
    strange = tuple(name.strip() for name in foreign.split(",") if name.strip())
    _require_file(trajectory)
    from atomistic import clusters
    from atomistic.correlated import mean_error
    from atomistic.frames import read_frames, require_packed
    from coupling.record import Property

    settings = clusters.ClusterSettings(element=element, foreign=strange, softness=softness, low=depths[0], high=depths[1],
                                        axis="abc".index(axis))  # fmt: skip
    read = read_frames(trajectory)
    if any(frame.cell.rank < 3 and frame.pbc.any() for frame in read):
        raise UserError(f"{trajectory}: a periodic frame has no three-dimensional cell")
    _told(trajectory, lambda: require_packed(read))
    sizes = _told(trajectory, lambda: clusters.sizes(read, settings))
    error = mean_error(sizes) if len(sizes) >= 10 else None
    source = {"trajectory": str(trajectory), "frames": len(read), "atoms": len(read[0]), "largest": float(sizes.max()),
              "softness": softness, "method": "coordination-filtered smooth count of the largest cluster"}  # fmt: skip
    conditions: dict[str, Any] = {"element": element, "foreign": list(strange)}
    if depths[0] is not None and depths[1] is not None:
        conditions |= {"depths_m": [depths[0] * 1e-10, depths[1] * 1e-10], "axis": axis}
    material, few = read[0].get_chemical_formula(empirical=True), _no_error(error, len(read))
    records = [Property(material, "largest_cluster_size", float(sizes.mean()), "1", error, conditions=conditions,
                        source=source | few)]  # fmt: skip
    more, notes, free = _more(sizes, step, kelvin, material, conditions, source)
    if picture is not None:
        _draw(picture, sizes, step, free, element)
    if more:
        _tell("cluster", records + more, ("size",), as_json, record)
    else:
        _answer("cluster", records, as_json, record)
    for note in [*few.values(), *notes] if not as_json else []:
        show(f"note: {note}")


def _depth(name: str, text: str) -> float:
    """A depth in Å, which may be 0."""
    from multiscale.commands.quantities import quantity

    return 1e10 * quantity(name, text, "m")


def _more(
    sizes: Any, step: float | None, kelvin: float | None, material: str, conditions: Mapping[str, Any], source: Mapping[str, Any]
) -> tuple[list[Any], list[str], Any]:
    """Records of attachment rate, barrier and F(n) as far as time and temperature are known; what could not be told; F(n)."""
    from atomistic import cluster_reading as reading

    records: list[Any] = []
    notes: list[str] = []
    where = dict(conditions) | ({} if kelvin is None else {"temperature_K": kelvin})

    def borne(compute: Callable[[], Any]) -> Any:
        try:
            return compute()
        except UserError as error:
            notes.append(str(error))
            return None

    free = None if kelvin is None else borne(lambda: reading.unbiased(sizes, kelvin))
    if step is not None:
        rate = borne(lambda: reading.attachment_record(sizes, step, material, where, source))
        records += [rate] if rate else []
    if step is not None and kelvin is not None and free is not None:
        found = borne(lambda: reading.barrier(free, sizes, step, kelvin, material, source))
        records += [replace(found, conditions={**found.conditions, **conditions})] if found else []
    curve = borne(lambda: reading.free_energy_records(free, material, where, source)) if free else None
    return records + (curve or []), list(dict.fromkeys(notes)), free if curve else None


def _draw(picture: Path, sizes: Any, step: float | None, free: Any, element: str) -> None:
    """Picture of the size in time and, where there is one, of F(n) in k_B T."""
    import numpy as np

    from atomistic.observable_pictures import Panel, panels

    times = np.arange(len(sizes)) * (1.0 if step is None else step * 1e12)
    name = f"largest {element} cluster (atoms)"
    drawn = [Panel("size", {"": (times, sizes, None)}, "frame" if step is None else "time (ps)", name)]
    if free is not None:
        seen = np.isfinite(free.values) & np.isfinite(free.stderr)
        curve = (free.grid[seen], free.values[seen] / free.thermal, free.stderr[seen] / free.thermal)
        drawn.append(Panel("free energy", {"": curve}, name, "F (k$_B$T)"))
    panels(picture, [drawn])

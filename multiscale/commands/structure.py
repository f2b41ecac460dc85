"""`multiscale analyze crystallinity | rdf | diffraction`: structure of frames and slices of any trajectory that ASE reads."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from coupling.errors import UserError
from multiscale.commands.analyze import KEYS, RecordOption, Trajectory, _answer, _keep, _require_file, _told
from multiscale.commands.analyze import PictureOption as PictureOption
from multiscale.console import JsonOption, frame_interval, quantity_of, show, show_json

FramesOption = Annotated[int, typer.Option(min=1, help="Frames looked at, evenly spread, the last one included.")]
SliceOption = Annotated[
    str | None, typer.Option("--slice", metavar='"A, B"', help='Depths: "10 angstrom, 2 nm" [default: the whole cell].')
]
AxisOption = Annotated[str, typer.Option(help="Cell vector that depth runs along: a, b or c.")]


def register(app: typer.Typer) -> None:
    """Add the commands to `multiscale analyze`."""
    for name, command in (("crystallinity", crystallinity), ("rdf", rdf), ("diffraction", diffraction)):
        app.command(name)(command)


def crystallinity(
    trajectory: Trajectory,
    element: Annotated[str, typer.Option(help="Element whose crystal is looked for, among its own kind.")] = "Li",
    frames: FramesOption = 5,
    average: Annotated[
        int | None, typer.Option(min=1, help="Successive frames averaged, against noise [default: 3 of a hot run, else 1].")
    ] = None,
    among: Annotated[str, typer.Option(help="element: shares of all its atoms; metal: of those that are metal.")] = "element",
    timestep: Annotated[str | None, typer.Option(help='Time between two frames, for the picture: "50 fs".')] = None,
    picture: PictureOption = None,
    record: RecordOption = None,
    as_json: JsonOption = False,
) -> None:
    """Share of the atoms in bcc, fcc, hcp and disordered surroundings, by polyhedral template matching, and in time.

    Example: multiscale analyze crystallinity run.traj --element Li --among metal --frames 30 --picture bcc.png
    """
    step = None if timestep is None else frame_interval(timestep)
    if among not in ("element", "metal"):
        raise UserError(f"--among {among}: element or metal")
    _require_file(trajectory)
    import numpy as np

    from atomistic import crystallinity as crystals
    from atomistic.frames import read_frames

    read = read_frames(trajectory)
    times = np.arange(len(read)) * (1.0 if step is None else step)
    found = _told(trajectory, lambda: crystals.series(read, element, times, among, average, frames))
    source = {"trajectory": str(trajectory), "element": element, "among": among, "mean_over_frames": found.window}
    records = crystals.records(found.whole, read[0].get_chemical_formula(empirical=True), {}, source)
    _keep(record, records)
    if picture is not None:
        from atomistic.observable_pictures import curves

        at = found.times * (1.0 if step is None else 1e12)
        drawn = {name: (at, found.shares[:, place], found.stderr[:, place]) for place, name in enumerate(crystals.NAMES)}
        label = f"share of the {element} {'atoms' if among == 'element' else 'metal'}"
        curves(picture, drawn, "frame" if step is None else "time (ps)", label)
    if as_json:
        rows = [{key: record.to_dict()[key] for key in KEYS} for record in records]
        show_json({"crystallinity": rows, "series": _series(found, crystals.NAMES, "frame" if step is None else "time_s")})
        return
    from multiscale.tables import plain_table, render

    of_all = [(str(record.conditions["structure"]), f"{record.value:.4g}", f"± {record.stderr:.2g}" if record.stderr else "")
              for record in records]  # fmt: skip
    show(render(plain_table("", ("structure", f"share of {found.whole.counts.mean():.0f} atoms", "error"), of_all)))
    in_time = [(f"{time:.4g}" if step is None else f"{time * 1e12:.4g}",
                *(f"{share:.3f} ± {error:.3f}" for share, error in zip(*one, strict=True)))
               for time, *one in zip(found.times, found.shares, found.stderr, strict=True)]  # fmt: skip
    show(render(plain_table("", ("frame" if step is None else "time (ps)", *crystals.NAMES), in_time)))
    show(f"note: mean positions of {found.window} successive frames" if found.window > 1 else "note: single frames")


def _series(found: Any, names: Sequence[str], of_time: str) -> dict[str, Any]:
    """Shares in time for JSON, null where there is no metal."""
    import numpy as np

    def plain(values: np.ndarray) -> list[float | None]:
        return [float(value) if np.isfinite(value) else None for value in values]

    shares = {name: {"share": plain(found.shares[:, place]), "stderr": plain(found.stderr[:, place])}
              for place, name in enumerate(names)}  # fmt: skip
    return {of_time: found.times.tolist(), "atoms": found.counts.tolist(), **shares}


def rdf(
    trajectory: Trajectory,
    pair: Annotated[str, typer.Option(metavar="A-B", help="Two species: Li-S.")],
    frames: FramesOption = 20,
    r_max: Annotated[str, typer.Option(help="Largest distance.")] = "8 angstrom",
    slice_: SliceOption = None,
    axis: AxisOption = "c",
    picture: PictureOption = None,
    as_json: JsonOption = False,
) -> None:
    """Radial distribution g(r) of two species in a cell or a slice of it, with its error, and the mean number of neighbours.

    Example: multiscale analyze rdf run.traj --pair Li-S --slice "0 nm, 1 nm" --picture rdf.png
    """
    first, _, second = pair.partition("-")
    if not (first and second):
        raise UserError(f'--pair {pair}: two species with a hyphen between them, for example "Li-S"')
    part, radius = _slice(slice_, axis), quantity_of("--r-max", r_max, "m") * 1e10
    read = _frames(trajectory, frames, part)
    from atomistic import diffraction as patterns

    found = _told(trajectory, lambda: patterns.radial(read, first, second, part, radius))
    errors = None if found.stderr is None else found.stderr.tolist()
    if picture is not None:
        from atomistic.observable_pictures import curves

        curves(picture, {pair: (found.r, found.g, found.stderr)}, "distance (Å)", f"g(r) of {pair}")
    rows = {"r": (found.r * 1e-10).tolist(), "r_unit": "m", "g": found.g.tolist(), "stderr": errors,
            "neighbours": found.coordination.tolist(), "bound": None, "unit": "1",
            "conditions": {"pair": pair, "slice_m": _depths(part), "axis": axis},
            "source": {"trajectory": str(trajectory), "frames": len(read), **_no_error(errors, len(read))}}  # fmt: skip
    if as_json:
        show_json({"rdf": rows})
        return
    from multiscale.tables import plain_table, render

    cells = [(f"{r:.3f}", f"{g:.3f}", "" if errors is None else f"{errors[n]:.3f}", f"{found.coordination[n]:.2f}")
             for n, (r, g) in enumerate(zip(found.r, found.g, strict=True)) if n % 2 == 0]  # fmt: skip
    show(render(plain_table("", ("r (Å)", f"g {pair}", "error", "neighbours within r"), cells)))
    _note(_no_error(errors, len(read)))


def diffraction(
    trajectory: Trajectory,
    frames: FramesOption = 5,
    wavelength: Annotated[str, typer.Option(help="Of the X-rays [Cu Kα].")] = "1.54184 angstrom",
    angles: Annotated[str, typer.Option(metavar='"A, B"', help="First and last 2θ in degrees.")] = "10, 80",
    r_max: Annotated[str, typer.Option(help="Largest distance in the Debye sum; peaks are the sharper, the longer.")] = "2.5 nm",
    slice_: SliceOption = None,
    axis: AxisOption = "c",
    picture: PictureOption = None,
    record: RecordOption = None,
    as_json: JsonOption = False,
) -> None:
    """X-ray powder pattern of a cell or a slice of it, by the Debye sum, and the angles of its peaks.

    Example: multiscale analyze diffraction run.traj --slice "2 nm, 4 nm" --picture xrd.png
    """
    try:
        low, high = (float(part) for part in angles.split(","))
    except ValueError:
        raise UserError(f'--angles: read "{angles}"; two angles in degrees are needed, for example "10, 80"') from None
    part, radius = _slice(slice_, axis), quantity_of("--r-max", r_max, "m") * 1e10
    length = quantity_of("--wavelength", wavelength, "m") * 1e10
    read = _frames(trajectory, frames, part)
    from atomistic import diffraction as patterns

    found = _told(trajectory, lambda: patterns.powder(read, part, length, (low, high), radius))
    if picture is not None:
        from atomistic.observable_pictures import curves

        curves(picture, {"pattern": (found.angles, found.intensity, found.stderr)}, "2θ (degrees)", "intensity per atom")
    conditions = {"slice_m": _depths(part), "axis": axis}
    source = {"trajectory": str(trajectory), "frames": len(read), **_no_error(found.stderr, len(read))}
    records = patterns.peak_records(found, read[0].get_chemical_formula(empirical=True), conditions, source)
    _keep(record, records)
    if as_json:
        peaks = [{key: record.to_dict()[key] for key in KEYS} for record in records]
        errors = None if found.stderr is None else found.stderr.tolist()
        show_json({"diffraction": {"two_theta_degrees": found.angles.tolist(), "intensity": found.intensity.tolist(),
                                   "stderr": errors, "peaks": peaks}})  # fmt: skip
        return
    _answer("diffraction", records, False)
    _note(_no_error(found.stderr, len(read)))


def _no_error(error: Any, frames: int) -> dict[str, str]:
    """What a source says where a mean over frames has no error."""
    return {} if error is not None else {"error": f"no error of the mean from {frames} frame{'s' * (frames > 1)}: too few"}


def _note(told: Mapping[str, str]) -> None:
    """Print what `_no_error` says."""
    for text in told.values():
        show(f"note: {text}")


def _spread(count: int, wanted: int) -> list[int]:
    """Numbers of `wanted` of `count` frames, evenly spread, the last one included."""
    return sorted({round(share * (count - 1)) for share in [(n + 1) / wanted for n in range(wanted)]})


def _frames(trajectory: Path, wanted: int, part: Any) -> list[Any]:
    """Frames of a file, evenly spread; what is not in the slice may be vacuum."""
    _require_file(trajectory)
    from atomistic.frames import read_frames, require_condensed, require_filled

    read = read_frames(trajectory)
    axes = [axis for axis in range(3) if part.low is None or axis != part.axis]
    solid = all(frame.cell.rank == 3 for frame in read)  # else it is told where the volume is needed
    _told(trajectory, lambda: require_condensed(read))
    if solid:
        _told(trajectory, lambda: require_filled(read, axes, vacuum=False))
    return [read[number] for number in _spread(len(read), wanted)]


def _slice(text: str | None, axis: str) -> Any:
    """Slice in Å from "A, B" with units."""
    if axis not in ("a", "b", "c"):
        raise UserError(f"--axis {axis}: a, b or c")
    from atomistic.diffraction import Slice

    if text is None:
        return Slice("abc".index(axis))
    parts = text.split(",")
    if len(parts) != 2:
        raise UserError(f'--slice: read "{text}"; two depths are needed, for example "1 nm, 2 nm"')
    from coupling.units import UnitError, to_si

    try:
        low, high = (to_si(part.strip(), "m") * 1e10 for part in parts)
    except UnitError as error:
        raise UserError(f"--slice: {error}") from None
    return Slice("abc".index(axis), low, high)


def _depths(part: Any) -> list[float] | None:
    """Depths in m for a record."""
    return None if part.low is None else [part.low * 1e-10, part.high * 1e-10]

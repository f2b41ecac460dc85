"""`multiscale analyze arrhenius`: activation energy and volume of a transport coefficient from several runs or record files."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from coupling.errors import UserError
from multiscale.commands.analyze import PictureOption, RecordOption, _require_file
from multiscale.commands.boundary import _tell
from multiscale.console import JsonOption, frame_interval, quantity_of, show

QUANTITIES = {"self_diffusivity": "m²/s", "ionic_conductivity": "S K/m, σ T"}
"""Coefficients and what stands at the axis of their picture."""


def register(app: typer.Typer) -> None:
    """Add the command to `multiscale analyze`."""
    app.command("arrhenius")(arrhenius)


def arrhenius(
    files: Annotated[
        list[str],
        typer.Argument(metavar="[CONDITIONS=]FILE…", help='Trajectories or record files: "600 K=a.traj", "600 K, 1 GPa=b.traj".'),
    ],
    quantity: Annotated[str, typer.Option(help="self_diffusivity, or of record files ionic_conductivity.")] = "self_diffusivity",
    species: Annotated[str, typer.Option(help="Of the coefficient.")] = "Li",
    material: Annotated[str | None, typer.Option(help="Of record files that hold several; names trajectories too.")] = None,
    where: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help='Condition of the records: "disorder=0.5"; repeatable.')
    ] = None,
    timestep: Annotated[str | None, typer.Option(help='Time between two frames of the trajectories: "10 fs".')] = None,
    to: Annotated[str | None, typer.Option(help='Temperature that the coefficient is carried to as well: "25 degC".')] = None,
    picture: PictureOption = None,
    record: RecordOption = None,
    as_json: JsonOption = False,
) -> None:
    """Activation energy (two temperatures or more) and activation volume (three pressures) of a coefficient, with errors.

    The temperature of a trajectory is the one given before its name, else that of its velocities; temperatures within 2.5 % are
    one, and an energy needs 5 % between the lowest and the highest. Records bear theirs, and what was carried to a temperature
    at which nothing was run is left out. Upper bounds count as such.

    Example: multiscale analyze arrhenius "600 K=a.traj" "700 K=b.traj" "850 K=c.traj" --timestep "10 fs" --picture arrhenius.png
    """
    if quantity not in QUANTITIES:
        raise UserError(f"--quantity {quantity}: {' or '.join(QUANTITIES)}")
    step = None if timestep is None else frame_interval(timestep)
    kelvin = None if to is None else quantity_of("--to", to, "K")
    wanted = dict(_pair(text) for text in where or ())
    given = [_split(text) for text in files]
    _require_once([path for _, path in given])
    from atomistic import activation

    measured: list[Any] = []
    kinds: dict[tuple[str, str], str] = {}
    for conditions, path in given:
        if _holds_records(path):
            if conditions:
                raise UserError(f"{path}: records bear their own conditions; leave out what stands before its name")
            chosen = _chosen(path, quantity, species, material, wanted)
            measured += activation.of_records(chosen, str(path))
        else:
            found, kind = _of_run(path, conditions, quantity, species, step)
            measured.append(found)
            chosen = [kind if material is None else replace(kind, material=material)]
        kinds |= {_kind(one): str(path) for one in chosen}
    name, common = _one_kind(kinds)
    known = activation.points(measured, quantity == "ionic_conductivity")
    source = {"files": [str(path) for _, path in given], "quantity": quantity, "runs": len(measured)}
    unit = "m^2/s" if quantity == "self_diffusivity" else "S/m"
    made = activation.records(known, quantity, unit, name, {**common, "species": species}, source, kelvin)
    records = activation.doubted(made, measured)
    if picture is not None:
        activation.picture(known, f"{quantity.replace('_', ' ')} ({QUANTITIES[quantity]})", picture)
    _tell("arrhenius", records, ("temperature_K", "pressure_Pa"), as_json, record)
    for text in dict.fromkeys(one.source["low_confidence"] for one in records if "low_confidence" in one.source):
        if not as_json:
            show(f"note: low confidence: {text}")


def _split(text: str) -> tuple[str, Path]:
    """Conditions (or "") and path of CONDITIONS=FILE; a file of that whole name goes first."""
    before, sign, after = text.partition("=")
    path = Path(text) if not sign or Path(text).exists() else Path(after)
    _require_file(path)
    return (before if path == Path(after) and sign else ""), path


def _require_once(paths: list[Path]) -> None:
    """Refuse a file given twice, which would count as two runs. Raises UserError naming it."""
    seen = [path.resolve() for path in paths]
    if twice := [str(path) for path, own in zip(paths, seen, strict=True) if seen.count(own) > 1]:
        raise UserError(f"{twice[0]}: given twice; a run counts once")


def _pair(text: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not sign:
        raise UserError(f'--where {text}: write NAME=VALUE, for example "disorder=0.5"')
    return name.strip(), value.strip()


def _holds_records(path: Path) -> bool:
    """Whether a file is one of records (JSON), not a trajectory."""
    if path.suffix != ".json":
        return False
    try:
        return "records" in json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, TypeError):
        return False


def _chosen(path: Path, quantity: str, species: str, material: str | None, wanted: dict[str, str]) -> list[Any]:
    """Records of a file that are as wanted. Raises UserError with what there is where none is."""
    from atomistic.activation import carried
    from coupling.store import read_records

    held = [record for record in read_records(path) if record.quantity == quantity and not carried(record)]
    fit = [record for record in held if material in (None, record.material) and _species(record) in (None, species)
           and all(_same(_where(record).get(key), value) for key, value in wanted.items())]  # fmt: skip
    if not fit:
        told = ", ".join(sorted({_described(one) for one in held})) or "none"
        raise UserError(f"{path}: no {quantity} of {species} is as asked for; it holds those of: {told}")
    return fit


def _same(held: Any, wanted: str) -> bool:
    """Whether a condition is the one wanted, as a number where both are."""
    try:
        return math.isclose(float(held), float(wanted), rel_tol=1e-9)
    except (TypeError, ValueError):
        return str(held) == wanted


def _described(record: Any) -> str:
    """Material, species and conditions of a record, but for those of single points: "Li6PS5Cl (Li; disorder=0.25)"."""
    name, own = _kind(record)
    return f"{name} ({'; '.join([_species(record) or 'no species', *(f'{k}={v}' for k, v in json.loads(own).items())])})"


def _species(record: Any) -> str | None:
    """Species of a record's coefficient, None where it does not tell."""
    told = record.conditions.get("species", record.source.get("species"))
    return None if told is None else str(told)


def _of_run(path: Path, conditions: str, quantity: str, species: str, step: float | None) -> tuple[Any, Any]:
    """Point and record of the diffusivity of one trajectory."""
    if quantity != "self_diffusivity":
        raise UserError(f"{path}: a trajectory gives a self_diffusivity here; of {quantity} give records (--record of its kind)")
    if step is None:
        raise UserError(f'{path}: the time between two frames is needed: --timestep "10 fs"')
    from atomistic import diffusivity
    from atomistic.activation import Measured, doubt_of, what_bounds

    kelvin, pressure = _conditions(conditions)
    if kelvin is None:
        kelvin = _temperature(path)
    found = diffusivity.from_file(path, species, 1e15 * step, kelvin)
    doubt = doubt_of(found, str(path))
    return Measured(kelvin, kelvin, pressure or 0.0, found.value, found.stderr, found.bound, str(path), doubt,
                    **what_bounds(found)), found  # fmt: skip


def _conditions(text: str) -> tuple[float | None, float | None]:
    """Temperature (K) and pressure (Pa) of "600 K, 1 GPa", either or none of them. Raises UserError: two of one."""
    from coupling.units import UnitError, to_si

    found: dict[str, float] = {}
    for part in filter(None, (one.strip() for one in text.split(","))):
        try:
            kind, value = "pressure", to_si(part, "Pa")
        except UnitError:
            kind, value = "temperature", quantity_of(f"{text}=FILE", part, "K")
        if kind in found:
            raise UserError(f"{text}=FILE: a second {kind}, {part}; one temperature and one pressure stand before a file")
        found[kind] = value
    return found.get("temperature"), found.get("pressure")


def _temperature(path: Path) -> float:
    """Mean kinetic temperature of a trajectory, K. Raises UserError where it holds no velocities."""
    from atomistic.frames import read_frames

    read = read_frames(path)
    found = [float(frame.get_temperature()) for frame in read if "momenta" in frame.arrays]
    if len(found) < len(read) or not sum(found) > 0:
        raise UserError(f'{path}: no velocities to read a temperature from; write it before the name: "600 K={path}"')
    return sum(found) / len(found)


def _kind(record: Any) -> tuple[str, str]:
    """Material of a record and its conditions, as JSON, but for those of single points."""
    from atomistic.activation import OF_A_POINT

    own = {name: value for name, value in _where(record).items() if name not in (*OF_A_POINT, "species")}
    return record.material, json.dumps(own, sort_keys=True)


def _without_cell(own: str) -> str:
    """Conditions, as JSON, less the cell."""
    return json.dumps({name: value for name, value in json.loads(own).items() if name != "cell"}, sort_keys=True)


def _where(record: Any) -> dict[str, Any]:
    """Conditions of a record, and in what cell it was run where it tells (one line through two cells is one of two crystals)."""
    return {**record.conditions, **({"cell": record.source["cell"]} if "cell" in record.source else {})}


def _one_kind(kinds: dict[tuple[str, str], str]) -> tuple[str, dict[str, Any]]:
    """The material and the conditions that all points share; one that tells no cell fits any. Raises UserError: they differ."""
    open_to_any = {(name, _without_cell(own)) for name, own in kinds if _without_cell(own) != own}
    kinds = {kind: path for kind, path in kinds.items() if kind not in open_to_any}
    if len(kinds) > 1:
        listed = "".join(f"\n  {name} {'' if own == '{}' else own} ({path})" for (name, own), path in kinds.items())
        raise UserError(f"the files hold several materials or conditions; choose by --material and --where:{listed}")
    ((name, own),) = kinds
    return name, json.loads(own)

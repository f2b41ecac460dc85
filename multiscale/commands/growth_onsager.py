"""`multiscale growth onsager`: the growth law of an interphase from Onsager coefficients of it."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from coupling.constants import AVOGADRO
from coupling.errors import UserError
from multiscale.commands.quantities import quantity
from multiscale.console import JsonOption, show, show_json

OHM_CM2 = 1e4
"""One ohm m² in ohm cm²."""


def onsager(
    record: Annotated[
        list[Path],
        typer.Option(help="JSON of `analyze onsager … --json`, or a record file (FILE#7: row 7); of layers: THICKNESS=FILE."),
    ],
    species: Annotated[str, typer.Option(help='Pair of the coefficient: "Li-Li".')],
    affinity: Annotated[str, typer.Option(help='Difference of chemical potential over the layer: "30 kJ/mol".')],
    molar_volume: Annotated[str, typer.Option(help='Of the product, per formula: "20 cm^3/mol".')],
    time: Annotated[list[str], typer.Option(help='A time, as often as wanted: "30 d".')],
    atoms: Annotated[float, typer.Option(help="Atoms of what passes per formula of product.")] = 1.0,
    start: Annotated[str, typer.Option(help="First thickness.")] = "0 nm",
    material: Annotated[str | None, typer.Option(help="Of the row, where a file holds several.")] = None,
    frame: Annotated[str | None, typer.Option(help='Of the row: "barycentric", "P+S".')] = None,
    temperature: Annotated[str | None, typer.Option(help='Of the row: "600 K".')] = None,
    method: Annotated[str | None, typer.Option(help="Of the row: einstein or green-kubo.")] = None,
    conductivity: Annotated[str | None, typer.Option(help="Ionic, of the layer: adds its resistance over time.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Growth of a layer by what passes through it: parabolic from one Onsager coefficient, passivating from several layers'.

    One record: k = V L dmu/nu (parabolic law), with the error of the coefficient. Several, each of a layer of another thickness:
    the rates V L dmu/(nu thickness) are fitted by v exp(-thickness/lambda) (passivating law).

    Example: multiscale growth onsager --record onsager.json --species Li-Li --affinity "30 kJ/mol" --molar-volume "20 cm^3/mol"
    --time "30 d"
    """
    Δμ, V = quantity("--affinity", affinity, "J/mol", 0.0), quantity("--molar-volume", molar_volume, "m^3/mol", 0.0)
    first = quantity("--start", start, "m")
    κ = None if conductivity is None else quantity("--conductivity", conductivity, "S/m", 0.0)
    if not atoms > 0:
        raise UserError(f"--atoms {atoms:g}: it must be above 0")
    times = [quantity("--time", text, "s", 0.0) for text in time]
    kelvin = None if temperature is None else quantity("--temperature", temperature, "K", 0.0)
    wanted = {"material": material, "frame": frame, "temperature": kelvin, "method": method}
    found = [_read(str(text), species, len(record) == 1, wanted) for text in record]
    law, told = _law(found, Δμ, V, atoms, first)
    from multiscale.transport.growth import area_specific_resistance

    rows = [{"time_s": t, "thickness_m": float(law.thickness(t))} for t in times]
    if κ is not None:
        for row in rows:
            row["asr_ohm_cm2"] = OHM_CM2 * float(area_specific_resistance(law, κ, row["time_s"]))
    if as_json:
        show_json(told | {"rows": rows})
        return
    numbers = ", ".join(f"{name} {value:.4g}" for name, value in told.items() if isinstance(value, float))
    show("\n".join([f"{told['law']}: {numbers}", *(_line(row) for row in rows)]))


def _law(found: Sequence[tuple[float | None, float, float]], affinity: float, volume: float, atoms: float, start: float) -> Any:
    """The law and what to tell of it."""
    from multiscale.transport import growth

    if len(found) == 1:
        k, error = growth.parabolic_from_onsager(*found[0][1:], affinity, volume, atoms)
        return growth.Parabolic(k, start), {"law": "parabolic", "constant_m2_per_s": k, "constant_stderr_m2_per_s": error}
    points = [(float(thickness or 0.0), coefficient, error) for thickness, coefficient, error in found]
    law, misfit = growth.passivating_from_onsager(points, affinity, volume, atoms, start)
    told = {"rate_at_start_m_per_s": law.rate_at_start, "decay_length_m": law.decay_length, "misfit_1": misfit}
    return law, {"law": "passivating", **told}


def _read(text: str, species: str, alone: bool, wanted: Mapping[str, Any]) -> tuple[float | None, float, float]:
    """Thickness (m), coefficient and its standard error (mol²/(J m s)) of one --record. Raises UserError."""
    before, sign, after = text.partition("=")
    if not alone and not sign:
        raise UserError(f'--record {text}: of several records each needs its layer\'s thickness: "5 nm={text}"')
    thickness = quantity("--record", before, "m", 0.0) if sign else None
    name, _, number = (after if sign else text).partition("#")
    path = Path(name)
    row = _chosen(path, number, species, wanted)
    value, error = float(row["value"]), float(row.get("stderr") or 0.0)
    if row.get("bound"):
        raise UserError(f"{path}: the coefficient of {species} is a bound, not a value; a longer run is needed")
    if not value > 0:
        raise UserError(f"{path}: the coefficient of {species} is {value:g}; nothing grows by it")
    return thickness, value / AVOGADRO**2, error / AVOGADRO**2


def _chosen(path: Path, number: str, species: str, wanted: Mapping[str, Any]) -> Mapping[str, Any]:
    """The one row of a file that is of the pair and as wanted; `number` in the file, from 1, or "".

    Raises:
        UserError: none is, with what there is; or several are, which are listed.
    """
    rows, pair = _rows(path), {species, "-".join(reversed(species.split("-")))}
    of_pair = {n: row for n, row in enumerate(rows, 1) if _is_coefficient(row) and _conditions(row).get("species") in pair}
    if not of_pair:
        known = sorted({str(_conditions(row).get("species")) for row in rows if _is_coefficient(row)} - {"None"})
        raise UserError(f"--species {species}: {path} holds no such coefficient; it has: {', '.join(known) or 'none'}")
    fit = {n: row for n, row in of_pair.items() if number in ("", str(n)) and _fits(row, wanted)}
    if len(fit) == 1:
        return next(iter(fit.values()))
    listed = "".join(f"\n  {path}#{n}: {_described(row)}" for n, row in (fit or of_pair).items())
    if not fit:
        raise UserError(f"{path}: no coefficient of {species} is as asked for; it has:{listed}")
    mend = "choose by --material, --frame, --temperature and --method, or by FILE#NUMBER as below"
    raise UserError(f"{path}: {len(fit)} coefficients of {species}; {mend}:{listed}")


def _is_coefficient(row: Mapping[str, Any]) -> bool:
    return bool(row.get("quantity", "onsager_coefficient") == "onsager_coefficient")


def _conditions(row: Mapping[str, Any]) -> Mapping[str, Any]:
    return row.get("conditions") or {}


def _method(row: Mapping[str, Any]) -> str:
    """Einstein or green-kubo, in small letters; "" where the row does not tell."""
    return str(_conditions(row).get("method") or (row.get("source") or {}).get("method", "")).partition(":")[0]


def _fits(row: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether a row has what is wanted of material, frame, temperature (K, to half a kelvin) and method; None: anything."""
    where = _conditions(row)
    own = {"material": row.get("material"), "frame": where.get("frame"), "method": _method(row)}
    kelvin = wanted.get("temperature")
    warm = kelvin is None or abs(where.get("temperature_K", math.inf) - kelvin) <= 0.5
    return warm and all(wanted.get(key) in (None, value) for key, value in own.items())


def _described(row: Mapping[str, Any]) -> str:
    """What tells a row from others, and its value."""
    where, told = _conditions(row), [str(row.get("material", ""))]
    told += [f"frame {where['frame']}"] if "frame" in where else []
    told += [f"{where['temperature_K']:.4g} K"] if "temperature_K" in where else []
    told.append(_method(row))
    for key, unit, scale in (("depths_m", "nm deep", 1e9), ("times_s", "ps", 1e12)):
        told += ["{:.3g} … {:.3g} ".format(*(scale * end for end in where[key])) + unit] if key in where else []
    error = "a bound" if row.get("bound") else f"± {row.get('stderr') or 0.0:.2g}"
    return ", ".join([*filter(None, told), f"{row['value']:.4g} {error}"])


def _rows(path: Path) -> list[Mapping[str, Any]]:
    if not path.is_file():
        raise UserError(f"{path}: no such file; `multiscale analyze onsager RUN --json > {path}` makes it")
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        rows = data["records"] if "records" in data else data["onsager"]
    except (ValueError, KeyError, TypeError):
        raise UserError(f"{path}: not the JSON of `analyze onsager --json` nor a record file") from None
    return list(rows) if isinstance(rows, list) else [rows]


def _line(row: Mapping[str, Any]) -> str:
    resistance = f", {row['asr_ohm_cm2']:.4g} ohm cm2" if "asr_ohm_cm2" in row else ""
    return f"{row['time_s']:g} s: {1e9 * row['thickness_m']:.5g} nm{resistance}"

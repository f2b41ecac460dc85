"""`multiscale impedance` and `multiscale growth`. Heavy imports happen inside, after the input has been checked."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from coupling.errors import UserError
from coupling.units import UnitError, to_si
from multiscale import parallel
from multiscale.console import JsonOption, show, show_json

OHM_CM2 = 1e4
"""One ohm m² in ohm cm²."""
MOST_FREQUENCIES = 400
"""Frequencies of one spectrum at most."""


def register(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    app.command()(impedance)


def _quantity(option: str, text: str, unit: str, least: float | None = None) -> float:
    """Value of an option in an SI unit. Raises UserError that names the option."""
    try:
        value = to_si(text, unit)
    except UnitError as error:
        raise UserError(f"{option}: {error}") from None
    if least is not None and not value > least:
        raise UserError(f'{option}: read "{text}"; it must be above {least:g}{"" if unit == "1" else " " + unit}')
    return value


def _named(option: str, texts: Sequence[str] | None, unit: str) -> dict[str, float]:
    """Values of repeated NAME=VALUE options, all positive. Raises UserError."""
    found: dict[str, float] = {}
    for text in texts or ():
        name, sign, value = text.partition("=")
        if not sign or not name.strip():
            raise UserError(f'{option}: read "{text}"; write NAME=VALUE')
        if name.strip() in found:
            raise UserError(f"{option}: {name.strip()} is given twice")
        found[name.strip()] = _quantity(f"{option} {name.strip()}", value.strip(), unit, 0.0)
    return found


def impedance(
    case: Annotated[Path, typer.Argument(metavar="CASE", help="Case folder: it holds case.toml.")],
    capacitance: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help='Double layer of a face: "lithium=0.1 F/m^2".')
    ] = None,
    permittivity: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help='Relative permittivity of a layer: "grain=15".')
    ] = None,
    lowest: Annotated[str, typer.Option("--from", help="Lowest frequency.")] = "0.01 Hz",
    highest: Annotated[str, typer.Option("--to", help="Highest frequency.")] = "10 MHz",
    per_decade: Annotated[int, typer.Option(min=1, max=50, help="Frequencies a decade.")] = 5,
    bias: Annotated[str, typer.Option(help="Current density it is linearised about (critical-current cases).")] = "0 mA/cm^2",
    fine: Annotated[bool, typer.Option("--fine", help="On the fine mesh (critical-current cases).")] = False,
    no_md: Annotated[bool, typer.Option("--no-md", help="Use the material files alone, without stored MD records.")] = False,
    out: Annotated[Path | None, typer.Option("--out", metavar="DIR", help="Results folder [default: CASE/results].")] = None,
    as_json: JsonOption = False,
) -> None:
    """Impedance of a case's cell from its linearised equations: spectrum, split by layer and cause, and the arcs read out.

    Capacitances and permittivities are not among a case's numbers; those you state here are used, and nothing else is.
    Writes impedance.json and impedance.png (Nyquist and Bode).

    Example: multiscale impedance cases/li-lpscl --capacitance "lithium=0.1 F/m^2" --permittivity "boundary=20"
    """
    frequencies = _frequencies(lowest, highest, per_decade)
    stored = _named("--capacitance", capacitance, "F/m^2"), _named("--permittivity", permittivity, "1")
    current = _quantity("--bias", bias, "A/m^2")
    from multiscale.transport_case import is_transport_case

    transport = is_transport_case(case)
    if transport and (current or fine or no_md):
        raise UserError("--bias, --fine and --no-md are for critical-current cases; a transport case is linearised at rest")
    from multiscale.impedance_case import Charging

    system, working, parameters = (
        _resting(case, Charging(*stored)) if transport else _flat(case, Charging(*stored), current, fine, no_md, out)
    )
    answer = _spectrum(case, system, working, frequencies, current) | {"parameters": parameters}
    answer |= {"stated": {"capacitance_F_per_m2": stored[0], "relative_permittivity": stored[1]}}
    _write(answer, out if out is not None else case / "results")
    if as_json:
        show_json(answer)
    else:
        show(_told(answer))


def _frequencies(lowest: str, highest: str, per_decade: int) -> np.ndarray:
    low, high = _quantity("--from", lowest, "Hz", 0.0), _quantity("--to", highest, "Hz", 0.0)
    if not high > low:
        raise UserError(f"--to {highest}: it must lie above --from {lowest}")
    count = round(per_decade * math.log10(high / low)) + 1
    if count > MOST_FREQUENCIES:
        raise UserError(f"{count} frequencies asked for; at most {MOST_FREQUENCIES}: narrow the range or lower --per-decade")
    return np.geomspace(high, low, max(count, 2))


def _flat(case: Path, charging: Any, bias: float, fine: bool, no_md: bool, out: Path | None) -> tuple[Any, str, Any]:
    from multiscale.case import load_case
    from multiscale.parameters import resolve
    from multiscale.tables import parameter_rows

    loaded = load_case(case)
    from multiscale.impedance_case import flat_cell
    from multiscale.pipeline import stored_records, validate_all

    validate_all(loaded, with_md=not no_md)
    records = [] if no_md else stored_records(loaded, out if out is not None else case / "results")[0]
    parameters = resolve(loaded, records)
    system = flat_cell(loaded, parameters, charging, bias, parallel.world(), fine)
    return system, "lithium", parameter_rows(parameters)


def _resting(case: Path, charging: Any) -> tuple[Any, str, Any]:
    from multiscale.transport_case import load_transport_case

    loaded = load_transport_case(case)
    from multiscale.impedance_case import resting_cell
    from multiscale.tables import parameter_rows
    from multiscale.transport_geometry import WORKING

    system, inputs = resting_cell(loaded, charging, parallel.world())
    return system, WORKING, parameter_rows(inputs.parameters)


def _spectrum(case: Path, system: Any, working: str, frequencies: np.ndarray, bias: float) -> dict[str, Any]:
    from multiscale.equivalent_circuit import fit_circuit
    from multiscale.impedance import LinearResponse

    response = LinearResponse(system, working)
    spectrum = response.spectrum(frequencies)
    circuit = fit_circuit(spectrum) if len(frequencies) >= 8 else None
    return {
        "case": case.resolve().name, "working_electrode": working, "bias_A_per_m2": bias, "unit": "ohm cm^2",
        "frequencies_Hz": frequencies.tolist(), **_complex(spectrum.impedance),
        "parts": [{"place": p.place, "cause": p.cause, **_complex(p.impedance)} for p in spectrum.parts],
        "circuit": None if circuit is None else _circuit(circuit),
    }  # fmt: skip


def _complex(values: np.ndarray) -> dict[str, list[float]]:
    return {"real": (OHM_CM2 * values.real).tolist(), "imaginary": (OHM_CM2 * values.imag).tolist()}


def _circuit(circuit: Any) -> dict[str, Any]:
    arcs = [
        {
            "kind": arc.kind, "resistance": OHM_CM2 * arc.resistance, "resistance_stderr": OHM_CM2 * arc.resistance_error,
            "time_constant_s": arc.time_constant, "time_constant_stderr_s": arc.time_constant_error,
            "exponent": arc.exponent, "exponent_stderr": arc.exponent_error, "peak_frequency_Hz": arc.peak_frequency,
            "capacitance_F_per_m2": arc.capacitance,
            "origin": [{"place": place, "cause": cause, "share": share} for place, cause, share in arc.origin],
        }
        for arc in circuit.arcs
    ]  # fmt: skip
    return {
        "series_resistance": OHM_CM2 * circuit.series_resistance, "misfit": circuit.misfit,
        "series_resistance_stderr": OHM_CM2 * circuit.series_resistance_error, "arcs": arcs,
    }  # fmt: skip


def _write(answer: dict[str, Any], folder: Path) -> None:
    """impedance.json and impedance.png, by rank 0."""
    if parallel.rank() != 0:
        return
    from coupling.atomic import write_json
    from multiscale.figures import write_figure
    from multiscale.impedance_figures import nyquist_and_bode

    write_json(folder / "impedance.json", answer)
    write_figure(nyquist_and_bode(answer), folder / "impedance.png")


def _told(answer: Mapping[str, Any]) -> str:
    """What a person reads: resistance, shares at the lowest frequency, arcs."""
    low = int(np.argmin(answer["frequencies_Hz"]))
    lines = [
        f"{answer['case']}: impedance from {answer['frequencies_Hz'][low]:g} Hz to {max(answer['frequencies_Hz']):g} Hz",
        f"  at the lowest frequency {_ohms(answer, low)}, of which",
    ]
    lines += [f"    {part['place']}, {part['cause']:16s} {_ohms(part, low)}" for part in answer["parts"]]
    circuit = answer["circuit"]
    if circuit and circuit["arcs"]:
        series = f"{circuit['series_resistance']:.4g} ohm cm2 in series, and"
        lines.append(f"  read out (misfit {100 * circuit['misfit']:.2g} %): {series}")
        for arc in circuit["arcs"]:
            origin = ", ".join(f"{o['place']} {o['cause']} {100 * o['share']:.0f} %" for o in arc["origin"])
            error = f"{arc['resistance']:.4g} +/- {arc['resistance_stderr']:.1g} ohm cm2"
            lines.append(f"    {arc['kind']:9s} {error} at {arc['peak_frequency_Hz']:.3g} Hz: {origin}")
    elif circuit:
        lines.append("  a resistance at every frequency: nothing stores charge; state --capacitance or --permittivity")
    return "\n".join(lines)


def _ohms(values: Mapping[str, Any], k: int) -> str:
    return f"{values['real'][k]:.5g} {values['imaginary'][k]:+.3g} j ohm cm2"

"""`multiscale impedance` and `multiscale leakage`. Heavy imports happen inside, after the input has been checked."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from coupling.errors import UserError
from multiscale import parallel
from multiscale.commands.quantities import named, quantity
from multiscale.console import JsonOption, show, show_json

OHM_CM2 = 1e4
"""One ohm m² in ohm cm²."""
MOST_FREQUENCIES = 400
"""Frequencies of one spectrum at most."""


def register(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    app.command()(impedance)
    app.command()(leakage)


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

    Capacitances and permittivities of a transport case stand in its case.toml (double_layer, film, relative_permittivity); a
    critical-current case has none. Those stated here come on top, or in place of the case's.

    Writes impedance.json and impedance.png (Nyquist and Bode).

    Example: multiscale impedance cases/li-lpscl --capacitance "lithium=0.1 F/m^2" --permittivity "boundary=20"
    """
    frequencies = _frequencies(lowest, highest, per_decade)
    stored = named("--capacitance", capacitance, "F/m^2"), named("--permittivity", permittivity, "1")
    current = quantity("--bias", bias, "A/m^2")
    from multiscale.transport_cases.case import is_transport_case

    transport = is_transport_case(case)
    if transport and (current or fine or no_md):
        raise UserError("--bias, --fine and --no-md are for critical-current cases; a transport case is linearised at rest")
    from multiscale.transport_cases.impedance import Charging

    cell, parameters = (
        _resting(case, Charging(*stored)) if transport else _flat(case, Charging(*stored), current, fine, no_md, out)
    )
    answer = _spectrum(case, cell, frequencies, current) | {"parameters": parameters}
    answer |= {"stated": {"capacitance_F_per_m2": stored[0], "relative_permittivity": stored[1]}}
    _write(answer, out if out is not None else case / "results")
    if as_json:
        show_json(answer)
    else:
        show(_told(answer))


@dataclass(frozen=True)
class Linearised:
    """A cell at its steady state.

    Attributes:
        system: its equations.
        working: name of the electrode whose current varies.
        share: of the cell's cross-section over the electrode's area; resistances count on the cross-section.
        labels: what media, boundaries and networks are called in the answer, where not by their own names.
    """

    system: Any
    working: str
    share: float = 1.0
    labels: Mapping[str, str] = field(default_factory=dict)


def _frequencies(lowest: str, highest: str, per_decade: int) -> np.ndarray:
    low, high = quantity("--from", lowest, "Hz", 0.0), quantity("--to", highest, "Hz", 0.0)
    if not high > low:
        raise UserError(f"--to {highest}: it must lie above --from {lowest}")
    count = round(per_decade * math.log10(high / low)) + 1
    if count > MOST_FREQUENCIES:
        raise UserError(f"{count} frequencies asked for; at most {MOST_FREQUENCIES}: narrow the range or lower --per-decade")
    return np.geomspace(high, low, max(count, 2))


def _flat(case: Path, charging: Any, bias: float, fine: bool, no_md: bool, out: Path | None) -> tuple[Linearised, Any]:
    from multiscale.case import load_case
    from multiscale.parameters import resolve
    from multiscale.tables import parameter_rows

    loaded = load_case(case)
    from multiscale.pipeline import stored_records, validate_all
    from multiscale.transport_cases.impedance import flat_cell

    validate_all(loaded, with_md=not no_md)
    records = [] if no_md else stored_records(loaded, out if out is not None else case / "results")[0]
    parameters = resolve(loaded, records)
    system, share = flat_cell(loaded, parameters, charging, bias, parallel.world(), fine)
    return Linearised(system, "lithium", share), parameter_rows(parameters)


def _resting(case: Path, charging: Any) -> tuple[Linearised, Any]:
    from multiscale.transport_cases.case import load_transport_case

    loaded = load_transport_case(case)
    from multiscale.tables import parameter_rows
    from multiscale.transport_cases.cell import WORKING
    from multiscale.transport_cases.impedance import labels, resting_cell

    system, inputs, cell = resting_cell(loaded, charging, parallel.world())
    share = cell.area / system.contacts[WORKING].area
    return Linearised(system, WORKING, share, labels(cell)), parameter_rows(inputs.parameters)


def _spectrum(case: Path, cell: Linearised, frequencies: np.ndarray, bias: float) -> dict[str, Any]:
    from multiscale.transport.equivalent_circuit import fit_circuit
    from multiscale.transport.impedance import LinearResponse

    response = LinearResponse(cell.system, cell.working, cell.labels)
    spectrum = response.spectrum(frequencies).scaled(cell.share)
    circuit = fit_circuit(spectrum) if len(frequencies) >= 8 else None
    return {
        "case": case.resolve().name, "working_electrode": cell.working, "bias_A_per_m2": bias, "unit": "ohm cm^2",
        "frequencies_Hz": frequencies.tolist(), **_complex(spectrum.impedance),
        "parts": [{"place": p.place, "cause": p.cause, **_complex(p.impedance)} for p in spectrum.parts],
        "circuit": None if circuit is None else _circuit(circuit),
    }  # fmt: skip


def _complex(values: np.ndarray) -> dict[str, list[float]]:
    real, imaginary = OHM_CM2 * values.real, OHM_CM2 * values.imag
    return {"real": [float(value) for value in real], "imaginary": [float(value) for value in imaginary]}


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
    from multiscale.reporting.figures import write_figure
    from multiscale.reporting.impedance_figures import nyquist_and_bode

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


def leakage(
    case: Annotated[Path, typer.Argument(metavar="CASE", help="Case folder: it holds case.toml.")],
    electronic: Annotated[
        list[str], typer.Option(metavar="NAME=VALUE", help='Electronic conductivity of every region: "grain=1e-7 S/m".')
    ],
    current: Annotated[str, typer.Option(help='Plating current density: "0.5 mA/cm^2".')],
    electronic_contact: Annotated[
        str | None, typer.Option(help='Resistance of electrons\' passage at the lithium: "10 ohm cm^2" [default: none].')
    ] = None,
    confinement: Annotated[str, typer.Option(help="Pressure on lithium that forms inside.")] = "0 MPa",
    surface_energy: Annotated[str, typer.Option(help="Of its surface.")] = "0 J/m^2",
    radius: Annotated[str | None, typer.Option(help="Of the lithium that forms (with --surface-energy).")] = None,
    no_md: Annotated[bool, typer.Option("--no-md", help="Use the material files alone, without stored MD records.")] = False,
    out: Annotated[Path | None, typer.Option("--out", metavar="DIR", help="Results folder [default: CASE/results].")] = None,
    as_json: JsonOption = False,
) -> None:
    """Local potential of lithium in a case's cell while it plates, and where lithium could form inside.

    No molecular dynamics gives an electronic conductivity, so it is stated here. Flat lithium below, reversible lithium above.

    Example: multiscale leakage cases/li-lpscl --electronic "grain=1e-7 S/m" --electronic "boundary=1e-6 S/m"
    --electronic "interphase=1e-9 S/m" --current "0.5 mA/cm^2"
    """
    σ = named("--electronic", electronic, "S/m")
    j = quantity("--current", current, "A/m^2", 0.0)
    contact = None if electronic_contact is None else quantity("--electronic-contact", electronic_contact, "ohm m^2", 0.0)
    γ, p = quantity("--surface-energy", surface_energy, "J/m^2"), quantity("--confinement", confinement, "Pa")
    if (γ > 0) != (radius is not None):
        raise UserError("--surface-energy and --radius go together: the smaller the lithium, the more its surface costs")
    r = math.inf if radius is None else quantity("--radius", radius, "m", 0.0)
    from multiscale.case import load_case
    from multiscale.parameters import resolve
    from multiscale.tables import parameter_rows

    loaded = load_case(case)
    from multiscale.pipeline import stored_records, validate_all
    from multiscale.transport.leakage import nucleation_threshold
    from multiscale.transport_cases.leakage import plate

    validate_all(loaded, with_md=not no_md)
    records = [] if no_md else stored_records(loaded, out if out is not None else case / "results")[0]
    parameters = resolve(loaded, records)
    threshold = nucleation_threshold(p, γ, r)
    answer = plate(loaded, parameters, σ, j, contact, threshold, parallel.world())
    if as_json:
        show_json(answer | {"case": loaded.name, "parameters": parameter_rows(parameters)})
        return
    x, y = (1e6 * answer["place_m"][k] for k in (0, 1))
    beyond = ", ".join(f"{name} {100 * share:.3g} %" for name, share in answer["share_beyond"].items())
    show(
        f"{loaded.name}: plating at {j / 10:g} mA/cm2\n"
        f"  electrons carry {100 * answer['electronic_share']:.3g} % of the current at the lithium\n"
        f"  lowest potential of lithium {1e3 * answer['lowest_V']:.4g} mV at ({x:.4g}, {y:.4g}) um, "
        f"activity {answer['activity']:.4g}\n"
        f"  lithium can form below {-1e3 * threshold:.4g} mV: {beyond}"
    )

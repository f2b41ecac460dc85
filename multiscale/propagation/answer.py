"""What a run of a propagation case tells: hold by hold, how it ended, which current that makes critical, how long it lasted."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from coupling.constants import FARADAY, LITHIUM_MOLAR_VOLUME
from coupling.errors import UserError
from multiscale.console import show, show_json
from multiscale.critical_current.switch_worth import sign_of
from multiscale.materials import Elastic
from multiscale.mechanics.filament_state import FilamentState
from multiscale.mechanics.prestress import closing_stress
from multiscale.pipeline import read_json
from multiscale.propagation.books import energy_balance, given_back
from multiscale.propagation.initiation import initiation_lines
from multiscale.propagation.protocols import Bisection, Hold

if TYPE_CHECKING:
    from multiscale.propagation.march import March, Trial

STARTED = 0.5
"""Growth of the crack (by the area of its faces, over l) that counts as growth."""
STILL = 0.05
"""Growth over l in the last quarter of a hold up to which the crack stood still then."""
SHORTS = ("short", "voltage drop", "impedance drop")
"""Ends of a run that are a short: bridging, and what `protocol.failure` adds."""
CONTACT_LOST = "contact lost"
"""End of a run whose lithium has come off its electrolyte."""
BEARABLE = 0.8
"""Share of the strength of the smeared model from which on the pressure is told (at 0.86 solid broke: docs/physics.md 3)."""
SETTLED = 0.01
"""Relative rise of the pressure in another hold of the same length, at its rate at the end, up to which it had settled."""
TO_MA_PER_CM2 = 0.1
OPEN = {
    "lower": "; its upper end is open: part of the draws held the largest current", "both": "; both ends are open",
    "upper": "; its lower end is open: part of the draws failed at the smallest current tried",
}  # fmt: skip
"""What is said of an error bar that ends where its runs ended."""


def hold_table(rows: Sequence[FilamentState], steps: Sequence[Hold], length: float, before: int = 0) -> list[dict[str, Any]]:
    """One row a hold that was begun: what the crack and its pressure did in it.

    Args:
        rows: every accepted time, the start first.
        steps: of the protocol.
        length: l of the phase field, m.
        before: how many of the holds, from the first, condition the cell.
    """
    table, begin, first = list[dict[str, Any]](), 0.0, 0
    times = np.array([row.time for row in rows])
    for number, hold in enumerate(steps, start=1):
        end = begin + hold.time
        last = int(np.searchsorted(times, end * (1 + 1e-9), side="right")) - 1
        if last > first:
            table.append(_held(number, hold, rows[first : last + 1], length) | {"conditioning": number <= before})
        begin, first = end, last
        if first == len(rows) - 1:
            break
    return table


def _held(number: int, hold: Hold, rows: Sequence[FilamentState], length: float) -> dict[str, Any]:
    """Figures of one hold from its rows, the one before it first."""
    first, last = rows[0], rows[-1]
    seconds = last.time - first.time
    late = max((row for row in rows[:-1] if row.time <= last.time - seconds / 4), key=lambda row: row.time, default=first)
    slope = (last.pressure - rows[-2].pressure) / (last.time - rows[-2].time)
    rise = slope * hold.time / last.pressure if last.pressure > 0 else 0.0
    return {
        "hold": number, "current_mA_per_cm2": hold.current * TO_MA_PER_CM2, "asked_s": hold.time, "held_s": seconds,
        "temperature_C": last.temperature - 273.15, "stack_pressure_MPa": last.stack_pressure / 1e6,
        "pressure_MPa": last.pressure / 1e6, "largest_pressure_MPa": max(row.pressure for row in rows[1:]) / 1e6,
        "growth_um": (last.crack_area - first.crack_area) * 1e6,
        "grew": last.crack_area - first.crack_area > STARTED * length,
        "growing_at_its_end": last.crack_area - late.crack_area > STILL * length,
        "speed_um_per_s": (last.crack_area - late.crack_area) / (last.time - late.time) * 1e6,
        "pressure_rise_in_another_hold": rise, "length_um": last.length * 1e6, "potential_mV": last.potential * 1e3,
        "impedance_ohm_cm2": last.impedance * 1e4, "contact_share": last.contact,
    }  # fmt: skip


def critical_current(holds: Sequence[dict[str, Any]], shorted: bool) -> dict[str, Any]:
    """The critical current that a run found, mA/cm², and which of three things it is (`criterion`).

    * "short": the current at which the filament reached the other side, of the last hold that plated if it rested then;
    * "growth": there was no short, but the crack was still growing when the protocol or the number of time steps ended: the
      current at which it was growing (of the last hold that plated). No lower bound of the current of a short follows: more time
      alone may bring it;
    * "none": no short, and the crack stood still at the end; the largest current held in full is a lower bound for such holds.

    Holds that condition the cell do not count: a run that ended in them has no critical current (`march.require_tested`).
    A short or growth at the first current is an upper bound of what it is: a smaller current was not tried.
    `low` is the largest current before the first growth that was held to its end without growth (0 where there is none).
    """
    holds = [hold for hold in holds if not hold.get("conditioning")]
    plating = [hold for hold in holds if hold["current_mA_per_cm2"] > 0]
    grown = next((k for k, hold in enumerate(plating) if hold["grew"]), len(plating))
    whole = [hold for hold in plating if hold["held_s"] >= hold["asked_s"] * (1 - 1e-9)]
    quiet = [hold for hold in plating[:grown] if hold in whole]
    low = max((hold["current_mA_per_cm2"] for hold in quiet), default=0.0)
    last = plating[-1]["current_mA_per_cm2"] if plating else 0.0
    largest = max((hold["current_mA_per_cm2"] for hold in whole), default=0.0)
    growing = bool(holds) and (holds[-1]["grew"] or grown < len(plating)) and holds[-1]["growing_at_its_end"]
    criterion = "short" if shorted else "growth" if growing else "none"
    value = {"short": last, "growth": last, "none": largest}[criterion]
    low = largest if criterion == "none" else min(low, value)
    at_once = bool(plating) and value <= plating[0]["current_mA_per_cm2"]
    bound = "lower" if criterion == "none" else "upper" if at_once else None
    return {
        "value": value, "low": low, "high": value, "bound": bound, "level": 0.0,
        "unit": "mA/cm^2", "mechanism": "propagation", "criterion": criterion, "interval": _interval(holds, quiet, criterion),
    }  # fmt: skip


def _interval(holds: Sequence[dict[str, Any]], quiet: Sequence[dict[str, Any]], criterion: str) -> str:
    """What low and high are, and what the hold time has to do with them."""
    told = "one run at best values; no error of the inputs is in it"
    if not any(hold["current_mA_per_cm2"] > 0 for hold in holds):
        return "nothing was plated: no critical current was looked for"
    if criterion == "none":
        return f"largest current held in full; {told}"
    if not quiet:
        return f"the crack grew at the first current, so nothing is known below it; {told}"
    held = max(quiet, key=lambda hold: hold["current_mA_per_cm2"])
    rise = held["pressure_rise_in_another_hold"]
    settled = "had settled" if rise <= SETTLED else f"was still rising (by up to {rise:.1%} in another hold): longer may break it"
    grown = sorted({hold["current_mA_per_cm2"] for hold in holds if hold["grew"]})
    growth = f"; the crack grew at {', '.join(f'{i:.4g}' for i in grown)}" if grown else ""
    ends = "that of the short" if criterion == "short" else "that of the growth at the end"
    return (
        f"largest current held for {held['asked_s']:g} s without growth (its pressure {settled}), and {ends}{growth}; "
        f"a bracket of this protocol, not of the cell: holds of another length move it; {told}"
    )


def bisected(trials: Sequence["Trial"], protocol: Bisection) -> dict[str, Any]:
    """The critical current that a bisection found, mA/cm²: the geometric middle of the largest current that held and the smallest
    that did not, each from the pristine cell; `criterion` is what a current must not do in its hold.
    """
    high = min((trial.current for trial in trials if trial.failed), default=None)
    low = max((trial.current for trial in trials if not trial.failed and (high is None or trial.current < high)), default=0.0)
    bound = "lower" if high is None else "upper" if low == 0 else None
    value = low if high is None else high if low == 0 else (low * high) ** 0.5
    words = {"growth": "let the crack grow", "short": "short the cell"}[protocol.criterion]
    ends = {"lower": f"no current up to it did {words}", "upper": f"already the smallest current did {words}"}
    middle = f"largest current that did not {words} in {protocol.told} from the pristine cell, and smallest that did"
    return {
        "value": value * TO_MA_PER_CM2, "low": low * TO_MA_PER_CM2, "high": (high or low) * TO_MA_PER_CM2, "bound": bound,
        "level": 0.0, "unit": "mA/cm^2", "mechanism": "propagation", "criterion": protocol.criterion,
        "interval": f"{ends.get(str(bound), middle)}; one cell at best values, no error of the inputs is in it",
    }  # fmt: skip


def trial_words(trial: "Trial", hold: str) -> str:
    """How one trial of a bisection ended; `hold` is how long it was to last, in words."""
    told = None if trial.by == "protocol" else {"growth": "the crack grows"}.get(trial.by, short_words(trial.by))
    pressure = f"{trial.pressure / 1e6:.4g} MPa"
    return f"{told} after {trial.time:.4g} s at {pressure}" if told else f"holds for {hold}, {pressure} at its end"


def short_words(ended: str) -> str:
    """A short by the criterion that found it."""
    return "short" if ended == "short" else f"short (by its {ended})"


def summary(
    case: Any, march: "March", found: dict[str, Any], bar: dict[str, Any], split: dict[str, float], worth: dict[str, Any],
    material: Elastic, strength: float,
) -> dict[str, Any]:  # fmt: skip
    """summary.json but for versions and hashes; currents in mA/cm².

    Args:
        case: the case. march: the way that history.csv holds. material: of the grains. strength: of the smeared model there, Pa.
        found: "ccd" of the run itself, "ended", "holds" and "trials".
        bar, split, worth: of `spread`; empty where they were not asked for.
    """
    rows, settings, best, books = march.rows, case.settings, found["ccd"], energy_balance(march.rows)
    start, last = rows[0], rows[-1]
    shorted = found["ended"] in SHORTS
    ccd = best | {name: bar[name] for name in ("value", "low", "high", "bound", "level")} if bar else best
    if bar:
        mesh = "surrogate and mesh" if bar["mesh_ratio"] is not None else "the surrogate; that of the mesh is not known"
        ccd = ccd | {"interval": f"draws of every input and of the microstructure, with the errors of {mesh}"}
    return {
        "case": case.name, "title": settings.title, "question": settings.question, "kind": "propagation",
        "method": settings.protocol.kind, "ccd": ccd, "mechanisms": {"propagation": ccd}, "at_best_values": best,
        "error_bar": bar, "error_split": split, "attribution": worth, "fitted_parameters": [],
        "temperature_C": settings.conditions.temperature - 273.15, "stack_pressure_MPa": settings.conditions.stack_pressure / 1e6,
        "ended": found["ended"], "failure": failure(settings.protocol, found["ended"]),
        "time_s": last.time, "steps": len(rows) - 1, "retries": march.retries,
        "started": start_of_growth(rows, march.length, settings.conditions.residual_stress, material),
        "closing_stress_MPa": closing(settings.conditions, material),
        "largest_pressure_MPa": max(row.pressure for row in rows) / 1e6,
        "pressure_over_strength": max(row.pressure for row in rows) / strength, "pressure_at_start_MPa": start.pressure / 1e6,
        "growth_um": (last.crack_area - start.crack_area) * 1e6,
        "crack_length_um": last.length * 1e6, "lithium_front_um": last.front * 1e6, "dry_tip_um": last.dry_length * 1e6,
        "dry_faces": ("touch" if settings.faces_touch else "may overlap") if settings.loaded else "not pressed together",
        "thickness_um": settings.geometry.electrolyte.thickness * 1e6, "holds": found["holds"], "trials": found["trials"],
        "conditioning": conditioned(rows, settings.protocol), "contact_share": last.contact,
        "life": life(rows, shorted), "filament_charge_C_per_m": last.charge, "extruded_um2": last.extruded * 1e12,
        "potential_mV": last.potential * 1e3, "charge_balance": charge_balance(rows, settings.geometry.width),
        "volume_over_charge_error": volume_error(last), "energy_balance": books["at_the_end"],
        "energy_balance_least": books["least"], "fracture_energy_given_back_J_per_m": given_back(rows),
        "least_dissipation_J_per_m": min(row.dissipated for row in rows),
    }  # fmt: skip


def start_of_growth(
    rows: Sequence[FilamentState], length: float, residual_stress: float, material: Elastic
) -> dict[str, float] | None:  # fmt: skip
    """When the crack had grown by `STARTED` l, at which pressure and current: on the line between the times around it.

    The time after it would tell the pressure of a crack that has grown further (with creep it rises with the dry tip).
    """
    wanted = rows[0].crack_area + STARTED * length
    for old, new in pairwise(rows):
        if new.crack_area > wanted:
            share = (wanted - old.crack_area) / (new.crack_area - old.crack_area)
            pressure = old.pressure + share * (new.pressure - old.pressure)
            return {
                "current_mA_per_cm2": new.current_density * TO_MA_PER_CM2, "pressure_MPa": pressure / 1e6,
                "time_s": old.time + share * (new.time - old.time),
                "net_pressure_MPa": (pressure - closing_stress(new.stack_pressure, residual_stress, material)) / 1e6,
            }  # fmt: skip
    return None


def failure(protocol: Any, ended: str) -> dict[str, Any]:
    """What counted as a short, and which of it happened ("bridging", "voltage drop", "impedance drop", or None)."""
    wanted = protocol.failure
    met = ("bridging" if ended == "short" else ended) if ended in SHORTS else None
    return {"bridging": True, "voltage_drop": wanted.voltage_drop, "impedance_drop": wanted.impedance_drop, "met": met}


def closing(conditions: Any, material: Elastic) -> float:
    """Pressure in a flaw normal to the lithium that just opens it against the stresses of the sound cell, MPa."""
    return closing_stress(conditions.stack_pressure, conditions.residual_stress, material) / 1e6


def conditioned(rows: Sequence[FilamentState], protocol: Any) -> dict[str, Any] | None:
    """What the cycles before the test did: time asked and passed, charge plated in it, growth of the crack; None without any."""
    if not protocol.before:
        return None
    asked = sum(hold.time for hold in protocol.before)
    part = [row for row in rows if row.time <= asked * (1 + 1e-9)]
    return {
        "current_mA_per_cm2": protocol.conditioning.current * TO_MA_PER_CM2, "cycles": protocol.conditioning.cycles,
        "holds": len(protocol.before), "asked_s": asked, "time_s": part[-1].time,
        "plated_mAh_per_cm2": life(part, False)["plated_mAh_per_cm2"],
        "growth_um": (part[-1].crack_area - part[0].crack_area) * 1e6,
    }  # fmt: skip


def life(rows: Sequence[FilamentState], shorted: bool) -> dict[str, Any]:
    """Time and areal charge up to the end (of the short, where there was one): all plated, and that since the last reversal."""
    total = current = 0.0
    for old, new in pairwise(rows):
        passed = new.current_density * (new.time - old.time)
        current = current + passed if current * passed >= 0 else passed
        total += max(passed, 0.0)
    return {
        "shorted": shorted, "time_s": rows[-1].time, "plated_mAh_per_cm2": total / 36e3,
        "capacity_of_the_last_half_cycle_mAh_per_cm2": current / 36e3,
    }  # fmt: skip


def charge_balance(rows: Sequence[FilamentState], width: float) -> float:
    """|applied - filament - flat| over the charge that moved."""
    applied = moved = 0.0
    for old, new in pairwise(rows):
        passed = new.current_density * width * (new.time - old.time)
        applied, moved = applied + passed, moved + abs(passed)
    last = rows[-1]
    return abs(applied - last.charge - last.flat_charge) / moved if moved else 0.0


def volume_error(state: FilamentState) -> float:
    """|V - (V_Li Q/F - extruded)| over the largest of the three."""
    plated = state.charge * LITHIUM_MOLAR_VOLUME / FARADAY
    scale = max(abs(plated), abs(state.extruded), abs(state.volume), 1e-300)
    return abs(state.volume - plated + state.extruded) / scale


def show_answer(case: Any, results: Path, as_json: bool) -> None:
    """Print what `multiscale ccd` tells of a propagation case that has been run.

    Raises:
        UserError: it has not, or the case has changed since.
    """
    summary = read_summary(case, results)
    if as_json:
        show_json({key: summary[key] for key in ("case", "ccd", "mechanisms", "fitted_parameters", "error_split", "life")})
    else:
        show("\n".join([f"{summary['case']} · {summary['title']}", *answer_lines(summary)]))


def read_summary(case: Any, results: Path) -> dict[str, Any]:
    """summary.json of a propagation case. Raises UserError: there is none of a test that began, or the case has changed since."""
    path = results / "summary.json"
    summary: dict[str, Any] = read_json(path, {})
    whole = {"ccd", "holds", "error_bar", "closing_stress_MPa"} <= set(summary)
    if not whole or (summary["holds"] and all(hold.get("conditioning") for hold in summary["holds"])):
        raise UserError(f"{path}: not there yet, or of an older version; `multiscale run {case.folder}` makes it")
    if summary.get("hashes", {}).get("case") != case.digest:
        told = "case.toml or a material file has changed since these results were computed"
        raise UserError(f"{case.folder}: {told}; run `multiscale run {case.folder}` again")
    return summary


def answer_lines(summary: dict[str, Any]) -> list[str]:
    """What a run found."""
    lines = []
    if summary["error_bar"]:
        ccd = summary["ccd"]
        span = f"({ccd['level']:.0%}: {ccd['low']:.4g} to {ccd['high']:.4g})"
        lines.append(f"critical current density {ccd['value']:.4g} mA/cm^2 {span}{OPEN.get(str(ccd['bound']), '')}")
        if summary["error_bar"]["mesh_ratio"] is None:
            lines.append("the error of the coarse mesh is not in it: fine or coarse answer at best values is only a bound")
        largest = list(summary["error_split"].items())[:3]
        lines.append("error from " + ", ".join(f"{name} {share:.0%}" for name, share in largest))
        lines.append("at best values:")
    lines += _bisection_lines(summary) if summary["method"] == "ccd-bisection" else _protocol_lines(summary)
    if before := summary.get("conditioning"):
        when, many = " each current" * bool(summary["trials"]), "s" * (before["cycles"] > 1)
        lines.append(
            f"conditioned before{when} by {before['cycles']} cycle{many} at "
            f"{before['current_mA_per_cm2']:.4g} mA/cm^2: {before['time_s']:.4g} of {before['asked_s']:.4g} s passed, "
            f"{before['plated_mAh_per_cm2']:.3g} mAh/cm^2 plated, the crack grew by {before['growth_um']:.2g} um; "
            "the time and the charge told here count it"
        )
    lines += initiation_lines(summary["mechanisms"], summary["ccd"])
    lines += [_switch_line(name, row) for name, row in summary["attribution"].items()]
    if summary["started"]:
        s = summary["started"]
        net = f", {s['net_pressure_MPa']:.4g} MPa above what presses the flaw shut" if summary["closing_stress_MPa"] else ""
        lines.append(f"crack started at {s['current_mA_per_cm2']:.4g} mA/cm^2 and {s['pressure_MPa']:.4g} MPa{net}")
    else:
        growth = summary.get("growth_um", 0.0)
        grown = f"it grew by {growth:.2g} um in all, less than counts as a start; " if growth > 0 else ""
        lines.append(f"the crack never started; {grown}largest pressure {summary['largest_pressure_MPa']:.4g} MPa")
    tip = f"dry over {summary['dry_tip_um']:.3g} um" if summary["dry_tip_um"] > 0 else "filled with lithium"
    steps = f"{summary['steps']} steps, {summary['retries']} retried"
    lines.append(f"crack {summary['crack_length_um']:.4g} um, its tip {tip}; {steps}")
    if summary["dry_tip_um"] > 0 and summary.get("dry_faces") == "may overlap":
        lines.append("the loads may press dry faces into one another: their contact is not in this cell (fracture.contact)")
    if (share := summary.get("pressure_over_strength", 0.0)) > BEARABLE:
        told = f"the largest pressure is {share:.2g} of what solid of the smeared model bears at this fracture.length"
        lines.append(f"{told}: beside the lithium it may break where the material does not; take a smaller one")
    if (share := summary.get("contact_share", 1.0)) < 1:
        ended = f", and the test ended at {summary['time_s']:.4g} s" * (summary["ended"] == CONTACT_LOST)
        lines.append(f"{share:.2%} of the lithium's face touches the electrolyte (interface.wear){ended}")
    lines.append(f"plated until then {summary['life']['plated_mAh_per_cm2']:.4g} mAh/cm^2")
    return lines


def _protocol_lines(summary: dict[str, Any]) -> list[str]:
    """How a protocol in time ended."""
    ccd, seconds, last = summary["at_best_values"], summary["time_s"], summary["holds"][-1]
    ended = {"protocol": "the protocol", "number of time steps": "the number of time steps", CONTACT_LOST: "the contact"}
    if ccd["criterion"] == "short":
        told = f"{short_words(summary['ended'])} at {ccd['value']:.4g} mA/cm^2 after {seconds:.4g} s"
    elif ccd["criterion"] == "growth":
        left = (summary["thickness_um"] - summary["crack_length_um"]) / last["speed_um_per_s"]
        told = (
            f"no short within {seconds:.4g} s, but {ended[summary['ended']]} ended while the crack was still growing at "
            f"{last['current_mA_per_cm2']:.4g} mA/cm^2 ({last['speed_um_per_s']:.3g} um/s; at that speed {left:.3g} s more to "
            "the other side): this is no lower bound of the current of a short"
        )
    elif not ccd["value"]:
        plated = any(hold["current_mA_per_cm2"] > 0 for hold in summary["holds"])
        why = "no current was held to the end of its time" if plated else "nothing was plated, but taken out or left at rest"
        told = f"no short in {seconds:.4g} s; {why}: nothing follows about a critical current"
    else:
        told = (
            f"no short up to {ccd['value']:.4g} mA/cm^2 in {seconds:.4g} s, and the crack stood still at the end: for holds of "
            "this length the critical current density of propagation is above it"
        )
    bracket = f"from {ccd['low']:.4g} to {ccd['high']:.4g} mA/cm^2: {ccd['interval']}"
    return [told] if ccd["bound"] == "lower" else [told, bracket]


def _bisection_lines(summary: dict[str, Any]) -> list[str]:
    """What a bisection found."""
    ccd = summary["at_best_values"]
    sign = {"lower": "above ", "upper": "below "}.get(str(ccd["bound"]), "")
    span = f"(from {ccd['low']:.4g} to {ccd['high']:.4g}, {len(summary['trials'])} trials)"
    return [f"by bisection {sign}{ccd['value']:.4g} mA/cm^2 {span}", ccd["interval"]]


def _switch_line(name: str, row: dict[str, Any]) -> str:
    """What one switch is worth."""
    many = f"; {row['smallest']:.3g} to {row['largest']:.3g} over {row['microstructures']}" if row["microstructures"] > 1 else ""
    one, other, factor = (sign_of(row[f"{key}_bound"]) + f"{row[key]:.4g}" for key in ("with", "without", "factor"))
    return f"without {name} {other} instead of {one} mA/cm^2: a factor {factor}{many}"

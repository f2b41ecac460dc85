"""Diffusivities under pressure → property records, and the activation volume at each temperature."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from atomistic.answers import Answered, combine, conditions_of, estimates, limits, method, run_source, widening
from coupling import activation_volume
from coupling.arrhenius import Point
from coupling.constants import GAS_CONSTANT
from coupling.record import Property

PA = 1e9
"""Pa of one GPa."""


def records(phase: str, runs: Answered, source: Mapping[str, Any]) -> list[Property]:
    """Diffusivity at every temperature and pressure besides zero; activation volume where three or more pressures gave estimates.

    Args:
        phase: the crystal. runs: diffusion, at zero pressure and at others. source: what every record names.
    """
    made: list[Property] = []
    for temperature in sorted({task.parameters["temperature"] for task, _ in runs if task.parameters.get("pressure")}):
        here = [run for run in runs if run[0].parameters["temperature"] == temperature]
        pressures = sorted({_pressure(run) for run in here})
        groups = [estimates(_at(here, pressure)) for pressure in pressures]
        points = {pressure: _point(here, pressure, widening(groups)) for pressure in pressures}
        for p, point in points.items():
            low, high = limits(point.value, point.stderr, groups)
            made += [replace(_diffusivity(phase, _at(here, p), p, point, source), low=low, high=high)] if p else []
        made += _activation_volume(phase, here, points, source)
    return made


def doubts(runs: Answered) -> dict[float, str]:
    """A sentence for every temperature (K) where the upper bound at a pressure contradicts the estimates at the others.

    It lies below their line, ln D against p, by more than twice their largest relative error. Runs so far apart are not of one
    state (ions of one found an order that the others did not), and what one of them tells is then no 95 % bound, nor the others'
    errors all that they may be off by.
    """
    told = {}
    for temperature in sorted({task.parameters["temperature"] for task, _ in runs if task.parameters.get("pressure")}):
        here = [run for run in runs if run[0].parameters["temperature"] == temperature]
        points = {pressure: _point(here, pressure) for pressure in sorted({_pressure(run) for run in here})}
        known = {p: point for p, point in points.items() if point.bound is None and point.stderr}
        if len(known) < 2:
            continue
        values, errors = np.array([(point.value, point.stderr) for point in known.values()]).T
        line = np.polyfit(list(known), np.log(values), 1, w=values / errors)
        for pressure, point in points.items():
            expected = float(np.exp(np.polyval(line, pressure)))
            if point.bound == "upper" and point.value * (1 + 2 * (errors / values).max()) < expected:
                told[temperature] = (
                    f"the upper bound of D at {pressure:g} GPa, {point.value:.2g} m²/s, lies below the line of the estimates at "
                    f"other pressures ({expected:.2g} m²/s): runs too short to agree with each other, none of them is certain"
                )
    return told


def doubted(records: Sequence[Property], runs: Answered) -> list[Property]:
    """The records; of low confidence are those of a temperature with `doubts`, at all pressures, and what rests on its runs."""
    told = doubts(runs)
    sure = {task.parameters["temperature"] for task, _ in runs} - told.keys()
    if not told:
        return list(records)
    every = "; ".join(told.values())
    return [record if (T := record.conditions.get("temperature_K", 0.0)) in sure else
            replace(record.with_source(low_confidence=told.get(T, every)), confidence="low") for record in records]  # fmt: skip


def missing(phase: str, runs: Answered) -> list[str]:
    """Why a temperature at which a study asked for pressures has no activation volume, or a doubtful one: one sentence each.

    Args:
        phase: the crystal. runs: all its runs of diffusion, those that gave a problem alone among them.
    """
    told = []
    for temperature in sorted({task.parameters["temperature"] for task, _ in runs if task.parameters.get("pressure")}):
        here = [run for run in runs if run[0].parameters["temperature"] == temperature]
        if len({_pressure(run) for run in here}) < activation_volume.FEWEST:
            continue  # not asked for
        gave = [run for run in here if "value" in run[1]]
        known = {p for p in {_pressure(run) for run in gave} if _point(gave, p).bound is None}
        where = f"{phase} at {temperature:g} K: no activation volume"
        if len(known) < activation_volume.FEWEST:
            told.append(f"{where}: {len(known)} pressures gave estimates of D, {activation_volume.FEWEST} are needed; run longer")
        elif len({answer["cell"] for run, answer in gave if _pressure((run, answer)) in known}) > 1:
            told.append(f"{where}: the run at zero pressure is in another cell (that of the structure file) than the others")
    gave = [run for run in runs if "value" in run[1]]
    return told + [f"{phase} at {temperature:g} K: {doubt}" for temperature, doubt in doubts(gave).items()]


def picture(found: Sequence[Property], path: Path) -> None:
    """Diffusivities of every crystal and temperature against pressure, where three or more pressures gave estimates of it.

    Raises:
        RunFailure: the file cannot be written.
    """
    from atomistic.observable_pictures import Curve, curves

    drawn: dict[str, Curve] = {}
    for volume in (record for record in found if record.quantity == "activation_volume"):
        kelvin = volume.conditions["temperature_K"]
        line = [
            record for record in found
            if (record.material, record.quantity, record.bound) == (volume.material, "self_diffusivity", None)
            and record.conditions["temperature_K"] == kelvin and "mean_temperature_K" in record.conditions
        ]  # fmt: skip
        table = np.array([(r.conditions.get("pressure_Pa", 0.0) / PA, r.value, r.stderr or 0.0) for r in line])
        x, y, error = table[np.argsort(table[:, 0])].T
        drawn[f"{volume.material}, {kelvin:g} K"] = (x, y, error)
    path.unlink(missing_ok=True)  # of a run before that had one
    if drawn:
        curves(path, drawn, "pressure (GPa)", "Li diffusivity (m²/s)", points=list(drawn), log=True)


def _pressure(run: tuple[Any, Mapping[str, Any]]) -> float:
    """Pressure of a run, GPa."""
    return float(run[0].parameters.get("pressure", 0.0))


def _at(runs: Answered, pressure: float) -> Answered:
    """Runs at one pressure."""
    return [run for run in runs if _pressure(run) == pressure]


def _point(runs: Answered, pressure: float, wider: float = 1.0) -> Point:
    """Diffusivity at one pressure, its error times `wider`."""
    point = combine([{**answer, "temperature": answer["mean_temperature"]} for _, answer in _at(runs, pressure)], wider)
    assert point is not None
    return point


def _diffusivity(phase: str, runs: Answered, pressure: float, point: Point, source: Mapping[str, Any]) -> Property:
    """Record of the diffusivity at a temperature and a pressure."""
    task, answer = runs[0]
    conditions = conditions_of(
        task, temperature_K=task.parameters["temperature"], pressure_Pa=pressure * PA,
        mean_temperature_K=round(point.temperature, 2), species=task.parameters["mobile"],
    )  # fmt: skip
    told = method([each for _, each in runs])
    own = {**source, **run_source(runs), "method": told, "volume_A3": answer["volume_A3"]}
    return Property(phase, "self_diffusivity", point.value, "m^2/s", stderr=point.stderr, bound=point.bound,
                    conditions=conditions, source=own)  # fmt: skip


def _activation_volume(phase: str, runs: Answered, points: Mapping[float, Point], source: Mapping[str, Any]) -> list[Property]:
    """Activation volume of the self-diffusivity; none of fewer than three estimates, or with runs in cells of two kinds."""
    known = {pressure: point for pressure, point in points.items() if point.bound is None and point.stderr}
    used = [run for run in runs if _pressure(run) in known]
    if len(known) < activation_volume.FEWEST or len({answer["cell"] for _, answer in used}) > 1:
        return []
    task = used[0][0]
    conditions = conditions_of(task, temperature_K=task.parameters["temperature"], species=task.parameters["mobile"])
    return [volume_record(phase, points, task.parameters["temperature"], conditions, {**source, **run_source(used)})]


def volume_record(
    phase: str, points: Mapping[float, Point], temperature: float, conditions: Mapping[str, Any], source: Mapping[str, Any],
    quantity: str = "self-diffusivity",
) -> Property:  # fmt: skip
    """Record of an activation volume, m³/mol; of low confidence where an upper bound contradicts the line.

    Args:
        phase: the material. points: by pressure, GPa; three or more are estimates. temperature: K.
        quantity: what the points are, in words.

    Raises:
        UserError: fewer than three estimates.
    """
    known = {pressure: point for pressure, point in points.items() if point.bound is None and point.stderr}
    values, errors = zip(*((point.value, point.stderr or 0.0) for point in known.values()), strict=True)
    fit = activation_volume.fit([p * PA for p in known], values, errors, temperature)
    method = f"slope of the logarithm of the {quantity} against pressure, at constant temperature"
    own = {**source, "method": method, "pressures_Pa": [p * PA for p in known],
           "chi_square": fit.chi_square, "error_scaled_up": fit.inflated}  # fmt: skip
    slope = -fit.value / (GAS_CONSTANT * fit.temperature) * PA
    level = float(np.mean([np.log(point.value) - slope * p for p, point in known.items()]))
    slack = np.log1p(2 * max(error / value for value, error in zip(values, errors, strict=True)))  # as in `doubts`
    broken = [p for p, point in points.items() if point.bound and np.log(point.value) + slack < level + slope * p]
    if broken:
        told = ", ".join(f"{p:g}" for p in broken)
        own["low_confidence"] = f"the upper bound at {told} GPa lies below the line: runs too short to agree with each other"
    return Property(phase, "activation_volume", fit.value, "m^3/mol", stderr=fit.stderr, low=fit.low, high=fit.high,
                    conditions=conditions, source=own, confidence="low" if broken else "computed")  # fmt: skip

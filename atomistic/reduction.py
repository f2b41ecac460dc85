"""Answers of a study's runs → property records with their sources, and the data behind the Arrhenius plots."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from scipy import stats

from atomistic import (
    adhesion,
    brownian,
    bulk_onsager,
    collective,
    elasticity,
    pooling,
    separation,
    structure_reading,
    surfaces,
    under_pressure,
)
from atomistic.answers import (
    Answered,
    combine,
    conditions_of,
    estimates,
    limits,
    method,
    run_source,
    upper_limit,
    weighted,
    widening,
)
from atomistic.correlated import student
from atomistic.diffusivity import nernst_einstein
from atomistic.scheduler import Task
from atomistic.tasks import COLLECTIVE
from coupling import arrhenius, nucleation
from coupling.constants import AVOGADRO, BOLTZMANN, ROOM_TEMPERATURE
from coupling.record import Property
from coupling.units import length_to_si

EARLIEST = 2.0
"""Lag, ps, from which on a Haven ratio counts for a conductivity: Li6PS5Cl gave 0.35 from 0.5 ps on and 0.85 from 6 ps on."""
OVERPOTENTIALS = (0.05, 0.1, 0.2)
"""Overpotentials for which nucleation is estimated, V."""


def reduce(
    listed: Sequence[Task],
    answers: Sequence[Mapping[str, Any]],
    source: Mapping[str, Any],
    diffusion: bool = True,
    metal: str = "Li",
) -> tuple[list[Property], dict[str, Any]]:
    """Records, and per phase the points and fit of ln D against 1/T (those of the committee's first member).

    Args:
        listed: the runs. answers: theirs, in the same order. source: what every record names (potential, hash).
        diffusion: whether the diffusion runs are told as such (they are made for an Onsager matrix, too).
        metal: whose nuclei are told from its surface energies.
    """
    done = list(zip(listed, answers, strict=True))
    members = sorted({task.parameters.get("member", 0) for task in listed})
    found = [_of_member([run for run in done if run[0].parameters.get("member", 0) == member], source, diffusion)
             for member in members]  # fmt: skip
    records = separation.with_fracture_energy(pooling.over_members([records for records, _ in found]))
    return records + _nucleation(records, done, metal), found[0][1]


def _of_member(done: Answered, source: Mapping[str, Any], diffusion: bool) -> tuple[list[Property], dict[str, Any]]:
    """Records and Arrhenius data of one member of the committee."""
    records: list[Property] = []
    curves: dict[str, Any] = {}
    for phase in dict.fromkeys(task.parameters["phase"] for task, _ in done):
        runs = [(task, answer) for task, answer in done if task.parameters["phase"] == phase]
        own = {**source, "engine": runs[0][1]["engine"]}
        moved = [run for run in _of(runs, "diffusion") if diffusion and "value" in run[1]]
        transport, curve = _transport(phase, [run for run in moved if not run[0].parameters.get("pressure")], own)
        records += under_pressure.doubted([*transport, *under_pressure.records(phase, moved, own)], moved)
        if curve:
            curves[phase] = curve
        records += bulk_onsager.records(phase, runs, own) + structure_reading.records(phase, runs, own)
        records += _static(phase, _of(runs, "elasticity"), own)
        for task, answer in _of(runs, "thermal_elasticity"):
            records += _thermal(phase, task, answer, own)
        records += [_surface(phase, task, answer, own) for task, answer in _of(runs, "surface") if "problem" not in answer]
        for task, answer in _of(runs, "adhesion"):
            if adhesion.fallen(phase, task, answer):
                continue
            cold = conditions_of(task, temperature_K=0.0)
            records += [adhesion.record(phase, task, answer, own, cold), *adhesion.separation(phase, task, answer, own, cold)]
    return records, curves


def _of(runs: Answered, kind: str) -> Answered:
    """Runs of one kind."""
    return [(task, answer) for task, answer in runs if task.kind == kind]


def _transport(phase: str, runs: Answered, source: Mapping[str, Any]) -> tuple[list[Property], dict[str, Any]]:
    """Diffusivity at every temperature, Arrhenius fit, diffusivity and conductivity at room temperature.

    The fit takes the temperatures that the runs really had, and cells of one kind only (see `_one_kind`).
    """
    if not runs:
        return [], {}
    records, points, cells = [], [], []
    groups = [estimates(here) for here in _by_temperature(runs)]
    wider = widening(groups)
    alone, source = source, {**source, "errors_widened_by_scatter_of_runs": round(wider, 3)} if wider > 1 else source
    for here in _by_temperature(runs):
        temperature = here[0][0].parameters["temperature"]
        point = combine([{**answer, "temperature": answer["mean_temperature"]} for _, answer in here], wider)
        assert point is not None
        points.append(point)
        low, high = limits(point.value, point.stderr, groups)
        cells.append(here[0][1]["cell"])
        conditions = {"temperature_K": temperature, "mean_temperature_K": round(point.temperature, 2)}
        told = method([answer for _, answer in here])
        records.append(
            Property(
                phase,
                "self_diffusivity",
                point.value,
                "m^2/s",
                stderr=point.stderr,
                bound=point.bound,
                low=low,
                high=high,
                conditions=conditions_of(here[0][0], **conditions, species=here[0][0].parameters["mobile"]),
                source={**source, **run_source(here), "method": told, "cell": here[0][1]["cell"]},
            )
        )
        records += _collective(phase, here, point, conditions, alone)
    if max(point.temperature for point in points) < ROOM_TEMPERATURE:
        return records, {}  # nothing is carried to a temperature above all data
    fitted = _one_kind(points, cells)
    room = arrhenius.at_temperature([points[i] for i in fitted], prefactor=arrhenius.HOPPING_PREFACTOR)
    used = [run for i, run_set in enumerate(_by_temperature(runs)) for run in run_set if i in fitted]
    everything = {**source, **run_source(used), "method": room.method, "defects": "none added"}
    kept = {task.parameters["temperature"] for task, _ in used}
    ratios = [r for r in records if r.quantity == "haven_ratio" and r.conditions["temperature_K"] in kept]
    records += _room_records(phase, used, room, everything, _charge_factor(ratios))
    return records, _curve(points, room, fitted)


def _collective(
    phase: str, runs: Answered, own: arrhenius.Point, conditions: Mapping[str, Any], source: Mapping[str, Any]
) -> list[Property]:
    """Conductivity from the collective displacement at one temperature; the Haven ratio where both D are estimates.

    An estimate where more than half of the runs give one, else the largest of their upper limits.
    """
    told = [(task, answer["collective"]) for task, answer in runs if "collective" in answer]
    known = [(task, each) for task, each in told if each["bound"] is None]
    if not told:
        return []
    where = conditions_of(told[0][0], **conditions, species=told[0][0].parameters["mobile"])
    made = {**source, **run_source(runs), "method": method([each for _, each in told])}
    if 2 * len(known) <= len(told):
        bound = upper_limit([each for _, each in told])
        return [Property(phase, "ionic_conductivity", bound, "S/m", bound="upper", conditions=where, source=made)]
    value, stderr = weighted([(each["value"], each["stderr"]) for _, each in known])
    low, high = brownian.limits(value, stderr, stderr)
    records = [Property(phase, "ionic_conductivity", value, "S/m", stderr=stderr, low=low, high=high, conditions=where,
                        source=made)]  # fmt: skip
    if own.bound is None and own.stderr is not None:
        charge = weighted([(each["diffusivity"], each["diffusivity_stderr"]) for _, each in known])
        ratio, error = collective.haven_ratio((own.value, own.stderr), charge)
        how, begins = {**made, "method": "self-diffusivity over charge diffusivity"}, COLLECTIVE[0] * _shortest(runs)
        early = begins < EARLIEST
        if early:
            how["low_confidence"] = f"its lags begin at {begins:.2g} ps, where ions that rattle or hop back make it too small"
        records.append(Property(phase, "haven_ratio", ratio, "1", stderr=error, conditions=where, source=how,
                                confidence="low" if early else "computed"))  # fmt: skip
    return records


def _charge_factor(ratios: Sequence[Property]) -> tuple[float, float] | None:
    """Charge diffusivity over self-diffusivity, the inverse of the Haven ratio, of all temperatures; its error; None of no ratio.

    Ratios of low confidence do not count.
    Its errors are those of the charge diffusivity, which the inverse would skew. It is taken not to depend on temperature;
    scatter beyond the errors widens the error of the mean.
    """
    factors = [(1 / r.value, r.stderr / r.value**2) for r in ratios if r.stderr and r.confidence != "low"]
    if not factors:
        return None
    mean, inner = weighted(factors)
    weights = np.array([(value / error) ** 2 for value, error in factors])
    scatter = float(weights @ [(value - mean) ** 2 for value, _ in factors] / weights.sum())
    return mean, max(inner, math.sqrt(scatter / (len(factors) - 1)) if len(factors) > 1 else 0.0)


def _shortest(runs: Answered) -> float:
    """Length of the shortest run, ps."""
    return min(float(answer["picoseconds"]) for _, answer in runs)


def _by_temperature(runs: Answered) -> list[Answered]:
    """Runs grouped by the temperature they were set to, coldest first."""
    temperatures = sorted({task.parameters["temperature"] for task, _ in runs})
    return [[run for run in runs if run[0].parameters["temperature"] == temperature] for temperature in temperatures]


def _one_kind(points: Sequence[arrhenius.Point], cells: Sequence[str]) -> list[int]:
    """Numbers of the points that enter one fit: estimates in cells of one kind, and all bounds.

    A run whose constant-pressure cell left the solid was made in the cell of the structure file, which is another volume; one
    line through both would be a line through two crystals. The kind with more temperatures is taken.
    """
    kinds = [cell for cell, point in zip(cells, points, strict=True) if point.bound is None]
    if not kinds:
        return list(range(len(points)))
    kept = max(dict.fromkeys(kinds), key=kinds.count)
    return [i for i, (cell, point) in enumerate(zip(cells, points, strict=True)) if cell == kept or point.bound is not None]


def _room_records(
    phase: str, runs: Answered, room: arrhenius.RoomValue, source: Mapping[str, Any], charge: tuple[float, float] | None
) -> list[Property]:
    """Activation energy, diffusivity and conductivity at room temperature; `charge` is `_charge_factor`."""
    task, coldest = min(runs, key=lambda run: run[0].parameters["temperature"])
    conditions = conditions_of(task, temperature_K=ROOM_TEMPERATURE, species=task.parameters["mobile"])
    density = coldest["ions"] / (coldest["volume_A3"] * 1e-30)
    factor = nernst_einstein(1.0, density, 1.0, ROOM_TEMPERATURE)
    own, converted = room, {"conversion": "Nernst–Einstein, Haven ratio 1 assumed", "ion_density_per_m3": density}
    if charge and room.bound is None:
        own = _times(room, *charge)
        told = "Nernst–Einstein with the Haven ratio of the runs, taken not to depend on temperature"
        converted |= {"conversion": told, "haven_ratio": 1 / charge[0], "haven_ratio_stderr": charge[1] / charge[0] ** 2}
    elif charge:
        own = replace(room, value=room.value * max(1.0, charge[0] + 1.645 * charge[1]))
        told = "Nernst–Einstein, times the upper limit of the charge's factor (95 %) where that exceeds 1"
        converted |= {"conversion": told, "haven_ratio": 1 / charge[0], "haven_ratio_stderr": charge[1] / charge[0] ** 2}
    elif room.bound:
        own = replace(room, doubt="no run gave a Haven ratio: where it lies below 1, the bound is too low by it")
    records = []
    if room.fit is not None:
        (energy, error), (least, most) = room.fit.energy(), room.fit.energy_interval()
        span = {"temperature_low_K": room.fit.temperatures[0], "temperature_high_K": room.fit.temperatures[1]}
        records.append(
            Property(
                phase,
                "activation_energy",
                energy,
                "J/mol",
                stderr=error,
                low=least,
                high=most,
                conditions=conditions_of(task, **span),
                kind="md",
                source=source,
            )
        )
    derived = [("self_diffusivity", "m^2/s", 1.0, {}, room), ("ionic_conductivity", "S/m", factor, converted, own)]
    if coldest["ions"] == coldest["atoms"]:
        derived.pop()  # a metal: its atoms move as neutral ones
    for quantity, unit, scale, note, found in derived:
        doubt = {"low_confidence": found.doubt} if found.doubt else {}
        low = None if found.low is None else scale * found.low
        high = None if found.high is None else scale * found.high
        records.append(
            Property(
                phase,
                quantity,
                scale * found.value,
                unit,
                stderr=None if found.stderr is None else scale * found.stderr,
                bound=found.bound,
                low=low,
                high=high,
                conditions=conditions,
                kind="md",
                source={**source, **note, **doubt},
                confidence="low" if found.doubt else "computed",
            )
        )
    return records


def _times(room: arrhenius.RoomValue, factor: float, error: float) -> arrhenius.RoomValue:
    """An estimate times a factor with an error: the logarithms' half widths add in quadrature."""
    spread = math.sqrt(math.log1p((error / factor) ** 2))
    assert room.low is not None
    assert room.high is not None
    assert room.stderr is not None
    below, above = (math.hypot(math.log(edge / room.value), 1.96 * spread) for edge in (room.low, room.high))
    value = factor * room.value
    half = math.hypot(math.asinh(room.stderr / room.value), spread)  # of the 68 % interval of the logarithm
    stderr, doubt = value * math.sinh(half), room.doubt
    if stderr > value and arrhenius.EXCEEDS not in doubt:
        doubt = " and ".join([arrhenius.EXCEEDS, *([doubt] if doubt else [])])
    return replace(room, value=value, low=value * math.exp(-below), high=value * math.exp(above), stderr=stderr, doubt=doubt)


def _band(line: arrhenius.ArrheniusFit) -> dict[str, Any]:
    """The line from the hottest run down to room temperature, and its 95 % limits; evenly spaced in 1/T."""
    T = 1 / np.linspace(1 / line.temperatures[1], 1 / min(ROOM_TEMPERATURE, line.temperatures[0]), 40)
    limits = [line.interval(float(one)) for one in T]
    return {"temperature_K": T.tolist(), "value": [line.value(float(one)) for one in T],
            "low": [low for low, _ in limits], "high": [high for _, high in limits]}  # fmt: skip


def _curve(points: Sequence[arrhenius.Point], room: arrhenius.RoomValue, fitted: Sequence[int]) -> dict[str, Any]:
    """JSON-ready data of an Arrhenius plot (m²/s, K, J/mol)."""
    line = room.fit
    return {
        "points": [
            {"temperature_K": p.temperature, "value": p.value, "stderr": p.stderr, "bound": p.bound, "fitted": i in fitted}
            for i, p in enumerate(points)
        ],
        "fit": None
        if line is None
        else {
            "log_prefactor": line.log_prefactor,
            "activation_energy": line.activation_energy,
            "energy": list(line.energy()),
            "band": _band(line),
            "chi_square": line.chi_square,
            "degrees": line.degrees,
            "inflated": line.inflated,
            "bounds": line.bounds,
        },
        "room": {
            "temperature_K": ROOM_TEMPERATURE,
            "value": room.value,
            "stderr": room.stderr,
            "low": room.low,
            "high": room.high,
            "bound": room.bound,
            "method": room.method,
            "doubt": room.doubt,
        },
    }


def _static(phase: str, runs: Answered, source: Mapping[str, Any]) -> list[Property]:
    """Lattice constants, molar volume, elastic constants and moduli of the relaxed cell(s) at 0 K.

    Of several cells (disorder) the mean is given; its error holds their scatter.
    """
    if not runs:
        return []
    task, first = runs[0]
    own = {
        **source,
        "atoms": first["atoms"],
        "seeds": [t.parameters["seed"] for t, _ in runs],
        "dtype": task.parameters["dtype"],
        "largest_force_eV_per_A": max(answer["largest_force"] for _, answer in runs),
        "keys": [t.key for t, _ in runs],
    }
    conditions = conditions_of(task, temperature_K=0.0)
    lengths = np.array([answer["cell_lengths_A"] for _, answer in runs])
    if "disorder" in task.parameters or np.ptp(lengths) < 1e-3 * lengths.min():
        axes = {"a": lengths.mean(axis=1)}
    else:
        axes = dict(zip("abc", lengths.T, strict=True))
    records = [
        _mean(phase, "lattice_constant", length_to_si(1.0) * values, "m", {**conditions, "axis": axis}, own)
        for axis, values in axes.items()
    ]
    volumes = np.array([answer["volume_A3"] * 1e-30 * AVOGADRO / answer["formula_units"] for _, answer in runs])
    records.append(_mean(phase, "molar_volume", volumes, "m^3/mol", conditions, {**own, "per": "formula unit"}))
    stable = [answer for _, answer in runs if "constants" in answer]
    if stable:
        tensor = elasticity.mean_tensor([_tensor(answer) for answer in stable])
        records += elasticity.properties(tensor, phase, conditions, {**own, "cells": len(stable)})
    return records


def _thermal(phase: str, task: Task, answer: Mapping[str, Any], source: Mapping[str, Any]) -> list[Property]:
    """Elastic constants and moduli at a temperature; none where the run gave none."""
    if "constants" not in answer:
        return []
    own = {
        **source, "atoms": answer["atoms"], "seeds": [task.parameters["seed"]], "dtype": task.parameters["dtype"],
        "picoseconds": answer["picoseconds"], "strain": task.parameters["strain"], "keys": [task.key], "cell": answer["cell"],
    }  # fmt: skip
    method = "strain and mean stress of molecular dynamics, isothermal"
    conditions = conditions_of(task, temperature_K=task.parameters["temperature"])
    records = elasticity.properties(_tensor(answer), phase, conditions, own, method)
    if "problem" not in answer:
        return records
    stressed = "of low confidence, since the cell is not the mean one and holds a stress"
    return [replace(record.with_source(low_confidence=stressed), confidence="low") for record in records]


def _mean(
    phase: str, quantity: str, values: np.ndarray, unit: str, conditions: Mapping[str, Any], source: Mapping[str, Any]
) -> Property:
    """Mean of the values of several cells; of more than one with its error and 95 % limits, by Student's distribution."""
    n, mean = len(values), float(np.mean(values))
    deviation = float(np.std(values, ddof=1) / math.sqrt(n)) if n > 1 else 0.0
    half = float(stats.t.ppf(0.975, n - 1)) * deviation if n > 1 else 0.0
    low, high = (mean - half, mean + half) if half else (None, None)
    return Property(phase, quantity, mean, unit, stderr=student(n) * deviation if n > 1 else None, low=low, high=high,
                    conditions=dict(conditions), source=dict(source))  # fmt: skip


def _tensor(answer: Mapping[str, Any]) -> elasticity.ElasticTensor:
    """Elastic tensor of an answer."""
    return elasticity.ElasticTensor(np.array(answer["constants"]), np.array(answer["covariance"]))


def _surface(phase: str, task: Task, answer: Mapping[str, Any], source: Mapping[str, Any]) -> Property:
    """Surface energy of one face."""
    if "miller" in task.parameters:
        return surfaces.record(phase, task, answer, source)
    own = {
        **source,
        "thicknesses_A": task.parameters["thicknesses"],
        "values": answer["values"],
        "keys": [task.key],
        "method": "relaxed slabs at 0 K; error = change with thickness",
    }
    conditions = {"miller": task.parameters["face"], "temperature_K": 0.0}
    return Property(phase, "surface_energy", answer["value"], "J/m^2", stderr=answer["stderr"], conditions=conditions, source=own)


def _nucleation(records: Sequence[Property], done: Answered, metal: str) -> list[Property]:
    """Barrier and rate of homogeneous lithium nucleation in each conductor, from the metal's lowest surface energy."""
    known = [record for record in records if record.quantity == "surface_energy" and record.material == metal]
    if not known or min(record.value for record in known) <= 0:
        return []
    lowest = min(known, key=lambda record: record.value)
    gamma, relative = lowest.value, 3.0 * (lowest.stderr or 0.0) / lowest.value
    found = []
    for overpotential in OVERPOTENTIALS:
        nucleus = nucleation.critical_nucleus(gamma, -overpotential)
        conditions = {"temperature_K": ROOM_TEMPERATURE, "overpotential_V": overpotential}
        source = {
            **lowest.source,
            "method": nucleation.LABEL,
            "surface": lowest.conditions["miller"],
            "critical_radius_m": nucleus.radius,
            "critical_atoms": nucleus.atoms,
        }
        found.append(
            Property(
                lowest.material,
                "nucleation_barrier",
                nucleus.barrier,
                "J",
                stderr=relative * nucleus.barrier,
                conditions=conditions,
                kind="derived",
                source=source,
                confidence="low",
            )
        )
        found += [_rate(record, nucleus, relative, conditions, source, done) for record in _conductors(records)]
    return found


def _conductors(records: Sequence[Property]) -> list[Property]:
    """Diffusivities at room temperature that are estimates."""
    return [
        record
        for record in records
        if record.quantity == "self_diffusivity"
        and record.bound is None
        and record.conditions["temperature_K"] == ROOM_TEMPERATURE
        and "pressure_Pa" not in record.conditions
    ]


def _rate(
    record: Property,
    nucleus: nucleation.Nucleus,
    relative: float,
    conditions: Mapping[str, Any],
    source: Mapping[str, Any],
    done: Answered,
) -> Property:
    """log₁₀ of the nucleation rate (1/(m³ s)) in a conductor whose ions arrive with its room-temperature diffusivity."""
    mine = (a for task, a in done if task.kind == "diffusion" and task.parameters["phase"] == record.material)
    answer = next(a for a in mine if "value" in a)
    sites = answer["ions"] / (answer["volume_A3"] * 1e-30)
    attachment = nucleation.attachment_frequency(nucleus, record.value, length_to_si(answer["hop_length"]))
    supply = math.sqrt(math.log1p(((record.stderr or 0.0) / record.value) ** 2))
    spread = math.hypot(relative * nucleus.barrier / (BOLTZMANN * ROOM_TEMPERATURE), supply) / math.log(10)
    return Property(
        f"Li in {record.material}",
        "nucleation_rate_log10",
        nucleation.log10_rate(nucleus, sites, attachment),
        "1",
        stderr=spread,
        conditions=dict(conditions),
        kind="derived",
        source={**source, "rate_unit": "1/(m^3 s)", "sites_per_m3": sites},
        confidence="low",
    )

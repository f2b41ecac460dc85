"""Activation energy and volume of a transport coefficient from several runs or records: points, fits, records, picture.

Runs of one temperature (within ALIKE) and pressure make one point (`answers.combine`), its error widened by their scatter; each
enters at the temperature it really had. E and its covariance with the prefactor: `coupling.arrhenius`; the activation volume:
`coupling.activation_volume`. A conductivity enters as σ T, the product that a line of ln D means for it (Nernst–Einstein).

Sources: docs/physics.md 1.10.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from atomistic.answers import combine, widening
from atomistic.under_pressure import PA, volume_record
from coupling import activation_volume, arrhenius
from coupling.arrhenius import Point
from coupling.errors import UserError
from coupling.record import Bound, Property

OF_A_POINT = ("temperature_K", "mean_temperature_K", "pressure_Pa")
"""Conditions in which the points of one line differ."""
ALIKE = 0.025
"""Relative width of what is one temperature: those of velocities of small cells set to one differ by about so much."""
SPAN = 0.05
"""Least relative distance between the lowest and the highest temperature of a line."""
CHECKED = 3
"""Temperatures of a line that its own scatter can contradict."""


@dataclass(frozen=True)
class Measured:
    """A coefficient of one run: set and real temperature (K), pressure (Pa), value and error in its unit, bound, where from.

    `doubt`: why it is of low confidence, else "". `hops`, `reason`: what a bound rests on (`answers.upper_limit`).
    """

    temperature: float
    real_temperature: float
    pressure: float
    value: float
    stderr: float | None
    bound: Bound
    origin: str
    doubt: str = ""
    hops: int = 0
    reason: str = ""


def carried(record: Property) -> bool:
    """Whether a record is of a temperature at which nothing was run: that of a line itself, no point of one."""
    T = record.conditions.get("temperature_K")
    return [float(one) for one in record.source.get("temperatures_K", [T])] != [T] if T is not None else False


def of_records(records: Sequence[Property], origin: str) -> list[Measured]:
    """Points of records that were run at their temperature (not `carried`).

    Raises:
        UserError: a record without temperature, a lower bound, or an estimate without error.
    """
    found = []
    for record in records:
        if "temperature_K" not in record.conditions:
            told = f"the {record.quantity} of {record.material} has no temperature_K"
            raise UserError(f"{origin}: {told}; make the record with --temperature")
        T = float(record.conditions["temperature_K"])
        if record.bound == "lower" or (record.bound is None and not record.stderr):
            told = "is a lower bound" if record.bound else "has no standard error"
            raise UserError(f"{origin}: the {record.quantity} at {T:g} K {told}; it cannot weigh in a line")
        real = float(record.conditions.get("mean_temperature_K", T))
        pressure = float(record.conditions.get("pressure_Pa", 0.0))
        found.append(Measured(T, real, pressure, record.value, record.stderr, record.bound, origin, doubt_of(record, origin),
                              **what_bounds(record)))  # fmt: skip
    return found


def what_bounds(record: Property) -> dict[str, Any]:
    """Hops that a run counted, and how its record was made."""
    return {"hops": int(record.source.get("hops", 0)), "reason": str(record.source.get("method", ""))}


def doubt_of(record: Property, origin: str) -> str:
    """Why a record is of low confidence, with where it is from; "" where it is not."""
    if record.confidence != "low":
        return ""
    why = record.source.get("low_confidence", "it is of low confidence")
    return f"the {record.quantity} at {record.conditions['temperature_K']:g} K ({origin}): {why}"


def doubted(made: Sequence[Property], measured: Sequence[Measured]) -> list[Property]:
    """The records made of what was measured; all are of low confidence, and say why, where a value that entered is."""
    told = list(dict.fromkeys(one.doubt for one in measured if one.doubt))
    if not told:
        return list(made)
    return [replace(record.with_source(low_confidence="; ".join([*filter(None, [record.source.get("low_confidence")]), *told])),
                    confidence="low") for record in made]  # fmt: skip


def _together(measured: Sequence[Measured]) -> list[Measured]:
    """Runs at the mean of their temperatures and of those, at whatever pressure, that differ by ALIKE at most."""
    groups: list[list[float]] = []
    for T in sorted({one.temperature for one in measured}):
        if groups and T <= (1 + ALIKE) * groups[-1][0]:
            groups[-1].append(T)
        else:
            groups.append([T])
    means = {T: float(np.mean(group)) for group in groups for T in group}
    return [replace(one, temperature=means[one.temperature]) for one in measured]


def points(measured: Sequence[Measured], conductivity: bool) -> dict[tuple[float, float], Point]:
    """One point of every (temperature, pressure), K and Pa; of a conductivity that of σ T."""
    measured = _together(measured)
    places = sorted({(one.temperature, one.pressure) for one in measured})
    at = {place: [one for one in measured if (one.temperature, one.pressure) == place] for place in places}
    wider = widening([[(one.value, one.stderr) for one in runs if one.bound is None and one.stderr] for runs in at.values()])
    made = {}
    for place, runs in at.items():
        point = combine([{**asdict(one), "temperature": one.real_temperature} for one in runs], wider)
        assert point is not None
        factor = point.temperature if conductivity else 1.0
        error = None if point.stderr is None else factor * point.stderr
        made[place] = Point(point.temperature, factor * point.value, error, point.bound, point.hops)
    return made


def records(
    known: Mapping[tuple[float, float], Point], quantity: str, unit: str, material: str, conditions: Mapping[str, Any],
    source: Mapping[str, Any], to: float | None = None,
) -> list[Property]:  # fmt: skip
    """Activation energy at every pressure and activation volume at every temperature that bear one.

    Args:
        known: of `points`. quantity, unit: of the coefficient. material, conditions, source: of every record.
        to: temperature (K) that the coefficient is carried to as well.

    Raises:
        UserError: neither two temperatures, SPAN apart, nor three pressures gave estimates, or nothing can be carried to `to`.
    """
    made: list[Property] = []
    for pressure in sorted({p for _, p in known}):
        line = [point for (_, p), point in known.items() if p == pressure]
        where = dict(conditions) | ({"pressure_Pa": pressure} if pressure else {})
        if _makes_line(line):
            made.append(_energy(line, material, where, source))
        if to is not None:
            made.append(_carried(line, to, quantity, unit, material, where, source))
    for T in sorted({T for T, _ in known}):
        column = {p / PA: point for (own, p), point in known.items() if own == T}
        if sum(point.bound is None for point in column.values()) >= activation_volume.FEWEST:
            where, name = {**conditions, "temperature_K": T}, quantity.replace("_", " ")
            made.append(volume_record(material, column, T, where, source, name))
    if not made:
        T, p = (len({place[axis] for place, point in known.items() if point.bound is None}) for axis in (0, 1))
        told = f"{T} temperatures and {p} pressures gave an estimate (no bound)"
        raise UserError(f"{told}: an activation energy needs 2 temperatures, {SPAN:.0%} apart at least, at one pressure, an "
                        f"activation volume {activation_volume.FEWEST} pressures at one temperature")  # fmt: skip
    return made


def _span(line: Sequence[Point]) -> float:
    """Relative distance between the lowest and the highest temperature of the estimates; 0 of one or none."""
    known = [point.temperature for point in line if point.bound is None]
    return max(known) / min(known) - 1 if known else 0.0


def _makes_line(line: Sequence[Point]) -> bool:
    """Whether the estimates lie far enough apart in temperature."""
    return _span(line) >= SPAN


def _energy(known: Sequence[Point], material: str, conditions: Mapping[str, Any], source: Mapping[str, Any]) -> Property:
    """Record of an activation energy, J/mol, with the covariance of (ln D0, E) in its source."""
    line, count = arrhenius.fit(known), len({point.temperature for point in known})
    (value, error), (low, high) = line.energy(), line.energy_interval()
    span = {"temperature_low_K": line.temperatures[0], "temperature_high_K": line.temperatures[1]}
    doubts = [f"{count} temperatures make a line without a check"] if count < CHECKED else []
    doubts += [f"left out: {arrhenius.CONTRADICTED}"] if line.contradicted else []
    own = {**source, "method": "weighted line of the logarithm against 1/T; error: half the central 68 %",
           "chi_square": line.chi_square, "error_scaled_up": line.inflated, "bounds": line.bounds,
           **({"low_confidence": "; ".join(doubts)} if doubts else {})}  # fmt: skip
    if line.degrees is None or line.degrees > 2:  # else the posterior has no variance
        own |= {"log_prefactor": line.log_prefactor, "covariance": line.covariance.tolist()}
    return Property(material, "activation_energy", value, "J/mol", stderr=error, low=low, high=high,
                    conditions={**conditions, **span}, source=own, confidence="low" if doubts else "computed")  # fmt: skip


def _carried(
    line: Sequence[Point], to: float, quantity: str, unit: str, material: str, conditions: Mapping[str, Any],
    source: Mapping[str, Any],
) -> Property:  # fmt: skip
    """The coefficient at another temperature, K, or its upper bound there (of a conductivity divided by T again).

    Raises:
        UserError: temperatures that differ by less than SPAN, or no datum that bounds it.
    """
    if 0 < _span(line) < SPAN:
        raise UserError(f"--to: the temperatures of the estimates span {_span(line):.1%}; a line needs {SPAN:.0%}")
    try:
        found = arrhenius.at_temperature(line, to)
    except ValueError as error:
        raise UserError(f"--to: {error}") from None
    factor = 1 / to if quantity == "ionic_conductivity" else 1.0
    value, stderr, low, high = (None if each is None else factor * each
                                for each in (found.value, found.stderr, found.low, found.high))  # fmt: skip
    assert value is not None
    doubt = {"low_confidence": found.doubt} if found.doubt else {}
    return Property(material, quantity, value, unit, stderr=stderr, bound=found.bound, low=low, high=high,
                    conditions={**conditions, "temperature_K": to}, source={**source, "method": found.method, **doubt},
                    confidence="low" if found.doubt else "computed")  # fmt: skip


def picture(known: Mapping[tuple[float, float], Point], label: str, path: Path) -> None:
    """Points and lines against 1000/T, a pressure each; where every pressure has one temperature, points against pressure.

    Raises:
        RunFailure: the file cannot be written.
    """
    from atomistic.observable_pictures import Curve, curves

    drawn: dict[str, Curve] = {}
    pressures = sorted({p for _, p in known})
    if len(pressures) == len(known) > 1:
        pairs = [(p / PA, point) for (_, p), point in known.items()]
        drawn |= _drawn("", pairs)
        curves(path, drawn, "pressure (GPa)", label, points=tuple(drawn), log=True)
        return
    shown: list[str] = []
    for pressure in pressures:
        line = [point for (_, p), point in known.items() if p == pressure]
        name = f"{pressure / PA:g} GPa: "
        more = _drawn(name, [(1000 / point.temperature, point) for point in line])
        shown += more
        drawn |= more
        if _makes_line(line):
            drawn[f"{name}line"] = _line(arrhenius.fit(line))
    curves(path, drawn, "1000 K/T", label, points=shown, log=True)


def _drawn(name: str, pairs: Sequence[tuple[float, Point]]) -> dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Estimates and upper bounds of (place, point), apart."""
    made = {}
    for kind, bound in (("estimates", None), ("upper bounds", "upper")):
        some = [(x, point.value, point.stderr or 0.0) for x, point in pairs if point.bound == bound]
        if some:
            x, y, error = np.array(some).T
            made[f"{name}{kind}"] = (x, y, error)
    return made


def _line(fit: arrhenius.ArrheniusFit) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A fitted line over its data: 1000/T, values, standard errors."""
    inverse = np.linspace(1 / fit.temperatures[1], 1 / fit.temperatures[0], 50)
    logs = np.array([fit.log_value(1 / x) for x in inverse])
    return 1000 * inverse, np.exp(logs[:, 0]), np.exp(logs[:, 0]) * logs[:, 1]

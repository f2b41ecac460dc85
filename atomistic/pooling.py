"""Records of the members of a committee → one record whose error holds their spread.

Every member was fitted to the same labels, so that their spread tells how far the labels leave a number open. It is an error
of the fit against the teacher; how far the teacher is from the material stands in no spread.

    var(x) = mean of var(x | member) + var of the means of the members          (law of total variance)

in ln x where every value is positive, in x elsewhere. The variance of the members is that of one member (divided by their
number minus one), not that of their mean: they share data and form, and do not average each other's error out.

Where as many members have a bound near the estimates of the others, within 1.645 of their errors, those have one that came out
high: the widest of all limits stands then. A bound far beyond says nothing, one that contradicts is a member's value.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from coupling.record import TWO_SIDED_95, Bound, Property

ONE_SIDED_95 = 1.645
OF_A_RUN = ("mean_temperature_K", "temperature_low_K", "temperature_high_K")
"""Conditions that a run finds out for itself, and that do not tell one quantity from another."""


def over_members(found: Sequence[Sequence[Property]]) -> list[Property]:
    """One record per quantity, in the order of the first member that has it.

    Args:
        found: the records of each member; a quantity that a member could not give is missing there. One of low confidence
            makes the pooled one so, which then says whose it is, with its own method beside the member's number.
    """
    grouped: dict[tuple[Any, ...], list[tuple[int, Property]]] = {}
    for member, records in enumerate(found):
        for record in records:
            grouped.setdefault(_identity(record), []).append((member, record))
    return [_pooled(group) for group in grouped.values()]


def _identity(record: Property) -> tuple[Any, ...]:
    """What two members' records of one quantity share."""
    conditions = sorted((name, repr(value)) for name, value in record.conditions.items() if name not in OF_A_RUN)
    of_a_run = "mean_temperature_K" in record.conditions  # what a run gave at 298.15 K is not what others were carried to there
    return (record.material, record.quantity, of_a_run, *conditions)


def _pooled(group: Sequence[tuple[int, Property]]) -> Property:
    """One record of the members' (member, record)."""
    first = group[0][1]
    if len(group) == 1:
        return first
    records = [record for _, record in group]
    low_ones = [member for member, each in group if each.confidence == "low"]
    members = [
        {"member": member, "value": each.value, "stderr": each.stderr, "bound": each.bound, "keys": each.source.get("keys"),
         **({"confidence": "low", "method": each.source.get("method")} if member in low_ones else {})}
        for member, each in group
    ]  # fmt: skip
    counted = _counted(records)
    if not counted:
        limits = [_as_bound(record, records) for record in records]
        widest = max(limits, key=lambda record: record.value if record.bound == "upper" else -record.value)
        return _doubted(widest.with_source(members=members), low_ones)
    value, stderr, low, high, spread = _moments(counted)
    source = {**first.source, "members": members, "spread": spread}
    return _doubted(replace(first, value=value, stderr=stderr, bound=None, low=low, high=high, source=source), low_ones)


def _doubted(record: Property, members: Sequence[int]) -> Property:
    """The record of low confidence where any of the `members` is, which it then names."""
    if not members:
        return record
    told = f"of low confidence (methods beside their numbers): member {', '.join(map(str, members))}"
    method = record.source.get("method")
    return replace(record, confidence="low").with_source(method=f"{method}; {told}" if method else told)


def _as_bound(record: Property, records: Sequence[Property]) -> Property:
    """A bound as it is; an estimate as its 95 % limit on the side of the bounds beside it."""
    if record.bound is not None:
        return record
    side: Bound = "lower" if all(other.bound in (None, "lower") for other in records) else "upper"
    limit = record.value + (ONE_SIDED_95 if side == "upper" else -ONE_SIDED_95) * (record.stderr or 0.0)
    return replace(record, value=limit, stderr=None, low=None, high=None, bound=side)


def _counted(records: Sequence[Property]) -> list[Property]:
    """The estimates, and those bounds that contradict their mean (they count as a value at the bound).

    None where there are no more estimates than bounds near one of them.
    """
    known = [record for record in records if record.bound is None]
    near = [other for other in records if other.bound and any(
        abs(other.value - record.value) <= ONE_SIDED_95 * (record.stderr or 0.0) for record in known)]  # fmt: skip
    if len(known) <= len(near):
        return []
    mean = float(np.mean([record.value for record in known]))
    against = [r for r in records if (r.bound == "upper" and r.value < mean) or (r.bound == "lower" and r.value > mean)]
    return known + [replace(record, bound=None) for record in against]


def _moments(records: Sequence[Property]) -> tuple[float, float | None, float | None, float | None, float]:
    """Value, standard error, 95 % limits where each estimate has them, and the spread of the members (in the unit)."""
    values = np.array([record.value for record in records])
    errors = np.array([record.stderr or 0.0 for record in records])
    if (values <= 0).any():
        spread = _deviation(values)
        return float(values.mean()), math.hypot(math.sqrt(float(np.mean(errors**2))), spread), None, None, spread
    logs = np.log(values)
    value, spread = math.exp(logs.mean()), _deviation(logs)
    variance = float(np.mean(np.log1p((errors / values) ** 2))) + spread**2
    stderr = value * math.sqrt(math.expm1(variance)) if variance < 100 else None
    limits = [(r.low, r.high, r.value) for r in records if r.low and r.high and 0 < r.low <= r.value <= r.high]
    low = high = None
    if limits:
        below = math.sqrt(float(np.mean([math.log(v / a) ** 2 for a, _, v in limits])) + (TWO_SIDED_95 * spread) ** 2)
        above = math.sqrt(float(np.mean([math.log(b / v) ** 2 for _, b, v in limits])) + (TWO_SIDED_95 * spread) ** 2)
        low, high = value * math.exp(-below), value * math.exp(above)
    return value, stderr, low, high, value * spread


def _deviation(values: np.ndarray) -> float:
    """Standard deviation of one member."""
    return float(np.std(values, ddof=1)) if len(values) > 1 else 0.0

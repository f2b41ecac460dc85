"""The answer where several mechanisms may limit: the smallest of the plating ones, draw by draw, and all that goes with it.

Value, interval, error split, best values and worth of switches are those of that smallest current; each alone stands beside it.
Voids limit the stripped electrode: their limit is told, with how often it comes first, and never enters the critical current.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from multiscale.case import Case
from multiscale.critical_current.answer import SMALLEST_CURRENT, Reference, Spread
from multiscale.critical_current.other_mechanisms import nucleation_currents, nucleation_figures, rate_errors, voiding_currents
from multiscale.critical_current.sampling import first_order, shares
from multiscale.parameters import nominal

SPLIT_ROWS = 2048
"""Samples behind the split by origin of the smallest current (a search for each where nucleation depends on the number)."""
RATES = "rates of nucleation from MD"
"""Origin of the error of a table of rates."""


def combined(
    case: Case, parameters: Mapping[str, Any], leaves: Mapping[str, np.ndarray], spread: Spread, reference: Reference
) -> dict[str, Any]:
    """Keys of the summary that the other mechanisms add or change; empty where the case asks for none.

    Args:
        case, parameters: the case and its resolved parameters.
        leaves: draws of every input, shape (n,) each.
        spread: of initiation, over the same draws.
        reference: initiation at the best values.

    Returns:
        "ccd" (smallest of the plating mechanisms, draw by draw), "mechanisms", "samples" (A/m²), "first_mechanism" (share of the
        draws in which each is the smallest), "at_best_values", "error_split" (of that smallest current), "nucleation",
        "stripping_limit": those that apply.
    """
    asked = case.settings.physics.mechanisms
    found: dict[str, Any] = {}
    plating = spread.samples
    if "nucleation" in asked:
        normal = rate_errors(case, len(spread.samples))
        own = nucleation_currents(case, leaves, normal)
        found = _with_nucleation(case, parameters, spread.samples, own, reference)
        found["error_split"] = smallest_split(case, leaves, spread, normal)
        plating = found["samples"]
    if "voiding" in asked:
        found["stripping_limit"] = _stripping(case, parameters, leaves, plating)
    return found


def _with_nucleation(
    case: Case, parameters: Mapping[str, Any], initiation: np.ndarray, own: np.ndarray, reference: Reference
) -> dict[str, Any]:
    level, largest = case.settings.uncertainty.level, case.settings.protocol.maximum
    smallest = np.minimum(initiation, own)
    each = {"initiation": quantiles(initiation, level, largest), "nucleation": quantiles(own, level, largest)}
    first = min(each, key=lambda name: each[name]["value"])
    figures = nucleation_figures(case, parameters, reference.critical["current_density"])
    return {
        "ccd": quantiles(smallest, level, largest) | {"level": level, "unit": "mA/cm^2", "mechanism": first},
        "mechanisms": each, "samples": np.minimum(smallest, largest),
        "first_mechanism": {"initiation": float(np.mean(initiation <= own)), "nucleation": float(np.mean(own < initiation))},
        "at_best_values": best_values(reference, figures["critical_mA_per_cm2"]), "nucleation": figures,
    }  # fmt: skip


def best_values(reference: Reference, nucleation: float | None) -> dict[str, Any]:
    """The smallest of the plating mechanisms at the best values, which it is, and each alone; mA/cm² (`nucleation` too)."""
    initiation, stalled = reference.critical["current_density"] / 10, reference.stalled / 10
    first = "initiation" if nucleation is None or initiation <= nucleation else "nucleation"
    value = initiation if nucleation is None else min(initiation, nucleation)
    return {
        "value": value, "without_redistribution": stalled if nucleation is None else min(stalled, nucleation),
        "unit": "mA/cm^2", "mechanism": first, "limited_by": first if first == "nucleation" else reference.critical["limited_by"],
        "each": {"initiation": initiation, "nucleation": nucleation},
    }  # fmt: skip


def smallest_split(
    case: Case, leaves: Mapping[str, np.ndarray], spread: Spread, normal: np.ndarray, rows: int = SPLIT_ROWS
) -> dict[str, float]:
    """Shares of the variance of ln min(initiation, nucleation) by origin: inputs, errors of initiation, table of rates.

    First-order Sobol indices as in `sampling.error_split`; the errors of surrogate, mesh and closure are numbers like the inputs,
    as they count only in draws where initiation comes first.

    Args:
        case: the case.
        leaves: draws of every input, shape (n,) each.
        spread: of initiation.
        normal: errors of the table of rates, shape (n,), standard errors.
        rows: samples behind the split.
    """
    names = [RATES] if case.rates else []
    varying = {key: np.asarray(values) for key, values in leaves.items() if np.ptp(values) > 0}
    everything = varying | dict(spread.errors) | {name: normal for name in names}
    fixed = {key: values[:1] for key, values in leaves.items() if key not in varying}
    kept: dict[bytes, np.ndarray] = {}

    def logarithm(mixed: Mapping[str, np.ndarray]) -> np.ndarray:
        own = {key: mixed[key] if key in mixed else np.broadcast_to(fixed[key], (rows,)) for key in leaves}
        nucleation = _nucleation(case, own, mixed.get(RATES, np.zeros(rows)), kept)
        both = np.minimum(spread.logarithm(mixed), np.log(np.maximum(nucleation, SMALLEST_CURRENT)))
        return np.maximum(both, np.log(SMALLEST_CURRENT))

    rng = np.random.default_rng([case.settings.uncertainty.seed, 11])
    return shares(first_order(logarithm, everything, rng, rows))


def _nucleation(case: Case, leaves: Mapping[str, np.ndarray], normal: np.ndarray, kept: dict[bytes, np.ndarray]) -> np.ndarray:
    """`nucleation_currents`, found once for each set of the inputs that it depends on (most numbers change none of them)."""
    from multiscale.critical_current.other_mechanisms import nucleation_inputs

    inputs = nucleation_inputs(case, leaves)
    numbers = [getattr(inputs.cell, name) for name in inputs.cell.__dataclass_fields__]
    numbers += [getattr(inputs, name) for name in inputs.__dataclass_fields__ if name not in ("cell", "table", "table_normal")]
    key = b"".join(np.ascontiguousarray(number, dtype=float).tobytes() for number in (*numbers, normal))
    if key not in kept:
        kept[key] = nucleation_currents(case, leaves, normal)
    return kept[key]


def _stripping(
    case: Case, parameters: Mapping[str, Any], leaves: Mapping[str, np.ndarray], plating: np.ndarray
) -> dict[str, Any]:
    """The limit of the stripped electrode beside the critical current of plating (A/m², of the same draws)."""
    total, _ = voiding_currents(case, leaves)
    at_best, creep_best = voiding_currents(case, nominal(parameters))
    level = case.settings.uncertainty.level
    return quantiles(total, level, np.inf) | {
        "unit": "mA/cm^2", "level": level, "at_best_values": float(at_best[0]) / 10,
        "by_creep_at_best_values": float(creep_best[0]) / 10, "first_in_share_of_draws": float(np.mean(total < plating)),
        "of": "the stripped electrode: voids form beyond it; not part of the critical current of plating",
    }  # fmt: skip


def quantiles(currents: np.ndarray, level: float, largest: float) -> dict[str, Any]:
    """Median and interval of critical currents (A/m²), in mA/cm², not above the protocol's largest."""
    kept, tail = np.minimum(currents, largest), (1 - level) / 2
    low, median, high = (float(q) / 10 for q in np.quantile(kept, [tail, 0.5, 1 - tail]))
    beyond = float(np.mean(currents >= largest))
    return {"value": median, "low": low, "high": high, "bound": "lower" if beyond > tail else None}

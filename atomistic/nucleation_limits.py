"""What a run without a rate still tells of nucleation: the barrier, or how high it is at least, and how fast it is at most.

Three upper limits (95 %) of the rate J; the smallest is told:

- Zero or few events. A nucleus must grow beyond the size n* (top of F, or the largest size seen with bias where F has no top).
  Of the unbiased walkers, time t in all in the volume V, k did: J <= μ(k)/(V t) with the Poisson limit μ (3.0 for none). Drive
  against the metal (η above that of the cell, pressure) only slows that down, drive towards it needs the other limit.
- Mean first passage along F(n) (`nucleation.waiting_time`) at the largest attachment rate that the unbiased runs allow, the upper
  limit of the slope of ⟨Δn²⟩/2 (`nucleation.joining_of`), at least μ(0)/t, taken from the mean size to the critical one as the
  surface grows, (n*/n)^(2/3) (Auer & Frenkel 2004), with 1.645 errors of ln τ on top.
- Joining. A nucleus is larger than every cluster that was seen, so an atom must join one of that size: J <= k/V, k at that size
  by the surface, whatever F is beyond it. k is the limit of D or, where it is larger, that of ⟨Δn²⟩/2 over a single interval: a
  size that falls back within the lags leaves no slope, yet atoms join it all the time, and a strong drive lets them stay.
  Rattling and joins at every size are in it, joins undone within the interval are not. It holds for every drive and knows
  nothing of it, but that, as in the other limits and in `nucleation.table`, the rate at which atoms join does not change with it.

The barrier is the top of F over its least value before; where F has not fallen behind its top, that is a lower limit, and so is
the free energy of clusters so rare that no unbiased look saw one.
"""

import contextlib
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from atomistic.brownian import ONE_SIDED_95
from atomistic.correlated import looks, mean_error
from atomistic.diffusivity import poisson_limit
from atomistic.metadynamics import FreeEnergy
from atomistic.nucleation import FALL, RATE_UNIT, Attachment, drive, few_memories, joining_of, visited, waiting_time
from coupling.constants import BOLTZMANN, ELEMENTARY_CHARGE
from coupling.errors import UserError
from coupling.record import Property

LEVEL = 0.95
"""Of the limits."""
LOOKS_OF_EACH = 10.0
"""Fewest independent looks of an unbiased walker that bear a bound: fewer may be made by drift from where walkers began."""


def seen(sizes: np.ndarray, interval: float, lags: int) -> dict[str, Any]:
    """What unbiased sizes (walkers, frames), `interval` seconds apart, bear in any case, JSON-ready.

    "unbiased_s": time of all walkers; "grown": largest size of each; "attachment_limit": upper limit of D, 1/s, and
    "joining_limit": that of joins, those that do not last included; "looks": how many independent sizes they make
    (`correlated.looks`).
    """
    time = float(sizes.size * interval)
    found = joining_of(sizes, interval, (0.0, math.inf), lags)
    limit = max(found.upper, poisson_limit(0) / time)
    squares = np.diff(sizes, axis=1).ravel() ** 2
    joins = float(squares.mean() + ONE_SIDED_95 * mean_error(squares)) / (2 * interval)
    return {"unbiased_s": time, "grown": sizes.max(axis=1).tolist(), "attachment_limit": limit,
            "joining_limit": max(limit, joins), "looks": looks(sizes)}  # fmt: skip


def barrier_record(
    free: FreeEnergy, answer: Mapping[str, Any], temperature: float, material: str, source: Mapping[str, Any],
    cell_overpotential: float | None = None, sampling: str = "well-tempered metadynamics",
) -> Property:  # fmt: skip
    """Barrier of F(n) without further drive, J: an estimate, or a lower bound where the top was not passed; F(n) in the source.

    Where there is no F(n) to speak of the bound is that of the unbiased `looks` N, none of which saw a larger cluster: their
    share P <= 1 - 0.05^(1/N), the free energy of larger ones at least -k_B T ln P. `sampling`: what F(n) is from, in words.

    Raises:
        UserError: no free energy and fewer than LOOKS_OF_EACH, or no rise beyond its error.
    """
    thermal = BOLTZMANN * temperature
    where = _against(temperature, cell_overpotential or 0.0, 0.0, cell_overpotential)
    method = f"F(n) of the largest cluster by {sampling}"
    try:
        found = waiting_time(free, Attachment(1.0, 0.0, np.zeros(0), np.zeros(0)), 0.0, thermal)
    except UserError:
        least, size, told = _by_looking(free, answer, thermal)
        return Property(material, "nucleation_barrier", least, "J", bound="lower", conditions={**where, "critical_size": size},
                        source={**source, "method": told})  # fmt: skip
    part, electronvolts = visited(free), thermal / free.thermal / ELEMENTARY_CHARGE
    values = (free.values[part] - free.values[part].min()) * electronvolts
    few = few_memories(free)
    told_of = {
        **source, **few, "sizes": free.grid[part].tolist(), "free_energy_eV": values.round(5).tolist(),
        "free_energy_stderr_eV": (free.stderr[part] * electronvolts).round(5).tolist(),
    }  # fmt: skip
    conditions = {**where, "critical_size": found.critical}
    if not found.bound:
        return Property(material, "nucleation_barrier", found.barrier, "J", stderr=found.barrier_stderr, conditions=conditions,
                        source={**told_of, "method": method}, confidence="low" if few else "computed")  # fmt: skip
    least, seen_to = found.barrier - ONE_SIDED_95 * found.barrier_stderr, f"sizes up to {free.grid[part][-1]:g} were seen"
    if not least > 0:
        height = f"{found.barrier / ELEMENTARY_CHARGE:.3g} ± {found.barrier_stderr / ELEMENTARY_CHARGE:.2g} eV"
        raise UserError(f"barrier: {height} at {found.critical:g} atoms ({seen_to}) is nothing beyond its error")
    method += f", lower bound (95 %): highest at {found.critical:g} atoms and no fall of {FALL:g} k_B T behind it ({seen_to})"
    return Property(material, "nucleation_barrier", least, "J", bound="lower", conditions=conditions,
                    source={**told_of, "method": method}, confidence="low" if few else "computed")  # fmt: skip


def _by_looking(free: FreeEnergy, answer: Mapping[str, Any], thermal: float) -> tuple[float, float, str]:
    """Lower limit of the barrier, J, the size it speaks of, and how it was got: no larger cluster in the unbiased runs."""
    size, looks, walkers = _largest(free), answer["looks"], len(answer["grown"])
    few = f"barrier: too few sizes were seen for F(n), up to {size:g} atoms, and"
    if looks < (needed := LOOKS_OF_EACH * walkers):
        told = f"the unbiased runs of {walkers} walkers make {looks:.2g} independent looks"
        raise UserError(f"{few} {told}, where {needed:g} bear a bound (fewer may be drift): run longer")
    least = -thermal * (math.log(-math.expm1(math.log(1 - LEVEL) / looks)) + float(free.values.min()) / free.thermal)
    if max(answer["grown"]) > size or not least > 0:
        raise UserError(f"{few} {looks:.3g} independent looks at the unbiased runs bear no bound: run longer")
    told = f"lower bound (95 %): none of {looks:.3g} independent looks in {answer['unbiased_s'] * 1e12:.3g} ps of unbiased MD"
    return least, size, f"{told} saw more than {size:g} atoms"


def _largest(free: FreeEnergy) -> float:
    """Upper edge of the last bin that was visited, atoms."""
    return float(free.grid[np.isfinite(free.values)].max()) + _half(free)


def _half(free: FreeEnergy) -> float:
    """Half the width of a bin, atoms; where there is a single bin it is one atom wide."""
    return float(free.grid[1] - free.grid[0]) / 2 if len(free.grid) > 1 else 0.5


def table(
    free: FreeEnergy, answer: Mapping[str, Any], volume: float, temperature: float, overpotentials: Sequence[float],
    pressures: Sequence[float], material: str, source: Mapping[str, Any], cell_overpotential: float | None = None,
) -> list[Property]:  # fmt: skip
    """Upper limits of the rate at every overpotential and pressure.

    Where a stronger drive has a lower limit it holds for the weaker one as well: the least of several, yet of one F(n) and one
    attachment rate, it holds in 94 to 98 % (tests/test_nucleation_coverage.py).

    Args:
        free: F(n). answer: with what `seen` gives and "mean_size" of the unbiased runs. volume: m³. Others as `nucleation.table`.
    """
    drives = {(η, p): drive(η, p, cell_overpotential or 0.0) for η in overpotentials for p in pressures}
    limits = [(per_atom, *_limit(free, answer, volume, temperature, per_atom)) for per_atom in drives.values()]
    found: list[Property] = []
    for (η, p), per_atom in drives.items():
        above = (one for one in limits if one[0] >= per_atom)
        own, value, size, method, few = min(above, key=lambda one: (round(one[1], 9), one[0]))
        if own > per_atom:
            method = f"a rate does not fall as the drive rises: bound at {own / ELEMENTARY_CHARGE:.3g} eV an atom; {method}"
        told = {**source, **few, "method": f"upper bound (95 %): {method}", "unbiased_picoseconds": answer["unbiased_s"] * 1e12}
        conditions = {**_against(temperature, η, p, cell_overpotential), "rate_unit": RATE_UNIT, "critical_size": size}
        found.append(Property(material, "log10_nucleation_rate", value, "1", bound="upper", conditions=conditions, source=told,
                              confidence="low" if few else "computed"))  # fmt: skip
    return found


def _against(temperature: float, overpotential: float, pressure: float, cell_overpotential: float | None) -> dict[str, Any]:
    reference = "lithium of the cell itself" if cell_overpotential is None else "lithium metal"
    return {"temperature_K": temperature, "overpotential_V": overpotential, "pressure_Pa": pressure,
            "overpotential_against": reference}  # fmt: skip


def _limit(
    free: FreeEnergy, answer: Mapping[str, Any], volume: float, temperature: float, per_atom: float
) -> tuple[float, float, str, dict[str, str]]:
    """The smallest upper limit of log10 J, the size it speaks of, how it was got, and `few_memories` of F(n) where it is from it.

    Of two limits of 95 % the smaller holds in 90 % at least; passage and joining take nearly the same attachment rate.
    """
    candidates = [] if per_atom > 0 else [_by_counting(free, answer, volume, temperature)]
    with contextlib.suppress(UserError):  # too few sizes for F(n)
        candidates.append(_by_passage(free, answer, volume, temperature, per_atom))
    candidates.append(_by_joining(free, answer, volume))
    return min(candidates, key=lambda one: round(one[0], 9))  # of equal ones the first


def _by_counting(
    free: FreeEnergy, answer: Mapping[str, Any], volume: float, temperature: float
) -> tuple[float, float, str, dict[str, str]]:
    """From the number of unbiased walkers that grew beyond the critical size of no further drive."""
    unit = Attachment(1.0, 0.0, np.zeros(0), np.zeros(0))
    try:
        found = waiting_time(free, unit, 0.0, BOLTZMANN * temperature)
        size = found.critical + (_half(free) if found.bound else 0.0)  # sizes of the last bin seen lie below its upper edge
    except UserError:
        size = _largest(free)
    grown = sum(one > size for one in answer["grown"])
    value = math.log10(poisson_limit(grown) / (volume * answer["unbiased_s"]))
    many, time = len(answer["grown"]), answer["unbiased_s"] * 1e12
    told = f"{grown} of {many} unbiased walkers, {time:.3g} ps in all, grew beyond {size:g} atoms; Poisson limit"
    return value, size, f"{told} {poisson_limit(grown):.2f} events", {}


def _by_passage(
    free: FreeEnergy, answer: Mapping[str, Any], volume: float, temperature: float, per_atom: float
) -> tuple[float, float, str, dict[str, str]]:
    """From F(n) and the largest attachment rate."""
    limit = answer["attachment_limit"]
    found = waiting_time(free, Attachment(limit, 0.0, np.zeros(0), np.zeros(0)), per_atom, BOLTZMANN * temperature)
    surface = _surface(found.critical, answer)
    log = -found.log_time - math.log(volume) + ONE_SIDED_95 * found.stderr + math.log(surface)
    told = f"mean first passage along F(n), attachment rate at most {limit:.3g} 1/s at {answer['mean_size']:.3g} atoms"
    told += f", {surface:.3g} times that at the critical size (by its surface)"
    return log / math.log(10), found.critical, told, few_memories(free)


def _by_joining(free: FreeEnergy, answer: Mapping[str, Any], volume: float) -> tuple[float, float, str, dict[str, str]]:
    """From the largest rate of joining alone: an atom joins a cluster of the largest size seen. An older answer has that of D."""
    limit, size = answer.get("joining_limit", answer["attachment_limit"]), max(_largest(free), *answer["grown"])
    surface = _surface(size, answer)
    told = f"no nucleus before an atom joins a cluster of {size:.3g} atoms, the largest seen; atoms join at most "
    told += f"{limit:.3g} times a second at {answer['mean_size']:.3g} atoms, {surface:.3g} times that at the largest "
    told += "(by its surface)"
    return math.log10(limit * surface / volume), size, told, {}


def _surface(size: float, answer: Mapping[str, Any]) -> float:
    """Surface of a cluster over that of the mean size, at which attachment was seen."""
    return float(max(1.0, size / max(1.0, answer["mean_size"])) ** (2 / 3))

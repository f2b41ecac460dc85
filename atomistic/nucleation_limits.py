"""What a run without a rate still tells of nucleation: the barrier, or how high it is at least, and how fast it is at most.

Two upper limits (95 %) of the rate J; the smaller one is told:

- Zero or few events. A nucleus must grow beyond the size n* (top of F, or the largest size seen with bias where F has no top).
  Of the unbiased walkers, time t in all in the volume V, k did: J <= μ(k)/(V t) with the Poisson limit μ (3.0 for none). Drive
  against the metal (η above that of the cell, pressure) only slows that down, drive towards it needs the other limit.
- Mean first passage along F(n) (`nucleation.waiting_time`) at the largest attachment rate that the unbiased runs allow, slope of
  ⟨Δn²⟩/2 plus 1.645 errors, at least μ(0)/t, taken from the mean size to the critical one as the surface grows, (n*/n)^(2/3)
  (Auer & Frenkel 2004), with 1.645 errors of ln τ on top.

The barrier is the top of F over its least value before; where F has not fallen behind its top, that is a lower limit.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from atomistic.brownian import ONE_SIDED_95
from atomistic.diffusivity import poisson_limit
from atomistic.metadynamics import FreeEnergy
from atomistic.nucleation import RATE_UNIT, Attachment, drive, joining_of, visited, waiting_time
from coupling.constants import BOLTZMANN, ELEMENTARY_CHARGE
from coupling.errors import UserError
from coupling.record import Property


def seen(sizes: np.ndarray, interval: float, lags: int) -> dict[str, Any]:
    """What unbiased sizes (walkers, frames), `interval` seconds apart, bear in any case, JSON-ready.

    "unbiased_s": time of all walkers; "grown": largest size of each; "attachment_limit": upper limit of D, 1/s.
    """
    time = float(sizes.size * interval)
    found = joining_of(sizes, interval, (0.0, math.inf), lags)
    limit = max(found.value + ONE_SIDED_95 * found.stderr, poisson_limit(0) / time)
    return {"unbiased_s": time, "grown": sizes.max(axis=1).tolist(), "attachment_limit": limit}


def barrier_record(
    free: FreeEnergy, temperature: float, material: str, source: Mapping[str, Any], cell_overpotential: float | None = None
) -> Property:
    """Barrier of F(n) without further drive, J: an estimate, or a lower bound where the top was not passed; F(n) in the source.

    Raises:
        UserError: no free energy to speak of, or no rise beyond its error.
    """
    thermal = BOLTZMANN * temperature
    found = waiting_time(free, Attachment(1.0, 0.0, np.zeros(0), np.zeros(0)), 0.0, thermal)
    part, electronvolts = visited(free), thermal / free.thermal / ELEMENTARY_CHARGE
    values = (free.values[part] - free.values[part].min()) * electronvolts
    told = {
        **source, "sizes": free.grid[part].tolist(), "free_energy_eV": values.round(5).tolist(),
        "free_energy_stderr_eV": (free.stderr[part] * electronvolts).round(5).tolist(),
    }  # fmt: skip
    conditions = {**_against(temperature, cell_overpotential or 0.0, 0.0, cell_overpotential), "critical_size": found.critical}
    method = "F(n) of the largest cluster by well-tempered metadynamics"
    if not found.bound:
        return Property(material, "nucleation_barrier", found.barrier, "J", stderr=found.barrier_stderr, conditions=conditions,
                        source={**told, "method": method})  # fmt: skip
    least = found.barrier - ONE_SIDED_95 * found.barrier_stderr
    if not least > 0:
        height = f"{found.barrier / ELEMENTARY_CHARGE:.3g} ± {found.barrier_stderr / ELEMENTARY_CHARGE:.2g} eV"
        raise UserError(f"barrier: {height} up to {found.critical:g} atoms, the largest size seen, is nothing beyond its error")
    method += f", lower bound (95 %): no fall behind a top up to {found.critical:g} atoms, the largest size seen"
    return Property(material, "nucleation_barrier", least, "J", bound="lower", conditions=conditions,
                    source={**told, "method": method})  # fmt: skip


def table(
    free: FreeEnergy, answer: Mapping[str, Any], volume: float, temperature: float, overpotentials: Sequence[float],
    pressures: Sequence[float], material: str, source: Mapping[str, Any], cell_overpotential: float | None = None,
) -> tuple[list[Property], list[str]]:  # fmt: skip
    """Upper limits of the rate at every overpotential and pressure, and which are missing, and why.

    Args:
        free: F(n). answer: with what `seen` gives and "mean_size" of the unbiased runs. volume: m³. Others as `nucleation.table`.
    """
    found: list[Property] = []
    missing: dict[str, list[str]] = {}
    for η in overpotentials:
        for p in pressures:
            try:
                value, size, method = _limit(free, answer, volume, temperature, drive(η, p, cell_overpotential or 0.0))
            except UserError as error:
                missing.setdefault(str(error), []).append(f"{η:g} V, {p:g} Pa")
                continue
            told = {**source, "method": f"upper bound (95 %): {method}", "unbiased_picoseconds": answer["unbiased_s"] * 1e12}
            conditions = {**_against(temperature, η, p, cell_overpotential), "rate_unit": RATE_UNIT, "critical_size": size}
            record = Property(material, "log10_nucleation_rate", value, "1", bound="upper", conditions=conditions, source=told)
            found.append(record)
    return found, [f"no bound of the rate at {'; '.join(where)}: {why}" for why, where in missing.items()]


def _against(temperature: float, overpotential: float, pressure: float, cell_overpotential: float | None) -> dict[str, Any]:
    reference = "lithium of the cell itself" if cell_overpotential is None else "lithium metal"
    return {"temperature_K": temperature, "overpotential_V": overpotential, "pressure_Pa": pressure,
            "overpotential_against": reference}  # fmt: skip


def _limit(
    free: FreeEnergy, answer: Mapping[str, Any], volume: float, temperature: float, per_atom: float
) -> tuple[float, float, str]:
    """The smaller upper limit of log10 J, the size it speaks of, and how it was got."""
    candidates = [] if per_atom > 0 else [_by_counting(free, answer, volume, temperature)]
    try:
        candidates.append(_by_passage(free, answer, volume, temperature, per_atom))
    except UserError:
        if not candidates:
            raise
    return min(candidates)


def _by_counting(free: FreeEnergy, answer: Mapping[str, Any], volume: float, temperature: float) -> tuple[float, float, str]:
    """From the number of unbiased walkers that grew beyond the critical size of no further drive."""
    unit = Attachment(1.0, 0.0, np.zeros(0), np.zeros(0))
    half = float(free.grid[1] - free.grid[0]) / 2  # sizes of the last bin seen lie below its upper edge
    try:
        found = waiting_time(free, unit, 0.0, BOLTZMANN * temperature)
        size = found.critical + (half if found.bound else 0.0)
    except UserError:
        size = float(free.grid[np.isfinite(free.values)].max()) + half
    grown = sum(one > size for one in answer["grown"])
    value = math.log10(poisson_limit(grown) / (volume * answer["unbiased_s"]))
    many, time = len(answer["grown"]), answer["unbiased_s"] * 1e12
    told = f"{grown} of {many} unbiased walkers, {time:.3g} ps in all, grew beyond {size:g} atoms; Poisson limit"
    return value, size, f"{told} {poisson_limit(grown):.2f} events"


def _by_passage(
    free: FreeEnergy, answer: Mapping[str, Any], volume: float, temperature: float, per_atom: float
) -> tuple[float, float, str]:
    """From F(n) and the largest attachment rate."""
    limit = answer["attachment_limit"]
    found = waiting_time(free, Attachment(limit, 0.0, np.zeros(0), np.zeros(0)), per_atom, BOLTZMANN * temperature)
    surface = max(1.0, found.critical / max(1.0, answer["mean_size"])) ** (2 / 3)
    log = -found.log_time - math.log(volume) + ONE_SIDED_95 * found.stderr + math.log(surface)
    told = f"mean first passage along F(n), attachment rate at most {limit:.3g} 1/s at {answer['mean_size']:.3g} atoms"
    return log / math.log(10), found.critical, f"{told}, {surface:.3g} times that at the critical size (by its surface)"

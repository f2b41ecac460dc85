"""Nucleation from the free energy of the largest cluster: barrier, kinetic prefactor, rate against overpotential and pressure.

The size n moves diffusively along F(n) = -k_B T ln p(n) with D(n), the rate at which atoms join a cluster of that size. The
waiting time for a cluster beyond the barrier is the mean first passage time from n_a to n_b,

    τ = ∫_{n_a}^{n_b} exp[F(y)/k_B T]/D(y) ∫_{n_min}^y exp[-F(x)/k_B T] dx dy,      J = 1/(V τ).

An overpotential η (negative when plating) and a pressure p on the metal tilt it,

    F(n; η, p) = F(n) - n [-e (η - η_cell) - p v_Li],

where η_cell is the overpotential that the lithium of the cell itself stands for (its chemical potential against the metal over
-e), v_Li the volume of an atom. The tilt is exact for the equilibrium; that D does not change with it is an assumption.

Where F does not fall by FALL k_B T before the largest size reached, the barrier lies beyond: τ is then a lower bound, J an
upper one. Small cells empty themselves of lithium as the cluster grows, which raises F: compare two cells.

D from unbiased runs: ⟨[n(t) - n(0)]²⟩ = 2 D t + const; the constant holds the rattling of the smooth count.

Sources: Becker & Döring 1935; Zeldovich 1943; Auer & Frenkel, Annu. Rev. Phys. Chem. 55, 333 (2004) (D from MD; memory);
docs/physics.md 1.8, 1.9.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy import stats

from atomistic.correlated import ONE_SIGMA, jackknife_error
from atomistic.escape import escape_rate
from atomistic.metadynamics import FreeEnergy
from coupling import nucleation as classical
from coupling.constants import AVOGADRO, BOLTZMANN, ELEMENTARY_CHARGE, LITHIUM_MOLAR_VOLUME
from coupling.errors import UserError
from coupling.record import TWO_SIDED_95, Confidence, Property

FALL = 2.0
"""How far (k_B T) the free energy must have fallen behind its top for the top to be a barrier."""
RATE_UNIT = "1/(m^3*s)"
LARGEST_NUCLEUS = 1e4
"""Atoms of a critical nucleus beyond which the classical theory says only that nothing nucleates."""
AGE_OF_THE_UNIVERSE = 4.35e17
"""s (13.8 billion years; Planck Collaboration, Astron. Astrophys. 641, A6 (2020), memory)."""
MINIMUM_BLOCKS = 10
NEAR = 1.0
"""Depth (k_B T) of the part of F that its top, or its foot, is read from."""
CROSSINGS, OF_EACH = 6, 2
"""Fewest crossings of the range of sizes, by all walkers together and by each of them (there and back) in the mean, that errors
of F(n) hold of (tests/test_nucleation_coverage.py)."""
FEWEST_SQUARES = 5.0
"""Least degrees of freedom of a mean of squares."""


@dataclass(frozen=True)
class Attachment:
    """Rate D at which atoms join the cluster, 1/s, its standard error, and the lags (s) and ⟨Δn²⟩ it was read from.

    `upper`: limit (95 %) that D lies below; infinite where none was sought.
    """

    value: float
    stderr: float
    lags: np.ndarray
    squares: np.ndarray
    upper: float = math.inf


def attachment(sizes: np.ndarray, interval: float, near: tuple[float, float], lags: int = 10) -> Attachment:
    """Attachment rate from unbiased series of the size.

    Args:
        sizes: (frames,) of one run or (runs, frames). interval: between frames, s. near: sizes from which a step is counted.
        lags: longest lag, frames; the slope is taken from the second half of them.

    Raises:
        UserError: fewer than MINIMUM_BLOCKS steps' worth of blocks start near that size, or no growth of ⟨Δn²⟩ beyond its error.
    """
    found = joining_of(sizes, interval, near, lags)
    if found.value <= 2 * found.stderr:
        raise UserError(f"attachment rate: {found.value:.3g} ± {found.stderr:.3g} 1/s is zero within its error: run longer")
    return found


def joining_of(sizes: np.ndarray, interval: float, near: tuple[float, float], lags: int) -> Attachment:
    """As `attachment`, zero within its error or not.

    A run of small squares tells a small D and a small error of it alike: the error of the jackknife is short by what it is for a
    chi-square of 2 (S/δS)² degrees of freedom (`_of_squares`), S ± δS the mean ⟨Δn²⟩ of the fitted lags, of Gaussian squares
    (Satterthwaite, Biometrics Bull. 2, 110 (1946), memory). A D below 0 counts as 0 for the upper limit.
    """
    runs = np.atleast_2d(np.asarray(sizes, dtype=float))
    if not np.isfinite(runs).all() or lags < 4 or runs.shape[1] <= 2 * lags:
        raise UserError(f"attachment rate: finite sizes of more than {2 * max(lags, 4)} frames and at least 4 lags are needed")
    start = runs[:, :-lags]
    inside = (start >= near[0]) & (start <= near[1])
    begins, steps = np.unique(np.arange(MINIMUM_BLOCKS) * start.shape[1] // MINIMUM_BLOCKS), np.arange(1, lags + 1)
    starts = np.add.reduceat(inside.astype(float), begins, axis=1).ravel()
    if (groups := int((starts > 0).sum())) < MINIMUM_BLOCKS:
        raise UserError(f"attachment rate: the size lies between {near[0]:g} and {near[1]:g} in {groups} of the blocks; "
                        f"{MINIMUM_BLOCKS} are needed: run longer, or several runs from such a size")  # fmt: skip
    moved = np.array([(runs[:, lag : lag + start.shape[1]] - start) ** 2 for lag in steps]) * inside
    sums, counts = np.add.reduceat(moved, begins, axis=2).reshape(lags, -1).T[starts > 0], starts[starts > 0]
    squares = sums.sum(axis=0) / counts.sum()
    left_out = (sums.sum(axis=0) - sums) / (counts.sum() - counts)[:, None]
    late = steps > lags // 2
    curves = np.vstack([squares, left_out])[:, late]
    read = np.column_stack([np.polyfit(steps[late] * interval, curves.T, 1)[0] / 2, curves.mean(axis=1)])
    (value, square), (error, unsure) = read[0], jackknife_error(read[1:])
    wider, upper = _of_squares(2 * (square / unsure) ** 2 if unsure > 0 else math.inf)
    most = max(float(value), 0.0) + upper * float(error)
    return Attachment(float(value), wider * float(error), steps * interval, squares, most)


def _of_squares(freedom: float) -> tuple[float, float]:
    """Half-width of the central 68.27 % about a mean of squares, and its upper limit (95 %) above it, both over its error.

    The mean of ν squares m scatters as the truth times χ²/ν: ν/χ²_(1-p) m bounds the truth at the level p, and its error is
    √(2/ν) m. Of many squares both are those of a normal distribution, 1 and 1.645; fewer than FEWEST_SQUARES count as those (few
    jumps are counted: Poisson's limit of one of them is lower).
    """
    ν = float(np.clip(freedom, FEWEST_SQUARES, 1e6))
    low, high, limit = ν / stats.chi2.ppf((ONE_SIGMA, 1 - ONE_SIGMA, 0.05), ν)
    return float((high - low) / 2 / math.sqrt(2 / ν)), float((limit - 1) / math.sqrt(2 / ν))


@dataclass(frozen=True)
class Waiting:
    """Waiting time for nucleation in the cell.

    Attributes:
        log_time: ln of τ in s; stderr: of ln τ. barrier: top of F over its least value before, J (`_height`). barrier_stderr: J.
        critical: size at the top. bound: whether the top was not passed, so that τ is only a lower bound.
    """

    log_time: float
    stderr: float
    barrier: float
    barrier_stderr: float
    critical: float
    bound: bool


def drive(overpotential: float, pressure: float, cell_overpotential: float = 0.0) -> float:
    """Energy (J) that each atom of the cluster gains beyond what the cell gives: -e (η - η_cell) - p v_Li."""
    volume = LITHIUM_MOLAR_VOLUME / AVOGADRO
    return -ELEMENTARY_CHARGE * (overpotential - cell_overpotential) - pressure * volume


def waiting_time(free: FreeEnergy, joining: Attachment, per_atom: float, thermal: float) -> Waiting:
    """Waiting time along a free energy tilted by `per_atom` (J per atom); `free.thermal` in any unit, `thermal` k_B T in J.

    Raises:
        UserError: fewer than five sizes were visited in a row, so that there is no free energy to speak of.
    """
    known = visited(free)
    n = free.grid[known]
    tilt = n * per_atom / thermal
    curve = free.values[known] / free.thermal - tilt
    copies = free.replicates[:, known] / free.thermal - tilt
    log_time, top, foot, passed = _passage(n, curve)
    replicas = np.array([_passage(n, copy)[0] for copy in copies])
    barrier, *barriers = _height(n, curve, np.vstack([curve, copies]), top, foot)
    relative = joining.stderr / joining.value
    return Waiting(
        log_time - math.log(joining.value), float(np.hypot(jackknife_error(replicas), relative)),
        float(barrier) * thermal, float(jackknife_error(np.array(barriers))) * thermal, float(n[top]), not passed,
    )  # fmt: skip


def visited(free: FreeEnergy) -> slice:
    """The unbroken run of bins that hold the most probable size and were seen in every block estimate.

    Raises:
        UserError: fewer than five.
    """
    good = np.isfinite(free.values) & np.isfinite(free.stderr)
    best = int(np.argmin(np.where(good, free.values, np.inf)))
    low = high = best
    while low > 0 and good[low - 1]:
        low -= 1
    while high + 1 < len(good) and good[high + 1]:
        high += 1
    if high - low < 4:
        sizes = "1 size was" if high == low else f"{high - low + 1} neighbouring sizes were"
        raise UserError(f"nucleation: only {sizes} visited, five are needed for F(n): run longer, or lay higher hills")
    return slice(low, high + 1)


def _passage(n: np.ndarray, curve: np.ndarray) -> tuple[float, int, int, bool]:
    """The logarithm of τ D, the places of top and foot, and whether the top was passed; `curve` in k_B T.

    The foot is the lowest place before the first rise by FALL, the top the highest before the next fall by FALL, where the
    passage ends; without such a rise or fall the passage is that through all sizes.
    """
    risen = np.flatnonzero(curve - np.minimum.accumulate(curve) >= FALL)
    foot = int(np.argmin(curve[: risen[0] + 1])) if len(risen) else 0
    behind = curve[foot:]
    fallen = np.flatnonzero(np.maximum.accumulate(behind) - behind >= FALL) if len(risen) else np.zeros(0, dtype=int)
    end = foot + int(fallen[0]) if len(fallen) else len(curve) - 1
    top = foot + int(np.argmax(curve[foot : end + 1]))
    step, base = n[1] - n[0], curve[: end + 1].min()
    weights = np.exp(base - curve[: end + 1])
    inner = (np.cumsum(weights) - weights / 2) * step
    terms = (curve[: end + 1] - base + np.log(inner))[foot:]
    largest = float(terms.max())
    return largest + math.log(float(np.exp(terms - largest).sum()) * step), top, foot, bool(len(fallen))


def _height(n: np.ndarray, curve: np.ndarray, rows: np.ndarray, top: int, foot: int) -> np.ndarray:
    """How far (rows,) the top of each row (rows, bins) lies above its foot, in k_B T.

    The highest of noisy values is too high: both ends are those of a parabola through the bins around that differ by less than
    NEAR on the `curve`; the value itself where these are fewer than four.
    """

    def fitted(place: int) -> np.ndarray:
        far = np.flatnonzero(np.abs(curve - curve[place]) >= NEAR)
        near = slice(int(max(far[far < place], default=-1)) + 1, int(min(far[far > place], default=len(curve))))
        if near.stop - near.start < 4:
            return rows[:, place, None]
        x = n[near] - n[near].mean()
        return np.asarray((np.vander(np.linspace(x[0], x[-1], 101), 3) @ np.polyfit(x, rows[:, near].T, 2)).T)

    return np.asarray(fitted(top).max(axis=1) - fitted(foot).min(axis=1))


def few_memories(free: FreeEnergy) -> dict[str, str]:
    """{"low_confidence": why} of what is read off an F(n) whose walkers may remember where they began, else {}.

    Without hidden slow variables the size forgets where it began as it goes across the range that the bias has opened.
    """
    needed = max(CROSSINGS, OF_EACH * free.walkers)
    if free.crossings >= needed:
        return {}
    told = f"of the {free.walkers} walkers that F(n) is from, {free.crossings:g} went across their range of sizes"
    return {"low_confidence": f"{told} (up and down alike); its errors hold from {needed} crossings on"}


def rate_record(
    free: FreeEnergy, joining: Attachment, volume: float, temperature: float, overpotential: float, pressure: float,
    material: str, source: Mapping[str, Any], cell_overpotential: float | None = None,
) -> Property:  # fmt: skip
    """Decimal logarithm of the nucleation rate J (1/(m³ s)), an estimate with error and 95 % interval or an upper bound.

    Args:
        free: F(n). joining: D. volume: of the cell, m³. temperature: K. overpotential: η, V. pressure: Pa.
        cell_overpotential: what the cell stands for, V; None: not known, η is then counted from it and the record says so.
    """
    thermal = BOLTZMANN * temperature
    found = waiting_time(free, joining, drive(overpotential, pressure, cell_overpotential or 0.0), thermal)
    value, error = (-found.log_time - math.log(volume)) / math.log(10), found.stderr / math.log(10)
    reference = "lithium of the cell itself" if cell_overpotential is None else "lithium metal"
    conditions = {
        "temperature_K": temperature, "overpotential_V": overpotential, "pressure_Pa": pressure, "rate_unit": RATE_UNIT,
        "overpotential_against": reference, "critical_size": found.critical,
        "barrier_eV": found.barrier / ELEMENTARY_CHARGE, "barrier_stderr_eV": found.barrier_stderr / ELEMENTARY_CHARGE,
    }  # fmt: skip
    method = "mean first passage along F(n) of the largest cluster, attachment rate from unbiased MD"
    few = few_memories(free)
    told = {**source, **few, "method": method, "attachment_per_s": joining.value, "attachment_stderr_per_s": joining.stderr}
    sure: Confidence = "low" if few else "computed"
    name, limits = "log10_nucleation_rate", (value - TWO_SIDED_95 * error, value + TWO_SIDED_95 * error)
    if found.bound:
        return Property(material, name, value + 1.645 * error, "1", bound="upper", conditions=conditions, source=told,
                        confidence=sure)  # fmt: skip
    return Property(material, name, value, "1", stderr=error, low=limits[0], high=limits[1], conditions=conditions, source=told,
                    confidence=sure)  # fmt: skip


def escape_record(
    times: np.ndarray, acceleration: float, volume: float, temperature: float, material: str, source: Mapping[str, Any]
) -> Property:
    """Rate without further drive from infrequent metadynamics, decimal logarithm of J (1/(m³ s)), with its 95 % interval.

    Args:
        times: rescaled escape times (n,), s. acceleration: Σ t*/Σ t. volume: of the cell, m³. temperature: K.

    Raises:
        UserError: too few times, or times that are not exponential (Kolmogorov–Smirnov): there is no rate then.
    """
    found = escape_rate(times)
    if not found.trusted:
        mend = "rarer or lower hills, fewer of them towards the barrier, or a start in equilibrium are needed"
        told = f"{found.events} escape times are not exponential (p = {found.p_value:.3f})"
        raise UserError(f"infrequent metadynamics: {told}, so there is no rate; {mend}")
    value, low, high = (math.log10(rate / volume) for rate in (found.rate, found.low, found.high))
    conditions = {"temperature_K": temperature, "overpotential_V": 0.0, "pressure_Pa": 0.0, "rate_unit": RATE_UNIT,
                  "overpotential_against": "lithium of the cell itself", "p_value": found.p_value}  # fmt: skip
    made = {**source, "method": "infrequent metadynamics", "events": found.events, "acceleration": acceleration}
    error = found.stderr / found.rate / math.log(10)
    name = "log10_nucleation_rate"
    return Property(material, name, value, "1", stderr=error, low=low, high=high, conditions=conditions, source=made)


def classical_record(
    surface_energy: float, diffusivity: float, hop_length: float, sites: float, temperature: float, overpotential: float,
    pressure: float, material: str, surface_energy_stderr: float | None = None,
) -> Property | None:  # fmt: skip
    """The same rate by classical nucleation theory (coupling.nucleation), None where nothing nucleates.

    The barrier goes with γ³: the 95 % interval is that of the rates at γ ± 1.96 errors, the standard error half the distance of
    those at one error. Of low confidence is a nucleus of more than LARGEST_NUCLEUS atoms, and a rate below one event in a cubic
    metre in the AGE_OF_THE_UNIVERSE: the number tells no more than that nothing nucleates, or not even that where the interval
    reaches above.

    Args:
        surface_energy: J/m². diffusivity: of the ions around, m²/s. hop_length: m. sites: 1/m³. The others as `rate_record`.
        surface_energy_stderr: J/m², less than half of it; None: no error is told.
    """

    def nucleus_of(γ: float) -> classical.Nucleus:
        return classical.critical_nucleus(γ, overpotential, temperature, confinement=pressure)

    def log_rate(γ: float) -> float:
        joining = classical.attachment_frequency(nucleus_of(γ), diffusivity, hop_length)
        return classical.log10_rate(nucleus_of(γ), sites, joining, temperature)

    nucleus = nucleus_of(surface_energy)
    if math.isinf(nucleus.barrier):
        return None
    value = log_rate(surface_energy)
    conditions = {"temperature_K": temperature, "overpotential_V": overpotential, "pressure_Pa": pressure,
                  "rate_unit": RATE_UNIT, "critical_size": nucleus.atoms,
                  "barrier_eV": nucleus.barrier / ELEMENTARY_CHARGE}  # fmt: skip
    source: dict[str, Any] = {"method": classical.LABEL, "surface_energy_J_per_m2": surface_energy, "sites_per_m3": sites,
                              "diffusivity_m2_per_s": diffusivity, "hop_length_m": hop_length}  # fmt: skip
    error, low, high = None, None, None
    if surface_energy_stderr is None:
        source["error"] = "none: the surface energy came without one"
    else:
        one, wide = surface_energy_stderr, TWO_SIDED_95 * surface_energy_stderr
        error = (log_rate(surface_energy - one) - log_rate(surface_energy + one)) / 2
        low, high = log_rate(surface_energy + wide), log_rate(surface_energy - wide)
        source |= {"surface_energy_stderr_J_per_m2": one, "error": "that of the surface energy alone"}
    if doubt := _doubt(value, value if high is None else high, nucleus.atoms):
        source["low_confidence"] = doubt
    return Property(material, "log10_nucleation_rate", value, "1", stderr=error, low=low, high=high, conditions=conditions,
                    source=source, kind="derived", confidence="low" if doubt else "computed")  # fmt: skip


def _doubt(log10_rate: float, most: float, atoms: float) -> str:
    """Why a rate of the classical theory, at most `most`, is no number to go by; empty where it is one."""
    told, never = [], -math.log10(AGE_OF_THE_UNIVERSE)
    if atoms > LARGEST_NUCLEUS:
        told.append(f"a critical nucleus of {atoms:.2g} atoms (more than {LARGEST_NUCLEUS:g}) does not come about by fluctuation")
    if log10_rate < never:
        seldom = f"less than one event in a cubic metre in the age of the universe ({AGE_OF_THE_UNIVERSE:.2g} s)"
        open_end = f", but up to 1e{most:.0f} per m^3 and s within the error of the surface energy"
        told.append(seldom + (": nothing nucleates" if most < never else open_end))
    return "; ".join(told)


def table(
    free: FreeEnergy, joining: Attachment, volume: float, temperature: float, overpotentials: Sequence[float],
    pressures: Sequence[float], material: str, source: Mapping[str, Any], cell_overpotential: float | None = None,
) -> list[Property]:  # fmt: skip
    """Rates at every overpotential and pressure; arguments as `rate_record`.

    A bound is the least of its own and those at stronger drives: a rate does not fall as the drive rises.
    """
    made = [
        (drive(η, p), rate_record(free, joining, volume, temperature, η, p, material, source, cell_overpotential))
        for η in overpotentials
        for p in pressures
    ]
    bounds = [(per_atom, record) for per_atom, record in made if record.bound]
    return [_carried(per_atom, record, bounds) if record.bound else record for per_atom, record in made]


def _carried(per_atom: float, record: Property, bounds: Sequence[tuple[float, Property]]) -> Property:
    """The bound at a drive `per_atom` (J), or the least of those at stronger drives, in whose conditions it then stands."""
    own, least = min(((at, other) for at, other in bounds if at >= per_atom), key=lambda one: (round(one[1].value, 9), one[0]))
    if least.value >= record.value:
        return record
    at_own = {name: record.conditions[name] for name in ("overpotential_V", "pressure_Pa")}
    told = f"a rate does not fall as the drive rises: bound at {(own - per_atom) / ELEMENTARY_CHARGE:.3g} eV an atom more"
    return replace(least.with_source(method=f"{told}; {least.source['method']}"), conditions={**least.conditions, **at_own})

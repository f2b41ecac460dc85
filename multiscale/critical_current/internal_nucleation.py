"""Internal nucleation: lithium that forms inside the interphase, at a rate that leakage allows (docs/physics.md 1.7, 1.8, 3).

The rate per volume is J(η, p, T) of classical theory at the local overpotential η = -U(y) of `interphase_leakage`. Per face
and time Γ = ∫ J dy. A short is expected within a half cycle of duration t on a face A where Γ A t ≥ 1: the critical current of
the mechanism. Islands come one by one, independently (Poisson): the seeded source draws their numbers and depths. Pure NumPy.
"""

import math
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from coupling.constants import AVOGADRO, BOLTZMANN, FARADAY, LITHIUM_MOLAR_VOLUME
from coupling.errors import RunFailure
from coupling.rate_table import RateTable
from multiscale.transport.interphase_leakage import LeakyCell
from multiscale.transport.kinetics import butler_volmer

POINTS = 120
"""Depths in either half of the interphase at which the rate is taken, closer together near its faces."""
CLOSEST = 0.02e-9
"""Least distance of these depths from the faces, m."""
LARGEST_OVERPOTENTIAL = 3.0
"""Overpotential of charge transfer up to which a critical current is sought, V."""
SMALLEST_OVERPOTENTIAL, AGREES = 1e-9, 1e-6
"""And from which on, V: its current is none; relative error that ends the search, of η or of the rate."""
HALVINGS, MOST = 10, 80
"""Halvings of that range on a logarithmic scale; steps at most: after them false positions (Illinois), every third a halving."""


@dataclass(frozen=True)
class NucleationInputs:
    """What the rate needs; every attribute a number or an array of draws (n,), SI.

    Attributes:
        cell: layers, ions and electrons.
        exchange_current_density, cathodic_transfer: of charge transfer at the lithium, A/m² and 1.
        temperature: K.
        surface_energy: γ between lithium and interphase, J/m².
        contact_angle: of the nucleus on what it sits, rad (π: a free sphere).
        confinement: pressure that its surroundings put on it, Pa.
        site_density: N, 1/m³.
        diffusivity, hop_length: of the lithium ions around it, m²/s and m.
        table: rates from MD that take the place of classical theory; None for that.
        table_normal: standard errors of the table's ln J that are added to it.
    """

    cell: LeakyCell
    exchange_current_density: Any
    cathodic_transfer: Any
    temperature: Any
    surface_energy: Any
    contact_angle: Any
    confinement: Any
    site_density: Any
    diffusivity: Any
    hop_length: Any
    table: RateTable | None = None
    table_normal: Any = 0.0

    def current_density(self, overpotential: Any) -> Any:
        """Plating current density at the magnitude of an overpotential (V), A/m², positive."""
        αc = self.cathodic_transfer
        return -butler_volmer(-overpotential, self.exchange_current_density, 1 - αc, αc, self.temperature)


def log_rate(η: Any, inputs: NucleationInputs) -> Any:
    """Natural logarithm of J (1/(m³ s)) at the magnitude of a local overpotential; -inf where nothing nucleates.

    J = N Z β exp(-ΔG*/kT), with g = F η - V p, ΔG* = f 16π γ³V²/(3g²), n* = f (4/3)π r*³ N_A/V, r* = 2γV/g,
    Z = [ΔG*/(3π kT n*²)]^½, β = 4π r*² (N_A/V)^⅔ D/a² (`coupling.nucleation`, here for arrays of draws).
    """
    if inputs.table is not None:
        return inputs.table.log_rate(η, inputs.confinement, inputs.table_normal)
    V, kT = LITHIUM_MOLAR_VOLUME, BOLTZMANN * inputs.temperature
    g = FARADAY * η - V * inputs.confinement
    drive = np.where(g > 0, g, 1.0)
    c = np.cos(inputs.contact_angle)
    f, γ = (2 + c) * (1 - c) ** 2 / 4, inputs.surface_energy
    radius = 2 * γ * V / drive
    barrier = f * 16 * math.pi * γ**3 * V**2 / (3 * drive**2)
    atoms = f * 4 / 3 * math.pi * radius**3 * AVOGADRO / V
    zeldovich = np.sqrt(barrier / (3 * math.pi * kT)) / atoms
    joining = 4 * math.pi * radius**2 * (AVOGADRO / V) ** (2 / 3) * inputs.diffusivity / inputs.hop_length**2
    return np.where(g > 0, np.log(inputs.site_density * zeldovich * joining) - barrier / kT, -np.inf)


def depths(thickness: float) -> np.ndarray:
    """Depths across the interphase at which the rate is taken, increasing, shape (2 POINTS + 1,), m."""
    half = np.concatenate([[0.0], np.geomspace(min(CLOSEST, thickness / 4), thickness / 2, POINTS)])
    return np.concatenate([half, (thickness - half)[-2::-1]])


def profile(inputs: NucleationInputs, overpotential: Any) -> tuple[np.ndarray, np.ndarray]:
    """Depths (m,) and ln J there, shape (m,) or (m, n) for n draws, at the magnitude of the overpotential of charge transfer."""
    y = depths(float(np.ravel(inputs.cell.interphase_thickness)[0]))
    shaped = y.reshape(-1, *([1] * np.ndim(overpotential)))
    U = inputs.cell.lithium_potential(shaped, inputs.current_density(overpotential), overpotential)
    return y, np.asarray(log_rate(-U, inputs))


def log_face_rate(inputs: NucleationInputs, overpotential: Any) -> Any:
    """Natural logarithm of Γ = ∫ J dy over the interphase, 1/(m² s); trapezoidal, without overflow."""
    y, logs = profile(inputs, overpotential)
    most = np.max(logs, axis=0)
    scale = np.where(np.isfinite(most), most, 0.0)
    area = np.trapezoid(np.exp(logs - scale), y, axis=0)
    with np.errstate(divide="ignore"):
        return np.where(np.isfinite(most), np.log(area) + scale, -np.inf)


def critical_overpotential(inputs: NucleationInputs, area: float, half_cycle: float, count: int) -> np.ndarray:
    """Overpotential of charge transfer at which one island is expected on a face in a half cycle, shape (count,), V; inf beyond.

    Γ rises with it, so a bracket of ln η of all draws at once finds it, each to AGREES; the end at which it is enough is given.

    Raises:
        RunFailure: a draw was not found (never seen).
    """
    least, largest = (np.full(count, math.log(end)) for end in (SMALLEST_OVERPOTENTIAL, LARGEST_OVERPOTENTIAL))
    under, over = (_excess(inputs, end, area * half_cycle) for end in (least, largest))
    found = np.where(under >= 0, SMALLEST_OVERPOTENTIAL, np.inf)
    active = np.flatnonzero((under < 0) & (over >= 0))
    state = np.array([least, largest, under, over, np.zeros(count)])[:, active]
    own = _part(inputs, active, count)
    for step in range(MOST):
        low, high, under, over, last = state
        straight = np.isfinite(under) & (step >= HALVINGS) & (step % 3 > 0) & (over > under)
        with np.errstate(invalid="ignore", divide="ignore"):
            trial = np.where(straight, (low * over - high * under) / (over - under), (low + high) / 2)
        value = _excess(own, trial, area * half_cycle)
        enough = value >= 0
        side = np.where(enough, 1.0, -1.0)
        same = straight & (side == last)  # Illinois: halve the weight of the end that has stayed
        under = np.where(enough, np.where(same, under / 2, under), value)
        over = np.where(enough, value, np.where(same, over / 2, over))
        low, high = np.where(enough, low, trial), np.where(enough, trial, high)
        done = (high - low <= AGREES) | (enough & (value <= AGREES))
        found[active[done]] = np.exp(high[done])
        state, active = np.array([low, high, under, over, side])[:, ~done], active[~done]
        if not len(active):
            return found
        if done.any():
            own = _part(inputs, active, count)
    raise RunFailure("nucleation: the overpotential of an island was not found; please report the case")


def _excess(inputs: NucleationInputs, logarithm: np.ndarray, face_and_time: float) -> np.ndarray:
    """Logarithm of the islands expected on a face in a time (m² s) at the logarithm of an overpotential (V)."""
    return np.asarray(log_face_rate(inputs, np.exp(logarithm))) + math.log(face_and_time)


def _part(inputs: Any, which: np.ndarray, count: int) -> Any:
    """Inputs (or their cell) of some of `count` draws."""
    changed = {}
    for field in fields(inputs):
        value = getattr(inputs, field.name)
        if isinstance(value, LeakyCell):
            changed[field.name] = _part(value, which, count)
        elif isinstance(value, np.ndarray) and value.shape == (count,):
            changed[field.name] = value[which]
    return replace(inputs, **changed)


def critical_currents(inputs: NucleationInputs, area: float, half_cycle: float, count: int) -> np.ndarray:
    """Current density at which one island is expected on a face (m²) in a half cycle (s), shape (count,), A/m²; inf beyond."""
    η = critical_overpotential(inputs, area, half_cycle, count)
    return np.where(np.isfinite(η), inputs.current_density(np.minimum(η, LARGEST_OVERPOTENTIAL)), np.inf)


@dataclass(frozen=True)
class Islands:
    """A seeded draw of the stochastic source.

    Attributes:
        counts: islands in each half cycle, shape (k,).
        depths: of each island, m.
    """

    counts: np.ndarray
    depths: np.ndarray

    @property
    def share(self) -> float:
        """Share of the half cycles with an island or more."""
        return float(np.mean(self.counts > 0))


def draw_islands(
    inputs: NucleationInputs, overpotential: float, area: float, half_cycle: float, cycles: int, seed: int
) -> Islands:
    """Poisson numbers of islands in each half cycle at one current, and their depths by the profile of the rate.

    Expected number per half cycle: Γ A t; the depth's distribution is J(y)/Γ, inverted on the depths of `profile`.
    """
    rng = np.random.default_rng([seed, 5])
    y, logs = profile(inputs, overpotential)
    expected = float(np.exp(log_face_rate(inputs, overpotential))) * area * half_cycle
    counts = rng.poisson(min(expected, 1e6), cycles)
    if counts.sum() == 0:
        return Islands(counts, np.empty(0))
    weight = np.exp(logs - logs.max())
    cumulative = np.concatenate([[0.0], np.cumsum((weight[1:] + weight[:-1]) / 2 * np.diff(y))])
    return Islands(counts, np.interp(rng.uniform(0, cumulative[-1], min(int(counts.sum()), 100_000)), cumulative, y))

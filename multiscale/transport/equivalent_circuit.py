"""Equivalent-circuit read-out of an impedance: R0 and arcs in series, fitted, each with its error, and where it comes from.

Z(ω) = R0 + Σ_k Z_k,  Z_k = R/(1 + (iωτ)^α) (a depressed arc; α = 1: a resistor beside a capacitor)
                  or  Z_k = R tanh(√(iωτ))/√(iωτ) (diffusion through a finite layer: finite Warburg)

Sources: Cole & Cole 1941 (depressed arc); Lasia, Electrochemical Impedance Spectroscopy and its Applications (2014).
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from scipy.optimize import least_squares, nnls

from coupling.errors import RunFailure, UserError
from multiscale.transport.impedance import Spectrum

Kind = Literal["arc", "diffusion"]
PARAMETERS = {"arc": 3, "diffusion": 2}
WARBURG_PEAK = 2.5406
"""ωτ of the largest -Im of the finite Warburg element (V17)."""
CLOSE_ENOUGH = 1e-3
"""Root mean square misfit, relative to |Z|, at which no further arc is tried."""
RELAXATION_TIMES = 80
"""Grid of relaxation times that the first guesses are read from."""
SMALLEST_EXPONENT = 0.4
NEGLIGIBLE = 1e-6
"""Share of the smallest |Z| below which the series resistance is zero."""


@dataclass(frozen=True)
class Arc:
    """One element of the circuit.

    Attributes:
        kind: "arc" or "diffusion".
        resistance, resistance_error: R and its standard error, ohm m².
        time_constant, time_constant_error: τ and its standard error, s.
        exponent, exponent_error: α and its standard error (1 and 0 for diffusion).
        origin: (place, cause, share) of the parts of the spectrum that make up -Im at the arc's peak, the largest first.
    """

    kind: Kind
    resistance: float
    resistance_error: float
    time_constant: float
    time_constant_error: float
    exponent: float
    exponent_error: float
    origin: tuple[tuple[str, str, float], ...] = ()

    @property
    def peak_frequency(self) -> float:
        """Frequency of the largest -Im, Hz."""
        return (WARBURG_PEAK if self.kind == "diffusion" else 1.0) / (2 * math.pi * self.time_constant)

    @property
    def capacitance(self) -> float:
        """Effective capacitance τ/R, F/m²."""
        return self.time_constant / self.resistance


@dataclass(frozen=True)
class Circuit:
    """Result of a fit.

    Attributes:
        series_resistance, series_resistance_error: R0 and its standard error, ohm m².
        arcs: the fastest first.
        misfit: root mean square of |fit - Z|/|Z|.
    """

    series_resistance: float
    series_resistance_error: float
    arcs: tuple[Arc, ...]
    misfit: float

    def impedance(self, frequencies: np.ndarray) -> np.ndarray:
        """Of the circuit, ohm m²."""
        ω = 2 * np.pi * np.asarray(frequencies, dtype=float)
        return self.series_resistance + sum(element(a.kind, ω, a.resistance, a.time_constant, a.exponent) for a in self.arcs)


def element(kind: Kind, angular_frequency: np.ndarray, resistance: float, time_constant: float, exponent: float = 1.0) -> Any:
    """Impedance of one element at ω (1/s), in the unit of its resistance."""
    product = 1j * angular_frequency * time_constant
    if kind == "arc":
        return resistance / (1 + product**exponent)
    root = np.sqrt(product)
    return resistance * np.tanh(root) / root


def fit_circuit(spectrum: Spectrum, most: int = 4, close_enough: float = CLOSE_ENOUGH) -> Circuit:
    """Fewest arcs (at most `most`) that describe a spectrum, each an arc or a diffusion element, whichever fits.

    Errors are those of the least-squares fit, scaled by its misfit: they say how well the circuit describes the spectrum,
    and grow where arcs overlap.

    Raises:
        UserError: too few frequencies, or a zero one.
        RunFailure: no fit converged.
    """
    f, Z = spectrum.frequencies, spectrum.impedance
    if len(f) < 8 or np.any(f <= 0):
        lowest = min(f, default=0.0)
        raise UserError(f"a circuit needs eight or more positive frequencies; there are {len(f)}, the lowest {lowest:g} Hz")
    if np.max(np.abs(Z.imag)) < 1e-9 * np.max(np.abs(Z)):
        return Circuit(float(Z.real.mean()), float(Z.real.std()), (), 0.0)
    guesses = _relaxations(2 * np.pi * f, Z)
    best: tuple[float, Circuit] | None = None
    for count in range(1, min(most, (2 * len(f) - 2) // 3) + 1):
        kinds: Sequence[tuple[Any, ...]] = list(itertools.product(("arc", "diffusion"), repeat=count))
        starts = [_start(guesses, count, f), *([_split(guesses, count, f)] if count > 1 else [])]
        found = [c for k in kinds for start in starts if (c := _fit(f, Z, k, start, spectrum)) is not None]
        for circuit in found:
            score = _score(circuit, len(f))
            if best is None or score < best[0]:
                best = score, circuit
        if best is not None and best[1].misfit <= close_enough:
            break
    if best is None:
        raise RunFailure("no equivalent circuit could be fitted; the spectrum may be inductive or unphysical")
    return best[1]


def _score(circuit: Circuit, count: int) -> float:
    """Bayesian information criterion of a fit: misfit against the number of parameters."""
    parameters = 1 + sum(PARAMETERS[arc.kind] for arc in circuit.arcs)
    return 4 * count * math.log(max(circuit.misfit, 1e-12)) + parameters * math.log(2 * count)


def _relaxations(ω: np.ndarray, Z: np.ndarray) -> list[tuple[float, float]]:
    """(R, τ) of the peaks of a non-negative distribution of relaxation times, the largest first."""
    τ = np.geomspace(0.1 / ω.max(), 10 / ω.min(), RELAXATION_TIMES)
    kernel = np.hstack([np.ones((len(ω), 1)), 1 / (1 + 1j * np.outer(ω, τ))]) / np.abs(Z)[:, None]
    target = Z / np.abs(Z)
    weights, _ = nnls(np.vstack([kernel.real, kernel.imag]), np.concatenate([target.real, target.imag]))
    present = np.flatnonzero(weights[1:] > 0)
    groups = np.split(present, np.flatnonzero(np.diff(present) > 2) + 1) if len(present) else []
    peaks = []
    for group in groups:
        share = weights[1:][group]
        peaks.append((float(share.sum()), float(np.exp((np.log(τ[group]) * share).sum() / share.sum()))))
    return sorted(peaks, reverse=True)


def _start(guesses: list[tuple[float, float]], count: int, f: np.ndarray) -> list[tuple[float, float]]:
    """First guesses of so many arcs: the largest peaks, then places spread over the frequencies."""
    spread = np.geomspace(1 / (2 * np.pi * f.max()), 1 / (2 * np.pi * f.min()), count + 2)[1:-1]
    total = sum(r for r, _ in guesses) or 1.0
    return sorted((guesses + [(0.1 * total, float(τ)) for τ in spread])[:count], key=lambda peak: peak[1])


def _split(guesses: list[tuple[float, float]], count: int, f: np.ndarray) -> list[tuple[float, float]]:
    """First guesses with the largest peak as two: arcs that overlap."""
    fewer = sorted(_start(guesses, count - 1, f), reverse=True)
    R, τ = fewer[0]
    return sorted([(R / 2, τ / 2), (R / 2, 2 * τ), *fewer[1:]], key=lambda peak: peak[1])


def _fit(
    f: np.ndarray, Z: np.ndarray, kinds: tuple[Kind, ...], start: list[tuple[float, float]], spectrum: Spectrum
) -> Circuit | None:
    """Least squares in ln R0, ln R, ln τ and α, weighted by 1/|Z|; None where it did not converge."""
    ω, size = 2 * np.pi * f, np.abs(Z)
    first, low, high = [math.log(max(float(Z.real.min()), 1e-9 * size.max()))], [-np.inf], [np.inf]
    for kind, (R, τ) in zip(kinds, start, strict=True):
        first += [math.log(R), math.log(τ)] + ([0.95] if kind == "arc" else [])
        low += [-np.inf, -np.inf] + ([SMALLEST_EXPONENT] if kind == "arc" else [])
        high += [np.inf, np.inf] + ([1.0] if kind == "arc" else [])

    def misfit(parameters: np.ndarray) -> np.ndarray:
        value = np.exp(parameters[0]) + sum(element(*unpacked) for unpacked in _unpack(kinds, parameters, ω))
        difference = (value - Z) / size
        return np.concatenate([difference.real, difference.imag])

    with np.errstate(all="ignore"):
        try:
            strict = {"ftol": 1e-14, "xtol": 1e-14, "gtol": 1e-14}
            fit = least_squares(misfit, first, bounds=(low, high), x_scale="jac", max_nfev=400, **strict)
        except ValueError:  # the start or a step left the numbers
            return None
    if not np.all(np.isfinite(fit.x)):
        return None
    return _circuit(fit, kinds, ω, spectrum)


def _unpack(kinds: tuple[Kind, ...], parameters: np.ndarray, ω: np.ndarray) -> list[tuple[Kind, np.ndarray, float, float, float]]:
    """Arguments of `element` for each arc."""
    place, arcs = 1, []
    for kind in kinds:
        R, τ = np.exp(parameters[place]), np.exp(parameters[place + 1])
        arcs.append((kind, ω, float(R), float(τ), float(parameters[place + 2]) if kind == "arc" else 1.0))
        place += PARAMETERS[kind]
    return arcs


def _circuit(fit: Any, kinds: tuple[Kind, ...], ω: np.ndarray, spectrum: Spectrum) -> Circuit:
    freedom = max(len(fit.fun) - len(fit.x), 1)
    errors = np.sqrt(np.clip(np.diag(np.linalg.pinv(fit.jac.T @ fit.jac)), 0, None) * 2 * fit.cost / freedom)
    arcs, place = [], 1
    for kind, _, R, τ, α in _unpack(kinds, fit.x, ω):
        exponent_error = float(errors[place + 2]) if kind == "arc" else 0.0
        arc = Arc(kind, R, R * float(errors[place]), τ, τ * float(errors[place + 1]), α, exponent_error)
        arcs.append(Arc(**{**arc.__dict__, "origin": origin(spectrum, arc.peak_frequency)}))
        place += PARAMETERS[kind]
    arcs.sort(key=lambda arc: arc.time_constant)
    R0 = float(np.exp(fit.x[0]))
    if R0 < NEGLIGIBLE * float(np.min(np.abs(spectrum.impedance))):
        R0 = 0.0
    return Circuit(R0, R0 * float(errors[0]), tuple(arcs), math.sqrt(2 * fit.cost / len(ω)))


def origin(spectrum: Spectrum, frequency: float) -> tuple[tuple[str, str, float], ...]:
    """Parts of a spectrum that make up -Im at a frequency (Hz), as (place, cause, share), the largest first."""
    order = np.argsort(spectrum.frequencies)
    f = np.log(np.maximum(spectrum.frequencies[order], 1e-300))
    loss = {(p.place, p.cause): -float(np.interp(math.log(frequency), f, p.impedance.imag[order])) for p in spectrum.parts}
    total = sum(abs(value) for value in loss.values())
    if total <= 0:
        return ()
    shares = sorted(((place, cause, value / total) for (place, cause), value in loss.items()), key=lambda row: -abs(row[2]))
    return tuple(row for row in shares if abs(row[2]) >= 0.05)

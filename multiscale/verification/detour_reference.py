"""Exact values of V24: an inert flaw, and a reacting filament that takes no net current (an integral equation).

No code of the product is used here: numpy and scipy alone.
"""

import math
from functools import cache

import numpy as np
from scipy.special import exp1

FARADAY, MOLAR_VOLUME, CONDUCTIVITY, TOUGHNESS = 96485.33212, 1.300e-5, 0.05, 1.25e6
"""C/mol; m³/mol; S/m; K_Ic, Pa m^½."""
PENNY, EDGE_CRACK = 2 / math.pi, 1.1215
"""K over p √(π c): penny of radius c (Sack 1946); edge crack of a half plane (Tada, Paris & Irwin)."""


@cache
def stalled_drop(reaction_length: float, panels: int = 400) -> float:
    """Stall potential P of the filament over the drop along it, P' = κP/(i c), at a reaction length Λ = κR/c.

    A straight filament 0 < y < c of metal stands on a flat electrode y = 0 in the half plane y > 0 (conductivity κ, current i
    from afar); both react with the same resistance R (linear kinetics, R = RT/(F i0)), the filament against its potential P:

        ∇²φ = 0,   κ ∂φ/∂n = φ/R on the electrode,   j = (φ - P)/R on either face of the filament.

    With the Green function of the half plane (Fourier transform along the electrode; on the line of the filament)

        G(y, y') = 1/(2πκ) [ ln((y + y')/|y - y'|) + 2 exp((y + y')/κR) E₁((y + y')/κR) ]

    the current density j on a face obeys  R j(y) + 2 ∫₀ᶜ G j dy' = iR + iy/κ - P,  and stall is ∫₀ᶜ j dy = 0.
    Piecewise constant j on panels graded to both ends, the kernel integrated exactly; 400 panels are good to 2e-5 at Λ ≥ 0.01.

    Limits: Λ → ∞, P' = Λ + 1/2 (overpotential of the flat electrode and half of the drop along the filament);
    Λ → 0, P' → (π/2)/(ln(1/Λ) + 0.49), which has no limit but zero: a metal without kinetics is one equipotential with the
    flat electrode. The 0.49 is a number from this equation, not derived.
    """
    edges = np.sin(np.linspace(0.0, np.pi / 2, panels + 1)) ** 2
    low, high = edges[:-1], edges[1:]
    middles, widths = (low + high) / 2, high - low
    s = middles[:, None]
    logarithms = _log_integral(high + s) - _log_integral(low + s) - _log_integral(high - s) + _log_integral(low - s)
    reaction = reaction_length * np.diff(_scaled_exp1_integral((edges + s) / reaction_length), axis=1)
    matrix = reaction_length * np.eye(panels) + (logarithms + 2 * reaction) / np.pi
    even, driven = np.linalg.solve(matrix, np.column_stack([np.ones(panels), reaction_length + middles])).T
    return float(widths @ driven / (widths @ even))


def _log_integral(x: np.ndarray) -> np.ndarray:
    """∫ ln|x| dx = x ln|x| - x, zero at x = 0."""
    return x * np.log(np.abs(np.where(x == 0, 1.0, x))) - x


def _scaled_exp1_integral(x: np.ndarray) -> np.ndarray:
    """∫ exp(x) E₁(x) dx = exp(x) E₁(x) + ln x; E₁ by its asymptotic series where the factors over- and underflow."""
    small = np.minimum(x, 500.0)
    return np.where(x < 500, np.exp(small) * exp1(small), (1 - 1 / x + 2 / x**2) / x) + np.log(x)


def breaking_current(drops: float, depth: float, shape: float, toughness: float = TOUGHNESS) -> float:
    """Current density (A/m²) at which a potential of so many drops i c/κ is worth the pressure K/(shape √(π c)) of fracture."""
    return CONDUCTIVITY * MOLAR_VOLUME * toughness / (shape * math.sqrt(math.pi * depth)) / (FARADAY * depth * drops)


def inert_flaws() -> dict[str, float]:
    """The detour law i = κ V K √(π/4)/(F c^1.5): a whole drop at the tip, a penny's pressure."""
    depths = {"inert flaw of 10 um": 10e-6, "inert flaw of 50 um": 50e-6}
    return {f"{name}, critical current density (A/m2)": breaking_current(1.0, c, PENNY) for name, c in depths.items()}


def reacting_flaws() -> dict[str, float]:
    """Stall potential and critical current of a flaw of 10 µm, an edge crack with a hundredth of the toughness."""
    values = {}
    for length in (10.0, 1.0, 0.1, 0.01):
        drops, name = stalled_drop(length), f"sharp flaw, kRT/(F i0 c) = {length:g}"
        values[f"{name}, stall potential over i c/k"] = drops
        values[f"{name}, critical current density (A/m2)"] = breaking_current(drops, 10e-6, EDGE_CRACK, 0.01 * TOUGHNESS)
    return values


def reacting_filaments() -> dict[str, float]:
    """Stall potential alone; faces smeared over c/12 do not resolve the shortest charge-transfer length."""
    lengths = (10.0, 1.0, 0.1)
    return {f"smeared filament, kRT/(F i0 c) = {x:g}, stall potential over i c/k": stalled_drop(x) for x in lengths}

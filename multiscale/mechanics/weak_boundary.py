"""Toughness of a phase-field crack (AT1) that runs in a weaker strip, in closed form, and the strip that gives a wanted one.

A grain boundary is far thinner than the smeared crack. It is drawn as a strip of width b whose own Gc is chosen so that a crack
along it costs the boundary's true energy, although most of its profile lies in the tougher grains.
"""

import math

from scipy.optimize import brentq


def effective_toughness(weak: float, strip: float, length: float) -> float:
    """Energy of a crack in the middle of a strip over that of the grains: min of (3/8) ∫ r(x) (d/l + l d'²) dx, d(0) = 1.

    Inside, d = 1 - α x/l + x²/(4 l²); outside, a parabola that ends with no slope. With η = b/(4l), d and r d' continuous:

        s = -η/r + (η²/r² + 1 - η²)^½,  α = η + s/r,   d at the strip's edge is s²
        G/G₀ = s³ + (3/2) r [(1 + α²) η - 2 α η² + (2/3) η³]

    A strip wider than the whole profile (η ≥ 1) gives its own r.

    ======  ========  ====
    symbol  variable  unit
    ======  ========  ====
    r       weak      1, Gc of the strip over that of the grains
    b       strip     m, width
    l       length    m, of the phase field
    ======  ========  ====

    Source: Euler's equation of the AT1 functional of docs/physics.md 1.5 with piecewise constant Gc (derived here).
    """
    η = strip / (4 * length)
    if η >= 1:
        return weak
    s = -η / weak + math.sqrt((η / weak) ** 2 + 1 - η**2)
    α = η + s / weak
    return s**3 + 1.5 * weak * ((1 + α**2) * η - 2 * α * η**2 + 2 / 3 * η**3)


def strip_toughness(wanted: float, strip: float, length: float) -> float:
    """Gc of the strip over that of the grains at which a crack along it costs `wanted` of the grains' (0 < wanted)."""
    if wanted == 1.0:
        return 1.0
    low, high = (1e-9, 1.0) if wanted < 1 else (1.0, 1e3 * wanted)
    return float(brentq(lambda weak: effective_toughness(weak, strip, length) - wanted, low, high, xtol=1e-12))


def in_series(ratio: float, width: float, strip: float) -> float:
    """Property of a strip that holds a boundary of `width` with `ratio` times the grains' property, in series; over the grains'.

    1/((1 - f) + f/ratio), f = width/strip, at most one.
    """
    f = min(width / strip, 1.0)
    return 1 / ((1 - f) + f / ratio)

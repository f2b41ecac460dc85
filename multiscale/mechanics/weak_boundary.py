"""Toughness of a phase-field crack (AT1) that runs in a weaker strip, in closed form, and the strip that gives a wanted one.

A grain boundary is far thinner than the smeared crack. It is drawn as a strip of width b whose own Gc is chosen so that a crack
along it costs the boundary's true energy on the mesh as it is, although most of its profile lies in the tougher grains.
"""

import math

import numpy as np
from scipy.optimize import brentq

from coupling.errors import UserError


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


def strip_width(length: float, size: float) -> float:
    """Width of the strip, m: the odd number of elements nearest to l, for a crack's band and whole rows on either side."""
    return size * (2 * max(round((length / size - 1) / 2), 1) + 1)


def mesh_toughness(weak: float, strip: float, length: float, size: float) -> float:
    """`effective_toughness` as finite elements of width h give it, over the (1 + 3h/8l) of the grains (`mesh_correction`).

    Min of (3/8) Σ r_k h [(d_k + d_{k+1})/(2l) + l (d_{k+1} - d_k)²/h²] over d_0 = 1 ≥ d_k ≥ 0, from the edge of the broken band
    (half an element from the middle) on either side, and 3h/(8l) r for the band. Rows that the strip's edge cuts take the mean.

    ======  ========  ====
    symbol  variable  unit
    ======  ========  ====
    r       weak      1, Gc of the strip over that of the grains
    h       size      m
    l       length    m, of the phase field
    ======  ========  ====
    """
    h, rows = size / length, math.ceil((2.6 * length + strip) / size)
    inside = np.clip((strip / (2 * size) - 0.5) - np.arange(rows), 0.0, 1.0)
    r = inside * weak + 1 - inside
    best = math.inf
    for reach in range(1, rows + 1):  # d is positive on the first reach - 1 nodes beyond the band
        d = _profile(r[:reach], h)
        if d.min() < 0:
            break
        best = min(best, float(np.sum(r[:reach] * (h * (d[1:] + d[:-1]) / 2 + np.diff(d) ** 2 / h))))
    correction = 1 + 3 / 8 * h
    return (0.75 * best + 3 / 8 * h * weak) / correction


def _profile(r: np.ndarray, h: float) -> np.ndarray:
    """Stationary d on the rows r (m,), from one to zero, shape (m + 1,); h over l.

    r_{k+1} (d_{k+1} - d_k) - r_k (d_k - d_{k-1}) = h² (r_k + r_{k+1})/4.
    """
    count = len(r) - 1
    if count == 0:
        return np.array([1.0, 0.0])
    matrix = np.diag(-(r[:-1] + r[1:])) + np.diag(r[1:-1], 1) + np.diag(r[1:-1], -1)
    load = h**2 * (r[:-1] + r[1:]) / 4
    load[0] -= r[0]
    return np.concatenate([[1.0], np.linalg.solve(matrix, load), [0.0]])


def strip_toughness(wanted: float, strip: float, length: float, size: float) -> float:
    """Gc of the strip over the grains' at which a crack along it costs `wanted` of the grains' on elements of width `size`.

    Raises:
        UserError: no strip of this mesh is weak enough.
    """
    if wanted == 1.0:
        return 1.0
    low, high = (1e-9, 1.0) if wanted < 1 else (1.0, 1e3 * wanted)
    if mesh_toughness(low, strip, length, size) > wanted:
        told = f"a boundary with {wanted:.3g} of the grains' fracture energy is too weak for elements of {size / length:.2g} l"
        raise UserError(f"{told}; make the elements smaller (fracture.elements)")
    return float(brentq(lambda weak: mesh_toughness(weak, strip, length, size) - wanted, low, high, xtol=1e-12))


def in_series(ratio: float, width: float, strip: float) -> float:
    """Property of a strip that holds a boundary of `width` with `ratio` times the grains' property, in series; over the grains'.

    1/((1 - f) + f/ratio), f = width/strip, at most one.
    """
    f = min(width / strip, 1.0)
    return 1 / ((1 - f) + f / ratio)

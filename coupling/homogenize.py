"""Effective properties of mixtures: bounds, exact laminates, Maxwell and the brick layer (docs/physics.md 1.12).

Phases are along the first axis: `values` has shape (phases,) or (phases, samples), `fractions` (phases,) or the same;
results have shape () or (samples,). Everything works for ionic conductivity (S/m) as for any other diffusive property.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

Range = tuple[Any, Any]


def _phases(values: ArrayLike, fractions: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Arrays of equal dimension. Raises ValueError when fractions do not add up to one or something is negative."""
    v, f = np.asarray(values, dtype=float), np.asarray(fractions, dtype=float)
    if f.ndim < v.ndim:
        f = f.reshape(f.shape + (1,) * (v.ndim - f.ndim))
    if v.shape[0] != f.shape[0]:
        raise ValueError(f"{v.shape[0]} phase values but {f.shape[0]} volume fractions")
    if np.any(f < 0) or not np.allclose(f.sum(axis=0), 1.0, rtol=0, atol=1e-9):
        raise ValueError(f"volume fractions must be non-negative and add up to 1, not {np.ravel(f.sum(axis=0))[0]:.6g}")
    if np.any(v < 0) or np.any(np.isnan(v)):
        raise ValueError("phase values must be numbers that are not negative")
    return v, f


def voigt(values: ArrayLike, fractions: ArrayLike) -> Any:
    """Arithmetic mean Σ f k: phases in parallel, the upper bound of any mixture."""
    v, f = _phases(values, fractions)
    return (f * v).sum(axis=0)[()]


def reuss(values: ArrayLike, fractions: ArrayLike) -> Any:
    """Harmonic mean 1/Σ(f/k): phases in series, the lower bound of any mixture. Zero as soon as one phase is zero."""
    return _shifted_harmonic(*_phases(values, fractions), 0.0)


def laminate(values: ArrayLike, fractions: ArrayLike) -> Range:
    """Exact conductivities of a laminate, (across the layers, along the layers)."""
    return reuss(values, fractions), voigt(values, fractions)


def maxwell(matrix: Any, inclusion: Any, fraction: Any) -> Any:
    """Maxwell's conductivity of spheres in a matrix, exact for coated spheres and for dilute ones.

    k = km [2 km + ki + 2 f (ki - km)] / [2 km + ki - f (ki - km)];   `inclusion` may be 0 or infinite.

    Source: Maxwell, Treatise on Electricity and Magnetism (1873); docs/physics.md 1.12.
    """
    if np.any(np.isinf(inclusion)):
        return matrix * (1 + 2 * fraction) / (1 - fraction)
    contrast = inclusion - matrix
    return matrix * (2 * matrix + inclusion + 2 * fraction * contrast) / (2 * matrix + inclusion - fraction * contrast)


def _shifted_harmonic(values: np.ndarray, fractions: np.ndarray, shift: Any) -> Any:
    """1/Σ(f/(k + s)) - s, with empty phases ignored and the limits k + s = 0 and s = ∞ taken."""
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(fractions > 0, fractions / (values + shift), 0.0)
        result = 1.0 / terms.sum(axis=0) - shift
    return np.where(np.isinf(shift), np.inf, result)[()]


def _extremes(values: np.ndarray, fractions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Smallest and largest value among the phases that are present."""
    present = np.broadcast_to(fractions > 0, values.shape)
    return np.where(present, values, np.inf).min(axis=0), np.where(present, values, -np.inf).max(axis=0)


def hashin_shtrikman_conductivity(values: ArrayLike, fractions: ArrayLike) -> Range:
    """Bounds of the conductivity of an isotropic three-dimensional mixture, (low, high).

    k± = [Σ f/(k + 2 k±ref)]⁻¹ - 2 k±ref, with the smallest and the largest phase conductivity as reference.

    Args:
        values: conductivities, S/m, shape (phases,) or (phases, samples).
        fractions: volume fractions.

    Raises:
        ValueError: fractions that do not add up to one, negative values.

    Source: Hashin & Shtrikman, J. Appl. Phys. 33, 3125 (1962); docs/physics.md 1.12.
    """
    v, f = _phases(values, fractions)
    smallest, largest = _extremes(v, f)
    return _shifted_harmonic(v, f, 2 * smallest), _shifted_harmonic(v, f, 2 * largest)


def hashin_shtrikman_moduli(bulk: ArrayLike, shear: ArrayLike, fractions: ArrayLike) -> tuple[Range, Range]:
    """Bounds of bulk and shear modulus of an isotropic mixture, ((K_low, K_high), (G_low, G_high)), Pa.

    K± = [Σ f/(K + 4/3 G±)]⁻¹ - 4/3 G±;  G± = [Σ f/(G + ζ±)]⁻¹ - ζ±,  ζ = G (9K + 8G) / (6 (K + 2G)),
    with the smallest (largest) K and G of any phase, so that phases need not be ordered alike (Walpole).

    Args:
        bulk, shear: K and G of the phases, Pa, shape (phases,) or (phases, samples).
        fractions: volume fractions.

    Raises:
        ValueError: fractions that do not add up to one, negative values.

    Source: Hashin & Shtrikman, J. Mech. Phys. Solids 11, 127 (1963); Walpole, ibid. 14, 151 (1966).
    """
    K, f = _phases(bulk, fractions)
    G, _ = _phases(shear, fractions)
    bounds: list[Range] = []
    for k, g in zip(_extremes(K, f), _extremes(G, f), strict=True):
        with np.errstate(divide="ignore", invalid="ignore"):
            ζ = np.where(g > 0, g * (9 * k + 8 * g) / (6 * (k + 2 * g)), 0.0)
        bounds.append((_shifted_harmonic(K, f, 4 / 3 * g), _shifted_harmonic(G, f, ζ)))
    (K_low, G_low), (K_high, G_high) = bounds
    return (K_low, K_high), (G_low, G_high)


def engineering_moduli(bulk: Any, shear: Any) -> tuple[Any, Any]:
    """Young's modulus (Pa) and Poisson ratio of bulk and shear modulus (Pa)."""
    return 9 * bulk * shear / (3 * bulk + shear), (3 * bulk - 2 * shear) / (2 * (3 * bulk + shear))


def brick_layer(bulk: Any, boundary: Any, grain_size: Any, boundary_width: Any) -> Any:
    """Conductivity of a polycrystal whose boundaries lie in series, S/m: 1/k = 1/k_bulk + (δ/d)/k_boundary.

    Args:
        bulk, boundary: conductivities of grain and boundary, S/m.
        grain_size, boundary_width: d and δ, m; the formula wants δ much smaller than d.

    Source: van Dijk & Burggraaf, Phys. Status Solidi A 63, 229 (1981); docs/physics.md 1.12.
    """
    return 1.0 / (1.0 / bulk + boundary_width / grain_size / boundary)

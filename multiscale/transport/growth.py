"""Growth of an interphase, the resistance it adds, and interdiffusion into a coating (docs/physics.md 1.11).

Laws of the thickness L(t) of a layer that grows by what passes through it, each with its exact solution. Numbers or arrays of
times; SI units.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import brentq
from scipy.special import erfc, erfcinv

from coupling.constants import FARADAY, GAS_CONSTANT
from coupling.errors import UserError

TINY = 1e-300


def _require(law: str, positive: dict[str, float], not_negative: dict[str, float]) -> None:
    """Refuse impossible constants. Raises UserError."""
    for name, value in positive.items():
        if not (value > 0 and math.isfinite(value)):
            raise UserError(f"{law}: {name} is {value}; give a positive number")
    for name, value in not_negative.items():
        if not (value >= 0 and math.isfinite(value)):
            raise UserError(f"{law}: {name} is {value}; it cannot be negative")


@dataclass(frozen=True)
class Parabolic:
    """Limited by diffusion through the layer: dL/dt = k/L, L² = L0² + 2kt.

    Attributes:
        constant: k, m²/s.
        start: L0, m.
    """

    constant: float
    start: float = 0.0

    def __post_init__(self) -> None:
        """Refuse impossible constants."""
        _require("parabolic growth", {"k": self.constant}, {"the first thickness": self.start})

    def thickness(self, time: Any) -> Any:
        """L at a time, m."""
        return np.sqrt(self.start**2 + 2 * self.constant * np.asarray(time, dtype=float))

    def rate(self, thickness: Any) -> Any:
        """dL/dt, m/s."""
        return self.constant / thickness


@dataclass(frozen=True)
class DealGrove:
    """Limited by a reaction while thin and by diffusion when thick: L² + A L = B (t + τ), dL/dt = B/(A + 2L).

    τ follows from the first thickness. Source: Deal & Grove, J. Appl. Phys. 36, 3770 (1965).

    Attributes:
        linear: A, m; B/A is the rate of the thin layer.
        parabolic: B, m²/s.
        start: L0, m.
    """

    linear: float
    parabolic: float
    start: float = 0.0

    def __post_init__(self) -> None:
        """Refuse impossible constants."""
        _require("Deal-Grove growth", {"B": self.parabolic}, {"A": self.linear, "the first thickness": self.start})

    def thickness(self, time: Any) -> Any:
        """L at a time, m: -A/2 + [A²/4 + B(t + τ)]^½, written so that nothing cancels."""
        right = self.parabolic * np.asarray(time, dtype=float) + self.start**2 + self.linear * self.start
        return 2 * right / (self.linear + np.sqrt(self.linear**2 + 4 * right) + TINY)

    def rate(self, thickness: Any) -> Any:
        """dL/dt, m/s."""
        return self.parabolic / (self.linear + 2 * np.asarray(thickness))


@dataclass(frozen=True)
class Passivating:
    """Blocked by its own thickness: dL/dt = v exp(-(L - L0)/λ), L = L0 + λ ln(1 + v t/λ) (logarithmic law).

    Attributes:
        rate_at_start: v, m/s.
        decay_length: λ, m, over which the flux falls by a factor e (tunnelling or a barrier that grows with thickness).
        start: L0, m.
    """

    rate_at_start: float
    decay_length: float
    start: float = 0.0

    def __post_init__(self) -> None:
        """Refuse impossible constants."""
        positive = {"the first rate": self.rate_at_start, "the decay length": self.decay_length}
        _require("passivating growth", positive, {"the first thickness": self.start})

    def thickness(self, time: Any) -> Any:
        """L at a time, m."""
        return self.start + self.decay_length * np.log1p(self.rate_at_start * np.asarray(time, dtype=float) / self.decay_length)

    def rate(self, thickness: Any) -> Any:
        """dL/dt, m/s."""
        return self.rate_at_start * np.exp(-(np.asarray(thickness) - self.start) / self.decay_length)


Law = Parabolic | DealGrove | Passivating


def time_to_reach(law: Law, thickness: float) -> float:
    """Time at which a layer reaches a thickness, s. Raises UserError for one thinner than the first."""
    if thickness < law.start:
        raise UserError(f"the layer starts {law.start:g} m thick and does not become {thickness:g} m")
    grown = thickness - law.start
    if isinstance(law, Parabolic):
        return grown * (thickness + law.start) / (2 * law.constant)
    if isinstance(law, DealGrove):
        return grown * (thickness + law.start + law.linear) / law.parabolic
    return law.decay_length / law.rate_at_start * math.expm1(grown / law.decay_length)


def wagner_constant(
    molar_volume: float, electrons: float, electronic: Callable[[float], float], ionic: Callable[[float], float],
    drop: float, points: int = 2001,
) -> float:  # fmt: skip
    """Parabolic constant of a mixed-conducting layer between two lithium potentials, m²/s.

    k = (V_m/(nF)) ∫₀ᵁ σ_e σ_ion/(σ_e + σ_ion) dU;  with constant conductivities V_m σ_e σ_ion U/((σ_e + σ_ion) nF).

    Args:
        molar_volume: V_m of the product per formula, m³/mol.
        electrons: n, lithium (charges) per formula of product.
        electronic, ionic: conductivities at a local lithium potential U (V), S/m.
        drop: U, difference of lithium potential across the layer, V.
        points: of the integration (Simpson).

    Source: Wagner 1933; docs/physics.md 1.11.
    """
    from scipy.integrate import simpson

    U = np.linspace(0.0, drop, points)
    e, i = (np.array([float(σ(u)) for u in U]) for σ in (electronic, ionic))
    return float(molar_volume / (electrons * FARADAY) * simpson(e * i / (e + i), x=U))


def parabolic_from_onsager(
    coefficient: float, coefficient_error: float, affinity: float, molar_volume: float, atoms: float
) -> tuple[float, float]:
    """Parabolic constant from an Onsager coefficient of the species whose passage makes the layer grow, and its standard error.

    The flux through a layer of thickness L under a difference Δμ of chemical potential is N = 𝓛 Δμ/L, so that
    dL/dt = (V_m/ν) N gives k = V_m 𝓛 Δμ/ν.

    Args:
        coefficient, coefficient_error: 𝓛, mol²/(J m s): the flux (mol/(m² s)) per gradient of chemical potential (J/(mol m)).
        affinity: Δμ over the layer, J/mol.
        molar_volume: V_m of the product per formula, m³/mol.
        atoms: ν, atoms of the species that pass per formula of product.

    Returns:
        k and its standard error, m²/s.
    """
    factor = molar_volume * affinity / atoms
    return factor * coefficient, abs(factor) * coefficient_error


def passivating_from_onsager(
    points: Sequence[tuple[float, float, float]], affinity: float, molar_volume: float, atoms: float, start: float
) -> tuple[Passivating, float]:
    """Passivating law from Onsager coefficients of layers of several thicknesses.

    The rates v(L) = V_m 𝓛(L) Δμ/(ν L) are fitted by v exp(-(L - L0)/λ), a line in ln v (weighted with the errors where each has
    one).

    Args:
        points: thickness L (m), 𝓛 and its standard error (mol²/(J m s)) of each layer.
        affinity, molar_volume, atoms: Δμ (J/mol), V_m (m³/mol) and ν as in `parabolic_from_onsager`.
        start: L0, m.

    Returns:
        The law, and the root mean square distance of ln v from it.

    Raises:
        UserError: fewer than two thicknesses, or rates that do not fall with the thickness.
    """
    L, coefficient, error = np.array(points, dtype=float).T
    if len(np.unique(L)) < 2:
        raise UserError("a passivating law needs Onsager coefficients of layers of at least two thicknesses")
    rates = np.log(molar_volume * coefficient * affinity / (atoms * L))
    weights = coefficient / error if np.all(error > 0) else np.ones(len(L))
    slope, value = np.polyfit(L - start, rates, 1, w=weights)
    if not slope < 0:
        raise UserError("the rates do not fall with the thickness: the layer does not passivate; use one record (parabolic)")
    misfit = math.sqrt(np.mean((np.polyval([slope, value], L - start) - rates) ** 2))
    return Passivating(math.exp(value), -1 / slope, start), misfit


def onsager_from_diffusivity(
    diffusivity: float, diffusivity_error: float, concentration: float, temperature: float
) -> tuple[float, float]:
    """Onsager coefficient of a dilute or uncorrelated species, 𝓛 = D c/(RT), mol²/(J m s), with its standard error.

    Args:
        diffusivity, diffusivity_error: D (collective where known), m²/s.
        concentration: c, mol/m³.
        temperature: K.
    """
    factor = concentration / (GAS_CONSTANT * temperature)
    return factor * diffusivity, factor * diffusivity_error


def area_specific_resistance(law: Law, conductivity: float, time: Any, fixed: float = 0.0) -> Any:
    """Resistance of a growing layer over time, ohm m²: R = R0 + L(t)/κ."""
    return fixed + law.thickness(time) / conductivity


def thickness_bounds(make: Callable[[float], Law], constants: Sequence[float], time: Any) -> tuple[Any, Any, Any]:
    """Median and 68 % interval of the thickness over draws of a law's constant.

    Args:
        make: law of one draw of the constant.
        constants: draws, positive.
        time: s.
    """
    rows = np.array([make(float(k)).thickness(time) for k in constants])
    low, middle, high = np.percentile(rows, [15.865, 50.0, 84.135], axis=0)
    return middle, low, high


def arrhenius(prefactor: float, activation_energy: float, temperature: float) -> float:
    """Diffusivity D0 exp(-E/(RT)) at a temperature, m²/s (E in J/mol)."""
    return prefactor * math.exp(-activation_energy / (GAS_CONSTANT * temperature))


def coating_thickness(diffusivity: float, time: float, share: float) -> float:
    """Thickness of a coating behind which the concentration stays below a share of that at its face for a time, m.

    For a coating on a body that takes up what arrives as the coating itself would (semi-infinite): x = 2 (Dt)^½ erfc⁻¹(share).
    """
    if not 0 < share < 1:
        raise UserError(f"share {share}: give a number between 0 and 1")
    return 2 * math.sqrt(diffusivity * time) * float(erfcinv(share))


def sealed_coating_thickness(diffusivity: float, time: float, share: float) -> float:
    """The same for a coating whose inner face lets nothing pass, so that what arrives there gathers (twice as much at first), m.

    c(L, t)/c0 = 1 - (4/π) Σ (-1)^n/(2n + 1) exp(-(2n + 1)² π² D t/(4L²)).
    """
    if not 0 < share < 1:
        raise UserError(f"share {share}: give a number between 0 and 1")
    unit = math.sqrt(diffusivity * time)
    return float(brentq(lambda L: sealed_inner_share(L, diffusivity, time) - share, 0.05 * unit, 60 * unit, xtol=1e-9 * unit))


def sealed_inner_share(thickness: float, diffusivity: float, time: float) -> float:
    """Concentration at the sealed inner face of a coating over that at its outer face."""
    x = diffusivity * time / thickness**2
    if x < 0.3:  # images: converges at once for short times
        n = np.arange(20)
        return float(2 * np.sum((-1.0) ** n * erfc((2 * n + 1) / (2 * math.sqrt(x)))))
    n = np.arange(60)
    return float(1 - 4 / math.pi * np.sum((-1.0) ** n / (2 * n + 1) * np.exp(-((2 * n + 1) ** 2) * math.pi**2 * x / 4)))

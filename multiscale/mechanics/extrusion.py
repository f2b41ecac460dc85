"""Creep of lithium out of a slit: exact power-law channel flow, and the pressure it needs (pure NumPy).

Lithium creeps by ε̇ = A σⁿ (docs/physics.md 1.4). In simple shear σ_eq = √3 τ and γ̇ = √3 ε̇, so γ̇ = √3 A (√3 τ)ⁿ.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from coupling.constants import GAS_CONSTANT, ROOM_TEMPERATURE
from coupling.errors import UserError


@dataclass(frozen=True)
class Creep:
    """Norton creep of lithium, given as a measured point of the curve.

    Attributes:
        reference_rate: equivalent strain rate at the reference stress and temperature, 1/s.
        reference_stress: Pa.
        exponent: n of ε̇ ∝ σⁿ.
        activation_energy: Q of exp(-Q/RT), J/mol.
        reference_temperature: K.
        size_factor: flow stress of the confined lithium over that of the bulk (small lithium is stronger); 1 is bulk.
    """

    reference_rate: float
    reference_stress: float
    exponent: float
    activation_energy: float
    reference_temperature: float = ROOM_TEMPERATURE
    size_factor: float = 1.0

    def __post_init__(self) -> None:
        """Refuse impossible laws. Raises UserError naming the value."""
        for name in ("reference_rate", "reference_stress", "exponent", "reference_temperature", "size_factor"):
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) > 0):
                raise UserError(f"creep of lithium: {name} is {getattr(self, name)}; it must be a positive number")

    def rate(self, stress: Any, temperature: float) -> Any:
        """Equivalent strain rate A(T) σⁿ, 1/s, at an equivalent stress (Pa)."""
        inverse = 1 / temperature - 1 / self.reference_temperature
        arrhenius = math.exp(-self.activation_energy / GAS_CONSTANT * inverse)
        return self.reference_rate * arrhenius * (stress / (self.size_factor * self.reference_stress)) ** self.exponent


def slit_flow(gradient: Any, half_opening: Any, creep: Creep, temperature: float) -> Any:
    """Flow of power-law lithium through a plane slit, m²/s (volume per time and depth).

    The shear stress is τ = G y; integrating γ̇ = √3 A (√3 τ)ⁿ twice from the wall,
    Q = 2 √3ⁿ⁺¹ A Gⁿ hⁿ⁺²/(n+2) = 2 √3 h² ε̇(√3 G h)/(n+2).

    ======  =============  =====
    symbol  variable       unit
    ======  =============  =====
    G       gradient       Pa/m, pressure gradient along the slit
    h       half_opening   m
    ε̇(σ)    creep.rate     1/s
    ======  =============  =====

    Source: docs/physics.md 1.4 (n = 1 gives the plane Poiseuille flow of viscosity η = 1/(3A)).
    """
    wall = math.sqrt(3) * gradient * half_opening
    return 2 * math.sqrt(3) * half_opening**2 * creep.rate(wall, temperature) / (creep.exponent + 2)


def unit_drop(distance: np.ndarray, half_opening: np.ndarray, creep: Creep, temperature: float) -> float:
    """Pressure at the tip (above that at the mouth) that drives a flow of 1 m²/s out of a slit, Pa.

    Lithium is plated evenly along the faces, so the flow at a distance s from the mouth is Q (1 - s/c). The pressure is
    the integral of the local gradient G = [Q (1 - s/c)/Q₁(h)]^(1/n), Q₁ the flow at unit gradient. A closed slit needs
    an infinite pressure.

    Args:
        distance: s from the mouth, increasing, shape (k,), m; its last entry is the tip.
        half_opening: h there, shape (k,), m.
        creep: of the lithium.
        temperature: K.
    """
    flow = 1 - distance / distance[-1]
    if np.any(half_opening[:-1] <= 0):
        return math.inf
    gradient = np.zeros_like(distance)
    conductance = slit_flow(1.0, half_opening[:-1], creep, temperature)
    gradient[:-1] = (flow[:-1] / conductance) ** (1 / creep.exponent)
    return float(np.trapezoid(gradient, distance))


def extrusion_rate(
    pressure_drop: float, distance: np.ndarray, half_opening: np.ndarray, creep: Creep, temperature: float
) -> float:
    """Lithium pressed out of the mouth by a pressure drop from tip to mouth, m²/s (volume per time and depth).

    Since G ∝ Q^(1/n) everywhere, Q = (Δp/Δp₁)ⁿ with Δp₁ of `unit_drop`. Negative drops draw lithium in.
    """
    drop = unit_drop(distance, half_opening, creep, temperature)
    return math.copysign((abs(pressure_drop) / drop) ** creep.exponent, pressure_drop)

"""Electrons that leak from lithium into its interphase, and the potential of lithium there: closed forms across flat layers.

Lithium plates at y = 0 from reversible lithium behind the electrolyte; both currents cross an interphase (0 < y < t) and an
electrolyte (t < y < t + L), one after the other, as in `transport.leakage` but in closed form (pure NumPy, arrays of draws):

    σ_e(y) = σ_m exp(-y/λ) + σ_f in the interphase (tunnelling from the metal over a floor), σ_el in the electrolyte
    φ(y) = |η| + i R_ion(y),  π(y) = V R_e(y)/R_e(t + L),  U = π - φ,  V = |η| + i R_ion(t + L)

Where U is lowest, dU/dy = 0: σ_e(y*) = κ i_e/i, the share of the electrons in the current. Source: docs/physics.md 1.7; λ is
that of an electron below a barrier, λ = ħ/(2 (2 m E)^½) (WKB; any textbook of quantum mechanics).
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

HBAR = 1.054571817e-34
"""Reduced Planck constant, J s."""
ELECTRON_MASS = 9.1093837139e-31
"""kg."""


def tunnelling_length(barrier: Any) -> Any:
    """Length over which the density of electrons below a barrier (J) falls e-fold, m: ħ/(2 (2 m E)^½)."""
    return HBAR / (2 * np.sqrt(2 * ELECTRON_MASS * barrier))


@dataclass(frozen=True)
class LeakyCell:
    """Flat layers; every attribute a number or an array of draws (n,), SI.

    Attributes:
        interphase_thickness, electrolyte_thickness: t, L, m.
        interphase_conductivity, electrolyte_conductivity: κ of ions, S/m.
        contact_electronic: σ_m, electronic conductivity at the metal, S/m.
        barrier: E of the electrons, J.
        interphase_electronic, electrolyte_electronic: σ_f and σ_el, S/m.
        passage_resistance: R_p of ions at the layers' common face (y = t), ohm m²; electrons pass it freely.
    """

    interphase_thickness: Any
    electrolyte_thickness: Any
    interphase_conductivity: Any
    electrolyte_conductivity: Any
    contact_electronic: Any
    barrier: Any
    interphase_electronic: Any
    electrolyte_electronic: Any
    passage_resistance: Any = 0.0

    def ionic_resistance(self, depth: Any) -> Any:
        """R_ion from the lithium to a depth (m), ohm m²: y/κ up to the common face, t/κ + R_p + (y - t)/κ_el beyond it."""
        inside = np.minimum(depth, self.interphase_thickness)
        crossed = np.where(np.asarray(depth) > self.interphase_thickness, self.passage_resistance, 0.0)
        return inside / self.interphase_conductivity + crossed + (depth - inside) / self.electrolyte_conductivity

    def electronic_resistance(self, depth: Any) -> Any:
        """R_e from the lithium to a depth (m), ohm m²: (λ/σ_f) ln[(σ_m + σ_f e^(y/λ))/(σ_m + σ_f)] in the interphase."""
        λ, floor, top = tunnelling_length(self.barrier), self.interphase_electronic, self.contact_electronic
        inside = np.minimum(depth, self.interphase_thickness)
        # ln(σ_m + σ_f e^x) without overflow of e^x
        grown = np.logaddexp(np.log(top), np.log(floor) + inside / λ) - np.log(top + floor)
        return λ / floor * grown + (depth - inside) / self.electrolyte_electronic

    def electronic_conductivity(self, depth: Any) -> Any:
        """σ_e at a depth in the interphase, S/m."""
        return self.contact_electronic * np.exp(-depth / tunnelling_length(self.barrier)) + self.interphase_electronic

    @property
    def total(self) -> Any:
        """Depth of the other electrode, m."""
        return self.interphase_thickness + self.electrolyte_thickness

    def voltage(self, current_density: Any, overpotential: Any) -> Any:
        """V of the cell at a plating current density (A/m², positive) and the magnitude of its overpotential (V)."""
        return overpotential + current_density * self.ionic_resistance(self.total)

    def electronic_share(self, current_density: Any, overpotential: Any) -> Any:
        """Electronic over ionic current."""
        return self.voltage(current_density, overpotential) / self.electronic_resistance(self.total) / current_density

    def lithium_potential(self, depth: Any, current_density: Any, overpotential: Any) -> Any:
        """U at a depth, V against lithium; lithium can form where it is negative enough."""
        electrons = self.electronic_resistance(depth) / self.electronic_resistance(self.total)
        ions = overpotential + current_density * self.ionic_resistance(depth)
        return self.voltage(current_density, overpotential) * electrons - ions

    def lowest(self, current_density: float, overpotential: float) -> float:
        """Depth in the interphase at which U is lowest, m (numbers only): σ_e(y*) = κ i_e/i, or its outer face."""
        wanted = self.interphase_conductivity * self.electronic_share(current_density, overpotential) - self.interphase_electronic
        if wanted <= 0:
            return float(self.interphase_thickness)
        depth = tunnelling_length(self.barrier) * math.log(self.contact_electronic / wanted)
        return float(min(max(depth, 0.0), self.interphase_thickness))

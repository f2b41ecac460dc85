"""Voids that stripping opens in lithium: the current that creep and vacancy diffusion can follow (docs/physics.md 1.13).

Stripping takes lithium away at V i/F. Under the pressure p a void of radius a closes by creep at the speed of a sphere in a
power-law body, and vacancies left behind diffuse away over a distance L while their excess stays below what makes new voids:

    i_v = F/V [ (a/2) ε̇(3p/2n) + D (s - 1)/L ]

A limit of the stripped electrode, reported beside the critical current and never mixed with it. Closed form; the creep part
is held to a resolved void in tests/test_lithium_flow.py.
"""

from dataclasses import dataclass

from coupling.constants import FARADAY, LITHIUM_MOLAR_VOLUME
from multiscale.mechanics.extrusion import Creep
from multiscale.mechanics.lithium_flow import void_closing_rate


@dataclass(frozen=True)
class StrippingLimit:
    """The largest stripping current density without voids, A/m², and its two parts."""

    creep: float
    diffusion: float

    @property
    def total(self) -> float:
        """Both together."""
        return self.creep + self.diffusion


def stripping_limit(
    pressure: float, radius: float, creep: Creep, temperature: float, self_diffusivity: float, supersaturation: float,
    distance: float,
) -> StrippingLimit:  # fmt: skip
    """Current density that creep and vacancy diffusion can follow, A/m².

    Args:
        pressure: of the stack, Pa.
        radius: a of the voids that contact starts with, m.
        creep: of the lithium in bulk.
        temperature: K.
        self_diffusivity: D of lithium in lithium (vacancy diffusivity times their equilibrium share), m²/s.
        supersaturation: s, vacancies over those in equilibrium at which new voids form.
        distance: L to where vacancies vanish, m.
    """
    charge = FARADAY / LITHIUM_MOLAR_VOLUME
    by_creep = charge * float(void_closing_rate(pressure, radius, creep, temperature))
    return StrippingLimit(by_creep, charge * self_diffusivity * (supersaturation - 1) / distance)

"""Classical nucleation of lithium from a surface energy (docs/physics.md 1.8), SI units.

Below about 1 nm the theory is qualitative; every record made here says "classical nucleation theory, bulk surface energy".
"""

import math
from dataclasses import dataclass

from coupling.constants import AVOGADRO, BOLTZMANN, FARADAY, LITHIUM_MOLAR_VOLUME, ROOM_TEMPERATURE

LABEL = "classical nucleation theory, bulk surface energy"


@dataclass(frozen=True)
class Nucleus:
    """Critical nucleus.

    Attributes:
        radius: r*, m. barrier: ΔG* (heterogeneous factor included), J. atoms: n* of the full sphere, 1.
        zeldovich: Z of the full sphere, 1.
    """

    radius: float
    barrier: float
    atoms: float
    zeldovich: float


def contact_factor(angle: float) -> float:
    """Share f(θ) = (2 + cos θ)(1 − cos θ)²/4 of the spherical barrier on a wall; `angle` θ in rad."""
    return (2 + math.cos(angle)) * (1 - math.cos(angle)) ** 2 / 4


def critical_nucleus(
    surface_energy: float,
    overpotential: float,
    temperature: float = ROOM_TEMPERATURE,
    confining_pressure: float = 0.0,
    molar_volume: float = LITHIUM_MOLAR_VOLUME,
    angle: float = math.pi,
) -> Nucleus:
    """Critical nucleus at a driving force F|η| − V w.

    r* = 2 γ V/(F|η| − V w); ΔG* = f(θ) 16 π γ³ V²/(3 (F|η| − V w)²); n* = (4π/3) r*³ N_A/V;
    Z = sqrt(ΔG*/(3 π k_B T n*²)).

    Args:
        surface_energy: γ, J/m². overpotential: |η|, V. temperature: T, K.
        confining_pressure: elastic energy per volume w of the inclusion, Pa.
        molar_volume: V, m³/mol. angle: contact angle θ, rad (π: homogeneous).

    Raises:
        ValueError: the driving force or the surface energy is not positive (nothing nucleates).
    """
    driving = FARADAY * abs(overpotential) - molar_volume * confining_pressure
    if driving <= 0 or surface_energy <= 0:
        raise ValueError(
            f"no driving force for nucleation: F|η| − V w = {driving:.4g} J/mol, surface energy {surface_energy:.4g} J/m²"
        )
    radius = 2 * surface_energy * molar_volume / driving
    sphere = 16 * math.pi * surface_energy**3 * molar_volume**2 / (3 * driving**2)
    atoms = 4 / 3 * math.pi * radius**3 * AVOGADRO / molar_volume
    zeldovich = math.sqrt(sphere / (3 * math.pi * BOLTZMANN * temperature * atoms**2))
    return Nucleus(radius, contact_factor(angle) * sphere, atoms, zeldovich)


def attachment_frequency(
    nucleus: Nucleus, diffusivity: float, hop_length: float, molar_volume: float = LITHIUM_MOLAR_VOLUME
) -> float:
    """Frequency β* (1/s) at which ions join the critical nucleus: sites on its surface times the hop rate 6 D/a² to it.

    β* = 4 π r*² (N_A/V)^(2/3) D/a²: one of six hops points inwards.

    Args:
        nucleus: critical nucleus. diffusivity: D of the ions around it, m²/s. hop_length: a, m.
        molar_volume: V, m³/mol.
    """
    sites = 4 * math.pi * nucleus.radius**2 * (AVOGADRO / molar_volume) ** (2 / 3)
    return sites * diffusivity / hop_length**2


def log10_rate(nucleus: Nucleus, site_density: float, attachment: float, temperature: float = ROOM_TEMPERATURE) -> float:
    """log₁₀ of the rate J = N_s Z β* exp(−ΔG*/k_B T), J in 1/(m³ s): a logarithm, since the rate itself underflows.

    Args:
        nucleus: critical nucleus. site_density: N_s, 1/m³. attachment: β*, 1/s. temperature: T, K.
    """
    prefactor = math.log10(site_density) + math.log10(nucleus.zeldovich) + math.log10(attachment)
    return prefactor - nucleus.barrier / (BOLTZMANN * temperature * math.log(10))

"""Classical nucleation of lithium inside a solid (docs/physics.md 1.8). Below about 1 nm it is qualitative only."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from coupling.constants import AVOGADRO, BOLTZMANN, FARADAY, LITHIUM_MOLAR_VOLUME, ROOM_TEMPERATURE

LABEL = "classical nucleation theory, bulk surface energy"
"""What every record made with this module says of itself."""


@dataclass(frozen=True)
class Nucleus:
    """The critical nucleus.

    Attributes:
        radius: r*, m.
        barrier: ΔG*, J (already multiplied by the shape factor).
        atoms: n*, number of atoms.
        zeldovich: Zeldovich factor, dimensionless.
    """

    radius: float
    barrier: float
    atoms: float
    zeldovich: float


def shape_factor(contact_angle: float) -> float:
    """Share f(θ) = (2 + cos θ)(1 - cos θ)²/4 of the sphere's barrier on a wall; contact angle in radians, 0 to π."""
    if not 0 <= contact_angle <= math.pi:
        raise ValueError(f"contact angle {contact_angle} rad lies outside 0 … π")
    c = math.cos(contact_angle)
    return (2 + c) * (1 - c) ** 2 / 4


def critical_nucleus(
    surface_energy: float,
    overpotential: float,
    temperature: float = ROOM_TEMPERATURE,
    confinement: float = 0.0,
    contact_angle: float = math.pi,
    molar_volume: float = LITHIUM_MOLAR_VOLUME,
) -> Nucleus:
    """Critical nucleus of plated metal.

    r* = 2 γ V/g,  ΔG* = f 16π γ³ V²/(3 g²),  g = F|η| - V w,  n* = f (4/3)π r*³ N_A/V,  Z = [ΔG*/(3π k T n*²)]^½

    ======  ==============  ======
    symbol  variable        unit
    ======  ==============  ======
    γ       surface_energy  J/m²
    η       overpotential   V; negative when plating
    w       confinement     Pa, elastic energy per volume of inclusion (about its pressure)
    f       of contact_angle (radians; π is a free sphere)
    V       molar_volume    m³/mol
    ======  ==============  ======

    Where the driving force g is not positive nothing nucleates: radius, barrier and atoms are infinite, Z is zero.

    Raises:
        ValueError: a surface energy, temperature or volume that is not positive, or a contact angle outside (0, π].

    Source: docs/physics.md 1.8 (Volmer & Weber 1926; Zeldovich 1943).
    """
    if not (surface_energy > 0 and temperature > 0 and molar_volume > 0 and contact_angle > 0):
        raise ValueError("surface energy, temperature, molar volume and contact angle must be positive")
    f = shape_factor(contact_angle)
    g = FARADAY * max(-overpotential, 0.0) - molar_volume * confinement
    if g <= 0:
        return Nucleus(math.inf, math.inf, math.inf, 0.0)
    radius = 2 * surface_energy * molar_volume / g
    barrier = f * 16 * math.pi * surface_energy**3 * molar_volume**2 / (3 * g**2)
    atoms = f * 4 / 3 * math.pi * radius**3 * AVOGADRO / molar_volume
    zeldovich = math.sqrt(barrier / (3 * math.pi * BOLTZMANN * temperature * atoms**2))
    return Nucleus(radius, barrier, atoms, zeldovich)


def attachment_frequency(
    nucleus: Nucleus, diffusivity: float, hop_length: float, molar_volume: float = LITHIUM_MOLAR_VOLUME
) -> float:
    """Frequency β* (1/s) at which ions join the critical nucleus: sites on its surface times the hop rate to them.

    β* = 4π r*² (N_A/V)^⅔ D/a²: a hop rate 6 D/a², of which one in six points inwards.

    Args:
        nucleus: of `critical_nucleus`.
        diffusivity: D of the ions around it, m²/s.
        hop_length: a, m.
        molar_volume: V, m³/mol.
    """
    sites = 4 * math.pi * nucleus.radius**2 * (AVOGADRO / molar_volume) ** (2 / 3)
    return sites * diffusivity / hop_length**2


def log10_rate(nucleus: Nucleus, sites: float, attachment: float, temperature: float = ROOM_TEMPERATURE) -> float:
    """Decimal logarithm of the nucleation rate J = N Z β exp(-ΔG*/kT), in the unit of `sites` per second.

    Args:
        nucleus: of `critical_nucleus`.
        sites: N, 1/m³ (or 1/m², or a number of sites).
        attachment: β, 1/s.
        temperature: K.

    Returns:
        log10 of the rate; minus infinity where nothing nucleates. A logarithm, since barriers of 20 eV underflow.

    Raises:
        ValueError: sites or attachment rate not positive.
    """
    if not (sites > 0 and attachment > 0):
        raise ValueError("number of sites and attachment rate must be positive")
    if math.isinf(nucleus.barrier):
        return -math.inf
    exponent = nucleus.barrier / (BOLTZMANN * temperature)
    return math.log10(sites) + math.log10(nucleus.zeldovich) + math.log10(attachment) - exponent / math.log(10)


def drives_told(drives: Sequence[tuple[float, float]]) -> str:
    """Overpotentials (V) and pressures (Pa) in words: "η = -0.02, -0.05 V at 0, 100 MPa; η = -0.2 V at 1000 MPa"."""
    by_pressures: dict[tuple[float, ...], list[float]] = {}
    for η in dict.fromkeys(one for one, _ in drives):
        by_pressures.setdefault(tuple(p for one, p in drives if one == η), []).append(η)
    return "; ".join(f"η = {', '.join(f'{one:g}' for one in ηs)} V at {', '.join(f'{p / 1e6:g}' for p in pressures)} MPa"
                     for pressures, ηs in by_pressures.items())  # fmt: skip

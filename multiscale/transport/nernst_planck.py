"""Nernst-Planck transport of any number of ions: one flux, source or balance a function (docs/physics.md 1.1).

Fluxes are UFL vectors in mol/(m² s); `divergence` turns any sum of them into a weak form. The closures say what determines
the electric potential: Ohm's law of one ion, electroneutrality, or Poisson's equation.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ufl
from ufl import dot, grad

from coupling.constants import FARADAY, GAS_CONSTANT, ROOM_TEMPERATURE
from coupling.errors import UserError
from multiscale.transport.single_ion import flux

VACUUM_PERMITTIVITY = 8.8541878128e-12
"""Electric constant, F/m (CODATA 2018)."""


@dataclass(frozen=True)
class Species:
    """A mobile ion or neutral.

    Attributes:
        name: for example "Li+"; unique within a medium and not "potential".
        charge: number z (0: neutral).
        diffusivity: D, m²/s: number, fem.Constant, field or tensor.
        molar_volume: partial molar volume V, m³/mol, that drives the ion down a pressure gradient.
        sites: lattice sites that one ion takes, for the packing limit.
    """

    name: str
    charge: int
    diffusivity: Any
    molar_volume: Any = 0.0
    sites: float = 1.0

    def __post_init__(self) -> None:
        """Refuse what cannot be a species."""
        if self.name == "potential":
            raise UserError('a species cannot be called "potential": that is the name of the electric potential')
        if isinstance(self.diffusivity, int | float) and not self.diffusivity > 0:
            raise UserError(f"species {self.name}: its diffusivity is {self.diffusivity} m2/s; give a positive number")


@dataclass(frozen=True)
class SingleIon:
    """Closure of a single-ion conductor: its concentration is fixed by the lattice, ∇·(κ∇φ) = 0.

    Attributes:
        conductivity: κ, S/m: number, field or tensor.
        permittivity: ε, F/m, of the displacement current -ε ∇∂φ/∂t that flows beside it; None: none.
    """

    conductivity: Any
    permittivity: Any = None


@dataclass(frozen=True)
class Electroneutral:
    """Closure Σ z_k c_k + ρ/F = 0; the last charged species is expressed by the others and charge conservation gives φ.

    Attributes:
        fixed_charge: ρ of the immobile background, C/m³ (constant in time).
    """

    fixed_charge: Any = 0.0


@dataclass(frozen=True)
class Poisson:
    """Closure -∇·(ε∇φ) = F Σ z_k c_k + ρ, with an optional packing limit (Bikerman).

    Attributes:
        permittivity: ε, F/m.
        fixed_charge: ρ of the immobile background, C/m³.
        site_density: sites for mobile ions, mol/m³; None: point charges.
    """

    permittivity: Any
    fixed_charge: Any = 0.0
    site_density: Any = None


Closure = SingleIon | Electroneutral | Poisson


def diffusion(ion: Species, concentration: Any) -> Any:
    """Fick's flux -D ∇c, mol/(m² s), with D in m²/s and c in mol/m³. Source: Newman & Thomas-Alyea; docs/physics.md 1.1(a)."""
    return -flux(ion.diffusivity, grad(concentration))


def migration(ion: Species, concentration: Any, potential: Any, temperature: Any = ROOM_TEMPERATURE) -> Any:
    """Flux of an ion in an electric field.

    N = -(z F/(RT)) c D ∇φ

    ======  ===============  =======
    symbol  variable         unit
    ======  ===============  =======
    z       ion.charge       1
    D       ion.diffusivity  m²/s
    c       concentration    mol/m³
    φ       potential        V
    T       temperature      K
    ======  ===============  =======

    Source: Nernst 1888, Planck 1890 (Einstein mobility D/(RT)); docs/physics.md 1.1(a).
    """
    zF_RT = ion.charge * FARADAY / (GAS_CONSTANT * temperature)
    return -zF_RT * concentration * flux(ion.diffusivity, grad(potential))


def stress_drift(ion: Species, concentration: Any, pressure: Any, temperature: Any = ROOM_TEMPERATURE) -> Any:
    """Flux of an ion down a pressure gradient: N = -(V/(RT)) c D ∇p.

    V is ion.molar_volume (m³/mol), p the pressure (Pa, compression positive): the gradient of the pressure part V p of the
    chemical potential, times the mobility D/(RT). Source: docs/physics.md 1.2(b) for the chemical potential.
    """
    return -ion.molar_volume / (GAS_CONSTANT * temperature) * concentration * flux(ion.diffusivity, grad(pressure))


def occupancy(ions: Sequence[Species], concentrations: Sequence[Any], site_density: Any) -> Any:
    """Share of the lattice sites that ions hold: Φ = Σ m_k c_k / c_sites."""
    return sum(ion.sites * c for ion, c in zip(ions, concentrations, strict=True)) / site_density


def crowding(ion: Species, concentration: Any, occupied: Any) -> Any:
    """Flux of an ion away from a crowded lattice: N = -m c D ∇Φ/(1 - Φ).

    From the lattice-gas free energy RT [Σ c ln c + c_sites (1 - Φ) ln(1 - Φ)]: the excess chemical potential is
    -m RT ln(1 - Φ) with m = ion.sites and Φ of `occupancy`; it grows without bound as Φ → 1, so that Φ < 1 always.
    Source: Bikerman 1942; Kilic, Bazant & Ajdari, Phys. Rev. E 75, 021503 (2007).
    """
    return -ion.sites * concentration / (1 - occupied) * flux(ion.diffusivity, grad(occupied))


def total_flux(
    ion: Species, concentration: Any, potential: Any, temperature: Any = ROOM_TEMPERATURE, pressure: Any = None,
    occupied: Any = None,
) -> Any:  # fmt: skip
    """Sum of diffusion, migration, stress drift (with a pressure) and crowding (with an occupancy), mol/(m² s)."""
    N = diffusion(ion, concentration)
    if ion.charge:
        N += migration(ion, concentration, potential, temperature)
    if pressure is not None:
        N += stress_drift(ion, concentration, pressure, temperature)
    if occupied is not None:
        N += crowding(ion, concentration, occupied)
    return N


def current_density(ions: Sequence[Species], fluxes: Sequence[Any]) -> Any:
    """Current density i = F Σ z_k N_k, A/m²."""
    return FARADAY * sum(ion.charge * N for ion, N in zip(ions, fluxes, strict=True) if ion.charge)


def charge_density(ions: Sequence[Species], concentrations: Sequence[Any], fixed_charge: Any = 0.0) -> Any:
    """Charge density F Σ z_k c_k + ρ_fixed, C/m³."""
    return FARADAY * sum(ion.charge * c for ion, c in zip(ions, concentrations, strict=True)) + fixed_charge


def balancing_concentration(ions: Sequence[Species], concentrations: Sequence[Any], fixed_charge: Any = 0.0) -> Any:
    """Concentration of the last of `ions` that makes the sum of all charges zero, mol/m³.

    `concentrations` are those of the others, in order.
    """
    others, last = ions[:-1], ions[-1]
    return -charge_density(others, concentrations, fixed_charge) / (last.charge * FARADAY)


def divergence(molar_flux: Any, test: Any, measure: Any) -> ufl.Form:
    """Transport of a flux: strong form ∇·N; weak form -∫ N·∇w dx, whose natural boundary term is `inflow`."""
    return -dot(molar_flux, grad(test)) * measure


def inflow(molar_flux: Any, test: Any, measure: Any) -> ufl.Form:
    """Flux that enters through a boundary: weak form -∫ j w ds, with j = -N·n for the outward n, mol/(m² s)."""
    return -molar_flux * test * measure


def reaction(rate: Any, test: Any, measure: Any) -> ufl.Form:
    """Source of a species: strong form -R; weak form -∫ R w dx, with R in mol/(m³ s)."""
    return -rate * test * measure


def storage(rate_of_change: Any, test: Any, measure: Any) -> ufl.Form:
    """Change of a species in time: strong form ∂c/∂t; weak form ∫ ∂c/∂t w dx, with ∂c/∂t in mol/(m³ s)."""
    return rate_of_change * test * measure


def poisson(
    permittivity: Any, potential: Any, charge: Any, test: Any, measure: Any, scale: Any = VACUUM_PERMITTIVITY
) -> ufl.Form:
    """Poisson's equation, divided by a permittivity so that the residual is of the size of the potential.

    Strong form -∇·(ε∇φ) - ρ = 0;  weak form (1/ε_s) [∫ ε∇φ·∇w dx - ∫ ρ w dx], with ε and the scale ε_s in F/m and the charge
    ρ in C/m³. A boundary where nothing is said carries no surface charge. Source: docs/physics.md 1.1(e).
    """
    gauss = dot(flux(permittivity, grad(potential)), grad(test)) * measure - charge * test * measure
    return (1 / scale) * gauss


def debye_length(
    charges: Mapping[float, float], permittivity: float, temperature: float = ROOM_TEMPERATURE
) -> float:
    """Debye length sqrt(ε RT/(F² Σ z² c)), m.

    Args:
        charges: concentration (mol/m³) of the mobile ions of each charge number.
        permittivity: F/m.
        temperature: K.
    """
    strength = sum(z**2 * c for z, c in charges.items())
    return math.sqrt(permittivity * GAS_CONSTANT * temperature / (FARADAY**2 * strength))

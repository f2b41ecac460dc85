"""Ion transport in solid electrolytes: the single-ion conductor (docs/physics.md 1.1d)."""

from typing import Any

import ufl
from ufl import div, dot, grad, inner

from multiscale.domain import Domain


def ohmic_conduction(conductivity: Any, potential: Any, test: Any, measure: Any) -> ufl.Form:
    """Ohm's law in a single-ion conductor (transference number one, fixed background charge).

    Strong form  -∇·(κ ∇φ) = 0;  weak form  ∫ κ ∇φ·∇w dx.  Its natural boundary term is ∫ i·n w ds with the outward n,
    so that a current density j entering the electrolyte through a boundary is the term `current_inflow`.

    ======  ============  =====
    symbol  variable      unit
    ======  ============  =====
    κ       conductivity  S/m (number, field or tensor)
    φ       potential     V
    w       test          V
    ======  ============  =====

    Source: Newman & Thomas-Alyea, Electrochemical Systems; docs/physics.md 1.1(d).
    """
    return inner(flux(conductivity, grad(potential)), grad(test)) * measure


def current_inflow(current_density: Any, test: Any, measure: Any) -> ufl.Form:
    """Current that enters the electrolyte through a boundary.

    Weak form  -∫ j w ds, with j = i·n (A/m²) and n from the metal into the electrolyte: exactly the anodic-positive
    surface current of Butler-Volmer (docs/physics.md 0).
    """
    return -current_density * test * measure


def current_source(source: Any, test: Any, measure: Any) -> ufl.Form:
    """Volume source of ions, A/m³: strong form ∇·i = s; weak form -∫ s w dx."""
    return -source * test * measure


def flux(conductivity: Any, gradient: Any) -> Any:
    """κ·g for a scalar or tensor conductivity."""
    return dot(conductivity, gradient) if getattr(conductivity, "ufl_shape", ()) else conductivity * gradient


def current_density(conductivity: Any, potential: Any) -> Any:
    """Ionic current density i = -κ ∇φ, A/m², vector of the mesh's dimension."""
    return -flux(conductivity, grad(potential))


def current_through(domain: Domain, conductivity: Any, potential: Any, *boundaries: str) -> ufl.Form:
    """Current that leaves the electrolyte through named outer boundaries, from the local field, A (A/m in 2-D).

    Form  ∫ i·n ds (no argument), with the outward n. Where a potential is fixed, `solver.reaction` (current entering) is
    the more accurate and exactly conservative value; where kinetics give the current, integrate that.
    """
    return dot(current_density(conductivity, potential), domain.normal) * domain.ds(*boundaries)


def ohmic_strong_residual(conductivity: Any, potential: Any) -> Any:
    """Strong form ∇·(-κ ∇φ), A/m³: the source that makes `potential` an exact solution."""
    return div(current_density(conductivity, potential))

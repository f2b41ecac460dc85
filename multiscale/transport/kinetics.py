"""Charge transfer at the lithium surface: Butler-Volmer with a pressure-shifted equilibrium (docs/physics.md 1.2).

One code path serves numbers, arrays and UFL expressions.
"""

from typing import Any, NamedTuple

import numpy as np
import ufl

from coupling.constants import FARADAY, GAS_CONSTANT, LITHIUM_MOLAR_VOLUME, ROOM_TEMPERATURE

EXPONENT_LIMIT = 50.0
"""Argument above which the exponential continues along its tangent (exp(50) = 5e21: no physical current gets there)."""


class _Functions(NamedTuple):
    exp: Any
    minimum: Any
    choose: Any


def _functions(*values: Any) -> _Functions:
    if any(isinstance(value, ufl.core.expr.Expr) for value in values):
        return _Functions(ufl.exp, ufl.min_value, lambda x, limit, a, b: ufl.conditional(ufl.lt(x, limit), a, b))
    return _Functions(np.exp, np.minimum, lambda x, limit, a, b: np.where(np.asarray(x) < limit, a, b)[()])


def bounded_exp(argument: Any, limit: float = EXPONENT_LIMIT) -> Any:
    """The exponential up to `limit`, its tangent above: exact below, never an overflow, once differentiable.

    Args:
        argument: number, array or UFL expression.
        limit: argument at which the tangent takes over.
    """
    functions = _functions(argument)
    inside = functions.exp(functions.minimum(argument, limit))
    beyond = float(np.exp(limit)) * (1 + argument - limit)
    return functions.choose(argument, limit, inside, beyond)


def butler_volmer(
    overpotential: Any,
    exchange_current_density: Any,
    anodic_transfer: Any = 0.5,
    cathodic_transfer: Any = None,
    temperature: Any = ROOM_TEMPERATURE,
    pressure: Any = 0.0,
    mechanical_transfer: Any = None,
    molar_volume: Any = LITHIUM_MOLAR_VOLUME,
) -> Any:
    """Butler-Volmer surface current density with mechanical work.

    i_n = i0 { exp[(αa F Δ + (1-αm) V p)/RT] - exp[(-αc F Δ - αm V p)/RT] },  Δ = φ_s - φ_e - U0

    ======  ========================  =======
    symbol  variable                  unit
    ======  ========================  =======
    Δ       overpotential             V, against the stress-free equilibrium; the plain overpotential η when p = 0
    i0      exchange_current_density  A/m²
    αa, αc  anodic_, cathodic_transfer  1; αc is 1 - αa unless given
    αm      mechanical_transfer       1; share of the work carried by the transition state; αc unless given (i0 unchanged)
    T       temperature               K
    p       pressure                  Pa, normal pressure on the metal, compression positive
    V       molar_volume              m³/mol
    i_n     returned                  A/m²; positive anodic (stripping), from the metal into the electrolyte
    ======  ========================  =======

    The current vanishes at Δ = -V p/F for every αm when αa + αc = 1. Exponentials are bounded (`bounded_exp`).
    Source: docs/physics.md 1.2(a), (d); structure of Ganser et al., J. Electrochem. Soc. 166, H167 (2019).
    """
    anodic, cathodic = exponents(
        overpotential, anodic_transfer, cathodic_transfer, temperature, pressure, mechanical_transfer, molar_volume
    )
    return exchange_current_density * (bounded_exp(anodic) - bounded_exp(cathodic))


def exponents(
    overpotential: Any,
    anodic_transfer: Any = 0.5,
    cathodic_transfer: Any = None,
    temperature: Any = ROOM_TEMPERATURE,
    pressure: Any = 0.0,
    mechanical_transfer: Any = None,
    molar_volume: Any = LITHIUM_MOLAR_VOLUME,
) -> tuple[Any, Any]:
    """Arguments of both exponentials of `butler_volmer`: (αa F Δ + (1-αm) V p)/RT and (-αc F Δ - αm V p)/RT."""
    αa, αc = anodic_transfer, 1 - anodic_transfer if cathodic_transfer is None else cathodic_transfer
    αm = αc if mechanical_transfer is None else mechanical_transfer
    RT = GAS_CONSTANT * temperature
    work = molar_volume * pressure
    anodic = (αa * FARADAY * overpotential + (1 - αm) * work) / RT
    cathodic = (-αc * FARADAY * overpotential - αm * work) / RT
    return anodic, cathodic


SMALLEST_CONCENTRATION = 1e-12
"""Share of the reference concentration below which kinetics see no further depletion (keeps powers and logarithms finite)."""


def _activity(concentration: Any, reference: Any) -> Any:
    """Concentration over its reference, not below SMALLEST_CONCENTRATION."""
    ratio = concentration / reference
    if isinstance(ratio, ufl.core.expr.Expr):
        return ufl.max_value(ratio, SMALLEST_CONCENTRATION)
    return np.maximum(ratio, SMALLEST_CONCENTRATION)


def exchange_current(reference_current_density: Any, concentration: Any, reference: Any, exponent: Any) -> Any:
    """Exchange current density at a concentration, A/m²: i0 = i00 (c/c_ref)^α (Newman & Thomas-Alyea, ch. 8)."""
    return reference_current_density * _activity(concentration, reference) ** exponent


def nernst_shift(concentration: Any, reference: Any, charge: Any = 1, temperature: Any = ROOM_TEMPERATURE) -> Any:
    """Equilibrium potential of metal against its ion at a concentration c over that at c_ref, V: (RT/(zF)) ln(c/c_ref)."""
    activity = _activity(concentration, reference)
    logarithm = ufl.ln(activity) if isinstance(activity, ufl.core.expr.Expr) else np.log(activity)
    return GAS_CONSTANT * temperature / (charge * FARADAY) * logarithm


def equilibrium_shift(pressure: Any, molar_volume: Any = LITHIUM_MOLAR_VOLUME) -> Any:
    """Shift of the equilibrium potential by pressure, V: ΔU = -V p/F (docs/physics.md 1.2b). Pressure hinders plating."""
    return -molar_volume * pressure / FARADAY


def stall_pressure(overpotential: Any, molar_volume: Any = LITHIUM_MOLAR_VOLUME) -> Any:
    """Pressure at which plating at a (negative) overpotential stops, Pa: p = -F η/V (docs/physics.md 1.6), an upper bound."""
    return -FARADAY * overpotential / molar_volume


def charge_transfer_resistance(exchange_current_density: Any, temperature: Any = ROOM_TEMPERATURE) -> Any:
    """Linear resistance of one electrode at small overpotential, ohm m²: RT/(F i0) for αa + αc = 1."""
    return GAS_CONSTANT * temperature / (FARADAY * exchange_current_density)


def overpotential_at(
    current_density: float,
    exchange_current_density: float,
    anodic_transfer: float = 0.5,
    cathodic_transfer: float | None = None,
    temperature: float = ROOM_TEMPERATURE,
) -> float:
    """Overpotential that drives a surface current density, V (numbers only; the inverse of `butler_volmer` at p = 0)."""
    from scipy.optimize import brentq

    αc = 1 - anodic_transfer if cathodic_transfer is None else cathodic_transfer
    thermal = GAS_CONSTANT * temperature / FARADAY
    reach = 2 + float(np.log1p(abs(current_density) / exchange_current_density))
    high, low = thermal * reach / anodic_transfer, -thermal * reach / αc

    def excess(η: float) -> float:
        return float(
            butler_volmer(η, exchange_current_density, anodic_transfer, αc, temperature) - current_density
        )

    return float(brentq(excess, low, high, xtol=1e-16, rtol=1e-14))


def plating_velocity(current_density: Any, molar_volume: Any = LITHIUM_MOLAR_VOLUME) -> Any:
    """Velocity of the metal surface into the electrolyte, m/s: v = -V i_n/F, positive when plating (docs/physics.md 1.3)."""
    return -molar_volume * current_density / FARADAY


def deposited_thickness(charge_density: Any, molar_volume: Any = LITHIUM_MOLAR_VOLUME) -> Any:
    """Thickness of metal per charge passed, m, for a charge in C/m² (plating counted positive): V q/F."""
    return molar_volume * charge_density / FARADAY

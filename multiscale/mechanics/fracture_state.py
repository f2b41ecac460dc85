"""What a cracking body is told and tells: its energies, the loads that were there before the crack."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Balance:
    """Energies of a state, J (J/m in plane strain), and what entered since the start.

    Attributes:
        elastic, fracture: stored in the body, spent on the crack.
        pressure_work: ∫ p dV since the start, by the trapezoidal rule over the steps.
        load_work: work of moved supports since the start, alike: ∫ R·du of the nodal forces R they exert.
        pressure: p in the crack, Pa.
        volume: of the crack, m³ (m²).
        dissipated: what broke for good in the last step (`phase_field.broken_density`); never negative. `fracture` holds the
            energy of the damage's gradient too, which a profile that widens gives back.
        turns: of the alternation in the last step.
    """

    elastic: float
    fracture: float
    pressure_work: float
    load_work: float
    pressure: float
    volume: float
    dissipated: float
    turns: int

    @property
    def residual(self) -> float:
        """Energy that entered less energy that is there: the error of the step size and of sudden growth."""
        return self.pressure_work + self.load_work - self.elastic - self.fracture


@dataclass(frozen=True)
class Prestress:
    """Loads that are there before the crack: displacement and volume of the crack are counted from the sound body under them.

    So a body that is only compressed moves nothing and opens nothing, and what a smeared mouth would take for volume when the
    body moves along its crack is not there.

    Attributes:
        strain: ε0 of the sound body, elastic (3×3); ψ is that of ε(u) + ε0.
        work: of the dead loads, made of u and of the share that sound material carries: ∫ g t·u ds. The part of the surface that
            is crack hands its load to what fills the crack.
        displacement: of the sound body under its loads, m; or None where they do not change.
        press: sets the stack pressure (Pa) and finds strain and displacement anew.
    """

    strain: Any
    work: Callable[[Any, Any], Any]
    displacement: Any = None
    press: Callable[[float], None] | None = None

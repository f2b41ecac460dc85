"""The properties of the layered cell that the initiation model needs, in SI units."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from coupling.errors import UserError
from multiscale.materials import Elastic
from multiscale.mechanics.extrusion import Creep


@dataclass(frozen=True)
class CellProperties:
    """Everything the initiation model needs besides the geometry, SI.

    Attributes:
        conductivity: ionic conductivity of "grain", "boundary" and "interphase", S/m.
        elastic: elastic constants of the same regions.
        exchange_current_density: of lithium against the interphase, A/m².
        temperature: K.
        stack_pressure: pressure of the lithium on its flat surface, Pa.
        grain_toughness, boundary_toughness: K_Ic of a grain and of a grain boundary, Pa m^½.
        creep: of the lithium in the flaw; None switches extrusion off.
        anodic_transfer: αa of Butler-Volmer (αc = 1 - αa).
        mechanical_transfer: αm; αc unless given.
    """

    conductivity: Mapping[str, float]
    elastic: Mapping[str, Elastic]
    exchange_current_density: float
    temperature: float
    stack_pressure: float
    grain_toughness: float
    boundary_toughness: float
    creep: Creep | None
    anodic_transfer: float = 0.5
    mechanical_transfer: float | None = None

    def __post_init__(self) -> None:
        """Refuse impossible values. Raises UserError naming the quantity."""
        named = {f"conductivity of {name}": value for name, value in self.conductivity.items()}
        for name in ("exchange_current_density", "temperature", "grain_toughness", "boundary_toughness"):
            named[name] = getattr(self, name)
        for name, value in named.items():
            if not (math.isfinite(value) and value > 0):
                raise UserError(f"{name}: read {value:g}; it must be a positive number")
        if not (math.isfinite(self.stack_pressure) and self.stack_pressure >= 0):
            raise UserError(f"stack_pressure: read {self.stack_pressure:g} Pa; it must not be negative")
        if not 0 < self.anodic_transfer < 1:
            raise UserError(f"anodic_transfer: read {self.anodic_transfer:g}; it must lie between 0 and 1")

    def without_extrusion(self) -> "CellProperties":
        """The same cell whose flaw lets no lithium out."""
        return replace(self, creep=None)

    def without_boundaries(self) -> "CellProperties":
        """The same cell with boundaries that conduct like the grains: the flux is no longer detoured by them."""
        return replace(self, conductivity={**self.conductivity, "boundary": self.conductivity["grain"]})

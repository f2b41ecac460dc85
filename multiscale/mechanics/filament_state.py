"""What the filament model takes and gives: properties of electrode, lithium and test; the state at one time."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from coupling.errors import UserError
from multiscale.mechanics.extrusion import Creep
from multiscale.mechanics.interface_wear import InterfaceWear


@dataclass(frozen=True)
class FilamentProperties:
    """Numbers of electrode, lithium and test, SI.

    Attributes:
        exchange_current_density: of lithium on the electrolyte, A/m².
        temperature: K.
        creep: of the lithium in the crack; None: none leaves the mouth, and it reaches every part of the crack at once.
        unloaded_half_opening: half opening (m) of the flaw without load at a distance (m) from the mouth.
        anodic_transfer, mechanical_transfer: αa and αm of Butler-Volmer (αm = 1 - αa unless given).
        pressure_feedback: whether the filament's pressure shifts its equilibrium.
        elsewhere: at other temperatures (K) of the test, exchange current density (A/m²) and ionic conductivity over that at
            `temperature`.
        wear: of the flat electrode's contact by stripping; None: all of it touches at all times.
    """

    exchange_current_density: float
    temperature: float
    creep: Creep | None = None
    unloaded_half_opening: Callable[[np.ndarray], np.ndarray] | None = None
    anodic_transfer: float = 0.5
    mechanical_transfer: float | None = None
    pressure_feedback: bool = True
    elsewhere: Mapping[float, tuple[float, float]] = field(default_factory=dict)
    wear: InterfaceWear | None = None

    def __post_init__(self) -> None:
        """Refuse impossible values. Raises UserError naming the quantity."""
        for name in ("exchange_current_density", "temperature"):
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) > 0):
                raise UserError(f"{name}: read {getattr(self, name):g}; it must be a positive number")
        if not 0 < self.anodic_transfer < 1:
            raise UserError(f"anodic_transfer: read {self.anodic_transfer:g}; it must lie between 0 and 1")


@dataclass(frozen=True)
class FilamentState:
    """One accepted time; extensive quantities per metre of depth, of the whole cell.

    Attributes:
        time: s.
        current_density: applied, A/m² (positive plating).
        pressure: of the lithium in the crack, Pa.
        volume: of the lithium in the crack beyond the unloaded flaw, m².
        charge: passed into the filament since the start, C/m (dissolution counts negative).
        flat_charge: passed into the flat electrode, C/m.
        extruded: volume pressed out of the mouth since the start, m².
        current: into the filament, A/m.
        potential: mean at the counter electrode, V.
        tip: furthest broken place, (x, y), m.
        length: distance of the tip from the mouth, m.
        crack_area: crack length by the area of its faces, m (`FilamentModel.crack_area`).
        front: how far lithium fills the crack from the mouth, m (with `filament.REACH`); below `length` the tip is dry.
        elastic, fracture, work: energies of the body, and work of the pressure and of loads on the cell since the start, J/m.
        dissipated: what broke for good in this step, J/m (`fracture_state.Balance`).
        rounds: of transport and fracture in this step.
        impedance: dV/di of the cell at this working point, crack and lithium held still, Ω m².
        temperature, stack_pressure: of the cell, K and Pa.
        contact: share of the flat electrode that touches the electrolyte.
    """

    time: float
    current_density: float
    pressure: float
    volume: float
    charge: float
    flat_charge: float
    extruded: float
    current: float
    potential: float
    tip: tuple[float, float]
    length: float
    crack_area: float
    front: float
    elastic: float
    fracture: float
    work: float
    dissipated: float
    rounds: int
    impedance: float = 0.0
    temperature: float = 0.0
    stack_pressure: float = 0.0
    contact: float = 1.0

    @property
    def dry_length(self) -> float:
        """Empty part of the crack at its tip, m."""
        return max(self.length - self.front, 0.0)

"""Ohm's law in the solid around a filament, with plating on the flat electrode and on the filament (docs/physics.md 1)."""

from typing import Any

import ufl
from dolfinx import fem

from coupling.errors import RunFailure
from multiscale.domain import Domain
from multiscale.mechanics.filament_state import FilamentProperties
from multiscale.mechanics.phase_field import face_density
from multiscale.mechanics.small_signal import SmallSignal
from multiscale.solvers.newton import NonlinearSolver
from multiscale.transport.kinetics import butler_volmer
from multiscale.transport.single_ion import current_inflow, ohmic_conduction

CRACK_CONDUCTIVITY = 1e-6
"""Share of the ionic conductivity left in a dry crack. Around lithium the smeared band conducts as the sound solid does: the
metal is thin, and current reaches its faces from both sides."""
DEGREE = 4
"""Quadrature degree of the filament's surface."""
MOST_LOST = 0.2
"""Share of the flat electrode's contact that may be lost in a time step."""


class FilamentCircuit:
    """Potential of the solid, lithium at zero, a current that enters at "top".

    Args:
        domain: with the boundaries "foot" and "top".
        conductivity: ionic, S/m (field or constant).
        damage, wetted: of the crack, and its part that lithium fills (cell-wise).
        properties: of electrode, lithium and test.
        stack_pressure: that the flat electrode is under, Pa.
    """

    def __init__(
        self, domain: Domain, conductivity: Any, damage: fem.Function, wetted: Any, properties: FilamentProperties,
        stack_pressure: float,
    ) -> None:  # fmt: skip
        """Compile the forms; nothing flows yet."""
        self.potential = fem.Function(damage.function_space, name="potential_V")
        number, p, d = domain.constant, properties, damage
        self.applied, self.open, self.pressure = number(0.0), number(1.0), number(0.0)
        self.stack_pressure, self.conducts, self.temperature = number(stack_pressure), number(1.0), number(p.temperature)
        self.flat_exchange, self.filament_exchange = (number(p.exchange_current_density) for _ in range(2))
        self.contact, self._wear = number(1.0), p.wear
        T, α = self.temperature, number(p.anodic_transfer)
        αm = number(1 - p.anodic_transfer if p.mechanical_transfer is None else p.mechanical_transfer)
        above = self.pressure - self.stack_pressure
        shift = above if p.pressure_feedback else 0.0 * above
        flat = self.contact * butler_volmer(-self.potential, self.flat_exchange, α, 1 - α, T)
        face = butler_volmer(-self.potential, self.filament_exchange, α, 1 - α, T, shift, αm)
        self.face_current = self.open * wetted * face * face_density(d)
        dx, foot = domain.dx(degree=DEGREE), domain.ds("foot")
        κ = self.conducts * conductivity * (wetted + (1 - wetted) * ((1 - d) ** 2 + CRACK_CONDUCTIVITY))
        w = ufl.TestFunction(d.function_space)
        residual = ohmic_conduction(κ, self.potential, w, dx) + current_inflow(self.applied, w, domain.ds("top"))
        residual += current_inflow(flat, w, foot) + current_inflow(self.face_current, w, dx)
        self.ionic_current = -κ * ufl.grad(self.potential)
        self.solver = NonlinearSolver(residual, self.potential, spd=True)
        self.into_filament, self.into_flat = fem.form(-self.face_current * dx), fem.form(-flat * foot)
        self.small_signal = SmallSignal(residual, self.potential, domain)

    def under(self, temperature: float, stack_pressure: float, exchange_current_density: float, conductivity: float) -> None:
        """Take another temperature (K) and stack pressure (Pa), the exchange current density there (A/m²), κ over the first."""
        self.temperature.value, self.stack_pressure.value = temperature, stack_pressure
        self.flat_exchange.value = self.filament_exchange.value = exchange_current_density
        self.conducts.value = conductivity

    def wear(self, share: float, seconds: float, current_density: float) -> None:
        """Contact of the flat electrode after it has passed a current density (A/m², positive plating) for a time (s).

        Raises:
            RunFailure: it loses more than `MOST_LOST` of the share that touched before.
        """
        if self._wear is not None:
            before, pressure, T = share, float(self.stack_pressure.value), float(self.temperature.value)
            share = self._wear.after(before, current_density, seconds, pressure, T)
            if before - share > MOST_LOST * before:
                raise RunFailure(f"filament: its contact falls from {before:.3g} to {share:.3g}; the step is too large")
        self.contact.value = share

"""Electronic leakage beside ions: two currents, the local potential of lithium between them, and where lithium could form.

With φ the electrochemical potential of Li⁺ over F and π that of electrons over -F, both against a lithium reference,

    i_ion = -σ_ion ∇φ,  i_e = -σ_e ∇π,  ∇·i_ion = ∇·i_e = 0,  U = π - φ,  a_Li = exp(-F U/(RT))

U is what a probe would read against lithium at that place; lithium metal can form where U < -(V p + 2γV/r)/F.
Source: Wagner 1933 (mixed conduction); docs/physics.md 1.7.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import basix.ufl
import numpy as np
import ufl
from dolfinx import fem

from coupling.constants import FARADAY, GAS_CONSTANT, LITHIUM_MOLAR_VOLUME, ROOM_TEMPERATURE
from coupling.errors import UserError
from multiscale import dolfinx_compat
from multiscale.domain import Domain, integral
from multiscale.solvers.newton import NonlinearSolver
from multiscale.solvers.solver import find_control
from multiscale.transport import kinetics
from multiscale.transport import single_ion as transport

BETWEEN = 1e-3
"""First guess of a cell's voltage over the thermal voltage, V."""


@dataclass(frozen=True)
class MetalContact:
    """An electrode that exchanges ions and electrons with a mixed conductor.

    Attributes:
        exchange_current_density: i0 of the ions' transfer, A/m²; None: reversible (no loss).
        electronic_resistance: of the passage of electrons, ohm m²; None: none.
        lithium_potential: U of the electrode itself against lithium, V (0 for lithium metal).
        anodic_transfer: αa of the ions' transfer.
    """

    exchange_current_density: float | None = None
    electronic_resistance: float | None = None
    lithium_potential: float = 0.0
    anodic_transfer: float = 0.5

    def __post_init__(self) -> None:
        """Refuse impossible values."""
        for name in ("exchange_current_density", "electronic_resistance"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise UserError(f"contact: {name} is {value}; give a positive number or leave it out for none")


def lithium_activity(potential: Any, temperature: Any = ROOM_TEMPERATURE) -> Any:
    """Activity of lithium where the local potential is U (V): a = exp(-F U/(RT)); 1 is lithium metal. Never overflows."""
    return kinetics.bounded_exp(-FARADAY * potential / (GAS_CONSTANT * temperature))


def nucleation_threshold(
    confinement: float = 0.0, surface_energy: float = 0.0, radius: float = np.inf, molar_volume: float = LITHIUM_MOLAR_VOLUME
) -> float:
    """Overpotential above which lithium of a radius can grow inside, V: η = (V p + 2γV/r)/F.

    Args:
        confinement: pressure p that its surroundings put on it, Pa.
        surface_energy: γ, J/m².
        radius: r, m.
        molar_volume: V, m³/mol.
    """
    return molar_volume * (confinement + 2 * surface_energy / radius) / FARADAY


class MixedConductor:
    """Ions and electrons in one body between electrodes.

    Args:
        domain: mesh with names.
        ionic: σ_ion, S/m: number, constant, field or tensor.
        electronic: σ_e, S/m: the same, or a function of U (a UFL expression, V) that gives one.
        contacts: at each boundary with an electrode; elsewhere nothing passes.
        temperature: K.
        degree: of the elements.
    """

    def __init__(
        self, domain: Domain, ionic: Any, electronic: Any, contacts: Mapping[str, MetalContact],
        temperature: float = ROOM_TEMPERATURE, degree: int = 2,
    ) -> None:  # fmt: skip
        """Write the equations; nothing is compiled yet. Raises UserError without two electrodes."""
        if len(contacts) < 2:
            raise UserError(f"a mixed conductor needs two electrodes or more; given: {', '.join(contacts) or 'none'}")
        self.domain, self.contacts, self.temperature = domain, dict(contacts), domain.constant(temperature)
        element = basix.ufl.element("P", domain.mesh.basix_cell(), degree, shape=(2,))
        self.space = fem.functionspace(domain.mesh, element)
        self.u, self.test = fem.Function(self.space), ufl.TestFunction(self.space)
        self.voltage = {name: domain.constant(0.0) for name in contacts}
        self.φ, self.π = self.u[0], self.u[1]
        self.ionic = domain.constant(float(ionic)) if isinstance(ionic, int | float) else ionic
        given = isinstance(electronic, ufl.core.expr.Expr) or not callable(electronic)  # UFL's fields are callable too
        σ = electronic if given else electronic(self.π - self.φ)
        self.electronic = domain.constant(float(σ)) if isinstance(σ, int | float) else σ
        self.residual = transport.ohmic_conduction(self.ionic, self.φ, self.test[0], domain.dx())
        self.residual += transport.ohmic_conduction(self.electronic, self.π, self.test[1], domain.dx())
        self.bcs: list[Any] = []
        self._held: dict[tuple[str, int], Any] = {}
        self._laws: dict[tuple[str, int], Any] = {}
        for name, contact in self.contacts.items():
            self._connect(name, contact)
        self._natural = self.residual
        self._solver: NonlinearSolver | None = None

    @property
    def lithium_potential(self) -> Any:
        """U = π - φ, V (UFL)."""
        return self.π - self.φ

    def _connect(self, name: str, contact: MetalContact) -> None:
        """Equations of one electrode: laws of passage, or fixed potentials where there is no loss."""
        domain, V = self.domain, self.voltage[name]
        ion_side = V - domain.constant(contact.lithium_potential)
        if contact.exchange_current_density is None:
            self._fix(name, 0)
        else:
            i0, α = domain.constant(contact.exchange_current_density), domain.constant(contact.anodic_transfer)
            self._law(name, 0, kinetics.butler_volmer(ion_side - self.φ, i0, α, temperature=self.temperature))
        if contact.electronic_resistance is None:
            self._fix(name, 1)
        else:
            self._law(name, 1, (V - self.π) / domain.constant(contact.electronic_resistance))

    def _law(self, name: str, part: int, current: Any) -> None:
        measure = self.domain.ds(name)
        self.residual += transport.current_inflow(current, self.test[part], measure)
        self._laws[name, part] = fem.form(current * measure)

    def _fix(self, name: str, part: int) -> None:
        held = self.domain.constant(0.0)
        self.bcs.append(self.domain.fixed(self.space, held, name, component=part))
        self._held[name, part] = held

    def solve(self, **voltages: float) -> None:
        """Solve with the metals at these potentials, V (those not named stay). Raises RunFailure."""
        for name, value in voltages.items():
            if name not in self.contacts:
                raise UserError(f"there is no electrode at {name}; there are: {', '.join(self.contacts)}")
            self.voltage[name].value = value
        for (name, part), held in self._held.items():
            held.value = float(self.voltage[name].value) - (self.contacts[name].lithium_potential if part == 0 else 0.0)
        if self._solver is None:
            self._solver = NonlinearSolver(self.residual, self.u, self.bcs)
        self._solver.solve()

    def drive(self, name: str, current_density: float) -> float:
        """Bring the mean current density (ions and electrons) from a metal into the body to a value, A/m²; its potential, V.

        Raises:
            RunFailure: it was not met.
        """
        area = integral(self.domain.constant(1.0) * self.domain.ds(name))
        start = float(self.voltage[name].value)

        def response(voltage: float) -> float:
            self.solve(**{name: voltage})
            return sum(self.currents(name)) / area

        thermal = GAS_CONSTANT * float(self.temperature.value) / FARADAY
        return find_control(response, current_density, start, start + thermal * BETWEEN * np.sign(current_density or 1.0))

    def currents(self, name: str) -> tuple[float, float]:
        """Ionic and electronic current from a metal into the body, A (A/m in 2-D, A/m² in 1-D)."""
        values = [self._current(name, part) for part in (0, 1)]
        return values[0], values[1]

    def _current(self, name: str, part: int) -> float:
        if (name, part) in self._laws:
            return integral(self._laws[name, part])
        from multiscale.solvers.solver import Reaction

        held = [key for key in self._held if key == (name, part)]
        bc = self.bcs[list(self._held).index(held[0])]
        return Reaction(self._natural, self.space).total(np.asarray(bc.dof_indices()[0]))

    def lowest(self) -> tuple[float, np.ndarray]:
        """Smallest nodal U over all ranks, V, and where, m: the place where lithium forms first."""
        space = fem.functionspace(self.domain.mesh, ("P", 2))
        field = fem.Function(space)
        field.interpolate(fem.Expression(self.lithium_potential, dolfinx_compat.interpolation_points(space)))
        places, values = space.tabulate_dof_coordinates(), field.x.array
        k = int(np.argmin(values)) if len(values) else -1
        value, place = min(self.domain.comm.allgather((float(values[k]), places[k].tolist()) if k >= 0 else (np.inf, [0.0] * 3)))
        return value, np.asarray(place)

    def share_beyond(self, threshold: float, *regions: str) -> float:
        """Share of the volume (of regions) where the overpotential of internal lithium, -U, exceeds a threshold, V."""
        measure = self.domain.dx(*regions, degree=4)
        beyond = ufl.conditional(ufl.lt(self.lithium_potential, -self.domain.constant(threshold)), 1.0, 0.0)
        return integral(beyond * measure) / integral(self.domain.constant(1.0) * measure)


def linear_conductivity_potential(x: Any, length: float, first: float, last: float, current_density: float, start: float) -> Any:
    """Potential at x where the conductivity goes linearly from `first` to `last` over a length (1-D, numbers or arrays), V.

    π(x) = π(0) - i (L/(σ₁ - σ₀)) ln(σ(x)/σ₀), and π(0) - i x/σ for a constant conductivity.
    """
    if first == last:
        return start - current_density * np.asarray(x) / first
    slope = (last - first) / length
    return start - current_density / slope * np.log1p(slope * np.asarray(x) / first)



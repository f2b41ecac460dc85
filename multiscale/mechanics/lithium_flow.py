"""Lithium as an elastic, viscoplastic metal: Norton and Narayan-Anand rates, implicit in time, small strain.

σ = C : (ε - ε_p),  dε_p/dt = (3/2) ε̇(σ_eq, S) s/σ_eq,  s the deviator of σ, σ_eq = √(3/2 s:s)  (docs/physics.md 1.4). Each
step is backward Euler: at every quadrature point the trial stress is brought back along its own direction,
σ_eq + 3 μ Δt ε̇(σ_eq, S) = σ_eq^trial, and the displacement follows by Newton's method with the consistent tangent
(Simo & Hughes, Computational Inelasticity, ch. 3).
"""

import math
from dataclasses import dataclass
from typing import Any, Protocol

import basix.ufl
import numpy as np
import ufl
from dolfinx import fem
from mpi4py import MPI
from ufl import dev, inner, tr

from coupling.constants import GAS_CONSTANT
from coupling.errors import UserError
from multiscale.domain import Domain
from multiscale.materials import Elastic
from multiscale.mechanics.elasticity import strain
from multiscale.mechanics.extrusion import Creep
from multiscale.solvers.newton import NonlinearSolver
from multiscale.solvers.solver import SolveReport

MARGIN = 10.0
"""Multiple of the rounding error of the trial stress at which Newton's method may end."""
RETURN_ITERATIONS = 60
"""Newton iterations of the return to the flow stress; it converges from above in a handful."""


class FlowLaw(Protocol):
    """Equivalent plastic strain rate of a metal with one internal variable, a power law in the stress."""

    @property
    def power(self) -> float:
        """Exponent of the stress."""

    @property
    def first_resistance(self) -> float:
        """Internal variable at the start."""

    def rate(self, stress: Any, resistance: Any, temperature: float) -> Any:
        """Equivalent strain rate, 1/s."""

    def hardening(self, rate: Any, resistance: Any, temperature: float) -> Any:
        """Rate of the internal variable, per second."""


@dataclass(frozen=True)
class Norton:
    """Norton creep ε̇ = A(T) σⁿ as a flow law; the internal variable is idle.

    Attributes:
        creep: the measured point, exponent and activation energy.
    """

    creep: Creep

    @property
    def power(self) -> float:
        """Exponent n."""
        return self.creep.exponent

    @property
    def first_resistance(self) -> float:
        """Idle: one."""
        return 1.0

    def rate(self, stress: Any, resistance: Any, temperature: float) -> Any:
        """ε̇ = A(T) σⁿ, 1/s."""
        return self.creep.rate(stress, temperature)

    def hardening(self, rate: Any, resistance: Any, temperature: float) -> Any:
        """None."""
        return 0.0 * rate


@dataclass(frozen=True)
class NarayanAnand:
    """Lithium with a deformation resistance S: ε̇ = A exp(-Q/RT) (σ/S)^(1/m).

    dS/dt = H0 |1 - S/S*|^a sign(1 - S/S*) ε̇,  S* = S_sat (ε̇/(A exp(-Q/RT)))^n'.

    ======  ==================  =====
    symbol  variable            unit
    ======  ==================  =====
    A       prefactor           1/s
    Q       activation_energy   J/mol
    m       sensitivity         1
    S0      resistance          Pa, at the start
    H0      hardening_modulus   Pa
    S_sat   saturation          Pa
    a       hardening_exponent  1
    n'      saturation_exponent 1
    ======  ==================  =====

    Source: Narayan & Anand, Extreme Mech. Lett. 24, 21 (2018); docs/physics.md 1.4. No number of a material stands here.
    """

    prefactor: float
    activation_energy: float
    sensitivity: float
    resistance: float
    hardening_modulus: float
    saturation: float
    hardening_exponent: float
    saturation_exponent: float

    def __post_init__(self) -> None:
        """Refuse impossible laws. Raises UserError naming the value."""
        for name in ("prefactor", "sensitivity", "resistance", "saturation"):
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) > 0):
                raise UserError(f"flow of lithium: {name} is {getattr(self, name)}; it must be a positive number")

    @property
    def power(self) -> float:
        """Exponent 1/m."""
        return 1 / self.sensitivity

    @property
    def first_resistance(self) -> float:
        """S0, Pa."""
        return self.resistance

    def thermal(self, temperature: float) -> float:
        """A exp(-Q/RT), 1/s."""
        return self.prefactor * math.exp(-self.activation_energy / (GAS_CONSTANT * temperature))

    def rate(self, stress: Any, resistance: Any, temperature: float) -> Any:
        """ε̇ = A exp(-Q/RT) (σ/S)^(1/m), 1/s."""
        return self.thermal(temperature) * (stress / resistance) ** self.power

    def hardening(self, rate: Any, resistance: Any, temperature: float) -> Any:
        """dS/dt, Pa/s; zero at rest."""
        relative = np.maximum(rate / self.thermal(temperature), 1e-300)
        away = 1 - resistance / (self.saturation * relative**self.saturation_exponent)
        return self.hardening_modulus * np.abs(away) ** self.hardening_exponent * np.sign(away) * rate


def flow_stress(trial: np.ndarray, resistance: np.ndarray, law: FlowLaw, shear: float, step: float, T: float) -> np.ndarray:
    """Equivalent stress (Pa) after a step: the root of σ + 3 μ Δt ε̇(σ, S) = σ_trial.

    Newton's method on a convex function from above; it starts from the smaller of σ_trial and the stress at which the flow
    alone would take all of it.
    """
    if step == 0:
        return trial.copy()
    unit = 3 * shear * step * law.rate(1.0, resistance, T)
    σ = np.minimum(trial, (trial / unit) ** (1 / law.power))
    for _ in range(RETURN_ITERATIONS):
        flow = unit * σ**law.power
        slope = 1 + law.power * flow / np.maximum(σ, 1e-300)
        change = (σ + flow - trial) / slope
        σ = σ - change
        if np.all(np.abs(change) <= 1e-14 * trial):
            break
    return σ


def void_closing_rate(pressure: float, radius: float, creep: Creep, temperature: float, outer: float = math.inf) -> float:
    """Speed at which a spherical void in creeping lithium shrinks, m/s: -da/dt = (a/2) A [3p/(2n (1 - (a/b)^(3/n)))]ⁿ.

    Args:
        pressure: on the outside less that in the void, Pa.
        radius: a of the void, m.
        creep: ε̇ = A σⁿ of the lithium.
        temperature: K.
        outer: radius b of the body, m; infinite unless given.

    Source: Wilkinson & Ashby, Acta Metall. 23, 1277 (1975), steady thick sphere; docs/physics.md 1.13.
    """
    n = creep.exponent
    return radius / 2 * creep.rate(3 * pressure / (2 * n * (1 - (radius / outer) ** (3 / n))), temperature)


class _Flow(NonlinearSolver):
    """Newton's method that brings the stress back before each look at the residual.

    The rounding error of the stress is that of the elastic trial stress, however soft the flowing metal is.
    """

    def __init__(self, body: "LithiumBody", residual: Any, tangent: Any, bcs: Any) -> None:
        super().__init__(residual, body.displacement, bcs, jacobian=tangent, spd=True)
        self._body = body
        self._stiffest: Any = None
        body.set_elastic_tangent()
        self._jacobian(self.snes, self.u.x.petsc_vec, self.matrix, self.matrix)
        stiffest: Any = self._diagonal
        self._stiffest = stiffest * MARGIN

    def _jacobian(self, snes: Any, x: Any, matrix: Any, preconditioner: Any) -> None:
        super()._jacobian(snes, x, matrix, preconditioner)
        if self._stiffest is not None:
            self._diagonal = self._stiffest
            self._aim(snes, x)

    def _function(self, snes: Any, x: Any, f: Any) -> None:
        x.copy(self.u.x.petsc_vec)
        self.u.x.scatter_forward()
        self._body.bring_back()
        super()._function(snes, x, f)


class LithiumBody:
    """A body of lithium whose flow is followed in time.

    Args:
        domain: the body.
        elastic: constants of the metal.
        law: of the flow.
        temperature: K.
        supports: Dirichlet conditions, made by a function of the space.
        work: work of the outer loads as a form of the displacement, or None.
    """

    def __init__(self, domain: Domain, elastic: Elastic, law: FlowLaw, temperature: float, supports: Any, work: Any = None):
        """Compile the forms; the body is at rest."""
        self.domain, self.elastic, self.law, self.temperature = domain, elastic, law, temperature
        space = fem.functionspace(domain.mesh, ("P", 2, (domain.mesh.geometry.dim,)))
        self.displacement = fem.Function(space, name="displacement_m")
        cell, degree = domain.mesh.basix_cell(), 2
        scalar = fem.functionspace(domain.mesh, basix.ufl.quadrature_element(cell, degree=degree))
        tensor = fem.functionspace(domain.mesh, basix.ufl.quadrature_element(cell, value_shape=(3, 3), degree=degree))
        self._stress, self._direction = fem.Function(tensor), fem.Function(tensor)
        self._secant, self._slope = fem.Function(scalar), fem.Function(scalar)
        kind = getattr(basix.CellType, cell.name if hasattr(cell, "name") else str(cell))
        points = np.asarray(basix.make_quadrature(kind, degree)[0])
        self._strain = fem.Expression(strain(self.displacement, domain), points)
        count = len(domain.cells())
        self._shape = (count, len(points), 3, 3)
        self.plastic = np.zeros(self._shape)
        self.resistance = np.full(self._shape[:2], law.first_resistance)
        self._step, self._dofs = 0.0, (scalar.dofmap.list, tensor.dofmap.list)
        w, du = ufl.TestFunction(space), ufl.TrialFunction(space)
        dx = domain.dx(degree=degree)
        εw, εu = strain(w, domain), strain(du, domain)
        K, μ = domain.constant(elastic.bulk_modulus), domain.constant(elastic.shear_modulus)
        residual = inner(self._stress, εw) * dx
        if work is not None:
            residual = residual - ufl.derivative(work(self.displacement), self.displacement, w)
        n = self._direction
        flow = self._secant * inner(dev(εu), dev(εw)) + (self._slope - self._secant) * inner(n, εu) * inner(n, εw)
        tangent = (K * tr(εu) * tr(εw) + 2 * μ * flow) * dx
        self.residual = residual
        self._solver = _Flow(self, residual, tangent, supports(space))
        self.time = 0.0

    def advance(self, step: float) -> SolveReport:
        """One step of backward Euler, s; zero for the elastic response to loads that have just changed.

        Raises:
            RunFailure: Newton's method did not converge; nothing has changed.
        """
        self._step = step
        report = self._solver.solve()
        self.bring_back()
        self.plastic, self.resistance = self._new_plastic, self._new_resistance
        self.time += step
        return report

    def bring_back(self) -> None:
        """Stress, its direction and the tangent's factors at the present displacement, from the last accepted state."""
        cells = self.domain.cells()
        ε = np.asarray(self._strain.eval(self.domain.mesh, cells)).reshape(self._shape)
        K, μ = self.elastic.bulk_modulus, self.elastic.shear_modulus
        volume = np.trace(ε, axis1=2, axis2=3)[..., None, None] * np.eye(3)
        trial = 2 * μ * (ε - volume / 3 - self.plastic)
        size = np.sqrt(np.einsum("cpij,cpij->cp", trial, trial))
        equivalent = np.maximum(math.sqrt(1.5) * size, 1e-300)
        σ = flow_stress(equivalent, self.resistance, self.law, μ, self._step, self.temperature)
        rate = self.law.rate(σ, self.resistance, self.temperature)
        secant = σ / equivalent
        slope = 1 / (1 + 3 * μ * self._step * self.law.power * rate / np.maximum(σ, 1e-300))
        deviator = secant[..., None, None] * trial
        direction = trial / np.maximum(size, 1e-300)[..., None, None]
        self._new_plastic = self.plastic + self._step * math.sqrt(1.5) * rate[..., None, None] * direction
        change = self.law.hardening(rate, self.resistance, self.temperature)
        self._new_resistance = self.resistance + self._step * change
        scalars, tensors = self._dofs
        self._secant.x.array[scalars], self._slope.x.array[scalars] = secant, slope
        flat = self._shape[0], self._shape[1], 9
        self._stress.x.array.reshape(-1, 9)[tensors] = (deviator + K * volume).reshape(flat)
        self._direction.x.array.reshape(-1, 9)[tensors] = direction.reshape(flat)

    def largest_strain(self) -> float:
        """Largest principal strain anywhere, by magnitude; beyond a few per cent take `lithium_finite_strain`."""
        ε = np.asarray(self._strain.eval(self.domain.mesh, self.domain.cells())).reshape(self._shape)
        return float(self.domain.comm.allreduce(float(np.abs(np.linalg.eigvalsh(ε)).max(initial=0.0)), op=MPI.MAX))

    def set_elastic_tangent(self) -> None:
        """Tangent factors of the body at rest."""
        self._secant.x.array[:] = self._slope.x.array[:] = 1.0

    @property
    def stress(self) -> fem.Function:
        """At the quadrature points, 3×3, Pa (integrate with `domain.dx(degree=2)`)."""
        return self._stress

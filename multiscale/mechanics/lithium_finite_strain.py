"""Lithium at finite strain: elastic, viscoplastic, F = Fe Fp, with the elastic logarithmic strain.

With be = Fe Feᵀ, h = ½ ln be and the Kirchhoff stress τ = J σ,

    τ = K tr(h) 1 + 2 μ dev h,   rate of Fp: (3/2) ε̇(τ_eq, S) dev τ/τ_eq, without plastic spin,   det Fp = 1.

A step is backward Euler by the exponential map: be_trial = F Cp⁻¹ Fᵀ, whose h is brought back exactly as the strain of the small
theory is (`lithium_flow.flow_stress`), since trial and result share their principal directions. Equilibrium is that of the first
Piola stress P = τ F⁻ᵀ over the body as it was; the tangent dP/dF is exact. Where strains and rotations are small it is the small
theory.

Source: Weber & Anand, Comput. Methods Appl. Mech. Engrg. 79, 173 (1990); Simo, ibid. 99, 61 (1992); for lithium Narayan & Anand,
Extreme Mech. Lett. 24, 21 (2018); docs/physics.md 1.3, 1.4.
"""

import math
from collections.abc import Callable
from typing import Any

import basix.ufl
import numpy as np
import ufl
from dolfinx import fem
from mpi4py import MPI

from multiscale.domain import Domain
from multiscale.materials import Elastic
from multiscale.mechanics.elasticity import gradient
from multiscale.mechanics.lithium_flow import FlowLaw, flow_stress
from multiscale.solvers.newton import NonlinearSolver
from multiscale.solvers.solver import ROUNDING, SolveReport

MARGIN = 10.0
"""Multiple of the rounding error of the trial stress at which Newton's method may end."""
NEAR = 1e-6
"""Relative difference of two principal values up to which the slope of the logarithm between them is its series."""
UNIT = np.eye(3)


def log_slope(values: np.ndarray) -> np.ndarray:
    """½ (ln w_i - ln w_j)/(w_i - w_j) of principal values (…, 3), and 1/(2 w_i) where they are equal; shape (…, 3, 3)."""
    x = values[..., None, :] / values[..., :, None] - 1
    close = np.abs(x) < NEAR
    ratio = np.where(close, 1 - x / 2 + x**2 / 3, np.log1p(x) / np.where(close, 1.0, x))
    return 0.5 * ratio / values[..., :, None]


class _Flow(NonlinearSolver):
    """Newton's method that brings the stress back before each look at the residual; rounding is that of the trial stress."""

    def __init__(self, body: "LargeStrainLithium", residual: Any, tangent: Any, bcs: Any) -> None:
        super().__init__(residual, body.displacement, bcs, jacobian=tangent)
        self._body = body
        self._stiffest: Any = None
        body.bring_back()
        self._jacobian(self.snes, self.u.x.petsc_vec, self.matrix, self.matrix)
        stiffest: Any = self._diagonal
        self._stiffest = stiffest * MARGIN
        size = float(body.domain.mesh.h(body.domain.dimension, body.domain.cells()).max(initial=0.0))
        self._floor = ROUNDING * body.domain.comm.allreduce(size, op=MPI.MAX) * self._stiffest.norm()

    def _jacobian(self, snes: Any, x: Any, matrix: Any, preconditioner: Any) -> None:
        super()._jacobian(snes, x, matrix, preconditioner)
        if self._stiffest is not None:
            self._diagonal = self._stiffest
            self._aim(snes, x)

    def _aim(self, snes: Any, x: Any) -> None:
        super()._aim(snes, x)
        if self._stiffest is not None:  # F is of order one, and so is what its rounding moves
            self._rounding = max(self._rounding, self._floor)
            snes.setTolerances(atol=self._rounding, **self._limits)

    def _function(self, snes: Any, x: Any, f: Any) -> None:
        x.copy(self.u.x.petsc_vec)
        self.u.x.scatter_forward()
        self._body.bring_back()
        super()._function(snes, x, f)


class LargeStrainLithium:
    """A body of lithium whose flow is followed in time, at any strain. Made and driven like `lithium_flow.LithiumBody`.

    Args:
        domain: the body as it was.
        elastic: constants of the metal.
        law: of the flow, in the Kirchhoff stress (J differs from one by the elastic strain alone).
        temperature: K.
        supports: Dirichlet conditions, made by a function of the space.
        work: work of loads that keep their direction and size (per area as it was), as a form of the displacement, or None.
    """

    def __init__(
        self, domain: Domain, elastic: Elastic, law: FlowLaw, temperature: float, supports: Callable[[Any], Any],
        work: Callable[[Any], Any] | None = None,
    ) -> None:  # fmt: skip
        """Compile the forms; the body is at rest."""
        self.domain, self.elastic, self.law, self.temperature = domain, elastic, law, temperature
        self.space = fem.functionspace(domain.mesh, ("P", 2, (domain.mesh.geometry.dim,)))
        self.displacement = fem.Function(self.space, name="displacement_m")
        cell, degree = domain.mesh.basix_cell(), 2
        tensor, tangent = (
            fem.functionspace(domain.mesh, basix.ufl.quadrature_element(cell, value_shape=shape, degree=degree))
            for shape in ((3, 3), (9, 9))
        )
        self._piola, self._tangent = fem.Function(tensor), fem.Function(tangent)
        kind = getattr(basix.CellType, cell.name if hasattr(cell, "name") else str(cell))
        points = np.asarray(basix.make_quadrature(kind, degree)[0])
        self._gradient = fem.Expression(gradient(self.displacement, domain), points)
        shape = (len(domain.cells()), len(points), 3, 3)
        self._shape, self._dofs = shape, (tensor.dofmap.list, tangent.dofmap.list)
        self.plastic_metric = np.broadcast_to(UNIT, shape).copy()
        self.resistance = np.full(shape[:2], law.first_resistance)
        self._step, self.time = 0.0, 0.0
        w, du = ufl.TestFunction(self.space), ufl.TrialFunction(self.space)
        dx = domain.dx(degree=degree)
        self.residual = ufl.inner(self._piola, gradient(w, domain)) * dx
        if work is not None:
            self.residual -= ufl.derivative(work(self.displacement), self.displacement, w)
        stiffness = ufl.dot(_flat(gradient(w, domain)), ufl.dot(self._tangent, _flat(gradient(du, domain)))) * dx
        self._solver = _Flow(self, self.residual, stiffness, supports(self.space))

    def advance(self, step: float) -> SolveReport:
        """One step of backward Euler, s; zero for the elastic response to loads that have just changed.

        Raises:
            RunFailure: Newton's method did not converge; nothing has changed.
        """
        self._step = step
        report = self._solver.solve()
        self.bring_back()
        self.plastic_metric, self.resistance = self._new_metric, self._new_resistance
        self.time += step
        return report

    def deformation(self) -> np.ndarray:
        """F at the quadrature points, shape (cells, points, 3, 3)."""
        return UNIT + np.asarray(self._gradient.eval(self.domain.mesh, self.domain.cells())).reshape(self._shape)

    def bring_back(self) -> None:
        """Stress, tangent and new state at the present displacement, from the last accepted state."""
        F = self.deformation()
        K, μ = self.elastic.bulk_modulus, self.elastic.shear_modulus
        values, axes = np.linalg.eigh(F @ self.plastic_metric @ F.swapaxes(-1, -2))
        values = np.maximum(values, 1e-300)  # a trial step that turns a cell inside out is left to the line search
        h = 0.5 * np.log(values)
        volume = h.sum(axis=-1, keepdims=True)
        deviator = h - volume / 3
        size = np.sqrt((deviator**2).sum(axis=-1))
        trial = np.maximum(math.sqrt(1.5) * 2 * μ * size, 1e-300)
        σ = flow_stress(trial, self.resistance, self.law, μ, self._step, self.temperature)
        rate = self.law.rate(σ, self.resistance, self.temperature)
        secant, direction = σ / trial, deviator / np.maximum(size, 1e-300)[..., None]
        slope = 1 / (1 + 3 * μ * self._step * self.law.power * rate / np.maximum(σ, 1e-300))
        principal = 2 * μ * secant[..., None] * deviator + K * volume
        left = np.exp(2 * (h - self._step * math.sqrt(1.5) * rate[..., None] * direction))
        inverse = np.linalg.inv(F)
        self.kirchhoff = _turned(principal, axes)
        self._new_metric = inverse @ _turned(left, axes) @ inverse.swapaxes(-1, -2)
        change = self.law.hardening(rate, self.resistance, self.temperature)
        self._new_resistance = self.resistance + self._step * change
        moduli = (K, 2 * μ * secant, 2 * μ * (slope - secant))
        tangent = _tangent(F, inverse, self.plastic_metric, (values, axes), _turned(direction, axes), moduli, self.kirchhoff)
        tensors, matrices = self._dofs
        count = self._shape[:2]
        self._piola.x.array.reshape(-1, 9)[tensors] = (self.kirchhoff @ inverse.swapaxes(-1, -2)).reshape(*count, 9)
        self._tangent.x.array.reshape(-1, 81)[matrices] = tangent.reshape(*count, 81)

    @property
    def cauchy(self) -> np.ndarray:
        """True stress σ = τ/J at the quadrature points, Pa, shape (cells, points, 3, 3)."""
        return self.kirchhoff / np.linalg.det(self.deformation())[..., None, None]

    def largest_strain(self) -> float:
        """Largest logarithmic principal stretch anywhere, by magnitude."""
        values = np.linalg.eigvalsh(self.deformation().swapaxes(-1, -2) @ self.deformation())
        return float(self.domain.comm.allreduce(float(np.abs(0.5 * np.log(values)).max(initial=0.0)), op=MPI.MAX))


def _tangent(
    F: np.ndarray, inverse: np.ndarray, metric: np.ndarray, principal: tuple[np.ndarray, np.ndarray], direction: np.ndarray,
    moduli: tuple[Any, np.ndarray, np.ndarray], stress: np.ndarray,
) -> np.ndarray:  # fmt: skip
    """dP_ij/dF_kl, shape (…, 3, 3, 3, 3): of the trial strain by the slope of the logarithm, of the return, and of F⁻ᵀ in P.

    `moduli`: K, 2μ secant and 2μ (slope - secant) of the return; `stress`: τ.
    """
    (values, Q), (K, secant, along) = principal, moduli
    pulled = F @ metric
    db = np.einsum("ik,...jl->...ijkl", UNIT, pulled) + np.einsum("jk,...il->...ijkl", UNIT, pulled)
    turned = np.einsum("...ia,...ijkl,...jb->...abkl", Q, db, Q, optimize=True) * log_slope(values)[..., None, None]
    dh = np.einsum("...ia,...abkl,...jb->...ijkl", Q, turned, Q, optimize=True)
    trace = np.einsum("...iikl->...kl", dh)
    spherical = np.einsum("ij,...kl->...ijkl", UNIT, trace)
    share = np.einsum("...ij,...ijkl->...kl", direction, dh)
    dτ = K * spherical + secant[..., None, None, None, None] * (dh - spherical / 3)
    dτ = dτ + along[..., None, None, None, None] * np.einsum("...ij,...kl->...ijkl", direction, share)
    back = np.einsum("...im,...lm,...jk->...ijkl", stress, inverse, inverse, optimize=True)
    return np.einsum("...imkl,...jm->...ijkl", dτ, inverse, optimize=True) - back


def _turned(principal: np.ndarray, axes: np.ndarray) -> np.ndarray:
    """Tensor of principal values and their axes (columns)."""
    return np.einsum("...ia,...a,...ja->...ij", axes, principal, axes, optimize=True)


def _flat(tensor: Any) -> Any:
    """3×3 as a vector of nine."""
    return ufl.as_vector([tensor[i, j] for i in range(3) for j in range(3)])

"""Keeps a preconditioner's set-up (a factorisation, a multigrid hierarchy) while the matrix changes, as long as it pays."""

import weakref
from typing import Any

from multiscale.solvers.solver import PETSc

MORE, SPARE = 2.0, 4
"""An old set-up is given up when a linear solve took more than MORE times the iterations of a fresh one plus SPARE."""


class KeptSetup:
    """Decides before each linear solve of a Newton iteration whether the preconditioner is set up anew.

    A solve that failed is tried again with fresh set-ups, and with GMRES where the faster BiCGStab may have broken down.

    The set-up outlives the solve: a solve with other parameters starts with the one of the solve before. Newton's method
    stays exact, since the matrix is always the present one.

    Args:
        snes: PETSc's Newton solver, which makes the linear solves.
        exact: whether the fresh set-up is a factorisation, which a solve that must not fail applies just once.
    """

    def __init__(self, snes: Any, exact: bool) -> None:
        """Nothing is set up yet."""
        self.snes, self.exact = snes, exact
        self._kind = snes.getKSP().getType()
        self.count, self._fresh_iterations, self._was_fresh = 0, 0, False
        self._keep, self.used_old = True, False
        this: Any = weakref.proxy(self)
        snes.getKSP().setPreSolve(lambda ksp, b, x: this.decide())  # SNES itself would have every matrix set up anew

    def begin(self, keep: bool) -> None:
        """A new solve; unless `keep`, every one of its linear solves gets a fresh set-up."""
        self._keep, self.used_old = keep, False
        safe = PETSc.KSP.Type.PREONLY if self.exact else PETSc.KSP.Type.GMRES
        self.snes.getKSP().setType(self._kind if keep else safe)

    def decide(self) -> None:
        """Before a linear solve: keep the set-up, or have it made anew."""
        ksp = self.snes.getKSP()
        last = ksp.getIterationNumber()
        if self._was_fresh:
            self._fresh_iterations = last
        stale = last > MORE * self._fresh_iterations + SPARE
        fresh = not self._keep or not self.count or stale
        ksp.getPC().setReusePreconditioner(not fresh)
        self.count += fresh
        self.used_old |= not fresh
        self._was_fresh = fresh

    @property
    def worth_another_try(self) -> bool:
        """Whether a solve that failed may have failed by its linear solves."""
        linear = self.snes.getConvergedReason() == PETSc.SNES.ConvergedReason.DIVERGED_LINEAR_SOLVE
        return self._keep and (self.used_old or linear)

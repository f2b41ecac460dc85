"""Impedance of a cell at low frequency, at its working point: how its potential answers a small change of the current.

With everything that moves slowly (crack, lithium, pressure) held still, dV/di is the mean over the counter electrode of δφ, where

    R'(φ)[δφ, w] = -∫ w ds(top)    for every w,

R the residual of Ohm's law with its kinetics. In a cell without kinetics it is the ohmic resistance between the electrodes.
"""

from typing import Any

import ufl
from dolfinx import fem

from multiscale.domain import Domain, integral
from multiscale.solvers.solver import LinearSolver
from multiscale.transport.single_ion import current_inflow


class SmallSignal:
    """The answer of one cell, kept between states.

    Args:
        residual: of the charge balance, with the current entering at "top".
        potential: its solution, V.
        domain: with the boundary "top".
    """

    def __init__(self, residual: Any, potential: fem.Function, domain: Domain) -> None:
        """Compile the linearised equation."""
        space, self._top = potential.function_space, domain.ds("top")
        w = ufl.TestFunction(space)
        self._change = fem.Function(space)
        slope = ufl.derivative(residual, potential, ufl.TrialFunction(space))
        self._solver = LinearSolver(slope, -current_inflow(domain.constant(1.0), w, self._top), self._change, method="direct-spd")
        self._length = integral(domain.constant(1.0) * self._top)

    def resistance(self) -> float:
        """dV/di, Ω m², at the potential as it is. Raises RunFailure: the linear solve failed."""
        self._solver.solve(reassemble=True)
        return integral(self._change * self._top) / self._length

"""Displacement and damage in turns, until the damage stands still: alternate minimisation with Anderson's acceleration.

Each turn finds the displacement at frozen damage and the damage at frozen displacement; both lower the potential of the state.
Far from the tip they agree at once; what is left is one slow mode, the advance of the crack, which the acceleration ends.
A state counts as found where a plain turn moves the damage by no more than the tolerance anywhere.

Source: Bourdin, Francfort & Marigo, J. Mech. Phys. Solids 48, 797 (2000); `solvers.anderson`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from dolfinx import fem
from mpi4py import MPI

from coupling.errors import RunFailure
from multiscale.solvers.anderson import Anderson

ENERGY_ROUNDING = 1e-10
"""Relative rise of the potential from one turn to the next that counts as rounding."""


class GrewTooFar(RunFailure):
    """The crack grew by more than a step may (the state is that of the last step)."""


@dataclass(frozen=True)
class Alternation:
    """How displacement and damage take turns.

    Attributes:
        tolerance: largest change of the damage anywhere in a plain turn that counts as none.
        most: turns after which a step is given up.
        depth: turns that Anderson's acceleration looks back (0: none).
    """

    tolerance: float = 1e-4
    most: int = 1000
    depth: int = 5


@dataclass(frozen=True)
class Turns:
    """What takes turns.

    Attributes:
        damage, lower, upper: the damage and its bounds.
        displace: finds the displacement at the present damage, but only nearly where its argument says so.
        break_on: finds the damage at the present displacement.
        potential: of the state, J; falls from turn to turn.
        too_far: whether the crack has grown by more than the step may, or None.
    """

    damage: fem.Function
    lower: fem.Function
    upper: fem.Function
    displace: Callable[[bool], None]
    break_on: Callable[[], Any]
    potential: Callable[[], float]
    too_far: Callable[[], bool] | None = None


def alternate(turns: Turns, how: Alternation) -> int:
    """Take turns until the damage stands still; the displacement is solved last. Gives the number of turns.

    From the second turn on, Anderson's acceleration chooses the damage that a turn starts from. The potential must fall from
    turn to turn: where it rises, the turn starts from the plain damage of the last one, and the past is forgotten.

    Raises:
        GrewTooFar: `too_far` said so.
        RunFailure: a solve failed, or the damage does not stand still.
    """
    damage, low, high = turns.damage.x, turns.lower.x.array, turns.upper.x.array
    comm, owned = turns.damage.function_space.mesh.comm, turns.damage.function_space.dofmap.index_map.size_local
    past, energy, size, plain = Anderson(comm, how.depth), np.inf, np.inf, damage.array.copy()
    for turn in range(1, how.most + 1):
        turns.displace(True)
        last, energy = energy, turns.potential()
        if energy > last + ENERGY_ROUNDING * abs(last):
            past.forget()
            damage.array[:] = plain
            turns.displace(True)
            energy = turns.potential()
        before = damage.array.copy()
        turns.break_on()
        plain = damage.array.copy()
        size = float(comm.allreduce(float(np.abs(plain - before).max(initial=0.0)), op=MPI.MAX))
        if turns.too_far is not None and turns.too_far():
            raise GrewTooFar(f"fracture: the crack grew beyond what a step may, after {turn} turns; the last state is kept")
        if size <= how.tolerance:
            turns.displace(False)
            return turn
        damage.array[:owned] = past.next(before[:owned], plain[:owned])
        damage.scatter_forward()
        np.clip(damage.array, low, high, out=damage.array)
    raise RunFailure(
        f"fracture: damage still moved by {size:.2g} after {how.most} turns (a crack that runs away at fixed "
        "pressure, or a step that is too large); the last state is kept"
    )

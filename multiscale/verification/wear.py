"""Exact problem of worn contact (V13w): cycles of equal current and time without creep, by the product's own law in time."""

import math
from collections.abc import Mapping

from mpi4py import MPI

from multiscale.mechanics.extrusion import Creep
from multiscale.mechanics.interface_wear import InterfaceWear

CREEP = Creep(1e-3, 0.8e6, 6.6, 37e3)
"""Does nothing here: no pressure acts."""
T, CURRENT, SECONDS = 298.15, 100.0, 60.0


def worn(law: InterfaceWear, half_cycles: int) -> list[float]:
    """Share that touches after each half cycle, stripping first."""
    shares = [1.0]
    for k in range(half_cycles):
        shares.append(law.after(shares[-1], CURRENT if k % 2 else -CURRENT, SECONDS, 0.0, T))
    return shares


def life(law: InterfaceWear, share: float) -> float:
    """Cycles until a share touches, between whole cycles on the exponential through three of them (it is one exactly)."""
    wholes = worn(law, 6)[::2]
    growth = (wholes[3] - wholes[2]) / (wholes[2] - wholes[1])
    return math.log(1 + (share - 1) * (growth - 1) / (wholes[1] - 1)) / math.log(growth)


def worn_contact(comm: MPI.Comm) -> Mapping[str, float]:
    """V13w: three cycles of 10 mA/cm² for 60 s, with and without vacancies that carry holes away."""
    law = InterfaceWear(2e-6, 0.4, 1e-6, CREEP, 7e-15, 10.0, 10e-6)
    still = InterfaceWear(2e-6, 0.4, 1e-6, CREEP, 7e-15, 1.0, 10e-6)
    return {
        "share that touches after three cycles": worn(law, 6)[-1],
        "cycles until half of the face touches": life(law, 0.5),
        "without vacancies: share after three cycles": worn(still, 6)[-1],
    }

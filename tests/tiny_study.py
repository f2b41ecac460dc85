"""A study of a Lennard-Jones crystal that takes seconds; run as a script it is what the tests start under mpirun.

Usage: python tiny_study.py STORE [fail]
"""

import json
import sys

from ase import Atoms
from ase.build import bulk, fcc100
from ase.calculators.lj import LennardJones

from atomistic.study import Effort, PhaseEffort, StudySettings, Toolbox, run
from multiscale.parallel import guard

SETTINGS = StudySettings(phases=("Ar",), seed=5)
EFFORT = Effort(
    {"Ar": PhaseEffort(length=5.0, temperatures=(300.0, 400.0), equilibration=0.1, production=0.8)},
    slab_thicknesses=(6.0, 9.0), contact_thickness=5.0, shifts=2, disorder_seeds=1, faces=("100",),
)  # fmt: skip


def potential(precision: str, member: int = 0) -> LennardJones:
    """Argon ten times as strongly bound, with a short cutoff; each further member is bound 10 % more strongly."""
    return LennardJones(epsilon=0.104 * (1 + 0.1 * member), sigma=3.4, rc=4.6, smooth=True)


def broken(precision: str, member: int = 0) -> LennardJones:
    """A potential that is not there."""
    raise ValueError("no such potential")


def slab(face: str, thickness: float, lattice_constant: float) -> Atoms:
    """fcc (100)."""
    return fcc100("Ar", (1, 1, int(2 * thickness / lattice_constant)), a=lattice_constant, vacuum=6.0, periodic=True)


def contact(phase: str, thickness: float) -> tuple:
    """A crystal cut in two."""
    whole = slab("100", 2 * thickness, 5.25)
    upper = whole.positions[:, 2] > whole.positions[:, 2].mean()
    return whole, whole[upper], whole[~upper], upper, "none"


def tools(fail: bool = False, members: int = 1) -> Toolbox:
    """Everything the study takes from outside."""
    return Toolbox(
        sha256="argon", members=members, load=broken if fail else potential, effort=EFFORT,
        crystal=lambda phase, seed: bulk("Ar", cubic=True, a=5.25),
        mobile="Ar", metal="Ar", slab=slab, contacts=("Ar",), contact=contact,
    )  # fmt: skip


def main() -> None:
    """Run the study on every rank; rank 0 tells that all have the same records."""
    from mpi4py import MPI

    records = run(SETTINGS, sys.argv[1], MPI.COMM_WORLD, tools=tools("fail" in sys.argv))
    gathered = MPI.COMM_WORLD.gather(json.dumps([record.to_dict() for record in records]), root=0)
    if MPI.COMM_WORLD.rank == 0:
        assert len(set(gathered)) == 1
        print(MPI.COMM_WORLD.size, "ranks agree")


if __name__ == "__main__":
    guard(main)

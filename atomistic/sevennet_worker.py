"""SevenNet in a process and among packages of its own: started by `atomistic.sevennet`, messages as in `atomistic.worker`."""

import functools
import warnings
from typing import Any

import numpy as np
from ase import Atoms

from atomistic.worker import Message, serve

MODEL = "7net-l3i5"


def evaluate(calculator: Any, request: dict[str, Any], arrays: list[np.ndarray]) -> Message:
    """Energy (eV), forces (n, 3) (eV/Å) and stress (6,) (eV/Å³, ASE's order and sign).

    `arrays` are the positions (n, 3) and the cell (3, 3) in Å, `request` holds "numbers" (n) and "pbc" (3).
    """
    atoms = Atoms(request["numbers"], positions=arrays[0], cell=arrays[1], pbc=request["pbc"])
    atoms.calc = calculator
    return {"energy": float(atoms.get_potential_energy())}, [atoms.get_forces(), atoms.get_stress()]


def start() -> tuple[dict[str, Any], Any]:
    """What the model says of itself (atomic numbers, cutoff in Å), and what answers a request.

    Raises whatever SevenNet raises where it cannot start.
    """
    warnings.simplefilter("ignore")  # that no accelerator of tensor products is there, among others
    from sevenn.calculator import SevenNetCalculator

    calculator = SevenNetCalculator(MODEL, device="auto")
    knows = {"elements": sorted(map(int, calculator.type_map)), "cutoff": float(calculator.cutoff)}
    return knows, functools.partial(evaluate, calculator)


if __name__ == "__main__":
    serve(start)

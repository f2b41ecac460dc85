"""Reference energies, forces and stresses: CHGNet 0.3.0, whose weights travel in its own package.

Frames carry their labels as `info["REF_energy"]` (eV), `arrays["REF_forces"]` (eV/Å) and `info["REF_stress"]`
(eV/Å³, Voigt order xx yy zz yz xz xy, positive in tension), the keys that the trainer reads.
"""

import contextlib
import functools
import io
import warnings
from collections.abc import Iterable

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator

TEACHER = "CHGNet 0.3.0"


@functools.cache
def teacher() -> Calculator:
    """CHGNet 0.3.0 on the CPU (Deng et al., Nature Machine Intelligence 5, 1031 (2023)), one per process.

    Its energies are total DFT-like energies; its ASE calculator returns stress in eV/Å³ with ASE's sign (checked
    against finite differences of the energy in tests/test_training.py).
    """
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from chgnet.model.dynamics import CHGNetCalculator
        from chgnet.model.model import CHGNet

        return CHGNetCalculator(CHGNet.load(model_name="0.3.0", verbose=False), use_device="cpu", on_isolated_atoms="error")


def label(atoms: Atoms) -> Atoms | None:
    """Copy of `atoms` with teacher labels, or None where the teacher has no answer (an atom without neighbours)."""
    frame = atoms.copy()
    frame.calc = None
    work = frame.copy()
    work.calc = teacher()
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            energy, forces, stress = work.get_potential_energy(), work.get_forces(), work.get_stress()
    except ValueError:
        return None
    frame.info["REF_energy"] = float(energy)
    frame.info["REF_stress"] = np.asarray(stress, dtype=float)
    frame.arrays["REF_forces"] = np.asarray(forces, dtype=float)
    return frame


def usable(frame: Atoms, max_force: float) -> bool:
    """Whether the labels are finite and no force component exceeds `max_force` (eV/Å)."""
    values = np.concatenate([[frame.info["REF_energy"]], frame.info["REF_stress"], frame.arrays["REF_forces"].ravel()])
    return bool(np.isfinite(values).all() and np.abs(frame.arrays["REF_forces"]).max() <= max_force)


def label_all(frames: Iterable[Atoms], max_force: float) -> list[Atoms]:
    """Labelled copies of the frames, those without a usable label left out."""
    labelled = (label(frame) for frame in frames)
    return [frame for frame in labelled if frame is not None and usable(frame, max_force)]

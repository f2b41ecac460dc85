"""Teachers: universal potentials that label frames with energies, forces and stresses, CHGNet 0.3.0 and SevenNet-l3i5.

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

from atomistic import sevennet
from atomistic.label_settings import LabelSettings
from atomistic.sevennet import NoAnswer

CHGNET, SEVENNET = "chgnet", "sevennet"
MPTRJ = "MPtrj: PBE and PBE+U, energies"
TEACHERS = {
    CHGNET: LabelSettings(
        "CHGNet", "0.3.0", "learned PBE(+U)", further=(("trained on", f"{MPTRJ} corrected as in the Materials Project"),)
    ),
    SEVENNET: LabelSettings(
        "SevenNet", sevennet.VERSION, "learned PBE(+U)",
        further=(("model", sevennet.MODEL), ("trained on", f"{MPTRJ} as VASP gives them, not corrected")),
    ),
}  # fmt: skip
"""Settings that the labels of each teacher carry, by the name that a user gives it."""


def title(settings: LabelSettings) -> str:
    """Code, version and model of labels: "CHGNet 0.3.0", "SevenNet 0.13.0 7net-l3i5"."""
    return " ".join(filter(None, (settings.code, settings.version, dict(settings.further).get("model"))))


def teacher_of(levels: Iterable[LabelSettings]) -> str:
    """Name of the teacher whose labels all of these are; "" where they are of none that can be asked again, or of several."""
    titles = {title(level) for level in levels}
    return next((name for name, settings in TEACHERS.items() if titles == {title(settings)}), "")


def require(name: str) -> None:
    """Raise UserError where a teacher's packages are not here; of CHGNet's absence its import tells."""
    if name == SEVENNET:
        sevennet.require()


@functools.cache
def teacher(name: str = CHGNET) -> Calculator:
    """A teacher's calculator, one per process. Raises UserError where its packages are not here."""
    return sevennet.SevenNet() if name == SEVENNET else _chgnet()


def _chgnet() -> Calculator:
    """CHGNet 0.3.0 on the CPU (Deng et al., Nature Machine Intelligence 5, 1031 (2023)).

    Its energies are total DFT-like energies; its ASE calculator returns stress in eV/Å³ with ASE's sign (checked
    against finite differences of the energy in tests/test_training.py).
    """
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from chgnet.model.dynamics import CHGNetCalculator
        from chgnet.model.model import CHGNet

        return CHGNetCalculator(CHGNet.load(model_name="0.3.0", verbose=False), use_device="cpu", on_isolated_atoms="error")


def label(atoms: Atoms, by: str = CHGNET) -> Atoms:
    """Copy of `atoms` with the labels of teacher `by`.

    Raises:
        NoAnswer: it has none for these atoms, one of which has no neighbours or no finite position.
        RunFailure: SevenNet stopped at these atoms.
    """
    frame = atoms.copy()
    frame.calc = None
    work = frame.copy()
    work.calc = teacher(by)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            energy, forces, stress = work.get_potential_energy(), work.get_forces(), work.get_stress()
    except ValueError:
        told = f"{TEACHERS[by].code} has no answer for {work.get_chemical_formula()}"
        raise NoAnswer(f"{told}: an atom has no neighbours, or no finite position") from None
    frame.info["REF_energy"] = float(energy)
    frame.info["REF_stress"] = np.asarray(stress, dtype=float)
    frame.arrays["REF_forces"] = np.asarray(forces, dtype=float)
    return frame


def usable(frame: Atoms, max_force: float) -> bool:
    """Whether the labels are finite and no force component exceeds `max_force` (eV/Å)."""
    values = np.concatenate([[frame.info["REF_energy"]], frame.info["REF_stress"], frame.arrays["REF_forces"].ravel()])
    return bool(np.isfinite(values).all() and np.abs(frame.arrays["REF_forces"]).max() <= max_force)


def label_all(frames: Iterable[Atoms], max_force: float, by: str = CHGNET) -> list[Atoms]:
    """Copies of the frames labelled by teacher `by`, those without a usable label left out. Raises RunFailure as `label`."""
    labelled = []
    for frame in frames:
        with contextlib.suppress(NoAnswer):
            labelled.append(label(frame, by))
    return [frame for frame in labelled if usable(frame, max_force)]

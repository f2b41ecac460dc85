"""Refuses broken labels: what is missing, not finite, of the wrong shape or, by its size, in the wrong unit.

A wrong unit shows in an energy as a large distance from what the other frames say: the energies of one label level are
fitted by a sum of atomic energies (least squares, reweighted so that a few broken frames do not move the fit), and no
frame may lie further off per atom than RESIDUAL, or than CLEAR where another unit explains it. A set in which every
frame has the wrong unit passes that test, hence the unit of a foreign set has to be declared (atomistic.dataset).
"""

from collections.abc import Sequence

import numpy as np
from ase import Atoms, units
from matscipy.neighbours import neighbour_list

from coupling.errors import UserError

LARGEST_FORCE = 60.0  # eV/Å: atoms half their distance apart reach 20-30
LARGEST_STRESS = 1.0  # eV/Å³ (160 GPa): atoms half their distance apart reach 0.4
SHORTEST = 0.3  # Å: no two nuclei come that near; H-H is 0.74
RESIDUAL = 3.0  # eV/atom off the fit by atomic energies: an atom pushed into its neighbour costs below 1
CLEAR = 0.5  # eV/atom off that are enough where another unit explains them: the energy of an atom of lithium is below RESIDUAL
ENERGY, FORCES, STRESS = "REF_energy", "REF_forces", "REF_stress"

# eV in one of each, to name the likely mistake
MISTAKES = {
    "in Hartree": units.Hartree,
    "in Rydberg": units.Rydberg,
    "in kcal/mol": units.kcal / units.mol,
    "in kJ/mol": units.kJ / units.mol,
    "in meV": 1e-3,
}


def check(
    frames: Sequence[Atoms], where: str, largest_force: float = LARGEST_FORCE, residual: float = RESIDUAL, start: int = 0
) -> None:
    """Refuse a set of labelled frames if one of its labels is broken.

    Args:
        frames: labels in info["REF_energy"] (eV), arrays["REF_forces"] (n, 3) (eV/Å), info["REF_stress"] (6,) (eV/Å³);
            info["label"] names the label level, frames without it form one.
        where: name of the file, for the message.
        largest_force: largest size of a force that is believed, eV/Å.
        residual: largest distance of an energy from the fit by atomic energies, eV/atom.
        start: number of the first frame.

    Raises:
        UserError: names the file and the number of the first broken frame, counted from 0 as `ase gui FILE@17` does.
    """
    for number, frame in enumerate(frames, start):
        if fault := fault_of(frame, largest_force):
            raise UserError(f"{where}: frame {number} ({_name(frame)}): {fault}; mend or leave out that frame")
    levels = [str(frame.info.get("label", "")) for frame in frames]
    for level in sorted(set(levels)):
        chosen = [i for i, other in enumerate(levels) if other == level]
        off = energies_off([frames[i] for i in chosen])
        for i, (distance, expected) in zip(chosen, off, strict=True):
            guess = _guess(frames[i], expected, residual) if abs(distance) > min(CLEAR, residual) else ""
            if abs(distance) > residual or guess:
                told = f"the energy is off by {distance:.2f} eV/atom from what the other frames say (limit {residual:g})"
                raise UserError(f"{where}: frame {i + start} ({_name(frames[i])}): {told}{guess}; mend or leave out that frame")


def fault_of(frame: Atoms, largest_force: float = LARGEST_FORCE) -> str:
    """What is wrong with the labels of one frame on its own, empty where nothing is."""
    if len(frame) == 0:
        return "no atoms"
    if (frame.numbers < 1).any():
        return f"atom {int(np.argmax(frame.numbers < 1))} is of no element (X)"
    wanted: tuple[tuple[str, str, dict, tuple[int, ...]], ...] = (
        ("energy", ENERGY, frame.info, ()),
        ("forces", FORCES, frame.arrays, (len(frame), 3)),
        ("stress", STRESS, frame.info, (6,)),
    )
    if not np.isfinite(frame.positions).all() or not np.isfinite(frame.cell.array).all():
        return "positions or cell are not finite numbers"
    for word, key, home, shape in wanted:
        if key not in home:
            virial = "virial" in frame.info and key == STRESS
            return f"no {word} ({key})" + ("; of its virial, −virial/volume is the stress (eV/Å³) to write" if virial else "")
        try:
            value = np.asarray(home[key], dtype=float)
        except (TypeError, ValueError):
            return f"the {word} ({key}) is not made of numbers"
        if key == STRESS and value.size == 9 and not symmetric(value.reshape(3, 3)):
            return f"the {word} ({key}) is a tensor that is not symmetric"
        if value.shape != shape:
            return f"the {word} ({key}) has shape {value.shape}, {shape} is needed"
        if not np.isfinite(value).all():
            return f"the {word} ({key}) is NaN or infinite"
    if abs(frame.cell.volume) < 1e-6 or not frame.pbc.all():
        return "no periodic cell, so its stress means nothing"
    near = neighbour_list("ijd", frame, SHORTEST)
    if len(near[0]):
        first, second, length = (values[0] for values in near)
        return f"atoms {first} and {second} lie {length:.2f} Å apart (limit {SHORTEST:g})"
    largest = float(np.linalg.norm(frame.arrays[FORCES], axis=1).max())
    if largest > largest_force:
        return f"a force of {largest:.0f} eV/Å (limit {largest_force:g}): a broken frame, or forces in another unit"
    strongest = float(np.abs(frame.info[STRESS]).max())
    if strongest > LARGEST_STRESS:
        told = f"a stress of {strongest:.3g} eV/Å³ (limit {LARGEST_STRESS:g}, {LARGEST_STRESS / units.GPa:.0f} GPa)"
        return f"{told}: a broken frame, or a stress in another unit (GPa, kbar)"
    return ""


def symmetric(tensor: np.ndarray) -> bool:
    """Whether a (3, 3) stress equals its transpose to a hundredth of its largest element; False where it holds no numbers."""
    try:
        return bool(np.abs(tensor - tensor.T).max() <= 1e-2 * np.abs(tensor).max())
    except TypeError:
        return False


def energies_off(frames: Sequence[Atoms]) -> list[tuple[float, float]]:
    """Distance of each energy from a robust fit by atomic energies, and that fit's energy of the frame.

    Returns:
        (eV/atom, eV) per frame. A fit of as many atomic energies as frames says nothing: distances are 0 then.
    """
    species = sorted({int(z) for frame in frames for z in frame.numbers})
    counts = np.array([[np.sum(frame.numbers == z) for z in species] for frame in frames], dtype=float)
    sizes = counts.sum(axis=1)
    fractions, energies = counts / sizes[:, None], np.array([float(frame.info[ENERGY]) for frame in frames]) / sizes
    weights = np.ones(len(frames))
    for _ in range(50):  # least absolute deviations by reweighted least squares: half the frames may be broken
        atomic, *_ = np.linalg.lstsq(fractions * weights[:, None], energies * weights, rcond=None)
        weights = 1 / np.sqrt(np.maximum(np.abs(energies - fractions @ atomic), 1e-3))
    fitted = fractions @ atomic
    return [(float(e - f), float(f * n)) for e, f, n in zip(energies, fitted, sizes, strict=True)]


def _guess(frame: Atoms, expected: float, residual: float) -> str:
    """The unit in which the energy of `frame` would fit `expected` (eV) best, as part of a sentence."""
    energy, size = float(frame.info[ENERGY]), len(frame)
    tried = {word: energy * factor for word, factor in MISTAKES.items()}
    tried |= {"an energy per atom": energy * size} if size > 1 else {}
    word = min(tried, key=lambda name: abs(tried[name] - expected))
    fits = abs(tried[word] - expected) < min(residual * size, 0.05 * abs(expected))
    return f", as if it were {word}" if fits else ""


def _name(frame: Atoms) -> str:
    """What a person knows the frame by."""
    named = [str(frame.info[key]) for key in ("job", "structure", "family") if frame.info.get(key)]
    return ", ".join([frame.get_chemical_formula(), *named[:1]])

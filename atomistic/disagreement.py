"""How far potentials disagree on a set of structures: energies, forces and stresses, pair by pair and family by family.

Total energies of two potentials differ by arbitrary constants per atom of each element. For every pair these offsets are
fitted by least squares to the differences per atom over all frames, and taken off before the energies are compared.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import BaseCalculator, PropertyNotImplementedError
from ase.units import GPa

from coupling.errors import UserError

ALL = "all"
OFFSETS = "energies after per-element offsets, fitted by least squares over all frames, were removed"


@dataclass(frozen=True)
class Disagreement:
    """Root mean square differences between two potentials on the frames of one family.

    Attributes:
        first, second: names. family: of the frames, or "all". frames: their number.
        energy: meV/atom after offsets; None where the frames are too few to tell offsets from differences.
        force: over all components, meV/Å. stress: over all components, GPa; None where no frame has one.
        worst_frame: index (from 0) of the frame with the largest force difference; worst_force: that difference,
            the largest |F_first − F_second| of an atom, meV/Å.
    """

    first: str
    second: str
    family: str
    frames: int
    energy: float | None
    force: float
    stress: float | None
    worst_frame: int
    worst_force: float


@dataclass(frozen=True)
class _Answers:
    """Of one potential: energies (frames,) in eV, forces and stresses by frame."""

    energies: np.ndarray
    forces: list[np.ndarray]
    stresses: list[np.ndarray | None]


def compare(frames: Sequence[Atoms], potentials: Mapping[str, BaseCalculator]) -> list[Disagreement]:
    """Disagreement of every pair of potentials, over all frames and over each family (`info["family"]`).

    Args:
        frames: structures; labels they carry are not used.
        potentials: name → calculator, two or more.

    Raises:
        UserError: fewer than two potentials, no frame, or a frame that a potential refuses (its number is told).
    """
    if len(potentials) < 2:
        raise UserError("two or more potentials are needed for a comparison, each named once")
    if not frames:
        raise UserError("no structure to compare the potentials on")
    answers = {name: _ask(frames, name, calculator) for name, calculator in potentials.items()}
    families = [str(frame.info.get("family", "")) for frame in frames]
    groups: dict[str, np.ndarray] = {ALL: np.arange(len(frames))}
    for family in sorted(set(families) - {""}) if len(set(families)) > 1 else []:
        groups[family] = np.flatnonzero([other == family for other in families])
    rows = []
    for first, second in itertools.combinations(potentials, 2):
        energies = energy_differences(frames, answers[first].energies - answers[second].energies)
        rows += [_row(first, second, family, chosen, answers, energies) for family, chosen in groups.items()]
    return rows


def _ask(frames: Sequence[Atoms], name: str, calculator: BaseCalculator) -> _Answers:
    """Answers of one potential to all frames."""
    energies, forces, stresses = [], [], []
    for index, frame in enumerate(frames):
        atoms = Atoms(numbers=frame.numbers, positions=frame.positions, cell=frame.cell, pbc=frame.pbc)
        try:
            energies.append(float(calculator.get_property("energy", atoms)))
            forces.append(np.array(calculator.get_property("forces", atoms), dtype=float))
            stresses.append(_stress(atoms, calculator))
        except (UserError, ValueError) as error:
            raise UserError(f"frame {index} ({atoms.get_chemical_formula()}): {error}") from error
        if not (np.isfinite(energies[-1]) and np.isfinite(forces[-1]).all()):
            raise UserError(
                f"frame {index} ({atoms.get_chemical_formula()}): {name} gives no finite energy and forces; leave it out"
            )
    return _Answers(np.array(energies), forces, stresses)


def _stress(atoms: Atoms, calculator: BaseCalculator) -> np.ndarray | None:
    """Stress (6,) in eV/Å³ of atoms periodic in three directions, None where there is none."""
    if not atoms.pbc.all():
        return None
    try:
        return np.array(calculator.get_property("stress", atoms), dtype=float)
    except PropertyNotImplementedError:
        return None


def energy_differences(frames: Sequence[Atoms], differences: np.ndarray) -> np.ndarray | None:
    """Differences per atom, (frames,) in eV, without the best constants per element; None where nothing would be left to see.

    Minimises Σ_f (Δ_f/N_f − Σ_e x_fe μ_e)² over the offsets μ_e of the elements e, with x_fe the share of e in frame f.

    Args:
        frames: structures. differences: of total energies, (frames,), eV.
    """
    sizes = np.array([len(frame) for frame in frames])
    elements = sorted({int(number) for frame in frames for number in frame.numbers})
    shares = np.array([[np.count_nonzero(frame.numbers == element) for element in elements] for frame in frames]) / sizes[:, None]
    if len(frames) <= np.linalg.matrix_rank(shares):
        return None
    per_atom = np.asarray(differences) / sizes
    offsets = np.linalg.lstsq(shares, per_atom, rcond=None)[0]
    return np.asarray(per_atom - shares @ offsets)


def _row(
    first: str, second: str, family: str, chosen: np.ndarray, answers: Mapping[str, _Answers], energies: np.ndarray | None
) -> Disagreement:
    """Disagreement of two potentials on the chosen frames."""
    one, other = answers[first], answers[second]
    forces = [one.forces[index] - other.forces[index] for index in chosen]
    stresses = [a - b for index in chosen if (a := one.stresses[index]) is not None and (b := other.stresses[index]) is not None]
    worst = [float(np.linalg.norm(difference, axis=1).max()) for difference in forces]
    at = int(np.argmax(worst))
    return Disagreement(
        first, second, family, len(chosen),
        energy=None if energies is None else 1e3 * _rms(energies[chosen]),
        force=1e3 * _rms(np.concatenate(forces)),
        stress=_rms(np.array(stresses)) / GPa if stresses else None,
        worst_frame=int(chosen[at]), worst_force=1e3 * worst[at],
    )  # fmt: skip


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(values))))


def open_potential(name: str, allow_pickle: bool = False) -> BaseCalculator:
    """Calculator to compare: the mean of a committee, or the one model of a potential. Raises UserError as `potential.load`."""
    from atomistic import committee, potential

    if potential.describe(name, allow_pickle).members > 1:
        return committee.load_committee(name)
    return potential.load(name, allow_pickle=allow_pickle)


def read_frames(path: str | Path) -> list[Atoms]:
    """Every structure of a file that ASE reads, or of a training set (.h5).

    Raises:
        UserError: there is none, or one has sites that are not filled by one atom.
    """
    from ase.io import read

    from atomistic.structures import require_full_sites

    if Path(path).suffix == ".h5":
        from atomistic import dataset

        return dataset.read(path, checked=False)
    try:
        frames = list(read(path, index=":"))
    except Exception as error:  # ASE's readers raise anything on foreign bytes
        raise UserError(f"{path}: no structures that ASE can read ({str(error) or type(error).__name__})") from error
    return [require_full_sites(frame, path) for frame in frames]


def as_json(rows: Sequence[Disagreement]) -> dict[str, Any]:
    """The answer of `multiscale potential compare --json`."""
    return {
        "energies": OFFSETS,
        "rows": [
            {
                "first": row.first, "second": row.second, "family": row.family, "frames": row.frames,
                "energy_rmse_meV_per_atom": row.energy, "force_rmse_meV_per_A": row.force, "stress_rmse_GPa": row.stress,
                "worst_frame": row.worst_frame, "worst_force_meV_per_A": row.worst_force,
            }
            for row in rows
        ],
    }  # fmt: skip


HEADER = ("potentials", "family", "frames", "meV/atom", "meV/Å", "GPa", "worst frame", "its meV/Å")


def table_row(row: Disagreement) -> tuple[str, ...]:
    """Cells of one row under HEADER."""
    energy, stress = ("-" if value is None else f"{value:.3g}" for value in (row.energy, row.stress))
    return (
        f"{row.first} | {row.second}", row.family, str(row.frames), energy, f"{row.force:.3g}", stress, str(row.worst_frame),
        f"{row.worst_force:.3g}",
    )  # fmt: skip

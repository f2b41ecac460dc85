"""How wrong a potential is on labelled frames: each member, the committee's mean, and what its spread tells of the error."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import BaseCalculator
from scipy.stats import spearmanr

from atomistic import calibration, potential
from atomistic.calibration import Atomwise
from atomistic.training import error_summary
from coupling.errors import UserError

ALL = "all"
Table = dict[str, dict[str, float]]


@dataclass(frozen=True)
class Answers:
    """What m members say of one labelled frame of n atoms.

    Attributes:
        frame: with its labels. energies: (m,), eV. forces: (m, n, 3), eV/Å. stresses: (m, 6), eV/Å³.
    """

    frame: Atoms
    energies: np.ndarray
    forces: np.ndarray
    stresses: np.ndarray


def open_members(name: str, engine: str = "auto", dtype: str = "float64") -> list[BaseCalculator]:
    """Calculators of all members of a potential. Raises UserError as `potential.load`."""
    return [potential.load(name, engine, dtype, number) for number in range(potential.describe(name).members)]


def ask(
    frames: Sequence[Atoms], members: Sequence[BaseCalculator], progress: Callable[[float], None] = lambda share: None
) -> list[Answers]:
    """Answers of every member to every frame; `progress` is told the share that is done.

    Raises:
        UserError: no frame, or one that a member refuses (its number is told).
    """
    if not frames:
        raise UserError("no labelled frame to test the potential on")
    found = []
    for number, frame in enumerate(frames):
        atoms = Atoms(frame.numbers, positions=frame.positions, cell=frame.cell, pbc=frame.pbc)
        try:
            rows = [[np.array(m.get_property(name, atoms)) for name in ("energy", "forces", "stress")] for m in members]
        except UserError as error:
            raise UserError(f"frame {number} ({atoms.get_chemical_formula()}): {error}") from error
        found.append(Answers(frame, *(np.array(column, dtype=float) for column in zip(*rows, strict=True))))
        progress((number + 1) / len(frames))
    return found


def errors(answers: Sequence[Answers], member: int | None = None, key: str = "family") -> Table:
    """Root mean square errors by family (or another key of the frames' info) and over all frames ("all").

    Args:
        answers: of `ask`.
        member: which one; None for the mean of all.
        key: frames without it count under "frames".

    Returns:
        As `training.errors`.
    """
    groups: dict[str, list[tuple[float, np.ndarray, np.ndarray, np.ndarray]]] = {}
    for one in answers:
        pick = (lambda values: values.mean(axis=0)) if member is None else (lambda values: values[member])
        labels = one.frame.info["REF_energy"], one.frame.arrays["REF_forces"], one.frame.info["REF_stress"]
        off = float(pick(one.energies) - labels[0]) / len(one.frame)
        row = (off, pick(one.forces) - labels[1], labels[1], pick(one.stresses) - labels[2])
        for group in (str(one.frame.info.get(key, "frames")), ALL):
            groups.setdefault(group, []).append(row)
    return {group: error_summary(rows) for group, rows in sorted(groups.items())}


def spread_against_error(answers: Sequence[Answers]) -> Table:
    """What the spread of the committee says about the error of its mean, by family and for all frames ("all").

    Returns:
        {family: {"atoms", "claimed_meV_per_A" (root mean square of σ_i = √⟨|F_m − ⟨F⟩|²⟩ over atoms), "found_meV_per_A" (of
        |⟨F⟩ − label|), "found_over_claimed", "rank_correlation" (Spearman, of σ_i and the error, atom by atom)}}; under "all"
        also "conformal_factor" and its "confidence" (see atomistic.calibration).

    Raises:
        UserError: a single model, which has no spread.
    """
    if len(answers[0].energies) < 2:
        raise UserError("a potential of one member has no spread; a committee of two or more is needed")
    families = sorted({str(one.frame.info.get("family", "frames")) for one in answers})
    table = {family: _spread([one for one in answers if one.frame.info.get("family", "frames") == family]) for family in families}
    table[ALL] = _spread(answers)
    found = atomwise(answers)
    if len(found.errors) >= calibration.ENOUGH:
        made = calibration.calibrate(found, len(answers))
        table[ALL] |= {"conformal_factor": round(made.quantile, 3), "confidence": made.confidence}
    return table


def atomwise(answers: Sequence[Answers]) -> Atomwise:
    """Errors and spreads of all atoms, as atomistic.calibration takes them."""
    rows = []
    for one in answers:
        mean = one.forces.mean(axis=0)
        square = ((mean - one.frame.arrays["REF_forces"]) ** 2).sum(axis=1)
        spread = np.sqrt(((one.forces - mean) ** 2).sum(axis=2).mean(axis=0))
        rows.append((one.frame.numbers, np.sqrt(square), spread, square + spread**2))
    return Atomwise(*(np.concatenate(column) for column in zip(*rows, strict=True)))


def _spread(answers: Sequence[Answers]) -> dict[str, float]:
    """One row of `spread_against_error`."""
    found = atomwise(answers)
    claimed, real = (float(np.sqrt(np.mean(values**2))) for values in (found.spreads, found.errors))
    row = {
        "atoms": len(found.errors),
        "claimed_meV_per_A": round(1e3 * claimed, 1),
        "found_meV_per_A": round(1e3 * real, 1),
    }
    if claimed > 0:
        row["found_over_claimed"] = round(real / claimed, 2)
    if len(found.errors) > 2 and np.ptp(found.spreads) > 0 and np.ptp(found.errors) > 0:
        row["rank_correlation"] = round(float(spearmanr(found.spreads, found.errors).statistic), 3)
    return row


def report_of(answers: Sequence[Answers]) -> dict[str, Any]:
    """Everything `multiscale potential test` tells: errors of the mean and of each member, and the spread of a committee."""
    members = len(answers[0].energies)
    told: dict[str, Any] = {
        "frames": len(answers),
        "atoms": sum(len(one.frame) for one in answers),
        "mean": errors(answers),
        "members": [errors(answers, number) for number in range(members)],
    }
    return told | ({"spread": spread_against_error(answers)} if members > 1 else {})

"""What the spread of a committee is worth: split-conformal calibration of force errors on labels that no fit has seen.

On held-out labels every atom i has an error |ΔF_i| (of the committee's mean force) and a spread σ_i. The scores |ΔF_i| / σ_i
give two numbers: their quantile with the finite-sample correction,

    q = the ⌈(n + 1)(1 − α)⌉-th smallest score,

so that |ΔF| ≤ q σ holds for a new atom with a probability of at least 1 − α, and the ratio of the root mean squares

    κ = √(Σ |ΔF_i|² / Σ σ_i²),

which turns spreads into a root mean square error. Elements with enough atoms get a quantile of their own.

The guarantee is for atoms that are exchangeable with the held-out ones. Atoms of one frame are correlated and a new generation's
frames come from another potential, so the claim is checked on later labels (`coverage`) and both numbers are shown.

Sources: Angelopoulos and Bates, arXiv:2107.07511 (split conformal prediction, normalised scores); Hu, Musielewicz, Ulissi and
Medford, Mach. Learn.: Sci. Technol. 3, 045028 (2022) (conformal uncertainties of machine-learned potentials).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import BaseCalculator
from ase.data import chemical_symbols

from atomistic.committee import Committee
from coupling.errors import UserError

CONFIDENCE = 0.9
ENOUGH = 50  # atoms of an element below which it shares the quantile of all
FLOOR = 1e-6  # eV/Å: smaller spreads count as this one


@dataclass(frozen=True)
class Atomwise:
    """Errors and spreads of n atoms: (n,) each; lengths of vectors in eV/Å.

    Attributes:
        numbers: atomic numbers. errors: |mean force − label|. spreads: of the committee.
        members: mean over the members of |force of the member − label|², (eV/Å)².
    """

    numbers: np.ndarray
    errors: np.ndarray
    spreads: np.ndarray
    members: np.ndarray

    @property
    def scores(self) -> np.ndarray:
        """Errors in units of the spread (n,)."""
        return np.asarray(self.errors / np.maximum(self.spreads, FLOOR))

    @property
    def rmse(self) -> float:
        """Root mean square error of the components of the mean force, eV/Å."""
        return float(np.sqrt(np.mean(self.errors**2) / 3))

    @property
    def member_rmse(self) -> float:
        """Root mean square error of the components of one member's force, eV/Å."""
        return float(np.sqrt(np.mean(self.members) / 3))


@dataclass(frozen=True)
class Calibration:
    """How spreads become errors.

    Attributes:
        quantile: q of all atoms (1). scale: κ (1). by_element: q of the elements with enough atoms.
        confidence: 1 − α. atoms: number of held-out atoms it rests on. frames: number of held-out frames.
    """

    quantile: float
    scale: float
    by_element: Mapping[str, float]
    confidence: float
    atoms: int
    frames: int

    def factors(self, numbers: np.ndarray) -> np.ndarray:
        """The quantile q of each atom (n,)."""
        return np.array([self.by_element.get(chemical_symbols[int(z)], self.quantile) for z in numbers])

    def bounds(self, numbers: np.ndarray, spreads: np.ndarray) -> np.ndarray:
        """Calibrated force error (n,) in eV/Å: the error of an atom is below it with the stated confidence."""
        return np.asarray(self.factors(numbers) * np.maximum(spreads, FLOOR))

    def rmse(self, spreads: np.ndarray) -> float:
        """Root mean square error of force components that is claimed for atoms of these spreads, eV/Å."""
        return float(self.scale * np.sqrt(np.mean(np.asarray(spreads) ** 2) / 3))

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self) | {"by_element": dict(self.by_element)}


UNCALIBRATED = Calibration(1.0, 1.0, {}, CONFIDENCE, 0, 0)
"""The spread taken as it is, before there is any label to hold it against."""


def from_dict(entry: Mapping[str, Any]) -> Calibration:
    """Calibration from what `to_dict` gave."""
    return Calibration(**entry)


def atomwise(frames: Sequence[Atoms], members: Sequence[BaseCalculator]) -> Atomwise:
    """Errors and spreads on labelled frames (arrays["REF_forces"]).

    Raises:
        UserError: no frames, or an element that a member does not cover.
    """
    if not frames:
        raise UserError("no labelled frame to calibrate on")
    asked = Committee(members)
    rows = []
    for frame in frames:
        atoms = Atoms(frame.numbers, positions=frame.positions, cell=frame.cell, pbc=frame.pbc)
        error = asked.get_property("forces", atoms) - frame.arrays["REF_forces"]
        square, spread = (error**2).sum(axis=1), asked.get_property("forces_std", atoms)
        # mean over the members of |F_m − F|² = |⟨F⟩ − F|² + σ²
        rows.append((frame.numbers, np.sqrt(square), spread, square + spread**2))
    return Atomwise(*(np.concatenate(column) for column in zip(*rows, strict=True)))


def conformal_quantile(scores: np.ndarray, confidence: float = CONFIDENCE) -> float:
    """The ⌈(n + 1) confidence⌉-th smallest of n scores.

    Raises:
        UserError: so few scores that no finite bound holds with that confidence.
    """
    count = len(scores)
    rank = math.ceil((count + 1) * confidence - 1e-9)
    if rank > count:
        needed = math.ceil(confidence / (1 - confidence) - 1e-9)
        raise UserError(f"{count} held-out atoms for a bound at {confidence:.0%} confidence; at least {needed} are needed")
    return float(np.sort(scores)[rank - 1])


def calibrate(found: Atomwise, frames: int, confidence: float = CONFIDENCE) -> Calibration:
    """Calibration from held-out errors; `frames` is the number of frames they come from.

    Raises:
        UserError: too few atoms.
    """
    elements = {}
    for number in map(int, np.unique(found.numbers)):
        own = found.numbers == number
        if own.sum() >= ENOUGH:
            elements[chemical_symbols[number]] = conformal_quantile(found.scores[own], confidence)
    return Calibration(
        quantile=conformal_quantile(found.scores, confidence),
        scale=float(np.sqrt(np.sum(found.errors**2) / np.sum(np.maximum(found.spreads, FLOOR) ** 2))),
        by_element=elements,
        confidence=confidence,
        atoms=len(found.errors),
        frames=frames,
    )


def coverage(calibration: Calibration, found: Atomwise) -> float:
    """Share of the atoms whose error is below the bound that was claimed for them; honest on labels made afterwards."""
    return float(np.mean(found.errors <= calibration.bounds(found.numbers, found.spreads)))


def claimed_and_found(calibration: Calibration, found: Atomwise, bins: int = 8) -> list[dict[str, float]]:
    """Table of claims against errors: atoms sorted by the claimed bound and cut into bins of equal number.

    Returns:
        Rows of atoms, claimed_rmse and found_rmse (components, meV/Å), claimed_bound (mean, meV/Å), found_quantile
        (of |ΔF| at the confidence, meV/Å) and coverage (1).
    """
    bounds = calibration.bounds(found.numbers, found.spreads)
    rows = []
    order: np.ndarray = np.argsort(bounds, kind="stable")
    for part in np.array_split(order, min(bins, len(bounds))):
        errors = found.errors[part]
        rows.append(
            {
                "atoms": len(part),
                "claimed_rmse": 1e3 * calibration.rmse(found.spreads[part]),
                "found_rmse": 1e3 * float(np.sqrt(np.mean(errors**2) / 3)),
                "claimed_bound": 1e3 * float(bounds[part].mean()),
                "found_quantile": 1e3 * float(np.quantile(errors, calibration.confidence)),
                "coverage": float(np.mean(errors <= bounds[part])),
            }
        )
    return rows

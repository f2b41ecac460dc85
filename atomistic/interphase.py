"""An interphase from the phases of its atoms: thickness by a stated criterion, composition, balance of the reaction.

Criterion where `reacted_layer` has none (an electrolyte without phosphorus): an atom belongs to the interphase if its phase is
neither the metal nor the electrolyte. The thickness is the share of such atoms in each slice times the slice's height, summed
over the depth and divided by the number of interfaces of the cell (a periodic cell has two): no threshold enters, and atoms in
scattered places count as they would side by side. Beside it stands the thickness of the slices in which they are the majority.

An electrolyte whose groups are broken has a name of its own (`reacted_layer.reduced`), and is interphase.

Balance: the amount of a product is the number of atoms of the element that names it (`key_element`) over their number in its
formula. Electrolyte and metal that are used up are counted without classes (`reacted_layer`) where that can be; amounts made per
electrolyte used up are compared with the reaction equation.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms

from atomistic import phases, structures
from atomistic.growth import Growth, Passivation, late_mean
from coupling.errors import UserError
from coupling.record import Property

SLICES = 40
Å = 1e-10
CRITERION = "share of atoms that are neither metal nor electrolyte, integrated over depth"


@dataclass(frozen=True)
class Reaction:
    """Stoichiometric numbers by phase, negative for what is used up."""

    numbers: Mapping[str, float]

    @classmethod
    def read(cls, text: str) -> "Reaction":
        """From "Li6PS5Cl + 8 Li -> 5 Li2S + Li3P + LiCl", of formulas and names of structures.

        Raises:
            UserError: not an equation, an unknown formula or name, or sides that do not balance.
        """
        sides = re.split(r"->|→", text)
        if len(sides) != 2:
            raise UserError(f'reaction: read "{text}"; write for example "Li6PS5Cl + 8 Li -> 5 Li2S + Li3P + LiCl"')
        numbers: dict[str, float] = {}
        for sign, side in zip((-1.0, 1.0), sides, strict=True):
            for term in side.split("+"):
                found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)?\s*([A-Za-z][A-Za-z0-9_]*)\s*", term)
                if not found:
                    raise UserError(f'reaction: read "{term.strip()}"; a number and a formula are needed, for example "5 Li2S"')
                numbers[found[2]] = numbers.get(found[2], 0.0) + sign * float(found[1] or 1)
        balance: dict[str, float] = {}
        for formula, number in numbers.items():
            for element, count in structures.composition(formula).items():
                balance[element] = balance.get(element, 0.0) + number * count
        if wrong := {element: rest for element, rest in balance.items() if abs(rest) > 1e-9}:
            told = ", ".join(f"{element} {rest:+g}" for element, rest in wrong.items())
            raise UserError(f'reaction: "{text}" does not balance ({told})')
        return cls(numbers)


def key_element(formula: str, numbers: Mapping[str, float]) -> str:
    """Element by which a phase is counted: not Li where there is another; of those one that the fewest phases hold."""
    own = structures.composition(formula)
    shared = {element: sum(element in structures.composition(other) for other in numbers) for element in own}
    return min(own, key=lambda element: (element == "Li", shared[element], own[element], element))


@dataclass(frozen=True)
class Layer:
    """Interphase of some frames.

    Attributes:
        thickness: by the criterion (frames,), Å. majority: of the slices in which it is the majority (frames,), Å.
        composition: share of each phase among the atoms of the interphase in the last frame.
        amounts: formula units of every phase of the reaction (frames,). left: atoms of the metal and the electrolyte (frames,).
    """

    thickness: np.ndarray
    majority: np.ndarray
    composition: dict[str, float]
    amounts: dict[str, np.ndarray]
    left: dict[str, np.ndarray]


def layer(
    frames: Sequence[Atoms], names: Sequence[np.ndarray], metal: str, electrolyte: str, reaction: Reaction | None = None,
    axis: int = 2, interfaces: int = 2,
) -> Layer:  # fmt: skip
    """Interphase from the phases of the atoms.

    Args:
        frames: structures. names: phase of every atom (n,), one array a frame (phases.Classes.phases).
        metal, electrolyte: names of the phases on either side. reaction: whose balance is wanted.
        axis: cell vector that depth runs along. interfaces: in the cell.

    Raises:
        UserError: no frame, numbers that do not fit, or neither side anywhere in the first frame.
    """
    if not frames or len(frames) != len(names) or interfaces < 1:
        raise UserError("interphase: at least one frame, the phases of every frame, and at least one interface are needed")
    if any(len(frame) != len(own) for frame, own in zip(frames, names, strict=True)):
        raise UserError("interphase: a frame has another number of atoms than phases")
    for side in (metal, electrolyte):
        if not (names[0] == side).any():
            told = "is it among the references, and the start unreacted?"
            raise UserError(f"interphase: no atom of {side} in the first frame; {told}")
    thickness, majority = [], []
    for frame, own in zip(frames, names, strict=True):
        reacted = np.where(np.isin(own, (metal, electrolyte)), "", "reacted")
        depths, shares = phases.profile(frame, reacted, axis, SLICES)
        share = shares.get("reacted", np.zeros(len(depths)))
        step = float(depths[1] - depths[0])
        thickness.append(share.sum() * step / interfaces)
        majority.append(phases.thickness(depths, share) / interfaces)
    last = names[-1][~np.isin(names[-1], (metal, electrolyte))]
    composition = {str(name): float(np.mean(last == name)) for name in sorted(set(last))} if len(last) else {}
    amounts = {} if reaction is None else {name: _amounts(frames, names, name, reaction) for name in reaction.numbers}
    left = {side: np.array([np.sum(own == side) for own in names]) for side in (metal, electrolyte)}
    return Layer(np.array(thickness), np.array(majority), composition, amounts, left)


def _amounts(frames: Sequence[Atoms], names: Sequence[np.ndarray], phase: str, reaction: Reaction) -> np.ndarray:
    """Formula units of a phase in every frame (frames,)."""
    element = key_element(phase, reaction.numbers)
    number = structures.composition(phase)[element]
    return np.array([
        np.sum((own == phase) & (np.array(frame.get_chemical_symbols()) == element)) / number
        for frame, own in zip(frames, names, strict=True)
    ])  # fmt: skip


BEYOND = 0.2
"""Deviation from which a stoichiometric number is that of no product."""


@dataclass(frozen=True)
class Balance:
    """Stoichiometric number of one phase as found, per electrolyte used up: value, standard error (None: one frame), expected."""

    phase: str
    found: float
    stderr: float | None
    expected: float

    @property
    def deviation(self) -> float:
        """Relative deviation from the equation."""
        return self.found / self.expected - 1

    @property
    def beyond(self) -> str:
        """A sentence where more is made or used up than the electrolyte used up allows, empty elsewhere.

        Electrolyte is counted by its groups or the atoms of its rarest element, the products by theirs: sulfur and lithium beside
        groups that are whole may look like a product already, most of all early and hot.
        """
        if self.deviation <= BEYOND:
            return ""
        told = f"balance: {self.found:.3g} {self.phase} per electrolyte used up, where the equation allows {self.expected:g}"
        return f"{told}: local environments of atoms whose electrolyte is not used up look like it; no product of that amount"


def balance(
    amounts: Mapping[str, np.ndarray], reaction: Reaction, electrolyte: str, share: float = 0.25,
    halves: Sequence[Mapping[str, np.ndarray]] = (),
) -> list[Balance]:  # fmt: skip
    """Made and used-up amounts per electrolyte used up, mean over the last `share` of the frames.

    Args:
        amounts: formula units of every phase (frames,), the first frame unreacted. reaction, electrolyte: see there.
        halves: the same by classes fitted to parts of the frames: how far they lie apart is in the error.

    The error is that of the correlated scatter of the frames (`late_mean`, the grain that of one unit) and, in squares, how far
    the classes lie apart (a spread) and, of what is made, the chance of the first frame, which all others are told against: what
    looks like a product there is taken for one by mistake, and as many are off by the square root of their number.

    Raises:
        UserError: the electrolyte is not used up by at least one formula unit, or is not in the reaction; amounts not finite.
    """
    if reaction.numbers.get(electrolyte, 0.0) >= 0:
        raise UserError(f"balance: {electrolyte} is not used up by the reaction, which uses up "
                        f"{', '.join(name for name, number in reaction.numbers.items() if number < 0)}")  # fmt: skip
    count = len(next(iter(amounts.values())))
    late = slice(max(1, count - max(1, round(share * count))), None)
    used = amounts[electrolyte][0] - amounts[electrolyte][late]
    if not len(used) or used.mean() < 1:
        gone = used.mean() if len(used) else 0.0
        raise UserError(f"balance: {gone:.2g} formula units of {electrolyte} are used up; at least one is needed")
    scale = -reaction.numbers[electrolyte]
    rows = []
    for name, number in reaction.numbers.items():
        made = amounts[name][late] - amounts[name][0]
        ratio = float(made.mean() / used.mean() * scale)
        others = [float((half[name][late] - half[name][0]).mean() / used.mean() * scale) for half in halves]
        classes = float(np.std([ratio, *others], ddof=1)) if others and name != electrolyte else 0.0
        grain = 0.0 if name == electrolyte else math.hypot(ratio, scale) / float(used.mean())
        scatter = _scatter(made / np.maximum(used, 1e-9) * scale, grain)
        first = float(amounts[name][0]) ** 0.5 / float(used.mean()) * scale if number > 0 else 0.0
        rows.append(Balance(name, ratio, None if scatter is None else math.hypot(scatter, classes, first), number))
    return rows


def _scatter(values: np.ndarray, grain: float) -> float | None:
    """Standard error of the mean of successive values; that of one value where they are too few to tell, None of one.

    Raises:
        UserError: a value that is not finite.
    """
    if not np.isfinite(values).all():
        raise UserError("balance: the amounts of some frames are not finite numbers")
    try:
        return late_mean(np.arange(len(values)), values, share=1.0, grain=grain)[1]
    except UserError:
        return math.hypot(values.std(ddof=1), grain / 12**0.5) if len(values) > 1 else None


def records(
    thickness: np.ndarray, times: np.ndarray, growth: Growth | None, end: Passivation | None, material: str,
    conditions: Mapping[str, Any], source: Mapping[str, Any], criterion: str = CRITERION, grain: float = 0.0,
) -> list[Property]:  # fmt: skip
    """Late thickness (m), growth constants of the law of least BIC (SI), and the late rate (m/s), estimate or bound.

    Conditions tell the mean time of thickness and rate (time_s) and how far laws and rate look (until_s).

    Args:
        thickness: (frames,), Å, at the times (frames,), s. criterion: what it is by. grain: its smallest change, Å (`late_mean`).
    """
    told = {**source, "criterion": criterion}
    try:
        value, error, when = late_mean(times, thickness, grain=grain)
    except UserError:
        value, error, when = float(thickness[-1]), None, float(times[-1])
    where = {**conditions, "time_s": when}
    made = [Property(material, "interphase_thickness", value * Å, "m", stderr=None if error is None else error * Å,
                     conditions=where, source=told)]  # fmt: skip
    if growth is not None:
        made += growth_records(growth, material, conditions, told)
    if end is not None:
        state = {**conditions, "passivated": end.passivated, "time_s": end.middle, "since_s": end.since, "until_s": end.until}
        still = end.rate < 2 * end.stderr
        value, error = (end.limit * Å, None) if still else (end.rate * Å, end.stderr * Å)
        made.append(Property(material, "interphase_growth_rate", value, "m/s", stderr=error, bound="upper" if still else None,
                             conditions=state, source=told))  # fmt: skip
    return made


def growth_records(growth: Growth, material: str, conditions: Mapping[str, Any], source: Mapping[str, Any]) -> list[Property]:
    """Constants of the law of least BIC (SI), which names itself, its weight and that of two regimes in the conditions."""
    best = growth.fits[0]
    units_of = {"L0": ("m", Å), "v": ("m/s", Å), "w": ("m/s", Å), "k": ("m^2/s", Å**2), "A": ("m", Å), "B": ("m^2/s", Å**2),
                "t_c": ("s", 1.0)}  # fmt: skip
    law = {"law": best.law, "weight": best.weight, "decided": growth.decided is not None,
           "weight_two_regimes": growth.two_regimes, "until_s": growth.until}  # fmt: skip
    return [
        Property(material, f"interphase_growth_{name}", value * units_of[name][1], units_of[name][0],
                 stderr=best.stderr[name] * units_of[name][1], conditions={**conditions, **law}, source=dict(source))
        for name, value in best.parameters.items()
    ]  # fmt: skip

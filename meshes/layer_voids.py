"""Rough contact of a layered cell: voids between lithium (or its interlayer) and the polycrystal, placed around the flaw.

The roofs of the voids are those of `meshes.contact`: a Gaussian random surface over a plane, asperities pressed flat. Bare, the
plane is the lithium's surface. An interlayer either fills the voids (they become interlayer) or bridges them (they stay empty
between interlayer and polycrystal, and the lithium touches everywhere).
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from coupling.errors import UserError
from coupling.units import told
from meshes.contact import RoughContact, voids
from meshes.flaw import require_positive

Mode = Literal["empty", "fills", "bridges"]
DEEPEST = 1 / 15
"""Largest roughness over the depth of the flaw: the tip's energy release is integrated within 0.8 depths around it."""


@dataclass(frozen=True)
class LayerVoids:
    """The random surface of the polycrystal, and what is in its voids.

    Attributes:
        roughness: standard deviation of the surface, m.
        correlation_length: distance at which its correlation has fallen to 1/e, m.
        void_fraction: share of the plane that does not touch.
        mode: "empty" (bare lithium), "fills" or "bridges" (with an interlayer).
    """

    roughness: float
    correlation_length: float
    void_fraction: float
    mode: Mode = "empty"

    def __post_init__(self) -> None:
        """Refuse impossible surfaces. Raises UserError naming the key."""
        require_positive("contact.roughness", self.roughness)
        require_positive("contact.correlation_length", self.correlation_length)

    def roofs(self, width: float, thickness: float, middle: float, clearance: float, seed: int) -> list[np.ndarray]:
        """Outline of the free surface over each void, left to right, each (n, 2), m, heights above the plane.

        The flaw's mouth lies at a random place of the contacts, at least `clearance` from a void; a void that would reach
        over a side wall appears at both of them (the walls are mirrors, so its parts are halves of wider voids).

        Args:
            width, thickness: of the polycrystal, m.
            middle: place of the flaw, m.
            clearance: smallest distance of a void from it, m.
            seed: of surface and place.

        Raises:
            UserError: no contact is wide enough, or the surface cannot be drawn.
        """
        surface = RoughContact(width, thickness, self.roughness, self.correlation_length, self.void_fraction, seed=seed)
        found = voids(surface)
        if not found:
            if self.void_fraction > 0:
                most = "contacts or voids are shorter than what is drawn; change it, the correlation length or the seed"
                raise UserError(f"geometry.contact.void_fraction: read {self.void_fraction:g}; {most}")
            return []
        shift = middle - _place(found, width, clearance, seed)
        moved = []
        for roof in found:
            start = roof[0, 0] + shift
            whole = roof + np.array([shift - width * np.floor(start / width), 0.0])
            moved.append(whole)
            if whole[-1, 0] > width:
                moved.append(whole - np.array([width, 0.0]))
        return sorted(moved, key=lambda roof: float(roof[0, 0]))


def _place(found: list[np.ndarray], width: float, clearance: float, seed: int) -> float:
    """A random place in the contacts between the voids, at least `clearance` from them, m."""
    ends = np.array([roof[-1, 0] for roof in found]) + clearance
    starts = np.array([*(roof[0, 0] for roof in found[1:]), found[0][0, 0] + width]) - clearance
    room = np.maximum(starts - ends, 0.0)
    if room.sum() <= 0:
        told_room = f"no contact is {told(2 * clearance, 'm')} wide, which the mouth of the flaw needs"
        raise UserError(f"geometry.contact.correlation_length: {told_room}; make it longer, or the void fraction smaller")
    along = np.random.default_rng([seed, 3]).uniform(0.0, room.sum())
    k = int(np.searchsorted(np.cumsum(room), along, side="right"))
    k = min(k, len(room) - 1)
    return float(ends[k] + along - np.cumsum(room)[k] + room[k])


def pockets(roofs: list[np.ndarray], base: float, below: float) -> list[np.ndarray]:
    """Each void as a closed polygon over the plane y = `base`, reaching `below` under it (m) so that a cut leaves clean edges."""
    closed = []
    for roof in roofs:
        foot = np.array([[roof[-1, 0], -below], [roof[0, 0], -below]])
        closed.append((np.vstack([roof, foot]) if below > 0 else roof) + np.array([0.0, base]))
    return closed


def contact_share(roofs: list[np.ndarray], width: float) -> float:
    """Share of the plane that touches, as drawn."""
    covered = sum(max(min(roof[-1, 0], width) - max(roof[0, 0], 0.0), 0.0) for roof in roofs)
    return 1.0 - covered / width

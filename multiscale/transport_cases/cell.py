"""The meshed cell of a transport case: which medium lies where, which faces touch which, and how depth is counted."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import ufl

from meshes.polycrystal import LayeredCell
from multiscale.domain import Domain

WORKING, COUNTER = "working", "counter"


@dataclass(frozen=True)
class Meeting:
    """A face between two media of the system: its boundary, and the system's medium on either side."""

    boundary: str
    first: str
    second: str


@dataclass(frozen=True)
class Cell:
    """A meshed cell.

    A medium of the case is one medium of the system, or several where thin grain boundaries part it into groups of grains
    that do not touch; each has a potential of its own.

    Attributes:
        domain: with boundaries named by what meets there.
        regions: of each medium of the case.
        depths: where each medium of the case begins and ends, counted from the working electrode, m.
        area: of the cell's cross-section, m² (m in 2-D, 1 in 1-D).
        length: of the straight way between the electrodes, m.
        parts: media of the system that each medium of the case is, with their regions.
        touches: of each electrode, the boundaries and the medium of the system behind each.
        meetings: faces of each pair of media of the case, in the order of its [[interface]].
        networks: of each medium of the case with thin grain boundaries, their faces.
        axis: coordinate along which depth is counted, by `direction` (1 or -1) from `start` (m).
        flat: whether every medium is a flat layer.
        crystal: what was drawn, of a polycrystal with meshed boundaries; None otherwise.
    """

    domain: Domain
    regions: dict[str, tuple[str, ...]]
    depths: dict[str, tuple[float, float]]
    area: float
    length: float
    parts: Mapping[str, Mapping[str, tuple[str, ...]]]
    touches: Mapping[str, Mapping[str, str]]
    meetings: Mapping[tuple[str, str], tuple[Meeting, ...]]
    networks: Mapping[str, tuple[Meeting, ...]] = field(default_factory=dict)
    axis: int = 0
    direction: float = 1.0
    start: float = 0.0
    flat: bool = True
    crystal: LayeredCell | None = None

    @property
    def depth(self) -> Any:
        """Depth from the working electrode, m (a UFL expression)."""
        return self.direction * (ufl.SpatialCoordinate(self.domain.mesh)[self.axis] - self.start)

    @property
    def medium_of(self) -> dict[str, str]:
        """Medium of the case that each medium of the system belongs to."""
        return {part: name for name, parts in self.parts.items() for part in parts}


def meeting_name(first: str, second: str) -> str:
    """Name of the boundary between two media."""
    return f"{first}|{second}"

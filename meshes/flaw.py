"""The lithium-filled surface flaw: a narrow wedge with a round tip that starts at the lithium surface, normal to it."""

import math
from dataclasses import dataclass
from typing import Any, Literal

from coupling.errors import UserError
from coupling.units import told


class WrongLength(UserError):
    """A length with which a cell cannot be drawn.

    Attributes:
        key: what is too large or too small ("boundary_width", "flaw.mouth_opening").
        reason: what is allowed, why, and how to mend it.
    """

    def __init__(self, key: str, value: float, reason: str) -> None:
        super().__init__(key, value, reason)
        self.key, self.value, self.reason = key, value, reason

    def __str__(self) -> str:
        """One line for a reader who set the cell up in Python."""
        return f"geometry.{self.key}: read {told(self.value, 'm')}; {self.reason}"


@dataclass(frozen=True)
class Flaw:
    """Size and place of the flaw.

    Attributes:
        depth: from the lithium surface to the tip, m.
        mouth_opening: full opening at the lithium surface, m.
        tip_radius: of the rounded tip, m.
        at: "boundary" (on a grain boundary normal to the surface) or "grain" (inside one grain).
        lined: whether the interphase also covers the faces (lithium reacts wherever it touches the electrolyte).
    """

    depth: float
    mouth_opening: float
    tip_radius: float
    at: Literal["boundary", "grain"] = "boundary"
    lined: bool = True

    def __post_init__(self) -> None:
        """Refuse what is no wedge. Raises UserError naming the key."""
        for name in ("depth", "mouth_opening", "tip_radius"):
            require_positive(f"flaw.{name}", getattr(self, name))
        if self.mouth_opening < 2 * self.tip_radius:
            least = f"at least {told(2 * self.tip_radius, 'm')}, twice the tip radius; make it wider"
            raise WrongLength("flaw.mouth_opening", self.mouth_opening, least)
        if self.depth < 2 * self.mouth_opening:
            most = f"at most {told(self.depth / 2, 'm')}, half of the flaw's depth ({told(self.depth, 'm')})"
            raise WrongLength("flaw.mouth_opening", self.mouth_opening, f"{most}; make it narrower or the flaw deeper")
        if self.at not in ("boundary", "grain"):
            raise UserError(f'geometry.flaw.at: read "{self.at}"; allowed are "boundary" and "grain"')

    def half_opening(self, height: Any) -> Any:
        """Half opening (m) at a height above the lithium surface (m, number or array) up to depth − tip_radius."""
        share = height / (self.depth - self.tip_radius)
        return self.mouth_opening / 2 * (1 - share) + self.tip_radius * share


def require_positive(key: str, value: float) -> None:
    """Refuse lengths that are not positive finite numbers. Raises UserError naming the key."""
    if not (math.isfinite(value) and value > 0):
        raise WrongLength(key, value, "a length is a positive number")


def add_wedge(flaw: Flaw, middle: float, grown: float, scale: float) -> int:
    """Add the wedge, grown by `grown` metres on all faces, to the open gmsh OCC model; returns its surface tag.

    It reaches below the lithium surface (y = 0) by the mouth opening, so that a cut leaves a clean mouth.

    Args:
        flaw: the wedge.
        middle: x of its middle line, m.
        grown: thickness of a layer on the faces that is included, m (0 for the lithium itself).
        scale: model units per metre.
    """
    import gmsh

    occ = gmsh.model.occ
    centre = flaw.depth - flaw.tip_radius
    below = -flaw.mouth_opening
    radius = flaw.tip_radius + grown

    def point(x: float, y: float) -> int:
        return occ.addPoint((middle + x) * scale, y * scale, 0)

    foot = flaw.half_opening(below) + grown
    left, right = point(-foot, below), point(foot, below)
    left_top, right_top = point(-radius, centre), point(radius, centre)
    tip, middle_point = point(0, centre + radius), point(0, centre)
    curves = [
        occ.addLine(left, right),
        occ.addLine(right, right_top),
        occ.addCircleArc(right_top, middle_point, tip),
        occ.addCircleArc(tip, middle_point, left_top),
        occ.addLine(left_top, left),
    ]
    return occ.addPlaneSurface([occ.addCurveLoop(curves)])

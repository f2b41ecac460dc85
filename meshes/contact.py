"""Rough contact of lithium and electrolyte with voids, and an interlayer that fills or bridges them (2-D).

The electrolyte's surface is a Gaussian random field; the lithium's is the plane y = 0. Asperities that would reach below
it are pressed flat: there is contact. Where the surface stays above, there is a void.
"""

import math
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from coupling.errors import UserError
from meshes.drawing import (
    NORMAL,
    Feature,
    MeshQuality,
    Pen,
    Sizes,
    along,
    finish,
    groups,
    require_below,
    require_positive,
    set_sizes,
)

STEPS = 24
"""Straight pieces of the surface in one correlation length."""
SHORTEST = 1 / 12
"""Contacts and voids shorter than this share of the correlation length are left out."""
FLATTEST = 0.1
"""Slope of a void's roof at its edges below which a point of the surface is left out: flatter wedges have no good mesh."""
EDGE = 0.1
"""Element size at the edge of a contact, where the flux is singular, over the shortest contact or void beside it."""


@dataclass(frozen=True)
class RoughContact:
    """What is drawn. Regions "electrolyte" and, with an interlayer, "interlayer".

    Boundaries: "lithium", "void" (free surfaces), "counter", "left" and "right".

    Attributes:
        width: of the cell, m; the surface repeats itself after it.
        thickness: of the electrolyte above the lithium plane, m.
        roughness: standard deviation of the surface, m.
        correlation_length: distance at which its correlation exp(-(x/ξ)²) has fallen to 1/e, m.
        void_fraction: share of the plane that does not touch (0: full contact).
        interlayer: thickness of a layer on the lithium, m; None for none.
        mode: "fills": the layer also fills the voids; "bridges": it spans them, and they stay empty.
        seed: of the random surface; the same seed gives the same mesh.
        sizes: mesh-size rule.
    """

    width: float
    thickness: float
    roughness: float
    correlation_length: float
    void_fraction: float
    interlayer: float | None = None
    mode: Literal["fills", "bridges"] = "fills"
    seed: int = 0
    sizes: Sizes = NORMAL

    def __post_init__(self) -> None:
        """Refuse impossible contacts. Raises UserError naming the key."""
        require_positive(**{"width": self.width, "electrolyte.thickness": self.thickness})
        lengths = {"contact.roughness": self.roughness, "contact.correlation_length": self.correlation_length}
        require_positive(**lengths, **({"interlayer.thickness": self.interlayer} if self.interlayer is not None else {}))
        require_below("contact.correlation_length", self.correlation_length, self.width / 4, "a quarter of the width")
        require_below("contact.roughness", self.roughness, self.thickness / 6, "a sixth of the electrolyte's thickness")
        require_below("contact.roughness", self.roughness, self.correlation_length, "the correlation length")
        if not 0 <= self.void_fraction <= 0.95:
            raise UserError(f"geometry.contact.void_fraction: read {self.void_fraction:g}; allowed is 0 to 0.95")

    @property
    def smallest(self) -> float:
        """The smallest length that the mesh resolves, m."""
        return min(self.interlayer or math.inf, SHORTEST * self.correlation_length)


def random_surface(contact: RoughContact) -> tuple[np.ndarray, np.ndarray]:
    """Places (m) across the width and heights (m) of the undisturbed surface, of mean zero and the given deviation.

    A sum of waves with random phases and Rayleigh amplitudes from the spectrum exp(-(kξ/2)²) of the correlation
    exp(-(x/ξ)²); every wave fits into the width.
    """
    rng = np.random.default_rng(contact.seed)
    number = np.arange(1, math.ceil(3 * contact.width / contact.correlation_length) + 1)
    k = 2 * np.pi * number / contact.width
    amplitude = np.exp(-((k * contact.correlation_length / 2) ** 2) / 2) * rng.rayleigh(size=len(k))
    phase = rng.uniform(0, 2 * np.pi, len(k))
    x = np.linspace(0, contact.width, max(round(STEPS * contact.width / contact.correlation_length), 8) + 1)
    h = np.sum(amplitude[:, None] * np.cos(k[:, None] * x + phase[:, None]), axis=0)
    h[-1] = h[0]
    return x, (h - h[:-1].mean()) / h[:-1].std() * contact.roughness


def voids(contact: RoughContact) -> list[np.ndarray]:
    """Outline of the free surface over each void, left to right, shape (n, 2), m; its ends lie on the plane y = 0.

    The cell begins in the middle of the longest contact, so that no void is cut by a side wall.
    """
    if contact.void_fraction == 0:
        return []
    x, h = random_surface(contact)
    fine = np.linspace(0, contact.width, 40 * len(x))
    y = h - float(np.quantile(np.interp(fine, x, h), 1 - contact.void_fraction))
    before = np.flatnonzero((y[:-1] > 0) != (y[1:] > 0))
    crossing = x[before] - y[before] * (x[before + 1] - x[before]) / (y[before + 1] - y[before])
    above = [bool(y[k + 1] > 0) for k in before]
    ends, above = _without_short([*crossing, crossing[0] + contact.width], above, SHORTEST * contact.correlation_length)
    if len(above) < 2:
        return []
    lengths = np.where(above, 0.0, np.diff(ends))
    start = ends[int(np.argmax(lengths))] + lengths.max() / 2
    x2, y2 = np.concatenate([x[:-1], x[:-1] + contact.width]), np.tile(y[:-1], 2)
    found = []
    for low, high, free in zip(ends, ends[1:], above, strict=False):
        if free:
            step = 0.2 * (x[1] - x[0])
            least = np.minimum(FLATTEST * np.minimum(x2 - low, high - x2), 0.2 * contact.roughness)
            inner = (x2 > low + step) & (x2 < high - step) & (y2 > least)
            if not inner.any():
                continue
            outline = np.array([(low, 0.0), *zip(x2[inner], y2[inner], strict=True), (high, 0.0)])
            outline[:, 0] -= start
            outline[:, 0] -= contact.width * math.floor(outline[0, 0] / contact.width)
            found.append(outline)
    return sorted(found, key=lambda outline: float(outline[0, 0]))


def _without_short(ends: list[float], above: list[bool], shortest: float) -> tuple[list[float], list[bool]]:
    """Join stretches shorter than `shortest` to their neighbours, the shortest first; the last stretch meets the first."""
    ends, above = [float(end) for end in ends], list(above)
    while len(above) > 2:
        lengths = np.diff(ends)
        k = int(np.argmin(lengths))
        if lengths[k] >= shortest:
            break
        period = ends[-1] - ends[0]
        bounds = ends[:-1]
        gone = {k, (k + 1) % len(above)}
        kept = [m for m in range(len(above)) if m not in gone]
        ends = [bounds[m] for m in kept]
        above = [above[m] for m in kept]
        ends.append(ends[0] + period)
    return ends, above


def contact_fraction(contact: RoughContact) -> float:
    """Share of the lithium plane that touches the electrolyte, as drawn."""
    return 1 - sum(float(np.ptp(outline[:, 0])) for outline in voids(contact)) / contact.width


@dataclass(frozen=True)
class _Floor:
    """Curves on and above the lithium plane, left to right, and the points at its ends.

    `bottom` bounds the electrolyte; `level` lies on the plane (only with an interlayer); `free` are the roofs of voids.
    """

    start: int
    end: int
    bottom: list[int]
    level: list[int]
    touching: list[int]
    free: list[int]
    spans: list[int]
    pockets: list[list[int]]
    edges: list[int]


def _floor(contact: RoughContact, pen: Pen) -> _Floor:
    """Draw the plane and the roofs over it."""
    start = here = pen.point(0, 0)
    floor = _Floor(start, start, [], [], [], [], [], [], [])
    for outline in voids(contact):
        roof_points = [pen.point(x, y) for x, y in outline]
        touching, roof = pen.chain([here, roof_points[0]]), pen.chain(roof_points)
        here = roof_points[-1]
        floor.edges.extend([roof_points[0], here])
        floor.free.extend(roof)
        floor.touching.extend(touching)
        floor.bottom.extend([*touching, *roof])
        if contact.interlayer is not None:
            span = pen.chain([roof_points[0], here])
            floor.spans.extend(span)
            floor.level.extend([*touching, *span])
            floor.pockets.append([*span, *(-line for line in reversed(roof))])
    end = pen.point(contact.width, 0)
    last = pen.chain([here, end])
    for curves in (floor.bottom, floor.touching, floor.level):
        curves.extend(last)
    return replace(floor, end=end)


def draw(contact: RoughContact) -> MeshQuality:
    """Draw and mesh in the current gmsh model (one rank); nodes in metres. Raises UserError where no contact or void is left."""
    import gmsh

    unit, pen = contact.correlation_length, Pen(contact.correlation_length)
    outlines = voids(contact)
    if contact.void_fraction > 0 and not outlines:
        told_few = "contacts or voids are shorter than what is drawn"
        raise UserError(f"geometry.contact.void_fraction: read {contact.void_fraction:g}; {told_few}: change it or the seed")
    floor = _floor(contact, pen)
    top = [pen.point(contact.width, contact.thickness), pen.point(0, contact.thickness)]
    right, counter, left = pen.chain([floor.end, top[0]]), pen.chain(top), pen.chain([top[1], floor.start])
    regions = {"electrolyte": [pen.surface(*floor.bottom, *right, *counter, *left)]}
    boundaries = {"counter": counter, "left": left, "right": right, "void": floor.free, "lithium": floor.touching}
    if contact.interlayer is not None:
        foot = [pen.point(0, -contact.interlayer), pen.point(contact.width, -contact.interlayer)]
        base, rise, fall = pen.chain(foot), pen.chain([foot[1], floor.end]), pen.chain([floor.start, foot[0]])
        regions["interlayer"] = [pen.surface(*base, *rise, *(-line for line in reversed(floor.level)), *fall)]
        boundaries |= {"lithium": base, "left": [*left, *fall], "right": [*right, *rise]}
        if contact.mode == "fills":
            regions["interlayer"] += [pen.surface(*pocket) for pocket in floor.pockets]
            boundaries["void"] = []
        else:
            boundaries["void"] = floor.free + floor.spans
    gmsh.model.geo.synchronize()
    groups(2, regions, boundaries)
    shortest = min([float(np.ptp(outline[:, 0])) for outline in outlines] + [contact.correlation_length])
    features = [Feature(floor.edges, EDGE * shortest, 0), Feature(floor.free, contact.correlation_length / 10)]
    features += [Feature(floor.touching, contact.correlation_length / 5)]
    if contact.interlayer is not None:
        features += [Feature(floor.level, contact.interlayer / 2), *along(boundaries["lithium"], contact.sizes)]
    set_sizes(features, contact.thickness / 6, unit, contact.sizes)
    return finish(2, unit)

"""Resistance of the layer around a filament of any length, from the resolved field, as smooth functions of the gap.

Ions reach the flat end of the filament alone (its wall is shut in by rigid electrolyte: plating there stalls); electrons leave
its whole surface and the electrode that it starts from. Both fields obey ∇·(κ∇φ) = 0 with a constant κ, so one geometry gives
the resistance times κ for each: limits 1/(4r) for a disk on a thick layer, less ln 2/(2πL) for its thickness, and g/(πr²) for
a narrow gap g. A short filament's end sees half a space (1/(4r)), a long one's nearly a whole one.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from scipy.interpolate import PchipInterpolator

from meshes.drawing import Sizes
from meshes.filament_gap import FilamentGap, draw
from multiscale.conduction.steady import Conduction
from multiscale.structures import drawn

NARROWEST = 0.1
"""Smallest gap that is solved, over the radius; below, the field tends to that of a plate condenser."""
UNIFORM = 1e-3
"""Gap over the radius at which it is taken for one."""
GAPS = 9
"""Gaps that are solved, evenly in their logarithm."""
SHORT = (0.3, 1.0, 3.0, 10.0)
"""Lengths of short filaments that are solved too, over the radius."""
FINE = 4000
"""Points of the table that is looked up; linear between them."""


@dataclass(frozen=True)
class LayerField:
    """Resistance times conductivity, 1/m, of the layer at a gap (m).

    Attributes:
        gaps: solved ones, m, increasing; the last is the whole layer.
        ionic, electronic: values there.
    """

    radius: float
    gaps: np.ndarray
    ionic: np.ndarray
    electronic: np.ndarray

    def ionic_shape(self) -> Callable[[float], float]:
        """Function of the gap: between the filament's end and the counter electrode, 1/m."""
        return self._shape(self.ionic)

    def electronic_shape(self) -> Callable[[float], float]:
        """Function of the gap: between all metal on one side and the counter electrode, 1/m."""
        return self._shape(self.electronic)

    def _shape(self, values: np.ndarray) -> Callable[[float], float]:
        """Interpolate the value over that of a plate condenser, πr²/g, in ln g; one in the limit."""
        area, least = np.pi * self.radius**2, UNIFORM * self.radius
        curve = PchipInterpolator(np.log([least, *self.gaps]), [1.0, *(values * area / self.gaps)])
        grid = np.linspace(np.log(least), np.log(self.gaps[-1]), FINE + 1)
        first, per_unit, over_plate = float(grid[0]), FINE / float(grid[-1] - grid[0]), (curve(grid) / area).tolist()

        def shape(gap: float) -> float:
            if gap <= least:
                return max(gap, 0.0) * over_plate[0]
            place = (math.log(gap) - first) * per_unit
            if place >= FINE:
                return gap * over_plate[-1]
            k = int(place)
            return gap * (over_plate[k] + (place - k) * (over_plate[k + 1] - over_plate[k]))

        return shape


def solve_gap(gap: FilamentGap, comm: Any) -> tuple[float, float]:
    """Resistance times conductivity of one geometry for ions and for electrons, 1/m.

    Raises:
        UserError, RunFailure: it cannot be meshed or solved.
    """
    domain, _ = drawn(partial(draw, gap), comm, axisymmetric=True)
    metal = [name for name in ("tip", "wall", "electrode") if name in domain.boundaries]
    ions, electrons = (
        Conduction(domain, {"layer": 1.0}, first, ["counter"], degree=2).solve().resistance for first in (["tip"], metal)
    )
    return ions, electrons


def layer_field(radius: float, thickness: float, electrode_radius: float, comm: Any, fineness: float = 1.0) -> LayerField:
    """Solve the layer at GAPS gaps and with short filaments."""
    even = np.geomspace(min(NARROWEST * radius, thickness / 2), thickness, GAPS)
    short = [thickness - share * radius for share in SHORT if 2 * share * radius < thickness]
    gaps = np.unique([*even, *short])
    lengths = np.append(thickness - gaps[:-1], 0.0)
    values = [solve_gap(FilamentGap(radius, float(y), thickness, electrode_radius, Sizes(fineness)), comm) for y in lengths]
    return LayerField(radius, gaps, *np.array(values).T)

"""Means over slices of depth: concentrations and stresses of a running transport cell."""

from typing import Any

import numpy as np
import ufl
from dolfinx import fem

from multiscale.transport.nernst_planck import SingleIon
from multiscale.transport.system import TransportSystem
from multiscale.transport_cases.cell import Cell
from multiscale.transport_cases.meter import cell_values

BINS = 40
"""Slices of each medium in which profiles are averaged."""


class Slices:
    """Media cut into slices of depth at the start: both values and depth are means over the slice's cells.

    Attributes:
        depth: of the filled slices of each medium, m, before any face moves.
    """

    def __init__(self, system: TransportSystem, cell: Cell) -> None:
        """Nothing is cut yet."""
        self.system, self.cell, self.comm = system, cell, system.domain.comm
        self.space = fem.functionspace(system.domain.mesh, ("DG", 0))
        self.test = ufl.TestFunction(self.space)
        self.depth: dict[str, np.ndarray] = {}
        self._bins: dict[str, np.ndarray] = {}
        self._volumes: dict[str, Any] = {}

    def cut(self, name: str, depths: tuple[float, float], regions: tuple[str, ...]) -> None:
        """Sort the cells of a medium into slices between two depths."""
        dx, one = self.system.domain.dx(*regions), self.system.domain.constant(1.0)
        self._volumes[name], moments = fem.form(one * self.test * dx), fem.form(self.cell.depth * self.test * dx)
        volume, moment = (cell_values(self.space, form) for form in (self._volumes[name], moments))
        top, bottom = depths
        middle = np.where(volume > 0, moment / np.where(volume > 0, volume, 1), top)
        slices = np.clip(((middle - top) / (bottom - top) * BINS).astype(int), 0, BINS - 1)
        self._bins[name] = np.where(volume > 0, slices, BINS)
        total = self._sums(name, volume)
        self.depth[name] = self._sums(name, moment)[total > 0] / total[total > 0]

    def _sums(self, name: str, values: np.ndarray) -> np.ndarray:
        mine = np.bincount(self._bins[name], weights=values, minlength=BINS + 1)[:BINS]
        return np.asarray(self.comm.allreduce(mine))

    def means(self, name: str, *forms: Any) -> list[list[float]]:
        """Means of compiled forms over the filled slices of a medium, on the mesh as it is now."""
        total = self._sums(name, cell_values(self.space, self._volumes[name]))
        filled = total > 0
        return [(self._sums(name, cell_values(self.space, form))[filled] / total[filled]).tolist() for form in forms]


class Profiles(Slices):
    """Mean concentration in slices of depth."""

    def __init__(self, system: TransportSystem, cell: Cell) -> None:
        """Sort the cells into slices; compile the integrals."""
        super().__init__(system, cell)
        self._forms: dict[tuple[str, str], Any] = {}
        for name, medium in system.media.items():
            if isinstance(medium.closure, SingleIon):
                continue
            self.cut(name, cell.depths[name], medium.regions)
            for ion in medium.species:
                c = system.concentration(name, ion.name)
                self._forms[name, ion.name] = fem.form(c * self.test * system.domain.dx(*medium.regions))

    def read(self) -> dict[str, list[float]]:
        """Concentration (mol/m³) in the slices of `depth`, by "medium/ion"."""
        return {f"{name}/{ion}": self.means(name, form)[0] for (name, ion), form in self._forms.items()}

"""Nucleation rates from records, as a table over overpotential and pressure (NumPy alone)."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from coupling.errors import UserError
from coupling.library import ORDER
from coupling.record import Property

QUANTITY, UNIT = "log10_nucleation_rate", "1/(m^3*s)"
TEMPERATURE_TOLERANCE = 5.0
"""Rates within so many kelvin of the wanted temperature are used."""
LN10 = float(np.log(10))


@dataclass(frozen=True)
class RateTable:
    """Natural logarithm of the rate per volume, ln J (J in 1/(m³ s)), on a grid.

    Attributes:
        overpotentials: magnitudes, increasing, shape (k,), V.
        pressures: increasing, shape (m,), Pa.
        logs, errors: ln J and its standard error, shape (k, m).
    """

    overpotentials: np.ndarray
    pressures: np.ndarray
    logs: np.ndarray
    errors: np.ndarray

    @classmethod
    def of(cls, records: Iterable[Property], temperature: float) -> "RateTable":
        """Table of the records that hold near a temperature (K); MD goes before theory, an upper bound counts as the rate.

        Raises:
            UserError: there are none, they are of several places, their overpotential has no absolute scale, or the grid has
                holes.
        """
        near: dict[tuple[float, float], Property] = {}
        places: dict[str, None] = {}
        for record in records:
            conditions = record.conditions
            if record.quantity != QUANTITY or abs(conditions.get("temperature_K", -1e9) - temperature) > TEMPERATURE_TOLERANCE:
                continue
            if conditions.get("rate_unit") != UNIT:
                raise UserError(f"a rate in {conditions.get('rate_unit')}; wanted are rates in {UNIT}")
            if conditions.get("overpotential_against", "lithium metal") != "lithium metal":
                told = f"the rates count overpotential from {conditions['overpotential_against']}"
                raise UserError(f"{told}: run their study with cell_overpotential, so that they count it from lithium metal")
            if "place" in conditions:
                places[conditions["place"]] = None
            entry = (abs(conditions["overpotential_V"]), conditions["pressure_Pa"])
            if entry not in near or ORDER.index(record.kind) < ORDER.index(near[entry].kind):
                near[entry] = record
        if len(places) > 1:
            raise UserError(f"rates at several places ({', '.join(places)}): keep those of one of them in the file")
        if not near:
            raise UserError(f"no {QUANTITY} within {TEMPERATURE_TOLERANCE:g} K of {temperature - 273.15:.4g} degC")
        η, p = (np.unique([entry[k] for entry in near]) for k in (0, 1))
        if len(near) != len(η) * len(p):
            raise UserError(f"rates at {len(η)} overpotentials and {len(p)} pressures, but not at every pair of them")
        if len(η) < 2:
            raise UserError("rates at one overpotential only; two or more are needed to go between them")
        grid = [[near[one, other] for other in p] for one in η]
        logs = np.array([[LN10 * record.value for record in row] for row in grid])
        return cls(η, p, logs, np.array([[LN10 * (record.stderr or 0.0) for record in row] for row in grid]))

    def log_rate(self, overpotential: Any, pressure: Any, normal: Any = 0.0) -> np.ndarray:
        """Expected ln J, `normal` standard errors above it: linear between the entries in both directions.

        Nothing is known beyond the table: below its smallest overpotential nothing nucleates (-inf); above the largest, and
        outside its pressures, the rate is that at the edge.

        Args:
            overpotential: magnitudes, V. pressure: Pa. normal: 1. Arrays that broadcast.
        """
        η, p, z = np.broadcast_arrays(np.asarray(overpotential, dtype=float), pressure, normal)
        row, along = _between(self.overpotentials, η)
        column, across = _between(self.pressures, p)
        higher, beside = row + 1, np.minimum(column + 1, len(self.pressures) - 1)

        def at(i: np.ndarray, j: np.ndarray) -> np.ndarray:
            return self.logs[i, j] + z * self.errors[i, j]

        low = (1 - across) * at(row, column) + across * at(row, beside)
        high = (1 - across) * at(higher, column) + across * at(higher, beside)
        return np.where(η < self.overpotentials[0], -np.inf, (1 - along) * low + along * high)


def _between(grid: np.ndarray, value: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Index of the entry below each value and the share of the way to the next, both kept inside the grid."""
    if len(grid) == 1:
        return np.zeros(value.shape, dtype=int), np.zeros(value.shape)
    inside = np.clip(value, grid[0], grid[-1])
    index = np.clip(np.searchsorted(grid, inside, side="right") - 1, 0, len(grid) - 2)
    return index, (inside - grid[index]) / (grid[index + 1] - grid[index])

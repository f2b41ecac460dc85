"""What a steady state of the cell is summarised by: focusing, detour, area-specific resistance, charge balance.

All from the solution itself; the resistances add up exactly, because the test function φ in the weak form gives
i W ⟨φ⟩ = ∫ i²/κ dx + ∫ φ (-i_n) ds (⟨φ⟩ mean at the counter electrode, i_n on the lithium).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import ufl
from dolfinx import fem

from coupling.errors import UserError
from multiscale.critical_current.initiation import InitiationModel
from multiscale.solvers.solver import assemble_into
from multiscale.transport.single_ion import current_density


@dataclass(frozen=True)
class CellFigures:
    """Summary of one steady state.

    Attributes:
        focusing_factor: largest plating current density on the lithium surface, averaged over `window` along the
            surface, over the applied one.
        window: length of that average, m.
        flaw_share: share of the applied current that enters the flaw (net).
        detour_factor: mean path length of the current over the straight path, ∫|i| dx / ∫|i_y| dx over the cell.
        resistance_factor: ohmic resistance over that of the straight path through grain and flat interphase.
        asr: area-specific resistance of "charge_transfer" and of each region, ohm m².
        asr_total: mean potential at the counter electrode over the applied current density, ohm m².
        charge_imbalance: |in - out| over in.
    """

    focusing_factor: float
    window: float
    flaw_share: float
    detour_factor: float
    resistance_factor: float
    asr: Mapping[str, float]
    asr_total: float
    charge_imbalance: float


class CellMeter:
    """Reads the figures off the present solution of a model; its forms are compiled once.

    Args:
        model: of the cell.
        window: length along the lithium surface over which the focused current is averaged, m.
    """

    def __init__(self, model: InitiationModel, window: float) -> None:
        """Compile the integrals. Raises UserError when the window is not positive or longer than the cell is wide."""
        if not 0 < window <= model.cell.width:
            raise UserError(f"averaging window: read {window:g} m; it must lie between 0 and {model.cell.width:g} m")
        self.model, self.window = model, window
        domain, φ, κ = model.domain, model.potential, model.conductivity
        i = current_density(κ, φ)
        self._dissipation = {name: fem.form(ufl.dot(i, i) / κ * domain.dx(name)) for name in domain.regions}
        self._path = fem.form(ufl.sqrt(ufl.dot(i, i)) * domain.dx(degree=4))
        self._straight = fem.form(ufl.sqrt(i[1] ** 2) * domain.dx(degree=4))
        self._counter = fem.form(φ * domain.ds("counter"))
        parts = [(-model.surface_current(name), model.ds(name)) for name in ("lithium", "flaw")]
        self._transfer = [fem.form(φ * into * ds) for into, ds in parts]
        self._inflow = [fem.form(into * ds) for into, ds in parts]
        self._cells = fem.Function(fem.functionspace(domain.mesh, ("DG", 0)))
        v = ufl.TestFunction(self._cells.function_space)
        x, whole = ufl.SpatialCoordinate(domain.mesh), model.ds("lithium", "flaw")
        current = sum(into * v * ds for into, ds in parts)
        self._profile = [fem.form(f) for f in (v * whole, x[0] * v * whole, x[1] * v * whole, current)]

    def read(self) -> CellFigures:
        """Figures of the model's present solution. Raises UserError when no current flows."""
        model = self.model
        applied, width = float(model.applied.value), model.cell.width
        if applied <= 0:
            raise UserError("observables need an applied current; solve the model at one first")
        flat, flaw = (self._sum(form) for form in self._inflow)
        per_square = 1 / (applied**2 * width)
        asr = {name: self._sum(form) * per_square for name, form in self._dissipation.items()}
        ohmic = sum(asr.values())
        asr["charge_transfer"] = sum(self._sum(form) for form in self._transfer) * per_square
        κ = model.properties.conductivity
        straight = model.cell.electrolyte_thickness / κ["grain"] + model.cell.interphase_thickness / κ["interphase"]
        total = applied * width
        return CellFigures(
            focusing_factor=largest_mean(*self.surface_profile(), self.window) / applied,
            window=self.window,
            flaw_share=flaw / total,
            detour_factor=self._sum(self._path) / self._sum(self._straight),
            resistance_factor=ohmic / straight,
            asr=asr,
            asr_total=self._sum(self._counter) / (width * applied),
            charge_imbalance=abs(total - flat - flaw) / total,
        )

    def surface_profile(self) -> tuple[np.ndarray, np.ndarray]:
        """Lengths (m) and plating currents (A/m) of the lithium surface's pieces, left to right through the flaw."""
        cell, comm = self.model.cell, self.model.domain.comm
        length, x, y, current = (self._cell_values(form) for form in self._profile)
        on = length > 0
        local = np.column_stack([length, x, y, current])[on]
        rows = np.vstack(comm.allgather(local))
        x_mean, y_mean = rows[:, 1] / rows[:, 0], rows[:, 2] / rows[:, 0]
        depth = cell.flaw.depth if cell.flaw is not None else 0.0
        along = np.where(x_mean < cell.middle, x_mean + y_mean, x_mean + 2 * depth - y_mean)
        order = np.lexsort((x_mean, along))
        return rows[order, 0], rows[order, 3]

    def _cell_values(self, form: fem.Form) -> np.ndarray:
        """Integral over the lithium facets of each owned cell, shape (n,)."""
        assemble_into(self._cells.x.petsc_vec, form)
        return self._cells.x.array[: self._cells.function_space.dofmap.index_map.size_local].copy()

    def _sum(self, form: fem.Form) -> float:
        return self.model.domain.comm.allreduce(fem.assemble_scalar(form))


def largest_mean(length: np.ndarray, amount: np.ndarray, window: float) -> float:
    """Largest mean density of `amount` over any stretch of length `window` of a chain of pieces.

    Args:
        length: of each piece, shape (n,), m.
        amount: on each piece, shape (n,) (spread evenly on it).
        window: m, at most the whole chain.
    """
    place = np.concatenate([[0.0], np.cumsum(length)])
    total = np.concatenate([[0.0], np.cumsum(amount)])
    starts = np.clip(np.concatenate([place, place - window]), 0.0, place[-1] - window)
    held = np.interp(starts + window, place, total) - np.interp(starts, place, total)
    return float(held.max() / window)

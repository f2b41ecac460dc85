"""What a transport run writes down as it goes: a row for each accepted time, profiles in depth, figures at the end of steps."""

from typing import Any

import numpy as np
import ufl
from dolfinx import fem

from coupling.constants import AVOGADRO
from multiscale.domain import integral
from multiscale.solvers.protocol import Record
from multiscale.transport.kinetics import deposited_thickness
from multiscale.transport.nernst_planck import SingleIon
from multiscale.transport.system import TransportSystem
from multiscale.transport_cases.case import TransportCase
from multiscale.transport_cases.cell import COUNTER, WORKING, Cell, meeting_name
from multiscale.transport_cases.fields import concentration_name
from multiscale.transport_cases.meter import TransportMeter, cell_values

BINS = 40
"""Slices of each medium in which profiles are averaged."""

LITHIUM = ("Li+", "Li")
"""Names of the ion whose metal's surface moves by the molar volume of lithium."""

FLOWS = 1e-9
"""Current density above which a current is said to flow, A/m²."""

Row = dict[str, float | None]
"""Values of one time by name; None where there is none."""


class DrivenCell:
    """The working electrode as protocols see it: current densities per cross-section of the cell."""

    def __init__(self, system: TransportSystem, cell: Cell) -> None:
        self._contact, self._other = system.contacts[WORKING], system.contacts[COUNTER]
        self._share = cell.area / self._contact.area
        self._area = cell.area

    def control_current(self, current_density: float) -> None:
        """Impose a current density, A/m² of the cell's cross-section."""
        self._contact.control_current(current_density * self._share)

    def control_potential(self, voltage: float) -> None:
        """Impose the voltage against the counter electrode, V."""
        self._contact.control_potential(voltage)

    @property
    def potential(self) -> float:
        """Voltage against the counter electrode, V."""
        return float(self._contact.potential - self._other.potential)

    @property
    def mean_current_density(self) -> float:
        """Current density, A/m² of the cell's cross-section."""
        return float(self._contact.current / self._area)


class Profiles:
    """Mean concentration in slices of depth: both concentration and depth are means over the slice's cells."""

    def __init__(self, system: TransportSystem, cell: Cell) -> None:
        """Sort the cells into slices; compile the integrals."""
        domain = system.domain
        self._comm = domain.comm
        self._space = fem.functionspace(domain.mesh, ("DG", 0))
        w, y = ufl.TestFunction(self._space), cell.depth
        self._forms: dict[tuple[str, str], Any] = {}
        self._bins: dict[str, np.ndarray] = {}
        self._volume: dict[str, np.ndarray] = {}
        self.depth: dict[str, np.ndarray] = {}
        for name, medium in system.media.items():
            if isinstance(medium.closure, SingleIon):
                continue
            dx = domain.dx(*medium.regions)
            volume, moment = (cell_values(self._space, fem.form(f * w * dx)) for f in (domain.constant(1.0), y))
            top, bottom = cell.depths[name]
            middle = np.where(volume > 0, moment / np.where(volume > 0, volume, 1), top)
            slices = np.clip(((middle - top) / (bottom - top) * BINS).astype(int), 0, BINS - 1)
            self._bins[name] = np.where(volume > 0, slices, BINS)
            self._volume[name] = self._sums(name, volume)
            self.depth[name] = self._sums(name, moment)[self._volume[name] > 0] / self._volume[name][self._volume[name] > 0]
            for ion in medium.species:
                self._forms[name, ion.name] = fem.form(system.concentration(name, ion.name) * w * dx)

    def _sums(self, name: str, values: np.ndarray) -> np.ndarray:
        mine = np.bincount(self._bins[name], weights=values, minlength=BINS + 1)[:BINS]
        return np.asarray(self._comm.allreduce(mine))

    def read(self) -> dict[str, list[float]]:
        """Concentration (mol/m³) in the slices of `depth`, by "medium/ion"."""
        found = {}
        for (name, ion), form in self._forms.items():
            filled = self._volume[name] > 0
            values = self._sums(name, cell_values(self._space, form))[filled] / self._volume[name][filled]
            found[f"{name}/{ion}"] = values.tolist()
        return found


class Faces:
    """Mean concentration of each ion on the faces of its medium."""

    def __init__(self, system: TransportSystem, cell: Cell) -> None:
        """Compile the integrals."""
        domain, self._forms = system.domain, dict[str, Any]()
        for name, medium in system.media.items():
            if isinstance(medium.closure, SingleIon):
                continue
            for place, (boundaries, inner) in self._places(cell, name).items():
                measure, one = (domain.dS if inner else domain.ds)(*boundaries), domain.constant(1.0)
                size = integral((one("+") if inner else one) * measure)
                for ion in medium.species:
                    c = system.concentration(name, ion.name)
                    form = fem.form((c("+") if inner else c) * measure)
                    self._forms[f"{place}_{concentration_name(ion.name, name)}"] = form, size

    @staticmethod
    def _places(cell: Cell, name: str) -> dict[str, tuple[list[str], bool]]:
        """Boundaries of a medium by what they are called in the table, and whether they lie inside the mesh."""
        found: dict[str, tuple[list[str], bool]] = {}
        for side, touched in cell.touches.items():
            here = [boundary for boundary, part in touched.items() if part == name]
            if here:
                found[f"at_{side}"] = here, False
        for pair, meetings in cell.meetings.items():
            if name in pair:
                found[f"at_{meeting_name(*pair)}".replace("|", "_to_")] = [m.boundary for m in meetings], True
        if not cell.flat:
            return found
        media = list(cell.regions)
        inner = {media.index(next(other for other in pair if other != name)): f"at_{meeting_name(*pair)}".replace("|", "_to_")
                 for pair in cell.meetings if name in pair}  # fmt: skip
        number = media.index(name)
        top = found["at_working"] if number == 0 else found[inner[number - 1]]
        bottom = found["at_counter"] if name == media[-1] else found[inner[number + 1]]
        return {"top": top, "bottom": bottom}

    def read(self) -> Row:
        """By "top_concentration_…" (towards the working electrode) and "bottom_…" in a flat cell, else by "at_FACE_…"."""
        return {name: integral(form) / size for name, (form, size) in self._forms.items()}


class Log:
    """Rows and profiles of a run, which a checkpoint keeps.

    Args:
        case, system, cell, meter: what is run and read.
    """

    def __init__(self, case: TransportCase, system: TransportSystem, cell: Cell, meter: TransportMeter) -> None:
        self.case, self.system, self.cell, self.meter = case, system, cell, meter
        self.profiles, self.faces = Profiles(system, cell), Faces(system, cell)
        self.rows: list[Row] = []
        self.slices: list[dict[str, list[float]]] = [self.profiles.read()]
        self.times = [0.0]
        self.steps: list[dict[str, Any]] = []
        self.deposits = case.settings.electrode.working.ion in LITHIUM

    def notes(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {"rows": self.rows, "slices": self.slices, "times": self.times, "steps": self.steps}

    def restore(self, notes: dict[str, Any]) -> None:
        """Go on from the notes of a checkpoint."""
        self.rows, self.slices = notes["rows"], notes["slices"]
        self.times, self.steps = notes["times"], notes["steps"]

    def watch(self, record: Record) -> None:
        """Write down one accepted time."""
        row: Row = {
            "time_s": record.time, "step": record.step + 1, "voltage_V": record.voltage,
            "current_density_A_per_m2": record.current_density, "charge_C_per_m2": record.charge,
            "charge_imbalance_1": self.meter.imbalance(),
        }  # fmt: skip
        if self.deposits:
            row["deposited_lithium_m"] = float(deposited_thickness(-record.charge))
        for name, medium in self.system.species_fields():
            row[f"lowest_{concentration_name(medium, name)}"] = self.system.lowest(name, medium)[0]
        row |= self.faces.read()
        losses = self.meter.losses() if flows(record) else None
        for name in self.meter.parts:
            drop = losses.parts[name] * record.current_density if losses else None
            row[f"loss_{name}_V".replace(", ", "_").replace(" ", "_").replace("|", "_to_")] = drop
        self.rows.append(row)
        self.slices.append(self.profiles.read())
        self.times.append(record.time)

    def figures(self, record: Record) -> dict[str, Any]:
        """The figures of the present state, JSON-ready; lengths in m, resistances in ohm cm²."""
        losses = self.meter.losses() if flows(record) else None
        found: dict[str, Any] = {
            "time_s": record.time, "step": record.step + 1, "voltage_V": record.voltage,
            "current_density_mA_per_cm2": record.current_density / 10, "charge_mAh_per_cm2": record.charge / 36000,
            "charge_balance": self.meter.imbalance(),
            "lowest_concentration_mol_per_m3": {name: value for name, (value, _) in self.meter.lowest().items()},
        }  # fmt: skip
        if self.deposits:
            found["deposited_lithium_um"] = float(deposited_thickness(-record.charge)) * 1e6
        if losses is None:
            return found
        focusing, detour = self.meter.focusing(), self.meter.detour()
        return found | {
            "asr_ohm_cm2": losses.total * 1e4, "asr_split": {name: part * 1e4 for name, part in losses.parts.items()},
            "asr_unaccounted_ohm_cm2": losses.unaccounted * 1e4, "transference": self.meter.transference(),
            "focusing_factor": max(focusing.values()), "focusing": focusing, "focusing_window_m": self.meter.window,
            "detour_factor": detour["cell"], "detour": detour, "constriction": self.meter.constriction(),
        }  # fmt: skip


def flows(record: Record) -> bool:
    """Whether a current flows that is more than rounding (a rest's is not)."""
    return abs(record.current_density) > FLOWS


def attenuation(case: TransportCase, log: Log, number: int) -> list[tuple[str, float, float, float]]:
    """Synthetic ⁶Li radiograph of one time: medium, depth (m), attenuation coefficient (1/m), transmission.

    μ = σ N_A Σ f c over the ions, with the absorption cross-section σ of ⁶Li and the share f of ⁶Li; a beam of the path l
    through the cell is let through by exp(-μ l) (Beer and Lambert). Lithium of the host lattice and of electrodes, which does
    not change, is left out.
    """
    wanted = case.settings.output.attenuation
    assert wanted is not None
    rows = []
    for medium, depth in log.profiles.depth.items():
        total = np.zeros(len(depth))
        for ion in case.settings.transport[medium].species:
            if ion.lithium6 is not None:
                total += ion.lithium6 * np.array(log.slices[number][f"{medium}/{ion.name}"])
        coefficient = wanted.absorption_cross_section * AVOGADRO * total
        through = np.exp(-coefficient * wanted.path)
        rows += [(medium, float(y), float(μ), float(T)) for y, μ, T in zip(depth, coefficient, through, strict=True)]
    return rows

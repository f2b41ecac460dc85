"""What a transport run writes down as it goes: a row for each accepted time, profiles in depth, figures at the end of steps."""

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
from dolfinx import fem

from coupling.constants import AVOGADRO
from multiscale.domain import integral
from multiscale.solvers.protocol import Record
from multiscale.transport.kinetics import deposited_thickness
from multiscale.transport.nernst_planck import SingleIon
from multiscale.transport.plating import Plated, Plating
from multiscale.transport.system import TransportSystem
from multiscale.transport_cases.case import TransportCase
from multiscale.transport_cases.cell import COUNTER, WORKING, Cell, meeting_name
from multiscale.transport_cases.fields import concentration_name
from multiscale.transport_cases.mechanics import molar_volume, moving_faces
from multiscale.transport_cases.meter import TransportMeter
from multiscale.transport_cases.slices import Profiles
from multiscale.transport_cases.stress import StressMeter

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
        plating: of the run, if anything follows the metal plated.

    Attributes:
        rows: of the times from the first accepted one on.
        slices, stresses, places: concentrations and stresses in slices, thickness plated by electrode, from the start on.
    """

    def __init__(
        self, case: TransportCase, system: TransportSystem, cell: Cell, meter: TransportMeter, plating: Plating | None = None
    ) -> None:
        self.case, self.system, self.cell, self.meter, self.plating = case, system, cell, meter, plating
        self.profiles, self.faces = Profiles(system, cell), Faces(system, cell)
        self.stress = None if system.body is None else StressMeter(system, cell)
        self.moving = moving_faces(plating)
        self.rows: list[Row] = []
        self.slices: list[dict[str, list[float]]] = [self.profiles.read()]
        self.stresses: list[dict[str, list[list[float]]]] = []
        self.places: list[dict[str, float]] = [{}]
        self.times = [0.0]
        self.steps: list[dict[str, Any]] = []
        self.deposits = case.settings.electrode.working.ion in LITHIUM
        self.volume = molar_volume(case.settings, WORKING)
        self._earlier = 0.0  # charge of the steps that have ended, C/m²

    def notes(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        kept = {"rows": self.rows, "slices": self.slices, "times": self.times, "steps": self.steps}
        plated = None if self.plating is None else self.plating.notes()
        return kept | {"stresses": self.stresses, "places": self.places, "plating": plated}

    def restore(self, notes: dict[str, Any], time: float) -> None:
        """Go on from the notes of a checkpoint at a time."""
        self.rows, self.slices = notes["rows"], notes["slices"]
        ends = [a for a, b in itertools.pairwise(self.rows) if a["step"] != b["step"]]
        self._earlier = sum(row["charge_C_per_m2"] or 0.0 for row in ends)
        self.times, self.steps = notes["times"], notes["steps"]
        self.stresses, self.places = notes["stresses"], notes["places"]
        if self.plating is not None:
            self.plating.restore(notes["plating"], time)

    def depth(self, number: int, medium: str) -> list[float]:
        """Depths of the slices of a medium at one of `times`, m."""
        known = self.profiles.depth | (self.stress.depth if self.stress else {})
        at_rest = known[medium]
        if self.moving is None:
            return [float(depth) for depth in at_rest]
        return [float(depth) for depth in self.moving.depths(Plated(self.places[number], {}), medium, at_rest)]

    def thicknesses(self) -> dict[str, float]:
        """Thickness of every medium where faces move, m; empty else."""
        return {} if self.moving is None or self.plating is None else self.moving.thicknesses(self.plating.now)

    def deposited(self, record: Record) -> float:
        """Thickness of metal plated at the working electrode since the run began, m."""
        return float(deposited_thickness(-record.charge - self._earlier, self.volume))

    def now(self) -> Cell:
        """The cell with its faces where they are now."""
        if self.moving is None or self.plating is None:
            return self.cell
        faces = [float(place) for place in self.moving.place(self.plating.now.thickness)]
        depths = dict(zip(self.cell.depths, itertools.pairwise(faces), strict=True))
        return replace(self.cell, depths=depths, length=faces[-1] - faces[0], start=faces[0])

    def watch(self, record: Record) -> None:
        """Write down one accepted time."""
        if self.rows and self.rows[-1]["step"] != record.step + 1:
            self._earlier += self.rows[-1]["charge_C_per_m2"] or 0.0
        self.meter.cell = self.now()
        row: Row = {
            "time_s": record.time, "step": record.step + 1, "voltage_V": record.voltage,
            "current_density_A_per_m2": record.current_density, "charge_C_per_m2": record.charge,
            "charge_imbalance_1": self.imbalance(record),
        }  # fmt: skip
        if self.deposits:
            row["deposited_lithium_m"] = self.deposited(record)
        row |= {f"thickness_of_{name}_m": width for name, width in self.thicknesses().items()}
        row |= self.stress.row() if self.stress else {}
        for name, medium in self.system.species_fields():
            row[f"lowest_{concentration_name(medium, name)}"] = self.system.lowest(name, medium)[0]
        row |= self.faces.read()
        losses = self.meter.losses() if flows(record) else None
        for name in self.meter.parts:
            drop = losses.parts[name] * record.current_density if losses else None
            row[f"loss_{name}_V".replace(", ", "_").replace(" ", "_").replace("|", "_to_")] = drop
        self.rows.append(row)
        self.slices.append(self.profiles.read())
        self.places.append({} if self.plating is None else dict(self.plating.now.thickness))
        if self.stress:
            self.stresses.append(self.stress.read())
        self.times.append(record.time)

    def imbalance(self, record: Record) -> float | None:
        """What enters at one electrode and does not leave at the other, over the current; None where none flows."""
        return self.meter.imbalance() if flows(record) else None

    def figures(self, record: Record) -> dict[str, Any]:
        """The figures of the present state, JSON-ready; lengths in m, resistances in ohm cm²."""
        losses = self.meter.losses() if flows(record) else None
        found: dict[str, Any] = {
            "time_s": record.time, "step": record.step + 1, "voltage_V": record.voltage,
            "current_density_mA_per_cm2": record.current_density / 10, "charge_mAh_per_cm2": record.charge / 36000,
            "charge_balance": self.imbalance(record),
            "lowest_concentration_mol_per_m3": {name: value for name, (value, _) in self.meter.lowest().items()},
        }  # fmt: skip
        if self.deposits:
            found["deposited_lithium_um"] = self.deposited(record) * 1e6
        if self.moving is not None:
            found["thickness_um"] = {name: width * 1e6 for name, width in self.thicknesses().items()}
        if self.stress:
            found["mechanics"] = self.stress.row()
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
    for medium in log.profiles.depth:
        depth = log.depth(number, medium)
        total = np.zeros(len(depth))
        for ion in case.settings.transport[medium].species:
            if ion.lithium6 is not None:
                total += ion.lithium6 * np.array(log.slices[number][f"{medium}/{ion.name}"])
        coefficient = wanted.absorption_cross_section * AVOGADRO * total
        through = np.exp(-coefficient * wanted.path)
        rows += [(medium, float(y), float(μ), float(T)) for y, μ, T in zip(depth, coefficient, through, strict=True)]
    return rows

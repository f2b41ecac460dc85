"""`multiscale check` and `run` of a propagation case: protocol in time, adaptive steps, checkpoints, rows, fields, picture."""

import csv
import io
import math
import time
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import ufl
from dolfinx import fem

from coupling.atomic import write_json, write_text
from coupling.errors import RunFailure
from coupling.store import digest
from meshes.crack_path import CrackPath, draw_crack_path
from multiscale.console import show, show_json
from multiscale.critical_current.output import write_functions
from multiscale.dolfinx_compat import interpolation_points
from multiscale.domain import meshed
from multiscale.mechanics import filament_checkpoint
from multiscale.mechanics.filament import FilamentModel
from multiscale.mechanics.filament_state import FilamentState
from multiscale.mechanics.fracture import GrewTooFar
from multiscale.mechanics.phase_field import CrackModel
from multiscale.mechanics.prestress import CellLoads, biaxial_strain
from multiscale.pipeline import versions
from multiscale.progress import Narrator
from multiscale.propagation.answer import (
    STARTED,
    answer_lines,
    charge_balance,
    critical_current,
    energy_balance,
    hold_table,
    life,
    volume_error,
)
from multiscale.propagation.case import PropagationCase
from multiscale.propagation.inputs import PropagationInputs, resolve
from multiscale.propagation.microstructure import cell_fields
from multiscale.propagation.settings import Hold
from multiscale.single_run import run_once
from multiscale.tables import parameter_rows, parameter_table

FORMAT = 2
"""Raised whenever a change of the code changes what a run computes."""
CHECKPOINT_S, LINE_S = 20.0, 5.0
"""Wall time between two checkpoints and between two progress lines, s."""
SHORT = 1.0
"""Distance to the counter electrode that counts as a short, over l."""
JUMPS = 3
"""Times that a step is made smaller because the crack grew too far; it jumps then however small the step, and is let go."""
EASY, FASTER, SLOWER = 8, 1.5, 0.4
"""Rounds up to which a step was easy; factors on the next one."""


def show_check(case: PropagationCase, as_json: bool) -> None:
    """Print what `multiscale check` tells of a propagation case: every number with its source."""
    found = resolve(case).parameters
    if as_json:
        show_json({"case": case.name, "parameters": parameter_rows(found)})
    else:
        show(parameter_table(case, found, "a propagation case runs none"))


def filament_model(case: PropagationCase, inputs: PropagationInputs, comm: Any) -> FilamentModel:
    """Mesh the cell (half of it where the flaw is a mirror) and set the filament up.

    Raises:
        UserError: the cell cannot be meshed.
        RunFailure: a solve failed.
    """
    geometry, fracture = case.settings.geometry, case.settings.fracture
    height, uneven = geometry.electrolyte.thickness, geometry.uneven
    size = height / math.ceil(height * fracture.elements / fracture.length)
    path = CrackPath(
        geometry.width, height, height, band_of(case), size, min(height, geometry.width) / 8, mirrored=not uneven
    )
    domain = meshed(draw_crack_path, comm, path=path)
    crack = CrackModel(fracture.model, fracture.length, fracture.split)
    made = cell_fields(domain, geometry, inputs, fracture.length)
    loads = None
    if inputs.stack_pressure or inputs.residual_stress:
        residual = biaxial_strain(inputs.residual_stress, inputs.elastic) if inputs.residual_stress else None
        loads = CellLoads(inputs.stack_pressure, residual)
    return FilamentModel(
        domain, made.conductivity, made.stiffness, made.fracture_energy, crack, size, inputs.filament, inputs.flaw_depth,
        mirrored=not uneven, loads=loads,
    )  # fmt: skip


def band_of(case: PropagationCase) -> float:
    """Half width of the fine strip, m."""
    geometry, fracture = case.settings.geometry, case.settings.fracture
    return fracture.band or min((8 if geometry.uneven else 3) * fracture.length, 0.4 * geometry.width)


def run_propagation(case: PropagationCase, results: Path, comm: Any, every_s: float = CHECKPOINT_S) -> dict[str, Any]:
    """Run a propagation case, or what is left of it; gives the summary on every rank.

    Raises:
        UserError: a number is missing, the cell cannot be meshed, the folder is in use.
        RunFailure: no step above the smallest succeeded; state, rows and fields are kept, the same command goes on.
    """
    inputs, key = resolve(case), digest({"case": case.digest, "format": FORMAT})

    def go(narrator: Narrator) -> dict[str, Any]:
        return _Run(case, inputs, results, comm, key, narrator, every_s).go()

    return run_once(case, key, results, comm, "filament", go)


class _Run:
    """One run: what is shared between its parts."""

    def __init__(
        self, case: PropagationCase, inputs: PropagationInputs, results: Path, comm: Any, key: str, narrator: Narrator,
        every_s: float,
    ) -> None:  # fmt: skip
        self.case, self.inputs, self.results, self.comm = case, inputs, results, comm
        self.key, self.narrator, self.every_s = key, narrator, every_s
        self.leads, self.rows = comm.rank == 0, list[FilamentState]()
        self.length = case.settings.fracture.length
        self.dt, self.retries = case.settings.time.first, 0
        self.kept = self.told = time.monotonic()

    def go(self) -> dict[str, Any]:
        """Everything, from the mesh to the picture."""
        self.model = filament_model(self.case, self.inputs, self.comm)
        cells = self.model.domain.mesh.topology.index_map(2).size_global
        unknowns = self.model.body.unknowns + self.model.body.unknowns // 3
        half = " (half of the cell, mirrored)" if self.model.copies == 2 else ""
        self.narrator.say("mesh", f"{cells} triangles · {unknowns} unknowns{half}")
        self.first = self.model.state
        self.rows = [self.first]
        if self.leads:
            (self.results / "failure.json").unlink(missing_ok=True)
            write_json(self.results / "parameters.json", {"parameters": parameter_rows(self.inputs.parameters)})
        self._resume()
        ended = self._march(self.case.settings.protocol.step)
        self._write(ended)
        summary = self._summary(ended)
        if self.leads:
            write_json(self.results / "summary.json", summary)
            (self.results / "checkpoint.npz").unlink(missing_ok=True)
        for line in answer_lines(summary):
            self.narrator.say("answer", line)
        self.comm.barrier()
        return summary

    def _resume(self) -> None:
        notes = filament_checkpoint.read(self.results / "checkpoint.npz", self.model, self.key)
        if notes is None:
            return
        self.rows = [FilamentState(**(row | {"tip": tuple(row["tip"])})) for row in notes["rows"]]
        self.dt, self.retries, self.first = notes["dt"], notes["retries"], self.rows[0]
        self.narrator.say("filament", f"goes on at {self.model.state.time:.6g} s")

    def _march(self, steps: Sequence[Hold]) -> dict[str, Any]:
        """The protocol; how it ended."""
        end, control = 0.0, self.case.settings.time
        for number, hold in enumerate(steps):
            end += hold.time
            while self.model.state.time < end * (1 - 1e-12):
                if len(self.rows) > control.most:
                    return {"by": "number of time steps", "step": number + 1}
                self._advance(end - self.model.state.time, hold.current)
                self._keep()
                self._stays_in_band()
                if self._is_short():
                    return {"by": "short", "step": number + 1}
        return {"by": "protocol", "step": len(steps)}

    def _advance(self, left: float, current: float) -> None:
        """One accepted step; smaller ones where it fails or the crack runs. Raises RunFailure below the smallest."""
        control, model = self.case.settings.time, self.model
        before, dt, jumps = model.state.crack_area, min(self.dt, control.largest), 0
        while True:
            trial = dt if dt <= left / 2 else (left if dt >= left else left / 2)
            last_chance = trial * SLOWER < control.smallest
            allowed = math.inf if last_chance or jumps == JUMPS else control.growth * self.length
            try:
                state = model.step(trial, current, allowed)
            except RunFailure as failure:
                self.retries += 1
                jumps += isinstance(failure, GrewTooFar)
                dt = trial * SLOWER
                if last_chance:
                    raise self._failed(failure) from failure
                continue
            break
        grown = state.crack_area - before
        easy = state.rounds <= EASY and grown < control.growth * self.length / 2
        if trial >= dt or easy:
            self.dt = min(max(dt, trial) * (FASTER if easy else 1.0), control.largest)
        self.rows.append(state)

    def _stays_in_band(self) -> None:
        """Refuse to go on where the crack has left the fine strip: its energy would no longer be known. Raises RunFailure."""
        band = band_of(self.case)
        if self.case.settings.geometry.uneven and self.model.sideways() > band - self.length:
            raise self._failed(RunFailure(f"the crack leaves the fine strip (half width {band * 1e6:.3g} um); widen fracture.band"))

    def _failed(self, failure: RunFailure) -> RunFailure:
        """Keep state, rows and fields, and say why."""
        state = self.model.state
        told = f"filament: no step of {self.case.settings.time.smallest:.3g} s or more succeeded at {state.time:.6g} s: {failure}"
        if "fracture.band" in str(failure):
            told = f"filament: at {state.time:.6g} s {failure}"
        self._checkpoint()
        self._write({"by": "failure", "step": None})
        if self.leads:
            write_json(self.results / "failure.json", {"time_s": state.time, "reason": str(failure), "retries": self.retries})
        mend = "set a smaller time.smallest, or a coarser fracture.length, and run again"
        mend = "" if "fracture.band" in told else f"; {mend}"
        return RunFailure(f"{told}; fields and rows are in {self.results}{mend}")

    def _is_short(self) -> bool:
        state, far = self.model.state, self.case.settings.geometry.electrolyte.thickness - SHORT * self.length
        return state.tip[1] >= far and state.front >= min(state.length, far)

    def _keep(self) -> None:
        """A line and a checkpoint now and then (rank 0's clock decides for all)."""
        now = time.monotonic()
        line, save = self.comm.bcast((now - self.told > LINE_S, now - self.kept > self.every_s))
        if line:
            self.told = now
            self.narrator.say("filament", progress_line(self.rows[-1]))
        if save:
            self._checkpoint()
            self.kept = time.monotonic()

    def _checkpoint(self) -> None:
        notes = {"rows": [asdict(row) for row in self.rows], "dt": self.dt, "retries": self.retries}
        filament_checkpoint.write(self.results / "checkpoint.npz", self.model, self.key, notes)

    def _write(self, ended: dict[str, Any]) -> None:
        """Rows, fields and picture."""
        write_model_fields(self.results / "fields" / "filament.bp", self.model)
        from multiscale.propagation.figure import gather, write_figure

        arrays = gather(self.model)
        if self.leads:
            write_text(self.results / "history.csv", history_csv(self.rows))
            write_figure(self.results / "filament.png", self.rows, arrays, self.case.settings.geometry.electrolyte.thickness)

    def _summary(self, ended: dict[str, Any]) -> dict[str, Any]:
        """The answer, for scripts; currents in mA/cm²."""
        start, last, settings = self.first, self.rows[-1], self.case.settings
        started = next((row for row in self.rows if row.crack_area - start.crack_area > STARTED * self.length), None)
        shorted = ended["by"] == "short"
        holds = hold_table(self.rows, settings.protocol.step, self.length)
        ccd = critical_current(holds, shorted)
        return {
            "case": self.case.name, "title": settings.title, "question": settings.question,
            "kind": "propagation", "ccd": ccd, "mechanisms": {"propagation": ccd}, "fitted_parameters": [], "error_split": {},
            "ended": ended["by"], "time_s": last.time, "steps": len(self.rows) - 1, "retries": self.retries,
            "started": None if started is None else {
                "current_mA_per_cm2": started.current_density / 10, "pressure_MPa": started.pressure / 1e6,
                "time_s": started.time,
            },
            "largest_pressure_MPa": max(row.pressure for row in self.rows) / 1e6,
            "crack_length_um": last.length * 1e6, "lithium_front_um": last.front * 1e6, "dry_tip_um": last.dry_length * 1e6,
            "filament_charge_C_per_m": last.charge, "extruded_um2": last.extruded * 1e12, "potential_mV": last.potential * 1e3,
            "thickness_um": settings.geometry.electrolyte.thickness * 1e6, "holds": holds, "life": life(self.rows, shorted),
            "charge_balance": charge_balance(self.rows, settings.geometry.width), "volume_over_charge_error": volume_error(last),
            "energy_balance": energy_balance(self.rows), "least_dissipation_J_per_m": min(r.dissipated for r in self.rows),
            "versions": self.comm.bcast(versions() if self.leads else None),
            "hashes": {"case": self.case.digest, "run": self.key}, "wall_s": {"run": self.narrator.seconds()},
        }  # fmt: skip


def progress_line(state: FilamentState) -> str:
    """One line of a run."""
    dry = f" · dry tip {state.dry_length * 1e6:.3g} um" if state.dry_length > 0 else ""
    return (
        f"{state.time:.4g} s · {state.current_density / 10:.3g} mA/cm^2 · {state.pressure / 1e6:.4g} MPa · crack "
        f"{state.length * 1e6:.4g} um{dry} · {state.potential * 1e3:.4g} mV"
    )


def history_csv(rows: Sequence[FilamentState]) -> str:
    """All rows as CSV; SI, names as in `FilamentState`."""
    stream = io.StringIO()
    names = [field.name for field in fields(FilamentState) if field.name != "tip"]
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow([*names, "tip_x", "tip_y"])
    writer.writerows([[*(getattr(row, name) for name in names), *row.tip] for row in rows])
    return stream.getvalue()


def write_model_fields(path: Path, model: FilamentModel) -> Path:
    """Potential, current density, displacement, damage and lithium as a VTX folder for ParaView. Call on every rank."""
    mesh = model.domain.mesh
    vectors = fem.functionspace(mesh, ("P", 1, (2,)))
    current = fem.Function(fem.functionspace(mesh, ("DG", 0, (2,))))
    current.interpolate(fem.Expression(model.ionic_current, interpolation_points(current.function_space)))
    nodal, cut = fem.Function(vectors, name="current_density_A_per_m2"), fem.Function(model.potential.function_space)
    nodal.interpolate(fem.Expression(ufl.as_vector([current[0], current[1]]), interpolation_points(vectors)))
    cut.interpolate(fem.Expression(model.lithium, interpolation_points(cut.function_space)))
    cut.name = "lithium"
    found = [model.potential, nodal, model.body.displacement, model.body.damage, cut]
    return write_functions(path, found, model.domain.comm, model.state.time)

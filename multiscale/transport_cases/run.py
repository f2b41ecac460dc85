"""`multiscale run` of a transport case: mesh, protocol in time with checkpoints, figures, files, report."""

import contextlib
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from mpi4py import MPI

from coupling.atomic import write_json
from coupling.errors import RunFailure, UserError
from coupling.store import digest
from coupling.units import told
from multiscale.connectivity import require_path
from multiscale.pipeline import versions
from multiscale.progress import Narrator
from multiscale.single_run import run_once
from multiscale.solvers import checkpoint
from multiscale.solvers.protocol import Progress, Record
from multiscale.solvers.timeloop import Depletion, StepTooSmall, TimeStepper, run_protocol
from multiscale.tables import parameter_rows
from multiscale.transport.debye import DebyeUnresolved
from multiscale.transport.kinetic_range import KineticRange
from multiscale.transport.kinetics import EXPONENT_LIMIT
from multiscale.transport_cases.case import TransportCase
from multiscale.transport_cases.cell import COUNTER, WORKING, Cell
from multiscale.transport_cases.check import limits
from multiscale.transport_cases.fields import write_vtx
from multiscale.transport_cases.geometry import build
from multiscale.transport_cases.inputs import Inputs, resolve
from multiscale.transport_cases.log import FLOWS, DrivenCell, Log, Row, attenuation, flows
from multiscale.transport_cases.maps import write_csv, write_maps
from multiscale.transport_cases.meter import TransportMeter
from multiscale.transport_cases.model import protocol_steps, step_control, transport_system

FORMAT = 5
"""Raised whenever a change of the code changes what a run computes."""
CHECKPOINT_S = 20.0
"""Wall time between two checkpoints, s."""
STRESS_COLUMNS = ("time_s", "medium", "depth_m", "stress_xx_Pa", "stress_yy_Pa", "stress_zz_Pa", "pressure_Pa")
"""Of the table of stress against depth."""
WINDOW_SHARE = 0.02
"""Length over which the focusing factor is averaged, over the cell's width, unless the case says."""


def run_transport(case: TransportCase, results: Path, comm: Any, every_s: float = CHECKPOINT_S) -> dict[str, Any]:
    """Run a transport case, or what is left of it; gives the summary on every rank.

    Args:
        case: the checked case.
        results: folder; one run at a time.
        comm: communicator.
        every_s: wall time between two checkpoints, s.

    Raises:
        UserError: a number is missing, the cell cannot be drawn, the mesh is too coarse for the Debye length, folder in use.
        RunFailure: depletion (unless it ends the case), a step below the minimum; state, rows and fields are kept.
    """
    inputs, key = resolve(case), digest({"case": case.digest, "format": FORMAT})

    def go(narrator: Narrator) -> dict[str, Any]:
        return _Run(case, inputs, results, comm, key, narrator, every_s).go()

    return run_once(case, key, results, comm, "transport", go)


class KineticsLeft(RunFailure):
    """A solution lies where the law of a reaction is no exponential any more."""

    def __init__(self, boundaries: list[str]) -> None:
        super().__init__(
            f"the reaction at {', '.join(boundaries)} needs exp({EXPONENT_LIMIT:g}) times its exchange current density or more; "
            "beyond that the rate law is continued along its tangent, so this solution is no answer"
        )


def _require_path(case: TransportCase, cell: Cell) -> None:
    """Raise UserError that names [geometry] where the electrodes do not hang together."""
    regions = [region for own in cell.regions.values() for region in own]
    try:
        require_path(cell.domain, tuple(cell.touches[WORKING]), tuple(cell.touches[COUNTER]), regions)
    except UserError as error:
        raise UserError(case.file.complaint(("geometry",), str(error))) from None


def focusing_window(case: TransportCase, cell: Cell, tell: Callable[[str], None] = lambda line: None) -> float:
    """Radius over which a face's current is averaged, m: output.window, or a share of the cell's width, at least a facet.

    Args:
        case: the checked case.
        cell: its mesh.
        tell: takes a sentence where the facets of the working electrode are wider than output.window.

    Raises:
        UserError: output.window is wider than the cell.
    """
    domain, dim = cell.domain, cell.domain.dimension
    wanted = case.settings.output.window
    if dim == 1:
        return wanted or WINDOW_SHARE
    width = cell.area if dim == 2 else math.sqrt(cell.area)
    if domain.axisymmetric:
        width = math.sqrt(cell.area / math.pi)
    if wanted is not None and wanted > width:
        read = f"read {told(wanted, 'm')}; the cell is {told(width, 'm')} wide"
        raise UserError(case.file.complaint(("output", "window"), read))
    facets = domain.facets(*cell.touches[WORKING])
    sizes = domain.mesh.h(dim - 1, facets) if len(facets) else np.zeros(1)
    facet = domain.comm.allreduce(float(sizes.max()), op=MPI.MAX)
    if wanted is not None and wanted < facet:
        read = f"output.window = {told(wanted, 'm')} is narrower than a facet of the working electrode"
        tell(f"{read}: averaged over {told(facet, 'm')}; raise geometry.resolution for a finer answer")
    return max(WINDOW_SHARE * width if wanted is None else wanted, facet)


class _Run:
    """One run: what is shared between its parts."""

    def __init__(
        self, case: TransportCase, inputs: Inputs, results: Path, comm: Any, key: str, narrator: Narrator, every_s: float
    ) -> None:
        self.case, self.inputs, self.results, self.comm = case, inputs, results, comm
        self.key, self.narrator, self.every_s = key, narrator, every_s
        self.leads = comm.rank == 0
        self.checkpoints = results / "checkpoints"
        self.begun = self.kept = time.monotonic()

    def go(self) -> dict[str, Any]:
        """Everything, from the mesh to the report."""
        case = self.case
        cell = build(case, self.inputs, self.comm)
        _require_path(case, cell)
        system, plating = transport_system(case, self.inputs, cell)
        self.cell, self.system = cell, system
        window = focusing_window(case, cell, lambda line: self.narrator.say("note", line))
        self.meter = TransportMeter(system, cell, window)
        self.stepper = TimeStepper(system, step_control(case, self.inputs, cell), plating=plating)
        self.log = Log(case, system, cell, self.meter, plating)
        self.range = KineticRange(system)
        cells = system.domain.mesh.topology.index_map(system.domain.dimension).size_global
        self.narrator.say("mesh", f"{cells} cells, {system.solver.unknowns} unknowns, {time.monotonic() - self.begun:.1f} s")
        if self.leads:
            (self.results / "failure.json").unlink(missing_ok=True)
            write_json(self.results / "parameters.json", {"parameters": parameter_rows(self.inputs.parameters)})
        progress = self._resume()
        ended = self._march(progress)
        summary = self._summary(ended)
        self._write_tables()
        if self.leads:
            write_json(self.results / "summary.json", summary)
        checkpoint.clear(self.checkpoints, self.comm)
        if self.leads:
            from multiscale.transport_cases.report import write_transport_report

            page = write_transport_report(self.results, case.folder)
            for line in answer_lines(summary):
                self.narrator.say("answer", line)
            self.narrator.say("report", str(page))
        self.comm.barrier()
        return summary

    def _resume(self) -> Progress | None:
        found = checkpoint.read(self.checkpoints, self.stepper, self.key)
        if found is None:
            return None
        progress, notes = found
        self.log.restore(notes, self.stepper.time)
        self.narrator.say("transport", f"goes on at {self.stepper.time:.6g} s, step {progress.step + 1}")
        return progress

    def _march(self, progress: Progress | None) -> dict[str, Any]:
        """The protocol; how it ended."""
        steps = protocol_steps(self.case)
        try:
            with self.narrator.watch("transport") as update:
                self.update, self.count = update, len(steps)
                run_protocol(self.stepper, DrivenCell(self.system, self.cell), steps, self.log.watch, progress, self._keep)
        except Depletion as failure:
            where = {"species": failure.species, "medium": failure.medium, "position_m": [float(x) for x in failure.position]}
            ended = {"by": "depletion", "time_s": failure.time, **where, "message": str(failure)}
            self._last_figures()
            if self.case.settings.protocol.on_depletion == "end":
                return ended
            raise self._failed(ended, failure) from failure
        except KineticsLeft as failure:
            ended = {"by": "kinetics out of range", "time_s": self.stepper.time, "message": str(failure)}
            raise self._failed(ended, failure) from failure
        except StepTooSmall as failure:
            ended = {"by": "step below minimum", "time_s": failure.state.time, "message": str(failure)}
            raise self._failed(ended, failure) from failure
        except DebyeUnresolved as failure:
            told = f"{failure}; geometry.resolution = 2 halves the cells"
            raise UserError(self.case.file.complaint(("geometry",), told)) from None
        return {"by": "protocol", "time_s": self.stepper.time, "message": "the protocol came to its end"}

    def _keep(self, progress: Progress) -> None:
        """Checkpoint now and then; figures, fields and maps at the end of a step."""
        self.progress = progress
        if left := self.range.left():
            raise KineticsLeft(left)
        last = progress.records[-1]
        once = self.case.settings.protocol.step
        longest = once[last.step % len(once)].until.time
        share = (last.time - (progress.begun or 0.0)) / longest if progress.begun is not None else 1.0
        self.update(f"step {last.step + 1} of {self.count}", min(share, 1.0))
        if progress.begun is None:
            self._step_ends(last)
        if self.comm.bcast(time.monotonic() - self.kept > self.every_s):
            self._checkpoint()

    def _checkpoint(self) -> None:
        plating = self.stepper.plating
        with contextlib.nullcontext() if plating is None else plating.at_rest():  # a checkpoint names the mesh as it was made
            checkpoint.write(self.checkpoints, self.stepper, self.progress, self.key, self.log.notes())
        self.kept = time.monotonic()

    def _step_ends(self, record: Record, name: str | None = None) -> None:
        folder = self.results / "steps" / (name or str(record.step + 1))
        self.log.steps.append(self.log.figures(record))
        once = len(self.case.settings.protocol.step)
        if name is None and once <= record.step < self.count - once:
            return
        if self.case.settings.output.fields:
            write_vtx(folder / "fields.bp", self.system, self.log.now())
        if self.system.domain.dimension > 1 and flows(record):
            self.log.steps[-1] |= write_maps(folder, self.system, self.log.now(), self.meter, self.comm)

    def _last_figures(self) -> None:
        """Figures of the last good state of a step that did not come to its end."""
        if self.log.rows and hasattr(self, "progress"):
            self._step_ends(self.progress.records[-1], f"{self.progress.records[-1].step + 1}-last")

    def _failed(self, ended: dict[str, Any], failure: RunFailure) -> RunFailure:
        """Keep the state, the rows and the fields of a failed run; what to tell."""
        if hasattr(self, "progress"):
            self._checkpoint()
        write_vtx(self.results / "failed.bp", self.system, self.cell)
        self._write_tables()
        if self.leads:
            write_json(self.results / "failure.json", ended)
        kept = f"{self.results} holds checkpoints, time_series.csv, failure.json and the fields failed.bp"
        mend = {
            "depletion": 'lower the current, or set protocol.on_depletion = "end" if that is the answer',
            "step below minimum": "lower protocol.smallest_step or protocol.tolerance's demand, or change more gently",
            "kinetics out of range": "its exchange current density is far too small for this current or voltage: check both",
        }[ended["by"]]
        return RunFailure(f"{failure}; {kept}; {mend}")

    def _summary(self, ended: dict[str, Any]) -> dict[str, Any]:
        settings = self.case.settings
        flowing = [step for step in self.log.steps if "asr_ohm_cm2" in step]
        top = flowing[-2 if ended["by"] == "depletion" and len(flowing) > 1 else -1] if flowing else {}
        keys = ("asr_ohm_cm2", "asr_split", "focusing_factor", "detour_factor", "transference", "constriction")
        return {
            "case": self.case.name, "kind": "transport", "title": settings.title, "question": settings.question,
            "ended": ended, "figures_of_step": top.get("step"), **{key: top.get(key) for key in keys},
            "charge_balance": max((row["charge_imbalance_1"] or 0.0 for row in self.log.rows if _flowing(row)), default=None),
            "lateral_stress": None if self.log.stress is None else self.log.stress.lateral,
            "steps": self.log.steps, "limits": limits(self.case, self.inputs),
            "time_steps": {"accepted": self.stepper.accepted, "rejected": self.stepper.rejected},
            "unknowns": self.system.solver.unknowns, "versions": versions(),
            "hashes": {"case": self.case.digest, "run": self.key}, "wall_s": {"last run": time.monotonic() - self.begun},
        }  # fmt: skip

    def _write_tables(self) -> None:
        if not self.leads or not self.log.rows:
            return
        log, results = self.log, self.results
        names = list(log.rows[0])
        write_csv(results / "time_series.csv", names, ([row[name] for name in names] for row in log.rows))
        chosen = np.unique(np.linspace(0, len(log.times) - 1, self.case.settings.output.profiles).round().astype(int))
        rows = [
            (log.times[k], *place.split("/"), depth, value)
            for k in chosen for place, values in log.slices[k].items()
            for depth, value in zip(log.depth(k, place.split("/")[0]), values, strict=True)
        ]  # fmt: skip
        if rows:
            write_csv(results / "profiles.csv", ("time_s", "medium", "ion", "depth_m", "concentration_mol_per_m3"), rows)
        if log.stresses:
            told = [
                (log.times[k], medium, *values)
                for k in chosen if k for medium, columns in log.stresses[k - 1].items()
                for values in zip(log.depth(k, medium), *columns, strict=True)
            ]  # fmt: skip
            write_csv(results / "stress.csv", STRESS_COLUMNS, told)
        if self.case.settings.output.attenuation:
            seen = [(log.times[k], *row) for k in chosen for row in attenuation(self.case, log, k)]
            write_csv(results / "attenuation.csv", ("time_s", "medium", "depth_m", "attenuation_per_m", "transmission_1"), seen)


def _flowing(row: Row) -> bool:
    return abs(row["current_density_A_per_m2"] or 0.0) > FLOWS


def answer_lines(summary: dict[str, Any]) -> list[str]:
    """The answer in a few lines."""
    ended = summary["ended"]
    lines = [f"ended by {ended['by']} at {ended['time_s']:.6g} s"]
    if ended["by"] == "depletion":
        lines[0] += f": {ended['species']} in {ended['medium']} ran out"
    for row in summary["limits"]:
        sand = ", ".join(f"Sand time at {current} {value:.4g} s" for current, value in row["sand_time_s"].items())
        limit = f"{row['medium']}: limiting current {row['limiting_current_mA_per_cm2']:.4g} mA/cm²"
        lines.append(f"{limit}, {sand}" if sand else limit)
    if summary["asr_ohm_cm2"] is not None:
        largest = sorted(summary["asr_split"].items(), key=lambda item: -abs(item[1]))[:3]
        told = ", ".join(f"{name} {value:.3g}" for name, value in largest)
        lines.append(f"resistance at the end of step {summary['figures_of_step']}: {summary['asr_ohm_cm2']:.4g} Ω cm² ({told})")
        lines.append(f"focusing {summary['focusing_factor']:.4g}, detour {summary['detour_factor']:.4g}")
    return lines

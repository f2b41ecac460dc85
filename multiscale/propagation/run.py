"""`multiscale check` and `run` of a propagation case: protocol in time, checkpoints, rows, fields, picture, error bar."""

import csv
import io
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
from multiscale.console import show, show_json
from multiscale.critical_current.output import write_functions
from multiscale.dolfinx_compat import interpolation_points
from multiscale.mechanics import filament_checkpoint
from multiscale.mechanics.filament import FilamentModel
from multiscale.mechanics.filament_state import FilamentState
from multiscale.mechanics.phase_field import CrackModel
from multiscale.parameters import nominal
from multiscale.pipeline import read_json, versions
from multiscale.progress import Narrator
from multiscale.propagation import answer, initiation, spread, tempered
from multiscale.propagation.case import PropagationCase
from multiscale.propagation.cell import filament_model
from multiscale.propagation.film import Film, gather
from multiscale.propagation.inputs import PropagationInputs, at_temperatures, resolve
from multiscale.propagation.march import FORMAT, March, NoStep, Trial, bisect, require_tested, revisions
from multiscale.propagation.protocols import Bisection, holds
from multiscale.single_run import run_once
from multiscale.tables import parameter_rows, parameter_table

CHECKPOINT_S, LINE_S = 20.0, 5.0
"""Wall time between two checkpoints and between two progress lines, s."""


def show_check(case: PropagationCase, as_json: bool) -> None:
    """Print what `multiscale check` tells of a propagation case: every number with its source."""
    found = resolve(case).parameters
    numbers = at_temperatures(case, {key: float(values[0]) for key, values in nominal(found).items()})
    if as_json:
        rows = [
            {"temperature_K": T, "exchange_current_density_A_per_m2": i0, "ionic_conductivity_S_per_m": κ}
            for T, (i0, κ) in numbers.items()
        ]
        show_json({"case": case.name, "parameters": parameter_rows(found), "at_temperatures": rows})
    else:
        show("\n".join([parameter_table(case, found, "a propagation case runs none"), *tempered.told(numbers)]))


def run_propagation(case: PropagationCase, results: Path, comm: Any, every_s: float = CHECKPOINT_S) -> dict[str, Any]:
    """Run a propagation case, or what is left of it; gives the summary on every rank.

    Raises:
        UserError: a number is missing, the cell cannot be meshed, the folder is in use.
        RunFailure: no step above the smallest succeeded, or the run ended in its conditioning; state, rows and fields are kept,
            the same command goes on.
    """
    inputs, key = resolve(case), digest({"case": case.digest, "format": FORMAT} | revisions(case.settings))

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
        self.leads = comm.rank == 0
        self.film = self._new_film()
        self.kept = self.told = time.monotonic()

    def go(self) -> dict[str, Any]:
        """Everything, from the mesh to the picture and the error bar."""
        self.model = filament_model(self.case, self.inputs, self.comm)
        cells = self.model.domain.mesh.topology.index_map(2).size_global
        unknowns = self.model.body.unknowns + self.model.body.unknowns // 3
        half = " (half of the cell, mirrored)" if self.model.copies == 2 else ""
        self.narrator.say("mesh", f"{cells} triangles · {unknowns} unknowns{half}")
        if self.leads:
            (self.results / "failure.json").unlink(missing_ok=True)
            write_json(self.results / "parameters.json", {"parameters": parameter_rows(self.inputs.parameters)})
        found = self._bisected() if isinstance(self.case.settings.protocol, Bisection) else self._marched()
        self._write()
        summary = self._summary(found)
        if self.leads:
            write_json(self.results / "summary.json", summary)
            (self.results / "checkpoint.npz").unlink(missing_ok=True)
        for line in answer.answer_lines(summary):
            self.narrator.say("answer", line)
        self.comm.barrier()
        return summary

    def _marched(self) -> dict[str, Any]:
        """Through the protocol; the critical current and what else it tells."""
        self.march, protocol = March.of(self.model, self.case.settings), self.case.settings.protocol
        assert not isinstance(protocol, Bisection)
        self._resume()
        self.film.see(self.model)
        try:
            ended = self.march.run(holds(protocol), self._keep)
        except NoStep as failure:
            raise self._failed(failure) from failure
        try:
            require_tested(self.march, protocol, ended)
        except NoStep as failure:
            raise self._failed(failure, checkpoint=False) from failure
        table = answer.hold_table(self.march.rows, holds(protocol), self.march.length, len(protocol.before))
        return {"ccd": answer.critical_current(table, ended in answer.SHORTS), "ended": ended, "holds": table, "trials": []}

    def _bisected(self) -> dict[str, Any]:
        """Trials until the bracket is narrow; the last way is that of the smallest current that failed, where one did."""
        settings, protocol, pristine = self.case.settings, self.case.settings.protocol, self.model.snapshot()
        assert isinstance(protocol, Bisection)
        done, ways = self._trials_kept(), dict[float, tuple[March, dict[str, Any], Film]]()

        def attempt(current: float) -> Trial:
            self.film = self._new_film()
            self.march = march = spread.begin(self.model, settings, protocol, pristine)
            try:
                trial = spread.attempt(march, protocol, current, self._tell)
            except NoStep as failure:
                raise self._failed(failure, checkpoint=False) from failure
            ways[current] = (march, self.model.snapshot(), self.film)
            done.append(trial)
            if self.leads:
                write_json(self.results / "trials.json", {"key": self.key, "trials": [asdict(row) for row in done]})
            self.narrator.say("bisection", f"{current / 10:.4g} mA/cm^2: {answer.trial_words(trial, protocol.told)}")
            return trial

        trials = bisect(protocol.lowest, protocol.highest, protocol.resolution, attempt, tuple(done))
        failed = [trial for trial in trials if trial.failed]
        last = min(failed or trials, key=lambda trial: trial.current if failed else -trial.current)
        if last.current not in ways:
            attempt(last.current)
        self.march, state, self.film = ways[last.current]
        self.model.restore(state)
        table = answer.hold_table(self.march.rows, protocol.held(last.current), self.march.length, len(protocol.before))
        rows = [asdict(trial) for trial in trials]
        return {"ccd": answer.bisected(trials, protocol), "ended": last.by, "holds": table, "trials": rows}

    def _trials_kept(self) -> list[Trial]:
        """Trials of an earlier, unfinished run of the same case."""
        kept = self.comm.bcast(read_json(self.results / "trials.json", {}) if self.leads else None)
        return [Trial(**row) for row in kept["trials"]] if kept.get("key") == self.key else []

    def _resume(self) -> None:
        notes = filament_checkpoint.read(self.results / "checkpoint.npz", self.model, self.key)
        if notes is None:
            return
        self.march.rows = [FilamentState(**(row | {"tip": tuple(row["tip"])})) for row in notes["rows"]]
        self.march.dt, self.march.retries = notes["dt"], notes["retries"]
        if self.leads:
            self.film.take_up(self.results / "film.npz", self.march.rows)
        self.narrator.say("filament", f"goes on at {self.model.state.time:.6g} s")

    def _failed(self, failure: RunFailure, checkpoint: bool = True) -> RunFailure:
        """Keep state, rows and fields, and say why."""
        state = self.model.state
        if checkpoint:
            self._checkpoint()
        self._write()
        if self.leads:
            told = {"time_s": state.time, "reason": str(failure), "retries": self.march.retries}
            write_json(self.results / "failure.json", told)
        return RunFailure(f"{failure}; fields and rows are in {self.results}")

    def _keep(self) -> None:
        """A line and a checkpoint now and then (rank 0's clock decides for all)."""
        self._tell(self.march)
        now = time.monotonic()
        if self.comm.bcast(now - self.kept > self.every_s):
            self._checkpoint()
            self.kept = time.monotonic()

    def _new_film(self) -> Film:
        return Film(self.case.settings.geometry.electrolyte.thickness / 40)

    def _tell(self, march: March) -> None:
        """A frame, and a line now and then."""
        self.film.see(self.model)
        now = time.monotonic()
        if self.comm.bcast(now - self.told > LINE_S):
            self.told = now
            self.narrator.say("filament", progress_line(march.rows[-1]))

    def _checkpoint(self) -> None:
        march = self.march
        notes = {"rows": [asdict(row) for row in march.rows], "dt": march.dt, "retries": march.retries}
        if self.leads:
            self.film.write(self.results / "film.npz")
        filament_checkpoint.write(self.results / "checkpoint.npz", self.model, self.key, notes)

    def _write(self) -> None:
        """Rows, fields and picture."""
        write_model_fields(self.results / "fields" / "filament.bp", self.model)
        from multiscale.propagation.figure import write_figure

        arrays, rows = gather(self.model), self.march.rows
        self.film.see(self.model, last=True)
        if self.leads:
            self.film.write(self.results / "film.npz")
            write_text(self.results / "history.csv", history_csv(rows))
            write_figure(self.results / "filament.png", rows, arrays, self.case.settings.geometry.electrolyte.thickness)

    def _summary(self, found: dict[str, Any]) -> dict[str, Any]:
        """The answer, for scripts; currents in mA/cm²."""
        best = found["ccd"]
        reference = 0.0 if best["bound"] else best["value"] * 10
        bar = spread.error_bar(self.case, self.inputs.parameters, reference, self.results, self.comm, self.narrator)
        worth = spread.attribution(self.case, self.results, self.comm, self.narrator)
        samples, split = bar.pop("samples", None), bar.pop("error_split", {})
        if self.leads and samples is not None:
            drawn = {"unit": "mA/cm^2", "samples": samples, "median": bar["value"]}
            write_json(self.results / "distribution.json", drawn | {name: bar[name] for name in ("low", "high", "level")})
        steady = initiation.initiation(self.case, self.inputs, self.comm) if self.case.settings.both else None
        versioned = self.comm.bcast(versions() if self.leads else None)
        crack = CrackModel(self.case.settings.fracture.model, self.case.settings.fracture.length)
        strength = crack.strength(self.inputs.elastic.plane_strain_modulus, self.inputs.fracture_energy)
        summary = answer.summary(self.case, self.march, found, bar, split, worth, self.inputs.elastic, strength)
        summary |= initiation.beside(summary, steady)
        hashes = {"case": self.case.digest, "run": self.key}
        return summary | {"versions": versioned, "hashes": hashes, "wall_s": {"run": self.narrator.seconds()}}


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

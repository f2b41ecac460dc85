"""One design computed: the whole chain of a case, one solution at the best values, or the user's own command; then checked."""

import fcntl
import json
import math
import statistics
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from coupling.atomic import write_json
from coupling.errors import RunFailure
from multiscale.critical_current.shelf import Shelf
from multiscale.result_shapes import shape_of

SCALE = 0.1
"""From A/m² to mA/cm²."""
COLUMNS = {
    "ccd": "mA/cm^2", "ccd_low": "mA/cm^2", "ccd_high": "mA/cm^2", "ccd_bound": "", "ccd_best_values": "mA/cm^2",
    "limited_by": "", "asr": "ohm cm^2", "focusing_factor": "", "detour_factor": "", "flaw_pressure": "MPa",
    "log_error_surrogate": "", "log_error_mesh": "", "unknowns": "",
}  # fmt: skip
"""Answers of a design, by column, with their units. The two errors are standard deviations of ln(ccd)."""
WORDS = ("ccd_bound", "limited_by")
"""Columns that hold no numbers."""
WITH_ERROR_BAR = ("ccd", "ccd_low", "ccd_high", "log_error_surrogate", "log_error_mesh")
"""Columns that a run at the best values alone does not give."""


def solve(folder: Path, recipe: Mapping[str, Any], comm: Any, shelf: Shelf | None = None) -> dict[str, Any]:
    """Compute the design in `folder` and give its answers, on every rank.

    `shelf` keeps meshes and models for the next design; the answers do not depend on what lies there.

    Raises:
        UserError: the case is impossible.
        RunFailure: a stage failed, or its results are not what they should be.
    """
    if recipe["command"]:
        _own_command(folder, recipe["command"])
        return answers_of(folder, check_case=False)
    if recipe["fidelity"] in ("screening", "best-values"):
        return _at_best_values(folder, recipe["fidelity"], recipe["md"] is not None, comm, shelf)
    if recipe["fidelity"] == "propagation":
        from multiscale.propagation.case import load_propagation_case
        from multiscale.propagation.run import run_propagation

        run_propagation(load_propagation_case(folder), folder / "results", comm)
        return answers_of(folder)
    from multiscale.case import load_case
    from multiscale.pipeline import run_case

    run_case(load_case(folder), folder / "results", comm, recipe["md"] is not None, shelf)
    return answers_of(folder)


def _own_command(folder: Path, command: Sequence[str]) -> None:
    """Run the user's command with the case folder and the results folder as its last two words."""
    (folder / "results").mkdir(exist_ok=True)
    words = [*command, str(folder), str(folder / "results")]
    with (folder / ".lock").open("a") as lock:  # shared with the command and all below it: free only when the last has ended
        fcntl.flock(lock, fcntl.LOCK_SH)
        try:
            done = subprocess.run(
                words, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, pass_fds=(lock.fileno(),)
            )
        except OSError as error:
            raise RunFailure(f"the command {command[0]} cannot be started ({error.strerror})") from error
    with (folder / "log.txt").open("a", encoding="utf-8") as log:
        log.write(done.stdout + done.stderr)
    if done.returncode != 0:
        last = (done.stderr.strip() or done.stdout.strip() or "it said nothing").splitlines()[-1]
        raise RunFailure(f"the command {command[0]} ended with status {done.returncode}: {last[:300]}")


def answers_of(folder: Path, check_case: bool = True) -> dict[str, Any]:
    """Answers of a finished design, after its results have been read and found whole.

    Raises:
        RunFailure: results are missing, damaged, of another case, or no finite number.
    """
    summary = _read(folder / "results" / "summary.json")
    drawn = folder / "results" / "distribution.json"
    samples = _read(drawn)["samples"] if (check_case and summary.get("kind") != "propagation") or drawn.is_file() else []
    if check_case:
        from multiscale.sweeps.kinds import kind_at

        if summary.get("hashes", {}).get("case") != kind_at(folder).load(folder).digest:
            raise RunFailure("the results belong to another state of the case; delete the design's results folder")
    return _columns(summary, samples)


def _read(path: Path) -> dict[str, Any]:
    """A JSON file of a results folder that has the shape it must have. Raises RunFailure."""
    try:
        text = path.read_text(encoding="utf-8")
        shape_of(path.name).validate_json(text)
        found: dict[str, Any] = json.loads(text)
    except (OSError, ValueError) as error:
        raise RunFailure(f"the results cannot be used: {path}: {str(error).splitlines()[0]}") from None
    return found


def _columns(summary: Mapping[str, Any], samples: Sequence[float]) -> dict[str, Any]:
    ccd, best, state = summary["ccd"], summary.get("at_best_values") or {}, summary.get("state") or {}
    found = {
        "ccd": ccd["value"], "ccd_low": ccd["low"], "ccd_high": ccd["high"], "ccd_bound": ccd.get("bound"),
        "ccd_best_values": best.get("value"), "limited_by": best.get("limited_by"), "asr": summary.get("asr_ohm_cm2"),
        "focusing_factor": summary.get("focusing_factor"), "detour_factor": summary.get("detour_factor"),
        "flaw_pressure": state.get("flaw_pressure_MPa"), "unknowns": (summary.get("mesh") or {}).get("unknowns"),
    }  # fmt: skip
    return found | _log_errors(summary, samples)


def _log_errors(summary: Mapping[str, Any], samples: Sequence[float]) -> dict[str, float | None]:
    """Standard deviations of ln(ccd) that surrogate (with microstructure) and mesh add: their shares of the samples' variance."""
    split = summary.get("error_split") or {}
    if not split or not samples or min(samples) <= 0:
        return {"log_error_surrogate": None, "log_error_mesh": None}
    from multiscale.critical_current.sampling import MESH, SURROGATE

    deviation = statistics.pstdev(math.log(value) for value in samples)
    shares = {"log_error_surrogate": split.get(SURROGATE, 0.0), "log_error_mesh": split.get(MESH, 0.0)}
    return {name: deviation * math.sqrt(max(share, 0.0)) for name, share in shares.items()}


def _at_best_values(folder: Path, fidelity: str, with_md: bool, comm: Any, shelf: Shelf | None) -> dict[str, Any]:
    """Critical current and observables of one solution at the best value of every input; without error bar."""
    from multiscale.case import load_case
    from multiscale.critical_current.answer import FOCUS_WINDOW, SEARCH_BEYOND
    from multiscale.critical_current.continuum import initiation_model
    from multiscale.critical_current.observables import CellMeter
    from multiscale.parameters import continuum_inputs, nominal, resolve
    from multiscale.pipeline import run_atomistic, validate_all

    start = time.monotonic()
    case = load_case(folder)
    validate_all(case, with_md)
    records = run_atomistic(case, folder / "results", comm) if with_md else []
    inputs = {key: float(value[0]) for key, value in nominal(resolve(case, records)).items()}
    fine = fidelity == "best-values"
    model = initiation_model(case, continuum_inputs(case, inputs), case.settings.geometry.seed, comm, fine=fine, shelf=shelf)
    critical = model.critical_current(SEARCH_BEYOND * case.settings.protocol.maximum)
    if critical.current_density <= 0:
        model.at_current(case.settings.protocol.first)
    figures = CellMeter(model, FOCUS_WINDOW).read()
    found = {
        "ccd_best_values": critical.current_density * SCALE, "ccd_bound": critical.bound, "limited_by": critical.limited_by,
        "asr": figures.asr_total * 1e4, "focusing_factor": figures.focusing_factor, "detour_factor": figures.detour_factor,
        "flaw_pressure": critical.state.flaw_pressure / 1e6, "unknowns": model.unknowns,
    }  # fmt: skip
    if comm.rank == 0:
        told = {"fidelity": fidelity, "units": COLUMNS, "answers": found, "case": case.digest, "wall_s": time.monotonic() - start}
        write_json(folder / "results" / "best_values.json", told)
    comm.barrier()
    return _read_best_values(folder)


def _read_best_values(folder: Path) -> dict[str, Any]:
    try:
        found = json.loads((folder / "results" / "best_values.json").read_text(encoding="utf-8"))["answers"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunFailure(f"the results cannot be used: {error}") from None
    if not math.isfinite(found["ccd_best_values"]):
        raise RunFailure("the critical current is no finite number")
    return {name: found.get(name) for name in COLUMNS}

"""`multiscale check` and `run` of a tip case: response of the pit, map of triggers in blocks, tables, picture."""

import csv
import io
from pathlib import Path
from typing import Any

import numpy as np

from coupling.atomic import replacing, write_json, write_text
from coupling.errors import UserError
from coupling.store import digest
from multiscale.console import show, show_json
from multiscale.mechanics.tip_contact import pit_response
from multiscale.pipeline import versions
from multiscale.progress import Narrator
from multiscale.single_run import run_once
from multiscale.tables import parameter_rows, parameter_table
from multiscale.tip_trigger.case import TipCase, TipInputs, resolve
from multiscale.tip_trigger.contact import MECHANISMS, MEDIAN, Tips, by_radius, known, nominal, sensitivities
from multiscale.tip_trigger.landscape import Surface, sampled_surface, toughness_map

FORMAT = 1
"""Raised whenever a change of the code changes what a run computes."""
BLOCK = 800
"""Points of the map between two checkpoints."""
COLUMNS = ("trigger_V", "nucleation_V", "pressure_Pa", "charge_C", "mechanism")


def show_check(case: TipCase, as_json: bool) -> None:
    """Print what `multiscale check` tells of a tip case: every number with its source."""
    found = resolve(case).parameters
    if as_json:
        show_json({"case": case.name, "parameters": parameter_rows(found)})
    else:
        show(parameter_table(case, found, "a tip case runs none"))


def surface_of(case: TipCase, inputs: TipInputs) -> tuple[Surface, np.ndarray, np.ndarray]:
    """The polycrystal under the map, the toughness and the number of nuclei at which the first is there, at each point.

    Raises:
        UserError: too few grains, told with the case's file.
    """
    geometry, wanted = case.settings.geometry, case.settings.map
    try:
        surface = sampled_surface(geometry.width, geometry.electrolyte.grain_size, wanted.points, geometry.seed)
    except UserError as error:
        raise UserError(case.file.refusal(("geometry", "width"), str(error))) from None
    toughness = toughness_map(
        surface, inputs.radius, inputs.toughness, inputs.toughness_ratio, inputs.toughness_spread, wanted.seed
    )
    expected: np.ndarray = np.full(len(toughness), MEDIAN)
    if case.settings.physics.nucleation == "seeded":
        expected = np.random.default_rng([wanted.seed, 2]).standard_exponential(len(toughness))
    return surface, toughness, expected


def run_tip(case: TipCase, results: Path, comm: Any) -> dict[str, Any]:
    """Run a tip case, or what is left of it; gives the summary on every rank.

    Raises:
        UserError: a number is missing, the map holds too few grains, the folder is in use.
        RunFailure: a solve failed or the disk is full; the same command goes on.
    """
    inputs, key = resolve(case), digest({"case": case.digest, "format": FORMAT})

    def go(narrator: Narrator) -> dict[str, Any]:
        return _run(case, inputs, results, comm, key, narrator)

    return run_once(case, key, results, comm, "tip", go)


def _run(case: TipCase, inputs: TipInputs, results: Path, comm: Any, key: str, narrator: Narrator) -> dict[str, Any]:
    surface, toughness, expected = surface_of(case, inputs)
    response = pit_response(inputs.radius, inputs.flaw_depth, inputs.elastic, comm)
    cracks = inputs.toughness / response.intensity
    narrator.say("pit", f"cracks at {cracks / 1e9:.4g} GPa in a nominal grain; opens by {response.compliance:.3g} m3/Pa")
    found = _map(Tips(case, inputs, response), surface, toughness, expected, results, comm, key, narrator)
    narrator.say("map", "radii and ranges")
    tables = {
        "nominal": dict(zip(("grain_V", "boundary_V"), map(known, nominal(case, inputs, comm, response)), strict=True)),
        "by_radius": by_radius(case, inputs, comm), "ranges": sensitivities(case, inputs, response, comm),
    }  # fmt: skip
    summary = _summary(case, inputs, surface, found) | tables | {
        "pit": {"intensity_sqrt_m": response.intensity, "compliance_m3_per_Pa": response.compliance},
        "fitted_parameters": [], "versions": comm.bcast(versions() if comm.rank == 0 else None),
        "hashes": {"case": case.digest, "run": key}, "wall_s": {"run": narrator.seconds()},
    }  # fmt: skip
    if comm.rank == 0:
        from multiscale.tip_trigger.figure import write_figure

        write_json(results / "parameters.json", {"parameters": parameter_rows(inputs.parameters)})
        write_text(results / "map.csv", map_csv(surface, inputs.radius, toughness, found))
        write_figure(results / "trigger_map.png", case, inputs, surface, found, summary)
        write_json(results / "summary.json", summary)
        (results / "checkpoint.npz").unlink(missing_ok=True)
    for line in answer_lines(summary):
        narrator.say("answer", line)
    comm.barrier()
    return summary


def _map(
    tips: Tips, surface: Surface, toughness: np.ndarray, expected: np.ndarray, results: Path, comm: Any, key: str,
    narrator: Narrator,
) -> np.ndarray:  # fmt: skip
    """COLUMNS at each point, shape (5, points²); block after block, each spread over the ranks and kept when done."""
    kept = comm.bcast(_kept(results / "checkpoint.npz", key) if comm.rank == 0 else None)
    done = np.empty((len(COLUMNS), 0)) if kept is None else kept
    if done.shape[1]:
        narrator.say("map", f"goes on at point {done.shape[1]} of {len(toughness)}")
    with narrator.watch("map") as update:
        while done.shape[1] < len(toughness):
            block = np.arange(done.shape[1], min(done.shape[1] + BLOCK, len(toughness)))
            mine = block[comm.rank :: comm.size]
            found = tips.solve(toughness[mine], surface.distance[mine], expected[mine])
            rows = np.array([found.voltage, found.nucleation, found.pressure, found.charge, found.mechanism])
            part = np.empty((len(COLUMNS), len(block)))
            for rank, gathered in enumerate(comm.allgather(rows)):
                part[:, rank :: comm.size] = gathered
            done = np.hstack([done, part])
            if comm.rank == 0:
                with replacing(results / "checkpoint.npz") as path:
                    np.savez(path, key=key, done=done)
            update("triggers", done.shape[1] / len(toughness))
    return done


def _kept(path: Path, key: str) -> np.ndarray | None:
    """What an earlier run of the same key has done, if it can be read."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            return stored["done"] if str(stored["key"]) == key else None
    except (OSError, ValueError, KeyError):
        return None


def _summary(case: TipCase, inputs: TipInputs, surface: Surface, found: np.ndarray) -> dict[str, Any]:
    """The answer, for scripts."""
    boundary = surface.on_boundary(inputs.radius)
    mechanism = found[4].astype(int)
    shares = {name: float(np.mean(mechanism == number)) for number, name in enumerate(MECHANISMS)}
    where = {"all": np.full(len(boundary), True), "grain": ~boundary, "boundary": boundary}
    return {
        "case": case.name, "title": case.settings.title, "question": case.settings.question, "kind": "tip",
        "trigger_V": {name: _spread(found[0][which]) for name, which in where.items()},
        "nucleation_V": _spread(found[1]), "held_back_by": shares, "points": len(boundary),
        "boundary_share": float(np.mean(boundary)), "grains": len(surface.seeds),
        "largest_pressure_GPa": float(np.max(found[2])) / 1e9, "rate_V_per_s": case.settings.protocol.rate,
    }  # fmt: skip


def _spread(values: np.ndarray) -> dict[str, float | int | None]:
    """Median, 5th and 95th of 100, least; of those that triggered, and how many did."""
    there = values[np.isfinite(values)]
    if not len(there):
        return {"median": None, "p05": None, "p95": None, "least": None, "triggered": 0, "points": len(values)}
    low, middle, high = (float(q) for q in np.percentile(there, (5, 50, 95)))
    return {
        "median": middle, "p05": low, "p95": high, "least": float(there.min()), "triggered": len(there), "points": len(values),
    }  # fmt: skip


def map_csv(surface: Surface, radius: float, toughness: np.ndarray, found: np.ndarray) -> str:
    """Every point as CSV, SI; an empty trigger means that the ramp ended before."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["x_m", "y_m", "grain", "on_boundary", "boundary_distance_m", "toughness_Pa_sqrt_m", *COLUMNS])
    boundary = surface.on_boundary(radius)
    for k in range(len(toughness)):
        numbers = ["" if not np.isfinite(value) else repr(float(value)) for value in found[:4, k]]
        place = [surface.x[k], surface.y[k], surface.grain[k], int(boundary[k]), surface.distance[k], toughness[k]]
        writer.writerow([*place, *numbers, MECHANISMS[int(found[4, k])]])
    return stream.getvalue()


def answer_lines(summary: dict[str, Any]) -> list[str]:
    """What a run found."""
    lines = []
    for name, told in (("grain", "in grains"), ("boundary", "on boundaries")):
        s = summary["trigger_V"][name]
        if s["median"] is None:
            lines.append(f"{told}: none of {s['points']} points triggered")
            continue
        spread = f"{s['p05']:.3g} … {s['p95']:.3g} V hold nine in ten"
        lines.append(f"{told}: trigger at {s['median']:.4g} V ({spread}; {s['triggered']} of {s['points']} points)")
    shares = ", ".join(f"{name} {share:.0%}" for name, share in summary["held_back_by"].items() if share)
    lines.append(f"held back last by: {shares}; largest pressure {summary['largest_pressure_GPa']:.3g} GPa")
    spans = [row for row in summary["ranges"] if row["at_low_V"] is not None and row["at_high_V"] is not None]
    worst = sorted(spans, key=lambda row: -abs(row["at_high_V"] - row["at_low_V"]))[:3]
    told = ", ".join(f"{row['parameter']} {row['at_low_V']:.3g} … {row['at_high_V']:.3g} V" for row in worst)
    lines.append(f"most uncertain through: {told}; nothing was fitted")
    return lines

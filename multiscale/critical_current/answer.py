"""The answer of a case: one fine solution at the best values, then the spread of the critical current over every input."""

import dataclasses
import functools
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from coupling.atomic import write_json
from coupling.errors import RunFailure
from coupling.library import ORDER
from coupling.store import digest
from multiscale.case import Case
from multiscale.critical_current.geometry import TIP_SHARE
from multiscale.critical_current.sampling import MESH, SURROGATE, Bound
from multiscale.critical_current.shelf import Shelf
from multiscale.parameters import Parameter, continuum_inputs, draw, nominal
from multiscale.progress import Narrator

VERSION = 4
"""Raised whenever a change of the code changes a critical current; part of every key."""
FOCUS_WINDOW = 20e-9
"""Length along the lithium surface over which the focused current is averaged, m."""
SMALLEST_CURRENT = 1e-3
"""Critical currents below this (A/m²) count as this: the flaw opens by itself."""
CLOSURE = "how lithium moves inside the flaw (model)"
"""Origin of the error between free redistribution of lithium in the flaw and none."""
SEARCH_BEYOND = 100.0
"""Runs look this many times beyond the protocol's largest current, so that the surrogate sees a smooth answer."""


@dataclass(frozen=True)
class Reference:
    """The solution on the fine mesh at the best value of every input.

    Attributes:
        critical: current density (A/m²), bound, limiting process and state of `initiation.Critical`, as plain values.
        stalled: critical current if no lithium moved inside the flaw, A/m²: the conservative closure.
        figures: of `observables.CellFigures` at the critical current, as plain values.
        triangles, unknowns: size of the mesh.
    """

    critical: dict[str, Any]
    stalled: float
    figures: dict[str, Any]
    triangles: int
    unknowns: int


def reference_key(case: Case, inputs: Mapping[str, float]) -> str:
    """Hash of what the reference solution depends on."""
    return digest({"version": VERSION, "case": case.digest, "inputs": dict(inputs)})


def reference_solution(
    case: Case, inputs: Mapping[str, float], results: Path, comm: Any, narrator: Narrator, shelf: Shelf | None = None
) -> Reference:
    """Critical current, observables and fields on the fine mesh, over all ranks; kept under results/reference.json.

    `shelf` keeps meshes from case to case.

    Raises:
        UserError: the geometry cannot be meshed.
        RunFailure: a solve failed.
    """
    key, path = reference_key(case, inputs), results / "reference.json"
    stored = comm.bcast(_stored(path, key) if comm.rank == 0 else None)
    if stored is not None:
        narrator.say("continuum", "the reference solution is there already")
        return Reference(**stored)
    from multiscale.critical_current.continuum import initiation_model
    from multiscale.critical_current.observables import CellMeter
    from multiscale.critical_current.output import write_fields
    from multiscale.reporting import snapshot

    model = initiation_model(case, inputs, case.settings.geometry.seed, comm, fine=True, shelf=shelf)
    triangles = model.domain.mesh.topology.index_map(2).size_global
    narrator.say("continuum", f"mesh {triangles} triangles · {model.unknowns} unknowns")
    largest = SEARCH_BEYOND * case.settings.protocol.maximum
    stalled = model.stalled_critical_current(largest)
    critical = model.critical_current(largest, guess=stalled.current_density or None)
    if critical.current_density <= 0:  # the stack pressure alone opens the flaw: the fields are shown at the first current
        model.at_current(case.settings.protocol.first)
    figures = CellMeter(model, FOCUS_WINDOW).read()
    reference = Reference(_plain(critical), stalled.current_density, asdict(figures), triangles, model.unknowns)
    arrays = snapshot.gather(model)
    write_fields(results / "fields" / "cell.bp", model)
    if arrays is not None:
        snapshot.write(results / "current_map.npz", arrays)
        write_json(path, {"key": key, "reference": asdict(reference)})
    told = f"{critical.current_density / 10:.3g} mA/cm^2 at best values, limited by {critical.limited_by}"
    narrator.say("continuum", f"{stalled.solves + critical.solves} solves · critical current {told}")
    return reference


def _stored(path: Path, key: str) -> dict[str, Any] | None:
    """A kept answer that belongs to `key` and whose map can be read, or None."""
    from multiscale.reporting.field_maps import read_current_map

    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        if kept["key"] != key:
            return None
        read_current_map(path.parent / "current_map.npz")
        return asdict(Reference(**kept["reference"]))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _plain(critical: Any) -> dict[str, Any]:
    """A `Critical` as plain values, without the solver's report."""
    values = dataclasses.asdict(critical)
    del values["state"]["report"]
    return values


@dataclass(frozen=True)
class Spread:
    """Distribution of the critical current over every input; current densities in A/m².

    Attributes:
        samples: shape (n,).
        median, low, high: of the samples at the case's level.
        bound: "lower" when part of the samples did not crack up to the protocol's largest current, else None.
        error_split: share of the variance of the logarithm by origin.
        runs, failures: model runs behind it, and those that failed.
        key: hash of what it depends on.
        logarithm: ln of the critical current of leaves (m,) each, among them the `errors`.
        errors: samples (n,) of the errors of surrogate, mesh and closure, of the logarithm, by origin.
    """

    samples: np.ndarray
    median: float
    low: float
    high: float
    bound: str | None
    error_split: dict[str, float]
    runs: int
    failures: int
    key: str
    logarithm: Callable[[Mapping[str, np.ndarray]], np.ndarray]
    errors: Mapping[str, np.ndarray]


def distribution(
    case: Case, parameters: Mapping[str, Parameter], reference: Reference, results: Path, comm: Any, narrator: Narrator,
    shelf: Shelf | None = None,
) -> Spread:  # fmt: skip
    """Critical current over draws of every input, through a surrogate fitted to designed runs on a coarse mesh.

    The runs take turns over the case's microstructures. The first run repeats the best values: its ratio to the fine
    solution corrects the coarse mesh, and how far it is from one is the error left to the mesh.

    Raises:
        RunFailure: too many runs failed.
    """
    from multiscale.critical_current import sampling

    wanted = case.settings.uncertainty
    leaves = draw(parameters, wanted.samples, wanted.seed)
    inputs = _inputs_of(case, leaves)
    best = continuum_inputs(case, {key: float(value[0]) for key, value in nominal(parameters).items()})
    points = [best, *sampling.design(inputs, wanted.designs, wanted.seed)]
    with narrator.watch("error bar") as update:
        runs = sampling.run_all(
            points, functools.partial(_coarse_current, case, shelf), results / "samples",
            {"version": VERSION, "case": case.digest},
            comm, lambda done, due: update("model runs on this rank", done / due),
        )  # fmt: skip
    if runs[0].failure:
        raise RunFailure(f"the run at the best values failed on the coarse mesh: {runs[0].failure}")
    fine, coarse = reference.critical["current_density"], runs[0].value
    exact = reference.critical["bound"] is None and runs[0].bound is None and min(fine, coarse) > 0
    ratio = fine / coarse if exact else 1.0
    found = sampling.propagate(
        leaves, functools.partial(_inputs_of, case), points[1:], runs[1:], wanted.level, wanted.seed, correction=ratio,
        mesh_error=abs(ratio - 1.0), smallest=SMALLEST_CURRENT, largest=SEARCH_BEYOND * case.settings.protocol.maximum,
    )  # fmt: skip
    samples, split = _with_closure(found, reference, wanted.seed)
    largest = case.settings.protocol.maximum
    samples = np.minimum(samples, largest)
    tail = (1 - wanted.level) / 2
    low, median, high = (float(q) for q in np.quantile(samples, [tail, 0.5, 1 - tail]))
    beyond = float(np.mean(samples >= largest))
    key = digest({"version": VERSION, "case": case.digest, "points": points, "runs": [run.value for run in runs[:1]]})
    errors = _errors(found, reference, abs(ratio - 1.0), wanted.seed)

    def logarithm(mixed: Mapping[str, np.ndarray]) -> np.ndarray:
        return found.logarithm(mixed) + sum(mixed[origin] for origin in errors)

    return Spread(
        samples, median, low, high, "lower" if beyond > tail else None, split, found.runs, found.failures, key, logarithm, errors
    )


def _distance(reference: Reference) -> float:
    """How far the two closures of the flaw are apart at the best values, on the logarithm."""
    free, stalled = reference.critical["current_density"], reference.stalled
    return float(np.log(free / stalled)) if min(free, stalled) > 0 else 0.0


def _errors(found: Any, reference: Reference, mesh_error: float, seed: int) -> dict[str, np.ndarray]:
    """Independent samples of the errors that are no input's, of the logarithm; those that do not vary are left out."""
    rng, count = np.random.default_rng([seed, 3]), len(found.samples)
    drawn = {
        SURROGATE: found.surrogate_error * rng.standard_normal(count),
        MESH: float(np.log1p(mesh_error)) * rng.standard_normal(count),
        CLOSURE: -_distance(reference) * rng.uniform(0.0, 1.0, count),
    }
    return {origin: values for origin, values in drawn.items() if np.ptp(values) > 0}


def _with_closure(found: Any, reference: Reference, seed: int) -> tuple[np.ndarray, dict[str, float]]:
    """Samples and error split with the error of how lithium moves inside the flaw.

    Free redistribution and none are the two extremes; where between them the truth lies is unknown, so every sample is
    moved by a share, uniform on the logarithm, of their distance at the best values.
    """
    distance = _distance(reference)
    shares = np.random.default_rng([seed, 1]).uniform(0.0, 1.0, len(found.samples))
    variance, own = float(np.var(np.log(found.samples))), distance**2 / 12
    total = variance + own
    split = {origin: share * variance / total for origin, share in found.error_split.items()} if total > 0 else {}
    split[CLOSURE] = own / total if total > 0 else 0.0
    return found.samples * np.exp(-shares * distance), dict(sorted(split.items(), key=lambda item: -item[1]))


def _coarse_current(case: Case, shelf: Shelf | None, point: Mapping[str, float], number: int) -> tuple[float, Bound]:
    """Critical current (A/m²) of one designed run on the coarse mesh of one microstructure, and whether it is a bound."""
    from mpi4py import MPI

    from multiscale.critical_current.continuum import initiation_model

    geometry = case.settings.geometry
    seed = geometry.seed + number % case.settings.uncertainty.microstructures
    model = initiation_model(case, point, seed, MPI.COMM_SELF, fine=False, shelf=shelf)
    critical = model.critical_current(SEARCH_BEYOND * case.settings.protocol.maximum)
    return critical.current_density, critical.bound


def _inputs_of(case: Case, leaves: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Inputs of the continuum model, (n,) each, from leaves of shape (n,)."""
    count = len(next(iter(leaves.values())))
    return {name: np.broadcast_to(value, (count,)) for name, value in continuum_inputs(case, leaves).items()}


def summary(case: Case, parameters: Mapping[str, Parameter], reference: Reference, spread: Spread) -> dict[str, Any]:
    """The stable keys of summary.json; current densities in mA/cm², resistances in ohm cm²."""
    to_mA, to_ohm_cm2 = 0.1, 1e4
    level = case.settings.uncertainty.level
    mechanism = {"value": spread.median * to_mA, "low": spread.low * to_mA, "high": spread.high * to_mA, "bound": spread.bound}
    figures, state, conditions = reference.figures, reference.critical["state"], case.settings.conditions
    layer = case.settings.geometry.interlayer
    electrolyte = case.settings.geometry.electrolyte.material
    return {
        "case": case.name,
        "title": case.settings.title,
        "question": case.settings.question,
        "electrolyte": electrolyte,
        "interlayer": layer.material if layer and layer.material != f"{electrolyte}-interphase" else None,
        "temperature_C": conditions.temperature - 273.15,
        "stack_pressure_MPa": conditions.stack_pressure / 1e6,
        "ccd": mechanism | {"level": level, "unit": "mA/cm^2", "mechanism": "initiation"},
        "mechanisms": {"initiation": mechanism},
        "at_best_values": {
            "value": reference.critical["current_density"] * to_mA,
            "without_redistribution": reference.stalled * to_mA,
            "unit": "mA/cm^2",
            "mechanism": "initiation",
            "limited_by": reference.critical["limited_by"],
        },
        "fitted_parameters": [key for key, p in parameters.items() if p.used.kind not in ORDER],
        "error_split": spread.error_split,
        "focusing_factor": figures["focusing_factor"],
        "detour_factor": figures["detour_factor"],
        "asr_ohm_cm2": figures["asr_total"] * to_ohm_cm2,
        "asr_split": {name: value * to_ohm_cm2 for name, value in figures["asr"].items()},
        "charge_balance": state["charge_imbalance"],
        "flaw_share": figures["flaw_share"],
        "state": {
            "of": "initiation",
            "flaw_pressure_MPa": state["flaw_pressure"] / 1e6,
            "stall_pressure_MPa": state["stall_pressure"] / 1e6,
            "overpotential_mV": state["hot_spot_overpotential"] * 1e3,
            "stress_intensity_MPa_sqrt_m": state["stress_intensity"] / 1e6,
            "toughness_MPa_sqrt_m": state["toughness"] / 1e6,
            "extrusion_share": state["extrusion_share"],
            "limited_by": reference.critical["limited_by"],
        },
        "settings": {"focus_window_nm": FOCUS_WINDOW * 1e9, "tip_radius_over_mouth": TIP_SHARE},
        "mesh": {"triangles": reference.triangles, "unknowns": reference.unknowns},
        "model_runs": {"used": spread.runs, "failed": spread.failures},
    }  # fmt: skip


def of_inputs_alone(case: Case, leaves: Mapping[str, np.ndarray], spread: Spread) -> np.ndarray:
    """Samples (A/m²) that differ by the inputs and by how lithium moves in the flaw alone, in the order of the draws.

    The errors of surrogate and mesh, which each design has for itself, are left out: a comparison of designs adds them.
    """
    count = len(spread.samples)
    errors = {origin: values if origin == CLOSURE else np.zeros(count) for origin, values in spread.errors.items()}
    currents = np.exp(spread.logarithm({**leaves, **errors}))
    return np.asarray(np.clip(currents, SMALLEST_CURRENT, case.settings.protocol.maximum))


def distribution_json(case: Case, currents: np.ndarray, of_inputs: np.ndarray | None = None) -> dict[str, Any]:
    """What distribution.json holds: the samples themselves (A/m² here), in mA/cm²; `of_inputs` those of `of_inputs_alone`."""
    scale, level = 0.1, case.settings.uncertainty.level
    alone = {} if of_inputs is None else {"of_inputs": [float(f"{scale * value:.6g}") for value in of_inputs]}
    samples = [float(f"{scale * value:.6g}") for value in currents]
    low, median, high = (scale * float(q) for q in np.quantile(currents, [(1 - level) / 2, 0.5, (1 + level) / 2]))
    return {"unit": "mA/cm^2", "samples": samples, "median": median, "low": low, "high": high, "level": level} | alone

"""The error bar of a propagation case's critical current, and what each switch is worth: many runs on a coarse mesh."""

import functools
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from coupling.errors import RunFailure
from coupling.store import digest
from multiscale.critical_current import sampling
from multiscale.mechanics.filament import FilamentModel
from multiscale.parameters import MIXTURE_MODEL, Parameter, draw, nominal
from multiscale.progress import Narrator
from multiscale.propagation.answer import critical_current, hold_table
from multiscale.propagation.case import PropagationCase
from multiscale.propagation.cell import filament_model
from multiscale.propagation.inputs import inputs_at
from multiscale.propagation.march import FORMAT, March, Trial, bisect, bracket
from multiscale.propagation.settings import Bisection, PropagationFile

COARSE = 2.0
"""Elements per l of the sampled runs."""
SMALLEST_CURRENT = 1e-3
"""Critical currents below this (A/m²) count as this."""
BEYOND = 5.0
"""Sampled bisections look so many times beyond the case's own range, so that the surrogate sees a smooth answer."""


def coarse_current(
    case: PropagationCase, parameters: Mapping[str, Parameter], point: Mapping[str, float], number: int
) -> tuple[float, bool]:
    """Critical current (A/m²) of one draw in one microstructure by the case's protocol, and whether it is only a lower bound."""
    from mpi4py import MPI

    wanted = case.settings.uncertainty
    geometry = case.settings.geometry
    seed = geometry.seed + number % (wanted.microstructures if wanted else 1)
    settings = case.settings.model_copy(update={"geometry": geometry.model_copy(update={"seed": seed})})
    changed = PropagationCase(case.folder, settings, case.materials, case.file)
    best = {key: float(values[0]) for key, values in nominal(parameters).items()}
    inputs = inputs_at(changed, parameters, best | dict(point))
    model = filament_model(changed, inputs, MPI.COMM_SELF, COARSE)
    protocol, pristine = settings.protocol, model.snapshot()
    if isinstance(protocol, Bisection):
        trials = bisect(
            protocol.lowest / BEYOND, protocol.highest * BEYOND, protocol.resolution,
            lambda current: attempt(model, settings, protocol, current, pristine)[0],
        )  # fmt: skip
        return middle(*bracket(trials), trials)
    march = March.of(model, settings)
    shorted = march.run(protocol.step) == "short"
    found = critical_current(hold_table(march.rows, protocol.step, march.length), shorted)
    return found["value"] * 10, found["bound"] == "lower"


def middle(low: float, high: float, trials: list[Trial]) -> tuple[float, bool]:
    """One number for a bracket, A/m², and whether it is only a lower bound: the geometric middle, or the end that was reached."""
    if math.isinf(high):
        return max(trial.current for trial in trials), True
    return (math.sqrt(low * high) if low > 0 else high), False


def attempt(
    model: FilamentModel, settings: PropagationFile, protocol: Bisection, current: float, start: dict[str, Any],
    after: Callable[[March], None] | None = None,
) -> tuple[Trial, March]:  # fmt: skip
    """One current held from the cell as it is in the snapshot `start`: how it ended, and its way; `after` sees every step.

    Raises:
        RunFailure: a step failed, or the case's number of time steps did not get through the hold.
    """
    model.restore(start)
    march = March.of(model, settings, until_growth=protocol.criterion == "growth")
    by = march.run(protocol.held(current), None if after is None else functools.partial(after, march))
    if by == "number of time steps":
        told = f"bisection: {settings.time.most} time steps did not get through one hold"
        raise RunFailure(f"{told}; raise time.most or time.largest")
    last = march.rows[-1]
    growth = last.crack_area - march.rows[0].crack_area
    return Trial(current, by != "protocol", by, last.time, last.pressure, growth), march


def error_bar(
    case: PropagationCase, parameters: Mapping[str, Parameter], reference: float, results: Path, comm: Any, narrator: Narrator
) -> dict[str, Any]:
    """Distribution of the critical current over draws of every input and over microstructures, mA/cm²; empty if not asked for.

    The first run repeats the best values on the coarse mesh: its ratio to the run's own answer corrects the others, and how far
    it is from one is the error left to the mesh.

    Args:
        case, parameters: the case and its numbers.
        reference: critical current of the fine run at best values, A/m²; 0 where that is only a bound.
        results: runs are kept under results/samples.
        comm: runs are spread over its ranks.
        narrator: tells the progress.

    Raises:
        RunFailure: too many runs failed.
    """
    wanted = case.settings.uncertainty
    if wanted is None:
        return {}
    leaves = {key: values for key, values in draw(parameters, wanted.samples, wanted.seed).items() if key != MIXTURE_MODEL}
    best = {key: float(values[0]) for key, values in nominal(parameters).items() if key != MIXTURE_MODEL}
    points = [best, *sampling.design(leaves, wanted.designs, wanted.seed)]
    with narrator.watch("error bar") as update:
        runs = sampling.run_all(
            points, functools.partial(coarse_current, case, parameters), results / "samples",
            {"case": case.digest, "spread": 1, "format": FORMAT}, comm,
            lambda done, due: update("model runs on this rank", done / due),
        )  # fmt: skip
    if runs[0].failure:
        raise RunFailure(f"the run at the best values failed on the coarse mesh: {runs[0].failure}")
    ratio = reference / runs[0].value if reference > 0 and not runs[0].is_bound else 1.0
    protocol = case.settings.protocol
    largest = protocol.highest if isinstance(protocol, Bisection) else protocol.step[-1].current
    found = sampling.propagate(
        leaves, dict, points[1:], runs[1:], wanted.level, wanted.seed, correction=ratio, mesh_error=abs(ratio - 1.0),
        smallest=SMALLEST_CURRENT, largest=largest * (BEYOND if isinstance(protocol, Bisection) else 1.0),
    )  # fmt: skip
    samples, tail = np.minimum(found.samples, largest), (1 - wanted.level) / 2
    low, median, high = (float(q) / 10 for q in np.quantile(samples, [tail, 0.5, 1 - tail]))
    beyond = float(np.mean(samples >= largest * (1 - 1e-9)))
    return {
        "value": median, "low": low, "high": high, "bound": "lower" if beyond > tail else None, "level": wanted.level,
        "samples": [float(f"{value / 10:.6g}") for value in samples], "error_split": dict(found.error_split),
        "runs": found.runs, "failures": found.failures, "mesh_ratio": ratio,
        "key": digest({"case": case.digest, "runs": [run.value for run in runs]}),
    }  # fmt: skip


def without(settings: PropagationFile, name: str) -> PropagationFile:
    """The settings with one of `SWITCHES` turned off."""
    geometry, physics = settings.geometry, settings.physics
    flags = {
        "flux-detour": "flux_detour", "lithium-creep": "lithium_creep", "pressure-feedback": "pressure_feedback",
        "mechanical-inhomogeneity": "mechanical_inhomogeneity",
    }  # fmt: skip
    if name in flags:
        return settings.model_copy(update={"physics": physics.model_copy(update={flags[name]: False})})
    if name == "grain-boundaries":
        electrolyte = geometry.electrolyte.model_copy(update={"grain_boundary": None})
        return settings.model_copy(update={"geometry": geometry.model_copy(update={"electrolyte": electrolyte})})
    relaxed = settings.conditions.model_copy(update={"stack_pressure": 0.0, "residual_stress": 0.0})
    return settings.model_copy(update={"conditions": relaxed})


def attribution(case: PropagationCase, results: Path, comm: Any, narrator: Narrator) -> dict[str, Any]:
    """What the switches of `physics.attribute` are worth, at best values on the coarse mesh, over the microstructures, mA/cm².

    By switch "with" and "without" (medians), "factor" (with over without: median, smallest, largest), "microstructures", and
    whether either is only a "lower_bound". Empty where nothing is asked for.

    Raises:
        RunFailure: too many runs failed.
    """
    from multiscale.propagation.inputs import parameters as numbers

    wanted = case.settings.physics.attribute
    if not wanted:
        return {}
    count = case.settings.uncertainty.microstructures if case.settings.uncertainty and case.settings.geometry.uneven else 1
    found: dict[str, list[sampling.Run]] = {}
    for name in ("", *wanted):
        settings = without(case.settings, name) if name else case.settings
        changed = PropagationCase(case.folder, settings, case.materials, case.file)
        with narrator.watch("switches") as update:
            found[name] = sampling.run_all(
                [{}] * count, functools.partial(coarse_current, changed, numbers(changed)), results / "switches",
                {"case": case.digest, "off": name, "spread": 1, "format": FORMAT}, comm,
                functools.partial(_progress, update, name),
            )  # fmt: skip
    return {name: _worth(found[""], found[name]) for name in wanted}


def _progress(update: Callable[[str, float], None], name: str, done: int, due: int) -> None:
    """How far the runs of one switch are."""
    update(f"without {name}" if name else "all physics", done / due)


def _worth(with_all: list[sampling.Run], without_it: list[sampling.Run]) -> dict[str, Any]:
    """The comparison of one switch; A/m² in, mA/cm² out."""
    pairs = [(a, b) for a, b in zip(with_all, without_it, strict=True) if not (a.failure or b.failure)]
    one, other = (np.array([pair[k].value for pair in pairs]) for k in (0, 1))
    factor = one / other
    return {
        "with": float(np.median(one)) / 10, "without": float(np.median(other)) / 10, "unit": "mA/cm^2",
        "factor": float(np.median(factor)), "smallest": float(factor.min()), "largest": float(factor.max()),
        "lower_bound": any(a.is_bound or b.is_bound for a, b in pairs), "microstructures": len(pairs),
    }  # fmt: skip

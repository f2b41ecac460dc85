"""The error bar of a propagation case's critical current, and what each switch is worth: many runs on a coarse mesh."""

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from coupling.errors import RunFailure, UserError
from coupling.store import digest
from multiscale.critical_current import sampling
from multiscale.critical_current.switch_worth import worth
from multiscale.mechanics.filament import FilamentModel
from multiscale.parameters import MIXTURE_MODEL, Parameter, draw, nominal
from multiscale.progress import Narrator
from multiscale.propagation import initiation
from multiscale.propagation.answer import SHORTS, critical_current, hold_table
from multiscale.propagation.case import PropagationCase
from multiscale.propagation.cell import filament_model
from multiscale.propagation.inputs import inputs_at
from multiscale.propagation.march import FORMAT, March, NoStep, Trial, bisect, bracket, require_tested, revisions
from multiscale.propagation.protocols import Bisection, holds
from multiscale.propagation.settings import PropagationFile

COARSE = 2.0
"""Elements per l of the sampled runs."""
BEYOND = 5.0
"""Sampled bisections look so many times beyond the case's own range, so that the surrogate sees a smooth answer."""


def coarse_current(
    case: PropagationCase, parameters: Mapping[str, Parameter], point: Mapping[str, float], number: int, elements: float = COARSE
) -> tuple[float, sampling.Bound]:
    """Critical current (A/m²) of one draw in one microstructure by the case's protocol, and which bound it is.

    Bisections look `BEYOND` times further than the case's own range on either side; `elements` per l.

    Raises:
        RunFailure: the draw cannot be set up, a step failed, or it ended in the conditioning.
    """
    from mpi4py import MPI

    wanted = case.settings.uncertainty
    geometry = case.settings.geometry
    seed = geometry.seed + number % (wanted.microstructures if wanted else 1)
    settings = case.settings.model_copy(update={"geometry": geometry.model_copy(update={"seed": seed})})
    changed = PropagationCase(case.folder, settings, case.materials, case.file)
    best = {key: float(values[0]) for key, values in nominal(parameters).items()}
    inputs = inputs_at(changed, parameters, best | dict(point))
    try:
        model = filament_model(changed, inputs, MPI.COMM_SELF, elements)
    except UserError as error:  # this draw cannot be set up, others may
        raise RunFailure(str(error)) from error
    protocol, pristine = settings.protocol, model.snapshot()
    if isinstance(protocol, Bisection):
        trials = bisect(
            protocol.lowest / BEYOND, protocol.highest * BEYOND, protocol.resolution,
            lambda current: attempt(begin(model, settings, protocol, pristine), protocol, current),
        )  # fmt: skip
        return middle(*bracket(trials), trials)
    march = March.of(model, settings)
    ended = march.run(holds(protocol))
    require_tested(march, protocol, ended)
    found = critical_current(hold_table(march.rows, holds(protocol), march.length, len(protocol.before)), ended in SHORTS)
    return found["value"] * 10, found["bound"]


def middle(low: float, high: float, trials: list[Trial]) -> tuple[float, sampling.Bound]:
    """One number for a bracket, A/m², and which bound it is: the geometric middle, or the end that was reached."""
    if math.isinf(high):
        return max(trial.current for trial in trials), "lower"
    return (math.sqrt(low * high), None) if low > 0 else (high, "upper")


def begin(model: FilamentModel, settings: PropagationFile, protocol: Bisection, start: dict[str, Any]) -> March:
    """The march of one trial, from the cell as it is in the snapshot `start`."""
    model.restore(start)
    return March.of(model, settings, until_growth=protocol.criterion == "growth")


def attempt(march: March, protocol: Bisection, current: float, after: Callable[[March], None] | None = None) -> Trial:
    """One current held on a march that has just begun: how it ended; `after` sees every step.

    Raises:
        NoStep: a step failed, the case's number of time steps did not get through the hold, or the run ended in the conditioning;
            the march holds its rows.
    """
    by = march.run(protocol.held(current), None if after is None else functools.partial(after, march))
    if by == "number of time steps":
        told = f"bisection: {march.control.most} time steps did not get through the hold at {current / 10:.4g} mA/cm^2"
        asked = sum(hold.time for hold in protocol.held(current))
        raise NoStep(f"{told} (at {march.rows[-1].time:.4g} of {asked:g} s); raise time.most or time.largest")
    require_tested(march, protocol, by)
    last = march.rows[-1]
    growth = last.crack_area - march.rows[0].crack_area
    return Trial(current, by != "protocol", by, last.time, last.pressure, growth)


def error_bar(
    case: PropagationCase, parameters: Mapping[str, Parameter], reference: float, results: Path, comm: Any, narrator: Narrator
) -> dict[str, Any]:
    """Distribution of the critical current over draws of every input and over microstructures, mA/cm²; empty if not asked for.

    The first run repeats the best values on the coarse mesh: the fine answer's ratio to it corrects the others, and how far it is
    from one is the error left to the mesh (`mesh_ratio`, None where either is only a bound: that error is then not known).

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
    key = {"case": case.digest, "spread": 2, "format": FORMAT} | revisions(case.settings)
    with narrator.watch("error bar") as update:
        runs = sampling.run_all(
            points, functools.partial(coarse_current, case, parameters), results / "samples", key, comm,
            lambda done, due: update("model runs on this rank", done / due),
        )  # fmt: skip
    if runs[0].failure:
        raise RunFailure(f"the run at the best values failed on the coarse mesh: {runs[0].failure}")
    fine = _fine(case, parameters, reference, best, results, key, comm)
    known = fine.bound is None and runs[0].bound is None and fine.failure is None
    ratio = fine.value / runs[0].value if known else 1.0
    lowest, largest = searched(case.settings)
    found = sampling.propagate(
        leaves, dict, points[1:], runs[1:], wanted.level, wanted.seed, correction=ratio, mesh_error=abs(ratio - 1.0),
        smallest=lowest, largest=largest * (BEYOND if isinstance(case.settings.protocol, Bisection) else 1.0),
    )  # fmt: skip
    return _bar(found, wanted.level, lowest, largest) | {
        "error_split": dict(found.error_split), "runs": found.runs, "failures": found.failures,
        "runs_that_are_bounds": {side: sum(run.bound == side for run in runs[1:]) for side in ("lower", "upper")},
        "mesh_ratio": ratio if known else None, "key": digest({"case": case.digest, "runs": [run.value for run in runs]}),
    }  # fmt: skip


def searched(settings: PropagationFile) -> tuple[float, float]:
    """Smallest current that sampled runs try and the largest that the case asks about, A/m²."""
    protocol = settings.protocol
    if isinstance(protocol, Bisection):
        return protocol.lowest / BEYOND, protocol.highest
    return protocol.own[0].current, protocol.own[-1].current


def _fine(
    case: PropagationCase, parameters: Mapping[str, Parameter], reference: float, best: Mapping[str, float], results: Path,
    key: Mapping[str, Any], comm: Any,
) -> sampling.Run:  # fmt: skip
    """The fine answer that the coarse runs are held to: the case's own, or where that is only a bound, one over a wider range."""
    if reference > 0:
        return sampling.Run(reference)
    if not isinstance(case.settings.protocol, Bisection):
        return sampling.Run(math.nan, "lower")
    model = functools.partial(coarse_current, case, parameters, elements=case.settings.fracture.elements)
    return sampling.run_all([best], model, results / "samples", {**key, "fine": True}, comm)[0]


def _bar(found: sampling.Propagated, level: float, lowest: float, largest: float) -> dict[str, Any]:
    """Median, interval and samples, mA/cm², and which of its ends are open: more of the samples lie there than the tail holds."""
    samples, tail = np.clip(found.samples, lowest, largest), (1 - level) / 2
    low, median, high = (float(q) / 10 for q in np.quantile(samples, [tail, 0.5, 1 - tail]))
    above = float(np.mean(samples >= largest * (1 - 1e-9))) > tail
    below = float(np.mean(samples <= lowest * (1 + 1e-9))) > tail
    return {
        "value": median, "low": low, "high": high, "level": level, "samples": [float(f"{value / 10:.6g}") for value in samples],
        "bound": "both" if above and below else "lower" if above else "upper" if below else None,
    }  # fmt: skip


FLAGS = {
    "flux-detour": "flux_detour", "lithium-creep": "lithium_creep", "pressure-feedback": "pressure_feedback",
    "mechanical-inhomogeneity": "mechanical_inhomogeneity",
}  # fmt: skip
"""Switches that are a key of [physics] themselves."""


def without(settings: PropagationFile, name: str) -> PropagationFile:
    """The settings with one of `SWITCHES` turned off."""
    geometry, physics = settings.geometry, settings.physics
    if name in FLAGS:
        return settings.model_copy(update={"physics": physics.model_copy(update={FLAGS[name]: False})})
    if name == "grain-boundaries":
        electrolyte = geometry.electrolyte.model_copy(update={"grain_boundary": None})
        return settings.model_copy(update={"geometry": geometry.model_copy(update={"electrolyte": electrolyte})})
    if name == "interface-wear":
        return settings.model_copy(update={"interface": settings.interface.model_copy(update={"wear": None})})
    if name == "fatigue":
        return settings.model_copy(update={"fracture": settings.fracture.model_copy(update={"fatigue": None})})
    relaxed = settings.conditions.model_copy(update={"stack_pressure": 0.0, "residual_stress": 0.0})
    return settings.model_copy(update={"conditions": relaxed})


def attribution(case: PropagationCase, results: Path, comm: Any, narrator: Narrator) -> dict[str, Any]:
    """What the switches of `physics.attribute` are worth, at best values on the coarse mesh, over the microstructures, mA/cm².

    By switch the row of `switch_worth.worth`. Empty where nothing is asked for; what the case turns off itself is left out.

    Raises:
        RunFailure: too many runs failed.
    """
    from multiscale.propagation.inputs import parameters as numbers

    physics = case.settings.physics
    wanted = [name for name in physics.attribute if name not in FLAGS or getattr(physics, FLAGS[name])]
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
                {"case": case.digest, "off": name, "spread": 2, "format": FORMAT} | revisions(case.settings), comm,
                functools.partial(_progress, update, name),
            )  # fmt: skip
    alone: dict[str, Any] = {name: worth(name, found[""], found[name]) for name in wanted}
    if not case.settings.both:
        return alone
    steady = _initiations(case, wanted, results, comm, narrator)
    both = {name: [initiation.smaller(*pair) for pair in zip(found[name], steady[name], strict=True)] for name in found}
    return {
        name: worth(name, both[""], both[name])
        | {"propagation_alone": alone[name], "initiation_alone": worth(name, steady[""], steady[name])}
        for name in wanted
    }


def _initiations(case: PropagationCase, wanted: Sequence[str], results: Path, comm: Any, narrator: Narrator) -> dict[str, Any]:
    """Critical currents of initiation with everything ("") and without each switch; one coarse run each."""
    from multiscale.propagation.inputs import parameters as numbers

    found: dict[str, list[sampling.Run]] = {}
    for name in ("", *wanted):
        changed = PropagationCase(
            case.folder, without(case.settings, name) if name else case.settings, case.materials, case.file
        )  # fmt: skip
        with narrator.watch("initiation") as update:
            found[name] = sampling.run_all(
                [{}], functools.partial(initiation.start_current, changed, numbers(changed)), results / "switches",
                {"case": case.digest, "off": name, "initiation": 1}, comm, functools.partial(_progress, update, name),
            )  # fmt: skip
    return found


def _progress(update: Callable[[str, float], None], name: str, done: int, due: int) -> None:
    """How far the runs of one switch are."""
    update(f"without {name}" if name else "all physics", done / due)

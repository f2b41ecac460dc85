"""Onsager matrix and transference numbers of the diffusion runs of a study, and Einstein against Green–Kubo on runs of their own.

The frames that a diffusion run keeps bear its whole matrix: nothing is run anew. What does not diffuse, every element but the
mobile one, makes the framework; the same matrix in the barycentric frame stands beside it. Velocities a few fs apart, which those
frames do not hold, come of a short run of its own by Nosé–Hoover chains, which keep the total momentum: of it both ways
are told, and their difference over its error. Formulas: `onsager`, `green_kubo`; docs/physics.md 1.10.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import BaseCalculator
from scipy import stats

from atomistic import diffusivity, dynamics, green_kubo, onsager
from atomistic.answers import Answered, conditions_of
from atomistic.brownian import ONE_SIDED_95
from atomistic.dynamics import DynamicsSettings
from atomistic.trajectory import Trajectory, read_header
from coupling.constants import BOLTZMANN
from coupling.errors import UserError
from coupling.record import Property
from coupling.units import diffusivity_to_si

LAGS = (0.1, 0.3)
"""Fitted lags as shares of a run, those of its collective conductivity: from where the self-diffusivity is fitted on."""
FRAME = 4.0
"""Time between the frames of a run of velocities, fs."""
BLOCKS = green_kubo.MINIMUM_BLOCKS
"""Parts of that run; its correlations are integrated up to half of one."""
NORMAL = (0.6827, 0.95)
"""Shares of the normal distribution within one standard error and within the 95 % limits."""
IMPLIED = "no estimate of one of its species"
"""What a note says of a pair whose own species are told of already."""
Tick = Callable[[float], None]


def species_charges(cell: Atoms) -> dict[str, float]:
    """Mean formal charge of every element of a crystal, elementary charges; {} where one is not known.

    Those of Zintl and Klemm (`neutral_slices.formal_charges`): P and S bound in a PS4 group share its charge.
    """
    from atomistic.neutral_slices import formal_charges

    try:
        found, labels = formal_charges(cell), np.array(cell.get_chemical_symbols())
    except UserError:
        return {}
    return {str(name): float(found[labels == name].mean()) for name in np.unique(labels)}


def of_run(run: Trajectory, mobile: str, charges: Mapping[str, float]) -> dict[str, Any]:
    """Records, JSON-ready and without material, of a run at constant volume in both frames; notes on what is left out.

    Of a metal, all of whose atoms are of the mobile element, a note alone. Charges: `species_charges`.
    """
    labels, masses = run.final.get_chemical_symbols(), run.final.get_masses()
    framework = tuple(sorted(set(labels) - {mobile}))
    if not framework:
        return {"records": [], "notes": [f"no Onsager matrix: all atoms are {mobile}, with no framework to move against"]}
    length = len(run.positions) * run.frame_interval
    window, kelvin = (LAGS[0] * length, LAGS[1] * length), float(np.mean(run.temperatures))
    found: list[Property] = []
    notes: list[str] = []
    for frame in (framework, ()):
        matrix = onsager.einstein(run.positions, labels, masses, run.frame_interval, kelvin, float(run.final.get_volume()),
                                  frame, window)  # fmt: skip
        found += matrix.records("", {}, {})
        notes += [f"{matrix.frame}: {note}" for note in matrix.notes]
        if charges:
            numbers = onsager.transference(run.positions, labels, masses, charges, run.frame_interval, frame, window)
            found += [record for record in numbers.records("", {}, {}) if record.conditions["species"] == mobile]
            notes += [f"{numbers.frame}: no transference number: {numbers.reason}"] if numbers.reason else []
    return {"records": [record.to_dict() for record in found], "notes": notes}


def kept_run(folder: Path, picoseconds: float) -> Trajectory:
    """The first `picoseconds` of the production run that a diffusion task keeps in its folder. Raises UserError: it is gone."""
    production = folder / "production"
    header = read_header(production)
    frames = None if header is None else round(1000 * picoseconds / header["settings"]["frame_interval"])
    run = dynamics.load(production, frames)
    if frames is None or len(run.positions) < frames:
        raise UserError(f"{production}: {run.picoseconds:g} ps of {picoseconds:g} ps are there")
    return run


def velocity_run(p: Mapping[str, Any], start: Atoms, calculator: BaseCalculator, folder: Path, tick: Tick) -> dict[str, Any]:
    """A run at constant volume whose frames keep velocities, and what Einstein and Green–Kubo make of it. Raises Unphysical."""
    settings = DynamicsSettings(p["temperature"], p["production"], "nvt", friction_time=200.0, thermostat="chains",
                                frame_interval=FRAME, checkpoint_interval=400.0, seed=p["seed"] + 2, velocities=True)  # fmt: skip
    run = dynamics.run(start, calculator, settings, folder / "velocities", tick)
    return {"atoms": len(start), "picoseconds": run.picoseconds, "mean_temperature": float(np.mean(run.temperatures)),
            **both_ways(run, p["mobile"], p["seed"])}  # fmt: skip


def both_ways(run: Trajectory, mobile: str, seed: int) -> dict[str, Any]:
    """Self-diffusivity (m²/s) and collective L (1/(J m s)) of the mobile element in the framework, by both ways, of one run.

    Each is {"einstein", "green_kubo": [value, error], "paired": [difference, error], "reason"}. Einstein's lags are the longer
    ones that `of_run` and `diffusivity` fit; the paired difference is of both ways over the lags of the plateau, block by block.
    """
    assert run.velocities is not None
    labels, masses = run.final.get_chemical_symbols(), run.final.get_masses()
    names, step = np.array(labels), run.frame_interval
    moving, framework = np.flatnonzero(names == mobile), tuple(sorted(set(labels) - {mobile}))
    velocities = run.velocities.astype(float)
    tracks, drifting = (diffusivity.without_drift(each, moving) for each in (run.positions, velocities))
    cutoff = (len(velocities) // BLOCKS // 2) * step
    own, plateau = (diffusivity.from_positions(run.positions, moving, step, seed=seed),
                    green_kubo.self_diffusivity(velocities, moving, step, cutoff, BLOCKS))  # fmt: skip
    found: dict[str, Any] = {"cutoff_fs": cutoff, "self": {
        "einstein": [own.value, own.stderr], "green_kubo": [plateau.value, plateau.stderr], "reason": plateau.reason,
        "paired": _paired(tracks, drifting, cutoff, step),
    }}  # fmt: skip
    if not framework:
        return found
    kelvin, volume, length = float(np.mean(run.temperatures)), float(run.final.get_volume()), len(run.positions) * step
    common = (labels, masses, step, kelvin, volume)
    fitted = onsager.einstein(run.positions, *common, framework, (LAGS[0] * length, LAGS[1] * length))
    integral = green_kubo.green_kubo(velocities, *common, cutoff, framework, BLOCKS)
    i = fitted.species.index(mobile)
    moved, currents = (onsager.summed(each, labels, masses, framework)[1][:, i : i + 1]
                       for each in (run.positions - run.positions[:1], velocities))  # fmt: skip
    scale = 1 / (BOLTZMANN * kelvin * volume * 1e-30)
    found["collective"] = {
        "einstein": _told(fitted, i), "green_kubo": _told(integral, i), "frame": fitted.frame, "window_fs": list(fitted.window),
        "reason": "; ".join(note for note in (*fitted.notes, *integral.notes) if note.startswith(f"{mobile}-{mobile}:")),
        "paired": [scale * each for each in _paired(moved, currents, cutoff, step)],
    }  # fmt: skip
    return found


def _told(found: onsager.Onsager, i: int) -> list[float | None]:
    """Value and error of L_ii; no error where it is no estimate."""
    return [float(found.matrix[i, i]), float(found.stderr[i, i]) if found.told[i, i] else None]


def _paired(tracks: np.ndarray, velocities: np.ndarray, cutoff: float, step: float) -> list[float]:
    """Green–Kubo minus Einstein over the lags of the plateau (m²/s), mean of the blocks and its standard error.

    Mean of the running integral from t1 to t2 against the secant [C(t2) - C(t1)]/(6 (t2 - t1)) of the mean squared displacement C
    within the same block, equal in expectation: d C/dt = 6 ∫_0^t <v·v>/3 dt'. Both are of one run, so that their noise is shared.

    Args:
        tracks: (frames, n, 3), Å. velocities: (frames, n, 3), Å/fs. cutoff, step: fs.
    """
    length, late = len(tracks) // BLOCKS, round(cutoff / step)
    early, apart = round(green_kubo.PLATEAU_FROM * late), []
    for block in (slice(b * length, (b + 1) * length) for b in range(BLOCKS)):
        integral = green_kubo.running_integral(green_kubo.mean_correlation(velocities[block], late)[None], step)[0]
        part = tracks[block]
        squares = [float(((part[lag:] - part[:-lag]) ** 2).sum(axis=2).mean()) for lag in (early, late)]
        apart.append(integral[early:].mean() / 3 - (squares[1] - squares[0]) / (6 * (late - early) * step))
    return [diffusivity_to_si(float(np.mean(apart))), diffusivity_to_si(float(np.std(apart, ddof=1) / len(apart) ** 0.5))]


def records(phase: str, runs: Answered, source: Mapping[str, Any]) -> list[Property]:
    """Records of the diffusion runs that carry a matrix ("onsager"), those of one temperature joined, and of both ways."""
    found: dict[tuple[Any, ...], list[tuple[int, Property]]] = {}
    with_matrix = [run for run in runs if run[0].kind == "diffusion" and "onsager" in run[1]]
    for number, (task, answer) in enumerate(with_matrix):
        for told in answer["onsager"]["records"]:
            record = Property.from_dict({**told, "material": phase})
            where = record.conditions
            key = (task.parameters["temperature"], task.parameters.get("pressure", 0.0), record.quantity, where["frame"],
                   where["species"])  # fmt: skip
            found.setdefault(key, []).append((number, record))
    groups = {key: [record for _, record in group] for key, group in found.items()}
    of = Counter((task.parameters["temperature"], task.parameters.get("pressure", 0.0)) for task, _ in with_matrix)
    joined = [_joined(groups[key], [with_matrix[number] for number, _ in group], source,
                      _factors([other for at, other in groups.items() if at[2:] == key[2:]]), of[key[:2]])
              for key, group in found.items()]  # fmt: skip
    made = [record for record in joined if record is not None]
    for task, answer in runs:
        if task.kind == "onsager" and "self" in answer:
            made += _compared(phase, task, answer, source)
    return made


def _factors(groups: Sequence[Sequence[Property]]) -> tuple[float, float] | None:
    """What the error and the 95 % half-width of a mean of runs are, over its error if the runs scattered as they tell.

    Groups of records of one coefficient, a group a temperature; absolute errors, those of a group alike, since mixed
    coefficients may be 0 or below. With the scatter sqrt(χ²/ν) of the runs over that of their errors (Birge, Phys. Rev. 40, 207
    (1932)) a factor is the larger of the half-widths of the normal distribution and, times that, of Student's: whichever of both
    tells the truth, the other one only adds. An interval then holds at least its share however much runs scatter, and more where
    they agree, most for ν = 1. The shares are `normal` less 6/ν and 5/ν %, about which both ends lie.

    None: no two runs of a temperature, which say nothing of scatter.
    """
    chi_square, freedom = 0.0, 0
    for group in groups:
        known = [record for record in group if record.bound is None]
        square = float(np.mean([record.stderr**2 for record in known if record.stderr])) if any(r.stderr for r in known) else 0.0
        if len(known) > 1 and square:
            chi_square += float(np.var([record.value for record in known])) * len(known) / square
            freedom += len(known) - 1
    if not freedom:
        return None
    scatter = (chi_square / freedom) ** 0.5
    error, limit = (max(stats.norm.ppf((1 + share) / 2), scatter * stats.t.ppf((1 + share) / 2, freedom))
                    for share in (NORMAL[0] - 0.06 / freedom, NORMAL[1] - 0.05 / freedom))  # fmt: skip
    return float(error), float(limit)


def _joined(group: Sequence[Property], runs: Answered, source: Mapping[str, Any],
            factors: tuple[float, float] | None, of: int) -> Property | None:
    """Mean of the estimates of runs of one length and its error, times `_factors` where there are some; else the largest bound.

    Runs of one length have one relative error, so that all count alike. Of bounds, each of 95 %, the least would hold the
    truth in 90 % of two; exposures do not add as those of events do. Of `of` runs more than half must give an estimate: those
    few that do where rattling hides most of the motion are too high (1.8 times where one in seven does). Else their upper limits
    count among the bounds; None: no bound.
    """
    known = [record for record in group if record.bound is None]
    if 2 * len(known) <= of:
        if len(known) == len(group):
            return None
        group = [replace(record, value=record.value + ONE_SIDED_95 * (record.stderr or 0.0)) for record in group]
        group, known = [replace(one, bound="upper", stderr=None, low=None, high=None) for one in group], []
    first, task = (known or sorted(group, key=lambda record: -record.value))[0], runs[0][0]
    pressure = {"pressure_Pa": 1e9 * task.parameters["pressure"]} if task.parameters.get("pressure") else {}
    held = {key: first.conditions[key] for key in ("species", "frame")}
    mean = round(float(np.mean([answer["mean_temperature"] for _, answer in runs])), 2)
    where = conditions_of(task, temperature_K=task.parameters["temperature"], mean_temperature_K=mean, **pressure, **held)
    own = {**source, **first.source, "picoseconds": sum(answer["picoseconds"] for _, answer in runs), "runs": len(runs),
           "seeds": sorted(run.parameters["seed"] for run, _ in runs), "dtype": task.parameters["dtype"],
           "atoms": runs[0][1]["atoms"], "keys": [run.key for run, _ in runs]}  # fmt: skip
    if not known:
        return replace(first, conditions=where, source=own)
    values, errors = (np.array([getattr(record, name) for record in known]) for name in ("value", "stderr"))
    mean, error = float(values.mean()), float(np.sqrt((errors**2).sum()) / len(known))
    if factors is None:
        return replace(first, value=mean, stderr=error, conditions=where, source=own)
    reach = factors[1] * error
    return replace(first, value=mean, stderr=factors[0] * error, low=mean - reach, high=mean + reach, conditions=where,
                   source=own)  # fmt: skip


def _compared(phase: str, task: Any, answer: Mapping[str, Any], source: Mapping[str, Any]) -> list[Property]:
    """Green–Kubo's self-diffusivity and L of the mobile element, each with Einstein's of the same run and how far they differ.

    A way that gives no estimate leaves the record out (`problems`).
    """
    mobile, made = task.parameters["mobile"], []
    where = conditions_of(task, temperature_K=task.parameters["temperature"], method="green-kubo",
                          mean_temperature_K=round(answer["mean_temperature"], 2))  # fmt: skip
    own = {**source, "seeds": [task.parameters["seed"]], "dtype": task.parameters["dtype"], "atoms": answer["atoms"],
           "picoseconds": answer["picoseconds"], "keys": [task.key], "cutoff_fs": answer["cutoff_fs"],
           "method": "integral of the correlation of velocities (Green-Kubo)"}  # fmt: skip
    wanted = (("self", "self_diffusivity_green_kubo", "m^2/s", mobile),
              ("collective", "onsager_coefficient", "1/(J*m*s)", f"{mobile}-{mobile}"))  # fmt: skip
    for kind, quantity, unit, species in wanted:
        told = answer.get(kind)
        if told is None or unresolved(told):
            continue
        frame = {"frame": told["frame"]} if "frame" in told else {}
        made.append(Property(phase, quantity, told["green_kubo"][0], unit, stderr=told["green_kubo"][1], kind="md",
                             conditions={**where, "species": species, **frame}, source={**own, **difference(told)}))  # fmt: skip
    return made


def unresolved(told: Mapping[str, Any]) -> str:
    """Why one of the two ways gave no estimate; "" where both did."""
    lacking = [name for name in ("einstein", "green_kubo") if told[name][1] is None]
    return str(told["reason"] or (f"{lacking[0]} gives no estimate" if lacking else ""))


def difference(told: Mapping[str, Any]) -> dict[str, Any]:
    """Green–Kubo minus Einstein: at the same lags block by block, and against the longer lags of Einstein's own fit.

    The second holds what the correlation still does after the cutoff (ions that hop back): its errors, added as if independent,
    are on the safe side.
    """
    (one, one_error), (other, other_error), (apart, error) = told["einstein"], told["green_kubo"], told["paired"]
    return {"difference": apart, "difference_stderr": error, "difference_over_error": round(apart / error, 3),
            "einstein_at_longer_lags": one, "einstein_at_longer_lags_stderr": one_error,
            "longer_lags_over_error": round((other - one) / float(np.hypot(one_error, other_error)), 3)}  # fmt: skip


def problems(listed: Answered) -> list[str]:
    """What the runs could not give: left-out pairs of a matrix, and comparisons without two estimates."""
    told = []
    for task, answer in (run for run in listed if run[0].kind in ("diffusion", "onsager")):
        where = f"{task.parameters['phase']} at {task.parameters['temperature']:g} K"
        told += [f"{where}: {note}" for note in answer.get("onsager", {}).get("notes", ()) if IMPLIED not in note]
        for kind in ("self", "collective"):
            if task.kind == "onsager" and kind in answer and (reason := unresolved(answer[kind])):
                told.append(f"{where}: Einstein against Green–Kubo, {kind}: {reason}")
    return list(dict.fromkeys(told))

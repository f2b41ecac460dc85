"""A measured critical current of stripping against the closed form of voids in lithium; never pooled with plating.

The cell is that of the plating rows. Its [case.voiding] names the material file of the voids; what creep and vacancy diffusion
can follow (`multiscale.mechanics.voiding`, docs/physics.md 1.13) is drawn over the ranges of all its inputs, without a model run.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from multiscale.comparison.cells import Cell
from multiscale.comparison.matching import CELSIUS, PRESSURE, TEMPERATURE, Conditions, Match, assembled, cell_of, outside_survey
from multiscale.comparison.predictions import SCALE, SPLIT_ROWS, Prediction, keep, prediction_key
from multiscale.critical_current.answer import SMALLEST_CURRENT
from multiscale.critical_current.other_mechanisms import voiding_currents
from multiscale.critical_current.sampling import error_split
from multiscale.parameters import TEMPERATURE_TOLERANCE, draw, nominal, resolve

RUNS = "closed form of docs/physics.md 1.13"
"""Stands for the model runs in the hash of a prediction: there are none."""
COVERED = "the conditions that the cell stands for"
NOT_IN_IT = "the charge stripped and the number of cycles are not in the closed form (steady current)"


def match_stripping(conditions: Conditions, cells: Sequence[Cell]) -> Match | str:
    """The cell of a stripping measurement under its conditions, or in words why none can be held against it."""
    cell = cell_of(conditions, cells)
    if isinstance(cell, str):
        return cell
    if cell.voids is None:
        return f"a limit of stripping by voids, and {cell.file.path.name} names none ([case.voiding])"
    found = assembled(replace(conditions, asr_interface_ohm_cm2=None), cell)  # no kinetics in it: a resistance says nothing here
    if (reason := outside_survey(found, COVERED)) is not None:
        return reason
    kelvin, nominal = found.parameters[TEMPERATURE].used.value, cell.case.settings.conditions.temperature
    if abs(kelvin - nominal) > TEMPERATURE_TOLERANCE:
        return f"{kelvin - CELSIUS:.4g} °C: the diffusion of vacancies is known at {nominal - CELSIUS:.4g} °C alone"
    own = (f"{cell.voids}.", f"{cell.case.settings.interface.metal}.")
    parameters = {key: value for key, value in resolve(cell.case, ()).items() if key.startswith(own)}
    parameters |= {key: found.parameters[key] for key in (TEMPERATURE, PRESSURE)}
    silent = tuple(text for text in found.assumed if text.startswith(("temperature", "stack pressure")))
    drawn = f"voids, vacancies and creep over the ranges of {cell.voids}.toml and {cell.case.settings.interface.metal}.toml"
    return Match(cell, parameters, found.stated, (*silent, drawn), found.remarks, False, "stripping")


def predict_stripping(found: Match, store: Path | None = None) -> Prediction:
    """The predicted limit, mA/cm², over draws of every input; read from the store where it is kept there already."""
    key = prediction_key(found, RUNS)
    return keep(found.cell.name, key, store, lambda: _predicted(found, key))


def _predicted(found: Match, key: str) -> Prediction:
    wanted = found.cell.case.settings.uncertainty
    leaves = draw(found.parameters, wanted.samples, wanted.seed)
    varying = {name: values for name, values in leaves.items() if np.ptp(values) > 0}

    def logarithm(mixed: Mapping[str, np.ndarray]) -> np.ndarray:
        count = len(next(iter(mixed.values())))
        full = {name: mixed.get(name, np.full(count, values[0])) for name, values in leaves.items()}
        return np.log(np.maximum(voiding_currents(found.cell.case, full)[0], SMALLEST_CURRENT))

    logs = logarithm(leaves) + np.log(SCALE)
    tail = (1 - wanted.level) / 2
    low, median, high = (float(q) for q in np.exp(np.quantile(logs, [tail, 0.5, 1 - tail])))
    middle = {name: np.atleast_1d(value) for name, value in nominal(found.parameters).items()}
    best = float(np.maximum(voiding_currents(found.cell.case, middle)[0], SMALLEST_CURRENT)[0]) * SCALE
    split = error_split(logarithm, varying, 0.0, 0.0, np.random.default_rng([wanted.seed, 3]), SPLIT_ROWS)
    return Prediction(median, low, high, wanted.level, float(logs.mean()), float(logs.std()), None, split, key, best)

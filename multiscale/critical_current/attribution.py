"""What each switch is worth: the critical current with all physics against that without one, in each microstructure."""

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from multiscale.case import Case
from multiscale.critical_current import sampling
from multiscale.critical_current.answer import SEARCH_BEYOND, SMALLEST_CURRENT, VERSION
from multiscale.progress import Narrator


def attribution(case: Case, inputs: Mapping[str, float], results: Path, comm: Any, narrator: Narrator) -> dict[str, Any]:
    """Worth of the switches that the case asks for, at the best values on the coarse mesh, over its microstructures.

    Args:
        case: the checked case.
        inputs: of the continuum, at the best values.
        results: runs are kept under results/switches.
        comm: communicator; runs are spread over its ranks.
        narrator: tells the progress.

    Returns:
        Empty where nothing is asked for. Else, by switch, current densities in mA/cm²: "with" and "without" (medians), "factor"
        (critical current with the mechanism over the one without; median, smallest and largest over the microstructures) and
        "microstructures" (how many were compared).

    Raises:
        RunFailure: too many runs failed.
    """
    wanted = tuple(name for name in case.settings.physics.attribute if name not in case.settings.physics.off())
    if not wanted:
        return {}
    count = case.settings.uncertainty.microstructures
    values = {}
    for name in ("", *wanted):
        told = f"without {name}" if name else "all physics"
        with narrator.watch("switches") as update:

            def progress(done: int, due: int, told: str = told, update: Any = update) -> None:
                update(told, done / due)

            runs = sampling.run_all(
                [dict(inputs)] * count, functools.partial(_current, case, frozenset({name} - {""})), results / "switches",
                {"version": VERSION, "case": case.digest, "off": name}, comm, progress,
            )  # fmt: skip
        values[name] = np.array([run.value for run in runs])
    return {name: _worth(values[""], values[name]) for name in wanted}


def _worth(with_all: np.ndarray, without: np.ndarray) -> dict[str, Any]:
    """The comparison of one switch; A/m² in, mA/cm² out."""
    good = np.isfinite(with_all) & np.isfinite(without)
    one, other = (np.maximum(values[good], SMALLEST_CURRENT) for values in (with_all, without))
    factor = one / other
    return {
        "with": float(np.median(with_all[good])) / 10, "without": float(np.median(without[good])) / 10, "unit": "mA/cm^2",
        "factor": float(np.median(factor)), "smallest": float(factor.min()), "largest": float(factor.max()),
        "microstructures": int(good.sum()),
    }  # fmt: skip


def _current(case: Case, off: frozenset[str], point: Mapping[str, float], number: int) -> tuple[float, bool]:
    """Critical current (A/m²) of one microstructure with some switches off, and whether it is a bound."""
    from mpi4py import MPI

    from multiscale.critical_current.continuum import initiation_model

    model = initiation_model(case, point, case.settings.geometry.seed + number, MPI.COMM_SELF, fine=False, off=off)
    critical = model.critical_current(SEARCH_BEYOND * case.settings.protocol.maximum)
    return critical.current_density, critical.bound is not None

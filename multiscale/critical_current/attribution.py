"""What each switch is worth: the critical current with all physics against that without one, in each microstructure."""

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from multiscale.case import Case
from multiscale.critical_current import sampling
from multiscale.critical_current.answer import SEARCH_BEYOND, VERSION
from multiscale.critical_current.switch_worth import worth
from multiscale.progress import Narrator


def switches(case: Case) -> tuple[str, ...]:
    """Names of the switches whose worth the case asks for, those that are off already left out."""
    return tuple(name for name in case.settings.physics.attribute if name not in case.settings.physics.off())


def attribution(
    case: Case, inputs: Mapping[str, float], results: Path, comm: Any, narrator: Narrator, nucleation: float | None = None
) -> dict[str, Any]:
    """Worth of the switches that the case asks for, at the best values on the coarse mesh, over its microstructures.

    Args:
        case: the checked case.
        inputs: of the continuum, at the best values.
        results: runs are kept under results/switches.
        comm: communicator; runs are spread over its ranks.
        narrator: tells the progress.
        nucleation: critical current of nucleation at the best values, mA/cm², which no switch changes (its layers are flat, its
            metal's pressure is given); None where there is none.

    Returns:
        Empty where nothing is asked for. Else, by switch, the row of `switch_worth.worth`, of the smallest of the plating
        mechanisms; beside nucleation with the row of "initiation_alone".

    Raises:
        RunFailure: too many runs failed.
    """
    wanted = switches(case)
    if not wanted:
        return {}
    count = case.settings.uncertainty.microstructures
    runs = {}
    for name in ("", *wanted):
        told = f"without {name}" if name else "all physics"
        with narrator.watch("switches") as update:

            def progress(done: int, due: int, told: str = told, update: Any = update) -> None:
                update(told, done / due)

            runs[name] = sampling.run_all(
                [dict(inputs)] * count, functools.partial(_current, case, frozenset({name} - {""})), results / "switches",
                {"version": VERSION, "case": case.digest, "off": name}, comm, progress,
            )  # fmt: skip
    alone: dict[str, Any] = {name: worth(name, runs[""], runs[name]) for name in wanted}
    if nucleation is None:
        return alone
    return {
        name: worth(name, runs[""], runs[name], 10 * nucleation) | {"initiation_alone": alone[name]} for name in wanted
    }


def _current(case: Case, off: frozenset[str], point: Mapping[str, float], number: int) -> tuple[float, sampling.Bound]:
    """Critical current (A/m²) of one microstructure with some switches off, and which bound it is."""
    from mpi4py import MPI

    from multiscale.critical_current.continuum import initiation_model

    model = initiation_model(case, point, case.settings.geometry.seed + number, MPI.COMM_SELF, fine=False, off=off)
    critical = model.critical_current(SEARCH_BEYOND * case.settings.protocol.maximum)
    return critical.current_density, critical.bound

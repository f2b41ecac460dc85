"""Initiation of the flaw of a propagation case: the steady current at which it starts, by the model of critical-current cases.

The same flaw, cell and numbers as the run in time, but a sharp crack on a mesh of its own and the steady state of an endless hold
(`critical_current.initiation`). Even cells only: that model draws grains and random fields of its own.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from mpi4py import MPI

from meshes.flaw import Flaw
from meshes.polycrystal import COARSE, FINE, LayeredCell
from multiscale.beside import least, smallest, unknown
from multiscale.critical_current.cell_properties import CellProperties
from multiscale.critical_current.geometry import TIP_SHARE
from multiscale.critical_current.initiation import Critical, InitiationModel
from multiscale.critical_current.sampling import Bound, Run
from multiscale.critical_current.switch_worth import worth
from multiscale.layered import layered_domain
from multiscale.parameters import Parameter, nominal
from multiscale.propagation.case import PropagationCase
from multiscale.propagation.inputs import PropagationInputs, inputs_at

REGIONS = ("grain", "boundary", "interphase")
SURFACE = 0.05
"""Thickness over the flaw's depth of the regions that the mesh names beside the grains; all are the same material here."""
TO_MA_PER_CM2 = 0.1
SIGNS = {"lower": "at least ", "upper": "at most "}
"""What is said before a number that is only a bound."""


def initiation(case: PropagationCase, inputs: PropagationInputs, comm: Any, fine: bool = True) -> Critical:
    """Critical current of initiation of the case's flaw at its own temperature and stack pressure. Call on every rank.

    `fine`: the mesh of an answer, else that of sampled runs.

    Raises:
        UserError: the cell cannot be meshed (a mouth too narrow or too wide for the flaw).
        RunFailure: a solve failed.
    """
    geometry, p = case.settings.geometry, inputs.filament
    mesh, layer, mouth = FINE if fine else COARSE, SURFACE * inputs.flaw_depth, geometry.flaw.mouth
    rest = geometry.electrolyte.thickness - layer
    flaw = Flaw(depth=inputs.flaw_depth, mouth_opening=mouth, tip_radius=TIP_SHARE * mouth, at="grain", lined=False)
    cell = LayeredCell(geometry.width, rest, min(geometry.width, rest), layer, layer, flaw, geometry.seed, mesh)
    properties = CellProperties(
        conductivity=dict.fromkeys(REGIONS, inputs.conductivity), elastic=dict.fromkeys(REGIONS, inputs.elastic),
        exchange_current_density=p.exchange_current_density, temperature=p.temperature, stack_pressure=inputs.stack_pressure,
        grain_toughness=inputs.toughness, boundary_toughness=inputs.toughness, creep=p.creep,
        anodic_transfer=p.anodic_transfer, mechanical_transfer=p.mechanical_transfer,
    )  # fmt: skip
    return InitiationModel(layered_domain(cell, comm)[0], cell, properties).critical_current()


def start_current(
    case: PropagationCase, parameters: Mapping[str, Parameter], point: Mapping[str, float], number: int
) -> tuple[float, Bound]:  # fmt: skip
    """Critical current of initiation (A/m²) at the best values of a case, on the mesh of sampled runs, and which bound it is."""
    best = {key: float(values[0]) for key, values in nominal(parameters).items()}
    found = initiation(case, inputs_at(case, parameters, best | dict(point)), MPI.COMM_SELF, fine=False)
    return found.current_density, found.bound


def smaller(one: Run, other: Run) -> Run:
    """The smaller of two critical currents of one microstructure, and which bound that is (`multiscale.beside.least`)."""
    if one.failure or other.failure:
        return one if one.failure else other
    return Run(*least([(one.value, one.bound), (other.value, other.bound)]))


def row(found: Critical) -> dict[str, Any]:
    """Row of summary.json's "mechanisms", mA/cm²."""
    value = found.current_density * TO_MA_PER_CM2
    return {
        "value": value, "low": value, "high": value, "bound": found.bound, "level": 0.0, "unit": "mA/cm^2",
        "mechanism": "initiation", "criterion": "steady start", "limited_by": found.limited_by,
        "pressure_MPa": found.state.flaw_pressure / 1e6,
        "interval": "steady state of an endless hold, one cell at best values, no error of the inputs is in it",
    }  # fmt: skip


def beside(summary: Mapping[str, Any], found: Critical | None) -> dict[str, Any]:
    """What initiation changes in a summary of propagation: both mechanisms, the smaller as the answer, what each is worth.

    A mechanism is worth what the critical current would be without it: that of the other alone.
    """
    if found is None:
        return {}
    rows = {"initiation": row(found), "propagation": summary["ccd"]}
    runs = {name: Run(each["value"] / TO_MA_PER_CM2, each["bound"]) for name, each in rows.items()}
    both = smaller(*runs.values())
    alone = {"initiation": runs["propagation"], "propagation": runs["initiation"]}
    gains = {name: worth(name, [both], [other]) for name, other in alone.items()}
    return {"ccd": first_of(list(rows.values())), "mechanisms": rows, "attribution": dict(summary["attribution"]) | gains}


def first_of(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The row of the smallest critical current; where that is not known, the number that bounds it and no mechanism."""
    numbers = [(each["value"], each["bound"]) for each in rows]
    known = smallest(numbers)
    if known is not None:
        return dict(rows[known])
    value, bound = least(numbers)
    base = next(each for each in rows if each["value"] == value)
    told = f"a bound ({'at least' if bound == 'lower' else 'at most'}) by {base['mechanism']}: {base['interval']}"
    low = value if bound == "lower" else 0.0
    why = f"which mechanism is smaller is not known, for {unknown(rows)}"
    return dict(base) | {"low": low, "high": value, "bound": bound, "mechanism": None, "interval": f"{told}; {why}"}


def initiation_lines(mechanisms: Mapping[str, Any], first: Mapping[str, Any]) -> list[str]:
    """What initiation says beside propagation, in words; nothing where it was not asked."""
    steady = mechanisms.get("initiation")
    if steady is None:
        return []
    sign = SIGNS.get(str(steady["bound"]), "")
    told = f"initiation: {sign}{steady['value']:.4g} mA/cm^2 at {steady['pressure_MPa']:.4g} MPa ({steady['interval']})"
    if first["mechanism"] is not None:
        return [told, f"the smaller is that of {first['mechanism']}"]
    why = f"which is smaller is not known: {unknown(list(mechanisms.values()))}"
    return [told, f"{why}; the critical current is {SIGNS[first['bound']]}{first['value']:.4g} mA/cm^2"]

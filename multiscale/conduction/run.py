"""`multiscale check` and `run` of a conduction case: numbers with sources, mesh, one steady solve, figures and fields."""

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import ufl
from dolfinx import fem, io

from coupling.atomic import write_json
from coupling.errors import RunFailure, UserError
from coupling.store import digest
from multiscale.conduction.case import ConductionCase, boundary_parameters, parameters
from multiscale.conduction.geometry import MeshedCase, build
from multiscale.conduction.grains import Boundaries, GrainConduction
from multiscale.conduction.steady import Conduction, ConductionFigures
from multiscale.connectivity import require_path
from multiscale.console import show, show_json
from multiscale.dolfinx_compat import interpolation_points
from multiscale.parameters import Parameter
from multiscale.pipeline import versions
from multiscale.progress import Narrator
from multiscale.reporting.preview import write_preview
from multiscale.single_run import run_once
from multiscale.tables import parameter_rows, parameter_table
from multiscale.transport.single_ion import current_density

FORMAT = 1
"""Raised whenever a change of the code changes what a run computes."""
OHM_CM2 = 1e4
"""One ohm m² in ohm cm²."""


def show_check(case: ConductionCase, as_json: bool) -> None:
    """Print what `multiscale check` tells of a conduction case: every number with its source."""
    found, *_ = _numbers(case)
    if as_json:
        show_json({"case": case.name, "parameters": parameter_rows(found)})
    else:
        show(parameter_table(case, found, "a conduction case runs none"))


def run_conduction(case: ConductionCase, results: Path, comm: Any) -> dict[str, Any]:
    """Mesh and solve a conduction case unless its results are there; gives the summary on every rank.

    Raises:
        UserError: a number is missing, the geometry cannot be drawn, no current flows, folder in use.
        RunFailure: the mesh or the solve failed, or the disk is full.
    """
    found, values, between = _numbers(case)
    key = digest({"case": case.digest, "format": FORMAT})

    def go(narrator: Narrator) -> dict[str, Any]:
        meshed = build(case, comm, between is not None)
        narrator.say("mesh", f"{meshed.quality.cells} cells, worst shape {meshed.quality.worst_shape:.2g}")
        problem = _problem(case, meshed, values, between)
        figures = problem.solve()
        summary = _summary(case, meshed, problem, figures) | {
            "versions": comm.bcast(versions() if comm.rank == 0 else None),
            "hashes": {"case": case.digest, "run": key}, "wall_s": narrator.seconds(),
        }  # fmt: skip
        if comm.rank == 0:
            write_json(results / "parameters.json", {"parameters": parameter_rows(found)})
            write_preview(case.name, meshed_alone(case, meshed, comm), results / "geometry.png")
        write_fields(results / "fields" / "conduction.bp", problem, summary["cell_voltage_V"])
        if comm.rank == 0:
            write_json(results / "summary.json", summary)
        for line in answer_lines(summary):
            narrator.say("answer", line)
        comm.barrier()
        return summary

    return run_once(case, key, results, comm, "conduction", go)


def _numbers(case: ConductionCase) -> tuple[dict[str, Parameter], dict[str, float], Boundaries | None]:
    """Every sourced number by key, the conductivity of each region (S/m), and thin grain boundaries if there are any."""
    found, values = parameters(case)
    between = boundary_parameters(case, values["grain"]) if "grain" in values else None
    return (found, values, None) if between is None else (found | between[0], values, between[1])


def _problem(
    case: ConductionCase, meshed: MeshedCase, values: dict[str, float], between: Boundaries | None
) -> Conduction | GrainConduction:
    """The equations: of one potential, or of grains with boundaries between them (which a single grain does not have)."""
    try:
        require_path(meshed.domain, meshed.lithium, meshed.counter)
    except UserError as error:
        raise UserError(case.file.complaint(("geometry",), str(error))) from None
    grains = [name for name in meshed.domain.regions if name.split(" ")[0] == "grain"]
    every = {name: values["grain"] if name in grains else values[name] for name in meshed.domain.regions}
    if between is None or len(grains) < 2:
        return Conduction(meshed.domain, every, meshed.lithium, meshed.counter)
    try:
        return GrainConduction(meshed.domain, every, grains, between, meshed.lithium, meshed.counter)
    except UserError as error:
        raise UserError(case.file.complaint(("geometry", "electrolyte", "grain_boundary"), str(error))) from None


def meshed_alone(case: ConductionCase, meshed: MeshedCase, comm: Any) -> MeshedCase:
    """The same mesh on this rank alone, its grains one region, for a picture."""
    from mpi4py import MPI

    apart = any(name.startswith("grain ") for name in meshed.domain.regions)
    return meshed if comm.size == 1 and not apart else build(case, MPI.COMM_SELF)


def _summary(
    case: ConductionCase, meshed: MeshedCase, problem: Conduction | GrainConduction, figures: ConductionFigures
) -> dict[str, Any]:
    """The answer, for scripts."""
    drive, area = case.settings.conduction, meshed.cross_section
    asr = figures.resistance * area
    unit = "ohm" if meshed.domain.dimension == 3 or meshed.domain.axisymmetric else "ohm m"
    return {
        "case": case.name, "kind": "conduction", "geometry": case.settings.geometry.kind,
        "asr_ohm_cm2": {name: share * asr * OHM_CM2 for name, share in figures.share.items()} | {"total": asr * OHM_CM2},
        "resistance": {"value": figures.resistance, "unit": unit},
        "cell_voltage_V": asr * drive.current_density, "current_density_mA_per_cm2": drive.current_density / 10,
        "focusing_factor": _focus(case, problem),
        "detour_factor": figures.detour_factor, "mean_path_m": figures.mean_path, "electrode_distance_m": figures.distance,
        "lithium_area": figures.area, "cross_section": area, "area_unit": "m^2" if unit == "ohm" else "m",
        "charge_balance": figures.imbalance, "unknowns": figures.unknowns, "floating_unknowns": figures.floating,
        "mesh": quality_row(meshed),
    }  # fmt: skip


def _focus(case: ConductionCase, problem: Conduction | GrainConduction) -> dict[str, float] | None:
    """Focusing factor with the radius it is averaged over; None where the case gives none. Raises UserError."""
    window = case.settings.conduction.window
    if window is None:
        return None
    try:
        return {"value": problem.focusing_factor(window), "window_m": window}
    except UserError as error:
        raise case.complaint(error) from None


def quality_row(meshed: MeshedCase) -> dict[str, Any]:
    """Figures of the mesh, for scripts."""
    quality = meshed.quality
    return {
        "dimension": quality.dimension, "cells": quality.cells, "nodes": quality.nodes, "worst_shape": quality.worst_shape,
        "mean_shape": quality.mean_shape, "poor_share": quality.poor, "smallest_edge_m": quality.smallest_edge,
        "largest_edge_m": quality.largest_edge,
        "regions": {name: {"cells": cells, "measure": size} for name, (cells, size) in quality.regions.items()},
        "boundaries": dict(quality.boundaries),
    }  # fmt: skip


def answer_lines(summary: dict[str, Any]) -> list[str]:
    """The answer for people."""
    asr = dict(summary["asr_ohm_cm2"])
    total = asr.pop("total")
    parts = ", ".join(f"{name} {value:.4g}" for name, value in asr.items())
    lines = [f"resistance {total:.4g} ohm cm² on the cross-section ({parts}); {summary['cell_voltage_V'] * 1e3:.4g} mV"]
    focus = summary["focusing_factor"]
    told = f"; focusing {focus['value']:.3g} over {focus['window_m'] * 1e9:.3g} nm" if focus else ""
    lines.append(f"mean path of the current {summary['detour_factor']:.4g} times the straight one{told}")
    lines.append(f"charge balance {summary['charge_balance']:.1e}; kinetics are not part of this answer")
    return lines


def write_fields(path: Path, problem: Conduction | GrainConduction, voltage: float) -> None:
    """Potential (V) and current density (A/m²) at the applied current, and the region, as a VTX folder for ParaView.

    Raises:
        RunFailure: the folder cannot be written.
    """
    mesh, domain = problem.domain.mesh, problem.domain
    scalar, vector = (fem.functionspace(mesh, ("DG", 1, shape)) for shape in ((), (mesh.geometry.dim,)))
    named = {
        "potential_V": (problem.potential * voltage, scalar),
        "current_density_A_per_m2": (current_density(problem.conductivity, problem.potential) * voltage, vector),
        "region": (_region_numbers(domain), scalar),
    }
    functions = []
    for name, (expression, space) in named.items():
        function = fem.Function(space, name=name)
        function.interpolate(fem.Expression(expression * ufl.as_ufl(1.0), interpolation_points(space)))
        functions.append(function)
    temporary = path.with_name(f".{path.stem}-{domain.comm.bcast(os.getpid())}.bp")
    if domain.comm.rank == 0:
        path.parent.mkdir(parents=True, exist_ok=True)
    domain.comm.barrier()
    try:
        with io.VTXWriter(domain.comm, temporary, functions, engine="BP4") as writer:
            writer.write(0.0)
    except RuntimeError as error:
        raise RunFailure(f"{path}: cannot be written; is the disk full? ({str(error).splitlines()[-1][:120]})") from error
    if domain.comm.rank == 0:
        shutil.rmtree(path, ignore_errors=True)
        temporary.rename(path)
    domain.comm.barrier()


def _region_numbers(domain: Any) -> fem.Function:
    """Number of the region of each cell, from 1 in the order of their names in the mesh."""
    field = fem.Function(fem.functionspace(domain.mesh, ("DG", 0)))
    for number, name in enumerate(domain.regions, start=1):
        field.x.array[domain.cells(name)] = float(number)
    assert np.all(field.x.array > 0)
    return field

"""Fields for ParaView (VTX) and arrays for pictures; names carry their units, files appear whole or not at all."""

import os
import shutil
from pathlib import Path

import numpy as np
import ufl
from dolfinx import fem, io
from mpi4py import MPI

from coupling.errors import RunFailure, UserError
from meshes.polycrystal import grain_index
from multiscale.critical_current.initiation import InitiationModel
from multiscale.dolfinx_compat import interpolation_points
from multiscale.parallel import on_first_rank
from multiscale.transport.single_ion import current_density

FIELDS = ("potential_V", "current_density_A_per_m2", "displacement_m", "grain_index", "region")
"""Names of the fields that are written."""


def fields(model: InitiationModel) -> dict[str, fem.Function]:
    """The present solution as discontinuous linear functions (cell jumps are kept), by name."""
    mesh = model.domain.mesh
    scalar, vector = (fem.functionspace(mesh, ("DG", 1, shape)) for shape in ((), (2,)))
    i = current_density(model.conductivity, model.potential)
    found = {
        "potential_V": _interpolated(model.potential, scalar),
        "current_density_A_per_m2": _interpolated(i, vector),
        "displacement_m": _interpolated(model.displacement, vector),
        "grain_index": _interpolated(_cellwise(model, grain_numbers(model)), scalar),
        "region": _interpolated(_cellwise(model, _region_numbers(model)), scalar),
    }
    for name, function in found.items():
        function.name = name
    return found


def write_fields(path: str | Path, model: InitiationModel) -> Path:
    """Write the fields as a VTX folder (`write_functions`). Call on every rank."""
    return write_functions(path, list(fields(model).values()), model.domain.comm)


def write_functions(path: str | Path, functions: list[fem.Function], comm: MPI.Comm, time: float = 0.0) -> Path:
    """Write functions of one space family as a VTX folder (`*.bp`), which ParaView opens; an older one is replaced.

    Call on every rank. The folder is written beside its place and renamed.

    Raises:
        RunFailure: the folder cannot be written (a full disk is told by the rank that meets it).
    """
    path = Path(path)
    temporary = path.with_name(f".{path.stem}-{comm.bcast(os.getpid())}.bp")
    on_first_rank(comm, lambda: path.parent.mkdir(parents=True, exist_ok=True), path)
    try:
        with io.VTXWriter(comm, temporary, functions, engine="BP4") as writer:
            writer.write(time)
    except RuntimeError as error:  # told on one rank alone: its exception ends the whole run (parallel.guard)
        told = "is the disk full? Free some space and run the same command again"
        raise RunFailure(f"{path}: cannot be written; {told} ({str(error).splitlines()[-1][:120]})") from error
    on_first_rank(comm, lambda: _replace(temporary, path), path)
    return path


def triangulated(model: InitiationModel, name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One field (magnitude of a vector) per triangle, for a picture. Call on every rank; every rank has the answer.

    Returns:
        Points, shape (n, 2), m; triangles, shape (k, 3), indices of points; values, shape (k,), unit as in the name.

    Raises:
        UserError: no such field.
    """
    if name not in FIELDS:
        raise UserError(f'no field "{name}"; there are: {", ".join(FIELDS)}')
    function = fields(model)[name]
    mesh, comm = model.domain.mesh, model.domain.comm
    count = mesh.topology.index_map(2).size_local
    corners = mesh.geometry.x[mesh.geometry.dofmap[:count, :3], :2]
    size = function.function_space.dofmap.index_map_bs
    nodal = function.x.array.reshape(-1, size)[function.function_space.dofmap.list[:count]]
    mean = nodal.mean(axis=1)
    values = np.linalg.norm(mean, axis=1) if size > 1 else mean[:, 0]
    all_corners, all_values = np.concatenate(comm.allgather(corners)), np.concatenate(comm.allgather(values))
    points, index = np.unique(all_corners.reshape(-1, 2), axis=0, return_inverse=True)
    return points, index.reshape(-1, 3), all_values


def grain_numbers(model: InitiationModel) -> np.ndarray:
    """Grain number of each local cell (boundary cells: the nearest grain), -1 in the interphase, shape (n,)."""
    domain = model.domain
    cells = domain.cells()
    middle = domain.mesh.geometry.x[domain.mesh.geometry.dofmap[cells, :3]].mean(axis=1)
    numbers = grain_index(model.cell, middle).astype(float)
    numbers[domain.cells("interphase")] = -1
    return numbers


def _region_numbers(model: InitiationModel) -> np.ndarray:
    domain = model.domain
    numbers = np.zeros(len(domain.cells()))
    for name, tag in domain.regions.items():
        numbers[domain.cells(name)] = tag
    return numbers


def _cellwise(model: InitiationModel, values: np.ndarray) -> fem.Function:
    function = fem.Function(fem.functionspace(model.domain.mesh, ("DG", 0)))
    function.x.array[:] = values
    return function


def _interpolated(source: ufl.core.expr.Expr, space: fem.FunctionSpace) -> fem.Function:
    function = fem.Function(space)
    function.interpolate(fem.Expression(source, interpolation_points(space)))
    return function


def _replace(temporary: Path, path: Path) -> None:
    """Put the new folder in its place; what a killed run left beside it goes too."""
    for left in path.parent.glob(f".{path.stem}-*.bp"):
        if left != temporary:
            shutil.rmtree(left, ignore_errors=True)
    if path.exists():
        shutil.rmtree(path)
    temporary.replace(path)

"""State of a filament run that any number of ranks can go on from: one npz, written whole or not at all.

Nodal values are stored in the order in which the mesh was made, which does not depend on its distribution.
"""

import json
import os
import zipfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from dolfinx import fem

from coupling.atomic import replacing
from multiscale.mechanics.filament import FilamentModel
from multiscale.mechanics.filament_state import FilamentState
from multiscale.mechanics.fracture_state import Balance
from multiscale.solvers.checkpoint import mesh_digest

FIELDS = ("displacement", "damage", "lower")


def write(path: Path, model: FilamentModel, key: str, notes: Any) -> None:
    """Write the model's state. Call on every rank.

    Args:
        path: of the file; an older one is replaced.
        model: as it stands after a step.
        key: of everything the run depends on.
        notes: anything that JSON can hold.

    Raises:
        RunFailure: the disk is full or the folder cannot be written.
    """
    comm, body = model.domain.comm, model.body
    arrays = {name: _gather(values, space) for name, (values, space) in _fields(model).items()}
    told = {
        "key": key, "mesh": mesh_digest(model.domain.mesh), "balance": asdict(body.balance), "pressure": body.pressure,
        "response": list(body.response), "front": model.front, "lost": body.lost, "state": asdict(model.state), "notes": notes,
    }  # fmt: skip
    if comm.rank == 0:
        with replacing(path) as temporary, temporary.open("wb") as stream:
            np.savez(stream, description=np.array(json.dumps(told)), **arrays)  # type: ignore[arg-type]
            stream.flush()
            os.fsync(stream.fileno())
    comm.barrier()


def read(path: Path, model: FilamentModel, key: str) -> Any | None:
    """Put a state of the same key and mesh into the model and give its notes; None where there is none. Call on every rank."""
    comm, digest = model.domain.comm, mesh_digest(model.domain.mesh)
    found = comm.bcast(_load(path, key, digest) if comm.rank == 0 else None)
    if found is None:
        return None
    told, arrays = found
    body = model.body
    fields = _fields(model)
    if set(arrays) != set(fields):
        return None
    places = {name: _scatter(arrays[name], space) for name, (_, space) in fields.items()}
    for name in ("displacement", "damage", "lower"):
        getattr(body, name).x.array[:] = places[name]
    model.potential.x.array[:] = places["potential"]
    state = told["state"]
    model.state = FilamentState(**(state | {"tip": tuple(state["tip"])}))
    balance = Balance(**told["balance"])
    owned = body.space.dofmap.index_map.size_local * body.space.dofmap.index_map_bs
    last = {name: places[f"last_{name}"][:owned] for name in body.last_work}
    if body.worn is not None:
        body.worn.restore((places["worn_accumulated"], places["worn_last"]))
    body.lost = told["lost"]
    body.resume(balance, told["pressure"], (told["response"][0], told["response"][1]), last)
    model.resume(told["front"])
    return told["notes"]


def _fields(model: FilamentModel) -> dict[str, tuple[np.ndarray, fem.FunctionSpace]]:
    body = model.body
    found = {name: (getattr(body, name).x.array, getattr(body, name).function_space) for name in FIELDS}
    if body.worn is not None:
        for name in ("accumulated", "last"):
            function = getattr(body.worn, name)
            found[f"worn_{name}"] = (function.x.array, function.function_space)
    found["potential"] = (model.potential.x.array, model.potential.function_space)
    whole = np.zeros(len(body.displacement.x.array))
    for name, values in body.last_work.items():
        array = whole.copy()
        array[: np.size(values)] = values
        found[f"last_{name}"] = (array, body.space)
    return found


def _order(space: fem.FunctionSpace) -> np.ndarray:
    """Number of each local node in the mesh as it was made (piecewise linear functions only)."""
    mesh = space.mesh
    vertex = np.zeros(space.dofmap.index_map.size_local + space.dofmap.index_map.num_ghosts, dtype=np.int64)
    vertex[space.dofmap.list] = mesh.geometry.dofmap
    return np.asarray(mesh.geometry.input_global_indices)[vertex]


def _gather(values: np.ndarray, space: fem.FunctionSpace) -> np.ndarray:
    """All nodal values in the mesh's own order, shape (nodes, components), on every rank."""
    owned, size = space.dofmap.index_map.size_local, space.dofmap.index_map_bs
    local = (_order(space)[:owned], values.reshape(-1, size)[:owned])
    rows = space.mesh.comm.allgather(local)
    whole = np.empty((space.dofmap.index_map.size_global, size))
    for numbers, part in rows:
        whole[numbers] = part
    return whole


def _scatter(whole: np.ndarray, space: fem.FunctionSpace) -> np.ndarray:
    """This rank's nodal values, ghosts included."""
    return whole[_order(space)].ravel()


def _load(path: Path, key: str, digest: str) -> tuple[dict[str, Any], dict[str, np.ndarray]] | None:
    """What a file holds, if it can be read and belongs to this run."""
    try:
        with np.load(path, allow_pickle=False) as held:
            told = json.loads(str(held["description"]))
            if (told["key"], told["mesh"]) != (key, digest):
                return None
            return told, {name: held[name] for name in held.files if name != "description"}
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        return None

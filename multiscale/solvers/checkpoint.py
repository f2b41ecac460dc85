"""Checkpoints of a transient run that any number of ranks can go on from.

The states of the time stepper are written by adios4dolfinx under the cell numbers of the mesh as it was made, which do not
depend on its distribution; everything else is in `run.json`. A checkpoint is a folder that appears whole or not at all
(temporary folder, checksums, rename); the two youngest are kept, and a damaged one gives way to the one before.
"""

import hashlib
import json
import os
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from dolfinx import fem
from mpi4py import MPI

from coupling.atomic import write_json
from coupling.errors import RunFailure
from multiscale.dolfinx_compat import checkpoint_library
from multiscale.parallel import on_first_rank
from multiscale.solvers.protocol import Progress, Reading, Record
from multiscale.solvers.timeloop import State, TimeStepper

KEPT = 2
"""Checkpoints that are kept."""
STATES, RUN = "states.bp", "run.json"


def mesh_digest(mesh: Any) -> str:
    """Hash (16 hex digits) of the vertices of a mesh in the order in which it was made; the same on any number of ranks."""
    geometry, comm = mesh.geometry, mesh.comm
    owned = geometry.index_map().size_local
    rows = comm.gather((geometry.input_global_indices[:owned], geometry.x[:owned]))
    if comm.rank == 0:
        index, points = (np.concatenate(column) for column in zip(*rows, strict=True))
        ordered = np.ascontiguousarray(points[np.argsort(index)], dtype=np.float64)
    return comm.bcast(hashlib.sha256(ordered.tobytes()).hexdigest()[:16] if comm.rank == 0 else None)


def write(folder: Path, stepper: TimeStepper, progress: Progress, key: str, notes: Any = None) -> Path:
    """Write a checkpoint into a folder of checkpoints. Call on every rank.

    Args:
        folder: is made; holds one folder a checkpoint.
        stepper: whose states are kept.
        progress: of the protocol.
        key: of everything that the run depends on; only a run of the same key goes on from here.
        notes: anything that JSON can hold, kept beside the progress.

    Raises:
        RunFailure: it cannot be written.
    """
    adios4dolfinx, adios2 = checkpoint_library()
    comm = stepper.system.domain.comm
    place = folder / f"{len(progress.records):08d}"
    temporary = folder / f".{place.name}-{comm.bcast(os.getpid())}"
    on_first_rank(comm, lambda: temporary.mkdir(parents=True, exist_ok=True), place)
    values = fem.Function(stepper.system.space)
    try:
        for age, state in enumerate(stepper.history):
            values.x.array[:] = state.values
            mode = adios2.Mode.Append if age else adios2.Mode.Write
            adios4dolfinx.write_function_on_input_mesh(temporary / STATES, values, mode=mode, name=f"state{age}")
    except RuntimeError as error:
        told = "is the disk full? Free some space and run the same command again"
        raise RunFailure(f"{place}: cannot be written; {told} ({str(error).splitlines()[-1][:120]})") from error
    digest = mesh_digest(stepper.system.domain.mesh)
    on_first_rank(comm, lambda: _finish(temporary, place, _described(stepper, progress, key, digest) | {"notes": notes}), place)
    return place


def read(folder: Path, stepper: TimeStepper, key: str) -> tuple[Progress, Any] | None:
    """Put the states of the youngest whole checkpoint of the same key and mesh into a stepper. Call on every rank.

    Returns:
        Progress of the protocol, and the notes; None, with the stepper as it was, where there is no such checkpoint.
    """
    adios4dolfinx, _ = checkpoint_library()
    system = stepper.system
    comm, digest = system.domain.comm, mesh_digest(system.domain.mesh)
    found = comm.bcast(_youngest(folder, key, digest) if comm.rank == 0 else None)
    if found is None:
        return None
    place, run = found
    values, history = fem.Function(system.space), []
    for age, time in enumerate(run["times"]):
        adios4dolfinx.read_function(place / STATES, values, name=f"state{age}")
        history.append(State(time, values.x.array.copy()))
    stepper.history = history
    stepper.step, stepper.accepted, stepper.rejected = run["next_step"], run["accepted"], run["rejected"]
    stepper.scale = {(medium, ion): value for medium, ion, value in run["scale"]}
    system.u.x.array[:] = history[0].values
    told = run["progress"]
    start = None if told["start"] is None else Reading(**told["start"])
    records = [Record(*row) for row in told["records"]]
    return Progress(told["step"], told["begun"], start, told["charge"], records), run["notes"]


def clear(folder: Path, comm: MPI.Comm) -> None:
    """Remove all checkpoints of a run that has ended well."""
    if comm.rank == 0:
        shutil.rmtree(folder, ignore_errors=True)
    comm.barrier()


def _described(stepper: TimeStepper, progress: Progress, key: str, digest: str) -> dict[str, Any]:
    records = [list(asdict(record).values()) for record in progress.records]
    return {
        "key": key, "mesh": digest, "times": [state.time for state in stepper.history], "next_step": stepper.step,
        "accepted": stepper.accepted, "rejected": stepper.rejected,
        "scale": [[*name, value] for name, value in stepper.scale.items()],
        "progress": {
            "step": progress.step, "begun": progress.begun, "charge": progress.charge, "records": records,
            "start": None if progress.start is None else asdict(progress.start),
        },
    }  # fmt: skip


def _finish(temporary: Path, place: Path, run: dict[str, Any]) -> None:
    """Add the description with the checksums, put the folder in its place, drop what is older and what a kill left."""
    write_json(temporary / RUN, run | {"checksums": _checksums(temporary / STATES)})
    if place.exists():
        shutil.rmtree(place)
    temporary.replace(place)
    handle = os.open(place.parent, os.O_RDONLY)
    os.fsync(handle)
    os.close(handle)
    for old in sorted(place.parent.glob("[0-9]*"))[:-KEPT]:
        shutil.rmtree(old, ignore_errors=True)
    for left in place.parent.glob(".[0-9]*-*"):
        shutil.rmtree(left, ignore_errors=True)


def _checksums(states: Path) -> dict[str, str]:
    """Hash of every file of the states, each brought to the disk."""
    found = {}
    for path in sorted(path for path in states.rglob("*") if path.is_file() and path.name != "profiling.json"):
        with path.open("rb+") as stream:
            os.fsync(stream.fileno())
            found[str(path.relative_to(states))] = hashlib.sha256(stream.read()).hexdigest()
    return found


def _youngest(folder: Path, key: str, digest: str) -> tuple[Path, dict[str, Any]] | None:
    for place in sorted(folder.glob("[0-9]*"), reverse=True):
        try:
            run = json.loads((place / RUN).read_text(encoding="utf-8"))
            if (run["key"], run["mesh"]) == (key, digest) and run["checksums"] == _checksums(place / STATES):
                return place, run
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return None

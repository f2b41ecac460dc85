"""Files of a molecular dynamics run, and the trajectory they hold.

A folder holds `run.json` (what the run is of) and `segment-00000.npz`, … Each segment keeps its frames (positions in float32:
12 bytes an atom and frame, as many for velocities where they are kept, plus 88 bytes a frame for cell, energy and temperature)
and, in float64, the state after them: positions, momenta, cell, barostat, chains and the random generator (48 bytes an atom and
segment). A segment is written whole or not at all, so a killed run loses at most the one it was at.
"""

import json
import math
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms, units

from coupling.atomic import replacing, write_json
from coupling.errors import UserError

_HEADER = {"key", "settings", "numbers", "masses", "pbc"}


@dataclass(frozen=True)
class State:
    """Everything the next segment depends on.

    Attributes:
        positions, momenta: (n, 3). cell: (3, 3). barostat: momentum of the cell (3, 3).
        chains: positions and momenta of the chains of thermostat and barostat (2, 2, links).
        generator: state of the random generator, JSON.
    """

    positions: np.ndarray
    momenta: np.ndarray
    cell: np.ndarray
    barostat: np.ndarray
    chains: np.ndarray
    generator: str


@dataclass(frozen=True)
class Frames:
    """Frames of a segment: positions (f, n, 3) float32, cells (f, 3, 3) in Å, energies (f,) in eV, temperatures (f,) in K.

    velocities: (f, n, 3) float32, Å/fs; None where the run keeps none.
    """

    frames: np.ndarray
    cells: np.ndarray
    energies: np.ndarray
    temperatures: np.ndarray
    velocities: np.ndarray | None = None


@dataclass(frozen=True)
class Trajectory:
    """Frames of a run, oldest first.

    Attributes:
        numbers: atomic numbers (n,).
        positions: unwrapped positions (frames, n, 3), Å.
        cells: (frames, 3, 3), Å.
        frame_interval: time between frames, fs.
        potential_energies: (frames,), eV.
        temperatures: instantaneous, (frames,), K.
        final: atoms at the end, with momenta.
        halvings: largest number of times the step had to be halved in a segment.
        velocities: (frames, n, 3), Å/fs; None where the run keeps none.
    """

    numbers: np.ndarray
    positions: np.ndarray
    cells: np.ndarray
    frame_interval: float
    potential_energies: np.ndarray
    temperatures: np.ndarray
    final: Atoms
    halvings: int
    velocities: np.ndarray | None = None

    @property
    def picoseconds(self) -> float:
        """Length of the run in ps."""
        return len(self.positions) * self.frame_interval / 1000.0

    def mean_cell(self, skip: float = 0.5) -> np.ndarray:
        """Cell (3, 3) averaged over the frames after the first `skip` share of them, Å."""
        return np.asarray(self.cells[int(skip * len(self.cells)) :].mean(axis=0))


def load(folder: str | Path, frames: int | None = None) -> Trajectory:
    """Trajectory of the finished segments in `folder`, of their first `frames` frames if given.

    Where those end within a segment of a longer run, `final` is the last of them as it was stored, without momenta.

    Raises:
        UserError: there is no run in the folder, or not one finished segment.
    """
    folder = Path(folder)
    header = read_header(folder)
    most = None if header is None or frames is None else math.ceil(frames / _in_a_segment(header))
    segments = read_segments(folder, most)
    if header is None or not segments:
        raise UserError(f"{folder}: no molecular dynamics run here (run.json and segment-00000.npz are needed)")
    last, names = segments[-1], ["frames", "cells", "energies", "temperatures"]
    names += ["velocities"] if "velocities" in last else []
    held = {name: np.concatenate([segment[name] for segment in segments])[:frames] for name in names}
    whole = len(held["energies"]) == sum(len(segment["energies"]) for segment in segments)
    places, cell = (last["positions"], last["cell"]) if whole else (held["frames"][-1].astype(float), held["cells"][-1])
    final = Atoms(numbers=header["numbers"], positions=places, cell=cell, pbc=header["pbc"])
    final.set_masses(header["masses"])
    if whole:
        final.set_momenta(last["momenta"])
    return Trajectory(
        numbers=np.array(header["numbers"]), positions=held["frames"], cells=held["cells"],
        frame_interval=header["settings"]["frame_interval"], potential_energies=held["energies"],
        temperatures=held["temperatures"], final=final, halvings=int(max(segment["halvings"] for segment in segments)),
        velocities=held.get("velocities"),
    )  # fmt: skip


def _in_a_segment(header: Mapping[str, Any]) -> int:
    """Frames of a whole segment."""
    return round(header["settings"]["checkpoint_interval"] / header["settings"]["frame_interval"])


def ase_frames(folder: str | Path) -> Iterator[Atoms]:
    """ASE atoms of every stored frame, oldest first, with potential energy (eV), velocities where kept, and info["time_fs"].

    `ase.io.write("run.extxyz", list(ase_frames(folder)))` hands a run to any other tool.

    Raises:
        UserError: there is no run in the folder, or not one finished segment.
    """
    from ase.calculators.singlepoint import SinglePointCalculator

    run = load(folder)
    for index, (positions, cell) in enumerate(zip(run.positions, run.cells, strict=True)):
        atoms = Atoms(numbers=run.numbers, positions=positions, cell=cell, pbc=run.final.pbc)
        atoms.set_masses(run.final.get_masses())
        if run.velocities is not None:
            atoms.set_velocities(run.velocities[index] / units.fs)
        atoms.info["time_fs"] = (index + 1) * run.frame_interval
        atoms.calc = SinglePointCalculator(atoms, energy=float(run.potential_energies[index]))
        yield atoms


def read_header(folder: Path) -> dict[str, Any] | None:
    """Header of the run in the folder, None when there is none or it is damaged."""
    try:
        header = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    return header if isinstance(header, dict) and header.keys() >= _HEADER else None


def begin(folder: Path, header: dict[str, Any]) -> None:
    """Write the header of a new run. Segments that no header speaks for may be of any run: they are removed."""
    for left in folder.glob("segment-*.npz"):
        left.unlink()
    write_json(folder / "run.json", header)


def read_segments(folder: Path, most: int | None = None) -> list[dict[str, np.ndarray]]:
    """Arrays of the finished segments up to the first that is missing or damaged, at most `most`."""
    found: list[dict[str, np.ndarray]] = []
    while (most is None or len(found) < most) and (segment := _read_segment(_segment_file(folder, len(found)))) is not None:
        found.append(segment)
    return found


def write_segment(folder: Path, index: int, frames: Frames, after: State, halvings: int) -> None:
    """Write one segment in one step. Raises RunFailure when the disk is full."""
    kept = {name: values for name, values in asdict(frames).items() if values is not None}
    contents: dict[str, Any] = {**kept, **asdict(after), "halvings": halvings}
    with replacing(_segment_file(folder, index)) as temporary, temporary.open("wb") as stream:
        np.savez(stream, **contents)


def held(folder: Path) -> float:
    """Length (ps) of the run in a folder, 0 where there is none; of its segments the last is read, and those that are damaged."""
    header, count, last = read_header(folder), 0, None
    while header is not None and _segment_file(folder, count).is_file():
        count += 1
    while count and (last := _read_segment(_segment_file(folder, count - 1), ("energies",))) is None:
        count -= 1
    if header is None or last is None:
        return 0.0
    frames = (count - 1) * _in_a_segment(header) + len(last["energies"])
    return float(frames * header["settings"]["frame_interval"] / 1000.0)


def state_after(segment: dict[str, np.ndarray]) -> State:
    """State at the end of a segment; one written before there were chains has none."""
    chains = segment.get("chains", np.zeros((2, 2, 1)))
    arrays = {name: segment[name] for name in ("positions", "momenta", "cell", "barostat")}
    return State(**arrays, chains=chains, generator=str(segment["generator"]))


def _segment_file(folder: Path, index: int) -> Path:
    """File of one segment."""
    return folder / f"segment-{index:05d}.npz"


def _read_segment(path: Path, names: Sequence[str] | None = None) -> dict[str, np.ndarray] | None:
    """Arrays of one segment, or some of them; None when it is absent or damaged (each array carries a checksum)."""
    try:
        with np.load(path, allow_pickle=False) as data:
            return {name: data[name] for name in names or data.files}
    except (FileNotFoundError, zipfile.BadZipFile, ValueError, EOFError, KeyError, OSError):
        return None

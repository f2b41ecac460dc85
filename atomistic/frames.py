"""What every analysis reads from a trajectory: its frames, with those refused that no run can have, and unwrapped positions."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms, units

from atomistic import trajectory
from coupling.errors import UserError

DENSEST = 1.5
"""Å³ an atom below which a periodic cell cannot be that of its atoms."""
SWELLING = 1.5
"""Ratio of the volumes of two successive frames that no run has."""
SPARSEST = 5.0
"""Times the atomic volume of the roomiest element in it that no cell of condensed matter reaches, vacuum included."""
ROOMY = {"Na": 40.0, "K": 76.0, "Rb": 93.0, "Cs": 116.0, "Ca": 44.0, "Sr": 56.0, "Ba": 63.0, "Kr": 48.0, "Xe": 60.0}
"""Atomic volumes of elemental solids above ROOM, Å³ (CRC Handbook, memory)."""
ROOM = 40.0
"""Å³ an atom that no other elemental solid exceeds."""
LEAP = 5.0
"""Å by which an atom may move from frame to frame however little the others do (a hop or two)."""
LEAPS = 10.0
"""Times the median movement that it may move where that is more."""
STILL = 1e-9
"""Å by which an atom must leave its first place in a run."""


def read_frames(path: str | Path) -> list[Atoms]:
    """Frames of a trajectory file, or of a run's folder (run.json). Raises UserError as `from_file` does."""
    import ase.io

    if not Path(path).is_file() and not (Path(path) / "run.json").is_file():
        raise UserError(f"{path}: no such trajectory file, nor the folder of a run")
    try:
        frames: list[Atoms] = list(trajectory.ase_frames(path)) if Path(path).is_dir() else list(ase.io.read(path, index=":"))
    except UserError:
        raise
    except Exception as error:  # every reader of ASE raises its own
        raise UserError(f"{path}: ASE cannot read it as a trajectory ({type(error).__name__}: {error})") from error
    if not frames or any(not np.array_equal(frame.numbers, frames[0].numbers) for frame in frames):
        raise UserError(f"{path}: the atoms change from frame to frame; a trajectory of the same atoms is needed")
    for number, frame in enumerate(frames):
        if not (np.isfinite(frame.positions).all() and np.isfinite(frame.cell.array).all()):
            raise UserError(f"{path}: frame {number}: a position or cell vector is not a finite number; the run broke there")
        if wrong := _wrong_cell(frame):
            raise UserError(f"{path}: frame {number}: {wrong}")
    volumes = np.array([abs(float(np.linalg.det(frame.cell.array))) for frame in frames])
    if volumes.all() and len(volumes) > 1:
        change = np.exp(np.abs(np.diff(np.log(volumes))))
        if change.max() > SWELLING:
            number = int(np.argmax(change)) + 1
            told = f"{volumes[number]:.4g} Å³ after {volumes[number - 1]:.4g} Å³"
            raise UserError(f"{path}: frame {number}: the cell jumps to {told}; its cell, or the one before, is wrong")
    return frames


def _wrong_cell(frame: Atoms) -> str:
    """What no run can have: a cell without volume, or one too small for its atoms; empty where the cell may be right."""
    if not len(frame):
        return "no atoms in it"
    if frame.cell.rank < 3:
        return ""
    volume = abs(float(np.linalg.det(frame.cell.array)))
    if volume < 1e-6 * float(np.prod(frame.cell.lengths())):
        return "its three cell vectors span no volume"
    if frame.pbc.all() and volume < DENSEST * len(frame):
        told = f"{volume / len(frame):.2g} Å³ an atom, no matter is so dense (diamond 5.7 Å³)"
        return f"{len(frame)} atoms in a cell of {volume:.3g} Å³: {told}; the cell is wrong, or its unit"
    return ""


def require_motion(positions: np.ndarray) -> None:
    """Refuse frames (frames, n, 3) that are all alike: a zero with no error would come of them. Raises UserError."""
    if len(positions) > 1 and not np.abs(positions[1:] - positions[:1]).max() > STILL:
        raise UserError("no atom moves from frame to frame; frames of a molecular dynamics run are needed")


def unwrap(frames: Iterable[Atoms]) -> np.ndarray:
    """Unwrapped positions (frames, n, 3), Å: each atom takes the nearest image of its last position, cell by cell.

    Raises:
        UserError: an atom crosses half the cell from one frame to the next in a direction that is not periodic: the positions are
            wrapped, and the file does not say so; or an atom moves farther in one frame than `_require_steps` lets it.
    """
    tracks: list[np.ndarray] = []
    before = np.empty((0, 3))
    for number, frame in enumerate(frames):
        if not tracks or frame.cell.rank < 3:
            scaled = frame.positions if frame.cell.rank < 3 else frame.cell.scaled_positions(frame.positions)
            tracks.append(frame.positions.copy())
        else:
            scaled = frame.cell.scaled_positions(frame.positions)
            step = scaled - before
            if (np.abs(step[:, ~frame.pbc]) > 0.5).any():
                told = "an atom crosses half the cell at once in a direction that the file calls not periodic"
                raise UserError(f"frame {number}: {told}; say pbc in the file, or write unwrapped positions")
            step -= np.round(step) * frame.pbc
            tracks.append(tracks[-1] + step @ frame.cell.array)
        before = scaled
        last = frame
    if len(tracks) > 1:
        _require_steps(np.array(tracks), last)
    return np.array(tracks)


def _require_steps(tracks: np.ndarray, last: Atoms) -> None:
    """Refuse a leap among small steps: farther than LEAP and than LEAPS times the median movement of what moves.

    Raises:
        UserError: naming frame and atom.
    """
    steps = np.linalg.norm(np.diff(tracks, axis=0), axis=2)  # (frames - 1, n)
    moved = steps[steps > STILL]
    if not len(moved):
        return
    number, atom = np.unravel_index(int(np.argmax(steps)), steps.shape)
    far, median = float(steps[number, atom]), float(np.median(moved))
    told = f"frame {number + 1}: atom {atom} ({last.symbols[atom]}) moves by {far:.3g} Å from the frame before"
    if far > max(LEAP, LEAPS * median):
        raise UserError(f"{told}, where half of all movements stay below {median:.2g} Å: the positions are wrapped into a cell "
                        "that the file does not give (right), frames are missing, or the atoms change their order")  # fmt: skip


def require_condensed(frames: Iterable[Atoms]) -> None:
    """Refuse cells far too large for their atoms: what is told per volume would be wrong as the cell is. Raises UserError."""
    for number, frame in enumerate(frames):
        volume = abs(float(np.linalg.det(frame.cell.array)))
        most = max((ROOMY.get(symbol, ROOM) for symbol in set(frame.symbols)), default=ROOM)
        if volume > SPARSEST * most * len(frame):
            told = f"{volume / len(frame):.3g} Å³ an atom, more than {SPARSEST:g} times that of any solid of these elements"
            where = f"frame {number}: {len(frame)} atoms in a cell of {volume:.3g} Å³"
            raise UserError(f"{where}: {told}; the cell is wrong, or its unit")


@dataclass(frozen=True)
class Read:
    """What a trajectory file holds for a collective analysis: unwrapped positions in Å, masses in u, mean volume in Å³."""

    positions: np.ndarray
    velocities: np.ndarray | None  # (frames, n, 3), Å/fs; None where the file has no momenta
    labels: list[str]
    masses: np.ndarray
    volume: float
    formula: str


def read_trajectory(path: str | Path) -> Read:
    """Everything an Onsager analysis needs from any trajectory ASE reads.

    Raises:
        UserError: unreadable, changing atoms, a position that is not finite, or no three-dimensional cell.
    """
    frames = read_frames(path)
    volumes = np.array([abs(np.linalg.det(frame.cell.array)) for frame in frames])
    if not (volumes > 0).all():
        raise UserError(f"{path}: frame {int(np.argmin(volumes))} has no three-dimensional cell; a conductivity needs a volume")
    try:
        require_condensed(frames)
        positions = unwrap(frames)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    momenta = [frame.get_momenta() for frame in frames]
    moving = all("momenta" in frame.arrays for frame in frames) and any(np.abs(p).max() > 0 for p in momenta)
    masses = frames[0].get_masses()
    velocities = np.array(momenta) / masses[:, None] * units.fs if moving else None
    labels, formula = frames[0].get_chemical_symbols(), frames[0].get_chemical_formula(empirical=True)
    return Read(positions, velocities, labels, masses, float(volumes.mean()), formula)

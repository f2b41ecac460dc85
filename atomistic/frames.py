"""What every analysis reads from a trajectory: its frames, with those refused that no run can have, and unwrapped positions."""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms, units
from ase.data import covalent_radii

from atomistic import trajectory
from coupling.errors import UserError

DENSEST = 1.5
"""Å³ an atom below which a periodic cell cannot be that of its atoms."""
NEAREST = 0.55
"""Share of the sum of two atoms' covalent radii that is left between them in any matter (lithium in hot sulfides: 0.8)."""
SWELLING = 1.5
"""Ratio of the volumes of two successive frames that no run has."""
STRAIN = 0.08
"""Strain of the cell from frame to frame that a run may have however little its cell changes at other times."""
STRAINS = 10.0
"""Times the median strain from frame to frame that it may have where that is more."""
SPARSEST = 5.0
"""Times the atomic volume of the roomiest element in it that no cell of condensed matter reaches, vacuum included."""
ROOMY = {"Na": 40.0, "K": 76.0, "Rb": 93.0, "Cs": 116.0, "Ca": 44.0, "Sr": 56.0, "Ba": 63.0, "Kr": 48.0, "Xe": 60.0}
"""Atomic volumes of elemental solids above ROOM, Å³ (CRC Handbook, memory)."""
ROOM = 40.0
"""Å³ an atom that no other elemental solid exceeds."""
LEAP = 5.0
"""Å by which an atom may move from frame to frame however little the others do (a hop or two)."""
LEAPS = 10.0
"""Times the median movement of its element that it may move where that is more."""
BOUNCE = 4.5
"""Å by which an atom may leave its place for a single frame and come back (farther than a hop)."""
BOUNCES = 3.0
"""Times what 99 of 100 movements of the other atoms of its element stay below that it may do so where that is more."""
STILL = 1e-9
"""Å by which an atom must leave its first place in a run."""
VOID, SPARSE = 6.0, 0.2
"""Thickness of a layer, Å, and the share of its mean number of atoms that it holds in any solid or liquid (graphite: 3.4 Å)."""


def read_frames(path: str | Path, run: bool = True) -> list[Atoms]:
    """Frames of a trajectory file, or of a run's folder (run.json).

    Args:
        path: file that ASE reads, or folder.
        run: whether they must follow one another in time as a run's frames do; False for a set of structures.

    Raises:
        UserError: unreadable; atoms that change or are not finite, a cell that cannot be that of its atoms (`_wrong_cell`,
            `_require_distances`), or frames that no run has (`require_run`). The file and the frame are named.
    """
    frames = _frames_of(path)
    try:
        for number, frame in enumerate(frames):
            if not (np.isfinite(frame.positions).all() and np.isfinite(frame.cell.array).all()):
                raise UserError(f"frame {number}: a position or cell vector is not a finite number; the run broke there")
            if wrong := _wrong_cell(frame):
                raise UserError(f"frame {number}: {wrong}")
        if run and len(frames) > 1:
            require_run(frames)
        _require_distances(frames)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    return frames


def _frames_of(path: str | Path) -> list[Atoms]:
    """Frames of the same atoms as they stand in a file or folder. Raises UserError as `read_frames`."""
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


def _require_distances(frames: Sequence[Atoms]) -> None:
    """Refuse atoms nearer than NEAREST in the first, the middle and the last frame. Raises UserError naming frame and atoms."""
    from ase.neighborlist import neighbor_list

    for number in sorted({0, len(frames) // 2, len(frames) - 1}):
        frame = frames[number]
        radii = covalent_radii[frame.numbers]
        first, second, distance = neighbor_list("ijd", frame, NEAREST * radii)
        if not len(distance):
            continue
        n = int(np.argmin(distance / (radii[first] + radii[second])))
        i, j, least = int(first[n]), int(second[n]), NEAREST * float(radii[first[n]] + radii[second[n]])
        told = f"atoms {i} ({frame.symbols[i]}) and {j} ({frame.symbols[j]}) are {distance[n]:.3g} Å apart"
        raise UserError(f"frame {number}: {told}, nearer than any matter has them ({least:.3g} Å): the cell is wrong (too "
                        "small for its atoms), or the unit of cell or positions; write the cell of the run into every "
                        "frame")  # fmt: skip


def require_run(frames: Sequence[Atoms]) -> None:
    """Refuse frames that do not follow one another in a run: a cell that jumps, leaps of atoms, atoms all at rest.

    Raises:
        UserError: naming frame and atom.
    """
    _require_steady_cell(frames)
    require_motion(unwrap(frames))


def _require_steady_cell(frames: Sequence[Atoms]) -> None:
    """Refuse a cell that swells by SWELLING at once, or strains by more than STRAIN and STRAINS times the median strain."""
    if any(frame.cell.rank < 3 for frame in frames):
        return
    cells = np.array([frame.cell.array for frame in frames])
    volumes = np.abs(np.linalg.det(cells))
    strains = _strains(cells)
    swells = np.exp(np.abs(np.diff(np.log(volumes)))) > SWELLING
    jumps = swells | (strains > max(STRAIN, STRAINS * float(np.median(strains))))
    if jumps.any():
        number = int(np.argmax(np.where(jumps, strains, 0.0))) + 1
        before, after = (", ".join(f"{one:.4g}" for one in frames[n].cell.lengths()) for n in (number - 1, number))
        raise UserError(f"frame {number}: the cell jumps from edges of {before} Å to {after} Å ({volumes[number - 1]:.4g} to "
                        f"{volumes[number]:.4g} Å³): its cell, or the one before, is wrong, or frames are missing; mend it, or "
                        "cut the file there")  # fmt: skip


def _strains(cells: np.ndarray) -> np.ndarray:
    """Largest stretch or squeeze (frames - 1,), 1, of each cell (3, 3) from the one before, turned or cut otherwise or not."""
    deformed = np.linalg.inv(cells[:-1]) @ np.linalg.solve(_recut(cells[:-1], cells[1:]), cells[1:])
    return np.asarray(np.abs(np.linalg.svd(deformed, compute_uv=False) - 1).max(axis=1))


def _recut(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Whole-numbered combinations (…, 3, 3) of the vectors before that those after are: one, but for a box that flips."""
    whole = np.round(after @ np.linalg.inv(before))
    same = np.abs(np.abs(np.linalg.det(whole)) - 1) < 0.5
    return np.asarray(np.where(same[..., None, None], whole, np.eye(3)))


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
    before, cell = np.empty((0, 3)), np.eye(3)
    for number, frame in enumerate(frames):
        if not tracks or frame.cell.rank < 3:
            scaled = frame.positions if frame.cell.rank < 3 else frame.cell.scaled_positions(frame.positions)
            tracks.append(frame.positions.copy())
        else:
            scaled = frame.cell.scaled_positions(frame.positions)
            step = scaled - np.linalg.solve(_recut(cell, frame.cell.array).T, before.T).T
            if (np.abs(step[:, ~frame.pbc]) > 0.5).any():
                told = "an atom crosses half the cell at once in a direction that the file calls not periodic"
                raise UserError(f"frame {number}: {told}; say pbc in the file, or write unwrapped positions")
            step -= np.round(step) * frame.pbc
            tracks.append(tracks[-1] + step @ frame.cell.array)
        before, cell, last = scaled, frame.cell.array if frame.cell.rank == 3 else np.eye(3), frame
    if len(tracks) > 1:
        _require_steps(np.array(tracks), last)
    return np.array(tracks)


def _require_steps(tracks: np.ndarray, last: Atoms) -> None:
    """Refuse a leap among small steps (frames, n, 3): what is compared is always the atom's own element.

    A leap goes farther in one frame than LEAP and LEAPS times the median movement. A bounce, out in one frame and back to less
    than half as far in the next, goes farther than BOUNCE and BOUNCES times what 99 of 100 movements stay below: over long
    times between frames real ions move so far that the second limit rules, over short ones no hop reaches the first.

    Raises:
        UserError: naming frame and atom.
    """
    moves = np.diff(tracks, axis=0)
    steps, limit = np.linalg.norm(moves, axis=2), np.full(len(last), np.inf)  # (frames - 1, n), (n,)
    if len(steps) > 1:
        _require_no_bounce(moves, steps, last)
    for element in set(last.numbers):
        own = steps[:, last.numbers == element]
        if (own > STILL).any():
            limit[last.numbers == element] = max(LEAP, LEAPS * float(np.median(own[own > STILL])))
    number, atom = (int(one) for one in np.unravel_index(np.argmax(steps / limit), steps.shape))
    if steps[number, atom] > limit[atom]:
        moved = f"moves by {steps[number, atom]:.3g} Å from the frame before"
        told = f"frame {number + 1}: atom {atom} ({last.symbols[atom]}) {moved}"
        wrapped = "positions are wrapped into a cell that the file does not give (right)"
        alike = last.numbers == last.numbers[atom]
        if alike.sum() > (steps > limit).any(axis=0)[alike].sum() == 1:
            raise UserError(f"{told}, and no other of its element leaps: it flies free as a gas atom (leave it out, or write "
                            f"frames more often), its position is wrong, or {wrapped}")  # fmt: skip
        raise UserError(f"{told}, where half of all movements of its element stay below {limit[atom] / LEAPS:.2g} Å: the "
                        f"{wrapped}, frames are missing, or the atoms change their order")  # fmt: skip


def _require_no_bounce(moves: np.ndarray, steps: np.ndarray, last: Atoms) -> None:
    """Refuse the bounce of `_require_steps`; moves (frames - 1, n, 3) and their lengths (frames - 1, n), Å."""
    out = np.minimum(steps[1:], steps[:-1])
    out[np.linalg.norm(moves[1:] + moves[:-1], axis=2) > out / 2] = 0.0
    number, atom = (int(one) for one in np.unravel_index(np.argmax(out), out.shape))
    others = np.arange(len(last)) != atom
    alike = others & (last.numbers == last.numbers[atom])
    compared = steps[:, alike if alike.any() else others]
    usual = float(np.quantile(compared, 0.99)) if compared.size else np.inf
    if out[number, atom] > max(BOUNCE, BOUNCES * usual):
        raise UserError(f"frame {number + 1}: atom {atom} ({last.symbols[atom]}) leaps by {out[number, atom]:.3g} Å and is back "
                        f"in the next frame, where 99 of 100 movements stay below {usual:.2g} Å: its position in that frame is "
                        "wrong (leave the frame out, or write it anew), or positions are wrapped into a cell that the file "
                        "does not give (right)")  # fmt: skip


def stress_of(frame: Atoms, number: int) -> np.ndarray:
    """Stress (3, 3), eV/Å³, that frame `number` of a file holds, tension positive.

    Raises:
        UserError: it holds none, or one that is not finite; the frame is named.
    """
    try:
        stress = np.asarray(frame.get_stress(voigt=False))
    except Exception as error:  # ASE raises several where a file holds none
        raise UserError(f"frame {number} holds no stress ({error}); write frames with their stresses") from error
    if not np.isfinite(stress).all():
        raise UserError(f"frame {number}: its stress is not a finite number; the run broke there, leave the frame out")
    return stress


def require_condensed(frames: Iterable[Atoms]) -> None:
    """Refuse cells far too large for their atoms: what is told per volume would be wrong as the cell is. Raises UserError."""
    for number, frame in enumerate(frames):
        volume = abs(float(np.linalg.det(frame.cell.array)))
        most = max((ROOMY.get(symbol, ROOM) for symbol in set(frame.symbols)), default=ROOM)
        if volume > SPARSEST * most * len(frame):
            told = f"{volume / len(frame):.3g} Å³ an atom, more than {SPARSEST:g} times that of any solid of these elements"
            where = f"frame {number}: {len(frame)} atoms in a cell of {volume:.3g} Å³"
            raise UserError(f"{where}: {told}; the cell is wrong, or its unit")


def require_filled(frames: Sequence[Atoms], axes: Sequence[int] = (0, 1, 2), vacuum: bool = True) -> None:
    """Refuse a cell longer than its atoms: a layer of VOID along an axis with less than SPARSE of its share of them.

    Looked at in the first and the last frame.

    Args:
        frames: with three-dimensional cells. axes: numbers of the cell vectors looked along.
        vacuum: whether an open direction (pbc false) may hold some.

    Raises:
        UserError: naming frame and axis.
    """
    for number, axis in itertools.product(sorted({0, len(frames) - 1}), axes):
        if _least_filled(frames[number], axis, vacuum) < SPARSE:
            name, height = "abc"[axis], 1 / float(np.linalg.norm(frames[number].cell.reciprocal().array[axis]))
            mend = f"say so (pbc false along {name})" if vacuum else f"take a slice of what they fill (--axis {name} --slice)"
            raise UserError(f"frame {number}: a layer of {VOID:g} Å along {name} ({height:.4g} Å) holds next to no atoms: a "
                            "number per volume would be wrong; give the cell that the atoms fill, or, if there is vacuum, "
                            f"{mend}")  # fmt: skip


def require_packed(frames: Sequence[Atoms]) -> None:
    """Refuse a cell with such layers along two or three periodic directions: neighbours across its faces would be missed.

    A slab, with vacuum along one, passes.

    Raises:
        UserError: naming frame and axes.
    """
    for number in sorted({0, len(frames) - 1}):
        frame = frames[number]
        empty = [axis for axis in range(3) if frame.cell.rank == 3 and _least_filled(frame, axis) < SPARSE]
        if len(empty) > 1:
            names = " and ".join("abc"[axis] for axis in empty)
            raise UserError(f"frame {number}: layers of {VOID:g} Å along {names} hold next to no atoms: the cell is longer than "
                            "they are, and neighbours across its faces would be missed; give the cell that the atoms fill, or, "
                            f"if there is vacuum, say so (pbc false along {names})")  # fmt: skip


def _least_filled(frame: Atoms, axis: int, vacuum: bool = True) -> float:
    """Fewest atoms in a layer of VOID along a cell vector over their mean number in one; with `vacuum` 1 along an open one."""
    share = VOID * float(np.linalg.norm(frame.cell.reciprocal().array[axis]))
    if (vacuum and not frame.pbc[axis]) or share >= 1:
        return 1.0
    depths = np.sort(frame.cell.scaled_positions(frame.positions)[:, axis] % 1.0)
    ends = np.searchsorted(np.concatenate([depths, depths + 1]), depths + share, side="left")
    return float((ends - np.arange(len(depths)) - 1).min()) / (share * len(depths))


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
        UserError: what `read_frames` refuses, no three-dimensional cell, or one that its atoms do not fill.
    """
    frames = read_frames(path)
    volumes = np.array([abs(np.linalg.det(frame.cell.array)) for frame in frames])
    if not (volumes > 0).all():
        raise UserError(f"{path}: frame {int(np.argmin(volumes))} has no three-dimensional cell; a conductivity needs a volume")
    try:
        require_condensed(frames)
        require_filled(frames)
        positions = unwrap(frames)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    momenta = [frame.get_momenta() for frame in frames]
    moving = all("momenta" in frame.arrays for frame in frames) and any(np.abs(p).max() > 0 for p in momenta)
    masses = frames[0].get_masses()
    velocities = np.array(momenta) / masses[:, None] * units.fs if moving else None
    labels, formula = frames[0].get_chemical_symbols(), frames[0].get_chemical_formula(empirical=True)
    return Read(positions, velocities, labels, masses, float(volumes.mean()), formula)

"""The fields that a run wrote (VTX folders, `*.bp`), read without DOLFINx: for pictures and for other formats."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from coupling.errors import UserError

LINEAR = {(68, 2): "line", (69, 3): "triangle", (70, 4): "quad", (71, 4): "tetra", (72, 8): "hexahedron"}
"""meshio's name of a cell by VTK's number of the Lagrange cell and its count of nodes; DOLFINx writes all cells so."""
FORMATS = (".xdmf", ".vtu")
"""What `save` writes."""
_OWN = ("geometry", "connectivity", "types", "step", "NumberOfEntities", "NumberOfNodes", "vtkGhostType", "vtkOriginalPointIds")


@dataclass(frozen=True)
class WrittenFields:
    """One written state.

    Attributes:
        points: shape (n, 3), m; cells share none of theirs, since jumps between cells are kept.
        cells: numbers of the points of each cell, shape (m, k).
        kind: meshio's name of the cells.
        values: of each field at the points, shape (n,) or (n, 3), units as in the names.
    """

    points: np.ndarray
    cells: np.ndarray
    kind: str
    values: dict[str, np.ndarray]

    @property
    def dimension(self) -> int:
        """Of the cells."""
        return {"line": 1, "triangle": 2, "quad": 2}.get(self.kind, 3)

    def field(self, name: str) -> np.ndarray:
        """One field. Raises UserError telling the fields that there are."""
        if name not in self.values:
            raise UserError(f'no field "{name}" was written; there are: {", ".join(sorted(self.values))}')
        return self.values[name]


def find(results: Path, step: str | None = None) -> Path:
    """The VTX folder of a run's results: of a step of a transport case [default: the last], else the only one.

    Raises:
        UserError: there is none, or no such step.
    """
    steps = {path.parent.name: path for path in results.glob("steps/*/fields.bp")}
    if step is not None:
        if step not in steps:
            there = ", ".join(sorted(steps, key=_number)) or "none"
            raise UserError(f"--step {step}: no fields of such a step in {results}; steps with fields: {there}")
        return steps[step]
    found = [steps[max(steps, key=_number)]] if steps else sorted(results.glob("fields/*.bp"))
    if not found:
        raise UserError(f"{results}: no fields there; run the case (a transport case writes them unless output.fields is false)")
    return found[0]


def _number(step: str) -> tuple[int, str]:
    """Key that puts "2" before "10", and "3" before "3-last"."""
    digits = step.split("-")[0]
    return (int(digits) if digits.isdigit() else 0, step)


def read(path: Path) -> WrittenFields:
    """Read a VTX folder; the parts of several ranks are joined, without the cells that one rank only keeps of another's.

    Raises:
        UserError: it is damaged, or its cells are not linear.
    """
    import adios2

    try:
        with adios2.FileReader(str(path)) as file:
            names = [name for name in file.available_variables() if name not in _OWN]
            blocks = range(len(file.engine.blocks_info("geometry", 0)))
            points = [np.asarray(file.read("geometry", block_id=k), dtype=float) for k in blocks]
            cells = [np.asarray(file.read("connectivity", block_id=k))[:, 1:].astype(int) for k in blocks]
            values = {name: np.concatenate([np.asarray(file.read(name, block_id=k)) for k in blocks]) for name in names}
            owned = [~np.asarray(file.read("vtkGhostType", block_id=k), dtype=bool).ravel() for k in blocks]
            number = int(np.ravel(file.read("types"))[0])
    except (RuntimeError, ValueError, IndexError, OSError) as error:
        told = str(error).strip().splitlines()[-1][:120] if str(error).strip() else type(error).__name__
        raise UserError(f"{path}: cannot be read ({told}); delete it and run the case again") from error
    first = np.cumsum([0, *(len(part) for part in points[:-1])])
    mine = [part[own[part].any(axis=1)] + start for part, own, start in zip(cells, owned, first, strict=True)]
    joined = np.concatenate(mine)
    kind = LINEAR.get((number, joined.shape[1]))
    if kind is None:
        raise UserError(f"{path}: cells with {joined.shape[1]} nodes (VTK type {number}); only linear cells are read")
    shaped = {name: array if array.ndim == 1 or array.shape[1] > 1 else array[:, 0] for name, array in values.items()}
    return WrittenFields(np.concatenate(points), joined, kind, shaped)


def save(fields: WrittenFields, path: Path) -> list[Path]:
    """Write all fields as XDMF (with its .h5 beside it) or VTU; the files written.

    Raises:
        UserError: another format.
    """
    import meshio

    if path.suffix.lower() not in FORMATS:
        raise UserError(f"--out {path}: the formats are {' and '.join(FORMATS)}; name it {path.with_suffix('.xdmf').name}")
    path.parent.mkdir(parents=True, exist_ok=True)
    meshio.Mesh(fields.points, [(fields.kind, fields.cells)], point_data=fields.values).write(path)
    return [path, path.with_suffix(".h5")] if path.suffix.lower() == ".xdmf" else [path]

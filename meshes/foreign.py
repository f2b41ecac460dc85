"""Meshes that a user brings: gmsh files, or any format of meshio that keeps named groups."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from coupling.errors import UserError
from coupling.toml_input import nearest
from meshes.drawing import MeshQuality, measure

NATIVE = (".msh",)
"""Formats that gmsh reads with the names of their groups."""
CELLS = {2: ("triangle", "quad"), 3: ("tetra", "hexahedron")}
"""Cells that can be used, by dimension."""


def draw(
    path: str | Path, unit: float, regions: Sequence[str], boundaries: Sequence[str], expected: int | None = None
) -> MeshQuality:
    """Load a mesh into the current gmsh model (one rank); nodes in metres.

    Args:
        path: .msh, or a format of meshio.
        unit: of its coordinates, m.
        regions, boundaries: names that it must have.
        expected: dimension that it must have; any unless given.

    Raises:
        UserError: no such file, another format, damaged, no cells, or a name is missing.
    """
    import gmsh

    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: no such mesh file")
    with tempfile.TemporaryDirectory() as folder:
        native = path if path.suffix.lower() in NATIVE else _converted(path, Path(folder) / "mesh.msh")
        try:
            gmsh.merge(str(native))
        except Exception as error:
            raise UserError(f"{path}: cannot be read as a mesh ({str(error).splitlines()[0]})") from None
    dimension = _dimension(path)
    if expected is not None and dimension != expected:
        raise UserError(f"{path}: its named regions have dimension {dimension}; the case says dimension = {expected}")
    present = [_names(dim) for dim in (dimension, dimension - 1)]
    for kind, wanted, known in (("region", regions, present[0]), ("boundary", boundaries, present[1])):
        for name in wanted:
            if name not in known:
                shown = nearest(name, known) if known else f"it has no named {kind}; make physical groups"
                raise UserError(f'{path}: the mesh has no {kind} called "{name}"; {shown}')
    _require_apart(path, dimension)
    gmsh.model.mesh.affineTransform([unit, 0, 0, 0, 0, unit, 0, 0, 0, 0, unit, 0])
    return measure(dimension)


def _names(dimension: int) -> list[str]:
    import gmsh

    groups = gmsh.model.getPhysicalGroups(dimension)
    return [gmsh.model.getPhysicalName(dim, tag) or f"group-{tag}" for dim, tag in groups]


def _require_apart(path: Path, dimension: int) -> None:
    """Refuse cells or faces with two names, which DOLFINx would count twice. Raises UserError."""
    import gmsh

    for of, kind in ((dimension, "regions"), (dimension - 1, "boundaries")):
        owner: dict[int, str] = {}
        for (_, tag), name in zip(gmsh.model.getPhysicalGroups(of), _names(of), strict=True):
            for entity in gmsh.model.getEntitiesForPhysicalGroup(of, tag):
                other = owner.setdefault(int(entity), name)
                if other != name:
                    told = f'the {kind} "{other}" and "{name}" share the geometrical entity {entity}'
                    raise UserError(f"{path}: {told}; give each its own (in msh 2 files: the second tag of an element)")


def _dimension(path: Path) -> int:
    """Of the cells: that of the highest named group."""
    import gmsh

    for dimension in (3, 2):
        if gmsh.model.getPhysicalGroups(dimension):
            break
    else:
        raise UserError(f"{path}: no named regions; make a physical group (cell set) of each region and boundary")
    if dimension == 2:
        _, places, _ = gmsh.model.mesh.getNodes()
        z = places.reshape(-1, 3)[:, 2]
        if np.ptp(z) > 1e-9 * np.ptp(places):
            raise UserError(f"{path}: a surface in space; give a plane mesh (z = 0) or a mesh of volumes")
    return dimension


def _converted(path: Path, target: Path) -> Path:
    """The mesh as a gmsh file, its named sets as physical groups. Raises UserError."""
    import meshio

    try:
        mesh = meshio.read(path)
    except (Exception, SystemExit) as error:
        why = str(error).splitlines()[0] if str(error) else repr(error)
        raise UserError(f"{path}: cannot be read as a mesh ({why}); save it in gmsh's format (.msh)") from None
    dimension = 3 if any(block.type.startswith(CELLS[3]) for block in mesh.cells) else 2
    facets = {3: CELLS[2], 2: ("line",)}[dimension]
    blocks: list[tuple[str, np.ndarray]] = []
    tags: list[np.ndarray] = []
    names: dict[tuple[str, int], int] = {}
    for number, block in enumerate(mesh.cells):
        if not block.type.startswith((*CELLS[dimension], *facets)):
            continue
        of = dimension if block.type.startswith(CELLS[dimension]) else dimension - 1
        found = _tags(mesh, number, of, names)
        if (found > 0).any():
            blocks.append((block.type, block.data[found > 0]))
            tags.append(found[found > 0])
    if not blocks:
        raise UserError(f"{path}: no named groups of cells; save it in gmsh's format (.msh) with physical groups")
    points = np.zeros((len(mesh.points), 3))
    points[:, : mesh.points.shape[1]] = mesh.points
    data: dict[str, Any] = {"gmsh:physical": tags, "gmsh:geometrical": tags}
    field = {name: np.array([tag, of]) for (name, of), tag in names.items()}
    meshio.write(target, meshio.Mesh(points, blocks, cell_data=data, field_data=field), file_format="gmsh22", binary=False)
    return target


def _tags(mesh: Any, number: int, of: int, names: dict[tuple[str, int], int]) -> np.ndarray:
    """Tag of each cell of a block from its named sets (0: none); `names` is added to."""
    found = np.zeros(len(mesh.cells[number].data), dtype=np.int32)
    physical = mesh.cell_data.get("gmsh:physical")
    if physical is not None:
        known = {int(value[0]): name for name, value in mesh.field_data.items() if int(value[1]) == of}
        for tag in np.unique(physical[number]):
            if int(tag) in known:
                found[physical[number] == tag] = names.setdefault((known[int(tag)], of), len(names) + 1)
    for name, members in mesh.cell_sets.items():
        if members[number] is not None and len(members[number]) and not name.startswith("gmsh:"):
            found[np.asarray(members[number], dtype=np.int64)] = names.setdefault((name, of), len(names) + 1)
    return found

"""From a mesh with named regions and boundaries to the cell of a transport case: the one door for every geometry.

Electrodes are outer boundaries of the mesh; a medium covers one region or several; wherever two media touch there is an
interface, wherever an electrode touches a medium a reaction, wherever two grains of a medium touch a thin boundary.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from mpi4py import MPI

from coupling.errors import UserError
from meshes import thin_polycrystal
from meshes.drawing import MeshQuality, Sizes
from multiscale.conduction.geometry import MeshedCase, Sketch, mesh_sketch
from multiscale.domain import Domain
from multiscale.structures import drawn
from multiscale.transport.interfaces import outer_alone, split_boundary, touching, with_interfaces
from multiscale.transport.thin_layers import grouped
from multiscale.transport_cases.case import TransportCase, check_metal_ion, missing_interface
from multiscale.transport_cases.cell import COUNTER, WORKING, Cell, Meeting, meeting_name
from multiscale.transport_cases.media import SOLID_NAMES
from multiscale.transport_cases.schema import SolidCell


def structured_cell(case: TransportCase, comm: MPI.Comm) -> Cell:
    """Mesh the structure of a case and find what touches what.

    Raises:
        UserError: it cannot be drawn as asked, or an interface that touches is not described; with the key of case.toml.
        RunFailure: gmsh failed.
    """
    try:
        meshed = _mesh(case, comm)
    except UserError as error:
        raise case.complaint(error) from None
    every = list(meshed.domain.regions)
    regions = {name: tuple(_regions_of(case, every, name)) for name in case.media}
    for name, found in regions.items():
        if not found:
            raise UserError(case.file.complaint(("transport", name), "the mesh has no cell of it; take it out"))
    renamed = dict.fromkeys(meshed.lithium, WORKING) | dict.fromkeys(meshed.counter, COUNTER)
    return assembled(case, outer_alone(meshed.domain, renamed), regions, meshed.cross_section)


def thin_cell(case: TransportCase, comm: MPI.Comm) -> tuple[Domain, MeshQuality]:
    """The mesh of an interlayer on a polycrystal in the plane with thin boundaries. Raises UserError, RunFailure."""
    what = thin_sketch(case)
    return drawn(lambda: thin_polycrystal.draw(what), comm, 2)


def thin_sketch(case: TransportCase) -> thin_polycrystal.ThinPolycrystal:
    """That cell, as it is drawn. Raises UserError naming the key."""
    geometry = case.settings.geometry
    try:
        return thin_polycrystal.ThinPolycrystal(
            geometry.width, geometry.electrolyte.thickness, geometry.electrolyte.grain_size, geometry.interlayer.thickness,
            seed=geometry.seed, sizes=Sizes(geometry.resolution), grain_size_spread=geometry.electrolyte.grain_size_spread,
        )  # fmt: skip
    except UserError as error:
        raise case.complaint(error) from None


def _mesh(case: TransportCase, comm: MPI.Comm) -> MeshedCase:
    geometry = case.settings.geometry
    apart = isinstance(geometry, SolidCell) and geometry.electrolyte.grain_boundary is not None
    window = case.settings.output.window
    return mesh_sketch(Sketch(case.folder, geometry, window, grains_apart=apart), comm)


def _regions_of(case: TransportCase, every: Sequence[str], medium: str) -> list[str]:
    """Regions of the mesh that a medium of the case covers."""
    if not isinstance(case.settings.geometry, SolidCell):
        return [name for name in case.media[medium].regions if name in every]
    return [name for name in every if SOLID_NAMES[name.split(" ")[0]] == medium]


def assembled(
    case: TransportCase, domain: Domain, regions: Mapping[str, tuple[str, ...]], area: float, **flat: Any
) -> Cell:
    """The cell on a mesh whose outer boundaries are named; "working" and "counter" are the electrodes.

    Args:
        case: the case.
        domain: its mesh, without named inner boundaries.
        regions: of each medium of the case.
        area: of the cross-section, m² (m in 2-D).
        flat: attributes of `Cell` that a flat cell knows.

    Raises:
        UserError: with the key of case.toml.
    """
    parts: dict[str, dict[str, tuple[str, ...]]] = {name: {name: regions[name]} for name in regions}
    networks = {}
    for name, substance in case.media.items():
        thin = substance.boundaries is not None and substance.boundaries[0].model == "thin"
        if thin and len(regions[name]) > 1:
            grains = grouped(domain, regions[name], name)
            domain, parts[name] = grains.domain, dict(grains.groups)
            networks[name] = tuple(Meeting(*face) for face in grains.faces)
    domain, meetings = _meetings(case, domain, parts)
    touches = {}
    for side in (WORKING, COUNTER):
        domain, touches[side] = _touches(case, domain, side, parts)
    if not flat:
        flat = _extents(domain, regions, touches)
    return Cell(domain, dict(regions), area=area, parts=parts, touches=touches, meetings=meetings, networks=networks, **flat)


def _meetings(
    case: TransportCase, domain: Domain, parts: Mapping[str, Mapping[str, tuple[str, ...]]]
) -> tuple[Domain, dict[tuple[str, str], tuple[Meeting, ...]]]:
    """Name the faces between media; every pair that touches is described in the case, and no other is."""
    groups = {part: found for name in parts for part, found in parts[name].items()}
    medium_of = {part: name for name in parts for part in parts[name]}
    described = [junction.between for junction in case.settings.interface]
    found: dict[tuple[str, str], list[Meeting]] = {pair: [] for pair in described}
    pairs = {}
    for a, b in touching(domain, groups):
        first, second = medium_of[a], medium_of[b]
        if first == second:
            continue
        if (first, second) not in found:
            first, second, a, b = second, first, b, a
        if (first, second) not in found:
            raise missing_interface(case.file, second, first)
        name = meeting_name(a, b)
        pairs[name] = groups[a], groups[b]
        found[first, second].append(Meeting(name, a, b))
    for number, pair in enumerate(described):
        if not found[pair]:
            raise UserError(case.file.refusal(("interface", number, "between"), "they nowhere touch in the mesh; take it out"))
    return with_interfaces(domain, pairs) if pairs else domain, {pair: tuple(faces) for pair, faces in found.items()}


def _touches(
    case: TransportCase, domain: Domain, side: str, parts: Mapping[str, Mapping[str, tuple[str, ...]]]
) -> tuple[Domain, dict[str, str]]:
    """Cut an electrode's boundary by the media behind it."""
    groups = {part: found for name in parts for part, found in parts[name].items()}
    medium_of = {part: name for name in parts for part in parts[name]}
    names = {f"{side}|{part}": part for part in groups}
    cut = split_boundary(domain, side, {name: groups[part] for name, part in names.items()})
    touched = {name: part for name, part in names.items() if name in cut.boundaries}
    electrode = getattr(case.settings.electrode, side)
    for medium in dict.fromkeys(medium_of[part] for part in touched.values()):
        if medium not in electrode.on:
            check_metal_ion(case.file, case.settings, ("electrode", side, "ion"), [medium], electrode.ion)
    for medium in electrode.on:
        if medium not in [medium_of[part] for part in touched.values()]:
            told = f"the {side} electrode does not touch {medium}; take it out"
            raise UserError(case.file.complaint(("electrode", side, "on", medium), told))
    if len(touched) == 1:
        ((_, part),) = touched.items()
        return split_boundary(domain, side, {side: groups[part]}), {side: part}
    return cut, touched


def _extents(
    domain: Domain, regions: Mapping[str, tuple[str, ...]], touches: Mapping[str, Mapping[str, str]]
) -> dict[str, Any]:
    """Axis from electrode to electrode, and where the media lie along it."""
    from scipy.spatial import cKDTree

    nodes = {side: _places(domain, domain.facets(*touches[side]), domain.dimension - 1) for side in touches}
    way = nodes[COUNTER].mean(axis=0) - nodes[WORKING].mean(axis=0)
    axis = int(np.argmax(np.abs(way)))
    direction = 1.0 if way[axis] >= 0 else -1.0
    places = {name: _places(domain, domain.cells(*found), domain.dimension)[:, axis] for name, found in regions.items()}
    along = direction * np.concatenate(list(places.values()))
    start = direction * float(along.min())
    depths = {
        name: (float((direction * (x - start)).min()), float((direction * (x - start)).max())) for name, x in places.items()
    }
    ordered = dict(sorted(depths.items(), key=lambda item: sum(item[1])))
    length = float(cKDTree(nodes[WORKING]).query(nodes[COUNTER])[0].min())
    return {"depths": ordered, "length": length, "axis": axis, "direction": direction, "start": start, "flat": False}


def _places(domain: Domain, entities: np.ndarray, dimension: int) -> np.ndarray:
    """Nodes of the mesh at some entities, over all ranks, shape (n, 3), m."""
    from dolfinx import mesh

    domain.mesh.topology.create_connectivity(dimension, 0)
    domain.mesh.topology.create_connectivity(dimension, domain.dimension)
    mine: np.ndarray = np.empty((0, 3))
    if len(entities):  # DOLFINx divides by their number
        mine = domain.mesh.geometry.x[np.unique(mesh.entities_to_geometry(domain.mesh, dimension, entities.astype(np.int32)))]
    return np.vstack(domain.comm.allgather(mine))

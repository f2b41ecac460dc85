"""The cell of a transport case: flat layers, an interlayer on a polycrystal, or any structure with named regions.

Depth counts from the working electrode. Boundaries are called "working", "counter" and "FIRST|SECOND" for the interface of
two media; a part of the working side that does not touch is "void", side walls are "wall".
"""

import itertools
import math
from typing import Any

import numpy as np
from dolfinx import mesh
from mpi4py import MPI

from coupling.constants import FARADAY, GAS_CONSTANT
from multiscale.domain import Domain
from multiscale.layered import layered_domain
from multiscale.transport.interfaces import outer_alone
from multiscale.transport.nernst_planck import VACUUM_PERMITTIVITY
from multiscale.transport_cases.case import TransportCase
from multiscale.transport_cases.cell import COUNTER, WORKING, Cell
from multiscale.transport_cases.crystal import polycrystal
from multiscale.transport_cases.inputs import Inputs, MediumInputs
from multiscale.transport_cases.structure import assembled, structured_cell, thin_cell

POLYCRYSTAL = {"interlayer": ("interphase",), "electrolyte": ("grain", "boundary")}
"""Regions of the meshed polycrystal that each medium covers."""
GROWTH, LARGEST = 1.35, 0.12
"""Growth of cells away from a face, and largest cell over the layer's thickness."""
SMALLEST = 0.01
"""Cell at a face over the layer's thickness, where the salt polarises."""
PER_DEBYE = 0.25
"""Cell at a face over the Debye length, where Poisson's equation is solved."""


def build(case: TransportCase, inputs: Inputs, comm: MPI.Comm) -> Cell:
    """Mesh the cell of a case.

    Raises:
        UserError: it cannot be drawn as asked, with the key of case.toml.
        RunFailure: gmsh failed.
    """
    if case.structured:
        return structured_cell(case, comm)
    geometry = case.settings.geometry
    ends = list(itertools.accumulate(geometry.thickness.values(), initial=0.0))
    flat: dict[str, Any] = {"depths": dict(zip(geometry.thickness, itertools.pairwise(ends), strict=True)), "length": ends[-1]}
    flat["axis"] = geometry.dimension - 1
    if geometry.kind == "layers":
        return assembled(case, _flat(case, inputs, comm), {name: (name,) for name in geometry.thickness},
                         geometry.width or 1.0, **flat)  # fmt: skip
    thin = geometry.electrolyte.grain_boundary.model == "thin"
    if thin:
        domain, _ = thin_cell(case, comm)
        grains = tuple(name for name in domain.regions if name != "interphase")
        regions = {"interlayer": ("interphase",), "electrolyte": grains}
    else:
        flat["crystal"] = polycrystal(case)
        domain, _ = layered_domain(flat["crystal"], comm)
        regions = POLYCRYSTAL
    named = {"lithium": WORKING, "left": "wall left", "right": "wall right"}
    return assembled(case, outer_alone(domain, named), regions, geometry.width or 1.0, **flat)


def graded(length: float, smallest: float, largest: float, both: bool = True) -> np.ndarray:
    """Nodes from 0 to `length`, cells growing from `smallest` at the first end (both ends) up to `largest`, m."""
    size, sizes = smallest, list[float]()
    reach = length / 2 if both else length
    while sum(sizes) < reach:
        sizes.append(min(size, largest))
        size *= GROWTH
    every = np.array([*sizes, *reversed(sizes)] if both else sizes)
    return np.concatenate([[0.0], np.cumsum(every) * (length / every.sum())])


def _flat(case: TransportCase, inputs: Inputs, comm: MPI.Comm) -> Domain:
    """Flat layers, cells small at their faces; in 2-D also at the edge of the contact."""
    geometry = case.settings.geometry
    T, fine = case.settings.conditions.temperature, geometry.resolution
    layers = [
        _layer_nodes(case, name, thickness, inputs.media[name], T, fine) for name, thickness in geometry.thickness.items()
    ]
    ends = list(itertools.accumulate((nodes[-1] for nodes in layers), initial=0.0))
    depth = np.concatenate([[0.0], *(start + nodes[1:] for start, nodes in zip(ends, layers, strict=False))])
    counts = [len(nodes) - 1 for nodes in layers]
    if geometry.dimension == 1:
        return _structured(comm, None, depth, counts, list(geometry.thickness), ())
    assert geometry.width is not None
    touching: tuple[float, ...] = ()
    if geometry.contact is None:
        across = np.linspace(0, geometry.width, 5)
    else:
        half, whole = geometry.contact.width / 2, geometry.width / 2
        least = min(half, whole - half) * 0.02 / fine
        inner = half - graded(half, least, LARGEST * half / fine, both=False)[::-1]
        outer = half + graded(whole - half, least, LARGEST * (whole - half) / fine, both=False)
        right = whole + np.concatenate([inner, outer[1:]])
        across = np.concatenate([2 * whole - right[:0:-1], right])
        touching = (whole - half, whole + half)
    return _structured(comm, across, depth, counts, list(geometry.thickness), touching)


def _layer_nodes(
    case: TransportCase, name: str, thickness: float, medium: MediumInputs, temperature: float, fine: float
) -> np.ndarray:
    largest = LARGEST * thickness / fine
    if medium.permittivity is not None and medium.concentration:
        charges = {ion.name: ion.charge for ion in case.settings.transport[name].species}
        strength = sum(charges[ion] ** 2 * c for ion, c in medium.concentration.items())
        ε = medium.permittivity * VACUUM_PERMITTIVITY
        debye = math.sqrt(ε * GAS_CONSTANT * temperature / (FARADAY**2 * strength))
        return graded(thickness, min(PER_DEBYE * debye / fine, largest), largest)
    return graded(thickness, SMALLEST * thickness / fine, largest)


def _structured(
    comm: MPI.Comm, across: np.ndarray | None, depth: np.ndarray, counts: list[int], names: list[str], touching: tuple[float, ...]
) -> Domain:
    """A line or rectangle with given nodes; layers of so many cells; the working electrode touches between two places."""
    if across is None:
        body = mesh.create_interval(comm, len(depth) - 1, [0.0, float(len(depth) - 1)])
    else:
        shape = [len(across) - 1, len(depth) - 1]
        body = mesh.create_rectangle(comm, [[0.0, 0.0], [float(n) for n in shape]], shape)
    dim = body.topology.dim
    index_map = body.topology.index_map(dim)
    cells = np.arange(index_map.size_local + index_map.num_ghosts, dtype=np.int32)
    level = mesh.compute_midpoints(body, dim, cells)[:, dim - 1]
    layer = np.searchsorted(np.cumsum(counts), level, side="right").astype(np.int32) + 1
    last, x = float(len(depth) - 1), body.geometry.x
    facets = {
        WORKING: mesh.locate_entities_boundary(body, dim - 1, lambda p: np.isclose(p[dim - 1], 0.0)),
        COUNTER: mesh.locate_entities_boundary(body, dim - 1, lambda p: np.isclose(p[dim - 1], last)),
    }
    x[:, dim - 1] = np.interp(x[:, dim - 1], np.arange(len(depth)), depth)
    if across is not None:
        x[:, 0] = np.interp(x[:, 0], np.arange(len(across)), across)
        if touching:
            body.topology.create_connectivity(1, 2)
            middle = mesh.compute_midpoints(body, 1, facets[WORKING])[:, 0]
            inside = (middle > touching[0]) & (middle < touching[1])
            facets |= {"void": facets[WORKING][~inside], WORKING: facets[WORKING][inside]}
    boundaries = {name: tag for tag, name in enumerate(facets, start=1)}
    every = np.concatenate(list(facets.values()))
    marks = np.concatenate([np.full(len(found), boundaries[name]) for name, found in facets.items()])
    order = np.argsort(every)
    return Domain(
        body, mesh.meshtags(body, dim, cells, layer),
        mesh.meshtags(body, dim - 1, every[order].astype(np.int32), marks[order].astype(np.int32)),
        {name: tag for tag, name in enumerate(names, start=1)}, boundaries,
    )  # fmt: skip

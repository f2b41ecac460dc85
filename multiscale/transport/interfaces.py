"""Interfaces between media, found in a mesh: the facets whose two cells lie in regions of different media get a name."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from dolfinx import mesh

from coupling.errors import UserError
from multiscale.domain import Domain, tags


def with_interfaces(domain: Domain, pairs: Mapping[str, tuple[Sequence[str], Sequence[str]]]) -> Domain:
    """The same domain with named inner boundaries.

    Args:
        domain: left as it is.
        pairs: name of each interface, and the regions on its two sides.

    Raises:
        UserError: an unknown region, a name that is taken, or media that do not touch.
    """
    dim, body = domain.dimension, domain.mesh
    body.topology.create_connectivity(dim - 1, dim)
    side = np.zeros(len(domain.cells()), dtype=np.int64)
    side[domain.cell_tags.indices] = domain.cell_tags.values
    connection = body.topology.connectivity(dim - 1, dim)
    inner = np.flatnonzero(np.diff(connection.offsets) == 2).astype(np.int32)
    first = connection.offsets[inner]
    a, b = side[connection.array[first]], side[connection.array[first + 1]]
    facets, marks = [domain.facet_tags.indices], [domain.facet_tags.values]
    boundaries = dict(domain.boundaries)
    for name, (here, there) in pairs.items():
        if name in boundaries:
            raise UserError(f'the mesh has a boundary called "{name}" already; choose another name for the interface')
        one, other = (tags(tuple(regions), domain.regions, "region") for regions in (here, there))
        between = (np.isin(a, one) & np.isin(b, other)) | (np.isin(a, other) & np.isin(b, one))
        if not domain.comm.allreduce(int(between.sum())):
            raise UserError(f"{' and '.join(here)} nowhere touch {' and '.join(there)}: there is no interface {name}")
        boundaries[name] = max(boundaries.values(), default=0) + 1
        facets.append(inner[between])
        marks.append(np.full(int(between.sum()), boundaries[name], dtype=np.int32))
    every, values = np.concatenate(facets), np.concatenate(marks)
    if len(np.unique(every)) < len(every):
        raise UserError("a facet of the mesh would belong to two boundaries; interfaces must not be tagged in the mesh already")
    order = np.argsort(every)
    found = mesh.meshtags(body, dim - 1, every[order].astype(np.int32), values[order].astype(np.int32))
    return replace(domain, facet_tags=found, boundaries=boundaries)


def touching(domain: Domain, groups: Mapping[str, Sequence[str]]) -> list[tuple[str, str]]:
    """Pairs of groups of regions that share a facet, in the order of the groups (the same on every rank)."""
    dim, body = domain.dimension, domain.mesh
    body.topology.create_connectivity(dim - 1, dim)
    number = np.full(max(domain.regions.values()) + 1, -1)
    for k, regions in enumerate(groups.values()):
        number[list(tags(tuple(regions), domain.regions, "region"))] = k
    side = np.full(len(domain.cells()), -1)
    side[domain.cell_tags.indices] = number[domain.cell_tags.values]
    connection = body.topology.connectivity(dim - 1, dim)
    first = connection.offsets[np.flatnonzero(np.diff(connection.offsets) == 2)]
    pairs = np.sort(np.column_stack([side[connection.array[first]], side[connection.array[first + 1]]]), axis=1)
    mine = {(int(a), int(b)) for a, b in np.unique(pairs, axis=0) if 0 <= a < b}
    names = list(groups)
    return [(names[a], names[b]) for a, b in sorted(set().union(*domain.comm.allgather(mine)))]


def split_boundary(domain: Domain, boundary: str, parts: Mapping[str, Sequence[str]]) -> Domain:
    """The same domain with an outer boundary cut into the parts that border on different regions.

    Args:
        domain: left as it is.
        boundary: its name, which the new domain has no more (unless it is the name of a part).
        parts: name of each part, and the regions behind it; a part that borders on none of them gets no name.

    Raises:
        UserError: an unknown boundary or region, a name that is taken, or a facet that no part takes.
    """
    dim, body = domain.dimension, domain.mesh
    body.topology.create_connectivity(dim - 1, dim)
    (old,) = tags((boundary,), domain.boundaries, "boundary")
    region = np.zeros(len(domain.cells()), dtype=np.int64)
    region[domain.cell_tags.indices] = domain.cell_tags.values
    connection = body.topology.connectivity(dim - 1, dim)
    mine = domain.facet_tags.values == old
    facets = domain.facet_tags.indices[mine]
    behind = region[connection.array[connection.offsets[facets]]]
    values, names = domain.facet_tags.values.copy(), {n: tag for n, tag in domain.boundaries.items() if n != boundary}
    found, fresh = np.zeros(len(facets), dtype=np.int32), max(domain.boundaries.values()) + 1
    for number, (name, regions) in enumerate(parts.items()):
        if name in names:
            raise UserError(f'the mesh has a boundary called "{name}" already; choose another name for a part of {boundary}')
        here = np.isin(behind, tags(tuple(regions), domain.regions, "region"))
        found[here] = fresh + number
        if domain.comm.allreduce(int(here.sum())):
            names[name] = fresh + number
    if domain.comm.allreduce(int(np.sum(found == 0))):
        raise UserError(f"a part of the boundary {boundary} borders on none of: {', '.join(parts)}")
    values[mine] = found
    return replace(domain, facet_tags=mesh.meshtags(body, dim - 1, domain.facet_tags.indices, values), boundaries=names)


def outer_alone(domain: Domain, rename: Mapping[str, str] | None = None) -> Domain:
    """The same domain whose named boundaries are outer ones only, some renamed or joined under one name."""
    body, dim = domain.mesh, domain.dimension
    body.topology.create_connectivity(dim - 1, dim)
    connection = body.topology.connectivity(dim - 1, dim)
    facets, values = domain.facet_tags.indices, domain.facet_tags.values
    outer = np.diff(connection.offsets)[facets] == 1
    index_map = body.topology.index_map(dim - 1)
    inner = domain.comm.allgather(set(index_map.local_to_global(facets[~outer].astype(np.int32)).tolist()))
    kept = outer & ~np.isin(index_map.local_to_global(facets.astype(np.int32)), list(set().union(*inner)))
    there = set().union(*domain.comm.allgather(set(np.unique(values[kept]).tolist())))
    boundaries: dict[str, int] = {}
    final = values[kept].copy()
    for name, tag in domain.boundaries.items():
        if tag in there:
            final[values[kept] == tag] = boundaries.setdefault((rename or {}).get(name, name), tag)
    found = mesh.meshtags(body, dim - 1, facets[kept].astype(np.int32), final.astype(np.int32))
    return replace(domain, facet_tags=found, boundaries=boundaries)

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

"""Zero-thickness elements for layers too thin to mesh: grain boundaries that conduct across and along themselves.

A layer of thickness δ between the faces φ₁ and φ₂ is one element with a quadratic profile across: beside the faces it has its
mean potential ψ, one field over the whole network of layers, so that currents along layers pass where layers meet. With the
jump J = φ₁ - φ₂ and the excess m = (φ₁ + φ₂)/2 - ψ it dissipates

    ∫ J²/R + 2 m²/r + δκ∥ [ |∇_s ψ|² + |∇_s J|²/12 + |∇_s m|²/5 ] dS,   R = δ/κ⊥ - δ/κ,  r = δ/(6κ⊥) - δ/(2κ)

and, since the mesh has grain where the layer is, half a layer of grain of conductivity κ is taken out of either side: from R
and r, and as -(δ/2) κ |∇_s φ|² along each face. What is left out is of the order of δ over the size of the grains.

ψ differs from the mean of the faces over a length δ (κ∥/(12κ⊥))^½ only. Where that is below the mesh size it is not an unknown
(m = 0): one value where layers cross would tie their faces together over whole elements.
Source: derived here; asymptotic thin-layer models in Benveniste, J. Mech. Phys. Solids 54, 708 (2006).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import ufl
from ufl import dot, grad

from coupling.errors import UserError
from multiscale.domain import Domain, piecewise
from multiscale.transport.interfaces import with_interfaces
from multiscale.transport.media import FILM, POTENTIAL, Network
from multiscale.transport.nernst_planck import SingleIon
from multiscale.transport.single_ion import flux

LEAST = 0.1
"""Share of its own resistances that a layer keeps where it conducts better than the grain beside it."""


def surface_gradient(value: Any, normal: Any) -> Any:
    """Gradient along an inner surface of a value restricted to its + side: ∇_s f = ∇f - n (n·∇f); the trace alone decides it."""
    slope = grad(value)
    return slope - normal * dot(normal, slope)


def conduction(system: Any, network: Network) -> Any:
    """Equations of a network of thin layers: the first variation of half the dissipation (see above), in the potentials' rows.

    ======  ====================  ======
    symbol  variable              unit
    ======  ====================  ======
    δ       layer.thickness       m
    κ⊥, κ∥  layer.across, .along  S/m
    ε       layer.permittivity    F/m, of the displacement current across
    κ       network.surrounding   S/m (number, field or tensor)
    ψ       (FILM, network.name)  V
    ======  ====================  ======

    Raises:
        UserError: a medium that is not a single-ion conductor.
    """
    layer, domain, own = network.layer, system.domain, (FILM, network.name)
    n, δ, form = ufl.FacetNormal(domain.mesh)("+"), layer.thickness, 0
    R, r = _resistances(network, n)
    for boundary, *media in network.faces:
        for name in media:
            if not isinstance(system.media[name].closure, SingleIon):
                raise UserError(f"{network.name}: medium {name} is not a single-ion conductor, which thin layers need")
        names = [*((name, POTENTIAL) for name in media), *([own] if own in system.index else [])]
        potentials, tests = ([part[system.index[name]] for name in names] for part in (system.u, system.test))
        (J, m, ψ), (j, q, w) = _modes(*potentials), _modes(*tests)
        density = J * j / R
        sheets = [(ψ, w, 1.0), (J, j, 1 / 12)]
        if own in system.index:
            density += 2 * m * q / r
            sheets.append((m, q, 1 / 5))
        for value, test, share in sheets:
            density += share * δ * layer.along * dot(surface_gradient(value, n), surface_gradient(test, n))
        if layer.permittivity is not None:
            dJ, dm, _ = _modes(*(system.rate_of(name) for name in names))
            density += layer.permittivity / δ * (dJ * j + (12 * dm * q if own in system.index else 0))
        if network.surrounding is not None:
            for φ, v in zip(potentials[:2], tests[:2], strict=True):
                along = flux(ufl.avg(network.surrounding), surface_gradient(φ("+"), n))
                density -= δ / 2 * dot(along, surface_gradient(v("+"), n))
        form += density * domain.dS(boundary)
    return form


def path_correction(system: Any, network: Network, degree: int) -> Any:
    """What layers add to ∫ |i| dx over the grains: δ |i| of the layer less (δ/2) |i| of the grain on either side.

    The current along the layer is -κ∥ ∇_s ψ, that across it the mean of the two sides'.
    """
    n, δ, form = ufl.FacetNormal(system.domain.mesh)("+"), network.layer.thickness, 0
    for boundary, *media in network.faces:
        first, second = (_on_its_side(system, name, system.current(name)) for name in media)
        ψ = sum(system.field(name) for name in media)("+") / 2
        along = network.layer.along * surface_gradient(ψ, n)
        across = dot((first + second) / 2, n)
        size = ufl.sqrt(dot(along, along) + across**2)
        if network.surrounding is not None:
            size -= (ufl.sqrt(dot(first, first)) + ufl.sqrt(dot(second, second))) / 2
        form += δ * size * system.domain.dS(boundary, degree=degree)
    return form


def _on_its_side(system: Any, medium: str, vector: Any) -> Any:
    """A vector of a medium at inner facets, seen from the side on which the medium lies; the mean where it lies on both.

    A medium's field means nothing in the cells of others, and which side of a facet is "+" depends on the mesh and its partition.
    """
    own = piecewise(system.domain, dict.fromkeys(system.media[medium].regions, 1.0), default=0.0)
    return (own("+") * vector("+") + own("-") * vector("-")) / (own("+") + own("-"))


def _modes(one: Any, other: Any, mean: Any = None) -> tuple[Any, Any, Any]:
    """Jump, excess and mean of a layer from its two faces and its mean (theirs without one)."""
    middle = (one + other) / 2
    if mean is None:
        return (one - other)("+"), None, middle("+")
    return (one - other)("+"), (middle - mean)("+"), mean("+")


def _resistances(network: Network, normal: Any) -> tuple[Any, Any]:
    """Of the whole layer across, and from both faces to its mean, less those of the grain whose place it takes, ohm m²."""
    δ, κ = network.layer.thickness, network.surrounding
    across = δ / network.layer.across
    if κ is None:
        return across, across / 6
    resistivity = 1 / dot(normal, dot(ufl.avg(κ), normal)) if getattr(κ, "ufl_shape", ()) else ufl.avg(1 / κ)
    grain = δ * resistivity
    return ufl.max_value(across - grain, LEAST * across), ufl.max_value(across / 6 - grain / 2, LEAST * across / 6)


def has_own_potential(domain: Domain, network: Network) -> bool:
    """Whether the mesh resolves how the layers' mean potential differs from that of their faces.

    Raises:
        UserError: cells at the layers that are smaller than they are thick.
    """
    layer = network.layer
    least, δ = _smallest_cell(domain, network), float(layer.thickness.value)
    if least < δ:
        told = f"the layer is {δ:.3g} m thick and the mesh beside it as fine as {least:.3g} m; mesh the layer instead"
        raise UserError(f"{network.name}: {told}")
    return δ * float(np.sqrt(float(layer.along.value) / (12 * float(layer.across.value)))) > least


def _smallest_cell(domain: Domain, network: Network) -> float:
    """Diameter of the smallest cell beside the layers, over all ranks, m."""
    mesh = domain.mesh
    facets = domain.facets(*(boundary for boundary, *_ in network.faces))
    mesh.topology.create_connectivity(domain.dimension - 1, domain.dimension)
    connection = mesh.topology.connectivity(domain.dimension - 1, domain.dimension)
    cells = np.unique(np.concatenate([np.empty(0, dtype=np.int32), *(connection.links(f) for f in facets)]))
    least = float(mesh.h(domain.dimension, cells.astype(np.int32)).min(initial=np.inf))
    return min(domain.comm.allgather(least))


@dataclass(frozen=True)
class Grains:
    """Grains in groups of which no two members touch, so that each group can be one medium.

    Attributes:
        domain: with the inner boundaries between the groups named.
        groups: regions of each group, by its name.
        faces: (boundary, group, group) of every pair that touches.
    """

    domain: Domain
    groups: Mapping[str, tuple[str, ...]]
    faces: tuple[tuple[str, str, str], ...]


def grouped(domain: Domain, grains: tuple[str, ...], called: str = "grains") -> Grains:
    """Colour the grains of a mesh (one region each) so that grains that share a vertex have different colours.

    The groups are `called` by a name and a number.

    Raises:
        UserError: an unknown region, or a single grain.
    """
    if len(grains) < 2:
        raise UserError("boundaries need two grains or more")
    at = {name: _vertices(domain, name) for name in grains}
    beside = {name: {other for other in grains if other != name and at[name] & at[other]} for name in grains}
    color: dict[str, int] = {}
    for name in sorted(grains, key=lambda name: (-len(beside[name]), grains.index(name))):
        taken = {color[other] for other in beside[name] if other in color}
        color[name] = next(k for k in range(len(grains)) if k not in taken)
    groups = {
        f"{called} {k}": tuple(grain for grain in grains if color[grain] == k) for k in range(max(color.values()) + 1)
    }
    names = list(groups)
    pairs = [(a, b) for k, a in enumerate(names) for b in names[k + 1 :] if _touch(domain, groups[a], groups[b])]
    faces = tuple((f"{a}|{b}", a, b) for a, b in pairs)
    return Grains(with_interfaces(domain, {face: (groups[a], groups[b]) for face, a, b in faces}), groups, faces)


def _vertices(domain: Domain, region: str) -> set[int]:
    """Global numbers of the vertices of a region, from all ranks."""
    topology = domain.mesh.topology
    topology.create_connectivity(domain.dimension, 0)
    connection, index_map = topology.connectivity(domain.dimension, 0), topology.index_map(0)
    local = [connection.links(cell) for cell in domain.cells(region)]
    mine = np.unique(np.concatenate([np.empty(0, dtype=np.int32), *local])).astype(np.int32)
    return set().union(*domain.comm.allgather(set(index_map.local_to_global(mine).tolist())))


def _touch(domain: Domain, one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    """Whether any facet lies between two groups of regions."""
    topology, dim = domain.mesh.topology, domain.dimension
    topology.create_connectivity(dim, dim - 1)
    connection = topology.connectivity(dim, dim - 1)
    sides = [
        np.unique(np.concatenate([np.empty(0, dtype=np.int32), *(connection.links(cell) for cell in domain.cells(*group))]))
        for group in (one, other)
    ]
    return bool(domain.comm.allreduce(len(np.intersect1d(*sides))))

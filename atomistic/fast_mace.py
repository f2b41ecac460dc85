"""The energy of a MACE model, written for quick training on a CPU.

It evaluates the parameters of mace-torch's own ScaleShiftMACE (two layers, hidden irreps N×0e or N×0e + N×1o), to round-off
the same function: neighbours are padded to a table, so that the sum over neighbours is a batched matrix product, and the
symmetric contraction runs over its non-zero monomials only. With scalars about five times faster to train than mace-torch's own
graph on one core, because no array of the size edges × channels × spherical harmonics is ever made.

Hidden features are a tuple, one tensor (2L + 1, n, k) a degree L = 0, 1, components in e3nn's order.

Equations: Batatia et al., arXiv:2206.07697 (edge features, A-basis, B-basis, readouts).
"""

import functools
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from ase import Atoms
from ase.neighborlist import neighbor_list
from matscipy.neighbours import neighbour_list
from torch.utils.weak import WeakIdKeyDictionary

Tensor = torch.Tensor
Hidden = tuple[Tensor, ...]


@dataclass(frozen=True)
class Batch:
    """Frames laid end to end: n atoms, m neighbours at most, g frames; Å, eV, eV/Å, eV/Å³."""

    species: Tensor  # (n,) index into the model's elements
    frame: Tensor  # (n,) number of the frame
    sizes: Tensor  # (g,) atoms of the frames, as real numbers
    neighbors: Tensor  # (n, m) index of the neighbour; unused places point to the atom itself
    vectors: Tensor  # (n, m, 3) from the atom to the neighbour; unused places lie beyond the cutoff
    volumes: Tensor  # (g,)
    energies: Tensor  # (g,) labels
    forces: Tensor  # (n, 3) labels
    stresses: Tensor  # (g, 3, 3) labels
    real_atoms: Tensor  # (n,) 1, or 0 where the place is filled up (atomistic.gpu_fitting)
    real_frames: Tensor  # (g,) 1, or 0 likewise

    def to(self, device: Any) -> "Batch":
        """The same batch on a device."""
        return Batch(*(getattr(self, one.name).to(device) for one in fields(self)))


def neighbor_table(atoms: Atoms, r_max: float) -> tuple[np.ndarray, np.ndarray]:
    """Padded neighbours (n, m) and vectors (n, m, 3) within r_max of every atom, periodic images included.

    By matscipy, some twenty times quicker than ASE's list, which takes the atoms that have no cell.
    """
    found = neighbour_list if atoms.cell.rank == 3 else neighbor_list
    i, j, vectors = found("ijD", atoms, r_max)
    counts = np.bincount(i, minlength=len(atoms))
    place = np.arange(len(i)) - np.repeat(np.cumsum(counts) - counts, counts)
    table = np.tile(np.arange(len(atoms))[:, None], (1, max(1, counts.max())))
    padded = np.zeros((*table.shape, 3))
    padded[..., 2] = 2 * r_max
    table[i, place], padded[i, place] = j, vectors
    return table, padded


@dataclass(frozen=True)
class Sample:
    """A labelled frame with its neighbour table, ready to be put into a batch."""

    frame: Atoms
    neighbors: np.ndarray
    vectors: np.ndarray


def sample(frame: Atoms, r_max: float) -> Sample:
    """Labelled frame (keys of atomistic.labels) with its neighbours within r_max (Å)."""
    return Sample(frame, *neighbor_table(frame, r_max))


def batch(samples: list[Sample], numbers: list[int], r_max: float, dtype: torch.dtype) -> Batch:
    """Batch of samples; `numbers` are the atomic numbers of the model's elements in its order."""
    frames = [sample.frame for sample in samples]
    width = max(sample.neighbors.shape[1] for sample in samples)
    offsets = np.cumsum([0, *(len(frame) for frame in frames)])
    neighbors = np.tile(np.arange(offsets[-1])[:, None], (1, width))
    vectors = np.zeros((*neighbors.shape, 3))
    vectors[..., 2] = 2 * r_max
    for one, offset in zip(samples, offsets[:-1], strict=True):
        rows, columns = slice(offset, offset + len(one.frame)), slice(0, one.neighbors.shape[1])
        neighbors[rows, columns] = one.neighbors + offset
        vectors[rows, columns] = one.vectors

    def numeric(values: Any) -> Tensor:
        return torch.as_tensor(np.asarray(values), dtype=dtype)

    return Batch(
        species=torch.as_tensor([numbers.index(z) for frame in frames for z in frame.numbers]),
        frame=torch.as_tensor(np.repeat(np.arange(len(frames)), np.diff(offsets))),
        sizes=numeric(np.diff(offsets)),
        neighbors=torch.as_tensor(neighbors),
        vectors=numeric(vectors),
        volumes=numeric([frame.get_volume() for frame in frames]),
        energies=numeric([frame.info["REF_energy"] for frame in frames]),
        forces=numeric(np.concatenate([frame.arrays["REF_forces"] for frame in frames])),
        stresses=numeric([stress_matrix(frame) for frame in frames]),
        real_atoms=torch.ones(int(offsets[-1]), dtype=dtype),
        real_frames=torch.ones(len(frames), dtype=dtype),
    )


def stress_matrix(frame: Atoms) -> np.ndarray:
    """Labelled stress (3, 3) of a frame, eV/Å³."""
    return np.asarray(frame.info["REF_stress"])[[0, 5, 4, 5, 1, 3, 4, 3, 2]].reshape(3, 3)


def predict(model: Any, data: Batch) -> tuple[Tensor, Tensor, Tensor]:
    """Energies (g,), forces (n, 3) and stresses (g, 3, 3) that can be differentiated by the parameters.

    All follow from G = ∂E/∂d, d the vectors from atom i to neighbour j: F_i = Σ_j G_ij − Σ_j G_ji, σ = Σ d ⊗ G / V.
    """
    vectors = data.vectors.detach().requires_grad_(True)
    energies = _energies(model, data, vectors)
    (slope,) = torch.autograd.grad(energies.sum(), vectors, create_graph=torch.is_grad_enabled())
    forces = slope.sum(1).index_add(0, data.neighbors.reshape(-1), -slope.reshape(-1, 3))
    virial = torch.einsum("nma,nmb->nab", data.vectors, slope)
    stresses = torch.zeros_like(data.stresses).index_add(0, data.frame, virial) / data.volumes[:, None, None]
    return energies, forces, (stresses + stresses.transpose(1, 2)) / 2


def _energies(model: Any, data: Batch, vectors: Tensor) -> Tensor:
    """Total energies (g,) in eV: atomic energies + scale·(readouts + ZBL) + shift."""
    lengths = vectors.norm(dim=2)
    per_atom = _repulsion(model, data, lengths) if hasattr(model, "pair_repulsion_fn") else torch.zeros_like(lengths[:, 0])
    for layer, features in enumerate(_layers(model, data, vectors)):
        readout = model.readouts[layer]
        taken = (readout.linear_1 if layer else readout.linear).irreps_in.dim  # vectors are read by nobody
        per_atom = per_atom + readout(torch.nn.functional.pad(features, (0, taken - features.shape[1])), None).squeeze(-1)
    per_atom = model.scale_shift.scale * per_atom + model.scale_shift.shift
    per_atom = per_atom + model.atomic_energies_fn.atomic_energies.reshape(-1)[data.species].to(per_atom.dtype)
    return torch.zeros_like(data.energies).index_add(0, data.frame, per_atom)


def _layers(model: Any, data: Batch, vectors: Tensor) -> Iterator[Tensor]:
    """Invariant features (n, k) of the atoms after each layer."""
    n, m, _ = vectors.shape
    # mace-torch counts vectors from neighbour to atom
    flat = -vectors.reshape(-1, 3)
    lengths = flat.norm(dim=1, keepdim=True)
    harmonics = model.spherical_harmonics(flat).reshape(n, m, -1)
    radial = model.radial_embedding.bessel_fn(lengths) * model.radial_embedding.cutoff_fn(lengths)
    embedding = model.node_embedding.linear.weight.view(len(model.atomic_numbers), -1) / len(model.atomic_numbers) ** 0.5
    hidden: Hidden = (embedding[data.species][None],)
    for layer, (interaction, product) in enumerate(zip(model.interactions, model.products, strict=True)):
        skip = 0.0 if layer == 0 else species_mix(interaction.skip_tp, hidden[0][0], data.species)
        basis = _a_basis(interaction, hidden, harmonics, radial, data)
        polynomials = tuple(_contraction(one, basis, data.species) for one in product.symmetric_contractions.contractions)
        hidden = mixed(product.linear, polynomials)
        hidden = (hidden[0] + skip, *hidden[1:])
        yield hidden[0][0]


def descriptors(model: Any, atoms: Atoms) -> np.ndarray:
    """Invariant features (n, k) of every atom after the first layer: what the potential sees within r_max, rotations aside."""
    r_max = float(model.r_max)
    kind = next(model.parameters()).dtype
    neighbors, vectors = neighbor_table(atoms, r_max)
    numbers = [int(z) for z in model.atomic_numbers]
    zeros = torch.zeros(1, dtype=kind)
    data = Batch(
        species=torch.as_tensor([numbers.index(z) for z in atoms.numbers]), frame=torch.zeros(len(atoms), dtype=torch.int64),
        sizes=zeros, neighbors=torch.as_tensor(neighbors), vectors=torch.as_tensor(vectors, dtype=kind), volumes=zeros,
        energies=zeros, forces=zeros, stresses=zeros, real_atoms=zeros, real_frames=zeros,
    )  # fmt: skip
    with torch.no_grad():
        return np.asarray(next(_layers(model, data, data.vectors)).numpy(), dtype=float)


def of_species(values: Tensor, species: Tensor) -> Tensor:
    """From values (…, n, z, k) the one of each atom's own species: (…, n, k)."""
    index = species.view(-1, 1, 1).expand(*values.shape[:-2], 1, values.shape[-1])
    return values.gather(-2, index).squeeze(-2)


def species_mix(product: Any, features: Tensor, species: Tensor) -> Tensor:
    """Scalars (n, k) times a weight matrix per species, mace-torch's skip connection of the second layer."""
    n, channels = features.shape
    weight = product.weight.view(channels, -1)
    each = features @ (weight / weight.shape[1] ** 0.5)
    return of_species(each.view(n, -1, channels), species)


def mixed(linear: Any, hidden: Hidden) -> Hidden:
    """Channels of every degree mixed by their own matrix, e3nn's linear layer of irreps with one block a degree."""
    channels = hidden[0].shape[2]
    matrices = linear.weight.view(len(hidden), channels, channels) / channels**0.5
    return tuple(values @ matrix for values, matrix in zip(hidden, matrices, strict=True))


def _a_basis(interaction: Any, hidden: Hidden, harmonics: Tensor, radial: Tensor, data: Batch) -> Tensor:
    """A-basis ((l_max + 1)², n, k): Σ_j R_kl(r_ij) Y_lm(r_ij) h_jk, mixed over channels (and species, first layer)."""
    if len(hidden) > 1:
        return _a_basis_of_vectors(interaction, hidden, harmonics, radial, data)
    n, m, count = harmonics.shape
    channels, degrees = hidden[0].shape[2], int(count**0.5)
    degree = _degree_of(degrees, harmonics.device)
    sources = mixed(interaction.linear_up, hidden)[0][0].index_select(0, data.neighbors.reshape(-1))
    weights = interaction.conv_tp_weights(radial).view(n * m, degrees, channels) * sources[:, None]
    # every l with every (l', m): one matrix product per atom, the fitting pairs are taken from it
    pairs = torch.bmm(harmonics.transpose(1, 2), weights.view(n, m, -1)).view(n, count, degrees, channels)
    summed = torch.cat([pairs[:, ell**2 : (ell + 1) ** 2, ell] for ell in range(degrees)], 1).transpose(0, 1)
    mix = interaction.linear.weight.view(degrees, channels, channels) / (channels**0.5 * interaction.avg_num_neighbors)
    if type(interaction).__name__ != "RealAgnosticInteractionBlock":
        return torch.bmm(summed, mix.index_select(0, degree))
    skip = interaction.skip_tp.weight.view(degrees, channels, -1)
    both = torch.bmm(mix, skip) / skip.shape[2] ** 0.5
    return of_species(torch.bmm(summed, both.index_select(0, degree)).view(count, n, -1, channels), data.species)


def _a_basis_of_vectors(interaction: Any, hidden: Hidden, harmonics: Tensor, radial: Tensor, data: Batch) -> Tensor:
    """A-basis where neighbours carry vectors too: Σ_j R_kp(r_ij) Σ_mM C^λμ_lm,LM Y_lm(r_ij) h_jk,LM, mixed over k and p.

    A path p leads from L and l to λ. Paths of one l share a matrix product per atom.
    """
    (n, m, _), channels = harmonics.shape, hidden[0].shape[2]
    sources = torch.cat(mixed(interaction.linear_up, hidden)).transpose(0, 1).index_select(0, data.neighbors.reshape(-1))
    weights = interaction.conv_tp_weights(radial).view(n * m, -1, channels)
    ways = paths(interaction.conv_tp)
    arrived: list[Tensor] = [harmonics] * len(ways)
    for ell in sorted({way.edge for way in ways}):
        own = [(place, way) for place, way in enumerate(ways) if way.edge == ell]
        columns = torch.cat([weights[:, place, None] * sources[:, way.L**2 : (way.L + 1) ** 2] for place, way in own], 1)
        pairs = torch.bmm(harmonics[:, :, ell**2 : (ell + 1) ** 2].transpose(1, 2), columns.view(n, m, -1))
        blocks = pairs.view(n, 2 * ell + 1, -1, channels).split([2 * way.L + 1 for _, way in own], 2)
        for (place, way), block in zip(own, blocks, strict=True):
            symbols = coupling(way.L, ell, way.out, block.dtype, block.device) * way.weight
            arrived[place] = torch.einsum("oem,nemk->onk", symbols, block)
    matrices, basis = interaction.linear.weight.view(len(ways), channels, channels) / interaction.avg_num_neighbors, []
    for out in sorted({way.out for way in ways}):
        places = [place for place, way in enumerate(ways) if way.out == out]  # one after the other
        last = places[-1] + 1
        matrix = matrices[places[0] : last].reshape(-1, channels) / (len(places) * channels) ** 0.5
        basis.append(torch.cat(arrived[places[0] : last], -1) @ matrix)
    return torch.cat(basis)


@dataclass(frozen=True)
class Path:
    """A way of the tensor product of the neighbour's features with the harmonics, and e3nn's weight of it."""

    L: int  # degree of the features
    edge: int  # of the harmonics
    out: int
    weight: float


def paths(product: Any) -> list[Path]:
    """Paths of mace-torch's convolution in the order of their weights, which is that of the degree they lead to."""
    irreps = (product.irreps_in1, product.irreps_in2, product.irreps_out)
    inputs, edges, outputs = ([block.ir.l for block in blocks] for blocks in irreps)
    return [Path(inputs[one.i_in1], edges[one.i_in2], outputs[one.i_out], one.path_weight) for one in product.instructions]


@functools.cache
def coupling(features: int, edge: int, out: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Wigner 3j symbols (2λ + 1, 2l + 1, 2L + 1) in e3nn's real basis."""
    from e3nn.o3 import wigner_3j

    symbols: Tensor = wigner_3j(features, edge, out, dtype=torch.float64).permute(2, 1, 0)
    return symbols.to(device, dtype)


@functools.cache
def _degree_of(degrees: int, device: torch.device) -> Tensor:
    """Degree l of each of the harmonics (l, m) in their order: 0, 1, 1, 1, 2 and so on."""
    return torch.arange(degrees).repeat_interleave(2 * torch.arange(degrees) + 1).to(device)


def _contraction(contraction: Any, basis: Tensor, species: Tensor) -> Tensor:
    """Equivariant polynomials (2L + 1, n, k) of the A-basis (lm, n, k), each with a weight per species and channel."""
    order = contraction.correlation
    weights = [contraction.weights[order - 1 - nu] for nu in range(1, order)] + [contraction.weights_max]
    total: Tensor | float = 0.0
    for nu, weight in enumerate(weights, 1):
        indices, coefficients = monomials(contraction.U_tensors(nu), nu)
        product = basis.index_select(0, indices[0])
        for index in indices[1:]:
            product = product * basis.index_select(0, index)
        own = weight.transpose(0, 1).index_select(1, species)
        polynomials = coefficients.to(basis.dtype).T @ product.view(len(product), -1)
        total = total + (polynomials.view(-1, *own.shape) * own).sum(1)
    assert isinstance(total, Tensor)
    return total


_MONOMIALS = WeakIdKeyDictionary()
"""What `monomials` made of a coupling tensor, with the version of the tensor: two models of one shape may differ in its values,
since one that was made in single precision has them rounded."""


def monomials(tensor: Tensor, order: int) -> tuple[list[Tensor], Tensor]:
    """Indices (order lists of t) and coefficients (t, (2L + 1) × paths) of the non-zero monomials of a coupling tensor.

    The tensor has its component of the result first, where that is no scalar, then `order` indices (lm), then the paths.
    """
    version, made = _MONOMIALS.get(tensor, (None, None))
    if made is None or version != tensor._version:
        made = _read_monomials(tensor, order)
        _MONOMIALS[tensor] = (tensor._version, made)
    return made


def _read_monomials(tensor: Tensor, order: int) -> tuple[list[Tensor], Tensor]:
    if tensor.dim() == order + 2:
        tensor = tensor.movedim(0, -2).flatten(-2)
    entries = torch.nonzero(tensor.abs().amax(-1) > 1e-9)
    found, where = torch.unique(entries.sort(dim=1).values, dim=0, return_inverse=True)
    values = tensor[tuple(entries.T)].double()
    empty = torch.zeros(len(found), tensor.shape[-1], dtype=torch.float64, device=tensor.device)
    coefficients = empty.index_add(0, where, values)
    return [found[:, column].contiguous() for column in range(order)], coefficients


def _repulsion(model: Any, data: Batch, lengths: Tensor) -> Tensor:
    """Ziegler–Biersack–Littmark energy (n,) of every atom, by mace-torch's own term."""
    n, m = lengths.shape
    receivers = torch.arange(n, device=lengths.device).repeat_interleave(m)
    attributes = torch.nn.functional.one_hot(data.species, len(model.atomic_numbers)).to(lengths.dtype)
    edges = torch.stack([data.neighbors.reshape(-1), receivers])
    energies: Tensor = model.pair_repulsion_fn(lengths.reshape(-1, 1), attributes, edges, model.atomic_numbers)
    return energies.to(lengths.dtype)

"""Gradient of a fit's loss by the weights of a MACE model, on a CPU, without second derivatives.

The loss depends on forces and stresses, which are derivatives of the energy by the vectors d_e of the edges: its gradient by
the weights w is one of second order. With u_e = ∂L/∂(∂E/∂d_e), known once the forces are,

    ∂L/∂w = Σ_f (∂L/∂E_f) ∂E_f/∂w + ∂/∂w Σ_e u_e · ∂E/∂d_e,

and the last term, a derivative along u, is the central difference of ∂E/∂w at d + εu and d - εu, exact to ε². So a step is one
energy with its derivative by the edges and two with theirs by the weights, in loops of first order (`kernels`). The radial
functions, networks of the distance alone, are evaluated at knots of it and interpolated by cubics, as codes that run such models
tabulate them. Both leave errors of 1e-4 of the gradient, far below the noise of a batch.

Equations: Batatia et al., arXiv:2206.07697; the same function as `fast_mace`, some seven times as quick to fit on one core.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.utils.weak import WeakIdKeyDictionary

from atomistic import kernels
from atomistic.fast_mace import Batch, coupling, mixed, monomials, of_species, paths, species_mix

Tensor = torch.Tensor
KNOTS = 0.0125
"""Distance of the knots of the radial functions, Å: forces are off by 1e-4 eV/Å at most."""
REACH = 0.01
"""Largest change of an edge in the central difference, Å: errors of 1e-4 of the gradient, by rounding and higher derivatives."""


@dataclass(frozen=True)
class Sums:
    """How the products of features and harmonics of one layer lead to the rows of its A-basis before mixing.

    `path`, `part` (c,), `begin` (c + 1,), `row` (q,): as `kernels.edge_sums`. `angular`: (lm, q) of the harmonics' Y_lm to a_q.
    `way` (o,): path of each row; `component` (o,): its (λ, μ); `shares` (p,): 1/sqrt of the number of paths to that λ.
    """

    path: np.ndarray
    part: np.ndarray
    begin: np.ndarray
    row: np.ndarray
    angular: Tensor
    way: Tensor
    component: Tensor
    shares: Tensor


@dataclass(frozen=True)
class Terms:
    """Terms of the polynomials of one layer: `factors` (3, t), `result` (t,) as `kernels.polynomials`.

    `blocks`: for every contraction and order in turn, the rows (t', paths) that make its coefficients of the weights.
    `degrees`: L of each contraction.
    """

    factors: np.ndarray
    result: np.ndarray
    blocks: list[list[Tensor]]
    degrees: list[int]


@dataclass(frozen=True)
class Edges:
    """Edges of a batch, those of one atom together.

    `first` (n + 1,) of every atom; `source` (e,) its neighbours, `target` (e,) itself, `vectors` (e, 3) from it to them, Å.
    """

    first: np.ndarray
    source: Tensor
    target: Tensor
    vectors: Tensor


def edges_of(data: Batch, r_max: float) -> Edges:
    """The edges within the cutoff, from the padded table of a batch."""
    near = data.vectors.norm(dim=2) < r_max
    target, place = torch.nonzero(near, as_tuple=True)
    first = np.concatenate([[0], np.cumsum(near.sum(1).numpy())])
    return Edges(first, data.neighbors[target, place], target, data.vectors[target, place])


def takes(model: Any) -> bool:
    """Whether the loops are written for the model: products of at most three rows of the A-basis."""
    return all(one.correlation <= 3 for product in model.products for one in product.symmetric_contractions.contractions)


def backward(model: Any, data: Batch, settings: Any) -> Tensor:
    """Loss of a batch (`fitting.loss_of`); if it is finite, its gradient is added to that of the weights that ask for one.

    TorchScript, in which e3nn writes harmonics and networks, is not optimised: it would compile anew for every size of a batch.
    """
    with torch.jit.optimized_execution(False):
        return _backward(model, data, settings)


def _backward(model: Any, data: Batch, settings: Any) -> Tensor:
    from atomistic.fitting import loss_of

    edges, weights = edges_of(data, float(model.r_max)), [p for p in model.parameters() if p.requires_grad]
    radial = _tables(model)
    for p in weights:
        p.requires_grad_(False)
    vectors = edges.vectors.requires_grad_(True)
    energies = _energies(model, [table.detach() for table in radial], data, edges, vectors)
    energies = energies + _repulsions(model, data, edges, vectors)
    (slope,) = torch.autograd.grad(energies.sum(), vectors)
    for p in weights:
        p.requires_grad_(True)
    energies, slope = energies.detach().requires_grad_(True), slope.requires_grad_(True)
    value = loss_of(energies, *_forces_and_stresses(data, edges, slope), data, settings)
    if not torch.isfinite(value):
        return value.detach()
    by_energy, along = torch.autograd.grad(value, (energies, slope))
    step = REACH / float(torch.cat([along.norm(dim=1), along.new_full((1,), 1e-12)]).max())
    for sign in (1, -1):
        moved = _energies(model, radial, data, edges, edges.vectors.detach() + sign * step * along)
        (moved * (by_energy / 2 + sign / (2 * step))).sum().backward(retain_graph=sign == 1)
    return value.detach()


def _forces_and_stresses(data: Batch, edges: Edges, slope: Tensor) -> tuple[Tensor, Tensor]:
    """Forces (n, 3) and stresses (g, 3, 3) of ∂E/∂d (e, 3), as `fast_mace.predict`."""
    forces = torch.zeros_like(data.forces).index_add(0, edges.target, slope).index_add(0, edges.source, -slope)
    virial = edges.vectors.detach()[:, :, None] * slope[:, None]
    stresses = torch.zeros_like(data.stresses).index_add(0, data.frame[edges.target], virial) / data.volumes[:, None, None]
    return forces, (stresses + stresses.transpose(1, 2)) / 2


def _tables(model: Any) -> list[Tensor]:
    """Radial functions (g, p, k) of every layer at the knots -1, 0, 1 …, beyond the cutoff, where they are 0."""
    count = int(np.ceil(float(model.r_max) / KNOTS)) + 4
    lengths = ((torch.arange(count) - 1) * KNOTS).clamp(min=1e-3)[:, None].to(torch.float32)
    radial = model.radial_embedding.bessel_fn(lengths) * model.radial_embedding.cutoff_fn(lengths)
    return [one.conv_tp_weights(radial).view(count, len(paths(one.conv_tp)), -1) for one in model.interactions]


def _energies(model: Any, radial: list[Tensor], data: Batch, edges: Edges, vectors: Tensor) -> Tensor:
    """Energies (g,) in eV, without the repulsion of nuclei, as `fast_mace`."""
    knot, weights = _interpolation(vectors.norm(dim=1), len(radial[0]))
    harmonics = model.spherical_harmonics(-vectors)  # mace-torch counts vectors from neighbour to atom
    embedding = model.node_embedding.linear.weight.view(len(model.atomic_numbers), -1) / len(model.atomic_numbers) ** 0.5
    hidden: tuple[Tensor, ...] = (embedding[data.species][None],)
    per_atom: Any = 0.0
    for layer, (interaction, product) in enumerate(zip(model.interactions, model.products, strict=True)):
        skip = 0.0 if layer == 0 else species_mix(interaction.skip_tp, hidden[0][0], data.species)
        sums = _sums(interaction)
        features = torch.cat(mixed(interaction.linear_up, hidden)).transpose(0, 1).contiguous()
        rows = _EdgeSums.apply(weights, harmonics @ sums.angular, radial[layer], features, (edges, knot, sums))
        basis = _mixed_rows(interaction, sums, rows.transpose(0, 1), data.species)
        hidden = mixed(product.linear, _products(product, basis, data.species))
        hidden = (hidden[0] + skip, *hidden[1:])
        readout = model.readouts[layer]
        taken = (readout.linear_1 if layer else readout.linear).irreps_in.dim
        scalars = hidden[0][0]
        per_atom = per_atom + readout(torch.nn.functional.pad(scalars, (0, taken - scalars.shape[1])), None).squeeze(-1)
    per_atom = model.scale_shift.scale * per_atom + model.scale_shift.shift
    per_atom = per_atom + model.atomic_energies_fn.atomic_energies.reshape(-1)[data.species].to(per_atom.dtype)
    return torch.zeros_like(data.energies).index_add(0, data.frame, per_atom)


def _repulsions(model: Any, data: Batch, edges: Edges, vectors: Tensor) -> Tensor:
    """Repulsion of the nuclei (g,), eV, which no weight of a fit enters; it ends where atoms of covalent radii touch."""
    totals = torch.zeros_like(data.energies)
    if not hasattr(model, "pair_repulsion_fn"):
        return totals
    radii = model.pair_repulsion_fn.covalent_radii[model.atomic_numbers][data.species]
    close = torch.nonzero(edges.vectors.detach().norm(dim=1) < radii[edges.source] + radii[edges.target]).squeeze(1)
    attributes = torch.nn.functional.one_hot(data.species, len(model.atomic_numbers)).to(vectors.dtype)
    pairs, lengths = torch.stack([edges.source[close], edges.target[close]]), vectors[close].norm(dim=1, keepdim=True)
    each = model.pair_repulsion_fn(lengths, attributes, pairs, model.atomic_numbers)
    return totals.index_add(0, data.frame, each.to(totals.dtype))


def _interpolation(lengths: Tensor, knots: int) -> tuple[np.ndarray, Tensor]:
    """First of the four knots around every length (e,), and Lagrange's cubic weights (e, 4) of them."""
    places = lengths / KNOTS
    below = torch.floor(places.detach()).nan_to_num(0.0).clamp(0, knots - 4)  # compiled loops look up what they are told
    t = (places - below).clamp(max=2.0)
    weights = [-t * (t - 1) * (t - 2) / 6, (t + 1) * (t - 1) * (t - 2) / 2, -(t + 1) * t * (t - 2) / 2, (t + 1) * t * (t - 1) / 6]
    return below.long().numpy(), torch.stack(weights, 1)


def _mixed_rows(interaction: Any, sums: Sums, rows: Tensor, species: Tensor) -> Tensor:
    """A-basis (lm, n, k) of the rows (o, n, k) that the paths lead to, mixed over channels (and species, first layer)."""
    channels = rows.shape[2]
    matrices = interaction.linear.weight.view(len(sums.shares), channels, channels)
    matrices = matrices * (sums.shares / (channels**0.5 * interaction.avg_num_neighbors))[:, None, None]
    if type(interaction).__name__ == "RealAgnosticInteractionBlock":
        skip = interaction.skip_tp.weight.view(len(sums.shares), channels, -1)
        both = (torch.bmm(matrices, skip) / skip.shape[2] ** 0.5).index_select(0, sums.way)
        return of_species(torch.bmm(rows, both).view(*rows.shape[:2], -1, channels), species)
    arrived = torch.bmm(rows, matrices.index_select(0, sums.way))
    count = int(sums.component.max()) + 1
    return arrived if len(rows) == count else arrived.new_zeros(count, *rows.shape[1:]).index_add(0, sums.component, arrived)


def _products(product: Any, basis: Tensor, species: Tensor) -> tuple[Tensor, ...]:
    """Equivariant polynomials of the A-basis (lm, n, k), one tensor (2L + 1, n, k) a degree."""
    terms, made = _terms(product), []
    for block, one in zip(terms.blocks, product.symmetric_contractions.contractions, strict=True):
        order = one.correlation
        weights = [one.weights[order - 1 - nu] for nu in range(1, order)] + [one.weights_max]
        made += [torch.einsum("tp,zpk->ztk", rows, weight) for rows, weight in zip(block, weights, strict=True)]
    padded = torch.cat([basis, torch.ones_like(basis[:1])]).transpose(0, 1).contiguous()
    values = _Polynomials.apply(padded, torch.cat(made, 1), terms, species.numpy()).transpose(0, 1)
    return tuple(values.split([2 * degree + 1 for degree in terms.degrees]))


class _EdgeSums(torch.autograd.Function):
    """`kernels.edge_sums` of weights (e, 4), angular (e, q), table (g, p, k) and features (n, M, k)."""

    @staticmethod
    def forward(ctx: Any, weights: Tensor, angular: Tensor, table: Tensor, features: Tensor, fixed: Any) -> Tensor:
        ctx.save_for_backward(weights, angular, table, features)
        ctx.fixed = fixed
        out = torch.empty(len(features), len(fixed[2].way), features.shape[2])
        kernels.edge_sums(*_inputs(fixed, (weights, angular, table, features)), out.numpy())
        return out

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> Any:
        saved = ctx.saved_tensors
        made = [torch.empty_like(one) for one in saved]
        of_edges, of_table = ctx.needs_input_grad[0] or ctx.needs_input_grad[1], ctx.needs_input_grad[2]
        kernels.edge_sums_back(*_inputs(ctx.fixed, saved), slopes[0].contiguous().numpy(), of_edges, of_table,
                               *(one.numpy() for one in made))  # fmt: skip
        return (*(one if asked else None for one, asked in zip(made, (of_edges, of_edges, of_table, True), strict=True)), None)


def _inputs(fixed: Any, saved: Any) -> list[Any]:
    """Arguments that both loops over edges share."""
    edges, knot, sums = fixed
    arrays = [one.detach().contiguous().numpy() for one in saved]
    return [edges.first, edges.source.numpy(), knot, *arrays, sums.path, sums.part, sums.begin, sums.row]


class _Polynomials(torch.autograd.Function):
    """`kernels.polynomials` of the basis (n, rows + 1, k) and coefficients (z, t, k)."""

    @staticmethod
    def forward(ctx: Any, basis: Tensor, coefficients: Tensor, terms: Terms, species: np.ndarray) -> Tensor:
        ctx.save_for_backward(basis, coefficients)
        ctx.terms, ctx.species = terms, species
        out = torch.empty(len(basis), sum(2 * degree + 1 for degree in terms.degrees), basis.shape[2])
        arrays = [one.detach().numpy() for one in (coefficients, basis, out)]
        kernels.polynomials(terms.factors, terms.result, species, *arrays)
        return out

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> Any:
        basis, coefficients = (one.detach() for one in ctx.saved_tensors)
        asked = ctx.needs_input_grad[1]
        d_basis, d_coefficients = torch.empty_like(basis), torch.empty_like(coefficients) if asked else coefficients
        kernels.polynomials_back(ctx.terms.factors, ctx.terms.result, ctx.species, coefficients.numpy(), basis.numpy(),
                                 slopes[0].contiguous().numpy(), asked, d_coefficients.numpy(), d_basis.numpy())  # fmt: skip
        return d_basis, d_coefficients if asked else None, None, None


_MADE = WeakIdKeyDictionary()
"""`Sums` of the interactions and `Terms` of the products that were met."""


def _sums(interaction: Any) -> Sums:
    if interaction not in _MADE:
        _MADE[interaction] = _make_sums(interaction.conv_tp)
    found: Sums = _MADE[interaction]
    return found


def _make_sums(convolution: Any) -> Sums:
    """`Sums` of mace-torch's convolution: the product of path p and component M leads to those rows of p that couple with M."""
    ways = paths(convolution)
    starts = np.cumsum([0, *(2 * way.out + 1 for way in ways)])
    path, part, begin, row, columns = [], [], [0], [], []
    count = (max(way.edge for way in ways) + 1) ** 2
    for p, way in enumerate(ways):
        symbols = coupling(way.L, way.edge, way.out, torch.float32, torch.device("cpu")) * way.weight  # (o, e, m)
        for m in range(2 * way.L + 1):
            path.append(p)
            part.append(way.L**2 + m)
            for o in range(2 * way.out + 1):
                if symbols[o, :, m].abs().max() > 1e-9:
                    column = torch.zeros(count)
                    column[way.edge**2 : (way.edge + 1) ** 2] = symbols[o, :, m]
                    columns.append(column)
                    row.append(starts[p] + o)
            begin.append(len(row))
    outs = [way.out for way in ways]
    return Sums(
        np.array(path), np.array(part), np.array(begin), np.array(row), torch.stack(columns, 1),
        torch.tensor([p for p, way in enumerate(ways) for _ in range(2 * way.out + 1)]),
        torch.tensor([way.out**2 + o for way in ways for o in range(2 * way.out + 1)]),
        torch.tensor([outs.count(out) ** -0.5 for out in outs]),
    )  # fmt: skip


def _terms(product: Any) -> Terms:
    if product not in _MADE:
        _MADE[product] = _make_terms(product.symmetric_contractions.contractions)
    found: Terms = _MADE[product]
    return found


def _make_terms(contractions: Any) -> Terms:
    """`Terms` of mace-torch's symmetric contractions: each monomial once for every component that it leads to."""
    factors, result, blocks, degrees, offset = [], [], [], [], 0
    for one in contractions:
        rows_of, size = [], 1
        for nu in range(1, one.correlation + 1):
            tensor = one.U_tensors(nu)
            indices, coefficients = monomials(tensor, nu)
            count, size = tensor.shape[-2], tensor.shape[0] if tensor.dim() == nu + 2 else 1
            each = coefficients.view(len(coefficients), size, -1).float()
            place, component = torch.nonzero(each.abs().amax(-1) > 1e-9, as_tuple=True)
            filled = [index[place] for index in indices] + [torch.full_like(place, count)] * (3 - nu)
            factors.append(torch.stack(filled).numpy())
            result.append((component + offset).numpy())
            rows_of.append(each[place, component])
        blocks.append(rows_of)
        degrees.append((size - 1) // 2)
        offset += size
    return Terms(np.ascontiguousarray(np.concatenate(factors, 1)), np.concatenate(result), blocks, degrees)

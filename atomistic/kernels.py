"""Inner loops of a fit on a CPU, compiled by Numba: sums over neighbours, products of the A-basis, and their derivatives.

They run over the channels of a layer last, which the compiler turns into vector instructions; no array of the size edges ×
channels is ever made. Everything else of a model is matrix products of atoms, which torch does (`quick_gradients`).
"""

from typing import Any

import numpy as np
from numba import njit

F32 = np.float32


def _compiled(function: Any) -> Any:
    """Compiled on first use, and kept beside the module or in the user's cache where either can be written."""
    options: dict[str, Any] = {"fastmath": True, "boundscheck": False, "nogil": True}
    try:
        return njit(**options, cache=True)(function)
    except RuntimeError:  # neither can
        return njit(**options)(function)


@_compiled
def edge_sums(first, source, knot, weights, angular, table, features, path, part, begin, row, out):
    """Rows A_ok(i) = Σ_j Σ_q a_q(r_ij) R_pk(|r_ij|) h_jk,M of every atom i, q in the products (p, M) that lead to row o.

    Args:
        first: (n + 1,) first edge of every atom. source: (e,) neighbour j. knot: (e,) first of the four rows of `table` around r.
        weights: (e, 4) of those rows. angular: (e, q) a_q. table: (g, p, k) radial functions. features: (n, M, k).
        path, part: (c,) p and M of the products; begin: (c + 1,) first q of each; row: (q,) o. out: (n, o, k), written.
    """
    channels = table.shape[2]
    radial, product = np.empty((table.shape[1], channels), F32), np.empty(channels, F32)
    for i in range(len(first) - 1):
        here = out[i]
        here[:] = 0
        for e in range(first[i], first[i + 1]):
            w0, w1, w2, w3 = weights[e, 0], weights[e, 1], weights[e, 2], weights[e, 3]
            t0, t1, t2, t3 = table[knot[e]], table[knot[e] + 1], table[knot[e] + 2], table[knot[e] + 3]
            for p in range(table.shape[1]):
                for k in range(channels):
                    radial[p, k] = w0 * t0[p, k] + w1 * t1[p, k] + w2 * t2[p, k] + w3 * t3[p, k]
            for c in range(len(path)):
                r, h = radial[path[c]], features[source[e], part[c]]
                for k in range(channels):
                    product[k] = r[k] * h[k]
                for q in range(begin[c], begin[c + 1]):
                    a, to = angular[e, q], here[row[q]]
                    for k in range(channels):
                        to[k] += a * product[k]


@_compiled
def edge_sums_back(
    first, source, knot, weights, angular, table, features, path, part, begin, row, slope, of_edges, of_table,
    d_weights, d_angular, d_table, d_features,
):  # fmt: skip
    """Derivatives of a sum whose derivative by the rows is `slope` (n, o, k).

    By the features, and, where asked for, by the geometry of the edges (`d_weights`, `d_angular`) and by the table. Shapes as in
    `edge_sums`; what is asked for is written.
    """
    channels, paths = table.shape[2], table.shape[1]
    radial, d_radial = np.empty((paths, channels), F32), np.empty((paths, channels), F32)
    arrived, product = np.empty(channels, F32), np.empty(channels, F32)
    d_features[:] = 0
    if of_table:
        d_table[:] = 0
    for i in range(len(first) - 1):
        here = slope[i]
        for e in range(first[i], first[i + 1]):
            w0, w1, w2, w3, g = weights[e, 0], weights[e, 1], weights[e, 2], weights[e, 3], knot[e]
            t0, t1, t2, t3 = table[g], table[g + 1], table[g + 2], table[g + 3]
            for p in range(paths):
                for k in range(channels):
                    radial[p, k] = w0 * t0[p, k] + w1 * t1[p, k] + w2 * t2[p, k] + w3 * t3[p, k]
                    d_radial[p, k] = 0
            for c in range(len(path)):
                r, h, d_r, d_h = radial[path[c]], features[source[e], part[c]], d_radial[path[c]], d_features[source[e], part[c]]
                for k in range(channels):
                    arrived[k] = 0
                    product[k] = r[k] * h[k]
                for q in range(begin[c], begin[c + 1]):
                    a, come = angular[e, q], here[row[q]]
                    for k in range(channels):
                        arrived[k] += a * come[k]
                    if of_edges:
                        total = F32(0)
                        for k in range(channels):
                            total += come[k] * product[k]
                        d_angular[e, q] = total
                for k in range(channels):
                    d_h[k] += r[k] * arrived[k]
                    d_r[k] += h[k] * arrived[k]
            if of_edges:
                s0, s1, s2, s3 = F32(0), F32(0), F32(0), F32(0)
                for p in range(paths):
                    for k in range(channels):
                        s0 += d_radial[p, k] * t0[p, k]
                        s1 += d_radial[p, k] * t1[p, k]
                        s2 += d_radial[p, k] * t2[p, k]
                        s3 += d_radial[p, k] * t3[p, k]
                d_weights[e, 0], d_weights[e, 1], d_weights[e, 2], d_weights[e, 3] = s0, s1, s2, s3
            if of_table:
                d0, d1, d2, d3 = d_table[g], d_table[g + 1], d_table[g + 2], d_table[g + 3]
                for p in range(paths):
                    for k in range(channels):
                        d = d_radial[p, k]
                        d0[p, k] += w0 * d
                        d1[p, k] += w1 * d
                        d2[p, k] += w2 * d
                        d3[p, k] += w3 * d


@_compiled
def polynomials(factors, result, species, coefficients, basis, out):
    """B_ok(i) = Σ_t C_tk(z_i) A_ak A_bk A_ck of every atom, t = (a, b, c) the terms that lead to component o.

    Args:
        factors: (3, t) rows a, b, c of `basis` (its last row is 1, for products of fewer). result: (t,) o.
        species: (n,) z. coefficients: (z, t, k). basis: (n, rows + 1, k). out: (n, o, k), written.
    """
    for i in range(len(species)):
        here, own, to = basis[i], coefficients[species[i]], out[i]
        to[:] = 0
        for t in range(factors.shape[1]):
            a, b, c, weight, b_o = here[factors[0, t]], here[factors[1, t]], here[factors[2, t]], own[t], to[result[t]]
            for k in range(basis.shape[2]):
                b_o[k] += weight[k] * a[k] * b[k] * c[k]


@_compiled
def polynomials_back(
    factors, result, species, coefficients, basis, slope, of_coefficients, d_coefficients, d_basis
):  # fmt: skip
    """Derivatives of a sum whose derivative by the components is `slope` (n, o, k), by the basis and, if asked for, by C."""
    d_basis[:] = 0
    if of_coefficients:
        d_coefficients[:] = 0
    for i in range(len(species)):
        here, own, d_here = basis[i], coefficients[species[i]], d_basis[i]
        for t in range(factors.shape[1]):
            a, b, c = here[factors[0, t]], here[factors[1, t]], here[factors[2, t]]
            d_a, d_b, d_c = d_here[factors[0, t]], d_here[factors[1, t]], d_here[factors[2, t]]
            weight, come = own[t], slope[i, result[t]]
            if of_coefficients:
                d_weight = d_coefficients[species[i], t]
                for k in range(basis.shape[2]):
                    d_weight[k] += come[k] * a[k] * b[k] * c[k]
            for k in range(basis.shape[2]):
                d_a[k] += come[k] * weight[k] * b[k] * c[k]
            for k in range(basis.shape[2]):
                d_b[k] += come[k] * weight[k] * a[k] * c[k]
            for k in range(basis.shape[2]):
                d_c[k] += come[k] * weight[k] * a[k] * b[k]

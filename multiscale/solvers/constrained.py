"""Newton's method on a part of the unknowns of a space: some do not exist, groups of others are one unknown.

With the prolongation P (a row for each unknown of the space, a column for each that is solved for) the solver sees Pᵀ F(P x)
and Pᵀ J P. A group, such as the potential of a metal along its surface, thus has exactly one value, and its equation is the
sum of its rows. J itself is never formed: element matrices are added straight into Pᵀ J P, by a numbering that sends each
unknown of the space to its column, or nowhere.
"""

import time
import weakref
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import ufl
from dolfinx import fem, la

from coupling.errors import RunFailure
from multiscale.dolfinx_compat import assemble_renumbered
from multiscale.solvers.kept_setup import KeptSetup
from multiscale.solvers.newton import NonlinearSolver
from multiscale.solvers.solver import PETSc, SolveReport, chosen_method

MASTER = 0
"""Rank that owns the unknowns of the groups."""
CHUNK = 4_000
"""Nodes whose pattern is worked out at a time."""


def numbering(space: Any, single: np.ndarray, groups: Sequence[np.ndarray]) -> tuple[np.ndarray, tuple[int, int]]:
    """Global column of each of this rank's unknowns of a space (unrolled, ghosts included; -1: none), and how many it owns.

    Args:
        space: function space.
        single: this rank's unknowns (local, unrolled; ghosts are ignored) that stand for themselves.
        groups: for each group, this rank's unknowns in it; the same number of groups on every rank.

    Returns:
        The columns, and (columns owned by this rank, those of them that stand for a single unknown).
    """
    comm, index_map, bs = space.mesh.comm, space.dofmap.index_map, space.dofmap.index_map_bs
    rows = index_map.size_local * bs
    single = np.unique(single[single < rows])
    columns = len(single) + (len(groups) if comm.rank == MASTER else 0)
    sizes = comm.allgather((columns, len(single)))
    starts = np.cumsum([0, *(size for size, _ in sizes)])
    owned = np.full(rows, -1, dtype=np.int64)
    owned[single] = starts[comm.rank] + np.arange(len(single))
    for k, group in enumerate(groups):
        owned[group[group < rows]] = starts[MASTER] + sizes[MASTER][1] + k
    return _with_ghosts(index_map, bs, owned), (columns, len(single))


def _with_ghosts(index_map: Any, bs: int, owned: np.ndarray) -> np.ndarray:
    """Whole numbers of the owned unknowns, and those of the ghosts from their owners."""
    vector = la.vector(index_map, bs, dtype=np.int64)
    vector.array[: len(owned)] = owned
    vector.scatter_forward()
    return np.array(vector.array)


def prolongation(space: Any, single: np.ndarray, groups: Sequence[np.ndarray]) -> Any:
    """Matrix P from the unknowns solved for to those of a space; arguments as `numbering`."""
    return _prolongation(space, *numbering(space, single, groups))


def _prolongation(space: Any, columns: np.ndarray, owned: tuple[int, int]) -> Any:
    rows = space.dofmap.index_map.size_local * space.dofmap.index_map_bs
    present = columns[:rows] >= 0
    pointer = np.concatenate([[0], np.cumsum(present)]).astype(PETSc.IntType)
    matrix = PETSc.Mat().createAIJ(
        ((rows, None), (owned[0], None)),
        csr=(pointer, columns[:rows][present].astype(PETSc.IntType), np.ones(int(present.sum()))), comm=space.mesh.comm,
    )  # fmt: skip
    matrix.assemble()
    return matrix


def reduced_matrix(form: Any, space: Any, columns: np.ndarray, owned: tuple[int, int], groups: Sequence[np.ndarray]) -> Any:
    """Empty Pᵀ J P with the pattern that a compiled form needs, into which element matrices of the space can be added."""
    comm, bs = space.mesh.comm, space.dofmap.index_map_bs
    pattern = fem.create_sparsity_pattern(form)
    pattern.finalize()
    edges, offsets = pattern.graph
    blocks = space.dofmap.index_map.size_local
    beside = _with_ghosts(pattern.column_index_map(), bs, columns[: blocks * bs]).reshape(-1, bs)
    is_single = np.zeros(blocks * bs, dtype=bool)
    is_single[columns[: blocks * bs] >= 0] = True
    of_group = [group[group < blocks * bs] for group in groups]
    for group in of_group:
        is_single[group] = False
    counts, indices = [], []
    for first in range(0, blocks, CHUNK):
        last = min(first + CHUNK, blocks)
        size, entries = _rows(beside, edges, offsets, first, last)
        active = is_single[first * bs : last * bs].reshape(-1, bs).sum(axis=1)
        lengths = np.repeat(size, active)
        starts = np.repeat(np.cumsum(size) - size, active)
        place = np.arange(int(lengths.sum())) - np.repeat(np.cumsum(lengths) - lengths, lengths) + np.repeat(starts, lengths)
        counts.append(lengths)
        indices.append(entries[place])
    for group in of_group:
        mine = [np.unique(beside[edges[offsets[b] : offsets[b + 1]]]) for b in np.unique(group // bs)]
        found = comm.gather(np.unique(np.concatenate([*mine, np.empty(0, dtype=np.int64)])))
        if found is not None:
            whole = np.unique(np.concatenate(found))
            whole = whole[whole >= 0].astype(PETSc.IntType)
            counts.append(np.array([len(whole)]))
            indices.append(whole)
    pointer = np.concatenate([[0], np.cumsum(np.concatenate([*counts, np.empty(0, dtype=np.int64)]))]).astype(PETSc.IntType)
    matrix = PETSc.Mat().create(comm)
    matrix.setSizes(((owned[0], None), (owned[0], None)))
    matrix.setType("aij")
    matrix.setPreallocationCSR((pointer, np.concatenate([*indices, np.empty(0, dtype=PETSc.IntType)])))
    places = PETSc.LGMap().create(columns.astype(PETSc.IntType), comm=comm)
    matrix.setLGMap(places, places)
    return matrix


def _rows(beside: np.ndarray, edges: np.ndarray, offsets: np.ndarray, first: int, last: int) -> tuple[np.ndarray, np.ndarray]:
    """For each of some nodes, how many columns its neighbours have, and these columns, sorted, one node after the other."""
    width = np.diff(offsets[first : last + 1])
    node = np.repeat(np.arange(last - first), width)
    columns = beside[edges[offsets[first] : offsets[last]]]
    node = np.repeat(node, columns.shape[1])
    columns = columns.ravel()
    node, columns = node[columns >= 0], columns[columns >= 0]
    order = np.lexsort((columns, node))
    node, columns = node[order], columns[order]
    new = np.ones(len(node), dtype=bool)
    new[1:] = (node[1:] != node[:-1]) | (columns[1:] != columns[:-1])
    return np.bincount(node[new], minlength=last - first), columns[new].astype(PETSc.IntType)


class ConstrainedSolver(NonlinearSolver):
    """`NonlinearSolver` for the unknowns of a numbering only; the others stay zero. Factorisations outlive a solve (`setup`).

    Args:
        residual, unknown, bcs, method: as `NonlinearSolver`; the conditions need not hold the unknowns that do not exist.
        single, groups: as `numbering`.
        fields: for the method "split", this rank's unknowns of the space in each field, by name.
    """

    def __init__(
        self, residual: ufl.Form, unknown: fem.Function, bcs: Sequence[Any], single: np.ndarray, groups: Sequence[np.ndarray],
        fields: Mapping[str, np.ndarray] | None = None, method: str = "auto", prefix: str | None = None,
    ) -> None:  # fmt: skip
        """Compile the forms and set the reduced matrix up."""
        space = unknown.function_space
        self._columns, self._owned = numbering(space, single, groups)
        self._groups = groups
        self.P = _prolongation(space, self._columns, self._owned)
        count = self.P.getSize()[1]
        method = chosen_method(method, count, space.mesh.topology.dim, bool(fields))
        options = {"direct": "direct-kept", "split": "split-lean" if space.mesh.topology.dim == 3 else "split"}
        super().__init__(residual, unknown, bcs, method=options.get(method, method), prefix=prefix)
        self.unknowns, self.method = count, method
        self.setup = KeptSetup(self.snes, exact=method == "direct")
        self._x, _ = self.P.createVecs()
        self._f = self._x.duplicate()
        ones = self._residual.x.petsc_vec.duplicate()
        ones.set(1.0)
        self._count = self._x.duplicate()
        self.P.multTranspose(ones, self._count)
        this: Any = weakref.proxy(self)
        self.snes.setFunction(lambda snes, x, f: this._reduced_function(snes, x, f), self._f)
        self.snes.setJacobian(lambda snes, x, J, P: this._reduced_jacobian(snes, x), self.matrix)
        if method == "split":
            self._split(fields or {})

    def _new_matrix(self) -> Any:
        return reduced_matrix(self.J, self.u.function_space, self._columns, self._owned, self._groups)

    def _split(self, fields: Mapping[str, np.ndarray]) -> None:
        """Give the preconditioner its fields; a group belongs to that of any of its unknowns."""
        comm, sets = self.snes.comm, []
        first, last = self.matrix.getOwnershipRange()
        for name, dofs in fields.items():
            mine = self._columns[dofs]
            everyone = np.unique(np.concatenate(comm.tompi4py().allgather(mine[(mine < first) | (mine >= last)])))
            mine = np.union1d(mine, everyone)
            mine = mine[(mine >= first) & (mine < last)]
            sets.append((name, PETSc.IS().createGeneral(mine.astype(PETSc.IntType), comm=comm)))
        self.snes.getKSP().getPC().setFieldSplitIS(*sets)
        _forget_fields(self.prefix, fields)

    def assemble(self) -> None:
        """Assemble the reduced matrix at the present values of the unknown."""
        self.matrix.zeroEntries()
        assemble_renumbered(self.matrix, self.J, self.bcs)
        self.matrix.assemble()

    def _pull(self) -> None:
        """Put the present values of the unknown into the vector that is solved for (the mean of a group)."""
        self._residual.x.array[:] = self.u.x.array
        self.P.multTranspose(self._residual.x.petsc_vec, self._x)
        self._x.pointwiseDivide(self._x, self._count)

    def _reduced_function(self, snes: Any, x: Any, f: Any) -> None:
        full = self._guess.x.petsc_vec
        self.P.mult(x, full)
        self._evaluate(full, self._residual.x.petsc_vec)
        self.P.multTranspose(self._residual.x.petsc_vec, f)
        self._aim(snes, x)

    def _reduced_jacobian(self, snes: Any, x: Any) -> None:
        self.assemble()
        self._diagonal = self.matrix.getDiagonal()
        self._aim(snes, x)

    def solve(self) -> SolveReport:
        """Solve from the values now in the unknown (the mean of a group).

        Raises:
            RunFailure: no convergence; the message names the prefix and PETSc's reason. The unknown keeps its first guess.
        """
        start = time.perf_counter()
        before = self.u.x.array.copy()
        self._pull()
        first = self._x.copy()
        try:
            iterations, norm, name = self._attempt(before, True)
        except RunFailure:
            if not self.setup.worth_another_try:
                raise
            first.copy(self._x)
            iterations, norm, name = self._attempt(before, False)
        self.P.mult(self._x, self._guess.x.petsc_vec)
        self.u.x.array[:] = self._guess.x.array
        self.u.x.scatter_forward()
        return SolveReport(iterations, norm, name, self.unknowns, time.perf_counter() - start)

    def _attempt(self, before: np.ndarray, keep: bool) -> tuple[int, float, str]:
        """One run of Newton's method from the vector as it is, with preconditioners that may be kept, or always fresh ones."""
        self.__dict__.update(_rounding=1e-300, _diagonal=None)
        self.setup.begin(keep)
        self.snes.solve(None, self._x)
        return self._verdict(before)


def _forget_fields(prefix: str, fields: Iterable[str]) -> None:
    """Take back the options of fields that a split problem does not have, which PETSc would call unused at the end."""
    database, mine = PETSc.Options(), f"{prefix}fieldsplit_"
    kept = tuple(f"{mine}{name}_" for name in fields)
    for key in database.getAll():
        if key.startswith(mine) and not key.startswith(kept):
            database.delValue(key)

"""The layered cell of `meshes.polycrystal` as a `Domain`."""

from mpi4py import MPI

from coupling.errors import RunFailure, UserError
from meshes.polycrystal import LayeredCell, Quality, draw
from meshes.session import gmsh_model
from multiscale.domain import Domain


def layered_domain(cell: LayeredCell, comm: MPI.Comm = MPI.COMM_WORLD) -> tuple[Domain, Quality]:
    """Mesh a cell on rank 0, spread it over the ranks, and give it with the figures of its mesh.

    Raises:
        UserError: the cell cannot be meshed as asked (on every rank alike).
        RunFailure: gmsh failed (on every rank alike).
    """
    if comm.rank != 0:
        outcome = comm.bcast(None, root=0)
        if isinstance(outcome, Exception):
            raise outcome
        return Domain.from_gmsh(None, comm), outcome
    with gmsh_model("layered-cell") as model:
        try:
            quality = draw(cell)
        except Exception as error:
            told = error if isinstance(error, UserError) else RunFailure(f"gmsh could not mesh the cell: {error}")
            comm.bcast(told, root=0)
            raise told from error
        comm.bcast(quality, root=0)
        return Domain.from_gmsh(model, comm), quality

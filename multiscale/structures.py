"""Any drawn geometry as a `Domain`, with the figures of its mesh."""

from collections.abc import Callable

from mpi4py import MPI

from coupling.errors import RunFailure, UserError
from meshes.drawing import MeshQuality
from meshes.session import gmsh_model
from multiscale.domain import Domain


def drawn(
    draw: Callable[[], MeshQuality], comm: MPI.Comm = MPI.COMM_WORLD, dimension: int = 2, axisymmetric: bool = False
) -> tuple[Domain, MeshQuality]:
    """Mesh a geometry on rank 0, spread it over the ranks, and give it with the figures of its mesh.

    Args:
        draw: draws and meshes in the current gmsh model and names its physical groups.
        comm: MPI communicator.
        dimension: of the cells.
        axisymmetric: as `Domain`.

    Raises:
        UserError: it cannot be meshed as asked (on every rank alike).
        RunFailure: gmsh failed (on every rank alike).
    """
    if comm.rank != 0:
        outcome = comm.bcast(None, root=0)
        if isinstance(outcome, Exception):
            raise outcome
        return Domain.from_gmsh(None, comm, dimension, axisymmetric), outcome
    with gmsh_model("structure") as model:
        try:
            quality = draw()
        except Exception as error:
            told = error if isinstance(error, UserError) else RunFailure(f"gmsh could not mesh the geometry: {error}")
            comm.bcast(told, root=0)
            raise told from error
        comm.bcast(quality, root=0)
        return Domain.from_gmsh(model, comm, dimension, axisymmetric), quality

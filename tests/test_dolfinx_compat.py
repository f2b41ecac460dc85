"""The shim over DOLFINx versions: every known shape of the gmsh reader ends in the same domain."""

import sys
import types
from types import SimpleNamespace

import pytest
from dolfinx import mesh
from mpi4py import MPI

from meshes.session import gmsh_model
from meshes.shapes import draw_blocks
from multiscale import dolfinx_compat
from multiscale.domain import Domain, integral


@pytest.fixture
def square():
    return mesh.create_unit_square(MPI.COMM_SELF, 2, 2)


def test_reader_of_010_returns_named_data_and_perhaps_no_facets(square, monkeypatch):
    def model_to_mesh(model, comm, rank, gdim=3, partitioner=None):
        assert callable(partitioner)
        return SimpleNamespace(mesh=square, cell_tags=None, facet_tags=None)

    monkeypatch.setattr(dolfinx_compat, "_reader", "reader_of_010")
    monkeypatch.setitem(sys.modules, "reader_of_010", types.SimpleNamespace(model_to_mesh=model_to_mesh))
    read, cells, facets = dolfinx_compat.read_gmsh(None, MPI.COMM_SELF, 0, 2)
    assert read is square
    assert (cells.dim, facets.dim) == (2, 1)
    assert len(cells.values) == len(facets.values) == 0


def test_reader_with_its_own_ghost_mode(square, monkeypatch):
    def model_to_mesh(model, comm, rank, gdim=3, ghost_mode=None):
        assert ghost_mode == mesh.GhostMode.shared_facet
        return SimpleNamespace(mesh=square, cell_tags="cells", facet_tags="facets")

    monkeypatch.setattr(dolfinx_compat, "_reader", "newest_reader")
    monkeypatch.setitem(sys.modules, "newest_reader", types.SimpleNamespace(model_to_mesh=model_to_mesh))
    assert dolfinx_compat.read_gmsh(None, MPI.COMM_SELF, 0, 2) == (square, "cells", "facets")


def test_interpolation_points_as_method_and_attribute():
    for points in ("points", lambda: "points"):
        space = SimpleNamespace(element=SimpleNamespace(interpolation_points=points))
        assert dolfinx_compat.interpolation_points(space) == "points"


def test_the_installed_version_reads_names_from_gmsh():
    with gmsh_model("blocks") as model:
        draw_blocks([0, 1e-6], [0, 2e-6], [["oxide"]], 3)
        domain = Domain.from_gmsh(model, MPI.COMM_SELF)
    assert set(domain.regions) == {"oxide"}
    assert set(domain.boundaries) == {"left", "right", "bottom", "top"}
    assert integral(domain.constant(1.0) * domain.dx("oxide")) == pytest.approx(2e-12)
    assert integral(domain.constant(1.0) * domain.ds("left")) == pytest.approx(2e-6)

"""A cell whose electrodes do not hang together is refused before it is solved; averages of a face have a length."""

import math
from pathlib import Path

import numpy as np
import pytest
from dolfinx import mesh as meshes
from mpi4py import MPI

from coupling.errors import RunFailure, UserError
from multiscale.conduction.case import load_conduction_case
from multiscale.conduction.run import run_conduction
from multiscale.conduction.steady import balanced
from multiscale.domain import Domain
from multiscale.transport_cases.case import load_transport_case
from multiscale.transport_cases.cell import Cell
from multiscale.transport_cases.run import WINDOW_SHARE, focusing_window, run_transport

VOXELS = """
title = "a severed image"
question = "Is there a path?"
[geometry]
kind = "voxels"
dimension = 3
image = "image.npy"
voxel = ["1 um"]
lithium = ["left"]
counter = ["right"]
[[geometry.phase]]
name = "solid"
labels = "1"
material = "LLZO"
[conditions]
temperature = "25 degC"
"""
CONDUCTION = VOXELS + '[conduction]\ncurrent_density = "1 mA/cm^2"\n'
TRANSPORT = (
    VOXELS
    + """
[transport.solid]
closure = "ohm"
[[transport.solid.species]]
name = "Li+"
charge = 1
[electrode.working]
ion = "Li+"
charge_transfer = "Li-LLZO-interface"
[electrode.counter]
ion = "Li+"
charge_transfer = "Li-LLZO-interface"
[[protocol.step]]
kind = "galvanostatic"
current_density = "-1 mA/cm^2"
until = { time = "1 s" }
"""
)


def folder(tmp_path: Path, text: str, severed: bool) -> Path:
    image = np.ones((4, 3, 3), dtype=np.uint8)
    image[2, :, :] = 0
    image[2, 1, 1] = 0 if severed else 1
    np.save(tmp_path / "image.npy", image)
    (tmp_path / "case.toml").write_text(text, encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize("text", [CONDUCTION, TRANSPORT], ids=["conduction", "transport"])
def test_a_severed_image_is_refused(tmp_path: Path, text: str) -> None:
    """No path from lithium to counter: no number, but a sentence that names the table and both electrodes."""
    home = folder(tmp_path, text, severed=True)
    load, run = (load_conduction_case, run_conduction) if text is CONDUCTION else (load_transport_case, run_transport)
    with pytest.raises(UserError, match=r"case\.toml:\d+: geometry: no path leads from electrode") as told:
        run(load(home), home / "results", MPI.COMM_WORLD)
    assert "solid" in str(told.value)
    assert not (home / "results" / "summary.json").exists()


def test_a_narrow_image_conducts(tmp_path: Path) -> None:
    """One voxel across makes a path, and all charge arrives."""
    home = folder(tmp_path, CONDUCTION, severed=False)
    summary = run_conduction(load_conduction_case(home), home / "results", MPI.COMM_WORLD)
    assert summary["charge_balance"] < 1e-10
    assert summary["detour_factor"] > 1.0


@pytest.mark.parametrize(("into", "out"), [(0.0, 0.0), (1.0, 0.5), (float("nan"), 1.0), (-1.0, -1.0)])
def test_an_answer_that_loses_charge_is_none(into: float, out: float) -> None:
    """What goes in must come out."""
    with pytest.raises(RunFailure, match="does not conserve charge"):
        balanced(into, out)


class _File:
    @staticmethod
    def complaint(location: tuple[str, ...], message: str) -> str:
        return f"{'.'.join(location)}: {message}"


class _Case:
    def __init__(self, window: float | None) -> None:
        self.settings = type("S", (), {"output": type("O", (), {"window": window})})
        self.file = _File()


def disc(radius: float, n: int, axisymmetric: bool) -> Cell:
    """A rectangle (radius times 1 µm) whose lower side is the working electrode."""
    body = meshes.create_rectangle(MPI.COMM_WORLD, [(0.0, 0.0), (radius, 1e-6)], [n, 4])
    low = np.sort(meshes.locate_entities_boundary(body, 1, lambda x: x[1] < 1e-12))
    marks = meshes.meshtags(body, 1, low, np.ones(len(low), dtype=np.int32))
    cells = np.arange(body.topology.index_map(2).size_local + body.topology.index_map(2).num_ghosts, dtype=np.int32)
    regions = meshes.meshtags(body, 2, cells, np.ones(len(cells), dtype=np.int32))
    domain = Domain(body, regions, marks, {"all": 1}, {"metal": 1}, axisymmetric)
    area = math.pi * radius**2 if axisymmetric else radius
    return Cell(domain, {"m": ("all",)}, {}, area, 1e-6, {}, {"working": {"metal": "m"}, "counter": {}}, {})


@pytest.mark.parametrize("axisymmetric", [False, True])
@pytest.mark.parametrize("radius", [6e-6, 6e-5])
def test_the_window_is_a_share_of_the_width(axisymmetric: bool, radius: float) -> None:
    """Two per cent of the width whatever the shape of the cell, at least one facet of the electrode."""
    assert focusing_window(_Case(None), disc(radius, 200, axisymmetric)) == pytest.approx(WINDOW_SHARE * radius)
    assert focusing_window(_Case(None), disc(radius, 10, axisymmetric)) == pytest.approx(radius / 10)


def test_a_window_wider_than_the_cell_is_refused_and_one_below_a_facet_is_told() -> None:
    """The message names the key; what cannot be resolved is averaged over a facet, and said."""
    with pytest.raises(UserError, match=r"output\.window: read 1 m; the cell is 6 .m wide"):
        focusing_window(_Case(1.0), disc(6e-6, 10, True))
    lines: list[str] = []
    assert focusing_window(_Case(1e-9), disc(6e-6, 10, True), lines.append) == pytest.approx(6e-7)
    assert "output.window = 1 nm is narrower than a facet" in lines[0]
    assert focusing_window(_Case(2e-6), disc(6e-6, 10, True), lines.append) == pytest.approx(2e-6)
    assert len(lines) == 1

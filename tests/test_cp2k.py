"""CP2K as labeller: input and settings always; energies, forces and stress where CP2K is in the environment (`make cp2k`)."""

import dataclasses
import os

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.cp2k import parse_input

from atomistic import cp2k, labelling
from atomistic.cp2k import Cp2kSettings, LabelFailure
from coupling.errors import UserError

needs_cp2k = pytest.mark.skipif(not any(map(cp2k.shutil.which, cp2k.PROGRAMS)), reason="no CP2K here (make cp2k)")
QUICK = Cp2kSettings(cutoff=200.0, relative_cutoff=30.0, basis="SZV-MOLOPT-SR-GTH", time_limit=200.0)


def hydrogen():
    """A stretched molecule in a small cell: the quickest frame with forces and a stress."""
    return Atoms("H2", positions=[[0, 0, 0], [0.1, 0.2, 0.9]], cell=[4.0, 4.2, 4.6], pbc=True)


def section(text, *path):
    found = parse_input(text)
    for name in path:
        found = next(part for part in found.subsections if part.name == name)
    return found


def test_input_asks_for_what_the_settings_say():
    atoms = bulk("Li", cubic=True)
    scf = section(cp2k.template(atoms, Cp2kSettings(smearing=800.0, precision=1e-7)), "FORCE_EVAL", "DFT", "SCF")
    assert "EPS_SCF 1e-07" in scf.keywords
    assert {"DIAGONALIZATION", "SMEAR", "MIXING"} <= {part.name for part in scf.subsections}
    assert "OT" in {
        part.name for part in section(cp2k.template(atoms, Cp2kSettings(smearing=0)), "FORCE_EVAL", "DFT", "SCF").subsections
    }
    mesh = section(cp2k.template(atoms, Cp2kSettings(k_spacing=0.31)), "FORCE_EVAL", "DFT", "KPOINTS").keywords
    assert mesh == ["SCHEME MONKHORST-PACK 6 6 6"]  # 2π/3.49 Å = 1.80 1/Å
    xc = section(cp2k.template(atoms, Cp2kSettings(functional="PBEsol", dispersion="D3(BJ)")), "FORCE_EVAL", "DFT", "XC")
    assert xc.subsections[0].subsections[0].keywords == ["PARAMETRIZATION PBESOL"]
    assert xc.subsections[1].subsections[0].keywords[-1] == "REFERENCE_FUNCTIONAL PBEsol"
    for settings in (Cp2kSettings(), Cp2kSettings(functional="LDA"), Cp2kSettings(spin=True, dispersion="D3(BJ)")):
        opened = [
            line for line in cp2k.template(atoms, settings).split("\n") if line.startswith("&") and not line.startswith("&END")
        ]
        closed = [line for line in cp2k.template(atoms, settings).split("\n") if line.startswith("&END")]
        assert len(opened) == len(closed)


def test_k_mesh_follows_the_cell():
    atoms = Atoms("Li", cell=[3.0, 6.0, 40.0], pbc=True)
    assert cp2k.k_mesh(atoms, 0.0) == (1, 1, 1)
    assert cp2k.k_mesh(atoms, 0.35) == (6, 3, 1)


def test_everything_that_changes_a_label_is_in_its_settings():
    changes = {"functional": "PBEsol", "cutoff": 300.0, "relative_cutoff": 60.0, "basis": "SZV-MOLOPT-SR-GTH", "k_spacing": 0.3,
               "spin": True, "smearing": 300.0, "dispersion": "D3(BJ)", "precision": 1e-6}  # fmt: skip
    first = cp2k.label_settings(Cp2kSettings(), "2025.1").id
    ids = {
        cp2k.label_settings(dataclasses.replace(Cp2kSettings(), **{key: value}), "2025.1").id for key, value in changes.items()
    }
    assert len(ids | {first}) == len(changes) + 1
    assert cp2k.label_settings(Cp2kSettings(), "2026.1").id != first
    untouched = {field.name for field in dataclasses.fields(Cp2kSettings)} - set(changes)
    assert untouched == {"threads", "time_limit", "max_steps"}


@pytest.mark.parametrize(
    ("changes", "told"),
    [({"functional": "B3LYP"}, "known with CP2K: PBE"), ({"cutoff": 30.0}, "100"), ({"basis": "6-31G"}, "basis"),
     ({"smearing": 0.0, "k_spacing": 0.3}, "zone centre"), ({"functional": "LDA", "dispersion": "D3(BJ)"}, "not parametrised")],
)  # fmt: skip
def test_settings_that_cannot_be_served(changes, told):
    with pytest.raises(UserError, match=told):
        cp2k.validate(dataclasses.replace(Cp2kSettings(), **changes))


def test_missing_program_is_told(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="make cp2k"):
        labelling.labeller("cp2k")


def test_silent_program_is_a_failed_label(monkeypatch, tmp_path):
    (tmp_path / "cp2k.psmp").write_text("#!/bin/sh\nexit 3\n")
    (tmp_path / "cp2k.psmp").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(LabelFailure, match="ended without a word"):
        cp2k.label(hydrogen(), QUICK)


@needs_cp2k
def test_forces_and_stress_are_derivatives_of_the_energy(monkeypatch):
    monkeypatch.setenv("OMPI_COMM_WORLD_RANK", "1")  # as under an mpirun, whose rank CP2K must not take itself for
    atoms, settings = hydrogen(), dataclasses.replace(QUICK, cutoff=300.0, relative_cutoff=50.0, precision=1e-7)
    _, forces, stress = cp2k.label(atoms, settings)
    energies = []
    for step in (-0.01, 0.01):
        moved = atoms.copy()
        moved.positions[1, 2] += step
        energies.append(cp2k.label(moved, settings)[0])
    assert forces[1, 2] == pytest.approx(-(energies[1] - energies[0]) / 0.02, abs=0.01)
    energies = []
    for strain in (-0.01, 0.01):
        strained = atoms.copy()
        strained.set_cell(atoms.cell.array * [1, 1, 1 + strain], scale_atoms=True)
        energies.append(cp2k.label(strained, settings)[0])
    slope = (energies[1] - energies[0]) / 0.02 / atoms.get_volume()
    assert stress[2] == pytest.approx(slope, abs=0.1 * abs(slope) + 2e-4)  # eV/Å³; the grid changes with the cell
    assert os.environ["OMPI_COMM_WORLD_RANK"] == "1"
    assert np.abs(forces.sum(axis=0)).max() < 0.01


@needs_cp2k
def test_what_does_not_converge_or_takes_too_long_says_so():
    with pytest.raises(LabelFailure, match="did not converge"):
        cp2k.label(hydrogen(), dataclasses.replace(QUICK, max_steps=1))
    with pytest.raises(LabelFailure, match=r"took longer than 0\.5 s"):
        cp2k.label(hydrogen(), dataclasses.replace(QUICK, cutoff=2000.0, time_limit=0.5))
    with pytest.raises(LabelFailure, match="CP2K stopped: "):
        cp2k.label(Atoms("Es", cell=[6, 6, 6], pbc=True), QUICK)

"""Elastic constants and surface energies of potentials of LAMMPS, by the product's own functions, against other ways to them."""

from collections.abc import Callable

import lammps_files
import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bcc100, bcc110, bulk, fcc100, fcc111
from ase.calculators.calculator import BaseCalculator
from scipy.optimize import minimize_scalar

from atomistic import elasticity, potential, surface_energy
from coupling.units import surface_energy_to_si

GPa = 1e9
THICKNESSES = (14.0, 21.0)  # Å


@pytest.fixture(scope="module")
def copper(tmp_path_factory: pytest.TempPathFactory) -> BaseCalculator:
    """EAM of copper (Foiles, Baskes & Daw 1986)."""
    lammps_files.need_lammps("Cu_u3.eam")
    return potential.load(lammps_files.write(tmp_path_factory.mktemp("eam") / "Cu.toml", **lammps_files.COPPER))


@pytest.fixture(scope="module")
def lithium(tmp_path_factory: pytest.TempPathFactory) -> BaseCalculator:
    """SNAP of lithium (Zuo et al. 2020)."""
    lammps_files.need_lammps(*lammps_files.LITHIUM_SNAP["files"])
    return potential.load(lammps_files.write(tmp_path_factory.mktemp("snap") / "Li.toml", **lammps_files.LITHIUM_SNAP))


def energy(atoms: Atoms, calculator: BaseCalculator) -> float:
    return float(calculator.get_property("energy", atoms))


def at_rest(symbol: str, guess: float, calculator: BaseCalculator) -> tuple[Atoms, float]:
    """Primitive crystal of least energy and its lattice constant, Å."""
    bounds = (0.95 * guess, 1.05 * guess)
    found = minimize_scalar(lambda a: energy(bulk(symbol, a=a), calculator), bounds=bounds, method="bounded",
                            options={"xatol": 1e-6})  # fmt: skip
    return bulk(symbol, a=found.x), float(found.x)


def cubic_constants(atoms: Atoms, calculator: BaseCalculator, h: float = 2e-3) -> np.ndarray:
    """(C11, C12, C44), Pa, of a cubic crystal at rest, from energies alone: their curvature along three strains.

    e along one axis: C11 e²/2 a volume; along two: (C11 + C12) e²; a shear of engineering strain e: C44 e²/2.
    """
    curvatures = []
    for strain in (np.diag([1.0, 0, 0]), np.diag([1.0, 1, 0]), np.array([[0, 0.5, 0], [0.5, 0, 0], [0, 0, 0]])):
        ends = []
        for sign in (1, 0, -1):
            strained = atoms.copy()
            strained.set_cell(atoms.cell.array @ (np.eye(3) + sign * h * strain), scale_atoms=True)
            ends.append(energy(strained, calculator))
        curvatures.append((ends[0] - 2 * ends[1] + ends[2]) / h**2 / atoms.get_volume() / units.GPa * GPa)
    one, two, shear = curvatures
    return np.array([one, two / 2 - one, shear])


def constants(atoms: Atoms, calculator: BaseCalculator) -> np.ndarray:
    """(C11, C12, C44), Pa, of `elasticity.elastic_tensor`, which keeps the symmetry of the crystal."""
    found = elasticity.elastic_tensor(atoms, calculator).constants
    expected = np.diag([found[0, 0]] * 3 + [found[3, 3]] * 3)
    expected[:3, :3] += found[0, 1] * (1 - np.eye(3))
    np.testing.assert_allclose(found, expected, atol=1e-3 * GPa)
    return np.array([found[0, 0], found[0, 1], found[3, 3]])


def slabs(build: Callable[..., Atoms], symbol: str, a: float, layer: float) -> Callable[[float], Atoms]:
    """Thickness (Å) → slab of whole layers, one atom each."""
    return lambda thick: build(symbol, (1, 1, int(np.ceil(thick / layer))), a=a, vacuum=8.0, periodic=True)


def from_two_slabs(slab: Callable[[float], Atoms], calculator: BaseCalculator) -> float:
    """Surface energy of unrelaxed slabs, J/m²: what is left of the energy of one at no layers, no crystal asked."""
    thin, thick = (slab(thickness) for thickness in THICKNESSES)
    first, second = energy(thin, calculator), energy(thick, calculator)
    rest = first - len(thin) * (second - first) / (len(thick) - len(thin))
    return surface_energy_to_si(rest / (2 * surface_energy.area(thin)))


def test_elastic_constants_of_an_embedded_atom_potential(copper: BaseCalculator) -> None:
    """Copper: 167, 124 and 76 GPa in Foiles, Baskes & Daw, Phys. Rev. B 33, 7983 (1986), memory; energies agree."""
    atoms, a = at_rest("Cu", 3.6, copper)
    found = constants(atoms, copper)
    assert a == pytest.approx(3.615, abs=1e-3)
    assert found == pytest.approx(cubic_constants(atoms, copper), rel=2e-3)
    assert found / GPa == pytest.approx([167, 124, 76], rel=0.01)


def test_an_evaluation_without_lammps_gives_the_same_constants_and_surfaces(copper: BaseCalculator) -> None:
    """ASE reads the same parameter file. Its e² is 14.400 eV Å, LAMMPS takes 27.2 · 0.529: pair energies differ by 0.07 %."""
    from ase.calculators.eam import EAM

    from atomistic.lammps_file import shipped_with_lammps

    path = next(folder / "Cu_u3.eam" for folder in shipped_with_lammps() if (folder / "Cu_u3.eam").is_file())
    other = EAM(potential=str(path))
    answers = []
    for calculator in (copper, other):
        atoms, a = at_rest("Cu", 3.6, calculator)
        surface = surface_energy.surface_energy(slabs(fcc100, "Cu", a, a / 2), THICKNESSES, energy(atoms, calculator), calculator)
        answers.append([*cubic_constants(atoms, calculator) / GPa, surface.value])
    assert answers[0] == pytest.approx(answers[1], rel=0.02)
    assert constants(at_rest("Cu", 3.6, copper)[0], copper) / GPa == pytest.approx(answers[1][:3], rel=0.02)


def test_elastic_constants_of_a_snap_potential(lithium: BaseCalculator) -> None:
    """Lithium: the stresses' constants are the curvature of the energy; bcc at rest is stable against every strain."""
    atoms, _ = at_rest("Li", 3.45, lithium)
    found = constants(atoms, lithium)
    assert found == pytest.approx(cubic_constants(atoms, lithium), rel=5e-3)
    c11, c12, c44 = found
    assert min(c11 - c12, c11 + 2 * c12, c44) > 0


@pytest.mark.parametrize(
    ("face", "stated"), [(fcc100, 1.28), (fcc111, 1.17)], ids=["(100)", "(111)"],
)  # fmt: skip
def test_surface_energies_of_an_embedded_atom_potential(face, stated: float, copper: BaseCalculator) -> None:
    """Copper: 1.28 and 1.17 J/m² in Foiles, Baskes & Daw 1986, memory; two unrelaxed slabs agree but for the relaxation."""
    crystal, a = at_rest("Cu", 3.6, copper)
    slab = slabs(face, "Cu", a, a / 2 if face is fcc100 else a / 3**0.5)
    bulk_energy = energy(crystal, copper)
    rigid = surface_energy.surface_energy(slab, THICKNESSES, bulk_energy, copper, force=10.0)
    assert rigid.value == pytest.approx(from_two_slabs(slab, copper), rel=1e-3)
    relaxed = surface_energy.surface_energy(slab, THICKNESSES, bulk_energy, copper)
    assert 0.97 * rigid.value < relaxed.value < rigid.value
    assert relaxed.value == pytest.approx(stated, rel=0.015)
    assert relaxed.stderr < 1e-3


@pytest.mark.parametrize(
    ("face", "first_principles"), [(bcc100, 0.46), (bcc110, 0.50)], ids=["(100)", "(110)"],
)  # fmt: skip
def test_surface_energies_of_a_snap_potential(face, first_principles: float, lithium: BaseCalculator) -> None:
    """Lithium: within 15 % of PBE (Tran et al., Sci. Data 3, 160080 (2016), memory), which such slabs' labels come from."""
    crystal, a = at_rest("Li", 3.45, lithium)
    slab = slabs(face, "Li", a, a / 2 if face is bcc100 else a / 2**0.5)
    bulk_energy = energy(crystal, lithium)
    rigid = surface_energy.surface_energy(slab, THICKNESSES, bulk_energy, lithium, force=10.0)
    assert rigid.value == pytest.approx(from_two_slabs(slab, lithium), rel=2e-3)
    relaxed = surface_energy.surface_energy(slab, THICKNESSES, bulk_energy, lithium)
    assert 0.9 * rigid.value < relaxed.value <= rigid.value
    assert relaxed.value == pytest.approx(first_principles, rel=0.15)

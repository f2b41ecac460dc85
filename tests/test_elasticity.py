"""Elastic constants against published and closed-form values; polycrystal bounds against identities."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.lj import LennardJones
from ase.neighborlist import neighbor_list
from scipy.optimize import brentq

from atomistic import elasticity
from atomistic.relaxation import relaxed
from coupling.errors import RunFailure
from coupling.units import pressure_to_si

GIGA = 1e9


class EmbeddedAtom(Calculator):
    """An analytic EAM copper: exponential pair energy and density (Johnson 1988's form), smoothly cut, F = −A√ρ.

    Only what the closed form below needs: pair φ(r) = P exp(−p(r/r0 − 1)) s(r), density f(r) = exp(−q(r/r0 − 1)) s(r).
    """

    implemented_properties = ("energy", "forces", "stress")
    pair_strength, pair_decay, density_decay, embedding, length, cutoff = 0.20, 10.5, 5.0, 1.03, 2.556, 5.0

    def switch(self, r: np.ndarray) -> np.ndarray:
        """(1 − (r/rc)²)³ to zero with two derivatives."""
        return (1 - (r / self.cutoff) ** 2) ** 3

    def pair(self, r: np.ndarray) -> np.ndarray:
        return self.pair_strength * np.exp(-self.pair_decay * (r / self.length - 1)) * self.switch(r)

    def density(self, r: np.ndarray) -> np.ndarray:
        return np.exp(-self.density_decay * (r / self.length - 1)) * self.switch(r)

    def calculate(self, atoms=None, properties=None, system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        first, vector, r = neighbor_list("iDd", self.atoms, self.cutoff)
        step = 1e-6
        slope = lambda function: (function(r + step) - function(r - step)) / (2 * step)  # noqa: E731
        second = neighbor_list("j", self.atoms, self.cutoff)
        rho = np.bincount(first, self.density(r), len(self.atoms))
        force_scale = slope(self.pair) - self.embedding * (0.5 / np.sqrt(rho[first]) + 0.5 / np.sqrt(rho[second])) * slope(
            self.density
        )
        pull = (force_scale / r)[:, None] * vector
        forces = np.stack([np.bincount(first, pull[:, axis], len(self.atoms)) for axis in range(3)], axis=1)
        virial = 0.5 * pull.T @ vector / self.atoms.get_volume()
        stress = np.array([virial[i, j] for i, j in elasticity.VOIGT])
        energy = 0.5 * self.pair(r).sum() - self.embedding * np.sqrt(rho).sum()
        self.results = {"energy": float(energy), "forces": forces, "stress": stress}


def shells(lattice_constant: float, cutoff: float) -> np.ndarray:
    """All fcc lattice vectors (n, 3) shorter than the cutoff, by counting integers."""
    reach = int(2 * cutoff / lattice_constant) + 1
    grid = np.array(np.meshgrid(*[np.arange(-reach, reach + 1)] * 3)).reshape(3, -1).T
    points = 0.5 * lattice_constant * grid[grid.sum(axis=1) % 2 == 0]
    length = np.linalg.norm(points, axis=1)
    return points[(length > 0) & (length < cutoff)]


def closed_form(eam: EmbeddedAtom) -> tuple[float, np.ndarray]:
    """a0 (Å) and (C11, C12, C44) in GPa of the fcc crystal from lattice sums (Daw & Baskes, PRB 29, 6443 (1984)).

    Ω C_ijkl = ½ Σ (U″ − U′/r) r_i r_j r_k r_l/r² + F″ V_ij V_kl, with U = φ + 2 F′(ρ) f, V_ij = Σ f′ r_i r_j/r.
    """
    step = 1e-4

    def energy(a: float) -> float:
        r = np.linalg.norm(shells(a, eam.cutoff), axis=1)
        return float(0.5 * eam.pair(r).sum() - eam.embedding * np.sqrt(eam.density(r).sum()))

    a = brentq(lambda x: energy(x + step) - energy(x - step), 3.2, 4.2, xtol=1e-10)
    vectors = shells(a, eam.cutoff)
    r = np.linalg.norm(vectors, axis=1)
    rho = eam.density(r).sum()
    first, second = -0.5 * eam.embedding / np.sqrt(rho), 0.25 * eam.embedding / rho**1.5
    total = lambda x: eam.pair(x) + 2 * first * eam.density(x)  # noqa: E731
    slope = (total(r + step) - total(r - step)) / (2 * step)
    curvature = (total(r + step) - 2 * total(r) + total(r - step)) / step**2
    density_slope = (eam.density(r + step) - eam.density(r - step)) / (2 * step)
    x, y = vectors[:, 0], vectors[:, 1]
    central = (curvature - slope / r) / r**2
    many = second * np.sum(density_slope * x * x / r) ** 2
    volume = a**3 / 4
    c11 = (0.5 * np.sum(central * x**4) + many) / volume
    c12 = (0.5 * np.sum(central * x**2 * y**2) + many) / volume
    c44 = 0.5 * np.sum(central * x**2 * y**2) / volume
    return a, 160.21766 * np.array([c11, c12, c44])


def cubic(tensor: elasticity.ElasticTensor) -> np.ndarray:
    """(C11, C12, C44)."""
    return tensor.constants[[0, 0, 3], [0, 1, 3]]


def test_embedded_atom_metal_meets_its_closed_form() -> None:
    """fcc EAM copper, 4-atom cell: relaxed lattice constant and constants within 0.2 % of the lattice sums."""
    eam = EmbeddedAtom()
    a, expected = closed_form(eam)
    assert 3.4 < a < 3.7
    assert (expected > 20).all()
    atoms = relaxed(bulk("Cu", cubic=True, a=3.7), eam, cell=True, force=1e-5)
    assert atoms.cell.lengths() == pytest.approx([a] * 3, rel=1e-5)
    tensor = elasticity.elastic_tensor(atoms, eam, amplitudes=(0.001, 0.002), force=1e-4)
    assert cubic(tensor) / GIGA == pytest.approx(expected, rel=2e-3)
    assert np.abs(cubic(tensor) / GIGA - expected).max() < 3 * tensor.stderr.max() / GIGA + 0.1


def test_lennard_jones_crystal_at_zero_temperature() -> None:
    """fcc LJ: C11* 105.182, C12* = C44* 60.187; a cutoff of 8 σ leaves 0.3 % of the r⁻⁶ tail out."""
    calculator = LennardJones(epsilon=1.0, sigma=1.0, rc=8.0)
    atoms = relaxed(bulk("Ar", a=1.5425), calculator, cell=True, force=1e-4)
    tensor = elasticity.elastic_tensor(atoms, calculator, amplitudes=(0.002,), force=1e-2)
    assert cubic(tensor) / pressure_to_si(1.0) == pytest.approx([105.182, 60.187, 60.187], rel=4e-3)


def test_inner_displacements_are_relaxed() -> None:
    """A crystal of two interleaved fcc lattices is softer in shear with its atoms free than clamped; C stays cubic."""
    calculator = LennardJones(epsilon=0.1, sigma=2.2, rc=6.0, smooth=True)
    atoms = relaxed(bulk("ZnS", "zincblende", a=5.4), calculator, cell=True, force=1e-4)
    free = elasticity._slope(atoms, calculator, 3, 1e-3, 1e-4, 200)[3]
    clamped = elasticity._slope(atoms, calculator, 3, 1e-3, 1e9, 1)[3]
    assert clamped - free > 1e-3 * clamped


def test_symmetrisation_keeps_isotropy_and_removes_noise() -> None:
    """An isotropic tensor passes unchanged; noise on a cubic one is averaged over the 48 operations."""
    from atomistic.tasks import CUBIC

    rng = np.random.default_rng(0)
    isotropic = np.eye(6)
    isotropic[:3, :3] = 2.0 + 2.0 * np.eye(3)
    random = np.linalg.qr(rng.standard_normal((3, 3)))[0]
    assert elasticity.symmetrised(isotropic, random[None]) == pytest.approx(isotropic, abs=1e-12)
    noisy = isotropic + 0.1 * rng.standard_normal((6, 6))
    mean = elasticity.symmetrised(noisy, CUBIC)
    assert mean[0, 0] == pytest.approx(mean[2, 2])
    assert np.abs(mean[:3, 3:]).max() < 1e-12
    assert np.trace(mean[:3, :3]) == pytest.approx(np.trace(noisy[:3, :3]))


def test_polycrystal_of_isotropic_grains_is_the_grain() -> None:
    """K and G come back, with no error; E and ν follow."""
    young, poisson = 150e9, 0.257
    shear = young / (2 * (1 + poisson))
    bulk_modulus = young / (3 * (1 - 2 * poisson))
    constants = np.diag([0.0] * 3 + [shear] * 3)
    constants[:3, :3] = bulk_modulus - 2 / 3 * shear + 2 * shear * np.eye(3)
    moduli = elasticity.polycrystal(elasticity.ElasticTensor(constants, np.zeros((36, 36))))
    assert moduli.young == pytest.approx((young, 0.0), abs=1e-3)
    assert moduli.poisson[0] == pytest.approx(poisson)
    assert moduli.bulk[0] == pytest.approx(bulk_modulus)


def test_voigt_and_reuss_of_copper() -> None:
    """Cu (168.4, 121.4, 75.4 GPa): K 137.1, G_V 54.6, G_R 40.0 GPa (Hirth & Lothe's values for these constants)."""
    c11, c12, c44 = 168.4, 121.4, 75.4
    constants = np.diag([c11 - c12] * 3 + [c44] * 3)
    constants[:3, :3] += c12
    voigt, reuss = elasticity.voigt_reuss(constants)
    assert voigt == pytest.approx([137.07, (c11 - c12 + 3 * c44) / 5], rel=1e-4)
    assert reuss == pytest.approx([137.07, 5 * (c11 - c12) * c44 / (4 * c44 + 3 * (c11 - c12))], rel=1e-4)
    moduli = elasticity.polycrystal(elasticity.ElasticTensor(constants, np.zeros((36, 36))))
    assert reuss[1] < moduli.shear[0] < voigt[1]
    assert moduli.shear[1] == pytest.approx((voigt[1] - reuss[1]) / 2)


def test_error_of_the_constants_reaches_the_moduli() -> None:
    """Twice the error of C gives twice the (fit part of the) error of E."""
    constants = np.diag([0.0] * 3 + [50e9] * 3)
    constants[:3, :3] = 60e9 + 100e9 * np.eye(3)
    errors = [
        elasticity.polycrystal(elasticity.ElasticTensor(constants, (scale * 1e9) ** 2 * np.eye(36))).young[1] for scale in (1, 2)
    ]
    assert errors[0] > 0
    assert errors[1] / errors[0] == pytest.approx(2.0, rel=0.05)


def cubic_tensor() -> np.ndarray:
    """C11 = 3, C12 = C44 = 1."""
    return np.diag([2.0] * 3 + [1.0] * 3) + np.pad(np.ones((3, 3)), ((0, 3), (0, 3)))


def fit_part(moduli: elasticity.Moduli, constants: np.ndarray) -> np.ndarray:
    """Errors of K, G and E without half the distance of Voigt and Reuss."""
    half = 0.5 * np.abs(np.subtract(*(elasticity._isotropic(bound) for bound in elasticity.voigt_reuss(constants))))
    errors = np.array([moduli.bulk[1], moduli.shear[1], moduli.young[1]])
    return np.sqrt(np.maximum(errors**2 - half[:3] ** 2, 0.0))


@pytest.mark.parametrize("axis", [None, 2])
def test_errors_at_rest_cover_the_truth_at_the_stated_rate(axis: int | None) -> None:
    """200 sets of relaxations whose stresses are shaken together along the axes: 68 and 95 % of C11, C12, C44, K, G and E."""
    from atomistic.tasks import CUBIC

    rotations = CUBIC if axis is None else CUBIC[np.abs(CUBIC[:, axis, axis]) == 1]
    rng, hits, true, amplitudes = np.random.default_rng(3), np.zeros((2, 6)), cubic_tensor(), (0.003, 0.006)
    mixing = np.diag([0.4, 0.4, 0.4, 0.2, 0.2, 0.2])
    mixing[:3, :3] = np.linalg.cholesky(0.16 * (0.3 * np.eye(3) + 0.7))
    expected = elasticity.polycrystal(elasticity.ElasticTensor(true, np.zeros((36, 36))))
    for _ in range(200):
        shaken = 2e-4 * rng.standard_normal((2, 6, 6)) @ mixing.T  # the two amplitudes by strain and stress
        slopes = [true + shaken[k].T / (np.sqrt(2) * amplitudes[k]) for k in range(2)]
        found = elasticity.tensor_at_rest(np.array(slopes), amplitudes, rotations)
        moduli = elasticity.polycrystal(found, samples=100)
        pairs = [(found.constants[place] - true[place], found.stderr[place]) for place in ((0, 0), (0, 1), (3, 3))]
        names = ("bulk", "shear", "young")
        distances = [getattr(moduli, name)[0] - getattr(expected, name)[0] for name in names]
        pairs += list(zip(distances, fit_part(moduli, found.constants), strict=True))
        for column, (distance, error) in enumerate(pairs):
            hits[:, column] += abs(distance) < error, abs(distance) < 1.96 * error
    assert ((hits[0] / 200 >= 0.6) & (hits[0] / 200 <= 0.76)).all(), hits / 200
    assert ((hits[1] / 200 >= 0.9) & (hits[1] / 200 <= 0.98)).all(), hits / 200


@pytest.mark.parametrize("cells", [1, 2])
def test_cells_of_a_disordered_crystal_cover_the_mean_of_all(cells: int) -> None:
    """400 crystals whose cells each depart from it by a tensor of their own (2 GPa of 20 … 50): K, G and C44 at 68 and 95 %."""
    from atomistic.tasks import CUBIC

    rng, true, amplitudes = np.random.default_rng(4), cubic_tensor(), (0.003, 0.006)
    hits = np.zeros((2, 3))
    for _ in range(400):
        tensors = []
        for _ in range(cells):
            away = 0.04 * np.abs(true).max() * rng.standard_normal((6, 6))
            noise = 1e-4 * np.abs(true).max() * rng.standard_normal((2, 6, 6)) * np.array([2.0, 1.0])[:, None, None]
            slopes = true + (away + away.T) / 2 + noise
            tensors.append(elasticity.tensor_at_rest(slopes, amplitudes, CUBIC, departing=True))
        found = elasticity.mean_tensor(tensors)
        weights = np.zeros((3, 6, 6))
        weights[0, :3, :3] = 1 / 9
        weights[1] = np.diag([1 / 15] * 3 + [1 / 5] * 3)
        weights[1][np.triu_indices(3, 1)] = -1 / 15
        weights[2, 3, 3] = 1.0
        rows = weights.reshape(3, 36)
        distance = np.abs(rows @ (found.constants - true).ravel())
        error = np.sqrt(np.diag(rows @ found.covariance @ rows.T))
        hits += distance < error, distance < 1.96 * error
    assert ((hits[0] / 400 >= 0.6) & (hits[0] / 400 <= 0.76)).all(), hits / 400
    assert ((hits[1] / 400 >= 0.9) & (hits[1] / 400 <= 0.98)).all(), hits / 400


def test_anharmonicity_moves_all_constants_together() -> None:
    """s = C + a e², no noise: the error is the whole distance from the extrapolation to no strain, in K as in C11."""
    from atomistic.tasks import CUBIC

    true, amplitudes = cubic_tensor(), (0.003, 0.006)
    bend = -400.0 * true
    found = elasticity.tensor_at_rest(np.array([true + bend * e**2 for e in amplitudes]), amplitudes, CUBIC)
    for place in ((0, 0), (0, 1), (3, 3)):
        assert found.stderr[place] == pytest.approx(abs(found.constants[place] - true[place]), rel=1e-3)
    bulk = [elasticity.voigt_reuss(constants)[0][0] for constants in (found.constants, true)]
    moduli = elasticity.polycrystal(found)
    assert moduli.bulk[1] == pytest.approx(abs(bulk[1] - bulk[0]), rel=0.1)
    assert elasticity.tensor_at_rest(true[None], (0.003,), CUBIC).stderr.max() < 1e-5


def test_cells_that_scatter_beyond_their_errors_widen_the_error_of_their_mean() -> None:
    """Three cells whose constants differ by 20 % with errors of 1 %: 20 %/√3; two equal cells: 1 %/√2; one: its own."""
    small = 1e-4 * np.outer(cubic_tensor().ravel(), cubic_tensor().ravel())
    cells = [elasticity.ElasticTensor(scale * cubic_tensor(), small) for scale in (0.8, 1.0, 1.2)]
    assert elasticity.mean_tensor(cells).constants == pytest.approx(cubic_tensor())
    assert elasticity.mean_tensor(cells).stderr == pytest.approx(0.2 / np.sqrt(3) * cubic_tensor())
    assert elasticity.mean_tensor([cells[1]] * 2).stderr == pytest.approx(0.01 / np.sqrt(2) * cubic_tensor())
    assert elasticity.mean_tensor(cells[:1]).stderr == pytest.approx(cells[0].stderr)


def test_unstable_crystal_is_told() -> None:
    """Simple cubic Lennard-Jones falls apart: no tensor, a sentence."""
    calculator = LennardJones(epsilon=1.0, sigma=1.0, rc=3.0)
    atoms = relaxed(Atoms("Ar", cell=[1.07] * 3, pbc=True), calculator, cell=True, force=1e-3)
    with pytest.raises(RunFailure, match="unstable against a strain"):
        elasticity.elastic_tensor(atoms, calculator, amplitudes=(0.002,))


def test_records_carry_unit_error_and_source() -> None:
    """Moduli and constants of a cubic crystal as properties."""
    constants = np.diag([47.0] * 3 + [75.4] * 3) * GIGA
    constants[:3, :3] += 121.4 * GIGA
    tensor = elasticity.ElasticTensor(constants, (0.5 * GIGA) ** 2 * np.eye(36))
    records = {r.quantity: r for r in elasticity.properties(tensor, "Cu", {"temperature_K": 0.0}, {"potential": "test"})}
    assert records["elastic_C12"].value == pytest.approx(121.4e9)
    assert "elastic_C14" not in records
    assert records["poissons_ratio"].unit == "1"
    assert records["youngs_modulus"].stderr is not None
    assert records["bulk_modulus"].source["potential"] == "test"

"""Elastic tensor of a trajectory: a known tensor by fluctuations and by regression, coverage, refusals, the command."""

import json
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator
from scipy.signal import lfilter
from test_observable_commands import ask
from tiny_study import potential

from atomistic import elasticity, strain_fluctuations
from atomistic.elasticity import averaging_matrix, strain_matrix
from atomistic.relaxation import relaxed
from atomistic.strain_fluctuations import FACTORS, Strains, from_fluctuations, from_stresses, strains
from atomistic.tasks import CUBIC
from coupling.constants import BOLTZMANN
from coupling.errors import UserError
from coupling.record import TWO_SIDED_95
from coupling.units import pressure_to_si

T, VOLUME = 300.0, 3000.0
TENSOR = 1e9 * (np.diag([4.0, 4, 4, 10, 10, 10]) + np.pad(np.full((3, 3), 11.0), ((0, 3), (0, 3))))
"""Cubic, soft against one shear, as lithium."""
PLACES = ((0, 0), (0, 1), (3, 3))


def breathing(random: np.random.Generator, count: int, memory: float, tensor: np.ndarray = TENSOR) -> np.ndarray:
    """Strains (count, 6), tensor shears, that fluctuate as a cell of that tensor at T does, in memory of each other."""
    white = random.standard_normal((count, 6))
    white[1:] *= np.sqrt(1 - memory**2)
    root = np.linalg.cholesky(BOLTZMANN * T / (VOLUME * 1e-30) * np.linalg.inv(tensor))
    return np.asarray(lfilter([1.0], [1.0, -memory], white, axis=0)) @ root.T / FACTORS


def still(values: np.ndarray) -> Strains:
    """Their mean taken off, volume to first order."""
    away = values - values.mean(axis=0)
    return Strains(away, VOLUME * (1 + away[:, :3].sum(axis=1)))


def run(values: np.ndarray) -> list[Atoms]:
    """A crystal whose cell strains so, turned at random from frame to frame, its atoms rattling."""
    random, start = np.random.default_rng(5), bulk("Li", "bcc", a=3.5, cubic=True).repeat(3)
    start.set_cell(start.cell * (VOLUME / start.get_volume()) ** (1 / 3), scale_atoms=True)
    made = []
    for row in values:
        frame, half = start.copy(), sum(strain_matrix(place, FACTORS[place] * row[place]) for place in range(6))
        squares, vectors = np.linalg.eigh(np.eye(3) + 2 * half)
        frame.set_cell(start.cell.array @ (vectors * np.sqrt(squares)) @ vectors.T, scale_atoms=True)
        frame.positions += random.normal(0, 0.05, frame.positions.shape)
        frame.rotate(3 * random.standard_normal(), random.standard_normal(3), rotate_cell=True)
        made.append(frame)
    return made


def test_errors_cover_the_tensor_that_the_strains_were_made_of() -> None:
    """200 runs of 600 frames: C11, C12, C44 and the bulk modulus by the volume."""
    random, hits = np.random.default_rng(7), np.zeros((2, 4))
    for _ in range(200):
        known = still(breathing(random, 600, 0.5))
        found, (K, error) = from_fluctuations(known, T, "cubic"), strain_fluctuations.bulk_modulus(known, T)
        away = [abs(found.constants[place] - TENSOR[place]) / found.stderr[place] for place in PLACES]
        away.append(abs(K - (TENSOR[0, 0] + 2 * TENSOR[0, 1]) / 3) / error)
        hits += np.less(away, [[1.0], [TWO_SIDED_95]])
    for (one, two), count in ((hits[:, :3].sum(axis=1), 600), (hits[:, 3], 200)):
        assert 0.60 <= one / count <= 0.76
        assert 0.90 <= two / count <= 0.98


def test_a_tensor_of_no_symmetry_comes_back() -> None:
    random = np.random.default_rng(8)
    shape = random.standard_normal((6, 6))
    tensor = TENSOR + 1e9 * shape @ shape.T
    found = from_fluctuations(still(breathing(random, 20_000, 0.3, tensor)), T, "triclinic")
    assert (np.abs(found.constants - tensor) < 4 * found.stderr).all()
    assert np.abs(found.constants / tensor - 1)[np.diag_indices(6)].max() < 0.05


def test_a_wrong_symmetry_widens_the_errors() -> None:
    random = np.random.default_rng(9)
    tensor = TENSOR + 1e9 * np.diag([10.0, 0, 0, 0, 0, 8])
    known = still(breathing(random, 2000, 0.3, tensor))
    wide, own = (from_fluctuations(known, T, name).stderr[0, 0] for name in ("cubic", "orthorhombic"))
    assert wide > 2 * own


def test_stress_and_strain_of_one_run_give_the_same_tensor() -> None:
    """Stresses that follow the strain with noise of their own: the regression covers, whatever the fluctuations are."""
    random, hits = np.random.default_rng(10), []
    for _ in range(60):
        values = breathing(random, 200, 0.5, np.eye(6) * 2e10)
        noise = 3e7 * breathing(random, 200, 0.7, np.eye(6) * 1e10) / 0.012
        found = from_stresses(still(values), (values * FACTORS) @ TENSOR + noise, "cubic")
        hits += [abs(found.constants[place] - TENSOR[place]) / found.stderr[place] for place in PLACES]
    assert 0.60 <= np.mean(np.array(hits) < 1) <= 0.76
    assert 0.90 <= np.mean(np.array(hits) < TWO_SIDED_95) <= 0.98


def test_groups_are_those_of_crystals() -> None:
    assert averaging_matrix(strain_fluctuations.rotations("cubic")) == pytest.approx(averaging_matrix(CUBIC), abs=1e-12)
    ranks = {"triclinic": 21, "orthorhombic": 9, "trigonal": 6, "tetragonal": 6, "hexagonal": 5, "cubic": 3}
    for name, constants in ranks.items():
        assert np.linalg.matrix_rank(averaging_matrix(strain_fluctuations.rotations(name)), tol=1e-8) == constants


def test_strains_do_not_see_how_the_cell_turns() -> None:
    values = breathing(np.random.default_rng(11), 50, 0.0)
    assert strains(run(values)).values == pytest.approx(values - values.mean(axis=0), abs=3 * np.abs(values).max() ** 2)


def strained_argon() -> tuple[Atoms, list[Atoms]]:
    """Argon at rest and strained both ways in six ways at two amplitudes, with its stresses."""
    start, calculator = relaxed(bulk("Ar", cubic=True, a=5.25), potential("float64"), cell=True, force=1e-4), potential("float64")
    made = []
    for place in range(6):
        for amount in (-0.004, -0.002, 0.002, 0.004):
            frame = start.copy()
            frame.set_cell(start.cell.array @ (np.eye(3) + strain_matrix(place, amount)), scale_atoms=True)
            stress = calculator.get_property("stress", frame)
            frame.calc = SinglePointCalculator(frame, stress=stress)
            made.append(frame)
    return start, made


def test_strained_structures_give_the_constants_of_rest(tmp_path: Path) -> None:
    """The command on a file of them, against the product's own tensor at 0 K."""
    start, made = strained_argon()
    known = elasticity.elastic_tensor(start, potential("float64"), (0.002, 0.004), rotations=CUBIC).constants
    ase.io.write(tmp_path / "strained.traj", made)
    status, text = ask("elasticity", tmp_path / "strained.traj", "--method", "stress", "--symmetry", "cubic", "--json")
    assert status == 0, text
    rows = {row["quantity"]: row for row in json.loads(text)["elasticity"]}
    for name, place in (("elastic_C11", (0, 0)), ("elastic_C12", (0, 1)), ("elastic_C44", (3, 3))):
        assert rows[name]["value"] == pytest.approx(known[place], rel=0.01)
        assert rows[name]["stderr"] < 0.02 * known[0, 0]
    assert rows["elastic_C11"]["conditions"]["temperature_K"] == 0.0


def test_kinetic_stress_is_that_of_equipartition() -> None:
    frame = bulk("Li", "bcc", a=3.5, cubic=True)
    frame.calc = SinglePointCalculator(frame, stress=np.array([0.01, 0, 0, 0, 0, 0.002]))
    cold, warm = (strain_fluctuations.stresses([frame], kelvin)[0] for kelvin in (None, T))
    assert cold == pytest.approx(pressure_to_si(1.0) * np.array([0.01, 0, 0, 0, 0, 0.002]))
    assert warm - cold == pytest.approx(-2 * BOLTZMANN * T / 42.875e-30 * np.array([1, 1, 1, 0, 0, 0.0]))


def test_the_command_tells_the_tensor_of_a_run_and_draws_it(tmp_path: Path) -> None:
    path, values = tmp_path / "run.traj", breathing(np.random.default_rng(12), 300, 0.2)
    ase.io.write(path, run(values))
    files = ("--picture", str(tmp_path / "p.png"), "--record", str(tmp_path / "r.json"))
    status, text = ask("elasticity", path, "--temperature", "300 K", "--symmetry", "cubic", *files, "--json")
    assert status == 0, text
    rows = {row["quantity"]: row for row in json.loads(text)["elasticity"]}
    assert abs(rows["elastic_C44"]["value"] - 1e10) < 3 * rows["elastic_C44"]["stderr"]
    assert rows["bulk_modulus"]["source"]["trajectory"] == str(path)
    assert (tmp_path / "p.png").stat().st_size > 4000
    assert json.loads((tmp_path / "r.json").read_text())["records"]
    breath = np.repeat(values[:, :1], 6, axis=1) * [1, 1, 1, 0, 0, 0]
    ase.io.write(path, run(breath))
    status, text = ask("elasticity", path, "--temperature", "300 K")
    assert (status, "free in 1 of six strains: the bulk modulus alone" in text) == (0, True), text


def test_a_bulk_modulus_is_of_a_cell_that_breathes() -> None:
    """Three free edges give K; one or two, or three that are not independent, give none, and are named."""
    values = breathing(np.random.default_rng(14), 400, 0.2)
    value, error = strain_fluctuations.bulk_modulus(still(values * [1, 1, 1, 0, 0, 0]), T)
    assert abs(value - (TENSOR[0, 0] + 2 * TENSOR[0, 1]) / 3) < 3 * error
    along_z, plane = values * [0, 0, 1, 0, 0, 0], values * [1, 1, 0, 0, 0, 0]
    coupled = values[:, [0, 0, 2, 3, 4, 5]] * [1, 1, 1, 0, 0, 0]
    for made, told in ((along_z, "along z, in 1 "), (plane, "along x and y, in 2 "), (coupled, "along x and y and z, in 2 ")):
        with pytest.raises(UserError, match=f"the cell strains {told}"):
            strain_fluctuations.bulk_modulus(still(made), T)


def test_a_stress_that_is_not_finite_is_told_with_file_and_frame(tmp_path: Path) -> None:
    made, path = run(breathing(np.random.default_rng(15), 40, 0.0)), tmp_path / "run.traj"
    for number, frame in enumerate(made):
        frame.calc = SinglePointCalculator(frame, stress=np.full(6, np.nan if number == 7 else 0.01))
    ase.io.write(path, made)
    status, text = ask("elasticity", path, "--method", "stress")
    assert (status, f"{path}: frame 7: its stress is not a finite number" in " ".join(text.split())) == (2, True), text


def test_what_bears_no_tensor_is_refused(tmp_path: Path) -> None:
    """Too few frames, memory longer than the run, a cell that keeps its shape, no stresses, no temperature."""
    random, path = np.random.default_rng(13), tmp_path / "run.traj"
    with pytest.raises(UserError, match="independent strains, 20 are needed"):
        from_fluctuations(still(breathing(random, 300, 0.98)), T, "cubic")
    with pytest.raises(UserError, match="too uncertain"):
        from_stresses(still(breathing(random, 40, 0.0)), 1e8 * random.standard_normal((40, 6)), "cubic")
    for count, width, more, told in (
        (12, 1.0, ("--temperature", "300 K"), "12 frames are too few"), (40, 0.0, ("--temperature", "300 K"), "volume of the"),
        (40, 1.0, ("--method", "stress"), "holds no stress"), (40, 1.0, (), "needs the temperature of the run"),
        (40, 1.0, ("--temperature", "300 K", "--symmetry", "round"), "symmetry round"),
    ):  # fmt: skip
        ase.io.write(path, run(width * breathing(random, count, 0.0)))
        status, text = ask("elasticity", path, *more)
        assert (status, told in text) == (2, True), text
    ase.io.write(path, run(np.linspace(0, 0.7, 40)[:, None] * [1, 0, 0, 0, 0, 0]))
    assert "more than a solid does" in ask("elasticity", path, "--temperature", "300 K")[1]


def test_the_error_of_a_bulk_modulus_covers_where_volumes_remember_each_other() -> None:
    """400 runs of few independent volumes: by the scatter of their squares alone 59 and 88 % hold."""
    random, exact, held = np.random.default_rng(0), (TENSOR[0, 0] + 2 * TENSOR[0, 1]) / 3, []
    volume = BOLTZMANN * T / (exact * 1e-4 * 1e-30)
    for _ in range(400):
        kicks = 0.01 * random.standard_normal(1000) * np.append(1.0, np.full(999, (1 - 0.95**2) ** 0.5))
        strained = lfilter([1.0], [1.0, -0.95], kicks)
        values = np.outer(strained - strained.mean(), [1, 1, 1, 0, 0, 0]) / 3
        try:
            value, error = strain_fluctuations.bulk_modulus(Strains(values, volume * (1 + strained)), T)
        except UserError:  # too few independent ones
            continue
        held.append((abs(value - exact) < error, abs(value - exact) < TWO_SIDED_95 * error))
    one, two = np.mean(held, axis=0)
    assert 0.60 <= one <= 0.76
    assert 0.90 <= two <= 0.98

"""Metadynamics: derivatives, a free energy with a known basin and the cover of its error, restart, rates over a barrier."""

import numpy as np
import pytest
from ase import Atoms
from pair_potential import PairPotential

from atomistic.correlated import jackknife_error
from atomistic.escape import escape_rate
from atomistic.metadynamics import Bias, Hills, SamplingSettings, escapes, free_energy, kept, sample
from atomistic.walkers import BiasedField, Molecular, Overdamped, torch_variable
from coupling.errors import RunFailure, UserError

ONE = np.array([0])
DEPTH, WIDTH = 4.0, 0.5


def basin_slope(x: np.ndarray) -> np.ndarray:
    """Derivative of U = -DEPTH exp(-x²/2 WIDTH²)."""
    return DEPTH * x / WIDTH**2 * np.exp(-(x**2) / (2 * WIDTH**2))


def test_bias_is_the_sum_of_its_hills_and_its_slope_the_derivative() -> None:
    """Two hills, the second tempered by the first; slopes equal differences; nothing pulls outside; hills end."""
    bias = Bias(Hills(-3.0, 3.0, 1201, 0.3, 0.5, 1.0, 3.0))
    bias.deposit(np.array([0.0]), ONE)
    bias.deposit(np.array([0.4]), ONE)
    end = np.exp(-(3.5**2) / 2)
    first = 0.5 * (np.exp(-0.5 * (0.4 / 0.3) ** 2) - end) / (1 - end)
    assert bias.at(np.array([0.4]), ONE)[0][0] == pytest.approx(first + 0.5 * np.exp(-first / 2.0), rel=1e-6)
    for s in (-0.7, 0.1, 0.333, 1.2):
        up, down = (bias.at(np.array([s + step]), ONE)[0][0] for step in (1e-5, -1e-5))
        assert bias.at(np.array([s]), ONE)[1][0] == pytest.approx((up - down) / 2e-5, abs=1e-8)
    assert bias.at(np.array([-3.5]), ONE)[1][0] == bias.at(np.array([3.5]), ONE)[1][0] == 0.0
    assert bias.at(np.array([1.6]), ONE)[0][0] == 0.0


def test_hills_stay_where_they_are_wanted() -> None:
    bias = Bias(Hills(-3.0, 3.0, 601, 0.1, 0.5, 1.0, 3.0, deposited=(-2.0, -0.8)))
    bias.deposit(np.array([0.0]), ONE)
    assert not bias.values.any()
    bias.deposit(np.array([-0.8]), ONE)
    assert bias.values[0, bias.grid > -0.4].max() == 0.0


def test_walkers_share_a_bias_or_have_their_own() -> None:
    hills, both, places = Hills(-1.0, 1.0, 101, 0.1, 0.2, 1.0, 5.0), np.array([0, 1]), np.array([-0.5, 0.5])
    together, apart = Bias(hills, 2), Bias(hills, 2, shared=False)
    for bias in (together, apart):
        bias.deposit(places, both)
    assert together.at(places, both)[0] == pytest.approx([0.2, 0.2], rel=1e-6)
    assert apart.at(np.array([-0.5, -0.5]), both)[0] == pytest.approx([0.2, 0.0], abs=1e-6)


def basin_run(seed: int) -> np.ndarray:
    """Free energy from the bottom of the basin (±0.2) to its two rims (1.2 … 1.6): values, errors, those of the bias."""
    start = np.random.default_rng(seed).uniform(-1.5, 1.5, 32)
    line = Overdamped(basin_slope, start, 8e-3, seed, walls=(-2.0, 2.0))
    visits = sample(line, Hills(-2.0, 2.0, 121, 0.15, 0.1, 1.0, 6.0), SamplingSettings(1500, 12, 3))
    found, rims = free_energy(visits, np.array([-2.0, -1.6, -1.2, -0.2, 0.2, 1.2, 1.6, 2.0])), [1, 5]
    errors = jackknife_error(found.replicates[:, rims] - found.replicates[:, [3]])
    return np.array([found.values[rims] - found.values[3], errors, found.from_bias[rims] - found.from_bias[3]])


def basin_exact() -> float:
    """The same difference by quadrature."""
    x = np.linspace(-2, 2, 400_001)
    weight = np.exp(DEPTH * np.exp(-(x**2) / (2 * WIDTH**2)))
    return float(-np.log(weight[(x > 1.2) & (x < 1.6)].sum() / weight[np.abs(x) < 0.2].sum()))


def test_a_gaussian_basin_comes_back_within_its_error() -> None:
    """F = -4 exp(-x²/2w²) k_B T, both rims of 100 runs, parts a quarter of a memory long: 68 and 95 % hold."""
    values, errors, of_bias = np.array([basin_run(seed) for seed in range(100)]).transpose(1, 0, 2)
    away = np.abs(values - basin_exact()) / errors
    assert 0.60 <= np.mean(away < 1) <= 0.76
    assert 0.90 <= np.mean(away < 1.96) <= 0.98
    assert errors.mean() < 0.25
    assert abs(values.mean() - basin_exact()) < 0.05
    assert np.abs(of_bias - basin_exact()).mean() < 0.4


def test_a_killed_run_goes_on_to_the_same_numbers(tmp_path) -> None:
    def run(steps: int, folder) -> np.ndarray:
        line = Overdamped(basin_slope, np.array([0.0, 0.5]), 2e-3, 3, walls=(-2.0, 2.0))
        hills = Hills(-2.0, 2.0, 121, 0.15, 0.1, 1.0, 6.0)
        return sample(line, hills, SamplingSettings(steps, 20, 10, checkpoint=100), folder).values

    run(300, tmp_path)
    assert np.array_equal(run(700, tmp_path), run(700, None))
    with pytest.raises(UserError, match="other hills"):
        sample(Overdamped(basin_slope, np.zeros(3), 1e-3, 0), Hills(-2.0, 2.0, 121, 0.15, 0.1, 1.0, 6.0),
               SamplingSettings(10, 5, 5), tmp_path)  # fmt: skip


def test_a_damaged_checkpoint_is_told(tmp_path) -> None:
    """Half a file, one without its end, flipped bytes, arrays missing, rows missing: a sentence that says what to do."""
    hills, settings = Hills(-2.0, 2.0, 121, 0.15, 0.1, 1.0, 6.0), SamplingSettings(100, 20, 10)
    sample(Overdamped(basin_slope, np.array([0.0, 0.5]), 2e-3, 3), hills, settings, tmp_path)
    file = tmp_path / "metadynamics.npz"
    whole, arrays = file.read_bytes(), dict(np.load(file))
    assert len(kept(tmp_path, hills, settings, 2).values) == 10

    def told() -> str:
        with pytest.raises(UserError, match="delete it to start again") as refusal:
            kept(tmp_path, hills, settings, 2)
        return str(refusal.value)

    for damaged in (whole[: len(whole) // 2], whole[:-30], b"", whole[:400] + bytes([whole[400] ^ 255]) + whole[401:]):
        file.write_bytes(damaged)
        assert f"{file}: damaged" in told()
    for name in ("key", "step", "offsets", "bias_slopes"):
        np.savez(file, **{other: array for other, array in arrays.items() if other != name})
        assert name in told()
    np.savez(file, **{**arrays, "offsets": arrays["offsets"][:6]})
    assert "10, 10, 6 rows of values, biases, offsets where 10 belong to 100 steps" in told()


def exact_time(barrier: float) -> float:
    """Mean first passage time from -1 to 1 in U = b (x² - 1)² with D = 1 and k_B T = 1, by quadrature."""
    x = np.linspace(-3.0, 1.0, 40001)
    potential = barrier * (x**2 - 1) ** 2
    weights = np.exp(-potential)
    below = np.concatenate([[0.0], np.cumsum((weights[1:] + weights[:-1]) / 2 * (x[1] - x[0]))])
    there = x >= -1.0
    return float(np.trapezoid(np.exp(potential[there]) * below[there], x[there]))


def double_well(barrier: float, walkers: int, seed: int) -> Overdamped:
    return Overdamped(lambda x: 4 * barrier * x * (x * x - 1), np.full(walkers, -1.0), 2e-3, seed)


def test_rate_over_a_barrier_of_seven() -> None:
    """Infrequent metadynamics, V15 with b = 7: the exact time lies in the 95 % interval, three times faster than without bias."""
    assert exact_time(5.0) == pytest.approx(36.4835, rel=1e-4)
    hills = Hills(-2.0, 1.0, 151, 0.1, 0.5, 1.0, 6.0, deposited=(-2.0, -0.75))
    times, acceleration = escapes(double_well(7.0, 50, 4), hills, 500, 1.0, 10**6)
    escape = escape_rate(times)
    assert escape.trusted
    assert escape.low <= 1 / exact_time(7.0) <= escape.high
    assert acceleration > 3.0


def test_walkers_that_do_not_escape_are_no_rate() -> None:
    hills = Hills(-2.0, 1.0, 151, 0.1, 0.5, 1.0, 6.0, deposited=(-2.0, -0.75))
    with pytest.raises(RunFailure, match="did not escape"):
        escapes(double_well(8.0, 5, 4), hills, 500, 1.0, 500)


def test_times_that_are_not_exponential_are_told() -> None:
    """Times of two steps in a row fail the test, exponential ones pass at its level; the interval covers the truth."""
    random = np.random.default_rng(0)
    assert not escape_rate(random.gamma(4.0, 1.0, 60)).trusted
    several = [escape_rate(random.exponential(2.0, 20), seed) for seed in range(200)]
    assert 0.90 <= np.mean([one.trusted for one in several]) <= 0.99  # nominal 0.95
    assert 0.90 <= np.mean([one.low <= 0.5 <= one.high for one in several]) <= 0.98
    assert 0.60 <= np.mean([abs(one.rate - 0.5) <= one.stderr for one in several]) <= 0.76


def test_biased_forces_are_derivatives() -> None:
    """Energy with a bias on a torch variable (a distance) against its forces by differences."""
    atoms = Atoms("Ar3", positions=[[0, 0, 0], [3.9, 0.1, 0], [1.8, 3.4, 0.2]], cell=[20] * 3, pbc=True)
    field = BiasedField(
        atoms, PairPotential(0.0104, 3.4, 8.5), torch_variable(lambda r: ((r[1] - r[0]) ** 2).sum().sqrt()), 0, np.arange(3)
    )
    field.bias = Bias(Hills(2.0, 6.0, 401, 0.2, 0.1, 0.026, 5.0))
    field.bias.deposit(np.array([3.8]), ONE)
    field.evaluate(atoms.positions, atoms.cell.array)
    forces, plain = field.forces.copy(), field.free_forces.copy()
    assert np.abs(forces - plain).max() > 0.1
    for atom, axis in ((0, 0), (1, 1), (2, 0)):
        energies = []
        for shift in (1e-4, -1e-4):
            moved = atoms.positions.copy()
            moved[atom, axis] += shift
            field.evaluate(moved, atoms.cell.array)
            energies.append(field.energy)
        assert forces[atom, axis] == pytest.approx(-(energies[0] - energies[1]) / 2e-4, abs=1e-6)


def test_molecular_walkers_restart_and_are_pushed_apart(tmp_path) -> None:
    """A bound pair of argon with a bias on its distance leaves its minimum; a restart gives the same."""
    atoms = Atoms("Ar2", positions=[[0, 0, 0], [3.82, 0, 0]], cell=[20] * 3, pbc=True)
    variable = torch_variable(lambda r: ((r[1] - r[0]) ** 2).sum().sqrt())

    def run(steps: int, folder) -> np.ndarray:
        pair = Molecular([atoms, atoms], PairPotential(0.0104, 3.405, 8.5), variable, 20.0, timestep_fs=5.0, seed=2)
        hills = Hills(3.0, 5.0, 201, 0.1, 0.001, 20 * 8.617e-5, 4.0)
        return sample(pair, hills, SamplingSettings(steps, 20, 10, checkpoint=100), folder).values

    run(200, tmp_path)
    whole = run(400, None)
    assert run(400, tmp_path) == pytest.approx(whole, abs=1e-9)
    assert whole[:, 0].std() > 0.05
    assert not np.array_equal(whole[:, 0], whole[:, 1])


def test_impossible_input_is_refused() -> None:
    with pytest.raises(UserError, match="bias factor above 1"):
        Hills(0.0, 1.0, 101, 0.1, 0.1, 1.0, 1.0)
    with pytest.raises(UserError, match="do not resolve"):
        Hills(0.0, 1.0, 11, 0.1, 0.1, 1.0, 5.0)
    with pytest.raises(UserError, match="rising"):
        Hills(0.0, 1.0, 101, 0.1, 0.1, 1.0, 5.0, deposited=(1.0, 0.0))
    with pytest.raises(UserError, match="too few"):
        escape_rate([1.0] * 5)
    with pytest.raises(UserError, match="positive"):
        escape_rate([1.0] * 9 + [0.0])
    with pytest.raises(UserError, match="interval"):
        SamplingSettings(10, 0, 1)

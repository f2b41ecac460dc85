"""analyze flow: rate, stress and temperature of a driven trajectory that was made up; what is not driven, or does not flow."""

import json
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator
from scipy.signal import lfilter
from test_observable_commands import ask

STEP, RATE, STRESS = 1e-13, 1e10, 3e8
"""s, 1/s and Pa: of the trajectories below."""
OPTIONS = ("--timestep", "100 fs")


def driven(count: int = 81, rate: float = RATE, stress: float = STRESS, seed: int = 0) -> list[Atoms]:
    """Lithium stretched along z at one rate, its deviator about `stress` with a memory of two frames, at 300 K."""
    random, start = np.random.default_rng(seed), bulk("Li", "bcc", a=3.5, cubic=True).repeat(3)
    noise = 5e7 * np.asarray(lfilter([0.6**0.5], [1.0, -0.4], random.standard_normal(count)))
    made = []
    for number in range(count):
        frame, strain = start.copy(), rate * number * STEP
        frame.set_cell(start.cell.array * np.exp([-strain / 2, -strain / 2, strain]), scale_atoms=True)
        frame.positions += random.normal(0, 0.05, frame.positions.shape)
        frame.set_momenta(random.normal(0, 1, (len(frame), 3)) * np.sqrt(units.kB * 300.0 * 6.94))
        kinetic = np.diag(frame.get_momenta().T @ frame.get_momenta() / 6.94) / frame.get_volume()
        along = np.array([0.0, 0.0, (stress + noise[number]) * units.Pascal]) + kinetic - 0.01
        frame.calc = SinglePointCalculator(frame, stress=np.array([*along, 0.0, 0.0, 0.0]))
        made.append(frame)
    return made


def test_a_driven_trajectory_gives_its_point(tmp_path: Path) -> None:
    """The stress within three errors, its size that of the noise; kinetic part and pressure drop out; the rate exact."""
    path = tmp_path / "run.traj"
    ase.io.write(path, driven())
    files = ("--picture", str(tmp_path / "p.png"), "--record", str(tmp_path / "r.json"))
    status, text = ask("flow", path, *OPTIONS, *files, "--json")
    assert status == 0, text
    row = json.loads(text)["flow"][0]
    assert abs(row["value"] - STRESS) < 3 * row["stderr"]
    assert 5e6 < row["stderr"] < 3e7
    assert row["conditions"]["strain_rate_per_s"] == pytest.approx(RATE, rel=1e-6)
    assert row["conditions"]["temperature_K"] == pytest.approx(300.0, rel=0.05)
    assert row["source"]["skip"] == pytest.approx(0.04)
    assert (tmp_path / "p.png").stat().st_size > 4000
    assert json.loads((tmp_path / "r.json").read_text())["records"]
    assert json.loads(ask("flow", path, *OPTIONS, "--temperature", "310 K", "--json")[1])["flow"][0]["conditions"][
        "temperature_K"] == 310.0  # fmt: skip


def test_compression_is_told_by_its_rate_and_a_stress_of_nothing_is_a_bound(tmp_path: Path) -> None:
    path = tmp_path / "run.traj"
    for rate, stress, bound in ((-RATE, -STRESS, None), (RATE, 0.0, "upper")):
        ase.io.write(path, driven(rate=rate, stress=stress))
        row = json.loads(ask("flow", path, *OPTIONS, "--json")[1])["flow"][0]
        assert (row["bound"], row["value"] > 0, row["conditions"]["strain_rate_per_s"]) == (bound, True, pytest.approx(RATE))


def test_what_does_not_flow_is_refused(tmp_path: Path) -> None:
    """No strain, a rate that changes, stress against the strain, no stresses, too few frames, no velocities, a tilted cell."""
    still, bare, tilted, cold, broken = driven(rate=0.0), driven(), driven(), driven(), driven()
    broken[30].calc.results["stress"] = np.full(6, np.nan)
    uneven = [*driven(40), *driven(81)[40::2]]
    for frame in bare:
        frame.calc = None
    for frame in tilted:
        frame.cell[0, 1] = 1.0
    for frame in cold:
        frame.set_momenta(np.zeros((len(frame), 3)))
    path = tmp_path / "run.traj"
    for made, told in (
        (still, "is not driven"), (uneven, "at one rate"), (driven(stress=-STRESS), "points against the strain"),
        (bare, "holds no stress"), (driven(25), "frames beyond a strain"), (cold, "hold no velocities"),
        (tilted, "along x, y and z"), (broken, "frame 30: its stress is not"),
    ):  # fmt: skip
        ase.io.write(path, made)
        status, text = ask("flow", path, *OPTIONS)
        assert (status, told in text, str(path) in text) == (2, True, True), text
    ase.io.write(path, driven())
    for axis in ("a", "b"):
        status, text = ask("flow", path, *OPTIONS, "--axis", axis)
        assert (status, f"by -0.04 along {axis} but by 0.08 along c" in text) == (2, True), text

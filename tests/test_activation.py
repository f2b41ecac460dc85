"""Activation energy and volume of runs and records: exact lines, walks of a known energy, what is left out or refused."""

import json
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms, units
from test_diffusivity import FRAME, HOP, with_framework
from test_diffusivity import walk as hops
from test_observable_commands import ask

from coupling import arrhenius
from coupling.arrhenius import Point
from coupling.constants import GAS_CONSTANT
from coupling.record import Property
from coupling.store import write_records
from multiscale.commands.arrhenius import _temperature

E, VOLUME = 25e3, 2e-6
TEMPERATURES = (600.0, 700.0, 850.0, 1000.0)


def record(T: float, pressure: float = 0.0, error: float = 0.1, quantity: str = "self_diffusivity", **more: object) -> Property:
    """An exact value at a temperature (K) and pressure (Pa), with a relative error."""
    value = 1e-8 * np.exp(-(E + pressure * VOLUME) / (GAS_CONSTANT * T))
    where = {"temperature_K": T, "species": "Li"} | ({"pressure_Pa": pressure} if pressure else {})
    conditions = where | {key: each for key, each in more.items() if key != "material"}
    return Property(str(more.get("material", "Li3P")), quantity, value, "m^2/s", stderr=error * value, conditions=conditions,
                    source={"made": "up"})  # fmt: skip


def kept(folder: Path, *records: Property, name: str = "r.json") -> Path:
    write_records(folder / name, records)
    return folder / name


def rows(path: Path | str, *more: str) -> list[dict]:
    status, text = ask("arrhenius", path, *more, "--json")
    assert status == 0, text
    return json.loads(text)["arrhenius"]


def test_energy_and_covariance_are_those_of_the_line(tmp_path: Path) -> None:
    """Of exact values, the energy; its error that of the fit; the value elsewhere; a picture; what was carried is left out."""
    carried = Property("Li3P", "self_diffusivity", 1e-20, "m^2/s", stderr=1e-21, conditions={"temperature_K": 298.15},
                       source={"temperatures_K": list(TEMPERATURES)})  # fmt: skip
    path = kept(tmp_path, *(record(T) for T in TEMPERATURES), carried)
    energy, room = rows(path, "--to", "25 degC", "--picture", str(tmp_path / "p.png"))
    line = arrhenius.fit([Point(T, record(T).value, 0.1 * record(T).value) for T in TEMPERATURES])
    assert energy["value"] == pytest.approx(E)
    assert energy["stderr"] == pytest.approx(line.covariance[1, 1] ** 0.5, rel=1e-3)
    assert np.array(energy["source"]["covariance"]) == pytest.approx(line.covariance)
    assert (energy["conditions"]["temperature_low_K"], energy["conditions"]["temperature_high_K"]) == (600.0, 1000.0)
    assert room["value"] == pytest.approx(record(298.15).value)
    assert (tmp_path / "p.png").stat().st_size > 4000


def test_a_conductivity_enters_times_the_temperature(tmp_path: Path) -> None:
    """Of sigma T on a line; carried elsewhere it is sigma again."""
    made = [Property("Li3P", "ionic_conductivity", 1e9 * record(T).value / T, "S/m", stderr=1e8 * record(T).value / T,
                     conditions={"temperature_K": T}, source={"made": "up"}) for T in TEMPERATURES]  # fmt: skip
    path = kept(tmp_path, *made)
    energy, room = rows(path, "--quantity", "ionic_conductivity", "--to", "400 K")
    assert energy["value"] == pytest.approx(E)
    assert room["value"] == pytest.approx(1e9 * record(400.0).value / 400.0)


def test_volume_is_that_of_the_pressures(tmp_path: Path) -> None:
    """Three pressures at one temperature, in two files; two runs of one pressure make one point."""
    first = kept(tmp_path, record(800.0), record(800.0), record(800.0, 1e9))
    second = kept(tmp_path, record(800.0, 2e9), name="s.json")
    (volume,) = rows(first, str(second), "--picture", str(tmp_path / "p.png"))
    assert (volume["quantity"], volume["conditions"]["temperature_K"]) == ("activation_volume", 800.0)
    assert volume["value"] == pytest.approx(VOLUME)
    assert (tmp_path / "p.png").stat().st_size > 4000


def walked(folder: Path, T: float, seed: int) -> Path:
    """Trajectory of walkers whose hops have the energy E, with velocities of that temperature on average."""
    rate = 1e8 * np.exp(-E / GAS_CONSTANT * (1 / T - 1 / 1000.0))
    random, place = np.random.default_rng(seed), np.arange(8)
    corners = np.stack([place % 2, place // 2 % 2, place // 4], axis=1) * 1.5 * HOP  # on lattices of their own: none meet
    still = np.stack([np.arange(20) * HOP, np.zeros(20), np.full(20, -300.0)], axis=1)
    tracks = with_framework(hops(8, 3000, seed, rate)) + np.concatenate([corners, still])
    made = []
    for number, positions in enumerate(tracks):
        frame = Atoms("Li8S20", positions=positions + 0.01 * np.sin(number))
        momenta = random.normal(0, 1, (28, 3)) * np.sqrt(frame.get_masses()[:, None])
        frame.set_momenta(momenta * np.sqrt(units.kB * T))
        made.append(frame)
    ase.io.write(folder / f"{T:g}.traj", made)
    return folder / f"{T:g}.traj"


def test_energy_of_walks_whose_temperature_is_told_or_read(tmp_path: Path) -> None:
    paths = [walked(tmp_path, T, seed) for seed, T in enumerate((700.0, 850.0, 1000.0))]
    told = [f"{path.stem} K={path}" for path in paths]
    (given,) = rows(told[0], *told[1:], "--timestep", f"{FRAME:g} fs")
    assert abs(given["value"] - E) < 3 * given["stderr"]
    assert given["stderr"] < 0.3 * E
    assert given["conditions"]["temperature_low_K"] == 700.0
    assert _temperature(paths[0]) == pytest.approx(700.0, rel=0.02)


def test_what_makes_no_line_is_refused(tmp_path: Path) -> None:
    """One temperature; two materials; other conditions; no errors; no such records; a trajectory without time or velocities."""
    path = tmp_path / "run.traj"
    frame = Atoms("Li2", positions=[[0, 0, 0], [0, 0, 3]])
    ase.io.write(path, [frame.copy() for _ in range(3)])
    bare = Property("Li3P", "self_diffusivity", 1e-9, "m^2/s", conditions={"temperature_K": 300.0}, source={"made": "up"})
    cold = Property("Li3P", "self_diffusivity", 1e-9, "m^2/s", stderr=1e-10, source={"species": "Li"})
    for made, more, told in (
        ((record(600.0),), (), "activation energy needs 2 temperatures"),
        ((record(600.0), record(700.0, material="Li2S")), (), "choose by --material and --where"),
        ((record(600.0), record(700.0, disorder=0.5)), (), "choose by --material and --where"),
        ((record(600.0), bare), (), "has no standard error"),
        ((record(600.0),), ("--species", "Na"), "as asked for; it holds those of: Li3P (Li)"),
        ((record(600.0), cold), (), "has no temperature_K"),
        ((record(600.0),), ("--quantity", "viscosity"), "--quantity viscosity"),
        ((record(600.0),), (str(path),), "--timestep"),
        ((record(600.0),), (str(tmp_path / "none.traj"),), "no such file"),
    ):
        status, text = ask("arrhenius", kept(tmp_path, *made), *more)
        assert (status, told in text) == (2, True), text
    known = kept(tmp_path, record(600.0), record(700.0, disorder=0.5), record(800.0, disorder=0.5))
    assert rows(known, "--where", "disorder=0.5")[0]["value"] == pytest.approx(E, rel=0.01)
    assert "2 temperatures make a line without a check" in ask("arrhenius", known, "--where", "disorder=0.5")[1]

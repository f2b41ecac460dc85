"""Activation energy and volume of runs and records: exact lines, walks of a known energy, what is left out or refused."""

import json
from dataclasses import replace
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms, units
from test_diffusivity import FRAME, HOP, with_framework
from test_diffusivity import walk as hops
from test_observable_commands import ask

from atomistic import activation
from coupling import arrhenius
from coupling.arrhenius import Point
from coupling.constants import GAS_CONSTANT
from coupling.record import Property
from coupling.store import read_records, write_records
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


def test_temperatures_of_velocities_are_one_where_they_hardly_differ(tmp_path: Path) -> None:
    """Seeds at 598 to 603 K are one point of wider error and no line; three pressures of such runs make a volume."""
    seeds = [record(T, disorder=0.5) for T in (598.0, 600.0, 601.5, 603.0)]
    alone = kept(tmp_path, *seeds)
    status, text = ask("arrhenius", alone)
    assert (status, "1 temperatures and 1 pressures" in text, "5% apart" in text) == (2, True, True), text
    known = activation.points(activation.of_records(seeds, "here"), False)
    ((place, point),) = known.items()
    assert (place[0], point.temperature) == pytest.approx((600.625, 600.625))
    assert point.stderr == pytest.approx(0.05 * point.value, rel=0.05)
    scattered = [replace(each, value=each.value * factor) for each, factor in zip(seeds, (0.5, 0.7, 1.4, 2.0), strict=True)]
    ((_, wide),) = activation.points(activation.of_records(scattered, "here"), False).items()
    assert wide.stderr is not None
    assert wide.stderr > 3 * 0.05 * wide.value
    hot = kept(tmp_path, record(850.0, disorder=0.5), name="hot.json")
    assert rows(alone, str(hot))[0]["value"] == pytest.approx(E, rel=0.05)
    pressed = kept(tmp_path, record(596.0), record(601.0, 1e9), record(599.0, 2e9), name="p.json")
    (volume,) = rows(pressed)
    assert (volume["quantity"], volume["conditions"]["temperature_K"]) == ("activation_volume", pytest.approx(598.6667))
    near = kept(tmp_path, record(600.0), record(625.0), name="n.json")
    status, text = ask("arrhenius", near, "--to", "25 degC")
    assert (status, "span 4.2%; a line needs 5%" in text) == (2, True), text


def test_low_confidence_of_a_point_is_that_of_what_is_made_of_it(tmp_path: Path) -> None:
    """Energy, volume and carried value say why; the reasons of the line itself stand beside it."""
    doubtful = replace(record(700.0, 1e9), confidence="low", source={"low_confidence": "too short"})
    sure = [record(600.0), record(700.0), record(850.0), record(700.0, 2e9)]
    found = rows(kept(tmp_path, *sure, doubtful), "--to", "650 K", "--record", str(tmp_path / "out.json"))
    assert len(found) == 5
    assert all("at 700 K" in row["source"]["low_confidence"] and "too short" in row["source"]["low_confidence"] for row in found)
    assert {each.confidence for each in read_records(tmp_path / "out.json")} == {"low"}
    rows(kept(tmp_path, *sure, name="s.json"), "--record", str(tmp_path / "out.json"))
    assert {each.confidence for each in read_records(tmp_path / "out.json")} == {"computed"}


def test_a_record_that_tells_no_cell_fits_any(tmp_path: Path) -> None:
    """As those under pressure of a study do; two cells stay two."""
    cells = [replace(record(T), source={"cell": cell}) for T, cell in ((800.0, "mean"), (600.0, "fixed"))]
    pressed = [record(800.0, 1e9), record(800.0, 2e9)]
    (volume,) = rows(kept(tmp_path, cells[0], *pressed))
    assert volume["value"] == pytest.approx(VOLUME)
    status, text = ask("arrhenius", kept(tmp_path, *cells, *pressed))
    assert (status, "several materials or conditions" in text) == (2, True), text


def test_a_material_names_trajectories_beside_records(tmp_path: Path) -> None:
    path = walked(tmp_path, 850.0, 1)
    known = kept(tmp_path, record(600.0, material="my sulfide"))
    more = (f"850 K={path}", "--timestep", f"{FRAME:g} fs")
    status, text = ask("arrhenius", known, *more)
    assert (status, "choose by --material" in text) == (2, True), text
    assert rows(known, *more, "--material", "my sulfide")[0]["quantity"] == "activation_energy"


def test_what_is_given_twice_is_refused_and_numbers_are_numbers(tmp_path: Path) -> None:
    known = kept(tmp_path, record(600.0, disorder=0.25), record(700.0, disorder=0.25))
    for more, told in (
        ((str(tmp_path / ".." / tmp_path.name / "r.json"),), "given twice"),
        ((f"600 K, 700 K={tmp_path / 'a.traj'}",), "a second temperature, 700 K"),
        ((f"1 GPa, 2 GPa={tmp_path / 'a.traj'}",), "a second pressure, 2 GPa"),
        (("--where", "disorder=0.5"), "Li3P (Li; disorder=0.25)"),
    ):
        ase.io.write(tmp_path / "a.traj", [Atoms("Li2", positions=[[0, 0, 0], [0, 0, 3]])] * 2)
        status, text = ask("arrhenius", known, *more, "--timestep", "1 fs")
        assert (status, told in text) == (2, True), text
    assert rows(known, "--where", "disorder=0.250")[0]["value"] == pytest.approx(E, rel=0.01)


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

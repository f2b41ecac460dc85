"""Diffusion under pressure: an exact line, bounds and other cells, records, pictures; a cell at rest under pressure; refusals."""

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
import tiny_study
from ase import units
from ase.build import bulk
from pair_potential import PairPotential

from atomistic import dynamics, property_study, reduction, study, tasks, under_pressure
from atomistic.relaxation import relaxed
from atomistic.scheduler import Task
from coupling.errors import UserError
from coupling.library import Material
from coupling.record import Property
from coupling.store import find
from multiscale.parameters import candidates
from multiscale.tables import record_table

VOLUME, KELVIN, GAS = 1.5e-6, 600.0, 8.314462618
"""Activation volume of the made-up runs, m³/mol; their temperature, K."""


def run(
    pressure: float, relative_error: float | None = 0.01, cell: str = "mean", value: float | None = None
) -> tuple[Task, dict]:
    """A made-up run at a pressure in GPa: an estimate, or a bound without an error."""
    parameters = {"phase": "X", "mobile": "Li", "temperature": KELVIN, "seed": 1, "dtype": "float32"}
    parameters |= {"pressure": pressure} if pressure else {}
    value = value or 1e-9 * math.exp(-pressure * 1e9 * VOLUME / (GAS * KELVIN))
    answer = {
        "engine": "test", "value": value, "stderr": None if relative_error is None else relative_error * value,
        "bound": "upper" if relative_error is None else None, "hops": 50, "hop_length": 3.0, "reason": "made up",
        "mean_temperature": KELVIN, "ions": 24, "picoseconds": 10.0, "atoms": 52, "volume_A3": 1000.0, "formula_units": 4,
        "cell": cell,
    }  # fmt: skip
    return Task(f"X{pressure}", "X", 1.0, "diffusion", parameters), answer


def reduced(runs: list[tuple[Task, dict]]) -> list[Property]:
    """Records of some runs."""
    return reduction.reduce([task for task, _ in runs], [answer for _, answer in runs], {"potential": "test"})[0]


def test_an_exact_line_gives_its_volume_and_leaves_the_numbers_at_zero_pressure_alone() -> None:
    """ΔV within its error's scale; a diffusivity at each pressure; the rest as if the runs under pressure were not there."""
    free = [run(0.0)]
    records = reduced([*free, run(0.5), run(1.0), run(2.0)])
    volume = find(records, "X", "activation_volume")[0]
    assert volume.value == pytest.approx(VOLUME, rel=1e-9)
    assert volume.stderr is not None
    assert volume.low is not None
    assert volume.stderr < 0.05 * VOLUME
    assert volume.low == pytest.approx(volume.value - 1.959964 * volume.stderr)
    assert volume.conditions == {"temperature_K": KELVIN, "species": "Li"}
    pressed = [record for record in records if "pressure_Pa" in record.conditions]
    assert [record.conditions["pressure_Pa"] for record in pressed] == [0.5e9, 1e9, 2e9]
    assert [r for r in records if r not in pressed and r is not volume] == reduced(free)


@pytest.mark.parametrize(
    "runs", [[run(0.0), run(1.0)], [run(0.0), run(1.0), run(2.0, None)], [run(0.0), run(1.0), run(2.0, cell="file's")]]
)
def test_two_pressures_a_bound_or_another_cell_give_no_volume(runs: list[tuple[Task, dict]]) -> None:
    """What is known at each pressure is told all the same."""
    records = reduced(runs)
    assert find(records, "X", "activation_volume") == []
    told = under_pressure.missing("X", runs)
    assert len(told) == (0 if len(runs) < 3 else 1)
    assert all("X at 600 K: no activation volume: " in sentence for sentence in told)
    assert len([record for record in records if "pressure_Pa" in record.conditions]) == len(runs) - 1


def test_a_run_that_broke_counts_as_asked_for() -> None:
    """Three pressures, one of which the potential does not bear."""
    broken = (run(2.0)[0], {"engine": "test", "problem": "left out"})
    assert under_pressure.missing("X", [run(0.0), run(1.0), broken]) == [
        "X at 600 K: no activation volume: 2 pressures gave estimates of D, 3 are needed; run longer"
    ]
    assert under_pressure.missing("X", [run(0.0), run(1.0), run(2.0)]) == []


def test_the_table_of_a_study_tells_the_pressure() -> None:
    """Beside the temperature."""
    text = record_table(reduced([run(0.0), run(1.0), run(2.0)]))
    assert "600 K, 1 GPa" in text
    assert "600 K, 2 GPa" in text


@pytest.mark.parametrize(("bound", "confidence"), [(1e-9, "computed"), (7e-10, "computed"), (6e-10, "low"), (1e-12, "low")])
def test_a_bound_far_below_the_line_makes_its_temperature_doubtful(bound: float, confidence: str) -> None:
    """Three estimates with errors of 5 % on a line, 7.4e-10 m²/s at the pressure of a bound: above it, near it, below, far below.

    The diffusivities at every pressure are doubted with the volume, zero among them, and the bound itself.
    """
    runs = [*(run(pressure, 0.05) for pressure in (0.0, 0.5, 2.0)), run(1.0, None, value=bound)]
    records, told = reduced(runs), under_pressure.missing("X", runs)
    volume, hot = find(records, "X", "activation_volume")[0], [r for r in records if r.conditions["temperature_K"] == KELVIN]
    assert volume.value == pytest.approx(VOLUME, rel=1e-9)
    assert [r.quantity for r in hot].count("self_diffusivity") == 4
    assert {record.confidence for record in hot} == {confidence}
    assert {"D at 1 GPa" in record.source.get("low_confidence", "") for record in hot} == {confidence == "low"}
    assert len(told) == (confidence == "low")
    assert all("X at 600 K: the upper bound of D at 1 GPa" in sentence for sentence in told)


def test_two_estimates_make_a_line_that_a_bound_contradicts() -> None:
    """No volume of two; a bound far below both is told all the same. One estimate tells nothing of another pressure."""
    runs = [run(0.0), run(1.0, None, value=1e-12), run(2.0)]
    assert len(under_pressure.missing("X", runs)) == 2
    assert {record.confidence for record in reduced(runs)} == {"low"}, "at 298 K as well"
    assert under_pressure.doubts(runs[:2]) == {}


def test_scatter_beyond_the_errors_widens_the_volume() -> None:
    """One run far off the line."""
    runs = [run(0.0), run(0.5), run(1.0, value=2e-9), run(2.0)]
    volume = find(reduced(runs), "X", "activation_volume")[0]
    assert volume.source["error_scaled_up"]
    assert volume.stderr is not None
    assert abs(volume.value - VOLUME) < 2 * volume.stderr


def test_the_picture_holds_points_of_every_pressure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Zero among them, in order; no picture of two pressures."""
    drawn: dict = {}
    monkeypatch.setattr("atomistic.observable_pictures.curves", lambda path, lines, *labels, **more: drawn.update(lines))
    under_pressure.picture(reduced([run(2.0), run(0.0), run(1.0)]), tmp_path / "p.png")
    assert list(drawn) == ["X, 600 K"]
    assert drawn["X, 600 K"][0].tolist() == [0.0, 1.0, 2.0]
    assert (np.diff(drawn["X, 600 K"][1]) < 0).all()
    drawn.clear()
    under_pressure.picture(reduced([run(0.0), run(1.0)]), tmp_path / "p.png")
    assert not drawn


def test_a_cell_at_rest_under_pressure_holds_it() -> None:
    """Trace of the stress -3 p."""
    atoms = relaxed(
        bulk("Ar", cubic=True, a=5.25).repeat(2), PairPotential(4.8e-2, 3.4, 4.6), cell=True, force=1e-4, pressure=0.3
    )
    assert -atoms.get_stress()[:3] / units.GPa == pytest.approx([0.3] * 3, abs=2e-3)


def test_runs_under_pressure_are_denser_and_those_without_keep_their_keys() -> None:
    """A crystal of argon: volumes fall with pressure, all runs of zero pressure are those of a study without pressures."""
    tools = tiny_study.tools()
    effort = dataclasses.replace(tools.effort.diffusion["Ar"], pressures=(0.0, 2.0))
    pressed = dataclasses.replace(tools, effort=dataclasses.replace(tools.effort, diffusion={"Ar": effort}))
    listed = [task for task in study.plan(tiny_study.SETTINGS, pressed) if task.kind == "diffusion"]
    plain = [task for task in study.plan(tiny_study.SETTINGS, tools) if task.kind == "diffusion"]
    assert [task.key for task in listed if "pressure" not in task.parameters] == [task.key for task in plain]
    assert [task.label for task in listed if "pressure" in task.parameters] == [
        "Ar diffusion 300 K 2 GPa", "Ar diffusion 400 K 2 GPa"
    ]  # fmt: skip


def test_a_crystal_under_pressure_is_denser(tmp_path: Path) -> None:
    """The mean cell of the run, not the one at rest without pressure."""
    volumes = []
    for pressure in (0.0, 2.0):
        given = {"phase": "Ar", "mobile": "Ar", "temperature": 100.0, "seed": 1, "repeat": [1, 1, 1], "equilibration": 0.4}
        given |= {"pressure": pressure} if pressure else {}
        atoms, problem = tasks._equilibrated(given, tiny_study.tools(), tiny_study.potential(""), tmp_path / str(pressure), abs)
        assert not problem
        volumes.append(atoms.get_volume())
    assert volumes[1] < 0.97 * volumes[0]


def test_a_cell_that_does_not_hold_its_pressure_is_a_problem_of_that_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No other cell is taken in its place."""

    def broken(*_: object) -> None:
        raise dynamics.Unphysical("it melts")

    monkeypatch.setattr(tasks.dynamics, "run", broken)
    given = {"phase": "Ar", "mobile": "Ar", "temperature": 300.0, "seed": 1, "repeat": [1, 1, 1], "equilibration": 0.1}
    given |= {"pressure": 2.0, "production": 0.1}
    answer = tasks._diffusion(given, tiny_study.tools(), tiny_study.potential(""), tmp_path, abs)
    assert "Ar at 300 K and 2 GPa: left out" in answer["problem"]


def test_the_continuum_takes_no_number_of_a_run_under_pressure() -> None:
    """At the case's temperature, with the smaller error: still not."""
    free, squeezed = (
        Property(
            "Li", "self_diffusivity", 1e-15, "m^2/s", stderr=error, conditions={"temperature_K": 298.15} | more, source={"a": 1}
        )
        for error, more in ((1e-16, {}), (1e-17, {"pressure_Pa": 1e9}))
    )
    assert candidates(Material("Li", (), None, None, Path("Li.toml")), "self_diffusivity", [squeezed, free], 298.15) == [free]


TEXT = """
kind = "properties"
name = "argon"
potential = "none"
quantities = ["diffusion"]

[[phase]]
name = "LiCl"
temperatures = ["300 K"]
production = "0.8 ps"
pressures = ["0 Pa", "1 GPa"]
"""


@pytest.mark.parametrize(("change", "told"), [
    (('["0 Pa", "1 GPa"]', '["1 GPa", "2 GPa"]'), "zero must be among them"),
    (('["0 Pa", "1 GPa"]', '["0 Pa", "1 GPa", "1000 MPa"]'), "one of them stands there twice"),
    (('["0 Pa", "1 GPa"]', '["0 Pa", "1 K"]'), "which cannot be expressed in Pa"),
    (('["0 Pa", "1 GPa"]', "[]"), "at least 1 is needed"),
    (('["diffusion"]', '["elasticity"]'), "those of diffusion"),
    (("production", 'cell = "measured"\nproduction'), "holds the volume"),
])  # fmt: skip
def test_impossible_pressures_are_refused(tmp_path: Path, change: tuple[str, str], told: str) -> None:
    """File, line and key."""
    path = tmp_path / "study.toml"
    path.write_text(TEXT.replace(*change))
    with pytest.raises(UserError, match="pressures") as refused:
        property_study.read_study(path)
    assert told in str(refused.value)
    assert "\n" not in str(refused.value)
    path.write_text(TEXT)
    read = property_study.read_study(path)
    assert property_study.effort(read).diffusion["LiCl"].pressures == (0.0, 1.0)

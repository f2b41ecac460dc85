"""Fatigue of the interface: contact that stripping takes, in closed form, in a cell, in a case."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from mpi4py import MPI
from refusals import told_with_its_line
from scipy.integrate import quad
from test_filament import EXCHANGE, GRIFFITH, T, _flat, _model
from test_propagation import SMALL, _case

from coupling.errors import RunFailure, UserError
from multiscale.mechanics import filament_checkpoint
from multiscale.mechanics.extrusion import Creep
from multiscale.mechanics.interface_wear import LOST, InterfaceWear
from multiscale.mechanics.lithium_flow import void_closing_rate
from multiscale.mechanics.voiding import stripping_limit
from multiscale.propagation.answer import answer_lines, read_summary
from multiscale.propagation.case import load_propagation_case
from multiscale.propagation.cell import filament_model
from multiscale.propagation.inputs import parameters, resolve
from multiscale.propagation.march import March
from multiscale.propagation.protocols import Hold
from multiscale.propagation.run import run_propagation
from multiscale.propagation.spread import coarse_current, without

CREEP = Creep(1e-3, 0.8e6, 6.6, 37e3)
LAW = InterfaceWear(2e-6, 0.4, 1e-6, CREEP, 7e-15, 10.0, 10e-6)
SPEED = 1.3e-5 / 96485.33212
"""Recession of lithium at 1 A/m², m/s."""


def test_the_first_void_opens_at_the_stripping_limit():
    """V i/F = w(1) + u, the closed form that critical-current cases tell."""
    p = 3e6
    limit = stripping_limit(p, LAW.radius, CREEP, T, LAW.self_diffusivity, LAW.supersaturation, LAW.distance).total
    assert LAW.after(1.0, -0.999 * limit, 1e4, p, T) == 1.0
    assert LAW.after(1.0, -1.001 * limit, 1e4, p, T) < 1.0


@pytest.mark.parametrize("n", [1.0, 6.6])
def test_creep_closes_voids_in_the_time_of_the_integral(n):
    """At rest h dθ/dt = w(p/θ): t = h ∫ dθ/w; for n = 1 w = w₁/θ, so t = h (1 - θ₀²)/2w₁."""
    law, p = replace(LAW, creep=replace(CREEP, exponent=n)), 2e6
    first = float(void_closing_rate(p, law.radius, law.creep, T))
    whole = law.depth * quad(lambda s: s**n / first, 0.5, 1.0)[0]
    if n == 1:
        assert whole == pytest.approx(law.depth * (1 - 0.25) / (2 * first))
    assert law.after(0.5, 0.0, 0.999 * whole, p, T) < 1.0
    assert law.after(0.5, 0.0, 1.001 * whole, p, T) == 1.0
    middle = law.depth * quad(lambda s: s**n / first, 0.5, 0.8)[0]
    assert law.after(0.5, 0.0, middle, p, T) == pytest.approx(0.8, rel=1e-7)


def test_without_creep_contact_is_lost_and_stays_lost_at_rest():
    assert LAW.after(0.6, 0.0, 1e6, 0.0, T) == 0.6
    assert LAW.after(1.0, -1000.0, 1e5, 0.0, T) == LOST / 2
    assert LAW.after(0.6, 50.0, 10.0, 0.0, T) == pytest.approx(0.6 + 0.4 * 50 * SPEED * 10 / 2e-6, rel=1e-9)


def test_a_worn_face_has_kinetics_on_what_touches():
    """Plate and strip a stiff flaw with a well conducting solid: η = (2RT/F) asinh(i/2θi₀), the pressure is worth it, and
    steps of half the length give the same contact."""
    law = replace(LAW, depth=2e-8, self_diffusivity=0.0, refilled=0.0)
    shares = []
    for steps in (4, 8):
        model = _model(50.0, over=4.0, width=12, height=8, wear=law)
        for _ in range(steps):
            state = model.step(4.0 / steps, -_flat(0.3 * GRIFFITH))
        shares.append(state.contact)
    assert state.contact == pytest.approx(1 - SPEED * _flat(0.3 * GRIFFITH) * 4 / law.depth, rel=0.02)  # less what the flaw gives
    assert shares[0] == pytest.approx(shares[1], rel=2e-3)
    current = _flat(0.3 * GRIFFITH)
    for _ in range(4):
        state = model.step(50.0, current)
    overpotential = 2 * 8.314462618 * T / 96485.33212 * math.asinh(current / (2 * state.contact * EXCHANGE))
    assert state.pressure == pytest.approx(96485.33212 / 1.3e-5 * overpotential, rel=2e-3)
    assert state.contact == shares[1]  # refilled = 0, no pressure
    assert state.volume == pytest.approx(SPEED * state.charge, rel=1e-9, abs=1e-22)
    even = 2 * 8.314462618 * T / 96485.33212 * math.asinh(current / (2 * EXCHANGE))
    assert overpotential > 1.1 * even


def test_a_step_that_takes_too_much_is_taken_back(tmp_path):
    law = replace(LAW, depth=2e-8, self_diffusivity=0.0)
    model = _model(50.0, over=4.0, width=12, height=8, wear=law)
    with pytest.raises(RunFailure, match="contact falls"):
        model.step(1e3, -_flat(0.3 * GRIFFITH))
    assert model.state.contact == 1.0
    model.step(1.0, -_flat(0.3 * GRIFFITH))
    filament_checkpoint.write(tmp_path / "kept.npz", model, "key", {})
    again = _model(50.0, over=4.0, width=12, height=8, wear=law)
    assert filament_checkpoint.read(tmp_path / "kept.npz", again, "key") == {}
    one, two = (m.step(1.0, -_flat(0.3 * GRIFFITH)) for m in (model, again))
    assert (one.contact, one.potential) == pytest.approx((two.contact, two.potential), rel=1e-9)
    assert one.contact < 1


WEAR = 'wear = { voids = "Li-voids", depth = "0.01 um", refilled = 0.2, source = "assumption of this test" }'
WITH = {'charge_transfer = "Li-LLZO-interface"': f'charge_transfer = "Li-LLZO-interface"\n{WEAR}'}
CYCLED = '[protocol]\nkind = "cycling"\ncurrent = "10 mA/cm^2"\nhalf_cycle = "1 s"\ncycles = 40\n'


def _cycling(folder, wear=WEAR, protocol=CYCLED):
    path = _case(folder, SMALL)
    text = (path / "case.toml").read_text(encoding="utf-8")
    head, rest = text[: text.index("[protocol]")], text[text.index("[time]") :]
    named = 'charge_transfer = "Li-LLZO-interface"'
    text = (head + protocol + "\n" + rest).replace(named, f"{named}\n{wear}")
    (path / "case.toml").write_text(text, encoding="utf-8")
    return load_propagation_case(path)


def test_a_case_that_cycles_until_its_lithium_comes_off(tmp_path):
    """Summary, history and words tell it; without the switch nothing is lost."""
    case = _cycling(tmp_path / "worn")
    assert parameters(case)["interface.wear.depth"].used.value == pytest.approx(1e-8)
    assert resolve(case).filament.wear.radius == pytest.approx(1e-6)
    summary = run_propagation(case, tmp_path / "results", MPI.COMM_SELF)
    assert summary["ended"] == "contact lost"
    assert summary["contact_share"] <= LOST
    shares = [hold["contact_share"] for hold in summary["holds"]]
    assert len(shares) > 2
    assert shares[0] == 1.0
    assert np.all(np.diff(shares[1::2]) < 0)
    assert any("the test ended at" in line for line in answer_lines(summary))
    pressures = [hold["pressure_MPa"] for hold in summary["holds"][:-1:2]]
    assert pressures[-1] > pressures[1]
    off = without(case.settings, "interface-wear")
    assert off.interface.wear is None
    even = filament_model(replace_settings(case, off), resolve(replace_settings(case, off)), MPI.COMM_SELF)
    assert even.step(2.0, -100.0).contact == 1.0


@pytest.mark.parametrize("kind", ["ccd-ramp", "constant-current"])
def test_a_test_that_never_began_is_refused(tmp_path, monkeypatch, kind):
    """The defect this guards: lithium that came off while it was conditioned at 10 mA/cm^2 was told as `no short up to 10`."""
    own = {"ccd-ramp": 'first = "20 mA/cm^2"\nincrement = "20 mA/cm^2"\nmaximum = "60 mA/cm^2"\nhold = "5 s"',
           "constant-current": 'current = "14 mA/cm^2"\ntime = "5 s"'}[kind]  # fmt: skip
    before = 'conditioning = { current = "10 mA/cm^2", half_cycle = "1 s", cycles = 2 }'
    case, results = _cycling(tmp_path / "case", WEAR, f'[protocol]\nkind = "{kind}"\n{own}\n{before}\n'), tmp_path / "results"

    def comes_off(march, *_):
        march.rows = [march.rows[0], replace(march.rows[0], time=4.0, current_density=-100.0, contact=LOST)]
        return "contact lost"

    monkeypatch.setattr(March, "run", comes_off)
    said = f"{kind}: contact lost at 4 of 4 s, in the conditioning already; nothing is left to be tested"
    with pytest.raises(RunFailure, match=f"{said}, .*fields and rows are in"):
        run_propagation(case, results, MPI.COMM_SELF)
    assert said in json.loads((results / "failure.json").read_text())["reason"]
    assert len((results / "history.csv").read_text().splitlines()) == 3
    assert not [name for name in ("summary.json", "checkpoint.npz") if (results / name).exists()]
    with pytest.raises(RunFailure, match=said):
        coarse_current(case, parameters(case), {}, 0)
    old = {"ccd": {}, "error_bar": {}, "closing_stress_MPa": 0.0, "holds": [{"conditioning": True}]}
    (results / "summary.json").write_text(json.dumps(old | {"hashes": {"case": case.digest}}))
    with pytest.raises(UserError, match="of an older version"):
        read_summary(case, results)


def replace_settings(case, settings):
    return type(case)(case.folder, settings, case.materials, case.file)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("refilled = 0.2", "refilled = 1.2", "refilled"), ('depth = "0.01 um"', "depth = 2", "unit"),
        ('"Li-voids"', '"Li-void"', "Li-void"), ('"Li-voids"', '"Li"', "void_radius of Li"), (", source", ", sourc", "source"),
    ],
)  # fmt: skip
def test_wrong_wear_is_told_with_its_line(tmp_path, old, new, said):
    told_with_its_line(lambda: resolve(_cycling(tmp_path, WEAR.replace(old, new))), said)


def test_a_test_that_never_strips_is_told_that_nothing_wears(tmp_path):
    told_with_its_line(lambda: load_propagation_case(_case(tmp_path, SMALL | WITH)), "no step of this test strips")


def test_a_switch_that_switches_nothing_is_refused(tmp_path):
    asks = {'mechanisms        = ["propagation"]': 'mechanisms        = ["propagation"]\nattribute = ["interface-wear"]'}
    told_with_its_line(lambda: load_propagation_case(_case(tmp_path, SMALL | asks)), r"interface-wear.*interface\.wear")


def test_holds_are_those_of_the_protocol(tmp_path):
    case = _cycling(tmp_path / "held")
    assert case.settings.protocol.own[:2] == (Hold(100.0, 1.0), Hold(-100.0, 1.0))

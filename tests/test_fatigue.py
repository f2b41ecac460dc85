"""Fatigue of the electrolyte: its Wöhler line, a flaw that cycling breaks, books, checkpoint, case key."""

import math

import numpy as np
import pytest
from mpi4py import MPI
from test_filament import ENERGY, EXCHANGE, GRIFFITH, OXIDE, A, T, _flat
from test_propagation import SMALL, _case

from coupling.errors import UserError
from meshes.crack_path import CrackPath, draw_crack_path
from meshes.shapes import draw_blocks
from multiscale.domain import meshed
from multiscale.materials import stiffness
from multiscale.mechanics import filament_checkpoint
from multiscale.mechanics.alternation import Alternation
from multiscale.mechanics.fatigue import Wear, toughness_left
from multiscale.mechanics.filament import FilamentModel
from multiscale.mechanics.filament_state import FilamentProperties
from multiscale.mechanics.fracture import CrackedBody
from multiscale.mechanics.phase_field import CrackModel
from multiscale.propagation.case import load_propagation_case
from multiscale.propagation.cell import filament_model
from multiscale.propagation.inputs import parameters, resolve


def test_the_share_that_is_left_falls_smoothly_from_one():
    assert toughness_left(np.array([0.0, 1.0, 3.0]), 1.0) == pytest.approx([1.0, 1.0, 0.25])
    assert toughness_left(1.0 + 1e-9, 1.0) == pytest.approx(1.0)


@pytest.mark.parametrize(("amplitude", "threshold"), [(0.7, 2.0), (0.85, 1.0), (0.55, 0.5)])
def test_a_rod_breaks_on_the_woehler_line(amplitude, threshold):
    """A rod pulled to a share s of the stress that breaks it at once: each cycle adds s² of the onset's energy, and it breaks in
    the first cycle after more than t (2/s - 1)/s² of them."""
    length = 1e-6
    model = CrackModel("AT1", length)
    side = length / 4
    domain = meshed(
        draw_blocks, MPI.COMM_SELF, axisymmetric=True, x=(0.0, side), y=(0.0, side), names=[["body"]], divisions=1
    )
    pulled = domain.constant(0.0)

    def supports(space):
        held = [domain.fixed(space, 0.0, "left", component=0), domain.fixed(space, 0.0, "bottom", component=1)]
        return [*held, domain.fixed(space, pulled, "top", component=1)]

    onset = model.onset_energy(ENERGY)
    body = CrackedBody(
        domain, stiffness(domain, {"body": OXIDE}), domain.constant(ENERGY), model, supports, moved=True,
        alternation=Alternation(1e-7, 500), worn=Wear(domain, threshold * onset),
    )  # fmt: skip
    strain = amplitude * math.sqrt(2 * onset / OXIDE.youngs_modulus)
    allowed = threshold * (2 / amplitude - 1) / amplitude**2
    assert abs(allowed - round(allowed)) > 0.02
    whole = 0  # cycles in which nothing broke
    while whole < 100:
        pulled.value = strain * side
        body.at_pressure(0.0)
        if body.damage.x.array.max() > 1e-6:
            break
        body.wear()
        pulled.value = 0.0
        body.at_pressure(0.0)
        body.wear()
        whole += 1
    assert whole == math.ceil(allowed)


def _cell(worn):
    length = A / 4
    path = CrackPath(12 * A, 8 * A, 2.5 * A, 3 * length, length / 2, 2 * A, mirrored=True)
    domain = meshed(draw_crack_path, MPI.COMM_WORLD, path=path)
    crack = CrackModel("AT1", length)
    return FilamentModel(
        domain, domain.constant(10.0), stiffness(domain, {"body": OXIDE}), domain.constant(ENERGY), crack, path.size,
        FilamentProperties(exchange_current_density=EXCHANGE, temperature=T), A, True,
        worn=Wear(domain, 0.1 * crack.onset_energy(ENERGY)) if worn else None,
    )  # fmt: skip


def _cycled(model, cycles):
    current = _flat(0.85 * GRIFFITH)
    states = [model.state]
    for _ in range(cycles):
        for seconds, share in ((1.0, 1.0), (4.0, 1.0), (4.0, -1.0)):
            states.append(model.step(seconds, share * current))
    return states


def test_cycling_below_the_start_breaks_what_one_cycle_does_not(tmp_path):
    """Without fatigue nothing grows; with it the flaw grows, what is spent never comes back, charge is volume; and a run that is
    gone on with from its checkpoint ends at the same numbers."""
    sound, tired = _cycled(_cell(False), 3), _cell(True)
    states = _cycled(tired, 3)
    assert sound[-1].crack_area - sound[0].crack_area < 0.015 * A
    assert states[-1].crack_area - states[0].crack_area > 0.1 * A
    assert states[1].pressure == pytest.approx(sound[1].pressure, rel=1e-9)  # it acts after the first step
    assert all(state.dissipated >= -1e-12 * state.fracture for state in states)
    for state in states[1:]:
        assert state.volume == pytest.approx(1.3e-5 / 96485.33212 * state.charge, rel=1e-9, abs=1e-22)
    filament_checkpoint.write(tmp_path / "kept.npz", tired, "key", {})
    again = _cell(True)
    assert filament_checkpoint.read(tmp_path / "kept.npz", again, "key") == {}
    assert filament_checkpoint.read(tmp_path / "kept.npz", _cell(False), "key") is None
    one, two = (_cycled(model, 1)[-1] for model in (tired, again))
    assert two.pressure == pytest.approx(one.pressure, rel=1e-6, abs=1.0)  # Pa: an emptied filament bears none, to rounding
    assert (two.crack_area, two.fracture) == pytest.approx((one.crack_area, one.fracture), rel=1e-6)


def test_history_is_given_back_with_a_step_that_is_taken_back():
    model = _cell(True)
    _cycled(model, 1)
    kept = model.snapshot()
    before = model.body.worn.share.x.array.copy()
    model.step(1.0, _flat(GRIFFITH))
    assert np.any(model.body.worn.share.x.array != before)
    model.restore(kept)
    assert np.array_equal(model.body.worn.share.x.array, before)


def test_a_case_states_fatigue_and_its_source(tmp_path):
    with_key = SMALL | {"elements = 3": 'elements = 2\nfatigue = { threshold = 10, source = "assumption of this test" }'}
    case = load_propagation_case(_case(tmp_path / "case", with_key))
    assert parameters(case)["fracture.fatigue.threshold"].used.value == 10
    inputs = resolve(case)
    model = filament_model(case, inputs, MPI.COMM_SELF)
    crack = CrackModel("AT1", case.settings.fracture.length)
    assert model.body.worn.threshold == pytest.approx(10 * crack.onset_energy(inputs.fracture_energy))
    for wrong, said in (("threshold = 0", "threshold"), ("threshold = 10, sourc", "source")):
        changed = {"elements = 3": 'elements = 2\nfatigue = { ' + wrong + ' = "x" }' if "sourc" in wrong else
                   'elements = 2\nfatigue = { threshold = 0, source = "x" }'}  # fmt: skip
        with pytest.raises(UserError, match=said):
            load_propagation_case(_case(tmp_path / said, SMALL | changed))

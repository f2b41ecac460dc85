"""States at rest of a filament: no current flows in them, and steps in time stall below the largest, not above it."""

import json

import pytest
from launch import python
from test_filament import A, _model

from coupling.errors import UserError
from multiscale.propagation import standstill
from multiscale.propagation.standstill import largest, states_at_rest

HOLD, STEP = 100.0, 10.0
"""Time of a hold and of its steps, s."""


@pytest.fixture(scope="module")
def cell():
    """A cell, its states at rest, and a snapshot of its start."""
    model = _model(over=4.0)
    return model, states_at_rest(model), model.snapshot()


def test_states_at_rest_take_no_current(cell):
    """At its own current and pressure each state balances; currents rise to one largest and fall; the model is left as it was."""
    model, states, _ = cell
    assert model.state.crack_area == pytest.approx(model.crack_area(), rel=1e-12)
    assert float(model.applied.value) == 0
    top = states.index(largest(states))
    currents = [state.current for state in states]
    assert currents[:top] == sorted(currents[:top])
    assert currents[-1] < currents[top] > currents[0]
    model.applied.value = states[2].current  # before the crack has grown
    assert abs(model.transport(states[2].pressure)) < 1e-6 * states[2].current * A


def test_holds_stall_below_the_largest_current_and_grow_above_it(cell):
    """0.3 % on either side. With pressures of transport and fracture that agree within 0.5 % only, the upper hold stalls too."""
    model, states, pristine = cell
    limit = largest(states)
    for share, grows in ((0.997, False), (1.003, True)):
        model.restore(pristine)
        while model.state.time < HOLD:
            state = model.step(STEP, share * limit.current)
            if state.crack_area - pristine["state"].crack_area > 0.5 * A / 4:
                break
        assert (state.crack_area - pristine["state"].crack_area > 0.5 * A / 4) == grows, (share, state)
        if not grows:
            assert state.pressure < limit.pressure
            assert abs(state.current) < 1e-3 * share * limit.current * A


RANKS = """
import json, sys
sys.path.insert(0, "tests")
from mpi4py import MPI
from test_filament import _model
from multiscale.propagation import standstill
standstill.FINEST = 0.2
found = standstill.states_at_rest(_model(over=4.0, width=8, height=4))
if MPI.COMM_WORLD.rank == 0:
    open("PATH", "w").write(json.dumps([[s.current, s.pressure, s.volume, s.crack_area] for s in found]))
"""


def test_ranks_do_not_matter(tmp_path, monkeypatch):
    """Rejected steps and the search for a current take the same way on every rank (coarse steps, a small cell)."""
    monkeypatch.setattr(standstill, "FINEST", 0.2)
    alone = standstill.states_at_rest(_model(over=4.0, width=8, height=4))
    done = python(RANKS.replace("PATH", str(tmp_path / "2.json")), 2, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    both = json.loads((tmp_path / "2.json").read_text(encoding="utf-8"))
    assert len(both) == len(alone) > 5
    assert both == [pytest.approx([s.current, s.pressure, s.volume, s.crack_area], rel=1e-6) for s in alone]


def test_what_never_stalls_is_refused():
    with pytest.raises(UserError, match="pressure_feedback = true"):
        states_at_rest(_model(pressure_feedback=False))

"""A disc of lithium between plates: even spreading, Stefan's law of a bonded disc, small strain that says so, refusals."""

import json
import math

import pytest
from typer.testing import CliRunner

from coupling.errors import RunFailure, UserError
from multiscale.cli import app
from multiscale.materials import Elastic
from multiscale.mechanics.extrusion import Creep
from multiscale.mechanics.lithium_flow import Norton
from multiscale.mechanics.lithium_squeeze import Disc, _marched, squeeze

METAL = Elastic(7.82e9, 0.381)
T = 298.15
OPTIONS = ["lithium", "squeeze", "--thickness", "100 um", "--diameter", "200 um", "--rate", "2e-3 1/s"]


def test_lubricated_plates_feel_the_flow_stress():
    """The pressure over the section as it is stays σ(ε̇), whatever the shape; the section grows as h0/h."""
    rows = squeeze(Disc(1e-4, 1e-4), METAL, Norton(Creep(1e-3, 0.8e6, 6.6, 37e3)), T, 2e-3, math.log(2.5))
    assert rows[-1].thickness == pytest.approx(4e-5)
    assert rows[-1].time == pytest.approx(math.log(2.5) / 2e-3)
    for row in rows[2:]:
        assert row.pressure == pytest.approx(0.8e6 * 2 ** (1 / 6.6), rel=1e-3)
        assert row.largest == pytest.approx(row.strain, rel=1e-6)


@pytest.mark.parametrize("strain", ["finite", "small"])
def test_a_bonded_newtonian_disc_obeys_stefans_law(strain):
    """Mean pressure 3 η ε̇ R²/(2 h²) of a thin disc of viscosity η = 1/(3A) (Stefan 1874), and 3 η ε̇ of its own thickness."""
    slow, aspect = Creep(1e-3, 0.8e6, 1.0, 37e3), 10.0
    viscosity = 0.8e6 / (3 * 1e-3)
    rows = squeeze(Disc(aspect * 1e-4, 1e-4, "bonded", strain), METAL, Norton(slow), T, 1e-5, 0.0025)
    gap = 1e-4 if strain == "small" else rows[-1].thickness
    exact = 3 * viscosity * 1e-5 * ((aspect * 1e-4 / gap) ** 2 / 2 + 1)
    assert rows[-1].pressure == pytest.approx(exact, rel=0.03)


def test_a_failed_step_is_halved_and_in_the_end_told():
    class Body:
        def __init__(self):
            from types import SimpleNamespace

            import numpy as np

            self.displacement = SimpleNamespace(x=SimpleNamespace(array=np.zeros(2)))

    taken = []

    def to(strain, seconds):
        if strain > 0.01:
            raise RunFailure("no convergence")
        taken.append((strain, seconds))

    with pytest.raises(RunFailure, match=r"no step beyond a true strain of 0.009\d* succeeded: no convergence; .* end before it"):
        list(_marched(Body(), to, 0.5, 1e-3))
    assert taken[0] == (0.0025, pytest.approx(2.5))
    assert 0.0098 < taken[-1][0] <= 0.01


def test_the_command_tells_where_small_strain_ends():
    done = CliRunner().invoke(app, [*OPTIONS, "--to", "80 um", "--strain", "small"])
    assert done.exit_code == 0, done.output
    assert "strains reach 0.2, beyond 0.05" in done.output
    assert "take --strain finite" in done.output
    assert "creep_exponent 6.6" in done.output
    found = CliRunner().invoke(app, [*OPTIONS, "--to", "80 um", "--json"])
    answer = json.loads(found.output)
    assert answer["rows"][-1]["pressure_Pa"] == pytest.approx(0.8e6 * 2 ** (1 / 6.6), rel=1e-3)
    assert answer["beyond_small_strain"] is False


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--to", "120 um"), "below the thickness at the start"),
        (("--to", "80"), "--to"),
        (("--to", "80 um", "--plates", "glued"), '"lubricated" and "bonded"'),
        (("--to", "80 um", "--strain", "large"), '"finite" and "small"'),
        (("--to", "80 um", "--material", "LLZO"), "creep_reference_rate is not there"),
        (("--to", "80 um", "--size-factor", "-1"), "size_factor"),
    ],
)
def test_wrong_input_is_refused(options, said):
    done = CliRunner().invoke(app, [*OPTIONS, *options])
    assert isinstance(done.exception, UserError)
    assert said in str(done.exception)

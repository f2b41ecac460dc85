"""Media with different closures that meet at an interface: jump conditions against closed forms, order, ranks."""

import numpy as np
import pytest
import ufl
from dolfinx import fem, mesh
from fem_tools import SIDES, rate, rectangle
from launch import answers_of_ranks
from mpi4py import MPI
from scipy.optimize import brentq
from ufl import cos, dot, exp, sin

from coupling.constants import FARADAY, GAS_CONSTANT, LITHIUM_MOLAR_VOLUME, ROOM_TEMPERATURE
from coupling.errors import UserError
from meshes.shapes import draw_blocks
from multiscale.domain import Domain, integral, meshed
from multiscale.solvers.protocol import AfterTime, Galvanostatic
from multiscale.solvers.timeloop import StepControl, TimeStepper, run_protocol
from multiscale.transport.debye import DebyeUnresolved
from multiscale.transport.interfaces import split_boundary, with_interfaces
from multiscale.transport.media import Electrode, Film, Junction, Kinetics, Medium
from multiscale.transport.nernst_planck import Electroneutral, Poisson, SingleIon, Species
from multiscale.transport.system import TransportSystem

THERMAL = GAS_CONSTANT * ROOM_TEMPERATURE / FARADAY
SALT = Species("Li+", 1, 2e-11), Species("X-", -1, 6e-11)
LITHIUM = (Species("Li+", 1, 1.0),)


def layers(n: int, low=(0.0, 0.0), high=(1.0, 1.0)) -> Domain:
    """The two halves of `rectangle`, "lower" and "upper", with their interface "middle"."""
    domain = rectangle(n, low, high, halves=True)
    body = domain.mesh
    inner = mesh.locate_entities(body, 1, lambda x: np.isclose(x[1], (low[1] + high[1]) / 2, atol=1e-9 * high[1]))
    old = domain.facet_tags
    facets = np.concatenate([old.indices, inner]).astype(np.int32)
    marks = np.concatenate([old.values, np.full(len(inner), 9)]).astype(np.int32)
    order = np.argsort(facets)
    tags = mesh.meshtags(body, 1, facets[order], marks[order])
    return Domain(body, domain.cell_tags, tags, domain.regions, {**SIDES, "middle": 9})


def two_ceramics(domain, first, second, resistance, degree=1):
    media = [
        Medium("below", SingleIon(first), LITHIUM, ("lower",)),
        Medium("above", SingleIon(second), LITHIUM, ("upper",)),
    ]
    return TransportSystem(domain, media, junctions=[Junction("middle", "below", "above", "Li+", resistance)], degree=degree)


def test_interface_resistance_in_series():
    system = two_ceramics(layers(4, high=(1e-5, 2e-5)), 0.1, 0.02, 1e-3)
    system.fix("below", "potential", 0.3, "bottom")
    system.fix("above", "potential", 0.0, "top")
    system.solve()
    expected = 0.3 / (1e-5 / 0.1 + 1e-3 + 1e-5 / 0.02)
    assert integral(system.junction_currents["middle"]) / 1e-5 == pytest.approx(expected, rel=1e-10)


def _jump_error(n, degree):
    """Manufactured fields below and above, discontinuous at the middle; sources on the interface make up the difference."""
    domain = layers(n)
    x = ufl.SpatialCoordinate(domain.mesh)
    κ, exact, R = (0.7, 2.0), (exp(x[1]) * cos(x[0]), 2 + sin(x[0] + 2 * x[1])), 0.3
    system = two_ceramics(domain, *κ, R, degree)
    up = ufl.as_vector([0.0, 1.0])
    through = [-k * dot(ufl.grad(f), up) for k, f in zip(κ, exact, strict=True)]
    law = (exact[0] - exact[1]) / R
    middle = domain.dS("middle")
    system.residual += system.faradaic_inflow("below", "Li+", (law - through[0])("+"), middle, "+")
    system.residual += system.faradaic_inflow("above", "Li+", (through[1] - law)("+"), middle, "+")
    for name, k, f, region in zip(("below", "above"), κ, exact, ("lower", "upper"), strict=True):
        w = system.test[system.index[name, "potential"]]
        system.residual += -ufl.div(-k * ufl.grad(f)) * w * domain.dx(region)
        _hold_outside(system, name, f)
    system.solve()
    fields = zip(("below", "above"), exact, ("lower", "upper"), strict=True)
    return sum(integral((system.field(m) - f) ** 2 * domain.dx(r, degree=6)) for m, f, r in fields) ** 0.5


def _hold_outside(system, medium, exact):
    i, space = system.index[medium, "potential"], fem.functionspace(system.domain.mesh, ("P", system.degree))
    points = space.element.interpolation_points
    value, given = fem.Function(space), fem.Function(system.space)
    value.interpolate(fem.Expression(exact, points() if callable(points) else points))
    given.sub(i).interpolate(value)
    blocks = fem.locate_dofs_topological(system.space, 1, mesh.exterior_facet_indices(system.domain.mesh.topology))
    own = np.intersect1d(blocks, system.active[medium, "potential"])
    part, onto = system.space.sub(i).collapse()
    value = fem.Function(part)
    value.x.array[:] = given.x.array[np.asarray(onto)]
    dofs = (own * system.space.dofmap.index_map_bs + i).astype(np.int32)
    collapsed = np.searchsorted(np.asarray(onto), dofs).astype(np.int32)
    assert np.array_equal(np.asarray(onto)[collapsed], dofs)
    system.bcs.append(fem.dirichletbc(value, [dofs, collapsed], system.space.sub(i)))


@pytest.mark.parametrize("degree", [1, 2])
def test_order_across_a_jump(degree):
    sizes = (8, 16, 32) if degree == 1 else (4, 8, 16)
    assert rate(lambda n: _jump_error(n, degree), sizes) == pytest.approx(degree + 1, abs=0.1)


POLYMER, CERAMIC, CONDUCTIVITY, DEPTH = 15.0, 5.0, 0.05, 1e-5


def interlayer_cell(n=4, polymer=None):
    """Li | polymer with a binary salt | single-ion ceramic | Li, bottom to top; each layer DEPTH thick."""
    media = [
        Medium("polymer", polymer or Electroneutral(), SALT, ("lower",)),
        Medium("ceramic", SingleIon(CONDUCTIVITY), LITHIUM, ("upper",)),
    ]
    in_salt = Kinetics(POLYMER, reference_concentration=1000.0)
    electrodes = [Electrode("bottom", "polymer", "Li+", in_salt), Electrode("top", "ceramic", "Li+", Kinetics(40.0))]
    transfer = Kinetics(CERAMIC, 0.5, reference_concentration=1000.0)
    junction = Junction("middle", "polymer", "ceramic", "Li+", kinetics=transfer)
    system = TransportSystem(layers(n, high=(1e-5, 2 * DEPTH)), media, electrodes, [junction], degree=2)
    for name in ("Li+", "X-") if isinstance(polymer, Poisson) else ("Li+",):
        system.set_field("polymer", name, 1000.0)
    return system


def polarise(system, current=100.0):
    """Steady voltage under a current from the bottom electrode through the cell (the time run keeps the salt)."""
    cell = system.contacts["bottom"]
    stepper = TimeStepper(system, StepControl(1e-2, 1e-6, 1e4, 1e-2))
    run_protocol(stepper, cell, [Galvanostatic(current, (AfterTime(1e5),))])
    return cell.potential - system.contacts["top"].potential


def exact_voltage(current=100.0):
    """Kinetics at three faces with the concentrations there, diffusion potential of the salt, Ohm's law of the ceramic."""
    half_drop = current * DEPTH / (4 * FARADAY * SALT[0].diffusivity)
    rich, poor = 1000 + half_drop, 1000 - half_drop

    def face(exchange, c=1000.0):
        return 2 * THERMAL * np.arcsinh(current / (2 * exchange * np.sqrt(c / 1000)))

    kinetic = face(POLYMER, rich) + face(CERAMIC, poor) + face(40.0)
    return kinetic + 2 * THERMAL * np.log(rich / poor) + current * DEPTH / CONDUCTIVITY


def test_polymer_interlayer_and_ceramic_carry_one_current():
    system = interlayer_cell()
    assert polarise(system) == pytest.approx(exact_voltage(), rel=1e-5)
    through = integral(system.junction_currents["middle"])
    assert through == pytest.approx(100.0 * 1e-5, rel=1e-10)
    assert system.contacts["top"].current == pytest.approx(-through, rel=1e-10)
    assert system.amount("polymer", "X-") == pytest.approx(1000 * 1e-5 * DEPTH, rel=1e-10)


def test_equilibrium_across_all_interfaces():
    """Every metal at one potential, no current anywhere, whatever the concentration of the polymer."""
    system = interlayer_cell(3)
    system.set_field("polymer", "Li+", 700.0)
    stepper = TimeStepper(system, StepControl(1.0, 1e-6, 10.0))
    stepper.advance(1.0)
    assert abs(system.contacts["bottom"].mean_current_density) < 1e-10
    flow = system.current("polymer")
    assert integral(dot(flow, flow) * system.domain.dx("lower")) ** 0.5 < 1e-12


def test_poisson_beside_a_single_ion_conductor():
    """The polymer with Poisson's equation (Debye length 2 um, resolved): the same current passes all three faces."""
    permittivity = (2e-6) ** 2 * 2 * FARADAY**2 * 1000 / (GAS_CONSTANT * ROOM_TEMPERATURE)
    system = interlayer_cell(4, Poisson(permittivity))
    system.contacts["bottom"].control_current(20.0)
    stepper = TimeStepper(system, StepControl(1e-3, 1e-7, 1e3, 1e-2))
    stepper.march(0.1)
    assert integral(system.junction_currents["middle"]) == pytest.approx(-system.contacts["top"].current, rel=1e-9)
    assert system.contacts["bottom"].mean_current_density == pytest.approx(20.0, rel=1e-10)
    assert system.amount("polymer", "X-") == pytest.approx(1000 * 1e-5 * DEPTH, rel=1e-9)


def test_a_poisson_run_on_a_coarse_mesh_is_refused_before_its_first_step():
    system = interlayer_cell(2, Poisson(50 * 8.854e-12))
    before = system.u.x.array.copy()
    stepper = TimeStepper(system, StepControl(1e-3, 1e-7, 1.0))
    with pytest.raises(DebyeUnresolved, match="in polymer"):
        run_protocol(stepper, system.contacts["bottom"], [Galvanostatic(1.0, (AfterTime(1.0),))])
    assert stepper.accepted == 0
    assert np.array_equal(system.u.x.array, before)


def test_default_exponent_makes_plating_first_order_and_stripping_zero_order():
    """Far from equilibrium, αa = 0.3: the rate out of the metal does not see the salt, the rate into it is ∝ c."""
    law = Kinetics(10.0, anodic_transfer=0.3, reference_concentration=1000.0)
    medium = Medium("film", Electroneutral(), SALT)
    system = TransportSystem(rectangle(1), [medium])
    rates = {}
    for metal in (0.5, -0.5):
        surface = fem.form(system.charge_transfer("film", "Li+", law, metal) * system.domain.ds("left"))
        for c in (500.0, 1000.0):
            system.set_field("film", "Li+", c)
            rates[metal, c] = integral(surface)
    assert rates[0.5, 500.0] == pytest.approx(rates[0.5, 1000.0], rel=1e-6)
    assert rates[0.5, 1000.0] == pytest.approx(10 * np.exp(0.3 * 0.5 / THERMAL), rel=1e-6)
    assert rates[-0.5, 500.0] == pytest.approx(0.5 * rates[-0.5, 1000.0], rel=1e-6)


def test_an_interface_needs_one_law():
    with pytest.raises(UserError, match="either a resistance or kinetics"):
        Junction("middle", "a", "b", "Li+")


SCRIPT = """
import json, sys
sys.path.insert(0, "tests")
from mpi4py import MPI
from multiscale.solvers.timeloop import StepControl, TimeStepper
from multiscale.domain import integral
from test_junctions import interlayer_cell
system = interlayer_cell(2)
system.contacts["bottom"].control_current(150.0)
stepper = TimeStepper(system, StepControl(1e-2, 1e-6, 1.0, 1e-2))
stepper.march(0.03)
top, bottom = system.contacts["top"], system.contacts["bottom"]
value, place = system.lowest("polymer", "X-")
row = [bottom.potential, top.current, integral(system.junction_currents["middle"]), float(place[1]), value]
row += [stepper.accepted, stepper.time]
if MPI.COMM_WORLD.rank == 0:
    json.dump(row, open("PATH", "w"))
"""


def test_ranks_agree(tmp_path):
    answers = answers_of_ranks(SCRIPT, tmp_path)
    assert answers[0][4] < 990
    assert answers[1] == pytest.approx(answers[0], rel=1e-8)
    assert answers[2] == pytest.approx(answers[0], rel=1e-8)


def test_films_in_series_with_reactions():
    """A film at an electrode and one at an interface, each before its kinetics: one voltage from all in series."""
    media = [
        Medium("below", SingleIon(0.1), LITHIUM, ("lower",)), Medium("above", SingleIon(0.02), LITHIUM, ("upper",)),
    ]  # fmt: skip
    electrode = Electrode("bottom", "below", "Li+", Kinetics(10.0), film=Film(2e-3))
    junction = Junction("middle", "below", "above", "Li+", kinetics=Kinetics(5.0), film=Film(7e-4))
    system = TransportSystem(layers(4, high=(1e-5, 2e-5)), media, [electrode], [junction])
    system.fix("above", "potential", 0.0, "top")
    system.contacts["bottom"].control_current(30.0)
    system.solve()
    ohmic = 30.0 * (2e-3 + 1e-5 / 0.1 + 7e-4 + 1e-5 / 0.02)
    kinetic = 2 * THERMAL * (np.arcsinh(30 / 20) + np.arcsinh(30 / 10))
    assert system.contacts["bottom"].potential == pytest.approx(ohmic + kinetic, rel=1e-10)
    assert integral(system.junction_currents["middle"]) == pytest.approx(30.0 * 1e-5, rel=1e-10)


def test_a_film_beside_a_resistance_adds_its_own():
    media = [
        Medium("below", SingleIon(0.1), LITHIUM, ("lower",)), Medium("above", SingleIon(0.02), LITHIUM, ("upper",)),
    ]  # fmt: skip
    junction = Junction("middle", "below", "above", "Li+", resistance=3e-3, film=Film(7e-4))
    electrode = Electrode("bottom", "below", "Li+", Kinetics(10.0))
    system = TransportSystem(layers(4, high=(1e-5, 2e-5)), media, [electrode], [junction])
    system.fix("above", "potential", 0.0, "top")
    system.contacts["bottom"].control_current(30.0)
    system.solve()
    drop = 30.0 * (1e-5 / 0.1 + 3.7e-3 + 1e-5 / 0.02) + 2 * THERMAL * np.arcsinh(30 / 20)
    assert system.contacts["bottom"].potential == pytest.approx(drop, rel=1e-10)


def test_a_metal_touches_two_media_at_one_potential():
    """Two halves side by side with laws of their own: the currents of both at one potential, their sum imposed."""
    domain = meshed(draw_blocks, MPI.COMM_WORLD, x=[0, 1e-5, 2e-5], y=[0, 1e-5], names=[["left", "right"]], divisions=4)
    domain = with_interfaces(domain, {"seam": (("left",), ("right",))})
    halves = split_boundary(domain, "bottom", {"bottom left": ("left",), "bottom right": ("right",)})
    media = [Medium(side, SingleIon(κ), LITHIUM, (side,)) for side, κ in (("left", 0.1), ("right", 0.03))]
    electrodes = [
        Electrode("bottom left", "left", "Li+", Kinetics(10.0), metal="metal"),
        Electrode("bottom right", "right", "Li+", Kinetics(25.0), film=Film(1e-3), metal="metal"),
    ]
    system = TransportSystem(halves, media, electrodes)
    for side in ("left", "right"):
        system.fix(side, "potential", 0.0, "top")
    metal = system.contacts["metal"]
    metal.control_potential(0.01)
    system.solve()
    inverse = [overpotential_drop(0.01, i0, R) for i0, R in ((10.0, 1e-4), (25.0, 1e-5 / 0.03 + 1e-3))]
    assert metal.mean_current_density == pytest.approx(np.mean(inverse), rel=1e-9)
    metal.control_current(metal.mean_current_density)
    system.solve()
    assert metal.potential == pytest.approx(0.01, rel=1e-9)


def overpotential_drop(voltage, i0, resistance):
    """Current density of Butler-Volmer in series with a resistance, A/m²."""
    return brentq(lambda i: i * resistance + 2 * THERMAL * np.arcsinh(i / (2 * i0)) - voltage, 0.0, 1e3, xtol=1e-14)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.5, 1.0])
def test_no_current_at_the_stall_potential(share):
    """Under a pressure p the metal rests at -V p/F whatever part of the work the transition state carries."""
    law = Kinetics(10.0, 0.3, pressure=1e8, mechanical_transfer=share)
    medium = Medium("ceramic", SingleIon(0.1), LITHIUM)
    system = TransportSystem(rectangle(1), [medium], [Electrode("left", "ceramic", "Li+", law)])
    system.fix("ceramic", "potential", 0.0, "right")
    cell, stall = system.contacts["left"], -LITHIUM_MOLAR_VOLUME * 1e8 / FARADAY
    cell.control_potential(stall)
    system.solve()
    assert abs(cell.mean_current_density) < 1e-12
    cell.control_current(0.0)
    system.solve()
    assert cell.potential == pytest.approx(stall, rel=1e-12)


def test_pressure_at_an_interface_shifts_its_transfer():
    law = Kinetics(10.0, pressure=5e7, molar_volume=-4e-6)
    media = [Medium("below", SingleIon(0.1), LITHIUM, ("lower",)), Medium("above", SingleIon(0.1), LITHIUM, ("upper",))]
    system = TransportSystem(layers(2), media, junctions=[Junction("middle", "below", "above", "Li+", kinetics=law)])
    system.fix("below", "potential", 0.0, "bottom")
    held = system.fix("above", "potential", 0.0, "top")
    held.value = 4e-6 * 5e7 / FARADAY
    system.solve()
    assert abs(integral(system.junction_currents["middle"])) < 1e-12

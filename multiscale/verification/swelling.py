"""Exact problems of volume change and of plating: a swelling layer held in its plane, a face that moves by what it plates."""

from collections.abc import Mapping

import numpy as np
from mpi4py import MPI

from coupling.constants import LITHIUM_MOLAR_VOLUME
from multiscale.domain import Domain, integral
from multiscale.materials import Elastic
from multiscale.mechanics.elasticity import pressure_of
from multiscale.solvers.timeloop import StepControl, TimeStepper
from multiscale.transport.media import Electrode, Kinetics, Medium
from multiscale.transport.nernst_planck import SingleIon, Species
from multiscale.transport.plating import MovingFaces, Plating
from multiscale.transport.solid import Body, ElasticMedium, Support
from multiscale.transport.system import TransportSystem
from multiscale.verification.ion_transport import strip

THICKNESS, CONDUCTIVITY, EXCHANGE = 1e-6, 0.1, 1e6
"""Of the layer, m and S/m; exchange current density at both faces, A/m²."""


def _cell(domain: Domain, body: Body | None = None) -> TransportSystem:
    """A single-ion layer between two metals."""
    faces = [Electrode(side, "film", "Li+", Kinetics(EXCHANGE)) for side in ("left", "right")]
    media = [Medium("film", SingleIon(CONDUCTIVITY), (Species("Li+", 1, 1.0),))]
    system = TransportSystem(domain, media, faces, body=body)
    system.contacts["right"].control_potential(0.0)
    return system


def constrained_layer(comm: MPI.Comm) -> Mapping[str, float]:
    """V18s: a layer that grows by 3 % of its volume, held in its plane, under 40 MPa."""
    domain = strip(comm, THICKNESS * np.linspace(0, 1, 9))
    medium = ElasticMedium({"film": Elastic(100e9, 0.25)}, 0.01 * np.eye(3))
    body = Body(domain, {"film": medium}, Support(0, True, ("left",), domain.constant(40e6)))
    system = _cell(domain, body)
    system.contacts["left"].control_current(-10.0)
    system.solve()
    σ, dx = body.stress(system, "film"), domain.dx()
    return {
        "stress in its plane (Pa)": integral(σ[1, 1] * dx) / THICKNESS,
        "pressure (Pa)": integral(pressure_of(σ) * dx) / THICKNESS,
        "becomes thicker by (m)": -integral(body.displacement(system, system.u)[0] * domain.ds("left")),
    }


def moving_face(comm: MPI.Comm) -> Mapping[str, float]:
    """V18m: a layer that grows by the lithium plated on it at 50 mV for 3 s."""
    system = _cell(strip(comm, THICKNESS * np.linspace(0, 1, 9)))
    faces = MovingFaces(system, 0, {"film": (0.0, THICKNESS)}, {"left": -1.0}, ("left", "right"))
    plating = Plating(system, {"left": LITHIUM_MOLAR_VOLUME}, 1.0, THICKNESS, [faces])
    system.contacts["left"].control_potential(-0.05)
    TimeStepper(system, StepControl(1e-3, 1e-6, 1.0, 1e-4), plating=plating).march(3.0)
    return {
        "thickness (m)": faces.thicknesses(plating.now)["film"],
        "current density (A/m2)": -system.contacts["left"].mean_current_density,
    }

"""Exact problem of impedance: the finite Warburg element, by a salt film between two lithium electrodes."""

import math
from collections.abc import Mapping

import numpy as np
from mpi4py import MPI
from scipy.optimize import minimize_scalar

from multiscale.transport.impedance import LinearResponse
from multiscale.transport.media import Electrode, Kinetics, Medium
from multiscale.transport.nernst_planck import Electroneutral
from multiscale.transport.system import TransportSystem
from multiscale.verification.ion_transport import CONCENTRATION, FILM, SALT, strip

DIFFUSIVITY = 3e-11
"""m²/s, of the salt of V02: 2 D+ D-/(D+ + D-)."""


def finite_warburg(comm: MPI.Comm) -> Mapping[str, float]:
    """V17: what the salt's movement adds to the impedance of the film, over its steady value; τ = (L/2)²/D by symmetry."""
    nodes = FILM * (1 - np.cos(np.pi * np.linspace(0.0, 1.0, 41))) / 2
    law = Kinetics(20.0, reference_concentration=CONCENTRATION)
    electrodes = [Electrode(side, "film", "Li+", law) for side in ("left", "right")]
    system = TransportSystem(strip(comm, nodes), [Medium("film", Electroneutral(), SALT)], electrodes, degree=2)
    system.set_field("film", "Li+", CONCENTRATION)
    response, τ = LinearResponse(system, "left"), (FILM / 2) ** 2 / DIFFUSIVITY

    def movement(product: float) -> complex:
        parts = response.at(product / (2 * math.pi * τ))[1]
        return complex(sum(part.impedance for part in parts if part.cause == "concentration"))

    steady = movement(1e-9).real
    one = movement(1.0) / steady
    found = minimize_scalar(lambda x: (movement(math.exp(x)) / steady).imag, bounds=(0.0, 2.0), method="bounded")
    return {
        "finite Warburg at wt = 1, real part": one.real,
        "finite Warburg at wt = 1, imaginary part": one.imag,
        "wt of the peak of -Im": math.exp(found.x),
        "peak of -Im": -found.fun,
    }

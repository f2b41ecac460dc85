"""Exact problems of phase-field fracture: a stretched rod (V11) and a crack that grows under a given volume (V28)."""

import math
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
from mpi4py import MPI

from meshes.crack_path import CrackPath, draw_crack_path
from meshes.shapes import draw_blocks
from multiscale.domain import Domain, integral, meshed
from multiscale.materials import stiffness
from multiscale.mechanics import elasticity as mechanics
from multiscale.mechanics import phase_field
from multiscale.mechanics.alternation import Alternation
from multiscale.mechanics.fracture import CrackedBody
from multiscale.mechanics.phase_field import CrackModel
from multiscale.verification.elasticity import OXIDE, TOUGHNESS

FRACTURE_ENERGY = mechanics.fracture_energy(TOUGHNESS, OXIDE.youngs_modulus, OXIDE.poisson_ratio)
"""Gc of V10, J/m²."""


class Rod:
    """A short free rod (axial symmetry) pulled along its axis: uniform damage, uniaxial stress."""

    def __init__(self, comm: MPI.Comm, model: CrackModel) -> None:
        """Mesh and forms; the rod is a quarter of the model's length high and wide, so that damage stays uniform."""
        side = model.length / 4
        draw: dict[str, Any] = {"x": (0.0, side), "y": (0.0, side), "names": [["body"]], "divisions": 1}
        self.domain = meshed(draw_blocks, comm, axisymmetric=True, **draw)
        self.moduli, self.side = stiffness(self.domain, {"body": OXIDE}), side
        self.pulled = self.domain.constant(0.0)
        Gc = self.domain.constant(FRACTURE_ENERGY)
        steps = Alternation(tolerance=1e-7, most=500, depth=5)
        self.body = CrackedBody(self.domain, self.moduli, Gc, model, self._supports, moved=True, alternation=steps)
        self.untouched = self.body.state()

    def _supports(self, space: Any) -> list[Any]:
        d = self.domain
        held = [d.fixed(space, 0.0, "left", component=0), d.fixed(space, 0.0, "bottom", component=1)]
        return [*held, d.fixed(space, self.pulled, "top", component=1)]

    def stretched(self, strain: float) -> tuple[float, float]:
        """Axial stress (Pa) and damage at a strain, from the sound rod."""
        self.body.restore(self.untouched)
        self.pulled.value = strain * self.side
        self.body.at_pressure(0.0)
        u, d = self.body.displacement, self.body.damage
        σ = phase_field.degradation(d) * mechanics.stress(u, self.moduli, self.domain)[1, 1]
        volume = math.pi * self.side**3
        damage = self.domain.comm.allreduce(float(d.x.array.max(initial=0.0)), op=MPI.MAX)
        return integral(σ * self.domain.dx()) / volume, damage


def strengths(comm: MPI.Comm) -> Mapping[str, float]:
    """V11: peak stress of AT2, stress at which damage of AT1 begins; l = 100 nm."""
    rod = Rod(comm, CrackModel("AT2", 100e-9))
    first = math.sqrt(FRACTURE_ENERGY / (rod.body.model.length * OXIDE.youngs_modulus))
    peak = max(rod.stretched(first * share)[0] for share in np.linspace(0.3, 1.0, 36))
    rod = Rod(comm, CrackModel("AT1", 100e-9))
    low, high = 0.0, 2 * first
    for _ in range(14):
        middle = (low + high) / 2
        low, high = (low, middle) if rod.stretched(middle)[1] > 1e-6 else (middle, high)
    return {"AT2, peak stress (Pa)": peak, "AT1, stress at the onset (Pa)": rod.stretched(low)[0]}


def central_crack(
    comm: MPI.Comm, model: CrackModel, size: float, half_length: float, reach: float, alternation: Alternation | None = None
) -> CrackedBody:
    """One quarter of a large plane body with a crack of a half length (m) along x = 0, which may grow to `reach` (m).

    The body is 60 by 60 half lengths and free outside. Energies and volume are a quarter of the whole.
    """
    width = 60 * half_length
    path = CrackPath(width, width / 2, reach, max(5 * model.length, 0.3 * half_length), size, width / 24, mirrored=True)
    domain = meshed(draw_crack_path, comm, path=path)
    Gc = domain.constant(FRACTURE_ENERGY / model.mesh_correction(size))
    moduli, supports = stiffness(domain, {"body": OXIDE}), partial(_mirrors, domain)
    body = CrackedBody(domain, moduli, Gc, model, supports, alternation=alternation)
    body.notch(lambda x: (x[1] <= half_length * (1 + 1e-9)) & (x[0] <= size / 2 * (1 + 1e-6)))
    return body


def smeared_release(comm: MPI.Comm) -> Mapping[str, float]:
    """V10g: energy released by a smeared crack at half its starting volume, per area of growth, over p² π a/E'.

    Its half length a is that of the sharp crack which has the same volume at the same pressure, V = 2π p a²/E'.
    """
    a, modulus = 1e-6, OXIDE.plane_strain_modulus
    body = central_crack(comm, CrackModel("AT1", a / 12), a / 36, a, 1.3 * a)
    quarter = 0.25 * math.sqrt(math.pi * FRACTURE_ENERGY / modulus) * a**1.5
    state, moduli = body.at_volume(quarter), stiffness(body.domain, {"body": OXIDE})
    θ = mechanics.extension_field(body.domain, (0.0, a), (0.0, 1.0), 0.3 * a, 0.9 * a)
    form = phase_field.crack_release(body.displacement, body.damage, moduli, body.domain, θ, state.pressure)
    half = math.sqrt(4 * state.volume * modulus / (2 * math.pi * state.pressure))
    return {"smeared crack, over that of a sharp one": 2 * integral(form) * modulus / (math.pi * state.pressure**2 * half)}


def _mirrors(domain: Domain, space: Any) -> list[Any]:
    return [domain.fixed(space, 0.0, "left", component=0), domain.fixed(space, 0.0, "foot", component=1)]


START, GROWN = (0.9, 1.0, 1.05, 1.1, 1.15, 1.2), (1.5, 2.5)
"""Volumes of V28 over the exact starting volume of the initial crack: through the start, and beyond it."""


def growing_crack(comm: MPI.Comm) -> Mapping[str, float]:
    """V28: a crack of 2 µm filled to given volumes; its length is its fracture energy over 2 Gc (one number for any tip).

    The pressure of the start is the largest on the way. It belongs to the length that the notch really has, its energy over
    2 Gc, which exceeds the broken line by the rounded tips; it is given for a crack of 2 µm by p ∝ a^(-1/2).
    """
    a, modulus = 1e-6, OXIDE.plane_strain_modulus
    body = central_crack(comm, CrackModel("AT1", a / 12), a / 36, a, 2.4 * a)
    first = 2 * body.balance.fracture / FRACTURE_ENERGY
    volume = 2 * math.sqrt(math.pi * FRACTURE_ENERGY / modulus) * a**1.5
    start = max(body.at_volume(share * volume / 4).pressure for share in START)
    values = {"pressure at which 2 um of crack start (Pa)": start * math.sqrt(first / a)}
    for share in GROWN:
        state = body.at_volume(share * volume / 4)
        values[f"pressure at {share:g} of the starting volume (Pa)"] = state.pressure
        values[f"half length at {share:g} of the starting volume (m)"] = 2 * state.fracture / FRACTURE_ENERGY
    return values

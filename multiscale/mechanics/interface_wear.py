"""Fatigue of the interface: contact that stripping half cycles take from lithium on its electrolyte (docs/physics.md 1.13).

Voids hold a volume v per area of the interface and lie in a layer of depth h, so the share θ = 1 - v/h touches. Lithium that
is stripped leaves void unless creep presses the metal down or vacancies carry the hole away (Wang, Choudhury & Sakamoto, Joule
3, 2165 (2019): a balance of fluxes); plating fills a share r of its volume into voids and occludes the rest (Kasemchainan et
al., Nat. Mater. 18, 1105 (2019)). With i the current density of the face, positive plating,

    stripping   dv/dt = -V i/F - w(θ) - θ u
    plating     dv/dt = -r V i/F - w(θ)          0 ≤ v ≤ h
    rest        dv/dt = -w(θ)

    w(θ) = (a/2) ε̇(3p/(2nθ)),   u = D (s - 1)/L

w is the speed at which creep closes voids (`lithium_flow.void_closing_rate`) under the pressure of what touches, p/θ; u the
speed that vacancies carry away where lithium touches. `voiding.stripping_limit` is the current at which the first void opens,
V i/F = w(1) + u. On a face that touches in part, kinetics have that share of the area: i0 → θ i0 (resistance ∝ 1/contact area:
arXiv:2501.00600, abstract). Spots that constrict the current add nothing as long as voids are small beside κ R_ct.

Without creep (p = 0), cycles of equal current and time t are one affine map of θ, and the life is a Wöhler line
(`verification/wear.py`, V13w): with β = V i/(F u), τ = u t/h, q = V i t/(F h), G = [r q - β (e^τ - 1)]/(e^τ - 1),
θ(N) = (1 + G) e^(Nτ) - G as long as plating does not close all voids; for u → 0, 1 - N q (1 - r).

======  ================  ============
symbol  variable          unit
======  ================  ============
h       depth             m
r       refilled          1
a       radius            m
p       pressure          Pa, of the stack over the whole face
D       self_diffusivity  m²/s
s       supersaturation   1
L       distance          m
======  ================  ============

Sources from memory but for arXiv:2501.00600; that both fluxes matter: Yan et al., Adv. Energy Mater. (2022),
doi:10.1002/aenm.202102283 (abstract).
"""

import math
from dataclasses import dataclass

from scipy.integrate import solve_ivp

from coupling.constants import FARADAY, LITHIUM_MOLAR_VOLUME
from coupling.errors import RunFailure
from multiscale.mechanics.extrusion import Creep
from multiscale.mechanics.lithium_flow import void_closing_rate

LOST = 0.05
"""Share of contact at which a run ends: the lithium has come off."""
ACCURACY = 1e-10
"""Relative and absolute, of the share."""


@dataclass(frozen=True)
class InterfaceWear:
    """What wears the contact of a lithium electrode, SI (symbols above).

    Attributes:
        depth: h of the layer that voids take up.
        refilled: r, the share of what is plated that fills voids while there are any.
        radius: a of the voids.
        creep: of the lithium in bulk.
        self_diffusivity, supersaturation, distance: D, s and L of `voiding.stripping_limit`.
    """

    depth: float
    refilled: float
    radius: float
    creep: Creep
    self_diffusivity: float
    supersaturation: float
    distance: float

    def rate(self, share: float, current_density: float, pressure: float, temperature: float) -> float:
        """dθ/dt, 1/s, at a current density of the face (A/m², positive plating), not bounded by θ ≤ 1."""
        recession = LITHIUM_MOLAR_VOLUME / FARADAY * current_density
        closing = float(void_closing_rate(pressure / share, self.radius, self.creep, temperature)) if pressure > 0 else 0.0
        by_vacancies = self.self_diffusivity * (self.supersaturation - 1) / self.distance
        gained = self.refilled * recession if recession >= 0 else recession + share * by_vacancies
        return (closing + gained) / self.depth

    def after(self, share: float, current_density: float, seconds: float, pressure: float, temperature: float) -> float:
        """Share of contact after a time (s) at a current density; between `LOST`/2, where nothing is left to follow, and 1.

        At a constant current the share goes one way only: at a bound it stays there.

        Raises:
            RunFailure: the equation was not integrated.
        """
        def slope(_: float, θ: list[float]) -> list[float]:
            return [self.rate(min(max(θ[0], LOST / 4), 1.0), current_density, pressure, temperature)]

        start = slope(0.0, [share])[0]
        bound = 1.0 if start >= 0 else LOST / 2
        if start == 0 or (bound - share) * math.copysign(1.0, start) <= 0:
            return share

        def reached(_: float, θ: list[float]) -> float:
            return θ[0] - bound

        reached.terminal = True  # type: ignore[attr-defined]
        found = solve_ivp(slope, (0.0, seconds), [share], "LSODA", events=reached, rtol=ACCURACY, atol=ACCURACY)
        if found.status < 0:
            raise RunFailure(f"contact of the lithium: its voids were not followed ({found.message})")
        return bound if found.status == 1 else float(found.y[0, -1])

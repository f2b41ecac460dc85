"""The reduced model of a filament memristor: its length in time, and the currents at a length (numbers only, no mesh).

One unknown, the length l of a cylinder of radius r in a layer of thickness L (gap g = L - l). Strong form

    dl/dt = V_Li I/(F πr²),     I = -πr² f i_n(η, p),     U_t = -η + I R(g)

with I the ionic current that plates the filament's flat end (plating counted positive), f the covered share of the last layer
of atoms (l and g go to zero smoothly), R from the resolved field, U_t the voltage of the end against the counter electrode
(lithium, in equilibrium). Beside the ions electrons cross the gap, and the circuit closes the equations:

    U = U_d + R_s I_all,   U_d = U_t + R_f (I + U_t/R_g),   I_all = I + U_t/R_g + U_d/R_leak,
    R_f = ρ l/(πr²),   R_g = R_S exp(2kg),   R_S = 4ρ₀λ/(3πr²),   k = √(2 m W)/ħ,   |I_all| <= compliance.

R_S is Sharvin's resistance of a metallic contact of radius r below the mean free path λ; across a gap it falls off as a WKB
barrier of height W. So a closed gap is a metallic bridge, and the bridge dissolves on reversal from the gap that its own
contact resistance puts under voltage. Channels once cracked stay open: beyond the longest filament so far lithium must keep
the pressure p that opens the channel, which raises the voltage that plates by V_Li p/F (forming); within it p = 0.

Sources: Menzel, Böttger & Waser, J. Appl. Phys. 111, 014501 (2012) (filament, gap, electrons across it; abstract read); Sharvin
1965 and WKB: textbook; docs/physics.md 1.2, 1.3.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from scipy.optimize import brentq

from coupling.constants import AVOGADRO, FARADAY, GAS_CONSTANT, LITHIUM_MOLAR_VOLUME, PLANCK

ELECTRON_MASS = 9.1093837015e-31
"""kg (CODATA 2018)."""
LAYER = (LITHIUM_MOLAR_VOLUME / AVOGADRO) ** (1 / 3)
"""Thickness of a layer of lithium atoms, m."""
FURTHEST = 600.0
"""Exponent of the gap's resistance above which it is held (exp(600) ohm passes nothing)."""


@dataclass(frozen=True)
class Device:
    """What a device is made of.

    Attributes:
        radius, thickness: r of the filament and L of the layer, m.
        temperature: K.
        exchange_current_density: A/m². cathodic_transfer, mechanical_transfer: 1.
        growth_pressure: p that opens new channel, Pa.
        resistivity: of the filament, ohm m. contact_resistance: R_S, ohm. decay: k, 1/m.
        ionic, electronic: resistance of the layer at a gap (m), ohm.
        series: R_s, ohm. compliance: A, infinite without one.
        plates: whether lithium plates at all.
    """

    radius: float
    thickness: float
    temperature: float
    exchange_current_density: float
    cathodic_transfer: float
    mechanical_transfer: float
    growth_pressure: float
    resistivity: float
    contact_resistance: float
    decay: float
    ionic: Callable[[float], float]
    electronic: Callable[[float], float]
    series: float = 0.0
    compliance: float = math.inf
    plates: bool = True

    @property
    def area(self) -> float:
        """πr², m²."""
        return math.pi * self.radius**2

    @property
    def volume_per_charge(self) -> float:
        """Length plated per charge, V_Li/(F πr²), m/C."""
        return LITHIUM_MOLAR_VOLUME / (FARADAY * self.area)

    def filament_resistance(self, length: float) -> float:
        """R_f, ohm."""
        return self.resistivity * max(length, 0.0) / self.area

    def front_pressure(self, length: float, opened: float) -> float:
        """Pressure that plating needs at a length with channel open up to `opened` (m), Pa.

        It rises from none to `growth_pressure` over the last layer of atoms in the open channel; a ligament thinner than the
        filament's radius counts as broken (an assumption).
        """
        if self.thickness - length <= self.radius:
            return 0.0
        return self.growth_pressure * min(max((length - opened) / LAYER + 1, 0.0), 1.0)

    def gap_resistance(self, gap: float) -> float:
        """R_g of electrons across a gap (m), ohm."""
        return self.contact_resistance * math.exp(min(2 * self.decay * max(gap, 0.0), FURTHEST))


@dataclass(frozen=True)
class Currents:
    """At an instant: I of ions, all of the circuit (A, plating positive), and the voltage of the device (V)."""

    ionic: float
    total: float
    device: float


def sharvin_resistance(radius: float, resistivity: float, mean_free_path: float) -> float:
    """Contact of radius r well below the mean free path λ: 4ρλ/(3πr²), ohm (Sharvin 1965)."""
    return 4 * resistivity * mean_free_path / (3 * math.pi * radius**2)


def tunnel_decay(barrier: float) -> float:
    """Decay k = √(2 m W)/ħ of an electron's amplitude in a barrier of W (J), 1/m."""
    return math.sqrt(2 * ELECTRON_MASS * barrier) * 2 * math.pi / PLANCK


def wire_resistivity(radius: float, resistivity: float, mean_free_path: float) -> float:
    """Resistivity of a wire with diffuse walls, ohm m: ρ(1 + 3λ/(8r)) (Fuchs & Sondheimer, thick-wire limit; Nordheim below)."""
    return resistivity * (1 + 3 * mean_free_path / (8 * radius))


def _exp(x: float) -> float:
    return math.exp(x) if x < 300 else math.exp(300) * (x - 299)


def currents(device: Device, length: float, opened: float, voltage: float, nucleated: bool = True) -> Currents:
    """Currents at a length (m) and a voltage (V, positive plates), with channel open up to `opened` (m).

    The end's voltage follows from x = -(η + p V/F): I(x) by Butler–Volmer, U_t = x + p V/F + I R, and the circuit's voltage
    rises with x: a bracketed root. Where U_t lies between 0 and what new channel needs, the end is stalled: I = 0.
    """
    gap = device.thickness - length
    tunnel, wire = device.gap_resistance(gap), device.filament_resistance(length)
    leak = 1 / device.electronic(max(gap, LAYER))  # across a narrower gap electrons tunnel
    pressure = device.front_pressure(length, opened)

    def circuit(end: float, ionic: float) -> tuple[float, float, float]:
        """Source voltage, current, voltage of the device for a voltage and an ionic current at the end."""
        through = ionic + end / tunnel
        across = end + wire * through
        total = through + leak * across
        return across + device.series * total, total, across

    def solve(excess: Callable[[float, float], float], reach: float) -> Currents:
        """Find the end's state at which an excess, rising with it, vanishes."""
        shift = LITHIUM_MOLAR_VOLUME * pressure / FARADAY if reach > 0 else 0.0
        share = min(max(gap if reach > 0 else length, 0.0) / LAYER, 1.0)
        ready = device.plates and share > 0 and (nucleated or reach < 0)
        straight = _stalled(excess, reach)
        if not ready or abs(straight) <= shift:
            _, total, across = circuit(straight, 0.0)
            return Currents(0.0, total, across)
        resistance = device.ionic(max(gap, 0.0))
        scale = _exchange(device, pressure if reach > 0 else 0.0) * device.area * share

        def state(x: float) -> tuple[float, float]:
            ionic = scale * _drive(device, x)
            return x + math.copysign(shift, x) + ionic * resistance, ionic

        def beyond(x: float) -> float:
            return excess(*state(x))

        far = straight * (1 + 1e-9)  # rounding must not hide the change of sign where hardly any ion flows
        end, ionic = state(float(brentq(beyond, 0.0, far, xtol=1e-16, rtol=1e-13, maxiter=200)))
        _, total, across = circuit(end, ionic)
        return Currents(ionic, total, across)

    found = solve(lambda end, ionic: circuit(end, ionic)[0] - voltage, voltage)
    if abs(found.total) > device.compliance:
        limit = math.copysign(device.compliance, found.total)
        found = solve(lambda end, ionic: circuit(end, ionic)[1] - limit, voltage)
    return found


def _stalled(excess: Callable[[float, float], float], reach: float) -> float:
    """Voltage of the end without ionic current: the circuit is linear then."""
    zero, one = excess(0.0, 0.0), excess(1.0, 0.0)
    return -zero / (one - zero) if reach else 0.0


def _drive(device: Device, x: float) -> float:
    """exp(αc F x/RT) - exp(-αa F x/RT) of Butler–Volmer."""
    z = FARADAY * x / (GAS_CONSTANT * device.temperature)
    return _exp(device.cathodic_transfer * z) - _exp(-(1 - device.cathodic_transfer) * z)


def _exchange(device: Device, pressure: float) -> float:
    """Exchange current density under a pressure: i₀ exp[(αc - αm) V p/RT] (docs/physics.md 1.2d)."""
    bias = device.cathodic_transfer - device.mechanical_transfer
    work = LITHIUM_MOLAR_VOLUME * pressure / (GAS_CONSTANT * device.temperature)
    return device.exchange_current_density * math.exp(bias * work)

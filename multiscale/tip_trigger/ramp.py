"""A voltage ramp on many tips at once: nucleation, plating, pressure, and the voltage at which the crystal gives way.

One tip: applied voltage U (plating counted positive), current I through charge transfer on the contact area A and a resistance
R, lithium at the pressure p in a pit of compliance C that loses q(p) by creep:

    U = -η + I R,   I/A = -i_n(η, p),   C dp/dt = (V_Li/F) I - q(p),   trigger at p = p*.

At rest and without creep p = F U/V_Li (`stall_pressure`), so a slow ramp triggers at U = V_Li p*/F: no resistance counts then.
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from coupling.constants import AVOGADRO, ELEMENTARY_CHARGE, FARADAY, GAS_CONSTANT, LITHIUM_MOLAR_VOLUME
from coupling.errors import RunFailure
from coupling.nucleation import critical_nucleus, log10_rate
from multiscale.solvers.protocol import VoltageRamp
from multiscale.transport.kinetics import butler_volmer

TRIALS, TOLERANCE, SMALLEST = 200, 1e-10, 1e-13
"""Of an implicit step: tries at most, error of the lithium balance over that in the pit, least driving force over the voltage."""
ROUNDING = 1e-13
"""Error of the pressure over that at stall which counts as rounding."""
LOPSIDED = 100.0
"""Ratio of the errors at the ends of a bracket above which it is halved: the exponentials of kinetics fool a straight line."""
HALVINGS = 30
"""Of a step in which the trigger lies."""
PASSES = 4
"""Over the exchange current density where pressure changes it."""


@dataclass(frozen=True)
class Contact:
    """Tips alike in all but their resistance.

    Attributes:
        area: of the contact, m².
        resistance: between the contact and the counter electrode, ohm, shape (n,).
        compliance: of the pit, m³/Pa.
        exchange_current_density: A/m².
        anodic_transfer, mechanical_transfer: of charge transfer.
        temperature: K.
        extrusion: flow of lithium out of the contact at a pressure, m³/s; None where nothing flows.
    """

    area: float
    resistance: np.ndarray
    compliance: float
    exchange_current_density: float
    anodic_transfer: float
    mechanical_transfer: float
    temperature: float
    extrusion: Callable[[Any], Any] | None = None

    def part(self, which: np.ndarray) -> "Contact":
        """Some of the tips."""
        return replace(self, resistance=self.resistance[which])


@dataclass(frozen=True)
class Answer:
    """Of each tip, shape (n,): voltage at the trigger (V, NaN where the ramp ends before), pressure then or last, charge (C)."""

    voltage: np.ndarray
    pressure: np.ndarray
    charge: np.ndarray


def plating(contact: Contact, driving: np.ndarray, exchange: Any) -> np.ndarray:
    """Plating current, A, at the driving force x = η + p V/F (V, negative plates), i₀ being `exchange`."""
    return -contact.area * butler_volmer(driving, exchange, contact.anodic_transfer, temperature=contact.temperature)


def implicit_step(
    contact: Contact, pressure: np.ndarray, voltage: np.ndarray, duration: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Pressure and current after a time at a voltage (backward Euler), both of shape (n,).

    Everything follows from x = η + p V/F: I(x), η = I R - U, p = (x - η) F/V; the balance of lithium rises with x from below
    zero at x = -U to above it at x = 0, where nothing flows: regula falsi (Illinois) and halving on the logarithm of -x find
    it. Where αm ≠ αc pressure changes i₀ by exp[(αc - αm) V p/RT], which is repeated with the new pressure.

    Raises:
        RunFailure: no pressure was found (never seen; it guards against a number that is none).
    """
    bias, exchange = 1 - contact.anodic_transfer - contact.mechanical_transfer, contact.exchange_current_density
    work = LITHIUM_MOLAR_VOLUME / (GAS_CONSTANT * contact.temperature)

    def state(x: np.ndarray, i0: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        current = plating(contact, x, i0)
        p = (x + voltage - current * contact.resistance) * FARADAY / LITHIUM_MOLAR_VOLUME
        lost = contact.extrusion(p) if contact.extrusion else 0.0
        plated = LITHIUM_MOLAR_VOLUME / FARADAY * current
        return contact.compliance * (p - pressure) + duration * (lost - plated), p, current

    p, rounding = pressure, ROUNDING * voltage * FARADAY / LITHIUM_MOLAR_VOLUME
    for _ in range(PASSES if bias else 1):
        i0 = exchange * np.exp(bias * work * p)
        low, high = np.log(voltage), np.log(voltage * SMALLEST)  # of -x
        below, above = state(-np.exp(low), i0)[0], state(-np.exp(high), i0)[0]
        before: np.ndarray = np.full(len(voltage), -1)
        closed = above <= 0  # nothing worth telling from stall
        settled: np.ndarray = np.zeros(len(voltage), dtype=bool)
        current: np.ndarray = np.zeros(len(voltage))
        for _ in range(TRIALS):
            with np.errstate(divide="ignore", invalid="ignore"):
                y = low + (high - low) * below / (below - above)
                y = np.where(np.maximum(-below, above) > LOPSIDED * np.minimum(-below, above), (low + high) / 2, y)
            y = np.where(closed, high, y)
            excess, *tried = state(-np.exp(y), i0)
            p, current = (np.where(settled, kept, new) for kept, new in zip((p, current), tried, strict=True))
            over = excess > 0
            again = over == before
            below = np.where(over, np.where(again, below / 2, below), excess)
            above = np.where(over, excess, np.where(again, above / 2, above))
            low, high, before = np.where(over, low, y), np.where(over, y, high), over.astype(int)
            settled = settled | closed | (np.abs(excess) <= contact.compliance * (TOLERANCE * np.abs(p) + rounding))
            if settled.all():  # one tip's answer does not depend on those beside it
                break
        else:
            raise RunFailure("a tip's balance of lithium was not met; please report the case")
    return p, current


def run_ramp(
    contact: Contact, capacity: np.ndarray, start: np.ndarray, drive: VoltageRamp, maximum: float, step: float
) -> Answer:
    """Ramp the voltage of every tip to `maximum` (V) in steps of `step` (V) at most.

    Args:
        contact: n tips.
        capacity: pressure p* at which each gives way, Pa; infinite where nothing can.
        start: voltage at which each nucleates, V (0 where lithium is there already).
        drive: the ramp; its end conditions are not looked at.
    """
    count = max(round((maximum - drive.start) / step), 1)
    voltages = np.linspace(drive.start, maximum, count + 1)
    state = np.zeros((2, len(capacity)))  # pressure, charge
    trigger = np.full(len(capacity), np.nan)
    for old, new in itertools.pairwise(voltages):
        active = np.flatnonzero(np.isnan(trigger) & (start < new) & (new > 0))
        if not len(active):
            continue
        begun = np.maximum(np.maximum(start[active], old), 0.0)
        moved = _step(contact.part(active), state[:, active], begun, np.full(len(active), new), drive.rate)
        over = moved[0] >= capacity[active]
        state[:, active[~over]] = moved[:, ~over]
        if over.any():
            which = active[over]
            trigger[which], state[:, which] = _located(contact.part(which), state[:, which], capacity[which], begun[over], new,
                                                       drive.rate)  # fmt: skip
    return Answer(trigger, state[0], state[1])


def _step(contact: Contact, state: np.ndarray, begun: np.ndarray, voltage: np.ndarray, rate: float) -> np.ndarray:
    duration = (voltage - begun) / rate
    pressure, current = implicit_step(contact, state[0], voltage, duration)
    return np.array([pressure, state[1] + current * duration])


def _located(
    contact: Contact, state: np.ndarray, capacity: np.ndarray, begun: np.ndarray, end: float, rate: float
) -> tuple[np.ndarray, np.ndarray]:
    """Voltage within a step at which the pressure reaches the capacity, and the state there."""
    low: np.ndarray = begun
    high: np.ndarray = np.full(len(begun), end)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        over = _step(contact, state, begun, middle, rate)[0] >= capacity
        high, low = np.where(over, middle, high), np.where(over, low, middle)
    return high, _step(contact, state, begun, high, rate)


def nucleation_voltage(
    expected: np.ndarray, area: float, exchange_current_density: float, surface_energy: float, contact_angle: float,
    temperature: float, drive: VoltageRamp, maximum: float,
) -> np.ndarray:  # fmt: skip
    """Voltage of a ramp at which so many nuclei are expected under a contact, V; infinite where `maximum` comes first.

    The number of nuclei is ∫ J A dt with the classical rate J of `coupling.nucleation`, N_s = (N_A/V)^⅔ sites an area. Ions join
    the critical nucleus, which is in equilibrium with its overpotential, at the exchange current: β* = i₀ S*/e on its cap
    S* = 2πr*²(1 - cos θ). ln 2 is the median of the first nucleus; an exponential deviate draws one.
    """
    voltages = np.linspace(0.0, maximum, 4001)[1:]
    sites = area * (AVOGADRO / LITHIUM_MOLAR_VOLUME) ** (2 / 3)
    rates = np.zeros(len(voltages))
    for k, voltage in enumerate(voltages):
        nucleus = critical_nucleus(surface_energy, -float(voltage), temperature, contact_angle=contact_angle)
        cap = 2 * np.pi * nucleus.radius**2 * (1 - np.cos(contact_angle))
        rates[k] = 10 ** log10_rate(nucleus, sites, exchange_current_density * cap / ELEMENTARY_CHARGE, temperature)
    number = np.concatenate([[0.0], np.cumsum((rates[1:] + rates[:-1]) / 2 * np.diff(voltages))]) / drive.rate
    grows = np.concatenate([[True], np.diff(number) > 0])
    found = np.exp(np.interp(np.log(expected), np.log(np.maximum(number[grows], 1e-300)), np.log(voltages[grows])))
    return np.where(expected > number[-1], np.inf, found)

"""Exact problems of ion transport: limiting current, Sand time, Gouy-Chapman layer, Cottrell, diffusion out of a slab."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import ufl
from dolfinx import mesh
from mpi4py import MPI

from coupling.constants import FARADAY, GAS_CONSTANT, ROOM_TEMPERATURE
from multiscale.domain import Domain, integral
from multiscale.solvers.timeloop import Depletion, StepControl, TimeStepper
from multiscale.transport import debye
from multiscale.transport import nernst_planck as planck
from multiscale.transport.media import Medium
from multiscale.transport.nernst_planck import Electroneutral, Poisson, Species
from multiscale.transport.system import TransportSystem

SALT = Species("Li+", 1, 2e-11), Species("X-", -1, 6e-11)
"""D+ and D- of V02 and V03, m²/s."""
CONCENTRATION, FILM = 1000.0, 20e-6
"""mol/m³ and m of the film of V02."""


def strip(comm: MPI.Comm, nodes: np.ndarray) -> Domain:
    """One-dimensional domain with the given nodes (m, increasing); region "film", boundaries "left" and "right"."""
    nodes = np.asarray(nodes, dtype=np.float64)
    cells = len(nodes) - 1
    line = mesh.create_interval(comm, cells, [0.0, float(cells)])
    place = line.geometry.x[:, 0]
    ends = [mesh.locate_entities_boundary(line, 0, lambda x, at=at: np.isclose(x[0], at)) for at in (0.0, float(cells))]
    place[:] = np.interp(place, np.arange(len(nodes)), nodes)
    marks = np.repeat(np.array([1, 2], dtype=np.int32), [len(end) for end in ends])
    facets = np.concatenate(ends).astype(np.int32)
    order = np.argsort(facets)
    index_map = line.topology.index_map(1)
    every = np.arange(index_map.size_local + index_map.num_ghosts, dtype=np.int32)
    return Domain(
        line, mesh.meshtags(line, 1, every, np.ones_like(every)), mesh.meshtags(line, 0, facets[order], marks[order]),
        {"film": 1}, {"left": 1, "right": 2},
    )  # fmt: skip


def at_end(system: TransportSystem, expression: Any, side: str) -> float:
    """Value of a scalar expression at one end of a strip."""
    return integral(expression * system.domain.ds(side))


def limiting_current(comm: MPI.Comm) -> Mapping[str, float]:
    """V02: a binary salt between two lithium faces; steady at half the limiting current, and driven to depletion.

    Steady states keep the mean concentration of the film, by the time run that leads there.
    """
    system, current = driven_film(comm, np.linspace(0.0, FILM, 41))
    limit = 4 * FARADAY * 2e-11 * CONCENTRATION / FILM
    current.value = limit / 2
    time = 20 * FILM**2 / 3e-11
    stepper = TimeStepper(system, StepControl(1e-3, 1e-9, time, 1e-4))
    stepper.march(time)
    c, φ = system.concentration("film", "Li+"), system.field("film")
    rich, poor = at_end(system, c, "left"), at_end(system, c, "right")
    thermal = GAS_CONSTANT * ROOM_TEMPERATURE / FARADAY
    drop = at_end(system, φ, "left") - at_end(system, φ, "right")
    return {
        "limiting current density (A/m2)": _limit(system, current),
        "concentration at the stripping face (mol/m3)": rich,
        "concentration at the plating face (mol/m3)": poor,
        "cell voltage at half of it (V)": drop + thermal * np.log(rich / poor),
    }


def _limit(system: TransportSystem, current: Any) -> float:
    """Current density at which the steady film has no salt left at the plating face, by a slow ramp of the current."""
    rate = current.value * 3e-11 / FILM**2 * 1e-5
    start = float(current.value)
    stepper = TimeStepper(system, StepControl(1.0, 1e-3, 1e7, 1e-2))

    def drive(time: float) -> None:
        current.value = start + rate * time

    try:
        stepper.march(2 * start / rate, drive)
    except Depletion:
        return start + rate * stepper.time
    return float("nan")


def driven_film(comm: MPI.Comm, nodes: np.ndarray) -> tuple[TransportSystem, Any]:
    """Film of the salt with a current density (the second result) entering on the left and leaving on the right."""
    domain = strip(comm, nodes)
    system = TransportSystem(domain, [Medium("film", Electroneutral(), SALT)], degree=2)
    current = domain.constant(0.0)
    for side, sign in (("left", 1), ("right", -1)):
        system.residual += system.faradaic_inflow("film", "Li+", sign * current, domain.ds(side))
    system.fix("film", "potential", 0.0, "left")
    system.set_field("film", "Li+", CONCENTRATION)
    return system, current


def sand_time(comm: MPI.Comm) -> Mapping[str, float]:
    """V03: 2000 A/m² plated from a thick layer of the salt."""
    depth = 30e-6  # the diffusion layer sqrt(D t) is 1.7 um
    towards_the_right = depth * (1 - (1 - np.linspace(0.0, 1.0, 81)) ** 2)
    system, current = driven_film(comm, towards_the_right)
    current.value = 2000.0
    stepper = TimeStepper(system, StepControl(1e-6, 1e-8, 1e-2, 1e-4))
    stepper.march(0.097488 / 4)
    quarter = at_end(system, system.concentration("film", "Li+"), "right")
    try:
        stepper.march(1.0)
        time = float("nan")
    except Depletion as end:
        time = end.time
    return {"Sand time (s)": time, "wall concentration at a quarter of it (mol/m3)": quarter}


def diffuse_layer(comm: MPI.Comm) -> Mapping[str, float]:
    """V04: the layer at a wall held at 50 mV, ions free to move, Poisson's equation resolved."""
    permittivity, bulk, wall = 78.5 * planck.VACUUM_PERMITTIVITY, 10.0, 0.05
    length = planck.debye_length({1: bulk, -1: bulk}, permittivity)
    inner = np.linspace(0.0, length, 21)
    domain = strip(comm, np.concatenate([inner, length + 14 * length * np.linspace(0, 1, 81)[1:] ** 1.5]))
    ions = Species("+", 1, 1e-9), Species("-", -1, 1e-9)
    medium = Medium("film", Poisson(permittivity), ions)
    system = TransportSystem(domain, [medium], degree=2)
    voltage = system.fix("film", "potential", 0.0, "left")
    system.fix("film", "potential", 0.0, "right")
    for ion in ions:
        system.fix("film", ion.name, bulk, "right")
        system.set_field("film", ion.name, bulk)
    debye.check(system)
    density = planck.charge_density(ions, [system.field("film", ion.name) for ion in ions])
    charge = -1 * density * domain.dx()

    def charged(potential: float) -> float:
        voltage.value = potential
        system.solve()
        return integral(charge)

    high, low, held = charged(wall + 5e-4), charged(wall - 5e-4), charged(wall)
    return {
        "Debye length (m)": length,
        "potential one Debye length away (V)": value_at(system, system.index["film", "potential"], length),
        "charge (C/m2)": held,
        "differential capacitance (F/m2)": (high - low) / 1e-3,
    }


def value_at(system: TransportSystem, component: int, x: float) -> float:
    """Value of one field at the node at x of a strip."""
    places = system.space.tabulate_dof_coordinates()[:, 0]
    owned = places[: system.space.dofmap.index_map.size_local]
    bs = system.space.dofmap.index_map_bs
    size = system.domain.comm.allreduce(float(np.max(places, initial=0.0)), op=MPI.MAX)
    near = np.flatnonzero(np.abs(owned - x) < 1e-9 * size)
    total = float(system.u.x.array[near * bs + component].sum())
    return system.domain.comm.allreduce(total) / system.domain.comm.allreduce(len(near))


def _reactant(domain: Domain, start: float) -> TransportSystem:
    """A neutral reactant of D = 1e-11 m²/s beside a supporting salt at rest."""
    ions = (Species("A", 0, 1e-11), *SALT)
    system = TransportSystem(domain, [Medium("film", Electroneutral(), ions)], degree=2)
    system.set_field("film", "A", start)
    system.set_field("film", "Li+", CONCENTRATION)
    system.fix("film", "potential", 0.0, "right")
    return system


def cottrell(comm: MPI.Comm) -> Mapping[str, float]:
    """V20: potential step to complete consumption at a wall, and diffusion out of a slab with both faces at zero."""
    thick = 40e-6 * np.linspace(0.0, 1.0, 101) ** 2
    system = _reactant(strip(comm, thick), 1000.0)
    system.fix("film", "A", 0.0, "left")
    control = StepControl(1e-7, 1e-10, 0.1, 1e-4, undershoot=0.2)
    stepper = TimeStepper(system, control)
    stepper.march(1.0)
    residual = system.residual
    rate = _consumption(system, residual)
    slab = _reactant(strip(comm, 1e-6 * (1 - (1 - np.linspace(0.0, 1.0, 31)) ** 1.5)), 1.0)
    slab.fix("film", "A", 0.0, "right")
    TimeStepper(slab, StepControl(1e-8, 1e-13, 1e-2, 1e-4, floor=0.1, undershoot=0.2)).march(0.2 * 1e-12 / 1e-11)
    centre = at_end(slab, slab.concentration("film", "A"), "left")
    return {"current density after 1 s (A/m2)": rate, "slab, centre at Dt/l2 = 0.2": centre}


def _consumption(system: TransportSystem, residual: ufl.Form) -> float:
    """Current density of the reactant consumed at the left wall (one electron each): the residual there, A/m²."""
    from multiscale.solvers.solver import Reaction

    i, bs = system.index["film", "A"], system.space.dofmap.index_map_bs
    places = system.space.tabulate_dof_coordinates()[:, 0]
    nodes = np.flatnonzero(places[: system.space.dofmap.index_map.size_local] == 0.0)
    return -Reaction(residual, system.space).total((nodes * bs + i).astype(np.int32))


__all__ = ["cottrell", "diffuse_layer", "limiting_current", "sand_time"]

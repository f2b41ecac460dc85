"""A lithium filament in a growing crack: plating on its own surface, pressure, fracture, dissolution (docs/physics.md 3).

The crack is a phase field; the lithium in it is metal at zero potential. On its surface (measure `face_density` dx: both faces of
the crack) and on the flat electrode Butler-Volmer kinetics with pressure-shifted equilibrium set the current; the solid obeys
Ohm's law. What is plated is the volume of the crack, V_Li Q/F, less what creeps out of the mouth; the pressure is what the
body needs to hold that volume (Bourdin, Chukwudozie & Yoshioka 2012 with a Faradaic source), and it stalls plating. One step
is implicit in the pressure:

1. at frozen damage the crack's volume is linear in p; the p is sought at which it equals the old volume and what is plated
   and extruded at this p during the step (transport solves);
2. fracture under the volume that this charge makes; the pressure falls where the crack grows; back to 1 until both agree.

The volume is computed from the charge, so that they agree to rounding. Reversed current takes lithium out; the crack stays.
With creep, lithium reaches new crack only as it flows there: what is more than `REACH` l beyond `front` is dry (in the step that
breaks it too), carries no pressure and plates nothing. Without creep it follows at once.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import ufl
from dolfinx import fem
from mpi4py import MPI
from scipy.optimize import brentq

from coupling.constants import FARADAY, LITHIUM_MOLAR_VOLUME
from coupling.errors import RunFailure
from multiscale.domain import Domain
from multiscale.materials import Stiffness
from multiscale.mechanics.alternation import Alternation
from multiscale.mechanics.crack_normal import BROKEN, CrackNormal
from multiscale.mechanics.extrusion import extrusion_rate, slit_flow
from multiscale.mechanics.fatigue import Wear
from multiscale.mechanics.filament_circuit import DEGREE, FilamentCircuit
from multiscale.mechanics.filament_state import FilamentProperties, FilamentState
from multiscale.mechanics.fracture import CrackedBody
from multiscale.mechanics.phase_field import CrackModel, face_density
from multiscale.mechanics.pressure_curve import PressureCurve, balanced_pressure
from multiscale.mechanics.prestress import CellLoads, checked_prestress
from multiscale.solvers.solver import assemble_into
from multiscale.transport.kinetics import overpotential_at

AGREEMENT, FAINT = 5e-4, 1e3
"""Relative difference of the pressures of transport and fracture at which a step ends; pressure that counts as none, Pa."""
ROUNDS = 25  # most in a step
REACH = 2.0
"""How far over l lithium is let in at once beyond where it has flowed to: half the width of a smeared crack. A full flaw is
pressed over its tip's whole profile, then, and starts as without creep. It never draws back, which would give energy."""


class FilamentModel:
    """A filament in one cell.

    Args:
        domain: with the boundaries "foot" (lithium), "top" (counter electrode), "left" and "right".
        conductivity: ionic, S/m (field or constant).
        stiffness: Lamé fields, Pa.
        fracture_energy: Gc of the material, J/m² (field or constant).
        crack: model of the crack.
        size: width of the broken band of the mesh, m (for the toughness correction and the bins of the opening).
        properties: of electrode, lithium and test.
        flaw: depth of the first crack along x = 0, m.
        mirrored: the mesh is the right half of the cell.
        alternation: of displacement and damage.
        loads: stack pressure and residual stress of the cell, or None.
        worn: fatigue of the electrolyte, or None.
        contact: whether dry faces that are pressed together touch (isotropic grains).
    """

    def __init__(
        self, domain: Domain, conductivity: Any, stiffness: Stiffness, fracture_energy: Any, crack: CrackModel, size: float,
        properties: FilamentProperties, flaw: float, mirrored: bool = False, alternation: Alternation | None = None,
        loads: CellLoads | None = None, worn: Wear | None = None, contact: bool = False,
    ) -> None:  # fmt: skip
        """Compile the forms and break the flaw; nothing flows yet.

        Raises:
            Overloaded: the loads break sound material of the smeared crack model.
            RunFailure: a solve failed.
        """
        self.domain, self.properties, self.size, self.flaw, self.contact = domain, properties, size, flaw, contact
        self.correction, self.reach = crack.mesh_correction(size), REACH * crack.length
        self._wetted = fem.Function(fem.functionspace(domain.mesh, ("DG", 0)))
        self._wetted.x.array[:] = 1.0
        self.stack_pressure = self._first_pressure = 0.0 if loads is None else loads.stack_pressure
        self.copies, self._cold = 2 if mirrored else 1, properties
        self.normal = CrackNormal(domain, self.reach, straight=mirrored)
        self._held = held = None if loads is None else checked_prestress(
            domain, stiffness, loads, self._supports, fracture_energy / self.correction, crack
        )  # fmt: skip
        self.body = CrackedBody(
            domain, stiffness, fracture_energy / self.correction, crack, self._supports,
            alternation=alternation or Alternation(tolerance=1e-4, most=400), wetted=self._wetted, prestress=held, worn=worn,
        )  # fmt: skip
        half = size / 2 * (1 + 1e-6)
        self.body.notch(lambda x: (x[1] <= flaw * (1 + 1e-9)) & (np.abs(x[0]) <= half))
        self.circuit = c = FilamentCircuit(domain, conductivity, self.body.damage, self._wetted, properties, self.stack_pressure)
        self.potential, self.applied, self.open, self.face_current = c.potential, c.applied, c.open, c.face_current
        self.ionic_current, self.filament_exchange = c.ionic_current, c.filament_exchange
        self._measures()
        self.front = self.length()[0]
        self._set_wetted(self.front)
        self.body.at_volume(0.0)
        if self.body.response[0] > 0:  # tension in the body opens the flaw further than its lithium fills
            self.body.at_pressure(0.0)
        self.state = self._observe(0.0, 0.0, 0)

    def _supports(self, space: Any) -> list[Any]:
        return [self.domain.fixed(space, 0.0, *sides, component=k) for k, sides in enumerate((("left", "right"), ("top",)))]

    def under(self, temperature: float | None = None, stack_pressure: float | None = None) -> None:
        """Set what the cell is under from here on, K and Pa (None: what it was at its start); the next step feels it.

        Raises:
            RunFailure: the sound cell under its loads was not found.
        """
        first, T = self._cold, temperature or self._cold.temperature
        pressure = self._first_pressure if stack_pressure is None else stack_pressure
        if (T, pressure) == (self.properties.temperature, self.stack_pressure):
            return
        exchange, conductivity = (first.exchange_current_density, 1.0) if first.temperature == T else first.elsewhere[T]
        self.circuit.under(T, pressure, exchange, conductivity)
        if pressure != self.stack_pressure and self._held is not None and self._held.press is not None:
            self._held.press(pressure)
        self.properties, self.stack_pressure = replace(first, temperature=T, exchange_current_density=exchange), pressure

    def _measures(self) -> None:
        """Integrals and places that observables need."""
        domain, body = self.domain, self.body
        cells = fem.functionspace(domain.mesh, ("DG", 0))
        v, d = ufl.TestFunction(cells), body.damage
        self._cell_opening = fem.form(-ufl.dot(body.displacement, ufl.grad(d)) * v * domain.dx())
        surface = domain.dx(degree=DEGREE)
        self._cell_current = fem.form(-self.face_current * v * surface)
        self._cell_faces = fem.form(face_density(d) * v * surface)
        self._faces = fem.form(face_density(d) * surface)
        self._counter_length = self._sum(fem.form(domain.constant(1.0) * domain.ds("top")))
        self._counter = fem.form(self.potential * domain.ds("top"))
        owned = domain.mesh.topology.index_map(domain.dimension).size_local
        corners = domain.mesh.geometry.dofmap
        middles = domain.mesh.geometry.x[corners].mean(axis=1)
        self._distance = np.linalg.norm(middles[:, :2], axis=1)
        self._owned, self._cell_values = owned, fem.Function(cells)
        self._nodes = d.function_space.tabulate_dof_coordinates()[: d.function_space.dofmap.index_map.size_local, :2]

    def length(self) -> tuple[float, tuple[float, float]]:
        """Distance of the furthest broken place from the mouth, and that place, m."""
        here = np.flatnonzero(self.body.damage.x.array[: len(self._nodes)] >= BROKEN)
        away = np.linalg.norm(self._nodes[here], axis=1)
        best = (-1.0, 0.0, 0.0)
        if len(here):
            k = here[np.argmax(away)]
            best = (float(away.max()), float(self._nodes[k, 0]), float(self._nodes[k, 1]))
        found = max(self.domain.comm.allgather(best))
        return found[0], (found[1], found[2])

    def sideways(self) -> float:
        """How far broken places lie from the line of the flaw, m."""
        here = self.body.damage.x.array[: len(self._nodes)] >= BROKEN
        away = float(np.abs(self._nodes[here, 0]).max(initial=0.0))
        return self.domain.comm.allreduce(away, op=MPI.MAX)

    def half_opening(self, length: float) -> tuple[np.ndarray, np.ndarray]:
        """Distances from the mouth to the tip (k,), m, and half opening there, m: unloaded and elastic, not below zero."""
        vector = self._cell_values.x.petsc_vec
        assemble_into(vector, self._cell_opening)
        bins = max(int(length / (2 * self.size)), 2)
        edges = np.linspace(0.0, length, bins + 1)
        held = self._distance[: self._owned], self._cell_values.x.array[: self._owned]
        volume = self.domain.comm.allreduce(np.histogram(held[0], edges, weights=held[1])[0])
        middles = (edges[:-1] + edges[1:]) / 2
        opening = volume / np.diff(edges) * self.copies / 2
        if self.properties.unloaded_half_opening is not None:
            opening = opening + self.properties.unloaded_half_opening(middles)
        places = np.concatenate([middles, [length]])
        return places, np.maximum(np.append(opening, 0.0), 0.0)

    def unloaded_volume(self) -> float:
        """Volume of the flaw without load, m² of the whole cell: what can still be dissolved when `volume` is zero."""
        if self.properties.unloaded_half_opening is None:
            return 0.0
        s = np.linspace(0.0, self.flaw, 401)
        return float(2 * np.trapezoid(np.maximum(self.properties.unloaded_half_opening(s), 0.0), s))

    def transport(self, pressure: float) -> float:
        """Solve the potential at a pressure in the filament; current into it, A/m of the whole cell (positive plating)."""
        if not np.any(self.potential.x.array):
            i, p = float(self.applied.value), self.properties
            self.potential.x.array[:] = -overpotential_at(
                -i, p.exchange_current_density, p.anodic_transfer, temperature=p.temperature
            )
        self.circuit.pressure.value = pressure
        self.circuit.solver.solve()
        return self.copies * self._sum(self.circuit.into_filament)

    def hot_spot(self) -> float:
        """Overpotential of largest magnitude in the solid at the crack, V (negative when plating)."""
        on = self.body.damage.x.array[: len(self._nodes)] >= BROKEN
        values = self.potential.x.array[: len(self._nodes)][on]
        return -self.domain.comm.allreduce(float(values.max(initial=-np.inf)), op=MPI.MAX)

    def step(self, seconds: float, current_density: float, growth: float = np.inf) -> FilamentState:
        """Advance by a time at an applied current density (A/m², positive plating).

        Args:
            seconds, current_density: of the step.
            growth: of the crack (m, `crack_area`) beyond which the step is given up.

        Raises:
            GrewTooFar: it grew further.
            RunFailure: a solve failed or transport and fracture did not agree; the model is as before in either case.
        """
        kept = self.snapshot()
        most = self.state.crack_area + growth
        self.body.too_far = (lambda: self.crack_area() > most) if growth < np.inf else None
        self.applied.value = current_density
        try:
            self.state = self._step(seconds, current_density)
        except RunFailure:
            self.restore(kept)
            raise
        return self.state

    def crack_area(self) -> float:
        """Crack length, m of the whole cell: half the area of its faces, ½ ∫ |∇dⁿ| dx.

        Across a crack that integral is one whatever the profile (coarea formula), so that the length is right in a weak
        boundary too, where the profile is narrower than in a grain and ∫ γ dx is too long. The round tip adds πl/9.
        """
        return self.copies / 2 * self._sum(self._faces)

    def _step(self, seconds: float, current_density: float) -> FilamentState:
        before = self.state
        places, per_charge = self.half_opening(before.length), LITHIUM_MOLAR_VOLUME / FARADAY
        first, rounds = self.body.state(), 0
        self.circuit.wear(before.contact, seconds / 2, current_density)
        while True:
            rounds += 1
            p, plated, left, slack = self._pressure_after(seconds, before, places)
            flat = self.copies * self._sum(self.circuit.into_flat) * seconds
            volume = before.volume + plated * per_charge - left
            likely = (rounds == 1 and before.rounds <= 1) or self._agrees(self._break(first, volume, p, slack), p)
            if likely and self._agrees(self._break(first, volume, p), p):
                break
            if rounds == ROUNDS:
                told = f"filament: pressure of transport {p:.4g} Pa and of fracture {self.body.pressure:.4g} Pa still differ"
                raise RunFailure(f"{told} after {ROUNDS} rounds; the step is too large")
        self._wet(seconds)
        self.circuit.wear(before.contact, seconds, flat / (self.copies * self._counter_length * seconds))
        self.transport(p)  # the potential of the crack as it is now
        passed = (before.charge + plated, before.flat_charge + flat, before.extruded + left, plated / seconds)
        state = self._observe(before.time + seconds, current_density, rounds, volume, passed)
        self.body.wear()
        return state

    def _break(self, first: dict[str, Any], volume: float, pressure: float, slack: float = 0.0) -> float:
        """Fracture under a volume of lithium (m², whole cell), with the slack of `CrackedBody.at_volume`; its pressure, Pa."""
        volume, slack = volume / self.copies, slack / self.copies
        dry = pressure <= 0 and volume <= self.body.response[0]
        self.body.rewind(first)
        return (self.body.at_pressure(0.0) if dry else self.body.at_volume(volume, pressure, slack)).pressure

    def _agrees(self, found: float, pressure: float) -> bool:
        """Whether the pressure of fracture is that of transport."""
        return abs(found - pressure) <= AGREEMENT * max(abs(pressure), abs(found), FAINT)

    def _pressure_after(
        self, seconds: float, before: FilamentState, places: tuple[np.ndarray, np.ndarray]
    ) -> tuple[float, float, float, float]:
        """Pressure at the end of the step at frozen damage, and what goes with it.

        Returns:
            Pressure, Pa; charge, C/m; extruded volume, m²; how much less volume is plated at a higher pressure, m²/Pa.
        """
        held, unit = (self.copies * value for value in self.body.response)
        per_charge = LITHIUM_MOLAR_VOLUME / FARADAY
        self.open.value = 1.0
        curve = PressureCurve(self.transport, self.potential.x.array)

        def gained(p: float) -> float:
            return seconds * (curve.current(p) * per_charge - self.extrusion(p, places))

        def excess(p: float) -> float:
            return held + unit * p - before.volume - gained(p)

        p = balanced_pressure(excess, self.body.pressure, unit, self.domain.comm)
        least = -self.unloaded_volume()
        if before.volume + gained(p) < least:
            p = max((least - held) / unit, 0.0)
            self._empty(before, least, lambda: seconds * (self.transport(p) * per_charge - self.extrusion(p, places)))
            return p, self.transport(p) * seconds, self.extrusion(p, places) * seconds, 0.0
        slack = max(-curve.slope() * seconds * per_charge, 0.0)
        return p, curve.current(p) * seconds, self.extrusion(p, places) * seconds, slack

    def _empty(self, before: FilamentState, least: float, gained: Callable[[], float]) -> None:
        """Where more would be dissolved than is there, leave open just the part of the surface that empties the crack.

        The faces then touch where the cell presses them together; that they do not overlap further is what holds them.
        """

        def over(part: float) -> float:
            self.open.value = part
            return before.volume + gained() - least

        short = over(1.0)
        if short >= 0:
            return
        if over(0.0) < -1e-9 * max(abs(before.volume), abs(least), abs(short)):
            raise RunFailure("filament: more lithium creeps out of the crack than is in it; the step is too large")
        comm = self.domain.comm
        found = brentq(lambda part: comm.bcast(over(part)), 0.0, 1.0, xtol=1e-15) if over(0.0) > 0 else 0.0
        over(comm.bcast(found))

    def extrusion(self, pressure: float, places: tuple[np.ndarray, np.ndarray]) -> float:
        """Volume pressed out of the mouth, m²/s of the whole cell."""
        creep, p = self.properties.creep, self.properties
        if creep is None:
            return 0.0
        return extrusion_rate(pressure - self.stack_pressure, *places, creep, p.temperature)

    def _wet(self, seconds: float) -> None:
        """Move the front of the lithium towards the tip: at once without creep.

        Else as fast as lithium flows in the slit, Q(p/front, h)/(2h) with the half opening h at the front, and as fast as
        metal is plated at the front, V_Li |i|/F (docs/physics.md 4: dl/dt = V_Li i_tip/F).
        """
        length, creep = self.length()[0], self.properties.creep
        if creep is None:
            self.front = length
        elif length > self.front:
            s, h = self.half_opening(length)
            opening, p = float(np.interp(self.front, s, h)), max(self.body.pressure, 0.0)
            flow = slit_flow(p / self.front, opening, creep, self.properties.temperature) if opening > 0 else 0.0
            speed = max(self.front_current(), 0.0) * LITHIUM_MOLAR_VOLUME / FARADAY
            speed += flow / (2 * opening) if opening > 0 else 0.0
            self.front = min(length, self.front + speed * seconds)
        self._set_wetted(length)

    @property
    def lithium(self) -> Any:
        """Where lithium fills the crack: damage in its wetted part, nothing elsewhere (expression)."""
        return self._wetted * self.body.damage

    def front_current(self) -> float:
        """Mean plating current density on the faces within three elements of the front, A/m²."""
        near = (self._distance > self.front - 3 * self.size) & (self._distance <= self.front)
        sums = []
        for form in (self._cell_current, self._cell_faces):
            assemble_into(self._cell_values.x.petsc_vec, form)
            sums.append(float(self._cell_values.x.array[: self._owned][near[: self._owned]].sum()))
        current, area = self.domain.comm.allreduce(np.array(sums))
        return float(current / area) if area > 0 else 0.0

    def _set_wetted(self, length: float) -> None:
        wet, slow = self.front + self.reach, self.properties.creep is not None
        self._wetted.x.array[:] = np.where(self._distance <= wet, 1.0, 0.0) if slow else 1.0
        if wet < length and self.contact:
            self.body.let_faces_touch(self.normal.follow(self.body.damage))

    def _observe(
        self, time: float, current: float, rounds: int, volume: float = 0.0,
        passed: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0),
    ) -> FilamentState:  # fmt: skip
        length, tip = self.length()
        balance, copies = self.body.balance, self.copies
        return FilamentState(
            time, current, self.body.pressure, volume, *passed,
            self._sum(self._counter) / self._counter_length, tip, length, self.crack_area(),
            min(self.front + self.reach, length), copies * balance.elastic, copies * balance.fracture,
            copies * (balance.pressure_work + balance.load_work), copies * balance.dissipated, rounds,
            self.circuit.small_signal.resistance() if np.any(self.potential.x.array) else 0.0,
            self.properties.temperature, self.stack_pressure, float(self.circuit.contact.value),
        )  # fmt: skip

    def snapshot(self) -> dict[str, Any]:
        """Everything that `restore` needs (local arrays)."""
        return {
            "body": self.body.state(), "potential": self.potential.x.array.copy(), "front": self.front, "state": self.state,
            "wetted": self._wetted.x.array.copy(), "applied": float(self.applied.value), "response": self.body.response,
        }  # fmt: skip

    def resume(self, front: float) -> None:
        """Go on from fields that have been put in place."""
        self.front = front
        self._set_wetted(self.length()[0])

    def restore(self, kept: dict[str, Any]) -> None:
        """Go back to a `snapshot`."""
        self.body.restore(kept["body"])
        self.potential.x.array[:], self._wetted.x.array[:] = kept["potential"], kept["wetted"]
        self.front, self.state, self.applied.value = kept["front"], kept["state"], kept["applied"]
        self.body.response = kept["response"]

    def _sum(self, form: Any) -> float:
        return float(self.domain.comm.allreduce(fem.assemble_scalar(form)))

"""Metal plated at the electrodes of a cell, and what follows it in time: faces that move with it, media that swell by it.

The thickness plated per cross-section, h = V q/F, is found with each time step: h at the new time from the currents at both
ends of the step (trapezoid; of a first step from that at its end, as protocols count charge), the equations solved again on
the geometry that belongs to it until both agree.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from dolfinx import fem

from coupling.constants import FARADAY
from coupling.errors import RunFailure
from multiscale.transport import nernst_planck as planck
from multiscale.transport.kinetics import plating_velocity
from multiscale.transport.system import TransportSystem

AGREEMENT = 1e-11
"""Change of a thickness, over the length that its follower compares it with, up to which a step has settled."""
ROUNDS = 30
"""Solves of one step at most."""
THINNEST = 0.02
"""Share of a medium's first thickness below which a moving face has used it up."""


@dataclass(frozen=True)
class Plated:
    """Thickness of metal (m) and velocity of its surface (m/s), plating positive, by electrode, at one time."""

    thickness: Mapping[str, float]
    velocity: Mapping[str, float]


class Follower(Protocol):
    """Something that depends on the thickness plated."""

    def follow(self, now: Plated, older: Sequence[Plated], rates: Sequence[float]) -> None:
        """Take the state of a time step whose time derivative is the sum of `rates` times now, older[0], older[1]."""
        ...


class Plating:
    """What has been plated at each electrode, in time; a time stepper calls it around its solves.

    Args:
        system: whose contacts plate.
        volumes: molar volume of the metal at each electrode that counts, m³/mol.
        area: of the cross-section that thickness is counted on, m² (m in 2-D, 1 in 1-D).
        length: with which changes of thickness are compared, m.
        followers: of the thickness.
    """

    def __init__(
        self, system: TransportSystem, volumes: Mapping[str, float], area: float, length: float, followers: Sequence[Follower]
    ) -> None:
        self.system, self.volumes, self.area, self.length = system, dict(volumes), area, length
        self.followers = tuple(followers)
        nothing = dict.fromkeys(self.volumes, 0.0)
        self.history: dict[float, Plated] = {0.0: Plated(nothing, nothing)}
        self.now = self.history[0.0]
        self._error = 0.0

    def begin(self, past: Sequence[float], step: float, rates: Sequence[float]) -> None:
        """Before the solve of a step from past times (the youngest first): guess the thickness, extrapolating its velocity."""
        self._older = [self.history[time] for time in past[:2]]
        self._step, self._rates, self._time = step, tuple(rates), past[0] + step
        last, velocity = self._older[0], dict(self._older[0].velocity)
        if len(self._older) > 1:
            slope = {s: (velocity[s] - v) / (past[0] - past[1]) for s, v in self._older[1].velocity.items()}
            velocity = {s: v + slope[s] * step / 2 for s, v in velocity.items()}
        self._guess = {s: h + step * velocity[s] for s, h in last.thickness.items()}
        self._rounds = 0
        self._put(Plated(self._guess, velocity))

    def settled(self) -> bool:
        """After a solve: correct the thickness by the current just found; whether that changed nothing any more.

        Raises:
            RunFailure: it does not settle.
        """
        last, found = self._older[0], self._velocities()
        mean = found if len(self._older) == 1 else {s: (found[s] + last.velocity[s]) / 2 for s in found}
        thickness = {s: h + self._step * mean[s] for s, h in last.thickness.items()}
        change = max(abs(thickness[s] - self.now.thickness[s]) for s in thickness)
        self._error = max(abs(thickness[s] - self._guess[s]) for s in thickness) / self.length
        self._rounds += 1
        if self._rounds > ROUNDS:
            raise RunFailure("the thickness plated in a time step does not settle")
        if change <= AGREEMENT * self.length:
            self.now = Plated(thickness, found)
            self.history[self._time] = self.now
            return True
        self._put(Plated(thickness, found))
        return False

    @property
    def error(self) -> float:
        """Distance of the last step's guess from what was found, over `length`: bounds the error of the step."""
        return self._error

    def keep(self, times: Sequence[float]) -> None:
        """Forget every time but these (those of the states that a time stepper holds)."""
        self.history = {time: self.history[time] for time in times}
        self.now = self.history[times[0]]

    def back(self, time: float) -> None:
        """Put the geometry back to an earlier time of the history."""
        self.now = self.history[time]
        for follower in self.followers:
            follower.follow(self.now, [self.now], (0.0, 0.0, 0.0))

    @contextmanager
    def at_rest(self) -> Iterator[None]:
        """The geometry as it was before anything was plated, for as long as the block lasts."""
        nothing = dict.fromkeys(self.volumes, 0.0)
        start, now = Plated(nothing, nothing), self.now
        for follower in self.followers:
            follower.follow(start, [start], (0.0, 0.0, 0.0))
        yield
        for follower in self.followers:
            follower.follow(now, [now], (0.0, 0.0, 0.0))

    def notes(self) -> list[Any]:
        """What a checkpoint keeps."""
        return [[time, dict(p.thickness), dict(p.velocity)] for time, p in self.history.items()]

    def restore(self, notes: Sequence[Any], time: float) -> None:
        """Go on from the notes of a checkpoint at a time."""
        self.history = {t: Plated(h, v) for t, h, v in notes}
        self.back(time)

    def _put(self, now: Plated) -> None:
        self.now = now
        for follower in self.followers:
            follower.follow(now, self._older, self._rates)

    def _velocities(self) -> dict[str, float]:
        """Velocity of each metal surface by the present solution, m/s, plating positive."""
        contacts = self.system.contacts
        return {s: float(plating_velocity(contacts[s].current / self.area, V)) for s, V in self.volumes.items()}


class MovingFaces:
    """The mesh of a cell of flat layers whose outer faces move; each layer is stretched evenly, inner faces stay.

    Concentrations are carried as on any moving mesh: ∂c/∂t keeps its amount, (λ c)˙/λ with the stretch λ of the layer, and the
    flux counts relative to the mesh, N - c v (`sweep`). A face that an ion does not pass sweeps it along.

    Args:
        system: before its first solve.
        axis: coordinate of the depth, which starts at 0 at the working electrode.
        depths: of each medium of the system, from where to where, m, in order.
        moves: for each electrode that moves, how far its face moves inwards (into the cell) per thickness plated: 1 where the
            metal takes the place of the medium, -1 where the medium grows by what is plated.
        ends: names of the electrodes at the beginning and at the end of the depth.
    """

    def __init__(
        self, system: TransportSystem, axis: int, depths: Mapping[str, tuple[float, float]], moves: Mapping[str, float],
        ends: tuple[str, str],
    ) -> None:  # fmt: skip
        domain = system.domain
        self.axis, self.moves, self.ends = axis, moves, ends
        self.media = tuple(depths)
        self.rest = np.array([depths[self.media[0]][0], *(bottom for _, bottom in depths.values())])
        self._x = domain.mesh.geometry.x
        self._nodes = self._x[:, axis].copy()
        self.faces = self.rest.copy()
        self.velocity = fem.Function(fem.functionspace(domain.mesh, ("P", 1, (domain.dimension,))))
        self.stretch = {name: (domain.constant(1.0), domain.constant(1.0)) for name in self.media}
        for name in self.moving:
            sweep(system, name, self.velocity, self.stretch[name])

    @property
    def moving(self) -> tuple[str, ...]:
        """Media that are stretched."""
        outer = dict(zip(self.ends, (self.media[0], self.media[-1]), strict=True))
        return tuple(dict.fromkeys(outer[side] for side in self.ends if side in self.moves))

    def place(self, thickness: Mapping[str, float]) -> np.ndarray:
        """Depths of all faces when so much is plated, m."""
        faces = self.rest.copy()
        first, last = (self.moves.get(side, 0.0) * thickness.get(side, 0.0) for side in self.ends)
        faces[0], faces[-1] = faces[0] + first, faces[-1] - last
        return faces

    def thicknesses(self, plated: Plated) -> dict[str, float]:
        """Thickness of each medium, m."""
        return dict(zip(self.media, np.diff(self.place(plated.thickness)).tolist(), strict=True))

    def depths(self, plated: Plated, medium: str, at_rest: np.ndarray) -> np.ndarray:
        """Where points of a medium lie that lay at some depths before anything moved, m."""
        return np.interp(at_rest, self.rest, self.place(plated.thickness))

    def follow(self, now: Plated, older: Sequence[Plated], rates: Sequence[float]) -> None:
        """Move the mesh; raises RunFailure when a layer is used up."""
        places = [self.place(plated.thickness) for plated in (now, *older)]
        widths = [np.diff(place) for place in places]
        for name, width, rest in zip(self.media, widths[0], np.diff(self.rest), strict=True):
            if width < THINNEST * rest:
                raise RunFailure(f"medium {name} is used up: the moving face has come within {max(width, 0.0):.3g} m of its end")
        self.faces = places[0]
        self._x[:, self.axis] = np.interp(self._nodes, self.rest, self.faces)
        speed = np.sum([rate * place for rate, place in zip(rates, places, strict=False)], axis=0)
        for k, name in enumerate(self.media):
            for constant, width in zip(self.stretch[name], [*widths[1:], *widths[1:]], strict=False):
                constant.value = width[k] / widths[0][k]
        axis, faces = self.axis, self.faces

        def field(x: np.ndarray) -> np.ndarray:
            values = np.zeros((self.velocity.function_space.dofmap.index_map_bs, x.shape[1]))
            values[axis] = np.interp(x[axis], faces, speed)
            return values

        self.velocity.interpolate(field)


def sweep(system: TransportSystem, medium: str, velocity: Any, stretch: Sequence[Any]) -> None:
    """Let the mesh of a medium move: adds what that changes in its balances to the equations (before the first solve).

    Strong form (λ c)˙/λ + ∇·(N - c v) = R;  weak form, beside that of a mesh at rest,
    ∫ Σ_k r_k (λ_k/λ - 1) c_k w dx + ∫ c v·∇w dx over the older states k, whose natural boundary term is the flux relative to
    the moving face: what does not react there is swept along.

    ======  ========  =======
    symbol  variable  unit
    ======  ========  =======
    v       velocity  m/s, of the mesh
    λ_k/λ   stretch   1; width of the medium at the older states over that now
    r_k     system.rates  1/s, of the time derivative
    ======  ========  =======

    Source: the arbitrary Lagrangian-Eulerian form with the conserved quantity in the time derivative (Donea, Huerta, Ponthot &
    Rodriguez-Ferran, Encyclopedia of Computational Mechanics 1, ch. 14), exact in the amount for an even stretch.
    """
    m, dx = system.media[medium], system.domain.dx(*system.media[medium].regions)
    for ion in m.independent:
        i = system.index[medium, ion.name]
        w, states = system.test[i], zip(system.rates[1:], stretch, system.older, strict=True)
        change = sum(rate * (λ - 1) * older[i] for rate, λ, older in states)
        swept = planck.divergence(system.u[i] * velocity, w, dx)
        system.residual += FARADAY * (planck.storage(change, w, dx) - swept)


class HostedLithium:
    """A medium that takes plated lithium up: a volume change J = V q A/(F Ω), Ω its volume (a number that forms use).

    Args:
        constant: J.
        side: electrode whose lithium it takes up.
        share: cross-section over the medium's volume, 1/m.
    """

    def __init__(self, constant: fem.Constant, side: str, share: float) -> None:
        self.constant, self.side, self.share = constant, side, share

    def follow(self, now: Plated, older: Sequence[Plated], rates: Sequence[float]) -> None:
        """Set J."""
        self.constant.value = now.thickness[self.side] * self.share

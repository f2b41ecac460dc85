"""Small-signal impedance of a transport system, from its equations linearised about a steady state.

A periodic current density δj exp(iωt) enters at the working electrode; every field answers with a complex amplitude:

    (K + iωM) δu = -∂R/∂j δj,   K = ∂R/∂u,   M = ∂R/∂(∂u/∂t),   Z(ω) = δV/δj

with the residual R of `TransportSystem`, its stores (ions, double layers, displacement) in M. Nothing is fitted or
approximated beyond the mesh. Source: Newman & Thomas-Alyea, Electrochemical Systems; Lasia, Electrochemical Impedance
Spectroscopy and its Applications (2014).
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import ufl
from dolfinx import fem

from coupling.errors import RunFailure, UserError
from multiscale.domain import integral
from multiscale.solvers.constrained import prolongation
from multiscale.solvers.harmonic import HarmonicSolver
from multiscale.solvers.solver import SMALLEST, PETSc, assemble_into
from multiscale.transport.media import FILM, POTENTIAL
from multiscale.transport.nernst_planck import Poisson, SingleIon
from multiscale.transport.power_split import PowerSplit
from multiscale.transport.single_ion import flux
from multiscale.transport.system import Contact, TransportSystem

UNSTEADY = 1e-6
"""Residual over |J| |u| above which a state does not count as steady."""


@dataclass(frozen=True)
class Part:
    """Share of an impedance that one place and one cause give, ohm m² at each frequency.

    Attributes:
        place: medium (or region of an Ohmic medium of several), or boundary of an electrode or interface.
        cause: "conduction" or "charge transfer" (with all concentrations held; an interface resistance counts as the latter),
            or "concentration" (what their change adds).
        impedance: complex, shape (n,).
    """

    place: str
    cause: str
    impedance: np.ndarray


@dataclass(frozen=True)
class Spectrum:
    """Impedance over frequencies.

    Attributes:
        frequencies: Hz, shape (n,).
        impedance: complex, ohm m², shape (n,).
        parts: that add up to it; empty where the current branches beside Poisson's equation.
    """

    frequencies: np.ndarray
    impedance: np.ndarray
    parts: tuple[Part, ...] = ()

    def scaled(self, factor: float) -> "Spectrum":
        """The same on another area."""
        parts = tuple(Part(part.place, part.cause, factor * part.impedance) for part in self.parts)
        return Spectrum(self.frequencies, factor * self.impedance, parts)


@dataclass(frozen=True)
class _Station:
    """A place where a potential is read, and what lies between it and the next one.

    Attributes:
        field: which unknown.
        boundary, inner: where, and whether that lies inside the mesh.
        place, cause: of the part that begins here.
    """

    field: tuple[str, str]
    boundary: str
    inner: bool
    place: str
    cause: str


class _Dissipation:
    """Integrals ∫ (κ + iωε) ∇φ·∇φ dx over the regions of an Ohmic medium (Tellegen: without conjugates they add up to Z)."""

    def __init__(self, system: TransportSystem, medium: str) -> None:
        """Compile them for every cell at once."""
        m, domain = system.media[medium], system.domain
        self.system, self.names, i = system, m.regions, system.index[medium, POTENTIAL]
        self._one, self._two = fem.Function(system.space), fem.Function(system.space)
        self._cells = fem.Function(fem.functionspace(domain.mesh, ("DG", 0)))
        v = ufl.TestFunction(self._cells.function_space)
        closure = m.closure
        assert isinstance(closure, SingleIon)  # media of Ohm's law alone come here
        values = [value for value in (closure.conductivity, closure.permittivity) if value is not None]
        gradients = ufl.grad(self._one[i]), ufl.grad(self._two[i])
        self._forms = [fem.form(v * ufl.dot(flux(k, gradients[0]), gradients[1]) * domain.dx(*m.regions)) for k in values]

    def shares(self, answer: np.ndarray, ω: float) -> dict[str, complex]:
        """Share of each region."""
        found = {name: 0j for name in self.names}
        pairs = ((answer.real, answer.real, 1), (answer.imag, answer.imag, -1), (answer.real, answer.imag, 2j))
        for form, weight in zip(self._forms, (1.0, 1j * ω), strict=False):
            for one, two, unit in pairs:
                self._one.x.array[:], self._two.x.array[:] = one, two
                for name, value in self._of_regions(form).items():
                    found[name] += weight * unit * value
        total = sum(found.values())
        return {name: value / total if total else 0j for name, value in found.items()}

    def _of_regions(self, form: Any) -> dict[str, float]:
        assemble_into(self._cells.x.petsc_vec, form)
        owned = self._cells.function_space.dofmap.index_map.size_local
        dofs, domain = self._cells.function_space.dofmap.list[:, 0], self.system.domain
        sums = [float(self._cells.x.array[(d := dofs[domain.cells(name)])[d < owned]].sum()) for name in self.names]
        return {name: domain.comm.allreduce(value) for name, value in zip(self.names, sums, strict=True)}


def _chain(system: TransportSystem, contact: Contact) -> list[_Station]:
    """Stations from the working metal through every medium in turn; the metal alone where the way branches (`PowerSplit`).

    Along it faces (with a film: two parts) and media alternate.
    """
    medium, here = contact.electrode.medium, contact.electrode.boundary
    whole = _Station(("metal", contact.electrode.body), here, False, here, "charge transfer")
    if len(contact.electrodes) > 1 or system.networks:
        return [whole]

    def crossing(start: tuple[str, str], boundary: str, inner: bool, film_first: bool) -> list[_Station]:
        film = (FILM, boundary)
        if film not in system.index:
            return [_Station(start, boundary, inner, boundary, "charge transfer")]
        causes = ("film", "charge transfer") if film_first else ("charge transfer", "film")
        return [_Station(f, boundary, inner, boundary, cause) for f, cause in zip((start, film), causes, strict=True)]

    def conduction(name: str, boundary: str, inner: bool = False) -> _Station:
        return _Station((name, POTENTIAL), boundary, inner, name, "conduction")

    stations = [*crossing(whole.field, here, False, False), conduction(medium, here)]
    while True:
        onward = [j for j in system.interfaces.values() if medium in (j.first, j.second) and j.boundary != here]
        ends = [e for e in system.electrodes if e.medium == medium and e.boundary != here]
        if len(onward) + len(ends) > 1:
            return [whole]
        if ends:
            end = ends[0].boundary
            last = _Station(("metal", ends[0].body), end, False, "", "")
            return [*stations, *crossing((medium, POTENTIAL), end, False, True), last]
        if not onward:
            return stations
        j = onward[0]
        here, following = j.boundary, j.second if j.first == medium else j.first
        stations += [*crossing((medium, POTENTIAL), here, True, j.first == medium), conduction(following, here, True)]
        medium = following


def _mean(system: TransportSystem, station: _Station, field: fem.Function) -> tuple[Any, float]:
    """Compiled integral of a component of `field` over the station's boundary, and the boundary's area."""
    domain = system.domain
    measure = domain.dS(station.boundary) if station.inner else domain.ds(station.boundary)
    value = field[system.index[station.field]]
    return fem.form((value("+") if station.inner else value) * measure), integral(domain.constant(1.0) * measure)


@contextmanager
def _current_driven(system: TransportSystem, contact: Contact) -> Iterator[None]:
    """The system in steady form with the contact's current as its input, and one unit of M per older state."""
    constants = contact.controlled, contact.held, contact.voltage, contact.current_density, *system.rates
    before = [float(constant.value) for constant in constants]
    for constant in system.rates:
        constant.value = 0.0
    contact.control_current(contact.mean_current_density)
    try:
        yield
    finally:
        for constant, value in zip(constants, before, strict=True):
            constant.value = value


class LinearResponse:
    """Answers of a system to a small current at one electrode, about its present state.

    Args:
        system: at a steady state, with another electrode held at a potential (or a potential fixed), the reference.
        working: name of the electrode whose current varies.
        labels: where the current branches, what media, boundaries and networks are called in the parts.

    Raises:
        UserError: no such electrode.
        RunFailure: the present state is not steady.
    """

    def __init__(self, system: TransportSystem, working: str, labels: Mapping[str, str] | None = None) -> None:
        """Assemble the linearised equations; the system is left as it was."""
        if working not in system.contacts:
            raise UserError(f"there is no electrode at {working}; there are: {', '.join(system.contacts) or 'none'}")
        self.system, self.contact = system, system.contacts[working]
        self._probe = fem.Function(system.space)
        self.stations = _chain(system, self.contact)
        ohmic = [m.name for m in system.media.values() if isinstance(m.closure, SingleIon) and len(m.regions) > 1]
        self._dissipation = {name: _Dissipation(system, name) for name in ohmic}
        self._means = [_mean(system, station, self._probe) for station in self.stations]
        branches = len(self.stations) == 1 and PowerSplit.possible(system)
        self._split = PowerSplit(system, self.contact, labels) if branches else None
        with _current_driven(system, self.contact):
            self._assemble()
            self._require_steady()

    def _assemble(self) -> None:
        system, contact = self.system, self.contact
        trial, (_, test) = ufl.TrialFunction(system.space), system.metal(contact.electrode)
        stiffness = system.solver.J
        stored = system.older[0] in system.residual.coefficients()
        mass = fem.form(ufl.derivative(system.residual, system.older[0], trial)) if stored else None
        drive = fem.form(test * system.domain.ds(*contact.boundaries))
        groups = [system.dofs(*name) for name in system.index if name[0] == "metal"]
        system.rates[1].value = 1.0  # so that ∂R/∂(older state) is M
        potentials = [system.dofs(*name) for name in system.index if name[0] == FILM or name[1] == POTENTIAL]
        common = system.space, stiffness, mass, drive, system.bcs
        self._whole = HarmonicSolver(*common, system.solver.P)
        self._held: HarmonicSolver | None = None
        separable = not any(isinstance(m.closure, Poisson) for m in system.media.values())
        if separable and any(m.independent for m in system.media.values()):
            self._held = HarmonicSolver(*common, prolongation(system.space, np.concatenate(potentials), groups))
        system.rates[1].value = 0.0

    def _require_steady(self) -> None:
        system, P = self.system, self.system.solver.P
        full = fem.Function(system.space)
        assemble_into(full.x.petsc_vec, system.solver.F)
        full.x.petsc_vec.ghostUpdate(addv=PETSc.InsertMode.ADD, mode=PETSc.ScatterMode.REVERSE)
        for bc in system.bcs:
            full.x.array[bc.dof_indices()[0]] = 0.0
        left, _ = P.createVecs()
        P.multTranspose(full.x.petsc_vec, left)
        state, count = left.duplicate(), left.duplicate()
        P.multTranspose(system.u.x.petsc_vec, state)
        full.x.array[:] = 1.0
        P.multTranspose(full.x.petsc_vec, count)
        state.pointwiseDivide(state, count)
        size = (self._whole.K.getDiagonal() * state).norm()
        if left.norm() > UNSTEADY * max(size, SMALLEST):
            told = "solve it, or run it in time until nothing changes"
            raise RunFailure(f"impedance: the state is not steady (residual {left.norm():.3g} of {size:.3g}); {told}")

    def at(self, frequency: float) -> tuple[complex, list[Part]]:
        """Impedance (ohm m²) and its parts at a frequency, Hz; 0 gives the steady resistance. Raises RunFailure."""
        ω = 2 * math.pi * frequency
        answer = self._whole.solve(ω)
        marks = self._read(answer)
        held = self._held.solve(ω) if self._held else None
        if self._split is not None:
            return marks[0] - marks[-1], self._branches(answer, held, ω)
        if held is None:
            return marks[0] - marks[-1], self._parts(marks, None, answer, ω)
        return marks[0] - marks[-1], self._parts(marks, self._read(held), held, ω)

    def spectrum(self, frequencies: Sequence[float] | np.ndarray) -> Spectrum:
        """Impedance over frequencies (Hz). Raises UserError for negative ones, RunFailure."""
        f = np.asarray(frequencies, dtype=float)
        if f.ndim != 1 or not len(f) or not np.all(np.isfinite(f) & (f >= 0)):
            raise UserError(f"frequencies must be finite and not negative; read {f.tolist()}")
        rows = [self.at(float(value)) for value in f]
        parts = tuple(
            Part(part.place, part.cause, np.array([row[1][k].impedance for row in rows])) for k, part in enumerate(rows[0][1])
        )
        return Spectrum(f, np.array([row[0] for row in rows]), parts)

    def _read(self, answer: np.ndarray) -> list[complex]:
        """Amplitude of the potential at each station, and at the fixed reference (0) where the chain ends at one."""
        values = []
        for compiled, area in self._means:
            amplitude = 0j
            for part, unit in ((answer.real, 1.0), (answer.imag, 1j)):
                self._probe.x.array[:] = part
                amplitude += unit * integral(compiled) / area
            values.append(amplitude)
        return values if len(values) > 1 and self.stations[-1].field[0] == "metal" else [*values, 0j]

    def _parts(self, whole: list[complex], held: list[complex] | None, answer: np.ndarray, ω: float) -> list[Part]:
        parts: list[Part] = []
        if len(self.stations) == 1:
            return parts
        for k, station in enumerate(self.stations[: len(whole) - 1]):
            everything = whole[k] - whole[k + 1]
            share = everything if held is None else held[k] - held[k + 1]
            for place, fraction in self._regions(station, answer, ω).items():
                parts.append(Part(place, station.cause, np.asarray(share * fraction)))
            if held is not None:
                parts.append(Part(station.place, "concentration", np.asarray(everything - share)))
        return parts

    def _branches(self, answer: np.ndarray, held: np.ndarray | None, ω: float) -> list[Part]:
        """Parts of a system in which the current branches; what the change of concentrations adds, by place."""
        assert self._split is not None
        whole = self._split.parts(answer, ω)
        if held is None:
            return [Part(place, cause, np.asarray(value)) for (place, cause), value in whole.items()]
        still = self._split.parts(held, ω)
        added: dict[str, complex] = {}
        for key, value in whole.items():
            added[key[0]] = added.get(key[0], 0j) + value - still[key]
        parts = [Part(place, cause, np.asarray(value)) for (place, cause), value in still.items()]
        return parts + [Part(place, "concentration", np.asarray(value)) for place, value in added.items()]

    def _regions(self, station: _Station, answer: np.ndarray, ω: float) -> dict[str, complex]:
        """Shares of the regions of an Ohmic medium in its part: ∫ (κ + iωε) ∇φ·∇φ dx of each over the sum, without conjugates."""
        dissipation = self._dissipation.get(station.place) if station.cause == "conduction" else None
        if dissipation is None:
            return {station.place: 1.0}
        return dissipation.shares(answer, ω)


def impedance(system: TransportSystem, working: str, frequencies: Sequence[float] | np.ndarray) -> Spectrum:
    """Impedance of a system between an electrode and the reference, about its present steady state.

    Args:
        system, working: as `LinearResponse`.
        frequencies: Hz; 0 is the steady resistance.

    Raises:
        UserError, RunFailure: as `LinearResponse` and `LinearResponse.spectrum`.
    """
    return LinearResponse(system, working).spectrum(frequencies)


def dc_resistance(system: TransportSystem, working: str) -> float:
    """Steady differential resistance dV/dj, ohm m². Raises as `impedance`."""
    return float(LinearResponse(system, working).at(0.0)[0].real)

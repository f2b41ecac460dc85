"""Initiation: the applied current at which lithium plated into a surface flaw breaks the electrolyte (docs/physics.md 3).

Steady state at an applied plating current i:

* ∇·(κ ∇φ) = 0 in the solid, i·n = i at the counter electrode, Butler-Volmer with pressure-shifted equilibrium on
  the lithium (φ_s = 0): stack pressure on the flat surface, flaw pressure p_f on the faces of the flaw;
* lithium balance of the flaw  V/F ∫(-i_n) ds = Q(p_f): what is plated leaves by creep through the mouth. Without
  creep the net current into the flaw is zero: plating near the tip stalls against dissolution near the mouth;
* K_I is linear in p_f and the stack pressure; the flaw grows when it reaches the local toughness.

The flaw's pressure is taken uniform, so lithium redistributes freely inside the flaw: an upper estimate of the critical
current where the potential varies along the flaw. `stalled_critical_current` is the lower one: nothing moves, every
point stalls by itself and the pressure of the tip loads the whole flaw. Together they are the error of this closure;
they agree where kinetics dominate (large Wagner number) and part where the flux detours (docs/physics.md 1.6, V24).
p_f grows with i, so the critical current is the root in i of the balance taken at the pressure of fracture.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import ufl
from dolfinx import fem
from scipy.optimize import brentq

from coupling.constants import FARADAY, LITHIUM_MOLAR_VOLUME
from coupling.errors import RunFailure, UserError
from meshes.polycrystal import LayeredCell
from multiscale.critical_current.cell_properties import CellProperties
from multiscale.domain import Domain, fill, piecewise
from multiscale.materials import Elastic, Stiffness
from multiscale.mechanics.extrusion import extrusion_rate
from multiscale.mechanics.flaw import FlawMechanics, FlawResponse
from multiscale.mechanics.random_field import RandomField
from multiscale.solvers.newton import NonlinearSolver
from multiscale.solvers.root import rising_root
from multiscale.solvers.solver import SolveReport, unknowns_of
from multiscale.transport.kinetics import butler_volmer, overpotential_at, stall_pressure
from multiscale.transport.single_ion import current_inflow, ohmic_conduction

LARGEST_CURRENT = 1e4
"""Applied current density (A/m²) up to which the critical current is sought unless the caller says otherwise."""
ROOT_TOLERANCE = 1e-11
"""Relative tolerance of flaw pressure and critical current."""
SURFACE_DEGREE = 6
"""Quadrature degree on the lithium surface, the same in every form so that currents balance to rounding."""


@dataclass(frozen=True)
class State:
    """The steady state at one applied current.

    Attributes:
        current_density: applied, A/m² (positive when the lithium is plated).
        flaw_pressure: p_f, Pa.
        stall_pressure: F |Δ|/V at the hottest spot of the lithium surface, Pa: the thermodynamic limit of p_f.
        stress_intensity: K_I of the flaw, Pa m^½.
        toughness: K_Ic that it is compared with, Pa m^½.
        hot_spot_overpotential: Δ = φ_s - φ_e of largest magnitude on the lithium surface, V (negative).
        flaw_current: net current into the flaw, A per metre of depth (positive plating).
        plated_current: plating part of it alone, A/m; the difference is dissolved again near the mouth.
        extrusion_share: extruded part of what is plated into the flaw.
        charge_imbalance: |in - out| over in, as the field solve left it.
        report: of the last field solve.
    """

    current_density: float
    flaw_pressure: float
    stall_pressure: float
    stress_intensity: float
    toughness: float
    hot_spot_overpotential: float
    flaw_current: float
    plated_current: float
    extrusion_share: float
    charge_imbalance: float
    report: SolveReport


@dataclass(frozen=True)
class Critical:
    """The critical current of initiation.

    Attributes:
        current_density: A/m²; the bound itself when `bound` is "lower".
        bound: "lower" when no initiation was found up to the largest current tried, else None.
        limited_by: "stall" (what is plated is mostly dissolved again), "extrusion" (most of it creeps out of the
            mouth), or "stack" (the stack pressure alone opens the flaw; the critical current is zero).
        state: at that current.
        solves: field solves it took.
    """

    current_density: float
    bound: Literal["lower"] | None
    limited_by: Literal["stall", "extrusion", "stack"]
    state: State
    solves: int


@dataclass(frozen=True)
class Unevenness:
    """Nano-mechanical inhomogeneity of the polycrystal: random factors of its moduli and of its toughness."""

    modulus: RandomField
    toughness: RandomField


@dataclass(frozen=True)
class _Forms:
    """Compiled integrals over the lithium surface, A/m."""

    flaw: Any
    plated: Any
    flat: Any
    slope: Any


class InitiationModel:
    """Field solves, flaw balance and fracture of one cell; new properties cost no compilation and no mesh.

    Args:
        domain: of `layered_domain`.
        cell: its geometry.
        properties: of its materials.
        degree: of the potential and the displacement.
        unevenness: random fields of modulus and toughness of the polycrystal; None for even ones.

    Raises:
        UserError: the cell has no flaw, or a region has no property.
    """

    def __init__(
        self, domain: Domain, cell: LayeredCell, properties: CellProperties, degree: int = 2, unevenness: Unevenness | None = None
    ) -> None:
        """Compile the forms."""
        if cell.flaw is None:
            raise UserError("geometry.flaw: initiation needs a flaw; give one or leave the mechanism out")
        self.domain, self.cell = domain, cell
        self.space = fem.functionspace(domain.mesh, ("P", degree))
        self.potential = fem.Function(self.space, name="potential_V")
        self.conductivity = piecewise(domain, dict.fromkeys(domain.regions, 1.0))
        self.applied = domain.constant(0.0)
        names = ("i0", "temperature", "anodic", "mechanical", "stack", "flaw", "open")
        self._constants = {name: domain.constant(1.0) for name in names}
        self._solver = NonlinearSolver(self._residual(), self.potential, spd=True)
        self._forms = self._compile()
        self._surface = _surface_unknowns(domain, self.space)
        self._mechanics = FlawMechanics(domain, cell, degree, unevenness.modulus if unevenness else None)
        tip = np.array([[cell.middle, cell.flaw.depth]])
        self._toughness_factor = float(unevenness.toughness.factor(tip)[0]) if unevenness else 1.0
        self._elastic: Mapping[str, Elastic] | None = None
        self._solves = 0
        self.update(properties)

    @property
    def unknowns(self) -> int:
        """Unknowns of the potential."""
        return unknowns_of(self.space)

    @property
    def displacement(self) -> fem.Function:
        """Displacement under the present pressures, m."""
        return self._mechanics.combined(float(self._constants["flaw"].value), self.properties.stack_pressure)

    @property
    def stiffness(self) -> Stiffness:
        """Lamé fields, Pa."""
        return self._mechanics.stiffness

    def surface_current(self, boundary: Literal["lithium", "flaw"]) -> Any:
        """i_n on one part of the lithium surface, A/m² (UFL; negative when plating)."""
        c = self._constants
        pressure = c["stack"] if boundary == "lithium" else c["flaw"]
        return butler_volmer(
            -self.potential, c["i0"], c["anodic"], 1 - c["anodic"], c["temperature"], pressure, c["mechanical"]
        )

    def _residual(self) -> Any:
        test = ufl.TestFunction(self.space)
        form = ohmic_conduction(self.conductivity, self.potential, test, self.domain.dx())
        form += current_inflow(self.applied, test, self.domain.ds("counter"))
        form += current_inflow(self.surface_current("lithium"), test, self.ds("lithium"))
        return form + current_inflow(self._constants["open"] * self.surface_current("flaw"), test, self.ds("flaw"))

    def ds(self, *boundaries: str) -> Any:
        """Surface measure of the lithium boundaries, with the quadrature of the field equation."""
        return self.domain.ds(*boundaries, degree=SURFACE_DEGREE)

    def _compile(self) -> _Forms:
        into_flaw, into_flat = -self.surface_current("flaw"), -self.surface_current("lithium")
        plated, opened = ufl.max_value(into_flaw, 0.0), self._constants["open"] * into_flaw
        one = fem.Function(self.space)
        one.x.array[:] = 1.0
        return _Forms(
            fem.form(into_flaw * self.ds("flaw")),
            fem.form(plated * self.ds("flaw")),
            fem.form(into_flat * self.ds("lithium")),
            fem.form(ufl.derivative(into_flat * self.ds("lithium") + opened * self.ds("flaw"), self.potential, one)),
        )

    def update(self, properties: CellProperties) -> None:
        """Take new properties: fills fields and constants, solves the elastic unit loads again only if they changed."""
        self.properties = properties
        regions = set(self.domain.regions)
        missing = regions - (set(properties.conductivity) & set(properties.elastic))
        if missing:
            raise UserError(f"no properties for the region(s) {', '.join(sorted(missing))}")
        fill(self.conductivity, self.domain, {name: properties.conductivity[name] for name in regions})
        mechanical = properties.mechanical_transfer
        values = {
            "i0": properties.exchange_current_density, "temperature": properties.temperature,
            "anodic": properties.anodic_transfer, "stack": properties.stack_pressure,
            "mechanical": 1 - properties.anodic_transfer if mechanical is None else mechanical,
        }  # fmt: skip
        for name, value in values.items():
            self._constants[name].value = value
        if self._elastic != properties.elastic:
            self.response: FlawResponse = self._mechanics.response(properties.elastic)
            self._elastic = dict(properties.elastic)

    def start_over(self, properties: CellProperties) -> None:
        """As if new, with other properties: nothing that follows depends on what was solved before."""
        self.potential.x.array[:] = 0.0
        self.update(properties)

    @property
    def toughness(self) -> float:
        """K_Ic at the flaw's tip, Pa m^½: of the boundary if the flaw sits on one, else of the grain, and of the place."""
        assert self.cell.flaw is not None
        on_boundary = self.cell.flaw.at == "boundary"
        even = self.properties.boundary_toughness if on_boundary else self.properties.grain_toughness
        return self._toughness_factor * even

    def solve_field(self, current_density: float, flaw_pressure: float) -> SolveReport:
        """Solve the potential at an applied current and a flaw pressure, from the last solution.

        Raises:
            RunFailure: no convergence.
        """
        if not np.any(self.potential.x.array):
            flat = -overpotential_at(
                -current_density, self.properties.exchange_current_density, self.properties.anodic_transfer,
                temperature=self.properties.temperature,
            )  # fmt: skip
            self.potential.x.array[:] = flat
        self.applied.value, self._constants["flaw"].value = current_density, flaw_pressure
        self._solves += 1
        return self._solver.solve()

    def extrusion(self, flaw_pressure: float) -> float:
        """Lithium that creeps out of the mouth at a flaw pressure, m²/s (volume per time and depth)."""
        creep, stack = self.properties.creep, self.properties.stack_pressure
        if creep is None:
            return 0.0
        opening = self.response.half_opening(flaw_pressure, stack)
        drop = flaw_pressure - stack
        return extrusion_rate(drop, self.response.distance, opening, creep, self.properties.temperature)

    def imbalance(self, current_density: float, flaw_pressure: float) -> float:
        """Net current into the flaw less what creeps out of it, A/m: zero in the steady state.

        Rises with the applied current and falls with the flaw pressure. Where nothing moves in the flaw, what the hottest
        spot's stall pressure exceeds the flaw's by, relative to it: zero at the same place.
        """
        self.solve_field(current_density, flaw_pressure)
        if not self._constants["open"].value:
            return stall_pressure(self.hot_spot()) / flaw_pressure - 1
        leaving = self.extrusion(flaw_pressure) * FARADAY / LITHIUM_MOLAR_VOLUME
        return self._assemble(self._forms.flaw) - leaving

    def at_current(self, current_density: float) -> State:
        """Steady state at an applied plating current density (A/m², positive).

        Raises:
            RunFailure: a field solve failed, or the flaw pressure could not be bracketed.
        """
        low = self.properties.stack_pressure
        self.imbalance(current_density, low)
        stall = max(stall_pressure(self.hot_spot()), low + 1e3)
        high = self._pressure_to_extrude(current_density * self.cell.width, low, stall)
        step = high - low
        for _ in range(60):
            if self.imbalance(current_density, high) <= 0:
                break
            low, high, step = high, high + step, 2 * step
        else:
            raise RunFailure(f"flaw pressure at {current_density:g} A/m² could not be bracketed below {high:g} Pa")
        pressure = self._root(lambda p: self.imbalance(current_density, p), low, high)
        return self._state(current_density, pressure)

    def _pressure_to_extrude(self, line_current: float, low: float, high: float) -> float:
        """Flaw pressure at which a current (A/m) could leave by creep, Pa, or `high` if that is not enough."""
        volume = line_current * LITHIUM_MOLAR_VOLUME / FARADAY
        if self.extrusion(high) <= volume:
            return high
        return self._root(lambda pressure: self.extrusion(pressure) - volume, low, high)

    def critical_current(self, largest: float = LARGEST_CURRENT, guess: float | None = None) -> Critical:
        """Applied current density at which K_I reaches the toughness.

        Args:
            largest: current density up to which it is sought, A/m²; beyond it the answer is a lower bound.
            guess: where to look first (from a coarser mesh), A/m².

        Raises:
            RunFailure: a field solve failed.
        """
        self._solves = 0
        pressure = self.response.pressure_at(self.toughness, self.properties.stack_pressure)
        if pressure <= self.properties.stack_pressure:
            return Critical(0.0, None, "stack", self._state(0.0, pressure), self._solves)
        balance = self._told(lambda current: self.imbalance(current, pressure))
        found = rising_root(balance, guess or self._first_guess(pressure), largest, ROOT_TOLERANCE)
        if found is None:
            return self._bounded(largest)
        state = self._state(found, pressure)
        limit: Literal["stall", "extrusion"] = "extrusion" if state.extrusion_share > 0.5 else "stall"
        return Critical(state.current_density, None, limit, state, self._solves)

    def stalled_critical_current(self, largest: float = LARGEST_CURRENT, guess: float | None = None) -> Critical:
        """Critical current if no lithium moves inside the flaw nor leaves it: every point of it stalls by itself.

        The faces then carry no current and the hottest spot's stall pressure is taken for the whole flaw, which is
        conservative. Arguments and errors as `critical_current`.
        """
        self._constants["open"].value = 0.0
        try:
            return self.critical_current(largest, guess)
        finally:
            self._constants["open"].value = 1.0

    def _bounded(self, largest: float) -> Critical:
        """The answer when the flaw survives the largest current tried."""
        state = self.at_current(largest)
        limit: Literal["stall", "extrusion"] = "extrusion" if state.extrusion_share > 0.5 else "stall"
        return Critical(largest, "lower", limit, state, self._solves)

    def _first_guess(self, pressure: float) -> float:
        """Current density of a flat surface that stalls at `pressure`, or what creep lets out if more, A/m²."""
        p = self.properties
        equilibrium = -LITHIUM_MOLAR_VOLUME * pressure / FARADAY
        flat = -float(butler_volmer(equilibrium, p.exchange_current_density, p.anodic_transfer, None, p.temperature))
        return max(flat, self.extrusion(pressure) * FARADAY / (LITHIUM_MOLAR_VOLUME * self.cell.width))

    def _root(self, function: Callable[[float], float], low: float, high: float) -> float:
        """Root of an increasing or decreasing function, the same number on every rank."""
        return self.domain.comm.bcast(brentq(self._told(function), low, high, xtol=1e-300, rtol=ROOT_TOLERANCE))

    def _told(self, function: Callable[[float], float]) -> Callable[[float], float]:
        """A function with the value of the first rank on every rank, so that all go the same way."""
        return lambda x: self.domain.comm.bcast(function(x))

    def hot_spot(self) -> float:
        """Overpotential Δ of largest magnitude (most negative) on the lithium surface, V."""
        values = self.potential.x.array[self._surface]
        from mpi4py import MPI

        return -self.domain.comm.allreduce(float(values.max(initial=-np.inf)), op=MPI.MAX)

    def _assemble(self, form: Any) -> float:
        return self.domain.comm.allreduce(fem.assemble_scalar(form))

    def _balance_charge(self) -> float:
        """Newton's step for the constant part of φ, twice: frees the charge balance of rounding, moves no current.

        Returns:
            What was lacking before, A/m: the imbalance of the field solve itself.
        """
        lacks = []
        for _ in range(2):
            net = float(self._constants["open"].value) * self._assemble(self._forms.flaw)
            lacking = float(self.applied.value) * self.cell.width - net - self._assemble(self._forms.flat)
            self.potential.x.array[:] += lacking / self._assemble(self._forms.slope)
            lacks.append(abs(lacking))
        return lacks[0]

    def _state(self, current_density: float, flaw_pressure: float) -> State:
        """Solve once more and collect what is reported."""
        report = self.solve_field(current_density, flaw_pressure)
        imbalance = self._balance_charge()
        share = float(self._constants["open"].value)
        net, plated = share * self._assemble(self._forms.flaw), share * self._assemble(self._forms.plated)
        into = current_density * self.cell.width
        out = self.extrusion(flaw_pressure) * FARADAY / LITHIUM_MOLAR_VOLUME
        hottest = self.hot_spot()
        return State(
            current_density, flaw_pressure, stall_pressure(hottest),
            self.response.stress_intensity(flaw_pressure, self.properties.stack_pressure), self.toughness, hottest,
            net, plated, out / plated if plated > 0 else 0.0, imbalance / into if into else imbalance, report,
        )  # fmt: skip


def _surface_unknowns(domain: Domain, space: fem.FunctionSpace) -> np.ndarray:
    """Owned unknowns on the lithium surface, shape (k,)."""
    domain.mesh.topology.create_connectivity(1, 2)
    found = fem.locate_dofs_topological(space, 1, domain.facets("lithium", "flaw"))
    return found[found < space.dofmap.index_map.size_local]

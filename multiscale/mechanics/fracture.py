"""A body that cracks: displacement and damage by alternate minimisation, at a given pressure or volume of the crack.

Energy of the state, Π = ∫ [g(d) ψ₊ + ψ₋] dx + ∫ Gc γ(d) dx - p V(u, d), with damage that never heals. Each step
alternates between the displacement (p scaled so that the crack holds its volume) and the damage (bounded below by the last
step's), until the damage stands still. Terms: `phase_field`; source: docs/physics.md 1.5 and 3.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import ufl
from dolfinx import fem
from mpi4py import MPI
from scipy.spatial import cKDTree

from coupling.errors import RunFailure, UserError
from multiscale.domain import Domain
from multiscale.materials import Stiffness
from multiscale.mechanics import phase_field
from multiscale.mechanics.alternation import Alternation, Turns, alternate
from multiscale.mechanics.contact import TouchingSolver, touching_energy
from multiscale.mechanics.elasticity import equilibrium, strain
from multiscale.mechanics.fatigue import Wear
from multiscale.mechanics.fracture_state import Balance, Prestress
from multiscale.mechanics.phase_field import CrackModel
from multiscale.solvers.bounded import BoundedSolver
from multiscale.solvers.solver import LinearSolver, PETSc, assemble_into, find_control, unknowns_of

REUSED_ITERATIONS = 4
"""Conjugate-gradient iterations with an old factorisation above which the matrix is factorised anew."""


class CrackedBody:
    """Displacement, damage and crack pressure of one body.

    Args:
        domain: the body.
        stiffness: Lamé fields, Pa.
        fracture_energy: Gc already divided by `CrackModel.mesh_correction`, J/m² (number, constant or field).
        model: of the crack.
        supports: Dirichlet conditions of `space(domain)`, made by a function of the space.
        moved: whether supports have values other than zero.
        wetted: cell-wise share of the crack that holds the pressure and counts in its volume (1 everywhere unless given).
        prestress: strain of the sound body under loads that are there from the start, and those loads (`Prestress`).
        alternation: of the two minimisations.
        worn: history that takes toughness away (`wear` after each step that stands), or None.
    """

    def __init__(
        self, domain: Domain, stiffness: Stiffness, fracture_energy: Any, model: CrackModel, supports: Any,
        moved: bool = False, alternation: Alternation | None = None, wetted: Any = None, prestress: Prestress | None = None,
        worn: Wear | None = None,
    ) -> None:  # fmt: skip
        """Compile every form once. Raises UserError: a prestress beside a split of the energy."""
        if prestress is not None and model.split != "none":
            told = "does not go with a stack pressure or residual stress"
            raise UserError(f'phase field: split "{model.split}" {told}; take "none"')
        self.domain, self.model, self.alternation = domain, model, alternation or Alternation()
        self.space = fem.functionspace(domain.mesh, ("P", 1, (domain.mesh.geometry.dim,)))
        scalar = fem.functionspace(domain.mesh, ("P", 1))
        self.displacement = fem.Function(self.space, name="displacement_m")
        self.damage = fem.Function(scalar, name="damage")
        self.lower, self.upper = fem.Function(scalar), fem.Function(scalar)
        self.upper.x.array[:] = 1.0
        self._p, length = domain.constant(0.0), domain.constant(model.length)
        self._loaded = moved or prestress is not None
        whole = strain(self.displacement, domain)
        whole = whole if prestress is None else whole + prestress.strain
        self.worn, self.lost = worn, 0.0
        """History of fatigue; energy spent on the crack beyond what it would cost with the toughness that is left, J (J/m)."""
        if worn is not None:
            fracture_energy = worn.share * fracture_energy
        fracture = fracture_energy * phase_field.crack_density(self.damage, model, length) * domain.dx()
        volume = phase_field.crack_volume(self.displacement, self.damage, domain, 1.0 if wetted is None else wetted)
        broken = fracture_energy * phase_field.broken_density(self.damage, self.lower, model, length) * domain.dx()
        self._fracture, self._volume, self._broken = fem.form(fracture), fem.form(volume), fem.form(broken)
        work = self._p * volume
        self._load = self._load_work = None
        if prestress is not None:
            self._load_work = load = prestress.work(self.displacement, phase_field.degradation(self.damage))
            work, self._load = work + load, fem.form(load)
        self.supports = supports(self.space)
        self._filled, self._stiffness, self._prestress = wetted, stiffness, prestress
        self._terms = whole, fracture, work, volume
        self._touching = False
        self._equations(*phase_field.split_energy(whole, stiffness, model.split, domain.mesh.geometry.dim))
        self._fresh = False
        self._rest, self._opened = np.zeros_like(self.displacement.x.array), np.zeros_like(self.displacement.x.array)
        """Displacement without pressure and what a unit pressure adds, of the last solve: first guesses of the next."""
        self.response = 0.0, 0.0
        """Volume without pressure, m³ (m²), and its change by a pressure, m³/Pa, as the last solve at a volume found them."""
        self.balance = Balance(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0)
        self.too_far: Callable[[], bool] | None = None
        """Asked at every turn whether the crack has grown by more than the step may, which then ends at once (`GrewTooFar`)."""
        self._force = fem.Function(self.space)
        self._last: dict[str, Any] = {"force": 0.0, "displacement": 0.0}

    def _equations(self, lost: Any, kept: Any) -> None:
        """Compile equilibrium and growth of damage for an elastic energy g(d) lost + kept (J/m³)."""
        _, fracture, work, volume = self._terms
        elastic = (phase_field.degradation(self.damage) * lost + kept) * self.domain.dx()
        if self.worn is not None:
            self.worn.watch(phase_field.degradation(self.damage) * lost)
        self._elastic = fem.form(elastic)
        test, trial = ufl.TestFunction(self.space), ufl.TrialFunction(self.space)
        self._linear = self.model.split == "none" and not self._touching
        self._by_displacement: Any
        if self._linear:
            bilinear = ufl.derivative(equilibrium(elastic, None, self.displacement, test), self.displacement, trial)
            linear = ufl.derivative(work, self.displacement, test)
            if self._prestress is not None:
                σ = phase_field.stress_of(self._prestress.strain, self._stiffness)
                linear -= phase_field.degradation(self.damage) * ufl.inner(σ, strain(test, self.domain)) * self.domain.dx()
            self._by_displacement = LinearSolver(
                bilinear, linear, self.displacement, self.supports, method="direct-reused"
            )
        else:
            residual = equilibrium(elastic, work, self.displacement, test)
            loaded = None if self._prestress is None else self._prestress.strain
            self._by_displacement = TouchingSolver(residual, self.displacement, self.supports, loaded, self.domain)
        q = ufl.TestFunction(self.damage.function_space)
        if self._filled is None:
            by_pressure = ufl.derivative(work, self.damage, q)
        else:
            by_pressure = self._p * phase_field.volume_by_damage(self.displacement, q, self.domain, self._filled)
            if self._load_work is not None:
                by_pressure += ufl.derivative(self._load_work, self.damage, q)
        driving = ufl.derivative(elastic + fracture, self.damage, q) - by_pressure
        self._by_damage = BoundedSolver(driving, self.damage, self.lower, self.upper, quadratic=True)
        self._forces = fem.form(equilibrium(elastic, self._p * volume, self.displacement, test))
        self._held = fem.form(equilibrium(elastic, None, self.displacement, test))

    def let_faces_touch(self, normal: Any) -> None:
        """From now on dry faces that are pressed together carry pressure (`contact`); nothing changes where lithium is.

        Args:
            normal: of the crack, vector of three.

        Raises:
            UserError: a split of the energy, or a cubic crystal.
        """
        if self.model.split != "none":
            raise UserError(f'phase field: contact of dry faces goes with split "none", not "{self.model.split}"')
        if not self._touching:
            self._touching = True
            self._equations(*touching_energy(self._terms[0], self._stiffness, self._filled, normal))

    @property
    def unknowns(self) -> int:
        """Of displacement and damage together."""
        return unknowns_of(self.space) + unknowns_of(self.damage.function_space)

    @property
    def pressure(self) -> float:
        """In the crack, Pa."""
        return float(self._p.value)

    def notch(self, inside: Any) -> None:
        """Break the nodes where `inside(x)` (x of shape (3, n)) says so, and find the damage that surrounds them.

        Raises:
            RunFailure: no node lies there, or no convergence.
        """
        space = self.damage.function_space
        here = np.asarray(inside(space.tabulate_dof_coordinates().T), dtype=bool)
        owned = int(np.sum(here[: space.dofmap.index_map.size_local]))
        if not self.domain.comm.allreduce(owned):
            raise RunFailure("the notch holds no node of the mesh; refine the mesh there or make the notch larger")
        self.lower.x.array[here] = 1.0
        self.displacement.x.array[:] = 0.0
        self._p.value = 0.0
        self.damage.x.array[:] = np.maximum(self.damage.x.array, self._around(space.tabulate_dof_coordinates(), here))
        self._by_damage.solve()
        self.lower.x.array[:] = self.damage.x.array
        elastic, fracture = self._sum(self._elastic), self._sum(self._fracture)
        self.balance = Balance(elastic, fracture, elastic + fracture, 0.0, 0.0, 0.0, 0.0, 0)
        if self._loaded:
            self._work_of_loads()

    def _around(self, points: np.ndarray, broken: np.ndarray) -> np.ndarray:
        """First guess of the damage that surrounds broken points: the profile of a straight crack by the distance from them.

        From nothing, the bounded solver frees one layer of nodes after another and gives up where l has some thirty elements.
        """
        everywhere = np.vstack(self.domain.comm.allgather(points[broken]))
        away = cKDTree(everywhere).query(points)[0] / self.model.length
        return np.maximum(1 - away / 2, 0.0) ** 2 if self.model.kind == "AT1" else np.exp(-away)

    def at_pressure(self, pressure: float) -> Balance:
        """Step to a pressure in the crack (and to the loads as they are now).

        Raises:
            RunFailure: a solve failed or the alternation did not end (the crack runs away at a fixed pressure above its
                threshold); damage, displacement and pressure are those of the last step.
        """
        return self._step(
            lambda nearly: self._displace_at_pressure(pressure, nearly),
            lambda: self._stored() - pressure * self._sum(self._volume) - self._loads(),
        )

    def at_volume(self, volume: float, at: float = 0.0, slack: float = 0.0) -> Balance:
        """Step to a volume of the crack, m³ (m²); the pressure follows.

        Args:
            volume: that is to be held, at the pressure `at` where there is slack.
            at: pressure, Pa.
            slack: how much less volume there is to hold at a higher pressure, m³/Pa (m²/Pa): V = volume - slack (p - at).
                Without effect where the response is not linear.

        Raises:
            RunFailure: as `at_pressure`.
        """
        slack = slack if self._linear else 0.0
        return self._step(
            lambda nearly: self._displace_at_volume(volume + slack * at, slack, nearly),
            lambda: self._stored() - self._loads() + slack * self.pressure**2 / 2,
        )

    def _step(self, displace: Callable[[bool], None], potential: Callable[[], float]) -> Balance:
        kept, damage = self.state(), self.damage
        try:
            turns = alternate(
                Turns(damage, self.lower, self.upper, displace, self._by_damage.solve, potential, self.too_far), self.alternation
            )
        except RunFailure:
            self.restore(kept)
            raise
        self.balance = self._account(turns)
        self.lower.x.array[:] = self.damage.x.array
        return self.balance

    def state(self) -> dict[str, Any]:
        """Everything that a later `restore` needs (local arrays)."""
        fields = {name: getattr(self, name).x.array.copy() for name in ("displacement", "damage", "lower", "upper")}
        history = (None if self.worn is None else self.worn.state(), self.lost)
        return fields | {"pressure": self.pressure, "balance": self.balance, "last": dict(self._last), "history": history}

    def restore(self, state: dict[str, Any]) -> None:
        """Go back to a state of `state`."""
        for name in ("displacement", "damage", "lower", "upper"):
            getattr(self, name).x.array[:] = state[name]
        self._p.value = state["pressure"]
        self.balance, self._last = state["balance"], dict(state["last"])
        if self.worn is not None:
            self.worn.restore(state["history"][0])
        self.lost = state["history"][1]

    def wear(self) -> None:
        """Let fatigue act after a step that stands: the toughness falls, what has been spent on the crack stays spent."""
        if self.worn is not None:
            self.worn.step()
            self.lost = self.balance.fracture - self._sum(self._fracture)

    @property
    def last_work(self) -> dict[str, Any]:
        """Nodal forces and displacement of the last step (owned values, or zero): what `resume` needs to go on with the books."""
        return dict(self._last)

    def resume(self, balance: Balance, pressure: float, response: tuple[float, float], last: dict[str, Any]) -> None:
        """Take the books of a run that is gone on with; the fields have been put in place."""
        self.balance, self._p.value, self.response, self._last = balance, pressure, response, last

    def rewind(self, state: dict[str, Any]) -> None:
        """Take the books and the bound of an earlier state, but keep damage and displacement as first guess of the step."""
        self.lower.x.array[:] = state["lower"]
        self.balance, self._last = state["balance"], dict(state["last"])

    def _displace_at_pressure(self, pressure: float, nearly: bool = False) -> None:
        self._p.value = pressure
        if pressure == 0 and not self._loaded:
            self.displacement.x.array[:] = 0.0
            return
        if self._linear:
            self.displacement.x.array[:] = self._rest + pressure * self._opened
        self._solve_displacement(nearly=nearly)

    def _displace_at_volume(self, volume: float, slack: float, nearly: bool) -> None:
        if not self._linear:
            self._search_volume(volume)
            return
        u, held = self.displacement.x.array, 0.0
        if self._loaded:
            self._p.value, u[:] = 0.0, self._rest
            nearly = nearly and self._largest(self._opened) > 0
            self._solve_displacement(nearly=nearly)
            self._rest, held = u.copy(), self._sum(self._volume)
        self._p.value = probe = self._probe()
        u[:] = self._rest + probe * self._opened
        self._solve_displacement(reassemble=not self._loaded, nearly=nearly)
        self._opened = (u - self._rest) / probe
        unit = (self._sum(self._volume) - held) / probe
        self.response = held, unit
        if not unit > 0:
            raise RunFailure("fracture: pressure opens no volume: there is no crack yet (`notch` makes one)")
        self._p.value = p = (volume - held) / (unit + slack)
        u[:] = self._rest + p * self._opened

    def _probe(self) -> float:
        """Pressure that moves the body about as much as its loads do, Pa, so that little is lost in the difference of both."""
        at_rest, opened = self._largest(self._rest), self._largest(self._opened)
        return at_rest / opened if at_rest > 0 and opened > 0 else 1.0

    def _search_volume(self, volume: float) -> None:
        """Pressure for a volume where the response is not linear; nearly so, so a secant gets there in a few."""
        seen: list[tuple[float, float]] = []

        def response(p: float) -> float:
            self._displace_at_pressure(p)
            seen.append((p, self._sum(self._volume)))
            return seen[-1][1]

        first, second = self._guesses(volume, response)
        find_control(response, volume, first, second)
        if self._prestress is None:
            self.response = 0.0, volume / self.pressure if self.pressure > 0 else seen[0][1] / seen[0][0]
        else:  # the slope between the first two, which lie close once the damage stands still
            (p0, v0), (p1, v1) = seen[:2]
            unit = (v1 - v0) / (p1 - p0)
            self.response = volume - unit * self.pressure, unit

    def _guesses(self, volume: float, response: Callable[[float], float]) -> tuple[float, float]:
        """Two pressures near that of a volume, not too close to one another."""
        if self._prestress is not None:
            (held, unit), first = self.response, self.pressure
            second = (volume - held) / unit if unit > 0 else first
            return first, second if abs(second - first) > 1e-3 * abs(first) else first + max(1e-3 * abs(first), 1.0)
        small = self.pressure or 1.0
        opened = response(small)
        if not opened > 0:
            raise RunFailure("fracture: pressure opens no volume: there is no crack yet (`notch` makes one)")
        return 0.98 * small * volume / opened, small * volume / opened

    def _solve_displacement(self, reassemble: bool = True, nearly: bool = False) -> None:
        """Solve for the displacement at the present damage and pressure (the same damage as before: no new matrix)."""
        if not self._linear:
            self._by_displacement.solve()
            return
        solver, reused = self._by_displacement, self._fresh
        solver.ksp.getPC().setReusePreconditioner(reused)
        try:
            report = solver.solve(reassemble=reassemble, nearly=nearly)
        except RunFailure:
            if not reused:
                raise
            solver.ksp.getPC().setReusePreconditioner(False)  # damage has changed too much for the old factorisation
            self.displacement.x.array[:] = 0.0
            report = solver.solve(reassemble=True, nearly=nearly)
        if reassemble:
            self._fresh = report.iterations <= REUSED_ITERATIONS

    def _largest(self, values: np.ndarray) -> float:
        return float(self.domain.comm.allreduce(float(np.abs(values).max(initial=0.0)), op=MPI.MAX))

    def _stored(self) -> float:
        """Elastic and fracture energy, J."""
        return self._sum(self._elastic) + self._sum(self._fracture)

    def _loads(self) -> float:
        """Potential of the dead loads, J."""
        return 0.0 if self._load is None else self._sum(self._load)

    def _account(self, turns: int) -> Balance:
        old, volume = self.balance, self._sum(self._volume)
        elastic, fracture = self._sum(self._elastic), self._sum(self._fracture) + self.lost
        if self.worn is not None:  # a profile that settles into weakened material gives nothing back
            fracture = max(fracture, old.fracture)
        work = old.pressure_work + (self.pressure + old.pressure) / 2 * (volume - old.volume)
        done = old.load_work + (self._work_of_loads() if self._loaded else 0.0)
        return Balance(elastic, fracture, work, done, self.pressure, volume, self._sum(self._broken), turns)

    def _work_of_loads(self) -> float:
        """½(R + R₀)·(u - u₀) over the last step, J; where loads changed, ½(F + F₀)·(s - s₀) beside it.

        R are the nodal forces that supports and loads exert on the cracked body, F all that hold it (those of what fills the
        crack too), s the displacement of the sound body. Remembers them for the next step.
        """
        owned = self.space.dofmap.index_map.size_local * self.space.dofmap.index_map_bs
        now = {"force": self._nodal(self._forces)[:owned], "displacement": self.displacement.x.array[:owned].copy()}
        sound = None if self._prestress is None else self._prestress.displacement
        if sound is not None:
            now |= {"held": self._nodal(self._held)[:owned], "sound": sound.x.array[:owned].copy()}
        last, pairs = self._last, [("force", "displacement"), ("held", "sound")][: len(now) // 2]
        work = sum(float(np.dot(now[f] + last.get(f, 0.0), now[u] - last.get(u, 0.0))) / 2 for f, u in pairs)
        self._last = now
        return float(self.domain.comm.allreduce(work))

    def _nodal(self, form: Any) -> np.ndarray:
        """Nodal values of a linear form, summed over ranks (owned ones are whole)."""
        vector = self._force.x.petsc_vec
        assemble_into(vector, form)
        vector.ghostUpdate(addv=PETSc.InsertMode.ADD, mode=PETSc.ScatterMode.REVERSE)
        return np.array(self._force.x.array)

    def _sum(self, form: Any) -> float:
        return float(self.domain.comm.allreduce(fem.assemble_scalar(form)))

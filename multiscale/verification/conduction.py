"""Exact problems of conduction: disk electrode, flux concentration, mixtures; all with the one term of `transport`."""

import math
from collections.abc import Mapping
from typing import Any

import ufl
from mpi4py import MPI
from ufl import grad, inner

from coupling.homogenize import brick_layer, maxwell
from meshes.shapes import draw_blocks, draw_half_space, draw_quarter_shell
from multiscale import materials
from multiscale.domain import Domain, integral, meshed
from multiscale.solvers.newton import solve_nonlinear
from multiscale.solvers.solver import reaction
from multiscale.transport import single_ion as transport
from multiscale.verification.tools import at_vertex, unknown


def _far_field(domain: Domain, φ: Any, κ: Any, field: float, order: int) -> Any:
    """Current entering through "outer" from an infinite medium, A/m²: uniform field E_y plus the leading disturbance.

    A disturbance that decays as r^-order obeys ∂φ'/∂n = -order φ'/R on the outer circle, with φ' = φ - E y.
    """
    x = ufl.SpatialCoordinate(domain.mesh)
    distance = ufl.sqrt(inner(x, x))
    away = field * x[1]
    return κ * (away / distance - order * (φ - away) / distance)


def disk_electrode(comm: MPI.Comm) -> Mapping[str, float]:
    """V05: equipotential disk in an insulating plane; a half sphere of 40 radii with the monopole condition outside."""
    a, φ0 = 10e-6, 0.01
    sizes = {"radius": a, "outer": 40 * a, "edge_size": a / 400, "disk_size": a / 12, "outer_size": 6 * a}
    domain = meshed(draw_half_space, comm, axisymmetric=True, **sizes)
    φ, w = unknown(domain)
    κ = domain.constant(0.05)
    residual = transport.ohmic_conduction(κ, φ, w, domain.dx())
    residual += transport.current_inflow(_far_field(domain, φ, κ, 0.0, 1), w, domain.ds("outer"))
    fixed = domain.fixed(φ.function_space, φ0, "disk")
    solve_nonlinear(residual, φ, [fixed], spd=True)
    current = reaction(residual, fixed, φ.function_space)
    normal = transport.current_density(κ, φ)[1] / (current / (math.pi * a**2))
    return {
        "resistance (ohm)": φ0 / current,
        "current density at the centre over the mean": at_vertex(domain, normal, (0.0, 0.0)),
        "current density at half the radius over the mean": at_vertex(domain, normal, (a / 2, 0.0)),
        "potential on the axis one radius away over the disk's": at_vertex(domain, φ, (0.0, a)) / φ0,
    }


def _concentration(comm: MPI.Comm, aspect: float, axisymmetric: bool, conducting: bool) -> float:
    """Largest flux on a body in a uniform field over the far flux; the body stands on the plane φ = 0 (a half bump)."""
    sharp = 1 / (12 * aspect) if aspect > 1 else 1 / 20
    sizes = {"width": 1.0, "height": aspect, "outer": 6 * aspect, "tip_size": sharp}
    domain = meshed(
        draw_quarter_shell, comm, axisymmetric=axisymmetric, side_size=1 / 20, outer_size=aspect / 2, **sizes
    )
    φ, w = unknown(domain)
    κ = domain.constant(1.0)
    residual = transport.ohmic_conduction(κ, φ, w, domain.dx())
    far = _far_field(domain, φ, κ, 1.0, 2 if axisymmetric else 1)
    residual += transport.current_inflow(far, w, domain.ds("outer"))
    grounded = ("plane", "surface") if conducting else ("plane",)
    solve_nonlinear(residual, φ, [domain.fixed(φ.function_space, 0.0, *grounded)], spd=True)
    hottest = (0.0, aspect) if conducting else (1.0, 0.0)
    return at_vertex(domain, -transport.current_density(κ, φ)[1], hottest)


def flux_concentration(comm: MPI.Comm) -> Mapping[str, float]:
    """V07: cylinders and spheres, insulating and conducting, and the tips of conducting prolate spheroids."""
    values = {
        f"{kind} {shape}": _concentration(comm, 1.0, shape == "sphere", kind == "conducting")
        for kind in ("insulating", "conducting")
        for shape in ("cylinder", "sphere")
    }
    tips = {f"prolate tip, aspect {aspect:g}": _concentration(comm, aspect, True, True) for aspect in (2.0, 5.0, 10.0)}
    return values | tips


def _coated_sphere(comm: MPI.Comm, fraction: float, inclusion: float) -> float:
    """Conductivity of a coated sphere (matrix 1 S/m outside), which does not disturb the uniform field around it."""
    core, filled = fraction ** (1 / 3), 0 < inclusion < math.inf
    sizes = {"width": core, "height": core, "outer": 1.0, "tip_size": 0.05, "side_size": 0.05, "outer_size": 0.05}
    domain = meshed(draw_quarter_shell, comm, axisymmetric=True, filled=filled, **sizes)
    φ, w = unknown(domain)
    κ = materials.conductivity(domain, {"matrix": 1.0} | ({"inclusion": inclusion} if filled else {}))
    outside = φ.copy()
    outside.interpolate(lambda x: x[1])
    grounded = ("plane", "surface") if math.isinf(inclusion) else ("plane",)
    conditions = [domain.fixed(φ.function_space, outside, "outer"), domain.fixed(φ.function_space, 0.0, *grounded)]
    solve_nonlinear(transport.ohmic_conduction(κ, φ, w, domain.dx()), φ, conditions, spd=True)
    return integral(κ * inner(grad(φ), grad(φ)) * domain.dx()) / (2 * math.pi / 3)


def _cell_conductivity(comm: MPI.Comm, along_x: bool, values: Mapping[str, float], **blocks: Any) -> float:
    """Conductivity of a rectangular cell of blocks between two equipotential sides, the others being mirrors."""
    domain = meshed(draw_blocks, comm, **blocks)
    φ, w = unknown(domain)
    κ = materials.conductivity(domain, values)
    low, high = ("left", "right") if along_x else ("bottom", "top")
    conditions = [domain.fixed(φ.function_space, 0.0, low), domain.fixed(φ.function_space, 1.0, high)]
    residual = transport.ohmic_conduction(κ, φ, w, domain.dx())
    solve_nonlinear(residual, φ, conditions, spd=True)
    x, y = blocks["x"], blocks["y"]
    shape = (x[-1] - x[0]) / (y[-1] - y[0])
    return reaction(residual, conditions[1], φ.function_space) * (shape if along_x else 1 / shape)


def mixtures(comm: MPI.Comm) -> Mapping[str, float]:
    """V08: coated spheres (Maxwell), laminate and checkerboard, each by finite elements; Maxwell's formula beside it."""
    layers = {"x": [0.0, 0.2, 1.0], "y": [0.0, 1.0], "names": [["b", "a"]], "divisions": 2}
    board = {"x": [0.0, 0.5, 1.0], "y": [0.0, 0.5, 1.0], "names": [["a", "b"], ["b", "a"]]}
    phases = {"a": 1.0, "b": 5.0}
    spheres = {"insulating": 0.0, "conducting": math.inf, "ratio 5": 5.0}
    cells = {f"spheres, {name}, solved": _coated_sphere(comm, 0.2, value) for name, value in spheres.items()}
    formula = {f"spheres, {name}, formula": float(maxwell(1.0, value, 0.2)) for name, value in spheres.items()}
    flat = {
        "laminate, along": _cell_conductivity(comm, False, phases, **layers),
        "laminate, across": _cell_conductivity(comm, True, phases, **layers),
        "checkerboard": _cell_conductivity(comm, True, phases, **board, divisions=20, towards=40.0),
    }
    return cells | formula | flat


def brick(comm: MPI.Comm) -> Mapping[str, float]:
    """V08i: a square grain with half a boundary on two sides (mirrors complete it), and the brick-layer formula."""
    grain, width, values = 5e-6, 5e-9, {"grain": 0.1, "boundary": 1e-3}
    lines = [0.0, grain / 2, (grain + width) / 2]
    names = [["grain", "boundary"], ["boundary", "boundary"]]
    solved = _cell_conductivity(comm, True, values, x=lines, y=lines, names=names, divisions=6)
    return {"brick of grains, solved": solved, "brick of grains, formula": brick_layer(0.1, 1e-3, grain, width)}

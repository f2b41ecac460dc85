"""Exact problems of the symmetric cell, of pressure-shifted kinetics, and of plating."""

from collections.abc import Mapping
from typing import Any

from mpi4py import MPI

from coupling.constants import ELEMENTARY_CHARGE, LITHIUM_MOLAR_VOLUME
from coupling.nucleation import critical_nucleus, shape_factor
from meshes.shapes import draw_blocks
from multiscale.domain import integral, meshed
from multiscale.solvers.newton import NonlinearSolver
from multiscale.solvers.solver import find_control
from multiscale.transport import kinetics
from multiscale.transport import single_ion as transport
from multiscale.verification.tools import unknown

CONDUCTIVITY, LENGTH, EXCHANGE = 0.05, 100e-6, 10.0
"""S/m, m and A/m² of the symmetric cell."""


class SymmetricCell:
    """Li | single-ion electrolyte | Li with Butler-Volmer on both sides; the left metal is at 0 V."""

    def __init__(self, comm: MPI.Comm, anodic_transfer: float) -> None:
        """Mesh the strip and compile the equations."""
        grid = [0.0, LENGTH], [0.0, LENGTH / 8], [["electrolyte"]]
        self.domain = meshed(draw_blocks, comm, x=grid[0], y=grid[1], names=grid[2], divisions=4)
        self.φ, w = unknown(self.domain)
        κ, i0, α = (self.domain.constant(v) for v in (CONDUCTIVITY, EXCHANGE, anodic_transfer))
        self.metal = self.domain.constant(0.0)
        left = kinetics.butler_volmer(-self.φ, i0, α)
        right = kinetics.butler_volmer(self.metal - self.φ, i0, α)
        residual = (
            transport.ohmic_conduction(κ, self.φ, w, self.domain.dx())
            + transport.current_inflow(left, w, self.domain.ds("left"))
            + transport.current_inflow(right, w, self.domain.ds("right"))
        )
        self.solver = NonlinearSolver(residual, self.φ, spd=True)
        self.left, self.right = left * self.domain.ds("left"), right * self.domain.ds("right")

    def current(self, voltage: float) -> float:
        """Current density leaving the left metal when the right one is at -`voltage`, A/m²."""
        self.metal.value = -voltage
        self.solver.solve()
        return integral(self.left) / (LENGTH / 8)

    def mean_potential(self, side: str) -> float:
        """Electrolyte potential at one side, V."""
        return integral(self.φ * self.domain.ds(side)) / (LENGTH / 8)


def symmetric_cell(comm: MPI.Comm) -> Mapping[str, float]:
    """V01: αa = αc = 0.5."""
    cell = SymmetricCell(comm, 0.5)
    at_fixed_voltage = cell.current(0.2)
    voltage = find_control(cell.current, 10.0, 0.05, 0.07)
    return {
        "cell voltage at 10 A/m2 (V)": voltage,
        "overpotential of one electrode (V)": -cell.mean_potential("left"),
        "current density at 0.2 V (A/m2)": at_fixed_voltage,
    }


def asymmetric_cell(comm: MPI.Comm) -> Mapping[str, float]:
    """V01e: αa = 0.3, αc = 0.7."""
    cell = SymmetricCell(comm, 0.3)
    voltage = find_control(cell.current, 10.0, 0.05, 0.07)
    return {
        "anodic overpotential (V)": -cell.mean_potential("left"),
        "cathodic overpotential (V)": -voltage - cell.mean_potential("right"),
        "cell voltage (V)": voltage,
    }


def stressed_kinetics(comm: MPI.Comm) -> Mapping[str, float]:
    """V12: the surface term itself, integrated over an electrode, and its zero found by the solver."""
    domain = meshed(draw_blocks, comm, x=[0.0, 1.0], y=[0.0, 1.0], names=[["electrolyte"]], divisions=2)
    Δ, p = domain.constant(-0.02), domain.constant(1e8)
    surface = kinetics.butler_volmer(Δ, domain.constant(10.0), domain.constant(0.5), pressure=p) * domain.ds("left")

    def current(setting: Any, value: float) -> float:
        setting.value = value
        return integral(surface)

    pressed, free = current(p, 1e8), current(p, 0.0)
    stall = find_control(lambda value: current(p, value), 0.0, 1.0e8, 1.5e8, rtol=1e-12)
    p.value = 1e7
    shift = find_control(lambda value: current(Δ, value), 0.0, 0.0, -1e-3, rtol=1e-12)
    return {
        "drop of the equilibrium potential at 10 MPa (V)": -shift,
        "current density at -20 mV and 100 MPa (A/m2)": pressed,
        "current density at -20 mV, no pressure (A/m2)": free,
        "stall pressure at -20 mV (Pa)": stall,
    }


def nucleation(comm: MPI.Comm) -> Mapping[str, float]:
    """V14: classical nucleation, surface energy 0.5 J/m², 100 mV."""
    nucleus = critical_nucleus(surface_energy=0.5, overpotential=-0.1)
    return {
        "critical radius (m)": nucleus.radius,
        "barrier (eV)": nucleus.barrier / ELEMENTARY_CHARGE,
        "atoms": nucleus.atoms,
        "Zeldovich factor": nucleus.zeldovich,
        "wall factor at 60 degrees": shape_factor(1.0471975511965976),
    }


def plating(comm: MPI.Comm) -> Mapping[str, float]:
    """V19: lithium laid down by a charge, and the velocity of its surface."""
    return {
        "thickness per 1 mAh/cm2 (m)": kinetics.deposited_thickness(36000.0, LITHIUM_MOLAR_VOLUME),
        "velocity at 1 mA/cm2 (m/s)": kinetics.plating_velocity(-10.0),
    }



"""Exact problems of interphase growth: the laws' rates integrated in time, from the first thickness."""

from collections.abc import Mapping

from mpi4py import MPI
from scipy.integrate import solve_ivp

from multiscale.transport.growth import DealGrove, Law, Parabolic


def _grown(law: Law, time: float) -> float:
    """Thickness after a time by integrating dL/dt, in units of 1 nm inside, m."""
    run = solve_ivp(
        lambda t, L: law.rate(L * 1e-9) * 1e9, (0.0, time), [law.start * 1e9], method="LSODA", rtol=1e-10, atol=1e-10
    )
    return float(run.y[0, -1]) * 1e-9


def growth(comm: MPI.Comm) -> Mapping[str, float]:
    """V18: parabolic from 5 nm, and Deal-Grove from nothing, after 1e6 s; by the rate and by the product's solution."""
    parabolic, reaction = Parabolic(1e-21, 5e-9), DealGrove(20e-9, 2e-21)
    return {
        "parabolic, solution (m)": float(parabolic.thickness(1e6)),
        "parabolic, from its rate (m)": _grown(parabolic, 1e6),
        "Deal-Grove, solution (m)": float(reaction.thickness(1e6)),
        "Deal-Grove, from its rate (m)": _grown(reaction, 1e6),
    }

"""`multiscale verify`: problems with exact solutions, solved by the product itself, in one table.

Exact values are closed forms written out here, independent of the code under test; sources in docs/physics.md section 2.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from coupling.errors import UserError

Row = dict[str, Any]
"""Keys: id, quantity, exact, computed, relative_error, tolerance, ok, wall_s."""
Solve = Callable[[Any], Mapping[str, float]]

_F, _R, _K, _T, _V = 96485.33212, 8.314462618, 1.380649e-23, 298.15, 1.300e-5
_THERMAL = _R * _T / _F
_E, _NU = 150e9, 0.257


@dataclass(frozen=True)
class Problem:
    """One number with an exact value.

    Attributes:
        id: as in docs/physics.md section 2.
        quantity: what, with its unit.
        exact: the exact value, SI.
        tolerance: allowed relative error.
        solve: solves the problem on a communicator; gives this and perhaps other quantities by name.
    """

    id: str
    quantity: str
    exact: float
    tolerance: float
    solve: Solve

    def compute(self, comm: Any) -> float:
        """The product's own value, in the unit of `exact`."""
        return float(self.solve(comm)[self.quantity])


def problems() -> list[Problem]:
    """All problems in the order of their ids."""
    groups = [
        *_cells(), *_ions(), *_alternating(), *_growth(), *_conduction(), *_mixtures(),
        *_elasticity(), *_fracture(), *_detour(), *_kinetics(), *_lithium(), *_atoms(),
    ]  # fmt: skip
    return [
        Problem(identifier, quantity, exact, tolerance, solve)
        for identifier, tolerance, solve, values in groups
        for quantity, exact in values.items()
    ]


Group = tuple[str, float, Solve, dict[str, float]]


def _cells() -> list[Group]:
    from multiscale.verification import electrochemistry as cell

    def voltage(current: float) -> float:
        return current * 100e-6 / 0.05 + 4 * _THERMAL * math.asinh(current / 20)

    half = 2 * _THERMAL * math.asinh(0.5)
    anodic, cathodic = _inverse_kinetics(1.0, 0.3, 0.7), _inverse_kinetics(-1.0, 0.3, 0.7)
    symmetric = {
        "cell voltage at 10 A/m2 (V)": voltage(10.0),
        "overpotential of one electrode (V)": half,
        "current density at 0.2 V (A/m2)": _bisect(lambda i: voltage(i) - 0.2, 0.0, 100.0),
    }
    asymmetric = {
        "anodic overpotential (V)": anodic,
        "cathodic overpotential (V)": cathodic,
        "cell voltage (V)": 0.02 + anodic - cathodic,
    }
    return [("V01", 1e-4, cell.symmetric_cell, symmetric), ("V01e", 1e-4, cell.asymmetric_cell, asymmetric)]


def _ions() -> list[Group]:
    from multiscale.verification import ion_transport as ions

    film = {
        "limiting current density (A/m2)": 4 * _F * 2e-11 * 1000 / 20e-6,
        "concentration at the stripping face (mol/m3)": 1500.0,
        "concentration at the plating face (mol/m3)": 500.0,
        "cell voltage at half of it (V)": 4 * _THERMAL * math.atanh(0.5),
    }
    sand = {
        "Sand time (s)": math.pi * 3e-11 * (1000 * _F / (2 * 2000 * 0.75)) ** 2,
        "wall concentration at a quarter of it (mol/m3)": 500.0,
    }
    ε, half = 78.5 * 8.8541878128e-12, 0.05 / (2 * _THERMAL)
    debye = math.sqrt(ε * _R * _T / (2 * _F**2 * 10))
    layer = {
        "Debye length (m)": debye,
        "potential one Debye length away (V)": 4 * _THERMAL * math.atanh(math.tanh(half / 2) / math.e),
        "charge (C/m2)": math.sqrt(8 * ε * _R * _T * 10) * math.sinh(half),
        "differential capacitance (F/m2)": ε / debye * math.cosh(half),
    }
    odd = [2 * n + 1 for n in range(40)]
    diffusion = {
        "current density after 1 s (A/m2)": _F * 1000 * math.sqrt(1e-11 / math.pi),
        "slab, centre at Dt/l2 = 0.2": sum(
            4 / math.pi * (-1) ** n / k * math.exp(-(k**2) * math.pi**2 / 4 * 0.2) for n, k in enumerate(odd)
        ),
    }
    return [
        ("V02", 1e-4, ions.limiting_current, film),
        ("V03", 1e-2, ions.sand_time, sand),
        ("V04", 1e-3, ions.diffuse_layer, layer),
        ("V20", 1e-3, ions.cottrell, diffusion),
    ]


def _alternating() -> list[Group]:
    import cmath

    from multiscale.verification import alternating_current as ac

    def warburg(product: float) -> complex:
        s = cmath.sqrt(1j * product)
        return cmath.tanh(s) / s

    peak = _bisect(lambda x: (warburg(x + 1e-5) - warburg(x - 1e-5)).imag, 2.0, 3.0)
    element = {
        "finite Warburg at wt = 1, real part": warburg(1.0).real,
        "finite Warburg at wt = 1, imaginary part": warburg(1.0).imag,
        "wt of the peak of -Im": peak,
        "peak of -Im": -warburg(peak).imag,
    }
    return [("V17", 1e-3, ac.finite_warburg, element)]


def _growth() -> list[Group]:
    from multiscale.verification import interphase, swelling

    parabolic, reaction = math.sqrt(5e-9**2 + 2 * 1e-21 * 1e6), -10e-9 + math.sqrt(10e-9**2 + 2e-21 * 1e6)
    names = {"parabolic": parabolic, "Deal-Grove": reaction}
    layers = {f"{name}, {how} (m)": value for name, value in names.items() for how in ("solution", "from its rate")}
    film = -100e9 * 0.01 / (1 - 0.25) - 0.25 / (1 - 0.25) * 40e6
    held = {
        "stress in its plane (Pa)": film,
        "pressure (Pa)": (40e6 - 2 * film) / 3,
        "becomes thicker by (m)": 1e-6 * (0.01 * 1.25 / 0.75 - 40e6 / 100e9 * 1.25 * 0.5 / 0.75),
    }
    κR = 0.1 * 2 * _THERMAL / 1e6
    thick = -κR + math.sqrt((1e-6 + κR) ** 2 + 2 * 0.1 * _V * 0.05 * 3 / _F)
    moved = {"thickness (m)": thick, "current density (A/m2)": 0.1 * 0.05 / (κR + thick)}
    return [
        ("V18", 1e-4, interphase.growth, layers),
        ("V18s", 1e-8, swelling.constrained_layer, held),
        ("V18m", 1e-3, swelling.moving_face, moved),
    ]


def _conduction() -> list[Group]:
    from multiscale.verification import conduction

    disk = {
        "resistance (ohm)": 1 / (4 * 0.05 * 10e-6),
        "current density at the centre over the mean": 0.5,
        "current density at half the radius over the mean": 0.5 / math.sqrt(1 - 0.25),
        "potential on the axis one radius away over the disk's": 0.5,
    }
    flux = {"insulating cylinder": 2.0, "insulating sphere": 1.5, "conducting cylinder": 2.0, "conducting sphere": 3.0}
    flux |= {f"prolate tip, aspect {aspect:g}": _prolate_tip(aspect) for aspect in (2.0, 5.0, 10.0)}
    return [("V05", 1e-2, conduction.disk_electrode, disk), ("V07", 2e-2, conduction.flux_concentration, flux)]


def _mixtures() -> list[Group]:
    from multiscale.verification import conduction

    spheres = {"insulating": 0.8 * 2 / 2.2, "conducting": 1.4 / 0.8, "ratio 5": (7 + 1.6) / (7 - 0.8)}
    mixtures = {f"spheres, {name}, {how}": k for how in ("solved", "formula") for name, k in spheres.items()}
    mixtures |= {
        "laminate, along": 0.8 + 0.2 * 5,
        "laminate, across": 1 / (0.8 + 0.2 / 5),
        "checkerboard": math.sqrt(5),
    }
    layered = 1 / (1 / 0.1 + 1e-3 / 1e-3)
    brick = {"brick of grains, solved": layered, "brick of grains, formula": layered}
    return [("V08", 1e-2, conduction.mixtures, mixtures), ("V08i", 1e-2, conduction.brick, brick)]


def _elasticity() -> list[Group]:
    from multiscale.verification import elasticity

    vessels = {
        "cylinder, hoop stress inside (Pa)": 1e8 * 5 / 3,
        "cylinder, hoop stress outside (Pa)": 1e8 * 2 / 3,
        "sphere, hoop stress inside (Pa)": 1e8 * (1 + 8 / 2) / 7,
        "sphere, hoop stress outside (Pa)": 1e8 * 1.5 / 7,
    }
    three_bulk, four_shear = 7.82e9 / (1 - 2 * 0.381), 2 * _E / (1 + _NU)
    inclusions = {
        "same material, stress inside (Pa)": -2 * _E * 0.01 / (3 * (1 - _NU)),
        "lithium in oxide, pressure inside (Pa)": three_bulk * four_shear * 0.01 / (three_bulk + four_shear),
    }
    toughness, a, compliance = 1.25e6, 1e-6, (1 - _NU**2) / _E
    penny = toughness / 2 * math.sqrt(math.pi / a)
    cracks = {
        "fracture energy (J/m2)": toughness**2 * compliance,
        "penny, critical pressure (Pa)": penny,
        "central crack, critical pressure (Pa)": toughness / math.sqrt(math.pi * a),
        "central crack, opening at 100 MPa (m)": 4 * 1e8 * a * compliance,
        "penny, opening at 100 MPa (m)": 8 * 1e8 * a * compliance / math.pi,
    }
    release = {
        "central crack of 2 um at 100 MPa (J/m2)": 1e16 * math.pi * a * compliance,
        "penny of 1 um at 100 MPa (J/m2)": 4e16 * a * compliance / math.pi,
    }
    overpotentials = {
        "penny of 1 um, overpotential (V)": penny * _V / _F,
        "penny of 100 nm, overpotential (V)": penny * math.sqrt(10) * _V / _F,
    }
    return [
        ("V09", 1e-2, elasticity.vessels, vessels),
        ("V09f", 1e-2, elasticity.inclusions, inclusions),
        ("V10", 2e-2, elasticity.cracks, cracks),
        ("V10g", 2e-2, elasticity.release, release),
        ("V10f", 2e-2, elasticity.fracture_overpotential, overpotentials),
    ]


def _fracture() -> list[Group]:
    from multiscale.verification import fracture

    modulus, energy = _E / (1 - _NU**2), 1.25e6**2 * (1 - _NU**2) / _E
    strengths = {
        "AT2, peak stress (Pa)": 9 / 16 * math.sqrt(_E * energy / 3e-7),
        "AT1, stress at the onset (Pa)": math.sqrt(3 * _E * energy / 8e-7),
    }
    start, volume = {"pressure at which 2 um of crack start (Pa)": 1.25e6 / math.sqrt(math.pi * 1e-6)}, {}
    for share in (1.5, 2.5):
        filled = share * 2 * math.sqrt(math.pi * energy / modulus) * 1e-9
        pressure = (2 * modulus * energy**2 / (math.pi * filled)) ** (1 / 3)
        volume[f"pressure at {share:g} of the starting volume (Pa)"] = pressure
        length = (filled / 2 * math.sqrt(modulus / (math.pi * energy))) ** (2 / 3)
        volume[f"half length at {share:g} of the starting volume (m)"] = length
    return [
        ("V11", 1e-2, fracture.strengths, strengths),
        ("V10g", 2e-2, fracture.smeared_release, {"smeared crack, over that of a sharp one": 1.0}),
        ("V28", 5e-2, fracture.growing_crack, start),
        ("V28", 2e-2, fracture.growing_crack, volume),
    ]


def _detour() -> list[Group]:
    from multiscale.verification import detour_reference as exact
    from multiscale.verification import flux_detour as detour

    return [
        ("V24", 2e-2, detour.inert_flaw, exact.inert_flaws()),
        ("V24", 2e-2, detour.reacting_flaw, exact.reacting_flaws()),
        ("V24", 2e-2, detour.reacting_filament, exact.reacting_filaments()),
    ]


def _kinetics() -> list[Group]:
    from multiscale.verification import electrochemistry as cell

    half_η, half_work = 0.5 * _F * 0.02 / (_R * _T), 0.5 * _V * 1e8 / (_R * _T)
    stressed = {
        "drop of the equilibrium potential at 10 MPa (V)": _V * 1e7 / _F,
        "current density at -20 mV and 100 MPa (A/m2)": -20 * math.sinh(half_η - half_work),
        "current density at -20 mV, no pressure (A/m2)": -20 * math.sinh(half_η),
        "stall pressure at -20 mV (Pa)": _F * 0.02 / _V,
    }
    return [("V12", 1e-4, cell.stressed_kinetics, stressed)]


def _lithium() -> list[Group]:
    from multiscale.verification.lithium_exact import groups

    return groups()


def _atoms() -> list[Group]:
    from multiscale.verification import atomic_motion as motion
    from multiscale.verification import biased_motion

    walk = {"random walk, self diffusivity (m2/s)": (0.3e-9) ** 2 * 1e9 / 6}
    # Compaan & Haven, Trans. Faraday Soc. 52, 786 (1956); Montet, Phys. Rev. B 7, 650 (1973)
    factors = {"simple cubic": 0.653109, "body-centred cubic": 0.727194, "face-centred cubic": 0.781451}
    toy = {"conductivity over the squared charge": 1 + 0.5 - 2 * 0.2, "transference number": (1 - 0.2) / (1 + 0.5 - 2 * 0.2)}
    return [
        ("V15", 5e-2, biased_motion.double_well, {"double well of 5 kT, mean first passage": _first_passage(5.0)}),  # 2 errors
        ("V16", 2e-2, motion.random_walk, walk),
        ("V16", 1e-2, motion.correlation_factors, {f"correlation factor, {lattice}": f for lattice, f in factors.items()}),
        ("V16", 1e-12, motion.onsager_matrix, toy),
    ]


def _first_passage(barrier: float, cells: int = 20000) -> float:
    """Mean first passage time from -1 to 1 in b (x² - 1)² k_B T with D = 1: ∫ exp U(y) ∫_{-∞}^y exp -U(z) dz dy."""
    h, below, time_ = 4.0 / cells, 0.0, 0.0
    for n in range(cells):
        x = -3.0 + (n + 0.5) * h
        energy = barrier * (x * x - 1) ** 2
        below += math.exp(-energy) * h / 2
        time_ += math.exp(energy) * below * h if x > -1 else 0.0
        below += math.exp(-energy) * h / 2
    return time_


def _prolate_tip(aspect: float) -> float:
    """Field at the tip of a conducting prolate spheroid over the far field: the inverse depolarisation factor."""
    e = math.sqrt(1 - 1 / aspect**2)
    return 1 / ((1 - e**2) / e**3 * (math.atanh(e) - e))


def _inverse_kinetics(ratio: float, anodic: float, cathodic: float) -> float:
    """Overpotential at which exp(αa x) - exp(-αc x) = ratio, x = Fη/RT, V."""
    return _THERMAL * _bisect(lambda x: math.exp(anodic * x) - math.exp(-cathodic * x) - ratio, -20.0, 20.0)


def _bisect(function: Callable[[float], float], low: float, high: float) -> float:
    """Root of an increasing function."""
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if function(middle) < 0 else (low, middle)
    return (low + high) / 2


def select(ids: Sequence[str] | None) -> list[Problem]:
    """Problems of the given ids (all without any). Raises UserError on an unknown id."""
    known = problems()
    names = {problem.id.casefold(): problem.id for problem in known}
    wanted = {identifier.casefold() for identifier in ids or ()}
    for identifier in ids or ():
        if identifier.casefold() not in names:
            raise UserError(f'verify: there is no problem "{identifier}"; known are: {", ".join(names.values())}')
    return [problem for problem in known if not wanted or problem.id.casefold() in wanted]


def run(ids: Sequence[str] | None = None, comm: Any = None, progress: Callable[[str], None] | None = None) -> list[Row]:
    """Solve the problems and compare with the exact values.

    Args:
        ids: which problems; all without any.
        comm: MPI communicator (COMM_WORLD unless given); every rank gets the rows.
        progress: called with each id before it is solved (on every rank).

    Returns:
        Rows as dictionaries; `wall_s` is the time of the solve that gave the row's number (shared within an id).

    Raises:
        UserError: an unknown id.
        RunFailure: a solve that did not converge.
    """
    from mpi4py import MPI

    comm = comm or MPI.COMM_WORLD
    solved: dict[Solve, tuple[Mapping[str, float], float]] = {}
    rows = []
    for problem in select(ids):
        if problem.solve not in solved:
            if progress:
                progress(problem.id)
            start = time.perf_counter()
            solved[problem.solve] = problem.solve(comm), time.perf_counter() - start
        values, wall = solved[problem.solve]
        rows.append(_row(problem, float(values[problem.quantity]), wall))
    return rows


def _row(problem: Problem, computed: float, wall: float) -> Row:
    error = abs(computed - problem.exact) / abs(problem.exact)
    return {
        "id": problem.id, "quantity": problem.quantity, "exact": problem.exact, "computed": computed,
        "relative_error": error, "tolerance": problem.tolerance, "ok": bool(error <= problem.tolerance), "wall_s": wall,
    }  # fmt: skip

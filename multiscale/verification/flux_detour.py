"""V24: what current a flaw bears that detours the flux, inert and reacting, in the two models that the product has of it.

The sharp flaw is that of critical-current cases (`critical_current.initiation`), the smeared one the filament of propagation
cases (`mechanics.filament`). The bodies are so wide that their walls change the numbers by less than the tolerance.
"""

from collections.abc import Mapping

from mpi4py import MPI
from scipy.optimize import brentq

from coupling.constants import FARADAY, GAS_CONSTANT, LITHIUM_MOLAR_VOLUME, ROOM_TEMPERATURE
from meshes.crack_path import CrackPath, draw_crack_path
from meshes.flaw import Flaw
from meshes.polycrystal import LayeredCell, Resolution
from multiscale.critical_current.cell_properties import CellProperties
from multiscale.critical_current.initiation import InitiationModel
from multiscale.domain import meshed
from multiscale.layered import layered_domain
from multiscale.materials import stiffness
from multiscale.mechanics.filament import FilamentModel
from multiscale.mechanics.filament_state import FilamentProperties
from multiscale.mechanics.phase_field import CrackModel
from multiscale.verification.elasticity import OXIDE, TOUGHNESS, penny_pressure
from multiscale.verification.fracture import FRACTURE_ENERGY

CONDUCTIVITY = 0.05
"""S/m (V24)."""
DEPTH = 10e-6
"""Of the reacting flaw, m."""
SOFT = 0.01
"""The reacting flaw breaks at this share of V24's toughness: its overpotentials stay below 1 mV, where kinetics are linear."""
LENGTHS = (10.0, 1.0, 0.1, 0.01)
"""Charge-transfer lengths κRT/(F i0) over the depth of the flaw."""
MESH = Resolution(boundary_aspect=15.0, layer_divisions=1.0, tip_divisions=2.0, growth=0.7, largest=0.5)


def _sharp(comm: MPI.Comm, depth: float, wide: float) -> InitiationModel:
    """A flaw in a uniform body `wide` depths wide and half as high, without boundaries or layers of other properties."""
    flaw = Flaw(depth, 0.004 * depth, 0.0008 * depth, at="grain", lined=False)
    cell = LayeredCell(wide * depth, wide / 2 * depth, wide / 3 * depth, 0.05 * depth, 0.1 * depth, flaw, resolution=MESH)
    return InitiationModel(layered_domain(cell, comm)[0], cell, _properties(1.0))


def _properties(exchange: float, toughness: float = TOUGHNESS) -> CellProperties:
    """V24's electrolyte with an exchange current density (A/m²)."""
    regions = ("grain", "boundary", "interphase")
    return CellProperties(
        conductivity=dict.fromkeys(regions, CONDUCTIVITY), elastic=dict.fromkeys(regions, OXIDE),
        exchange_current_density=exchange, temperature=ROOM_TEMPERATURE, stack_pressure=0.0, grain_toughness=toughness,
        boundary_toughness=toughness, creep=None,
    )  # fmt: skip


def _exchange(length: float) -> float:
    """Exchange current density at which κRT/(F i0) is `length` depths of the flaw, A/m²."""
    return CONDUCTIVITY * GAS_CONSTANT * ROOM_TEMPERATURE / (FARADAY * length * DEPTH)


def inert_flaw(comm: MPI.Comm) -> Mapping[str, float]:
    """Flaws that react nowhere, flat electrode without kinetics: the drop at the tip, worth a penny's pressure of fracture.

    The sharp flaw gives the stall pressure of its tip, the resolved penny of V10 the pressure that breaks it.
    """
    found = {}
    for name, depth in {"10 um": 10e-6, "50 um": 50e-6}.items():
        model = _sharp(comm, depth, 12)
        model.update(_properties(1e6))
        critical = model.stalled_critical_current()
        per_current = critical.state.stall_pressure / critical.current_density
        found[f"inert flaw of {name}, critical current density (A/m2)"] = penny_pressure(comm, depth) / per_current
    return found


def reacting_flaw(comm: MPI.Comm) -> Mapping[str, float]:
    """The sharp flaw of 10 µm that plates near its tip what it dissolves near its mouth: stall potential and critical current."""
    model, found = _sharp(comm, DEPTH, 80), {}
    for length in LENGTHS:
        model.update(_properties(_exchange(length), SOFT * TOUGHNESS))
        critical = model.critical_current()
        potential = LITHIUM_MOLAR_VOLUME * critical.state.flaw_pressure / FARADAY
        found[_name("sharp flaw", length, "stall potential over i c/k")] = _over_drop(potential, critical.current_density)
        found[_name("sharp flaw", length, "critical current density (A/m2)")] = critical.current_density
    return found


def reacting_filament(comm: MPI.Comm) -> Mapping[str, float]:
    """The smeared filament of propagation cases, l = c/12 on three elements: pressure at which no current enters it."""
    length = DEPTH / 12
    path = CrackPath(30 * DEPTH, 15 * DEPTH, 1.5 * DEPTH, 3 * length, length / 3, 2 * DEPTH, mirrored=True)
    domain, found = meshed(draw_crack_path, comm, path=path), {}
    for reaction in LENGTHS[:3]:
        properties = FilamentProperties(_exchange(reaction), ROOM_TEMPERATURE)
        model = FilamentModel(
            domain, domain.constant(CONDUCTIVITY), stiffness(domain, {"body": OXIDE}), domain.constant(FRACTURE_ENERGY),
            CrackModel("AT1", length), path.size, properties, DEPTH, mirrored=True,
        )  # fmt: skip
        current = 1e-3 * properties.exchange_current_density * min(reaction, 1.0)
        most = FARADAY * current * (reaction + 1) * DEPTH / (CONDUCTIVITY * LITHIUM_MOLAR_VOLUME)
        model.applied.value = current
        pressure = comm.bcast(brentq(lambda p, model=model: comm.bcast(model.transport(p)), 0.0, most, rtol=1e-9))
        found[_name("smeared filament", reaction, "stall potential over i c/k")] = _over_drop(
            LITHIUM_MOLAR_VOLUME * pressure / FARADAY, current
        )
    return found


def _over_drop(potential: float, current: float) -> float:
    """A potential over the drop i c/κ along the flaw."""
    return potential * CONDUCTIVITY / (current * DEPTH)


def _name(what: str, length: float, quantity: str) -> str:
    """Name of a row."""
    return f"{what}, kRT/(F i0 c) = {length:g}, {quantity}"

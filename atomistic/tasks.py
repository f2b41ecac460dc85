"""What each kind of run of a study does: parameters in, JSON-ready answer out."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import BaseCalculator

from atomistic import adhesion, bulk_onsager, collective, diffusivity, dynamics, elasticity, surface_energy, thermal_elasticity
from atomistic import surfaces as faces
from atomistic.dynamics import DynamicsSettings
from atomistic.relaxation import relaxed
from coupling.errors import RunFailure, UserError

if TYPE_CHECKING:
    from atomistic.study import Toolbox

Tick = Callable[[float], None]
VOLUME_CHANGE = 0.15
"""Change of volume, relative to the cell at rest, beyond which a constant-pressure run no longer is the crystal."""
COLLECTIVE = (0.1, 0.3)
"""Lags of the collective displacement, as shares of the run: from where the self-diffusivity is fitted on."""
FRAME = 40.0
"""Time between the frames of a diffusion run, fs."""
SHAKE = 0.1
"""Displacement in Å that takes the ions of a disordered cell off the symmetric sites of the ideal crystal."""


def perform(
    kind: str, parameters: Mapping[str, Any], tools: "Toolbox", calculator: BaseCalculator, folder: Path, tick: Tick
) -> dict[str, Any]:
    """Answer of one run; `folder` keeps its checkpoints."""
    engine = getattr(calculator, "engine", type(calculator).__name__)
    dynamics.forget(calculator)  # so that the answer does not depend on what this process did before
    answer = {
        "diffusion": _diffusion, "elasticity": _elasticity, "thermal_elasticity": _thermal_elasticity, "surface": _surface,
        "adhesion": _adhesion, "onsager": _onsager,
    }[kind](parameters, tools, calculator, folder, tick)  # fmt: skip
    return {"engine": engine, **answer}


def _diffusion(p: Mapping[str, Any], tools: "Toolbox", calculator: BaseCalculator, folder: Path, tick: Tick) -> dict[str, Any]:
    """Equilibration, then constant-volume production in the mean cell: diffusivity of the mobile element.

    Where the potential does not hold the material at this temperature at all, the answer is the problem alone.
    """
    try:
        return _diffusivity(p, tools, calculator, folder, tick)
    except dynamics.Unphysical as failure:
        where = f"{p['phase']} at {p['temperature']:g} K" + (f" and {p['pressure']:g} GPa" if p.get("pressure") else "")
        return {"problem": f"{where}: left out, since the dynamics left the physical region ({failure})"}


def _diffusivity(p: Mapping[str, Any], tools: "Toolbox", calculator: BaseCalculator, folder: Path, tick: Tick) -> dict[str, Any]:
    """Answer of a diffusion run. Raises Unphysical."""
    total = p["equilibration"] + p["production"]
    share = p["equilibration"] / total
    start, problem = _equilibrated(p, tools, calculator, folder, lambda part: tick(share * part))
    settings = DynamicsSettings(
        p["temperature"],
        p["production"],
        "nvt",
        friction_time=500.0,
        frame_interval=FRAME,
        checkpoint_interval=400.0,
        seed=p["seed"] + 1,
    )
    run = dynamics.run(start, calculator, settings, folder / "production", lambda part: tick(share + (1 - share) * part))
    moving = np.flatnonzero(np.array(start.get_chemical_symbols()) == p["mobile"])
    found = diffusivity.from_positions(run.positions, moving, run.frame_interval, seed=p["seed"])
    return {
        "value": found.value,
        "stderr": found.stderr,
        "bound": found.bound,
        "hops": found.hops,
        "hop_length": found.hop_length,
        "ions": found.ions,
        "picoseconds": found.picoseconds,
        "reason": found.reason,
        "lags_fs": found.lags.tolist(),
        "msd_A2": found.msd.tolist(),
        "atoms": len(start),
        "volume_A3": float(start.get_volume()),
        "formula_units": _formula_units(start),
        "mean_temperature": float(np.mean(run.temperatures)),
        "halvings": run.halvings,
        "cell": "that of the structure file, fixed" if problem else "mean of a constant-pressure run",
        **({"problem": problem} if problem else {}),
        **_collective(run, p["mobile"]),
    }


def _onsager(p: Mapping[str, Any], tools: "Toolbox", calculator: BaseCalculator, folder: Path, tick: Tick) -> dict[str, Any]:
    """A run that keeps velocities: Einstein against Green–Kubo."""
    share = p["equilibration"] / (p["equilibration"] + p["production"])
    try:
        start, _ = _equilibrated(p, tools, calculator, folder, lambda part: tick(share * part))
        return bulk_onsager.velocity_run(p, start, calculator, folder, lambda part: tick(share + (1 - share) * part))
    except dynamics.Unphysical as failure:
        return {"problem": f"{p['phase']} at {p['temperature']:g} K, velocities: left the physical region ({failure})"}


def _collective(run: dynamics.Trajectory, mobile: str) -> dict[str, Any]:
    """Conductivity (S/m) of the displacement of all mobile ions, each of charge 1, and their charge diffusivity (m²/s).

    Its lags begin where those of the self-diffusivity do: at shorter ones ions that rattle in a cage look faster than they are.
    Nothing where all atoms are mobile (a metal), where nothing moves, or where the motion bears neither value nor bound.
    """
    labels = run.final.get_chemical_symbols()
    if set(labels) == {mobile}:
        return {}
    length = len(run.positions) * run.frame_interval
    found = collective.charge_conductivity(run.positions, labels, run.final.get_masses(), {mobile: 1.0}, run.frame_interval,
                                        float(np.mean(run.temperatures)), float(run.final.get_volume()),
                                        (COLLECTIVE[0] * length, COLLECTIVE[1] * length))  # fmt: skip
    try:
        record = collective.record(found, "", {}, {"of": mobile})
    except UserError:
        return {}
    return {"collective": {
        "value": record.value, "stderr": record.stderr, "bound": record.bound, "reason": record.source["method"],
        "diffusivity": found.diffusivity, "diffusivity_stderr": found.diffusivity_stderr,
    }}  # fmt: skip


def _equilibrated(
    p: Mapping[str, Any], tools: "Toolbox", calculator: BaseCalculator, folder: Path, tick: Tick
) -> tuple[Atoms, str]:
    """Atoms with momenta in the mean cell of a constant-pressure run, and "".

    When that run leaves the solid (volume changed by more than VOLUME_CHANGE, or unstable), the potential does not hold the
    crystal at this temperature without pressure: the cell of the structure file is taken and the second answer says so. So it
    does where the study asks for that cell. Under pressure no other cell will do. Raises Unphysical: it left the solid there.
    """
    if p.get("measured_cell"):
        return _in_the_measured_cell(p, tools, calculator, folder, tick, "asked for by the study")
    common, pressure = _equilibration(p), p.get("pressure", 0.0)
    atoms = _start(p, tools, calculator).repeat(p["repeat"])
    constant = DynamicsSettings(ensemble="npt", pressure=pressure, **common)
    try:
        warm = dynamics.run(atoms, calculator, constant, folder / "equilibration", tick)
        change = abs(np.linalg.det(warm.mean_cell())) / atoms.get_volume() - 1.0
        reason = f"volume changed by {change:+.0%}" if abs(change) > VOLUME_CHANGE else ""
    except dynamics.Unphysical:
        reason = "unstable"
    if reason and pressure:
        raise dynamics.Unphysical(f"constant-pressure run at {pressure:g} GPa left the solid ({reason})")
    if reason:
        return _in_the_measured_cell(p, tools, calculator, folder, tick, f"constant-pressure run left the solid ({reason})")
    start, momenta = warm.final.copy(), warm.final.get_momenta()
    start.set_cell(warm.mean_cell(), scale_atoms=True)
    start.set_momenta(momenta)
    return start, ""


def _equilibration(p: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of an equilibration besides its ensemble."""
    common = {"temperature": p["temperature"], "picoseconds": p["equilibration"], "seed": p["seed"]}
    return common | {"friction_time": 100.0, "frame_interval": 20.0, "checkpoint_interval": 200.0}


def _in_the_measured_cell(
    p: Mapping[str, Any], tools: "Toolbox", calculator: BaseCalculator, folder: Path, tick: Tick, reason: str
) -> tuple[Atoms, str]:
    """Equilibrated atoms in the cell of the structure file, and why."""
    atoms = tools.crystal(p["phase"], p["seed"]).repeat(p["repeat"])
    settings = DynamicsSettings(ensemble="nvt", **_equilibration(p))
    fixed = dynamics.run(atoms, calculator, settings, folder / "equilibration-fixed", tick)
    return fixed.final, f"{p['phase']} at {p['temperature']:g} K: {reason}; cell of the structure file used"


def _elasticity(p: Mapping[str, Any], tools: "Toolbox", calculator: BaseCalculator, folder: Path, tick: Tick) -> dict[str, Any]:
    """Relaxed cell at 0 K and its elastic tensor, symmetrised as the crystal (a disordered one as the cubic mean).

    A disordered cell is shaken by 0.1 Å before it relaxes, so that its ions leave the symmetric sites of the ideal crystal
    for a minimum that bears a strain.
    """
    cell = _shaken(p, tools)
    disordered = "disorder" in cell.info
    atoms = relaxed(cell, calculator, cell=True, force=0.004, steps=p.get("steps", 2000), strict=False)
    tick(0.3)
    answer = {
        "atoms": len(atoms),
        "cell_lengths_A": atoms.cell.lengths().tolist(),
        "volume_A3": float(atoms.get_volume()),
        "formula_units": _formula_units(atoms),
        "energy_per_atom_eV": float(atoms.get_potential_energy()) / len(atoms),
        "largest_force": float(np.linalg.norm(atoms.get_forces(), axis=1).max()),
    }
    rotations = CUBIC if disordered else elasticity.crystal_rotations(cell)
    try:
        tensor = elasticity.elastic_tensor(atoms, calculator, force=0.004, rotations=rotations, steps=p.get("steps", 300),
                                           departing=disordered)  # fmt: skip
    except RunFailure as failure:
        return {**answer, "problem": f"{p['phase']}: no elastic constants: {failure}"}
    return {**answer, **_told(tensor)}


def _thermal_elasticity(
    p: Mapping[str, Any], tools: "Toolbox", calculator: BaseCalculator, folder: Path, tick: Tick
) -> dict[str, Any]:
    """Elastic tensor at a temperature, in the mean cell of a constant-pressure run, symmetrised as in `_elasticity`."""
    share = p["equilibration"] / (p["equilibration"] + 12 * p["production"])
    cell = tools.crystal(p["phase"], p["seed"])
    rotations = CUBIC if "disorder" in cell.info else elasticity.crystal_rotations(cell)
    runs = thermal_elasticity.Strained(p["temperature"], p["strain"], p["production"], seed=p["seed"] + 1)
    where = f"{p['phase']} at {p['temperature']:g} K"
    try:
        start, problem = _equilibrated(p, tools, calculator, folder, lambda part: tick(share * part))
        tensor = thermal_elasticity.elastic_tensor(
            start, calculator, runs, rotations, folder, lambda part: tick(share + (1 - share) * part)
        )
    except RunFailure as failure:
        return {"problem": f"{where}: no elastic constants: {failure}"}
    return {
        "atoms": len(start), "volume_A3": float(start.get_volume()), "formula_units": _formula_units(start),
        "cell": "that of the structure file, fixed" if problem else "mean of a constant-pressure run",
        "picoseconds": 12 * p["production"], **_told(tensor),
        **({"problem": problem} if problem else {}),
    }  # fmt: skip


def _told(tensor: elasticity.ElasticTensor) -> dict[str, Any]:
    """An elastic tensor, Pa, JSON-ready."""
    return {"constants": tensor.constants.tolist(), "covariance": tensor.covariance.tolist()}


def _surface(p: Mapping[str, Any], tools: "Toolbox", calculator: BaseCalculator, folder: Path, tick: Tick) -> dict[str, Any]:
    """Surface energy of one face: of the slabs of the metal, or of those that are cut from the relaxed crystal (`surfaces`)."""
    if "miller" in p:
        return faces.measured(p, _shaken(p, tools), calculator, tick)
    assert tools.slab is not None
    make = tools.slab
    cell, whole = tools.crystal(p["phase"], p["seed"]), "steps" not in p
    bulk = relaxed(cell, calculator, cell=True, force=0.002, steps=p.get("steps", 500), strict=whole)
    length = float(bulk.cell.lengths()[0])
    energy = float(bulk.get_potential_energy()) / len(bulk)
    found = surface_energy.surface_energy(
        lambda thickness: make(p["face"], thickness, length), p["thicknesses"], energy, calculator, steps=p.get("steps", 300),
        strict=whole,
    )  # fmt: skip
    return {"value": found.value, "stderr": found.stderr, "values": list(found.values)}


def _adhesion(p: Mapping[str, Any], tools: "Toolbox", calculator: BaseCalculator, folder: Path, tick: Tick) -> dict[str, Any]:
    """Work of adhesion of the metal on one phase."""
    return adhesion.measured(p, tools, calculator, tick)


def _start(p: Mapping[str, Any], tools: "Toolbox", calculator: BaseCalculator) -> Atoms:
    """Cell to be repeated, relaxed under its pressure; a disordered one keeps the mean of its axes, being cubic on average."""
    cell = _shaken(p, tools)
    disordered = "disorder" in cell.info
    steps, pressure = p.get("steps", 300), p.get("pressure", 0.0)
    rest = relaxed(cell, calculator, cell=True, force=0.01, steps=steps, strict=False, pressure=pressure).copy()
    rest.calc = None
    if disordered:
        rest.set_cell(cell.cell.array * (rest.get_volume() / cell.get_volume()) ** (1 / 3), scale_atoms=True)
    return rest


def _shaken(p: Mapping[str, Any], tools: "Toolbox") -> Atoms:
    """The cell of a phase; a disordered one with its ions off the symmetric sites of the ideal crystal."""
    cell = tools.crystal(p["phase"], p["seed"])
    if "disorder" in cell.info:
        cell.rattle(SHAKE, rng=np.random.default_rng(p["seed"]))
    return cell


def _formula_units(atoms: Atoms) -> int:
    """Formula units in the cell: the greatest common divisor of the numbers of each element."""
    counts = np.unique(atoms.numbers, return_counts=True)[1]
    return int(np.gcd.reduce(counts))


def _cubic_group() -> np.ndarray:
    """The 48 operations of a cube, (48, 3, 3)."""
    import itertools

    operations = []
    for order in itertools.permutations(range(3)):
        for signs in itertools.product((1.0, -1.0), repeat=3):
            operations.append(np.diag(signs)[list(order)])
    return np.array(operations)


CUBIC = _cubic_group()

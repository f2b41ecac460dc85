"""Amorphous solids by melt and quench: pack, relax, melt, cool at a rate, anneal, and if asked relax the pressure away."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ase import Atoms
from ase.calculators.calculator import BaseCalculator

from atomistic.dynamics import DynamicsSettings, run
from atomistic.interface import amorphous
from atomistic.relaxation import relaxed
from atomistic.structures import density
from atomistic.trajectory import ase_frames
from coupling.errors import UserError


@dataclass(frozen=True)
class Schedule:
    """Course of a melt-quench run: K, ps, K/ps, fs; `relax_pressure` lets the cell relax to zero stress at the end."""

    melt_temperature: float = 1500.0
    melt_picoseconds: float = 10.0
    quench_rate: float = 100.0
    anneal_temperature: float = 300.0
    anneal_picoseconds: float = 10.0
    relax_steps: int = 200
    relax_pressure: bool = False
    timestep: float = 2.0
    friction_time: float = 200.0
    frame_interval: float = 50.0

    def __post_init__(self) -> None:
        """Refuse a schedule that heats on quenching or has no length."""
        lengths = (self.melt_picoseconds, self.quench_rate, self.anneal_picoseconds)
        if not (min(lengths) > 0 and self.melt_temperature > self.anneal_temperature > 0):
            raise UserError(
                f"melt-quench: {self.melt_temperature} K to {self.anneal_temperature} K at {self.quench_rate} K/ps; a melt "
                "hotter than the anneal, a rate and times above zero are needed"
            )

    @property
    def quench_picoseconds(self) -> float:
        """Length of the quench, ps."""
        return (self.melt_temperature - self.anneal_temperature) / self.quench_rate

    def stages(self, seed: int) -> dict[str, DynamicsSettings]:
        """Settings of melt, quench and anneal, each with its own seed."""
        hot, cold = self.melt_temperature, self.anneal_temperature
        parts = {
            "melt": (hot, None, self.melt_picoseconds),
            "quench": (hot, cold, self.quench_picoseconds),
            "anneal": (cold, None, self.anneal_picoseconds),
        }
        return {
            name: DynamicsSettings(
                temperature=first,
                picoseconds=length,
                final_temperature=last,
                timestep=self.timestep,
                friction_time=self.friction_time,
                frame_interval=self.frame_interval,
                checkpoint_interval=10 * self.frame_interval,
                seed=seed + number,
            )
            for number, (name, (first, last, length)) in enumerate(parts.items())
        }


def melt_quench(
    composition: dict[str, int],
    density_g_cm3: float,
    seed: int,
    calculator: BaseCalculator,
    folder: str | Path,
    schedule: Schedule | None = None,
) -> tuple[Atoms, dict[str, Any]]:
    """Amorphous solid of a composition and density, and the record of how it was made.

    Args:
        composition: number of atoms of each element.
        density_g_cm3: density of packing, melt and quench; kept unless `relax_pressure`.
        seed: of packing, velocities and noise.
        calculator: any ASE calculator (with stress for `relax_pressure`).
        folder: one folder a stage; a run that was killed goes on from there.
        schedule: temperatures, rate and lengths.

    Raises:
        UserError: composition, density or schedule make no sense.
        RunFailure: the potential does not hold the melt.
    """
    schedule = schedule or Schedule()
    packed = amorphous(composition, density_g_cm3, seed)
    atoms = relaxed(packed, calculator, force=0.2, steps=schedule.relax_steps, strict=False)
    record: dict[str, Any] = {
        "composition": dict(composition),
        "density": density_g_cm3,
        "seed": seed,
        "packing_scale": packed.info["packing_scale"],
        "schedule": asdict(schedule),
        "stages": [],
    }
    for name, settings in schedule.stages(seed).items():
        start = Atoms(atoms.symbols, positions=atoms.positions, cell=atoms.cell, pbc=True)
        run(start, calculator, settings, Path(folder) / name)
        *_, atoms = ase_frames(Path(folder) / name)
        span = [settings.temperature, settings.final_temperature or settings.temperature]
        record["stages"].append({"name": name, "kelvin": span, "picoseconds": settings.picoseconds, "seed": settings.seed})
    if schedule.relax_pressure:
        atoms = relaxed(atoms, calculator, cell=True, force=0.05, steps=schedule.relax_steps, strict=False)
    record["final_density"] = density(atoms)
    solid = Atoms(atoms.symbols, positions=atoms.positions, cell=atoms.cell, pbc=True)
    solid.wrap()
    solid.info = {"name": f"amorphous {solid.get_chemical_formula()}", "seed": seed, "density": record["final_density"]}
    return solid, record

"""Writes the card of a trained potential: `python -m atomistic.card TRAINING_DIR FOLDER`.

FOLDER holds the potential, TRAINING_DIR is the `--out` of atomistic.training. card.json gets the held-out errors by
family, lattice constants and bulk moduli beside the teacher's, long trajectories, the speed and the data; card.md says the
same in words and tables. A small set of held-out frames is copied beside them for the tests.
"""

import argparse
import contextlib
import io
import json
import platform
import time
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms, units
from ase.calculators.calculator import Calculator
from ase.filters import FrechetCellFilter
from ase.io import write
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution
from ase.optimize import FIRE

from atomistic import labels, mace_model, potential, training
from atomistic.structures import argyrodite, bulk, min_distance, supercell
from coupling.atomic import replacing, write_json, write_text

PHASES = ("Li", "Li2S", "Li3P", "LiCl", "Li6PS5Cl")
PICOSECONDS = 20.0  # of every trajectory on the card
GPA = 160.21766  # 1 eV/Å³ in GPa
SHIPPED_FRAMES = ("crystal", 60)  # family and largest number of atoms of the frames that travel with the potential


def relaxed(atoms: Atoms, calculator: Calculator, cell: bool, steps: int = 200) -> Atoms:
    """Atoms at rest (forces below 0.01 eV/Å, cell strain energy gradient likewise where `cell`)."""
    work = atoms.copy()
    work.calc = calculator
    with contextlib.redirect_stdout(io.StringIO()):
        FIRE(FrechetCellFilter(work) if cell else work, logfile=None).run(fmax=0.01, steps=steps)
    return work


def elastic_reference(name: str, calculator: Calculator) -> dict[str, float]:
    """Lattice constants (Å) at rest and bulk modulus (GPa) of a phase at 0 K.

    The bulk modulus is V ∂²E/∂V² from a cubic fit to five volumes within ±3 %, the atoms relaxed in each cell.
    """
    rest = relaxed(bulk(name), calculator, cell=True)
    scales = np.array([0.97, 0.985, 1.0, 1.015, 1.03])
    energies, volume = [], rest.get_volume()
    for scale in scales:
        deformed = rest.copy()
        deformed.set_cell(rest.cell.array * scale ** (1 / 3), scale_atoms=True)
        energies.append(relaxed(deformed, calculator, cell=False, steps=60).get_potential_energy())
    cubic = np.polynomial.Polynomial.fit(scales, energies, 3).convert()
    modulus = float(cubic.deriv(2)(1.0)) / volume * GPA
    lengths = rest.cell.lengths()
    return {
        "a_A": round(float(lengths[0]), 4),
        "c_A": round(float(lengths[2]), 4),
        "volume_A3_per_atom": round(volume / len(rest), 4),
        "bulk_modulus_GPa": round(modulus, 2),
    }


def teacher_references(training_dir: Path) -> dict[str, dict[str, float]]:
    """`elastic_reference` of every phase with the teacher, kept in the training folder once computed."""
    path = training_dir / "teacher_references.json"
    if not path.exists():
        write_json(path, {name: elastic_reference(name, labels.teacher()) for name in PHASES})
    found: dict[str, dict[str, float]] = json.loads(path.read_text(encoding="utf-8"))
    return found


def processor() -> str:
    """Name of the processor."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.machine()


def speed(folder: Path) -> list[dict[str, Any]]:
    """Time of one MD-like step in µs per atom on one core, for both precisions of the fastest engine (416 atoms)."""
    rows = []
    for dtype in ("float32", "float64"):
        atoms = argyrodite(0.5, (2, 2, 2), seed=1)
        atoms.calc = potential.load(folder, dtype=dtype)
        random, times = np.random.default_rng(0), []
        for _ in range(15):
            atoms.positions += random.normal(0, 0.005, atoms.positions.shape)
            began = time.process_time()
            atoms.get_forces()
            times.append(time.process_time() - began)
        per_atom = round(1e6 * float(np.median(times[3:])) / len(atoms), 1)
        rows.append({"engine": atoms.calc.engine, "dtype": dtype, "atoms": len(atoms), "us_per_atom": per_atom})
    return rows


def trajectory(name: str, calculator: Calculator, temperature: float, picoseconds: float) -> dict[str, float]:
    """Trajectory of a phase at its own 0 K cell (Langevin, 2 fs): does it stay what it is?

    Returns:
        temperature (K) and pressure (GPa), means over the second half; shortest distance (Å) met; largest displacement of
        an atom other than lithium from its start (Å; in lithium metal of any atom), the drift taken out.
    """
    atoms = supercell(relaxed(bulk(name), calculator, cell=True), 6.5)
    atoms.calc = calculator
    random = np.random.default_rng(training.seed_of(name, temperature))
    MaxwellBoltzmannDistribution(atoms, temperature_K=2 * temperature, rng=random)
    dynamics = Langevin(atoms, 2 * units.fs, temperature_K=temperature, friction=0.01 / units.fs, rng=random)
    framework = np.array(atoms.symbols) != "Li" if name != "Li" else np.ones(len(atoms), dtype=bool)
    first, temperatures, pressures, closest, farthest = atoms.positions.copy(), [], [], 9.0, 0.0
    for _ in range(round(picoseconds / 0.1)):
        dynamics.run(50)
        temperatures.append(atoms.get_temperature())
        pressures.append(-GPA * float(atoms.get_stress(include_ideal_gas=True)[:3].mean()))
        closest = min(closest, min_distance(atoms))
        moved = (atoms.positions - first)[framework]
        farthest = max(farthest, float(np.linalg.norm(moved - moved.mean(axis=0), axis=1).max()))
    half = len(temperatures) // 2
    return {
        "atoms": len(atoms),
        "picoseconds": picoseconds,
        "temperature_K": round(float(np.mean(temperatures[half:])), 0),
        "pressure_GPa": round(float(np.mean(pressures[half:])), 2),
        "shortest_distance_A": round(closest, 2),
        "largest_framework_displacement_A": round(farthest, 2),
    }


def by_structure(frames: list[Atoms], calculator: Calculator) -> dict[str, dict[str, float]]:
    """Errors of the crystal frames up to 1000 K for each structure of the recipe."""
    named = []
    for frame in frames:
        if frame.info["family"] == "crystal":
            copy = frame.copy()
            copy.info["family"] = frame.info["structure"]
            named.append(copy)
    table = training.errors(named, calculator)
    table.pop("all", None)
    return table


def card(training_dir: Path, folder: Path) -> dict[str, Any]:
    """Everything card.json holds."""
    recipe = training.read_recipe(folder / "recipe.toml")
    held_out = training.load_frames(recipe, [training.HELD_OUT], training_dir)
    learned = training.load_frames(recipe, list(range(len(recipe.epochs))), training_dir)
    calculator, quick = potential.load(folder), potential.load(folder, dtype="float32")
    taught = teacher_references(training_dir)
    references = {name: {"potential": elastic_reference(name, calculator), "teacher": taught[name]} for name in PHASES}
    return {
        "name": recipe.name,
        "elements": mace_model.elements_of(folder),
        "teacher": labels.TEACHER,
        "training_frames": len(learned),
        "training_atoms": sum(len(frame) for frame in learned),
        "held_out": training.errors(held_out, calculator),
        "held_out_crystals": by_structure(held_out, calculator),
        "references_0K": references,
        "trajectories": {name: trajectory(name, quick, 400.0 if name == "Li" else 1000.0, PICOSECONDS) for name in PHASES},
        "speed": {"processor": processor(), "threads": 1, "rows": speed(folder)},
    }


TEXT = """# {name}: a MACE potential for {elements}

Made for Li | interphase (Li2S, Li3P, LiCl) | Li6PS5Cl: molecular dynamics, strain–stress elasticity and slabs of these five
phases, their interfaces with lithium and random mixtures of the products.

**Teacher.** {teacher} (Deng et al., Nature Machine Intelligence 5, 1031, 2023). Every label comes from it; nothing here is
nearer to experiment or to DFT than the teacher is.

**Model.** MACE, {model[channels]} channels, scalar hidden features (L = 0), two layers, correlation 3, max_ell 3, cutoff
{model[r_max]} Å, Ziegler–Biersack–Littmark repulsion. Files: `config.json` + `model.safetensors` (mace-torch), `symmetrix.json`
(symmetrix-xl), the same numbers in both. No pickle.

**Data.** {training_frames} frames, {training_atoms} atoms in the last fit: crystals (ordered and disordered Li6PS5Cl, vacancies)
at 100–1000 K, strained, above 1000 K, lithium surfaces (100), (110), (111), four Li | phase interfaces, five random mixtures,
equations of state, close contacts. Frames with a teacher force above {max_force} eV/Å (contacts: 25 eV/Å) are left out, of the
held-out set too. All settings and seeds: `recipe.toml`. {note}

## Held-out errors
Trajectories of their own seeds, never in a fit; part of the crystals along dynamics of the teacher itself (800 K, 500 K;
lithium 350 K, 500 K), the others driven by the potential of generation {held_out_engine}, which is a rough one: its lithium slabs
came apart, and "surface" holds those frames too. "Size of forces" is the root mean square of the teacher's own forces.

| family | frames | energy, meV/atom | forces, meV/Å | size of forces, meV/Å | stress, GPa |
|---|---|---|---|---|---|
{errors}

Crystals up to 1000 K, by structure:

| structure | frames | energy, meV/atom | forces, meV/Å | size of forces, meV/Å | stress, GPa |
|---|---|---|---|---|---|
{by_structure}

The target was 10 meV/atom and 80 meV/Å on crystals up to 1000 K: {verdict}

## Against the teacher at 0 K
| phase | a (c), Å: potential | teacher | bulk modulus, GPa: potential | teacher |
|---|---|---|---|---|
{references}

## Long trajectories
At the 0 K cell, Langevin, 2 fs. The framework is every atom but lithium (in lithium metal: every atom), its drift taken out.

| phase | atoms | ps | T, K | pressure, GPa | shortest distance, Å | largest framework displacement, Å |
|---|---|---|---|---|---|---|
{trajectories}

{diffusion}## Speed
{speed} ({processor}, one thread, 416 atoms of Li6PS5Cl).

## Not for
- Absolute barriers and diffusivities without a correction: CHGNet, like other universal potentials of its generation, has a
  softened energy surface (Deng et al., npj Comput. Mater. 11, 9, 2025); its barriers and elastic moduli tend to be too low.
- Charged states, electron transfer, electrochemical potentials: there are no charges in it. Reactions are those of the
  teacher's ground state.
- Dispersion, gas phases, isolated atoms and molecules, fracture surfaces of the compounds (only lithium surfaces were taught).
- Cells with lithium taken out of Li6PS5Cl without a counter-charge: energies are off by tens of meV per atom.
- Other compositions (Li7P3S11, Li3PS4, Li10GeP2S12, oxides, hydrides …) and other elements: the loader refuses the latter.
- Pressures above about 10 GPa, temperatures above about 1500 K.

## Make it again
`python -m atomistic.training {recipe} --out DIR`, then
`python -m atomistic.card DIR FOLDER`. About {hours} on one core; the frames are not shipped because the recipe makes them.
Bit-for-bit equality holds only on the same libraries and processor.
"""


def _error_rows(table: dict[str, dict[str, float]]) -> str:
    """Markdown rows of an error table."""
    keys = ("frames", "energy_rmse_meV_per_atom", "force_rmse_meV_per_A", "force_rms_meV_per_A", "stress_rmse_GPa")
    return "\n".join(f"| {name} | " + " | ".join(f"{row[key]:g}" for key in keys) + " |" for name, row in table.items())


def _reference_rows(table: dict[str, dict[str, dict[str, float]]]) -> str:
    """Markdown rows of lattice constants and bulk moduli."""

    def length(row: dict[str, float]) -> str:
        single = abs(row["a_A"] - row["c_A"]) < 0.05
        return f"{row['a_A']:.3f}" if single else f"{row['a_A']:.3f} ({row['c_A']:.3f})"

    return "\n".join(
        f"| {name} | {length(row['potential'])} | {length(row['teacher'])} | "
        f"{row['potential']['bulk_modulus_GPa']:.1f} | {row['teacher']['bulk_modulus_GPa']:.1f} |"
        for name, row in table.items()
    )


def render(found: dict[str, Any], recipe: training.Recipe, hours: str, note: str = "", diffusion: str = "") -> str:
    """Text of card.md from the content of card.json and what a person has to add.

    Args:
        found: content of card.json.
        recipe: recipe of the potential.
        hours: cost of the training, in words.
        note: how these weights came about, where the recipe does not say it.
        diffusion: a section of its own.
    """
    crystal = found["held_out"]["crystal"]
    energy, force = crystal["energy_rmse_meV_per_atom"], crystal["force_rmse_meV_per_A"]
    met = {True: "met", False: "missed"}
    verdict = f"{energy:g} meV/atom ({met[energy <= 10]}) and {force:g} meV/Å ({met[force <= 80]})."
    keys = ("atoms", "picoseconds", "temperature_K", "pressure_GPa", "shortest_distance_A", "largest_framework_displacement_A")
    runs = found["trajectories"].items()
    trajectories = (f"| {name} | " + " | ".join(f"{row[key]:g}" for key in keys) + " |" for name, row in runs)
    return TEXT.format(
        name=found["name"],
        elements="–".join(found["elements"]),
        teacher=found["teacher"],
        model=recipe.model,
        max_force=recipe.max_force,
        held_out_engine=recipe.held_out_engine,
        note=note,
        training_frames=found["training_frames"],
        training_atoms=found["training_atoms"],
        errors=_error_rows(found["held_out"]),
        by_structure=_error_rows(found["held_out_crystals"]),
        verdict=verdict,
        references=_reference_rows(found["references_0K"]),
        trajectories="\n".join(trajectories),
        speed="; ".join(f"{row['engine']} {row['dtype']}: {row['us_per_atom']:g} µs/atom/step" for row in found["speed"]["rows"]),
        processor=found["speed"]["processor"],
        recipe="atomistic/data/potentials/lpscl/recipe.toml",
        hours=hours,
        diffusion=diffusion,
    )


def ship_frames(training_dir: Path, folder: Path, count: int = 8) -> None:
    """Copy `count` held-out crystal frames of at most 60 atoms, evenly spread, to held_out.extxyz beside the potential."""
    recipe = training.read_recipe(folder / "recipe.toml")
    family, largest = SHIPPED_FRAMES
    frames = [
        frame
        for frame in training.load_frames(recipe, [training.HELD_OUT], training_dir)
        if frame.info["family"] == family and len(frame) <= largest
    ]
    chosen = [frames[i] for i in np.linspace(0, len(frames) - 1, count).astype(int)]
    for frame in chosen:
        frame.info["teacher"] = labels.TEACHER
    with replacing(folder / "held_out.extxyz") as temporary:
        write(temporary, chosen, format="extxyz")


def main(arguments: list[str] | None = None) -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m atomistic.card", description=__doc__.splitlines()[0])
    parser.add_argument("training_dir", type=Path, help="the --out folder of atomistic.training")
    parser.add_argument("folder", type=Path, help="folder of the potential, with its recipe.toml")
    parser.add_argument("--hours", default="two hours", help="cost of the training, in words")
    parser.add_argument("--note", default="", help="how these weights came about, where the recipe does not say it")
    parser.add_argument("--diffusion", default="", help="text of a section on diffusion against the teacher")
    options = parser.parse_args(arguments)
    ship_frames(options.training_dir, options.folder)
    found = card(options.training_dir, options.folder)
    write_json(options.folder / potential.CARD, found)
    recipe = training.read_recipe(options.folder / "recipe.toml")
    write_text(options.folder / "card.md", render(found, recipe, options.hours, options.note, options.diffusion))
    print(json.dumps(found, indent=1))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

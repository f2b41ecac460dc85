"""Band gap of a small periodic cell, or of a slice of one, by CP2K: an estimate for the electronic conductivity of an interphase.

The gap is between the lowest orbital that is less than half filled and the highest that is more than half filled, at the zone
centre of the cell, with the functional of `cp2k.Cp2kSettings`. Semilocal functionals give gaps that are too small, often by a
third to a half; one k-point makes the gap of a small cell too large, and gives one to a metal whose cell has closed shells.
Where orbitals at the Fermi level are partly filled (METALLIC), the cell is a metal at the resolution of the smearing: the
occupation f = 1/(1 + exp(x/kT)) lies between METALLIC and 1 - METALLIC over 2 ln(1/METALLIC - 1) kT (0.25 eV at 500 K), and the
gap is at most that wide.

Slices are cut by `neutral_slices`: one with a formal charge has carriers, and no gap, by the cut alone.
"""

import math
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms, units

from atomistic import cp2k
from atomistic.cp2k import Cp2kSettings, LabelFailure
from coupling.errors import RunFailure, UserError
from coupling.record import Property

METALLIC = 0.05
"""An orbital filled by more than this share and less than one minus it is partly filled."""
MOST_ATOMS = 150
"""Larger cells take hours on a core."""
VALENCE = {"H": 1, "Li": 3, "C": 4, "N": 5, "O": 6, "F": 7, "P": 5, "S": 6, "Cl": 7, "Zr": 12, "La": 11}
"""Electrons that the pseudopotentials leave."""


@dataclass(frozen=True)
class BandGap:
    """Gap (eV), its edges (eV), and whether orbitals at the Fermi level are partly filled."""

    gap: float
    highest: float
    lowest: float
    metallic: bool


def input_text(atoms: Atoms, settings: Cp2kSettings) -> str:
    """CP2K input of one energy that prints all orbital energies."""
    body = cp2k.template(atoms, settings).replace("&MGRID", f"&MGRID\nCUTOFF {settings.cutoff}", 1)
    shown = "&PRINT\n&MO\nENERGIES\nOCCUPATION_NUMBERS\n&EACH\nQS_SCF 0\n&END EACH\n&END MO\n&END PRINT"
    body = body.replace("&DFT", f"METHOD QS\n&DFT\n{shown}", 1)
    cell = "\n".join(f"{name} {' '.join(f'{x:.10f}' for x in row)}" for name, row in zip("ABC", atoms.cell.array, strict=True))
    places = "\n".join(f"{s} {x:.10f} {y:.10f} {z:.10f}" for s, (x, y, z) in zip(atoms.symbols, atoms.positions, strict=True))
    pseudo = cp2k.FUNCTIONALS[settings.functional][1]
    species = sorted(set(atoms.symbols))
    kinds = "\n".join(f"&KIND {name}\nBASIS_SET {settings.basis}\nPOTENTIAL {pseudo}\n&END KIND" for name in species)
    subsystem = f"&SUBSYS\n&CELL\n{cell}\nPERIODIC XYZ\n&END CELL\n&COORD\n{places}\n&END COORD\n{kinds}\n&END SUBSYS"
    head = "&GLOBAL\nPROJECT gap\nRUN_TYPE ENERGY\nPRINT_LEVEL LOW\n&END GLOBAL"
    return f"{head}\n{body.replace('&END FORCE_EVAL', subsystem + chr(10) + '&END FORCE_EVAL')}\n"


def read_orbitals(output: str) -> np.ndarray:
    """Energies (eV) and occupations (0 … 2) of the last list of orbitals in an output, (n, 2), rising.

    Raises:
        LabelFailure: the run did not converge, or prints no orbitals.
    """
    if "SCF run NOT converged" in output:
        raise LabelFailure("the self-consistent field did not converge")
    orbitals: dict[int, tuple[float, float]] = {}
    for line in output.splitlines():
        words = line.split()
        if len(words) == 5 and words[0] == "MO|" and words[1].isdigit():
            orbitals[int(words[1])] = (float(words[3]), float(words[4]))
    if not orbitals:
        raise LabelFailure("no orbital energies in CP2K's output")
    found = np.array([orbitals[number] for number in sorted(orbitals)])
    return found[np.argsort(found[:, 0], kind="stable")]


def gap_of(orbitals: np.ndarray, smearing: float = 500.0) -> BandGap:
    """Gap from energies (eV) and occupations (n, 2); of a metallic cell the widest gap that the smearing (K) would hide.

    Raises:
        LabelFailure: all orbitals are filled: more empty ones are needed.
    """
    energy, filled = orbitals[:, 0], orbitals[:, 1] / 2
    if not (filled < 0.5).any() or not (filled > 0.5).any():
        raise LabelFailure("no filled or no empty orbital in CP2K's output")
    partly = (filled > METALLIC) & (filled < 1 - METALLIC)
    highest, lowest = float(energy[filled > 0.5].max()), float(energy[filled < 0.5].min())
    if partly.any():
        hidden = 2 * math.log(1 / METALLIC - 1) * units.kB * smearing
        return BandGap(max(float(np.ptp(energy[partly])), hidden), highest, lowest, True)
    return BandGap(lowest - highest, highest, lowest, False)


def require_cell(atoms: Atoms, settings: Cp2kSettings) -> None:
    """Refuse what no gap can be computed of.

    Raises:
        UserError: settings that CP2K cannot serve, no smearing, a cell that is not periodic, more than MOST_ATOMS atoms, an
            element without pseudopotential, or an odd number of electrons.
    """
    cp2k.validate(settings)
    if not settings.smearing:
        raise UserError("band gap: smearing = 0 K computes no empty orbitals; give a smearing, such as 500 K")
    if not (atoms.pbc.all() and atoms.cell.rank == 3):
        raise UserError("band gap: a cell that is periodic in three directions is needed")
    if len(atoms) > MOST_ATOMS:
        raise UserError(f"band gap: {len(atoms)} atoms; at most {MOST_ATOMS}: take a slice or a smaller cell")
    if lacking := sorted(set(atoms.symbols) - set(VALENCE)):
        raise UserError(f"band gap: no pseudopotential at hand for {', '.join(lacking)}; known: {', '.join(VALENCE)}")
    electrons = sum(VALENCE[symbol] for symbol in atoms.symbols)
    if electrons % 2:
        told = "an unpaired one makes no gap; take a slice of another composition"
        raise UserError(f"band gap: {electrons} electrons in {atoms.get_chemical_formula()}: {told}")


def band_gap(atoms: Atoms, settings: Cp2kSettings) -> BandGap:
    """Band gap of a periodic cell at its zone centre. Raises what `solve` does."""
    return solve(atoms, settings)[0]


def solve(atoms: Atoms, settings: Cp2kSettings) -> tuple[BandGap, np.ndarray]:
    """Band gap of a periodic cell at its zone centre, and the energies (eV) and occupations (0 … 2) of its orbitals (n, 2).

    Raises:
        UserError: no CP2K, or what `require_cell` refuses; RunFailure: CP2K gave no gap.
    """
    require_cell(atoms, settings)
    own = replace(settings, k_spacing=0.0, spin=False)
    path = cp2k.program()
    with tempfile.TemporaryDirectory(prefix="cp2k-") as folder:
        (Path(folder) / "gap.inp").write_text(input_text(atoms, own))
        try:
            with cp2k._own_environment(own.threads):
                done = subprocess.run([path, "-i", "gap.inp"], cwd=folder, capture_output=True, text=True, check=False,
                                      timeout=own.time_limit)  # fmt: skip
        except subprocess.TimeoutExpired as error:
            raise RunFailure(f"band gap: CP2K took longer than {own.time_limit:g} s") from error
    try:
        orbitals = read_orbitals(done.stdout)
        return gap_of(orbitals, own.smearing), orbitals
    except LabelFailure as failure:
        raise RunFailure(f"band gap: {failure}; {_last_words(done.stdout)}") from failure


def _last_words(output: str) -> str:
    told = [line.strip(" *_|/\\") for line in output.splitlines() if line.startswith(" *")]
    return " ".join(word for word in told if word and "[" not in word)[:300] or "CP2K said no more"


def record(
    found: BandGap, atoms: Atoms, settings: Cp2kSettings, conditions: Mapping[str, Any], source: Mapping[str, Any],
    carriers: bool = False,
) -> Property:  # fmt: skip
    """The gap (J) as an estimate of low confidence; an upper bound where the cell is metallic or holds metal (`carriers`)."""
    method = f"{settings.functional} at the zone centre, {settings.basis}, {settings.cutoff:g} Ry; semilocal gaps are too small"
    told = {**source, "method": method, "atoms": len(atoms), "gap_eV": round(found.gap, 4)}
    return Property(atoms.get_chemical_formula(empirical=True), "band_gap", found.gap * units._e, "J", stderr=None,
                    bound="upper" if found.metallic or carriers else None, conditions={**conditions, "metallic": found.metallic},
                    kind="derived", source=told, confidence="low")  # fmt: skip

"""Every crystal of structures.toml: stoichiometry, space group, density against experiment, shortest bond of each pair."""

import numpy as np
import pytest
from ase import Atoms
from ase.neighborlist import neighbor_list
from pymatgen.core import Composition
from pymatgen.io.ase import AseAtomsAdaptor
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

from atomistic.structures import FRAMES, bulk, density, every_site, names, prototypes
from coupling.errors import UserError

# reduced formula, and the range (Å) in which the shortest distance of each pair lies: sums of Shannon's ionic radii ± 12 %
# for cation–anion pairs, covalent lengths for P–S (2.0–2.1), P–O, C–O (1.27–1.31), O–H and O–O of a peroxide (1.5–1.6)
CRYSTALS = {
    "Li_bcc": ("Li", {"Li-Li": (3.0, 3.1)}),
    "Li2S": ("Li2S", {"Li-S": (2.4, 2.5), "Li-Li": (2.8, 2.9), "S-S": (4.0, 4.1)}),
    "Li2O": ("Li2O", {"Li-O": (1.95, 2.05), "Li-Li": (2.25, 2.35)}),
    "LiCl": ("LiCl", {"Cl-Li": (2.5, 2.6)}),
    "LiF": ("LiF", {"F-Li": (1.98, 2.05)}),
    "Li3P": ("Li3P", {"Li-P": (2.4, 2.6)}),
    "Li3N": ("Li3N", {"Li-N": (1.9, 2.0)}),
    "Li2CO3": ("Li2CO3", {"C-O": (1.26, 1.31), "Li-O": (1.85, 2.0)}),
    "LiOH": ("LiOH", {"H-O": (0.9, 1.0), "Li-O": (1.9, 2.0), "H-Li": (2.3, 2.6)}),
    "Li2O2": ("Li2O2", {"O-O": (1.5, 1.6), "Li-O": (1.9, 2.05)}),
    "La2O3": ("La2O3", {"La-O": (2.3, 2.45), "O-O": (2.7, 3.0)}),
    "ZrO2": ("ZrO2", {"O-Zr": (2.03, 2.15), "O-O": (2.5, 2.7)}),
    "La2Zr2O7": ("La2Zr2O7", {"O-Zr": (2.05, 2.15), "La-O": (2.3, 2.4)}),
    "Li2ZrO3": ("Li2ZrO3", {"O-Zr": (2.03, 2.15), "Li-O": (1.95, 2.2), "O-O": (2.7, 3.0)}),
    "LLZO_tetragonal": ("Li7La3Zr2O12", {"O-Zr": (2.05, 2.15), "La-O": (2.4, 2.6), "Li-O": (1.8, 2.0), "Li-Li": (2.3, 2.7)}),
    "LLZO_cubic_ordered": ("Li7La3Zr2O12", {"O-Zr": (2.05, 2.15), "La-O": (2.4, 2.6), "Li-O": (1.7, 2.0), "Li-Li": (2.3, 2.5)}),
    "Li6PS5Cl_24g": ("Li6PS5Cl", {"P-S": (2.0, 2.1), "Li-S": (2.2, 2.5), "Cl-Li": (3.4, 3.6)}),
    "gamma_Li3PS4": ("Li3PS4", {"P-S": (2.0, 2.1), "Li-S": (2.25, 2.6), "S-S": (3.2, 3.6)}),
    "beta_Li3PS4": ("Li3PS4", {"P-S": (2.0, 2.1), "Li-S": (2.25, 2.6), "S-S": (3.2, 3.6)}),
    "Li7P3S11": ("Li7P3S11", {"P-S": (2.0, 2.1), "Li-S": (2.3, 2.6), "S-S": (3.0, 3.5), "P-P": (3.2, 3.8)}),
}


def shortest(atoms: Atoms) -> dict[str, float]:
    """Shortest distance (Å) of each pair of elements, written in alphabetical order, up to 4.5 Å."""
    first, second, distance = neighbor_list("ijd", atoms, 4.5)
    symbols = np.array(atoms.get_chemical_symbols())
    pairs = np.array(["-".join(sorted(pair)) for pair in zip(symbols[first], symbols[second], strict=True)])
    return {pair: float(distance[pairs == pair].min()) for pair in set(pairs)}


def test_the_table_is_covered() -> None:
    disordered = {key for key, entry in prototypes().items() if "occupancies" in entry}
    assert set(CRYSTALS) | disordered | set(FRAMES) == set(prototypes())


@pytest.mark.parametrize("key", CRYSTALS)
def test_formula_density_and_bonds(key: str) -> None:
    formula, bonds = CRYSTALS[key]
    atoms, entry = bulk(key), prototypes()[key]
    assert Composition(atoms.get_chemical_formula()).reduced_composition == Composition(formula).reduced_composition
    assert all(entry[key] for key in ("density_source", "source", "read"))
    assert density(atoms) == pytest.approx(entry["density"], rel=0.025)
    found = shortest(atoms)
    for pair, (low, high) in bonds.items():
        assert low <= found[pair] <= high, f"{pair} {found[pair]:.3f} Å"
    assert min(found.values()) > 0.9


@pytest.mark.parametrize("key", [key for key in CRYSTALS if "space_group" in prototypes()[key]])
def test_space_group_is_the_stated_one(key: str) -> None:
    structure = AseAtomsAdaptor.get_structure(bulk(key))
    assert SpacegroupAnalyzer(structure, symprec=0.005).get_space_group_number() == prototypes()[key]["space_group"]


@pytest.mark.parametrize("name", ["gamma_Li3PS4", "beta_Li3PS4", "Li7P3S11", "Li6PS5Cl"])
def test_every_phosphorus_has_four_sulfur(name: str) -> None:
    atoms = bulk(name)
    first, second, distance = neighbor_list("ijd", atoms, 2.4)
    bonds = (atoms.symbols[first] == "P") & (atoms.symbols[second] == "S")
    assert (np.bincount(first[bonds], minlength=len(atoms))[atoms.symbols == "P"] == 4).all()
    assert distance[bonds].max() < 2.25
    shared = np.bincount(second[bonds], minlength=len(atoms))[atoms.symbols == "S"]
    # Li7P3S11 has one bridge (P2S7) in each formula unit, of which the cell holds two
    assert np.sum(shared == 2) == (2 if name == "Li7P3S11" else 0)


@pytest.mark.parametrize(("key", "lithium"), [("LLZO_cubic_allsites", 56), ("Li6PS5Cl_48h", 24)])
def test_partly_filled_sites_hold_the_lithium_of_the_formula(key: str, lithium: int) -> None:
    atoms = every_site(key)
    occupancy = np.array(prototypes()[key]["occupancies"])[atoms.get_tags()]
    assert occupancy[atoms.symbols == "Li"].sum() == pytest.approx(lithium, abs=0.1)
    with pytest.raises(UserError, match="partly filled sites"):
        bulk(key)


def test_short_names_lead_to_entries() -> None:
    assert bulk("LLZO").get_chemical_formula() == "La24Li56O96Zr16"
    assert len(bulk("Li3PS4")) == 32
    assert {"LLZO", "Li", "Li7P3S11", "beta_Li3PS4"} <= set(names())
    assert not {"LLZO_cubic_frame", "LLZO_cubic_allsites", "Li6PS5Cl_48h"} & set(names())

"""Slabs of lithium and of the solid phases, lattice-matched Li | phase interfaces, random packings of mixed products.

Every slab here has an orthogonal cell with its surface normal along z.
"""

from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.build import bcc100, bcc110, bcc111, make_supercell
from ase.data import chemical_symbols

from atomistic.structures import bulk, unknown
from coupling.errors import UserError

# Stoichiometric faces that need no rebuilding: (100) of the cubic phases, (0001) of Li3P in its orthogonal setting.
PHASES = ("Li2S", "Li3P", "LiCl", "Li6PS5Cl")
METAL, PHASE = 0, 1  # tags of the atoms of an interface
LI_FACES = {"100": bcc100, "110": bcc110, "111": bcc111}
# Shortest distance in Å at which two atoms are packed: about 0.75 of the bond length in the crystals.
PACKING_DISTANCE = {"Li-Li": 2.2, "Li-anion": 1.9, "anion-anion": 2.8}


@dataclass(frozen=True)
class Match:
    """Repetitions (metal, phase) along x and y and the strain put on the metal along each (1)."""

    metal: tuple[int, int]
    phase: tuple[int, int]
    strain: tuple[float, float]


def li_slab(face: str, min_length: float, min_thickness: float, vacuum: float, lattice_constant: float = 3.5092) -> Atoms:
    """Slab of bcc lithium with two equal faces.

    Args:
        face: "100", "110" or "111".
        min_length: least length of both sides in the plane, Å.
        min_thickness: least distance between the outermost planes, Å.
        vacuum: empty space between periodic images, Å; 0 gives a bulk crystal in that orientation.
        lattice_constant: cubic lattice constant, Å.

    Returns:
        Periodic Atoms with tags METAL.

    Raises:
        UserError: the face is not known.
    """
    if face not in LI_FACES:
        raise unknown("lithium face", face, sorted(LI_FACES))
    # layers per repeat of the stacking and distance between layers in units of the lattice constant
    period, spacing = {"100": (2, 0.5), "110": (2, np.sqrt(0.5)), "111": (6, np.sqrt(3) / 6)}[face]
    side = {"100": (1, 1), "110": (1, np.sqrt(2)), "111": (np.sqrt(2), np.sqrt(6))}[face]
    periods = int(np.ceil((min_thickness / (spacing * lattice_constant) + 1) / period - 1e-9))
    nx, ny = (int(np.ceil(min_length / (s * lattice_constant) - 1e-9)) for s in side)
    size = (nx, ny if face == "100" else 2 * ny, period * periods)
    slab = LI_FACES[face]("Li", size, a=lattice_constant, orthogonal=True, periodic=True)
    layer = spacing * lattice_constant
    return _boxed(slab, height=layer * period * periods - (layer if vacuum > 0 else 0.0) + vacuum, tag=METAL)


def phase_slab(name: str, min_thickness: float, vacuum: float) -> Atoms:
    """Stoichiometric slab of one of PHASES with the smallest orthogonal surface cell (x, y in Å).

    Raises:
        UserError: the phase is not known.
    """
    if name not in PHASES:
        raise unknown("interface phase", name, list(PHASES))
    cell = bulk(name)
    if name == "Li3P":
        cell = make_supercell(cell, [[1, 0, 0], [1, 2, 0], [0, 0, 1]])
    height = cell.cell.lengths()[2]
    layers = int(np.ceil(min_thickness / height - 1e-9))
    slab = cell.repeat((1, 1, layers))
    gap = _empty_layer(slab)
    return _boxed(slab, height=height * layers - (gap if vacuum > 0 else 0.0) + vacuum, tag=PHASE)


def match(metal: Atoms, phase: Atoms, max_length: float, max_strain: float) -> Match:
    """Repetitions of two orthogonal surface cells that fit with least strain on the metal, sides up to max_length (Å).

    Among the pairs within `max_strain` the shortest side is taken, otherwise UserError tells the least strain found.
    """
    found = []
    for axis in (0, 1):
        a, b = metal.cell.lengths()[axis], phase.cell.lengths()[axis]
        pairs = [
            (abs(m * b / (n * a) - 1), m * b, n, m)
            for m in range(1, int(max_length / b + 1e-9) + 1)
            for n in range(1, int(max_length * (1 + max_strain) / a) + 1)
        ]
        fitting = [pair for pair in pairs if pair[0] <= max_strain]
        if not fitting:
            least = min(pairs)[0] if pairs else float("inf")
            raise UserError(
                f"no lattice match along {'xy'[axis]} within {max_strain:.1%} and {max_length} Å (least strain {least:.1%}): "
                "raise max_length, or join them as a heterostructure, whose max_strain is yours to choose"
            )
        found.append(min(fitting, key=lambda pair: (pair[1], pair[0])))
    (_, length_x, nx, mx), (_, length_y, ny, my) = found
    strain = (length_x / (nx * metal.cell.lengths()[0]) - 1, length_y / (ny * metal.cell.lengths()[1]) - 1)
    return Match((nx, ny), (mx, my), (float(strain[0]), float(strain[1])))


def interface(
    name: str,
    face: str = "100",
    metal_thickness: float = 10.0,
    phase_thickness: float = 9.0,
    gap: float = 2.3,
    vacuum: float = 0.0,
    max_length: float = 16.0,
    max_strain: float = 0.09,
) -> Atoms:
    """Li slab on a slab of one of PHASES in one periodic cell; the metal carries the mismatch.

    Args:
        name: phase, one of PHASES.
        face: lithium face, "100", "110" or "111".
        metal_thickness: least thickness of the lithium, Å.
        phase_thickness: least thickness of the phase, Å.
        gap: distance between the outermost planes of both at the interface, Å.
        vacuum: empty space above the metal, Å; 0 gives a second interface at distance `gap` there.
        max_length: longest side of the cell in the plane, Å.
        max_strain: largest strain of the metal along x or y.

    Returns:
        Periodic Atoms, tags METAL or PHASE, info with "strain" (x, y), "area" (Å²) and "interfaces" (1 or 2).

    Raises:
        UserError: unknown phase or face, or no lattice match.
    """
    metal = li_slab(face, 0.1, metal_thickness, vacuum=1.0)
    phase = phase_slab(name, phase_thickness, vacuum=1.0)
    fit = match(metal, phase, max_length, max_strain)
    below = phase.repeat((*fit.phase, 1))
    above = metal.repeat((*fit.metal, 1))
    cell = above.cell.array.copy()
    cell[0, 0], cell[1, 1] = below.cell[0, 0], below.cell[1, 1]
    above.set_cell(cell, scale_atoms=True)
    below.positions[:, 2] -= below.positions[:, 2].min()
    above.positions[:, 2] += below.positions[:, 2].max() + gap - above.positions[:, 2].min()
    joined = below + above
    height = above.positions[:, 2].max() + (vacuum if vacuum > 0 else gap)
    joined.set_cell([below.cell[0, 0], below.cell[1, 1], height])
    joined.info = {
        "name": f"Li({face})|{name}",
        "strain": fit.strain,
        "area": float(below.cell[0, 0] * below.cell[1, 1]),
        "interfaces": 1 if vacuum > 0 else 2,
    }
    return joined


def parts(joined: Atoms, vacuum: float) -> tuple[Atoms, Atoms]:
    """The metal and the phase of an interface alone, same area, with `vacuum` Å of empty space: references of adhesion."""
    tags = joined.get_tags()
    pieces = []
    for tag in (METAL, PHASE):
        piece = joined[tags == tag]
        height = float(np.ptp(piece.positions[:, 2])) + vacuum
        pieces.append(_boxed(piece, height=height, tag=tag))
    return pieces[0], pieces[1]


def amorphous(composition: dict[str, int], density_g_cm3: float, seed: int, scale: float = 1.0) -> Atoms:
    """Random packing of atoms in a cubic cell at a stated density, no two closer than PACKING_DISTANCE.

    Anions (the larger spheres) are placed first. When no place is left after many trials all distances are relaxed by
    2 %, so that the function always returns; anneal the result before use.

    Args:
        composition: number of atoms of each element, for example {"Li": 26, "S": 5, "P": 1, "Cl": 1}.
        density_g_cm3: mass density.
        seed: seed of the positions.
        scale: factor on the distances, 1 for the values above.

    Raises:
        UserError: empty composition, what is no element, or a density that is not positive and finite.
    """
    if not composition or min(composition.values()) < 1 or not 0 < density_g_cm3 < np.inf:
        raise UserError(f"composition {composition!r} at {density_g_cm3!r} g/cm³: atoms and a positive density are needed")
    if strange := sorted(set(composition) - set(chemical_symbols[1:])):
        raise UserError(f"composition {composition!r}: {', '.join(strange)} is no element")
    order = sorted(composition, key=lambda symbol: symbol == "Li")
    atoms = Atoms([symbol for symbol in order for _ in range(composition[symbol])], pbc=True)
    length = float((atoms.get_masses().sum() * 1.66053907 / density_g_cm3) ** (1 / 3))
    is_li = np.array([symbol == "Li" for symbol in atoms.get_chemical_symbols()])
    random = np.random.default_rng(seed)
    placed = np.empty((0, 3))
    while len(placed) < len(atoms):
        trial = _place_next(placed, is_li, length, scale, random)
        if trial is None:
            scale *= 0.98
        else:
            placed = np.vstack([placed, trial])
    atoms.set_cell([length] * 3)
    atoms.positions = placed
    atoms.info = {"name": f"amorphous {atoms.get_chemical_formula()}", "seed": seed, "packing_scale": scale}
    return atoms


def _place_next(
    placed: np.ndarray, is_li: np.ndarray, length: float, scale: float, random: np.random.Generator
) -> np.ndarray | None:
    """Position (3,) of the next atom that keeps its distance to all `placed` (n, 3), None when 200 trials find none."""
    n = len(placed)
    mixed, same_li = PACKING_DISTANCE["Li-anion"], PACKING_DISTANCE["Li-Li"]
    least = np.where(is_li[:n], same_li, mixed) if is_li[n] else np.full(n, PACKING_DISTANCE["anion-anion"])
    for trial in random.uniform(0, length, (200, 3)):
        shift = placed - trial
        shift -= length * np.round(shift / length)
        if (np.linalg.norm(shift, axis=1) >= scale * least).all():
            return np.asarray(trial)
    return None


def _empty_layer(slab: Atoms) -> float:
    """Distance in Å between the top atom and the image of the bottom one."""
    return float(slab.cell[2, 2] - np.ptp(slab.positions[:, 2]))


def _boxed(slab: Atoms, height: float, tag: int) -> Atoms:
    """Slab in an orthogonal periodic box of that height (Å), its bottom plane at z = 0, every atom with `tag`."""
    lengths = slab.cell.lengths()
    boxed = Atoms(slab.symbols, positions=slab.positions, cell=[lengths[0], lengths[1], height], pbc=True)
    boxed.positions[:, 2] -= boxed.positions[:, 2].min()
    boxed.positions[:, :2] %= lengths[:2]
    boxed.set_tags(tag)
    return boxed

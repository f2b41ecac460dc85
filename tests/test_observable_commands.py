"""analyze crystallinity, rdf, diffraction, cluster, mobility, grain-boundary, onsager-profile; broken trajectories."""

import json
import re
from pathlib import Path
from unittest.mock import patch

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from scipy.signal import lfilter
from typer.testing import CliRunner

from atomistic.frames import require_run
from coupling.store import read_records
from multiscale.cli import app
from multiscale.commands.cluster import cluster

COMMANDS = {
    "diffusivity": ("--species", "Li", "--timestep", "10 fs"),
    "conductivity": ("--charges", "Li=1", "--timestep", "10 fs", "--temperature", "300 K"),
    "onsager": ("--framework", "S", "--timestep", "10 fs", "--temperature", "300 K"),
    "crystallinity": (),
    "rdf": ("--pair", "Li-Li"),
    "diffraction": ("--frames", "1"),
    "cluster": ("--foreign", "S"),
    "mobility": ("--species", "Li", "--timestep", "10 fs", "--window", "40 fs"),
    "grain-boundary": ("--species", "Li", "--timestep", "10 fs", "--window", "40 fs", "--layers", "2"),
    "onsager-profile": ("--timestep", "10 fs", "--temperature", "300 K", "--slabs", "2"),
}
"""Kinds and the options they need."""
DEFORMED = {"elasticity": ("--temperature", "300 K"), "flow": ("--timestep", "10 fs", "--temperature", "300 K")}
"""Kinds that want a cell which changes."""
TRANSPORT = ("diffusivity", "conductivity", "onsager", "mobility", "grain-boundary", "onsager-profile")
PICTURES = tuple(COMMANDS)


def ask(kind: str, path: Path, *more: str) -> tuple[int, str]:
    """Exit status and what was printed, or the message of the error that the command line turns into a line."""
    from coupling.errors import UserError

    done = CliRunner().invoke(app, ["analyze", kind, str(path), *COMMANDS.get(kind, ()), *more])
    if isinstance(done.exception, UserError):
        return UserError.exit_status, str(done.exception)
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.output


def frames(count: int = 60) -> list[Atoms]:
    """A lithium crystal with some sulfur in it, whose atoms wander a little."""
    random, atoms = np.random.default_rng(0), bulk("Li", "bcc", a=3.5, cubic=True).repeat((3, 3, 4))
    atoms.symbols[::6] = "S"
    made = []
    for _ in range(count):
        atoms = atoms.copy()
        atoms.positions += random.normal(0, 0.02, atoms.positions.shape)
        made.append(atoms)
    return made


@pytest.fixture(scope="module")
def good(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("run") / "run.traj"
    ase.io.write(path, frames())
    return path


@pytest.mark.parametrize("kind", COMMANDS)
def test_every_kind_answers_with_values_errors_and_sources(kind: str, good: Path) -> None:
    status, text = ask(kind, good, "--json")
    assert status == 0, text
    answer = json.loads(text)[kind]
    rows = answer.get("peaks", [answer]) if isinstance(answer, dict) else answer
    assert rows
    for row in rows:
        assert {"stderr", "bound", "unit", "conditions", "source"} <= set(row)
        assert row["source"]["trajectory"] == str(good)
        assert "value" in row or "g" in row
    status, text = ask(kind, good)
    assert status == 0
    assert len(text.splitlines()) >= 2


@pytest.mark.parametrize("kind", PICTURES)
def test_every_kind_draws(kind: str, good: Path, tmp_path: Path) -> None:
    assert ask(kind, good, "--picture", str(tmp_path / "p.png"), "--json")[0] == 0
    assert (tmp_path / "p.png").stat().st_size > 4000


@pytest.mark.parametrize("kind", [kind for kind in COMMANDS if kind != "rdf"])  # g(r) is a curve
def test_every_kind_keeps_its_records(kind: str, good: Path, tmp_path: Path) -> None:
    assert ask(kind, good, "--record", str(tmp_path / "r.json"))[0] == 0
    assert all(record.source["trajectory"] == str(good) for record in read_records(tmp_path / "r.json"))


def broken(how: str) -> list[Atoms]:
    made = frames(60)
    if how == "atoms lost":
        del made[30][:3]
    elif how == "changing species":
        made[30].numbers[4] = 11
    elif how == "not a number":
        made[30].positions[2, 1] = np.nan
    elif how == "flat cell":
        for atoms in made:
            atoms.cell[2] = atoms.cell[1]
    elif how == "cell too small":
        for atoms in made:
            atoms.set_cell([3.5] * 3)
    elif how == "cell of one frame":
        made[30].set_cell(made[30].cell * 2)
    elif how == "no cell":
        for atoms in made:
            atoms.cell[2] = 0.0
            atoms.pbc = [True, True, False]
    return made


@pytest.mark.parametrize("kind", [*COMMANDS, *DEFORMED])
@pytest.mark.parametrize("how", [
    "atoms lost", "changing species", "not a number", "no cell", "flat cell", "cell too small", "cell of one frame",
])  # fmt: skip
def test_a_broken_trajectory_is_refused(kind: str, how: str, tmp_path: Path) -> None:
    """Status 2, and the file is named. Without a cell, mobility and diffusivity, which need none, answer."""
    path = tmp_path / "run.traj"
    ase.io.write(path, broken(how))
    status, text = ask(kind, path, *DEFORMED.get(kind, ()))
    if how == "no cell" and kind in ("mobility", "diffusivity"):
        assert status == 0
        return
    assert status == 2, text
    assert str(path) in text


@pytest.mark.parametrize("kind", COMMANDS)
def test_frames_that_are_all_alike_are_refused(kind: str, tmp_path: Path) -> None:
    """Nothing moves: no number with an error of zero comes of it."""
    path = tmp_path / "run.traj"
    ase.io.write(path, frames(1) * 60)
    status, text = ask(kind, path)
    assert status == 2, text
    assert "no atom moves" in text
    assert str(path) in text


def wrong(how: str) -> tuple[list[Atoms], str]:
    """A run whose cell or positions are wrong in one way, and what is said of it."""
    made = frames(60)
    if how == "cell halved":
        for atoms in made:
            atoms.set_cell(atoms.cell * 0.5)
        return made, r"frame 0: atoms \d+ \((Li|S)\) and \d+ \((Li|S)\) are .* Å apart.*cell of the run"
    if how == "cell too long in one half":
        for atoms in made[20:]:
            atoms.set_cell(atoms.cell * [[1], [1], [1.15]])
        return made, r"frame 20: the cell jumps from edges of 10.5, 10.5, 14 Å to 10.5, 10.5, 16.1 Å"
    if how == "atom astray in one frame":
        made[13].positions[7] += [4.8, 0, 0]  # below the limit of a single leap
        return made, r"frame 13: atom 7 \(Li\) leaps by 4.8 Å and is back in the next frame"
    for atoms in made:  # an empty end
        atoms.set_cell(atoms.cell * [[1], [1], [1.5]])
    return made, "a layer of 6 Å along c .* holds next to no atoms"


@pytest.mark.parametrize("kind", [*COMMANDS, *DEFORMED])
@pytest.mark.parametrize("how", ["cell halved", "cell too long in one half", "atom astray in one frame"])
def test_wrong_cells_and_positions_are_refused_by_every_kind(kind: str, how: str, tmp_path: Path) -> None:
    made, told = wrong(how)
    ase.io.write(tmp_path / "run.traj", made)
    status, text = ask(kind, tmp_path / "run.traj", *DEFORMED.get(kind, ()))
    assert status == 2, text
    assert re.search(told, text), text
    assert str(tmp_path / "run.traj") in text


@pytest.mark.parametrize("kind", ["conductivity", "onsager", "onsager-profile"])
def test_a_number_per_volume_wants_a_filled_cell(kind: str, tmp_path: Path) -> None:
    """Vacuum is refused where the file calls it periodic; mobilities, which need no volume, are told."""
    made, told = wrong("cell too long")
    ase.io.write(tmp_path / "run.traj", made)
    status, text = ask(kind, tmp_path / "run.traj")
    assert (status, bool(re.search(told, text))) == (2, True), text
    status, text = ask("mobility", tmp_path / "run.traj")
    assert status == 0, text


def widened(axes: tuple[int, ...], pbc: bool = True) -> list[Atoms]:
    """A run whose cell is twice as long as its atoms along some axes, periodic along them or not."""
    made = frames(12)
    for atoms in made:
        atoms.set_cell(atoms.cell * np.where(np.isin(range(3), axes), 2.0, 1.0)[:, None])
        atoms.pbc[list(axes)] = pbc
    return made


@pytest.mark.parametrize("kind", ["rdf", "diffraction"])
@pytest.mark.parametrize("pbc", [True, False])
def test_structure_per_volume_wants_a_filled_cell_or_a_slice(kind: str, pbc: bool, tmp_path: Path) -> None:
    """Eight times the volume, and a slab with vacuum as it is; a slice of the slab is answered, by the density there."""
    path = tmp_path / "run.traj"
    for axes in ((0, 1, 2), (2,)):
        ase.io.write(path, widened(axes, pbc))
        status, text = ask(kind, path)
        assert (status, "next to no atoms" in text, "--slice" in text) == (2, True, True), text
    part = ("--slice", "4 angstrom, 10 angstrom", "--r-max", "6 angstrom", "--json")
    status, text = ask(kind, path, *part)
    assert status == 0, text
    if kind == "rdf":
        slab = json.loads(text)[kind]["g"]
        ase.io.write(path, frames(12))
        assert slab == pytest.approx(json.loads(ask(kind, path, *part)[1])[kind]["g"], abs=1e-9)
        ase.io.write(path, widened((0,)))
        assert "next to no atoms" in ask(kind, path, *part)[1]


def test_a_cluster_in_too_large_a_cell_is_refused_and_a_slab_is_not(tmp_path: Path) -> None:
    path = tmp_path / "run.traj"
    for axes, pbc, wanted in (((0, 1, 2), True, 2), ((0, 2), True, 2), ((2,), True, 0), ((0, 1, 2), False, 0)):
        ase.io.write(path, widened(axes, pbc))
        status, text = ask("cluster", path)
        assert (status, "neighbours across its faces would be missed" in text) == (wanted, wanted == 2), text


@pytest.mark.parametrize("kind", ["rdf", "diffraction", "cluster"])
def test_a_mean_of_few_frames_says_that_it_has_no_error(kind: str, tmp_path: Path) -> None:
    ase.io.write(tmp_path / "run.traj", frames(3))
    more = ("--frames", "20") if kind != "cluster" else ()
    status, text = ask(kind, tmp_path / "run.traj", *more)
    assert (status, "note: no error of the mean from 3 frames" in text) == (0, True), text
    assert "no error of the mean from 3 frames" in ask(kind, tmp_path / "run.traj", *more, "--json")[1]


def test_what_real_runs_do_is_not_refused() -> None:
    """Hops there and back, ions that go far between frames beside a frame at rest, a box that flips, one that breathes."""
    random, rest = np.random.default_rng(0), bulk("Li", "bcc", a=3.5, cubic=True).repeat((6, 6, 6))
    rest.symbols[::6] = "S"
    lithium, made = np.flatnonzero(rest.symbols == "Li"), []
    wanderers = np.zeros((len(rest), 3))
    for number in range(40):
        wanderers[lithium] += random.normal(0, 2.0, (len(lithium), 3))  # 10 ps at 1e-9 m²/s
        made.append(rest.copy())
        made[-1].positions += wanderers + random.normal(0, 0.1, wanderers.shape)
        made[-1].set_cell(rest.cell * (1 + 0.01 * np.sin(number)), scale_atoms=True)
    require_run(made)
    hopping = [rest.copy() for _ in range(40)]
    for number, atoms in enumerate(hopping):
        atoms.positions += random.normal(0, 0.1, wanderers.shape)
        atoms.positions[7, 0] += 3.5 * (number == 13)
        if number > 20:
            atoms.cell[1] += atoms.cell[0]  # other vectors of the same lattice
    require_run(hopping)


@pytest.mark.parametrize("kind", ["phases", "interphase"])
def test_depth_needs_a_cell_and_a_layer_a_start(kind: str, tmp_path: Path) -> None:
    """Refused before any descriptor is computed, with the file named."""
    interphase = ("--timestep", "10 fs", "--electrolyte", "Li2S", "--reaction", "")
    options = {"phases": ("--references", "Li,Li2S"), "interphase": interphase}
    for how, told in (("no cell", "three-dimensional cell"), ("flat cell", "no volume"), ("atoms lost", "atoms change")):
        path = tmp_path / f"{how}.traj"
        ase.io.write(path, broken(how))
        status, text = ask(kind, path, "--potential", "lpscl", *options[kind])
        assert (status, told in text, str(path) in text) == (2, True, True), text
    ase.io.write(tmp_path / "one.traj", frames(1))
    if kind == "interphase":
        assert "one frame" in ask(kind, tmp_path / "one.traj", "--potential", "lpscl", *options[kind])[1]


def test_wrapped_positions_of_a_file_without_periodicity_are_refused(tmp_path: Path) -> None:
    """Atoms that cross the cell at once would count as a thousandfold diffusivity; without a cell, clusters are counted."""
    made = frames(40)
    for atoms in made:
        atoms.positions[:, 0] += 0.2 * len(atoms) / 72
        atoms.wrap()
        atoms.pbc = False
    for number, atoms in enumerate(made):
        atoms.positions[:, 0] = (atoms.positions[:, 0] + 0.5 * number) % 10.5
    path = tmp_path / "run.traj"
    ase.io.write(path, made)
    status, text = ask("diffusivity", path)
    assert status == 2
    assert "not periodic" in text
    bare = frames(3)
    for atoms in bare:
        atoms.cell[:] = 0
        atoms.pbc = False
    ase.io.write(path, bare)
    assert ask("cluster", path)[0] == 0


def test_the_error_of_a_cluster_covers(tmp_path: Path) -> None:
    """200 runs whose size, 40 atoms, is remembered by 0.9 from frame to frame: 68 and 95 % of the intervals hold it."""
    path, random, away = tmp_path / "run.traj", np.random.default_rng(3), []
    ase.io.write(path, frames(2))
    for _ in range(200):
        kicks = random.standard_normal(400) * np.append(1, np.full(399, np.sqrt(1 - 0.9**2)))
        sizes = 40 + 5 * lfilter([1.0], [1.0, -0.9], kicks)
        with patch("atomistic.clusters.sizes", return_value=sizes), patch("multiscale.commands.cluster._answer") as told:
            cluster(path)
        (record,) = told.call_args.args[1]
        away.append(abs(record.value - 40) / record.stderr)
    assert 0.60 <= np.mean(np.array(away) < 1) <= 0.76
    assert 0.90 <= np.mean(np.array(away) < 1.96) <= 0.98


@pytest.mark.parametrize("kind", TRANSPORT)
def test_too_few_frames_are_refused(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "run.traj"
    ase.io.write(path, frames(8))
    status, text = ask(kind, path)
    assert status == 2
    assert str(path) in text


def test_wrong_options_say_what_is_wanted(good: Path) -> None:
    for kind, more, told in (
        ("rdf", ("--pair", "LiLi"), "hyphen"), ("rdf", ("--pair", "Li-Na"), "few Na"), ("cluster", ("--element", "K"), "no K"),
        ("diffraction", ("--slice", "1"), "two depths"), ("diffraction", ("--slice", "1 nm, 90 nm"), "rising depths"),
        ("grain-boundary", ("--planes", "x"), "fractions"), ("grain-boundary", ("--potential", "lpscl"), "--bulk"),
        ("mobility", ("--species", "Na"), "no Na in"), ("onsager-profile", ("--framework", "P"), "not in the"),
        ("crystallinity", ("--average", "100"), "between one and all"), ("conductivity", ("--charges", "Li=nan"), "--charges"),
        ("cluster", ("--low", "1 nm"), "come together"), ("cluster", ("--low", "1 nm", "--high", "9 nm"), "beyond the cell"),
        ("onsager", ("--framework", "S,Li"), "nothing else"), ("onsager-profile", ("--slabs", "1000"), "fewer slabs"),
    ):  # fmt: skip
        status, text = ask(kind, good, *more)
        assert status == 2, (kind, more, text)
        assert told in text


def test_sites_of_the_grains_give_the_width_of_their_boundary(tmp_path: Path) -> None:
    """Sulfur about 0.1 Å from its sites in two grains, four times as far at their boundaries, and lithium that walks."""
    random, cell = np.random.default_rng(0), np.diag([12.0, 24.0, 60.0])
    places = 3.0 * (np.indices((4, 8, 20)).reshape(3, -1).T + 0.5)
    sites = Atoms("S640", positions=places, cell=cell, pbc=True, tags=1 + (places[:, 2] > 30))
    sites.symbols[::8] = "Li"
    lithium = (sites.numbers == 3)[:, None]
    away = np.abs((places[:, 2] + 15) % 30 - 15)
    size = 0.06 * (1 + 3 * np.exp(-4 * np.log(2) * (away / 8) ** 2))[:, None]
    made = []
    for _ in range(60):
        places = places + random.normal(0, 0.02, places.shape) * lithium
        made.append(sites.copy())
        made[-1].positions = places + random.normal(0, 1, places.shape) * np.where(lithium, 0.0, size)
    ase.io.write(tmp_path / "run.traj", made)
    ase.io.write(tmp_path / "built.extxyz", sites)
    status, text = ask("grain-boundary", tmp_path / "run.traj", "--sites", str(tmp_path / "built.extxyz"), "--json")
    assert status == 0, text
    (row,) = (row for row in json.loads(text)["grain-boundary"] if row["conditions"].get("measure") == "framework")
    assert (row["quantity"], row["source"]["sites"]) == ("boundary_width", str(tmp_path / "built.extxyz"))
    assert row["value"] == pytest.approx(8e-10, abs=4 * row["stderr"])
    ase.io.write(tmp_path / "built.extxyz", Atoms(sites.numbers, positions=sites.positions, cell=cell, pbc=True))
    status, text = ask("grain-boundary", tmp_path / "run.traj", "--sites", str(tmp_path / "built.extxyz"))
    assert (status, "sites with a tag" in text) == (2, True), text
    ase.io.write(tmp_path / "built.extxyz", sites[np.argsort(sites.numbers, kind="stable")])
    status, text = ask("grain-boundary", tmp_path / "run.traj", "--sites", str(tmp_path / "built.extxyz"))
    assert (status, "atom 1 is Li in" in text, "S in the run" in text) == (2, True, True), text


def walked(box: float = 20.0, count: int = 120) -> tuple[np.ndarray, list[str]]:
    """Positions of ten lithium atoms that walk through a box and of four sulfur atoms at rest, unwrapped, Å.

    They know nothing of each other; with this seed no two are near each other in a frame whose distances are looked at.
    """
    random = np.random.default_rng(3)
    path = random.uniform(0, box, (1, 10, 3)) + np.cumsum(random.normal(0, 0.3, (count, 10, 3)), axis=0)
    path[:, 0] += np.linspace(0, 2 * box, count)[:, None]  # one crosses the box for certain
    rest = np.broadcast_to(random.uniform(0, box, (1, 4, 3)), (count, 4, 3))
    return np.concatenate([path, rest], axis=1), ["Li"] * 10 + ["S"] * 4


@pytest.mark.parametrize("kind", ["mobility", "diffusivity"])
def test_wrapped_positions_without_a_cell_are_refused(kind: str, tmp_path: Path) -> None:
    """A plain .xyz of wrapped positions says no cell: jumps across it are no motion; unwrapped, it is answered."""
    path, (positions, symbols) = tmp_path / "run.xyz", walked()
    for wrapped in (True, False):
        made = [Atoms(symbols, positions=place % 20.0 if wrapped else place) for place in positions]
        ase.io.write(path, made, format="xyz")
        status, text = ask(kind, path)
        assert (status == 2) is wrapped, text
    ase.io.write(path, [Atoms(symbols, positions=place % 20.0) for place in positions], format="xyz")
    assert all(told in ask(kind, path)[1] for told in ("(Li)", "wrapped into a cell", "frame", str(path)))


def test_a_leap_of_an_atom_is_refused(tmp_path: Path) -> None:
    """A cell longer than the one the positions are wrapped into: steps of a third of it, which no image mends."""
    path, (positions, symbols) = tmp_path / "run.traj", walked()
    ase.io.write(path, [Atoms(symbols, positions=place % 20.0, cell=[30, 20, 20], pbc=True) for place in positions])
    for kind in ("mobility", "diffusivity"):
        status, text = ask(kind, path)
        assert (status, "moves by" in text, str(path) in text) == (2, True, True), text


@pytest.mark.parametrize(("flying", "told"), [(1, "it flies free as a gas atom"), (2, "half of all movements")])
def test_a_gas_atom_among_others_at_rest_is_named(flying: int, told: str, tmp_path: Path) -> None:
    """One lithium atom at 8 Å a frame among others that jitter: what it may be; of two the positions are doubted as before."""
    path, random = tmp_path / "run.traj", np.random.default_rng(4)
    start = bulk("Li", "bcc", a=3.5, cubic=True).repeat((4, 4, 6)) + Atoms(f"Li{flying}", [[1, 1, 40]] * flying)
    start.positions[-flying:, 0] += 7.0 * np.arange(flying)
    start.set_cell([100, 14, 60])
    start.pbc = [True, True, False]
    made = []
    for number in range(6):
        frame = start.copy()
        frame.positions += random.normal(0, 0.05, frame.positions.shape)
        frame.positions[-flying:, 0] += 8.0 * number
        made.append(frame)
    ase.io.write(path, made)
    status, text = ask("diffusivity", path)
    assert (status, told in text) == (2, True), text
    assert "positions are wrapped" in text


@pytest.mark.parametrize("kind", ["conductivity", "onsager", "diffraction", "rdf"])
def test_a_cell_of_nearly_nothing_is_refused(kind: str, tmp_path: Path) -> None:
    """Ten times too long a cell makes every number per volume a thousand times too small."""
    path, made = tmp_path / "run.traj", frames(60)
    for atoms in made:
        atoms.set_cell(atoms.cell * 10)
    ase.io.write(path, made)
    status, text = ask(kind, path)
    assert (status, "the cell is wrong" in text, str(path) in text) == (2, True, True), text


def test_a_species_that_is_not_there_is_told_first(good: Path) -> None:
    status, text = ask("mobility", good, "--species", "Na", "--window", "5 ps")
    assert (status, "no Na in" in text) == (2, True), text


def test_the_length_of_a_run_is_shown_rounded() -> None:
    from coupling.record import Property
    from multiscale.tables import source_text

    record = Property("Li", "x", 1.0, "1", stderr=0.1, source={"atoms": 8, "picoseconds": 3.5999999999999996})
    assert source_text(record) == "atoms 8, picoseconds 3.6"


def test_charges_that_do_not_add_up_are_told(tmp_path: Path) -> None:
    """P forgotten of Li4 S3 P2: the sum, and what is taken as 0, in the table and in the records; nothing of a neutral cell."""
    random, path = np.random.default_rng(2), tmp_path / "run.traj"
    start = bulk("Li", "bcc", a=6.0, cubic=True).repeat((2, 2, 2))
    start.symbols[:] = ["Li"] * 8 + ["S"] * 6 + ["P"] * 2
    tracks = start.positions + np.cumsum(random.normal(0, 0.05, (400, 16, 3)), axis=0) * (np.arange(16) < 8)[:, None]
    made = []
    for place in tracks:
        frame = start.copy()
        frame.positions = place + random.normal(0, 0.02, place.shape)
        made.append(frame)
    ase.io.write(path, made)
    shared = ("--framework", "S,P", "--charges")
    told = "the charges add up to -4 e over the 16 atoms, not to zero; taken as 0: P"
    status, text = ask("onsager", path, *shared, "Li=1,S=-2")
    assert (status, f"note: {told}" in " ".join(text.split())) == (0, True), text
    rows = json.loads(ask("onsager", path, *shared, "Li=1,S=-2", "--json")[1])["onsager"]
    assert {row["source"].get("charges_note") for row in rows if row["quantity"] == "transference_number"} == {told}
    assert "add up" not in ask("onsager", path, *shared, "Li=1,S=-2,P=2")[1]

"""`multiscale stages`: one structure through stages, each with its own potential, ensemble, temperature and length."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from coupling.errors import UserError
from multiscale import parallel
from multiscale.console import JsonOption, show, show_json
from multiscale.progress import Narrator, duration


def stages(
    protocol: Annotated[Path, typer.Argument(metavar="STAGES", help="Stages (TOML): [[stage]] tables, [cp2k].")],
    structure: Annotated[str, typer.Argument(metavar="STRUCTURE", help="File that ASE reads, or the name of a known crystal.")],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder of the stages; the same folder continues.")],
    allow_pickle: Annotated[bool, typer.Option("--allow-pickle", help="Open MACE model files, which can run any code.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Run stages one after the other: warm up, optimise, a few steps of first principles (CP2K), production.

    Each stage names its potential, "cp2k" among them, and hands its atoms on. Finished stages are kept and a killed one goes on;
    the atoms at the end stand in DIR/final.extxyz.

    Example: multiscale stages warm-up.toml cell.cif --out runs
    """
    from ase.io import write

    from atomistic import protocol as staged
    from coupling.atomic import replacing

    if parallel.size() > 1:
        raise UserError("stages: one run on one core; leave out mpirun")
    wanted, engines, atoms = staged.read(protocol), staged.engines(protocol, allow_pickle), _structure(structure)
    engines.require(wanted, atoms)
    narrator = Narrator(True, sys.stderr)
    with narrator.watch("stages") as update:
        done = staged.run(wanted, atoms, out, engines.open, update, engines.identity)
    end = done[-1].atoms
    if atoms.has("tags"):  # sides of an interface
        end.set_tags(atoms.get_tags())
    with replacing(out / "final.extxyz") as temporary:
        write(temporary, end, format="extxyz")
    narrator.say("stages", f"done in {duration(narrator.seconds())}")
    rows = [{"stage": one.stage.name, "potential": one.stage.potential, "folder": str(one.folder), "energy_eV": one.energy,
             "volume_A3": float(one.atoms.get_volume())} for one in done]  # fmt: skip
    if as_json:
        show_json({"stages": rows, "final": str(out / "final.extxyz")})
        return
    for row in rows:
        show(f"{row['stage']} ({row['potential']}): {row['energy_eV']:.4f} eV, {row['volume_A3']:.2f} Å³, {row['folder']}")


def _structure(name: str) -> Any:
    """The one periodic structure of a file, or a known crystal. Raises UserError where it is none of these."""
    from atomistic.disagreement import read_frames
    from atomistic.structures import bulk

    if not Path(name).suffix and not Path(name).is_file():
        return bulk(name)
    frames = read_frames(name)
    if len(frames) != 1:
        raise UserError(f"{name}: holds {len(frames)} structures; stages start from one")
    if not frames[0].pbc.all() or frames[0].cell.rank < 3:
        raise UserError(f"{name}: no cell that is periodic in three directions, which stages need")
    return frames[0]

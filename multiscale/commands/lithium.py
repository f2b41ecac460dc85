"""`multiscale lithium`: the flow of lithium metal. Heavy imports happen inside."""

from pathlib import Path
from typing import Annotated, Any

import typer

from coupling.constants import LITHIUM_MELTING_POINT
from coupling.errors import UserError
from multiscale.commands.quantities import quantity
from multiscale.console import JsonOption, show, show_json

HELP = """Flow of lithium metal, elastic and viscoplastic.

Example: multiscale lithium squeeze --thickness "100 um" --diameter "1 mm" --rate "1e-3 1/s" --to "20 um"
"""
NEEDED = {
    "youngs_modulus": "Pa", "poissons_ratio": "1", "creep_reference_rate": "1/s", "creep_reference_stress": "Pa",
    "creep_exponent": "1", "creep_activation_energy": "J/mol",
}  # fmt: skip


def register(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    lithium_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help=HELP)
    lithium_app.callback()(lambda: None)
    lithium_app.command("squeeze")(squeeze)
    app.add_typer(lithium_app, name="lithium")


def squeeze(
    thickness: Annotated[str, typer.Option(help='Of the disc at the start: "100 um".')],
    diameter: Annotated[str, typer.Option(help='Of the disc: "1 mm".')],
    to: Annotated[str, typer.Option(help='Thickness at the end: "20 um".')],
    rate: Annotated[str, typer.Option(help='True strain rate of the thickness: "1e-3 1/s".')],
    plates: Annotated[str, typer.Option(help="lubricated, or bonded (no slip: the stack of a cell).")] = "lubricated",
    strain: Annotated[str, typer.Option(help="finite, or small (says where its strains are too large).")] = "finite",
    temperature: Annotated[str, typer.Option(help="Of the lithium.")] = "25 degC",
    size_factor: Annotated[float, typer.Option(help="Flow stress over that of the bulk; 1 above a few micrometres.")] = 1.0,
    material: Annotated[str, typer.Option(help="Material file with its elastic constants and creep.")] = "Li",
    as_json: JsonOption = False,
) -> None:
    """Pressure that it takes to press a disc of lithium flat between two plates, by Norton creep and elasticity.

    Example: multiscale lithium squeeze --thickness "100 um" --diameter "1 mm" --rate "1e-3 1/s" --to "20 um" --plates bonded
    """
    import math

    h0, h1 = quantity("--thickness", thickness, "m", 0.0), quantity("--to", to, "m", 0.0)
    if h1 >= h0:
        raise UserError(f'--to: read "{to}"; it must be below the thickness at the start, {thickness}')
    speed, T = quantity("--rate", rate, "1/s", 0.0), quantity("--temperature", temperature, "K", 0.0)
    if T >= LITHIUM_MELTING_POINT:
        raise UserError(f'--temperature: read "{temperature}"; it must be below 180.5 degC, at which lithium melts')
    radius = quantity("--diameter", diameter, "m", 0.0) / 2

    from multiscale.materials import Elastic
    from multiscale.mechanics.extrusion import Creep
    from multiscale.mechanics.lithium_flow import Norton
    from multiscale.mechanics.lithium_squeeze import SMALL, Disc
    from multiscale.mechanics.lithium_squeeze import squeeze as press

    found = _numbers(material)
    creep = Creep(
        found["creep_reference_rate"], found["creep_reference_stress"], found["creep_exponent"], found["creep_activation_energy"],
        size_factor=size_factor,
    )  # fmt: skip
    disc: Any = Disc(radius, h0, plates, strain)  # type: ignore[arg-type]
    elastic = Elastic(found["youngs_modulus"], found["poissons_ratio"])
    rows = press(disc, elastic, Norton(creep), T, speed, math.log(h0 / h1))
    largest = rows[-1].largest
    note = ""
    if strain == "small" and largest > SMALL:
        note = (
            f"strains reach {largest:.3g}, beyond {SMALL:g}: the section that grows and the height that shrinks are not in small "
            "strain; take --strain finite"
        )
    if as_json:
        table = [
            {"time_s": row.time, "thickness_m": row.thickness, "true_strain": row.strain, "pressure_Pa": row.pressure,
             "largest_strain": row.largest} for row in rows
        ]  # fmt: skip
        show_json({"rows": table, "strain": strain, "plates": plates, "inputs": found, "beyond_small_strain": bool(note)})
        return
    every = max(len(rows) // 12, 1)
    lines = [" time (s)  thickness (um)  true strain  pressure (MPa)  largest strain"]
    for row in [*rows[every - 1 : -1 : every], rows[-1]]:
        numbers = f"{row.time:9.4g}  {row.thickness * 1e6:14.4g}  {row.strain:11.4f}  {row.pressure / 1e6:14.4g}"
        lines.append(f"{numbers}  {row.largest:14.4f}")
    sources = ", ".join(f"{name} {value:.4g} {NEEDED[name]}" for name, value in found.items())
    show("\n".join([*lines, f"{material}: {sources}", *([note] if note else [])]))


def _numbers(name: str) -> dict[str, float]:
    """The best value of every number that is needed of a material. Raises UserError: one is not in its file."""
    from coupling.library import choose, find_material
    from multiscale.case_folder import material_folders

    found, values = find_material(name, material_folders(Path.cwd())), {}
    for wanted in NEEDED:
        known = choose([p for p in found.properties if p.quantity == wanted])
        if not known:
            raise UserError(f"{found.path}: {wanted} is not there; add a [[property]] with it and its source")
        values[wanted] = known[0].value
    return values

"""Holds the designs of this sweep against the theory of a thin layer: does it even the flux out, and what does that do?

env/exec python cases/llzo-layer/theory.py            # after `multiscale sweep run`; else from designs.csv as shipped
env/exec python cases/llzo-layer/theory.py --picture docs/thin-layer.png
env/exec python cases/llzo-layer/theory.py --unmoved  # solves the stiffest designs with lithium that stays where it is plated
"""

import argparse
import csv
import tomllib
from collections.abc import Mapping
from pathlib import Path

from coupling.constants import FARADAY, GAS_CONSTANT, LITHIUM_MOLAR_VOLUME
from coupling.units import to_si

HERE = Path(__file__).resolve().parent
SHIPPED, FRESH = HERE / "designs.csv", HERE / "results" / "sweep" / "table.csv"
UNMOVED = HERE / "unmoved.csv"


def wagner_number(conductivity: float, transfer: float, thickness: float, layer: float, depth: float) -> float:
    """Wa = κ (R + d/κ_L)/c: resistance across interface and layer over that of the electrolyte along the flaw.

    ======  ============  =======================================
    symbol  variable      unit
    ======  ============  =======================================
    κ       conductivity  S/m, of the electrolyte
    R       transfer      ohm m², RT/(F i0) of the charge transfer
    d       thickness     m, of the layer
    κ_L     layer         S/m, of the layer
    c       depth         m, of the flaw
    ======  ============  =======================================
    """
    return conductivity * (transfer + thickness / layer) / depth


def even_current(pressure: float, transfer: float, thickness: float, layer: float) -> float:
    """Critical current density if the flux is even, A/m²: the overpotential worth the flaw's pressure, V p/F = i (R + d/κ_L)."""
    return LITHIUM_MOLAR_VOLUME * pressure / FARADAY / (transfer + thickness / layer)


def evenness(wagner: float) -> float:
    """Least critical current over the even one, Wa/(1 + Wa): the whole drop i c/κ along the flaw adds to the overpotential.

    Between this and 1 lies a flaw in which lithium redistributes (docs/physics.md 1.6 and V24; linear kinetics).
    """
    return wagner / (1.0 + wagner)


def constants() -> dict[str, float]:
    """κ of LLZO, R of the charge transfer, depth of the flaw and temperature, from the files of this case."""
    case = tomllib.loads((HERE / "case.toml").read_text(encoding="utf-8"))
    sweep = tomllib.loads((HERE / "sweep.toml").read_text(encoding="utf-8"))
    bulk = tomllib.loads((HERE.parent / "_materials" / "LLZO.toml").read_text(encoding="utf-8"))
    kelvin = to_si(case["conditions"]["temperature"], "K")
    exchange = to_si(sweep["fixed"]["materials.Li-LLZO-interface.exchange_current_density"], "A/m^2")
    conductivity = next(entry["value"] for entry in bulk["property"] if entry["quantity"] == "ionic_conductivity")
    return {
        "conductivity": to_si(conductivity, "S/m"), "transfer": GAS_CONSTANT * kelvin / (FARADAY * exchange),
        "depth": to_si(case["geometry"]["flaw"][0]["depth"], "m"), "stack": to_si(case["conditions"]["stack_pressure"], "Pa"),
    }  # fmt: skip


def against_theory(row: Mapping[str, str], known: Mapping[str, float]) -> dict[str, float]:
    """One design: its Wagner number, its critical current over the even one, and the least that theory allows."""
    thickness, layer = float(row["thickness (nm)"]) * 1e-9, float(row["conductivity (S/m)"])
    pressure = float(row["flaw_pressure (MPa)"]) * 1e6 - known["stack"]
    current = float(row["ccd_best_values (mA/cm^2)"]) * 10.0
    wagner = wagner_number(known["conductivity"], known["transfer"], thickness, layer, known["depth"])
    even = even_current(pressure, known["transfer"], thickness, layer)
    return {
        "thickness": thickness, "layer": layer, "modulus": float(row["modulus (GPa)"]), "ccd": current, "wagner": wagner,
        "evenness": current / even, "least": evenness(wagner),
    }  # fmt: skip


def solve_unmoved(modulus: float = 150.0) -> list[dict[str, float]]:
    """Critical current at best values where lithium stays where it was plated (`stalled`), of the designs of one modulus (GPa).

    The same designs, meshes and search as the sweep's own answers; there the pressure is one in the whole flaw.
    """
    import tempfile

    from mpi4py import MPI

    from multiscale.case import load_case
    from multiscale.critical_current.answer import SEARCH_BEYOND
    from multiscale.critical_current.continuum import initiation_model
    from multiscale.parameters import continuum_inputs, nominal, resolve
    from multiscale.sweeps import drafts
    from multiscale.sweeps.driver import plan
    from multiscale.sweeps.settings import load_sweep
    from multiscale.sweeps.table import cell_of

    sweep, found = load_sweep(HERE), []
    for one in plan(sweep):
        thickness, layer, stiffness = (cell_of(axis, one.point.values[axis.name]) for axis in sweep.axes)
        if stiffness != modulus:
            continue
        with tempfile.TemporaryDirectory() as name:
            drafts.write(one, Path(name) / "design", None)
            case = load_case(Path(name) / "design")
        inputs = {key: float(value[0]) for key, value in nominal(resolve(case, [])).items()}
        model = initiation_model(case, continuum_inputs(case, inputs), case.settings.geometry.seed, MPI.COMM_SELF, fine=False)
        largest = SEARCH_BEYOND * case.settings.protocol.maximum
        stalled, free = model.stalled_critical_current(largest), model.critical_current(largest)
        found.append({"thickness (nm)": thickness, "conductivity (S/m)": layer, "modulus (GPa)": stiffness,
                      "ccd_unmoved (mA/cm^2)": stalled.current_density / 10, "ccd (mA/cm^2)": free.current_density / 10,
                      "flaw_pressure_unmoved (MPa)": stalled.state.flaw_pressure / 1e6})  # fmt: skip
        print(", ".join(f"{key} {value:.6g}" for key, value in found[-1].items()), flush=True)
    return found


def unmoved_against_theory(known: Mapping[str, float]) -> list[dict[str, float]]:
    """The designs of unmoved.csv: critical current where lithium stays in place, and the least that theory allows, A/m²."""
    with UNMOVED.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    found = []
    for row in rows:
        as_design = row | {"ccd_best_values (mA/cm^2)": row["ccd_unmoved (mA/cm^2)"],
                           "flaw_pressure (MPa)": row["flaw_pressure_unmoved (MPa)"]}  # fmt: skip
        one = against_theory(as_design, known)
        found.append(one | {"theory": one["least"] * one["ccd"] / one["evenness"]})
    return found


def unmoved_lines(known: Mapping[str, float]) -> list[str]:
    """The designs of unmoved.csv in Markdown, as docs/interlayers.md holds them."""
    lines = ["| d, nm | κ_L, S/m | E, GPa | lithium stays: model, mA/cm² | theory |", "|---" * 5 + "|"]
    return lines + [
        f"| {row['thickness'] * 1e9:.0f} | {row['layer']:.0e} | {row['modulus']:g} | {row['ccd'] / 10:.3g} "
        f"| {row['theory'] / 10:.3g} |"
        for row in unmoved_against_theory(known)
    ]


def draw(rows: list[dict[str, float]], picture: Path) -> None:
    """Critical current over the even one, by Wagner number, between the two limits."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    import numpy as np

    figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    grid = np.geomspace(0.1, 1e3, 200)
    axes[0].fill_between(grid, grid / (1 + grid), 1.0, color="0.9", label="theory, nothing to full redistribution")
    for thickness, marker in zip(sorted({row["thickness"] for row in rows}), "o^s", strict=False):
        for modulus, colour in zip(sorted({row["modulus"] for row in rows}), ("#1f77b4", "#ff7f0e", "#2ca02c"), strict=False):
            own = [row for row in rows if row["thickness"] == thickness and row["modulus"] == modulus]
            label = f"{thickness * 1e9:.0f} nm, {modulus:g} GPa"
            axes[0].plot([r["wagner"] for r in own], [r["evenness"] for r in own], marker, color=colour, ms=5, label=label)
            axes[1].plot([r["layer"] for r in own], [r["ccd"] / 10 for r in own], marker + "-", color=colour, ms=4, lw=0.8)
    axes[0].set(xscale="log", xlabel="Wagner number κ(R + d/κ_L)/c", ylabel="critical current / even one")
    axes[1].set(xscale="log", yscale="log", xlabel="conductivity of the layer, S/m", ylabel="critical current, mA/cm²")
    axes[0].legend(fontsize=6)
    figure.savefig(picture, dpi=110)


def main() -> None:
    """Print the table; draw the picture."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--picture", type=Path)
    arguments.add_argument("--unmoved", action="store_true", help="solve, and write unmoved.csv")
    chosen = arguments.parse_args()
    if chosen.unmoved:
        found = solve_unmoved()
        with UNMOVED.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(found[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows({key: f"{value:.8g}" for key, value in row.items()} for row in found)
        return
    known = constants()
    with (FRESH if FRESH.is_file() else SHIPPED).open(encoding="utf-8", newline="") as file:
        rows = [against_theory(row, known) for row in csv.DictReader(file) if row["state"] == "done"]
    print("| d, nm | κ_L, S/m | E, GPa | CCD, mA/cm² | Wagner number | CCD / even | least by theory |\n" + "|---" * 7 + "|")
    for row in rows:
        print(
            f"| {row['thickness'] * 1e9:.0f} | {row['layer']:.0e} | {row['modulus']:g} | {row['ccd'] / 10:.3g} "
            f"| {row['wagner']:.3g} | {row['evenness']:.3f} | {row['least']:.3f} |"
        )
    print("\nlithium stays where it was plated\n\n" + "\n".join(unmoved_lines(known)))
    if chosen.picture:
        draw(rows, chosen.picture)


if __name__ == "__main__":
    main()

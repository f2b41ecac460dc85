"""Draws docs/llzo-ppc.png and docs/lpscl-interphase.png from results: env/exec python docs/mechanism_pictures.py [llzo lpscl]."""

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from coupling.experiments import for_electrolyte, read_experiments
from multiscale.case import load_case
from multiscale.critical_current.internal_nucleation import critical_overpotential, profile
from multiscale.critical_current.other_mechanisms import nucleation_inputs
from multiscale.parameters import nominal, resolve

ROOT = Path(__file__).resolve().parent.parent
CASES, COLOURS = ROOT / "cases", {"bare": "#b5562b", "PPC": "#2b6cb5", "nucleation": "#6a4c93", "voiding": "#5b8c5a"}


def read(folder: Path, name: str) -> dict[str, Any]:
    """A JSON file of a case's results."""
    found: dict[str, Any] = json.loads((folder / "results" / name).read_text(encoding="utf-8"))
    return found


def save(drawing: Any, name: str) -> None:
    """Write a picture into docs."""
    drawing.savefig(ROOT / "docs" / name, dpi=130)


def llzo() -> None:
    """Both distributions over the measured values, and what each switch is worth."""
    drawing, (left, right) = plt.subplots(1, 2, figsize=(11, 4), layout="constrained", width_ratios=(3, 2))
    folders = {"bare": CASES / "llzo-ppc" / "bare", "PPC": CASES / "llzo-ppc"}
    edges = np.geomspace(1e-2, 1e2, 61)
    for name, folder in folders.items():
        ccd = read(folder, "summary.json")["ccd"]
        told = f"{name}: {ccd['value']:.2g} (90 %: {ccd['low']:.2g} … {ccd['high']:.2g})"
        left.hist(read(folder, "distribution.json")["samples"], edges, alpha=0.55, color=COLOURS[name], label=told)
    rows = read_experiments(CASES / "_experiments" / "ccd.csv")
    families = ("LLZO", "LLZTO", "LLZO:Al", "LLZO:Al small grain")
    measured = list({row.id: row for family in families for row in for_electrolyte(rows, family)}.values())
    top = left.get_ylim()[1]
    for k, row in enumerate(row for row in measured if row.ccd_kind == "ccd" and (row.temperature_C or 25) <= 40):
        bare = (row.interlayer or "none").startswith("none")
        if not bare and "PPC" not in (row.interlayer or ""):
            continue
        shape, colour = ("o", COLOURS["bare"]) if bare else ("D", COLOURS["PPC"])
        left.plot(row.ccd_mA_cm2, top * (1.04 + 0.05 * (k % 4)), shape, color=colour, mec="k")
    left.set(xscale="log", xlabel="critical current density, mA/cm²", ylabel="draws")
    left.set_title("Predicted (histograms) and measured (marks above)")
    left.legend(loc="upper right", fontsize=8)
    for shift, (name, folder) in enumerate(folders.items()):
        switches = read(folder, "summary.json")["attribution"]
        for k, (_, row) in enumerate(switches.items()):
            y = -k - 0.25 * shift
            right.plot([row["smallest"], row["largest"]], [y, y], color=COLOURS[name], lw=2)
            right.plot(row["factor"], y, "o", color=COLOURS[name], label=name if k == 0 else None)
    right.set_yticks([-k - 0.12 for k in range(len(switches))], list(switches))
    right.axvline(1, color="0.6", lw=1)
    right.set(xscale="log", xlabel="critical current with it over without it", title="Worth of each mechanism")
    right.set_xticks([0.6, 0.8, 1.0, 1.4], ["0.6", "0.8", "1", "1.4"])
    right.minorticks_off()
    right.legend(fontsize=8)
    save(drawing, "llzo-ppc.png")


def lpscl() -> None:
    """Where lithium could form inside, and each mechanism's critical current beside measured ones."""
    folder = CASES / "lpscl-interphase"
    case, summary = load_case(folder), read(folder, "summary.json")
    inputs = nucleation_inputs(case, {key: float(value[0]) for key, value in nominal(resolve(case)).items()})
    wanted = case.settings.nucleation
    assert wanted is not None
    η = float(critical_overpotential(inputs, wanted.area, wanted.half_cycle, 1)[0])
    y, logs = profile(inputs, η)
    drawing, (left, right) = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
    left.plot(1e9 * y, -1e3 * inputs.cell.lithium_potential(y, inputs.current_density(η), η), color="k")
    left.set(xlabel="depth in the interphase, nm", ylabel="local overpotential of lithium, mV")
    left.set_title("At the critical current of nucleation")
    rate = left.twinx()
    rate.fill_between(1e9 * y, np.exp(logs - logs.max()), color=COLOURS["nucleation"], alpha=0.4, lw=0)
    rate.set(ylabel="rate over its largest value", ylim=(0, 1.3))
    bars = {**summary["mechanisms"], "voiding (stripping)": summary["stripping_limit"]}
    for k, (_, row) in enumerate(bars.items()):
        colour = list(COLOURS.values())[(1, 2, 3)[k]]
        right.plot([row["low"], row["high"]], [-k, -k], color=colour, lw=3)
        right.plot(row["value"], -k, "o", color=colour)
    for row in for_electrolyte(read_experiments(CASES / "_experiments" / "ccd.csv"), "Li6PS5Cl"):
        if not (row.interlayer or "none").startswith("none"):
            continue
        if row.ccd_kind == "stripping_critical":
            right.plot(row.ccd_mA_cm2, -1.7, "D", color=COLOURS["voiding"], mec="k")
            place = {"xytext": (0, 6), "textcoords": "offset points", "ha": "center", "fontsize": 8}
            right.annotate(f"{row.stack_pressure_MPa:g} MPa", (row.ccd_mA_cm2, -1.7), **place)
        elif row.ccd_kind == "lower_bound":
            right.plot(row.ccd_mA_cm2, 0.3, ">", color=COLOURS["PPC"], mec="k")
    right.set_yticks([-k for k in range(len(bars))], list(bars))
    right.set(xscale="log", xlabel="critical current density, mA/cm² (median, 90 %)", ylim=(-2.6, 0.7))
    right.set_title("Mechanisms; marks: measured")
    save(drawing, "lpscl-interphase.png")


if __name__ == "__main__":
    for name in sys.argv[1:] or ("llzo", "lpscl"):
        {"llzo": llzo, "lpscl": lpscl}[name]()

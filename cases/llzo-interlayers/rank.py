"""Ranks the interlayers of this sweep, with the confidence that their own ranges leave.

The flaw, LLZO and lithium are the same under every layer and cancel in a ratio. What a layer alone brings (its conductivity, its
modulus, its exchange current density) is drawn from the range of its file; the logarithm of the critical current is taken along
each by straight lines through the three designs at its low end, best value and high end, and the changes are added.

env/exec python cases/llzo-interlayers/rank.py            # after `multiscale sweep run`; else from designs.csv as shipped
env/exec python cases/llzo-interlayers/rank.py --csv ranking.csv --picture docs/interlayers.png
"""

import argparse
import csv
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from coupling.library import read_material
from coupling.record import sample
from coupling.store import digest
from coupling.units import to_si

HERE = Path(__file__).resolve().parent
SHIPPED, FRESH = HERE / "designs.csv", HERE / "results" / "sweep" / "table.csv"
SMALLEST = 1e-4
"""Critical currents below this count as this, mA/cm²."""
DRAWS = 4000
REFERENCE = "bare, handled in air"
QUANTITY = {"exchange current": "exchange_current_density", "conductivity": "ionic_conductivity", "modulus": "youngs_modulus"}
UNIT = {"exchange current": "A/m^2", "conductivity": "S/m", "modulus": "Pa"}


@dataclass(frozen=True)
class Ranked:
    """A layer: critical current at best values, draws of it (n,), mA/cm²; worst grade of its numbers, how they are known."""

    name: str
    best: float
    draws: np.ndarray
    grade: str
    confidence: str


def answers() -> dict[str, float]:
    """Critical current at the best values by option of the sweep, mA/cm²."""
    with (FRESH if FRESH.is_file() else SHIPPED).open(encoding="utf-8", newline="") as file:
        done = [row for row in csv.DictReader(file) if row["state"] == "done"]
    return {row["layer"]: max(float(row["ccd_best_values (mA/cm^2)"]), SMALLEST) for row in done}


def settings() -> dict[str, dict[str, str]]:
    """What each option sets, from sweep.toml."""
    variable = tomllib.loads((HERE / "sweep.toml").read_text(encoding="utf-8"))["variable"][0]
    return {option["name"]: option["set"] for option in variable["option"]}


def ranked(name: str, found: Mapping[str, float], chosen: Mapping[str, Mapping[str, str]], count: int = DRAWS) -> Ranked:
    """One layer with the draws that its own ranges give."""
    middle = np.log(found[name])
    total, records = np.full(count, middle), []
    for word, quantity in QUANTITY.items():
        ends = [f"{name}; {word} {end}" for end in ("low", "high")]
        if ends[0] not in found:
            continue
        (key,) = (key for key in chosen[ends[0]] if key.startswith("materials."))
        material, low, high = key.split(".")[1], chosen[ends[0]][key], chosen[ends[1]][key]
        properties = read_material(HERE.parent / "_materials" / f"{material}.toml").properties
        record = next(prop for prop in properties if prop.quantity == quantity)
        records.append(record)
        rng = np.random.default_rng(int(digest([1, name, quantity]), 16) % 2**63)
        places = np.log([to_si(low, UNIT[word]), record.value, to_si(high, UNIT[word])])
        values = np.log([found[ends[0]], found[name], found[ends[1]]])
        drawn = np.clip(np.log(sample(record, count, rng)), places[0], places[2])
        total = total + np.interp(drawn, places, values) - middle
    grade = max(str(record.source["grade"]) for record in records)
    confidence = ", ".join(sorted({record.confidence for record in records}))
    return Ranked(name, found[name], np.exp(total), grade, confidence)


def ranking() -> list[Ranked]:
    """All layers, highest median first."""
    found, chosen = answers(), settings()
    layers = [ranked(name, found, chosen) for name in found if ";" not in name]
    return sorted(layers, key=lambda layer: -float(np.median(layer.draws)))


def table(layers: list[Ranked]) -> list[dict[str, object]]:
    """A row a layer: best value, 90 % range, confidence that it beats the bare contact, and that it is the best of all."""
    reference = next(layer for layer in layers if layer.name == REFERENCE)
    first = np.argmax([layer.draws for layer in layers], axis=0)
    rows = []
    for place, layer in enumerate(layers):
        low, median, high = np.quantile(layer.draws, [0.05, 0.5, 0.95])
        rows.append({
            "layer": layer.name, "best values (mA/cm^2)": f"{layer.best:.3g}", "median (mA/cm^2)": f"{median:.3g}",
            "low (mA/cm^2)": f"{low:.3g}", "high (mA/cm^2)": f"{high:.3g}",
            "beats bare in air": "" if layer is reference else f"{np.mean(layer.draws > reference.draws):.2f}",
            "best of all": f"{np.mean(first == place):.2f}", "grade": layer.grade, "numbers": layer.confidence,
        })  # fmt: skip
    return rows


def draw(layers: list[Ranked], picture: Path) -> None:
    """Ranges and medians, best on top."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4.2), layout="constrained")
    for place, layer in enumerate(reversed(layers)):
        low, median, high = np.quantile(layer.draws, [0.05, 0.5, 0.95])
        axes.plot([low, high], [place, place], color="#1f77b4", lw=4, alpha=0.4, solid_capstyle="butt")
        axes.plot(median, place, "o", color="#1f77b4")
        axes.plot(layer.best, place, "|", color="black", ms=12)
    told = "critical current of initiation, mA/cm² (bar: 90 % of the layer's own ranges; tick: best values)"
    axes.set(xscale="log", xlabel=told)
    axes.set_yticks(range(len(layers)), [layer.name for layer in reversed(layers)])
    axes.grid(axis="x", alpha=0.3)
    figure.savefig(picture, dpi=110)


def main() -> None:
    """Print the table; write it and the picture."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--csv", type=Path)
    arguments.add_argument("--picture", type=Path)
    chosen = arguments.parse_args()
    layers = ranking()
    rows = table(layers)
    print("| " + " | ".join(rows[0]) + " |\n" + "|---" * len(rows[0]) + "|")
    for row in rows:
        print("| " + " | ".join(str(value) for value in row.values()) + " |")
    if chosen.csv:
        with chosen.csv.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    if chosen.picture:
        draw(layers, chosen.picture)


if __name__ == "__main__":
    main()

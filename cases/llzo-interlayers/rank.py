"""Ranks the interlayers of this sweep, with the confidence that all known errors leave together.

The flaw, LLZO and lithium are the same under every layer and cancel in a ratio. What a layer alone brings (its conductivity, its
modulus, its exchange current density) is drawn from the range of its file; the logarithm of the critical current is taken along
each by straight lines through the three designs at its low end, best value and high end, and the changes are added. To that come,
from errors.csv (`--errors` solves it anew): the mesh, the microstructure, and how lithium moves inside the flaw.

env/exec python cases/llzo-interlayers/rank.py            # after `multiscale sweep run`; else from designs.csv as shipped
env/exec python cases/llzo-interlayers/rank.py --errors   # fine mesh, two further microstructures and stalled flaw of every layer
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
ERRORS = HERE / "errors.csv"
SEEDS = (2, 3)
"""Further microstructures, by the seed of the geometry."""
SMALLEST = 1e-4
"""Critical currents below this count as this, mA/cm²."""
DRAWS = 4000
REFERENCE = "bare, handled in air"
QUANTITY = {"exchange current": "exchange_current_density", "conductivity": "ionic_conductivity", "modulus": "youngs_modulus"}
UNIT = {"exchange current": "A/m^2", "conductivity": "S/m", "modulus": "Pa"}


@dataclass(frozen=True)
class Ranked:
    """A layer: critical current at best values (coarse mesh), draws of it (n,), mA/cm²; worst grade of its numbers, how known."""

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


def solve_errors() -> list[dict[str, str]]:
    """Critical currents at the best values of each layer: coarse and fine mesh, further microstructures, stalled flaw; mA/cm².

    Same search as the sweep's own answers. What errors.csv holds already is not solved again.
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

    found = errors()
    for one in plan(load_sweep(HERE)):
        name = one.point.values["layer"]
        if ";" in name or name in found:
            continue
        with tempfile.TemporaryDirectory() as folder:
            drafts.write(one, Path(folder) / "design", None)
            case = load_case(Path(folder) / "design")
        inputs = continuum_inputs(case, {key: float(value[0]) for key, value in nominal(resolve(case, [])).items()})
        largest, first = SEARCH_BEYOND * case.settings.protocol.maximum, case.settings.geometry.seed

        def model(seed: int, fine: bool = False, case=case, inputs=inputs):  # type: ignore[no-untyped-def]
            return initiation_model(case, inputs, seed, MPI.COMM_SELF, fine=fine)

        own = model(first)
        row = {"coarse": own.critical_current(largest), "stalled": own.stalled_critical_current(largest)}
        row |= {"fine": model(first, fine=True).critical_current(largest)}
        row |= {f"seed {seed}": model(seed).critical_current(largest) for seed in SEEDS}
        found[name] = {key: value.current_density / 10 for key, value in row.items()}
        print(name, found[name], flush=True)
        told = [{"layer": key} | {what: f"{value:.8g}" for what, value in values.items()} for key, values in found.items()]
        with ERRORS.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(told[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(told)
    return told


def errors() -> dict[str, dict[str, float]]:
    """What errors.csv holds, by layer, mA/cm²."""
    if not ERRORS.is_file():
        return {}
    with ERRORS.open(encoding="utf-8", newline="") as file:
        rows = [(row.pop("layer"), row) for row in csv.DictReader(file)]
    return {name: {key: max(float(value), SMALLEST) for key, value in row.items()} for name, row in rows}


@dataclass(frozen=True)
class Method:
    """Errors that are no number's, of ln(critical current).

    Attributes:
        correction: from coarse to fine mesh, by layer.
        mesh: standard deviation left to the mesh, by layer: how far the correction is from none.
        microstructure: standard deviation between microstructures of what a layer does, the common part taken out; `degrees` of
            freedom behind it.
        closure: from a flaw in which lithium redistributes to one in which it stays, by layer; the truth lies between.
    """

    correction: Mapping[str, float]
    mesh: Mapping[str, float]
    microstructure: float
    degrees: int
    closure: Mapping[str, float]


def method(found: Mapping[str, Mapping[str, float]]) -> Method:
    """The errors of method that the solutions of errors.csv tell."""
    correction = {name: float(np.log(row["fine"] / row["coarse"])) for name, row in found.items()}
    logs = np.log([[row[key] for key in ("coarse", *(f"seed {seed}" for seed in SEEDS))] for row in found.values()])
    rest = logs - logs.mean(axis=0) - logs.mean(axis=1, keepdims=True) + logs.mean()  # neither layer's nor microstructure's own
    degrees = (logs.shape[0] - 1) * (logs.shape[1] - 1)
    closure = {name: float(np.log(row["stalled"] / row["coarse"])) for name, row in found.items()}
    spread = float(np.sqrt(np.sum(rest**2) / degrees))
    return Method(correction, {name: abs(value) for name, value in correction.items()}, spread, degrees, closure)


def ranked(
    name: str, found: Mapping[str, float], chosen: Mapping[str, Mapping[str, str]], errs: Method, count: int = DRAWS
) -> Ranked:
    """One layer with the draws that its own ranges and the errors of method give."""
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
    own = np.random.default_rng(int(digest([2, name]), 16) % 2**63)
    total = total + errs.correction[name] + errs.mesh[name] * own.standard_normal(count)
    total = total + errs.microstructure * own.standard_t(errs.degrees, count)
    total = total + errs.closure[name] * np.random.default_rng(3).uniform(0.0, 1.0, count)  # one share: the same in every flaw
    grade = max(str(record.source["grade"]) for record in records)
    confidence = ", ".join(sorted({record.confidence for record in records}))
    return Ranked(name, found[name], np.maximum(np.exp(total), SMALLEST), grade, confidence)


def ranking() -> list[Ranked]:
    """All layers, highest median first."""
    found, chosen, errs = answers(), settings(), method(errors())
    layers = [ranked(name, found, chosen, errs) for name in found if ";" not in name]
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
    told = "critical current of initiation, mA/cm² (bar: 90 % of all known errors; tick: best values, coarse mesh)"
    axes.set(xscale="log", xlabel=told)
    axes.set_yticks(range(len(layers)), [layer.name for layer in reversed(layers)])
    axes.grid(axis="x", alpha=0.3)
    figure.savefig(picture, dpi=110)


def as_lines(rows: list[dict[str, object]]) -> list[str]:
    """The table in Markdown, as docs/interlayers.md holds it."""
    head = ["| " + " | ".join(rows[0]) + " |", "|---" * len(rows[0]) + "|"]
    return head + ["| " + " | ".join(str(value) for value in row.values()) + " |" for row in rows]


def main() -> None:
    """Print the table; write it and the picture."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--csv", type=Path)
    arguments.add_argument("--picture", type=Path)
    arguments.add_argument("--errors", action="store_true", help="solve what errors.csv lacks")
    chosen = arguments.parse_args()
    if chosen.errors:
        solve_errors()
        return
    layers = ranking()
    rows = table(layers)
    print("\n".join(as_lines(rows)))
    if chosen.csv:
        with chosen.csv.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    if chosen.picture:
        draw(layers, chosen.picture)


if __name__ == "__main__":
    main()

"""docs/comparison.md: its tables and statistics from what `multiscale compare` left, so that no number there is typed by hand.

`python docs/comparison_table.py [cases/_comparison/results/comparison.json]` rewrites what stands between the marks of the page.
"""

import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from coupling.experiments import KIND_LABELS  # noqa: E402
from multiscale.comparison.agreement import CRITICAL  # noqa: E402
from multiscale.comparison.table import SIGN, statistics  # noqa: E402

PAGE = ROOT / "docs" / "comparison.md"
STORE = ROOT / "cases" / "_comparison" / "results" / "comparison.json"


def compared(told: Mapping[str, Any]) -> str:
    """One row a measurement that is held against a cell, kind by kind."""
    head = ("id", "kind", "cell", "measured, mA/cm²", "predicted: median (90 %)", "at best values", "predicted/measured",
            "stated", "confidence")  # fmt: skip
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for kind, label in KIND_LABELS.items():
        rows = [row for row in told["rows"] if row["kind"] == kind and row["comparable"]]
        for row in sorted(rows, key=lambda row: (row["cell"], row["id"])):
            value = f"{two(row['predicted'])} ({two(row['low'])} … {two(row['high'])})"
            if kind in CRITICAL:
                outcome = two(row["ratio"]) + ("" if row["consistent"] else ", outside")
            else:
                outcome = "allowed" if row["consistent"] else "contradicted"
            stated = ", ".join(row["stated"]) or "nothing"
            cells = (row["id"], label.split(" (")[0], row["cell"], f"{SIGN.get(kind, '')}{row['measured']:g}", value,
                     two(row["best_mA_cm2"]), outcome,
                     stated, row["confidence"])  # fmt: skip
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def two(value: float) -> str:
    """A number to two digits, without an exponent."""
    return f"{float(f'{value:.2g}'):g}"


def numbers(told: Mapping[str, Any]) -> str:
    """The statistics of each kind, as the command prints them, and how many model runs there were."""
    lines = [line for line in statistics(told) if not line.startswith("cell ")]
    cells = told["cells"].values()
    runs = sum(cell["model_runs"] for cell in cells)
    failed = sum(cell["failed_runs"] for cell in cells)
    lines.insert(-1, f'setting "{told["quality"]}": {len(cells)} cells, {runs} model runs, {failed} failed')
    return "\n".join(f"- {line}" for line in lines)


def left_out(told: Mapping[str, Any]) -> str:
    """One row a measurement without a cell."""
    rows = [row for row in told["rows"] if not row["comparable"]]
    lines = ["| id | electrolyte, layer | measured, mA/cm² | why not compared |", "|---|---|---|---|"]
    lines += [
        f"| {row['id']} | {row['electrolyte']}, {row['interlayer']} | {row['measured']:g} ({row['kind']}) | {row['reason']} |"
        for row in rows
    ]
    return "\n".join(lines)


def rewritten(page: str, told: Mapping[str, Any]) -> str:
    """The page with what stands between `<!-- NAME -->` and `<!-- end -->` made anew.

    Raises:
        ValueError: a mark is missing, or a measurement does not stand in the tables exactly once.
    """
    for name, make in (("compared", compared), ("numbers", numbers), ("left out", left_out)):
        between = re.compile(rf"(?<=<!-- {name} -->\n\n).*?(?=\n\n<!-- end -->)", re.DOTALL)
        if len(between.findall(page)) != 1:
            raise ValueError(f"{PAGE}: <!-- {name} -->, an empty line, text, an empty line, <!-- end --> must stand there once")
        page = page.replace(between.findall(page)[0], make(told))
    for row in told["rows"]:
        if (times := page.count(f"\n| {row['id']} |")) != 1:
            raise ValueError(f"{PAGE}: {row['id']} stands in the tables {times} times, not once")
    return page


if __name__ == "__main__":
    source = Path(sys.argv[1]) if len(sys.argv) > 1 else STORE
    PAGE.write_text(rewritten(PAGE.read_text(encoding="utf-8"), json.loads(source.read_text(encoding="utf-8"))), encoding="utf-8")
    print(PAGE)

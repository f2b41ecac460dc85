"""A sweep as it lies on the disk, with made-up answers: what `multiscale view` is tested on."""

import json
from pathlib import Path

from report_fixture import write_results
from sweep_cases import write

from coupling.store import digest
from multiscale.sweeps import driver
from multiscale.sweeps.designs import points
from multiscale.sweeps.ledger import Store
from multiscale.sweeps.settings import load_sweep

SWEEP = """title = "made up <b>here</b> from DATA"
[[variable]]
name = "thickness"
key = "geometry.interlayer.thickness"
kind = "list"
values = ["10 nm", "20 nm", "40 nm", "80 nm"]
[[variable]]
name = "depth"
key = "geometry.flaw.depth"
kind = "list"
values = ["0.5 um", "1 um"]
[run]
command = ["true"]
"""
STATES = ("done", "done", "done", "done", "done", "failed", "running", "waiting")


def say(store: Store, name: str, state: str, ccd: float = 1.0) -> None:
    """Replace what is known of a design."""
    answers = {"ccd": ccd, "ccd_low": ccd / 2, "ccd_high": 2 * ccd, "limited_by": "stall"} if state == "done" else {}
    told = {"state": state, "answers": answers, "wall_s": 1.5, "reason": "it cracked <i>early</i>" if state == "failed" else None}
    store.design(name).mkdir(parents=True, exist_ok=True)
    if state == "done":
        summary = {"ccd": {"value": ccd, "low": ccd / 2, "high": 2 * ccd, "level": 0.9}}
        (store.design(name) / "results").mkdir(exist_ok=True)
        (store.design(name) / "results" / "summary.json").write_text(json.dumps(summary), encoding="utf-8")
    (store.design(name) / "status.json").write_text(json.dumps(told), encoding="utf-8")


def make(folder: Path) -> tuple[Path, Store, list[str]]:
    """A case with a sweep of eight designs; the first has results of its own."""
    case = write(folder, SWEEP)
    sweep, store = load_sweep(case), Store(case / "results" / "sweep")
    rows = [{"design": digest(dict(p.values)), "replica": 0, "values": dict(p.values)} for p in points(sweep)]
    store.write_list(rows, driver.list_key(sweep))
    names = [row["design"] for row in rows]
    for number, (name, state) in enumerate(zip(names, STATES, strict=True)):
        if state != "waiting":
            say(store, name, state, 0.5 + number)
    first = store.design(names[0])
    (first / "case.toml").write_text((case / "case.toml").read_text(encoding="utf-8"), encoding="utf-8")
    (first / "log.txt").write_text("one\ntwo <u>lines</u>\n", encoding="utf-8")
    write_results(first / "results")
    (first / "results" / "current_map.npz").unlink()  # keeps the tests short
    return case, store, names

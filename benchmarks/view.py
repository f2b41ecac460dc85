"""Measures how fast `multiscale view` opens a finished sweep: a store with made-up answers stands for one that was computed.

env/exec python benchmarks/view.py [--designs 10000] [--unkept]       (the browser's part where `make browser` was run)
"""

import argparse
import json
import math
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from coupling.store import digest
from multiscale.sweeps import driver, kept_table
from multiscale.sweeps.designs import points
from multiscale.sweeps.ledger import Store
from multiscale.sweeps.result_stamps import stamps
from multiscale.sweeps.settings import load_sweep

ROOT = Path(__file__).resolve().parent.parent
SWEEP = """title = "made-up answers"
[sampling]
count = {designs}
[[variable]]
name = "thickness"
key = "geometry.interlayer.thickness"
kind = "sobol"
from = "10 nm"
to = "90 nm"
[[variable]]
name = "depth"
key = "geometry.flaw.depth"
kind = "sobol"
from = "0.3 um"
to = "1.4 um"
"""
MARK = "(name) => performance.timeOrigin + performance.getEntriesByName(name)[0].startTime"
"""When the page marked something, ms since 1970."""


def write(folder: Path, designs: int) -> Path:
    """A case whose sweep is finished: list, status files and kept table as a sweep leaves them behind."""
    case = folder / "case"
    case.mkdir()
    shutil.copyfile(ROOT / "cases" / "li-lpscl" / "case.toml", case / "case.toml")
    (case / "sweep.toml").write_text(SWEEP.format(designs=designs), encoding="utf-8")
    sweep = load_sweep(case)
    store = Store(case / "results" / "sweep")
    rows = [{"design": digest(dict(p.values)), "replica": p.replica, "values": dict(p.values)} for p in points(sweep)]
    store.write_list(rows, driver.list_key(sweep))
    for number, row in enumerate(rows):
        ccd = 1.0 + math.sin(number) ** 2
        answers = {"ccd": ccd, "ccd_low": ccd / 2, "ccd_high": 2 * ccd, "asr": 10 + ccd, "limited_by": "stall", "unknowns": 9000}
        told = {"state": "done", "answers": answers, "wall_s": 1.5, "worker": "w", "host": "h", "attempts": 1}
        (store.design(row["design"]) / "results").mkdir(parents=True)
        whole = {"ccd": {"value": ccd, "low": ccd / 2, "high": 2 * ccd, "level": 0.9}}
        (store.design(row["design"]) / "results" / "summary.json").write_text(json.dumps(whole), encoding="utf-8")
        told["results"] = stamps(store.design(row["design"]))
        (store.design(row["design"]) / "status.json").write_text(json.dumps(told), encoding="utf-8")
    kept_table.keep(driver.look_at(sweep, store.folder))  # as `multiscale sweep run` does at its end
    return case


def processor_time(pid: int) -> float:
    """Processor time of a process, s: other work on the machine changes it little."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def fetched(address: str) -> tuple[float, int]:
    """Wall time and size of the rows as the page asks for them."""
    start = time.perf_counter()
    with urllib.request.urlopen(address, timeout=300) as answer:
        size = len(answer.read())
    return time.perf_counter() - start, size


def drawn(address: str, repeats: int = 3) -> list[tuple[float, float, float, float]] | None:
    """From the address to the table, to the picture, to one that can be zoomed (wall, processor time of the page), s.

    Sorted by the second, the picture with all its points. In headless Chromium, each time one that has never seen the page;
    None without it. The page marks table and picture once they stand on the screen.
    """
    program = shutil.which("chromium-headless-shell") or shutil.which("chromium")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        return None
    if program is None:
        return None
    took = []
    with sync_playwright() as driver:
        for _ in range(repeats):
            browser = driver.chromium.launch(executable_path=program, args=["--disable-background-networking"], timeout=300_000)
            page = browser.new_page(viewport={"width": 1280, "height": 900})
            page.set_default_timeout(300_000)
            watched = page.context.new_cdp_session(page)
            watched.send("Performance.enable", {"timeDomain": "threadTicks"})
            asked, start = time.time(), time.perf_counter()
            page.goto(address, wait_until="commit")
            page.wait_for_selector("body[data-ready=yes]")
            wall = time.perf_counter() - start
            told = {row["name"]: row["value"] for row in watched.send("Performance.getMetrics")["metrics"]}
            table, picture = (page.evaluate(MARK, name) / 1e3 - asked for name in ("table", "picture"))
            took.append((table, picture, wall, told["TaskDuration"]))
            browser.close()
    return sorted(took, key=lambda row: row[1])


def main() -> None:
    """Print the table."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--designs", type=int, default=10_000)
    arguments.add_argument("--unkept", action="store_true", help="without the table that a finished sweep leaves behind")
    told = arguments.parse_args()
    measure(told.designs, told.unkept)


def measure(designs: int, unkept: bool) -> None:
    """Make the sweep, open it and print the table."""
    with tempfile.TemporaryDirectory() as name:
        case = write(Path(name), designs)
        if unkept:
            (case / "results" / "sweep" / kept_table.NAME).unlink()
        words = [sys.executable, "-m", "multiscale", "view", str(case), "--port", "0"]
        start = time.perf_counter()
        with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, cwd=ROOT) as run:
            assert run.stdout is not None
            told = run.stdout.readline()
            ready, busy = time.perf_counter() - start, processor_time(run.pid)
            found = re.match(r"http://\S+", told)
            if found is None:
                sys.exit(f"the viewer did not start: {told}")
            rows, size = fetched(f"{found.group()}case/case/data")
            shown = drawn(found.group())
            run.terminate()
    print(f"{designs} finished designs\n\n| what | measured | aim |\n|---|---|---|")
    print(f"| from the command to its address, everything read (processor time) | {ready:.2f} s ({busy:.2f} s) | |")
    print(f"| the rows ({size / 1e6:.1f} MB) told to the page | {rows:.2f} s | |")
    if shown is None:
        print("| in the browser | no browser: `make browser` | |")
    else:
        for table, picture, alive, worked in shown:
            print(f"| from the address: table; picture with all points; to be zoomed and read off (processor time of the page) "
                  f"| {table:.2f} s; {picture:.2f} s; {alive:.2f} s ({worked:.2f} s) | |")  # fmt: skip
        picture, slowest = shown[0][1], shown[-1][1]
        whole = f"{ready + picture:.2f} s; {ready + slowest:.2f} s"
        print(f"| from the command to the picture with all points, fastest and slowest | {whole} | 2 s |")
    print(f"load of the machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")


if __name__ == "__main__":
    main()

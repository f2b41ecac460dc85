"""Small transport cases that run in seconds (flat layers in one dimension, a tiny polycrystal), their run and its tables."""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

SHIPPED = Path(__file__).resolve().parent.parent / "cases" / "polymer-ceramic" / "case.toml"
FLAT = """\
title    = "A polymer on a ceramic"
question = "Flat and fast."

[geometry]
kind       = "layers"
dimension  = 1
resolution = 0.4

[[geometry.layer]]
name      = "polymer"
material  = "PPC-LiTFSI"
thickness = "10 um"

[[geometry.layer]]
name      = "ceramic"
material  = "LLZO"
thickness = "6 um"

[conditions]
temperature = "25 degC"

[transport.polymer]
closure = "electroneutral"

[[transport.polymer.species]]
name     = "Li+"
charge   = 1
lithium6 = 0.0759

[[transport.polymer.species]]
name   = "TFSI-"
charge = -1

[transport.ceramic]
closure = "ohm"

[[transport.ceramic.species]]
name   = "Li+"
charge = 1

[electrode.working]
ion             = "Li+"
charge_transfer = "Li-PPC-interface"

[electrode.counter]
ion             = "Li+"
charge_transfer = "Li-LLZO-interface"

[[interface]]
between         = ["polymer", "ceramic"]
ion             = "Li+"
charge_transfer = "PPC-LLZO-interface"

[protocol]
on_depletion = "end"
tolerance    = 3e-3

[[protocol.step]]
kind            = "galvanostatic"
current_density = "-9 mA/cm^2"
until           = { time = "200 s" }

[[protocol.step]]
kind  = "rest"
until = { time = "200 s" }

[[protocol.step]]
kind            = "galvanostatic"
current_density = "-60 mA/cm^2"
until           = { time = "60 s" }

[output]
profiles = 5
fields   = false

[output.attenuation]
path                     = "5 mm"
absorption_cross_section = "9.4e-26 m^2"
source                   = "940 barn for thermal neutrons"
"""


def write(folder: Path, text: str = FLAT) -> Path:
    """Write a case folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "case.toml").write_text(text, encoding="utf-8")
    return folder


def edited(text: str, *changes: tuple[str, str]) -> str:
    """The text with pieces replaced, each of which stands there once."""
    for old, new in changes:
        assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times"
        text = text.replace(old, new)
    return text


def solved(folder: Path, text: str) -> dict[str, Any]:
    """Write a case and run it on this process alone into FOLDER/out: its summary."""
    from mpi4py import MPI

    from multiscale.transport_cases.case import load_transport_case
    from multiscale.transport_cases.run import run_transport

    return run_transport(load_transport_case(write(folder, text)), folder / "out", MPI.COMM_SELF)


def table(path: Path) -> list[dict[str, str]]:
    """Rows of a CSV table."""
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def rows(folder: Path) -> list[dict[str, float]]:
    """The time series of a case that was run by `solved`, as numbers."""
    found = table(folder / "out" / "time_series.csv")
    return [{name: float(value) for name, value in row.items() if value} for row in found]


def numbers(value: Any, path: str = "") -> Iterator[tuple[str, float]]:
    """Every number of a nested structure with its place; how long it took, and with what, is left out."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key not in ("wall_s", "versions"):
                yield from numbers(inner, f"{path}.{key}")
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from numbers(inner, f"{path}[{index}]")
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield path, float(value)


@pytest.fixture(autouse=True)
def no_report(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages take longer than these runs; a test that wants one writes its own. In use wherever it is imported."""
    from multiscale.transport_cases import report

    monkeypatch.setattr(report, "write_transport_report", lambda *_: "none")


def crystal() -> str:
    """The shipped case made tiny: one step near its steady state and a rest, a few hundred triangles."""
    text = edited(
        SHIPPED.read_text(encoding="utf-8"), ('thickness = "10 um"', 'thickness = "2 um"'),
        ('thickness      = "6 um"', 'thickness      = "2 um"'), ('width     = "6 um"', 'width     = "3 um"\nresolution = 0.35'),
        ('grain_size     = "2 um"', 'grain_size     = "1 um"'), ('width = "50 nm"', 'width = "100 nm"'),
    )  # fmt: skip
    start, end = text.index("[[protocol.step]]"), text.index("[output]")
    return text[:start] + STEPS + text[end:]


STEPS = """\
[[protocol.step]]
kind            = "galvanostatic"
current_density = "-40 mA/cm^2"
until           = { time = "4 s" }

[[protocol.step]]
kind  = "rest"
until = { time = "0.1 s" }

"""

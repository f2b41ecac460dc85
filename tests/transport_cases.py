"""Small transport cases that run in seconds: flat layers in one dimension, and a tiny polycrystal."""

from pathlib import Path

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

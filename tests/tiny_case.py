"""A small variant of the first case that runs in seconds."""

from pathlib import Path

CASE = Path(__file__).resolve().parent.parent / "cases" / "li-lpscl"
CHANGES = {
    'width     = "6 um"': 'width     = "2 um"',
    'thickness      = "4 um"': 'thickness      = "1.5 um"',
    'width = "10 nm"': 'width = "40 nm"',
    'thickness  = "20 nm"': 'thickness  = "60 nm"',
    'depth       = "1 um"': 'depth       = "0.4 um"',
    '["0.3 um", "1.5 um"]': '["0.3 um", "0.6 um"]',
    'mouth       = "20 nm"': 'mouth       = "60 nm"',
    "designs         = 48": "designs         = 8",
    "samples         = 4000": "samples         = 200",
    "microstructures = 4": "microstructures = 2",
}


def write(folder: Path) -> Path:
    """Write the small case into `folder`."""
    text = (CASE / "case.toml").read_text(encoding="utf-8")
    for old, new in CHANGES.items():
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "case.toml").write_text(text, encoding="utf-8")
    return folder

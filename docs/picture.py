"""Draws docs/first-light.png from the results of the first case: env/exec python docs/picture.py [RESULTS]."""

import json
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from coupling.experiments import for_electrolyte, read_experiments
from multiscale.compare import case_result, compare_row
from multiscale.reporting.field_maps import current_map, read_current_map
from multiscale.reporting.figures import PRINT, ccd_distribution, write_figure

ROOT = Path(__file__).resolve().parent.parent
CASE = ROOT / "cases" / "li-lpscl"


def main(results: Path) -> None:
    """Current map and critical current beside measured ones, side by side."""
    summary = json.loads((results / "summary.json").read_text(encoding="utf-8"))
    samples = json.loads((results / "distribution.json").read_text(encoding="utf-8"))["samples"]
    measured = for_electrolyte(read_experiments(ROOT / "cases" / "_experiments" / "ccd.csv"), summary["electrolyte"])
    case = case_result(CASE, results)
    comparable = {m.id: bool(compare_row(m, case, summary["ccd"])["comparable"]) for m in measured}
    drawings = (
        current_map(read_current_map(results / "current_map.npz"), PRINT),
        ccd_distribution(samples, summary["ccd"], measured, comparable, PRINT),
    )
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{index}.png" for index in range(2)]
        for drawing, path in zip(drawings, paths, strict=True):
            write_figure(drawing, path)
        images = [on_white(Image.open(path)) for path in paths]
        height = max(image.height for image in images)
        whole = np.full((height, sum(image.width for image in images), 3), 255, dtype=np.uint8)
        left = 0
        for image in images:
            top = (height - image.height) // 2
            whole[top : top + image.height, left : left + image.width] = np.asarray(image)
            left += image.width
    picture = Image.fromarray(whole)
    picture.resize((1500, round(1500 * picture.height / picture.width)), Image.Resampling.LANCZOS).quantize(128).save(
        ROOT / "docs" / "first-light.png", optimize=True
    )


def on_white(image: Image.Image) -> Image.Image:
    """The picture without transparency."""
    paper = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(paper, image.convert("RGBA")).convert("RGB")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else CASE / "results")

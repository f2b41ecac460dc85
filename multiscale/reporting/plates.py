"""A figure of a report with the numbers behind it: shown in a page, on request alive, or written as SVG, PNG and CSV."""

import base64
import csv
import io
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from coupling.atomic import write_text
from coupling.errors import RunFailure, UserError
from multiscale.reporting.figures import PRINT, THEMED, Palette, figure, inline_svg, write_figure
from multiscale.reporting.html import words

LONGEST_LINK = 200_000
"""Characters of a table up to which it lies in the page itself."""
Column = tuple[str, Sequence[Any]]


@dataclass(frozen=True)
class Plate:
    """A figure.

    Attributes:
        name: of its files, and of its ids in the page.
        title: what it shows, in plain words.
        caption: ready HTML.
        draw: gives the figure in the colours of a palette.
        numbers: columns (name with unit, values) of the table behind it.
        traces: gives what Plotly draws, (traces, layout); colours as "var(--series-1)". None where a still picture says it all.
        living_caption: ready HTML that takes the place of the caption where Plotly draws; by default the same.
    """

    name: str
    title: str
    caption: str
    draw: Callable[..., Figure]
    numbers: tuple[Column, ...]
    traces: Callable[[], tuple[list[dict[str, Any]], dict[str, Any]]] | None = None
    living_caption: str = ""

    def still(self) -> str:
        """The figure as SVG that follows the reader's light or dark setting."""
        return inline_svg(self.draw(), self.name, self.title)

    def csv(self) -> str:
        """The table behind the figure."""
        stream = io.StringIO()
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow([name for name, _ in self.numbers])
        writer.writerows(zip(*(values for _, values in self.numbers), strict=True))
        return stream.getvalue()


def show(plate: Plate, alive: bool = False) -> str:
    """A figure of a page, with a link to the numbers behind it."""
    link, lives = _link(plate), alive and plate.traces is not None
    text = plate.living_caption if lives and plate.living_caption else plate.caption
    caption = f"<figcaption>{text}{' ' if link else ''}{link}</figcaption>"
    if not lives or plate.traces is None:
        return f"<figure>{plate.still()}{caption}</figure>"
    traces, layout = plate.traces()
    told = json.dumps({"traces": traces, "layout": layout}, allow_nan=False).replace("<", "\\u003c")
    return (
        f'<figure class="alive"><div class="still">{plate.still()}</div><div class="live" role="img" '
        f'aria-label="{escape(plate.title)}"></div><script type="application/json">{told}</script>{caption}</figure>'
    )


def _link(plate: Plate) -> str:
    text = plate.csv() if plate.numbers else ""
    if not text or len(text) > LONGEST_LINK:
        return ""
    packed = base64.b64encode(text.encode()).decode()
    return f'<a download="{escape(plate.name)}.csv" href="data:text/csv;base64,{packed}">The numbers (CSV).</a>'


def scripts() -> str:
    """What a page with figures that are alive needs: Plotly itself, once, and a few lines of ours.

    Raises:
        UserError: Plotly is not installed.
    """
    try:
        import plotly
    except ImportError:
        raise UserError("--interactive needs the package plotly; `pip install -e .[view]` brings it") from None
    library = (Path(plotly.__file__).parent / "package_data" / "plotly.min.js").read_text(encoding="utf-8")
    own = (Path(__file__).resolve().parent.parent / "data" / "report.js").read_text(encoding="utf-8")
    return f"<script>{library}</script>\n<script>{own}</script>\n"


def write_plates(plates: Sequence[Plate], folder: Path) -> list[Path]:
    """Write every figure as SVG and PNG, and the numbers behind it as CSV; gives the files.

    Raises:
        RunFailure: the folder cannot be written.
    """
    written: list[Path] = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for plate in plates:
            drawing = plate.draw(palette=PRINT)
            for ending in ("svg", "png"):
                written.append(folder / f"{plate.name}.{ending}")
                write_figure(drawing, written[-1])
            if plate.numbers:
                written.append(folder / f"{plate.name}.csv")
                write_text(written[-1], plate.csv())
    except OSError as error:
        raise RunFailure(f"{folder}: cannot be written ({error.strerror}); mend that and run the same command again") from None
    return written


def axis(title: str, log: bool = False) -> dict[str, Any]:
    """An axis of a figure that is alive."""
    return {
        "title": {"text": title}, "type": "log" if log else "linear", "gridcolor": "var(--grid)", "linecolor": "var(--muted)",
        "zeroline": False, "automargin": True,
    }  # fmt: skip


def curves_of(
    draw: Callable[..., Figure], name: str, title: str, caption: str, numbers: Mapping[str, Sequence[Any]], x: str,
    panels: Sequence[str],
) -> Plate:  # fmt: skip
    """A plate of curves against a common quantity; alive, each of `panels` has an axis of its own, one above the other."""

    def traces() -> tuple[list[dict[str, Any]], dict[str, Any]]:
        found, layout = [], {"xaxis": axis(x), "showlegend": False, "height": 240 * len(panels)}
        for k, panel in enumerate(panels):
            mark = "" if k == 0 else str(k + 1)
            top = 1 - k / len(panels)
            found.append({
                "type": "scatter", "mode": "lines", "name": panel, "x": _numbers(numbers[x]),
                "y": _numbers(numbers[panel]), "yaxis": f"y{mark}", "line": {"color": f"var(--series-{1 + k % 7})"},
            })  # fmt: skip
            layout[f"yaxis{mark}"] = axis(panel) | {"domain": [top - 0.9 / len(panels), top]}
        return found, layout

    return Plate(name, title, caption, draw, tuple(numbers.items()), traces)


def _numbers(values: Sequence[Any]) -> list[float | None]:
    """Numbers where they are numbers; JSON knows no other."""
    return [float(value) if isinstance(value, int | float) and math.isfinite(value) else None for value in values]


def bars_of(name: str, title: str, caption: str, shares: Mapping[str, float], unit: str, series: int = 1) -> Plate:
    """A plate of horizontal bars, the largest above; in a page the same numbers stand as `html.bars`."""
    ordered = sorted(shares.items(), key=lambda item: item[1])

    def draw(palette: Palette = THEMED) -> Figure:
        drawing = figure(1.0 + 0.3 * len(ordered), palette)
        axes = drawing.axes[0]
        axes.barh([words(key) for key, _ in ordered], [value for _, value in ordered], color=palette.series[series - 1])
        axes.set_xlabel(f"{title} ({unit})", color=palette.ink)
        return drawing

    columns = (("what", [key for key, _ in reversed(ordered)]), (f"amount ({unit})", [value for _, value in reversed(ordered)]))
    return Plate(name, title, caption, draw, columns)


def link(plate: Plate) -> str:
    """A paragraph with the link to the numbers, for a figure that the page draws by itself."""
    return f'<p class="eyebrow">{found}</p>' if (found := _link(plate)) else ""

"""Films of runs: figures as pictures, pictures as an animated GIF or WebP."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from coupling.atomic import replacing
from coupling.errors import RunFailure

SECONDS, LAST = 6.0, 1.5
"""Of a film, and of its last picture, s."""
COLOURS = 64
"""Of a GIF."""


def blank(pixels: int, panels: Sequence[float], height: float = 3.0) -> tuple[Figure, list[Any]]:
    """A figure so many pixels wide with panels of the given widths side by side, and their axes."""
    drawing = Figure(figsize=(6.4, height), dpi=pixels / 6.4, layout="constrained")
    return drawing, list(drawing.subplots(1, len(panels), width_ratios=panels, squeeze=False)[0])


def picture(drawing: Figure) -> Any:
    """A figure as a Pillow image."""
    from PIL import Image

    canvas = FigureCanvasAgg(drawing)
    canvas.draw()
    return Image.frombytes("RGBA", canvas.get_width_height(), bytes(canvas.buffer_rgba())).convert("RGB")


def write_film(path: Path, pictures: Iterable[Any], seconds: float = SECONDS) -> int:
    """Write pictures as an animation that repeats; its name decides between GIF and WebP. Gives the number of pictures.

    Raises:
        RunFailure: there is no picture, or the file cannot be written.
    """
    shown = list(pictures)
    if not shown:
        raise RunFailure(f"{path}: there is nothing to be shown in time")
    webp = path.suffix.lower() == ".webp"
    pause = [int(1000 * seconds / len(shown))] * (len(shown) - 1) + [int(1000 * LAST)]
    if not webp:
        shown = [image.quantize(COLOURS) for image in shown]
    choices: dict[str, Any] = {"quality": 60, "method": 4} if webp else {"optimize": True}
    with replacing(path) as temporary:
        shown[0].save(
            temporary, format=path.suffix.lstrip(".").upper(), save_all=True, append_images=shown[1:], duration=pause, loop=0,
            **choices,
        )  # fmt: skip
    return len(shown)

"""`multiscale view`: runs and sweeps in the browser."""

import time
from pathlib import Path
from typing import Annotated

import typer

from coupling.errors import UserError
from multiscale import parallel
from multiscale.console import show

PORT = 8765
_STORE = "Store of the sweep [default: CASE/results/sweep]."
StoreOption = Annotated[Path | None, typer.Option("--out", metavar="DIR", help=_STORE)]


def view(
    path: Annotated[Path, typer.Argument(metavar="CASE", help="Case folder, the store of a sweep, or a folder of case folders.")],
    out: StoreOption = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port on this machine; 0 takes any free one.")] = PORT,
    browser: Annotated[bool, typer.Option("--open", help="Open the page in the browser at once.")] = False,
) -> None:
    """Browse runs and sweeps in the browser: axes, filters, reports of designs, a running sweep as it goes; changes nothing.

    The page is served on this machine alone and fetches nothing from elsewhere. Ctrl-C ends it.

    Example: multiscale view cases/li-lpscl
    """
    from multiscale.view.places import find

    start = time.monotonic()
    if parallel.size() > 1:
        raise UserError("start the viewer without mpirun; it needs one process")
    places, many = find(path, out)
    try:
        from multiscale.view import server
    except ImportError as error:
        told = f"the package {error.name} is missing; `pip install -e .[view]` brings what the viewer needs"
        raise UserError(told) from None
    listening = server.listen(port)
    viewer = server.Viewer(places, path if many else None, _experiments())
    address = f"http://{server.HOST}:{listening.getsockname()[1]}/"

    def ready() -> None:
        show(f"{address} shows {path} (read in {time.monotonic() - start:.1f} s) · Ctrl-C ends it")
        if browser:
            import webbrowser

            webbrowser.open(address)

    server.serve(server.application(viewer), listening, ready)
    show("closed")


def _experiments() -> Path | None:
    """The shipped table of measurements, where it is there."""
    from multiscale.commands.starter import shipped

    try:
        return shipped() / "_experiments" / "ccd.csv"
    except UserError:
        return None

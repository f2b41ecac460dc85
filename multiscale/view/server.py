"""The server of `multiscale view`: reads only, answers on the loopback address and to its own name alone, fetches nothing."""

import importlib.util
import socket
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from coupling.errors import UserError
from multiscale.view import pages
from multiscale.view.places import Place
from multiscale.view.rows import Rows, RunRows, SweepRows

HOST = "127.0.0.1"


def _plotly() -> Path:
    """Its script, without importing the package. Raises ImportError."""
    found = importlib.util.find_spec("plotly")
    if found is None or not found.submodule_search_locations:
        raise ImportError("no plotly", name="plotly")
    return Path(found.submodule_search_locations[0]) / "package_data" / "plotly.min.js"


_OWN = ("default-src 'none'; script-src 'self' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")  # fmt: skip
"""What the browser page may load. Plotly compiles its fast pictures, hence 'unsafe-eval'."""
_REPORT = ("default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; img-src data: blob:; "
           "base-uri 'none'; form-action 'none'; frame-ancestors 'none'")  # fmt: skip
"""What a report may load: nothing beyond itself."""
_KEPT = {
    "plotly.js": (_plotly(), "text/javascript"),
    "sketch.js": (pages.asset("sketch.js"), "text/javascript"),
    "view.js": (pages.asset("view.js"), "text/javascript"), "view.css": (pages.asset("view.css"), "text/css"),
    "report.css": (pages.asset("report.css"), "text/css"),
}  # fmt: skip


class Viewer:
    """The pages of some cases."""

    def __init__(self, places: list[Place], folder: Path | None, experiments: Path | None) -> None:
        """Read the sweep of a single case at once, others when they are asked for; `folder` is that of many cases."""
        self.places = {place.name: place for place in places}
        self.experiments, self._drawing, self._opening = experiments, threading.Lock(), threading.Lock()
        self._sweeps: dict[str, SweepRows] = {}
        self.runs: Rows | None = None
        if folder is not None:
            kinds = {name: _kind_or_wrong(place.folder) for name, place in self.places.items()}
            results = {name: place.results for name, place in self.places.items()}
            self.runs = RunRows(folder, {name: place.folder for name, place in self.places.items()}, kinds, results)
        elif places[0].store is not None:
            self.sweep(places[0].name)

    def place(self, name: str) -> Place:
        """The case of a name. Raises 404."""
        if name not in self.places:
            raise HTTPException(404, f"There is no case {name} here.")
        return self.places[name]

    def sweep(self, name: str) -> SweepRows:
        """The sweep of a case. Raises 404 and UserError."""
        place = self.place(name)
        if place.store is None:
            raise HTTPException(404, f"{name} has no sweep that has begun.")
        with self._opening:
            if name not in self._sweeps:
                self._sweeps[name] = SweepRows(place.folder, place.store)
            return self._sweeps[name]

    def report(self, case: Path, results: Path) -> str:
        """The report as it lies there where it is up to date, else drawn anew; nothing is written. Raises UserError."""
        kept, summary = results / "report.html", results / "summary.json"
        if kept.is_file() and summary.is_file() and kept.stat().st_mtime >= summary.stat().st_mtime:
            return kept.read_text(encoding="utf-8")
        from multiscale.reporting.by_kind import report_text

        with self._drawing:  # matplotlib's settings are those of the whole process
            return report_text(case, results, self.experiments)

    def start(self, request: Request) -> Response:
        """The folder of cases, or the only case."""
        if self.runs is None:
            return RedirectResponse(f"/case/{quote(next(iter(self.places)))}/")
        return HTMLResponse(pages.frame(self.runs.title, "/data", ()))

    def start_data(self, request: Request) -> Response:
        """Rows of the folder of cases."""
        if self.runs is None:
            raise HTTPException(404, "This is no folder of cases.")
        return _json(self.runs.told(request.query_params.get("since", "")))

    def case(self, request: Request) -> Response:
        """The sweep of a case, else its report."""
        place = self.place(request.path_params["case"])
        if place.store is None:
            return RedirectResponse("report")
        links = [("/", "all cases")] if self.runs is not None else []
        links += [("report", "report of the case itself")] if place.has_run else []
        return HTMLResponse(pages.frame(self.sweep(place.name).title, "data", links))

    def case_data(self, request: Request) -> Response:
        """Rows of a sweep."""
        return _json(self.sweep(request.path_params["case"]).told(request.query_params.get("since", "")))

    def case_report(self, request: Request) -> Response:
        """The report of a case's own run."""
        place = self.place(request.path_params["case"])
        return _report(self.report(place.folder, place.results))

    def design(self, request: Request) -> Response:
        """A design."""
        name = request.path_params["design"]
        folder, rows, status = self._design(request)
        return HTMLResponse(pages.design(name, folder, rows, status, f"/case/{quote(request.path_params['case'])}/"))

    def design_report(self, request: Request) -> Response:
        """The report of a design."""
        folder, _, _ = self._design(request)
        return _report(self.report(folder, folder / "results"))

    def _design(self, request: Request) -> Any:
        found = self.sweep(request.path_params["case"]).design(request.path_params["design"])
        if found is None:
            raise HTTPException(404, f"The sweep has no design {request.path_params['design']}.")
        return found


def _kind_or_wrong(case: Path) -> str:
    from multiscale.reporting.by_kind import kind_of

    try:
        return kind_of(case)
    except UserError:
        return "cannot be read"


def _json(value: Mapping[str, Any]) -> Response:
    return Response(pages.as_json(value), media_type="application/json")


def _report(text: str) -> Response:
    return HTMLResponse(text, headers={"content-security-policy": _REPORT})


def _kept_file(request: Request) -> Response:
    name = request.path_params["name"]
    if name not in _KEPT:
        raise HTTPException(404, "There is no such file.")
    path, kind = _KEPT[name]
    return FileResponse(path, media_type=kind, headers={"cache-control": "no-cache"})


def _refused(request: Request, error: Exception) -> Response:
    """A page for what is not there, or cannot be shown."""
    if isinstance(error, HTTPException):
        return HTMLResponse(pages.message("Not here", str(error.detail)), error.status_code)
    return HTMLResponse(pages.message("This cannot be shown", str(error)), 409)


def _guarded(app: Any) -> Any:
    """The application with the headers that keep a page to itself."""

    async def wrapped(scope: Any, receive: Any, send: Any) -> None:
        async def with_headers(told: Any) -> None:
            if told["type"] == "http.response.start":
                present = {name.lower() for name, _ in told["headers"]}
                more = ((b"content-security-policy", _OWN.encode()), (b"x-content-type-options", b"nosniff"),
                        (b"referrer-policy", b"no-referrer"), (b"cross-origin-resource-policy", b"same-origin"))  # fmt: skip
                told["headers"] = [*told["headers"], *((name, value) for name, value in more if name not in present)]
            await send(told)

        await app(scope, receive, with_headers if scope["type"] == "http" else send)

    return wrapped


def application(viewer: Viewer) -> Starlette:
    """The web application; a request under another name than this machine's own is refused (no DNS rebinding)."""
    pages_of = {
        "/": viewer.start, "/data": viewer.start_data, "/case/{case}/": viewer.case, "/case/{case}/data": viewer.case_data,
        "/case/{case}/report": viewer.case_report, "/case/{case}/design/{design}": viewer.design,
        "/case/{case}/design/{design}/report": viewer.design_report, "/static/{name}": _kept_file,
    }  # fmt: skip
    return Starlette(
        routes=[Route(path, page, methods=["GET"]) for path, page in pages_of.items()],
        middleware=[Middleware(_guarded), Middleware(TrustedHostMiddleware, allowed_hosts=[HOST, "localhost"])],
        exception_handlers={HTTPException: _refused, UserError: _refused},
    )


def listen(port: int) -> socket.socket:
    """A socket of the loopback address; port 0 is any free one. Raises UserError where the port is taken."""
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((HOST, port))
        listening.listen(64)
    except OSError as error:
        listening.close()
        told = f"--port: {port} cannot be had on {HOST} ({error.strerror}); is another `multiscale view` at work? "
        raise UserError(f"{told}Give another, or --port 0 for any free one") from None
    return listening


def serve(app: Starlette, listening: socket.socket, ready: Callable[[], None]) -> None:
    """Answer until Ctrl-C or SIGTERM; pages that are being sent then get a second."""
    settings = uvicorn.Config(app, log_level="error", access_log=False, timeout_graceful_shutdown=1, lifespan="off")
    ready()
    try:
        uvicorn.Server(settings).run(sockets=[listening])
    except KeyboardInterrupt:
        pass
    finally:
        listening.close()

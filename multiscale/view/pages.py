"""Pages that the server makes: the frame of the browser page, a design, and messages. Every text of a file is escaped."""

import json
import re
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from multiscale.reporting import html
from multiscale.sweeps.ledger import Status

_DATA = Path(__file__).resolve().parent.parent / "data"
LOG_LINES = 40
"""Last lines of a design's log that its page shows."""


def asset(name: str) -> Path:
    """A file of the page that lies in the package."""
    return _DATA / name


def frame(title: str, data: str, links: Sequence[tuple[str, str]]) -> str:
    """The browser page; its script fills it from the address `data`.

    Args:
        links: address and text of further pages.
    """
    text = (_DATA / "view.html").read_text(encoding="utf-8")
    anchors = " ".join(f'<a href="{escape(address)}">{escape(word)}</a>' for address, word in links)
    told = {"TITLE": escape(title), "LINKS": anchors, "DATA": escape(data)}
    return re.sub("TITLE|LINKS|DATA", lambda found: told[found.group()], text)  # in one pass: a title may hold such a word


def page(title: str, *parts: str) -> str:
    """A page with the style of the reports."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="data:,">'
        f'<title>{escape(title)}</title><link rel="stylesheet" href="/static/report.css"></head>\n'
        f"<body><main>{''.join(parts)}</main></body></html>\n"
    )


def message(title: str, text: str) -> str:
    """A page that says one thing."""
    return page(title, f"<header><h1>{escape(title)}</h1></header>", html.paragraph(escape(text), "alarm"),
                html.paragraph('<a href="/">back to the start</a>'))  # fmt: skip


def design(name: str, folder: Path, rows: Sequence[Mapping[str, Any]], status: Status, back: str) -> str:
    """What is known of a design: its values, its answers, why it failed, the end of its log, how to run it alone."""
    first = rows[0]
    points = [", ".join(f"{key} {row[key]}" for key in row if key == "number" or key == "replica") for row in rows]
    cells = [(escape(str(key)), escape(_told(value))) for key, value in first.items() if value is not None and key != "number"]
    report = (
        html.paragraph(f'<a class="button" href="{escape(back)}design/{escape(name)}/report">open its report</a>')
        if (folder / "results" / "summary.json").is_file()
        else html.paragraph("It has no report: a report belongs to a design that is done with error bar.", "note")
    )
    parts = [
        f'<header><p class="eyebrow"><a href="{escape(back)}">back to the sweep</a></p><h1>Design {escape(name)}</h1>'
        f'<p class="question">{escape(str(status.state))} · {escape("; ".join(points))}</p></header>',
        html.paragraph(escape(status.reason), "alarm") if status.reason else "",
        report,
        html.section("What it is and what came out", html.table((("what", ""), ("value", "key")), cells)),
        _log(folder),
        html.section("By itself", f"<pre>multiscale check {escape(str(folder))}\nmultiscale run {escape(str(folder))}</pre>"),
    ]
    return page(f"Design {name}", *parts)


def _told(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _log(folder: Path) -> str:
    """The end of the design's log."""
    try:
        lines = (folder / "log.txt").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    return html.section("End of its log", f"<pre>{escape(chr(10).join(lines[-LOG_LINES:]))}</pre>") if lines else ""


def as_json(value: Any) -> str:
    """JSON; what is no number becomes null."""
    try:
        return json.dumps(value, allow_nan=False, separators=(",", ":"))
    except ValueError:
        return json.dumps(_finite(value), allow_nan=False, separators=(",", ":"))


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if value == value and abs(value) != float("inf") else None
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, list | tuple) else value

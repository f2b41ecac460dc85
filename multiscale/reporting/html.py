"""Pieces of the report: numbers, tables, bars and pictures as HTML. Every text that comes from a file is escaped here."""

import json
import re
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

_WORDS = {
    "geometry.flaw.depth": "flaw depth",
    "geometry.flaw.mouth": "flaw mouth width",
    "geometry.seed": "microstructure (grain arrangement)",
    "interlayer.position_between_bounds": "mixing model of the interphase (between its bounds)",
    "conditions.temperature": "temperature",
    "conditions.stack_pressure": "stack pressure",
    "geometry.interlayer.thickness": "interlayer thickness",
}


def words(key: str) -> str:
    """A parameter key in words: "Li3P.ionic_conductivity" becomes "ionic conductivity of Li3P". Plain text, not escaped."""
    if key in _WORDS:
        return _WORDS[key]
    material, _, quantity = key.rpartition(".")
    text = quantity.replace("_", " ")
    return f"{text} of {material}" if material else text


def number(value: float | None, digits: int = 3) -> str:
    """A number with so many significant digits, powers of ten as such; a dash where there is none."""
    if value is None:
        return "–"
    if value != 0 and not 1e-3 <= abs(value) < 1e5:
        mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
        return f"{_minus(f'{float(mantissa):g}')} × 10<sup>{_minus(str(int(exponent)))}</sup>"
    if abs(value) >= 10**digits:
        return _minus(f"{value:.0f}")
    return _minus(f"{value:.{digits}g}")


def _minus(text: str) -> str:
    return text.replace("-", "−")


def unit(text: str) -> str:
    """A unit string such as "A/m^2" with raised powers; nothing for "1"."""
    if text == "1":
        return ""
    return re.sub(
        r"(?:\^|\*\*)(-?[\d.]+)", lambda m: f"<sup>{_minus(m.group(1)).replace('0.5', '½')}</sup>", escape(text)
    ).replace("*", "·")


def percent(share: float) -> str:
    """A share in per cent; small ones as "< 1 %"."""
    return f"{100 * share:.0f} %" if share >= 0.01 or share == 0 else "< 1 %"


def spread(row: Mapping[str, Any]) -> str:
    """'± error', 'low … high' or 'upper bound' of a parameter row."""
    if row.get("bound"):
        return f"{escape(str(row['bound']))} bound"
    if row.get("stderr") is not None:
        return f"± {number(row['stderr'], 2)}"
    if row.get("low") is not None and row.get("high") is not None:
        return f"{number(row['low'])} … {number(row['high'])}"
    return ""


def source(row: Mapping[str, Any]) -> str:
    """Where a number comes from, with the full trace folded away where it holds more than the reference."""
    told = row.get("source", "")
    origin = row.get("origin") or (told if isinstance(told, dict) else {})
    short = (
        told
        if isinstance(told, str)
        else str(told.get("reference") or told.get("method") or told.get("potential") or "see trace")
    )
    rest = {
        key: value
        for key, value in {**origin, **(row.get("conditions") or {})}.items()
        if key != "reference" and str(value) != short
    }
    html = escape(short)
    if rest:
        items = "".join(f"<li>{escape(words(key))}: {escape(_shown(value))}</li>" for key, value in rest.items())
        html += f"<details><summary>trace</summary><ul>{items}</ul></details>"
    return html


def _shown(value: Any) -> str:
    return ", ".join(_shown(item) for item in value) if isinstance(value, list | tuple) else str(value)


def document(title: str, sections: Sequence[str], more: str = "") -> str:
    """A whole page that fetches nothing, with the style of the reports; `more` is ready HTML after its text."""
    style = (Path(__file__).resolve().parent.parent / "data" / "report.css").read_text(encoding="utf-8")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="referrer" content="no-referrer">'
        f'<link rel="icon" href="data:,"><title>{escape(title)}</title>\n<style>\n{style}</style></head>\n'
        "<body><main>\n" + "\n".join(part for part in sections if part) + f"\n</main>{more}</body></html>\n"
    )


def header(told: Mapping[str, Any]) -> str:
    """What was asked: name of the case, title and question."""
    case, title, question = (escape(str(told.get(key, ""))) for key in ("case", "title", "question"))
    return f'<header><p class="eyebrow">{case}</p><h1>{title}</h1><p class="question">{question}</p></header>'


def inputs(results: Path) -> str:
    """Every input of a results folder with its source; nothing where parameters.json is missing."""
    path = results / "parameters.json"
    if not path.is_file():
        return ""
    rows = json.loads(path.read_text(encoding="utf-8"))["parameters"]
    return section("Every number that went in", paragraph("In SI units."), parameter_table(rows))


def reproduce(summary: Mapping[str, Any], case: Path) -> str:
    """Command, hashes, versions, times."""
    cells: list[tuple[str, ...]] = []
    for key, heading in (("hashes", "Hashes"), ("versions", "Versions"), ("wall_s", "Time of the run, s")):
        values = summary.get(key)
        told = values if isinstance(values, Mapping) else {} if values is None else {"run": values}
        cells += [(heading,)] if told else []
        cells += [(escape(str(name)), escape(f"{v:.4g}" if isinstance(v, float) else str(v))) for name, v in told.items()]
    told_by = table((("what", ""), ("value", "key")), cells)
    return section("How to reproduce", f"<pre>multiscale run {escape(case.as_posix())}</pre>", told_by)


def section(title: str, *parts: str) -> str:
    """A titled section."""
    return f"<section><h2>{escape(title)}</h2>\n" + "\n".join(part for part in parts if part) + "</section>"


def paragraph(html: str, style: str = "") -> str:
    """A paragraph of ready HTML."""
    return f'<p class="{style}">{html}</p>' if style else f"<p>{html}</p>"


def missing(what: str, command: str) -> str:
    """Says what is not there and which command makes it."""
    return paragraph(f"{escape(what)} <code>{escape(command)}</code>", "missing")


def picture(svg: str, caption: str) -> str:
    """A figure with a caption of ready HTML."""
    return f"<figure>{svg}<figcaption>{caption}</figcaption></figure>"


def facts(items: Sequence[tuple[str, str, str]]) -> str:
    """Name, value and unit (ready HTML, unit may be empty) as small cards."""
    cells = "".join(f"<div><dt>{name}</dt><dd>{value} <small>{measure}</small></dd></div>" for name, value, measure in items)
    return f'<dl class="facts">{cells}</dl>' if items else ""


def table(columns: Sequence[tuple[str, str]], rows: Sequence[Sequence[str]]) -> str:
    """A table that scrolls sideways on a narrow screen.

    Columns: heading and class. Rows: cells of ready HTML; a row of one cell in a wider table is a heading of the rows below it.
    """
    head = "".join(f'<th scope="col" class="{style}">{escape(name)}</th>' for name, style in columns)
    body = "".join(_row(row, columns) for row in rows)
    return scroll(f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>")


def _row(row: Sequence[str], columns: Sequence[tuple[str, str]]) -> str:
    if len(row) == 1 < len(columns):
        return f'<tr class="group"><td colspan="{len(columns)}">{row[0]}</td></tr>'
    return "<tr>" + "".join(f'<td class="{style}">{cell}</td>' for cell, (_, style) in zip(row, columns, strict=True)) + "</tr>"


def scroll(html: str) -> str:
    """A box that scrolls sideways."""
    return f'<div class="scroll" tabindex="0">{html}</div>'


def bars(items: Sequence[tuple[str, float, str]], color: int = 1) -> str:
    """Horizontal bars. Items: name (escaped here), share between 0 and 1 of the full width, amount as ready HTML."""
    rows = "".join(
        f'<div class="row"><div class="name">{escape(name)}</div><div class="track"><div class="fill" '
        f'style="width:{100 * min(max(share, 0.0), 1.0):.1f}%;background:var(--series-{color})"></div></div>'
        f'<div class="amount">{amount}</div></div>'
        for name, share, amount in items
    )
    return f'<figure><div class="bars">{rows}</div></figure>'


def parameter_table(parameters: Sequence[Mapping[str, Any]]) -> str:
    """Every input with value, error, unit, kind, confidence and source, grouped by material; unused candidates folded away."""
    columns = (("quantity", ""), ("value", "n"), ("error or range", "n"), ("unit", ""), ("kind, confidence", ""), ("source", ""))
    head = "".join(f'<th scope="col" class="{style}">{name}</th>' for name, style in columns)
    body, group = [], None
    for row in sorted(parameters, key=lambda row: row["key"].rpartition(".")[0]):
        material, _, quantity = row["key"].rpartition(".")
        if material != group:
            group = material
            body.append(f'<tr class="group"><td colspan="6">{escape(material) or "other"}</td></tr>')
        losers = row.get("losers") or []
        body.append(
            f'<tr class="{"has-losers" if losers else ""}"><td>{escape(quantity.replace("_", " "))}</td>{_value_cells(row)}</tr>'
        )
        if losers:
            body.append(f'<tr class="loser"><td colspan="6">{_losers(losers)}</td></tr>')
    return scroll(f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table>")


def _value_cells(row: Mapping[str, Any]) -> str:
    bound = {"upper": "≤ ", "lower": "≥ "}.get(str(row.get("bound")), "")
    kind = escape(str(row.get("kind", "")))
    return (
        f'<td class="n">{bound}{number(row.get("value"), 5)}</td><td class="n">{spread(row)}</td>'
        f"<td>{unit(str(row.get('unit', '')))}</td>"
        f'<td><span class="tag {kind}">{kind}</span><br><small>{escape(str(row.get("confidence", "")))}</small></td>'
        f'<td class="wide">{source(row)}</td>'
    )


def _losers(losers: Sequence[Mapping[str, Any]]) -> str:
    items = "".join(
        f"<li>{number(row.get('value'), 4)} {unit(str(row.get('unit', '')))} {spread(row)} · "
        f"{escape(str(row.get('kind', '')))} · {escape(str(row.get('confidence', '')))} · {source(row)}</li>"
        for row in losers
    )
    count = len(losers)
    return f"<details><summary>{count} other value{'' if count == 1 else 's'} known, not used</summary><ul>{items}</ul></details>"

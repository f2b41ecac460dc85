"""Text tables and JSON rows that the commands print."""

import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from coupling.record import Property
from multiscale.case import Case
from multiscale.conduction.case import ConductionCase
from multiscale.critical_current.switch_worth import sign_of
from multiscale.memristor.case import MemristorCase
from multiscale.parameters import Parameter
from multiscale.propagation.case import PropagationCase
from multiscale.tip_trigger.case import TipCase
from multiscale.transport_cases.case import TransportCase

WIDTH = 180
"""Columns of a table where no terminal says how wide it is."""


def render(*parts: Any) -> str:
    """Text of rich tables and lines, as wide as the terminal (at least 100 columns)."""
    stream, screen = io.StringIO(), Console()
    console = Console(file=stream, width=max(100, screen.width) if screen.is_terminal else WIDTH, highlight=False)
    for part in parts:
        console.print(part, markup=False) if isinstance(part, str) else console.print(part)
    return stream.getvalue().rstrip("\n")


def plain_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    """A table with a header and left-aligned text."""
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for place, column in enumerate(columns):
        table.add_column(column, overflow="fold", no_wrap=place == 0)
    for row in rows:
        table.add_row(*(cell.replace("[", r"\[") for cell in row))
    return table


def number(value: float | None) -> str:
    """Four significant digits, or nothing."""
    return "" if value is None else f"{value:.4g}"


def uncertainty(prop: Property) -> str:
    """'± error', 'low … high', 'upper bound', or nothing known."""
    if prop.bound:
        return f"{prop.bound} bound"
    if prop.stderr is not None:
        return f"± {number(prop.stderr)}"
    if prop.low is not None and prop.high is not None:
        return f"{number(prop.low)} … {number(prop.high)}"
    return ""


def source_text(prop: Property) -> str:
    """The source in a few words: a reference, or the potential and runs behind an MD number."""
    source = prop.source
    if "reference" in source:
        return str(source["reference"])
    told = [(key, source[key]) for key in ("study", "potential", "method", "atoms", "picoseconds", "seeds") if key in source]
    shown = [f"{key} {value:.6g}" if isinstance(value, float) else f"{key} {value}" for key, value in told]
    return ", ".join(shown) or ", ".join(f"{key} {value}" for key, value in source.items())


def _trust(prop: Property) -> str:
    grade = prop.source.get("grade")
    return f"{prop.confidence}, {grade}" if grade else prop.confidence


def parameter_rows(parameters: Mapping[str, Parameter]) -> list[dict[str, Any]]:
    """JSON rows of the resolved parameters, losers included; SI units."""
    return [
        {"key": key, **_row(parameter.used), "losers": [_row(loser) for loser in parameter.losers]}
        for key, parameter in parameters.items()
    ]


def _row(prop: Property) -> dict[str, Any]:
    row = prop.to_dict()
    del row["material"], row["quantity"]
    return row | {"source": source_text(prop), "origin": row["source"]}


def parameter_table(
    case: Case | ConductionCase | MemristorCase | PropagationCase | TipCase | TransportCase,
    parameters: Mapping[str, Parameter], note: str,
) -> str:  # fmt: skip
    """The resolved parameters of a case and the candidates that lost."""
    columns = ("parameter", "value", "unit", "±", "kind", "confidence", "source")

    def cells(label: str, p: Property) -> tuple[str, ...]:
        return label, number(p.value), p.unit, uncertainty(p), p.kind, _trust(p), source_text(p)

    rows = []
    for key, parameter in parameters.items():
        rows.append(cells(key, parameter.used))
        rows.extend(cells("   not used", loser) for loser in parameter.losers)
    table = plain_table(f"{case.name} · {case.settings.title}", columns, rows)
    return render(table, "", f"MD: {note}", f"{len(parameters)} parameters. Case hash {case.digest}.")


_TOLD = (
    "species", "temperature_K", "pressure_Pa", "mean_temperature_K", "set_temperature_K", "rate_unit", "radiation", "chi2_drop",
)  # fmt: skip
"""Conditions that a table shows elsewhere, in words of its own, or not."""


def _conditions(record: Property) -> str:
    """Temperature, pressure and what else tells a number from others: '600 K, 1 GPa, disorder 0.25'."""
    told = [f"{number(record.conditions['temperature_K'])} K"] if "temperature_K" in record.conditions else []
    pressure = record.conditions.get("pressure_Pa")
    told += [f"{float(pressure) / 1e9:.4g} GPa"] if pressure is not None else []
    for name, value in record.conditions.items():
        if name not in _TOLD and not isinstance(value, list):
            told.append(f"{name.replace('_', ' ')} {number(value) if isinstance(value, float) else value}")
    return ", ".join(told)


def record_table(records: Iterable[Property]) -> str:
    """Property records as a table."""
    rows = [
        (
            r.material, f"{r.quantity} {r.conditions.get('species', '')}".strip(), number(r.value), r.unit, uncertainty(r),
            _conditions(r), source_text(r),
        )
        for r in records
    ]  # fmt: skip
    return render(plain_table("", ("material", "quantity", "value", "unit", "±", "at", "source"), rows))


def answer_lines(summary: Mapping[str, Any]) -> str:
    """The critical current density of a summary in a few lines."""
    ccd = summary["ccd"]
    fitted = summary["fitted_parameters"]
    fit = f"fitted: {', '.join(fitted)}" if fitted else "nothing was fitted"
    told = f"CCD {interval(ccd)}, median of the draws · mechanism: {ccd['mechanism']} · {fit}"
    lines = [f"{summary['case']} · {summary['title']}", told]
    best = summary["at_best_values"]
    first = " (initiation)" if "nucleation" in summary and best.get("mechanism") == "initiation" else ""
    told = f"{best['value']:.3g} {best['unit']}, limited by {best['limited_by']}{first}"
    lines.append(f"at the best value of every input, one point among them, {told}")
    if ccd.get("bound") == "lower":
        lines.append("The upper end is open: some draws did not crack up to the largest current of the protocol.")
    largest = sorted(summary["error_split"].items(), key=lambda item: -item[1])[:4]
    of = " of that smallest current" if "nucleation" in summary else ""
    lines.append(f"error{of} from: " + ", ".join(f"{origin} {share:.0%}" for origin, share in largest))
    lines += _mechanism_lines(summary)
    lines += [_switch_line(name, row) for name, row in summary.get("attribution", {}).items()]
    return "\n".join(lines)


def _mechanism_lines(summary: Mapping[str, Any]) -> list[str]:
    """The mechanisms beside initiation, where the case asks for them."""
    lines = []
    if "nucleation" in summary:
        each = [f"{name} {interval(row | {'unit': 'mA/cm^2', 'level': summary['ccd']['level']})}" for name, row in
                summary["mechanisms"].items()]  # fmt: skip
        lines.append("each alone: " + "; ".join(each))
        lines.append("first in " + ", ".join(f"{share:.0%} {name}" for name, share in summary["first_mechanism"].items()))
        if (depth := summary["nucleation"].get("likeliest_depth_nm")) is not None:
            lines.append(f"nucleation is likeliest {depth:.3g} nm from the lithium")
    if "stripping_limit" in summary:
        limit = summary["stripping_limit"]
        share = limit.get("first_in_share_of_draws")
        often = "" if share is None else f"; below it in {share:.0%} of the draws"
        lines.append(f"voids on the stripped electrode beyond {interval(limit)} (not part of the CCD{often})")
    return lines


def _switch_line(name: str, row: Mapping[str, Any]) -> str:
    """What one switch is worth."""
    spread = f"{row['smallest']:.3g} … {row['largest']:.3g} over {row['microstructures']} microstructures"
    factor, without = sign_of(row.get("factor_bound")), sign_of(row.get("without_bound"))
    line = f"{name}: factor {factor}{row['factor']:.3g} ({spread}); without it {without}{row['without']:.3g} {row['unit']}"
    if alone := row.get("initiation_alone"):
        line += f"; on initiation alone a factor {sign_of(alone['factor_bound'])}{alone['factor']:.3g}"
    return line


def interval(ccd: Mapping[str, Any]) -> str:
    """'1.2 mA/cm^2 (90 %: 0.7 … 2.1)'."""
    sign = "≥ " if ccd.get("bound") == "lower" else ""
    return f"{sign}{ccd['value']:.3g} {ccd['unit']} ({ccd['level']:.0%}: {ccd['low']:.3g} … {ccd['high']:.3g})"


def verification_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Exact against computed."""
    cells = [
        (
            row["id"], row["quantity"], f"{row['exact']:.6g}", f"{row['computed']:.6g}", f"{row['relative_error']:.1e}",
            f"{row['tolerance']:.0e}", "ok" if row["ok"] else "FAILED", f"{row['wall_s']:.1f}",
        )
        for row in rows
    ]  # fmt: skip
    return render(plain_table("", ("id", "quantity", "exact", "computed", "error", "tolerance", "", "s"), cells))


def potential_rows(cards: Iterable[Any], records: Mapping[str, int]) -> list[dict[str, Any]]:
    """JSON rows of potential cards; records: how many are shipped of each, by name."""
    errors = ("force_rmse_meV_per_A", "energy_rmse_meV_per_atom")
    names = ("name", "elements", "members", *errors, "size_bytes", "targets", "teacher")
    return [{name: getattr(card, name) for name in names} | {"shipped_records": records.get(card.name, 0)} for card in cards]


def potential_table(cards: Iterable[Any], records: Mapping[str, int]) -> str:
    """Potentials with their held-out errors on crystals and how many records of each are shipped."""
    rows = [
        (
            card.name, " ".join(card.elements), str(card.members), number(card.energy_rmse_meV_per_atom),
            number(card.force_rmse_meV_per_A), f"{card.size_bytes / 1e6:.2f}",
            "–" if card.targets is None else "{} of {}".format(*card.targets), str(records.get(card.name, 0)), card.teacher,
        )
        for card in cards
    ]  # fmt: skip
    heads = ("name", "elements", "members", "meV/atom", "meV/Å", "MB", "targets met", "records", "teacher")
    return render(plain_table("", heads, rows))

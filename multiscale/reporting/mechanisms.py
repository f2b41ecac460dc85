"""Each mechanism of a critical current alone, and what limits the stripped electrode, as a section of the report."""

from collections.abc import Mapping
from html import escape
from typing import Any

from multiscale.reporting import html
from multiscale.results import Run


def mechanisms(run: Run) -> str:
    """The section; empty where initiation is the only mechanism that the case asks for."""
    each, stripping = run.summary.get("mechanisms") or {}, run.summary.get("stripping_limit")
    if len(each) < 2 and not stripping:
        return ""
    first, best = run.summary.get("first_mechanism") or {}, (run.summary.get("at_best_values") or {}).get("each") or {}
    rows = [
        (escape(name), _interval(row), html.number(best[name]) if best.get(name) is not None else "none found",
         html.percent(first[name]) if name in first else "–")
        for name, row in each.items() if len(each) > 1
    ]  # fmt: skip
    columns = (("", ""), ("median and interval, mA/cm²", "n"), ("at best values", "n"), ("first in so many draws", "n"))
    table = html.table(columns, rows) if rows else ""
    return html.section("Each mechanism alone", table, _nucleation(run.summary), _stripping(stripping))


def _interval(row: Mapping[str, Any]) -> str:
    sign = "≥ " if row.get("bound") == "lower" else ""
    return f"{sign}{html.number(row['value'])} ({html.number(row['low'])} … {html.number(row['high'])})"


def _nucleation(summary: Mapping[str, Any]) -> str:
    told = summary.get("nucleation") or {}
    if told.get("likeliest_depth_nm") is None:
        return ""
    return html.paragraph(
        f"Nucleation inside the interphase is likeliest {html.number(told['likeliest_depth_nm'])} nm from the lithium, where the "
        f"local overpotential is {html.number(told['local_overpotential_mV'])} mV; rates: {escape(str(told['rates']))}."
    )


def _stripping(limit: Mapping[str, Any] | None) -> str:
    if not limit:
        return ""
    share = limit.get("first_in_share_of_draws")
    often = "" if share is None else f" That limit comes before the critical current in {html.percent(share)} of the draws."
    return html.paragraph(
        f"The other electrode: stripping opens voids beyond {_interval(limit)} mA/cm² (at best values "
        f"{html.number(limit['at_best_values'])}).{often} It is another failure and no part of the critical current."
    )

"""`multiscale records`: the numbers that come with the product. Heavy imports happen inside."""

from collections import Counter
from collections.abc import Sequence
from typing import Annotated

import typer

from coupling.errors import UserError
from coupling.record import Property
from multiscale.console import JsonOption, show, show_json


def records(
    material: Annotated[
        str | None, typer.Argument(help='Crystal, boundary or contact: Li6PS5Cl, "Li|Li2S" [default: a list of all].')
    ] = None,
    quantity: Annotated[str | None, typer.Option(help="Of this quantity alone: ionic_conductivity.")] = None,
    potential: Annotated[str | None, typer.Option(help="Made with this potential alone.")] = None,
    as_json: JsonOption = False,
) -> None:
    """List the numbers from molecular dynamics that are shipped, each with its error, conditions, potential and study.

    A case with quality = "shipped" takes those of its own potential.

    Example: multiscale records Li6PS5Cl --quantity ionic_conductivity
    """
    from multiscale.shipped_records import everything

    listed = [record for one in everything() for record in one.records]
    for name, wanted in (("potential", potential), ("material", material), ("quantity", quantity)):
        listed = _only(listed, name, wanted)
    if as_json:
        show_json({"records": [record.to_dict() for record in listed]})
    elif material is None and quantity is None:
        show(_overview(listed))
    else:
        from multiscale.tables import record_table

        show(record_table(listed))


def _of(record: Property, name: str) -> str:
    """Potential (or first-principles code), material or quantity of a record."""
    if name == "potential":
        return str(record.source.get("potential") or record.source.get("code", ""))
    return str(getattr(record, name))


def _only(listed: Sequence[Property], name: str, wanted: str | None) -> list[Property]:
    """Records of one potential, material or quantity. Raises UserError: none of it."""
    from coupling.toml_input import nearest

    found = [record for record in listed if wanted is None or _of(record, name) == wanted]
    if not found:
        known = sorted({_of(record, name) for record in listed})
        where = "material" if name == "material" else f"--{name}"
        raise UserError(f'{where}: no shipped records of "{wanted}"; {nearest(str(wanted), known)}')
    return found


def _overview(listed: Sequence[Property]) -> str:
    """How many records there are of every material, by potential, and of which quantities."""
    from multiscale.tables import plain_table, render

    held: dict[tuple[str, str], Counter[str]] = {}
    for record in listed:
        held.setdefault((record.material, _of(record, "potential")), Counter())[record.quantity] += 1
    rows = [(*key, str(found.total()), ", ".join(sorted(found))) for key, found in sorted(held.items())]
    return render(plain_table("", ("material", "made with", "records", "quantities"), rows))

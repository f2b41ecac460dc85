"""`multiscale new` and `multiscale schema`: where a case begins."""

from pathlib import Path
from typing import Annotated, Any

import typer

from coupling.errors import UserError
from multiscale.console import show, show_json

TEMPLATES = {
    "critical-current": "li-lpscl", "transport": "polymer-ceramic", "conduction": "contact-voids", "propagation": "penny-flaw",
    "tip": "llzo-tip", "memristor": "llzo-memristor",
}  # fmt: skip
"""The shipped case that a new one of each kind begins as."""


def register(app: typer.Typer) -> None:
    """Add both commands to the command line."""
    app.command()(new)
    app.command()(schema)


def shipped() -> Path:
    """The cases folder of the checkout the product was installed from. Raises UserError where there is none."""
    folder = Path(__file__).resolve().parent.parent.parent / "cases"
    if not folder.is_dir():
        raise UserError(f"{folder}: the shipped cases are not there; install from a clone with `pip install -e .`")
    return folder


def new(
    name: Annotated[Path, typer.Argument(metavar="NAME", help="Folder to make.")],
    kind: Annotated[str, typer.Option(metavar="KIND", help=f"One of: {', '.join(TEMPLATES)}.")] = "critical-current",
) -> None:
    """Make a new case folder from a shipped case of its kind, ready to edit and run.

    Example: multiscale new my-case --kind transport
    """
    from coupling.toml_input import nearest

    if kind not in TEMPLATES:
        raise UserError(f'--kind: read "{kind}"; {nearest(kind, list(TEMPLATES))}')
    if name.exists():
        raise UserError(f"{name}: exists already; choose another name")
    text = (shipped() / TEMPLATES[kind] / "case.toml").read_text(encoding="utf-8")
    question = "Which question does this case answer, and from which source?"
    begun = f"It began as a copy of the shipped case {TEMPLATES[kind]} ({kind})."
    try:
        name.mkdir(parents=True)
        (name / "case.toml").write_text(text, encoding="utf-8")
        (name / "README.md").write_text(f"# {name.resolve().name}\n\n{question}\n\n{begun}\n", encoding="utf-8")
    except OSError as error:
        raise UserError(f"{name}: cannot be made ({error.strerror}); choose another place") from None
    show(f"{name}/case.toml written; edit it, then `multiscale check {name}` and `multiscale run {name}`")


def schema(
    transport: Annotated[bool, typer.Option("--transport", help="That of a transport case ([transport]).")] = False,
    conduction: Annotated[bool, typer.Option("--conduction", help="That of a conduction case ([conduction]).")] = False,
    propagation: Annotated[bool, typer.Option("--propagation", help="That of a propagation case ([fracture]).")] = False,
    tip: Annotated[bool, typer.Option("--tip", help="That of a tip case (a tip on a polycrystal).")] = False,
    memristor: Annotated[bool, typer.Option("--memristor", help="That of a memristor case (a filament device).")] = False,
    sweep: Annotated[bool, typer.Option("--sweep", help="That of sweep.toml.")] = False,
) -> None:
    """Print the JSON Schema of case.toml (or sweep.toml), for editors that complete and check.

    Example: multiscale schema > case.schema.json
    """
    asked = [name for name, wanted in (("transport", transport), ("conduction", conduction), ("propagation", propagation),
                                       ("tip", tip), ("memristor", memristor), ("sweep", sweep)) if wanted]  # fmt: skip
    if len(asked) > 1:
        raise UserError(f"--{asked[0]} and --{asked[1]}: one schema at a time")
    show_json(schemas()[asked[0] if asked else "critical-current"])


def schemas() -> dict[str, dict[str, Any]]:
    """JSON Schema of each kind of file that a case folder may hold."""
    from multiscale import case
    from multiscale.conduction import schema as conduction_schema
    from multiscale.memristor import case as memristor_case
    from multiscale.propagation import case as propagation_case
    from multiscale.sweeps import schema as sweep_schema
    from multiscale.tip_trigger import case as tip_case
    from multiscale.transport_cases import schema as transport_schema

    return {
        "critical-current": case.json_schema(),
        "transport": transport_schema.json_schema(),
        "conduction": conduction_schema.json_schema(),
        "propagation": propagation_case.PropagationFile.model_json_schema(),
        "tip": tip_case.TipFile.model_json_schema(),
        "memristor": memristor_case.MemristorFile.model_json_schema(),
        "sweep": sweep_schema.SweepFile.model_json_schema(),
    }

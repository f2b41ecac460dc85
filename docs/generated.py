"""Pages of the documentation site that are made from the product itself: case keys, commands, verification, bibliography."""

import ast
import csv
import json
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("multiscale", "atomistic", "coupling", "meshes")
_LINK = re.compile(r"(?:doi:\s*)?(10\.\d{4,5}/[^\s,;\"')]*[\w)])|arXiv:(\d{4}\.\d{4,5})")


def write_all(folder: Path) -> None:
    """Every generated page into the source folder of the site."""
    for name, model in schemas().items():
        _write(folder / "reference" / f"keys-{name}.md", case_keys(name, model))
    _write(folder / "reference" / "commands.md", commands())
    _write(folder / "verification.md", verification(folder))
    _write(folder / "bibliography.md", bibliography())


def _write(path: Path, lines: Sequence[str]) -> None:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def schemas() -> dict[str, tuple[str, Mapping[str, Any]]]:
    """Title and JSON Schema of each kind of file, by short name."""
    from multiscale.commands.starter import schemas as product_schemas

    titles = {
        "critical-current": "Critical current: a layered polycrystal with a flaw",
        "transport": "Ion transport in time: [transport]",
        "conduction": "Steady conduction through any geometry: [conduction]",
        "propagation": "A filament that cracks its way through: [fracture]",
        "tip": "A tip on a polycrystal: trigger voltages", "memristor": "A filament device: bipolar sweeps",
        "sweep": "Sweeps: sweep.toml",
    }  # fmt: skip
    return {name: (titles[name], schema) for name, schema in product_schemas().items()}


def case_keys(name: str, told: tuple[str, Mapping[str, Any]]) -> list[str]:
    """Every table of a schema with its keys."""
    title, schema = told
    lines = [f"# {title}", "", "Made from the JSON Schema that checks the file. A key without default must be given.", ""]
    seen: set[str] = set()
    for definition, table in _tables(schema):
        if definition in seen:
            continue
        seen.add(definition)
        needed = set(table.get("required", []))
        lines += [f"## {definition}", "", *_prose(table.get("description", "")), ""]
        lines += ["| key | value | default |", "|---|---|---|"]
        for key, field in table.get("properties", {}).items():
            default = "" if key in needed else f"`{json.dumps(field.get('default'), ensure_ascii=False)}`"
            lines.append(f"| `{key}` | {_cell(_value(field, schema))} | {_cell(default)} |")
        lines.append("")
    return lines


def _tables(schema: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The file itself, then every table that it refers to."""
    if alternatives := schema.get("oneOf"):  # files that differ in their geometry alone
        geometries = {"anyOf": [alternative["properties"]["geometry"] for alternative in alternatives]}
        first = alternatives[0]
        yield str(first["title"]), dict(first) | {"properties": first["properties"] | {"geometry": geometries}}
    if "properties" in schema:
        yield str(schema.get("title", "the file")), schema
    for name, table in schema.get("$defs", {}).items():
        if "properties" in table:
            yield name, table


def _value(field: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    """What a key may hold, in words."""
    if "$ref" in field:
        name = field["$ref"].rpartition("/")[2]
        target = schema.get("$defs", {}).get(name, {})
        return f"table [{name}](#{name.lower()})" if "properties" in target else _value(target, schema)
    if options := field.get("anyOf") or field.get("oneOf") or field.get("allOf"):
        return " or ".join(dict.fromkeys(_value(option, schema) for option in options if option.get("type") != "null"))
    if "const" in field:
        return f'`{json.dumps(field["const"])}`'
    if "enum" in field:
        return ", ".join(f"`{json.dumps(value)}`" for value in field["enum"])
    kind = field.get("type")
    if kind == "array":
        inner = field.get("items") or {}
        parts = field.get("prefixItems")
        least = f", at least {field['minItems']}" if field.get("minItems") else ""
        words = ", ".join(_value(part, schema) for part in parts) if parts else _value(inner, schema)
        return f"list of: {words}{least}"
    if kind == "object":
        inner = field.get("additionalProperties")
        return f"table of names, each: {_value(inner, schema)}" if isinstance(inner, Mapping) else "table"
    words = {"string": "text", "integer": "whole number", "number": "number", "boolean": "true or false"}
    limits = {"minimum": "≥", "maximum": "≤", "exclusiveMinimum": ">", "exclusiveMaximum": "<"}
    told = [f"{sign} {field[key]:g}" for key, sign in limits.items() if key in field]
    return " ".join([field.get("description") or words.get(str(kind), "any value"), *told])


def _cell(text: str) -> str:
    return text.replace("|", r"\|").replace("\n", " ")


def _prose(text: str) -> list[str]:
    """A docstring's paragraphs as Markdown; square brackets and stars are meant."""
    return [re.sub(r"([\[\]*<>|])", r"\\\1", line.strip()) for line in text.splitlines()]


def command_tree() -> Iterator[tuple[str, Any]]:
    """(name, click command) of every command and group of the product, depth first."""
    import typer

    from multiscale.cli import app

    def walk(name: str, command: Any) -> Iterator[tuple[str, Any]]:
        yield name, command
        for inner, below in sorted(getattr(command, "commands", {}).items()):
            yield from walk(f"{name} {inner}", below)

    yield from walk("multiscale", typer.main.get_command(app))


def commands() -> list[str]:
    """Every command with its arguments, options and example."""
    lines = ["# Commands", "", "Exit status: 0 done, 1 failed, 2 wrong input. Made from the command line itself.", ""]
    for name, command in command_tree():
        depth = min(name.count(" "), 2) + 2 if name != "multiscale" else 2
        lines += [f"{'#' * depth} {name}", ""]
        for paragraph in (command.help or "").strip().split("\n\n"):
            if paragraph.strip().startswith("Example"):
                lines += ["```", *(line.strip() for line in paragraph.strip().splitlines()), "```", ""]
            else:
                lines += [*_prose(paragraph), ""]
        rows = [_option(parameter) for parameter in command.params if parameter.name != "help"]
        if rows:
            lines += ["| argument or option | meaning |", "|---|---|", *rows, ""]
    return lines


def _option(parameter: Any) -> str:
    names = [*parameter.opts, *parameter.secondary_opts]
    argument = not any(name.startswith("-") for name in names)
    shown = (parameter.metavar or parameter.name.upper()) if argument else ", ".join(names)
    told = (getattr(parameter, "help", None) or "").strip()
    needed = " (required)" if parameter.required else ""
    return f"| `{_cell(shown)}` | {_cell(' '.join(_prose(told)))}{needed} |"


def verification(folder: Path) -> list[str]:
    """Exact against computed, with a picture of every error over its tolerance."""
    rows = json.loads((ROOT / "docs" / "site" / "verification.json").read_text(encoding="utf-8"))
    _verification_picture(rows, folder / "verification.svg")
    passed = sum(row["ok"] for row in rows)
    lines = [
        "# Verification", "",
        "`multiscale verify` solves problems whose answer is known in closed form with the product's own terms and solver: "
        f"{len(rows)} numbers, {passed} within their tolerance{_since(rows)}. The problems stand in "
        "[the physics page](theory/physics.md), section 2. "
        "`env/exec python docs/build.py --verify` makes this table anew.", "",
        "![Error of each verification number over its tolerance, logarithmic](verification.svg)", "",
        "| id | quantity | exact | computed | error | tolerance | |", "|---|---|---|---|---|---|---|",
    ]  # fmt: skip
    for row in rows:
        cells = (
            row["id"], row["quantity"], f"{row['exact']:.6g}", f"{row['computed']:.6g}", f"{row['relative_error']:.1e}",
            f"{row['tolerance']:.0e}", "ok" if row["ok"] else "**failed**",
        )  # fmt: skip
        lines.append("| " + " | ".join(_cell(cell) for cell in cells) + " |")
    return lines


def _since(rows: Sequence[Mapping[str, Any]]) -> str:
    """Problems that the product has and the stored table has not, in words."""
    from multiscale.verify import problems

    stored = {(row["id"], row["quantity"]) for row in rows}
    missing = sorted({problem.id for problem in problems() if (problem.id, problem.quantity) not in stored})
    return f" (added since, not in this table: {', '.join(missing)})" if missing else ""


def _verification_picture(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    from multiscale.reporting.figures import PRINT, figure, write_figure

    names = list(dict.fromkeys(row["id"] for row in rows))
    drawing = figure(1.0 + 0.2 * len(names), PRINT)
    axes = drawing.axes[0]
    for row in rows:
        ratio = max(row["relative_error"] / row["tolerance"], 1e-8)
        axes.plot(ratio, names.index(row["id"]), "o", markersize=4, color=PRINT.series[0 if row["ok"] else 1])
    axes.axvline(1.0, color=PRINT.series[1], linewidth=1.2)
    axes.set_xscale("log")
    axes.set_yticks(range(len(names)), names, fontsize=7)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_xlabel("error over tolerance (left of the line: passed; 1e-8 and below drawn at 1e-8)")
    write_figure(drawing, path)


def bibliography() -> list[str]:
    """Every source that the code, the material files and the measurements cite, with where."""
    told = "Collected from the docstrings, the material files and the measurements; nothing is typed here."
    lines = ["# Bibliography", "", told, ""]
    for title, found in (("Cited by the code", code_sources()), ("Material properties", material_sources())):
        lines += [f"## {title}", "", *(f"- {_linked(text)}  \n  *{', '.join(sorted(set(where)))}*" for text, where in found), ""]
    return [*lines, "## Measured critical currents", "", *(f"- {_linked(text)}" for text in experiment_sources()), ""]


def _linked(text: str) -> str:
    plain = re.sub(r"([\[\]*<>|_`])", r"\\\1", text)

    def link(match: re.Match[str]) -> str:
        doi, preprint = match.group(1), match.group(2)
        target = f"https://doi.org/{doi}" if doi else f"https://arxiv.org/abs/{preprint}"
        return f"[{match.group(0)}]({target.replace(chr(92), '')})"

    return _LINK.sub(link, plain)


def _grouped(pairs: Iterator[tuple[str, str]]) -> list[tuple[str, list[str]]]:
    found: dict[str, list[str]] = {}
    for text, where in pairs:
        found.setdefault(text, []).append(where)
    return sorted(found.items(), key=lambda item: item[0].lower())


def code_sources() -> list[tuple[str, list[str]]]:
    """Sources of docstrings (one a work, split at semicolons), with the modules that cite them."""
    return _grouped(_code_sources())


def _code_sources() -> Iterator[tuple[str, str]]:
    for path in (path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))):
        where = f"`{path.relative_to(ROOT).with_suffix('').as_posix().replace('/', '.')}`"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                continue
            for source in re.findall(r"Source: (.+?)(?:\n\s*\n|\Z)", ast.get_docstring(node) or "", re.DOTALL):
                for work in re.split(r";\s+(?![^(]*\))", " ".join(source.split())):
                    cited = work.strip().rstrip(".")
                    if re.search(r"\b(1[89]|20)\d\d\b", cited):  # a year: a work, not a section of our own documents
                        yield cited, where


def material_sources() -> list[tuple[str, list[str]]]:
    """Sources of the material files with the properties that rest on them."""
    return _grouped(
        (" ".join(entry["source"].split()), f"{path.stem}.{entry['quantity']}")
        for path in sorted((ROOT / "cases" / "_materials").glob("*.toml"))
        for entry in tomllib.loads(path.read_text(encoding="utf-8")).get("property", [])
    )


def experiment_sources() -> list[str]:
    """Authors, journal and DOI of each measurement."""
    with (ROOT / "cases" / "_experiments" / "ccd.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    told = (f"{row['authors']} {row['journal']} ({row['year']})" + (f", doi:{row['doi']}" if row["doi"] else "") for row in rows)
    return sorted(dict.fromkeys(told), key=str.lower)

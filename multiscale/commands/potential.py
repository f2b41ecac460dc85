"""`multiscale potential …`. Heavy imports happen inside the commands, after the input has been checked."""

import typer

from multiscale.commands import disagreement as disagreement_commands
from multiscale.commands import improve as improve_commands
from multiscale.commands import label as label_commands
from multiscale.commands import training as training_commands
from multiscale.console import JsonOption, show, show_json

potential_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
potential_app.command("label")(label_commands.label)
potential_app.command("import")(label_commands.adopt)
potential_app.command("info")(label_commands.info)
potential_app.command("compare")(disagreement_commands.compare)
potential_app.command("sample")(training_commands.sample)
potential_app.command("train")(training_commands.train)
potential_app.command("test")(training_commands.assess)
potential_app.command("card")(training_commands.card)
potential_app.command("improve")(improve_commands.improve)


@potential_app.callback()
def _potential() -> None:
    """Machine-learned potentials.

    Example: multiscale potential list
    """


@potential_app.command("list")
def potential_list(as_json: JsonOption = False) -> None:
    """List the potentials at hand: held-out errors on crystals, targets met, shipped records, teacher.

    A case with quality = "shipped" takes the records of its potential; with "quick" it makes its own.

    Example: multiscale potential list
    """
    from atomistic.potential import available, describe
    from multiscale.shipped_records import how_many
    from multiscale.tables import potential_rows, potential_table

    cards, records = [describe(name) for name in available()], how_many()
    if as_json:
        show_json(potential_rows(cards, records))
    else:
        show(potential_table(cards, records))

"""`vitret schema`: JSON schemas of the YAML files, for completion and checks in an editor."""

from pathlib import Path
from typing import Annotated

import typer

from vitret.cli import completions, console
from vitret.cli.options import Format


def schema(
    name: Annotated[
        str,
        typer.Argument(
            help="The kind of file, as system; without it, the list.", autocompletion=completions.schemas
        ),
    ] = "",
    form: Format = "",
    out: Annotated[Path | None, typer.Option(help="Write NAME.schema.json into this folder.")] = None,
) -> None:
    """Print the JSON schema of a YAML file, for editors.

    With --include the schemas know your own parts too. The first line of a YAML file names its schema to VS Code:

    # yaml-language-server: $schema=schemas/track.schema.json

    Examples:
      vitret schema
      vitret schema track > track.schema.json
      vitret schema --out schemas
    """
    from vitret.pages.schemas import MODELS, text_of, write_schemas

    if name:
        console.require_choice("NAME", name, tuple(MODELS))
    if out is not None:
        for path in write_schemas(out, [name] if name else list(MODELS)):
            console.put(str(path))
    elif name:
        console.put(text_of(name).rstrip("\n"))
    else:
        console.table(
            [(known, files) for known, (_, files) in MODELS.items()],
            heads=("schema", "files that it describes"),
            form=form,
        )

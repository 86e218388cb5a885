"""`vitret new`: a commented first file for a head, loss, dataset or track of one's own."""

from pathlib import Path
from typing import Annotated

import typer

from vitret.cli import completions, console

_TRY = "vitret --include {root} bench --train-set minitown-clean --systems tiny_gem_vit"
_NEXT = {
    "head": _TRY + " --set 'model.head={{name: {name}}}'",
    "loss": _TRY + " --set 'losses=[{{name: {name}}}]'",
    "dataset": "vitret --include {root} prepare {name} --from FOLDER",
    "track": "vitret bench --train-set {file}",
}
_KINDS = tuple(_NEXT)


def new(
    kind: Annotated[str, typer.Argument(help=", ".join(_KINDS), autocompletion=completions.one_of(_KINDS))],
    name: Annotated[str, typer.Argument(help="Its name: lower-case letters, digits and '_'.")],
    out: Annotated[
        Path, typer.Option(help="Write below this folder, in heads/, losses/, datasets/, tracks/.")
    ] = Path(),
) -> None:
    """Write a commented file for your own head, loss or dataset.

    The file works as it is: `vitret check` finds no fault in it. Change it step by step. A file that is there
    already stays as it is.

    Examples:
      vitret new head my_pooling
      vitret new loss my_loss --out my_parts
      vitret new track my_track
    """
    from vitret.core.new_part import called_name, write_new

    console.require_choice("KIND", kind, _KINDS)
    file = write_new(kind, name, out)
    console.put(str(file))
    console.say("Next:")
    console.say(f"  vitret check {file}")
    console.say("  " + _NEXT[kind].format(name=called_name(kind, name), root=out, file=file))

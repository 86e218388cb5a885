"""Options that several verbs have, with the one text that says what they mean."""

from typing import TYPE_CHECKING, Annotated

import typer

from vitret.cli import completions, console

if TYPE_CHECKING:
    from vitret.data import boxes


def _consent(context: typer.Context, given: bool) -> bool:
    """Consent to code of others until the verb ends."""
    if given:
        from vitret.models.foreign.consent import consenting

        context.with_resource(consenting())
    return given


def _known_form(given: str) -> str:
    """Refuse an unknown form before the verb does any work."""
    if given:
        from vitret.pages.formats import FORMS

        console.require_choice("--format", given, FORMS)
    return given


Network = Annotated[
    str,
    typer.Argument(
        help="A run, a frozen system, a network (timm:, torchhub:, hf:; `vitret list models`), or a checkpoint "
        "file of a run.",
        autocompletion=completions.networks,
    ),
]
Trust = Annotated[
    bool,
    typer.Option(
        "--trust",
        callback=_consent,
        help="Run the code of torchhub: and hf: networks, which can do all that you can.",
    ),
]
Workers = Annotated[
    int | None, typer.Option(min=0, help="Image-loading processes; default: chosen for this machine.")
]
Wide = Annotated[
    bool, typer.Option("--wide", help="Keep the columns of a metric together, beyond 80 columns.")
]
Search = Annotated[
    str,
    typer.Option(
        metavar="INDEX", help="Search by faiss: ivf_pq or hnsw, with options, e.g. ivf_pq,probes=64."
    ),
]
OneLine = Annotated[bool, typer.Option("--wide", help="One line for each row, beyond 80 columns.")]
Format = Annotated[
    str,
    typer.Option(
        "--format",
        callback=_known_form,
        help="Print the table as csv, json, latex or md.",
        autocompletion=completions.forms,
    ),
]
Box = Annotated[str, typer.Option(help="The part of a photograph to look for: x0,y0,x1,y1 in its pixels.")]
Device = Annotated[str, typer.Option(help="Where to compute: auto, cpu, cuda or mps.")]
Precision = Annotated[
    str,
    typer.Option(
        help="fp32, bf16, fp16 or auto: bf16 where the GPU multiplies it (without training, where the CPU does too), "
        "else fp32."
    ),
]


def corners(text: str) -> "boxes.Box | None":
    """The corners of a `--box`, None where none was given."""
    from vitret.core.errors import UserError

    if not text:
        return None
    try:
        x0, y0, x1, y1 = (float(side) for side in text.split(","))
    except ValueError as error:
        raise UserError(f"--box {text}: four numbers are needed, x0,y0,x1,y1 in pixels.") from error
    return x0, y0, x1, y1

"""Options that several verbs have, with the one text that says what they mean."""

from typing import Annotated

import typer

from vitret.cli import completions


def _consent(context: typer.Context, given: bool) -> bool:
    """Consent to code of others until the verb ends."""
    if given:
        from vitret.models.foreign.consent import consenting

        context.with_resource(consenting())
    return given


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
        help="Print the table as csv, json, latex or md.",
        autocompletion=completions.forms,
    ),
]
Device = Annotated[str, typer.Option(help="Where to compute: auto, cpu, cuda or mps.")]
Precision = Annotated[
    str,
    typer.Option(
        help="fp32, bf16, fp16 or auto: bf16 where the GPU multiplies it (without training, where the CPU does too), "
        "else fp32."
    ),
]

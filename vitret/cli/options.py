"""Options that several verbs have, with the one text that says what they mean."""

from typing import Annotated

import typer

Device = Annotated[str, typer.Option(help="Where to compute: auto, cpu, cuda or mps.")]
Precision = Annotated[
    str,
    typer.Option(
        help="fp32, bf16, fp16 or auto: bf16 where the GPU multiplies it (without training, where the CPU does too), "
        "else fp32."
    ),
]

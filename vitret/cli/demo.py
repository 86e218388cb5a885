"""`vitret demo`: the whole pipeline on the drawn world."""

import os
from typing import Annotated

import typer

from vitret.cli import console

TRACKS = ("minitown-sfm", "minitown-clean")


def demo(
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    precision: Annotated[str, typer.Option(help="auto, fp32, bf16 or fp16.")] = "auto",
    workers: Annotated[
        int | None, typer.Option(min=0, help="Image-loading processes; default: by the machine.")
    ] = None,
) -> None:
    """Draw a small world, train three systems on two training sets, measure, print the fair tables.

    Everything goes to $VITRET_HOME/demo; a second call only prints. The numbers rank code paths, not methods.

    Examples:
      vitret demo
      vitret demo --device cuda
    """
    from vitret.cli.bench import run_and_print
    from vitret.compare.work import Places, needed_sets, resolve
    from vitret.core import config
    from vitret.data.prepare.request import Request
    from vitret.data.prepare.run import prepare
    from vitret.pages import leaderboard

    home = config.location("home").path / "demo"
    os.environ |= {
        "VITRET_HOME": str(home),
        "VITRET_DATA": str(home / "data"),
        "VITRET_RESULTS": str(home / "results"),
    }
    places = Places.default()
    for name in needed_sets(places, TRACKS):
        prepare(Request(name, data_root=places.data, report=console.say))
    for track in TRACKS:
        run_and_print(resolve(places, track), device=device, precision=precision, workers=workers)
    for path in leaderboard.write(places.results):
        console.say(f"wrote {path}")

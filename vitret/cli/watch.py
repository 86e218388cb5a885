"""`vitret watch`: the curves of running trainings in the terminal."""

import time
from typing import TYPE_CHECKING, Annotated

import typer

from vitret.cli import completions, console

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vitret.core.runs import Run


def watch(
    runs: Annotated[
        list[str] | None,
        typer.Argument(
            help="Runs, by id, unique beginning or path; without, those that run now.",
            autocompletion=completions.runs,
        ),
    ] = None,
    every: Annotated[float, typer.Option(min=0.1, help="Seconds between two looks.")] = 2.0,
    plain: Annotated[bool, typer.Option("--plain", help="Lines of text on a terminal too.")] = False,
) -> None:
    """Follow trainings: loss, rate, validation, speed.

    Draws curves on a terminal (pip install 'vitret[watch]'), else prints each line of the log. Ends when all runs have
    ended, or at Ctrl-C; the trainings continue either way.

    Examples:
      vitret watch
      vitret watch landmarks-mix-vit_tiny_gem
      vitret watch sop-dtop-s0 sop-dtop-s1 --plain > log.txt
    """
    from vitret.core.config import location
    from vitret.core.errors import EmptyError
    from vitret.core.runs import find_run
    from vitret.pages.watch import lines, runs_at_work

    home = location("home").path
    found = [find_run(home, name) for name in runs or ()] or runs_at_work(home)
    if not found:
        raise EmptyError(
            f"No training is running in {home}. For one that has ended, name it: vitret list runs"
        )
    drawn = not plain and _can_draw()
    try:
        if drawn:
            _draw(found, every)
        else:
            for line in lines(found, lambda: time.sleep(every)):
                console.put(line)
    except KeyboardInterrupt:
        console.say("The trainings continue.")


def _can_draw() -> bool:
    """Whether there is a terminal to draw on and something to draw with; says what to install where there is not."""
    from importlib.util import find_spec

    if not console.stdout().is_terminal:
        return False
    if find_spec("plotext") is None:
        console.say("For curves: pip install 'vitret[watch]'")
        return False
    return True


def _draw(runs: "Sequence[Run]", every: float) -> None:
    """Redraw the curves until all runs have ended."""
    from rich.live import Live
    from rich.text import Text

    from vitret.pages.watch import look, picture

    terminal = console.stdout()
    with Live(console=terminal, auto_refresh=False, vertical_overflow="crop") as live:
        while True:
            looks = [look(run) for run in runs]
            size = terminal.size
            drawn = picture(looks, width=size.width, height=size.height, colour=not terminal.no_color)
            live.update(Text.from_ansi(drawn), refresh=True)
            if all(seen.ended for seen in looks):
                return
            time.sleep(every)

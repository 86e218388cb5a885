"""Where words go: progress and words to stderr, results to stdout; no control codes unless it is a terminal."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console


def quiet() -> bool:
    return bool(os.environ.get("VITRET_QUIET"))


def say(text: str) -> None:
    """One line for the person, on stderr."""
    if not quiet():
        print(text, file=sys.stderr, flush=True)


def complain(text: str) -> None:
    """An error, in red where that can be seen."""
    colour = sys.stderr.isatty() and not os.environ.get("NO_COLOR")
    print(f"\033[31m{text}\033[0m" if colour else text, file=sys.stderr, flush=True)


def put(text: str) -> None:
    """A result, on stdout."""
    print(text, flush=True)


def stdout(min_width: int = 0) -> "Console":
    """A rich console on stdout; when it is a pipe or a file, wide enough for `min_width` columns."""
    from rich.console import Console

    console = Console()
    if not console.is_terminal and console.width < min_width:
        console = Console(width=min_width)
    return console


@contextmanager
def progress_bar(description: str) -> Iterator[None]:
    """A spinner on stderr while something without a known end goes on; silent when it is not a terminal."""
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    with Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=quiet() or not console.is_terminal,
    ) as progress:
        progress.add_task(description)
        yield

"""Where words go: progress and words to stderr, results to stdout; no control codes unless it is a terminal."""

import os
import sys
import time
from collections.abc import Callable, Iterator
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

    console = Console(highlight=False)
    if not console.is_terminal and console.width < min_width:
        console = Console(highlight=False, width=min_width)
    return console


Steps = Callable[[int, int, str], None]
"""(steps done, steps in all, words), called at every step."""


@contextmanager
def steps(name: str) -> Iterator[Steps]:
    """A bar with speed and remaining time on a terminal; elsewhere a line now and then."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    terminal = Console(stderr=True)
    if quiet() or not terminal.is_terminal:
        yield _lines(name)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[words]}"),
    )
    with Progress(*columns, TimeRemainingColumn(), console=terminal, transient=True) as bar:
        task = bar.add_task(name, total=None, words="")
        yield lambda done, total, words: bar.update(task, completed=done, total=total, words=words)


def _lines(name: str, every: float = 30.0) -> Steps:
    """Says where the work stands, at most once in `every` seconds."""
    said = time.monotonic()

    def report(done: int, total: int, words: str) -> None:
        nonlocal said
        if time.monotonic() - said > every and words:
            said = time.monotonic()
            say(f"{name}: step {done} of {total}, {words}")

    return report

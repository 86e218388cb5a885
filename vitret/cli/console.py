"""Progress and messages go to stderr, results to stdout; control codes only on a terminal."""

import os
import sys
import threading
import time
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table


def quiet() -> bool:
    return bool(os.environ.get("VITRET_QUIET"))


def say(text: str) -> None:
    """One line for the user, on stderr."""
    if not quiet():
        print(text, file=sys.stderr, flush=True)


def complain(text: str) -> None:
    """An error, in red where that can be seen."""
    colour = sys.stderr.isatty() and not os.environ.get("NO_COLOR")
    print(f"\033[31m{text}\033[0m" if colour else text, file=sys.stderr, flush=True)


# Of a screen of 24.
_LINES = 22


def on_a_screen(text: str) -> str:
    """A message cut to what fits on a screen."""
    lines = text.split("\n")
    more = [f"… and {len(lines) - _LINES} more lines."] if len(lines) > _LINES else []
    return "\n".join(lines[:_LINES] + more)


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


def require_choice(option: str, value: str, known: Sequence[str]) -> None:
    """Raise `UserError` for a value that is not one of those known."""
    from vitret.core.errors import UserError, did_you_mean

    if value not in known:
        raise UserError(f"{option} {value}: unknown. {did_you_mean(value, known)}")


def table(
    rows: Iterable[Sequence[str]],
    *,
    heads: Sequence[str] = (),
    right: Container[str] = (),
    form: str = "",
    names: Sequence[str] = (),
    wide: bool = False,
) -> None:
    """A table on stdout, the columns named in `right` aligned there.

    Where there is no terminal, and with `wide`, a row is one line. On a terminal long cells are wrapped; columns that
    still do not fit stand in a second grid below, behind the first column again.

    With `form` it is one of `vitret.pages.formats.FORMS`; `names` are then the heads of a table that shows none.
    """
    if form:
        from vitret.pages.formats import FORMS, render

        require_choice("--format", form, FORMS)
        put(render(form, heads or names, rows, right=right))
        return
    from rich.console import Console

    cells = [list(row) for row in rows]
    lines = [list(heads), *cells] if heads else cells
    if not lines:
        return
    terminal = Console(highlight=False)
    whole = not terminal.is_terminal or wide
    everything = range(len(lines[0]))
    for number, columns in enumerate([everything] if whole else _fitting(lines, terminal.width)):
        grid = _grid(
            [[row[c] for c in columns] for row in cells],
            [heads[c] for c in columns if heads],
            right,
            whole_names=whole or _longest(lines, 0) <= terminal.width // 2,
        )
        if whole:
            terminal = Console(highlight=False, width=Console(width=100_000).measure(grid).maximum)
        with terminal.capture() as captured:
            terminal.print(grid)
        if number:
            put("")
        for line in captured.get().splitlines():
            put(line.rstrip())


def with_and_without(
    every: Sequence[Sequence[str]],
    kept: Sequence[Sequence[str]],
    *,
    words: str,
    heads: Sequence[str],
    right: Container[str] = (),
    form: str = "",
) -> None:
    """A table of all queries, then words, then the table without the queries that overlap, where there are any.

    With `form` it is one table, whose first column says what is left out, and the words go to stderr.
    """
    if form:
        rows = [["nothing", *row] for row in every] + [["overlap", *row] for row in kept]
        table(rows, heads=["left out", *heads], right=right, form=form)
    else:
        table(every, heads=heads, right=right)
    if words:
        (say if form else put)(words)
    if kept and not form:
        table(kept, heads=heads, right=right)


# Between two columns of a table; and a column that is wider than this is wrapped rather than moved.
_GAP = 2
_WRAPPED = 24


def _longest(lines: Sequence[Sequence[str]], column: int) -> int:
    return max(len(line[column]) for line in lines)


def _fitting(lines: Sequence[Sequence[str]], width: int) -> list[Sequence[int]]:
    """Which columns stand in one grid: all if each has room for its longest word, else as many as fit, in turn."""
    columns = range(len(lines[0]))
    longest = [_longest(lines, c) for c in columns]
    words = [max(len(word) for line in lines for word in line[c].split() or [""]) for c in columns]
    # Names in the first column are wrapped only where they would take half of the terminal.
    first = longest[0] if longest[0] <= width // 2 else max(words[0], _WRAPPED)
    if first + sum(words[1:]) + _GAP * len(columns) <= width:
        return [columns]
    room = [first, *(max(words[c], min(longest[c], _WRAPPED)) for c in columns[1:])]
    grids: list[list[int]] = [[0]]
    for c in columns[1:]:
        taken = sum(room[other] + _GAP for other in [*grids[-1], c])
        if len(grids[-1]) > 1 and taken > width:
            grids.append([0])
        grids[-1].append(c)
    return list(grids)


def _grid(
    cells: Sequence[Sequence[str]], heads: Sequence[str], right: Container[str], *, whole_names: bool
) -> "Table":
    from rich.table import Table
    from rich.text import Text

    grid = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), show_header=bool(heads))
    for head in heads:
        grid.add_column(head, justify="right" if head in right else "left")
    for row in cells:
        grid.add_row(*map(Text, row))
    for number, column in enumerate(grid.columns):
        column.overflow = "fold"
        column.no_wrap = whole_names and number == 0
    return grid


Steps = Callable[[int, int, str], None]
"""(done, in all, words), called as work is done; `words` begin with what is counted, or are empty."""

Transfers = Callable[[str, int, int | None], None]
"""(name, bytes so far, bytes in all or None), called as bytes come, from any thread."""

# Seconds between two progress lines about the same work, when stderr is not a terminal.
LINE_EVERY = 30.0


@contextmanager
def steps(name: str) -> Iterator[Steps]:
    """A progress bar with remaining time on a terminal; elsewhere a line every `LINE_EVERY` seconds."""
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


def _lines(name: str) -> Steps:
    """Print the progress, and the time left at the speed of late, at most once every `LINE_EVERY` seconds."""
    said = time.monotonic()
    before: int | None = None

    def report(done: int, total: int, words: str) -> None:
        nonlocal said, before
        before = done if before is None else before
        now = time.monotonic()
        if now - said > LINE_EVERY and words:
            seconds = round((now - said) * (total - done) / max(done - before, 1))
            left = f", about {timedelta(seconds=seconds)} left" if done > before else ""
            said, before = now, done
            say(f"{name}: {done:,} of {total:,} {words}{left}")

    return report


@contextmanager
def transfers() -> Iterator[Transfers]:
    """A progress bar in bytes for each file on a terminal; elsewhere a line every `LINE_EVERY` seconds."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TaskID,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    terminal = Console(stderr=True)
    if quiet() or not terminal.is_terminal:
        yield _byte_lines()
        return
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    tasks: dict[str, TaskID] = {}
    one_at_a_time = threading.Lock()
    with Progress(*columns, TimeRemainingColumn(), console=terminal, transient=True) as bar:

        def report(name: str, done: int, total: int | None) -> None:
            with one_at_a_time:
                # Finished files are hidden: a dataset may have hundreds.
                if name not in tasks:
                    tasks[name] = bar.add_task(name, total=total, completed=done, visible=done != total)
                bar.update(tasks[name], completed=done, total=total, visible=done != total)

        yield report


def _byte_lines() -> Transfers:
    """Print the progress of each file at most once every `LINE_EVERY` seconds."""
    from vitret.data.prepare.disk_budget import readable

    begun: dict[str, tuple[float, int]] = {}
    said: dict[str, float] = {}

    def report(name: str, done: int, total: int | None) -> None:
        now = time.monotonic()
        start, before = begun.setdefault(name, (now, done))
        if now - said.setdefault(name, now) < LINE_EVERY or now == start:
            return
        said[name] = now
        speed = max(0, done - before) / (now - start)
        words = f"{name}: {readable(done)}"
        if total is not None:
            words += f" of {readable(total)}"
        words += f", {readable(int(speed))}/s"
        if total is not None and speed > 0:
            words += f", {(total - done) / speed / 60:.0f} min left"
        say(words)

    return report

"""How the contract test of a part runs: checks that yield one sentence for each fault.

The contract of a family stands beside it: `models.contract`, `learn.contract`, `measure.contract` and
`data.prepare.contract`. `vitret check` runs it on a user's file, where whatever the file raises is a fault too. The
tests of vitret's own parts call the same checks directly, where an exception keeps its traceback.
"""

import linecache
import traceback
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import TracebackType

from vitret.core.errors import VitretError, said, shortened

Check = Callable[[], Iterable[str]]
Stage = Sequence[tuple[str, Check]]
"""Checks, each with the words for what it does; they do not depend on each other."""


def faults(stages: Iterable[Stage], file: Path) -> list[str]:
    """The faults of a user's file, a sentence each; a stage with a fault is the last one that runs.

    What a check raises counts as a fault, with the line of the file that it came from.
    """
    found: list[str] = []
    for stage in stages:
        for doing, check in stage:
            with Raised(file) as raised:
                found.extend(check())
            if raised.words:
                found.append(f"{doing}: {raised.words}")
        if found:
            break
    return list(dict.fromkeys(found))


class Raised:
    """What a user's code raised while the block ran, in words: kind, message and line; empty where it did not.

    The code is the user's and may raise anything; to report that is what a check is for, so nothing is passed on but
    an interruption.
    """

    def __init__(self, file: Path) -> None:
        self.file = file.resolve()
        self.words = ""
        self.error: Exception | SystemExit | None = None

    def __enter__(self) -> "Raised":
        return self

    def __exit__(self, _: object, error: BaseException | None, trace: TracebackType | None) -> bool:
        if not isinstance(error, Exception | SystemExit):
            return False
        self.error = error
        self.words = self._sentence(error, trace)
        return True

    def _sentence(self, error: Exception | SystemExit, trace: TracebackType | None) -> str:
        if isinstance(error, VitretError):
            return str(error)
        if isinstance(error, SyntaxError):
            return f"line {error.lineno}: {error.msg}: `{shortened((error.text or '').strip())}`."
        kind = "" if isinstance(error, ImportError) else f"{type(error).__name__}: "
        lines = [n for n, name in _frames(trace) if Path(name).resolve() == self.file]
        if not lines:
            return f"{kind}{said(error)}."
        source = shortened(linecache.getline(str(self.file), lines[-1]).strip())
        return f"line {lines[-1]}: {kind}{said(error)}: `{source}`."


def _frames(trace: TracebackType | None) -> list[tuple[int, str]]:
    return [(line, frame.f_code.co_filename) for frame, line in traceback.walk_tb(trace)]

"""Work divided among processes that share only files: which part each of them has."""

from __future__ import annotations

import re
from dataclasses import dataclass

from vitret.core.errors import UserError


@dataclass(frozen=True)
class Share:
    """Number `index` (from 0) `of` several."""

    index: int
    of: int


WHOLE = Share(0, 1)


def parse_share(text: str) -> Share:
    """The share that a user counts from 1.

    >>> parse_share("2/4")
    Share(index=1, of=4)
    """
    found = re.fullmatch(r"(\d+)/(\d+)", text)
    index, of = map(int, found.groups()) if found else (0, 0)
    if not 1 <= index <= of:
        raise UserError(f"--shard {text}: not I/N with I from 1 to N. The first of four: --shard 1/4")
    return Share(index - 1, of)

"""Bytes of disk: as users read and write them, and what a bound brings of a set in many archives.

A bound brings some of every series, the smaller series whole first.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from vitret.core.errors import UserError
from vitret.data.card import Card, Shards
from vitret.data.fetch.shards import room


def in_turn(card: Card, *, packed: bool) -> list[tuple[int, int]]:
    """The card's series as (row, bytes to keep free for one archive of each that follows), the smaller series first.

    Without an archive of every series there is no set: the queries must not be crowded out by the database.
    """
    rows = sorted(range(len(card.shards)), key=lambda i: card.shards[i].count * card.shards[i].bytes_each)
    rooms = [room(card.shards[i].bytes_each, packed=packed) for i in rows]
    return [(row, sum(rooms[turn + 1 :])) for turn, row in enumerate(rows)]


def affordable(
    card: Card, chosen: Sequence[Sequence[int]], max_disk: int, *, packed: bool, keep: bool
) -> list[list[int]]:
    """Of the chosen shards of each series those that a bound brings, by the publisher's rounded sizes.

    Raises `UserError` where it does not bring one of every series.
    """
    used = sum(file.size or file.about or 0 for file in card.files)
    missing = [series for series, numbers in zip(card.shards, chosen, strict=True) if numbers]
    require_least(card, missing, max_disk, used=used, packed=packed)
    share = min(1.0, card.needs_disk / sum(series.count * series.bytes_each for series in card.shards))
    within: list[list[int]] = [[] for _ in chosen]
    for row, reserved in in_turn(card, packed=packed):
        each = card.shards[row].bytes_each
        stays = each if packed else int(each * share) + (each if keep else 0)
        for n in chosen[row]:
            if used + room(each, packed=packed) + reserved > max_disk:
                break
            within[row].append(n)
            used += stays
    return within


def require_least(card: Card, missing: Sequence[Shards], max_disk: int, *, used: int, packed: bool) -> None:
    """Raise `UserError` where a bound leaves, beside the bytes used, no room for an archive of each missing series."""
    least = used + sum(room(series.bytes_each, packed=packed) for series in missing)
    if missing and max_disk < least:
        raise UserError(
            f"--max-disk {max_disk:,}: the lists and one archive of every series of {card.name} need {least:,} bytes. "
            f"Give at least that: vitret prepare {card.name} --max-disk {-(-least // 10**9)}GB"
        )


def readable(size: int) -> str:
    """A number of bytes as users read it.

    >>> readable(1_938_238_004)
    '1.94 GB'
    """
    for unit, scale in (("TB", 10**12), ("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if size >= scale:
            return f"{size / scale:.3g} {unit}"
    return f"{size} bytes"


def size_in_bytes(text: str) -> int:
    """A number of bytes as users write it; anything else raises `UserError`.

    >>> size_in_bytes("1.5 GB")
    1500000000
    """
    units = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12}
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)\s*([a-z]*)", text.strip().lower())
    if found is None or found[2] not in units:
        raise UserError(f"--max-disk {text}: this is not a number of bytes. For example: 200GB")
    return int(float(found[1]) * units[found[2]])

"""The terms of a set: shown before the first byte, accepted by the user, recorded with who, when and which words."""

import getpass
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from vitret import __version__
from vitret.core.errors import DataError
from vitret.core.store import digest, read_json_object, write_json
from vitret.data.card import Card


def statement(card: Card) -> str:
    """Licence and terms of a set as they are shown to the user."""
    where = f" ({card.terms.url})" if card.terms.url else ""
    return f"{card.title}: {card.licence.text} {card.terms.text}{where}".strip()


def accepted(data_root: Path, card: Card) -> dict[str, Any] | None:
    """The record of acceptance, if it is for these very words."""
    record = _recorded(data_root, card)
    return record if record is not None and record["accepted"] else None


def agree(
    data_root: Path,
    card: Card,
    *,
    accept: bool,
    ask: bool = True,
    report: Callable[[str], None] = lambda _: None,
) -> dict[str, Any] | None:
    """Show the terms and record that; returns the record, None where a set has no terms to accept.

    They are shown once, and recorded as accepted if `accept`. Where they are to be accepted (`ask`) and were not, a
    `DataError` has their words; otherwise the record says that they were shown.
    """
    if not card.terms.accept_required:
        return None
    earlier = _recorded(data_root, card)
    if earlier is not None and (earlier["accepted"] or not (accept or ask)):
        return earlier
    if ask and not accept:
        raise DataError(
            f"{statement(card)}\nNothing was prepared. To accept these terms, run the same command with --accept-terms"
        )
    report(statement(card))
    record = {
        "set": card.name,
        "who": _user(),
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "vitret": __version__,
        "statement": statement(card),
        "words": digest(statement(card)),
        "accepted": accept,
    }
    write_json(_record(data_root, card), record)
    return record


def _recorded(data_root: Path, card: Card) -> dict[str, Any] | None:
    """The record of these very words; an older one, which was only written on acceptance, does not say so itself."""
    path = _record(data_root, card)
    if not path.is_file():
        return None
    record: dict[str, Any] = {"accepted": True, **read_json_object(path)}
    return record if record.get("words") == digest(statement(card)) else None


def _record(data_root: Path, card: Card) -> Path:
    return data_root / ".terms" / f"{card.name}.json"


def _user() -> str:
    # In a container there may be no name for the number.
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())

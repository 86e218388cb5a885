"""The terms of a set: shown before the first byte, accepted by a person, and recorded with who, when and which card."""

import getpass
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from vitret import __version__
from vitret.core.errors import DataError
from vitret.core.store import digest, read_json, write_json
from vitret.data.card import Card


def statement(card: Card) -> str:
    """Licence and terms of a set as they are shown to a person."""
    where = f" ({card.terms.url})" if card.terms.url else ""
    return f"{card.title}: {card.licence.text} {card.terms.text}{where}".strip()


def accepted(data_root: Path, card: Card) -> dict[str, Any] | None:
    """The record of acceptance, if it is for these very words."""
    path = _record(data_root, card)
    if not path.is_file():
        return None
    record: dict[str, Any] = read_json(path)
    return record if record.get("words") == digest(statement(card)) else None


def require_accepted(data_root: Path, card: Card, *, accept: bool) -> dict[str, Any] | None:
    """The record of acceptance, written now if `accept`; None where a set asks for none.

    Terms that were not accepted raise `DataError` with their words.
    """
    if not card.terms.accept_required:
        return None
    known = accepted(data_root, card)
    if known is not None:
        return known
    if not accept:
        raise DataError(
            f"{statement(card)}\nNothing was fetched. To accept these terms: vitret prepare {card.name} --accept-terms"
        )
    record = {
        "set": card.name,
        "who": _user(),
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "vitret": __version__,
        "statement": statement(card),
        "words": digest(statement(card)),
    }
    write_json(_record(data_root, card), record)
    return record


def _record(data_root: Path, card: Card) -> Path:
    return data_root / ".terms" / f"{card.name}.json"


def _user() -> str:
    # In a container there may be no name for the number.
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())

"""The pairs in a file of overlap and which of them count: evidence of `vitret overlap`, or verdicts of its page."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from vitret.core.errors import UserError
from vitret.core.store import read_json_object

# What geometry and hashes propose for a pair without a verdict.
PHOTOGRAPH, PLACE, UNCLEAR = "same photograph", "same place", "unclear"
YES, NO = "yes", "no"


def confirmed(pairs: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The pairs that count as overlap: those with the verdict yes; in a file without any verdict, those proposed.

    >>> seen = {"verdict": "no", "proposal": "same place"}
    >>> confirmed([seen]), len(confirmed([{**seen, "verdict": None}]))
    ([], 1)
    """
    pairs = list(pairs)
    if any(pair.get("verdict") for pair in pairs):
        return [pair for pair in pairs if pair.get("verdict") == YES]
    return [pair for pair in pairs if pair.get("proposal") in (PHOTOGRAPH, PLACE)]


def read_pairs(path: Path) -> list[dict[str, Any]]:
    """The pairs in a file of evidence or of verdicts."""
    pairs = read_json_object(path, advice="Write it again: vitret overlap TRAINSET EVALSET").get("pairs")
    if not isinstance(pairs, list) or not all(_is_pair(pair) for pair in pairs):
        raise UserError(
            f"{path}: is neither the evidence that `vitret overlap` writes nor the verdicts of its page."
        )
    return pairs


def _is_pair(pair: Any) -> bool:
    return isinstance(pair, dict) and {"id", "train", "queries"} <= pair.keys()

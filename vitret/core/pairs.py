"""The pairs in a file of overlap, which is evidence, verdicts of its page or a record, and which of them count."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from vitret.core.errors import UserError
from vitret.core.store import read_json_object

# What geometry and hashes propose for a pair without a verdict.
PHOTOGRAPH, PLACE, UNCLEAR = "same photograph", "same place", "unclear"
YES, NO = "yes", "no"


def counted(pairs: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The pairs that count as overlap: those with the verdict yes, and proposals without a verdict.

    >>> rejected, open = ({"verdict": verdict, "proposal": "same place"} for verdict in ("no", None))
    >>> counted([rejected, open]) == [open]
    True
    """
    return [pair for pair in pairs if pair.get("verdict") == YES or _is_unjudged(pair)]


def unjudged(pairs: Iterable[dict[str, Any]]) -> int:
    """How many proposals have no verdict."""
    return sum(_is_unjudged(pair) for pair in pairs)


def unjudged_words(count: int) -> str:
    """Proposals without a verdict, counted in words.

    >>> unjudged_words(1), unjudged_words(2000)
    ('1 proposal not judged', '2,000 proposals not judged')
    """
    return f"{count:,} proposal{'' if count == 1 else 's'} not judged"


def _is_unjudged(pair: dict[str, Any]) -> bool:
    return not pair.get("verdict") and pair.get("proposal") in (PHOTOGRAPH, PLACE)


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

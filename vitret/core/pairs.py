"""The pairs in a file of overlap, which is evidence, verdicts of its page or a record, and which of them count."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from vitret.core.config import validate
from vitret.core.errors import UserError
from vitret.core.store import read_json_object

# What geometry and hashes propose for a pair without a verdict.
PHOTOGRAPH, PLACE, UNCLEAR = "same photograph", "same place", "unclear"
YES, NO = "yes", "no"
Proposal = Literal["same photograph", "same place", "unclear"]
Verdict = Literal["yes", "no"]
# The verb reads the evidence that is there before it writes it again, so a damaged file has to go first.
REWRITE = "Remove it and write it again: vitret overlap TRAINSET EVALSET --by A --by B"
Row = Annotated[int, Field(ge=0, strict=True)]


class ListedPair(BaseModel):
    """What all files of overlap say of a pair; some say more.

    `decided` stands in the page's verdicts: whether its reader gave the verdict, or took it back where it is none.
    """

    model_config = ConfigDict(frozen=True)

    id: str
    train: str
    queries: tuple[Row, ...]
    proposal: Proposal | None = None
    verdict: Verdict | None = None
    decided: bool = False


class _PairsFile(BaseModel):
    pairs: tuple[ListedPair, ...]


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


def read_pairs_file(path: Path) -> dict[str, Any]:
    """A file of evidence, of verdicts or of a record, with its pairs; raises `UserError` for what is none of these."""
    value = read_json_object(path, advice="Write it again: vitret overlap TRAINSET EVALSET")
    if "pairs" not in value:
        raise UserError(
            f"{path}: is neither the evidence that `vitret overlap` writes nor the verdicts of its page."
        )
    validate(_PairsFile, value, str(path), advice=advice(value))
    return value


def advice(value: Mapping[str, Any]) -> str:
    """How a damaged file of overlap is written again, by what it holds."""
    if "judged" in value:
        return "Write it again: vitret overlap TRAINSET EVALSET --record"
    if "schema" in value:
        return REWRITE
    return "Save the verdicts again on the page that `vitret overlap TRAINSET EVALSET` writes."

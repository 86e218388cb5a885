"""Where the pictures of a board lie, for the page that links to them; without pictures nothing is linked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Pictures:
    """Addresses beside the page, by anchor.

    `tables`: evaluation set and page, one each. `rows`: a row's part of the first of them. `pairs`: of each table those
    of pairs of ranked rows by their places, as "0-1".
    """

    tables: Mapping[str, Sequence[tuple[str, str]]] = field(default_factory=dict)
    rows: Mapping[str, str] = field(default_factory=dict)
    pairs: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


NO_PICTURES = Pictures()

"""Approximate search: which index of faiss stands in for exact search, with which options, and what it found and cost.

Jégou et al., TPAMI 2011 (product quantisation, inverted lists); Malkov and Yashunin, TPAMI 2020 (HNSW).
"""

from __future__ import annotations

from typing import Any, Literal, get_args

from pydantic import Field, model_validator

from vitret.core.config import Strict, parse_yaml, validate
from vitret.core.errors import UserError, did_you_mean

# Share of how many of the exact first images is written into a row.
RECALL_AT = (1, 10, 100)


class _Index(Strict):
    """What every index has; an index adds its `kind`, which is how users call it."""

    kind: str
    depth: int = Field(
        default=1000, gt=0, description="images that are found for a query; the others have no rank"
    )
    rescore: bool = Field(default=True, description="the found images are sorted by their exact scores")

    def _words(self, options: str) -> str:
        order = "rescored" if self.rescore else "in the order of the index"
        return f"approximate search by {self.kind} ({options}), first {self.depth} {order}"


class IvfPqSpec(_Index):
    """Inverted lists of compressed descriptors: `probes` lists are searched for a query."""

    kind: Literal["ivf_pq"] = "ivf_pq"
    lists: int | None = Field(
        default=None,
        gt=0,
        description="None: the power of two nearest to four times the root of their number",
    )
    probes: int = Field(default=32, gt=0)
    bytes: int = Field(default=32, gt=0, description="of a compressed descriptor")
    on_disk: bool = Field(default=False, description="the lists are in a file, and pages of it in memory")

    @property
    def words(self) -> str:
        """For a table's caption.

        >>> IvfPqSpec(lists=1024).words
        'approximate search by ivf_pq (1024 lists, 32 probed, 32 bytes), first 1000 rescored'
        """
        lists = "lists by size" if self.lists is None else f"{self.lists} lists"
        disk = ", on disk" if self.on_disk else ""
        return self._words(f"{lists}, {self.probes} probed, {self.bytes} bytes{disk}")


class HnswSpec(_Index):
    """A graph of neighbours over whole descriptors in memory, walked from its top for each query."""

    kind: Literal["hnsw"] = "hnsw"
    links: int = Field(default=32, gt=1, description="of an image to its neighbours")
    build_breadth: int = Field(default=200, gt=0, description="candidates kept while the graph is built")
    breadth: int = Field(default=256, gt=0, description="candidates kept during a search, `depth` at least")

    @property
    def words(self) -> str:
        """For a table's caption."""
        return self._words(f"{self.links} links, breadth {max(self.breadth, self.depth)}")


IndexSpec = IvfPqSpec | HnswSpec
_KINDS: dict[str, type[IvfPqSpec] | type[HnswSpec]] = {
    get_args(spec.model_fields["kind"].annotation)[0]: spec for spec in (IvfPqSpec, HnswSpec)
}


def parse_index(text: str) -> IndexSpec:
    """The index that KIND or KIND,OPTION=VALUE,… names; raises `UserError` for what does not exist.

    >>> parse_index("hnsw,links=16").links
    16
    """
    kind, *assignments = (word.strip() for word in text.split(","))
    if kind not in _KINDS:
        raise UserError(f"--search: there is no index called '{kind}'. {did_you_mean(kind, _KINDS)}")
    given: dict[str, Any] = {"kind": kind}
    for assignment in assignments:
        key, equals, value = assignment.partition("=")
        if not equals or not key:
            raise UserError(
                f"--search {text}: '{assignment}' is not OPTION=VALUE, e.g. --search {kind},depth=1000"
            )
        given[key] = parse_yaml(value, f"--search {text}")
    return validate(_KINDS[kind], given, f"--search {text}")


class SearchFacts(Strict):
    """What an approximate search found of the exact one, and what it cost on this machine; no row is known by times."""

    recall: dict[str, float] = Field(
        description="k → share of the exact first k among its own first k, mean over queries, without the query itself"
    )
    recall_queries: int = Field(gt=0, description="over which the recall is a mean")
    index: str = Field(description="as faiss calls it")
    where: Literal["cpu", "gpu"] = "cpu"
    index_bytes: int = Field(ge=0, description="of the index, written to a file")
    build_seconds: float = Field(ge=0)
    search_seconds: float = Field(ge=0, description="for all queries, rescoring included")
    exact_seconds: float = Field(ge=0, description="of exact search for the queries of the recall")

    @model_validator(mode="after")
    def _is_a_share(self) -> SearchFacts:
        if not self.recall or not all(0 <= value <= 1 for value in self.recall.values()):
            raise ValueError("recall must be shares from 0 to 1")
        return self

    @property
    def words(self) -> str:
        """For a table.

        >>> SearchFacts(recall={"1": 1.0, "10": 0.985}, recall_queries=70, index="HNSW32", index_bytes=1,
        ...             build_seconds=1, search_seconds=1, exact_seconds=1).words
        'recall of the exact first 1, 10: 100.0, 98.5 %'
        """
        shares = ", ".join(f"{100 * value:.1f}" for value in self.recall.values())
        return f"recall of the exact first {', '.join(self.recall)}: {shares} %"

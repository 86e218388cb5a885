"""The judged images of all queries, end to end: scored exactly once, and what ranks are made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitret.core.records import Int64, Ragged, Ranks
from vitret.measure.scoring import Float32, Rows, exact_pairs, key_scores, largest_norm, order_keys
from vitret.measure.tally import Limits
from vitret.measure.threads import each, thread_count

_SOME = 2**20  # numbers of the rows that are read at a time


@dataclass(frozen=True, kw_only=True, eq=False)
class Asked:
    """Some queries with their limits and their judged images, by database index (k,): row of the query, exact score."""

    queries: slice
    limits: Limits
    images: Int64
    rows: Int64
    scores: Float32

    def among(self, first: int, count: int) -> tuple[Int64, Int64, Float32]:
        """Rows, images counted from `first`, and exact scores of those among some database images."""
        here = slice(*np.searchsorted(self.images, (first, first + count)))
        return self.rows[here], self.images[here] - first, self.scores[here]


@dataclass(frozen=True, kw_only=True, eq=False)
class Judged:
    """Every judged image (K,), by query and then by key, ascending: from the worst score to the best.

    `owners` (K,) are queries, `asked` (K,) tells which are positives at some level, `offsets` (Q+1,) where a query's
    images begin, `norm` is the largest of the queries. `places` (K,) finds an image in this order from its place by
    query and index, `pairs` (K,).
    """

    judged: Mapping[str, tuple[Ragged, Ragged]]
    norm: float
    span: int
    pairs: Int64
    places: Int64
    owners: Int64
    keys: Int64
    images: Int64
    asked: NDArray[np.bool_]
    offsets: Int64

    @classmethod
    def of(
        cls,
        queries: NDArray[Any],
        rows: Rows,
        judged: Mapping[str, tuple[Ragged, Ragged]],
        *,
        threads: int | None = None,
    ) -> Judged:
        """From name of a level → (positives, junk); scores every pair exactly.

        Raises `DataError` for queries that are not finite, or do not fit the rows.
        """
        Rows.of(queries, *rows.parts)
        norm = largest_norm(queries, what="queries")
        ends = [int(one.values.max(initial=-1)) + 1 for lists in judged.values() for one in lists]
        span = max(len(rows), *ends)
        positive = [good.pairs(span) for good, _ in judged.values()]
        pairs = np.unique(np.concatenate([*positive, *(junk.pairs(span) for _, junk in judged.values())]))
        owners, images = np.divmod(pairs, span)
        scores = np.empty(len(pairs), dtype=np.float32)

        def score(some: slice) -> None:
            scores[some] = exact_pairs(queries[owners[some]], rows.take(images[some]))

        size = max(1, _SOME // max(1, rows.dim))
        each(
            score, [slice(i, i + size) for i in range(0, len(pairs), size)], threads=threads or thread_count()
        )
        keys = order_keys(scores, images)
        order = np.lexsort((keys, owners))
        places = np.empty(len(pairs), dtype=np.int64)
        places[order] = np.arange(len(pairs))
        asked = np.zeros(len(pairs), dtype=np.bool_)
        for some in positive:
            asked[places[np.searchsorted(pairs, some)]] = True
        return cls(
            judged=judged,
            norm=norm,
            span=span,
            pairs=pairs,
            places=places,
            owners=owners,
            keys=keys[order],
            images=images[order],
            asked=asked,
            offsets=_offsets(owners, len(queries)),
        )

    def limits(self) -> Limits:
        """The keys of all positives."""
        return Limits.of(self.keys[self.asked], _offsets(self.owners[self.asked], len(self.offsets) - 1))

    def split(self, slices: Sequence[slice]) -> list[Asked]:
        """The same for slices of the queries."""
        limits, asked = self.limits(), []
        for queries in slices:
            here = slice(self.offsets[queries.start], self.offsets[queries.stop])
            order = here.start + np.argsort(self.images[here], kind="stable")
            asked.append(
                Asked(
                    queries=queries,
                    limits=limits.among(queries),
                    images=self.images[order],
                    rows=self.owners[order] - queries.start,
                    scores=key_scores(self.keys[order]),
                )
            )
        return asked

    def ranks(self, strangers: Int64) -> dict[str, Ranks]:
        """The ranks at each level, from how many unjudged images beat each limit, in the order of `limits`."""
        # Of the judged images of a query, those behind one in the order beat it.
        above = self.offsets[self.owners + 1] - 1 - np.arange(len(self.keys))
        above[self.asked] += strangers
        counted: dict[str, Ranks] = {}
        for level, (good, junk) in self.judged.items():
            mine = self._find(good)
            spoilt = np.append(0, np.cumsum(np.bincount(self._find(junk), minlength=len(self.keys))))
            owners = self.owners[mine]
            ranks = above[mine] - (spoilt[self.offsets[owners + 1]] - spoilt[mine + 1])
            ranks = ranks[np.lexsort((ranks, owners))]
            counted[level] = Ranks(values=ranks, offsets=good.offsets, n_positive=good.lengths())
        return counted

    def _find(self, lists: Ragged) -> Int64:
        places: Int64 = self.places[np.searchsorted(self.pairs, lists.pairs(self.span))]
        return places


def _offsets(owners: Int64, queries: int) -> Int64:
    return np.append(0, np.cumsum(np.bincount(owners, minlength=queries)))

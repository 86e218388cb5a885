"""How many images of one block of scores beat each wanted image, for many queries at once.

Most queries of a good descriptor have no contender in a block, and the block is read once. The others are counted in
one of three ways, by what they cost: sort the few contenders, compare the scores with every limit, or sort the scores.
Scores that lie within the product's error of a limit are close calls: they alone are scored exactly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from vitret.core.records import Int64
from vitret.measure.scoring import Float32, key_scores, rising

# (queries (E,), images (E,), both counted from the block's first; proposed scores (E,)) → the keys that decide, (E,).
Exact = Callable[[Int64, Int64, Float32], Int64]
Bool = NDArray[np.bool_]

# Scores or comparisons a step. With half of it numpy's calls take longer than what they do: 1.33 times the bare product
# in place of 1.24 (poor descriptors, 9,000² × 384, medians of five, a busy machine); four times as many gain nothing.
_TOGETHER = 2**18
# Nanoseconds on one core: a contender that is found and sorted, a score beside a limit, a score in a sorted row.
_CONTENDER, _COMPARED, _SORTED = 40.0, 0.6, 9.0
_SAMPLED = 8  # every so many queries tell how many contenders there are
_EVEN, _ONES = np.uint64(0x00FF00FF00FF00FF), np.uint64(0x0001000100010001)


@dataclass(frozen=True, kw_only=True, eq=False)
class Limits:
    """The keys to beat, (T,), end to end and ascending within a query; query q owns `offsets[q]:offsets[q + 1]`.

    `scores` (T,) are theirs, `owners` (T,) the queries.
    """

    keys: Int64
    offsets: Int64
    scores: Float32
    owners: Int64

    @classmethod
    def of(cls, keys: Int64, offsets: Int64) -> Limits:
        owners = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
        return cls(keys=keys, offsets=offsets, scores=key_scores(keys), owners=owners)

    def among(self, some: slice) -> Limits:
        """Those of some queries."""
        offsets = self.offsets[some.start : some.stop + 1]
        return Limits.of(self.keys[offsets[0] : offsets[-1]], offsets - offsets[0])


@dataclass(frozen=True, kw_only=True, eq=False)
class _Open:
    """The queries (e,) with a contender, those with the most limits first, and the limits (t,) that may be beaten.

    `counts` (e,) tells how many limits a query has. `rows` (t,) counts queries in this order; `which` (t,) is a
    limit's place among all, `low` and `high` bound its window of doubt, both ascending within a query.
    """

    queries: Int64
    counts: Int64
    rows: Int64
    which: Int64
    low: Float32
    high: Float32

    @classmethod
    def of(cls, peaks: Float32, limits: Limits, tau: float) -> _Open:
        """From the best score of each query, (q,)."""
        low = limits.scores - np.float32(tau)
        # Limits ascend, so those that may be beaten are the first of their query.
        counts = np.bincount(limits.owners[low <= peaks[limits.owners]], minlength=len(peaks))
        queries = np.argsort(-counts, kind="stable")[: np.count_nonzero(counts)]
        counts = counts[queries]
        rows = np.repeat(np.arange(len(queries)), counts)
        which = (limits.offsets[queries] - (np.cumsum(counts) - counts))[rows] + np.arange(len(rows))
        high = limits.scores[which] + np.float32(tau)
        return cls(queries=queries, counts=counts, rows=rows, which=which, low=low[which], high=high)

    def among(self, first: int, last: int) -> _Open:
        """Those of some queries, with `rows` counted from the first of them."""
        here = slice(*np.searchsorted(self.rows, (first, last)))
        return _Open(
            queries=self.queries[first:last],
            counts=self.counts[first:last],
            rows=self.rows[here] - first,
            which=self.which[here],
            low=self.low[here],
            high=self.high[here],
        )

    def lowest(self) -> Float32:
        """Where each query's first window begins, (e,)."""
        first: Float32 = self.low[np.cumsum(self.counts) - self.counts]
        return first

    def steps(self, images: int) -> Iterator[_Open]:
        """As many queries at a time as the cache holds."""
        size = max(1, _TOGETHER // images)
        for first in range(0, len(self.queries), size):
            yield self.among(first, first + size)


# Scores (q, n) → per limit: how many lie above its window, and whether any lies inside; (t,) both.
_Way = Callable[[Float32, _Open], tuple[Int64, Bool]]


def beating(scores: Float32, limits: Limits, tau: float, exact: Exact) -> Int64:
    """How many images beat each limit, (T,).

    `scores` (q, n), proposed, each within `tau` of what decides; an image that must not count stands at −∞.
    """
    ahead = np.zeros(len(limits.keys), dtype=np.int64)
    if not scores.shape[1]:
        return ahead
    every = _Open.of(scores.max(axis=1), limits, tau)
    if not len(every.queries):
        return ahead
    if 4 * len(every.queries) > len(scores):
        scores = np.ascontiguousarray(scores)  # turned once where it lies on its side
    doubtful = []
    with _small_buffers():
        for way, some in _ways(scores, every):
            above, inside = way(scores, some)
            ahead[some.which] = above
            doubtful.append(inside)
    doubt = np.flatnonzero(np.concatenate(doubtful))
    if len(doubt):
        ahead[every.which[doubt]] = _settled(scores, every, doubt, ahead, limits.keys, exact)
    return ahead


@contextmanager
def _small_buffers() -> Iterator[None]:
    """Numpy copies a number that stands beside a row until its buffer is full, which takes as long as to compare."""
    before = np.setbufsize(512)
    try:
        yield
    finally:
        np.setbufsize(before)


def _ways(scores: Float32, every: _Open) -> list[tuple[_Way, _Open]]:
    """How to count which queries, in their order; those with the most limits may be better sorted."""
    images = scores.shape[1]
    some = slice(None, None, _SAMPLED)
    asked = scores[every.queries[some]]
    contenders = np.count_nonzero(asked >= every.lowest()[some, None]) / len(asked)
    otherwise = np.minimum(_COMPARED * every.counts, _SORTED).mean() * images
    if _CONTENDER * contenders + _COMPARED / 2 * images <= otherwise:
        return [(_by_finding, every)]
    many = int(np.count_nonzero(_COMPARED * every.counts > _SORTED))
    parts = [(_by_sorting, every.among(0, many)), (_by_comparing, every.among(many, len(every.queries)))]
    return [(way, part) for way, part in parts if len(part.queries)]


def _by_finding(scores: Float32, every: _Open) -> tuple[Int64, Bool]:
    """The contenders are sorted."""
    found = []
    for some in every.steps(scores.shape[1]):
        part = np.ascontiguousarray(scores[some.queries])
        rows, images = np.divmod(np.flatnonzero(part >= some.lowest()[:, None]), part.shape[1])
        found.append(_by_place(np.sort(_place(rows, part[rows, images])), some))
    return _joined(found)


def _by_sorting(scores: Float32, every: _Open) -> tuple[Int64, Bool]:
    """All scores of a query are sorted."""
    found = []
    for some in every.steps(scores.shape[1]):
        part = np.sort(scores[some.queries], axis=1)
        found.append(_by_place(_place(np.arange(len(part))[:, None], part).ravel(), some))
    return _joined(found)


def _joined(found: Sequence[tuple[Int64, Bool]]) -> tuple[Int64, Bool]:
    above, inside = zip(*found, strict=True)
    return np.concatenate(above), np.concatenate(inside)


def _place(rows: Int64, scores: Float32) -> Int64:
    """One integer that orders by row, then by score."""
    return (rows << 32) + (rising(scores) + np.int64(2**31))


def _by_place(places: Int64, some: _Open) -> tuple[Int64, Bool]:
    above = np.searchsorted(places, _place(some.rows, some.high), side="right")
    inside = np.searchsorted(places, _place(some.rows, some.low)) < above
    ends = np.searchsorted(places, np.arange(1, len(some.queries) + 1) << 32)
    return ends[some.rows] - above, inside


def _by_comparing(scores: Float32, every: _Open) -> tuple[Int64, Bool]:
    """The scores of a query are compared with each of its limits."""
    images, counts = scores.shape[1], every.counts
    # Bytes are added eight at once, so they lie in whole 64-bit words, and in pieces of 255 words at most.
    pieces = -(-images // (8 * 255))
    words = -(-images // (8 * pieces))
    most = max(int(counts[0]), min(len(every.low), _TOGETHER // images))
    mask = np.zeros((most, pieces * words * 8), dtype=np.bool_)
    eights = mask.view(np.uint64).reshape(most, pieces, words)
    reached, above = (np.empty((len(every.low), pieces), dtype=np.uint64) for _ in range(2))
    ends = np.append(0, np.cumsum(counts)).tolist()
    for first, last in _alike(counts, most):
        some = slice(ends[first], ends[last])
        room, bounds = some.stop - some.start, (last - first, -1, 1)
        # A row stays in the first-level cache while it is compared with all limits of its query.
        part = scores[every.queries[first:last], None]
        there = mask[:room, :images].reshape(last - first, -1, images)
        np.greater_equal(part, every.low[some].reshape(bounds), out=there)
        np.add.reduce(eights[:room], axis=2, out=reached[some])
        np.greater(part, every.high[some].reshape(bounds), out=there)
        np.add.reduce(eights[:room], axis=2, out=above[some])
    found = _bytes_added(above)
    return found, _bytes_added(reached) > found


def _alike(counts: Int64, most: int) -> Iterator[tuple[int, int]]:
    """Neighbours with equal counts, from first to last, that have `most` together at most."""
    ends = np.append(np.flatnonzero(np.diff(counts)) + 1, len(counts)).tolist()
    for first, last in pairwise([0, *ends]):
        size = most // int(counts[first])
        yield from ((i, min(i + size, last)) for i in range(first, last, size))


def _bytes_added(words: NDArray[np.uint64]) -> Int64:
    """The sum of all bytes of the words in each row, (t, w) → (t,)."""
    pairs = (words & _EVEN) + (words >> np.uint64(8) & _EVEN)
    # The product adds the four sums of two bytes up, in its highest sixteen bits.
    total: Int64 = (pairs * _ONES >> np.uint64(48)).astype(np.int64).sum(axis=1)
    return total


def _settled(scores: Float32, every: _Open, doubt: Int64, ahead: Int64, keys: Int64, exact: Exact) -> Int64:
    """The counts of the limits in doubt, with all scores in their windows decided; windows that overlap are one."""
    rows, low, high, which = every.rows[doubt], every.low[doubt], every.high[doubt], every.which[doubt]
    begins = np.append(True, (np.diff(rows) > 0) | (low[1:] > high[:-1]))
    window = np.cumsum(begins) - 1
    first, last = np.flatnonzero(begins), np.flatnonzero(np.append(begins[1:], True))
    close = []  # windows, queries, images and scores of the close calls
    size = max(1, _TOGETHER // scores.shape[1])
    for start in range(0, len(first), size):
        some = slice(start, start + size)
        queries = every.queries[rows[first[some]]]
        beside = np.ascontiguousarray(scores[queries])
        inside = beside >= low[first[some], None]
        inside &= beside <= high[last[some], None]
        local, images = np.divmod(np.flatnonzero(inside), scores.shape[1])
        close.append((start + local, queries[local], images, beside[local, images]))
    owners, *pairs = (np.concatenate(some) for some in zip(*close, strict=True))
    owner, key = np.append(window, owners), np.append(keys[which], exact(*pairs))
    order = np.lexsort((key, owner))
    # Keys ascend within a window: those behind a limit, other limits left out, beat it.
    passed = np.cumsum(order >= len(window))
    until = np.empty(len(order), dtype=np.int64)
    until[order] = passed
    ends = passed[np.flatnonzero(np.append(np.diff(owner[order]) > 0, True))]
    # What lies above the whole window beats every limit in it.
    settled: Int64 = ahead[which][last[window]] + ends[window] - until[: len(window)]
    return settled

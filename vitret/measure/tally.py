"""How many images of one block of scores beat each wanted image, for many queries at once.

Most queries of a good descriptor have no contender in a block, and the block is read once. The others are counted in
one of three ways, by what they cost: sort the few contenders, compare the block with every limit, or sort the block.
Scores that lie within the product's error of a limit are close calls: they alone are scored exactly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
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

# Scores a step, 1 MiB. With 256 KiB, which the second-level cache holds, numpy's calls take longer than what they do:
# poor descriptors took 1.65 times the bare product in place of 1.42 (9,000² × 384, medians of four, a busy machine).
_TOGETHER = 2**18
# Nanoseconds on one core: a contender that is found and sorted, a score beside a limit, a score in a sorted row.
_CONTENDER, _COMPARED, _SORTED = 40.0, 0.6, 9.0


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
    """The queries with a contender, those with the most limits first, and the limits (t,) that may be beaten.

    `rows` (t,) counts queries in this order, `turn` (t,) the limits of a query; `which` (t,) is a limit's place among
    all, `low` and `high` bound its window of doubt.
    """

    queries: Int64
    rows: Int64
    turn: Int64
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
        turn = np.arange(len(rows)) - (np.cumsum(counts) - counts)[rows]
        which = limits.offsets[queries][rows] + turn
        high = limits.scores[which] + np.float32(tau)
        return cls(queries=queries, rows=rows, turn=turn, which=which, low=low[which], high=high)

    def steps(self, images: int) -> Iterator[_Open]:
        """As many queries at a time as the cache holds, with `rows` counted from the first of them."""
        size = max(1, _TOGETHER // images)
        ends = np.searchsorted(self.rows, np.arange(0, len(self.queries) + size, size))
        for i, (first, last) in enumerate(pairwise(ends)):
            here = slice(first, last)
            yield _Open(
                queries=self.queries[i * size : (i + 1) * size],
                rows=self.rows[here] - i * size,
                turn=self.turn[here],
                which=self.which[here],
                low=self.low[here],
                high=self.high[here],
            )


def beating(scores: Float32, limits: Limits, tau: float, exact: Exact) -> Int64:
    """How many images beat each limit, (T,).

    `scores` (q, n), proposed, each within `tau` of what decides; an image that must not count stands at −∞.
    """
    ahead = np.zeros(len(limits.keys), dtype=np.int64)
    if not scores.shape[1]:
        return ahead
    every = _Open.of(scores.max(axis=1), limits, tau)
    if 4 * len(every.queries) > len(scores):
        scores = np.ascontiguousarray(scores)  # turned once where it lies on its side
    doubtful = []
    with _small_buffers():
        for some in every.steps(scores.shape[1]):
            above, inside = _counted(np.ascontiguousarray(scores[some.queries]), some)
            ahead[some.which] = above
            doubtful.append(inside)
    doubt = np.flatnonzero(np.concatenate([np.empty(0, dtype=np.bool_), *doubtful]))
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


def _counted(part: Float32, some: _Open) -> tuple[Int64, Bool]:
    """Per limit: how many scores lie above its window, and whether any lies inside."""
    lowest = some.low[some.turn == 0]
    mask = np.zeros((len(part), -(-part.shape[1] // 8) * 8), dtype=np.bool_)  # rows of whole 64-bit words
    np.greater_equal(part, lowest[:, None], out=mask[:, : part.shape[1]])
    costs = (
        _CONTENDER * np.count_nonzero(mask),
        _COMPARED * len(some.rows) * part.shape[1],
        _SORTED * part.size,
    )
    if costs[1] <= min(costs):
        return _by_comparing(part, some, mask)
    if costs[0] <= costs[2]:
        rows, images = np.divmod(np.flatnonzero(mask), mask.shape[1])
        return _by_place(np.sort(_place(rows, part[rows, images])), some)
    return _by_place(_place(np.arange(len(part))[:, None], np.sort(part, axis=1)).ravel(), some)


def _place(rows: Int64, scores: Float32) -> Int64:
    """One integer that orders by row, then by score."""
    return (rows << 32) + (rising(scores) + np.int64(2**31))


def _by_place(places: Int64, some: _Open) -> tuple[Int64, Bool]:
    above = np.searchsorted(places, _place(some.rows, some.high), side="right")
    inside = np.searchsorted(places, _place(some.rows, some.low)) < above
    ends = np.searchsorted(places, np.arange(1, len(some.queries) + 1) << 32)
    return ends[some.rows] - above, inside


def _by_comparing(part: Float32, some: _Open, mask: Bool) -> tuple[Int64, Bool]:
    """`mask` tells which scores reach the lowest limit of their row."""
    images = part.shape[1]
    counts = np.bincount(some.turn)  # of rows that have another limit; those with the most come first
    shape = (len(counts), len(part))
    low, high = np.empty(shape, dtype=np.float32), np.empty(shape, dtype=np.float32)
    low[some.turn, some.rows], high[some.turn, some.rows] = some.low, some.high
    reached, above = _Tally.room(mask, shape[0]), _Tally.room(mask, shape[0])
    for i, rows in enumerate(counts):
        there = mask[:rows, :images]
        if i:
            np.greater_equal(part[:rows], low[i, :rows, None], out=there)
        reached.add(i, mask[:rows])
        np.greater(part[:rows], high[i, :rows, None], out=there)
        above.add(i, mask[:rows])
    found = above.total()[some.turn, some.rows]
    return found, reached.total()[some.turn, some.rows] > found


@dataclass(frozen=True, kw_only=True, eq=False)
class _Tally:
    """How many are true in each row, some times over: bytes are added eight at once, 255 words at most."""

    words: NDArray[np.uint64]  # (255 words each, times, rows)

    @classmethod
    def room(cls, mask: Bool, times: int) -> _Tally:
        return cls(words=np.zeros((-(-mask.shape[1] // (8 * 255)), times, len(mask)), dtype=np.uint64))

    def add(self, time: int, mask: Bool) -> None:
        words = mask.view(np.uint64)
        for i, eight in enumerate(self.words):
            np.add.reduce(words[:, i * 255 : (i + 1) * 255], axis=1, out=eight[time, : len(mask)])

    def total(self) -> Int64:
        """(times, rows)."""
        counts: Int64 = (
            self.words.view(np.uint8).reshape(*self.words.shape, 8).sum(axis=(0, 3), dtype=np.int64)
        )
        return counts


def _settled(scores: Float32, every: _Open, doubt: Int64, ahead: Int64, keys: Int64, exact: Exact) -> Int64:
    """The counts of the limits in doubt, with all scores in their windows decided; windows that overlap are one."""
    rows, low, high, which = every.rows[doubt], every.low[doubt], every.high[doubt], every.which[doubt]
    begins = np.append(True, (np.diff(rows) > 0) | (low[1:] > high[:-1]))
    window = np.cumsum(begins) - 1
    first, last = np.flatnonzero(begins), np.flatnonzero(np.append(begins[1:], True))
    owners, decided = [window], [keys[which]]
    size = max(1, _TOGETHER // scores.shape[1])
    for start in range(0, len(first), size):
        some = slice(start, start + size)
        queries = every.queries[rows[first[some]]]
        beside = np.ascontiguousarray(scores[queries])
        inside = (beside >= low[first[some], None]) & (beside <= high[last[some], None])
        local, images = np.divmod(np.flatnonzero(inside), scores.shape[1])
        owners.append(start + local)
        decided.append(exact(queries[local], images, beside[local, images]))
    owner, key = np.concatenate(owners), np.concatenate(decided)
    order = np.lexsort((key, owner))
    # Keys ascend within a window: those behind a limit, other limits left out, beat it.
    passed = np.cumsum(order >= len(window))
    until = np.empty(len(order), dtype=np.int64)
    until[order] = passed
    ends = passed[np.flatnonzero(np.append(np.diff(owner[order]) > 0, True))]
    # What lies above the whole window beats every limit in it.
    settled: Int64 = ahead[which][last[window]] + ends[window] - until[: len(window)]
    return settled

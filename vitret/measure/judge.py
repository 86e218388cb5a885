"""From a ranking and the truth to the ranks of the positives: the one place where junk is taken out.

Radenović et al., CVPR 2018, section 3: at each level some judged images are junk and are removed before anything is
counted, which moves every later image up.
"""

import numpy as np

from vitret.core.errors import DataError
from vitret.core.records import Int64, Ragged, Ranking, Ranks, Truth


def judge(ranking: Ranking, truth: Truth, level: str) -> Ranks:
    """The junk-free ranks of each query's positives.

    A ranking may stop early: positives it does not reach are counted in `n_positive` and have no rank. −1 fills short
    rows at their end. Raises `DataError` for another number of queries than the truth has, or an image named twice.
    """
    return judge_lists(ranking, *truth.at(level))


def judge_lists(ranking: Ranking, good: Ragged, junk: Ragged) -> Ranks:
    """As `judge`, with the lists themselves: the positives and the junk of each query."""
    if len(ranking.indices) != len(good):
        raise DataError(
            f"the ranking has {len(ranking.indices)} queries, the truth {len(good)}. Was it made for this set?"
        )
    ranks = [_ranks(ranking.indices[q], good.row(q), junk.row(q), q) for q in range(len(good))]
    return Ranks.of(ranks, good.lengths())


def _ranks(ranked: Int64, good: Int64, junk: Int64, query: int) -> Int64:
    ranked = ranked[ranked >= 0]
    images = 1 + max((int(some.max()) for some in (ranked, good, junk) if len(some)), default=-1)
    place = np.full(images, -1, dtype=np.int64)
    place[ranked] = np.arange(len(ranked))
    if (place >= 0).sum() != len(ranked):
        raise DataError(f"the ranking of query {query} names an image twice. Remove the repetition.")
    found, spoilt = (np.sort(places[places >= 0]) for places in (place[good], place[junk]))
    return found - np.searchsorted(spoilt, found)

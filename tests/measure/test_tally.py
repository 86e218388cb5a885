import numpy as np
import pytest

from vitret.measure import tally
from vitret.measure.scoring import order_keys
from vitret.measure.tally import Limits, beating

TAU = 0.01


def drawn(rng, *, queries, images, most, spread):
    """Exact scores, the same a little off, and limits that some images equal."""
    exact = (rng.integers(-spread, spread + 1, (queries, images)) * 0.004).astype(np.float32)
    proposed = exact + rng.uniform(-TAU, TAU, exact.shape).astype(np.float32) * np.float32(0.9)
    counts = rng.integers(0, most + 1, queries)
    scores = [np.sort(rng.integers(-spread, spread + 1, n) * 0.004).astype(np.float32) for n in counts]
    # Indices beyond the block's, so that an equal score loses against every image of the block.
    keys = [np.sort(order_keys(some, images + np.arange(len(some)))) for some in scores]
    offsets = np.append(0, np.cumsum(counts))
    return exact, proposed, Limits.of(np.concatenate([np.empty(0, dtype=np.int64), *keys]), offsets)


def one_by_one(exact, limits):
    """What each limit is beaten by, query after query."""
    keys = [order_keys(row, np.arange(exact.shape[1])) for row in exact]
    return [int((keys[q] > key).sum()) for q, key in zip(limits.owners, limits.keys, strict=True)]


COSTS = {
    "few are sorted": (0.0, 1e9, 1e9),
    "limits are compared": (1e9, 0.0, 1e9),
    "all are sorted": (1e9, 1e9, 0.0),
    "many limits are sorted, few compared": (1e9, 1.0, 3.5),
}


@pytest.mark.parametrize("way", [*COSTS, "by cost"])
@pytest.mark.parametrize("sides", ["rows", "columns"])
def test_every_way_counts_what_counting_one_by_one_does(way, sides, monkeypatch):
    if way in COSTS:
        for name, cost in zip(("_CONTENDER", "_COMPARED", "_SORTED"), COSTS[way], strict=True):
            monkeypatch.setattr(tally, name, cost)
    monkeypatch.setattr(tally, "_TOGETHER", 300)  # several steps
    rng = np.random.default_rng(0)
    for spread in (3, 40, 4000):  # from everything in doubt to hardly anything
        for queries, images, most in ((1, 1, 1), (7, 13, 3), (20, 50, 9), (30, 8, 60), (3, 2100, 5)):
            exact, proposed, limits = drawn(rng, queries=queries, images=images, most=most, spread=spread)
            lying = np.asfortranarray(proposed) if sides == "columns" else proposed
            found = beating(lying, limits, TAU, lambda q, i, _, exact=exact: order_keys(exact[q, i], i))
            assert found.tolist() == one_by_one(exact, limits)


def test_only_close_calls_are_scored_exactly():
    scores = np.array([[0.9, 0.5, 0.1, -np.inf]], dtype=np.float32)
    limits = Limits.of(order_keys(np.array([0.3, 0.505], np.float32), np.array([9, 9])), np.array([0, 2]))
    asked = []

    def exact(queries, images, proposed):
        asked.extend(zip(queries.tolist(), images.tolist(), proposed.tolist(), strict=True))
        return order_keys(np.array([0.51], np.float32), images)

    assert beating(scores, limits, TAU, exact).tolist() == [2, 2]
    assert asked == [(0, 1, 0.5)]


def test_no_images_beat_nothing():
    limits = Limits.of(order_keys(np.array([0.3], np.float32), np.array([0])), np.array([0, 1]))
    assert beating(np.empty((1, 0), np.float32), limits, TAU, lambda *_: np.empty(0, np.int64)).tolist() == [
        0
    ]

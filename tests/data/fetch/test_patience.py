"""Pauses that grow, attempts that are counted again after progress, and a stop that ends the pause."""

import random
import threading
import time

import pytest

from vitret.data.fetch.http_ftp import TransientError
from vitret.data.fetch.patience import PROGRESS_MADE, Patience

QUICK = Patience(attempts=3, first=0.0)


def test_pauses_grow_and_are_bounded():
    patience = Patience(first=1.0, longest=10.0)
    assert [patience.pause(n, None) for n in (1, 2, 3, 4, 5)] == [1, 2, 4, 8, 10]
    assert (patience.pause(1, 7.0), patience.pause(1, 999.0)) == (7, 10)
    jittered = Patience(first=1.0, jitter=random.Random(0))
    assert 0.5 <= jittered.pause(1, None) <= 1.0


def failing(gains: list[int]):
    """A function that fails once for every gain in bytes, and what it received so far."""
    received, left = [0], list(gains)

    def attempt() -> str:
        if not left:
            return "all"
        received[0] += left.pop(0)
        raise TransientError("broken")

    return attempt, lambda: received[0], left


def test_attempts_are_bounded():
    attempt, received, left = failing([1] * 5)
    with pytest.raises(TransientError, match="broken"):
        QUICK.retrying(received, threading.Event())(attempt)
    assert len(left) == 2  # Three of five were made.


def test_progress_counts_attempts_from_scratch():
    attempt, received, _ = failing([1, PROGRESS_MADE, 1, PROGRESS_MADE, 1])
    assert QUICK.retrying(received, threading.Event())(attempt) == "all"


def test_what_the_host_asks_for_is_waited():
    errors = [TransientError("busy", wait=0.2)]

    def attempt() -> float:
        if errors:
            raise errors.pop()
        return time.perf_counter()

    start = time.perf_counter()
    assert QUICK.retrying(lambda: 0, threading.Event())(attempt) - start >= 0.2


def test_a_pause_ends_when_it_is_stopped():
    stop = threading.Event()
    attempt, received, _ = failing([0] * 5)
    stop.set()
    start = time.perf_counter()
    with pytest.raises(TransientError):
        Patience(attempts=3, first=30.0).retrying(received, stop)(attempt)
    assert time.perf_counter() - start < 5

"""Ctrl-C and SIGTERM as a flag, so that a step ends before its training is saved."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType


class Stop:
    """Whether a stop was asked for."""

    asked = False


@contextlib.contextmanager
def stoppable() -> Iterator[Stop]:
    """The first signal sets the flag, a second one ends everything at once; outside the main thread none is caught."""
    stop = Stop()

    def ask(number: int, frame: FrameType | None) -> None:
        if stop.asked:
            raise KeyboardInterrupt
        stop.asked = True

    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

"""How often a host is asked, and how long the pauses are: the loop is `tenacity`'s, the rules are here."""

import random
import threading
from collections.abc import Callable
from dataclasses import dataclass

from tenacity import RetryCallState, Retrying, retry_if_exception_type, sleep_using_event, stop_after_attempt

from vitret.data.fetch.http_ftp import TransientError

PROGRESS_MADE = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How often a host is asked, with pauses of first, 2 × first, 4 × first … up to longest, in seconds.

    `attempts` are counted from scratch after every MiB of progress, so a host that drops each connection is still read
    to the end. `jitter` spreads the pauses over [½, 1] of their length; None leaves them as they are.
    """

    attempts: int = 6
    first: float = 1.0
    longest: float = 60.0
    timeout: float = 30.0
    jitter: random.Random | None = None

    def pause(self, failures: int, asked: float | None) -> float:
        """Seconds after so many failures in a row; what the host asked for is respected up to `longest`."""
        own = min(self.longest, self.first * 2.0 ** (failures - 1))
        if self.jitter is not None:
            own *= self.jitter.uniform(0.5, 1.0)
        return max(own, min(asked or 0.0, self.longest))

    def retrying(self, received: Callable[[], int], stop: threading.Event) -> Retrying:
        """Calls a function again while it raises `TransientError`; the last error is raised when patience ends.

        `received` says how many bytes are there; a pause ends at once when `stop` is set.
        """
        furthest = received()

        def count_again_after_progress(state: RetryCallState) -> None:
            nonlocal furthest
            if received() >= furthest + PROGRESS_MADE:
                furthest, state.attempt_number = received(), 1

        return Retrying(
            retry=retry_if_exception_type(TransientError),
            after=count_again_after_progress,
            wait=self._wait,
            stop=stop_after_attempt(self.attempts),
            sleep=sleep_using_event(stop),
            reraise=True,
        )

    def _wait(self, state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome is not None else None
        return self.pause(state.attempt_number, error.wait if isinstance(error, TransientError) else None)

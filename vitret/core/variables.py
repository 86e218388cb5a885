"""Environment variables as vitret sets them itself: what must reach the processes that a command starts."""

import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def variable(name: str, value: str) -> Iterator[None]:
    """The variable has this value within, and after that what it was before.

    >>> with variable("VITRET_EXAMPLE", "1"):
    ...     os.environ["VITRET_EXAMPLE"]
    '1'
    >>> "VITRET_EXAMPLE" in os.environ
    False
    """
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = before

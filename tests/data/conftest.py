"""The stand-in for the official hosts, importable here although the test folders are no packages."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

SUPPORT = str(Path(__file__).resolve().parent.parent / "support")
if SUPPORT not in sys.path:
    sys.path.insert(0, SUPPORT)

from official_server import OfficialServer  # noqa: E402


@pytest.fixture
def official_server() -> Iterator[OfficialServer]:
    """A server of its own for each test; `from official_server import Drop, Status, …` works in the tests here."""
    with OfficialServer() as server:
        yield server

"""Shared fixtures: the real data beside the checkout, where there is any, and a home of its own for every test."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
SUPPORT = str(REPOSITORY / "tests" / "support")
# What tests share is importable although the test folders are no packages.
if SUPPORT not in sys.path:
    sys.path.insert(0, SUPPORT)

# Each process of a parallel run has one core; torch asks for its threads when it is first imported.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

from official_server import OfficialServer  # noqa: E402


@pytest.fixture
def official_server() -> Iterator[OfficialServer]:
    """A stand-in for the official hosts, one for each test."""
    with OfficialServer() as server:
        yield server


@pytest.fixture(scope="session")
def shared() -> Path:
    """Real ground truth, photographs and weights; a test that asks for them is skipped where they are absent."""
    folder = REPOSITORY.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("needs ../shared/data")
    return folder


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No test reads or writes the user's own folders."""
    home = tmp_path / "home"
    monkeypatch.setenv("VITRET_HOME", str(home))
    monkeypatch.setenv("VITRET_DATA", str(home / "data"))
    monkeypatch.delenv("VITRET_INCLUDE", raising=False)
    monkeypatch.delenv("VITRET_WEIGHTS", raising=False)
    return home

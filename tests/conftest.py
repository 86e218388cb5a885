"""Shared fixtures: the real data beside the checkout, where there is any, and a home of its own for every test."""

from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared() -> Path:
    """Real ground truth, photographs and weights; a test that asks for them is skipped where they are absent."""
    folder = REPOSITORY.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("needs ../shared/data")
    return folder


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No test reads or writes the person's own folders."""
    home = tmp_path / "home"
    monkeypatch.setenv("VITRET_HOME", str(home))
    monkeypatch.setenv("VITRET_DATA", str(home / "data"))
    monkeypatch.delenv("VITRET_INCLUDE", raising=False)
    monkeypatch.delenv("VITRET_WEIGHTS", raising=False)
    return home

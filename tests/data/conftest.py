"""Fixtures of several test folders of the data wing."""

from collections.abc import Callable
from pathlib import Path

import miniatures
import pytest
from miniatures import Miniature
from official_server import OfficialServer


@pytest.fixture
def small(
    tmp_path: Path, official_server: OfficialServer, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], Miniature]:
    """Makes a miniature whose card stands in for the real one, published by a server."""

    def make(name: str) -> Miniature:
        (miniature,) = miniatures.publish([name], tmp_path / "miniature", official_server, monkeypatch)
        return miniature

    return make

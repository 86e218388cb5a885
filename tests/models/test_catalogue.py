from pathlib import Path

import pytest

from vitret.compare.tables import measured_sentences
from vitret.models.catalogue import page

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_the_committed_page_is_what_the_systems_give():
    fresh = page(ROOT / "configs", measured_sentences(ROOT / "results"))
    assert (ROOT / "docs" / "systems.md").read_text() == fresh, (
        "stale: run `vitret list systems --format md > docs/systems.md`"
    )

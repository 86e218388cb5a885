from pathlib import Path

import miniatures
from official_server import OfficialServer

from vitret.data.datasets_page import cards, page, rows
from vitret.data.official import Choices, prepare_official

PAGE = Path(__file__).resolve().parents[2] / "docs" / "datasets.md"


def test_the_page_is_fresh() -> None:
    assert PAGE.read_text() == page(), "stale: run `vitret list datasets --format md > docs/datasets.md`"


def test_every_count_says_how_sure_it_is() -> None:
    text = page()
    assert "1,001,001 database (expected, unconfirmed)" in text
    assert "4,993 database;" in text


def test_rows_say_what_is_prepared(tmp_path: Path, official_server: OfficialServer) -> None:
    before = rows(tmp_path / "data")["holidays"]
    assert (before["state"], before["images"], before["size"]) == ("not prepared", None, "needs 5.5 GB")
    miniature = miniatures.build("holidays", tmp_path / "miniature")
    prepare_official(
        miniature.card,
        miniature.convert(),
        data_root=tmp_path / "data",
        source=miniature.peer,
        accept_terms=False,
        choices=Choices(),
        stated={},
        workers=0,
    )
    after = rows(tmp_path / "data")["holidays"]
    assert (after["state"], after["images"], after["version"]) == ("prepared", 10, "adopted, not confirmed")


def test_files_of_one_name_are_one_file() -> None:
    """Two cards may share a file; two files must not share a name with other addresses."""
    known: dict[str, tuple[str, ...]] = {}
    for card in cards().values():
        for file in card.files:
            assert known.setdefault(file.name, file.urls) == file.urls


def test_every_card_is_complete() -> None:
    for name, card in cards().items():
        assert card.name == name
        assert card.citation
        assert card.licence.text
        assert card.protocol or not card.tree  # A drawn training set has none.
        assert all(
            count.verified or not count.source.startswith("verified") for count in card.expected.values()
        )

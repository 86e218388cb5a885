from pathlib import Path

import miniatures
import pytest
from official_server import OfficialServer

from vitret.pages.datasets import cards, page, rows

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
    miniature.prepare(tmp_path / "data", miniature.peer, accept=False)
    after = rows(tmp_path / "data")["holidays"]
    assert (after["state"], after["images"], after["version"]) == ("prepared", 10, "adopted, not confirmed")


@pytest.mark.parametrize(
    ("manifest", "said"),
    [('{"version": 999}', "layout version 999"), ("[]", "holds a list"), ("{", "JSON")],
)
def test_a_set_that_cannot_be_read_spoils_no_other_row(tmp_path: Path, manifest: str, said: str) -> None:
    for name in ("sop", "mine"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "manifest.json").write_text(manifest)
    found = rows(tmp_path)
    for name in ("sop", "mine"):
        assert found[name]["state"].startswith("unreadable: ")
        assert said in found[name]["state"]
        assert found[name]["images"] is None
    assert found["inshop"]["state"] == "not prepared"


def test_what_was_begun_is_unfinished(tmp_path: Path) -> None:
    for path in (
        ".work/gldv2-clean/state/shards0/images_000.tar.parquet",
        ".work/gldv2-clean/state/shards0/images_007.tar.parquet",
        ".work/sop/downloads/Stanford_Online_Products.zip.part",
        ".work/cub200/state/CUB_200_2011.tgz.parquet",
        ".work/ilias/downloads/ilias_core.tar.fetched.json",
        ".work/ilias/downloads/.ilias_core.tar.lock",
        "holidays.part/images/a.jpg",
        "mine.part/images/a.jpg",
    ):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    states = {name: row["state"] for name, row in rows(tmp_path).items()}
    assert states["gldv2-clean"] == "unfinished, 2 of 500 shards"
    assert {states[name] for name in ("sop", "cub200", "holidays", "mine")} == {"unfinished"}
    # The record of a hash stays when all else is removed.
    assert states["ilias"] == "not prepared"


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

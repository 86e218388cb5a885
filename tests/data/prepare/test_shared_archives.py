"""A set whose archives another was made from: linked, byte for byte what a fetch gives, and fetched where in doubt."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import miniatures
import pytest
from folders import tree
from miniatures import Miniature
from official_server import OfficialServer

from vitret.core import plugins
from vitret.data import layout
from vitret.data.layout.verify import verify
from vitret.data.prepare.plan import make_plan
from vitret.data.prepare.request import Choices
from vitret.data.prepare.shared_archives import fullest_first, offers

# First set, second set, and the one whose archives both have: in small they would differ by a photograph.
PAIRS = [
    ("oxford5k", "roxford5k", "oxford5k"),
    ("roxford5k", "oxford5k", "oxford5k"),
    ("paris6k", "rparis6k", "paris6k"),
    ("rparis6k", "paris6k", "paris6k"),
    ("sfm120k", "sfm120k-whiten", "sfm120k"),
    ("sfm120k", "sfm30k", "sfm120k"),
    ("gldv2-noisy", "gldv2-clean", "gldv2-noisy"),
    ("gldv2-noisy", "rgldv2-clean", "gldv2-noisy"),
    ("gldv2-clean", "rgldv2-clean", "gldv2-clean"),
    ("gldv2-retrieval", "gldv2-retrieval-public", "gldv2-retrieval"),
]


@pytest.fixture
def prepare(
    tmp_path: Path, official_server: OfficialServer, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., list[str]]:
    """Prepares a miniature below a folder; returns the names of the archives that were asked for."""
    monkeypatch.setenv("VITRET_MIRROR", official_server.mirror)

    def run(miniature: Miniature, root: str = "data", **more: Any) -> list[str]:
        official_server.serve(miniature.published)
        asked = len(official_server.requests)
        miniature.prepare(tmp_path / root, **more)
        paths = [request.path for request in official_server.requests[asked:]]
        images = {url.rpartition("/")[2] for file in miniature.card.image_files for url in file.urls}
        return sorted(
            {Path(p).name for p in paths if Path(p).name in images or p.endswith((".tar", ".tar.gz"))}
        )

    return run


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Miniature]:
    def run(name: str, archives_of: str = "") -> Miniature:
        """A miniature, with the image archives of another."""
        small = miniatures.build(name, tmp_path / "miniatures" / name)
        if archives_of in ("", name) or small.card.shards:
            return small
        other = miniatures.build(archives_of, tmp_path / "miniatures" / f"{name} {archives_of}")
        theirs = {file.name: file for file in other.card.image_files}
        for file in theirs.values():
            place = file.urls[-1].partition("://")[2]
            shutil.copy(other.published / place, small.published / place)
        files = tuple(theirs.get(file.name, file) for file in small.card.files)
        return Miniature(**{**vars(small), "card": small.card.model_copy(update={"files": files})})

    return run


@pytest.mark.parametrize(("first", "second", "archives"), PAIRS)
def test_a_set_of_the_same_archives_is_linked_and_is_what_a_fetch_gives(
    first: str, second: str, archives: str, make: Any, prepare: Any, tmp_path: Path
) -> None:
    assert prepare(make(first, archives))
    small, said = make(second, archives), []
    assert prepare(small, report=said.append) == []
    assert any(f"linked from {first}" in line for line in said)
    assert prepare(small, "alone")
    assert tree(tmp_path / "data" / second) == tree(tmp_path / "alone" / second)
    one = next(path for path in (tmp_path / "data" / second / "images").rglob("*") if path.is_file())
    assert one.stat().st_nlink >= 2
    shutil.rmtree(tmp_path / "data" / first)
    assert verify(second, data_root=tmp_path / "data", workers=0) == []
    # And what was linked can be given on.
    assert offers(small.card, tmp_path / "data")


def test_what_the_other_set_threw_away_is_fetched(make: Any, prepare: Any, tmp_path: Path) -> None:
    prepare(make("gldv2-clean"))
    assert len(prepare(make("gldv2-noisy"))) == 3
    assert layout.load_manifest(tmp_path / "data", "gldv2-noisy")["counts"]["train"] == 40


def test_a_photograph_that_no_list_of_the_other_set_names_is_fetched(
    make: Any, prepare: Any, tmp_path: Path
) -> None:
    """The archive of roxford5k in small has one that its ground truth does not name; oxford5k takes all."""
    prepare(make("roxford5k"))
    small, said = make("oxford5k", "roxford5k"), []
    expected = dict(small.card.expected)
    expected["database"] = expected["database"].model_copy(update={"value": 16})
    small = Miniature(**{**vars(small), "card": small.card.model_copy(update={"expected": expected})})
    assert offers(small.card, tmp_path / "data") == {}
    assert prepare(small, report=said.append) == ["oxbuild_images-v1.tgz"]
    assert any("roxford5k has not all of oxbuild_images-v1.tgz: 1 of 16" in line for line in said)
    assert layout.load_manifest(tmp_path / "data", "oxford5k")["counts"]["database"] == 16


def test_a_file_that_changed_since_is_not_taken(make: Any, prepare: Any, tmp_path: Path) -> None:
    prepare(make("oxford5k"))
    photo = next((tmp_path / "data" / "oxford5k" / "images").glob("*.jpg"))
    photo.write_bytes(photo.read_bytes()[:-1] + b"x")
    small, said = make("roxford5k", "oxford5k"), []
    assert prepare(small, report=said.append) == ["oxbuild_images-v1.tgz"]
    assert any("other bytes than when it was prepared" in line for line in said)
    prepare(small, "alone")
    assert tree(tmp_path / "data" / "roxford5k") == tree(tmp_path / "alone" / "roxford5k")


def test_an_archive_of_another_hash_or_size_is_another(make: Any, prepare: Any) -> None:
    prepare(make("oxford5k"))
    assert prepare(make("roxford5k")) == ["oxbuild_images-v1.tgz"]  # In small, another size.


def test_an_adopted_set_vouches_for_nothing(make: Any, prepare: Any, tmp_path: Path) -> None:
    small = make("gldv2-noisy")
    small.prepare(tmp_path / "data", small.peer)
    assert len(prepare(make("gldv2-clean"))) == 3


def test_a_subset_gives_the_shards_it_has(make: Any, prepare: Any, tmp_path: Path) -> None:
    prepare(make("gldv2-noisy"), choices=Choices(shards="0,2"))
    assert prepare(make("gldv2-clean")) == ["images_001.tar"]
    assert layout.load_manifest(tmp_path / "data", "gldv2-clean")["counts"]["train"] == 39


@pytest.mark.slow
def test_packed_shards_are_linked_as_they_are(make: Any, prepare: Any, tmp_path: Path) -> None:
    packed = {"choices": Choices(packed=True)}
    prepare(make("gldv2-retrieval"), **packed)
    public = make("gldv2-retrieval-public")
    assert prepare(public, **packed) == []
    prepare(public, "alone", **packed)
    assert tree(tmp_path / "data" / "gldv2-retrieval-public") == tree(
        tmp_path / "alone" / "gldv2-retrieval-public"
    )
    tar = tmp_path / "data" / "gldv2-retrieval" / "images" / "test" / "test_images_000.tar"
    tar.write_bytes(tar.read_bytes() + bytes(512))
    shutil.rmtree(tmp_path / "data" / "gldv2-retrieval-public")
    assert prepare(public, **packed) == ["images_000.tar"]


def test_a_set_built_again_links_its_own_images(make: Any, prepare: Any, tmp_path: Path) -> None:
    small = make("gldv2-clean")
    prepare(small)
    before = tree(tmp_path / "data" / "gldv2-clean")
    assert prepare(small, replace=True) == []
    assert tree(tmp_path / "data" / "gldv2-clean") == before


def test_hard_links_that_are_refused_become_copies(
    make: Any, prepare: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(make("gldv2-noisy"))

    def refuse(*_: object, **__: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr("os.link", refuse)
    assert prepare(make("gldv2-clean")) == []
    photo = next((tmp_path / "data" / "gldv2-clean" / "images").rglob("*.jpg"))
    assert photo.stat().st_nlink == 1


def test_a_plan_says_who_gives_the_images(make: Any, prepare: Any, tmp_path: Path) -> None:
    card = {name: plugins.load("datasets", name).CARD for name in plugins.names("datasets")}
    both = make_plan(card["oxford5k"], tmp_path / "data", before=["roxford5k"])
    assert both.images == "linked from roxford5k, nothing to fetch"
    assert "  images   linked from roxford5k, nothing to fetch" in both.lines()
    assert both.fetch_bytes == 8_174
    assert both.disk_needed == 8_174
    assert make_plan(card["oxford5k"], tmp_path / "data").images == ""
    assert make_plan(card["gldv2-noisy"], tmp_path / "data", before=["gldv2-clean"]).images == ""
    prepare(make("gldv2-noisy"))
    plan = make_plan(card["gldv2-clean"], tmp_path / "data")
    assert plan.images == "3 of 500 archives: linked from gldv2-noisy, the others are fetched"
    assert plan.fetch_bytes == 497 * 10**9
    assert make_plan(card["gldv2-clean"], tmp_path / "data", choices=Choices(shards="0-2")).disk_needed == 0


def test_sets_that_keep_all_of_an_archive_come_first() -> None:
    assert fullest_first(["my-own", "gldv2-clean", "gldv2-noisy"]) == ["my-own", "gldv2-noisy", "gldv2-clean"]

"""A set that is there and the next request for it: nothing to do, more to do, or another request, which is told."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from miniatures import Miniature
from official_server import OfficialServer

from vitret.core.errors import UserError
from vitret.data import layout
from vitret.data.prepare.request import Choices, Request
from vitret.data.prepare.run import prepare


@pytest.fixture
def ask(tmp_path: Path) -> Callable[..., list[str]]:
    """What the user reads when a set is asked for."""

    def run(name: str, **more: Any) -> list[str]:
        said: list[str] = []
        settings: dict[str, Any] = {"accept_terms": True, "workers": 0, "report": said.append, **more}
        prepare(Request(name, data_root=tmp_path / "data", **settings))
        return said

    return run


def shards(root: Path, name: str) -> int | None:
    """How many shards a subset has; None for all."""
    named = layout.load_manifest(root / "data", name)["shards"]
    return None if named is None else sum(map(len, named.values()))


def test_after_a_full_disk_budget_the_same_request_continues(
    small: Callable[[str], Miniature],
    ask: Callable[..., list[str]],
    official_server: OfficialServer,
    tmp_path: Path,
):
    small("gldv2-noisy")
    ask("gldv2-noisy", choices=Choices(max_disk=420_000))
    assert shards(tmp_path, "gldv2-noisy") == 1
    stamp = (tmp_path / "data/gldv2-noisy/manifest.json").stat().st_mtime_ns
    said = ask("gldv2-noisy", choices=Choices(max_disk=420_000))
    assert any("a subset, 1 of 3 shards, as before" in line for line in said)
    assert (tmp_path / "data/gldv2-noisy/manifest.json").stat().st_mtime_ns == stamp
    before = len(official_server.requests)
    said = ask("gldv2-noisy")
    assert any("a subset, 1 of 3 shards; continuing" in line for line in said)
    later = [request.path for request in official_server.requests[before:] if request.path.endswith(".tar")]
    assert sorted(Path(path).name for path in later) == ["images_001.tar", "images_002.tar"]
    assert shards(tmp_path, "gldv2-noisy") is None
    assert len(layout.load_train(tmp_path / "data", "gldv2-noisy").images) == 40
    before = len(official_server.requests)
    assert ask("gldv2-noisy") == ["gldv2-noisy: is already prepared, with files of its own."]
    assert len(official_server.requests) == before


def test_some_shards_grow_to_more_but_are_not_taken_for_others(
    small: Callable[[str], Miniature], ask: Callable[..., list[str]], tmp_path: Path
):
    small("gldv2-noisy")
    ask("gldv2-noisy", choices=Choices(shards="0-1", max_disk=420_000))
    ask("gldv2-noisy", choices=Choices(shards="0-1"))
    assert shards(tmp_path, "gldv2-noisy") == 2
    (said,) = ask("gldv2-noisy", choices=Choices(shards="1,0"))
    assert "already prepared" in said
    with pytest.raises(UserError, match=r"other shards.*train_images_001"):
        ask("gldv2-noisy", choices=Choices(shards="0,2"))
    with pytest.raises(UserError, match="other options"):
        ask("gldv2-noisy", choices=Choices(packed=True))
    ask("gldv2-noisy", choices=Choices(shards="0-2"))
    assert shards(tmp_path, "gldv2-noisy") is None
    with pytest.raises(UserError, match="other shards"):
        ask("gldv2-noisy", choices=Choices(shards="0-1"))


def test_a_tree_is_not_taken_for_another_or_for_the_official_files(
    small: Callable[[str], Miniature], ask: Callable[..., list[str]], tmp_path: Path
):
    miniature = small("roxford5k")
    ask("roxford5k", source=miniature.peer)
    (said,) = ask("roxford5k", source=miniature.peer)
    assert said.startswith(f"roxford5k: is already prepared, adopted, linked to {miniature.peer}/data/test/")
    alias = tmp_path / "alias"
    alias.symlink_to(miniature.peer)
    assert ask("roxford5k", source=alias) == [said]
    other = tmp_path / "other"
    shutil.copytree(miniature.peer, other, symlinks=True)
    for source, words in (
        (other, f"the tree in {other}"),
        (miniature.by_hand, "the archives"),
        (None, "the official files"),
    ):
        with pytest.raises(UserError, match=f"{words}.* asked for.*vitret prepare roxford5k .*--replace"):
            ask("roxford5k", source=source)
    ask("roxford5k", replace=True)
    assert ask("roxford5k", source=miniature.by_hand) == [
        "roxford5k: is already prepared, with files of its own."
    ]
    with pytest.raises(UserError, match="the tree in"):
        ask("roxford5k", source=other)


def test_a_folder_that_is_not_there_is_an_error_whatever_is_prepared(
    small: Callable[[str], Miniature], ask: Callable[..., list[str]], tmp_path: Path
):
    miniature = small("roxford5k")
    ask("roxford5k", source=miniature.peer)
    with pytest.raises(UserError, match="nowhere: there is no such folder"):
        ask("roxford5k", source=tmp_path / "nowhere")


def test_options_that_do_not_apply_are_refused_and_not_recorded(
    small: Callable[[str], Miniature], ask: Callable[..., list[str]], tmp_path: Path
):
    peer = small("nc-noisy").peer
    with pytest.raises(UserError, match="nc-noisy is no series of archives"):
        ask("nc-noisy", source=peer, choices=Choices(shards="0-9"))
    with pytest.raises(UserError, match="--hold-out is for your own class folders"):
        ask("nc-noisy", source=peer, hold_out=0.2)
    with pytest.raises(UserError, match="--shards is for known sets"):
        ask("mine", source=peer / "images", choices=Choices(shards="0-9"))
    shutil.rmtree(tmp_path / "miniature")
    with pytest.raises(UserError, match="is an unpacked tree"):
        ask("gldv2-noisy", source=small("gldv2-noisy").peer, choices=Choices(shards="0"))
    assert layout.list_sets(tmp_path / "data") == []


def test_shards_are_recorded_by_their_numbers(
    small: Callable[[str], Miniature], ask: Callable[..., list[str]], tmp_path: Path
):
    small("gldv2-noisy")
    ask("gldv2-noisy", choices=Choices(shards="2,0-0"))
    assert layout.load_manifest(tmp_path / "data", "gldv2-noisy")["source"]["shards"] == [0, 2]
    (said,) = ask("gldv2-noisy", choices=Choices(shards="0,2"))
    assert "already prepared" in said


def test_a_gated_set_is_recognised_without_its_folder(
    small: Callable[[str], Miniature], ask: Callable[..., list[str]]
):
    miniature = small("nc-noisy")
    ask("nc-noisy", source=miniature.peer)
    assert ask("nc-noisy")[0].startswith("nc-noisy: is already prepared, adopted, linked to")


def test_shards_of_a_folder_are_recognised_confirmed_or_not(
    small: Callable[[str], Miniature], ask: Callable[..., list[str]], tmp_path: Path
):
    source = small("gldv2-clean").published / "s3.amazonaws.com" / "google-landmark"
    shutil.rmtree(source / "md5sum")
    for archive in ("images_000.tar", "images_002.tar"):
        (source / "train" / archive).rename(tmp_path / archive)
    ask("gldv2-clean", source=source)
    again = ask("gldv2-clean", source=source)
    assert again[-1] == "gldv2-clean: a subset, 1 of 3 shards, as before."
    (tmp_path / "images_002.tar").rename(source / "train" / "images_002.tar")
    ask("gldv2-clean", source=source)
    manifest = layout.load_manifest(tmp_path / "data", "gldv2-clean")
    assert manifest["shards"] == {"train": ["train_images_001.tar", "train_images_002.tar"]}
    assert manifest["image_set_version"] == "adopted, not confirmed"

"""Every file of a prepared set is covered by its manifest, and verification names the one that changed."""

import json
from pathlib import Path

import miniatures
import numpy as np
import pytest

from vitret.core.store import read_json, write_json
from vitret.data.layout import LayoutWriter
from vitret.data.layout.parquet import read_table, write_table
from vitret.data.layout.verify import verify

# Between them: labels and judgements, pairs, boxes, distractors, an attribution list, labels.json.
SETS = ("roxford5k", "sfm120k", "gldv2-clean", "sop", "revisitop1m")


@pytest.fixture(params=SETS)
def prepared(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    miniature = miniatures.build(request.param, tmp_path / "miniature")
    return miniature.prepare(tmp_path / "data", miniature.peer)


def found(folder: Path) -> list[str]:
    return verify(folder.name, data_root=folder.parent, workers=0)


def files(folder: Path) -> list[str]:
    """Everything beside the images and the manifest itself."""
    return sorted(path.name for path in folder.iterdir() if path.is_file() and path.name != "manifest.json")


def forget_files(folder: Path) -> None:
    """The manifest as it was before it listed the files beside the images."""
    manifest = read_json(folder / "manifest.json")
    del manifest["files"]
    write_json(folder / "manifest.json", manifest)


def test_every_file_that_changed_or_went_is_named(prepared: Path):
    assert sorted(read_json(prepared / "manifest.json")["files"]) == files(prepared)
    for name in files(prepared):
        kept = (prepared / name).read_bytes()
        (prepared / name).write_bytes(kept + b" ")
        assert found(prepared)[0] == f"{name}: has other bytes than when it was prepared."
        (prepared / name).unlink()
        assert found(prepared)[0] == f"{name}: is gone."
        (prepared / name).write_bytes(kept)
    assert found(prepared) == []


def test_an_older_manifest_still_finds_other_rows(prepared: Path):
    forget_files(prepared)
    assert found(prepared) == []
    for name in files(prepared):
        kept = (prepared / name).read_bytes()
        if name == "truth.json":
            changed = json.loads(kept)
            if changed["kind"] == "labels":
                continue
            changed["queries"][1]["easy"] = []
            (prepared / name).write_text(json.dumps(changed))
        elif name in ("train.parquet", "pairs.parquet", "database.parquet", "queries.parquet"):
            columns = read_table(prepared / name)
            write_table(prepared / name, {key: values[::-1] for key, values in columns.items()})
        else:
            continue
        assert any(name in sentence for sentence in found(prepared)), name
        (prepared / name).write_bytes(kept)


def test_a_manifest_with_another_digest_is_found(tmp_path: Path):
    miniature = miniatures.build("sop", tmp_path / "miniature")
    folder = miniature.prepare(tmp_path / "data", miniature.peer)
    manifest = read_json(folder / "manifest.json")
    manifest["digests"]["train"] = "0" * 64
    write_json(folder / "manifest.json", manifest)
    assert found(folder) == ["train.parquet: not the rows of the digest that manifest.json has for 'train'."]


def test_a_damaged_list_of_files_is_told_without_a_crash(tmp_path: Path):
    miniature = miniatures.build("sop", tmp_path / "miniature")
    folder = miniature.prepare(tmp_path / "data", miniature.peer)
    (folder / "files.parquet").write_bytes(b"no table")
    first, second = found(folder)
    assert first == "files.parquet: has other bytes than when it was prepared."
    assert "not readable as parquet" in second
    assert "No image was checked" in second


def test_leaving_out_the_longest_name_leaves_a_set_that_verifies(tmp_path: Path):
    photo = miniatures.photo(1)
    with LayoutWriter(tmp_path, "holes", workers=0) as writer:
        for name in ("a.jpg", "b.jpg"):
            writer.write_image(name, photo)
        writer.write_image("much-longer.jpg", b"<html>")
        writer.train(["a.jpg", "b.jpg", "much-longer.jpg"], np.array([1, 2, 2]))
        writer.finish()
    assert found(tmp_path / "holes") == []
    forget_files(tmp_path / "holes")  # Now the digests are computed again.
    assert found(tmp_path / "holes") == []

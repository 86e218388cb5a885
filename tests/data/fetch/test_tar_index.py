"""Images read where they lie in their tars: whole sets prepared with --packed, and single files."""

import hashlib
import io
import shutil
import tarfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import miniatures
import numpy as np
import pytest
from miniatures import Miniature
from official_server import OfficialServer

from vitret.core.errors import DataError, UserError
from vitret.data import layout
from vitret.data.fetch.tar_index import index_path, make_index
from vitret.data.images import check, check_all, decode
from vitret.data.layout.parquet import read_table
from vitret.data.layout.verify import verify
from vitret.data.prepare.request import Choices

PACKED = Choices(packed=True)


def tar_of(folder: Path, files: dict[str, bytes]) -> Path:
    path = folder / "a.tar"
    with tarfile.open(path, "w") as tar:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    make_index(path)
    return path


def test_a_packed_set_is_the_loose_one_in_its_tars(small: Callable[[str], Miniature], tmp_path: Path):
    miniature = small("gldv2-clean")
    folder = miniature.prepare(tmp_path / "packed", choices=PACKED)
    miniature.prepare(tmp_path / "loose")
    packed, loose = (layout.load_train(tmp_path / root, "gldv2-clean") for root in ("packed", "loose"))
    kept = sorted(path.name for path in (folder / "images").rglob("*") if path.is_file())
    tars = [f"train_images_{n:03d}.tar" for n in range(3)]
    assert kept == sorted([*tars, *(f"{tar}.index" for tar in tars)])
    inside = [packed.images.name(i).split(".tar/")[1] for i in range(len(packed.images))]
    outside = [loose.images.name(i).removeprefix("train/") for i in range(len(loose.images))]
    assert sorted(inside) == sorted(outside)
    for i in range(len(inside)):
        j = outside.index(inside[i])
        assert packed.labels[i] == loose.labels[j]
        assert np.array_equal(decode(packed.images.file(i)), decode(loose.images.file(j)))
    hashes = [
        sorted(bytes(h) for h in read_table(tmp_path / root / "gldv2-clean" / "files.parquet")["sha256"])
        for root in ("packed", "loose")
    ]
    assert hashes[0] == hashes[1]
    assert layout.load_sizes(packed.images).tolist() == [[64, 48, 1]] * 39
    assert verify("gldv2-clean", data_root=tmp_path / "packed", workers=0) == []


def test_queries_and_index_are_read_from_their_tars(small: Callable[[str], Miniature], tmp_path: Path):
    miniature = small("gldv2-retrieval")
    miniature.prepare(tmp_path / "packed", choices=PACKED)
    miniature.prepare(tmp_path / "loose")
    packed, loose = (layout.load_eval(tmp_path / root, "gldv2-retrieval") for root in ("packed", "loose"))
    for asked in range(2):
        answers = [
            {
                hashlib.sha256(decode(found.database.file(i))).hexdigest()
                for i in found.truth.judgements["positive"].row(q).tolist()
            }
            for found in (packed, loose)
            for q in range(2)
            if Path(found.queries.name(q)).name == Path(packed.queries.name(asked)).name
        ]
        assert answers[0] == answers[1] != set()


def test_a_packed_subset_grows_without_fetching_again(
    small: Callable[[str], Miniature], official_server: OfficialServer, tmp_path: Path
):
    miniature = small("gldv2-clean")
    miniature.prepare(tmp_path, choices=Choices(packed=True, shards="0,2"))
    part = len(layout.load_train(tmp_path, "gldv2-clean").images)
    asked = len(official_server.requests)
    miniature.prepare(tmp_path, choices=PACKED, replace=True)
    later = [r.path for r in official_server.requests[asked:] if r.path.endswith(".tar")]
    assert [Path(path).name for path in later] == ["images_001.tar"]
    assert 0 < part < len(layout.load_train(tmp_path, "gldv2-clean").images) == 39


def test_verify_sees_a_byte_that_changed_inside_a_tar(small: Callable[[str], Miniature], tmp_path: Path):
    folder = small("gldv2-clean").prepare(tmp_path, choices=PACKED)
    tar = folder / "images" / "train" / "train_images_001.tar"
    data = bytearray(tar.read_bytes())
    with tarfile.open(tar) as opened:
        member = next(m for m in opened if m.isfile())
    data[member.offset_data + member.size // 2] ^= 0xFF
    tar.write_bytes(data)
    (sentence,) = verify("gldv2-clean", data_root=tmp_path, workers=0)
    assert sentence.startswith(f"train/train_images_001.tar/{member.name}: ")
    tar.unlink()
    names = layout.load_train(tmp_path, "gldv2-clean").images.paths
    gone = int(np.char.startswith(names, b"train/train_images_001.tar/").sum())
    assert len(verify("gldv2-clean", data_root=tmp_path, workers=0)) == gone


def test_a_broken_image_in_a_tar_is_left_out_and_named(
    small: Callable[[str], Miniature], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(
        miniatures, "photo", lambda seed, _=miniatures.photo: b"<html>" if seed == 5007 else _(seed)
    )
    miniature = small("gldv2-noisy")
    card = miniature.card.model_copy(update={"expected": {}})
    miniature = Miniature(**{**vars(miniature), "card": card})
    miniature.prepare(tmp_path, choices=PACKED)
    (failed,) = layout.load_manifest(tmp_path, "gldv2-noisy")["failed"]
    assert ".tar/" in failed["path"]
    assert "web page" in failed["reason"]


@pytest.mark.parametrize(("name", "why"), [("revisitop1m", "compressed"), ("sop", "not a series of tars")])
def test_archives_that_cannot_be_read_in_place_are_refused(
    name: str, why: str, small: Callable[[str], Miniature], official_server: OfficialServer, tmp_path: Path
):
    with pytest.raises(UserError, match=why):
        small(name).prepare(tmp_path, choices=PACKED)
    assert official_server.requests == []


def test_nothing_is_packed_that_a_user_has_loose(small: Callable[[str], Miniature], tmp_path: Path):
    miniature = small("gldv2-clean")
    with pytest.raises(UserError, match="no official tar of gldv2-clean"):
        miniature.prepare(tmp_path, miniature.peer, choices=PACKED)


def test_threads_and_processes_read_one_tar_at_once(tmp_path: Path):
    files = {f"{n}/{n}.jpg": miniatures.photo(n) for n in range(60)}
    tar = tar_of(tmp_path, files)
    paths = [tar / name for name in files] * 4
    expected = [hashlib.sha256(data).hexdigest() for data in files.values()] * 4
    with ThreadPoolExecutor(8) as pool:
        assert [report.sha256 for report in pool.map(check, paths)] == expected
    assert [report.sha256 for report in check_all(paths, workers=2)] == expected


def test_what_is_not_in_a_tar_is_not_found(tmp_path: Path):
    tar = tar_of(tmp_path, {"b/1.jpg": miniatures.photo(1), "b/3.jpg": miniatures.photo(3)})
    for name in ("a/1.jpg", "b/2.jpg", "z.jpg", "b", "b/1.jpg/x"):
        with pytest.raises(DataError, match="no such file"):
            decode(tar / name)
    # A new tar of the same name is read by its new index.
    decode(tar / "b/1.jpg")
    tar_of(tmp_path, {"c/2.jpg": miniatures.photo(2)})
    assert decode(tar / "c/2.jpg").shape == (48, 64, 3)
    with pytest.raises(DataError, match="no such file"):
        decode(tar / "b/1.jpg")
    index_path(tar).unlink()
    with pytest.raises(DataError, match="no such file"):
        decode(tar / "c/2.jpg")


def test_a_folder_that_is_called_like_a_tar_is_a_folder(tmp_path: Path):
    place = tmp_path / "old.tar" / "1.jpg"
    place.parent.mkdir()
    place.write_bytes(miniatures.photo(1))
    assert decode(place).shape == (48, 64, 3)
    shutil.rmtree(place.parent)
    with pytest.raises(DataError, match="no such file"):
        decode(place)

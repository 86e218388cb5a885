"""Sets of several tars from the stand-in host, whole, in part, packed, and broken in the middle."""

import hashlib
import io
import tarfile
from pathlib import Path

import pytest
from official_server import OfficialServer, Status

from vitret.core.errors import DataError
from vitret.data.fetch.patience import Patience
from vitret.data.fetch.remote_file import RemoteFile, with_md5
from vitret.data.fetch.shards import Keeping, Places, Shard, extract_shards
from vitret.data.fetch.tar_index import make_index, open_member, read_index
from vitret.data.fetch.unpack import read_record

QUICK = Patience(attempts=2, first=0.001, longest=0.01, timeout=2.0)
COUNT = 4


def image(shard: int, number: int) -> bytes:
    return hashlib.sha256(f"{shard}-{number}".encode()).digest() * 64


def tar_bytes(shard: int) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        for number in range(3):
            data = image(shard, number)
            info = tarfile.TarInfo(f"./{shard}/{number}.jpg")
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return made.getvalue()


EXPECTED = {f"{s}/{n}.jpg": image(s, n) for s in range(COUNT) for n in range(3)}


@pytest.fixture
def shards(official_server: OfficialServer) -> list[Shard]:
    made = []
    for number in range(COUNT):
        data = tar_bytes(number)
        url = official_server.put(f"host/images_{number:03d}.tar", data)
        md5 = f"{hashlib.md5(data).hexdigest()}  images_{number:03d}.tar\n".encode()
        text = official_server.put(f"host/md5.images_{number:03d}.txt", md5)
        made.append(
            Shard(
                file=RemoteFile(name=f"images_{number:03d}.tar", urls=(url,)),
                about=len(data),
                md5_file=RemoteFile(name=f"md5.images_{number:03d}.txt", urls=(text,)),
            )
        )
    return made


def places(folder: Path) -> Places:
    return Places(downloads=folder / "downloads", folder=folder / "images", state=folder / "state")


def unpacked(shards, folder: Path, *, told=None, **more):
    return extract_shards(shards, places(folder), Keeping(**more), told=told, patience=QUICK)


def tree(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_every_shard_is_unpacked_recorded_and_deleted(tmp_path, shards):
    said = []
    result = unpacked(shards, tmp_path, told=lambda *what: said.append(what))
    assert result.left == ()
    assert result.done == tuple(shard.file.name for shard in shards)
    assert tree(tmp_path / "images") == EXPECTED
    assert not list((tmp_path / "downloads").glob("*.tar"))
    assert said[-1] == ("images_003.tar", 4, 4)
    assert {m.path: m.sha256 for shard in shards for m in read_record(places(tmp_path).record(shard))} == {
        path: hashlib.sha256(data).hexdigest() for path, data in EXPECTED.items()
    }


def test_a_disk_budget_gives_a_valid_part_and_more_room_the_rest(tmp_path, shards, official_server):
    result = unpacked(shards, tmp_path, max_disk=3 * shards[0].about)
    assert (len(result.done), len(result.left)) == (2, 2)
    assert result.stopped.startswith("--max-disk")
    assert tree(tmp_path / "images") == {p: d for p, d in EXPECTED.items() if p[0] in "01"}
    asked = len(official_server.requests)
    assert unpacked(shards, tmp_path).left == ()
    assert tree(tmp_path / "images") == EXPECTED
    assert not any("000" in request.path for request in official_server.requests[asked:])


def disk(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def test_kept_archives_and_what_lies_there_count_towards_the_budget(tmp_path, shards):
    about = shards[0].about
    kept = unpacked(shards, tmp_path / "kept", max_disk=3 * about, archives=True)
    assert len(kept.done) == 1  # Archive and files stay: the second would take four.
    assert disk(tmp_path / "kept" / "images") + disk(tmp_path / "kept" / "downloads") <= 3 * about
    assert len(unpacked(shards, tmp_path / "used", max_disk=3 * about, used=about).done) == 1


def test_an_archive_that_an_interrupted_run_fetched_is_counted_once(tmp_path, shards):
    unpacked(shards[:1], tmp_path, archives=True)
    (tmp_path / "state" / "images_000.tar.parquet").unlink()  # As if killed before it was unpacked.
    about = shards[0].about
    assert len(unpacked(shards[:1], tmp_path, max_disk=2 * about, used=about).done) == 1


def test_a_dead_shard_stops_with_the_finished_ones_kept(tmp_path, shards, official_server):
    official_server.fault("host/images_002.tar", Status(404))
    with pytest.raises(DataError, match=r"images_002\.tar: cannot be fetched"):
        unpacked(shards, tmp_path)
    assert tree(tmp_path / "images") == {p: d for p, d in EXPECTED.items() if p[0] in "01"}
    assert unpacked(shards, tmp_path).left == ()
    assert tree(tmp_path / "images") == EXPECTED


def test_a_shard_that_is_not_what_its_md5_says_is_never_unpacked(tmp_path, shards, official_server):
    official_server.put("host/images_001.tar", tar_bytes(3))
    with pytest.raises(DataError, match="md5 is"):
        unpacked(shards, tmp_path)
    assert tree(tmp_path / "images") == {p: d for p, d in EXPECTED.items() if p[0] == "0"}


def test_packed_shards_are_read_in_place(tmp_path, shards):
    assert unpacked(shards, tmp_path, packed=True).left == ()
    found = {}
    for tar in sorted((tmp_path / "images").glob("*.tar")):
        for member in read_index(tar):
            found[member.path] = open_member(tar, member.offset, member.size).read()
    assert found == EXPECTED
    assert unpacked(shards, tmp_path, packed=True).left == ()


def test_an_index_belongs_to_its_tar(tmp_path):
    tar = tmp_path / "a.tar"
    tar.write_bytes(tar_bytes(0))
    make_index(tar)
    tar.write_bytes(tar_bytes(0) + bytes(512))
    with pytest.raises(DataError, match="its index was made for"):
        read_index(tar)
    with pytest.raises(DataError, match="ends at byte"):
        open_member(tar, len(tar_bytes(0)), 9999)


def test_a_text_without_an_md5_is_refused(tmp_path):
    text = tmp_path / "md5.txt"
    text.write_text("<html>moved</html>")
    with pytest.raises(DataError, match="does not begin with an md5"):
        with_md5(RemoteFile(name="a.tar"), text)

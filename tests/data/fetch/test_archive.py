"""Archives made here by hand, honest and not: what is unpacked is right, what is refused leaves nothing outside."""

import gzip
import hashlib
import io
import os
import tarfile
import zipfile
from pathlib import Path

import pytest

from vitret.core.errors import DataError
from vitret.data.fetch.archive import check_archive, extract, kind
from vitret.data.fetch.bombs import Limits
from vitret.data.fetch.member_names import Selection

FILES = {
    "jpg/a.jpg": b"one" * 5000,
    "jpg/sub/b.jpg": b"two",
    "note.txt": b"",
    f"{'x' * 120}/c.bin": os.urandom(700),
}


def make_tar(path: Path, files: dict[str, bytes], *, form=tarfile.PAX_FORMAT, more=()) -> Path:
    mode = "w:gz" if path.name.endswith("gz") else "w"
    with tarfile.open(path, mode, format=form) as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
        for info in more:
            tar.addfile(info)
    return path


def make_zip(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, data in files.items():
            opened.writestr(name, data)
    return path


def special(name: str, type_: bytes, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = type_, link
    return info


@pytest.fixture
def cage(tmp_path: Path) -> Path:
    """A folder to unpack into, in a folder where anything else that appears is an escape."""
    (tmp_path / "outer" / "cage").mkdir(parents=True)
    return tmp_path / "outer" / "cage"


def escaped(cage: Path) -> list[str]:
    return [str(path) for path in cage.parent.rglob("*") if not path.is_relative_to(cage)]


@pytest.mark.parametrize("name", ["a.tar", "a.tar.gz", "a.tgz", "a.zip"])
@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_every_file_comes_out_with_its_hash(tmp_path, name, form):
    made = (
        make_zip(tmp_path / name, FILES)
        if name.endswith("zip")
        else make_tar(tmp_path / name, FILES, form=form)
    )
    members = extract(made, tmp_path / "out")
    assert {m.path: (m.size, m.sha256) for m in members} == {
        path: (len(data), hashlib.sha256(data).hexdigest()) for path, data in FILES.items()
    }
    assert {p: (tmp_path / "out" / p).read_bytes() for p in FILES} == FILES
    assert [m.path for m in members] == list(FILES)
    assert check_archive(made, name=name) is None


@pytest.mark.parametrize("name", ["a.tar", "a.tgz"])
def test_a_member_larger_than_a_batch_is_streamed(tmp_path, name):
    big = os.urandom(5 << 20)
    made = make_tar(tmp_path / name, {"in/a/folder/big": big, "small": b"s"})
    assert [m.size for m in extract(made, tmp_path / "out")] == [len(big), 1]
    assert (tmp_path / "out" / "in/a/folder/big").read_bytes() == big


def test_strip_prefix_and_flatten(tmp_path):
    made = make_tar(tmp_path / "a.tar", {"./top/x/a.jpg": b"a", "other.txt": b"o"})
    stripped, flat = Selection(strip_prefix="top/"), Selection(flatten=True)
    assert [m.path for m in extract(made, tmp_path / "1", stripped)] == ["x/a.jpg", "other.txt"]
    assert [m.path for m in extract(made, tmp_path / "2", flat)] == ["a.jpg", "other.txt"]


@pytest.mark.parametrize("name", ["a.tar", "a.tgz", "a.zip"])
def test_only_wanted_files_are_unpacked(tmp_path, name):
    make = make_zip if name == "a.zip" else make_tar
    made = make(tmp_path / name, {"./top/x.jpg": b"x", "./top/y.jpg": b"y", "z.jpg": b"z"})
    one = Selection(strip_prefix="top/", wanted={"y.jpg"})
    assert [m.path for m in extract(made, tmp_path / "out", one)] == ["y.jpg"]
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["y.jpg"]


def test_flattening_onto_one_name_is_refused(tmp_path, cage):
    made = make_tar(tmp_path / "a.tar", {"x/a.jpg": b"1", "y/a.jpg": b"2"})
    with pytest.raises(DataError, match=r"two members would become 'a\.jpg'"):
        extract(made, cage, Selection(flatten=True))


@pytest.mark.parametrize(
    "name", ["/tmp/vitret-evil", "../evil", "a/../../evil", "..\\evil", "C:/evil", "a\nb"]
)
@pytest.mark.parametrize("kind_", ["a.tar", "a.tgz", "a.zip"])
def test_names_that_lead_out_are_refused(tmp_path, cage, name, kind_):
    make = make_zip if kind_ == "a.zip" else make_tar
    with pytest.raises(DataError, match="refused"):
        extract(make(tmp_path / kind_, {"good": b"g", name: b"evil"}), cage)
    assert escaped(cage) == []
    assert not Path("/tmp/vitret-evil").exists()


@pytest.mark.parametrize(
    ("type_", "word"),
    [
        (tarfile.SYMTYPE, "symbolic link"),
        (tarfile.LNKTYPE, "hard link"),
        (tarfile.CHRTYPE, "device"),
        (tarfile.BLKTYPE, "device"),
        (tarfile.FIFOTYPE, "pipe"),
        (tarfile.GNUTYPE_SPARSE, "sparse"),
    ],
)
def test_what_is_no_file_is_refused(tmp_path, cage, type_, word):
    made = make_tar(tmp_path / "a.tar", {}, more=[special("evil", type_, "/etc/passwd")])
    with pytest.raises(DataError, match=word):
        extract(made, cage)
    assert not (cage / "evil").exists()


def test_a_link_in_the_way_is_replaced_and_not_followed(tmp_path, cage):
    outside = tmp_path / "outer" / "precious"
    outside.write_bytes(b"mine")
    (cage / "a.jpg").symlink_to(outside)
    extract(make_tar(tmp_path / "a.tar", {"a.jpg": b"theirs"}), cage)
    assert (outside.read_bytes(), (cage / "a.jpg").read_bytes()) == (b"mine", b"theirs")


def test_a_linked_zip_member_is_refused(tmp_path, cage):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as opened:
        info = zipfile.ZipInfo("evil")
        info.external_attr = 0o120777 << 16
        opened.writestr(info, "/etc/passwd")
    with pytest.raises(DataError, match="link or a device"):
        extract(path, cage)


def test_an_encrypted_zip_says_what_to_do(tmp_path, cage):
    path = make_zip(tmp_path / "a.zip", {"a": b"a"})
    data = bytearray(path.read_bytes())
    data[6] |= 1
    data[data.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)
    with pytest.raises(DataError, match="encrypted"):
        extract(path, cage)


@pytest.mark.parametrize("name", ["a.tgz", "a.zip"])
def test_a_bomb_is_refused_before_it_goes_off(tmp_path, cage, name):
    zeros = bytes(64 << 20)
    made = (make_zip if name == "a.zip" else make_tar)(tmp_path / name, {"0": zeros, "1": zeros})
    with pytest.raises(DataError, match="bomb"):
        extract(made, cage)
    assert sum(p.stat().st_size for p in cage.rglob("*")) <= 64 << 20


def test_too_many_members_and_too_many_bytes_are_refused(tmp_path, cage):
    made = make_tar(tmp_path / "a.tar", {str(n): b"n" for n in range(20)})
    with pytest.raises(DataError, match="more than 10 members"):
        extract(made, cage, limits=Limits(members=10))
    with pytest.raises(DataError, match="more than 5 bytes"):
        extract(made, cage, limits=Limits(size=5))


@pytest.mark.parametrize("name", ["a.tar", "a.tgz", "a.zip"])
def test_a_cut_archive_is_never_whole(tmp_path, name):
    made = (make_zip if name == "a.zip" else make_tar)(
        tmp_path / name, {"a": os.urandom(3000), "b": os.urandom(900)}
    )
    data = made.read_bytes()
    # A tar's padding of zeros after its end mark may be missing: the content ends before it.
    whole = 3 * 512 + 3072 + 1024 if name == "a.tar" else len(data)
    for cut in range(0, whole, 97):
        made.write_bytes(data[:cut])
        assert check_archive(made, name=name) is not None
        with pytest.raises(DataError):
            extract(made, tmp_path / "out")


def test_a_flipped_bit_in_a_zip_or_gzip_is_seen(tmp_path):
    for name in ("a.tgz", "a.zip"):
        made = (make_zip if name == "a.zip" else make_tar)(tmp_path / name, {"a": os.urandom(3000)})
        data = bytearray(made.read_bytes())
        data[len(data) // 2] ^= 1
        made.write_bytes(data)
        with pytest.raises(DataError):
            extract(made, tmp_path / "out")


def test_a_file_that_is_also_a_folder_is_refused(tmp_path, cage):
    made = make_tar(tmp_path / "a.tar", {"a": b"file", "a/b": b"in a folder"})
    with pytest.raises(DataError, match="file and a folder"):
        extract(made, cage)


def test_the_kind_is_told_by_the_bytes(tmp_path):
    (tmp_path / "a.tgz").write_bytes(b"<!DOCTYPE html><html>log in</html>")
    with pytest.raises(DataError, match="web page"):
        kind(tmp_path / "a.tgz")
    assert kind(make_tar(tmp_path / "b.tgz.tar", FILES)) == "tar"


def test_a_second_extraction_replaces_the_first(tmp_path):
    made = make_tar(tmp_path / "a.tar", FILES)
    first = extract(made, tmp_path / "out")
    (tmp_path / "out" / "jpg" / "a.jpg").write_bytes(b"half")
    assert extract(made, tmp_path / "out") == first
    assert (tmp_path / "out" / "jpg" / "a.jpg").read_bytes() == FILES["jpg/a.jpg"]


def damaged(path: Path, at: int) -> Path:
    data = bytearray(path.read_bytes())
    data[at] ^= 0xFF
    path.write_bytes(data)
    return path


def test_a_damaged_header_is_not_taken_for_the_end(tmp_path):
    made = damaged(make_tar(tmp_path / "a.tar", {"a": b"a", "b": b"b"}), 1024 + 5)
    with pytest.raises(DataError, match=r"damaged header at byte 1,024 \(bad checksum\)"):
        extract(made, tmp_path / "out")


def test_a_damaged_pax_header_is_refused(tmp_path):
    made = damaged(make_tar(tmp_path / "a.tar", {"x" * 120: b"a"}), 512)
    with pytest.raises(DataError, match="damaged pax header"):
        extract(made, tmp_path / "out")


def pax(body: bytes) -> bytes:
    """A pax header of this body, before a file of three bytes."""
    header, file = tarfile.TarInfo("pax"), tarfile.TarInfo("a")
    header.type, header.size, file.size = tarfile.XHDTYPE, len(body), 3
    blocks = (header.tobuf(), body, bytes(-len(body) % 512), file.tobuf(), b"abc".ljust(512, b"\0"))
    return b"".join(blocks) + bytes(1024)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"12 size=-99\n", "negative size"),
        (b"15 size=100000"[:14], "damaged pax header"),
        (b"15 size=100000\n", "not complete"),
        (b"22 GNU.sparse.major=1\n22 GNU.sparse.minor=0\n", "damaged"),
        (b"19 GNU.sparse.a=xx\n", "sparse"),
        (b"60013 a=" + b"1" * 60004 + b"\n", "more than 1,024 digits"),
        (b"70008 a=" + b"x" * 69999 + b"\n", "more than 65,536 bytes"),
        (b"8 \xff\xff\xff\xff\n", "damaged pax header"),
        (b"8 a=bcd\n" + b"x" * 20, "damaged pax header"),
        (b"8 a=bcd\n0 a=b\n", "damaged pax header"),
    ],
    ids=[
        "negative",
        "cut",
        "beyond",
        "sparse 1.0",
        "sparse",
        "digits",
        "long",
        "no record",
        "no length",
        "length zero",
    ],
)
def test_a_hostile_pax_header_is_refused_at_once(tmp_path, body, said):
    made = tmp_path / "a.tar"
    made.write_bytes(pax(body))
    with pytest.raises(DataError, match=said):
        extract(made, tmp_path / "out")
    assert check_archive(made, name="a.tar") is not None or said == "sparse"


def test_only_zeros_follow_a_gzipped_tar_and_its_checksum_is_read(tmp_path):
    made = make_tar(tmp_path / "a.tar", {"a": b"a"})
    packed, whole = tmp_path / "a.tgz", made.read_bytes()
    packed.write_bytes(gzip.compress(whole) + bytes(100))
    assert [m.path for m in extract(packed, tmp_path / "out")] == ["a"]
    packed.write_bytes(gzip.compress(whole[:2048]) + gzip.compress(whole[2048:]))
    assert check_archive(packed, name="a.tgz") is None
    packed.write_bytes(gzip.compress(whole + b"more"))
    with pytest.raises(DataError, match="continues after its end"):
        extract(packed, tmp_path / "out")
    packed.write_bytes(gzip.compress(whole)[:-8] + bytes(8))
    with pytest.raises(DataError, match="is broken"):
        extract(packed, tmp_path / "out")


def test_names_older_than_utf8_are_read_as_latin1(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w", format=tarfile.GNU_FORMAT, encoding="latin-1") as tar:
        tar.addfile(tarfile.TarInfo("caf\xe9.jpg"))
    assert [m.path for m in extract(tmp_path / "a.tar", tmp_path / "out")] == ["café.jpg"]

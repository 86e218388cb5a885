"""Files made to do harm, each given to the reader it aims at: refused in words, in bounded time and memory, no escape.

All cases run in one process with a limit on its memory, in a folder in which anything new outside `cage` is an escape.
"""

import gzip
import io
import json
import os
import pickle
import resource
import stat
import struct
import subprocess
import sys
import tarfile
import zipfile
import zlib
from pathlib import Path

import pytest
from PIL import Image

READERS = Path(__file__).resolve().parents[1] / "support" / "readers.py"
MEMORY = 6 << 30
SECONDS = 20.0
PEAK = 1 << 30
ID = "17660ef415d37059"


class System:
    def __reduce__(self):
        return os.system, ("touch pickle-was-here",)


def member(
    name: str, type_: bytes = tarfile.REGTYPE, link: str = "", data: bytes = b""
) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = type_, link, len(data)
    return info, data


def tar(*members: tuple[tarfile.TarInfo, bytes], mode: str = "w") -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode=mode) as opened:
        for info, data in members:
            opened.addfile(info, io.BytesIO(data))
    return made.getvalue()


def zipped(names: dict[str, bytes], mode: int = 0) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, data in names.items():
            info = zipfile.ZipInfo(name)
            info.external_attr = mode << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            opened.writestr(info, data)
    return made.getvalue()


def gzip_bomb(gigabytes: int) -> bytes:
    """A tar of one file of zeros, gzipped a thousandfold: a gzip may have many parts, here the same one often."""
    header = tarfile.TarInfo("zeros")
    header.size = gigabytes << 30
    return gzip.compress(header.tobuf()) + gzip.compress(bytes(16 << 20)) * (gigabytes * 64)


def long_header(size: int) -> bytes:
    """A GNU long name that says it is this long."""
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, size
    return info.tobuf() + bytes(4096)


def overlapping_zip() -> bytes:
    """Ten thousand entries that share one compressed megabyte: a table of contents that promises ten gigabytes."""
    inner = zlib.compress(bytes(1 << 20), 9)[2:-4]
    crc = zlib.crc32(bytes(1 << 20))
    local = (
        struct.pack("<4s5H3L2H", b"PK\3\4", 20, 0, 8, 0, 0, crc, len(inner), 1 << 20, 5, 0) + b"a0000" + inner
    )
    table = b"".join(
        struct.pack(
            "<4s6H3L5H2L", b"PK\1\2", 20, 20, 0, 8, 0, 0, crc, len(inner), 1 << 20, 5, 0, 0, 0, 0, 0, 0
        )
        + b"a%04d" % n
        for n in range(10_000)
    )
    return local + table + struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 10_000, 10_000, len(table), len(local), 0)


def jpeg(width: int, height: int) -> bytes:
    frame = struct.pack(">BHHB", 8, height, width, 3) + bytes([1, 0x22, 0, 2, 0x11, 1, 3, 0x11, 1])
    return (
        b"\xff\xd8\xff\xc0"
        + struct.pack(">H", len(frame) + 2)
        + frame
        + b"\xff\xda\x00\x02"
        + bytes(64)
        + b"\xff\xd9"
    )


def png(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = zlib.compress(bytes(1 << 20))
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def damaged_avif() -> bytes:
    """Whole in its header, its picture overwritten."""
    made = io.BytesIO()
    Image.new("RGB", (64, 48), (200, 30, 30)).save(made, "AVIF")
    return made.getvalue()[:-20] + bytes(20)


def mat_bomb() -> bytes:
    """A MATLAB 5 file whose only variable, `imlist`, is a row of 160 million zeros, compressed."""
    n = 160_000_000

    def element(kind: int, data: bytes) -> bytes:
        return struct.pack("<II", kind, len(data)) + data

    flags = element(6, struct.pack("<II", 6, 0)) + element(5, struct.pack("<ii", 1, n))
    name = element(1, b"imlist") + bytes(2)
    start = (
        struct.pack("<II", 14, len(flags + name) + 8 + 8 * n) + flags + name + struct.pack("<II", 9, 8 * n)
    )
    zeros, times = bytes(8_000_000), n // 1_000_000
    # Compressed once, then written often: a flushed part of a stream depends on nothing before it.
    squeeze = zlib.compressobj(9, wbits=-15)
    parts = [squeeze.compress(data) + squeeze.flush(zlib.Z_FULL_FLUSH) for data in (start, zeros)]
    checksum = zlib.adler32(start)
    for _ in range(times):
        checksum = zlib.adler32(zeros, checksum)
    packed = b"\x78\xda" + parts[0] + parts[1] * times + b"\x03\x00" + struct.pack(">I", checksum)
    return b"MATLAB 5.0 MAT-file".ljust(124) + struct.pack("<H2s", 0x0100, b"IM") + element(15, packed)


def named(module: str, name: str) -> bytes:
    """The pickle instruction that calls for a name."""
    return f"c{module}\n{name}\n".encode()


def letters(text: str) -> bytes:
    return b"X" + struct.pack("<I", len(text)) + text.encode()


def dtype(name: str) -> bytes:
    return named("numpy", "dtype") + letters(name) + b"\x89\x88\x87R"


def array_of_addresses() -> bytes:
    """A type of eight plain bytes that is given a field of object references, and an array of it over the letters A."""
    fields = b"}" + letters("a") + dtype("O8") + b"K\0\x86s"
    type_ = dtype("V8") + b"(K\3" + letters("|") + b"N" + letters("a") + b"\x85" + fields + b"K\x08K\1K\0tb"
    array = named("numpy", "ndarray") + b"(K\1\x85" + type_ + b"C\x08AAAAAAAAtR"
    return b"\x80\x02}" + letters("cids") + array + b"s."


def array_of_one_byte() -> bytes:
    """Fifty million numbers that are all the same byte: an array over it with steps of zero."""
    shape = b"J" + struct.pack("<i", 50_000_000) + b"\x85"
    array = named("numpy", "ndarray") + b"(" + shape + letters("i1") + b"C\1\0K\0K\0\x85tR"
    part = b"".join(letters(name) + b"h\0" for name in ("qidxs", "pidxs", "cluster"))
    return b"\x80\x02}" + letters("cids") + array + b"q\0s(" + part + b"u."


def text_turned_into_bytes_often() -> bytes:
    """A megabyte of text that is turned into bytes twenty thousand times."""
    text = (
        named("_codecs", "encode") + b"q\0" + letters("a" * (1 << 20)) + b"q\1" + letters("latin1") + b"q\2"
    )
    return b"\x80\x02]" + text + b"000(" + b"h\0h\1h\2\x86R" * 20_000 + b"e."


def oversized_tar() -> bytes:
    """A member that says it has eight gigabytes, in a file of a few blocks."""
    info = tarfile.TarInfo("a")
    info.size = (8 << 30) - 1
    return info.tobuf() + bytes(2048)


TEN_MB = "a" * (10 << 20)
DEEP = 200_000

CASES: dict[str, tuple[list[str], str, "bytes | object"]] = {
    # name: (readers, file name, bytes or a function that makes them)
    "tar: out by ..": (["extract", "make_index"], "a.tar", lambda: tar(member("../escaped", data=b"x"))),
    "tar: absolute": (["extract", "make_index"], "b.tar", lambda: tar(member("/escaped-vitret", data=b"x"))),
    "tar: through a link": (
        ["extract", "make_index"],
        "c.tar",
        lambda: tar(member("d", tarfile.SYMTYPE, "../.."), member("d/escaped", data=b"x")),
    ),
    "tar: hard link": (["extract"], "d.tar", lambda: tar(member("p", tarfile.LNKTYPE, "/etc/passwd"))),
    "tar: device": (["extract", "make_index"], "e.tar", lambda: tar(member("null", tarfile.CHRTYPE))),
    "tar: pipe": (["extract"], "f.tar", lambda: tar(member("p", tarfile.FIFOTYPE))),
    "tgz: out by ..": (["extract"], "g.tgz", lambda: tar(member("a/../../escaped", data=b"x"), mode="w:gz")),
    "tgz: bomb": (["extract"], "h.tgz", lambda: gzip_bomb(2)),
    "tar: endless header": (["extract", "make_index"], "i.tar", lambda: long_header(1 << 32)),
    "tar: size beyond the file": (
        ["extract", "make_index"],
        "j.tar",
        oversized_tar,
    ),
    "zip: out by ..": (["extract"], "k.zip", lambda: zipped({"../escaped": b"x"})),
    "zip: absolute": (["extract"], "l.zip", lambda: zipped({"/escaped-vitret": b"x"})),
    "zip: backslash": (["extract"], "m.zip", lambda: zipped({"..\\escaped": b"x"})),
    "zip: link": (["extract"], "n.zip", lambda: zipped({"link": b"/etc/passwd"}, stat.S_IFLNK | 0o777)),
    "zip: device": (["extract"], "o.zip", lambda: zipped({"device": b""}, stat.S_IFCHR | 0o666)),
    "zip: bomb": (["extract"], "p.zip", lambda: zipped({str(n): bytes(32 << 20) for n in range(8)})),
    "zip: overlapping bomb": (["extract"], "q.zip", overlapping_zip),
    "pickle: os.system": (
        ["load_plain", "load_plain_arrays", "read_revisited", "read_sfm"],
        "r.pkl",
        lambda: pickle.dumps(System()),
    ),
    "pickle: eval by protocol 0": (
        ["load_plain", "load_plain_arrays"],
        "s.pkl",
        b"cbuiltins\neval\n(S'1'\ntR.",
    ),
    "pickle: deep": (
        ["load_plain", "load_plain_arrays", "read_revisited", "read_sfm"],
        "t.pkl",
        lambda: b"\x80\x04" + b"]" * DEEP + b"a" * (DEEP - 1) + b".",
    ),
    "pickle: one list many times": (
        ["load_plain", "load_plain_arrays", "read_sfm"],
        "u.pkl",
        lambda: b"\x80\x04]\x94" + b"".join(b"](" + b"h%c" % n * 16 + b"e\x94" for n in range(12)) + b".",
    ),
    "pickle: a place in memory far away": (
        ["load_plain", "load_plain_arrays"],
        "v.pkl",
        b"\x80\x02]r\xff\xff\xff\x7f.",
    ),
    "pickle: an array of a terabyte": (
        ["load_plain_arrays", "read_sfm"],
        "w.pkl",
        b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n\x8a\x06\x00\x00\x00\x00\x00\x01\x85U\x01b\x87R.",
    ),
    "pickle: numbers that are addresses": (["load_plain_arrays", "read_sfm"], "wa.pkl", array_of_addresses),
    "pickle: fifty million times one byte": (["load_plain_arrays", "read_sfm"], "wb.pkl", array_of_one_byte),
    "pickle: one text made bytes often": (
        ["load_plain_arrays", "read_sfm"],
        "wc.pkl",
        text_turned_into_bytes_often,
    ),
    "json: deep": (["read_revisited", "met_database", "met_queries"], "wd.json", lambda: b"[" * DEEP),
    "json: deep in its end": (
        ["read_revisited", "met_database"],
        "we.json",
        lambda: b'[{"id": 1, "path": ' + b'{"a":' * DEEP + b"1" + b"}" * DEEP + b"}]",
    ),
    "json: a number of 5000 digits": (
        ["read_revisited", "met_database"],
        "wf.json",
        b'[{"id": ' + b"9" * 5000 + b', "path": "a"}]',
    ),
    "json: a number of 4000 digits": (
        ["met_database", "read_revisited"],
        "wg.json",
        b'[{"id": ' + b"9" * 4000 + b', "path": "a"}]',
    ),
    "json: a box that never ends": (
        ["read_revisited"],
        "wh.json",
        b'{"imlist": ["a"], "qimlist": ["q"], "gnd": [{"bbx": [0, 0, Infinity, 1e300], "ok": [0]}]}',
    ),
    "json: a box of 4000 digits": (
        ["read_revisited"],
        "wi.json",
        b'{"imlist": ["a"], "qimlist": ["q"], "gnd": [{"bbx": [0, 0, 9, ' + b"9" * 4000 + b'], "ok": [0]}]}',
    ),
    "json: half a letter for a name": (
        ["read_revisited"],
        "wj.json",
        b'{"imlist": ["\\ud800"], "qimlist": ["q"], "gnd": [{"ok": [0]}]}',
    ),
    "csv: a formula for an id": (
        ["read_train"],
        "x.csv",
        f"id,url,landmark_id\n{ID},http://a,1\n\"=cmd|' /C calc'!A0\",http://b,2\n".encode(),
    ),
    "csv: formula in a list of ids": (
        ["read_clean"],
        "y.csv",
        f"landmark_id,images\n1,{ID}\n2,=HYPERLINK(1)\n".encode(),
    ),
    "csv: a line of 10 MB": (
        [
            "read_train",
            "read_clean",
            "read_solution",
            "sop",
            "own_table",
            "lines",
            "read_exclusions",
        ],
        "z.csv",
        lambda: f"id,url,landmark_id,images,Usage\n{TEN_MB},http://a,1,{TEN_MB},Public\n".encode(),
    ),
    "csv: 64 MB without a line break": (
        ["read_train", "read_clean", "read_solution", "path_label", "inshop", "own_table"],
        "za.csv",
        lambda: b"id,url,landmark_id\n" + b"0" * (64 << 20),
    ),
    "csv: NUL bytes": (["read_train", "own_table"], "zb.csv", f"id,url,landmark_id\n{ID}\0\0,u,1\n".encode()),
    "csv: a path that leads out": (["own_table"], "zc.csv", b"label,path,split\n1,../../etc/passwd,train\n"),
    "csv: a number too large": (["read_train"], "zd.csv", f"id,url,landmark_id\n{ID},u,{10**30}\n".encode()),
    "csv: no number": (["read_train"], "zd2.csv", f"id,url,landmark_id\n{ID},u,many\n".encode()),
    "md5: 64 MB of it": (["with_md5"], "ze.txt", lambda: b"f" * (64 << 20)),
    "jpeg: 60000 × 60000": (["decode", "check"], "zf.jpg", lambda: jpeg(60_000, 60_000)),
    "png: 60000 × 60000": (["decode", "check"], "zg.png", lambda: png(60_000, 60_000)),
    "jpeg: a web page": (["decode", "check"], "zh.jpg", b"<!DOCTYPE html><html>302 Found</html>"),
    "jpeg: cut": (["decode", "check"], "zi.jpg", lambda: jpeg(640, 480)[:40]),
    "jpeg: a PostScript program": (
        ["decode", "check"],
        "zi2.jpg",
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n(escaped) (w) file closefile\n%%EOF\n",
    ),
    "jpeg: a damaged AVIF": (["decode", "check"], "zi3.jpg", damaged_avif),
    "mat: bomb": (["read_instre", "read_cars"], "zj.mat", mat_bomb),
    "parquet: no parquet": (
        ["read_table", "read_record", "own_table"],
        "zk.parquet",
        b"PAR1" + b"\xff" * 64 + b"PAR1",
    ),
}
PAIRS = [(name, reader) for name, (readers, _, _) in CASES.items() for reader in readers]


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    """Feeds every case to its readers, in one process with bounded memory; (case, reader) → what happened."""
    outer = tmp_path_factory.mktemp("outer")
    corpus = outer / "corpus"
    (corpus / "cage").mkdir(parents=True)
    for _, name, content in CASES.values():
        (corpus / name).write_bytes(content() if callable(content) else content)
    cases = [(reader, str(corpus / CASES[name][1])) for name, reader in PAIRS]
    (outer / "cases.json").write_text(json.dumps(cases))
    before = inventory(outer)
    command = [sys.executable, str(READERS), str(outer / "cases.json"), str(MEMORY)]

    def bounded() -> None:
        resource.setrlimit(resource.RLIMIT_CPU, (240, 240))

    run = subprocess.run(
        command, cwd=outer, capture_output=True, text=True, timeout=280, check=False, preexec_fn=bounded
    )
    assert run.returncode == 0, run.stderr[-2000:]
    said = json.loads(run.stdout)
    return {
        "results": dict(zip(PAIRS, said["results"], strict=True)),
        "peak": said["peak"],
        "new": sorted(p for p in inventory(outer) - before if not p.startswith("corpus/cage/")),
        "cage": corpus / "cage",
    }


def inventory(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


@pytest.mark.parametrize(("case", "reader"), PAIRS, ids=lambda value: value)
def test_is_refused_in_words(outcomes, case, reader):
    result = outcomes["results"][case, reader]
    assert result["error"] in ("DataError", "UserError", "EmptyError"), result
    assert 20 < len(result["message"]) < 2000
    assert result["seconds"] < SECONDS


def test_nothing_was_written_outside_and_little_inside(outcomes):
    assert outcomes["new"] == []
    assert not Path("/escaped-vitret").exists()
    assert all(path.is_dir() or path.is_file() for path in outcomes["cage"].rglob("*"))
    assert not any(path.is_symlink() for path in outcomes["cage"].rglob("*"))
    assert sum(p.stat().st_size for p in outcomes["cage"].rglob("*") if p.is_file()) < 128 << 20


def test_memory_stayed_bounded(outcomes):
    assert outcomes["peak"] < PEAK

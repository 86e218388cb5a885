"""Unpacked once, recorded, and again after an interruption."""

import io
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from vitret.core.errors import DataError
from vitret.data.fetch.member_names import Selection
from vitret.data.fetch.unpack import read_record, unpack_once


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for name in ("x/a.jpg", "x/b.jpg"):
            info = tarfile.TarInfo(name)
            info.size = 3
            tar.addfile(info, io.BytesIO(b"abc"))
    return tmp_path / "a.tar"


def test_the_archive_may_go_once_the_record_is_there(tmp_path, archive):
    record = tmp_path / "state" / "a.parquet"
    stripped = Selection(strip_prefix="x/")
    first = unpack_once(archive, tmp_path / "out", record, selection=stripped)
    assert [member.path for member in first] == ["a.jpg", "b.jpg"]
    archive.unlink()
    assert (
        unpack_once(archive, tmp_path / "out", record, selection=Selection(strip_prefix="x/"))
        == first
        == read_record(record)
    )


def test_a_broken_archive_leaves_no_record(tmp_path, archive):
    whole = archive.read_bytes()
    archive.write_bytes(whole[:700])
    record = tmp_path / "state" / "a.parquet"
    with pytest.raises(DataError, match="not complete"):
        unpack_once(archive, tmp_path / "out", record)
    assert not record.exists()
    archive.write_bytes(whole)
    assert len(unpack_once(archive, tmp_path / "out", record)) == 2


def test_two_processes_unpack_once(tmp_path, archive):
    script = (
        "import sys; from pathlib import Path; "
        "from vitret.data.fetch.unpack import unpack_once; p = Path(sys.argv[1]); "
        "unpack_once(p / 'a.tar', p / 'out', p / 'state' / 'a.parquet'); (p / 'a.tar').unlink(missing_ok=True)"
    )
    runs = [subprocess.Popen([sys.executable, "-c", script, str(tmp_path)]) for _ in range(2)]
    assert [run.wait(60) for run in runs] == [0, 0]
    assert sorted(p.name for p in (tmp_path / "out" / "x").iterdir()) == ["a.jpg", "b.jpg"]


def test_a_damaged_record_says_what_to_do(tmp_path):
    (tmp_path / "r.parquet").write_bytes(b"PAR1 not")
    with pytest.raises(DataError, match="Remove it"):
        read_record(tmp_path / "r.parquet")

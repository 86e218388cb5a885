import os
from pathlib import Path

import pytest

from vitret.core import store
from vitret.core.errors import DataError, MachineError


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path):
    path = tmp_path / "a.json"
    store.write_json(path, {"old": 1})

    def fail_half_way() -> None:
        with store.writing(path) as handle:
            handle.write(b"half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_half_way()
    assert store.read_json(path) == {"old": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_json_is_the_same_bytes_whatever_the_order(tmp_path: Path):
    store.write_json(tmp_path / "a", {"b": 1, "a": [1.5, "é"]})
    store.write_json(tmp_path / "b", {"a": [1.5, "é"], "b": 1})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_nan_is_not_written_as_json(tmp_path: Path):
    with pytest.raises(ValueError, match="JSON compliant"):
        store.write_json(tmp_path / "a", float("nan"))
    assert list(tmp_path.iterdir()) == []


def test_broken_json_names_the_file(tmp_path: Path):
    (tmp_path / "a").write_text("{")
    with pytest.raises(DataError, match=str(tmp_path)):
        store.read_json(tmp_path / "a")


@pytest.mark.parametrize("text", ["[" * 100_000, "9" * 5_000, '["\\ud800"]', " "])
def test_json_that_python_cannot_hold_is_broken_too(tmp_path: Path, text: str):
    (tmp_path / "a").write_text(text)
    with pytest.raises(DataError, match="not readable as JSON") as error:
        store.read_json(tmp_path / "a")
    assert "Remove" not in str(error.value)  # it may be the user's own truth


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_json_in_any_of_its_encodings(tmp_path: Path, encoding: str):
    (tmp_path / "a").write_text('{"é": [1]}', encoding=encoding)
    assert store.read_json(tmp_path / "a") == {"é": [1]}


def test_letters_written_as_two_escapes_are_read(tmp_path: Path):
    (tmp_path / "a").write_text('"\\ud83d\\ude00"')
    assert store.read_json(tmp_path / "a") == "\N{GRINNING FACE}"


def test_writing_into_a_file_as_if_it_were_a_folder_is_a_machine_error(tmp_path: Path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(MachineError, match="vitret env"):
        store.write_text(tmp_path / "file" / "a", "x")


def test_a_full_disk_is_said_and_leaves_nothing(tmp_path: Path):
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full on this system")
    (tmp_path / f"a.{os.getpid()}.part").symlink_to("/dev/full")
    with pytest.raises(MachineError, match="No space left"):
        store.write_bytes(tmp_path / "a", b"x" * 100_000)
    assert list(tmp_path.iterdir()) == []


def test_space_is_asked_for_before_work_starts(tmp_path: Path):
    store.require_space(tmp_path / "not" / "there", 1)
    with pytest.raises(MachineError, match="needed"):
        store.require_space(tmp_path, 10**18)

from pathlib import Path

import pytest

from vitret.core.disguise import disguise, require_content, require_undisguised
from vitret.core.errors import DataError


@pytest.mark.parametrize(
    ("head", "what"),
    [
        (b"\xef\xbb\xbf\n <!doctype HTML>", "a web page (HTML)"),
        (b"<head><title>", "a web page (HTML)"),
        (b'<?xml version="1.0"?><Error>AccessDenied', "an XML document"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer without its content"),
        (b"\x93NUMPY", None),
        (b"version: 3\n", None),
        (b"", None),
    ],
)
def test_told_by_the_first_bytes(head: bytes, what: str | None) -> None:
    found = disguise(head)
    assert (found and found[0]) == what


def test_files_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    assert require_undisguised(tmp_path / "empty") == b""
    for name, said in (("empty", "is empty"), ("none", "no such file"), ("", "is a folder")):
        with pytest.raises(DataError, match=said):
            require_content(tmp_path / name)

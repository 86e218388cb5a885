from pathlib import Path

import pytest

from vitret.core.errors import DataError
from vitret.data.formats.oxford import read_oxford


def query(folder: Path, line: str) -> None:
    (folder / "q_1_query.txt").write_text(line)
    for kind, text in (("good", ""), ("ok", "b\nc\n"), ("junk", "d\n")):
        (folder / f"q_1_{kind}.txt").write_text(text)


@pytest.mark.parametrize(
    "line", ["oxc1_all_souls_000013 136.5 34.1 648.5 955.7\n", "all_souls_000013 136.5 34.1 648.5 955.7"]
)
def test_with_and_without_the_name_of_the_corpus(tmp_path: Path, line: str) -> None:
    query(tmp_path, line)
    (read,) = read_oxford(tmp_path)
    assert (read.name, read.image, read.box) == ("q_1", "all_souls_000013", (136.5, 34.1, 648.5, 955.7))
    assert (read.good, read.ok, read.junk) == ([], ["b", "c"], ["d"])  # Paris's good files are empty.


@pytest.mark.parametrize("line", ["", "a 1 2 3\n", "a 1 2 3 x\n", "a 1 2 3 4\nb 1 2 3 4\n"])
def test_a_query_file_has_one_name_and_four_numbers(tmp_path: Path, line: str) -> None:
    query(tmp_path, line)
    with pytest.raises(DataError, match="q_1_query"):
        read_oxford(tmp_path)


def test_a_missing_list_is_named(tmp_path: Path) -> None:
    query(tmp_path, "a 1 2 3 4\n")
    (tmp_path / "q_1_junk.txt").unlink()
    with pytest.raises(DataError, match="q_1_junk"):
        read_oxford(tmp_path)

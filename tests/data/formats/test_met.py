import json
from pathlib import Path
from typing import Any

import pytest

from vitret.core.errors import DataError
from vitret.data.formats.met import read_database, read_queries


def written(folder: Path, value: Any) -> Path:
    path = folder / "list.json"
    path.write_text(json.dumps(value))
    return path


def test_the_database_is_paths_and_exhibits(tmp_path: Path) -> None:
    paths, numbers = read_database(written(tmp_path, [{"id": 907, "path": "MET/907/0.jpg"}]))
    assert (paths, numbers.tolist()) == (["MET/907/0.jpg"], [907])


def test_a_query_without_an_exhibit_is_left_out(tmp_path: Path) -> None:
    entries = [{"path": "a.jpg", "MET_id": "12"}, {"path": "b.jpg"}]
    paths, numbers = read_queries(written(tmp_path, entries))
    assert (paths, numbers.tolist()) == (["a.jpg"], [12])


@pytest.mark.parametrize(
    "value", [{}, [1], [{"id": 1}], [{"path": "a"}], [{"id": "x", "path": "a"}], [{"id": 10**30, "path": "a"}],
              [{"id": [], "path": "a"}], [{"id": float("inf"), "path": "a"}]],
)  # fmt: skip
def test_what_is_no_list_of_exhibits_is_refused(tmp_path: Path, value: Any) -> None:
    with pytest.raises(DataError, match=r"list\.json: "):
        read_database(written(tmp_path, value))

import os
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vitret.core.errors import DataError
from vitret.data.formats.safe_pickle import load_plain


class Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch exploded",)


def written(folder: Path, data: bytes) -> Path:
    path = folder / "x.pkl"
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_plain_data_of_every_protocol_comes_back(tmp_path: Path, protocol: int):
    value = {"imlist": ["é", "b"], "gnd": [{"bbx": (1.5, 2, -3, 1 << 40), "easy": [], "x": [True, None]}]}
    assert load_plain(written(tmp_path, pickle.dumps(value, protocol))) == value


@pytest.mark.parametrize("value", [Bomb(), os.system, OrderedDict(a=1), np.arange(3), np.float64(1), 1j])
def test_whatever_names_a_class_or_function_is_refused(
    tmp_path: Path, value: Any, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        with pytest.raises(DataError, match="refused as a pickle of plain data"):
            load_plain(written(tmp_path, pickle.dumps({"imlist": value}, protocol)))
    assert not (tmp_path / "exploded").exists()


def test_a_small_file_cannot_stand_for_a_huge_value(tmp_path: Path):
    row: list[Any] = [0]
    for _ in range(20):
        row = [row] * 10
    with pytest.raises(DataError, match="more values than bytes"):
        load_plain(written(tmp_path, pickle.dumps(row)))


def test_a_list_that_holds_itself_is_refused(tmp_path: Path):
    row: list[Any] = []
    row.append(row)
    with pytest.raises(DataError, match="refused"):
        load_plain(written(tmp_path, pickle.dumps(row)))


def test_depth_is_bounded(tmp_path: Path):
    with pytest.raises(DataError, match="deep"):
        load_plain(written(tmp_path, b"\x80\x02" + b"(" * 5000 + b"l" * 5000 + b"."))


def test_a_place_far_beyond_the_file_is_refused(tmp_path: Path):
    with pytest.raises(DataError, match="beyond the file"):
        load_plain(written(tmp_path, b"\x80\x02]r\xff\xff\xff\x7f."))


def test_every_cut_and_every_flipped_byte_ends_in_an_answer(tmp_path: Path):
    data = pickle.dumps({"imlist": ["a", "b"], "gnd": [{"easy": [1, 2], "bbx": [1.0, 2.0]}]}, protocol=3)
    cuts = [data[:n] for n in range(len(data))]
    flips = [
        data[:n] + bytes([byte]) + data[n + 1 :] for n in range(len(data)) for byte in (0, 40, 82, 99, 255)
    ]
    for broken in [*cuts, *flips]:
        try:
            load_plain(written(tmp_path, broken))
        except DataError:
            continue

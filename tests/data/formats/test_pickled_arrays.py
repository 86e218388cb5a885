import pickle
from collections import OrderedDict, defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vitret.core.errors import DataError
from vitret.data.formats.safe_pickle import load_plain

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)
FIXED = np.arange(4)
FIXED.flags.writeable = False
VALUES = {
    "integers": np.arange(3),
    "columns first": np.arange(6.0).reshape(2, 3).T,
    "axes in another order": np.arange(24, dtype=np.uint8).reshape(2, 3, 4).transpose(1, 0, 2),
    "every second": np.arange(10)[::2],
    "read-only": FIXED,
    "big-endian": np.array([1, 2], ">i4"),
    "half precision": np.array([0.5, 2], np.float16),
    "no axis": np.array(5),
    "empty": np.array([], np.int64),
    "no boxes": np.zeros((0, 4)),
    "texts": np.array(["a", "bé"]),
    "bytes": np.array([b"a", b"xyz"]),
    "a number": np.float32(2.5),
    "a whole number": np.int64(-3),
    "a text": np.str_("abc"),
}


def loaded(folder: Path, data: bytes) -> Any:
    path = folder / "x.pkl"
    path.write_bytes(data)
    return load_plain(path, arrays=True)


def refused(folder: Path, data: bytes, because: str) -> None:
    with pytest.raises(DataError, match=because):
        loaded(folder, data)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("name", VALUES)
@pytest.mark.parametrize("numpy", ["numpy.core", "numpy._core"], ids=["before 2", "since 2"])
def test_what_numpy_pickles_comes_back(tmp_path: Path, name: str, protocol: int, numpy: str):
    data = pickle.dumps({"x": [VALUES[name]]}, protocol)
    # Since version 2 the modules are called _core; a text of protocol 4 has its length before it.
    for module in ("multiarray", "numeric"):
        new, old = f"numpy._core.{module}".encode(), f"{numpy}.{module}".encode()
        data = data.replace(bytes([len(new)]) + new, bytes([len(old)]) + old).replace(new, old)
    data = unframed(data) if protocol >= 4 else data
    (back,) = loaded(tmp_path, data)["x"]
    assert type(back) is type(VALUES[name])
    assert back.dtype.newbyteorder("=") == VALUES[name].dtype.newbyteorder("=")
    assert back.shape == VALUES[name].shape
    assert np.array_equal(back, VALUES[name])


def unframed(data: bytes) -> bytes:
    """The same pickle without its frame, which tells a length that no longer holds."""
    assert data[2:3] == pickle.FRAME
    return data[:2] + data[11:]


@pytest.mark.parametrize("protocol", [2, 5])
def test_tables_of_objects_records_truth_values_and_dates_are_refused(tmp_path: Path, protocol: int):
    for value in (
        np.array([[{}, None]]),
        np.zeros(2, [("a", "i4"), ("b", "O")]),
        np.zeros(2, [("a", "i4")]),
        np.array([True]),
        np.array(["2020-01-01"], "M8[D]"),
    ):
        refused(tmp_path, pickle.dumps(value, protocol), "not of numbers or texts|shape")


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_sets_ranges_dicts_and_arrays_of_objects_come_back_as_plain_values(tmp_path: Path, protocol: int):
    objects = np.array([{"easy": np.arange(2)}, None, ["a"]], object)
    value = {
        "sets": [{1, 2}, frozenset("ab"), set()],
        "range": range(2, 9, 3),
        "dicts": [OrderedDict(a=1), defaultdict(list, b=[2])],
        "objects": objects,
        b"bytes": b"x\xff",
    }
    back = loaded(tmp_path, pickle.dumps(value, protocol))
    first = back["objects"][0]["easy"]
    assert back["sets"] == value["sets"]
    assert back["range"] == range(2, 9, 3)
    assert back["dicts"] == [{"a": 1}, {"b": [2]}]
    assert [type(x) for x in back["dicts"]] == [dict, dict]
    assert back["objects"][1:] == [None, ["a"]]
    assert first.tolist() == [0, 1]
    assert back[b"bytes"] == b"x\xff"


def test_a_range_is_refused_that_no_list_is_as_long_as(tmp_path: Path):
    refused(tmp_path, pickle.dumps(range(1 << 40)), "a range of")


INTEGERS = pickle.dumps(np.arange(3, dtype=np.int32), 3)


@pytest.mark.parametrize(
    ("before", "after", "because"),
    [
        (b"K\x03\x85", b"K\x04\x85", "12 bytes for an array of the shape"),
        (b"K\x03\x85", b"J\xff\xff\xff\xff\x85", "an array of the shape"),
        (b"X\x02\x00\x00\x00i4", b"X\x02\x00\x00\x00V4", "the type 'V4'"),
        (b"X\x01\x00\x00\x00<", b"X\x01\x00\x00\x00S", "a byte order 'S'"),
        (b"NNN", b"NN}", "an array of records"),
    ],
)
def test_an_array_is_as_long_as_its_bytes_and_of_numbers(tmp_path: Path, before, after, because):
    assert INTEGERS.count(before) == 1
    refused(tmp_path, INTEGERS.replace(before, after), because)


def test_a_name_can_be_called_and_nothing_else(tmp_path: Path):
    encode = b"c_codecs\nencode\n"
    refused(tmp_path, b"\x80\x02" + encode + b"}X\x01\x00\x00\x00aNsb.", "changes a name")
    refused(tmp_path, b"\x80\x02" + encode + b".", "a value of the type Call")


def test_no_rows_of_nothing(tmp_path: Path):
    """A shape of 2^39 rows without a column needs no byte, and would be walked through row by row."""
    none = pickle.dumps(np.zeros((3, 0), np.int32), 4)
    assert none.count(b"K\x03K\x00\x86") == 1
    refused(
        tmp_path, none.replace(b"K\x03K\x00\x86", b"\x8a\x06\x00\x00\x00\x00\x80\x00K\x00\x86"), "0 bytes for"
    )


def test_texts_have_letters_that_exist(tmp_path: Path):
    letters = np.array(["ab"]).tobytes()
    for wrong in (0x110000, 0xD800):
        data = pickle.dumps(np.array(["ab"]), 4).replace(letters, np.array([97, wrong], np.uint32).tobytes())
        refused(tmp_path, data, "letters that do not exist")


def test_an_array_that_is_never_given_its_bytes_is_refused(tmp_path: Path):
    start = b"\x80\x02cnumpy.core.multiarray\n_reconstruct\n)R"
    refused(tmp_path, start + b".", "without its bytes")
    refused(tmp_path, b"\x80\x02}" + start[2:] + b"Ns.", "unhashable")


def test_no_byte_can_be_written_afterwards(tmp_path: Path):
    """Instruction SETITEM would write into any object that takes items."""
    data = pickle.dumps(np.arange(3), 5)
    refused(tmp_path, data[:2] + data[11:-1] + b"K\x00K\x05s.", "read-only")

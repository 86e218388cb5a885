"""Every reader, given honest files with bytes changed, cut or put in: it reads them or refuses in words.

More examples: VITRET_FUZZ=2000 pytest tests/data/test_fuzz.py
"""

import os
from pathlib import Path

import pytest
from honest_files import SEEDS, a_tar, an_image
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from readers import feed, readers

from vitret.data.fetch.tar_index import make_index

KNOWN = readers()
EXAMPLES = int(os.environ.get("VITRET_FUZZ", "25"))
REFUSALS = {None, "DataError", "UserError", "EmptyError"}

edits = st.lists(
    st.tuples(
        st.sampled_from(["flip", "put", "cut", "repeat", "end"]),
        st.floats(0, 1, exclude_max=True),
        st.binary(min_size=1, max_size=12),
    ),
    min_size=0,
    max_size=4,
)


def edited(data: bytes, changes: list[tuple[str, float, bytes]]) -> bytes:
    for kind, where, piece in changes:
        at = int(where * len(data))
        match kind:
            case "flip":
                data = data[:at] + piece + data[at + len(piece) :]
            case "put":
                data = data[:at] + piece + data[at:]
            case "cut":
                data = data[:at] + data[at + 8 * len(piece) :]
            case "repeat":
                data = data[:at] + data[at : at + 64] * len(piece) + data[at:]
            case "end":
                data = data[:at]
    return data


@pytest.mark.parametrize(
    ("reader", "name", "honest"), SEEDS, ids=[f"{reader}-{name}" for reader, name, _ in SEEDS]
)
def test_reads_or_refuses(tmp_path_factory, reader, name, honest):
    folder = tmp_path_factory.mktemp("fuzz")
    photographs(folder, reader)

    @settings(max_examples=EXAMPLES, deadline=5000, database=None, derandomize=True,
              suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(changes=edits)
    def run(changes):
        (folder / name).write_bytes(edited(honest, changes))
        result = feed(KNOWN[reader], folder / name)
        assert result["error"] in REFUSALS, result
        if result["error"]:
            assert len(result["message"]) < 2000

    run()
    assert outside(folder, name) == []


@pytest.mark.parametrize("reader", sorted(KNOWN))
def test_noise_is_read_or_refused(tmp_path_factory, reader):
    folder = tmp_path_factory.mktemp("noise")

    @settings(max_examples=max(5, EXAMPLES // 3), deadline=5000, database=None, derandomize=True,
              suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(data=st.binary(max_size=3000))
    def run(data):
        (folder / "noise").write_bytes(data)
        assert feed(KNOWN[reader], folder / "noise")["error"] in REFUSALS

    run()
    assert outside(folder, "noise") == []


def photographs(folder: Path, reader: str) -> None:
    """The files that an own table names."""
    if reader == "own_table":
        for name in ("a.jpg", "b.jpg"):
            (folder / name).write_bytes(an_image("JPEG"))


def outside(folder: Path, name: str) -> list[str]:
    """What a reader left beside its file; unpacked files lie in cage/, an index beside its tar."""
    allowed = {name, f"{name}.index", "cage", "a.jpg", "b.jpg"}
    return [path.name for path in folder.iterdir() if path.name not in allowed]


def test_an_index_with_changed_bytes_is_refused(tmp_path):
    tar = tmp_path / "a.tar"
    tar.write_bytes(a_tar())
    make_index(tar)
    index = tmp_path / "a.tar.index"
    honest = index.read_bytes()

    @settings(max_examples=EXAMPLES, deadline=5000, database=None, derandomize=True)
    @given(changes=edits)
    def run(changes):
        index.write_bytes(edited(honest, changes))
        assert feed(KNOWN["read_index"], tar)["error"] in REFUSALS

    run()


@pytest.mark.parametrize(
    ("reader", "name", "honest"), SEEDS, ids=[f"{reader}-{name}" for reader, name, _ in SEEDS]
)
def test_the_honest_file_is_read(tmp_path, reader, name, honest):
    (tmp_path / name).write_bytes(honest)
    photographs(tmp_path, reader)
    result = feed(KNOWN[reader], tmp_path / name)
    assert result["error"] is None, result

"""Every reader, given honest files with bytes changed, cut or put in: it reads them or refuses in words.

More examples: VITRET_FUZZ=2000 pytest tests/data/test_fuzz.py
"""

import gzip
import io
import json
import os
import pickle
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import scipy.io
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from readers import feed, readers

from vitret.data.fetch.tar_index import make_index

KNOWN = readers()
EXAMPLES = int(os.environ.get("VITRET_FUZZ", "25"))
IDS = ["17660ef415d37059", "92b6290d571448f6", "cd41bf948edc0340"]
REFUSALS = {None, "DataError", "UserError", "EmptyError"}


def a_tar() -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        for name in ("a/b.jpg", "a/" + "long" * 40 + ".jpg", "c.txt"):
            info = tarfile.TarInfo(name)
            info.size = 600
            tar.addfile(info, io.BytesIO(bytes(600)))
    return made.getvalue()


def a_zip() -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr("a/b.jpg", b"abc" * 300)
        opened.writestr("c.txt", b"text")
    return made.getvalue()


def a_revisited() -> bytes:
    row = {"bbx": [1.0, 2.0, 30.0, 40.0], "easy": [0], "hard": [1], "junk": []}
    return pickle.dumps({"imlist": ["a", "b"], "qimlist": ["q"], "gnd": [row]}, protocol=3)


def a_revisited_text() -> bytes:
    row = {"bbx": [1.0, 2.0, 30.0, 40.0], "ok": [0], "junk": [1]}
    return json.dumps({"imlist": ["a", "é"], "qimlist": ["q"], "gnd": [row]}).encode()


def an_sfm() -> bytes:
    part = {"cids": IDS, "cluster": [0, 0, 1], "qidxs": [0], "pidxs": [1]}
    return pickle.dumps({"train": part, "val": {**part, "cluster": np.array([0, 0, 1])}}, protocol=4)


def an_image(kind: str) -> bytes:
    made = io.BytesIO()
    Image.fromarray(np.arange(32 * 24 * 3, dtype=np.uint8).reshape(24, 32, 3)).save(made, kind)
    return made.getvalue()


def a_mat(**variables: object) -> bytes:
    made = io.BytesIO()
    scipy.io.savemat(made, variables, do_compression=True)
    return made.getvalue()


def an_instre() -> bytes:
    gnd = np.zeros(1, [("ok", object), ("bbx", object)])
    gnd[0] = (np.array([[1.0, 2.0]]), np.array([[0.0, 0.0, 5.0, 5.0]]))
    return a_mat(imlist=np.array(["a", "b"], object), qimlist=np.array(["q"], object), gnd=gnd)


def a_cars() -> bytes:
    rows = np.zeros(2, [("fname", object), ("class", object)])
    rows[0], rows[1] = ("a.jpg", 1), ("b.jpg", 196)
    return a_mat(annotations=rows)


def a_parquet(**more: object) -> bytes:
    made = io.BytesIO()
    columns = {"path": ["a.jpg", "b.jpg"], "label": [0, 1], **more}
    pq.write_table(pa.table(columns), made)
    return made.getvalue()


TRAIN = ("id,url,landmark_id\n" + "".join(f"{i},http://x/{i}.jpg,{n}\n" for n, i in enumerate(IDS))).encode()
CLEAN = f"landmark_id,images\n1,{IDS[0]} {IDS[1]}\n7,{IDS[2]}\n".encode()
SOLUTION = f"id,images,Usage\n{IDS[0]},{IDS[1]} {IDS[2]},Public\n{IDS[1]},None,Ignored\n".encode()
SOP = b"image_id class_id super_class_id path\n1 1 1 bicycle_final/1.JPG\n2 1 1 bicycle_final/2.JPG\n"
INSHOP = b"1\nimage_name item_id evaluation_status\nimg/WOMEN/a.jpg id_00000001 train\n"
SEEDS: list[tuple[str, str, bytes]] = [
    # reader, file name, an honest file
    ("extract", "a.tar", a_tar()),
    ("extract", "a.tgz", gzip.compress(a_tar(), mtime=0)),
    ("extract", "a.zip", a_zip()),
    ("make_index", "a.tar", a_tar()),
    ("with_md5", "a.txt", b"97eceeb196236b17998738112f37df78  a.tar\n"),
    ("load_plain", "a.pkl", a_revisited()),
    ("load_plain_arrays", "a.pkl", an_sfm()),
    ("read_revisited", "gnd_a.pkl", a_revisited()),
    ("read_revisited", "gnd_a.json", a_revisited_text()),
    (
        "met_database",
        "MET_database.json",
        b'[{"id": 12, "path": "MET/12/0.jpg"}, {"id": 907, "path": "b.jpg"}]',
    ),
    ("met_queries", "testset.json", b'[{"path": "a.jpg", "MET_id": 12}, {"path": "b.jpg"}]'),
    ("read_sfm", "a.pkl", an_sfm()),
    ("read_train", "train.csv", TRAIN),
    ("read_clean", "train_clean.csv", CLEAN),
    ("read_solution", "s.csv", SOLUTION),
    ("read_exclusions", "x.txt", b"12\n17 # Oxford\n"),
    ("lines", "a.txt.gz", gzip.compress(b"one\ntwo\n", mtime=0)),
    ("path_label", "a.txt", b"http://x/a.jpg 12\nhttp://x/b.jpg 13\n"),
    ("sop", "Ebay_train.txt", SOP),
    ("inshop", "list_eval_partition.txt", INSHOP),
    ("own_table", "df.csv", b"label,path,split\n1,a.jpg,train\n2,b.jpg,validation\n"),
    ("own_table", "df.parquet", a_parquet(split=["train", "validation"])),
    ("read_instre", "gnd.mat", an_instre()),
    ("read_cars", "cars.mat", a_cars()),
    ("read_table", "t.parquet", a_parquet(x0=[0.5, None], sha256=[bytes(32)] * 2)),
    ("read_record", "r.parquet", a_parquet(size=[1, 2], sha256=[bytes(32)] * 2)),
    ("decode", "a.jpg", an_image("JPEG")),
    ("decode", "a.png", an_image("PNG")),
    ("check", "a.gif", an_image("GIF")),
    ("check", "a.tiff", an_image("TIFF")),
    ("check", "a.webp", an_image("WEBP")),
    ("check", "a.bmp", an_image("BMP")),
]

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

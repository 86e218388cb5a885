"""Small honest files of every kind that vitret reads, for tests that damage them: reader, file name, bytes."""

import gzip
import io
import json
import pickle
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import scipy.io
import scipy.sparse
from PIL import Image

Seed = tuple[str, str, bytes]
IDS = ["17660ef415d37059", "92b6290d571448f6", "cd41bf948edc0340"]


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
SEEDS: list[Seed] = [
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


def written(name: str, write: Callable[[Path], Any]) -> bytes:
    """The bytes of a file that a function writes under a name."""
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder) / name)
        return (Path(folder) / name).read_bytes()


def some_rows() -> np.ndarray:
    rows = np.random.default_rng(0).standard_normal((5, 4)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def descriptors() -> list[Seed]:
    """Descriptors (5, 4) in every container, and hloc's one for each of three images; needs h5py and torch."""
    import h5py
    import safetensors.numpy
    import safetensors.torch
    import torch

    rows = some_rows()
    tensor = torch.from_numpy(rows)
    sparse = scipy.sparse.csc_matrix(rows.T.astype(np.float64))

    def h5(path: Path, **options: Any) -> None:
        with h5py.File(path, "w") as file:
            file["names"] = np.array([b"a", b"b"])
            file.create_dataset("database", data=rows, **options)

    def hloc(path: Path) -> None:
        with h5py.File(path, "w") as file:
            for name, row in zip(("db/a.jpg", "db/b.jpg", "q/c.jpg", "d", "e"), rows, strict=True):
                file.create_group(name)["global_descriptor"] = row

    def objects(path: Path) -> None:
        np.savez(path, X=rows, names=np.array(["a", None], dtype=object), allow_pickle=True)

    made: list[tuple[str, Callable[[Path], Any]]] = [
        ("a.npy", lambda path: np.save(path, rows)),
        ("f.npy", lambda path: np.save(path, np.asfortranarray(rows.astype(">f8")))),
        ("a.npz", lambda path: np.savez(path, database=rows, other=np.arange(3))),
        ("c.npz", lambda path: np.savez_compressed(path, database=rows)),
        ("o.npz", objects),
        ("a.h5", h5),
        ("z.h5", lambda path: h5(path, compression="gzip", chunks=(2, 4))),
        ("hloc.h5", hloc),
        ("a.mat", lambda path: scipy.io.savemat(path, {"X": rows.T, "names": ["a", "b"]})),
        ("c.mat", lambda path: scipy.io.savemat(path, {"X": rows.T}, do_compression=True)),
        ("s.mat", lambda path: scipy.io.savemat(path, {"X": sparse})),
        ("v4.mat", lambda path: scipy.io.savemat(path, {"X": rows.T}, format="4")),
        ("a.safetensors", lambda path: safetensors.numpy.save_file({"database": rows}, path)),
        ("b.safetensors", lambda path: safetensors.torch.save_file({"database": tensor.bfloat16()}, path)),
        ("a.pt", lambda path: torch.save({"database": tensor}, path)),
        ("one.pth", lambda path: torch.save(tensor, path)),
        ("old.pth", lambda path: torch.save(tensor, path, _use_new_zipfile_serialization=False)),
    ]
    return [("read_rows", name, written(name, write)) for name, write in made]


def networks() -> list[Seed]:
    """Checkpoints, weights and whitenings; needs torch."""
    import safetensors.torch
    import torch

    from vitret.core.networks import ModelSpec, Part
    from vitret.describe.whitening import VERSION, Whitening, save

    state = {"conv1.weight": torch.ones(4, 3), "fc.bias": torch.zeros(4)}
    spec = ModelSpec(backbone=Part(name="timm_model", options={"arch": "test_vit"}), head=Part(name="gem"))
    about = {"vitret.model": json.dumps(spec.model_dump(mode="json"))}
    cirtorch = {"state_dict": state, "meta": {"mean": [0.5] * 3, "std": [0.2] * 3, "Lw": np.eye(2)}}
    trainer = {"recipe": "r", "random": [{}], "step": 3, "weights": state}
    whitening = Whitening(mean=np.zeros(4), projection=np.eye(4), about={"version": VERSION})
    made: list[tuple[str, str, Callable[[Path], Any]]] = [
        ("read_checkpoint", "a.pth", lambda path: torch.save(cirtorch, path)),
        (
            "read_checkpoint",
            "old.pth",
            lambda path: torch.save(cirtorch, path, _use_new_zipfile_serialization=False),
        ),
        ("read_checkpoint", "a.npz", lambda path: np.savez(path, **{"a/b": np.ones(3)})),
        ("read_checkpoint", "a.safetensors", lambda path: safetensors.torch.save_file(state, path)),
        ("read_state", "a.pth", lambda path: torch.save({"state_dict_ema": state}, path)),
        ("read_state", "a.safetensors", lambda path: safetensors.torch.save_file(state, path)),
        ("read_spec", "a.safetensors", lambda path: safetensors.torch.save_file(state, path, metadata=about)),
        ("trainer_state", "trainer.pt", lambda path: torch.save(trainer, path)),
        ("read_whitening", "a.safetensors", lambda path: save(path, whitening)),
    ]
    return [(reader, name, written(name, write)) for reader, name, write in made]


def settings(repository: Path) -> list[Seed]:
    """Configurations and measured rows of this repository, and a prepared set's truth."""
    row = min(repository.glob("results/*/*/*/*.json"))
    return [
        ("read_published", "a.yaml", min(repository.glob("results/published/*.yaml")).read_bytes()),
        ("read_system", "a.yaml", (repository / "configs/systems/paper/dtop.yaml").read_bytes()),
        ("read_suite", "a.yaml", (repository / "configs/suites/own-photographs.yaml").read_bytes()),
        ("read_result", "a.json", row.read_bytes()),
        ("read_ranks", "a.npz", row.with_suffix(".npz").read_bytes()),
        (
            "read_truth",
            "truth.json",
            b'{"kind": "judgements", "queries": [{"easy": [0], "hard": [1]}, {"junk": [2]}]}',
        ),
        ("read_json", "a.json", '{"é": [1, 2.5, null, "\\ud83d\\ude00"]}'.encode("utf-8-sig")),
    ]

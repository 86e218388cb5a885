"""Wrong uses from the command line: the documented exit code, cause and way out on stderr, no damaged file."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vitret.cli import run

CLASSES = ("barn", "mill", "pier")


def _picture(path: Path, seed: int, mode: str = "RGB", **options: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(seed)
    pixels = generator.integers(0, 255, (48, 64, 3), dtype=np.uint8)
    Image.fromarray(pixels).convert(mode).save(path, **options)
    return path


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Three classes of four pictures, and a table of them: two pictures a class train, two are queries and gallery."""
    folder = tmp_path / "photos"
    lines = ["label,path,split,is_query,is_gallery"]
    for c, name in enumerate(CLASSES):
        for i in range(4):
            _picture(folder / name / f"{i}.jpg", 10 * c + i)
            test = i > 1
            lines.append(f"{name},{name}/{i}.jpg,{'validation' if test else 'train'},{test},{test}")
    (folder / "df.csv").write_text("\n".join(lines) + "\n")
    return folder


def _edit_table(folder: Path, change: Callable[[str], str]) -> None:
    table = folder / "df.csv"
    table.write_text(change(table.read_text()))


def _break(what: str) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        target = folder / "barn" / "0.jpg"
        if what == "html":
            target.write_text("<!DOCTYPE html><html><body>302 Found</body></html>")
        elif what == "truncated":
            target.write_bytes(target.read_bytes()[:400])
        elif what == "query truncated":
            query = folder / "barn" / "2.jpg"
            query.write_bytes(query.read_bytes()[:400])
        elif what == "missing":
            target.unlink()
        elif what == "duplicate":
            _edit_table(folder, lambda text: text + text.splitlines()[1] + "\n")
        elif what == "misspelt":
            _edit_table(folder, lambda text: text.replace("is_query", "is_qery"))
        elif what == "no images":
            _edit_table(folder, lambda text: text.splitlines()[0] + "\n")
        elif what == "not a table":
            (folder / "df.csv").write_bytes(b"\x00\x01\x02" * 100)
        elif what == "outside":
            _edit_table(folder, lambda text: text.replace("barn/0.jpg", "../../etc/passwd"))

    return apply


@pytest.mark.parametrize(
    ("what", "code", "said"),
    [
        ("html", 4, "HTML"),
        ("truncated", 4, "barn/0.jpg"),
        ("query truncated", 3, "barn/2.jpg"),
        ("missing", 3, "barn/0.jpg"),
        ("duplicate", 3, "barn/0.jpg"),
        ("misspelt", 3, "is_query"),
        ("no images", 5, "df.csv"),
        ("not a table", 3, "df.csv"),
        ("outside", 3, ".."),
    ],
)
def test_own_data_that_is_wrong(
    photos: Path, what: str, code: int, said: str, capsys: pytest.CaptureFixture[str]
):
    _break(what)(photos)
    assert run(["prepare", "mine", "--from", str(photos)]) == code
    err = capsys.readouterr().err
    assert said in err
    assert "Traceback" not in err
    assert not list(Path(os.environ["VITRET_DATA"]).glob("*.part/manifest.json"))


@pytest.mark.parametrize(("name", "shipped"), [("mine", False), ("coil20", True)])
def test_a_track_is_written_where_it_will_be_read(photos: Path, capsys, name: str, shipped: bool):
    assert run(["prepare", name, "--from", str(photos)]) == 0
    err = capsys.readouterr().err
    own = Path(os.environ["VITRET_HOME"]) / "tracks" / f"{name}.yaml"
    assert own.exists() is not shipped
    assert ("--set track.KEY=VALUE changes it" if shipped else "to be edited") in err


def test_cost_does_not_count_without_overlap(capsys):
    assert run(["bench", "--train-set", "none", "--cost", "--without-overlap", "auto"]) == 2
    assert "--cost counts every query" in capsys.readouterr().err


def test_a_good_set_survives_a_bad_successor(photos: Path, capsys: pytest.CaptureFixture[str]):
    assert run(["prepare", "mine", "--from", str(photos)]) == 0
    manifest = Path(os.environ["VITRET_DATA"]) / "mine" / "manifest.json"
    before = manifest.read_bytes()
    _break("query truncated")(photos)
    assert run(["prepare", "mine", "--from", str(photos), "--replace"]) == 3
    assert manifest.read_bytes() == before


@pytest.mark.parametrize(("mode", "options"), [("CMYK", {}), ("L", {}), ("P", {"format": "png"})])
def test_unusual_but_good_images_are_taken(photos: Path, mode: str, options: dict[str, str]):
    _picture(photos / "barn" / "0.jpg", 99, mode, **options)
    assert run(["prepare", "mine", "--from", str(photos)]) == 0


def test_a_rotated_photograph_is_taken_as_it_is_stored(photos: Path):
    exif = Image.Exif()
    exif[0x0112] = 6
    _picture(photos / "barn" / "0.jpg", 99, "RGB", exif=exif)
    assert run(["prepare", "mine", "--from", str(photos)]) == 0


def _save(folder: Path, queries: np.ndarray, database: np.ndarray) -> list[str]:
    np.save(folder / "q.npy", queries)
    np.save(folder / "d.npy", database)
    return ["eval", "--queries", str(folder / "q.npy"), "--database", str(folder / "d.npy"), "--set", "mine"]


@pytest.mark.parametrize(
    ("shape", "spoil", "said"),
    [
        ((6, 8), "nan", "NaN"),
        ((5, 8), "", "6"),
        ((6,), "", "shape"),
        ((6, 8), "zero", "zero"),
        ((6, 8), "other dim", "8"),
        ((6, 8), "not npy", "q.npy"),
    ],
    ids=["nan", "too few rows", "one dimension", "zero rows", "two dimensions", "not a .npy"],
)
def test_descriptors_that_are_wrong(
    photos: Path, shape: tuple[int, ...], spoil: str, said: str, capsys: pytest.CaptureFixture[str]
):
    run(["prepare", "mine", "--from", str(photos)])
    queries = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    database = np.random.default_rng(1).normal(size=(6, 9 if spoil == "other dim" else 8)).astype(np.float32)
    if spoil == "nan":
        queries[2, 3] = np.nan
    if spoil == "zero":
        queries[2] = 0
    words = _save(photos, queries, database)
    if spoil == "not npy":
        (photos / "q.npy").write_bytes(b"not an array")
    capsys.readouterr()
    assert run(words) == 3
    out, err = capsys.readouterr()
    assert said in err
    assert out == ""


def test_columns_for_rows_are_named_with_the_way_out(photos: Path, capsys: pytest.CaptureFixture[str]):
    run(["prepare", "mine", "--from", str(photos)])
    rows = np.random.default_rng(0).normal(size=(6, 8)).astype(np.float32)
    capsys.readouterr()
    assert run(_save(photos, rows.T, rows.T)) == 3
    assert "D×N" in capsys.readouterr().err


def test_cuda_where_there_is_none_is_a_matter_of_the_machine(
    photos: Path, capsys: pytest.CaptureFixture[str]
):
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has CUDA")
    run(["prepare", "mine", "--from", str(photos)])
    words = [
        "bench",
        "--train-set",
        "none",
        "--suite",
        "own-classes",
        "--eval-set",
        "mine",
        "--device",
        "cuda",
    ]
    assert run(words) == 6
    assert "--device cpu" in capsys.readouterr().err


def test_weights_that_cannot_be_had_name_the_ways_out(
    photos: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    run(["prepare", "mine", "--from", str(photos)])
    assert run(["extract", "timm:vit_tiny_patch16_224.augreg_in21k_ft_in1k", "mine"]) == 3
    err = capsys.readouterr().err
    assert "VITRET_WEIGHTS" in err or "--weights" in err


def test_a_read_only_data_folder_is_said(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    place = tmp_path / "readonly"
    place.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", str(place)], check=False, capture_output=True
    ).returncode:
        pytest.skip("may not mount here")
    try:
        assert run(["prepare", "mine", "--from", str(photos), "--data", str(place / "data")]) == 6
        assert "Read-only" in capsys.readouterr().err
    finally:
        subprocess.run(["umount", str(place)], check=True)


@pytest.mark.slow
def test_two_benches_on_one_run_share_the_work(photos: Path, tmp_path: Path):
    assert run(["prepare", "mine", "--from", str(photos)]) == 0
    configs = tmp_path / "configs"
    for name, text in {
        "systems/tiny.yaml": "name: tiny\ntitle: Tiny\nlosses: [{name: arcface}]\nmodel:\n  head: cls\n  backbone: "
        "{name: timm_model, arch: test_vit, pretrained: false, img_size: 32}\n",
        "tracks/mine.yaml": "name: mine\ntrain_set: mine\nimages_seen: 40\nbatch: 4\nseeds: [0]\n"
        "image: {size: 32}\nvalidation: 0.0\n"
        "systems: [tiny]\nsuite: own-classes\n",
    }.items():
        path = configs / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    words = [
        "bench",
        "--train-set",
        "mine",
        "--eval-set",
        "mine",
        "--configs",
        str(configs),
        "--device",
        "cpu",
    ]
    words += ["--results", str(tmp_path / "results"), "--workers", "0"]
    both = [
        subprocess.Popen(
            [sys.executable, "-m", "vitret", *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    outputs = [process.communicate(timeout=240) for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    assert outputs[0][0] == outputs[1][0]
    rows = [path for path in (tmp_path / "results").rglob("*.json") if path.parent.name != "groups"]
    assert len(rows) == 1

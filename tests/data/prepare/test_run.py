import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from folders import tree
from PIL import Image

from vitret.core.errors import DataError, EmptyError, UserError
from vitret.data.layout.read import list_sets, load_eval, load_images, load_manifest, load_train
from vitret.data.layout.verify import verify
from vitret.data.prepare.request import Request
from vitret.data.prepare.run import prepare


def photographs(folder: Path, names: list[str]) -> Path:
    for i, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(i).integers(0, 255, (12, 16, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path)
    return folder


def classes(folder: Path) -> Path:
    return photographs(folder, [f"{name}/{i}.jpg" for name in ("ant", "bee", "cow", "dog") for i in range(3)])


def test_minilandmarks_as_it_is_given(tmp_path: Path, shared: Path):
    prepare(Request("minilandmarks", data_root=tmp_path, source=shared / "minilandmarks"))
    evaluation = load_eval(tmp_path, "minilandmarks")
    assert (len(evaluation.database), len(evaluation.queries)) == (277, 67)
    assert evaluation.queries.boxes is not None
    assert evaluation.truth.levels == ("easy", "medium", "hard")
    lengths = {kind: rows.lengths() for kind, rows in evaluation.truth.judgements.items()}
    assert int((lengths["easy"] == 0).sum()) == 29
    assert int((lengths["hard"] == 0).sum()) == 7
    place = tmp_path / "minilandmarks" / "images" / evaluation.database.name(0)
    assert place.is_symlink()


def test_one_folder_per_class_trains(tmp_path: Path):
    prepare(Request("zoo", data_root=tmp_path, source=classes(tmp_path / "photos"), hold_out=0))
    train = load_train(tmp_path, "zoo")
    assert train.labels.tolist() == [0] * 3 + [1] * 3 + [2] * 3 + [3] * 3
    with pytest.raises(DataError, match="no queries"):
        load_eval(tmp_path, "zoo")


def test_held_out_classes_evaluate(tmp_path: Path):
    prepare(Request("zoo", data_root=tmp_path, source=classes(tmp_path / "photos"), hold_out=0.5))
    assert load_train(tmp_path, "zoo").classes == 2
    evaluation = load_eval(tmp_path, "zoo")
    assert len(evaluation.queries) == len(evaluation.database) == 6
    assert evaluation.database.name(0) == "cow/0.jpg"
    assert evaluation.truth.judgements["positive"].row(0).tolist() == [1, 2]


def test_half_of_four_classes_evaluate_where_nothing_is_said(tmp_path: Path):
    source, said = classes(tmp_path / "photos"), []
    prepare(Request("zoo", data_root=tmp_path, source=source, report=said.append))
    assert load_train(tmp_path, "zoo").classes == 2
    assert {load_eval(tmp_path, "zoo").database.name(i)[:3] for i in range(6)} == {"cow", "dog"}
    split = "to train: 2 classes (ant to bee); held out to measure: 2 classes (cow to dog); --hold-out changes this"
    assert split in said
    shutil.rmtree(source / "dog")
    prepare(Request("small", data_root=tmp_path, source=source))
    assert load_train(tmp_path, "small").classes == 3


def test_a_broken_image_of_a_class_that_is_held_out_is_left_out(tmp_path: Path):
    source = classes(tmp_path / "photos")
    (source / "cow" / "1.jpg").write_bytes(b"<html>")
    prepare(Request("zoo", data_root=tmp_path, source=source))
    found = load_eval(tmp_path, "zoo")
    assert [found.queries.name(i) for i in range(2)] == ["cow/0.jpg", "cow/2.jpg"]
    assert len(found.queries) == len(found.database) == 5
    # Each asks the others of its class, and itself is left out.
    assert [found.truth.judgements["positive"].row(i).tolist() for i in range(5)] == [
        [1],
        [0],
        [3, 4],
        [2, 4],
        [2, 3],
    ]


def test_another_split_of_a_set_that_is_there_is_refused_with_both_ways_out(tmp_path: Path):
    source = classes(tmp_path / "photos")
    prepare(Request("zoo", data_root=tmp_path, source=source, hold_out=0.25))
    with pytest.raises(
        UserError, match=r"--hold-out 0\.25, not 0\.5\. Say --hold-out 0\.25, or .* --replace"
    ):
        prepare(Request("zoo", data_root=tmp_path, source=source))


def test_a_flat_folder_is_a_set_of_distractors(tmp_path: Path):
    prepare(
        Request(
            "crowd",
            data_root=tmp_path,
            source=photographs(tmp_path / "photos", ["b.jpg", "a.PNG", "note.jpeg"]),
        )
    )
    assert len(load_images(tmp_path, "crowd").images) == 3


def test_the_same_source_twice_is_nothing_to_do(tmp_path: Path):
    source = classes(tmp_path / "photos")
    prepare(Request("zoo", data_root=tmp_path, source=source))
    before = tree(tmp_path / "zoo")
    stamp = (tmp_path / "zoo" / "manifest.json").stat().st_mtime_ns
    prepare(Request("zoo", data_root=tmp_path, source=source))
    assert (tmp_path / "zoo" / "manifest.json").stat().st_mtime_ns == stamp
    photographs(source, ["eel/0.jpg"])
    with pytest.raises(UserError, match="--replace"):
        prepare(Request("zoo", data_root=tmp_path, source=source))
    assert tree(tmp_path / "zoo") == before
    prepare(Request("zoo", data_root=tmp_path, source=source, replace=True))
    assert load_train(tmp_path, "zoo").classes == 3
    assert len(load_eval(tmp_path, "zoo").queries) == 4


def test_manifests_hold_no_place_and_no_time(tmp_path: Path):
    for root in ("one", "two"):
        prepare(Request("zoo", data_root=tmp_path / root, source=classes(tmp_path / root / "photos")))
    for name in ("manifest.json", "files.parquet", "train.parquet", "card.json", "labels.json"):
        assert (tmp_path / "one/zoo" / name).read_bytes() == (tmp_path / "two/zoo" / name).read_bytes(), name
    assert str(tmp_path) not in (tmp_path / "one/zoo/manifest.json").read_text()


def test_verify_names_what_changed(tmp_path: Path):
    source = classes(tmp_path / "photos")
    prepare(Request("zoo", data_root=tmp_path, source=source))
    assert verify("zoo", data_root=tmp_path, workers=0) == []
    shutil.copy(source / "ant/0.jpg", source / "ant/1.jpg")
    (source / "bee/0.jpg").unlink()
    found = verify("zoo", data_root=tmp_path, workers=0)
    assert found == ["ant/1.jpg: has other bytes than when it was prepared.", "bee/0.jpg: no such file."]


def preparing(name: str, root: Path, source: Path) -> subprocess.Popen[bytes]:
    """`prepare` in a process group of its own."""
    code = (
        "import sys; from pathlib import Path; from vitret.data.prepare.run import prepare; "
        "from vitret.data.prepare.request import Request; "
        "prepare(Request(sys.argv[1], data_root=Path(sys.argv[2]), source=Path(sys.argv[3]), workers=0))"
    )
    return subprocess.Popen([sys.executable, "-c", code, name, root, source], start_new_session=True)


def test_two_processes_at_once_give_one_set(tmp_path: Path):
    source = classes(tmp_path / "photos")
    both = [preparing("zoo", tmp_path / "data", source) for _ in range(2)]
    assert [process.wait() for process in both] == [0, 0]
    assert list_sets(tmp_path / "data") == ["zoo"]
    assert load_manifest(tmp_path / "data", "zoo")["images"] == 12


@pytest.mark.slow
def test_kill_at_random_moments_changes_nothing(tmp_path: Path, shared: Path):
    source = shared / "coil20"
    prepare(Request("coil20", data_root=tmp_path / "calm", source=source, workers=0))
    expected = tree(tmp_path / "calm" / "coil20")
    moments = random.Random(7)
    for _ in range(4):
        process = preparing("coil20", tmp_path / "rough", source)
        time.sleep(moments.uniform(0.5, 2.5))
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    prepare(Request("coil20", data_root=tmp_path / "rough", source=source, workers=0))
    assert tree(tmp_path / "rough" / "coil20") == expected


def test_a_ground_truth_of_another_name_is_proposed(tmp_path: Path, shared: Path):
    with pytest.raises(UserError, match="vitret prepare minilandmarks"):
        prepare(Request("mini", data_root=tmp_path, source=shared / "minilandmarks"))


def test_missing_images_of_a_ground_truth_are_counted(tmp_path: Path, shared: Path):
    source = tmp_path / "half"
    (source / "jpg").mkdir(parents=True)
    shutil.copy(shared / "minilandmarks" / "gnd_minilandmarks.json", source)
    with pytest.raises(DataError, match="344 of 344 images are missing; first: "):
        prepare(Request("minilandmarks", data_root=tmp_path, source=source))


def test_wrong_sources_are_told_what_is_accepted(tmp_path: Path):
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(EmptyError, match=r"0 images found.*one folder per class"):
        prepare(Request("zoo", data_root=tmp_path, source=empty))
    with pytest.raises(EmptyError, match="hold none directly"):
        prepare(Request("zoo", data_root=tmp_path, source=classes(tmp_path / "outer" / "inner").parent))
    with pytest.raises(UserError, match="no such folder"):
        prepare(Request("zoo", data_root=tmp_path, source=tmp_path / "nowhere"))
    (tmp_path / "list.txt").write_text("")
    with pytest.raises(UserError, match="must be a table"):
        prepare(Request("zoo", data_root=tmp_path, source=tmp_path / "list.txt"))
    for name in ("one.csv", "two.csv"):
        (empty / name).write_text("label,path,split\n")
    with pytest.raises(UserError, match="several tables"):
        prepare(Request("zoo", data_root=tmp_path, source=empty))


@pytest.mark.parametrize("fraction", [0.99, 0.01, 1.0, -0.5])
def test_a_hold_out_that_leaves_a_side_empty_is_refused(tmp_path: Path, fraction: float):
    with pytest.raises(UserError, match="--hold-out"):
        prepare(Request("zoo", data_root=tmp_path, source=classes(tmp_path / "photos"), hold_out=fraction))


def test_unknown_sets_without_data_are_answered(tmp_path: Path):
    with pytest.raises(DataError, match="vitret prepare zoo --from DIR"):
        prepare(Request("zoo", data_root=tmp_path))
    with pytest.raises(UserError, match="no options"):
        prepare(Request("zoo", data_root=tmp_path, options={"seed": 1}))


def test_only_broken_images_prepare_nothing(tmp_path: Path):
    source = classes(tmp_path / "photos")
    for path in source.rglob("*.jpg"):
        path.write_bytes(b"<html>")
    with pytest.raises(DataError, match=r"no image can be read: ant/0\.jpg is a web page"):
        prepare(Request("zoo", data_root=tmp_path / "data", source=source))
    assert list_sets(tmp_path / "data") == []


def test_a_synthetic_set_comes_from_its_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    part = tmp_path / "mine" / "datasets" / "two_dots.py"
    part.parent.mkdir(parents=True)
    part.write_text(
        "import io\n"
        "from PIL import Image\n"
        "from vitret.data.card import Card, Licence\n"
        "CARD = Card(name='two-dots', title='Dots', kind=('train',), homepage='-', citation='-',\n"
        "            licence=Licence(text='-'), needs_disk=1)\n"
        "def build(*, grey=10):\n"
        "    def convert(source, writer):\n"
        "        out = io.BytesIO()\n"
        "        Image.new('L', (4, 4), grey).save(out, 'PNG')\n"
        "        writer.write_image('dot.png', out.getvalue())\n"
        "        writer.train(['dot.png'], [5])\n"
        "    return convert\n"
    )
    monkeypatch.setenv("VITRET_INCLUDE", str(tmp_path / "mine"))
    prepare(Request("two-dots", data_root=tmp_path))
    assert load_train(tmp_path, "two-dots").card["title"] == "Dots"
    prepare(Request("two-dots", data_root=tmp_path))
    with pytest.raises(UserError, match="other options"):
        prepare(Request("two-dots", data_root=tmp_path, options={"grey": 20}))
    with pytest.raises(UserError, match="Leave --from out"):
        prepare(Request("two-dots", data_root=tmp_path / "other", source=tmp_path))


def test_an_official_set_is_prepared_from_the_files_at_hand(tmp_path: Path, shared: Path):
    source = tmp_path / "oxford"
    (source / "jpg").mkdir(parents=True)
    shutil.copy(shared / "groundtruth" / "gnd_roxford5k.pkl", source)
    with pytest.raises(DataError, match=r"not there|missing"):
        prepare(Request("roxford5k", data_root=tmp_path / "data", source=source))

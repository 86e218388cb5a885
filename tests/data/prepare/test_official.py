"""Every card from its miniature: fetched from the stand-in server, adopted from a tree, unpacked from archives."""

import hashlib
import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import miniatures
import numpy as np
import pytest
from miniatures import Miniature
from official_server import OfficialServer
from PIL import Image

from vitret.core import plugins
from vitret.core.errors import DataError, UserError, VitretError
from vitret.data import layout
from vitret.data.card import Count
from vitret.data.formats.revisited import read_revisited
from vitret.data.layout.verify import verify
from vitret.data.prepare.request import Choices, Request
from vitret.data.prepare.run import prepare as prepare_set

NAMES = miniatures.names()
FETCHED = [name for name in NAMES if name not in miniatures.GATED]


@pytest.fixture
def make(tmp_path: Path) -> Callable[[str], Miniature]:
    return lambda name: miniatures.build(name, tmp_path / "miniature")


@pytest.fixture
def prepare(
    tmp_path: Path, official_server: OfficialServer, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Path]:
    monkeypatch.setenv("VITRET_MIRROR", official_server.mirror)

    def run(miniature: Miniature, source: Path | None = None, **more: Any) -> Path:
        official_server.serve(miniature.published)
        return miniature.prepare(tmp_path / "data", source, **more)

    return run


def check_loads(root: Path, miniature: Miniature) -> None:
    """The set gives what its card promises, and every image of it opens."""
    card = miniature.card
    counts = layout.load_manifest(root, card.name)["counts"]
    lost = 1 if card.name == "revisitop1m" else 0  # Its truncated photograph.
    assert {key: counts[key] for key in miniature.expected} == {
        key: value - lost for key, value in miniature.expected.items()
    }
    if "train" in card.kind:
        train = layout.load_train(root, card.name)
        assert len(np.unique(train.labels)) == train.classes > 1
        assert all(train.images.file(i).is_file() for i in range(len(train.images)))
    if "eval" in card.kind:
        evaluation = layout.load_eval(root, card.name)
        assert any(len(evaluation.truth.at(level)[0].values) for level in evaluation.truth.levels)
    if "distractors" in card.kind:
        assert len(layout.load_images(root, card.name).images)
    assert verify(card.name, data_root=root, workers=0) == []


def test_every_official_set_has_a_miniature() -> None:
    assert sorted(miniatures.BUILDERS) == sorted(NAMES)


@pytest.mark.parametrize("name", FETCHED)
def test_a_set_is_fetched_and_holds_files_of_its_own(
    name: str, make: Callable[[str], Miniature], prepare: Callable[..., Path], tmp_path: Path
) -> None:
    miniature = make(name)
    folder = prepare(miniature)
    check_loads(tmp_path / "data", miniature)
    assert not [path for path in (folder / "images").rglob("*") if path.is_symlink()]
    # What was fetched first, and what each archive held.
    left = [path for path in (tmp_path / "data" / ".work" / name).rglob("*") if path.is_file()]
    left = [path for path in left if not path.name.endswith((".fetched.json", ".lock"))]
    assert [path for path in left if path.parent.name != "brought"] == []


@pytest.mark.parametrize("name", NAMES)
def test_a_set_is_adopted_from_a_tree_of_another_tool(
    name: str, make: Callable[[str], Miniature], prepare: Callable[..., Path], tmp_path: Path
) -> None:
    miniature = make(name)
    prepare(miniature, miniature.peer)
    check_loads(tmp_path / "data", miniature)
    # Each number that the real card expects is one that is counted.
    counts = layout.load_manifest(tmp_path / "data", name)["counts"]
    assert set(plugins.load("datasets", name).CARD.expected) <= set(counts)
    card = json.loads((tmp_path / "data" / name / "card.json").read_text())
    assert card["image_set_version"] == "adopted, not confirmed"


@pytest.mark.parametrize("name", ["cars196", "inshop", "sop", "roxford5k", "instre", "met-mini"])
def test_archives_that_a_user_fetched_are_unpacked(
    name: str, make: Callable[[str], Miniature], prepare: Callable[..., Path], tmp_path: Path
) -> None:
    miniature = make(name)
    prepare(miniature, miniature.by_hand)
    check_loads(tmp_path / "data", miniature)


def test_a_wrong_archive_is_refused_and_nothing_is_written_beside_it(
    make: Callable[[str], Miniature], prepare: Callable[..., Path], tmp_path: Path
) -> None:
    miniature = make("sop")
    archive = miniature.by_hand / "Stanford_Online_Products.zip"
    data = bytearray(archive.read_bytes())
    data[len(data) // 2] ^= 0xFF
    archive.write_bytes(data)
    with pytest.raises(DataError, match="not the official file"):
        prepare(miniature, miniature.by_hand)
    assert [path.name for path in miniature.by_hand.iterdir()] == [archive.name]
    assert not layout.exists(tmp_path / "data", "sop")


def test_an_adopted_tree_with_other_judgements_is_refused(
    make: Callable[[str], Miniature], prepare: Callable[..., Path], tmp_path: Path
) -> None:
    miniature = make("roxford5k")
    pickled = miniature.peer / "data/test/roxford5k/gnd_roxford5k.pkl"
    official = pickled.read_bytes()
    truth = pickle.loads(official)
    truth["gnd"][1]["easy"] = []
    pickled.write_bytes(pickle.dumps(truth, protocol=2))
    known, found = (hashlib.sha256(data).hexdigest() for data in (official, pickled.read_bytes()))
    with pytest.raises(DataError, match=f"gnd_roxford5k.pkl: .*{found}.*{known}.*fetch it again") as raised:
        prepare(_without_size(miniature), miniature.peer)
    assert raised.value.exit_code == 3
    assert not layout.exists(tmp_path / "data", "roxford5k")
    pickled.write_bytes(official)
    prepare(miniature, miniature.peer)
    source = layout.load_manifest(tmp_path / "data", "roxford5k")["source"]
    assert source["files"] == {"gnd_roxford5k.pkl": known}


def _without_size(miniature: Miniature) -> Miniature:
    """The card knows its truth by the hash alone, so that it is the hash which refuses."""
    files = tuple(
        file if file.archive else file.model_copy(update={"size": None}) for file in miniature.card.files
    )
    return Miniature(**{**vars(miniature), "card": miniature.card.model_copy(update={"files": files})})


@pytest.mark.parametrize("name", sorted(set(NAMES) - set(FETCHED)))
def test_a_gated_set_says_what_to_do_by_hand(
    name: str, make: Callable[[str], Miniature], prepare: Callable[..., Path]
) -> None:
    miniature = make(name)
    with pytest.raises(DataError, match="--from DIR") as raised:
        prepare(miniature)
    assert raised.value.exit_code == 3


def test_nothing_is_fetched_before_the_terms_are_accepted(
    make: Callable[[str], Miniature],
    prepare: Callable[..., Path],
    official_server: OfficialServer,
    tmp_path: Path,
) -> None:
    miniature = make("roxford5k")
    with pytest.raises(DataError, match="--accept-terms"):
        prepare(miniature, accept=False)
    assert official_server.requests == []
    prepare(miniature)
    record = json.loads((tmp_path / "data" / ".terms" / "roxford5k.json").read_text())
    assert record["who"]
    assert "VGG" in record["statement"]
    shutil.rmtree(tmp_path / "data" / "roxford5k")
    prepare(miniature, accept=False)  # Once is enough.


def test_terms_are_shown_before_they_are_recorded_as_accepted(
    make: Callable[[str], Miniature], prepare: Callable[..., Path]
) -> None:
    miniature = make("roxford5k")
    said: list[str] = []
    prepare(miniature, report=said.append)
    assert "VGG Terms of Access" in said[0]
    said.clear()
    prepare(miniature, replace=True, report=said.append)
    assert not any("VGG Terms" in line for line in said)


@pytest.mark.parametrize(
    ("name", "words"), [("inshop", "DeepFashion agreement"), ("cars196", "Research use")]
)
@pytest.mark.parametrize("form", ["peer", "by_hand"])
def test_a_gated_set_asks_for_its_terms_where_it_comes_in(
    name: str,
    words: str,
    form: str,
    make: Callable[[str], Miniature],
    prepare: Callable[..., Path],
    tmp_path: Path,
) -> None:
    miniature = make(name)
    with pytest.raises(DataError, match=f"(?s){words}.*--accept-terms"):
        prepare(miniature, getattr(miniature, form), accept=False)
    assert not layout.exists(tmp_path / "data", name)
    prepare(miniature, getattr(miniature, form))
    record = json.loads((tmp_path / "data" / ".terms" / f"{name}.json").read_text())
    assert record["accepted"] is True


def test_terms_of_a_copy_are_shown_which_is_not_acceptance(
    make: Callable[[str], Miniature], prepare: Callable[..., Path], tmp_path: Path
) -> None:
    miniature = make("roxford5k")
    said: list[str] = []
    for _ in range(2):
        prepare(miniature, miniature.peer, accept=False, replace=True, report=said.append)
    assert len([line for line in said if "VGG Terms of Access" in line]) == 1
    path = tmp_path / "data" / ".terms" / "roxford5k.json"
    assert json.loads(path.read_text())["accepted"] is False
    with pytest.raises(DataError, match="--accept-terms"):
        prepare(miniature, accept=False, replace=True)
    prepare(miniature, replace=True)
    assert json.loads(path.read_text())["accepted"] is True


def test_a_subset_of_shards_is_named_and_grows(
    make: Callable[[str], Miniature],
    prepare: Callable[..., Path],
    official_server: OfficialServer,
    tmp_path: Path,
) -> None:
    miniature = make("gldv2-clean")
    root = tmp_path / "data"
    prepare(miniature, choices=Choices(shards="0,2"))
    manifest = layout.load_manifest(root, "gldv2-clean")
    assert manifest["shards"] == {"train": ["train_images_000.tar", "train_images_002.tar"]}
    card = json.loads((root / "gldv2-clean" / "card.json").read_text())
    assert card["subset"] == "a subset, 2 of 3 shards"
    part = len(layout.load_train(root, "gldv2-clean").images)
    assert 0 < part < 39
    asked = len(official_server.requests)
    prepare(miniature, replace=True)
    later = [request.path for request in official_server.requests[asked:] if request.path.endswith(".tar")]
    assert [Path(path).name for path in later] == ["images_001.tar"]  # The others are still there.
    assert len(layout.load_train(root, "gldv2-clean").images) == 39
    assert not (root / ".work" / "gldv2-clean" / "tree").exists()
    assert layout.load_manifest(root, "gldv2-clean")["shards"] is None


def test_the_disk_budget_stops_between_shards(
    make: Callable[[str], Miniature], prepare: Callable[..., Path], tmp_path: Path
) -> None:
    miniature = make("gldv2-noisy")
    said: list[str] = []
    prepare(miniature, choices=Choices(max_disk=420_000), report=said.append)
    assert any("--max-disk" in line for line in said)
    assert len(layout.load_manifest(tmp_path / "data", "gldv2-noisy")["shards"]["train"]) == 1


@pytest.mark.parametrize("room", [901_000, 1_200_000])
def test_a_budget_brings_some_of_every_series(
    room: int, make: Callable[[str], Miniature], prepare: Callable[..., Path], tmp_path: Path
) -> None:
    """An archive is announced with 200 kB, and 400 kB must be free for it: 800 kB for one of each series."""
    miniature = make("gldv2-retrieval")
    prepare(miniature, choices=Choices(max_disk=room))
    manifest = layout.load_manifest(tmp_path / "data", "gldv2-retrieval")
    assert manifest["shards"] is None or all(manifest["shards"].values())
    assert len(layout.load_eval(tmp_path / "data", "gldv2-retrieval").queries) == 2


def test_lists_count_towards_the_budget(
    make: Callable[[str], Miniature], prepare: Callable[..., Path]
) -> None:
    with pytest.raises(UserError, match="the lists and one archive of every series"):
        prepare(make("gldv2-noisy"), choices=Choices(max_disk=402_000))  # Two lists of some 2 kB each.


def test_a_budget_for_a_single_archive_is_refused_before_anything(
    make: Callable[[str], Miniature], prepare: Callable[..., Path], tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="--max-disk: sop is no series"):
        prepare(make("sop"), choices=Choices(max_disk=10**9))
    assert not (tmp_path / "data").exists()


def test_photographs_outside_the_clean_list_are_not_unpacked(
    make: Callable[[str], Miniature], prepare: Callable[..., Path], tmp_path: Path
) -> None:
    prepare(make("gldv2-clean"))
    images = list((tmp_path / "data" / "gldv2-clean" / "images").rglob("*.jpg"))
    assert len(images) == 39
    assert (tmp_path / "data" / "gldv2-clean" / "train_attribution.csv").is_file()


def test_a_verified_count_that_is_missed_fails_and_an_unconfirmed_one_is_told(
    make: Callable[[str], Miniature], prepare: Callable[..., Path], tmp_path: Path
) -> None:
    miniature = make("cub200")
    wrong = {
        key: count.model_copy(update={"value": count.value + 1})
        for key, count in miniature.card.expected.items()
    }
    with pytest.raises(DataError, match="10 train, 11 expected"):
        prepare(_with(miniature, wrong), miniature.peer)
    assert not layout.exists(tmp_path / "data", "cub200")
    unsure = {key: count.model_copy(update={"verified": False}) for key, count in wrong.items()}
    said: list[str] = []
    prepare(_with(miniature, unsure), miniature.peer, report=said.append)
    assert any("10 train, 11 expected (unconfirmed" in line for line in said)


def _with(miniature: Miniature, expected: dict[str, object]) -> Miniature:
    return Miniature(**{**vars(miniature), "card": miniature.card.model_copy(update={"expected": expected})})


@pytest.mark.parametrize("name", ["roxford5k", "sop", "gldv2-clean", "holidays"])
def test_the_same_set_is_the_same_bytes_fetched_or_adopted(
    name: str, make: Callable[[str], Miniature], prepare: Callable[..., Path], tmp_path: Path
) -> None:
    miniature = make(name)
    digests = []
    for source in (None, miniature.peer):
        prepare(miniature, source, replace=True)
        digests.append(layout.load_manifest(tmp_path / "data", name)["digests"])
    assert digests[0] == digests[1]


def test_an_adopted_retrieval_set_without_a_query_is_a_subset(
    make: Callable[[str], Miniature], prepare: Callable[..., Path], tmp_path: Path
) -> None:
    """The solution asks two private queries, of which one photograph is not there; the index is whole."""
    miniature = make("gldv2-retrieval")
    asked = miniatures._id(303)
    next((miniature.peer / "test").rglob(f"{asked}.jpg")).unlink()
    unsure = {**miniature.card.expected, "queries": Count(value=750), "positive": Count(value=4)}
    said: list[str] = []
    folder = prepare(_with(miniature, unsure), miniature.peer, report=said.append)
    assert json.loads((folder / "card.json").read_text())["subset"] == "a subset, 1 of 2 queries"
    assert "gldv2-retrieval: a subset, 1 of 2 queries. Results made on it say so." in said


def test_a_fetched_retrieval_set_without_a_query_is_refused(
    make: Callable[[str], Miniature], prepare: Callable[..., Path], tmp_path: Path
) -> None:
    miniature = make("gldv2-retrieval")
    solution = next(miniature.published.rglob("retrieval_solution_v2.1.csv"))
    row = f"{miniatures._id(399)},{miniatures._id(200)},Private\n"
    solution.write_text(solution.read_text() + row)
    with pytest.raises(DataError, match="2 of 3 queries"):
        prepare(miniature)
    assert not layout.exists(tmp_path / "data", "gldv2-retrieval")


def test_the_broken_paris_files_are_never_asked_for(
    make: Callable[[str], Miniature], prepare: Callable[..., Path], tmp_path: Path
) -> None:
    prepare(make("paris6k"))
    names = layout.load_eval(tmp_path / "data", "paris6k").database.paths.tolist()
    assert b"paris_louvre_000136.jpg" not in names
    assert layout.load_manifest(tmp_path / "data", "paris6k")["failed"] == []


def test_ilias_is_held_to_its_publishers_list(
    make: Callable[[str], Miniature], prepare: Callable[..., Path], tmp_path: Path
) -> None:
    miniature = make("ilias")
    (listed,) = miniature.published.rglob("checksums.txt")
    right = listed.read_text()
    listed.write_text("0" * 32 + right[32:])
    with pytest.raises(DataError, match=r"md5 is \w+, 0{32} expected"):
        prepare(miniature)
    listed.write_text(right)
    prepare(miniature)
    check_loads(tmp_path / "data", miniature)


def test_an_empty_list_of_boxes_is_refused(
    make: Callable[[str], Miniature], prepare: Callable[..., Path]
) -> None:
    miniature = make("ilias")
    next(miniature.peer.rglob("query/*_bbox.txt")).write_text("\n")
    with pytest.raises(DataError, match="not lines of x y w h"):
        prepare(miniature, miniature.peer)


def test_boxes_of_ilias_become_corners_around_all_of_them(
    make: Callable[[str], Miniature], prepare: Callable[..., Path], tmp_path: Path
) -> None:
    prepare(make("ilias"))
    queries = layout.load_eval(tmp_path / "data", "ilias").queries
    assert queries.box(0) == (4, 2, 44, 32)
    assert queries.box(1) == (4, 2, 60, 46)


def test_an_incomplete_tree_says_what_is_missing(
    make: Callable[[str], Miniature], prepare: Callable[..., Path]
) -> None:
    miniature = make("cub200")
    next((miniature.peer / "CUB_200_2011" / "images").rglob("*.jpg")).unlink()
    with pytest.raises(VitretError, match=r"1 of 10 \w+ images are not there"):
        prepare(miniature, miniature.peer)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["roxford5k", "rparis6k"])
def test_the_real_ground_truth_meets_the_counts_of_its_card(name: str, shared: Path, tmp_path: Path) -> None:
    """The official pickle through the part itself; every photograph is one grey square, large enough for the boxes."""
    card = plugins.load("datasets", name).CARD
    pickled = shared / "groundtruth" / f"gnd_{name}.pkl"
    truth = read_revisited(pickled)
    tree = tmp_path / "tree"
    (tree / "jpg").mkdir(parents=True)
    for stems, size in ((truth.database, 16), (truth.queries, 1024)):
        Image.new("RGB", (size, size)).save(tree / f"{size}.jpg")
        for stem in stems:
            (tree / "jpg" / f"{stem}.jpg").symlink_to(tree / f"{size}.jpg")
    shutil.copy(pickled, tree)
    prepare_set(Request(name, data_root=tmp_path / "data", source=tree, workers=0))
    counts = layout.load_manifest(tmp_path / "data", name)["counts"]
    assert {key: counts[key] for key in card.expected} == {
        key: count.value for key, count in card.expected.items()
    }

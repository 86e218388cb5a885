"""Every official set in small: the same archives, names, inner folders and list formats, a few dozen tiny photographs.

    miniature = build("roxford5k", folder)
    miniature.card       # the set's card with sizes, hashes, shard numbers and counts of the miniature
    miniature.published  # folder/<host>/<path>, for OfficialServer.serve
    miniature.by_hand    # all its files in one folder, as a user would put them there
    miniature.peer       # the tree unpacked as some other tool keeps it (cirtorch, revisitop, torchvision, …)
    miniature.options    # what `build` of the part needs

Counts of the miniature are marked verified, so that a preparation which loses an image fails.
"""

import gzip
import hashlib
import io
import json
import pickle
import shutil
import tarfile
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
import scipy.io
from official_server import OfficialServer
from PIL import Image

from vitret.core import plugins
from vitret.data.card import Card, Count
from vitret.data.prepare.official import prepare_official
from vitret.data.prepare.request import Request, resolve_known

HTML = b"<!DOCTYPE html>\n<html><head><title>302 Found</title></head><body>moved</body></html>\n"


@dataclass(frozen=True, kw_only=True)
class Link:
    """A symbolic link in a peer's tree, relative to its own folder."""

    to: str


Tree = Mapping[str, bytes | Link]


@dataclass(frozen=True, kw_only=True)
class Content:
    """What a builder gives: members by archive, plain files, members by shard and series, a peer's tree."""

    archives: Mapping[str, Tree] = field(default_factory=dict)
    plain: Mapping[str, bytes] = field(default_factory=dict)
    shards: tuple[tuple[Tree, ...], ...] = ()
    peer: Tree = field(default_factory=dict)
    expected: Mapping[str, int] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Miniature:
    name: str
    card: Card
    published: Path
    by_hand: Path
    peer: Path
    options: Mapping[str, Any]
    expected: Mapping[str, int]

    def convert(self) -> Any:
        return plugins.build("datasets", self.name, **self.options)

    def prepare(
        self, data_root: Path, source: Path | None = None, *, accept: bool = True, **more: Any
    ) -> Path:
        """`prepare_official` of the small card; without a source, from the mirror that VITRET_MIRROR names."""
        settings = {"options": self.options, "workers": 0, **more}
        request = Request(self.name, data_root=data_root, source=source, accept_terms=accept, **settings)
        return prepare_official(resolve_known(request, self.card))


# Sets that only a user can get.
GATED = frozenset(
    {
        "cars196",
        "gldv1",
        "inaturalist2018",
        "inshop",
        "landmarks-clean",
        "nc-noisy",
        "product1m",
        "rp2k",
        "uned",
    }
)


def names() -> list[str]:
    """Every official set, in the order of `vitret list datasets`; synthetic sets have nothing to be made small."""
    return [name for name in plugins.names("datasets") if plugins.load("datasets", name).CARD.tree]


def build(name: str, folder: Path) -> Miniature:
    """Make one miniature below `folder`; the same name always gives the same bytes."""
    content = BUILDERS[name]()
    card: Card = plugins.load("datasets", name).CARD
    published, by_hand, peer = folder / "published", folder / "by_hand", folder / "peer"
    by_hand.mkdir(parents=True)
    published.mkdir()
    files = []
    for file in card.files:
        data = _archive(file.name, content.archives[file.name]) if file.archive else content.plain[file.name]
        (by_hand / file.name).write_bytes(data)
        for url in file.urls[-1:]:  # Only the last mirror has it: the others are asked in vain.
            _publish(published, url, data)
        if file.hash_url is not None:
            line = f"{hashlib.md5(data).hexdigest()} {file.urls[0]}\n"
            _publish(published, file.hash_url, line.encode())
        known = {"md5": hashlib.md5(data).hexdigest()} if file.md5 else {}
        known |= {"sha256": hashlib.sha256(data).hexdigest()} if file.sha256 else {}
        files.append(file.model_copy(update={"size": len(data) if file.size else None, **known}))
    series = []
    for shards, parts in zip(card.shards, content.shards, strict=True):
        for n, part in enumerate(parts, start=shards.first):
            data = _archive(shards.name.format(n=n), part)
            _publish(published, shards.url.format(n=n), data)
            if shards.md5_url is not None:
                line = f"{hashlib.md5(data).hexdigest()}  images_{n:03d}.tar\n"
                _publish(published, shards.md5_url.format(n=n), line.encode())
        series.append(shards.model_copy(update={"count": len(parts), "bytes_each": 200_000}))
    _lay_out(peer, content.peer)
    expected = {key: Count(value=value, verified=True) for key, value in content.expected.items()}
    changed = {"files": tuple(files), "shards": tuple(series), "expected": expected, "needs_disk": 1_000_000}
    options = dict(content.options)
    for key, value in options.items():
        if isinstance(value, bytes):
            (folder / key).write_bytes(value)
            options[key] = str(folder / key)
    return Miniature(
        name=name,
        card=card.model_copy(update=changed),
        published=published,
        by_hand=by_hand,
        peer=peer,
        options=options,
        expected=content.expected,
    )


def publish(
    names: Sequence[str], folder: Path, server: OfficialServer, monkeypatch: pytest.MonkeyPatch
) -> list[Miniature]:
    """Make miniatures below `folder`; their cards stand in for the real ones, and one server has all their files."""
    monkeypatch.setenv("VITRET_MIRROR", server.mirror)
    made = [build(name, folder / name) for name in names]
    for miniature in made:
        monkeypatch.setattr(plugins.load("datasets", miniature.name), "CARD", miniature.card)
        shutil.copytree(miniature.published, server.folder, dirs_exist_ok=True)
    return made


def _publish(folder: Path, url: str, data: bytes) -> None:
    parts = urlsplit(url)
    path = folder / parts.netloc / parts.path.lstrip("/")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def _lay_out(folder: Path, tree: Tree) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in tree.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(data, Link):
            path.symlink_to(data.to)
        else:
            path.write_bytes(data)


def _archive(name: str, members: Tree) -> bytes:
    out = io.BytesIO()
    if name.endswith(".zip"):
        with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
            for path, data in members.items():
                assert isinstance(data, bytes)
                archive.writestr(zipfile.ZipInfo(path, (2020, 1, 1, 0, 0, 0)), data)
        return out.getvalue()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as tar:
        made: set[str] = set()
        for path, data in members.items():
            assert isinstance(data, bytes)
            for folder in reversed(Path(path).parents[:-1]):
                if str(folder) not in made:
                    made.add(str(folder))
                    entry = tarfile.TarInfo(f"{folder}/")
                    entry.type = tarfile.DIRTYPE
                    tar.addfile(entry)
            entry = tarfile.TarInfo(path)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return out.getvalue() if name.endswith(".tar") else gzip.compress(out.getvalue(), mtime=0)


@cache
def photo(seed: int, width: int = 64, height: int = 48) -> bytes:
    """A JPEG whose colour and stripes follow from the seed; the seed's tens are its class."""
    look = np.random.default_rng(seed // 10)
    noise = np.random.default_rng(seed)
    tiles = look.integers(0, 255, (3, 4, 3)).repeat(height // 3, axis=0).repeat(width // 4, axis=1)
    pixels = np.clip(tiles + noise.integers(-20, 20, tiles.shape), 0, 255).astype(np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", quality=90)
    return out.getvalue()


def _pickled(value: Any) -> bytes:
    return pickle.dumps(value, protocol=2)


def _moved(tree: Tree, folder: str) -> dict[str, bytes | Link]:
    return {f"{folder}/{name}": data for name, data in tree.items()}


# ------------------------------------------------------------------------------------------------ Oxford and Paris


def _landmark_photos(corpus: str, landmarks: tuple[str, ...], each: int) -> dict[str, bytes]:
    prefix = "paris_" if corpus == "paris" else ""
    return {
        f"{prefix}{landmark}_{i:06d}.jpg": photo(100 + 10 * k + i)
        for k, landmark in enumerate(landmarks)
        for i in range(each)
    }


def _revisited(corpus: str, landmarks: tuple[str, ...]) -> tuple[dict[str, bytes], bytes, dict[str, int]]:
    photos = _landmark_photos(corpus, landmarks, 5)
    stems = [name.removesuffix(".jpg") for name in photos]
    qimlist, imlist = stems[::5], [stem for i, stem in enumerate(stems) if i % 5][::-1]
    gnd = []
    for q, query in enumerate(qimlist):
        same = [i for i, stem in enumerate(imlist) if stem[:-7] == query[:-7]]
        other = next(i for i, stem in enumerate(imlist) if stem[:-7] != query[:-7])
        box = [4.5, 2.0, 60.25, 44.0] if corpus == "oxford" else [4, 2, 60, 44]
        # The first Oxford query has no easy positive, the first of Paris no junk.
        easy = [] if q == 0 and corpus == "oxford" else same[:1]
        junk = [] if q == 0 and corpus == "paris" else [other]
        gnd.append({"bbx": box, "easy": easy, "hard": [i for i in same[:3] if i not in easy], "junk": junk})
    truth = _pickled({"imlist": imlist, "qimlist": qimlist, "gnd": gnd})
    counts = {key: sum(len(row[key]) for row in gnd) for key in ("easy", "hard", "junk")}
    # A photograph that no list asks for.
    photos[f"{stems[0][:-7]}_009999.jpg"] = photo(999)
    return photos, truth, {"queries": len(qimlist), "database": len(imlist), **counts}


OXFORD = ("all_souls", "ashmolean", "radcliffe_camera")
PARIS = ("defense", "eiffel", "louvre")


def roxford5k() -> Content:
    photos, truth, expected = _revisited("oxford", OXFORD)
    peer = {
        **_moved(photos, "data/test/oxford5k/jpg"),
        "data/test/roxford5k/jpg": Link(to="../oxford5k/jpg"),
        "data/test/roxford5k/gnd_roxford5k.pkl": truth,
    }
    return Content(
        archives={"oxbuild_images-v1.tgz": photos},
        plain={"gnd_roxford5k.pkl": truth},
        peer=peer,
        expected=expected,
    )


def _paris_archives(photos: Mapping[str, bytes]) -> dict[str, dict[str, bytes]]:
    halves: dict[str, dict[str, bytes]] = {"paris_1-v1.tgz": {}, "paris_2-v1.tgz": {}}
    for i, (name, data) in enumerate(sorted(photos.items())):
        half = "paris_1-v1.tgz" if i < len(photos) // 2 else "paris_2-v1.tgz"
        halves[half][f"paris/{name.split('_')[1]}/{name}"] = data
    return halves


def rparis6k() -> Content:
    photos, truth, expected = _revisited("paris", PARIS)
    photos["paris_louvre_000136.jpg"] = HTML
    peer = {**_moved(photos, "data/datasets/rparis6k/jpg"), "data/datasets/rparis6k/gnd_rparis6k.pkl": truth}
    return Content(
        archives=_paris_archives(photos), plain={"gnd_rparis6k.pkl": truth}, peer=peer, expected=expected
    )


def _original(corpus: str, landmarks: tuple[str, ...]) -> tuple[dict[str, bytes], dict[str, bytes], bytes]:
    photos = _landmark_photos(corpus, landmarks, 5)
    stems = sorted(name.removesuffix(".jpg") for name in photos)
    texts: dict[str, bytes] = {}
    gnd = []
    for k, landmark in enumerate(landmarks):
        same = [stem for stem in stems if landmark in stem]
        other = next(stem for stem in stems if landmark not in stem)
        name, query = f"{landmark}_1", same[0]
        prefix = "oxc1_" if corpus == "oxford" else ""
        good = same[:2] if corpus == "oxford" else []
        ok = same[2:4] if corpus == "oxford" else same[:4]
        junk = [other] if k else []
        texts[f"{name}_query.txt"] = f"{prefix}{query} 4.5 2 60.25 44\n".encode()
        for kind, listed in (("good", good), ("ok", ok), ("junk", junk)):
            texts[f"{name}_{kind}.txt"] = "".join(f"{stem}\n" for stem in listed).encode()
        rows = [stems.index(stem) for stem in good + ok]
        gnd.append({"bbx": [4.5, 2, 60.25, 44], "ok": rows, "junk": [stems.index(stem) for stem in junk]})
    qimlist = [stems[row["ok"][0]] for row in gnd]
    return photos, texts, _pickled({"imlist": stems, "qimlist": qimlist, "gnd": gnd})


def oxford5k() -> Content:
    photos, texts, pickled = _original("oxford", OXFORD)
    return Content(
        archives={"gt_files_170407.tgz": texts, "oxbuild_images-v1.tgz": photos},
        peer={**_moved(photos, "test/oxford5k/jpg"), "test/oxford5k/gnd_oxford5k.pkl": pickled},
        expected={"queries": 3, "database": 15, "positive": 12, "junk": 2},
    )


def paris6k() -> Content:
    photos, texts, _ = _original("paris", PARIS)
    photos["paris_louvre_000136.jpg"] = HTML
    return Content(
        archives={"paris_120310.tgz": texts, **_paris_archives(photos)},
        peer={**_moved(photos, "paris6k/jpg"), **_moved(texts, "paris6k/paris_120310")},
        expected={"queries": 3, "database": 15, "positive": 12, "junk": 2},
    )


def revisitop1m() -> Content:
    photos = {f"{n:03x}/{7919 * n:07x}.jpg": photo(2000 + n) for n in range(10, 22)}
    broken = "00a/0001357.jpg"
    photos[broken] = photo(2999)[:-200]
    listed = "".join(f"{name}\n" for name in photos).encode()
    rows = list(photos.items())
    return Content(
        plain={"revisitop1m.txt": listed},
        shards=((dict(rows[:6]), dict(rows[6:])),),
        peer={
            **_moved(photos, "data/datasets/revisitop1m/jpg"),
            "data/datasets/revisitop1m/revisitop1m.txt": listed,
        },
        expected={"database": 13},
    )


# ------------------------------------------------------------------------------------------------ SfM


def _cid(n: int) -> str:
    return hashlib.md5(f"cid {n}".encode()).hexdigest()


def _ims(cids: list[str]) -> dict[str, bytes]:
    return {f"ims/{c[-2:]}/{c[-4:-2]}/{c[-6:-4]}/{c}": photo(3000 + i) for i, c in enumerate(cids)}


def sfm120k() -> Content:
    cids = [_cid(n) for n in range(40)]
    train, val = cids[:30], cids[30:]
    parts = {
        "train": {
            "cids": train,
            "cluster": [i // 10 for i in range(30)],
            "qidxs": list(range(0, 30, 2)),
            "pidxs": list(range(1, 30, 2)),
        },
        # The same cluster number as in training, another model.
        "val": {"cids": val, "cluster": [0] * 10, "qidxs": [0, 2], "pidxs": [1, 3]},
    }
    database = _pickled(parts)
    peer = {**_ims(cids), "retrieval-SfM-120k.pkl": database}
    return Content(
        archives={"ims.tar.gz": _ims(cids)},
        plain={"retrieval-SfM-120k.pkl": database},
        peer=_moved(peer, "data/train/retrieval-SfM-120k"),
        expected={"train": 30, "validation": 10, "classes": 4, "pairs": 17},
    )


def _whitening(size: int) -> Content:
    cids = [_cid(n) for n in range(20)]
    pairs = np.arange(20).reshape(-1, 2)
    # As numpy arrays: both forms are in circulation.
    database = _pickled({"cids": cids, "qidxs": pairs[:, 0], "pidxs": pairs[:, 1]})
    name = f"retrieval-SfM-{size}k-whiten.pkl"
    peer: dict[str, bytes | Link] = {
        **_moved(_ims(cids), "train/retrieval-SfM-120k"),
        f"train/retrieval-SfM-{size}k/{name}": database,
    }
    if size == 30:
        peer["train/retrieval-SfM-30k/ims"] = Link(to="../retrieval-SfM-120k/ims")
    return Content(
        archives={"ims.tar.gz": _ims(cids)},
        plain={name: database},
        peer=peer,
        expected={"train": 20, "classes": 10, "pairs": 10},
    )


# ------------------------------------------------------------------------------------------------ Google landmarks


def _id(n: int) -> str:
    return hashlib.sha256(f"landmark {n}".encode()).hexdigest()[:16]


def _by_id(ids: list[str], seed: int) -> dict[str, bytes]:
    return {f"{i[0]}/{i[1]}/{i[2]}/{i}.jpg": photo(seed + n) for n, i in enumerate(ids)}


def gldv1() -> Content:
    ids = [_id(n) for n in range(30)]
    rows = [f"{i},http://gone.example/{i}.jpg,{10 * (n // 10) + 7}\n" for n, i in enumerate(ids)]
    peer = {f"GL18/jpg/{i}.jpg": photo(4000 + n) for n, i in enumerate(ids) if n != 3}
    return Content(
        peer={**peer, "GL18/train.csv": ("id,url,landmark_id\n" + "".join(rows)).encode()},
        expected={"train": 29, "classes": 3},
    )


# Sparse landmark ids, as in the real lists; image 39 is in train.csv and not in train_clean.csv.
LANDMARKS = (1, 27, 138982, 203093)


def _gldv2_lists() -> tuple[list[str], dict[str, bytes]]:
    ids = [_id(100 + n) for n in range(40)]
    train = "".join(f'{i},"http://x.example/a,b/{i}.jpg",{LANDMARKS[n // 10]}\n' for n, i in enumerate(ids))
    clean = "".join(
        f"{mark},{' '.join(ids[10 * k : min(10 * k + 10, 39)])}\n" for k, mark in enumerate(LANDMARKS)
    )
    attribution = "".join(f"{i},http://x.example,=SUM(A1),CC BY 2.0,somebody\n" for i in ids)
    return ids, {
        "train.csv": ("id,url,landmark_id\n" + train).encode(),
        "train_clean.csv": ("landmark_id,images\n" + clean).encode(),
        "train_attribution.csv": ("id,url,author,license,title\n" + attribution).encode(),
    }


def _gldv2(
    label_list: str, *, expected: Mapping[str, int], options: Mapping[str, Any] | None = None
) -> Content:
    ids, lists = _gldv2_lists()
    photos = sorted(_by_id(ids, 5000).items())
    shards = tuple(dict(photos[start::3]) for start in range(3))
    wanted = {name: lists[name] for name in (label_list, "train_attribution.csv")}
    return Content(
        plain=wanted,
        shards=(shards,),
        peer={**_moved(dict(photos), "gldv2/train"), **_moved(wanted, "gldv2/metadata")},
        expected=expected,
        options=options or {},
    )


def rgldv2_clean() -> Content:
    exclude = b"# landmarks of the evaluation sets\n27\n"
    return _gldv2("train_clean.csv", expected={"train": 29, "classes": 3}, options={"exclude": exclude})


def _retrieval(usage: str) -> Content:
    index, test = [_id(200 + n) for n in range(20)], [_id(300 + n) for n in range(8)]
    answers = [
        (test[0], " ".join(index[:3]), "Private"),
        (test[1], " ".join(index[3:5]), "Public"),
        (test[2], "None", "Ignored"),
        (test[3], index[7], "Private"),
    ]
    lists = {
        "index.csv": ("id\n" + "".join(f"{i}\n" for i in index)).encode(),
        "retrieval_solution_v2.1.csv": (
            "id,images,Usage\n" + "".join(f"{q},{a},{u}\n" for q, a, u in answers)
        ).encode(),
    }
    photos, queries = sorted(_by_id(index, 6000).items()), _by_id(test, 6000)
    return Content(
        plain=lists,
        shards=((dict(photos[:10]), dict(photos[10:])), (queries,)),
        peer={**_moved(dict(photos), "index"), **_moved(queries, "test"), **lists},
        expected={
            "queries": 2 if usage == "Private" else 1,
            "database": 20,
            "positive": 4 if usage == "Private" else 2,
        },
    )


# ------------------------------------------------------------------------------------------------ own copies


def landmarks_clean() -> Content:
    lists = {"train": "", "val": ""}
    photos: dict[str, bytes] = {}
    for n in range(24):
        part = "val" if n % 6 == 5 else "train"
        lists[part] += f"http://gone.example/{n % 4}/photo_{n:03d}.jpg {n // 8}\n"
        if n != 9:  # One address is dead.
            photos[f"landmarks/jpg/photo_{n:03d}.jpg"] = photo(7000 + n)
    texts = {
        f"landmarks/annotations/annotation_clean_{part}.txt": text.encode() for part, text in lists.items()
    }
    return Content(peer={**photos, **texts}, expected={"train": 23, "classes": 3})


def nc_noisy() -> Content:
    names = ("Eiffel Tower", "Notre-Dame", "Alamo")
    peer = {
        f"images/{name}/{n}.jpg": photo(7200 + 10 * k + n) for k, name in enumerate(names) for n in range(5)
    }
    return Content(peer=peer, expected={"train": 15, "classes": 3})


# ------------------------------------------------------------------------------------------------ metric learning


def sop() -> Content:
    photos: dict[str, bytes] = {}
    header = "image_id class_id super_class_id path\n"
    lists = {"train": header, "test": header}
    for n in range(40):
        part, name = ("train", "bicycle") if n < 20 else ("test", "toaster")
        # Class ids of the two parts follow on one another; the last train class has a single image.
        label = (3 if n == 19 else n // 10 + 1) if n < 20 else n // 10 + 2
        path = f"{name}_final/{110000 + n // 10}_{n % 10}.JPG"
        photos[path] = photo(7400 + n)
        lists[part] += f"{n + 1} {label} {1 if n < 20 else 12} {path}\n"
    tree = {
        **photos,
        "Ebay_train.txt": lists["train"].encode(),
        "Ebay_test.txt": lists["test"].encode(),
        "Ebay_info.txt": (lists["train"] + lists["test"][len(header) :]).encode(),
    }
    return Content(
        archives={"Stanford_Online_Products.zip": _moved(tree, "Stanford_Online_Products")},
        peer=_moved(tree, "data/Stanford_Online_Products"),
        expected={"train": 20, "classes": 3, "queries": 20, "database": 20},
    )


def cub200() -> Content:
    tree: dict[str, bytes] = {}
    images = labels = boxes = split = ""
    classes = (
        (1, "Black_footed_Albatross"),
        (100, "Brown_Pelican"),
        (101, "White_Pelican"),
        (200, "Yellowthroat"),
    )
    for k, (number, bird) in enumerate(classes):
        for i in range(5):
            n = 5 * k + i + 1
            name = f"{number:03d}.{bird}/{bird}_{i:04d}_{n}.jpg"
            tree[f"images/{name}"] = photo(7500 + 10 * k + i)
            images += f"{n} {name}\n"
            labels += f"{n} {number}\n"
            boxes += f"{n} 2.0 3.0 50.0 40.0\n"
            split += f"{n} {i % 2}\n"
    texts = {
        "images": images,
        "image_class_labels": labels,
        "bounding_boxes": boxes,
        "train_test_split": split,
    }
    tree |= {f"{name}.txt": text.encode() for name, text in texts.items()}
    return Content(
        archives={"CUB_200_2011.tgz": _moved(tree, "CUB_200_2011")},
        peer=_moved(tree, ["cub200", "CUB_200_2011"][1]),
        expected={"train": 10, "classes": 2, "queries": 10, "database": 10},
    )


def grocery_store() -> Content:
    tree: dict[str, bytes] = {}
    lists = {"train": "", "val": "", "test": ""}
    for k, folder in enumerate(
        ("Fruit/Apple/Pink-Lady", "Fruit/Kiwi", "Packages/Milk/Arla-Milk", "Vegetables/Leek")
    ):
        name = folder.rpartition("/")[2]
        for i in range(6):
            part = ("train", "val", "test")[i % 3]
            path = f"{part}/{folder}/{name}_{i // 3 + 1:03d}.jpg"
            tree[path] = photo(8400 + 10 * k + i)
            lists[part] += f"{path}, {k}, {k}\n"
    tree |= {f"{part}.txt": text.encode() for part, text in lists.items()}
    top = f"GroceryStoreDataset-{plugins.load('datasets', 'grocery-store').COMMIT}"
    return Content(
        archives={"GroceryStoreDataset.tar.gz": _moved(tree, f"{top}/dataset")},
        peer=_moved(tree, "GroceryStoreDataset/dataset"),
        expected={"train": 12, "classes": 2, "queries": 12, "database": 12},
    )


def clothing() -> Content:
    tree: dict[str, bytes] = {}
    lines = "image,sender_id,label,kids\n"
    for k, kind in enumerate(("Hat", "Not sure", "Pants", "Shoes", "T-Shirt", "Skip")):
        for i in range(5):
            image = f"{k}{i}0000aa-ace5-43bf-9a0c-dc31a03e9cd2"
            lines += f"{image},{i},{kind},{i == 0}\n"
            # As in the repository, some photographs of no kind are listed and not there.
            if kind != "Skip":
                tree[f"images/{image}.jpg"] = photo(8500 + 10 * k + i)
    tree["images.csv"] = lines.encode()
    return Content(
        archives={
            "clothing-dataset.tar.gz": _moved(
                tree, f"clothing-dataset-{plugins.load('datasets', 'clothing').COMMIT}"
            )
        },
        peer=_moved(tree, "clothing-dataset"),
        expected={"train": 10, "classes": 2, "queries": 10, "database": 10},
    )


def _mat(**variables: Any) -> bytes:
    out = io.BytesIO()
    scipy.io.savemat(out, variables)
    return out.getvalue()


def _structs(rows: list[dict[str, Any]]) -> np.ndarray[Any, Any]:
    made = np.empty((1, len(rows)), dtype=[(key, object) for key in rows[0]])
    for i, row in enumerate(rows):
        made[0, i] = tuple(row.values())
    return made


def cars196() -> Content:
    classes = [1] * 5 + [98] * 5 + [99] * 5 + [196] * 5
    box = {"bbox_x1": 1, "bbox_y1": 2, "bbox_x2": 60, "bbox_y2": 40}
    rows = [
        {"relative_im_path": f"car_ims/{n:06d}.jpg", **box, "class": c, "test": n % 2}
        for n, c in enumerate(classes, start=1)
    ]
    names = np.array([f"car {c}" for c in range(1, 197)], dtype=object).reshape(1, -1)
    photos = {f"car_ims/{n:06d}.jpg": photo(7600 + n + 5 * (n // 5)) for n in range(1, 21)}
    peer: dict[str, bytes] = {}
    for part in ("train", "test"):
        # Another order and other file names than those of the original archive.
        chosen = [row for row in rows if row["test"] == (part == "test")]
        listed = [
            {**box, "class": row["class"], "fname": f"{i:05d}.jpg"} for i, row in enumerate(chosen, start=1)
        ]
        for row, entry in zip(chosen, listed, strict=True):
            peer[f"stanford_cars/cars_{part}/{entry['fname']}"] = photos[row["relative_im_path"]]
        name = "devkit/cars_train_annos.mat" if part == "train" else "cars_test_annos_withlabels.mat"
        peer[f"stanford_cars/{name}"] = _mat(annotations=_structs(listed))
    return Content(
        archives={"car_ims.tgz": photos},
        plain={"cars_annos.mat": _mat(annotations=_structs(rows), class_names=names)},
        peer=peer,
        expected={"train": 10, "classes": 2, "queries": 10, "database": 10},
    )


def inshop() -> Content:
    photos: dict[str, bytes] = {}
    rows = ""
    for item in range(1, 9):
        for view in range(5):
            status = "train" if item % 2 else ("query" if view < 2 else "gallery")
            path = f"img/WOMEN/Blouses_Shirts/id_{item:08d}/02_{view + 1}_front.jpg"
            photos[path] = photo(7700 + 10 * item + view)
            rows += f"{path}          id_{item:08d}  {status}\n"
    partition = f"{len(photos)}\nimage_name item_id evaluation_status\n{rows}".encode()
    root = "In-shop Clothes Retrieval Benchmark"
    return Content(
        archives={"img.zip": photos},
        plain={"list_eval_partition.txt": partition},
        peer={**_moved(photos, f"{root}/Img"), f"{root}/Eval/list_eval_partition.txt": partition},
        expected={"train": 20, "classes": 4, "queries": 8, "database": 12},
    )


def inaturalist2018() -> Content:
    peer: dict[str, bytes] = {}
    lists = {"train": "", "test": ""}
    for species in range(6):
        part = "train" if species < 3 else "test"
        for n in range(5):
            path = f"train_val2018/Aves/{3000 + species}/{species}{n}abcdef.jpg"
            peer[path] = photo(7800 + 10 * species + n)
            lists[part] += f"{path}\n"
    for part, text in lists.items():
        peer[f"Inat_dataset_splits/Inaturalist_{part}_set1.txt"] = text.encode()
    return Content(peer=peer, expected={"train": 15, "classes": 3, "queries": 15, "database": 15})


# ------------------------------------------------------------------------------------------------ evaluation sets


def gpr1200() -> Content:
    photos = {
        f"images/{category}_{'landmark' if category < 2 else 'sop'}_{i}.jpg": photo(9100 + 10 * category + i)
        for category in range(4)
        for i in range(3)
    }
    return Content(
        archives={"GPR1200.zip": photos},
        peer=_moved(photos, "data/GPR1200"),
        expected={"queries": 12, "database": 12},
    )


def product1m() -> Content:
    peer: dict[str, bytes] = {}
    lists = {"test": "", "gallery": ""}
    items = [("gallery", (str(k),)) for k in range(3) for _ in range(2)]
    # A gallery image shows its first label; a query asks for all of its own.
    items += [("gallery", ("3", "0")), ("test", ("0", "2")), ("test", ("1",)), ("test", ("3", "0"))]
    for n, (part, labels) in enumerate(items):
        item = 588193613500 + n
        peer[f"images/{item}.jpg"] = photo(9200 + 10 * n)
        names = "#;#".join(f"AHC 面霜 {label}" for label in labels)
        lists[part] += (
            f"{item}#####AHC黄金水#####https://example.org/{n}.jpg#####https://example.com/{item}.jpg#####{names}\n"
        )
    for part, text in lists.items():
        peer[f"Poudct1M/product1m_{part}_ossurl_v2.txt"] = text.encode()
    return Content(peer=peer, expected={"queries": 3, "database": 7, "positive": 4 + 2 + 3})


def rp2k() -> Content:
    peer = {
        f"rp2k/all/{part}/{product}/{product}_{i}.jpg": photo(9400 + 10 * k + i + 5 * (part == "test"))
        for k, product in enumerate(("7up", "cola zero", "可口可乐", "雪碧"))
        for part, count in (("train", 4), ("test", 2))
        for i in range(count)
    }
    return Content(peer=peer, expected={"train": 12, "classes": 2, "queries": 4, "database": 4})


def uned() -> Content:
    peer: dict[str, bytes] = {}
    domains = ("cars", "sop", "inat", "food2k", "rp2k", "inshop", "met", "gldv2")
    counts = dict.fromkeys(("train", "validation", "queries", "database"), 0)
    for d, domain in enumerate(domains):
        indexed = domain in ("inshop", "met", "gldv2")
        lists: dict[str, list[dict[str, Any]]] = {part: [] for part in ("train", "val", "test", "index")}
        for label in range(6):
            for i in range(2):
                path = f"{domain}/all/{label}/{i}.jpg"
                peer[f"data/images/{path}"] = photo(10_000 + 100 * d + 10 * label + i)
                part = "train" if label < 2 else "val" if label < 4 else "index" if indexed and i else "test"
                # The eight sets number their classes alike; a landmark query may show two.
                shown: Any = [label, 5] if domain == "gldv2" and part == "test" and label == 4 else label
                lists[part].append({"path": path, "class_id": shown, "domain": d})
        if domain == "met":
            lists["index"] += lists["train"]
        for part, entries in lists.items():
            if part != "index" or indexed:
                peer[f"data/info_files/{domain}/{part}.json"] = json.dumps(entries).encode()
        counts["train"] += len(lists["train"])
        counts["validation"] += len(lists["val"]) if domain != "met" else 0
        counts["queries"] += len(lists["test"])
        counts["database"] += len(lists["index" if indexed else "test"])
    return Content(peer=peer, expected=counts)


def holidays() -> Content:
    photos = {
        f"jpg/{100000 + 100 * g + i}.jpg": photo(7900 + 10 * g + i)
        for g in range(4)
        for i in range(2 + g % 2)
    }
    rows = list(photos.items())
    return Content(
        archives={"jpg1.tar.gz": dict(rows[:5]), "jpg2.tar.gz": dict(rows[5:])},
        peer=_moved(photos, "holidays"),
        # Four groups of 2, 3, 2 and 3 photographs, of which the first asks.
        expected={"queries": 4, "database": 10, "positive": 6},
    )


def ukbench() -> Content:
    photos = {f"full/ukbench{n:05d}.jpg": photo(8000 + 10 * (n // 4) + n % 4) for n in range(12)}
    return Content(
        archives={"ukbench.zip": {**photos, "full/readme.txt": b"N-S\n"}},
        peer=_moved(photos, "ukbench"),
        expected={"queries": 12, "database": 12, "positive": 48},
    )


def instre() -> Content:
    photos = {
        f"INSTRE-S1/{k:02d}a_object/{i:03d}.jpg": photo(8100 + 10 * k + i) for k in range(3) for i in range(6)
    }
    photos |= {f"INSTRE-M/{k:02d}/{i:03d}.jpg": photo(8150 + 10 * k + i) for k in range(2) for i in range(2)}
    queries = [name for name in photos if name.startswith("INSTRE-S1") and name.endswith("000.jpg")]
    database = [name for name in photos if name not in queries]
    rows = [
        {
            "ok": np.array(
                [[i + 1 for i, name in enumerate(database) if name[:12] == query[:12]]]
            ),  # From one.
            "bbx": np.array([[3.0, 4.0, 50.0, 40.0]]),
        }
        for query in queries
    ]
    cells = {
        key: np.array([*names, None], dtype=object)[:-1].reshape(1, -1)
        for key, names in (("imlist", database), ("qimlist", queries))
    }
    truth = _mat(gnd=_structs(rows), **cells)
    return Content(
        archives={"instre.tar.gz": photos},
        plain={"gnd_instre.mat": truth},
        peer={**_moved(photos, "data/test/instre"), "data/test/instre/gnd_instre.mat": truth},
        expected={"queries": 3, "database": 19, "positive": 15},
    )


def _met(*, mini: bool) -> Content:
    exhibits = {
        f"MET/{e}/{i}.jpg": photo(8200 + 10 * k + i) for k, e in enumerate((12, 907, 4411)) for i in range(2)
    }
    visitors = {f"test_met/{hashlib.md5(bytes([n])).hexdigest()}.jpg": photo(8205 + 10 * n) for n in range(4)}
    database = [{"id": int(path.split("/")[1]), "path": path} for path in exhibits]
    tests = [{"path": path, "MET_id": (12, 907, 4411, 12)[n]} for n, path in enumerate(visitors)]
    del tests[3]["MET_id"]  # Another artwork: it asks nothing here.
    lists = {
        "MET_database.json": json.dumps(database).encode(),
        "mini_MET_database.json": json.dumps(database[:4]).encode(),
        "testset.json": json.dumps(tests).encode(),
        "valset.json": b"[]",
    }
    images = dict(list(exhibits.items())[:4]) if mini else exhibits
    return Content(
        archives={
            "ground_truth.tar.gz": _moved(lists, "ground_truth"),
            "test_met.tar.gz": visitors,
            "small_MET.tar.gz" if mini else "MET.tar.gz": images,
        },
        peer={
            **_moved(images, "met-dataset"),
            **_moved(visitors, "met-dataset"),
            **_moved(lists, "met-dataset"),
        },
        expected={"queries": 3, "database": len(images)},
    )


def ilias() -> Content:
    core: dict[str, bytes] = {}
    queries = positives = ""
    for k, thing in enumerate(("0-9_seconds_bank", "a_teapot", "my_mug")):
        core[f"ilias_core/{thing}/query/Q000_00.jpg"] = photo(8300 + 10 * k)
        core[f"ilias_core/{thing}/query/Q000_00_bbox.txt"] = (
            b"4 2 40 30\n20 10 40 36\n" if k == 1 else b"4 2 40 30\n"
        )
        queries += f"{thing}/query/Q000_00.jpg,0.5,12\n"
        for i in range(3):
            core[f"ilias_core/{thing}/pos/P{i:03d}_00.jpg"] = photo(8301 + 10 * k + i)
            core[f"ilias_core/{thing}/pos/P{i:03d}_00_bbox.txt"] = b"1 1 20 20\n"
            positives += f"{thing}/pos/P{i:03d}_00.jpg,0.068,33\n"
    lists = {"image_query_ids.txt": queries.encode(), "positive_ids.txt": positives.encode()}
    return Content(
        archives={"ilias_core.tar": core},
        plain=lists,
        peer={**_moved(core, "ilias"), **_moved(lists, "ilias/image_ids")},
        expected={"queries": 3, "database": 9},
    )


BUILDERS: Mapping[str, Callable[[], Content]] = {
    "cars196": cars196,
    "clothing": clothing,
    "cub200": cub200,
    "gldv1": gldv1,
    "gldv2-clean": lambda: _gldv2("train_clean.csv", expected={"train": 39, "classes": 4}),
    "gldv2-noisy": lambda: _gldv2("train.csv", expected={"train": 40, "classes": 4}),
    "gldv2-retrieval": lambda: _retrieval("Private"),
    "gldv2-retrieval-public": lambda: _retrieval("Public"),
    "gpr1200": gpr1200,
    "grocery-store": grocery_store,
    "holidays": holidays,
    "ilias": ilias,
    "inaturalist2018": inaturalist2018,
    "inshop": inshop,
    "instre": instre,
    "landmarks-clean": landmarks_clean,
    "met": lambda: _met(mini=False),
    "met-mini": lambda: _met(mini=True),
    "nc-noisy": nc_noisy,
    "oxford5k": oxford5k,
    "paris6k": paris6k,
    "product1m": product1m,
    "revisitop1m": revisitop1m,
    "rgldv2-clean": rgldv2_clean,
    "roxford5k": roxford5k,
    "rp2k": rp2k,
    "rparis6k": rparis6k,
    "sfm120k": sfm120k,
    "sfm120k-whiten": lambda: _whitening(120),
    "sfm30k": lambda: _whitening(30),
    "sop": sop,
    "ukbench": ukbench,
    "uned": uned,
}

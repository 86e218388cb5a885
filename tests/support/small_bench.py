"""What tests of the bench share: patterns of coarse noise, sets of them, and folders with one frozen network."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image

from vitret.compare.asked import Places
from vitret.data.layout.parts import Side
from vitret.data.layout.write import LayoutWriter


def make_places(root: Path, *, track: str, suite: str) -> Places:
    """The folders of a bench: the system `frozen`, and a track that measures it by a suite."""
    found = Places(**{name: root / name for name in ("home", "data", "results", "configs", "suites")})
    for folder in (found.configs / "systems", found.configs / "tracks", found.suites):
        folder.mkdir(parents=True)
    (found.configs / "systems" / "frozen.yaml").write_text(
        "name: frozen\ntitle: Frozen\n"
        "model: {backbone: {name: timm_model, arch: test_vit, pretrained: false, img_size: 32}, head: gem}\n"
    )
    (found.configs / "tracks" / f"{track}.yaml").write_text(
        f"name: {track}\ntrain_set: {track}\nimages_seen: 0\nseeds: [0]\nsystems: [frozen]\nsuite: {suite}\n"
    )
    return found


def write_town(places: Places, drawn: Path) -> list[Path]:
    """Sets `town`, which trains, and `test`, which asks: six patterns each of three views. All images, test's first."""
    images = draw(drawn, patterns=12, views=3)
    with LayoutWriter(places.data, "town", workers=1) as writer:
        writer.train(linked(writer, images[18:]), [i // 3 for i in range(18)])
        finish(writer)
    with LayoutWriter(places.data, "test", workers=1) as writer:
        write_categories(writer, images[:18], views=3)
    return images


def draw(folder: Path, *, patterns: int, views: int) -> list[Path]:
    """Some views each of some patterns of coarse noise, as PNG of 32 pixels, by pattern."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    paths = []
    for pattern in range(patterns):
        base = np.kron(rng.integers(0, 200, (4, 4, 3)), np.ones((8, 8, 1))).astype(np.int64)
        for view in range(views):
            path = folder / f"{pattern}-{view}.png"
            Image.fromarray((base + rng.integers(0, 55, base.shape)).astype(np.uint8)).save(path)
            paths.append(path)
    return paths


def linked(writer: LayoutWriter, images: Iterable[Path]) -> list[str]:
    """Link images into a set; their names there."""
    names = []
    for path in images:
        writer.link(path, path.name)
        names.append(path.name)
    return names


def finish(writer: LayoutWriter, **facts: str) -> None:
    """Write the set's card, and the set."""
    writer.card({"title": writer.name, **facts})
    writer.finish()


def write_categories(writer: LayoutWriter, images: list[Path], *, views: int) -> None:
    """An evaluation set in which each image asks for the others of its pattern."""
    names, labels = linked(writer, images), [i // views for i in range(len(images))]
    rows = np.arange(len(images), dtype=np.int64)
    writer.evaluation(Side(names, labels=labels), Side(names, labels=labels), query_rows=rows)
    finish(writer)

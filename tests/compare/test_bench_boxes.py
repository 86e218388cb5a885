"""A bench of boxed items, several in one picture, under suites that leave queries uncropped."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from small_bench import finish, make_places

from vitret.compare import results
from vitret.compare.asked import Places, Request
from vitret.compare.bench import bench
from vitret.compare.machine import Machine
from vitret.compare.work import resolve
from vitret.data.layout.parts import Side
from vitret.data.layout.write import LayoutWriter
from vitret.describe import cache

CPU = Machine(device=torch.device("cpu"), precision="fp32", workers=1)


@pytest.fixture
def places(tmp_path: Path) -> Places:
    """Six pictures of 2×2 tiles; the four tiles are four classes, in another order in each picture."""
    found = make_places(tmp_path / "places", track="none", suite="items")
    rng = np.random.default_rng(0)
    tiles = np.kron(rng.integers(0, 200, (4, 4, 4, 3)), np.ones((1, 8, 8, 1))).astype(np.int64)
    paths, labels, boxes = [], [], []
    with LayoutWriter(found.data, "items", workers=1) as writer:
        for number in range(6):
            picture = np.zeros((64, 64, 3), np.uint8)
            for place, kind in enumerate(rng.permutation(4)):
                y, x = 32 * (place // 2), 32 * (place % 2)
                picture[y : y + 32, x : x + 32] = tiles[kind] + rng.integers(0, 15)
                paths.append(f"{number}.png")
                labels.append(int(kind))
                boxes.append([x, y, x + 32, y + 32])
            Image.fromarray(picture).save(tmp_path / f"{number}.png")
            writer.link(tmp_path / f"{number}.png", f"{number}.png")
        side = Side(paths, labels=labels, boxes=np.array(boxes, np.float64))
        writer.evaluation(side, side, query_rows=np.arange(24))
        finish(writer)
    return found


@pytest.mark.parametrize("rule", ["square", "shorter"])
@pytest.mark.parametrize("crop", ["none", "box"])
def test_several_items_of_one_picture_are_several_images(places: Places, rule: str, crop: str):
    """MAP@R was 2.3 % without `crop: box`: all items of a picture had the descriptor of the whole picture."""
    (places.suites / "items.yaml").write_text(
        "name: items\nsets: [items]\nlevels: [all]\nmetrics: [R@1, MAP@R]\nprimary: MAP@R\n"
        f"protocol: {{size: 32, size_rule: {rule}, upscale: true, query_size: same_size, crop: {crop}}}\n"
    )
    work = resolve(places, Request(train_set="none", suite="items"))
    (path,) = bench(places, work, machine=CPU, command="test", say=lambda _: None)
    assert {key: metric.value for key, metric in results.read_result(path).metrics.items()} == {
        "R@1": 1.0,
        "MAP@R": 1.0,
    }
    entries = [place for place in cache.folder(places.home).iterdir() if place.is_dir()]
    assert len(entries) == 1  # the queries are the database: described once

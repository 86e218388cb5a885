"""A head, a loss, a metric and a data set of somebody else's: each one new file and one line of YAML."""

from pathlib import Path

import pytest

from vitret.cli import run
from vitret.compare.results import read_result, result_files

HEAD = """
import torch


def build(widths, *, temperature=1.0):
    return Median(widths[-1], temperature)


class Median(torch.nn.Module):
    def __init__(self, dim, temperature):
        super().__init__()
        self.dim, self.temperature = dim, temperature

    def forward(self, tokens):
        return tokens.grids[-1].flatten(2).median(dim=2).values * self.temperature
"""
LOSS = """
import torch


def build(dim, classes, *, push=1.0):
    return Centres(dim, classes, push)


class Centres(torch.nn.Module):
    def __init__(self, dim, classes, push):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.randn(classes, dim))
        self.push = push

    def forward(self, descriptors, labels):
        return torch.nn.functional.cross_entropy(self.push * descriptors @ self.weight.T, labels)
"""
METRIC = """
import numpy as np


def build(*, k=1):
    def first_is_late(ranks):
        firsts = [row[0] if len(row) else np.nan for row in (ranks.row(i) for i in range(len(ranks)))]
        return 1.0 / (1.0 + np.array(firsts, dtype=float) / k)

    return first_is_late
"""
DATASET = """
import io

import numpy as np
from PIL import Image

from vitret.data.card import Card, Licence
from vitret.data.layout import Side

CARD = Card(
    name="stripes", title="Stripes", kind=("train", "eval"), homepage="here", citation="nobody", needs_disk=100_000,
    licence=Licence(text="none", spdx=None, commercial=True, redistribution=True),
)


def build(*, classes=6, each=6):
    def convert(source, writer):
        generator = np.random.default_rng(0)
        for c in range(2 * classes):
            for i in range(each):
                wave = 127 + 120 * np.sin(np.arange(40)[:, None] * (0.2 + 0.1 * c) + np.arange(40) * 0.05 * c)
                pixels = np.clip(wave[..., None] + generator.normal(0, 20, (40, 40, 3)), 0, 255).astype(np.uint8)
                file = io.BytesIO()
                Image.fromarray(pixels).save(file, "png")
                writer.write_image(f"{c}/{i}.png", file.getvalue())
        def names(lot):
            return [f"{c}/{i}.png" for c in lot for i in range(each)]
        train, test = range(classes), range(classes, 2 * classes)
        labels = np.repeat(np.arange(classes), each)
        writer.train(names(train), labels)
        side = Side(names(test), labels=labels)
        writer.evaluation(side, side, query_rows=np.arange(len(labels)))

    return convert
"""
SYSTEM = """
name: mine
title: Mine
model:
  backbone: {name: timm_model, arch: test_vit, pretrained: false, img_size: 32}
  head: {name: median, temperature: 2.0}
losses:
  - {name: centres, push: 8.0}
sampler: random
"""
TRACK = """
name: stripes
train_set: stripes
images_seen: 64
seeds: [0]
batch: 8
image: {size: 32}
validation: 0.0
systems: [mine]
suite: stripes
"""
SUITE = """
name: stripes
sets: [stripes]
levels: [all]
metrics: [R@1, promptness@3]
primary: promptness@3
protocol: {size: 32, size_rule: square, crop: none}
"""


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    parts = {
        "parts/heads/median.py": HEAD,
        "parts/losses/centres.py": LOSS,
        "parts/metrics/promptness.py": METRIC,
        "parts/datasets/stripes.py": DATASET,
        "configs/systems/mine.yaml": SYSTEM,
        "configs/tracks/stripes.yaml": TRACK,
        "suites/stripes.yaml": SUITE,
    }
    for name, text in parts.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.setenv("VITRET_CONFIGS", str(tmp_path / "configs"))
    monkeypatch.setenv("VITRET_SUITES", str(tmp_path / "suites"))
    monkeypatch.setenv("VITRET_RESULTS", str(tmp_path / "results"))
    monkeypatch.setenv("VITRET_INCLUDE", "")
    return tmp_path


def test_parts_of_ones_own_run_through_the_whole_bench(mine: Path, capsys: pytest.CaptureFixture[str]):
    include = ["--include", str(mine / "parts")]
    assert run(["prepare", "stripes", *include]) == 0, capsys.readouterr().err
    assert run(["bench", "--train-set", "stripes", "--device", "cpu", "--workers", "0", *include]) == 0, (
        capsys.readouterr().err
    )
    (path,) = result_files(mine / "results")
    row = read_result(path)
    assert row.model.head == "median"
    assert row.recipe.system.losses[0].options == {"push": 8.0}
    assert 0 < row.metrics["promptness@3"].value <= 1
    assert "promptness@3" in capsys.readouterr().out
    assert run(["results", "validate", *include]) == 0

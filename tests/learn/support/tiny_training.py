"""A training small enough for a test: coloured patterns on disk, a tiny network, a recipe."""

from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from vitret.core.recipes import Recipe, ResolvedRecipe
from vitret.core.records import Images, TrainSet
from vitret.core.runs import Run, open_run
from vitret.learn.train import train

CLASSES, PER_CLASS, SIDE = 8, 6, 40


def draw(folder: Path) -> None:
    """Each class is a pattern of its own, each image a shift and some noise of it."""
    folder.mkdir(parents=True, exist_ok=True)
    for label in range(CLASSES):
        generator = np.random.default_rng([1, label])
        pattern = generator.integers(0, 255, (5, 5, 3), dtype=np.uint8)
        tile = np.array(Image.fromarray(pattern).resize((SIDE, SIDE), Image.Resampling.BICUBIC), np.int64)
        for i in range(PER_CLASS):
            shifted = np.roll(tile, generator.integers(-4, 5, size=2), axis=(0, 1))
            noisy = np.clip(shifted + generator.normal(0, 12, shifted.shape), 0, 255).astype(np.uint8)
            Image.fromarray(noisy).save(folder / f"{label}-{i}.png")


def trainset(folder: Path) -> TrainSet:
    names = [f"{label}-{i}.png" for label in range(CLASSES) for i in range(PER_CLASS)]
    labels = np.repeat(np.arange(CLASSES), PER_CLASS).astype(np.int64)
    return TrainSet(name="patterns", images=Images.of(folder, names), labels=labels)


TINY_VIT = {
    "name": "timm_model",
    "arch": "test_vit",
    "pretrained": False,
    "drop_path": 0.2,
    "img_size": 32,
}


def recipe(images_seen: int = 240, **changes: Any) -> ResolvedRecipe:
    """P×K batches of 12 images at 32 pixels; `changes` go to the system, `track_…` to the track."""
    track = {
        "name": "patterns",
        "train_set": "patterns",
        "images_seen": images_seen,
        "batch": 12,
        "image": {"size": 32, "crop_area": [0.6, 1.0], "flip": True, "brightness": 0.1},
        "validation": 0.25,
    }
    track |= {k.removeprefix("track_"): v for k, v in changes.items() if k.startswith("track_")}
    system = {
        "name": "tiny",
        "title": "tiny",
        "model": {"backbone": TINY_VIT, "head": "cls"},
        "losses": ["contrastive", {"name": "koleo", "weight": 0.1}],
        "sampler": {"name": "pxk", "k": 4},
        "optimiser": {"lr": 3e-3},
    }
    system |= {k: v for k, v in changes.items() if not k.startswith("track_")}
    return Recipe.model_validate({"system": system, "track": track, "seed": 3}).resolved()


def run_of(home: Path, given: Recipe) -> Run:
    return open_run(home, given)


def main(chosen: ResolvedRecipe, home: Path, images: Path, told: Connection) -> None:
    """Train in a process of its own, saving at every look and telling each step: what a test kills."""
    torch.set_num_threads(1)
    train(
        chosen,
        trainset(images),
        run_of(home, chosen),
        device=torch.device("cpu"),
        save_seconds=0.0,
        progress=lambda done, total, text: told.send_bytes(b"%d" % done),
    )

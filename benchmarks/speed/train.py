"""Images per second of the whole training loop, and its share of the bare forward and backward pass on one fixed batch.

    python benchmarks/speed/train.py
    python benchmarks/speed/train.py --head dtop --loss arcface --classes 81313 --policy groups --size 448 --batch 64 \\
        --images 4096 --steps 100 --device cuda --precision bf16 --backbone \\
        '{"name": "timm_model", "arch": "vit_base_r50_s16_384", "pretrained": false, "layers": 6}'

The loop is `vitret.learn.train.train` on synthetic JPEGs: reading, augmentation, optimiser, log and all.
The bare rate is the network and its loss alone, forward and backward, on pixels that lie on the device. Prints JSON.
"""

import argparse
import json
import os
import platform
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from vitret.core.recipes import Recipe
from vitret.core.records import Images, TrainSet
from vitret.core.runs import code, open_run
from vitret.learn.augment import target_size
from vitret.learn.learner import make_learner
from vitret.learn.train import train

SHAPES = ((640, 480), (480, 640), (560, 560), (720, 405), (600, 420))


def draw(folder: Path, images: int, classes: int) -> TrainSet:
    """Smooth coloured noise, so that a JPEG decodes at a photograph's cost; five aspect ratios."""
    rng = np.random.default_rng(0)
    names = []
    for i in range(images):
        small = Image.fromarray(rng.integers(0, 255, (24, 24, 3), dtype=np.uint8))
        names.append(f"{i}.jpg")
        small.resize(SHAPES[i % len(SHAPES)], Image.Resampling.BICUBIC).save(folder / names[-1], quality=90)
    # A set of as many classes as the classifier shall have: the same files again under other labels.
    rows = max(images, classes)
    labels = np.arange(rows, dtype=np.int64) % classes
    return TrainSet(
        name="speed", images=Images.of(folder, [names[i % images] for i in range(rows)]), labels=labels
    )


def made_recipe(a: argparse.Namespace) -> Recipe:
    track = {
        "name": "speed",
        "train_set": "speed",
        "images_seen": a.batch * a.steps,
        "batch": a.batch,
        "validation": 0.0,
        "image": {"policy": a.policy, "size": a.size, "crop_area": [0.6, 1.0], "brightness": 0.1},
    }
    system = {
        "name": "speed",
        "title": "speed",
        "model": {"backbone": json.loads(a.backbone), "head": a.head},
        "losses": [a.loss],
        "sampler": "groups" if a.policy == "groups" else "random",
        "optimiser": {"accumulate": a.accumulate},
    }
    return Recipe.model_validate({"system": system, "track": track})


def settled(device: torch.device) -> float:
    """The time once everything asked of the device is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def loop_rate(
    a: argparse.Namespace, recipe: Recipe, trainset: TrainSet, home: Path, device: torch.device
) -> float:
    """Images per second from step `warm` to the last but one: after it comes the checkpoint."""
    marks: dict[int, float] = {}

    def watch(done: int, total: int, words: str) -> None:
        if done in (a.warm, total):
            marks[done] = settled(device)

    run = open_run(home, recipe)
    train(
        recipe,
        trainset,
        run,
        device=device,
        precision=a.precision,
        workers=a.workers,
        progress=watch,
        save_seconds=1e9,
    )
    return (a.steps - a.warm) * a.batch / (marks[a.steps] - marks[a.warm])


def bare_rate(a: argparse.Namespace, recipe: Recipe, classes: int, device: torch.device) -> float:
    learner = make_learner(recipe, classes=classes, images=a.images, device=device, precision=a.precision)
    learner.model.train()
    height, width = target_size(recipe.track.image, 500, 500, learner.model.patch)
    pixels = torch.randint(0, 256, (a.batch, 3, height, width), dtype=torch.uint8, device=device)
    labels = torch.arange(a.batch, device=device) % classes
    began = 0.0
    for step in range(a.steps):
        if step == a.warm:
            began = settled(device)
        learner.optimiser.zero_grad(set_to_none=True)
        loss, _ = learner.objective(learner.encode(learner.model, pixels), labels, step=step)
        learner.scaler.scale(loss).backward()
    return (a.steps - a.warm) * a.batch / (settled(device) - began)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    tiny = '{"name": "timm_model", "arch": "test_vit", "pretrained": false}'
    parser.add_argument("--backbone", default=tiny, help="a part, as JSON")
    parser.add_argument("--head", default="gem")
    parser.add_argument("--loss", default="arcface")
    parser.add_argument("--classes", type=int, default=500)
    parser.add_argument("--policy", default="groups", choices=("square", "groups", "longer"))
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--images", type=int, default=400)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--warm", type=int, default=10, help="steps that are not timed")
    parser.add_argument("--accumulate", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--workers", type=int)
    parser.add_argument("--out", type=Path, help="write the JSON here too")
    a = parser.parse_args()
    device, recipe = torch.device(a.device), made_recipe(a)
    with tempfile.TemporaryDirectory() as folder:
        images = Path(folder) / "set" / "images"
        images.mkdir(parents=True)
        trainset = draw(images, a.images, a.classes)
        bare = bare_rate(a, recipe, trainset.classes, device)
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        loop = loop_rate(a, recipe, trainset, Path(folder), device)
    cuda = device.type == "cuda"
    found = {
        "what": {k: str(v) if isinstance(v, Path) else v for k, v in vars(a).items() if k != "out"},
        "images_per_second": {"loop": round(loop, 2), "bare forward and backward": round(bare, 2)},
        "share_of_bare": round(loop / bare, 3),
        "peak_memory_bytes": torch.cuda.max_memory_allocated(device) if cuda else None,
        "device": torch.cuda.get_device_name(device)
        if cuda
        else f"{platform.machine()}, {os.cpu_count()} cores",
        "torch": torch.__version__,
        "commit": code()["commit"],
    }
    print(json.dumps(found, indent=2))
    if a.out is not None:
        a.out.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()

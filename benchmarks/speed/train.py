"""The training loop beside the bare step, in alternating blocks of one process: what share of it the loop reaches.

    python benchmarks/speed/train.py
    python benchmarks/speed/train.py --head dtop --loss arcface --classes 81313 --policy groups --size 448 --batch 64 \\
        --images 4096 --block 30 --device cuda --precision bf16 --backbone \\
        '{"name": "timm_model", "arch": "vit_base_r50_s16_384", "pretrained": false, "layers": 6}'

Three things take turns, `--rounds` blocks of `--block` steps each, so that a busy machine slows all of them:
  loop              `vitret.learn.train.train` on JPEG files: reading, augmentation, sampler, optimiser, log and all
  bare step         forward, loss, backward and update on pixels that lie on the device, in the loop's group sizes
  forward-backward  the same without the update
The medians of the blocks are compared. On a CPU a time is processor time (all threads of the process), which other
programs on the machine hardly move; on a GPU, and with loading processes, it is time on the clock, after everything
queued is done. Batches that were loaded ahead while another thing ran are used up before a block of the loop is timed.
Prints JSON.
"""

import argparse
import functools
import itertools
import json
import os
import platform
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from vitret.core.recipes import Recipe, ResolvedRecipe
from vitret.core.records import Images, TrainSet
from vitret.core.runs import code, open_run
from vitret.learn.augment import target_size
from vitret.learn.learner import Learner, make_learner, train_step
from vitret.learn.loading import Batch, default_workers, image_sizes
from vitret.learn.train import train
from vitret.models.flops import count_flops

SHAPES = ((640, 480), (480, 640), (560, 560), (720, 405), (600, 420))
FILES = 400  # whose sizes the bare steps have
AHEAD = 4  # batches that each loading process holds ready


def draw(folder: Path, images: int) -> list[str]:
    """Smooth coloured noise, so that a JPEG decodes at a photograph's cost; five aspect ratios."""
    rng = np.random.default_rng(0)
    names = []
    for i in range(images):
        small = Image.fromarray(rng.integers(0, 255, (24, 24, 3), dtype=np.uint8))
        names.append(f"{i}.jpg")
        small.resize(SHAPES[i % len(SHAPES)], Image.Resampling.BICUBIC).save(folder / names[-1], quality=90)
    return names


def made_set(folder: Path, names: list[str], *, images: int, classes: int) -> TrainSet:
    """Four images a class, the files again and again; the last image has the highest label of the classifier."""
    labels = np.arange(images, dtype=np.int64) // 4 % classes
    labels[-1] = classes - 1
    chosen = [names[i % len(names)] for i in range(images)]
    return TrainSet(name="speed", images=Images.of(folder, chosen), labels=labels)


def made_recipe(a: argparse.Namespace, steps: int) -> ResolvedRecipe:
    track = {
        "name": "speed",
        "train_set": "speed",
        "images_seen": a.batch * steps,
        "batch": a.batch,
        "validation": 0.0,
        "image": {"policy": a.policy, "size": a.size, "crop_area": [0.6, 1.0], "brightness": 0.1},
    }
    system = {
        "name": "speed",
        "title": "speed",
        "model": {
            "backbone": json.loads(a.backbone),
            "head": json.loads(a.head) if "{" in a.head else a.head,
        },
        "losses": json.loads(a.loss) if "[" in a.loss else [a.loss],
        "sampler": json.loads(a.sampler) if "{" in a.sampler else a.sampler,
        "optimiser": {"accumulate": a.accumulate},
        "memory": json.loads(a.memory) if a.memory else None,
    }
    return Recipe.model_validate({"system": system, "track": track}).resolved()


class Bare:
    """Steps on ready batches, whose sizes come as often as the loop's; made when first asked for."""

    def __init__(
        self, a: argparse.Namespace, recipe: ResolvedRecipe, trainset: TrainSet, device: torch.device
    ) -> None:
        self.a, self.recipe, self.classes, self.device = a, recipe, trainset.classes, device
        some = np.arange(min(len(trainset.images), FILES))
        self.shapes = image_sizes(trainset.images.take(some)).tolist()
        self.steps = itertools.count()
        # Of four images a class, as a loss over pairs needs them.
        self.labels = (torch.arange(a.batch, device=device) // 4) % self.classes

    @functools.cached_property
    def learner(self) -> Learner:
        a = self.a
        return make_learner(
            self.recipe,
            classes=self.classes,
            images=a.images,
            device=self.device,
            precision=a.precision,
        )

    @functools.cached_property
    def sizes(self) -> list[tuple[int, int]]:
        patch = self.learner.model.patch
        return [target_size(self.recipe.track.image, *shape, patch) for shape in self.shapes]

    @functools.cached_property
    def batches(self) -> dict[tuple[int, int], Batch]:
        def made(size: tuple[int, int]) -> Batch:
            pixels = torch.randint(0, 256, (self.a.batch, 3, *size), dtype=torch.uint8)
            return Batch(((torch.arange(self.a.batch), pixels.to(self.device)),))

        return {size: made(size) for size in set(self.sizes)}

    def step(self) -> None:
        number = next(self.steps)
        batch = self.batches[self.sizes[number % len(self.sizes)]]
        train_step(self.learner, self.recipe, batch, self.labels, step=number)

    def forward_backward(self) -> None:
        number, learner = next(self.steps), self.learner
        ((_, pixels),) = self.batches[self.sizes[number % len(self.sizes)]].parts
        learner.model.train()
        learner.optimiser.zero_grad(set_to_none=True)
        loss, _ = learner.objective(learner.encode(learner.model, pixels), self.labels, step=number)
        learner.scaler.scale(loss).backward()

    def operations(self) -> float:
        """Floating-point operations of a step for one image: a backward pass costs two forward ones."""
        often = Counter(self.sizes)
        each = {size: count_flops(self.learner.model, *size).attention for size in often}
        return 3 * sum(count * each[size] for size, count in often.items()) / len(self.sizes)


class Alternation:
    """The loop's progress, between whose blocks the bare ones run; seconds of each block by name."""

    def __init__(
        self, a: argparse.Namespace, ways: Mapping[str, Callable[[], None]], device: torch.device, drain: int
    ) -> None:
        self.a, self.ways, self.device, self.drain = a, ways, device, drain
        self.times: dict[str, list[dict[str, float]]] = {name: [] for name in ("loop", *ways)}
        self.peak: int | None = None  # bytes of the loop alone, before there is a second network
        self.began = self.now()

    @property
    def steps(self) -> int:
        return self.a.warm + self.a.rounds * (self.drain + self.a.block)

    def now(self) -> dict[str, float]:
        """The times once everything asked of the device is done."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return {"clock": time.perf_counter(), "processor": time.process_time()}

    def __call__(self, done: int, total: int, words: str) -> None:
        at = done - self.a.warm
        if at < 0:
            return
        cycle = self.drain + self.a.block
        if at and at % cycle == 0:
            self._close("loop")
            if self.device.type == "cuda" and self.peak is None:
                self.peak = torch.cuda.max_memory_allocated(self.device)
            for name, run in self.ways.items():
                if len(self.times[name]) == 0:
                    run()  # what the first step alone allocates and chooses is not timed
                self.began = self.now()
                for _ in range(self.a.block):
                    run()
                self._close(name)
        if at % cycle == self.drain % cycle:
            self.began = self.now()

    def _close(self, name: str) -> None:
        ended = self.now()
        self.times[name].append({which: ended[which] - self.began[which] for which in ended})


def measured(a: argparse.Namespace, folder: Path, device: torch.device) -> dict[str, Any]:
    if a.folder is None:
        images = folder / "set" / "images"
        images.mkdir(parents=True)
        names = draw(images, a.images)
    else:
        images, names = a.folder, sorted(path.name for path in a.folder.glob("*.jpg"))
    trainset = made_set(images, names, images=a.images, classes=a.classes)
    workers = default_workers(device) if a.workers is None else a.workers
    drain = AHEAD * workers
    alternation = Alternation(a, {}, device, drain)
    recipe = made_recipe(a, alternation.steps)
    bare = Bare(a, recipe, trainset, device)
    alternation = Alternation(
        a, {"bare step": bare.step, "forward-backward": bare.forward_backward}, device, drain
    )
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    train(
        recipe,
        trainset,
        open_run(folder, recipe),
        device=device,
        precision=a.precision,
        workers=workers,
        progress=alternation,
        save_seconds=1e9,
    )
    which = "clock" if device.type == "cuda" or workers else "processor"
    seconds = {name: [t[which] for t in found] for name, found in alternation.times.items()}
    middle = {name: statistics.median(found) for name, found in seconds.items()}
    each = a.batch * a.block
    rates = {name: each / statistics.median(t["clock"] for t in f) for name, f in alternation.times.items()}
    operations = bare.operations()
    return {
        "time": which,
        "seconds_of_a_block": {name: [round(v, 4) for v in found] for name, found in seconds.items()},
        "images_per_second_on_the_clock": {name: round(rate, 2) for name, rate in rates.items()},
        "share_of_bare_step": round(middle["bare step"] / middle["loop"], 4),
        "share_of_forward_backward": round(middle["forward-backward"] / middle["loop"], 4),
        "sizes": sorted(set(bare.sizes)),
        "operations_per_image": operations,
        "tflops_of_the_loop": round(operations * rates["loop"] / 1e12, 3),
        "peak_memory_bytes": alternation.peak,
        "workers": workers,
    }


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    tiny = '{"name": "timm_model", "arch": "test_vit", "pretrained": false}'
    parser.add_argument("--backbone", default=tiny, help="a part, as JSON")
    parser.add_argument("--head", default="gem", help="a part, by name or as JSON")
    parser.add_argument("--loss", default="arcface", help="a loss by name, or several as a JSON list")
    parser.add_argument("--sampler", help="a part; default: groups with policy groups, else random")
    parser.add_argument("--memory", help="a cross-batch memory, as JSON")
    parser.add_argument("--classes", type=int, default=500)
    parser.add_argument("--policy", default="groups", choices=("square", "groups", "longer"))
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--folder", type=Path, help="a folder of .jpg files; default: drawn noise")
    parser.add_argument("--images", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=5, help="blocks of each kind")
    parser.add_argument("--block", type=int, default=20, help="steps a block")
    parser.add_argument("--warm", type=int, default=10, help="steps of the loop before the first block")
    parser.add_argument("--accumulate", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--workers", type=int)
    parser.add_argument("--out", type=Path, help="write the JSON here too")
    a = parser.parse_args()
    a.sampler = a.sampler or ("groups" if a.policy == "groups" else "random")
    return a


def main() -> None:
    a = parsed()
    device = torch.device(a.device)
    with tempfile.TemporaryDirectory() as folder:
        found = measured(a, Path(folder), device)
    cores = f"{platform.machine()}, {os.cpu_count()} cores"
    found = {
        "what": {k: str(v) if isinstance(v, Path) else v for k, v in vars(a).items() if k != "out"},
        **found,
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else cores,
        "torch": torch.__version__,
        "commit": code()["commit"],
    }
    print(json.dumps(found, indent=2))
    if a.out is not None:
        a.out.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()

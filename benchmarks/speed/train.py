"""The training loop beside the bare step, in alternating blocks of one process: what share of it the loop reaches.

    python benchmarks/speed/train.py
    python benchmarks/speed/train.py --head dtop --loss arcface --classes 81313 --policy groups --size 448 --batch 64 \\
        --images 4096 --block 30 --device cuda --precision bf16 --backbone \\
        '{"name": "timm_model", "arch": "vit_base_r50_s16_384", "pretrained": false, "layers": 6}'

Three things take turns, `--rounds` blocks of `--block` steps each, so that a busy machine slows all of them:
  loop              `vitret.learn.train.train` on JPEG files: reading, augmentation, sampler, optimiser, log and all
  bare step         forward, loss, backward and update on pixels that lie on the device, in the sizes of the loop's
                    last block, step by step
  forward-backward  the same without the update
The medians of the blocks are compared. On a CPU a time is processor time (all threads of the process), which other
programs on the machine hardly move; on a GPU, and with loading processes, it is time on the clock, after everything
queued is done. Batches that were loaded ahead while another thing ran are used up before a block of the loop is timed.
On a CPU the JSON also says how the loop's steps were spent. Their `data` is augmentation, and decoding where not all
images fit in memory (`vitret.learn.loading.CACHE_BYTES`), which `--images` decides. Prints JSON.
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
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from vitret.core import plugins
from vitret.core.recipes import Recipe, ResolvedRecipe
from vitret.core.records import Images, TrainSet
from vitret.core.runs import code, open_run
from vitret.learn.augment import aspect_groups, target_size
from vitret.learn.learner import Learner, make_learner, train_step
from vitret.learn.loading import Batch, default_workers, forward, image_sizes
from vitret.learn.sampling import Facts
from vitret.learn.step_clock import OFF, WARM, StepClock
from vitret.learn.train import train
from vitret.models.flops import count_flops

SHAPES = ((640, 480), (480, 640), (560, 560), (720, 405), (600, 420))
AHEAD = 4  # batches that each loading process holds ready

Parts = tuple[tuple[tuple[int, int], int], ...]
"""The (height, width) in a batch, and how many images have each."""


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


def parts_of_steps(recipe: ResolvedRecipe, trainset: TrainSet, *, patch: int) -> Iterator[Parts]:
    """What the batch of each step of the loop holds; where a plan is mined, of one that is mined by chance."""
    policy, rng = recipe.track.image, np.random.default_rng(0)
    sizes = image_sizes(trainset.images)
    facts = Facts(
        labels=trainset.labels,
        batch=recipe.track.batch,
        seed=recipe.seed,
        pairs=trainset.pairs,
        groups=lambda: aspect_groups(sizes),
    )
    spec = recipe.system.sampler
    sampler = plugins.build("samplers", spec.name, facts, **spec.options)
    for epoch in itertools.count():
        for rows in sampler.plan(epoch, lambda asked: rng.standard_normal((len(asked), 8), np.float32)):
            seen = Counter(target_size(policy, *sizes[row].tolist(), patch) for row in rows)
            yield tuple(seen.items())


class Bare:
    """Steps on ready batches in the sizes that the loop's have; the network is made when first asked for."""

    def __init__(
        self, a: argparse.Namespace, recipe: ResolvedRecipe, trainset: TrainSet, device: torch.device
    ) -> None:
        self.a, self.recipe, self.trainset, self.device = a, recipe, trainset, device
        self.batches: dict[Parts, Batch] = {}
        self.parts: list[Parts] = []  # of the steps so far
        # Of four images a class, as a loss over pairs needs them.
        self.labels = (torch.arange(a.batch, device=device) // 4) % trainset.classes

    @functools.cached_property
    def learner(self) -> Learner:
        a = self.a
        return make_learner(
            self.recipe,
            classes=self.trainset.classes,
            images=a.images,
            device=self.device,
            precision=a.precision,
        )

    @functools.cached_property
    def planned(self) -> Iterator[Parts]:
        return parts_of_steps(self.recipe, self.trainset, patch=self.learner.model.patch)

    def get_ready(self, steps: range) -> None:
        """The batches of these steps, and no others."""
        self.parts += itertools.islice(self.planned, max(0, steps.stop - len(self.parts)))
        wanted = set(self.parts[steps.start : steps.stop])
        kept = {parts: batch for parts, batch in self.batches.items() if parts in wanted}
        self.batches = kept | {parts: self._batch(parts) for parts in wanted - set(kept)}

    def _batch(self, parts: Parts) -> Batch:
        counts = [count for _, count in parts]
        places = torch.split(torch.arange(sum(counts)), counts)
        pixels = [torch.randint(0, 256, (count, 3, *size), dtype=torch.uint8) for size, count in parts]
        return Batch(tuple(zip(places, pixels, strict=True))).to(self.device)

    def _given(self, number: int) -> tuple[Batch, Tensor]:
        """The batch of a step and its labels; a sampler of tuples may fill less than the batch asked for."""
        parts = self.parts[number]
        return self.batches[parts], self.labels[: sum(count for _, count in parts)]

    def step(self, number: int) -> None:
        train_step(self.learner, self.recipe, *self._given(number), step=number)

    def forward_backward(self, number: int) -> None:
        learner = self.learner
        learner.model.train()
        learner.optimiser.zero_grad(set_to_none=True)
        batch, labels = self._given(number)
        found = forward(batch, lambda x: learner.encode(learner.model, x))
        loss, _ = learner.objective(found, labels, step=number)
        learner.scaler.scale(loss).backward()

    def sizes(self) -> Counter[tuple[int, int]]:
        """How many images of the steps so far had each size."""
        often: Counter[tuple[int, int]] = Counter()
        for parts in self.parts:
            often.update(dict(parts))
        return often

    def operations(self) -> float:
        """Floating-point operations of a step for one image: a backward pass costs two forward ones."""
        often = self.sizes()
        each = {size: count_flops(self.learner.model, *size).attention for size in often}
        return 3 * sum(count * each[size] for size, count in often.items()) / often.total()


class Alternation:
    """The loop's progress, between whose blocks the bare ones run; seconds of each block by name."""

    def __init__(self, a: argparse.Namespace, bare: Bare, device: torch.device, drain: int) -> None:
        self.a, self.bare, self.device, self.drain = a, bare, device, drain
        ways = {"bare step": bare.step, "forward-backward": bare.forward_backward}
        self.ways: Mapping[str, Callable[[int], None]] = ways
        self.times: dict[str, list[dict[str, float]]] = {name: [] for name in ("loop", *ways)}
        self.peak: int | None = None  # bytes of the loop alone, before there is a second network
        self.began = self.now()

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
            block = range(done - self.a.block, done)
            self.bare.get_ready(block)
            for name, run in self.ways.items():
                if len(self.times[name]) == 0:
                    run(block[0])  # what the first step alone allocates and chooses is not timed
                self.began = self.now()
                for step in block:
                    run(step)
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
    recipe = made_recipe(a, a.warm + a.rounds * (drain + a.block))
    bare = Bare(a, recipe, trainset, device)
    alternation = Alternation(a, bare, device, drain)
    which = "clock" if device.type == "cuda" or workers else "processor"
    # On a GPU it would wait for the device at every change of phase.
    now = time.perf_counter if which == "clock" else time.process_time
    clock = OFF if device.type == "cuda" else StepClock(device, now=now)
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
        clock=clock,
    )
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
        **spent(
            clock, step=statistics.fmean(seconds["loop"]) / a.block, bare=middle["bare step"] / middle["loop"]
        ),
        "sizes": sorted(bare.sizes()),
        "operations_per_image": operations,
        "tflops_of_the_loop": round(operations * rates["loop"] / 1e12, 3),
        "peak_memory_bytes": alternation.peak,
        "workers": workers,
    }


def spent(clock: StepClock, *, step: float, bare: float) -> dict[str, Any]:
    """Seconds of the loop's steps by phase, what of a step was data, and the share of the bare step without it.

    `step` is the mean of the loop's steps, as the phases are means; `bare` is the bare step's share of the loop.
    """
    steps = clock.steps - WARM
    if steps < 1:
        return {}
    each = {name: value / steps for name, value in clock.seconds.items() if name != "rest"}
    return {
        "seconds_of_a_step": {name: round(value, 5) for name, value in each.items()},
        "share_of_data": round(each["data"] / step, 4),
        "share_of_bare_step_without_data": round(bare / (1 - each["data"] / step), 4),
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

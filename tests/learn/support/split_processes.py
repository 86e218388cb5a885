"""ArcFace with its classes divided among processes, as a loss alone and as a training. Started by the test."""

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tiny_training as tiny
import torch

from vitret.core import plugins
from vitret.core.recipes import ResolvedRecipe
from vitret.core.runs import open_run
from vitret.learn import distributed, loop
from vitret.learn.split_classes import total_norm
from vitret.learn.train import train

CLASSES, DIM, BATCH = 11, 8, 6


def beside_whole(place: Mapping[str, str], out: Path) -> None:
    """Loss, gradients and their norm of the divided loss, and of the whole one that this process computes too."""
    os.environ.update(place)
    torch.set_num_threads(1)
    with distributed.joined(torch.device("cpu")):
        generator = torch.Generator().manual_seed(1)
        rows = torch.nn.functional.normalize(torch.randn(BATCH, DIM, generator=generator))
        labels = torch.tensor([0, 3, 5, 6, 10, 10])
        found: dict[str, Any] = {}
        for name, split in (("split", True), ("whole", False)):
            torch.manual_seed(2)
            loss = plugins.build("losses", "arcface", DIM, CLASSES, split=split)
            given = rows.clone().requires_grad_()
            value = loss(given, labels)
            value.backward()
            found[name] = {"loss": value.detach(), "rows": given.grad, "weight": loss.weight.grad}
            if split:
                found["mine"] = torch.tensor([loss.mine.start, loss.mine.stop])
                found["norm"] = total_norm(loss.parameters())
        torch.save(found, f"{out}.{distributed.rank()}")


def trained(place: Mapping[str, str], recipe: ResolvedRecipe, images: Path, home: Path, die_at: int) -> None:
    """A training that saves every two steps; with `die_at` it ends there as if it were killed."""
    os.environ.update(place)
    torch.set_num_threads(1)
    loop.LOG_EVERY = 2

    def watch(done: int, total: int, words: str) -> None:
        if done == die_at:
            time.sleep(0.5)  # until the other has its last message too
            os._exit(0)

    with distributed.joined(torch.device("cpu")) as device:
        run = open_run(home, recipe)
        distributed.from_first(None)
        train(recipe, tiny.trainset(images), run, device=device, progress=watch, save_seconds=0.0)

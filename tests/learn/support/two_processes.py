"""Steps by N processes of one batch; each writes its loss and gradients. Started by the test."""

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import tiny_training as tiny
import torch

from vitret.core.recipes import Recipe
from vitret.learn import distributed
from vitret.learn.learner import make_learner, train_step
from vitret.learn.loading import TrainImages, batches, plan_places


def main(place: Mapping[str, str], recipe: Recipe, images: Path, out: Path) -> None:
    """`place` is what `torchrun` would put into the environment."""
    os.environ.update(place)
    torch.set_num_threads(1)
    with distributed.joined(torch.device("cpu")) as device:
        given = tiny.trainset(images)
        learner = make_learner(recipe, classes=given.classes, images=48, device=device, precision="fp32")
        dataset = TrainImages(given.images, recipe.track.image, seed=0, patch=learner.model.patch)
        plan = np.random.default_rng(0).permutation(48)[:24].reshape(2, 12)
        losses = []
        places = plan_places(plan, 0, 0, distributed.share(12))
        for step, batch in enumerate(batches(dataset, places, workers=0, device=device)):
            labels = torch.from_numpy(given.labels[plan[step]])
            loss, _ = train_step(learner, recipe, batch, labels, step=step)
            losses.append(loss)
        gradients = {n: p.grad for n, p in learner.model.named_parameters() if p.grad is not None}
        gradients |= {
            f"loss.{n}": p.grad for n, p in learner.objective.named_parameters() if p.grad is not None
        }
        weights = dict(learner.model.named_parameters())
        buffers = dict(learner.model.named_buffers())
        torch.save(
            {"losses": torch.stack(losses), "gradients": gradients, "weights": weights, "buffers": buffers},
            f"{out}.{distributed.rank()}",
        )

"""Training a matcher to re-rank: triples from global neighbours, binary cross-entropy, the network itself frozen.

Tan et al., "Instance-level image retrieval using reranking transformers", ICCV 2021, and the authors' code: an anchor
has at least five images of its class among its 100 nearest; its positive and its negative are drawn from that list.
Ours: the budget counts triples, and the rate is constant, as theirs effectively is. One process trains.
"""

import json
import math
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from vitret.core.errors import UserError
from vitret.core.records import Int64
from vitret.core.store import digest
from vitret.learn.checkpoints import (
    clear_state,
    cut_log,
    load_state,
    random_state,
    save_state,
    set_random_state,
)
from vitret.measure.search import search
from vitret.models.reranking import Find, Matcher, save_matcher
from vitret.models.reranking_rrt import triple_loss

LOG_EVERY = 20
Progress = Callable[[int, int, str], None]


class Triples:
    """The triples (anchor, positive, negative) of a training set, an endless stream that any seed fixes.

    `near` (A, k) holds the neighbours of the `anchors` (A,), -1 where a list is short; only valid anchors are kept.
    """

    def __init__(self, anchors: Int64, near: Int64, labels: Int64, *, positives: int, seed: int) -> None:
        same = (labels[near] == labels[anchors][:, None]) & (near >= 0)
        other = (labels[near] != labels[anchors][:, None]) & (near >= 0)
        valid = (same.sum(axis=1) >= positives) & other.any(axis=1)
        self.anchors, self.near, self.labels, self.seed = anchors[valid], near[valid], labels, seed

    def __len__(self) -> int:
        """How many anchors are valid: the triples of one epoch."""
        return len(self.anchors)

    def epoch(self, number: int) -> Int64:
        """Every valid anchor once, in random order, with one of its positives and one of its negatives: (A, 3)."""
        generator = np.random.default_rng([self.seed, number, 0x7219])
        order = generator.permutation(len(self.anchors))
        drawn = generator.random((len(order), 2))
        found = np.empty((len(order), 3), np.int64)
        for i, a in enumerate(order):
            row = self.near[a][self.near[a] >= 0]
            same = self.labels[row] == self.labels[self.anchors[a]]
            positive, negative = row[same], row[~same]
            found[i] = (
                self.anchors[a],
                positive[int(drawn[i, 0] * len(positive))],
                negative[int(drawn[i, 1] * len(negative))],
            )
        return found

    def stream(self, first: int) -> Iterator[Int64]:
        """Triples (3,) from number `first` on, epoch after epoch."""
        number, at = divmod(first, len(self.anchors))
        while True:
            yield from self.epoch(number)[at:]
            number, at = number + 1, 0


def mine(
    descriptors: NDArray[Any],
    labels: Int64,
    *,
    neighbours: int,
    positives: int,
    anchors: int | None,
    seed: int,
    engine: str = "numpy",
    device: str | None = None,
) -> Triples:
    """Triples from the nearest images of each anchor, itself left out; `descriptors` (n, D), `labels` (n,).

    `anchors` images are tried, drawn at random; None tries all. Raises `UserError` where none has enough positives.
    """
    tried = np.arange(len(labels))
    if anchors is not None and anchors < len(tried):
        tried = np.sort(np.random.default_rng([seed, 0xA7C]).permutation(tried)[:anchors])
    found = search(descriptors[tried], descriptors, k=neighbours + 1, engine=engine, device=device).indices
    # The anchor moves to the end of its own list, and the last place is cut off.
    order = np.argsort(found == tried[:, None], axis=1, kind="stable")
    near = np.take_along_axis(found, order, axis=1)[:, :neighbours]
    near[near == tried[:, None]] = -1
    triples = Triples(tried, near, labels, positives=positives, seed=seed)
    if not len(triples):
        raise UserError(
            f"no image has {positives} of its class and another among its {neighbours} nearest: there are no triples. "
            "Ask for fewer in the suite, rerank: options: matcher: {positives: 1}, or take a set with larger classes."
        )
    return triples


def train_matcher(
    matcher: Matcher,
    triples: Triples,
    find: Find,
    folder: Path,
    *,
    device: torch.device,
    progress: Progress | None = None,
    save_seconds: float = 60.0,
) -> Path:
    """Train a matcher by its spec; returns folder/matcher.safetensors, which exists only when training is over.

    `find` gives local features by image row. Goes on from folder/state where there is one; on the CPU an interrupted
    and a straight training give the same bytes. A loss that is not finite is a `UserError`.
    """
    path, spec = folder / "matcher.safetensors", matcher.spec
    if path.is_file():
        clear_state(folder / "state")
        return path
    folder.mkdir(parents=True, exist_ok=True)
    matcher.to(device).train()
    optimiser = torch.optim.AdamW(matcher.parameters(), lr=spec.lr, weight_decay=spec.weight_decay)
    recipe = digest({**spec.model_dump(mode="json"), "anchors": triples.anchors.tolist()})
    total, step = math.ceil(spec.triples / spec.batch), 0
    state = load_state(folder / "state", recipe=recipe, processes=1)
    if state is not None:
        step = state["step"]
        matcher.load_state_dict(state["model"])
        optimiser.load_state_dict(state["optimiser"])
        set_random_state(state["random"][0], device)
    cut_log(folder / "log.jsonl", step)
    stream = triples.stream(step * spec.batch)
    losses, right, saved = [], [], time.monotonic()
    while step < total:
        count = min(spec.batch, spec.triples - step * spec.batch)
        rows = np.stack(list(islice(stream, count))).T
        anchor, positive, negative = (find(some.tolist()) for some in rows)
        good, bad = matcher(anchor, positive), matcher(anchor, negative)
        loss = triple_loss(good, bad)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        if spec.clip is not None:
            nn.utils.clip_grad_norm_(matcher.parameters(), spec.clip)
        optimiser.step()
        step += 1
        losses.append(loss.detach())
        right.append(torch.cat([good > 0, bad < 0]).float().mean())
        if step % LOG_EVERY == 0 or step == total:
            value, accuracy = torch.stack(losses).mean().item(), torch.stack(right).mean().item()
            if not math.isfinite(value):
                raise UserError(
                    f"{folder}: the loss is {value} at step {step}. Try a lower rate in the suite, "
                    "rerank: options: matcher: {lr: …}."
                )
            entry = {"step": step, "loss": value, "accuracy": accuracy}
            with (folder / "log.jsonl").open("a", encoding="utf-8") as handle:
                handle.write(json.dumps(entry) + "\n")
            losses, right = [], []
            if progress is not None:
                progress(step, total, f"loss {value:.4f}, {accuracy:.0%} of pairs right")
            if step < total and time.monotonic() - saved > save_seconds:
                random = [random_state(device)]
                state = {"model": matcher.state_dict(), "optimiser": optimiser.state_dict(), "random": random}
                save_state(folder / "state", {**state, "step": step, "recipe": recipe})
                saved = time.monotonic()
    save_matcher(path, matcher)
    clear_state(folder / "state")
    return path

"""Training a matcher to re-rank: triples from global neighbours, binary cross-entropy, the network itself frozen.

Tan et al., "Instance-level image retrieval using reranking transformers", ICCV 2021, and the authors' code: an anchor
has at least five images of its class among its 100 nearest; its positive and its negative are drawn from that list.
Ours: the budget counts triples, and the rate is constant, as theirs effectively is. One process trains.
"""

import math
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from vitret.core.errors import UserError
from vitret.core.records import Int64
from vitret.core.reranking import MatcherSpec
from vitret.core.store import digest
from vitret.learn.checkpoints import clear_state
from vitret.learn.loop import Outcome, Position, Progress, Training, run_training
from vitret.learn.optimise import descend
from vitret.measure.search import search
from vitret.models.reranking import Find, Matcher, save_matcher
from vitret.models.reranking_rrt import triple_loss

__all__ = ["Progress", "Triples", "mine", "train_matcher"]


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

    `find` gives local features by image row. Continues from folder/state where there is one; on the CPU an interrupted
    and a straight training give the same bytes. Ctrl-C and losses that are not finite: see `run_training`.
    """
    path, spec = folder / "matcher.safetensors", matcher.spec
    if path.is_file():
        clear_state(folder / "state")
        return path
    folder.mkdir(parents=True, exist_ok=True)
    matcher.to(device).train()
    optimiser = torch.optim.AdamW(matcher.parameters(), lr=spec.lr, weight_decay=spec.weight_decay)
    training = Training(
        name=str(folder),
        recipe=digest({**spec.model_dump(mode="json"), "anchors": triples.anchors.tolist()}),
        total=math.ceil(spec.triples / spec.batch),
        batches=lambda start: _batches(triples, spec, start),
        step=lambda place, rows: _step(matcher, optimiser, find, rows),
        parts={"model": matcher, "optimiser": optimiser},
        write=lambda: save_matcher(path, matcher),
        state=folder / "state",
        device=device,
        advice="Try a lower rate in the suite, rerank: options: matcher: {lr: …}.",
        log=folder / "log.jsonl",
    )
    run_training(training, progress=progress, save_seconds=save_seconds)
    return path


def _batches(triples: Triples, spec: MatcherSpec, start: Position) -> Iterator[tuple[Position, Int64]]:
    """Each batch of triples (3, B) from a position on; the last one is smaller where the budget does not divide."""
    first = start.step * spec.batch
    stream = triples.stream(first)
    for step, seen in enumerate(range(first, spec.triples, spec.batch), start=start.step):
        rows = np.stack(list(islice(stream, min(spec.batch, spec.triples - seen))))
        yield Position(step=step, at=step), rows.T


def _step(matcher: Matcher, optimiser: torch.optim.Optimizer, find: Find, rows: Int64) -> Outcome:
    anchor, positive, negative = (find(some.tolist()) for some in rows)
    good, bad = matcher(anchor, positive), matcher(anchor, negative)
    loss = triple_loss(good, bad)
    descend(optimiser, loss, clip=matcher.spec.clip)
    right = torch.cat([good > 0, bad < 0]).float().mean()
    return Outcome(loss=loss.detach(), means={"accuracy": right})

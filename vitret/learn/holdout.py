"""Held-out classes of the training set: the only thing that tuning may look at. Never the test set."""

import dataclasses

import numpy as np
from numpy.typing import NDArray

from vitret.core.errors import UserError
from vitret.core.records import Int64, TrainSet
from vitret.data.layout.truth import truth_of_labels
from vitret.measure.counting import count_ranks
from vitret.measure.metrics.average_precision import average_precision
from vitret.measure.metrics.recall_at_k import recall_at_k

# The split belongs to the training set: all systems and seeds have the same one.
_SEED = 0x5E7A51DE
# Whole classes are measured until this many images are reached.
MOST_IMAGES = 2000


def split(trainset: TrainSet, fraction: float) -> tuple[TrainSet, TrainSet | None]:
    """(what is learned, what is held out); labels of the first are 0…C−1 without gaps.

    The set's own mask is taken where there is one. Otherwise `fraction` of the classes with two images or more, at
    least two, is held out; nothing is when it is 0. Excluded images are in neither, and change no class's side.
    """
    own = trainset.validation is not None and bool(trainset.validation.any())
    mask = trainset.validation if own else _choose(trainset.labels, fraction)
    assert mask is not None
    kept = np.ones_like(mask) if trainset.excluded is None else ~trainset.excluded
    learned, held = _subset(trainset, ~mask & kept), mask & kept
    if learned.classes < 2:
        raise UserError(f"{trainset.name}: {_too_few(learned.classes, own=own, held=bool(held.any()))}")
    return learned, _subset(trainset, held) if held.any() else None


def _too_few(classes: int, *, own: bool, held: bool) -> str:
    """What to do about too few classes: only what helps here."""
    if not held:
        return f"{classes} classes to learn from; telling them apart needs two. Use a larger set."
    left = f"{classes} classes are left to learn from when the others are held out"
    if own:
        return f"{left}, as the set's own validation part says. Use a larger set."
    return f"{left}. Use a larger set, or `--set track.validation=0`."


def _choose(labels: Int64, fraction: float) -> NDArray[np.bool_]:
    classes, counts = np.unique(labels, return_counts=True)
    classes = classes[counts > 1]
    count = max(2, round(fraction * len(classes))) if fraction > 0 else 0
    held = np.random.default_rng(_SEED).permutation(classes)[:count]
    return np.isin(labels, held)


def _subset(trainset: TrainSet, mask: NDArray[np.bool_]) -> TrainSet:
    rows = np.flatnonzero(mask).astype(np.int64)
    _, labels = np.unique(trainset.labels[rows], return_inverse=True)
    pairs = None
    if trainset.pairs is not None:
        place = np.cumsum(mask) - 1
        pairs = place[trainset.pairs[mask[trainset.pairs].all(axis=1)]]
    return dataclasses.replace(
        trainset,
        images=trainset.images.take(rows),
        labels=labels.astype(np.int64),
        pairs=pairs,
        validation=None,
        excluded=None,
    )


def measured_rows(labels: Int64) -> Int64:
    """Rows of whole classes, in label order, until `MOST_IMAGES` are reached."""
    order = np.argsort(labels, kind="stable").astype(np.int64)
    ends = np.searchsorted(labels[order], np.arange(labels.max() + 1), side="right")
    enough = ends[np.searchsorted(ends, min(MOST_IMAGES, len(labels)))]
    return order[:enough]


def score(descriptors: NDArray[np.float32], labels: Int64) -> dict[str, float]:
    """Recall@1 and mAP, fractions, when each image asks for the others of its class by cosine."""
    truth = truth_of_labels(labels, labels, np.arange(len(labels), dtype=np.int64))
    ranks = count_ranks(descriptors, descriptors, truth)["all"]
    return {
        "recall_at_1": float(np.nanmean(recall_at_k(ranks, k=1))),
        "map": float(np.nanmean(average_precision(ranks))),
    }

"""The bench's matcher: trained once a run on the track's training set, kept with the run, then asked about shortlists.

Its key covers the network, the images it learns from, how they are framed and its own spec, and not the shortlist: the
plain and the oracle rule are measured with one matcher.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch

from vitret.core.config import validate
from vitret.core.matcher import MatcherSpec
from vitret.core.protocol import Protocol
from vitret.core.store import digest
from vitret.describe.cache import cached_extract
from vitret.describe.locals import LocalFeatures
from vitret.describe.request import Request, extraction_key
from vitret.learn import holdout
from vitret.learn.rerank import Progress, mine, train_matcher
from vitret.models.matching import Matcher, load_matcher, pair_score

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager

    from vitret.core.records import EvalSet, ImageSet, TrainSet
    from vitret.measure.shortlist import PairScore
    from vitret.models.matching import Local
    from vitret.models.model import Retriever


def trained(
    model: Retriever,
    source: TrainSet,
    protocol: Protocol,
    *,
    validation: float,
    folder: Path,
    home: Path,
    device: torch.device,
    precision: str,
    workers: int,
    step: AbstractContextManager[Progress],
) -> Matcher:
    """The matcher of a network under a protocol: read from `folder` if it is there, else trained and left there.

    It learns from the images that the network learned from, described and framed as the protocol says, without
    whitening; the held-out share `validation` of the classes is left out.
    """
    spec = validate(MatcherSpec, protocol.rerank.options["matcher"] or {}, "matcher")
    learned, _ = holdout.split(source, validation)
    request = Request(
        model=model,
        images=learned.images,
        protocol=protocol,
        device=device,
        precision=precision,
        images_digest=source.digest,
        workers=workers,
    )
    key = {
        "spec": spec.model_dump(mode="json"),
        "extraction": extraction_key(request),
        "validation": validation,
    }
    place = folder / digest(key)[:16]
    if not (place / "matcher.safetensors").is_file():
        described = cached_extract(request, home=home)
        triples = mine(
            described.rows,
            learned.labels,
            neighbours=spec.neighbours,
            positives=spec.positives,
            anchors=spec.anchors,
            seed=spec.seed,
            engine="numpy" if device.type == "cpu" else "torch",
            device=str(device),
        )
        torch.manual_seed(spec.seed)
        matcher = Matcher(spec, inputs=_channels(model), global_dim=model.dim)
        find = LocalFeatures(
            model, learned.images, protocol, matcher.keep, device=device, scales=spec.scales, workers=workers
        )
        with step as progress:
            train_matcher(matcher, triples, find, place, device=device, progress=progress)
    return load_matcher(place / "matcher.safetensors").to(device)


def logits(
    matcher: Matcher,
    model: Retriever,
    evalset: EvalSet,
    distractors: ImageSet | None,
    protocol: Protocol,
    *,
    device: torch.device,
    workers: int,
) -> PairScore:
    """The matcher's opinion of (query, database rows); rows beyond the database are distractors."""
    sources = [evalset.queries, evalset.database]
    sources += [] if distractors is None else [distractors.images]
    asked, *searched = (
        LocalFeatures(
            model,
            images,
            protocol,
            matcher.keep,
            device=device,
            scales=matcher.spec.scales,
            workers=workers,
        )
        for images in sources
    )
    count = len(evalset.database)

    def database(rows: Sequence[int]) -> list[Local]:
        inside = iter(searched[0]([row for row in rows if row < count]))
        beyond = iter(searched[-1]([row - count for row in rows if row >= count]))
        return [next(inside if row < count else beyond) for row in rows]

    return pair_score(matcher, asked, database)


def _channels(model: Retriever) -> int:
    return int(model.backbone.widths[-1])  # type: ignore[index]

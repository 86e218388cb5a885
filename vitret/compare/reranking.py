"""The bench's matcher: trained once a run on the track's training set, kept with the run, then asked about shortlists.

Re-ranking with a matcher, in the order of the data; every file of it is called `reranking` in its wing:

- `core/reranking`: what is trained, as a suite states it under `rerank: {kind: rrt, options: {matcher: …}}`.
- `models/reranking_rrt`, `models/reranking`: the two networks; the matcher around them, its logits and its file.
- `describe/reranking`: the local features of the images that are asked for.
- `learn/reranking`: the training, on triples.
- `compare/reranking` (this page): trains the matcher of a run, and gives its logits to the measurement.
- `measure/reranking_shortlist`, `measure/rerankers/`, `measure/reranking`: who is looked at again, the new order of
  a shortlist (`rrt` by the matcher, `superglobal` by descriptors alone), and the exact ranks after it.

The key of a matcher covers the network, the images it learns from, how they are framed and its own spec, but not the
shortlist: the plain and the oracle rule are measured with one matcher.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch

from vitret.core.protocol import Protocol
from vitret.core.reranking import MatcherSpec
from vitret.core.store import digest
from vitret.describe.cache import cached_extract
from vitret.describe.request import extraction_key
from vitret.describe.reranking import LocalFeatures
from vitret.learn import holdout
from vitret.learn.reranking import Progress, Triples, mine, train_matcher
from vitret.models.reranking import Matcher, load_matcher, pair_score

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager
    from typing import Any

    from numpy.typing import NDArray

    from vitret.compare.machine import Machine
    from vitret.core.records import EvalSet, Images, ImageSet, Int64, TrainSet
    from vitret.measure.reranking_shortlist import PairScore
    from vitret.models.model import Retriever
    from vitret.models.reranking import Local


def trained(
    model: Retriever,
    source: TrainSet,
    protocol: Protocol,
    *,
    validation: float,
    folder: Path,
    home: Path,
    machine: Machine,
    step: AbstractContextManager[Progress],
) -> Matcher:
    """The matcher of a network under a protocol: read from `folder` if it is there, else trained and left there.

    It learns from the images that the network learned from, described and framed as the protocol says, without
    whitening; the held-out share `validation` of the classes is left out.
    """
    spec = protocol.rerank.matcher
    learned, _ = holdout.split(source, validation)
    request = machine.request(model, learned.images, protocol, images_digest=source.digest)
    key = {
        "spec": spec.model_dump(mode="json"),
        "extraction": extraction_key(request),
        "validation": validation,
    }
    place = folder / digest(key)[:16]
    if not (place / "matcher.safetensors").is_file():
        described = cached_extract(request, home=home)
        triples = _triples(spec, described.rows, learned.labels, machine=machine)
        torch.manual_seed(spec.seed)
        matcher = Matcher(spec, inputs=_channels(model), global_dim=model.dim)
        find = _features(matcher, model, learned.images, protocol=protocol, machine=machine)
        with step as progress:
            train_matcher(matcher, triples, find, place, device=machine.device, progress=progress)
    return load_matcher(place / "matcher.safetensors").to(machine.device)


def _triples(spec: MatcherSpec, rows: NDArray[Any], labels: Int64, *, machine: Machine) -> Triples:
    return mine(
        rows,
        labels,
        neighbours=spec.neighbours,
        positives=spec.positives,
        anchors=spec.anchors,
        seed=spec.seed,
        engine=machine.engine,
        device=str(machine.device),
    )


def _features(
    matcher: Matcher, model: Retriever, images: Images, *, protocol: Protocol, machine: Machine
) -> LocalFeatures:
    """What the matcher sees of images, by row."""
    return LocalFeatures(
        model,
        images,
        protocol,
        matcher.keep,
        device=machine.device,
        scales=matcher.spec.scales,
        workers=machine.loaders,
    )


def logits(
    matcher: Matcher,
    model: Retriever,
    evalset: EvalSet,
    *,
    distractors: ImageSet | None,
    protocol: Protocol,
    machine: Machine,
) -> PairScore:
    """The matcher's opinion of (query, database rows); rows beyond the database are distractors."""
    sources = [evalset.queries, evalset.database]
    sources += [] if distractors is None else [distractors.images]
    asked, *searched = (
        _features(matcher, model, images, protocol=protocol, machine=machine) for images in sources
    )
    count = len(evalset.database)

    def database(rows: Sequence[int]) -> list[Local]:
        inside = iter(searched[0]([row for row in rows if row < count]))
        beyond = iter(searched[-1]([row - count for row in rows if row >= count]))
        return [next(inside if row < count else beyond) for row in rows]

    return pair_score(matcher, asked, database)


def _channels(model: Retriever) -> int:
    return int(model.backbone.widths[-1])  # type: ignore[index]

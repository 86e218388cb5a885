"""The audit: candidates by descriptors and hashes, each checked by geometry; what is done survives `kill -9`.

Descriptors of the training images lie on disk and are searched in blocks, hashes are eight bytes an image, and only
candidates are opened a second time: memory does not grow with the images' pixels.
"""

import functools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from vitret.compare.overlap import geometry
from vitret.compare.overlap.evidence import SCHEMA, Pair, Parts, ranked
from vitret.compare.overlap.hashes import Hashes, hash_file, hash_images, near
from vitret.core.errors import EmptyError, UserError
from vitret.core.locks import locked
from vitret.core.records import EvalSet, Images, Int64, TrainSet
from vitret.core.runs import code
from vitret.core.store import digest, machine_error, write_json
from vitret.describe.cache import cached_extract
from vitret.describe.request import Request, extraction_key
from vitret.measure.search import search

# Raise it when a change makes other evidence of the same images.
VERSION = 3
# Bits within which two hashes make a candidate, and how many training images a hash may name for one image.
RADIUS, MOST_BY_HASH = 10, 5
# Longer sides in pixels. A small copy is described as it is, so a large photograph has to be seen small too.
SIZES = (224, 112)

Say = Callable[[str], None]
Progress = Callable[[int, int, str], None]
Steps = Callable[[str], AbstractContextManager[Progress]]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Candidates of each image by each network and size, and the unclear pairs that evidence keeps."""

    neighbours: int = 5
    keep: int = 200


@dataclass(frozen=True, kw_only=True, eq=False)
class Audit:
    """What is compared, by which networks, and where work is kept.

    `requests` are by name of the network, one for each size of the images, which are replaced.
    """

    trainset: TrainSet
    evalset: EvalSet
    requests: Mapping[str, Sequence[Request]]
    home: Path
    settings: Settings = Settings()


@dataclass(frozen=True, kw_only=True, eq=False)
class _Probe:
    """An image of the evaluation set: its rows of descriptors, and the queries it concerns."""

    image: str
    file: Path
    role: str
    queries: tuple[int, ...]


def overlap(audit: Audit, *, say: Say, steps: Steps) -> dict[str, Any]:
    """Evidence, ready for JSON: what was compared, by what, and the ranked pairs."""
    geometry.require_opencv()
    if len(audit.requests) < 2:
        raise UserError(
            "Two networks that were trained apart see more than one: name two different ones, --by A --by B."
        )
    if not len(audit.trainset.images) or not len(audit.evalset.queries):
        raise EmptyError(f"{audit.trainset.name}, {audit.evalset.name}: there are no images to compare.")
    probes, positives = _probes(audit.evalset)
    folder = audit.home / "overlap" / digest(_identity(audit))
    with locked(folder / "overlap.lock", say):
        write_json(folder / "about.json", _identity(audit))
        found = _by_descriptors(audit, positives, say=say, steps=steps)
        with steps("hashes") as progress:
            hashes = hash_images(audit.trainset.images, folder / "hashes.bin", progress=progress)
        with steps("geometry") as progress:
            pairs = _verified(
                audit, probes, found, hashes=hashes, log=folder / "verified.jsonl", progress=progress
            )
    return _evidence(audit, probes, pairs)


def _probes(evalset: EvalSet) -> tuple[list[_Probe], Int64]:
    """Every query, then every positive; and the database rows of the positives."""
    asked_by: dict[int, list[int]] = {}
    for level in evalset.truth.levels:
        good, _ = evalset.truth.at(level)
        for query in range(len(good)):
            for row in good.row(query):
                asked_by.setdefault(int(row), []).append(query)
    queries = [_probe(evalset.queries, q, "query", [q]) for q in range(len(evalset.queries))]
    rows = sorted(asked_by)
    positives = [_probe(evalset.database, row, "positive", sorted(set(asked_by[row]))) for row in rows]
    return queries + positives, np.array(rows, np.int64)


def _probe(images: Images, row: int, role: str, queries: Sequence[int]) -> _Probe:
    return _Probe(image=images.name(row), file=images.file(row), role=role, queries=tuple(queries))


def _identity(audit: Audit) -> dict[str, Any]:
    """All that can change the evidence."""
    keys = {name: [_key(request) for request in sizes] for name, sizes in audit.requests.items()}
    return {
        "version": VERSION,
        "train": audit.trainset.digest,
        "evaluation": audit.evalset.digest,
        "descriptors": keys,
        "neighbours": audit.settings.neighbours,
    }


def _key(request: Request) -> str:
    key = extraction_key(request)
    return digest({name: key[name] for name in ("version", "model", "protocol", "device", "precision")})


_Candidates = list[dict[int, list[float | None]]]
"""For each probe: training row → its cosine by each network, None where that network did not find it."""


def _by_descriptors(audit: Audit, positives: Int64, *, say: Say, steps: Steps) -> _Candidates:
    """The nearest training images of every probe by every network at every size."""
    found: _Candidates = [{} for _ in range(len(audit.evalset.queries) + len(positives))]
    for number, (name, sizes) in enumerate(audit.requests.items()):
        for request in sizes:
            described = functools.partial(_described, audit, name, say=say, steps=steps)
            _add_by(request, described, found, number, positives, audit=audit)
    return found


def _add_by(
    request: Request,
    described: Callable[[Request, Images, str], Any],
    found: _Candidates,
    number: int,
    positives: Int64,
    *,
    audit: Audit,
) -> None:
    """The nearest training images of every probe by one network at one size."""
    evalset = audit.evalset
    trained = described(request, audit.trainset.images, audit.trainset.digest)
    asked = replace(request, protocol=request.protocol.of_queries())
    queries = described(asked, evalset.queries, evalset.queries_digest)
    database = described(request, evalset.database, evalset.database_digest)
    _add_nearest(found, number, np.concatenate([queries, database[positives]]), trained, audit=audit)
    if evalset.queries.boxes is not None:
        # A copy of a query's photograph shows all of it, and may be far from what its box holds.
        uncut = replace(evalset.queries, boxes=None)
        whole = described(request, uncut, f"{evalset.digest}/whole")
        _add_nearest(found, number, whole, trained, audit=audit)


def _add_nearest(found: _Candidates, number: int, rows: Any, trained: Any, *, audit: Audit) -> None:
    """The training images nearest to the first probes, described by `rows`, with the greatest of their cosines."""
    ranking = search(rows, trained, k=audit.settings.neighbours)
    assert ranking.scores is not None
    for probe in range(len(rows)):
        for row, cosine in zip(ranking.indices[probe], ranking.scores[probe], strict=True):
            cosines = found[probe].setdefault(int(row), [None] * len(audit.requests))
            before = cosines[number]
            cosines[number] = float(cosine) if before is None else max(before, float(cosine))


def _described(
    audit: Audit, name: str, request: Request, images: Images, images_digest: str, *, say: Say, steps: Steps
) -> Any:
    asked = replace(request, images=images, images_digest=images_digest)
    with steps(f"{name}, {len(images):,} images of {request.protocol.size} pixels") as progress:
        return cached_extract(asked, home=audit.home, progress=progress, say=say).rows


def _verified(
    audit: Audit,
    probes: Sequence[_Probe],
    found: _Candidates,
    *,
    hashes: Hashes,
    log: Path,
    progress: Progress,
) -> list[Pair]:
    """Every candidate with its geometry; one line of the log is one probe, and probes in the log are not done again."""
    done = _read_log(log)
    read = functools.lru_cache(maxsize=512)(geometry.read_keypoints)
    try:
        with log.open("a", encoding="utf-8") as handle:
            for number, probe in enumerate(probes):
                if number not in done:
                    parts = _verify(audit, probe, found[number], hashes=hashes, read=read)
                    done[number] = parts
                    line = {str(row): asdict(part) for row, part in parts.items()}
                    handle.write(json.dumps([number, line]) + "\n")
                    handle.flush()
                progress(number + 1, len(probes), "images compared")
    except OSError as error:
        raise machine_error(log, error) from error
    return [pair for n, probe in enumerate(probes) for pair in _pairs(audit, probe, done[n])]


def _read_log(log: Path) -> dict[int, dict[int, Parts]]:
    """Probes that are done; a last line that was cut off by a kill is taken out."""
    if not log.is_file():
        return {}
    text = log.read_bytes()
    whole = text[: text.rfind(b"\n") + 1]
    if len(whole) < len(text):
        log.write_bytes(whole)
    lines = (json.loads(line) for line in whole.splitlines())
    return {n: {int(row): _part(part) for row, part in parts.items()} for n, parts in lines}


def _part(written: dict[str, Any]) -> Parts:
    return Parts(**{**written, "cosines": tuple(written["cosines"])})


def _verify(
    audit: Audit,
    probe: _Probe,
    found: dict[int, list[float | None]],
    *,
    hashes: Hashes,
    read: Callable[[Path], geometry.Keypoints | None],
) -> dict[int, Parts]:
    """The parts of every candidate of one probe."""
    bits: dict[int, int] = {}
    for one in hash_file(probe.file):
        rows, apart = near(hashes, one, within=RADIUS, most=MOST_BY_HASH)
        for row, differing in zip(rows, apart, strict=True):
            bits[int(row)] = min(int(differing), bits.get(int(row), 64))
    shown = geometry.read_keypoints(probe.file)
    turned = None if shown is None else geometry.mirrored(shown)
    parts = {}
    for row in sorted(found.keys() | bits.keys()):
        other = read(audit.trainset.images.file(row))
        agreed = geometry.Agreement()
        if shown is not None and turned is not None and other is not None:
            agreed = geometry.compare_with_mirror(other, shown, turned)
        parts[row] = Parts(
            cosines=tuple(found.get(row, [None] * len(audit.requests))),
            bits=bits.get(row),
            inliers=agreed.inliers,
            matches=agreed.matches,
            pixels=agreed.pixels,
            mirrored=agreed.mirrored,
        )
    return parts


def _pairs(audit: Audit, probe: _Probe, parts: Mapping[int, Parts]) -> Iterator[Pair]:
    for row, part in parts.items():
        yield Pair(
            train=audit.trainset.images.name(row),
            label=int(audit.trainset.labels[row]),
            image=probe.image,
            role=probe.role,
            queries=probe.queries,
            parts=part,
        )


def _evidence(audit: Audit, probes: Sequence[_Probe], pairs: list[Pair]) -> dict[str, Any]:
    trained, evaluated = audit.trainset, audit.evalset
    positives = sum(probe.role == "positive" for probe in probes)
    return {
        "schema": SCHEMA,
        "train": {"name": trained.name, "digest": trained.digest, "images": len(trained.images)},
        "evaluation": {
            "name": evaluated.name,
            "digest": evaluated.digest,
            "queries": len(evaluated.queries),
            "positives": positives,
        },
        "descriptors": [
            {
                "name": name,
                "identity": digest([_key(request) for request in sizes]),
                "protocol": "; ".join(request.protocol.line() for request in sizes),
            }
            for name, sizes in audit.requests.items()
        ],
        "settings": {**asdict(audit.settings), "hash_radius": RADIUS, "version": VERSION},
        "compared": len(pairs),
        "code": code(),
        "pairs": ranked(pairs, keep=audit.settings.keep),
    }

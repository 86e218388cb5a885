"""The bench's whitening: fitted once a run on the protocol's training set, kept with the run, then applied.

Its key covers the network, the images, the scales and every other switch that acts before it, so that a whitening of
one scale is never taken for one of several.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vitret.core.errors import DataError, UserError
from vitret.core.protocol import Protocol, WhiteningSpec
from vitret.core.records import TrainSet
from vitret.core.store import digest
from vitret.data import layout

if TYPE_CHECKING:
    from vitret.compare.machine import Machine
    from vitret.core.records import Descriptors
    from vitret.describe.whitening import Whitening
    from vitret.models.model import Retriever


def load_source(data_root: Path, spec: WhiteningSpec) -> TrainSet | None:
    """The training set that a whitening is fitted on; None where the protocol has no whitening.

    Raises:
        UserError: it is an evaluation set.
        DataError: it is not prepared.
    """
    if spec.kind == "none":
        return None
    assert spec.data is not None
    if not layout.exists(data_root, spec.data):
        raise DataError(
            f"{spec.data}, which the whitening is fitted on, is not in {data_root}. "
            f"Prepare it: vitret prepare {spec.data}"
        )
    if "train" not in layout.load_manifest(data_root, spec.data)["digests"]:
        raise UserError(
            f"whitening must not be fitted on the evaluation set '{spec.data}': it would have seen the answers. "
            "Name a training set in the suite, whitening: {data: sfm120k}; `vitret list datasets` says which there are."
        )
    return layout.load_train(data_root, spec.data)


def fitted(
    model: Retriever,
    source: TrainSet,
    protocol: Protocol,
    *,
    folder: Path,
    home: Path,
    machine: Machine,
) -> Whitening:
    """The whitening of a network under a protocol: read from `folder` if it is there, else fitted and left there.

    The training images are described as the protocol says. `lw` is fitted on the set's pairs, and where it has none on
    one pair an image, of a class, drawn with a fixed seed.
    """
    from vitret.describe import whitening
    from vitret.describe.cache import cached_extract
    from vitret.describe.request import extraction_key

    request = machine.request(model, source.images, protocol, images_digest=source.images_digest)
    key = {
        "version": whitening.VERSION,
        "spec": protocol.whitening.model_dump(mode="json"),
        "extraction": extraction_key(request),
    }
    path = folder / f"{digest(key)[:16]}.safetensors"
    if path.is_file():
        return whitening.read(path)
    described = cached_extract(request, home=home)
    found = _fit(protocol.whitening, described, source)
    whitening.save(path, found)
    return found


def _fit(spec: WhiteningSpec, described: Descriptors, source: TrainSet) -> Whitening:
    from vitret.describe import whitening
    from vitret.learn.mining import class_pairs

    if spec.kind != "lw" or (source.pairs is not None and len(source.pairs)):
        return whitening.fit(spec, described, source, pairs=None)
    pairs = class_pairs(source.labels, np.random.default_rng(0))
    found = whitening.fit(spec, described, source, pairs=pairs)
    return replace(found, about={**found.about, "pairs": "drawn within classes"})

"""One extraction as a record: what is described, how and on what; and the key of everything that can change a byte."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from vitret.core.protocol import Protocol
from vitret.core.records import Images
from vitret.core.store import digest
from vitret.describe.devices import pick_precision
from vitret.describe.framing import crops
from vitret.models.model import Retriever, model_digest

# Raise it when a change in extract.py, folding.py, framing.py or scales.py changes the bytes of a descriptor.
VERSION = 1
# Raise it when a change alters only the bytes of images that are cut to a box: all others keep their key.
BOX_VERSION = 2


@dataclass(frozen=True, kw_only=True, eq=False)
class Request:
    """What is described (`images`, before any whitening), by which network, under which protocol, on what.

    `images_digest` names the bytes of the images, as the digest of a prepared set does; without it only their names
    and boxes are known. `workers` decode beside a GPU, by default one a core and at most 16.
    """

    model: Retriever
    images: Images
    protocol: Protocol
    device: torch.device
    precision: str = "auto"
    images_digest: str = ""
    workers: int | None = None


def extraction_key(request: Request) -> dict[str, Any]:
    """Everything that can change a byte of the descriptors, and nothing else, ready for JSON."""
    switches = request.protocol.extraction()
    switches.pop("whitening")  # applied to what comes out of here
    boxes = {"boxes": BOX_VERSION} if crops(request.images, request.protocol) else {}
    return {
        "version": VERSION,
        **boxes,
        "model": model_digest(request.model),
        "protocol": switches,
        "device": request.device.type,
        "precision": pick_precision(request.precision, request.device),
        "dtype": "float32",
        "images": request.images_digest,
        "names": names_digest(request.images),
    }


def names_digest(images: Images) -> str:
    """Sha256 of the images' names and boxes, in order."""
    boxes = None if images.boxes is None else np.nan_to_num(images.boxes, nan=-1.0).tolist()
    return digest([[images.name(i) for i in range(len(images))], boxes])

"""A first track for a set of the user's own: a budget by its number of images, written as YAML to be edited.

It stands in $VITRET_HOME/tracks, where `read_track` looks after the tracks that vitret comes with.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import yaml

from vitret.core.recipes import Track
from vitret.core.store import write_text

# Minutes on two cores with a ViT-Ti/16, as on the track landmarks-mix.
MOST_SEEN = 3840
TIMES_SEEN = 4
BATCH = 32  # at most
# Of fewer training classes none is held out for validation.
FEWEST_CLASSES = 10
SYSTEMS = ("frozen_vit_tiny", "frozen_efficientnet_lite0", "vit_tiny_arcface")


def first_track(name: str, counts: Mapping[str, int]) -> Track:
    """The track of a set with so many `train` images of so many `classes`.

    >>> track = first_track("mine", {"train": 500, "classes": 20})
    >>> track.images_seen, track.batch, track.validation
    (1984, 32, 0.2)
    """
    # A small set still fills two batches.
    batch = min(BATCH, 1 << max((counts["train"] // 2).bit_length() - 1, 1))
    seen = max(min(TIMES_SEEN * counts["train"], MOST_SEEN) // batch, 1) * batch
    image = {
        "policy": "square",
        "size": 160,
        "crop_area": [0.5, 1.0],
        "flip": True,
        "brightness": 0.2,
        "contrast": 0.2,
        "saturation": 0.2,
    }
    return Track.model_validate(
        {
            "name": name,
            "title": f"{name}, {counts['classes']} classes",
            "about": f"{counts['train']} photographs of {counts['classes']} classes. Written by `vitret prepare`.",
            "train_set": name,
            "images_seen": seen,
            "batch": batch,
            "image": image,
            "validation": 0.2 if counts["classes"] >= FEWEST_CLASSES else 0.0,
            "pretraining": "ImageNet-21k and ImageNet-1k",
            "systems": list(SYSTEMS),
            "suite": "own-classes",
        }
    )


def write_first_track(home: Path, name: str, counts: Mapping[str, int]) -> tuple[Path, bool]:
    """The set's track, and whether it is the first one: it is written where there is none; another is kept."""
    path = home / "tracks" / f"{name}.yaml"
    # With its seeds, though they are the default: what a user may want to change stands there.
    track = first_track(name, counts)
    known = {**track.model_dump(mode="json", exclude_defaults=True), "seeds": list(track.seeds)}
    text = yaml.safe_dump(known, sort_keys=False, allow_unicode=True)
    if not path.is_file():
        write_text(path, text)
    return path, path.read_text(encoding="utf-8") == text

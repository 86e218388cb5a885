"""RGLDv2-clean: GLDv2-clean without landmarks of ROxford and RParis; Song et al., CVPR 2024."""

from pathlib import Path

from vitret.data.card import Card
from vitret.data.datasets import _gldv2
from vitret.data.datasets._conversion import Converter
from vitret.data.datasets._sources import unconfirmed

CARD = Card(
    name="rgldv2-clean",
    title="Revisited Google Landmarks v2, clean",
    kind=("train",),
    homepage="https://github.com/dealicious-inc/RGLDv2-clean",
    citation="Song, Yoon, Choi: On train-test class overlap and detection for image retrieval. CVPR "
    f"2024. {_gldv2.CITATION}",
    licence=_gldv2.TRAIN_LICENCE,
    terms=_gldv2.TERMS,
    files=(_gldv2.list_file("metadata/train_clean.csv"), _gldv2.ATTRIBUTION),
    shards=_gldv2.TRAIN_SHARDS,
    tree={**_gldv2.TRAIN_TREE, "clean": _gldv2.CLEAN_LIST},
    expected={
        "train": unconfirmed(1_578_905, "the paper's list; yours may differ"),
        "classes": unconfirmed(81_295, "the paper's list; yours may differ"),
    },
    image_set_version="own-exclusions",
    needs_disk=210_000_000_000,
    protocol="GLDv2-clean minus the landmark ids of a list you give.",
    notes=(
        "The authors' list of removed landmarks is not public. Give one with --exclude FILE: a "
        "landmark id a line, `#` starts "
        "a remark.",
        "The paper removes 18 landmarks with 1,565 images; the README of its repository says 17.",
    ),
)


def wanted(tree: Path) -> frozenset[str]:
    """The photographs of the shards that belong to the clean part, as paths below train/."""
    return _gldv2.clean_paths(tree, CARD)


def build(*, exclude: Path) -> Converter:
    """`exclude` is a file of landmark ids of train_clean.csv that are left out with all their photographs."""
    return _gldv2.convert_train(CARD, exclude=Path(exclude))

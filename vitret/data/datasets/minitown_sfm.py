"""Synthetic clusters with query–positive pairs of photographs that share a surface, in the manner of SfM-120k."""

from pathlib import Path

from vitret.data.datasets._minitown import Build, synthetic_card, write_train
from vitret.data.layout.write import LayoutWriter
from vitret.minitown.world import plan_clusters

CARD = synthetic_card(
    "minitown-sfm",
    "Synthetic town, clusters with pairs",
    kind="train",
    expected={"train": 1_280, "classes": 96, "validation": 223, "pairs": 767},
    needs_disk=20_000_000,
)


def build(*, seed: int = 0, quarters: int = 24, photos: int = 14, workers: int | None = None) -> Build:
    """Four clusters a quarter, about `photos` photographs each; the last sixth of the quarters is for validation."""

    def convert(source: Path | None, writer: LayoutWriter) -> None:
        write_train(writer, plan_clusters(seed, quarters=quarters, photos=photos), workers=workers)

    return convert

"""Synthetic training classes without errors, in the manner of GLDv2-clean."""

from pathlib import Path

from vitret.data.card import Overlap
from vitret.data.datasets._minitown import Build, synthetic_card, write_train
from vitret.data.layout.write import LayoutWriter
from vitret.minitown.world import plan_classes

CARD = synthetic_card(
    "minitown-clean",
    "Synthetic town, clean classes",
    kind="train",
    expected={"train": 1_578, "classes": 96, "validation": 132},
    needs_disk=20_000_000,
    overlaps=(Overlap(set="minitown-noisy", what="the same photographs"),),
)


def build(*, seed: int = 0, quarters: int = 24, photos: int = 16, workers: int | None = None) -> Build:
    """Four classes a quarter, about `photos` photographs each; the counts of the card hold for the defaults."""

    def convert(source: Path | None, writer: LayoutWriter) -> None:
        write_train(writer, plan_classes(seed, quarters=quarters, photos=photos), workers=workers)

    return convert

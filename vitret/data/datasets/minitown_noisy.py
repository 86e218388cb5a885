"""Synthetic training classes with wrong labels and stray photographs, in the manner of GLDv2-noisy."""

from pathlib import Path

from vitret.data.card import Overlap
from vitret.data.datasets._minitown import Build, synthetic_card, write_train
from vitret.data.layout.write import LayoutWriter
from vitret.minitown.world import plan_noisy

CARD = synthetic_card(
    "minitown-noisy",
    "Synthetic town, noisy classes",
    kind="train",
    expected={"train": 1_856, "classes": 96, "validation": 148},
    needs_disk=20_000_000,
    overlaps=(Overlap(set="minitown-clean", what="all of its photographs, some with another label"),),
)


def build(
    *,
    seed: int = 0,
    quarters: int = 24,
    photos: int = 16,
    wrong: float = 0.3,
    stray: float = 0.15,
    workers: int | None = None,
) -> Build:
    """The photographs of minitown-clean; `wrong` of their labels are another class's, `stray` of the set shows none."""

    def convert(source: Path | None, writer: LayoutWriter) -> None:
        plan = plan_noisy(seed, quarters=quarters, photos=photos, wrong=wrong, stray=stray)
        write_train(writer, plan, workers=workers)

    return convert

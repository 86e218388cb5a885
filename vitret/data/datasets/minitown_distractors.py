"""Synthetic photographs that are no query's answer, in the manner of R1M: other buildings and plain streets."""

from pathlib import Path

from vitret.data.datasets._minitown import Build, synthetic_card, write_photos
from vitret.data.layout.write import LayoutWriter
from vitret.minitown.world import plan_distractors

CARD = synthetic_card(
    "minitown-distractors",
    "Synthetic town, distractors",
    kind="distractors",
    expected={"database": 1000},
    needs_disk=10_000_000,
)


def build(*, seed: int = 0, images: int = 1000, workers: int | None = None) -> Build:
    """`images` photographs of the suburbs, one in five without a landmark."""

    def convert(source: Path | None, writer: LayoutWriter) -> None:
        photos = plan_distractors(seed, images=images)
        write_photos(writer, photos, workers=workers)
        writer.distractors([photo.path for photo in photos])

    return convert

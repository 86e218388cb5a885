"""Drawn evaluation set, east of the town, in the revisited form: boxed queries, easy, hard and junk from geometry."""

from pathlib import Path

from vitret.data.minitown.sets import REVISITED_NOTES, REVISITED_PROTOCOL, Build, drawn_card, write_eval
from vitret.data.minitown.world import plan_revisited
from vitret.data.writer import LayoutWriter

CARD = drawn_card(
    "rminitown-east",
    "Drawn town, east, revisited form",
    kind="eval",
    expected={"queries": 60, "database": 400, "easy": 384, "hard": 502, "junk": 74},
    needs_disk=10_000_000,
    notes=REVISITED_NOTES,
    protocol=REVISITED_PROTOCOL,
)


def build(
    *,
    seed: int = 0,
    quarters: int = 10,
    asked: int = 2,
    queries: int = 3,
    photos: int = 16,
    others: int = 4,
    workers: int | None = None,
) -> Build:
    """`asked` landmarks of each quarter have `queries` and `photos` each, their neighbours `others` photographs."""

    def convert(source: Path | None, writer: LayoutWriter) -> None:
        plan = plan_revisited(
            seed,
            district="east",
            quarters=quarters,
            asked=asked,
            photos=photos,
            queries=queries,
            others=others,
        )
        write_eval(writer, plan, workers=workers)

    return convert

"""What the six synthetic sets share: their card's common facts, and handing a plan to the writer."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from vitret.core.records import Ragged, Truth
from vitret.data.card import Card, Count, Kind, Licence, Overlap
from vitret.data.layout.parts import Side
from vitret.data.layout.write import LayoutWriter
from vitret.minitown.draw import draw
from vitret.minitown.world import EvalPlan, Photo, TrainPlan, plan_revisited

Build = Callable[[Path | None, LayoutWriter], None]

WARNING = "A drawn world: its numbers rank code paths, not methods."
DISJOINT = (
    "Training, evaluation and distractor landmarks are disjoint; all come from one architectural grammar."
)

REVISITED_PROTOCOL = (
    "Boxed queries, easy/medium/hard; junk leaves before ranks are counted; queries are not in the database."
)
REVISITED_NOTES = (
    "Judgements follow from the geometry behind the pictures: shared surface, visible part, angle, scale, light.",
    "The database holds the neighbours of every landmark that is asked about: one style, other details.",
)


def synthetic_card(
    name: str,
    title: str,
    *,
    kind: Kind,
    expected: Mapping[str, int],
    needs_disk: int,
    notes: Sequence[str] = (),
    overlaps: tuple[Overlap, ...] = (),
    protocol: str = "",
) -> Card:
    """A card for a synthetic set: nothing to fetch, nothing to agree to; counts are those of the defaults."""
    source = "made with the default options"
    return Card(
        name=name,
        title=title,
        kind=(kind,),
        homepage="docs/minitown.md",
        citation="minitown, the synthetic town of vitret.",
        licence=Licence(
            text="As the code that draws it.", spdx="Apache-2.0", commercial=True, redistribution=True
        ),
        expected={word: Count(value=value, source=source) for word, value in expected.items()},
        overlaps=overlaps,
        needs_disk=needs_disk,
        protocol=protocol,
        warning=WARNING,
        notes=(DISJOINT, *notes),
    )


def write_train(writer: LayoutWriter, plan: TrainPlan, *, workers: int | None) -> None:
    """Draw a training plan into a set."""
    write_photos(writer, plan.photos, workers=workers)
    writer.train(
        [photo.path for photo in plan.photos],
        [plan.names[label] for label in plan.labels],
        validation=plan.validation,
        pairs=plan.pairs,
    )


def write_eval(writer: LayoutWriter, plan: EvalPlan, *, workers: int | None) -> None:
    """Draw an evaluation plan into a set."""
    write_photos(writer, (*plan.queries, *plan.database), workers=workers)
    judged = {"easy": plan.easy, "hard": plan.hard, "junk": plan.junk}
    writer.evaluation(
        Side([photo.path for photo in plan.database]),
        Side([photo.path for photo in plan.queries], boxes=plan.boxes),
        judgements=Truth(judgements={word: Ragged.of(rows) for word, rows in judged.items()}),
    )


def write_photos(writer: LayoutWriter, photos: Sequence[Photo], *, workers: int | None) -> None:
    """Draw photographs and put each file in its place."""
    for path, data in draw(photos, workers=workers):
        writer.write_image(path, data)


def revisited_card(district: str, *, easy: int, hard: int, junk: int) -> Card:
    """The card of a district in the revisited form; the counts hold for the defaults of `revisited_build`."""
    return synthetic_card(
        f"rminitown-{district}",
        f"Synthetic town, {district}, revisited form",
        kind="eval",
        expected={"queries": 60, "database": 400, "easy": easy, "hard": hard, "junk": junk},
        needs_disk=10_000_000,
        notes=REVISITED_NOTES,
        protocol=REVISITED_PROTOCOL,
    )


def revisited_build(district: str) -> Callable[..., Build]:
    """The `build` of a district's part: its keyword parameters are the part's options."""

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
                district=district,
                quarters=quarters,
                asked=asked,
                photos=photos,
                queries=queries,
                others=others,
            )
            write_eval(writer, plan, workers=workers)

        return convert

    return build

"""Conversions of the Oxford and Paris sets, revisited and original, from pickles, JSON or text files."""

from pathlib import Path
from typing import Literal

import numpy as np

from vitret.core.errors import DataError
from vitret.core.records import Ragged, Truth
from vitret.data.card import Card
from vitret.data.datasets._conversion import Converter, hand_over, require
from vitret.data.formats.oxford import OxfordQuery, read_oxford
from vitret.data.formats.revisited import Gnd, read_gnd
from vitret.data.formats.trees import locate, walk_files
from vitret.data.writer import LayoutWriter

QueryImage = Literal["as_listed", "junk"]


def convert_revisited(card: Card) -> Converter:
    """Database and queries by the ground truth's own lists, whatever else lies in the folder."""

    def convert(source: Path, writer: LayoutWriter) -> None:
        tree = locate(source, card)
        gnd = read_gnd(tree["truth"])
        if "easy" not in gnd.judgements:
            raise DataError(f"{tree['truth']}: judges ok and junk; {card.name} needs easy, hard and junk.")
        database, queries = (_files(tree["images"], names) for names in (gnd.database, gnd.queries))
        hand_over(writer, tree["images"], database + queries)
        writer.evaluation(database, queries, boxes=gnd.boxes, judgements=_truth(gnd.judgements))

    return convert


def convert_original(card: Card, query_image: QueryImage) -> Converter:
    """The database is every photograph of the folder that is not known to be broken, or the pickle's list."""

    def convert(source: Path, writer: LayoutWriter) -> None:
        tree = locate(source, card)
        gnd = _from_texts(tree, card) if tree["truth"].is_dir() else read_gnd(tree["truth"])
        row = {name: i for i, name in enumerate(gnd.database)}
        if unknown := [name for name in gnd.queries if name not in row]:
            raise DataError(f"{tree['truth']}: query {unknown[0]} is not in the database.")
        own = np.array([row[name] for name in gnd.queries], dtype=np.int64)
        judgements = gnd.judgements
        if query_image == "junk":
            judgements = {
                "positive": [
                    [i for i in rows if i != own[q]] for q, rows in enumerate(judgements["positive"])
                ],
                "junk": [sorted({*rows, int(own[q])}) for q, rows in enumerate(judgements["junk"])],
            }
        database, queries = (_files(tree["images"], names) for names in (gnd.database, gnd.queries))
        hand_over(writer, tree["images"], database)
        writer.evaluation(database, queries, boxes=gnd.boxes, judgements=_truth(judgements), query_rows=own)

    return convert


def _from_texts(tree: dict[str, Path], card: Card) -> Gnd:
    """Truth from Oxford's text files over the sorted photographs of the folder."""
    broken = {bad.path for bad in card.known_bad}
    names = sorted(
        path.removesuffix(".jpg")
        for path in walk_files(tree["images"])
        if path.endswith(".jpg") and path not in broken
    )
    row = {name: i for i, name in enumerate(names)}
    queries = read_oxford(tree["truth"])

    def rows(query: OxfordQuery, listed: list[str]) -> list[int]:
        # A name that is known to be broken can be judged and never found; any other must be there.
        wanted = [name for name in listed if f"{name}.jpg" not in broken]
        if missing := [name for name in wanted if name not in row]:
            raise DataError(
                f"{tree['images']}: query {query.name} judges {missing[0]}.jpg, which is not there."
            )
        return [row[name] for name in wanted]

    return Gnd(
        database=names,
        queries=[query.image for query in queries],
        boxes=np.array([query.box for query in queries], dtype=np.float64),
        judgements={
            "positive": [rows(query, query.good + query.ok) for query in queries],
            "junk": [rows(query, query.junk) for query in queries],
        },
    )


def _files(images: Path, names: list[str]) -> list[str]:
    files = [f"{name}.jpg" for name in names]
    require(images, files, "photographs")
    return files


def _truth(judgements: dict[str, list[list[int]]]) -> Truth:
    return Truth(judgements={kind: Ragged.of(rows) for kind, rows in judgements.items()})

"""Conversions of the Oxford and Paris sets, revisited and original, from pickles, JSON or text files."""

from pathlib import Path
from typing import Literal

import numpy as np

from vitret.core.errors import DataError
from vitret.core.records import Int64, Ragged, Truth
from vitret.data.card import Card
from vitret.data.datasets._conversion import Converter, hand_over, require
from vitret.data.formats.oxford import OxfordQuery, read_oxford
from vitret.data.formats.revisited import GroundTruth, read_revisited
from vitret.data.formats.trees import first_existing, locate, walk_files
from vitret.data.layout.parts import Side
from vitret.data.layout.write import LayoutWriter

QueryImage = Literal["as_listed", "junk"]


def convert_revisited(card: Card) -> Converter:
    """Database and queries by the ground truth's own lists, whatever else lies in the folder."""

    def convert(source: Path, writer: LayoutWriter) -> None:
        tree = locate(source, card)
        truth = read_revisited(tree["truth"])
        if truth.judgements.levels == ("all",):
            raise DataError(f"{tree['truth']}: judges ok and junk; {card.name} needs easy, hard and junk.")
        database, queries = (_files(tree["images"], names) for names in (truth.database, truth.queries))
        hand_over(writer, tree["images"], database + queries)
        writer.evaluation(Side(database), Side(queries, boxes=truth.boxes), judgements=truth.judgements)

    return convert


def listed(tree: Path, card: Card) -> frozenset[str]:
    """Names of all photographs that a revisited ground truth lists."""
    found = first_existing(tree, card.tree["truth"])
    if found is None:
        raise DataError(f"{tree}: the ground truth of {card.name} is not there.")
    truth = read_revisited(found)
    return frozenset(f"{name}.jpg" for name in (*truth.database, *truth.queries))


def convert_original(card: Card, query_image: QueryImage) -> Converter:
    """The database is every photograph of the folder that is not known to be broken, or the pickle's list."""

    def convert(source: Path, writer: LayoutWriter) -> None:
        tree = locate(source, card)
        truth = _from_texts(tree, card) if tree["truth"].is_dir() else read_revisited(tree["truth"])
        row = {name: i for i, name in enumerate(truth.database)}
        if unknown := [name for name in truth.queries if name not in row]:
            raise DataError(f"{tree['truth']}: query {unknown[0]} is not in the database.")
        own = np.array([row[name] for name in truth.queries], dtype=np.int64)
        judgements = _own_as_junk(truth.judgements, own) if query_image == "junk" else truth.judgements
        database, queries = (_files(tree["images"], names) for names in (truth.database, truth.queries))
        hand_over(writer, tree["images"], database)
        writer.evaluation(
            Side(database), Side(queries, boxes=truth.boxes), judgements=judgements, query_rows=own
        )

    return convert


def _own_as_junk(truth: Truth, own: Int64) -> Truth:
    """The judgements with each query's own database row moved to junk."""
    positives, junk = (truth.judgements[kind] for kind in ("positive", "junk"))
    return Truth(
        judgements={
            "positive": Ragged.of([np.setdiff1d(positives.row(q), row) for q, row in enumerate(own)]),
            "junk": Ragged.of([np.union1d(junk.row(q), row) for q, row in enumerate(own)]),
        }
    )


def _from_texts(tree: dict[str, Path], card: Card) -> GroundTruth:
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

    return GroundTruth(
        database=names,
        queries=[query.image for query in queries],
        boxes=np.array([query.box for query in queries], dtype=np.float64),
        judgements=Truth(
            judgements={
                "positive": Ragged.of([rows(query, query.good + query.ok) for query in queries]),
                "junk": Ragged.of([rows(query, query.junk) for query in queries]),
            }
        ),
    )


def _files(images: Path, names: list[str]) -> list[str]:
    files = [f"{name}.jpg" for name in names]
    require(images, files, "photographs")
    return files

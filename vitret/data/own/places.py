"""Folders `database/` and `queries/`: with a folder per class in each, or with the place of each image in its name.

Such names are those of visual place recognition, `@east@north@zone@…@.jpg` in metres of UTM (Berton et al., CVPR 2022,
whose benchmark counts what was taken at most 25 m from the query).
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath

import numpy as np

from vitret.core.errors import DataError, EmptyError
from vitret.core.records import Float64, Int64, Ragged, Truth
from vitret.data.layout.parts import Side
from vitret.data.layout.write import LayoutWriter
from vitret.data.own.listing import Listing
from vitret.data.own.record import OwnData

SIDES = {
    **dict.fromkeys(("database", "gallery", "index"), "database"),
    **dict.fromkeys(("queries", "query"), "queries"),
}
NEAR = 25.0  # metres
PLACE = re.compile(r"@\s*(-?[0-9]{1,9}(?:\.[0-9]{1,9})?)\s*@\s*(-?[0-9]{1,9}(?:\.[0-9]{1,9})?)\s*@")


def asked_and_searched(listing: Listing) -> tuple[str, str] | None:
    """The folder of the queries and that of the database, when there are these two and no other."""
    folders = listing.folders()
    sides = {SIDES.get(name.lower(), ""): name for name in folders}
    if len(folders) != 2 or sides.keys() != {"database", "queries"}:
        return None
    return sides["queries"], sides["database"]


def read_places(listing: Listing, queries: str, database: str) -> OwnData:
    """An evaluation of two folders; raises `DataError` where nothing says which images belong together."""
    labels = {side: _classes(listing, side) for side in (queries, database)}
    if all(labels.values()):
        kind, notes = "database and queries, one folder per class", []
        asked, searched = list(labels[queries]), list(labels[database])
        sides = (
            Side(searched, labels=list(labels[database].values())),
            Side(asked, labels=list(labels[queries].values())),
        )
        truth = None
    else:
        kind = f"database and queries, positives within {NEAR:g} m"
        asked, searched = _images(listing, queries), _images(listing, database)
        near = rows_within(_places(listing, asked), _places(listing, searched), NEAR)
        truth = Truth(judgements={"positive": Ragged.of(near)})
        sides = Side(searched), Side(asked)
        without = sum(len(rows) == 0 for rows in near)
        notes = [f"{without} queries have no database image within {NEAR:g} m"] if without else []
    every = [*searched, *asked]

    def fill(writer: LayoutWriter) -> None:
        writer.evaluation(*sides, judgements=truth, unlisted=truth is None)

    return OwnData(
        kind=kind,
        root=listing.root,
        paths=every,
        names=every,
        fill=fill,
        source={"kind": "places", "sha256": listing.digest(every)},
        remarks=notes,
        left_out=listing.notes(),
    )


def _classes(listing: Listing, side: str) -> dict[str, str]:
    """The class of each image in the folders of a side; none where the side holds images itself."""
    look = Listing(root=listing.root)
    if look.images(side):
        return {}
    return {image: name for name in listing.folders(side) for image in listing.images(f"{side}/{name}")}


def _images(listing: Listing, side: str) -> list[str]:
    images = listing.images(side)
    if not images:
        raise EmptyError(f"{listing.root / side}: 0 images found directly in it.")
    return images


def _places(listing: Listing, images: list[str]) -> Float64:
    """East and north of each image in metres, (n, 2), from its name."""
    found = [PLACE.match(PurePosixPath(image).name) for image in images]
    nameless = [image for image, place in zip(images, found, strict=True) if place is None]
    if nameless:
        raise DataError(
            f"{listing.root}: nothing says which database images a query should find: {len(nameless)} images have no "
            f"label and no place in their name; first: {nameless[0]}. Give each folder one folder per class, or "
            "name the images @east@north@….jpg (UTM, metres), or add a table with label, path, split, is_query and "
            "is_gallery."
        )
    return np.array([(float(place[1]), float(place[2])) for place in found if place], dtype=np.float64)


def rows_within(queries: Float64, database: Float64, radius: float) -> list[Int64]:
    """For each query (Q, 2) the rows of the database (N, 2) at most `radius` away, ascending."""
    order = np.argsort(database[:, 0], kind="stable")
    east = database[order, 0]
    first = np.searchsorted(east, queries[:, 0] - radius, side="left")
    last = np.searchsorted(east, queries[:, 0] + radius, side="right")
    near = []
    for place, low, high in zip(queries, first, last, strict=True):
        rows = order[low:high]
        distance = np.hypot(*(database[rows] - place).T)
        near.append(np.sort(rows[distance <= radius]).astype(np.int64))
    return near

"""The nouns that travel between the wings: frozen, keyword-only, checked when made, arrays in numpy.

Letters in shapes: n images, Q queries, M database images, K kept results, T judged positives, D channels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitret.core.errors import DataError

Int64 = NDArray[np.int64]
Float64 = NDArray[np.float64]

JUDGEMENTS = ("easy", "hard", "junk", "positive")
# Which judgements are positive and which are junk at each level: Radenović et al., CVPR 2018, section 3.
# A category set has the one level "all".
LEVELS: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "easy": (("easy",), ("junk", "hard")),
    "medium": (("easy", "hard"), ("junk",)),
    "hard": (("hard",), ("junk", "easy")),
    "all": (("positive",), ("junk",)),
}


@dataclass(frozen=True, kw_only=True, eq=False)
class Ragged:
    """One list of integers per row, stored end to end: row i is `values[offsets[i]:offsets[i + 1]]`."""

    values: Int64
    offsets: Int64

    def __post_init__(self) -> None:
        if len(self.offsets) == 0 or self.offsets[0] != 0 or self.offsets[-1] != len(self.values):
            raise ValueError("offsets must start at 0 and end at the number of values")
        if np.any(np.diff(self.offsets) < 0):
            raise ValueError("offsets must not decrease")

    @classmethod
    def of(cls, rows: Sequence[Sequence[int] | Int64]) -> Ragged:
        """Pack lists.

        >>> Ragged.of([[4, 2], [], [7]]).row(0).tolist()
        [4, 2]
        """
        lengths = np.array([0, *(len(row) for row in rows)], dtype=np.int64)
        parts = [np.asarray(row, dtype=np.int64) for row in rows]
        values = np.concatenate(parts) if parts else np.empty(0, dtype=np.int64)
        return cls(values=values.astype(np.int64), offsets=np.cumsum(lengths))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def row(self, i: int) -> Int64:
        return self.values[self.offsets[i] : self.offsets[i + 1]]

    def lengths(self) -> Int64:
        """How many values each row has, (rows,)."""
        return np.diff(self.offsets)

    def pairs(self, span: int) -> Int64:
        """One integer for each (row, value): `divmod(pair, span)` gives both back. Values are below `span`."""
        return np.repeat(np.arange(len(self)), self.lengths()) * span + self.values


@dataclass(frozen=True, kw_only=True, eq=False)
class Images:
    """Image files below one root, each with an optional crop box.

    `paths` is (n,) of dtype S, UTF-8: four million names take one block of memory that worker processes share.
    `boxes` is (n, 4) float64, x0 y0 x1 y1 in pixels of the stored image; a row of NaN means the whole image.
    A box makes an image of its own: two boxes in one file are two images. Only where it `marks` what a query asks
    about in a whole photograph may a protocol leave the crop out.
    """

    root: Path
    paths: NDArray[np.bytes_]
    boxes: Float64 | None = None
    marks: bool = False

    def __post_init__(self) -> None:
        if self.boxes is not None and self.boxes.shape != (len(self.paths), 4):
            raise ValueError(f"boxes are {self.boxes.shape}, expected ({len(self.paths)}, 4)")

    @classmethod
    def of(cls, root: Path, paths: Sequence[str], boxes: Float64 | None = None) -> Images:
        encoded = np.array([p.encode() for p in paths], dtype=np.bytes_) if len(paths) else np.empty(0, "S1")
        return cls(root=root, paths=encoded, boxes=boxes)

    def __len__(self) -> int:
        return len(self.paths)

    def name(self, i: int) -> str:
        """Path of image i, relative to the root."""
        return bytes(self.paths[i]).decode()

    def file(self, i: int) -> Path:
        return self.root / self.name(i)

    def box(self, i: int) -> tuple[float, float, float, float] | None:
        if self.boxes is None or np.isnan(self.boxes[i, 0]):
            return None
        x0, y0, x1, y1 = (float(v) for v in self.boxes[i])
        return x0, y0, x1, y1

    def same_as(self, other: Images) -> bool:
        """Whether both are the same files and boxes, in the same order."""
        if self.root != other.root or not np.array_equal(self.paths, other.paths):
            return False
        if self.boxes is None or other.boxes is None:
            return self.boxes is None and other.boxes is None
        return self.marks == other.marks and np.array_equal(self.boxes, other.boxes, equal_nan=True)

    def take(self, rows: Int64) -> Images:
        """The images of some rows, in that order."""
        boxes = None if self.boxes is None else self.boxes[rows]
        return replace(self, paths=self.paths[rows], boxes=boxes)


@dataclass(frozen=True, kw_only=True, eq=False)
class ImageSet:
    """Images that are no query's answer: distractors, or a folder to search in."""

    name: str
    images: Images
    card: Mapping[str, Any] = field(default_factory=dict)
    digest: str = ""


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainSet:
    """Labelled training images.

    `labels` (n,) int64 in 0…C−1; `pairs` (P, 2) int64 rows (query, positive) into the images, for tuples;
    `validation` (n,) bool marks the images that training never sees; no class lies on both sides.
    `excluded` (n,) bool marks the images that neither training nor validation sees, None where none were named.
    """

    name: str
    images: Images
    labels: Int64
    pairs: Int64 | None = None
    validation: NDArray[np.bool_] | None = None
    excluded: NDArray[np.bool_] | None = None
    card: Mapping[str, Any] = field(default_factory=dict)
    digest: str = ""

    def __post_init__(self) -> None:
        n = len(self.images)
        if self.labels.shape != (n,):
            raise ValueError(f"{n} images but labels of shape {self.labels.shape}")
        if n and (self.labels.min() < 0):
            raise ValueError("labels must lie in 0…C−1")
        if self.pairs is not None and len(self.pairs) and (self.pairs.min() < 0 or self.pairs.max() >= n):
            raise ValueError("pairs point outside the images")
        if self.validation is not None and self.validation.shape != (n,):
            raise ValueError(f"{n} images but a validation mask of shape {self.validation.shape}")

    @property
    def images_digest(self) -> str:
        """Names the bytes of the images, so that whoever describes them finds the descriptors of others."""
        return f"{self.digest}/train"

    @property
    def classes(self) -> int:
        return int(self.labels.max()) + 1 if len(self.labels) else 0


@dataclass(frozen=True, kw_only=True, eq=False)
class Truth:
    """What is known about the database images of each query: judgement → database indices per query.

    A revisited set has easy, hard and junk; a category set has positive and, where the query is itself in the
    database, junk (the query's own image).
    """

    judgements: Mapping[str, Ragged]

    def __post_init__(self) -> None:
        unknown = set(self.judgements) - set(JUDGEMENTS)
        if unknown:
            raise ValueError(f"unknown judgements: {sorted(unknown)}")
        if len({len(rows) for rows in self.judgements.values()}) > 1:
            raise ValueError("judgements differ in their number of queries")

    @property
    def queries(self) -> int:
        return len(next(iter(self.judgements.values())))

    @property
    def levels(self) -> tuple[str, ...]:
        """Levels that can be measured: ("easy", "medium", "hard") or ("all",)."""
        return ("all",) if "positive" in self.judgements else ("easy", "medium", "hard")

    def at(self, level: str) -> tuple[Ragged, Ragged]:
        """(positives, junk) of a level, each sorted by database index within a query."""
        good, junk = LEVELS[level]
        return self._union(good), self._union(junk)

    def _union(self, kinds: tuple[str, ...]) -> Ragged:
        present = [self.judgements[kind] for kind in kinds if kind in self.judgements]
        if not present:
            return Ragged(values=np.empty(0, np.int64), offsets=np.zeros(self.queries + 1, np.int64))
        span = max(1, *(1 + int(rows.values.max(initial=-1)) for rows in present))
        owners, values = np.divmod(np.unique(np.concatenate([rows.pairs(span) for rows in present])), span)
        return Ragged(
            values=values, offsets=np.searchsorted(owners, np.arange(self.queries + 1)).astype(np.int64)
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class EvalSet:
    """Queries, a database, and the truth about them.

    `query_rows` (Q,) gives the database index of each query where queries are database images, else None.
    `groups` (Q,) numbers the landmark, product or object that each query asks about, None where nothing tells it;
    `groups_rule` names the rule by which they were found.
    """

    name: str
    queries: Images
    database: Images
    truth: Truth
    query_rows: Int64 | None = None
    groups: Int64 | None = None
    groups_rule: str = ""
    card: Mapping[str, Any] = field(default_factory=dict)
    digest: str = ""

    def __post_init__(self) -> None:
        if self.truth.queries != len(self.queries):
            raise DataError(f"{self.name}: {len(self.queries)} queries but truth for {self.truth.queries}.")
        if self.groups is not None and self.groups.shape != (len(self.queries),):
            raise DataError(f"{self.name}: {len(self.queries)} queries but groups of {len(self.groups)}.")
        for kind, rows in self.truth.judgements.items():
            if len(rows.values) and (rows.values.min() < 0 or rows.values.max() >= len(self.database)):
                raise DataError(
                    f"{self.name}: '{kind}' names a database image outside 0…{len(self.database) - 1}."
                )

    @property
    def database_digest(self) -> str:
        """Names the bytes of the database's images."""
        return f"{self.digest}/database"

    @property
    def queries_digest(self) -> str:
        """Names the bytes of the queries; as the database's where both are one list, which is then described once."""
        return self.database_digest if self.queries.same_as(self.database) else f"{self.digest}/queries"


@dataclass(frozen=True, kw_only=True, eq=False)
class Descriptors:
    """Unit rows (n, D), float32 or float16, often memory-mapped, with what they were made from."""

    rows: NDArray[Any]
    images_digest: str = ""
    model_digest: str = ""
    protocol: str = ""
    failed: Int64 = field(default_factory=lambda: np.empty(0, np.int64))

    def __post_init__(self) -> None:
        if self.rows.ndim != 2:
            raise DataError(f"descriptors must be (n, D), got shape {self.rows.shape}.")

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def dim(self) -> int:
        return int(self.rows.shape[1])


@dataclass(frozen=True, kw_only=True, eq=False)
class Ranking:
    """Database indices best first, (Q, K) int64; −1 fills a row that is shorter. Scores (Q, K) float32."""

    indices: Int64
    scores: NDArray[np.float32] | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Ranks:
    """For each query the 0-based ranks of its positives after junk is taken out, ascending.

    `values` (T,) and `offsets` (Q+1,) hold the ranks end to end; `n_positive` (Q,) counts all positives of
    the query, found or not. A metric sees this record and nothing else.
    """

    values: Int64
    offsets: Int64
    n_positive: Int64

    def __post_init__(self) -> None:
        found = np.diff(self.offsets)
        if len(self.n_positive) != len(found) or np.any(found > self.n_positive):
            raise ValueError("a query has more ranked positives than positives")
        inner = np.diff(self.values)
        ends = self.offsets[1:-1] - 1
        if len(inner) and np.any(np.delete(inner, ends[(ends >= 0) & (ends < len(inner))]) <= 0):
            raise ValueError("ranks must ascend strictly within a query")

    @classmethod
    def of(cls, rows: Sequence[Sequence[int] | Int64], n_positive: Sequence[int] | Int64) -> Ranks:
        """Pack one ascending list of ranks per query.

        >>> Ranks.of([[0, 2], []], [2, 1]).row(0).tolist()
        [0, 2]
        """
        packed = Ragged.of(rows)
        return cls(
            values=packed.values, offsets=packed.offsets, n_positive=np.asarray(n_positive, dtype=np.int64)
        )

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def row(self, i: int) -> Int64:
        return self.values[self.offsets[i] : self.offsets[i + 1]]

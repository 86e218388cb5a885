"""Approximate search by an index of faiss, and how much of exact search it finds.

The index only proposes: where the protocol rescores, `scoring.exact_scores` decides the order of what was proposed, as
in exact search. What the index does not propose has no rank. Recall is measured against `search` on the same rows.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from vitret.core.approximate import RECALL_AT, HnswSpec, IndexSpec, IvfPqSpec, SearchFacts
from vitret.core.errors import EmptyError, MachineError, UserError
from vitret.core.records import Int64, Ranking
from vitret.measure.engines import query_slices
from vitret.measure.narrow import widened
from vitret.measure.scoring import Rows, exact_scores, key_indices, key_scores, largest_norm, order_keys
from vitret.measure.search import search, without_own

_ADDED = 2**16  # rows that are widened and given to the index at a time
_PART = 2**20  # rows of an index on disk that are in memory while it is built
_ASKED = 1000  # queries of the recall, at equal distances
# faiss wants 39 rows for a centre, and does not look at more than 256; 256 are the centres of a compressed byte.
_FEWEST, _LEARNED, _CODES = 39, 64, 256


@dataclass(frozen=True, kw_only=True, eq=False)
class Approximate:
    """What an index found: `depth` images a query at most, best first, -1 behind the last; and the facts of it."""

    ranking: Ranking
    facts: SearchFacts


def approximate(
    queries: NDArray[Any],
    database: Rows,
    spec: IndexSpec,
    *,
    query_rows: Int64 | None = None,
    engine: str = "numpy",
    device: str | None = None,
) -> Approximate:
    """The best images of each query as an index sees them, and its recall against exact search on the same rows.

    `queries` (Q, D), `database` (M, D); `query_rows` (Q,) are queries that are database images, -1 for none, which do
    not count for the recall. On a CUDA `device` the GPU searches an index of inverted lists, where faiss is built so.
    Raises `MachineError` without faiss, `DataError` for rows that are not finite, `UserError` for too few rows.
    """
    largest_norm(queries, what="queries")
    with tempfile.TemporaryDirectory(prefix="vitret-index-") as folder:
        began = time.perf_counter()
        index = IndexedRows.of(database, spec, folder=Path(folder), device=device)
        built = time.perf_counter()
        ranking = index.search(queries, spec)
        searched = time.perf_counter()
    asked = np.unique(np.linspace(0, len(queries) - 1, min(_ASKED, len(queries))).astype(np.int64))
    own = None if query_rows is None else query_rows[asked]
    most = min(max(RECALL_AT) + (own is not None), len(database))
    exactly = time.perf_counter()
    exact = search(queries[asked], database, k=most, engine=engine, device=device)
    facts = SearchFacts(
        recall=recall(Ranking(indices=ranking.indices[asked]), exact, own=own),
        recall_queries=len(asked),
        index=index.name,
        where=index.where,
        index_bytes=index.size,
        build_seconds=round(built - began, 3),
        search_seconds=round(searched - built, 3),
        exact_seconds=round(time.perf_counter() - exactly, 3),
    )
    return Approximate(ranking=ranking, facts=facts)


@dataclass(frozen=True, kw_only=True, eq=False)
class IndexedRows:
    """Rows in an index: what faiss made, its name there, where it is searched, and its bytes as files."""

    rows: Rows
    made: Any
    name: str
    where: Literal["cpu", "gpu"]
    size: int

    @classmethod
    def of(cls, rows: Rows, spec: IndexSpec, *, folder: Path, device: str | None = None) -> IndexedRows:
        """Build the index; lists on disk stand in `folder`, which must stay. Raises as `approximate` does."""
        faiss = require_faiss()
        made, name = _built(faiss, rows, spec, folder=folder)
        size = _bytes(faiss, made, folder)
        made, where = _placed(faiss, made, spec, device)
        return cls(rows=rows, made=made, name=name, where=where, size=size)

    def search(self, queries: NDArray[Any], spec: IndexSpec) -> Ranking:
        """The first `depth` of each query, with what the options say of searching."""
        if isinstance(spec, HnswSpec):
            self.made.hnsw.efSearch = max(spec.breadth, spec.depth)
        else:
            faiss = require_faiss()
            space = faiss.GpuParameterSpace() if self.where == "gpu" else faiss.ParameterSpace()
            space.set_index_parameter(self.made, "nprobe", spec.probes)
        depth = min(spec.depth, len(self.rows))
        indices = np.full((len(queries), depth), -1, dtype=np.int64)
        scores = np.full((len(queries), depth), -np.inf, dtype=np.float32)
        for some in query_slices(len(queries)):
            near, there = self.made.search(np.ascontiguousarray(queries[some], dtype=np.float32), depth)
            for q, own, images in zip(range(some.start, some.stop), near, there, strict=True):
                kept = images[images >= 0]
                given = own[images >= 0]
                decides = exact_scores(queries[q], self.rows.take(kept)) if spec.rescore else given
                keys = np.sort(order_keys(decides, kept))[::-1]
                indices[q, : len(keys)], scores[q, : len(keys)] = key_indices(keys), key_scores(keys)
        return Ranking(indices=indices, scores=scores)


def recall(found: Ranking, exact: Ranking, *, own: Int64 | None = None) -> dict[str, float]:
    """By k, the share of the exact first k among the first k found, the mean over queries.

    `own` (Q,) are the queries' own database rows, -1 for none: they are left out of both.
    """
    pair = [
        ranking.indices if own is None else without_own(ranking.indices, own) for ranking in (found, exact)
    ]
    whole = pair[1].shape[1] - (own is not None)
    at = [k for k in RECALL_AT if k <= min(whole, found.indices.shape[1])]
    if not at:
        raise EmptyError("approximate search: there is no image but the query itself.")
    return {str(k): _share(pair[0][:, :k], pair[1][:, :k]) for k in at}


def require_faiss() -> Any:
    """The module faiss; `MachineError` where it is not installed."""
    try:
        import faiss
    except ModuleNotFoundError as error:
        raise MachineError(
            "approximate search needs faiss: pip install 'vitret[faiss]' (on a CPU) or 'vitret[gpu]'"
        ) from error
    return faiss


def _built(faiss: Any, rows: Rows, spec: IndexSpec, *, folder: Path) -> tuple[Any, str]:
    """The index with all rows in it, and its name."""
    if isinstance(spec, HnswSpec):
        name = f"HNSW{spec.links},Flat"
        index = faiss.index_factory(rows.dim, name, faiss.METRIC_INNER_PRODUCT)
        index.hnsw.efConstruction = spec.build_breadth
        for offset, block in rows.blocks(_ADDED):
            _add(index, block, offset)
        return index, name
    name = _factory(rows, spec)
    index = faiss.index_factory(rows.dim, name, faiss.METRIC_INNER_PRODUCT)
    lists = faiss.extract_index_ivf(index)
    learned = np.unique(
        np.linspace(0, len(rows) - 1, min(len(rows), max(_LEARNED * lists.nlist, 2**16))).astype(np.int64)
    )
    index.train(rows.take(learned).astype(np.float32))
    if spec.on_disk:
        _add_on_disk(faiss, index, rows, folder)
    else:
        for offset, block in rows.blocks(_ADDED):
            _add(index, block, offset)
    return index, name


def _factory(rows: Rows, spec: IvfPqSpec) -> str:
    """How faiss calls the index; dimensions that the bytes do not divide are filled up with zeros."""
    if len(rows) < _FEWEST * _CODES:
        raise UserError(
            f"ivf_pq: {len(rows)} rows are too few to learn {_CODES} codes from, {_FEWEST * _CODES} are needed. "
            "Search so few exactly, or by hnsw."
        )
    lists = spec.lists or min(2 ** round(np.log2(4 * np.sqrt(len(rows)))), len(rows) // _FEWEST)
    if lists * _FEWEST > len(rows):
        raise UserError(
            f"ivf_pq: {lists} lists need {lists * _FEWEST} rows, there are {len(rows)}. "
            f"Say lists={len(rows) // _FEWEST}."
        )
    if spec.bytes > rows.dim:
        raise UserError(
            f"ivf_pq: {spec.bytes} bytes are more than one for each of {rows.dim} dimensions. Say bytes={rows.dim}."
        )
    whole = -(-rows.dim // spec.bytes) * spec.bytes
    padded = "" if whole == rows.dim else f"Pad{whole},"
    # "np": without the optimisation for comparing codes by their bits, which takes most of the time and is not used.
    return f"{padded}IVF{lists},PQ{spec.bytes}np"


def _add(index: Any, block: NDArray[Any], offset: int) -> None:
    """Give the index some rows; what is not finite raises `DataError`."""
    wide, _ = widened(block, what="database", offset=offset)
    index.add(wide)


def _add_on_disk(faiss: Any, index: Any, rows: Rows, folder: Path) -> None:
    """Give the index all rows, its lists in one file: parts are built one after the other, written, and merged."""
    lists = faiss.extract_index_ivf(index)
    parts: list[Path] = []
    held = 0
    for offset, block in rows.blocks(_ADDED):
        _add(index, block, offset)
        held += len(block)
        if held < _PART and offset + len(block) < len(rows):
            continue
        parts.append(folder / f"{len(parts)}.index")
        faiss.write_index(index, str(parts[-1]))
        held = 0
        lists.reset()
        # The rows of the next part go on counting where these end.
        lists.ntotal = index.ntotal = offset + len(block)
    mapped = [faiss.read_index(str(part), faiss.IO_FLAG_MMAP) for part in parts]
    sources = faiss.InvertedListsPtrVector()
    for part in mapped:
        sources.push_back(faiss.extract_index_ivf(part).invlists)
    merged = faiss.OnDiskInvertedLists(lists.nlist, lists.code_size, str(folder / "lists"))
    merged.merge_from_multiple(sources.data(), sources.size())
    lists.replace_invlists(merged, True)
    merged.this.disown()
    for file in parts:
        file.unlink()


def _bytes(faiss: Any, index: Any, folder: Path) -> int:
    """The size of an index as files."""
    whole = folder / "whole.index"
    faiss.write_index(index, str(whole))
    size = sum(file.stat().st_size for file in folder.iterdir())
    whole.unlink()
    return size


def _placed(faiss: Any, index: Any, spec: IndexSpec, device: str | None) -> tuple[Any, Literal["cpu", "gpu"]]:
    """The index where it is searched; a graph and lists on disk stay on the CPU."""
    on_card = isinstance(spec, IvfPqSpec) and not spec.on_disk and (device or "").startswith("cuda")
    if on_card and hasattr(faiss, "StandardGpuResources") and faiss.get_num_gpus():
        return faiss.index_cpu_to_all_gpus(index), "gpu"
    return index, "cpu"


def _share(found: Int64, exact: Int64) -> float:
    shares: Sequence[float] = [
        float(np.isin(truth[truth >= 0], one).mean()) for one, truth in zip(found, exact, strict=True)
    ]
    return float(np.mean(shares))

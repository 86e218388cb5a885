"""Ten million rows on disk: exact ranks by one process and by shares, and the recall and time of approximate indexes.

    python benchmarks/speed/scale.py --images 10000000 --dim 128 --out results/speed/scale-ten-million.json

The rows are synthetic: unit float16 rows around centres that lie around centres themselves, so that a list of an index
holds neighbours. 70 queries have positives at all distances. Each part has its wall and its processor time and the most
memory that the process has held so far; the ranks of the shares are compared with those of one process. `--probes` is
the curve of recall against time: one index, searched with so many of its lists. The rows stay in `--folder` when it is
given, and are used again. On a machine that others use too give OMP_NUM_THREADS=1, so that no thread waits for another
in vain, and compare processor time.
"""

import argparse
import json
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from vitret.core.approximate import IvfPqSpec
from vitret.core.records import Ragged, Truth
from vitret.core.runs import code, machine
from vitret.core.shares import Share
from vitret.core.store import write_json
from vitret.measure.approximate import IndexedRows, recall
from vitret.measure.counting import count_ranks
from vitret.measure.scoring import Rows
from vitret.measure.search import search
from vitret.measure.shared_counts import count_share

QUERIES, POSITIVES = 70, 80
GROUPS, CENTRES = 1_000, 100_000
BLOCK = 2**17


def unit(rows: np.ndarray) -> np.ndarray:
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows


def draw(path: Path, *, images: int, dim: int) -> np.ndarray:
    """Write the rows, unless they are there; the queries. The first rows lie near a query, at all distances."""
    rng = np.random.default_rng(0)
    groups = unit(rng.standard_normal((GROUPS, dim), dtype=np.float32))
    noise = rng.standard_normal((CENTRES, dim), dtype=np.float32) / np.float32(dim**0.5)
    centres = unit(groups[rng.integers(0, GROUPS, CENTRES)] + noise)
    asked = unit(
        centres[:QUERIES] + rng.standard_normal((QUERIES, dim), dtype=np.float32) / np.float32(2 * dim**0.5)
    )
    if path.is_file():
        return asked
    part = path.with_suffix(".part")
    rows = np.lib.format.open_memmap(part, mode="w+", dtype=np.float16, shape=(images, dim))
    for start in range(0, images, BLOCK):
        count = min(BLOCK, images - start)
        block = rng.standard_normal((count, dim), dtype=np.float32)
        block *= np.float32(0.7 / dim**0.5)
        block += centres[rng.integers(0, CENTRES, count)]
        near = np.arange(start, min(start + count, QUERIES * POSITIVES))
        block[near - start] += asked[near // POSITIVES] * rng.random((len(near), 1), dtype=np.float32)
        rows[start : start + count] = unit(block)
    rows.flush()
    part.rename(path)
    return asked


def judged() -> Truth:
    own = np.arange(QUERIES * POSITIVES).reshape(QUERIES, POSITIVES)
    kinds = {"easy": slice(0, 35), "hard": slice(35, 65), "junk": slice(65, POSITIVES)}
    return Truth(judgements={kind: Ragged.of(own[:, some]) for kind, some in kinds.items()})


def timed(work: Callable[[], Any]) -> tuple[Any, dict[str, float]]:
    wall, processor = time.perf_counter(), time.process_time()
    found = work()
    seconds = {
        "processor": round(time.process_time() - processor, 2),
        "wall": round(time.perf_counter() - wall, 2),
        "peak_MiB_so_far": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }
    print(json.dumps(seconds), flush=True)
    return found, seconds


def exact(asked: np.ndarray, rows: Rows, *, shares: int, folder: Path) -> dict[str, Any]:
    """One count by one process, then by shares in turn, and whether these are equal."""
    whole, seconds = timed(lambda: count_ranks(asked, rows, judged()))
    found: dict[str, Any] = {"one process": seconds}
    for i in range(shares):
        share = Share(i, shares)
        last, found[f"share {i + 1}/{shares}"] = timed(
            lambda share=share: count_share(asked, rows, judged(), share=share, folder=folder / "counts")
        )
    found["ranks"] = {level: len(ranks.values) for level, ranks in whole.items()}
    found["ranks_that_differ"] = {
        level: int((ranks.values != last.ranks[level].values).sum()) for level, ranks in whole.items()
    }
    return found


def curve(
    asked: np.ndarray, rows: Rows, spec: IvfPqSpec, *, probes: list[int], folder: Path
) -> dict[str, Any]:
    """One index, its recall of the exact first images, and the seconds for all queries, by the lists searched."""
    (truth, exactly) = timed(lambda: search(asked, rows, k=100))
    (index, built) = timed(lambda: IndexedRows.of(rows, spec, folder=folder))
    points = []
    for count in probes:
        for rescore in (False, True):
            asking = spec.model_copy(update={"probes": count, "rescore": rescore, "depth": 1000})
            found, seconds = timed(lambda asking=asking: index.search(asked, asking))
            points.append(
                {"probes": count, "rescored": rescore, "seconds": seconds, "recall": recall(found, truth)}
            )
            print(points[-1], flush=True)
    about = {"index": index.name, "bytes": index.size, "spec": spec.model_dump(), "build": built}
    return {"exact_first_100": exactly, **about, "curve": points}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, required=True)
    parser.add_argument("--dim", type=int, required=True)
    parser.add_argument("--shares", type=int, default=4, help="0: no exact ranks")
    parser.add_argument("--lists", type=int)
    parser.add_argument("--bytes", type=int, default=32)
    parser.add_argument("--probes", type=int, nargs="*", default=[1, 4, 16, 64, 256])
    parser.add_argument("--on-disk", action="store_true")
    parser.add_argument("--folder", type=Path, help="where the rows stay")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder) as temporary:
        folder = Path(temporary)
        path = (given.folder or folder) / f"rows-{given.images}-{given.dim}.npy"
        asked, drawn = timed(lambda: draw(path, images=given.images, dim=given.dim))
        rows = Rows.of(np.load(path, mmap_mode="r"))
        found: dict[str, Any] = {
            "images": given.images,
            "dim": given.dim,
            "queries": QUERIES,
            "row_bytes": path.stat().st_size,
            "drawn": drawn,
        }
        if given.shares:
            found["exact"] = exact(asked, rows, shares=given.shares, folder=folder)
        if given.probes:
            spec = IvfPqSpec(lists=given.lists, bytes=given.bytes, on_disk=given.on_disk)
            found["ivf_pq"] = curve(asked, rows, spec, probes=given.probes, folder=folder)
    about = {**found, "machine": machine(), "code": code()}
    print(json.dumps(about, indent=1))
    if given.out:
        write_json(given.out, about)


if __name__ == "__main__":
    main()

"""Ten million rows on disk: exact ranks by one process and by shares, and the recall and time of approximate indexes.

    python benchmarks/speed/scale.py --images 10000000 --dim 128 --out results/speed/scale-ten-million.json

The rows are synthetic: unit float16 rows around centres that lie around centres themselves, so that a list of an index
holds neighbours. 70 queries have positives at all distances. Each part has its wall and its processor time and the most
memory that the process has held so far; the ranks of the shares are compared with those of one process. `--probes` is
the curve of recall against time: one index, searched with so many of its lists. With `--folder` the rows, the counts,
the index and the figures of each finished part stay there: a run that was stopped continues with the part where it was,
if the commit is the same. On a machine that others use too give OMP_NUM_THREADS=1, so that no thread waits for another
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
import torch

from vitret.core.approximate import IvfPqSpec
from vitret.core.records import Ragged, Ranking, Truth
from vitret.core.runs import code, machine
from vitret.core.shares import Share
from vitret.core.store import digest, write_json, writing
from vitret.describe.cost import device_name
from vitret.measure.approximate import IndexedRows, recall, require_faiss
from vitret.measure.scoring import Rows
from vitret.measure.search import search
from vitret.measure.shared_counts import Shared, count_share
from vitret.measure.threads import thread_count

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


class Parts:
    """The figures of the parts that are done, by name, in a file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.figures: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {}

    def timed(self, name: str, work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Seconds and memory of some work with the facts that it returns; unless they are there."""
        if name not in self.figures:
            wall, processor = time.perf_counter(), time.process_time()
            facts = work()
            self.figures[name] = {
                "processor": round(time.process_time() - processor, 2),
                "wall": round(time.perf_counter() - wall, 2),
                "peak_MiB_so_far": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
                **facts,
            }
            write_json(self.path, self.figures)
            print(name, json.dumps(self.figures[name]), flush=True)
        return self.figures[name]


def exact(asked: np.ndarray, rows: Rows, parts: Parts, *, shares: int, folder: Path) -> dict[str, Any]:
    """One count by one process, then by shares in turn, and whether these are equal."""

    def count(share: Share) -> Shared:
        return count_share(asked, rows, judged(), share=share, folder=folder / "counts")

    def counted(share: Share) -> dict[str, Any]:
        count(share)
        return {}

    found = {"one process": parts.timed("exact, one process", lambda: counted(Share(0, 1)))}
    for i in range(shares):
        name, share = f"share {i + 1}/{shares}", Share(i, shares)
        found[name] = parts.timed(f"exact, {name}", lambda share=share: counted(share))
    whole, summed = count(Share(0, 1)).ranks, count(Share(0, shares)).ranks
    found["ranks"] = {level: len(ranks.values) for level, ranks in whole.items()}
    found["ranks_that_differ"] = {
        level: int((ranks.values != summed[level].values).sum()) for level, ranks in whole.items()
    }
    return found


def first_images(asked: np.ndarray, rows: Rows, path: Path) -> dict[str, Any]:
    """Write the exact first 100 of each query."""
    with writing(path) as handle:
        np.save(handle, search(asked, rows, k=100).indices)
    return {}


def built(rows: Rows, spec: IvfPqSpec, path: Path) -> dict[str, Any]:
    """Write the index."""
    index = IndexedRows.of(rows, spec, folder=path.parent)
    require_faiss().write_index(index.made, str(path))
    return {"index": index.name, "bytes": index.size}


def curve(
    asked: np.ndarray, rows: Rows, spec: IvfPqSpec, parts: Parts, *, probes: list[int], folder: Path
) -> dict[str, Any]:
    """One index, its recall of the exact first images, and the seconds for all queries, by the lists searched."""
    first, path = folder / "first-100.npy", folder / "index.faiss"
    exactly = parts.timed("exact first 100", lambda: first_images(asked, rows, first))
    build = parts.timed("build", lambda: built(rows, spec, path))
    truth = Ranking(indices=np.load(first))
    index = IndexedRows(
        rows=rows,
        made=require_faiss().read_index(str(path)),
        name=build["index"],
        where="cpu",
        size=build["bytes"],
    )

    def point(asking: IvfPqSpec) -> dict[str, Any]:
        return {"recall": recall(index.search(asked, asking), truth)}

    points = []
    for count in probes:
        for rescore in (False, True):
            asking = spec.model_copy(update={"probes": count, "rescore": rescore, "depth": 1000})
            name = f"{count} lists{', rescored' if rescore else ''}"
            figures = parts.timed(name, lambda asking=asking: point(asking))
            points.append({"probes": count, "rescored": rescore, **figures})
    return {"exact_first_100": exactly, "spec": spec.model_dump(), "build": build, "curve": points}


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
    parser.add_argument("--folder", type=Path, help="where the rows and the parts that are done stay")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        kept = given.folder or Path(temporary)
        spec = IvfPqSpec(lists=given.lists, bytes=given.bytes, on_disk=given.on_disk)
        size = f"{given.images}-{given.dim}"
        path, own = kept / f"rows-{size}.npy", digest({"spec": spec.model_dump(), "code": code()})
        folder = kept / f"scale-{size}-{own[:8]}"
        folder.mkdir(parents=True, exist_ok=True)
        parts = Parts(folder / "parts.json")
        asked = draw(path, images=given.images, dim=given.dim)
        rows = Rows.of(np.load(path, mmap_mode="r"))
        found: dict[str, Any] = {
            "images": given.images,
            "dim": given.dim,
            "queries": QUERIES,
            "row_bytes": path.stat().st_size,
        }
        if given.shares:
            found["exact"] = exact(asked, rows, parts, shares=given.shares, folder=folder)
        if given.probes:
            found["ivf_pq"] = curve(asked, rows, spec, parts, probes=given.probes, folder=folder)
    device = {**machine(), "processor": device_name(torch.device("cpu"))}
    about = {**found, "threads": thread_count(), "machine": device, "code": code()}
    print(json.dumps(about, indent=1))
    if given.out:
        write_json(given.out, about)


if __name__ == "__main__":
    main()

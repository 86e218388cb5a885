"""How fast exact mAP over many distractors is, beside the plain way and beside what the matrix product alone takes.

    python benchmarks/speed/search.py --images 1000000 --dim 128 --dtype float16

Four things in turn, on one memory-mapped file, best of some rounds: reading it; the bare product of queries and
blocks; `count_ranks`; and the plain way, whole score matrix, full `np.argsort`, places of the positives. Ranks of both
ways are compared, and the numbers are printed as JSON.
"""

import argparse
import json
import os
import platform
import tempfile
import time
import tracemalloc
from pathlib import Path

import numpy as np

from vitret.core.records import Ragged, Ranking, Truth
from vitret.measure.counting import count_ranks
from vitret.measure.judge import judge
from vitret.measure.scoring import BLOCK, Rows, scorer

POSITIVES = 80  # judged images a query, about as many as in the revisited sets


def draw(path: Path, *, queries: int, images: int, dim: int, dtype: str) -> np.ndarray:
    """Write unit rows; the first `queries * POSITIVES` lie near their query, at all distances."""
    rng = np.random.default_rng(0)
    asked = rng.standard_normal((queries, dim)).astype(np.float32)
    asked /= np.linalg.norm(asked, axis=1, keepdims=True)
    rows = np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=(images, dim))
    for start in range(0, images, 65536):
        block = rng.standard_normal((min(65536, images - start), dim)).astype(np.float32)
        block /= np.linalg.norm(block, axis=1, keepdims=True)
        near = np.arange(start, min(start + len(block), queries * POSITIVES))
        block[near - start] += asked[near // POSITIVES] * rng.random((len(near), 1), dtype=np.float32)
        block /= np.linalg.norm(block, axis=1, keepdims=True)
        rows[start : start + len(block)] = block
    rows.flush()
    return asked


def judged(queries: int) -> Truth:
    own = [np.arange(q * POSITIVES, (q + 1) * POSITIVES) for q in range(queries)]
    kinds = {"easy": slice(0, 35), "hard": slice(35, 65), "junk": slice(65, POSITIVES)}
    return Truth(judgements={kind: Ragged.of([rows[part] for rows in own]) for kind, part in kinds.items()})


def read(asked, path, truth, engine, device):
    return float(
        sum(
            block.astype(np.float32).sum() for _, block in Rows.of(np.load(path, mmap_mode="r")).blocks(BLOCK)
        )
    )


def product(asked, path, truth, engine, device):
    with scorer(asked, engine=engine, device=device) as score:
        for _, block in Rows.of(np.load(path, mmap_mode="r")).blocks(BLOCK):
            score(slice(0, len(asked)), block)


def counted(asked, path, truth, engine, device):
    return count_ranks(asked, np.load(path, mmap_mode="r"), truth, engine=engine, device=device)


def plain(asked, path, truth, engine, device):
    scores = asked @ np.load(path).astype(np.float32).T
    ranking = Ranking(indices=np.argsort(-scores, axis=1))
    return {level: judge(ranking, truth, level) for level in truth.levels}


WAYS = {"read": read, "product": product, "counted": counted, "plain": plain}


def added_memory(name, arguments) -> int:
    """MiB of arrays at the peak; pages of the mapped file, which the system may drop, are not counted."""
    tracemalloc.start()
    WAYS[name](*arguments)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return round(peak / 2**20)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=200_000)
    parser.add_argument("--queries", type=int, default=70)
    parser.add_argument("--dim", type=int, default=128)
    parser.add_argument("--dtype", choices=("float16", "float32"), default="float16")
    parser.add_argument("--engine", choices=("numpy", "torch"), default="numpy")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--without-plain", action="store_true", help="the plain way needs images × queries × 12 bytes"
    )
    given = parser.parse_args()

    ways = [name for name in WAYS if name != "plain" or not given.without_plain]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "database.npy"
        asked = draw(path, queries=given.queries, images=given.images, dim=given.dim, dtype=given.dtype)
        arguments = (asked, path, judged(given.queries), given.engine, given.device)
        seconds: dict[str, list[float]] = {name: [] for name in ways}
        last = {}
        for _ in range(given.rounds):  # in turn, so that a busy machine slows all of them
            for name in ways:
                start = time.perf_counter()
                last[name] = WAYS[name](*arguments)
                seconds[name].append(time.perf_counter() - start)
        memory = {name: added_memory(name, arguments) for name in ways}
    best = {name: min(times) for name, times in seconds.items()}
    report = {
        **{key: vars(given)[key] for key in ("images", "queries", "dim", "dtype", "engine", "device")},
        "seconds": {name: round(value, 3) for name, value in best.items()},
        "images_per_second": round(given.images / best["counted"]),
        "counted_over_product": round(best["counted"] / best["product"], 2),
        "added_memory_MiB": memory,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, numpy {np.__version__}",
    }
    if "plain" in best:
        report["plain_over_counted"] = round(best["plain"] / best["counted"], 2)
        report["ranks_that_differ"] = {
            level: int((ranks.values != last["plain"][level].values).sum())
            for level, ranks in last["counted"].items()
        }
        report["ranks"] = {level: len(ranks.values) for level, ranks in last["counted"].items()}
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()

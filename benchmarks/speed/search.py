"""Exact ranks beside the bare product of the same rows, and beside the plain way; all sides in turn, in one run.

    python benchmarks/speed/search.py distractors --images 1006322 --dim 2048 --out results/speed/search-million.json
    python benchmarks/speed/search.py square --images 60502 --dim 384 --out results/speed/search-square.json

`distractors`: 70 queries with easy, hard and junk images among float16 rows on disk. `bare` reads a block, converts it
and multiplies, in numpy and in torch; `plain` is the whole score matrix, `np.argsort` and the places of the positives,
as the official evaluation does it. `square`: every image asks for its class among all others, with descriptors good
and poor; `bare` is the product, block by block; `pml` is pytorch-metric-learning's MAP@R and R@1 (extra `pml`).

A side's time is wall time and processor time, and a ratio is the median over the rounds. On a machine that others use
too, wall time says little, and processor time is what to compare: give `--threads 1`, so that no thread waits for
another in vain. `--cold` are rounds with the system's page cache dropped before every side (root on Linux).
"""

import argparse
import json
import os
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from vitret.core.records import Ragged, Ranking, Ranks, Truth
from vitret.core.runs import code, machine
from vitret.core.store import write_json
from vitret.describe.cost import device_name
from vitret.measure.counting import count_ranks
from vitret.measure.judge import judge
from vitret.measure.scoring import BLOCK, Rows

POSITIVES = 80  # judged images a query, about as many as in the revisited sets
CLASSES = 11_316 / 60_502  # of Stanford Online Products' test images
NOISE = {"good": 1.0, "poor": 12.0}  # beside class centres of the same size: R@1 of about 99 and 0.2 per cent
Sides = dict[str, Callable[[], Any]]


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def draw_million(path: Path, *, queries: int, images: int, dim: int) -> np.ndarray:
    """Write unit rows, unless they are there; the first `queries * POSITIVES` lie near their query, near and far."""
    rng = np.random.default_rng(0)
    asked = unit(rng.standard_normal((queries, dim), dtype=np.float32))
    if path.is_file():
        return asked
    part = path.with_suffix(".part")
    rows = np.lib.format.open_memmap(part, mode="w+", dtype=np.float16, shape=(images, dim))
    for start in range(0, images, BLOCK):
        block = unit(rng.standard_normal((min(BLOCK, images - start), dim), dtype=np.float32))
        near = np.arange(start, min(start + len(block), queries * POSITIVES))
        block[near - start] += asked[near // POSITIVES] * rng.random((len(near), 1), dtype=np.float32)
        rows[start : start + len(block)] = unit(block)
    rows.flush()
    part.rename(path)
    return asked


def judged(queries: int) -> Truth:
    own = [np.arange(q * POSITIVES, (q + 1) * POSITIVES) for q in range(queries)]
    kinds = {"easy": slice(0, 35), "hard": slice(35, 65), "junk": slice(65, POSITIVES)}
    return Truth(judgements={kind: Ragged.of([rows[part] for rows in own]) for kind, part in kinds.items()})


def draw_square(images: int, dim: int, noise: float) -> tuple[np.ndarray, np.ndarray, Truth]:
    """Rows, labels and truth: classes of at least two images."""
    rng = np.random.default_rng(1)
    classes = max(1, round(images * CLASSES))
    extra = rng.integers(0, classes, images - 2 * classes)
    labels = np.sort(np.concatenate([np.arange(classes), np.arange(classes), extra]))
    centres = rng.standard_normal((classes, dim), dtype=np.float32)
    rows = unit(centres[labels] + np.float32(noise) * rng.standard_normal((images, dim), dtype=np.float32))
    first, last = (np.searchsorted(labels, labels, side=side) for side in ("left", "right"))
    positive = [np.delete(np.arange(a, b), i - a) for i, (a, b) in enumerate(zip(first, last, strict=True))]
    own = Ragged.of(np.arange(images)[:, None])
    return rows, labels, Truth(judgements={"positive": Ragged.of(positive), "junk": own})


def bare_numpy(asked: np.ndarray, path: Path) -> None:
    for _, block in Rows.of(np.load(path, mmap_mode="r")).blocks(BLOCK):
        asked @ block.astype(np.float32).T


def bare_torch(asked: np.ndarray, path: Path) -> None:
    wide, there = torch.empty(BLOCK, asked.shape[1]), torch.from_numpy(asked)
    for _, block in Rows.of(np.load(path, mmap_mode="c")).blocks(BLOCK):
        there @ wide[: len(block)].copy_(torch.from_numpy(block)).T


def plain(asked: np.ndarray, path: Path, truth: Truth) -> dict[str, Ranks]:
    scores = asked @ np.load(path).astype(np.float32).T
    ranking = Ranking(indices=np.argsort(-scores, axis=1))
    return {level: judge(ranking, truth, level) for level in truth.levels}


def bare_square(rows: np.ndarray) -> None:
    for i in range(0, len(rows), 1024):
        for j in range(0, len(rows), BLOCK):
            rows[i : i + 1024] @ rows[j : j + BLOCK].T


def metric_learning(rows: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    from pytorch_metric_learning.distances import DotProductSimilarity
    from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator
    from pytorch_metric_learning.utils.inference import CustomKNN

    nearest = CustomKNN(DotProductSimilarity(normalize_embeddings=False), batch_size=1024)
    calculator = AccuracyCalculator(
        include=("mean_average_precision_at_r", "precision_at_1"), k="max_bin_count", knn_func=nearest
    )
    return calculator.get_accuracy(torch.from_numpy(rows), torch.from_numpy(labels))


def in_turn(
    sides: Sides, *, rounds: int, threads: int, cold: bool = False
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Seconds of every side, wall and processor, and what each returned last."""
    times: dict[str, Any] = {name: {"wall": [], "processor": []} for name in sides}
    last = {}
    for i in range(rounds):
        for name, side in sides.items():
            if cold:
                os.sync()
                Path("/proc/sys/vm/drop_caches").write_text("1")
            with threadpool_limits(threads):
                wall, processor = time.perf_counter(), time.process_time()
                last[name] = side()
                times[name]["processor"].append(round(time.process_time() - processor, 2))
                times[name]["wall"].append(round(time.perf_counter() - wall, 2))
            print(f"round {i + 1}, {name}: {times[name]['processor'][-1]} s of processor time", flush=True)
    return times, last


def ratios(times: dict[str, Any], ours: str, bare: str) -> dict[str, float]:
    """The median over the rounds of one side's time over another's."""
    return {
        clock: round(median(np.array(times[ours][clock]) / np.array(times[bare][clock])), 3)
        for clock in ("wall", "processor")
    }


def arrays(side: Callable[[], Any]) -> int:
    """MiB of arrays at the peak; pages of the mapped file, which the system may drop, are not counted."""
    tracemalloc.start()
    side()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return round(peak / 2**20)


def differing(a: dict[str, Ranks], b: dict[str, Ranks]) -> dict[str, int]:
    return {level: int((ranks.values != b[level].values).sum()) for level, ranks in a.items()}


def distractors(given: argparse.Namespace, folder: Path) -> dict[str, Any]:
    path = folder / f"distractors-{given.images}-{given.dim}.npy"
    asked = draw_million(path, queries=70, images=given.images, dim=given.dim)
    truth = judged(70)

    def counted() -> dict[str, Ranks]:
        return count_ranks(asked, np.load(path, mmap_mode="r"), truth, threads=given.threads)

    sides: Sides = {
        "bare numpy": lambda: bare_numpy(asked, path),
        "counted": counted,
        "bare torch": lambda: bare_torch(asked, path),
    }

    def overs(times: dict[str, Any]) -> dict[str, Any]:
        return {f"counted over {bare}": ratios(times, "counted", bare) for bare in sides if bare != "counted"}

    times, last = in_turn(sides, rounds=given.rounds, threads=given.threads)
    about = overs(times)
    about["counted_arrays_MiB"] = arrays(counted)
    if given.cold:
        beside, _ = in_turn(sides, rounds=given.cold, threads=given.threads, cold=True)
        about["cold"] = {"seconds": beside, **overs(beside)}
    if given.plain:
        both: Sides = {"counted": counted, "plain": lambda: plain(asked, path, truth)}
        beside, found = in_turn(both, rounds=given.plain, threads=given.threads)
        about["beside plain"] = {"seconds": beside, "plain over counted": ratios(beside, "plain", "counted")}
        about["ranks_that_differ"] = differing(found["counted"], found["plain"])
    about["ranks"] = {level: len(ranks.values) for level, ranks in last["counted"].items()}
    return {"queries": 70, "seconds": times, **about}


def square(given: argparse.Namespace, folder: Path) -> dict[str, Any]:
    drawn = {kind: draw_square(given.images, given.dim, noise) for kind, noise in NOISE.items()}

    def counted(kind: str) -> dict[str, Ranks]:
        rows, _, truth = drawn[kind]
        return count_ranks(rows, rows, truth, threads=given.threads)

    sides: Sides = {
        "bare": lambda: bare_square(drawn["good"][0]),
        "good": lambda: counted("good"),
        "poor": lambda: counted("poor"),
    }
    times, last = in_turn(sides, rounds=given.rounds, threads=given.threads)
    about: dict[str, Any] = {f"{kind} over bare": ratios(times, kind, "bare") for kind in NOISE}
    if given.pml:
        metric_learning(*(some[:200] for some in drawn["poor"][:2]))  # imports take seconds
        both: Sides = {"poor": sides["poor"], "pml": lambda: metric_learning(*drawn["poor"][:2])}
        beside, _ = in_turn(both, rounds=given.pml, threads=given.threads)
        about["beside pml"] = {"seconds": beside, "pml over poor": ratios(beside, "pml", "poor")}
    for kind in NOISE:
        ranks = last[kind]["all"]
        about[f"{kind} R@1"] = round(float((ranks.values[ranks.offsets[:-1]] == 0).mean()), 4)
    return {"seconds": times, **about}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("case", choices=("distractors", "square"))
    parser.add_argument("--images", type=int, required=True)
    parser.add_argument("--dim", type=int, required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument(
        "--plain", type=int, default=0, help="rounds beside the plain way: images × dim × 6 bytes"
    )
    parser.add_argument("--pml", type=int, default=0, help="rounds beside pytorch-metric-learning")
    parser.add_argument("--cold", type=int, default=0, help="rounds with a cold page cache")
    parser.add_argument("--folder", type=Path, help="where the rows on disk stay, to be used again")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        run = distractors if given.case == "distractors" else square
        found = run(given, given.folder or Path(temporary))
    asked = {name: getattr(given, name) for name in ("case", "images", "dim", "rounds", "threads")}
    device = device_name(torch.device("cpu"))
    about = {**asked, **found, "machine": {**machine(), "processor": device}, "code": code()}
    print(json.dumps(about, indent=1))
    if given.out:
        write_json(given.out, about)


if __name__ == "__main__":
    main()

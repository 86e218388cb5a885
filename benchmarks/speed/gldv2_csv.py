"""GLDv2-noisy's train.csv, generated at its full size of 4.1 million rows, to the layout's train table.

    python benchmarks/speed/gldv2_csv.py [--rows 4132914] [--landmarks 203094] [--folder DIR]

Reads with the reader of the card, makes the paths, maps the sparse landmark ids to 0…C−1, and writes parquet as the
layout does, all in a process of its own whose peak memory is told. Targets: under 60 s and under 3 GB.
"""

import argparse
import itertools
import multiprocessing
import os
import platform
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv


def generate(path: Path, rows: int, landmarks: int) -> None:
    """Rows as the publisher writes them: sixteen hex digits, an address, a sparse landmark id; long-tailed classes."""
    rng = np.random.default_rng(0)
    known = np.sort(rng.choice(3 * landmarks, size=landmarks, replace=False))
    tail = rng.zipf(1.3, size=rows) % landmarks
    tail[:landmarks] = rng.permutation(landmarks)
    ids = np.char.mod("%016x", rng.permutation(rows).astype(np.int64) * 2_000_000_000_003)
    urls = np.char.add("http://upload.wikimedia.org/wikipedia/commons/c/ca/A_photograph_of_a_landmark_", ids)
    table = pa.table({"id": ids, "url": np.char.add(urls, ".jpg"), "landmark_id": known[tail]})
    pacsv.write_csv(table, path, pacsv.WriteOptions(quoting_style="none"))


def prepare(path: Path, out: Path) -> None:
    """What a preparation does with the list, and nothing else."""
    from vitret.data.formats.gldv2 import image_paths, read_train
    from vitret.data.layout.parquet import text_column, write_table

    marks = [("start", time.perf_counter())]
    table = read_train(path)
    marks.append(("read and check", time.perf_counter()))
    originals, labels = np.unique(table.landmarks, return_inverse=True)
    paths = text_column(image_paths(table.ids))
    marks.append(("map labels, make paths", time.perf_counter()))
    order = np.argsort(paths, kind="stable")
    validation = np.isin(labels[order], np.arange(0, len(originals), 50))
    write_table(
        out, {"path": paths[order], "label": labels[order].astype(np.int64), "validation": validation}
    )
    marks.append(("sort and write", time.perf_counter()))
    for (_, before), (name, after) in itertools.pairwise(marks):
        print(f"  {name:24} {after - before:6.2f} s")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    total = marks[-1][1] - marks[0][1]
    print(
        f"{len(paths):,} rows, {len(originals):,} landmarks: {total:.1f} s (target < 60), "
        f"peak {peak:.2f} GB (target < 3)"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rows", type=int, default=4_132_914)
    parser.add_argument("--landmarks", type=int, default=203_094)
    parser.add_argument("--folder", type=Path, default=None)
    options = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        path = Path(name) / "train.csv"
        for work, arguments in (
            (generate, (path, options.rows, options.landmarks)),
            (prepare, (path, Path(name) / "t")),
        ):
            process = context.Process(target=work, args=arguments)
            process.start()
            process.join()
            if process.exitcode:
                raise SystemExit(process.exitcode)
            if work is generate:
                print(
                    f"{platform.machine()}, {os.cpu_count()} cores; train.csv of {path.stat().st_size / 1e6:.0f} MB"
                )


if __name__ == "__main__":
    main()

"""Unpacking and hashing a tar of JPEGs: ours in one pass, beside `tar x` followed by `sha256sum`, in one run.

    python benchmarks/speed/untar.py [--gigabytes 2] [--folder DIR] [--repeats 3]

The two alternate; each unpacks into a fresh folder, after a `sync`, with the tar in the page cache. Printed are wall
time and processor time (user and system, with that of the commands). The target is a ratio of at most 1.3 between the
medians of the wall time. Two commits are compared by running this script with PYTHONPATH set to each, in turns.
"""

import argparse
import io
import os
import platform
import random
import shutil
import statistics
import subprocess
import tarfile
import tempfile
import time
from pathlib import Path

from vitret.data.fetch.archive import extract

JPEG_BYTES = 120_000


def make(path: Path, gigabytes: float) -> int:
    """A tar shaped like a GLDv2 shard: a/b/c/<id>.jpg, files of about 120 kB that do not compress."""
    numbers = random.Random(0)
    noise = os.urandom(8 << 20)
    members = int(gigabytes * 1e9 / JPEG_BYTES)
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for _ in range(members):
            name = f"{numbers.getrandbits(64):016x}"
            size = int(numbers.lognormvariate(0, 0.4) * JPEG_BYTES * 0.92)
            start = numbers.randrange(len(noise) // 2)
            data = b"\xff\xd8\xff\xe0" + noise[start : start + size - 4]
            info = tarfile.TarInfo(f"{name[0]}/{name[1]}/{name[2]}/{name}.jpg")
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return members


def ours(tar: Path, out: Path) -> dict[str, str]:
    return {member.path: member.sha256 for member in extract(tar, out)}


def theirs(tar: Path, out: Path) -> dict[str, str]:
    out.mkdir()
    subprocess.run(["tar", "xf", tar, "-C", out], check=True)
    hashes = "find . -type f -print0 | xargs -0 sha256sum"
    said = subprocess.run(hashes, shell=True, cwd=out, check=True, capture_output=True, text=True).stdout
    return {line[66:].removeprefix("./"): line[:64] for line in said.splitlines()}


def timed(work, tar: Path, out: Path) -> tuple[float, float, dict[str, str]]:
    os.sync()
    start, before = time.perf_counter(), os.times()
    hashes = work(tar, out)
    seconds, after = time.perf_counter() - start, os.times()
    shutil.rmtree(out)
    return seconds, sum(after[:4]) - sum(before[:4]), hashes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--gigabytes", type=float, default=2.0)
    parser.add_argument("--folder", type=Path, default=None)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        tar = folder / "images_000.tar"
        members = make(tar, options.gigabytes)
        print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}; tar of "
              f"{tar.stat().st_size / 1e9:.2f} GB, {members:,} files")  # fmt: skip
        seconds: dict[str, list[float]] = {"ours": [], "tar x + sha256sum": []}
        answers = []
        for _ in range(options.repeats):
            for label, work in (("ours", ours), ("tar x + sha256sum", theirs)):
                took, processor, hashes = timed(work, tar, folder / "out")
                seconds[label].append(took)
                answers.append(hashes)
                print(f"  {label:18} {took:6.2f} s, processor {processor:6.2f} s")
        if any(answer != answers[0] for answer in answers):
            raise SystemExit("the two disagree about a hash")
        mine, other = (statistics.median(values) for values in seconds.values())
        print(
            f"medians: ours {mine:.2f} s, tar x + sha256sum {other:.2f} s, ratio {mine / other:.2f} (target ≤ 1.3)"
        )


if __name__ == "__main__":
    main()

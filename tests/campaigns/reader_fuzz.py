"""Feed every reader of files with damaged ones: each is read, or refused in words, in time and within bounds.

    python tests/campaigns/reader_fuzz.py --runs 20000 --seed 0

A worker process reads; it may take 1 GB of address space beyond what its imports took, and 10 seconds a file. Anything
but a `VitretError`, a message longer than a screen, a worker that ends or is too slow is a failure, and its file is
kept. Exit 0 when there is none.
"""

import argparse
import json
import os
import random
import select
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]
SUPPORT = REPOSITORY / "tests" / "support"
SECONDS = 10
MEMORY = 1 << 30
# What fits on a screen of 80 columns and 24 lines.
LONGEST, MOST_LINES = 1920, 24
EXTREMES = (
    b"\x00" * 4,
    b"\xff" * 4,
    b"\x7f\xff\xff\xff",
    b"\xff\xff\xff\x7f",
    b"\x00" * 8,
    b"\xff" * 8,
    b"\x00\x00\x00\x80",
)
TEXTS = (
    b"[" * 400,
    b'"',
    b"}",
    b"-1",
    b"1e999",
    b"null",
    b"&a [*a]",
    b"\xed\xa0\x80",
    b"2020-99-99",
    b"9" * 5000,
    b"{" * 50,
)


@dataclass(kw_only=True)
class Findings:
    """What became of all files."""

    read: int = 0
    refused: int = 0
    failures: list[str] = field(default_factory=list)
    kinds: set[str] = field(default_factory=set)


def damaged(data: bytes, others: list[bytes], draw: random.Random) -> bytes:
    """The bytes with one to three damages of a kind that disks, networks and hostile hands do."""
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        at = draw.randrange(len(data) + 1)
        kind = draw.choice(("flip", "byte", "insert", "cut", "end", "head", "extreme", "text", "repeat"))
        if kind == "flip":
            data = data[:at] + bytes(b ^ (1 << draw.randrange(8)) for b in data[at : at + 1]) + data[at + 1 :]
        elif kind == "byte":
            data = data[:at] + bytes([draw.randrange(256)]) + data[at + 1 :]
        elif kind == "insert":
            data = data[:at] + draw.randbytes(draw.randint(1, 16)) + data[at:]
        elif kind == "cut":
            data = data[:at] + data[at + draw.randint(1, 64) :]
        elif kind == "end":
            data = data[:at]
        elif kind == "head":
            length = draw.choice((4, 8, 64, 128, 512))
            data = draw.choice(others)[:length] + data[length:]
        elif kind == "extreme":
            piece = draw.choice(EXTREMES)
            data = data[:at] + piece + data[at + len(piece) :]
        elif kind == "text":
            data = data[:at] + draw.choice(TEXTS) + data[at:]
        else:
            data = data[:at] + data[at : at + 64] * draw.randint(1, 20) + data[at:]
    return data


class Worker:
    """A process that reads files one at a time; started again when it ended or was ended."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def feed(self, reader: str, path: Path) -> dict[str, Any]:
        """The error of a reader and its message; also that the process ended, or was too slow."""
        process = self._alive()
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps([reader, str(path)]) + "\n")
        process.stdin.flush()
        ready, _, _ = select.select([process.stdout], [], [], SECONDS)
        line = process.stdout.readline() if ready else ""
        if line:
            answer: dict[str, Any] = json.loads(line)
            return answer
        code = self.close()
        return {
            "error": "too slow" if not ready else f"process ended with {code}",
            "message": "",
            "known": False,
        }

    def _alive(self) -> subprocess.Popen[str]:
        if self._process is None:
            command = [sys.executable, __file__, "--worker"]
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
            )
            assert self._process.stdout is not None
            self._process.stdout.readline()  # says that its imports are done
        return self._process

    def close(self) -> int:
        """End the process; its exit code, negative for the signal that ended it."""
        process, self._process = self._process, None
        if process is None:
            return 0
        if process.poll() is None and not self._ending(process):
            process.kill()
        with process:
            return process.wait()

    @staticmethod
    def _ending(process: subprocess.Popen[str]) -> bool:
        """True where it ends on its own: a process that crashed takes a moment."""
        assert process.stdout is not None
        return bool(select.select([process.stdout], [], [], 0)[0])


def work() -> None:
    """Read the files named on stdin, one line each; one line of JSON on stdout says what became of each."""
    import resource

    from vitret.core.errors import VitretError

    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a reader prints is not an answer
    warnings.simplefilter("ignore")
    known = all_readers()
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * os.sysconf("SC_PAGE_SIZE") + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    answers.write("ready\n")
    answers.flush()
    for line in sys.stdin:
        reader, path = json.loads(line)
        answer: dict[str, Any] = {"error": None, "message": "", "known": True}
        try:
            known[reader](Path(path))
        except Exception as error:
            answer = {
                "error": type(error).__name__,
                "message": str(error),
                "known": isinstance(error, VitretError),
            }
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def all_readers() -> dict[str, Callable[[Path], Any]]:
    from readers import more_readers, readers

    known = {**readers(), **more_readers()}
    for reader, name, data in all_seeds():  # once each, so that what they import is not counted
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / name).write_bytes(data)
            known[reader](prepared(Path(folder), reader) / name)
    return known


def all_seeds() -> list[tuple[str, str, bytes]]:
    from honest_files import SEEDS, descriptors, networks, settings

    return [*SEEDS, *descriptors(), *networks(), *settings(REPOSITORY)]


def prepared(folder: Path, reader: str) -> Path:
    """The folder with the images that an own table names."""
    from honest_files import an_image

    if reader == "own_table":
        for name in ("a.jpg", "b.jpg"):
            (folder / name).write_bytes(an_image("JPEG"))
    return folder


def campaign(runs: range, folder: Path, *, seed: int = 0, say: Callable[[str], None]) -> Findings:
    """Each run damages the honest file of the next reader, as its number and the seed say, and feeds it."""
    seeds = all_seeds()
    others = [data for _, _, data in seeds]
    found = Findings()
    worker = Worker()
    for run in runs:
        reader, name, data = seeds[run % len(seeds)]
        place = folder / f"{reader}-{name}"
        if not place.is_dir():
            place.mkdir(parents=True)
            prepared(place, reader)
        path = place / name
        path.write_bytes(damaged(data, others, random.Random(f"{seed} {run}")))
        judge(found, worker.feed(reader, path), run=run, reader=reader, path=path, say=say)
    worker.close()
    return found


def judge(
    found: Findings, answer: dict[str, Any], *, run: int, reader: str, path: Path, say: Callable[[str], None]
) -> None:
    message = answer["message"]
    if answer["error"] is None:
        found.read += 1
        return
    short = len(message) < LONGEST + len(str(path)) and message.count("\n") < MOST_LINES
    if answer["known"] and short:
        found.refused += 1
        return
    found.kinds.add(f"{reader} {path.name}: {answer['error']}")
    kept = path.parent.parent / "failures" / f"{run}-{path.name}"
    kept.parent.mkdir(exist_ok=True)
    kept.write_bytes(path.read_bytes())
    found.failures.append(f"run {run}, {reader}, {kept}: {answer['error']} {message[:300]}")
    say(found.failures[-1])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=20000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="where files are written; default: a temporary one")
    parser.add_argument("--worker", action="store_true", help="read files named on stdin (used by itself)")
    given = parser.parse_args()
    if given.worker:
        work()
        return 0
    folder = given.folder or Path(tempfile.mkdtemp(prefix="reader-fuzz-"))
    folder.mkdir(parents=True, exist_ok=True)
    found = campaign(range(given.runs), folder, seed=given.seed, say=lambda line: print(line, flush=True))
    print(
        f"{given.runs} files: {found.read} read, {found.refused} refused, {len(found.failures)} failures, in {folder}"
    )
    for kind in sorted(found.kinds):
        print(f"  {kind}")
    return 1 if found.failures else 0


if str(SUPPORT) not in sys.path:
    sys.path.insert(0, str(SUPPORT))
if __name__ == "__main__":
    sys.exit(main())

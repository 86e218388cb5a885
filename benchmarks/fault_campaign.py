"""Hundreds of preparations that go wrong, each in a seeded way: what remains must be whole or absent, and resumable.

    python benchmarks/fault_campaign.py --runs 200 [--first 0] [--folder DIR]

A miniature set (a gzipped tar with a known hash, a list, a single photograph nobody has hashed, three shards with
published md5) is prepared by a process of its own from a local host. Run n draws its fault from seed n: a connection
dropped at a random byte, a host without ranges, wrong bytes, a cut archive, a web page in place of a file, a full disk
(a small tmpfs where mounting is allowed, else a limit on file size), SIGKILL at a random moment, two processes at once.
Checked each time: the exit code is a documented one; the set is there only if it is right; after the host has
recovered, one more run gives the same bytes as a run in which nothing went wrong.
"""

import argparse
import contextlib
import hashlib
import io
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY / "tests" / "support"))

from official_server import Drop, Fault, Html, NoRanges, OfficialServer, Slow, Status, Truncate, Wrong  # noqa: E402

SETS = ("images.tgz", "list.txt", "cover.jpg", *(f"images_{n:03d}.tar" for n in range(3)))
HOST = "official.example.org/data"
SET = "miniature"
# Exit codes that a failed preparation may have: data, disk. A killed process has none of its own.
FAILURES = {3, 6}


# --- the preparation, as a process of its own --------------------------------------------------------------------


def prepare(root: Path, hashes: dict[str, str]) -> None:
    """Fetch, unpack, convert: what `vitret prepare` does with a card."""
    from vitret.data.download import Patience, RemoteFile, fetch
    from vitret.data.layout import LayoutWriter, exists
    from vitret.data.shards import Shard, extract_shards
    from vitret.data.unpack import unpack_once

    if exists(root / "data", SET):
        return
    patience = Patience(attempts=4, first=0.01, longest=0.05, timeout=2.0)

    def remote(name: str) -> RemoteFile:
        known = hashes.get(name)
        source = "publisher" if known else "none"
        return RemoteFile(name=name, urls=(f"https://{HOST}/{name}",), sha256=known, hash_source=source)

    downloads, tree, state = root / "downloads", root / "official", root / "state"
    archive, listing, cover = fetch(
        [remote(name) for name in ("images.tgz", "list.txt", "cover.jpg")], downloads, patience=patience
    )
    unpack_once(archive.path, tree / "train", state / "images.tgz.parquet")
    extract_shards(
        [
            Shard(file=remote(name), about=100_000, md5_file=remote(f"md5.{name}.txt"))
            for name in SETS
            if name.startswith("images_")
        ],
        downloads=downloads,
        folder=tree / "shards",
        state=state,
        patience=patience,
    )
    rows = [line.split() for line in listing.path.read_text().splitlines()]
    with LayoutWriter(root / "data", SET, workers=1, hard=True) as writer:
        writer.link(cover.path, "cover.jpg")
        for path, _ in rows:
            writer.link(tree / path, path)
        writer.train([path for path, _ in rows] + ["cover.jpg"], [label for _, label in rows] + ["cover"])
        writer.finish()


def worker(root: Path, hashes: list[str]) -> int:
    from vitret.core.errors import VitretError
    from vitret.data.layout import AlreadyThereError

    try:
        prepare(root, dict(pair.split("=", 1) for pair in hashes))
    except AlreadyThereError:
        return 0
    except VitretError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


# --- the miniature ------------------------------------------------------------------------------------------------


def photograph(rng: np.random.Generator) -> bytes:
    made = io.BytesIO()
    Image.fromarray(rng.integers(0, 256, (64, 80, 3), dtype=np.uint8)).save(made, "JPEG", quality=95)
    return made.getvalue()


def tar_of(files: dict[str, bytes], mode: str) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode=mode) as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return made.getvalue()


def official_files() -> dict[str, bytes]:
    """Names and bytes of what the host serves; the same in every run."""
    rng = np.random.default_rng(7)
    train = {f"{label}/{n}.jpg": photograph(rng) for label in "abc" for n in range(6)}
    shards = [{f"{s}/{n}.jpg": photograph(rng) for n in range(5)} for s in range(3)]
    listing = [f"train/{path} {path[0]}\n" for path in train]
    listing += [f"shards/{path} s{path[0]}\n" for shard in shards for path in shard]
    files = {
        "images.tgz": tar_of(train, "w:gz"),
        "list.txt": "".join(listing).encode(),
        "cover.jpg": photograph(rng),
    }
    for number, shard in enumerate(shards):
        name = f"images_{number:03d}.tar"
        files[name] = tar_of(shard, "w")
        files[f"md5.{name}.txt"] = f"{hashlib.md5(files[name]).hexdigest()}  {name}\n".encode()
    return files


# --- one run ------------------------------------------------------------------------------------------------------


@dataclass
class Bench:
    """What all runs share: the official files, their published hashes, and the tree of an undisturbed run."""

    files: dict[str, bytes]
    hashes: list[str]
    expected: dict[str, str]
    seconds: float


@dataclass
class Campaign:
    """One run's host and folder."""

    bench: Bench
    server: OfficialServer
    root: Path

    def start(self, **more: object) -> subprocess.Popen[str]:
        environment = os.environ | {"VITRET_MIRROR": self.server.mirror, "OMP_NUM_THREADS": "1"}
        command = [sys.executable, __file__, "--worker", str(self.root), *self.bench.hashes]
        return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True, **more)

    def wait(self, process: subprocess.Popen[str]) -> int:
        _, said = process.communicate(timeout=120)
        if "Traceback" in said:
            raise AssertionError(f"a traceback instead of a message:\n{said}")
        if process.returncode in FAILURES and not said.strip():
            raise AssertionError("failed without a word")
        return process.returncode


def tree(folder: Path) -> dict[str, str]:
    """Relative path → sha256 of every file."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def host_fault(rng: random.Random, kind: str, bench: Bench) -> tuple[str, Fault, int | None]:
    """A file and the way in which its next, or every, request fails."""
    known = [name for name in SETS if name not in ("list.txt", "cover.jpg")]
    name = rng.choice(known if kind in ("wrong hash", "truncated archive") else SETS)
    size = len(bench.files[name])
    match kind:
        case "drop":
            return name, Drop(rng.randrange(size)), rng.choice([1, 2, 3, 9])
        case "no ranges":
            return name, NoRanges(), None
        case "wrong hash":
            return name, Wrong(rng.randrange(size)), rng.choice([1, None])
        case "truncated archive":
            return name, Truncate(rng.randrange(1, size)), rng.choice([1, None])
        case "html":
            return name, Html(), rng.choice([1, None])
        case _:
            return name, Status(rng.choice([404, 503])), rng.choice([1, 2, None])


def by_host(kind: str) -> Callable[[Campaign, random.Random], list[int]]:
    def run(campaign: Campaign, rng: random.Random) -> list[int]:
        for _ in range(rng.randint(1, 3)):
            name, fault, times = host_fault(rng, kind, campaign.bench)
            campaign.server.fault(f"{HOST}/{name}", fault, times=times)
        if kind == "no ranges":
            name, fault, _ = host_fault(rng, "drop", campaign.bench)
            campaign.server.fault(f"{HOST}/{name}", fault, times=1)
        return [campaign.wait(campaign.start())]

    return run


def slowly(campaign: Campaign, rng: random.Random) -> None:
    for name in SETS:
        if rng.random() < 0.5:
            campaign.server.fault(
                f"{HOST}/{name}", Slow(chunk=4096, pause=rng.choice([0.001, 0.01])), times=None
            )


def killed(campaign: Campaign, rng: random.Random) -> list[int]:
    slowly(campaign, rng)
    codes = []
    for _ in range(rng.randint(1, 3)):
        process = campaign.start()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(rng.uniform(0.2, 1.3) * campaign.bench.seconds)
        process.send_signal(signal.SIGKILL)
        codes.append(campaign.wait(process))
    return codes


def two_at_once(campaign: Campaign, rng: random.Random) -> list[int]:
    slowly(campaign, rng)
    processes = [campaign.start()]
    time.sleep(rng.uniform(0, 0.5) * campaign.bench.seconds)
    processes.append(campaign.start())
    if rng.random() < 0.3:
        time.sleep(rng.uniform(0.2, 1.0) * campaign.bench.seconds)
        processes[rng.randrange(2)].send_signal(signal.SIGKILL)
    return [campaign.wait(process) for process in processes]


def full_disk(campaign: Campaign, rng: random.Random) -> list[int]:
    size = rng.randrange(4, 900) * 1024
    if not campaign.root.is_mount():

        def small() -> None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (size // 8, size // 8))

        return [campaign.wait(campaign.start(preexec_fn=small))]
    remount(campaign.root, size)
    try:
        return [campaign.wait(campaign.start())]
    finally:
        remount(campaign.root, 64 << 20)


def remount(root: Path, size: int) -> None:
    subprocess.run(["mount", "-o", f"remount,size={size}", root], check=True, capture_output=True)


FAULTS: dict[str, Callable[[Campaign, random.Random], list[int]]] = {
    **{k: by_host(k) for k in ("drop", "no ranges", "wrong hash", "truncated archive", "html", "status")},
    "full disk": full_disk,
    "SIGKILL": killed,
    "two at once": two_at_once,
}


@contextlib.contextmanager
def place(folder: Path, *, small: bool) -> Iterator[Path]:
    """A folder for one run; for a full disk a tmpfs of its own, where mounting is allowed."""
    root = Path(tempfile.mkdtemp(dir=folder))
    mounted = False
    if small:
        mount = ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", root]
        mounted = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    try:
        yield root
    finally:
        if mounted:
            subprocess.run(["umount", root], check=True)
        shutil.rmtree(root)


def undisturbed(folder: Path) -> Bench:
    """Prepare once with nothing going wrong."""
    files = official_files()
    hashes = [f"images.tgz={hashlib.sha256(files['images.tgz']).hexdigest()}"]
    bench = Bench(files, hashes, {}, 0.0)
    with place(folder, small=False) as root, host(files) as server:
        start = time.perf_counter()
        campaign = Campaign(bench, server, root)
        if code := campaign.wait(campaign.start()):
            raise AssertionError(f"the undisturbed run ended with {code}")
        bench.seconds = time.perf_counter() - start
        bench.expected = tree(root / "data" / SET)
    return bench


@contextlib.contextmanager
def host(files: dict[str, bytes]) -> Iterator[OfficialServer]:
    with OfficialServer() as server:
        for name, data in files.items():
            server.put(f"{HOST}/{name}", data)
        yield server


def one_run(seed: int, bench: Bench, folder: Path) -> tuple[str, list[int]]:
    """Fault, check, recover, check; returns the fault and the exit codes before the recovery."""
    rng = random.Random(seed)
    fault = list(FAULTS)[seed % len(FAULTS)]
    with place(folder, small=fault == "full disk") as root, host(bench.files) as server:
        campaign = Campaign(bench, server, root)
        codes = FAULTS[fault](campaign, rng)
        final = root / "data" / SET
        if any(code not in FAILURES | {0, -signal.SIGKILL} for code in codes):
            raise AssertionError(f"exit codes {codes}")
        if 0 in codes and not final.exists():
            raise AssertionError(f"exit codes {codes}, and no set")
        if final.exists() and tree(final) != bench.expected:
            raise AssertionError(f"a wrong set was accepted: {differences(tree(final), bench.expected)}")
        server.heal()
        code = campaign.wait(campaign.start())
        if code or tree(final) != bench.expected:
            found = tree(final) if final.exists() else {}
            raise AssertionError(f"after recovery: exit code {code}, {differences(found, bench.expected)}")
        if left := [p.name for p in root.rglob("*.part*")]:
            raise AssertionError(f"after recovery, left over: {left}")
    return fault, codes


def differences(found: dict[str, str], expected: dict[str, str]) -> str:
    changed = [name for name in found.keys() & expected.keys() if found[name] != expected[name]]
    missing, extra = sorted(expected.keys() - found.keys()), sorted(found.keys() - expected.keys())
    return f"missing {missing}, extra {extra}, changed {changed}"


def campaign(seeds: range, folder: Path, *, say: Callable[[str], None] = print) -> list[str]:
    """All runs; returns what went wrong, one sentence each."""
    bench = undisturbed(folder)
    problems, outcomes = [], Counter[str]()
    for seed in seeds:
        try:
            fault, codes = one_run(seed, bench, folder)
        except (AssertionError, subprocess.TimeoutExpired) as error:
            problems.append(f"seed {seed} ({list(FAULTS)[seed % len(FAULTS)]}): {error}")
            say(problems[-1])
            continue
        for code in codes:
            outcomes[f"{fault:18} exit {code}"] += 1
    for outcome, times in sorted(outcomes.items()):
        say(f"  {outcome:28} {times:4}")
    say(f"{len(seeds)} runs, {len(problems)} wrong, one undisturbed run takes {bench.seconds:.1f} s")
    return problems


def main() -> None:
    if sys.argv[1:2] == ["--worker"]:
        raise SystemExit(worker(Path(sys.argv[2]), sys.argv[3:]))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=None)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        problems = campaign(range(options.first, options.first + options.runs), Path(folder))
    raise SystemExit(1 if problems else 0)


if __name__ == "__main__":
    main()

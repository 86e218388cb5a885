"""Hundreds of preparations that go wrong, each in a seeded way: what remains must be whole or absent, and resumable.

    python tests/campaigns/fault_campaign.py --runs 200 [--first 0] [--folder DIR]

Miniatures of official sets (a gzipped tar, a zip, shards behind a list, gzipped shards, two series, FTP) are prepared
by a process of its own from a local host. Run n draws its set and its fault from seed n: a connection dropped at a
random byte or stalled there, a host without ranges, redirects (in a circle, to nowhere, to a login page), wrong bytes,
a cut archive, a web page in place of a file or of a photograph inside an archive, a full disk (a small tmpfs where
mounting is allowed, else a limit on file size), SIGKILL at a random moment, two processes at once. Checked each time:
the exit code is a documented one; the set is there only if it is right; after the host has recovered, one more run
gives the same bytes as a run in which nothing went wrong.

A photograph that is a web page inside an archive whose hash nobody publishes is found by the image check: a distractor
is left out and named in the manifest, one that is asked about or a positive ends the preparation.
"""

import argparse
import contextlib
import functools
import hashlib
import json
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
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY / "tests" / "support"))

import miniatures  # noqa: E402
from official_server import (  # noqa: E402
    Drop,
    Fault,
    FtpServer,
    Html,
    NoRanges,
    OfficialServer,
    Redirect,
    Slow,
    Stall,
    Status,
    Truncate,
    Wrong,
)

SETS = ("roxford5k", "sop", "gldv2-clean", "revisitop1m", "gldv2-retrieval", "holidays")
BY_FTP = {"holidays"}
# Sets whose archives nobody publishes a size or a hash of: what comes first is believed, if it is whole.
UNPINNED = {"revisitop1m", "holidays"}
LOGIN = "login.example/sign-in"
ARCHIVES = (".tgz", ".zip", ".tar", ".tar.gz")
# Exit codes that a failed preparation may have: data, disk. A killed process has none of its own.
FAILURES = {3, 6}


PART = """import importlib, json
from pathlib import Path
from vitret.data.card import Card

_part = importlib.import_module("vitret.data.datasets.{module}")
CARD = Card.model_validate(json.loads(Path(__file__).with_suffix(".json").read_text()))
build = _part.build
wanted = getattr(_part, "wanted", None)
"""


def worker(root: Path, name: str) -> int:
    """What `vitret prepare NAME --accept-terms` does, with shorter pauses; the small card is an included part."""
    from vitret.core.errors import VitretError
    from vitret.data.fetch.download import Patience
    from vitret.data.prepare import from_hosts as obtain
    from vitret.data.prepare.request import Request
    from vitret.data.prepare.run import prepare

    quick = Patience(attempts=4, first=0.01, longest=0.05, timeout=2.0)
    obtain.fetch = functools.partial(obtain.fetch, patience=quick)
    obtain.extract_shards = functools.partial(obtain.extract_shards, patience=quick)
    try:
        prepare(Request(name, data_root=root, accept_terms=True, workers=0))
    except VitretError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


# --- one run ------------------------------------------------------------------------------------------------------


@dataclass
class Bench:
    """What all runs on one set share: its official files, its card, and the tree of an undisturbed run."""

    name: str
    published: Path
    parts: Path
    expected: dict[str, str]
    seconds: float
    most: int

    @functools.cached_property
    def files(self) -> dict[str, int]:
        """Path on the host → size in bytes."""
        found = sorted(path for path in self.published.rglob("*") if path.is_file())
        return {path.relative_to(self.published).as_posix(): path.stat().st_size for path in found}


class FtpHost:
    """An FTP host that serves a copy of a folder, in which faults of the files themselves are made; heal mends it."""

    def __init__(self, published: Path, copy: Path) -> None:
        self._published, self._copy = published, copy
        self._server = FtpServer(copy)

    def __enter__(self) -> "FtpHost":
        self.heal()
        self._server.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.__exit__()

    @property
    def mirror(self) -> str:
        return self._server.url("").rstrip("/")

    def serve(self, folder: Path) -> None:
        self._server.folder = folder

    def fault(self, path: str, fault: Fault, *, times: int | None = 1) -> None:
        file = self._copy / path
        data = bytearray(file.read_bytes()) if file.exists() else bytearray()
        match fault:
            case Wrong(at) if at < len(data):
                data[at] ^= 0xFF
                file.write_bytes(data)
            case Truncate(after):
                file.write_bytes(data[:after])
            case Html():
                file.write_bytes(miniatures.HTML)
            case Status():
                file.unlink(missing_ok=True)
            case Drop(after):
                self._server.drop_after = after

    def heal(self) -> None:
        shutil.rmtree(self._copy, ignore_errors=True)
        shutil.copytree(self._published, self._copy)
        self._server.drop_after = None
        self._server.folder = self._copy


@dataclass
class Campaign:
    """One run's host and folder."""

    bench: Bench
    server: OfficialServer | FtpHost
    root: Path

    @property
    def final(self) -> Path:
        return self.root / self.bench.name

    def start(self, **more: object) -> subprocess.Popen[str]:
        environment = os.environ | {
            "VITRET_MIRROR": self.server.mirror,
            "VITRET_INCLUDE": str(self.bench.parts),
            "OMP_NUM_THREADS": "1",
        }
        command = [sys.executable, __file__, "--worker", self.root, self.bench.name]
        return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True, **more)

    def wait(self, process: subprocess.Popen[str]) -> int:
        _, said = process.communicate(timeout=600)
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
    names = list(bench.files)
    if kind in ("wrong hash", "truncated archive"):
        # A list that nobody has hashed cannot be told from another list; an archive tells by itself.
        names = [name for name in names if name.endswith(ARCHIVES)]
    name = rng.choice(names)
    size = bench.files[name]
    if bench.name in BY_FTP and kind in ("no ranges", "redirect", "stall"):
        kind = "drop"  # FTP has nothing of the kind.
    match kind:
        case "stall":
            return name, Stall(rng.randrange(size)), 1
        case "redirect":
            return name, Redirect(rng.choice([name, "gone.example/nowhere", LOGIN])), rng.choice([1, 2, None])
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
        if campaign.bench.name not in BY_FTP:
            campaign.server.fault(LOGIN, Html(), times=None)
        # A stall takes as long as the patience with it.
        for _ in range(1 if kind == "stall" else rng.randint(1, 3)):
            name, fault, times = host_fault(rng, kind, campaign.bench)
            campaign.server.fault(name, fault, times=times)
        if kind == "no ranges":
            name, fault, _ = host_fault(rng, "drop", campaign.bench)
            campaign.server.fault(name, fault, times=1)
        return [campaign.wait(campaign.start())]

    return run


def slowly(campaign: Campaign, rng: random.Random) -> None:
    for name in campaign.bench.files:
        if rng.random() < 0.5:
            campaign.server.fault(name, Slow(chunk=4096, pause=rng.choice([0.001, 0.01])), times=None)


def killed(campaign: Campaign, rng: random.Random) -> list[int]:
    slowly(campaign, rng)
    codes = []
    for _ in range(rng.randint(1, 3)):
        process = campaign.start()
        kill(process, campaign, rng)
        codes.append(campaign.wait(process))
    return codes


def kill(process: subprocess.Popen[str], campaign: Campaign, rng: random.Random) -> None:
    """SIGKILL when a random number of files is there, and a moment later: a clock would depend on the machine."""
    many = rng.randint(1, campaign.bench.most)
    while process.poll() is None and count(campaign.root) < many:
        time.sleep(0.002)
    time.sleep(rng.uniform(0, 0.03))
    process.send_signal(signal.SIGKILL)


def count(folder: Path) -> int:
    """Files below a folder; those that go while it looks are no matter."""
    return sum(len(files) for _, _, files in os.walk(folder))


def two_at_once(campaign: Campaign, rng: random.Random) -> list[int]:
    slowly(campaign, rng)
    processes = [campaign.start()]
    time.sleep(rng.uniform(0, 0.5) * campaign.bench.seconds)
    processes.append(campaign.start())
    if rng.random() < 0.5:
        kill(rng.choice(processes), campaign, rng)
    return [campaign.wait(process) for process in processes]


def html_member(campaign: Campaign, rng: random.Random) -> list[int]:
    """A web page in place of a photograph inside an archive, otherwise whole."""
    bench = campaign.bench
    name = rng.choice([name for name in bench.files if name.endswith(ARCHIVES)])
    with tempfile.TemporaryDirectory() as folder:
        served = Path(folder, "published")
        shutil.copytree(bench.published, served)
        members = members_of(served / name)
        photo = rng.choice([member for member in members if member.lower().endswith(".jpg")])
        data = miniatures._archive(name, members | {photo: miniatures.HTML})
        (served / name).write_bytes(data)
        campaign.server.serve(served)
        code = campaign.wait(campaign.start())
    if bench.name == "revisitop1m":
        failed = json.loads((campaign.final / "manifest.json").read_text())["failed"]
        said = [entry["reason"] for entry in failed if entry["path"] == f"jpg/{photo}"]
        if code != 0 or not said or "web page" not in said[0]:
            raise AssertionError(f"{photo} is a web page; exit code {code}, said of it: {said}")
    elif code != 3 or campaign.final.exists():
        raise AssertionError(f"{photo} is a web page, and the exit code {code}")
    if bench.name in UNPINNED:
        # The first archive is the one that is believed, until a person removes it.
        shutil.rmtree(campaign.final, ignore_errors=True)
        shutil.rmtree(campaign.root / ".work")
    return [code]


def members_of(archive: Path) -> dict[str, bytes]:
    if archive.name.endswith(".zip"):
        with zipfile.ZipFile(archive) as source:
            return {name: source.read(name) for name in source.namelist()}
    with tarfile.open(archive) as tar:
        return {m.name: tar.extractfile(m).read() for m in tar.getmembers() if m.isfile()}


def full_disk(campaign: Campaign, rng: random.Random) -> list[int]:
    size = rng.randrange(4, 400) * 1024
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
    **{
        kind: by_host(kind)
        for kind in (
            "drop",
            "stall",
            "no ranges",
            "redirect",
            "wrong hash",
            "truncated archive",
            "html",
            "status",
        )
    },
    "html member": html_member,
    "full disk": full_disk,
    "SIGKILL": killed,
    "two at once": two_at_once,
}


def host(bench: Bench, folder: Path) -> OfficialServer | FtpHost:
    """The official host of a set, for one run."""
    if bench.name in BY_FTP:
        return FtpHost(bench.published, folder / "ftp")
    return OfficialServer(bench.published)


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


def undisturbed(name: str, folder: Path) -> Bench:
    """Make the miniature of a set and prepare it once with nothing going wrong."""
    miniature = miniatures.build(name, folder / "miniatures" / name)
    module = name.replace("-", "_")
    parts = folder / "parts"
    (parts / "datasets").mkdir(parents=True, exist_ok=True)
    (parts / "datasets" / f"{module}.py").write_text(PART.replace("{module}", module))
    # A card asks for the disk that the real set takes.
    each = [series.model_copy(update={"bytes_each": 1000}) for series in miniature.card.shards]
    card = miniature.card.model_copy(update={"needs_disk": 100_000, "shards": tuple(each)})
    (parts / "datasets" / f"{module}.json").write_text(card.model_dump_json())
    bench = Bench(name, miniature.published, parts, {}, 0.0, 0)
    with place(folder, small=False) as root, host(bench, folder) as server:
        start = time.perf_counter()
        campaign = Campaign(bench, server, root)
        process = campaign.start()
        while process.poll() is None:
            bench.most = max(bench.most, count(root))
            time.sleep(0.01)
        if code := campaign.wait(process):
            raise AssertionError(f"the undisturbed run of {name} ended with {code}")
        bench.seconds = time.perf_counter() - start
        bench.expected = tree(campaign.final)
    return bench


def one_run(seed: int, bench: Bench, folder: Path) -> list[int]:
    """Fault, check, recover, check; returns the exit codes before the recovery."""
    rng = random.Random(seed)
    fault = fault_of(seed)
    with place(folder, small=fault == "full disk") as root, host(bench, folder) as server:
        campaign = Campaign(bench, server, root)
        codes = FAULTS[fault](campaign, rng)
        if any(code not in FAILURES | {0, -signal.SIGKILL} for code in codes):
            raise AssertionError(f"exit codes {codes}")
        check(campaign, must=0 in codes and fault != "html member")
        server.serve(bench.published)
        server.heal()
        if code := campaign.wait(campaign.start()):
            raise AssertionError(f"after recovery: exit code {code}")
        check(campaign, must=True)
        if left := [str(path) for path in root.rglob("*.part*")]:
            raise AssertionError(f"after recovery, left over: {left}")
    return codes


def check(campaign: Campaign, *, must: bool) -> None:
    """The set is as in the undisturbed run, or absent if that may be."""
    if not campaign.final.exists() and not must:
        return
    if (found := tree(campaign.final)) != campaign.bench.expected:
        raise AssertionError(f"a wrong set was accepted: {differences(found, campaign.bench.expected)}")


def fault_of(seed: int) -> str:
    return list(FAULTS)[seed % len(FAULTS)]


def set_of(seed: int) -> str:
    """Neighbours differ in fault and set, and every fault meets every set in turn."""
    return SETS[(seed + seed // len(FAULTS)) % len(SETS)]


def differences(found: dict[str, str], expected: dict[str, str]) -> str:
    changed = [name for name in found.keys() & expected.keys() if found[name] != expected[name]]
    missing, extra = sorted(expected.keys() - found.keys()), sorted(found.keys() - expected.keys())
    return f"missing {missing}, extra {extra}, changed {changed}"


def campaign(seeds: range, folder: Path, *, say: Callable[[str], None] = print) -> list[str]:
    """All runs; returns what went wrong, one sentence each."""
    bench_of = functools.cache(lambda name: undisturbed(name, folder))
    problems, outcomes = [], Counter[str]()
    for seed in seeds:
        bench = bench_of(set_of(seed))
        try:
            codes = one_run(seed, bench, folder)
        except (AssertionError, subprocess.TimeoutExpired) as error:
            problems.append(f"seed {seed} ({fault_of(seed)}, {bench.name}): {error}")
            say(problems[-1])
            continue
        for code in codes:
            outcomes[f"{fault_of(seed):18} exit {code}"] += 1
    for outcome, times in sorted(outcomes.items()):
        say(f"  {outcome:28} {times:4}")
    say(f"{len(seeds)} runs, {len(problems)} wrong")
    return problems


def main() -> None:
    if sys.argv[1:2] == ["--worker"]:
        raise SystemExit(worker(Path(sys.argv[2]), sys.argv[3]))
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

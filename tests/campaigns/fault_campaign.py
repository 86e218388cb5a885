"""Hundreds of preparations that go wrong, each in a seeded way: what remains must be whole or absent, and resumable.

    python tests/campaigns/fault_campaign.py --runs 200 [--first 0] [--folder DIR]

Miniatures of official sets (a gzipped tar, a zip, shards behind a list, gzipped shards, two series, FTP) are prepared
by a process of its own from a local host. Run n draws its set and its fault from seed n: a connection dropped at a
random byte or stalled there, a host without ranges, redirects (in a circle, to nowhere, to a login page), wrong bytes,
a cut archive, a web page in place of a file or of a photograph inside an archive, a full disk (a small tmpfs where
mounting is allowed, else a limit on file size), SIGKILL at a random moment, two processes at once. Checked each time:
the exit code is a documented one; the set is there only if it is right; after the host has recovered, one more run
gives the same bytes as a run in which nothing went wrong.

A photograph that is a web page inside an archive without a published hash is found by the image check: a distractor
is left out and named in the manifest, one that is asked about or a positive ends the preparation.
"""

import argparse
import contextlib
import functools
import json
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPOSITORY / "tests" / folder) for folder in ("support", "campaigns")]

import miniatures  # noqa: E402
from files import count, differences, members_of, tree  # noqa: E402
from ftp_host import FtpHost  # noqa: E402
from official_server import (  # noqa: E402
    Drop,
    Fault,
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
from prepare_worker import Order, Worker  # noqa: E402

SETS = ("roxford5k", "sop", "gldv2-clean", "revisitop1m", "gldv2-retrieval", "holidays")
BY_FTP = {"holidays"}
# Sets whose archives have no published size or hash: what comes first is believed, if it is whole.
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


@dataclass
class Campaign:
    """One run's host and folder."""

    bench: Bench
    server: OfficialServer | FtpHost
    root: Path

    @property
    def final(self) -> Path:
        return self.root / self.bench.name

    def start(self, *, largest_file: int | None = None) -> Worker:
        order = Order(
            root=self.root,
            name=self.bench.name,
            mirror=self.server.mirror,
            parts=self.bench.parts,
            largest_file=largest_file,
        )
        return Worker.start(order)

    def wait(self, worker: Worker) -> int:
        code, said = worker.wait()
        if "Traceback" in said:
            raise AssertionError(f"a traceback instead of a message:\n{said}")
        if code in FAILURES and not said.strip():
            raise AssertionError("failed without a word")
        return code


def host_fault(rng: random.Random, kind: str, bench: Bench) -> tuple[str, Fault, int | None]:
    """A file and the way in which its next, or every, request fails."""
    names = list(bench.files)
    if kind in ("wrong hash", "truncated archive"):
        # A list without a hash cannot be told from another list; an archive tells by itself.
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
        one = campaign.start()
        kill(one, campaign, rng)
        codes.append(campaign.wait(one))
    return codes


def kill(one: Worker, campaign: Campaign, rng: random.Random) -> None:
    """SIGKILL when a random number of files is there, and a moment later: a clock would depend on the machine."""
    many = rng.randint(1, campaign.bench.most)
    while one.running and count(campaign.root) < many:
        time.sleep(0.002)
    time.sleep(rng.uniform(0, 0.03))
    one.kill()


def two_at_once(campaign: Campaign, rng: random.Random) -> list[int]:
    slowly(campaign, rng)
    both = [campaign.start()]
    time.sleep(rng.uniform(0, 0.5) * campaign.bench.seconds)
    both.append(campaign.start())
    if rng.random() < 0.5:
        kill(rng.choice(both), campaign, rng)
    return [campaign.wait(one) for one in both]


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
        # The first archive is the one that is believed, until the user removes it.
        shutil.rmtree(campaign.final, ignore_errors=True)
        shutil.rmtree(campaign.root / ".work")
    return [code]


def full_disk(campaign: Campaign, rng: random.Random) -> list[int]:
    size = rng.randrange(4, 400) * 1024
    if not campaign.root.is_mount():
        return [campaign.wait(campaign.start(largest_file=size // 8))]
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
        one = campaign.start()
        while one.running:
            bench.most = max(bench.most, count(root))
            time.sleep(0.01)
        if code := campaign.wait(one):
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


def campaign(seeds: range, folder: Path, *, say: Callable[[str], None] = print) -> list[str]:
    """All runs; returns what went wrong, one sentence each."""
    bench_of = functools.cache(lambda name: undisturbed(name, folder))
    problems, outcomes = [], Counter[str]()
    for seed in seeds:
        bench = bench_of(set_of(seed))
        try:
            codes = one_run(seed, bench, folder)
        except AssertionError as error:
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

"""Hundreds of preparations that go wrong, each in a seeded way: what remains must be whole or absent, and resumable.

    python benchmarks/fault_campaign.py --runs 200 [--first 0] [--folder DIR]

Miniatures of official sets (a gzipped tar, a zip, and shards behind a list, each with its card) are prepared by a
process of its own from a local host. Run n draws its set and its fault from seed n: a connection dropped at a random
byte, a host without ranges, wrong bytes, a cut archive, a web page in place of a file, a full disk (a small tmpfs where
mounting is allowed, else a limit on file size), SIGKILL at a random moment, two processes at once. Checked each time:
the exit code is a documented one; the set is there only if it is right; after the host has recovered, one more run
gives the same bytes as a run in which nothing went wrong.
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
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY / "tests" / "support"))

import miniatures  # noqa: E402
from official_server import Drop, Fault, Html, NoRanges, OfficialServer, Slow, Status, Truncate, Wrong  # noqa: E402

SETS = ("roxford5k", "sop", "gldv2-clean")
ARCHIVES = (".tgz", ".zip", ".tar")
# Exit codes that a failed preparation may have: data, disk. A killed process has none of its own.
FAILURES = {3, 6}


def worker(root: Path, name: str, facts: Path) -> int:
    """What `vitret prepare NAME --accept-terms` does, with the card of the miniature and shorter pauses."""
    from vitret.core import plugins
    from vitret.core.errors import VitretError
    from vitret.data import official
    from vitret.data.card import Card
    from vitret.data.download import Patience
    from vitret.data.layout import AlreadyThereError, exists

    quick = Patience(attempts=4, first=0.01, longest=0.05, timeout=2.0)
    official.fetch = functools.partial(official.fetch, patience=quick)
    official.extract_shards = functools.partial(official.extract_shards, patience=quick)
    stated = json.loads(facts.read_text())
    try:
        if not exists(root, name):
            official.prepare_official(
                Card.model_validate(stated["card"]),
                plugins.build("datasets", name, **stated["options"]),
                data_root=root,
                source=None,
                accept_terms=True,
                choices=official.Choices(),
                stated={"kind": "part", "options": {}},
                wanted=getattr(plugins.load("datasets", name), "wanted", None),
                workers=0,
            )
    except AlreadyThereError:
        return 0
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
    facts: Path
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
    server: OfficialServer
    root: Path

    @property
    def final(self) -> Path:
        return self.root / self.bench.name

    def start(self, **more: object) -> subprocess.Popen[str]:
        environment = os.environ | {"VITRET_MIRROR": self.server.mirror, "OMP_NUM_THREADS": "1"}
        command = [sys.executable, __file__, "--worker", self.root, self.bench.name, self.bench.facts]
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


def undisturbed(name: str, folder: Path) -> Bench:
    """Make the miniature of a set and prepare it once with nothing going wrong."""
    miniature = miniatures.build(name, folder / "miniatures" / name)
    facts = folder / f"{name}.json"
    # A card asks for the disk that the real set takes.
    card = miniature.card.model_copy(update={"needs_disk": 100_000}).model_dump(mode="json")
    facts.write_text(json.dumps({"card": card, "options": dict(miniature.options)}))
    bench = Bench(name, miniature.published, facts, {}, 0.0, 0)
    with place(folder, small=False) as root, OfficialServer(bench.published) as server:
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
    with place(folder, small=fault == "full disk") as root, OfficialServer(bench.published) as server:
        campaign = Campaign(bench, server, root)
        codes = FAULTS[fault](campaign, rng)
        if any(code not in FAILURES | {0, -signal.SIGKILL} for code in codes):
            raise AssertionError(f"exit codes {codes}")
        check(campaign, must=0 in codes)
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


def differences(found: dict[str, str], expected: dict[str, str]) -> str:
    changed = [name for name in found.keys() & expected.keys() if found[name] != expected[name]]
    missing, extra = sorted(expected.keys() - found.keys()), sorted(found.keys() - expected.keys())
    return f"missing {missing}, extra {extra}, changed {changed}"


def campaign(seeds: range, folder: Path, *, say: Callable[[str], None] = print) -> list[str]:
    """All runs; returns what went wrong, one sentence each."""
    benches = [undisturbed(name, folder) for name in SETS]
    problems, outcomes = [], Counter[str]()
    for seed in seeds:
        bench = benches[seed // len(FAULTS) % len(SETS)]
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
        raise SystemExit(worker(Path(sys.argv[2]), sys.argv[3], Path(sys.argv[4])))
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

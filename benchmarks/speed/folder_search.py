"""What `vitret search` costs and finds in a folder of real and synthetic photographs, with planted near-duplicates.

    python benchmarks/speed/folder_search.py --photos ../shared/data --work /tmp/folder-search [--images 10000]

The folder is made once below `--work`: real photographs of `--photos`, reduced to `--side` pixels, as many of the
synthetic town, and four changed copies each of `--planted` of them: half the size, JPEG quality 30, the middle 80 % of
each side, brighter by 30 %. Then the stages, all or those that `--stages` names:
  bare        an extraction of the files, to be compared with
  index       the first index of the folder, and a second call that finds nothing new
  query       one photograph: described and looked for, and the search alone
  duplicates  of the planted pairs, how many `--duplicates` lists, by kind of change and by `--min-cosine`
  update      ten new files
  command     `vitret search` as a user calls it
  killed      an index of a part of the folder, in a process that is killed with SIGKILL at random moments, again and
              again, and continued; beside one that is not
Processor time is of all threads of a process; other programs on the machine hardly move it. What a stage found is kept
below `--work`; `--out` takes the stages that are there.
"""

import argparse
import json
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from hashlib import sha256
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

from vitret.compare.folder_search import alike, most_similar, search_protocol
from vitret.core.records import Images
from vitret.core.runs import code, machine
from vitret.core.store import write_json
from vitret.data.own.listing import Listing
from vitret.describe.devices import pick_device
from vitret.describe.extract import extract
from vitret.describe.folder_index import BLOCK, FolderIndex, folder_index
from vitret.describe.request import Request
from vitret.minitown.draw import draw
from vitret.minitown.world import plan_distractors
from vitret.models.named import named_network

THRESHOLDS = (0.99, 0.95, 0.9, 0.85, 0.8)


def _cropped(image: Image.Image) -> Image.Image:
    width, height = image.size
    return image.crop((width // 10, height // 10, width - width // 10, height - height // 10))


# One entry a change: its words, what it does to the pixels, and the JPEG quality it is saved with.
CHANGES: dict[str, tuple[Callable[[Image.Image], Image.Image], int]] = {
    "half the size": (lambda image: image.resize((image.width // 2, image.height // 2)), 90),
    "JPEG quality 30": (lambda image: image, 30),
    "middle 80 % of each side": (_cropped, 90),
    "30 % brighter": (lambda image: ImageEnhance.Brightness(image).enhance(1.3), 90),
}


def make_folder(
    photos: Path, folder: Path, *, images: int, planted: int, side: int
) -> dict[tuple[str, str], str]:
    """Fill the folder unless it is there; the kind of change of each planted pair (original, copy)."""
    pairs = folder.parent / "pairs.json"
    if not pairs.is_file():
        shutil.rmtree(folder, ignore_errors=True)
        for inner in ("real", "town", "copies"):
            (folder / inner).mkdir(parents=True)
        originals = (images - len(CHANGES) * planted) // 2
        found = sorted(path for path in photos.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
        if len(found) < originals:
            raise SystemExit(f"--photos {photos}: {len(found)} photographs, {originals} are needed.")
        rows = np.linspace(0, len(found) - 1, originals).astype(int)
        for number, row in enumerate(rows.tolist()):
            with Image.open(found[row]) as image:
                small = ImageOps.exif_transpose(image).convert("RGB")
                small.thumbnail((side, side))
                small.save(folder / "real" / f"{number:05}.jpg", quality=90)
        for number, (_, data) in enumerate(draw(plan_distractors(0, images=originals))):
            (folder / "town" / f"{number:05}.jpg").write_bytes(data)
        write_json(pairs, [[*pair, kind] for pair, kind in _plant(folder, originals, planted).items()])
    return {(one, other): kind for one, other, kind in json.loads(pairs.read_text(encoding="utf-8"))}


def _plant(folder: Path, originals: int, planted: int) -> dict[tuple[str, str], str]:
    pairs = {}
    for at, number in enumerate(np.linspace(0, originals - 1, planted).astype(int).tolist()):
        original = f"{'town' if at % 2 else 'real'}/{number:05}.jpg"
        with Image.open(folder / original) as image:
            for kind, (change, quality) in CHANGES.items():
                copy = f"copies/{at:05}-{len(pairs) % len(CHANGES)}.jpg"
                change(image).save(folder / copy, quality=quality)
                pairs[original, copy] = kind
    return pairs


def listed(folder: Path) -> Images:
    return Images.of(folder, Listing(root=folder).images_everywhere())


def timed(work: Callable[[], Any]) -> tuple[Any, dict[str, float]]:
    """What the work gives, and its seconds on the clock and of the processor."""
    clock, processor = time.perf_counter(), time.process_time()
    found = work()
    spent = {"processor": time.process_time() - processor, "clock": time.perf_counter() - clock}
    return found, {name: round(seconds, 3) for name, seconds in spent.items()}


def quantiles(seconds: Sequence[float]) -> dict[str, float]:
    return {f"p{q}_ms": round(1000 * float(np.percentile(seconds, q)), 1) for q in (50, 95)}


def time_bare(request: Request, work: Path) -> dict[str, Any]:
    """An extraction of the files, without an index."""
    extract(replace(request, images=request.images.take(np.arange(64))))
    for path in work.glob("bare.npy*"):
        path.unlink()
    return timed(lambda: extract(request, out=work / "bare.npy"))[1]


def time_index(request: Request, home: Path) -> dict[str, Any]:
    """The first index of the files, and a call that finds nothing new."""
    extract(replace(request, images=request.images.take(np.arange(64))))
    shutil.rmtree(home, ignore_errors=True)
    index, first = timed(lambda: folder_index(request, home=home))
    _, again = timed(lambda: folder_index(request, home=home))
    return {"first": first, "nothing_new": again, "described": index.described}


def time_queries(request: Request, index: FolderIndex, *, count: int) -> dict[str, Any]:
    """One photograph at a time, each of the folder itself."""
    whole, alone = [], []
    for row in np.linspace(0, len(index.images) - 1, count).astype(int).tolist():
        asked = Images.of(Path(), [str(index.images.file(row))])
        start = time.perf_counter()
        described = extract(replace(request, images=asked))
        middle = time.perf_counter()
        most_similar(asked, described, index, k=10)
        alone.append(time.perf_counter() - middle)
        whole.append(time.perf_counter() - start)
    return {
        "photographs": count,
        "described_and_searched": quantiles(whole),
        "search_alone": quantiles(alone),
    }


def command(given: argparse.Namespace, folder: Path, home: Path) -> list[str]:
    photo = min((folder / "copies").iterdir())
    words = ["search", given.model, str(photo), "--in", str(folder), "--size", str(given.size)]
    return [sys.executable, "-m", "vitret", *words, "--home", str(home), "--device", given.device]


def time_command(words: Sequence[str], rounds: int) -> dict[str, Any]:
    """The whole command, on the clock, and its processor time."""
    clock, processor = [], []
    for _ in range(rounds):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        start = time.perf_counter()
        subprocess.run(words, check=True, capture_output=True)
        clock.append(time.perf_counter() - start)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        processor.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return {"clock": [round(s, 2) for s in clock], "processor": [round(s, 2) for s in processor]}


def update(request: Request, folder: Path, home: Path, planted: Sequence[str]) -> dict[str, Any]:
    """Ten new files, which are removed again."""
    (folder / "new").mkdir(exist_ok=True)
    for number, name in enumerate(planted[:10]):
        shutil.copy(folder / name, folder / "new" / f"{number}.jpg")
    index, spent = timed(lambda: folder_index(replace(request, images=listed(folder)), home=home))
    shutil.rmtree(folder / "new")
    return {**spent, "described": index.described, "images": len(index.images)}


def duplicates(index: FolderIndex, pairs: dict[tuple[str, str], str]) -> dict[str, Any]:
    """Recall of planted pairs, and how many other pairs are listed, by threshold."""
    found, spent = timed(lambda: alike(index, k=10, at_least=THRESHOLDS[-1]))
    cosines = {tuple(sorted((one, other.path))): other.cosine for one, other in found}
    group = {name: pair[0] for pair in pairs for name in pair}
    rows = {}
    for least in THRESHOLDS:
        kept = {pair for pair, cosine in cosines.items() if cosine >= least}
        known = {tuple(sorted(pair)): kind for pair, kind in pairs.items()}
        recall = {
            kind: round(float(np.mean([pair in kept for pair, one in known.items() if one == kind])), 3)
            for kind in CHANGES
        }
        others = [(one, other) for one, other in kept if group.get(one, one) != group.get(other, other)]
        rows[f"{least:g}"] = {"recall": recall, "other_pairs": len(others)}
    return {"pairs": len(pairs), "seconds": spent, "at_least": rows}


def killed(request: Request, work: Path, *, images: int, times: int) -> dict[str, Any]:
    """An index of a part of the folder, killed at random moments and continued; is it the same to the byte?"""
    rows = np.linspace(0, len(request.images) - 1, images).astype(int)
    part = replace(request, images=request.images.take(rows))
    whole, again = work / "whole", work / "killed"
    for home in (whole, again):
        shutil.rmtree(home, ignore_errors=True)
    began = time.perf_counter()
    _indexing(part, whole).join()
    seconds = time.perf_counter() - began
    # Moments are spread over the rows, not over time: how fast the machine is changes with what else it does.
    generator = np.random.default_rng(0)
    targets = np.sort(generator.integers(0, images, times)) // BLOCK * BLOCK
    waits = generator.uniform(0, seconds * BLOCK / images, times)
    moments = [
        _kill(_indexing(part, again), again, rows=int(target), wait=float(wait))
        for target, wait in zip(targets, waits, strict=True)
    ]
    _indexing(part, again).join()
    trees = [_tree(home) for home in (whole, again)]
    return {
        "images": images,
        "seconds_uninterrupted": round(seconds, 1),
        "kills": sum(row is not None for row in moments),
        "seconds_into_the_block": [round(wait, 2) for wait in waits.tolist()],
        "rows_on_disk_when_killed": moments,
        "same_bytes": trees[0] == trees[1] and bool(trees[0]),
        "files": len(trees[0]),
    }


def _indexing(request: Request, home: Path) -> BaseProcess:
    """A process of its own that indexes; forked, so that torch and the network are there at once."""
    process = get_context("fork").Process(target=folder_index, args=(request,), kwargs={"home": home})
    process.start()
    return process


def _tree(home: Path) -> dict[str, str]:
    return {
        str(path.relative_to(home)): sha256(path.read_bytes()).hexdigest()
        for path in sorted((home / "indexes").rglob("*"))
        if path.is_file()
    }


def _kill(process: BaseProcess, home: Path, *, rows: int, wait: float) -> int | None:
    """Kill a process so many seconds after so many rows were on the disk; the rows there, None: it had ended."""
    while process.is_alive() and _rows(home) < rows:
        time.sleep(0.002)
    process.join(wait)
    ended = process.exitcode is not None
    process.kill()
    process.join()
    return None if ended else _rows(home)


def _rows(home: Path) -> int:
    for path in home.glob("indexes/*/*.progress.json"):
        try:
            return int(json.loads(path.read_text(encoding="utf-8"))["rows"])
        except (OSError, ValueError):
            continue
    return 0


def stages(
    given: argparse.Namespace, request: Request, pairs: dict[tuple[str, str], str]
) -> dict[str, Callable[[], dict[str, Any]]]:
    """What each stage does, by name, in order."""
    folder, home = given.work / "photos", given.work / "home"

    def index() -> FolderIndex:
        return folder_index(request, home=home)

    return {
        "bare": lambda: time_bare(request, given.work),
        "index": lambda: time_index(request, home),
        "query": lambda: time_queries(request, index(), count=given.queries),
        "duplicates": lambda: duplicates(index(), pairs),
        "update": lambda: update(request, folder, home, [copy for _, copy in pairs]),
        "command": lambda: time_command(command(given, folder, home), given.commands),
        "killed": lambda: killed(request, given.work, images=given.kill_images, times=given.kills),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--photos", type=Path, required=True, help="folder with real photographs, at any depth"
    )
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--stages", default="", help="names, comma-separated; default: all")
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--planted", type=int, default=200, help="originals with four changed copies each")
    parser.add_argument("--side", type=int, default=128, help="longer side of the real photographs")
    parser.add_argument("--model", default="timm:vit_tiny_patch16_224")
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--queries", type=int, default=100)
    parser.add_argument("--commands", type=int, default=3, help="rounds of the whole command")
    parser.add_argument("--kill-images", type=int, default=2000)
    parser.add_argument("--kills", type=int, default=12)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    folder = given.work / "photos"
    pairs = make_folder(given.photos, folder, images=given.images, planted=given.planted, side=given.side)
    request = Request(
        model=named_network(given.model, say=print),
        images=listed(folder),
        protocol=search_protocol(given.size),
        device=pick_device(given.device),
    )
    every = stages(given, request, pairs)
    for name in [word for word in given.stages.split(",") if word] or list(every):
        facts = {"size": given.size, **every[name]()}
        write_json(given.work / f"stage-{name}.json", facts)
        print(json.dumps({name: facts}, indent=1), flush=True)
    if given.out:
        about = {
            "model": given.model,
            "side": given.side,
            "images": len(request.images),
            "machine": machine(),
            "code": code(),
        }
        write_json(given.out, about | found(given.work, every))


def found(work: Path, names: Iterable[str]) -> dict[str, Any]:
    """What the stages found, and the ratio of index and bare extraction."""
    files = {name: work / f"stage-{name}.json" for name in names}
    kept = {name: json.loads(file.read_text("utf-8")) for name, file in files.items() if file.is_file()}
    if {"bare", "index"} <= set(kept) and kept["bare"]["size"] == kept["index"]["size"]:
        kept["ratio_of_processor_time"] = round(
            kept["index"]["first"]["processor"] / kept["bare"]["processor"], 3
        )
    return kept


if __name__ == "__main__":
    main()

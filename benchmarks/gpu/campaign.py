"""Everything that must be seen once on a GPU, in one call of at most eight minutes that writes one JSON.

    python benchmarks/gpu/campaign.py --out results/gpu/campaign.json
    python benchmarks/gpu/campaign.py --device cpu --tiny --out /tmp/campaign.json

Each part is a script of its own that can be called by hand; here it runs in a process of its own with a time limit. A
part that fails or takes too long leaves its error and the end of its output in the JSON, and the others run on; the
file is written again after each. Needs no network and no data: photographs are drawn, weights are random.
`--tiny` shrinks every part to what a CPU does in seconds; its numbers mean nothing.

The parts: photographs, ceiling (what the card gives at most), equality (descriptors and ranks beside the CPU's), demo,
extraction of three networks from JPEG files beside the bare forward pass, training of DToP and of IRT_R beside the bare
step, exact search, and torch.compile. A training's `mfu` is its rate of operations as a share of `peak_tflops`: the
measured product of large bf16 matrices, or the maker's figure where `--peak-tflops` gives it.
"""

import argparse
import contextlib
import json
import multiprocessing
import os
import runpy
import signal
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch

from vitret.core.runs import code, machine
from vitret.core.store import read_json, write_json

ROOT = Path(__file__).resolve().parents[2]
# Imported once, in a process that touches no GPU; every part starts as a copy of it.
SHARED = ["torch", "vitret.learn.train", "vitret.describe.extract", "vitret.measure.counting"]
SLACK = 3  # times a limit in the tiny form, which runs on busy machines
LOG_END = 4000  # characters of a part's output that are kept


@dataclass(frozen=True, kw_only=True)
class Part:
    """A script below benchmarks/, its arguments, those of the full or the tiny form alone, and its limit in seconds."""

    name: str
    script: str
    words: tuple[str, ...]
    full: tuple[str, ...] = ()
    tiny: tuple[str, ...] = ()
    limit: float


def timm(arch: str, **options: Any) -> str:
    return json.dumps({"name": "timm_model", "arch": arch, "pretrained": False, **options})


def extraction(
    name: str, arch: str, *, head: str, size: int, repeat: int, limit: float, **options: Any
) -> Part:
    words = (
        "--backbone",
        timm(arch, **options),
        "--head",
        head,
        "--size",
        str(size),
        "--repeat",
        str(repeat),
    )
    small = timm("test_resnet" if arch.startswith("resnet") else "test_vit")
    plain = "gem" if arch.startswith("resnet") else "cls"
    return Part(
        name=f"extract {name}",
        script="speed/extract_share.py",
        words=(*words, "--precision", "bf16", "--rounds", "2"),
        tiny=(
            "--backbone",
            small,
            "--head",
            plain,
            "--size",
            "64",
            "--most",
            "8",
            "--rounds",
            "1",
            "--precision",
            "fp32",
        ),
        limit=limit,
    )


DTOP = ("--head", "dtop", "--loss", "arcface", "--classes", "81313", "--policy", "groups", "--size", "448")
IRT_R = (
    *("--head", "cls", "--loss", '["contrastive", {"name": "koleo", "weight": 0.7}]'),
    *("--memory", '{"size": 1.0}', "--sampler", '{"name": "pxk", "k": 4}'),
    *("--policy", "square", "--size", "384"),
)
TIMES = ("--images", "24000", "--block", "20", "--rounds", "2", "--precision", "bf16", "--workers", "12")
SMALL = (
    *("--size", "32", "--batch", "8", "--images", "40", "--classes", "9"),
    *("--block", "2", "--rounds", "1", "--warm", "1", "--precision", "fp32", "--workers", "0"),
)
SMALL_DTOP = '{"name": "dtop", "dim": 16, "aspp_width": 8, "dilations": [1]}'


def parts(folder: Path, device: str) -> list[Part]:
    """What runs, in order; `folder` is empty at first."""
    images, at = str(folder / "photographs"), ("--device", device)
    hybrid = timm("vit_base_r50_s16_384", layers=6)
    found = [
        Part(
            name="photographs",
            script="gpu/photographs.py",
            words=(images,),
            tiny=("--count", "12", "--longer", "128"),
            limit=60,
        ),
        Part(
            name="ceiling",
            script="gpu/ceiling.py",
            words=at,
            tiny=("--side", "128", "--rounds", "3"),
            limit=40,
        ),
        Part(
            name="equality",
            script="gpu/equality.py",
            words=("--images", images, *at),
            tiny=("--tiny", "--most", "6", "--size", "64"),
            limit=75,
        ),
        extraction("ViT-B/16@384", "vit_base_patch16_384", head="cls", size=384, repeat=16, limit=45),
        extraction(
            "R50+ViT-B/16@1024, DToP",
            "vit_base_r50_s16_384",
            head="dtop",
            size=1024,
            repeat=3,
            limit=50,
            layers=6,
        ),
        extraction("ResNet-101@1024", "resnet101", head="gem", size=1024, repeat=8, limit=45),
        Part(
            name="train DToP",
            script="speed/train.py",
            words=("--backbone", hybrid, *DTOP, "--batch", "64", *TIMES),
            tiny=("--backbone", timm("test_vit", layers=2), "--head", SMALL_DTOP, *SMALL),
            limit=110,
        ),
        Part(
            name="train IRT_R",
            script="speed/train.py",
            words=("--backbone", timm("vit_base_patch16_384"), *IRT_R, "--batch", "64", *TIMES),
            tiny=("--backbone", timm("test_vit"), *SMALL),
            limit=80,
        ),
        Part(
            name="search 1,006,322 x 2,048",
            script="gpu/search.py",
            words=("--what", "million", *at),
            tiny=("--rows", "5000", "--dim", "32"),
            limit=60,
        ),
        Part(
            name="demo",
            script="gpu/demo.py",
            words=("--home", str(folder / "home"), *at),
            tiny=("--short",),
            limit=120,
        ),
        Part(
            name="search 60,502² x 384",
            script="gpu/search.py",
            words=("--what", "all-pairs", *at),
            tiny=("--rows", "300", "--dim", "32"),
            limit=90,
        ),
        Part(
            name="compile ViT-B/16@384",
            script="speed/extract_share.py",
            words=("--backbone", timm("vit_base_patch16_384"), "--size", "384"),
            full=("--compile", "--rounds", "2"),
            tiny=(
                "--backbone",
                timm("test_vit"),
                "--size",
                "64",
                "--most",
                "4",
                "--rounds",
                "1",
                "--precision",
                "fp32",
            ),
            limit=90,
        ),
    ]
    return [with_files(part, images, at) for part in found]


def with_files(part: Part, images: str, at: tuple[str, ...]) -> Part:
    """The scripts of `speed/` are told where the photographs are, and the device."""
    if not part.script.startswith("speed/"):
        return part
    files = ("--folder" if part.script == "speed/train.py" else "--images", images)
    return replace(part, words=(*part.words, *files, *at))


def started(script: str, words: list[str], log: str) -> None:
    """In a process of its own: the script as `python script words` would run it, its output in a file."""
    os.setsid()
    with Path(log).open("wb") as file:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)
    path = ROOT / "benchmarks" / script
    sys.path.insert(0, str(path.parent))
    sys.argv = [str(path), *words]
    runpy.run_path(str(path), run_name="__main__")


def ended(process: BaseProcess, limit: float) -> bool:
    """Wait for a part at most `limit` seconds, then end it and all it started; whether it ended by itself."""
    process.join(limit)
    alive = process.is_alive()
    if process.pid is not None:
        with contextlib.suppress(ProcessLookupError):  # its group: loading processes too
            os.killpg(process.pid, signal.SIGKILL)
    process.join()
    return not alive


def outcome(
    part: Part, words: list[str], folder: Path, *, limit: float, context: ForkServerContext
) -> dict[str, Any]:
    """What a part found, or why it found nothing."""
    place, log = folder / f"{len(list(folder.iterdir()))}.json", folder / "log.txt"
    log.unlink(missing_ok=True)
    began = time.monotonic()
    process = context.Process(target=started, args=(part.script, [*words, "--out", str(place)], str(log)))
    process.start()
    by_itself = ended(process, limit)
    found: dict[str, Any] = {"seconds": round(time.monotonic() - began, 2), "limit_seconds": round(limit, 1)}
    if place.is_file():
        return {**found, "result": read_json(place)}
    why = f"ended with code {process.exitcode}" if by_itself else "took longer than its limit"
    text = log.read_text(errors="replace")[-LOG_END:] if log.is_file() else ""
    return {**found, "error": why, "output": text}


def chosen(known: list[Part], only: list[str] | None) -> list[Part]:
    """All parts, or those whose names begin so, and the photographs where one of them needs them."""
    if not only:
        return known
    photographs, *others = known
    found = [part for part in others if part.name.startswith(tuple(only))]
    return [photographs, *found] if any(photographs.words[0] in part.words for part in found) else found


def with_mfu(found: dict[str, Any], peak: float | None) -> None:
    """Add to each training what share of the peak its operations are."""
    measured = found["parts"].get("ceiling", {}).get("result", {}).get("product_tflops")
    for entry in found["parts"].values():
        rate = entry.get("result", {}).get("tflops_of_the_loop")
        if rate is not None and (peak or measured):
            entry["result"]["mfu"] = round(rate / (peak or measured), 4)
    found["peak_tflops"] = peak or measured
    found["peak_from"] = "--peak-tflops" if peak else "the product of two large bf16 matrices, measured"


def about(a: argparse.Namespace) -> dict[str, Any]:
    cuda = a.device.startswith("cuda")
    return {
        "device": torch.cuda.get_device_name() if cuda else "cpu",
        "memory_bytes": torch.cuda.get_device_properties(0).total_memory if cuda else None,
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version() if cuda else None,
        "tiny": a.tiny,
        "began": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "code": code() | ({"commit": a.commit} if a.commit else {}),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="the JSON")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--tiny", action="store_true", help="shrink every part")
    parser.add_argument("--only", action="append", help="a part whose name begins so; repeatable")
    parser.add_argument("--minutes", type=float, default=8.0, help="for everything")
    parser.add_argument("--peak-tflops", type=float, help="the maker's dense bf16 figure, for mfu")
    parser.add_argument("--commit", help="where the source tree has no .git that says it")
    a = parser.parse_args()
    if a.device.startswith("cuda") and not torch.cuda.is_available():
        raise SystemExit(
            f"--device {a.device}: PyTorch {torch.__version__} sees no CUDA device. On a CPU: --device cpu --tiny"
        )
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    os.environ["PYTHONPATH"] = os.pathsep.join(paths)  # of the process that the parts are copies of
    began, found = time.monotonic(), {**about(a), "parts": {}}
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(SHARED)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part in chosen(parts(folder, a.device), a.only):
            words = [*part.words, *(part.tiny if a.tiny else part.full)]
            left = a.minutes * 60 - (time.monotonic() - began)
            if left < 5:
                entry: dict[str, Any] = {"error": "no time was left"}
            else:
                limit = part.limit * (SLACK if a.tiny else 1)
                entry = outcome(part, words, folder, limit=min(limit, left), context=context)
            found["parts"][part.name] = entry
            said = entry.get("error", "done").splitlines()[-1]
            print(f"{part.name}: {said}, {entry.get('seconds', 0)} s", file=sys.stderr, flush=True)
            found["seconds"] = round(time.monotonic() - began, 2)
            with_mfu(found, a.peak_tflops)
            write_json(a.out, found)
    print(a.out)
    sys.exit(4 if any("error" in entry for entry in found["parts"].values()) else 0)


if __name__ == "__main__":
    main()

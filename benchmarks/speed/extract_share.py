"""What share of the bare forward rate an extraction from files reaches, and what the decoder alone could give.

    python benchmarks/speed/extract_share.py --images ../shared/data/minilandmarks/jpg --most 24 --threads 1
    python benchmarks/speed/extract_share.py --images FOLDER --repeat 16 --device cuda --size 1024 --head gem \\
        --backbone '{"name": "timm_model", "arch": "resnet101", "pretrained": false}'

Four things take turns, `--rounds` times, over the same images in the same batches:
  extraction  `vitret.describe.extract.extract`: headers, reading, decoding, resizing, normalising, network, rows
  bare        the network alone, in the same arithmetic, on normalised pixels that lie on the device already
  decoder     headers, reading, decoding and resizing alone, on as many threads as the extraction has
  once        what an extraction of any number of images does once: the digest of its network, batch norms folded
The share is that of the whole extraction; beside it stands the share without what is done once, as a large set has it.
On a CPU a time is processor time (all threads of the process), which other programs on the machine hardly move; the
time on the clock stands beside it. On a GPU it is time on the clock, after everything queued is done. Prints JSON.
"""

import argparse
import json
import os
import statistics
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vitret.core.networks import ModelSpec
from vitret.core.protocol import Protocol
from vitret.core.records import Images
from vitret.core.runs import code, machine
from vitret.core.store import write_json
from vitret.data import images as decoding
from vitret.describe.devices import cast, pick_device, pick_precision, rounded_products
from vitret.describe.extract import LARGEST_BATCH, PIXELS, extract
from vitret.describe.folding import folded
from vitret.describe.framing import Frame, frame_finder, load, padded, stacked
from vitret.describe.request import Request, extraction_key
from vitret.models.model import Retriever, build_model

TIMM = '{"name": "timm_model", "arch": "%s", "pretrained": false}'


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What is timed: the request, and how many threads read files or run the network on a CPU."""

    request: Request
    model: Retriever
    precision: str
    threads: int

    @property
    def device(self) -> torch.device:
        return self.request.device


def batches(setting: Setting) -> list[tuple[Frame, list[int]]]:
    """Rows of equal final size together, as many as an extraction puts into a batch."""
    request = setting.request
    find = frame_finder(request.images, request.protocol, patch=setting.model.patch)
    groups: dict[Frame, list[int]] = {}
    for row in range(len(request.images)):
        groups.setdefault(find(row), []).append(row)
    found = []
    for frame, rows in groups.items():
        pixels = PIXELS[setting.device.type] // (frame.final[0] * frame.final[1])
        count = min(max(pixels, 1), LARGEST_BATCH)
        found += [(frame, rows[i : i + count]) for i in range(0, len(rows), count)]
    return found


def ready_pixels(setting: Setting) -> list[Tensor]:
    """The normalised batches (B, 3, H, W) float32 on the device, channels-last as in an extraction."""
    request, found = setting.request, []
    with ThreadPoolExecutor(setting.threads) as pool:
        for frame, rows in batches(setting):
            one = partial(load, request.images, plan=frame, protocol=request.protocol)
            pixels = stacked(list(pool.map(one, rows)))
            normalised = padded(setting.model.normalised(pixels.to(setting.device)), frame.final)
            found.append(normalised.contiguous(memory_format=torch.channels_last))
    return found


@torch.inference_mode()
def bare(setting: Setting, pixels: list[Tensor], model: torch.nn.Module) -> None:
    """The network on every batch; on a CPU one batch a thread, as an extraction has it."""
    convolutional = setting.model.patch == 1

    def run(batch: Tensor) -> Tensor:
        with (
            torch.inference_mode(),
            cast(setting.precision, setting.device, convolutional=convolutional),
        ):
            found: Tensor = model(batch)
            return found

    if setting.device.type != "cpu":
        torch.cat([run(batch) for batch in pixels]).cpu()
        return
    with (
        rounded_products(setting.precision, setting.device, convolutional=convolutional),
        ThreadPoolExecutor(setting.threads, initializer=torch.set_num_threads, initargs=(1,)) as pool,
    ):
        list(pool.map(run, pixels))


def decoder(setting: Setting) -> None:
    request = setting.request
    find = frame_finder(request.images, request.protocol, patch=setting.model.patch)
    with ThreadPoolExecutor(setting.threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        # Nothing is kept: the pixels of a large set would not fit.
        for _ in pool.map(
            lambda row: load(request.images, row, find(row), request.protocol) is None,
            range(len(request.images)),
        ):
            pass


@torch.inference_mode()
def once(setting: Setting) -> None:
    extraction_key(setting.request)
    folded(setting.model)


def timed(run: Callable[[], object], device: torch.device) -> dict[str, float]:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    clock, processor = time.perf_counter(), time.process_time()
    run()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return {"clock": time.perf_counter() - clock, "processor": time.process_time() - processor}


def measured(setting: Setting, rounds: int, *, compiled: bool) -> dict[str, Any]:
    """Medians of the rounds, and the ratios."""
    device, images = setting.device, len(setting.request.images)
    network = folded(setting.model)
    pixels = ready_pixels(setting)
    ways: dict[str, Callable[[], object]] = {
        "extraction": lambda: extract(setting.request),
        "bare": lambda: bare(setting, pixels, network),
        "decoder": lambda: decoder(setting),
        "once": lambda: once(setting),
    }
    if compiled:
        faster = torch.compile(network)
        ways["bare, compiled"] = lambda: bare(setting, pixels, faster)
    times: dict[str, list[dict[str, float]]] = {name: [] for name in ways}
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    for number in range(rounds + 1):  # the first round warms up
        for name, run in ways.items():
            took = timed(run, device)
            times[name] += [took] if number else []
    which = "clock" if device.type == "cuda" else "processor"
    middle = {name: statistics.median(t[which] for t in found) for name, found in times.items()}
    clock = {name: statistics.median(t["clock"] for t in found) for name, found in times.items()}
    shares, later = [], []
    for bare_took, took, once_took in zip(times["bare"], times["extraction"], times["once"], strict=True):
        shares.append(bare_took[which] / took[which])
        later.append(bare_took[which] / (took[which] - once_took[which]))
    reads = f"{'simplejpeg' if decoding.simplejpeg else 'Pillow'} on {setting.threads} threads"
    return {
        "images": images,
        "time": which,
        "seconds": {name: round(value, 4) for name, value in middle.items()},
        "images_per_second_on_the_clock": {name: round(images / value, 2) for name, value in clock.items()},
        "share_of_bare": round(statistics.median(shares), 4),
        "share_of_bare_without_once": round(statistics.median(later), 4),
        "sizes": Counter("×".join(map(str, frame.final)) for frame, rows in batches(setting) for _ in rows),
        "share_of_bare_of_each_round": [round(value, 4) for value in shares],
        "decoder": reads,
        "limit": f"decoder ({reads})"
        if device.type != "cpu" and clock["decoder"] > clock["bare"]
        else "network",
        "peak_memory_bytes": torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None,
    }


def setting_of(a: argparse.Namespace) -> Setting:
    device = pick_device(a.device)
    names = sorted(path.name for path in a.images.glob("*.jpg"))
    if not names:
        raise SystemExit(f"--images {a.images}: there is no .jpg file. Name a folder that holds some.")
    if a.most:
        names = names[:: -(-len(names) // a.most)]
    torch.manual_seed(0)
    model = build_model(ModelSpec.model_validate({"backbone": json.loads(a.backbone), "head": a.head})).eval()
    request = Request(
        model=model.to(device),
        images=Images.of(a.images, names * a.repeat),
        protocol=Protocol(size=a.size, decode=a.decode),
        device=device,
        precision=a.precision,
        workers=a.workers,
    )
    threads = torch.get_num_threads() if device.type == "cpu" else a.workers or min(os.cpu_count() or 1, 16)
    return Setting(
        request=request, model=model, precision=pick_precision(a.precision, device), threads=threads
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=Path, required=True, help="a folder of .jpg files")
    parser.add_argument("--repeat", type=int, default=1, help="how many times the folder is taken")
    parser.add_argument("--most", type=int, help="so many files at most, spread over the folder")
    parser.add_argument("--backbone", default=TIMM % "vit_tiny_patch16_224", help="a part, as JSON")
    parser.add_argument("--head", default="cls")
    parser.add_argument("--size", type=int, default=384)
    parser.add_argument("--decode", default="full", choices=("full", "scaled"))
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--threads", type=int, help="of PyTorch; on a CPU these run the extraction")
    parser.add_argument("--workers", type=int, help="decoding threads beside a GPU")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--compile", action="store_true", help="time torch.compile's network too")
    parser.add_argument("--out", type=Path, help="write the JSON here too")
    a = parser.parse_args()
    if a.threads:
        torch.set_num_threads(a.threads)
    setting = setting_of(a)
    found = {
        "what": {k: str(v) if isinstance(v, Path) else v for k, v in vars(a).items() if k != "out"},
        "precision": setting.precision,
        **measured(setting, a.rounds, compiled=a.compile),
        "device": torch.cuda.get_device_name(setting.device) if setting.device.type == "cuda" else "cpu",
        "machine": machine(),
        "code": code(),
    }
    print(json.dumps(found, indent=1))
    if a.out is not None:
        write_json(a.out, found)


if __name__ == "__main__":
    main()

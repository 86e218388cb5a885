"""Extraction beside the plain loop (batch 1, fp32, Pillow), both in one run on one machine, with the mAP of both.

    python benchmarks/speed/extract.py --data ../shared/data [--device cuda] [--out results/speed/extract.json]

The loop is what a first script looks like: open, crop, resize with Pillow, normalise, one forward, one at a time. The
two take turns, `--rounds` times, because a shared machine changes its speed by the minute; each round gives a ratio.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from vitret.core.networks import ModelSpec, Part
from vitret.core.protocol import Protocol
from vitret.core.records import Descriptors, EvalSet, Images
from vitret.core.runs import code, machine
from vitret.core.store import write_json
from vitret.data.formats.revisited import read_revisited
from vitret.describe.devices import pick_device, pick_precision
from vitret.describe.extract import extract
from vitret.describe.framing import frame
from vitret.describe.request import Request
from vitret.measure.evaluate import evaluate
from vitret.measure.reranking_shortlist import Evidence
from vitret.models.model import Retriever, build_model

NETWORKS = (("vit_tiny_patch16_224", Part(name="cls"), 384), ("tf_efficientnet_lite0", Part(name="gem"), 448))
LEVELS = ("easy", "medium", "hard")


def minilandmarks(folder: Path) -> EvalSet:
    truth = read_revisited(folder / "gnd_minilandmarks.json")
    return EvalSet(
        name="minilandmarks",
        queries=Images.of(folder / "jpg", [f"{name}.jpg" for name in truth.queries], truth.boxes),
        database=Images.of(folder / "jpg", [f"{name}.jpg" for name in truth.database]),
        truth=truth.judgements,
    )


def plain_loop(model: Retriever, images: Images, protocol: Protocol, device: torch.device) -> Descriptors:
    rows = []
    mean, std = (torch.tensor(v, device=device).view(3, 1, 1) for v in (model.mean, model.std))
    with torch.no_grad():
        for i in range(len(images)):
            image = Image.open(images.file(i)).convert("RGB")
            box = images.box(i)
            size = frame((image.height, image.width), box, protocol, patch=model.patch).final
            if box is not None:
                image = image.crop(tuple(round(v) for v in box))
            image = image.resize(size[::-1], Image.Resampling.BICUBIC)
            pixels = torch.from_numpy(np.array(image)).to(device).permute(2, 0, 1).contiguous()
            rows.append(model(((pixels.float() / 255 - mean) / std)[None])[0].cpu().numpy())
    return Descriptors(rows=np.stack(rows))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder with minilandmarks/ and weights/")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    device = pick_device(given.device)
    evalset = minilandmarks(given.data / "minilandmarks")
    count = len(evalset.queries) + len(evalset.database)
    found = {}
    for arch, head, size in NETWORKS:
        weights = str(given.data / "weights" / f"{arch}.safetensors")
        backbone = Part(name="timm_model", options={"arch": arch, "weights": weights})
        model = build_model(ModelSpec(backbone=backbone, head=head)).eval().to(device)
        protocol = Protocol(size=size)

        def ours(images: Images, model: Retriever = model, protocol: Protocol = protocol) -> Descriptors:
            request = Request(
                model=model,
                images=images,
                protocol=protocol,
                device=device,
                precision=given.precision,
                workers=given.workers,
            )
            return extract(request)

        def plain(images: Images, model: Retriever = model, protocol: Protocol = protocol) -> Descriptors:
            return plain_loop(model, images, protocol, device)

        seconds: dict[str, list[float]] = {"plain": [], "ours": []}
        maps: dict[str, dict[str, float]] = {}
        few = evalset.database.take(np.arange(8))
        for run in (plain, ours):
            run(few)
        for _ in range(given.rounds):
            for name, run in (("plain", plain), ("ours", ours)):
                start = time.perf_counter()
                queries, database = run(evalset.queries), run(evalset.database)
                seconds[name].append(time.perf_counter() - start)
                evidence = Evidence.of(queries, database)
                measured = evaluate(evidence, evalset, protocol=protocol, metrics=["mAP"])
                maps[name] = {level: round(100 * measured.mean(level, "mAP"), 2) for level in LEVELS}
        ratios = sorted(p / o for p, o in zip(seconds["plain"], seconds["ours"], strict=True))
        found[f"{arch} {head.name} {size}"] = {
            "images": count,
            "protocol": protocol.line(),
            "precision": pick_precision(given.precision, device),
            "images_per_second": {name: round(count / min(s), 1) for name, s in seconds.items()},
            "seconds": {name: [round(v, 2) for v in s] for name, s in seconds.items()},
            "ratio_median": round(ratios[len(ratios) // 2], 2),
            "ratio_of_best": round(min(seconds["plain"]) / min(seconds["ours"]), 2),
            "map_percent": maps,
        }
        print(json.dumps(found[f"{arch} {head.name} {size}"], indent=1), flush=True)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    about = {
        "device": name,
        "threads": given.threads,
        "machine": machine(),
        "code": code(),
        "networks": found,
    }
    if given.out:
        write_json(given.out, about)


if __name__ == "__main__":
    main()

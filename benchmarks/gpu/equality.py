"""Whether a card gives the descriptors and the ranks that the CPU gives.

    python benchmarks/gpu/equality.py --images FOLDER --device cuda

Descriptors: networks of random weights, each in fp32 on the CPU beside the card in fp32, bf16 and fp16: smallest and
mean cosine, largest difference of a number, at how many queries the nearest neighbour is another one (every image is
asked about among the others), and whether a second extraction on the card gives the same bytes. Ranks: one set of
descriptors searched and counted by numpy on the CPU and by torch on the card; these must be the same to the last bit,
whatever the card multiplies in.
"""

import argparse
import json
import traceback
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vitret.core.errors import VitretError
from vitret.core.networks import ModelSpec
from vitret.core.protocol import Protocol
from vitret.core.records import Images, Ragged, Truth
from vitret.describe.devices import pick_device
from vitret.describe.extract import extract
from vitret.describe.request import Request
from vitret.measure.counting import count_ranks
from vitret.measure.search import search
from vitret.models.model import Retriever, build_model

FULL = {
    "ViT-S/16": ("vit_small_patch16_224", "cls"),
    "ResNet-50": ("resnet50", "gem"),
    "EfficientNet-Lite0": ("tf_efficientnet_lite0", "gem"),
    "R26+ViT-S/32, DToP": ("vit_small_r26_s32_224", {"name": "dtop", "dim": 256}),
}
TINY = {"test_vit": ("test_vit", "cls"), "test_efficientnet": ("test_efficientnet", "gem")}


def network(arch: str, head: Any) -> Retriever:
    layers = 2 if isinstance(head, dict) else 1
    backbone = {"name": "timm_model", "arch": arch, "pretrained": False, "layers": layers}
    torch.manual_seed(0)
    return build_model(ModelSpec.model_validate({"backbone": backbone, "head": head})).eval()


def described(model: Retriever, images: Images, *, size: int, device: torch.device, precision: str) -> Any:
    request = Request(
        model=model, images=images, protocol=Protocol(size=size), device=device, precision=precision
    )
    return extract(request).rows


def compared(given: np.ndarray, found: np.ndarray) -> dict[str, float]:
    """How far descriptors (n, D) lie from those of the CPU, and how many queries have another nearest neighbour."""
    cosines = (given.astype(np.float64) * found).sum(axis=1)

    def nearest(rows: np.ndarray) -> np.ndarray:
        scores = rows @ rows.T
        np.fill_diagonal(scores, -np.inf)
        return scores.argmax(axis=1)

    return {
        "cosine_least": float(cosines.min()),
        "cosine_mean": float(cosines.mean()),
        "largest_difference": float(np.abs(given - found).max()),
        "other_nearest_neighbours": int((nearest(given) != nearest(found)).sum()),
        "images": len(given),
    }


def descriptors(images: Images, networks: Any, *, size: int, device: torch.device) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, (arch, head) in networks.items():
        model = network(arch, head)
        given = described(model, images, size=size, device=torch.device("cpu"), precision="fp32")
        found[name] = {}
        for precision in ("fp32", "bf16") if device.type == "cpu" else ("fp32", "bf16", "fp16"):
            try:
                rows = described(model, images, size=size, device=device, precision=precision)
                again = described(model, images, size=size, device=device, precision=precision)
                same = bool(np.array_equal(rows, again))
                found[name][precision] = {**compared(given, rows), "same_bytes_again": same}
            except (RuntimeError, VitretError):  # one that fails must not take the others with it
                found[name][precision] = {"error": traceback.format_exc()}
    return found


def ranks(*, queries: int, rows: int, dim: int, device: torch.device) -> dict[str, Any]:
    """The same search and the same counts by numpy and by torch on the card; true where no bit differs."""
    rng = np.random.default_rng(0)
    database = rng.standard_normal((rows, dim)).astype(np.float16)
    database[rows // 2 :: 7] = database[0]  # ties, which the index decides
    asked = rng.standard_normal((queries, dim)).astype(np.float32)
    judged = Ragged.of([np.sort(rng.choice(rows, 20, replace=False)) for _ in range(queries)])
    truth = Truth(judgements={"positive": judged})
    k = min(100, rows)
    one, two = (
        search(asked, database, k=k, engine=engine, device=str(device) if engine == "torch" else None)
        for engine in ("numpy", "torch")
    )
    counts = [
        count_ranks(asked, database, truth, engine=engine, device=str(device) if engine == "torch" else None)
        for engine in ("numpy", "torch")
    ]
    return {
        "same_indices": bool(np.array_equal(one.indices, two.indices)),
        "same_scores": bool(np.array_equal(one.scores.view(np.int32), two.scores.view(np.int32))),
        "same_counts": all(np.array_equal(counts[0][key].values, counts[1][key].values) for key in counts[0]),
        "queries": queries,
        "database": rows,
        "dim": dim,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=Path, required=True, help="a folder of .jpg files")
    parser.add_argument("--most", type=int, default=48)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--tiny", action="store_true", help="networks of a few thousand weights")
    parser.add_argument("--out", type=Path, help="write the JSON here too")
    a = parser.parse_args()
    device = pick_device(a.device)
    names = sorted(path.name for path in a.images.glob("*.jpg"))[: a.most]
    images = Images.of(a.images, names)
    large = (
        {"queries": 4, "rows": 2000, "dim": 64} if a.tiny else {"queries": 70, "rows": 100_000, "dim": 512}
    )
    found = {
        "ranks": ranks(**large, device=device),
        "descriptors": descriptors(images, TINY if a.tiny else FULL, size=a.size, device=device),
    }
    print(json.dumps(found, indent=1))
    if a.out is not None:
        a.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()

"""Photographs of the synthetic town in the size and weight of a camera's, for the parts that read JPEG files.

    python benchmarks/gpu/photographs.py FOLDER --count 240 --longer 1024

They are drawn small, as the town's sets are, then enlarged and given grain: a file decodes at a photograph's cost.
"""

import argparse
import io
import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from vitret.minitown.draw import draw
from vitret.minitown.world import plan_clusters

A_QUARTER = 40  # four clusters of about ten photographs each


def enlarged(jpeg: bytes, path: Path, *, longer: int, seed: int) -> int:
    """Write one photograph; its size in bytes."""
    small = Image.open(io.BytesIO(jpeg)).convert("RGB")
    scale = longer / max(small.size)
    large = small.resize((round(small.width * scale), round(small.height * scale)), Image.Resampling.BICUBIC)
    pixels = np.asarray(large, np.float32)
    pixels = pixels + np.random.default_rng(seed).normal(0, 4, pixels.shape[:2]).astype(np.float32)[..., None]
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path, quality=90)
    return path.stat().st_size


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=240)
    parser.add_argument("--longer", type=int, default=1024, help="side in pixels")
    parser.add_argument("--out", type=Path, help="write the JSON here too")
    a = parser.parse_args()
    a.folder.mkdir(parents=True, exist_ok=True)
    plan = plan_clusters(0, quarters=max(3, -(-a.count // A_QUARTER)), photos=A_QUARTER // 4)
    photos = plan.photos[: a.count]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        writing = [
            pool.submit(enlarged, jpeg, a.folder / f"{i:05}.jpg", longer=a.longer, seed=i)
            for i, (_, jpeg) in enumerate(sorted(draw(photos)))
        ]
        sizes = [done.result() for done in writing]
    found = {"photographs": len(sizes), "longer_side": a.longer, "mean_bytes": round(float(np.mean(sizes)))}
    print(json.dumps(found))
    if a.out is not None:
        a.out.write_text(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()

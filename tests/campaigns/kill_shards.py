"""Two shares of one extraction, killed with SIGKILL at random moments until both are done; then the bytes.

    python -m tests.campaigns.kill_shards --kills 20

Each process starts as a copy of one that has its network ready, so that all of its life is extraction.
"""

import argparse
import multiprocessing
import os
import random
import signal
import sys
import tempfile
import time
from multiprocessing.process import BaseProcess
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from vitret.core.networks import ModelSpec
from vitret.core.protocol import Protocol
from vitret.core.records import Images
from vitret.core.shares import Share
from vitret.describe.extract import extract, extract_share, join_shares
from vitret.describe.request import Request
from vitret.models.model import build_model

BLOCK = 8
SHARES = 2


def request(folder: Path, count: int) -> Request:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    spec = {"backbone": {"name": "timm_model", "arch": "test_vit", "pretrained": False}, "head": "gem"}
    return Request(
        model=build_model(ModelSpec.model_validate(spec)).eval(),
        images=Images.of(folder, [f"{i}.jpg" for i in range(count)]),
        protocol=Protocol(size=96),
        device=torch.device("cpu"),
        precision="fp32",
    )


def draw(folder: Path, count: int) -> None:
    rng = np.random.default_rng(0)
    for i in range(count):
        small = Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8))
        small.resize((96, 64) if i % 3 else (64, 96)).save(folder / f"{i}.jpg")


def share(asked: Request, index: int, out: Path) -> None:
    extract_share(asked, Share(index, SHARES), out=out, block=BLOCK)


def count(out: Path) -> int:
    """How many pieces there are."""
    return len(list(out.with_name(f"{out.name}.pieces").rglob("*.npz")))


def wait_for(out: Path, pieces: int, started: list[BaseProcess]) -> None:
    """Until there are so many pieces, or no process is left that could make them."""
    while count(out) < pieces and any(process.is_alive() for process in started):
        time.sleep(0.01)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--images", type=int, default=400)
    parser.add_argument("--longest", type=float, default=0.3, help="seconds that a kill comes after a piece")
    parser.add_argument("--seed", type=int, default=0)
    a = parser.parse_args()
    dice, context = random.Random(a.seed), multiprocessing.get_context("fork")
    with tempfile.TemporaryDirectory() as name:
        folder, killed, pieces = Path(name), 0, []
        draw(folder, a.images)
        one, out = folder / "one.npy", folder / "rows.npy"
        asked = request(folder, a.images)
        while killed < a.kills:
            started = [context.Process(target=share, args=(asked, index, out)) for index in range(SHARES)]
            for process in started:
                process.start()
            wait_for(out, count(out) + dice.randrange(5), started)
            time.sleep(dice.uniform(0, a.longest))
            for process in started:
                if process.is_alive() and process.pid is not None:
                    os.kill(process.pid, signal.SIGKILL)
                    killed += 1
                process.join()
            pieces.append(count(out))
            print(f"{killed} kills, {pieces[-1]} pieces", flush=True)
            if all(process.exitcode == 0 for process in started):
                break
        for index in range(SHARES):
            share(asked, index, out)
        joined = join_shares(asked, SHARES, out=out, block=BLOCK)
        extract(asked, out=one, block=BLOCK)  # last: before it no thread has run that a copy would miss
        same = joined is not None and out.read_bytes() == one.read_bytes()
    print(f"{killed} kills, pieces after each round {pieces}, same bytes: {same}")
    sys.exit(0 if same and killed >= a.kills else 1)


if __name__ == "__main__":
    main()

"""Memory of each process that learns a part of the class centres, and the seconds of a step of the loss.

    torchrun --nproc-per-node 2 benchmarks/speed/split_classes.py --classes 200000

`--classes` are those of one process: with two processes ArcFace has twice as many. Each step is forward, backward and
AdamW over `--batch` descriptors. Memory is the resident memory of the process beyond what it had before the loss was
made: while the centres are drawn, and after the steps, beside the four numbers that AdamW keeps for each. Prints JSON.
"""

import argparse
import json
import resource
import time
from pathlib import Path
from statistics import median
from typing import Any

import torch

from vitret.core import plugins
from vitret.core.runs import code, machine
from vitret.core.store import write_json
from vitret.learn import distributed
from vitret.learn.split_classes import split_size


def resident() -> int:
    """MiB of this process that are in memory now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() // 2**20


def stepped(given: argparse.Namespace) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(0)
    rows = torch.nn.functional.normalize(torch.randn(given.batch, given.dim, generator=generator))
    classes = given.classes * distributed.world()
    labels = torch.randint(classes, (given.batch,), generator=generator)
    before = resident()
    loss = plugins.build("losses", "arcface", given.dim, classes, split=True)
    drawn = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024 - before
    optimiser = torch.optim.AdamW(loss.parameters(), lr=1e-3)
    seconds = []
    for _ in range(given.steps):
        began = time.process_time()
        descriptors = rows.clone().requires_grad_()
        optimiser.zero_grad()
        loss(descriptors, labels).backward()
        optimiser.step()
        seconds.append(time.process_time() - began)
    return {
        "classes_of_this_process": len(loss.weight),
        "kept_numbers_MiB": 16 * split_size(loss.parameters()) // 2**20,
        "resident_MiB": resident() - before,
        "peak_while_drawing_MiB": drawn,
        "peak_MiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024 - before,
        "processor_seconds_a_step": round(median(seconds), 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--classes", type=int, default=200_000)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    with distributed.joined(torch.device("cpu")):
        every = distributed.from_all(stepped(given))
        if distributed.rank() == 0:
            asked = {name: getattr(given, name) for name in ("classes", "dim", "batch", "steps")}
            about = {**asked, "processes": every, "machine": machine(), "code": code()}
            print(json.dumps(about, indent=1))
            if given.out:
                write_json(given.out, about)


if __name__ == "__main__":
    main()

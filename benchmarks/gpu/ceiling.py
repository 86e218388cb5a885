"""What the card gives at most: an 8192³ product in bf16, and a copy in its memory, timed with the card's own clock.

    python benchmarks/gpu/ceiling.py --device cuda

What a network reaches is a share of the product's rate. Random numbers, never zeros: cards multiply those faster.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch


def seconds(run: Callable[[], object], device: torch.device, rounds: int) -> float:
    """The median of some rounds, after three that warm up."""
    for _ in range(3):
        run()
    found = []
    for _ in range(rounds):
        if device.type == "cuda":
            began, ended = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            began.record()
            run()
            ended.record()
            ended.synchronize()
            found.append(began.elapsed_time(ended) / 1000)
        else:
            clock = time.perf_counter()
            run()
            found.append(time.perf_counter() - clock)
    return statistics.median(found)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--side", type=int, default=8192, help="of the matrices")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--out", type=Path, help="write the JSON here too")
    a = parser.parse_args()
    device = torch.device(a.device)
    one, two = (torch.randn(a.side, a.side, device=device, dtype=torch.bfloat16) for _ in range(2))
    product = seconds(lambda: one @ two, device, a.rounds)
    source = torch.randn(a.side, a.side, 4, device=device)
    target = torch.empty_like(source)
    copy = seconds(lambda: target.copy_(source), device, a.rounds)
    found = {
        "product_tflops": round(2 * a.side**3 / product / 1e12, 3),
        # Every byte is read once and written once.
        "copy_gigabytes_per_second": round(2 * source.numel() * source.element_size() / copy / 1e9, 2),
        "side": a.side,
    }
    print(json.dumps(found, indent=1))
    if a.out is not None:
        a.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()

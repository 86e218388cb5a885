"""Exact search on the card beside the bare product: a million distractors, and all images of SOP's size as queries.

    python benchmarks/gpu/search.py --device cuda

`counted` is `vitret.measure.counting.count_ranks` on arrays in the host's memory. `product` is the matrix product of
the same blocks in float32 on the card, database resident; `from host` is that product with the copies to the card.
Descriptors are random unit rows, float16 for the million, float32 for the other; positives lie near their query.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from vitret.core.records import Ragged, Truth
from vitret.measure.counting import count_ranks

BLOCK = 65536


def unit_rows(rows: int, dim: int, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    """(rows, dim) on the host, drawn on the device."""
    found = torch.empty(rows, dim, dtype=dtype)
    generator = torch.Generator(device).manual_seed(0)
    for start in range(0, rows, BLOCK):
        count = min(BLOCK, rows - start)
        drawn = torch.randn(count, dim, device=device, generator=generator)
        found[start : start + count] = functional.normalize(drawn, dim=1).to("cpu", dtype)
    return found


def million(rows: int, dim: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor, Truth]:
    """70 queries with 80 judged images each, at all distances."""
    database = unit_rows(rows, dim, torch.float16, device)
    queries = unit_rows(70, dim, torch.float32, device).roll(1, dims=1)
    each = min(80, rows // 70)
    near = torch.rand(70 * each, 1, generator=torch.Generator().manual_seed(1))
    judged = database[: 70 * each].float() + near * queries.repeat_interleave(each, dim=0)
    database[: 70 * each] = functional.normalize(judged, dim=1).half()
    parts = [np.arange(q * each, (q + 1) * each) for q in range(70)]
    kinds = {"easy": slice(0, each // 2), "hard": slice(each // 2, each - 2), "junk": slice(each - 2, each)}
    truth = Truth(judgements={k: Ragged.of([part[cut] for part in parts]) for k, cut in kinds.items()})
    return queries, database, truth


def all_pairs(rows: int, dim: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor, Truth]:
    """Classes of five; each image is a query whose positives are the other four and whose junk is itself."""
    database = unit_rows(rows, dim, torch.float32, device)
    classes = torch.arange(rows) // 5
    centres = database[classes * 5 % rows].clone()
    database = functional.normalize(database + centres, dim=1)
    of = [np.arange(c * 5, min(c * 5 + 5, rows)) for c in range(-(-rows // 5))]
    positive = Ragged.of([of[i // 5][of[i // 5] != i] for i in range(rows)])
    junk = Ragged.of([np.array([i]) for i in range(rows)])
    return database, database, Truth(judgements={"positive": positive, "junk": junk})


def product(queries: torch.Tensor, database: torch.Tensor, device: torch.device) -> torch.Tensor:
    """The largest score of each query (Q,): the product, and no more than must be read of it."""
    best = torch.full((len(queries),), -2.0, device=device)
    asked = queries.to(device)
    for some in torch.split(database, BLOCK):
        part = some.to(device, non_blocking=True).float()
        for start in range(0, len(asked), 4096):
            scores = asked[start : start + 4096] @ part.T
            best[start : start + 4096] = torch.maximum(best[start : start + 4096], scores.amax(dim=1))
    return best


def timed(run: Callable[[], object], device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    began = time.perf_counter()
    run()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - began


def resident(queries: torch.Tensor, database: torch.Tensor, device: torch.device) -> float:
    """Seconds of the product on a database that lies on the card, and no longer than this call."""
    return timed(lambda: product(queries, database, device), device)


def measured(name: str, rows: int, dim: int, device: torch.device) -> dict[str, Any]:
    make = {"million": million, "all-pairs": all_pairs}[name]
    queries, database, truth = make(rows, dim, device)
    product(queries, database[:BLOCK], device)  # chooses kernels, allocates
    on_card = resident(queries, database.to(device), device)
    found = {
        "queries": len(queries),
        "database": rows,
        "dim": dim,
        "dtype": str(database.dtype).removeprefix("torch."),
        "seconds_product": round(on_card, 4),
        "seconds_product_from_host": round(timed(lambda: product(queries, database, device), device), 4),
    }
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    arrays = queries.numpy(), database.numpy()
    counted = timed(lambda: count_ranks(*arrays, truth, engine="torch", device=str(device)), device)
    found["seconds_counted"] = round(counted, 4)
    found["counted_over_product_from_host"] = round(counted / found["seconds_product_from_host"], 3)
    if device.type == "cuda":
        found["peak_memory_bytes"] = torch.cuda.max_memory_allocated(device)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--what", choices=("million", "all-pairs"), default="million")
    parser.add_argument("--rows", type=int, help="default: 1,006,322, or 60,502 for all pairs")
    parser.add_argument("--dim", type=int, help="default: 2,048, or 384 for all pairs")
    parser.add_argument("--out", type=Path, help="write the JSON here too")
    a = parser.parse_args()
    rows, dim = (1_006_322, 2048) if a.what == "million" else (60_502, 384)
    found = measured(a.what, a.rows or rows, a.dim or dim, torch.device(a.device))
    print(json.dumps(found, indent=1))
    if a.out is not None:
        a.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()

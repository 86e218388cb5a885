"""What one image costs a network under a protocol on this machine, measured in seconds and kept.

$VITRET_HOME/costs/<digest>.json. The weights do not count: what is kept is of an architecture, a protocol's sizes and
scales, a device and its arithmetic.
"""

from __future__ import annotations

import contextlib
import itertools
import platform
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vitret.core.config import validate
from vitret.core.cost import NetworkCost
from vitret.core.errors import VitretError
from vitret.core.protocol import Protocol
from vitret.core.store import digest, read_json, write_json
from vitret.describe.devices import cast, device_label, pick_precision, rounded_products
from vitret.describe.extract import LARGEST_BATCH, PIXELS, convolutional, evaluating
from vitret.describe.folding import folded
from vitret.describe.framing import frame
from vitret.describe.scales import describe, scaled_sides
from vitret.models.flops import Flops, count_flops
from vitret.models.memory import AliveBytes
from vitret.models.model import Retriever, without_weights

# Raise it when a change here changes what a number means.
VERSION = 1
# A photograph of the usual shape, larger than any protocol's size; its (height, width) where a protocol keeps sizes.
PHOTOGRAPH, AS_STORED = (3072, 4096), (768, 1024)
# Passes and seconds of one timing: the fewest that a percentile needs, and no more than patience allows.
FEWEST, MOST, SECONDS = 3, 30, 1.0
# A larger batch must be so much faster to be worth trying one that is larger still.
BETTER = 1.05


def network_cost(
    model: Retriever, protocol: Protocol, *, device: torch.device, precision: str, home: Path
) -> NetworkCost:
    """The cost of an image for a network, read from `home` if it was measured before, else measured and left there.

    The image is a photograph of 3 to 4, as the protocol would make it.
    """
    height, width = photograph_size(protocol, patch=model.patch)
    precision = pick_precision(precision, device)
    key: dict[str, Any] = {
        "version": VERSION,
        "model": without_weights(model.spec).model_dump(mode="json"),
        "size": [height, width],
        "scales": list(protocol.scales),
        "aggregation": protocol.aggregation,
        "device": device_name(device),
        "precision": precision,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }
    place = home / "costs" / f"{digest(key)[:16]}.json"
    known = _known(place)
    if known is not None:
        return known
    found = measure(model, protocol, device=device, precision=precision)
    write_json(place, {"key": key, "cost": found.model_dump(mode="json")})
    return found


def _known(place: Path) -> NetworkCost | None:
    """What is kept; a damaged file is made again."""
    if not place.is_file():
        return None
    try:
        value = read_json(place)
        return validate(NetworkCost, value["cost"] if isinstance(value, dict) else {}, str(place))
    except (VitretError, KeyError):
        return None


def photograph_size(protocol: Protocol, *, patch: int) -> tuple[int, int]:
    """(height, width) of a photograph of 3 to 4 as a protocol makes it.

    >>> photograph_size(Protocol(size=1024), patch=16)
    (768, 1024)
    """
    stored = AS_STORED if protocol.size_rule == "none" else PHOTOGRAPH
    return frame(stored, None, protocol, patch=patch).final


def device_name(device: torch.device) -> str:
    """The device as its maker calls it, as far as it can be known."""
    if device.type != "cpu":
        return device_label(device)
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def measure(model: Retriever, protocol: Protocol, *, device: torch.device, precision: str) -> NetworkCost:
    """Count and time a network on images of noise; some seconds."""
    height, width = photograph_size(protocol, patch=model.patch)
    flops = _flops(model, protocol, height=height, width=width)
    model = model.to(device)
    plain = convolutional(model)
    with (
        torch.inference_mode(),
        evaluating(model),
        rounded_products(precision, device, convolutional=plain),
        cast(precision, device, convolutional=plain),
    ):
        network = folded(model)

        def run(images: Tensor) -> Tensor:
            scales, how = protocol.scales, protocol.aggregation
            return describe(network, images, scales=scales, aggregation=how, patch=network.patch)

        one = _noise(1, height, width, device)
        run(one)
        worked = time.process_time()
        times = _times(run, one, fewest=FEWEST)
        worked = (time.process_time() - worked) / len(times)
        batch, speed = _best_batch(run, one, first=1 / float(np.median(times)))
        peak = _peak(run, network, one)
    return NetworkCost(
        height=height,
        width=width,
        scales=protocol.scales,
        flops=None if flops is None else flops.attention,
        flops_linear=None if flops is None else flops.linear,
        latency_p50=float(np.percentile(times, 50)),
        latency_p95=float(np.percentile(times, 95)),
        processor_seconds=worked if device.type == "cpu" else None,
        passes=len(times),
        images_per_second=speed,
        batch=batch,
        peak_bytes=peak,
        device=device_name(device),
        precision=precision,
        threads=torch.get_num_threads(),
    )


def _flops(model: Retriever, protocol: Protocol, *, height: int, width: int) -> Flops | None:
    """FLOPs of all scales; None for a network with a layer that does not run on shapes alone."""
    sizes = [scaled_sides((height, width), scale, patch=model.patch) for scale in protocol.scales]
    try:
        counted = [count_flops(model, *sides) for sides in sizes]
    except RuntimeError:
        return None
    return Flops(linear=sum(c.linear for c in counted), attention=sum(c.attention for c in counted))


def _noise(count: int, height: int, width: int, device: torch.device) -> Tensor:
    images = torch.randn(count, 3, height, width, generator=torch.Generator().manual_seed(0))
    return images.to(device, memory_format=torch.channels_last)


def _times(run: Callable[[Tensor], Tensor], images: Tensor, *, fewest: int) -> list[float]:
    """Seconds of each pass, until there are enough of them or enough of time."""
    found: list[float] = []
    while len(found) < fewest or (len(found) < MOST and sum(found) < SECONDS):
        began = time.perf_counter()
        run(images)
        _wait(images.device)
        found.append(time.perf_counter() - began)
    return found


def _wait(device: torch.device) -> None:
    """Until an accelerator has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def _best_batch(run: Callable[[Tensor], Tensor], one: Tensor, *, first: float) -> tuple[int, float]:
    """The size of a batch that describes most images a second, and how many; sizes are doubled while that helps."""
    best, speed = 1, first
    height, width = one.shape[-2:]
    largest = min(max(PIXELS[one.device.type] // (height * width), 1), LARGEST_BATCH)
    for count in _doubled(largest):
        images = one.expand(count, -1, -1, -1).contiguous(memory_format=torch.channels_last)
        try:
            run(images)
            faster = count / float(np.median(_times(run, images, fewest=2)))
        except torch.OutOfMemoryError:
            break
        if faster < speed * BETTER:
            break
        best, speed = count, faster
    return best, speed


def _doubled(largest: int) -> Iterator[int]:
    return itertools.takewhile(lambda count: count <= largest, (2**i for i in itertools.count(1)))


def _peak(run: Callable[[Tensor], Tensor], model: Retriever, one: Tensor) -> int | None:
    """Bytes of weights and activations at the fullest moment of one image."""
    if one.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(one.device)
        run(one)
        return int(torch.cuda.max_memory_allocated(one.device))
    if one.device.type != "cpu":
        return None
    with AliveBytes([*model.parameters(), *model.buffers(), one]) as alive:
        run(one)
    return int(alive.peak)

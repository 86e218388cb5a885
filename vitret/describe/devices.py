"""Where and in which arithmetic a network runs: decided once, in the verb."""

import contextlib
from collections.abc import Iterator
from typing import Any

import torch

from vitret.core.errors import MachineError, UserError, did_you_mean

DEVICES = ("auto", "cpu", "cuda", "mps")
PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def pick_device(name: str) -> torch.device:
    """The device of a `--device` value; "auto" takes CUDA, then Apple's MPS, then the CPU.

    Raises:
        MachineError: the asked-for device is not there.
    """
    kind = name.partition(":")[0]
    if kind not in DEVICES:
        raise UserError(f"--device {name}: unknown. {did_you_mean(kind, DEVICES)}")
    present = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if kind == "auto":
        return torch.device(next(kind for kind in ("cuda", "mps", "cpu") if present[kind]))
    if not present[kind]:
        raise MachineError(
            f"--device {name}: this PyTorch ({torch.__version__}) sees no {kind.upper()} device. "
            "Use --device cpu, or install a PyTorch built for it."
        )
    return torch.device(name)


def pick_precision(name: str, device: torch.device) -> str:
    """The arithmetic of a `--precision` value: fp32, bf16 or fp16.

    "auto" is bf16 where the hardware multiplies it (CUDA from compute capability 8, CPUs with AMX or AVX-512 BF16),
    else fp32. Products are then rounded, sums are not; see `arithmetic`.
    """
    if name == "auto":
        return "bf16" if _multiplies_bf16(device) else "fp32"
    if name not in PRECISIONS:
        raise UserError(f"--precision {name}: unknown. {did_you_mean(name, ('auto', *PRECISIONS))}")
    return name


def _multiplies_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device)[0] >= 8
    # Older PyTorch cannot say what the CPU can do; fp32 is always right.
    ask = getattr(torch.cpu, "get_capabilities", None)
    can = ask() if device.type == "cpu" and ask is not None and _has_product_precision() else {}
    return bool(can.get("amx_bf16") or can.get("avx512_bf16"))


def _has_product_precision() -> bool:
    return hasattr(torch.backends.mkldnn, "matmul")


@contextlib.contextmanager
def arithmetic(precision: str, device: torch.device) -> Iterator[None]:
    """Compute in a precision: nothing for fp32, autocast on a GPU, rounded products on a CPU.

    On a CPU everything stays float32 and only the factors of matrix products and convolutions are rounded to
    bf16. That is somewhat slower than autocast, and its descriptors are twice as near to those of fp32: on 344
    photographs a ViT-Ti kept its mAP to the last digit, where autocast moved it by a point. The switch is the
    process's: every thread sees it.
    """
    if precision == "fp32":
        yield
    elif device.type != "cpu":
        with torch.autocast(device.type, PRECISIONS[precision]):
            yield
    elif precision == "bf16" and _has_product_precision():
        kinds: Any = (torch.backends.mkldnn.matmul, torch.backends.mkldnn.conv)  # type: ignore[attr-defined]
        before = [kind.fp32_precision for kind in kinds]
        for kind in kinds:
            kind.fp32_precision = "bf16"
        try:
            yield
        finally:
            for kind, value in zip(kinds, before, strict=True):
                kind.fp32_precision = value
    else:
        raise MachineError(
            f"--precision {precision}: PyTorch {torch.__version__} does not do this on a CPU. Use --precision fp32."
        )

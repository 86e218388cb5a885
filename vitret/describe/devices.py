"""Where and in which arithmetic a network runs: decided once, in the verb."""

import contextlib
import functools
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager
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
    kind, colon, number = name.partition(":")
    if kind not in DEVICES:
        raise UserError(f"--device {name}: unknown. {did_you_mean(kind, DEVICES)}")
    if colon and not number.isdecimal():
        raise UserError(f"--device {name}: '{number}' is no number of a device. For example: cuda:0")
    present = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if kind == "auto":
        return torch.device(next(kind for kind in ("cuda", "mps", "cpu") if present[kind]))
    if not present[kind]:
        raise MachineError(
            f"--device {name}: this PyTorch ({torch.__version__}) sees no {kind.upper()} device. "
            "Use --device cpu, or install a PyTorch built for it."
        )
    return torch.device(name)


def device_label(device: torch.device) -> str:
    """The device as a row names it: a GPU by its model, others by their kind."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def own_device(device: torch.device) -> torch.device:
    """This process's own GPU where `torchrun` started several; any other device as it is."""
    if device.type != "cuda" or device.index is not None or "LOCAL_RANK" not in os.environ:
        return device
    own = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
    torch.cuda.set_device(own)
    return own


def pick_precision(name: str, device: torch.device, *, training: bool = False) -> str:
    """The arithmetic of a `--precision` value, for extraction and for training: fp32, bf16 or fp16.

    "auto" is bf16 where the hardware multiplies it (CUDA from compute capability 8, CPUs on which PyTorch rounds what
    it multiplies: those with AMX), else fp32. On a CPU training stays in fp32: that rounding keeps descriptors as good
    is measured for extraction alone. See `rounded_products` for what bf16 means on a CPU.
    """
    if name == "auto":
        rounded = _multiplies_bf16(device) and not (training and device.type == "cpu")
        return "bf16" if rounded else "fp32"
    if name not in PRECISIONS:
        raise UserError(f"--precision {name}: unknown. {did_you_mean(name, ('auto', *PRECISIONS))}")
    return name


def autocast_dtype(device: torch.device, precision: str) -> torch.dtype | None:
    """The type that matrix products run in while training; None for float32 throughout."""
    chosen = pick_precision(precision, device, training=True)
    if chosen == "fp16" and device.type == "cpu":
        raise MachineError("--precision fp16: training in fp16 needs a GPU. Use --precision fp32 or bf16.")
    return None if chosen == "fp32" else PRECISIONS[chosen]


def _multiplies_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device)[0] >= 8
    return device.type == "cpu" and _rounds_products()


@functools.cache
def _rounds_products() -> bool:
    """Whether PyTorch on this CPU rounds the factors of a product to bf16 when asked to: one product is tried.

    On a CPU that can multiply bf16 (AVX-512 BF16) the library may do so only with other units (AMX). Then nothing is
    rounded, and a row would tell of an arithmetic that never happened.
    """
    if not _has_product_precision():  # an older PyTorch
        return False
    factor = torch.randn(256, 256, generator=torch.Generator().manual_seed(0))
    exact = factor.double() @ factor.double()
    with _products_of("bf16"):
        rounded = factor @ factor
    return float((rounded - exact).abs().max() / exact.abs().max()) > 2**-14


def _has_product_precision() -> bool:
    return hasattr(torch.backends.mkldnn, "matmul")


@contextlib.contextmanager
def _products_of(precision: str) -> Iterator[None]:
    """Products of float32 with factors of that precision, on a CPU."""
    products: Any = torch.backends.mkldnn.matmul  # type: ignore[attr-defined]
    before = products.fp32_precision
    products.fp32_precision = precision
    try:
        yield
    finally:
        products.fp32_precision = before


def cast(precision: str, device: torch.device, *, convolutional: bool) -> AbstractContextManager[Any]:
    """Autocast, to be entered in the thread that computes: on GPUs, and for convolutional networks on a CPU."""
    wanted = precision != "fp32" and (device.type != "cpu" or convolutional)
    return torch.autocast(device.type, PRECISIONS[precision]) if wanted else contextlib.nullcontext()


@contextlib.contextmanager
def rounded_products(precision: str, device: torch.device, *, convolutional: bool) -> Iterator[None]:
    """What fp32 and bf16 mean beside autocast; the switches are the process's.

    On a GPU fp32 is fp32: cuDNN would round the factors of convolutions to TF32 by default.

    On a CPU a transformer in bf16 runs without autocast: everything stays float32 and only the factors of matrix
    products are rounded to bf16. That is somewhat slower than autocast, and its descriptors are twice as near to those
    of fp32: on 344 photographs a ViT-Ti kept its mAP to the last digit, where autocast moved it by a point. A
    convolutional network gains nothing from it: every new image size compiles its kernels again, which takes as long
    as describing an image.
    """
    if precision == "fp32" and device.type == "cuda":
        rounds = torch.backends.cudnn.allow_tf32
        torch.backends.cudnn.allow_tf32 = False
        try:
            yield
        finally:
            torch.backends.cudnn.allow_tf32 = rounds
        return
    if precision == "fp32" or device.type != "cpu":
        yield
        return
    if precision != "bf16" or not _has_product_precision():
        raise MachineError(
            f"--precision {precision}: PyTorch {torch.__version__} does not do this on a CPU. Use --precision fp32."
        )
    if convolutional:
        yield
        return
    if not _rounds_products():
        raise MachineError(
            f"--precision bf16: on this CPU PyTorch {torch.__version__} multiplies a transformer in fp32 all the same. "
            "Use --precision fp32."
        )
    with _products_of("bf16"):
        yield

"""What one image costs a network: a record of a row, that says on which device it was taken."""

from __future__ import annotations

from pydantic import Field, model_validator

from vitret.core.config import Strict


class NetworkCost(Strict):
    """Cost of describing one image of `height` x `width` pixels at all `scales`; decoding and searching are not in it.

    FLOPs count a multiplication and an addition as two, and are None where a layer cannot be counted. Times are of
    this device in this arithmetic: on a machine that does other things too they are longer.
    """

    height: int = Field(gt=0)
    width: int = Field(gt=0)
    scales: tuple[float, ...]
    flops: int | None = Field(default=None, ge=0, description="with the products of attention")
    flops_linear: int | None = Field(default=None, ge=0, description="linear layers and convolutions alone")
    latency_p50: float = Field(gt=0, description="seconds of one image, alone in its batch")
    latency_p95: float = Field(gt=0)
    processor_seconds: float | None = Field(
        default=None, ge=0, description="of one image, over all threads of a CPU; None on other devices"
    )
    passes: int = Field(gt=0, description="of which the latencies are percentiles")
    images_per_second: float = Field(gt=0, description="at the best size of a batch")
    batch: int = Field(gt=0, description="the best size of a batch")
    peak_bytes: int | None = Field(
        default=None, gt=0, description="weights and activations of one image; None where it is not known"
    )
    device: str
    precision: str
    threads: int = Field(gt=0, description="of a CPU")

    @property
    def waited(self) -> float:
        """How many times longer an image took than it kept a CPU busy; well above one the machine had other work."""
        if not self.processor_seconds:
            return 1.0
        return self.latency_p50 / self.processor_seconds

    @model_validator(mode="after")
    def _is_in_order(self) -> NetworkCost:
        if self.latency_p95 < self.latency_p50:
            raise ValueError("latency_p95 is below latency_p50")
        if self.flops is not None and self.flops < (self.flops_linear or 0):
            raise ValueError("flops are below flops_linear, which are a part of them")
        return self

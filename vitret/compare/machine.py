"""What computes, decided once in the verb; and how a run says what it does."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from vitret.core.cost import NetworkCost
    from vitret.core.protocol import Protocol
    from vitret.core.records import Images
    from vitret.describe.request import Request
    from vitret.models.model import Retriever

Say = Callable[[str], None]
Progress = Callable[[int, int, str], None]
Steps = Callable[[str], AbstractContextManager[Progress]]


@contextmanager
def silent(_: str) -> Iterator[Progress]:
    """Steps that are not reported."""
    yield lambda done, total, words: None


@dataclass(frozen=True, kw_only=True)
class Machine:
    """Device, precision ("auto", "fp32", …) and image-loading processes; None: by the number of cores."""

    device: torch.device
    precision: str
    workers: int | None

    @property
    def loaders(self) -> int:
        """Threads that read images for extraction."""
        return min(8, os.cpu_count() or 1) if self.workers is None else self.workers

    @property
    def engine(self) -> str:
        """What searches: torch where there is an accelerator; the ranks are the same either way."""
        return "numpy" if self.device.type == "cpu" else "torch"

    def request(self, model: Retriever, images: Images, protocol: Protocol, *, images_digest: str) -> Request:
        """The extraction of these images on this machine."""
        from vitret.describe.request import Request

        return Request(
            model=model,
            images=images,
            protocol=protocol,
            device=self.device,
            precision=self.precision,
            images_digest=images_digest,
            workers=self.loaders,
        )

    def cost(self, model: Retriever, protocol: Protocol, *, home: Path) -> NetworkCost:
        """What an image costs a network on this machine, measured once."""
        from vitret.describe.cost import network_cost

        return network_cost(model, protocol, device=self.device, precision=self.precision, home=home)

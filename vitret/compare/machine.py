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

    from vitret.core.protocol import Protocol
    from vitret.core.records import Descriptors, Images
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

    def describe(
        self, model: Retriever, images: Images, protocol: Protocol, *, images_digest: str, home: Path
    ) -> Descriptors:
        """The images' descriptors, from the cache below `home` or extracted into it."""
        from vitret.describe.cache import cached_extract

        return cached_extract(
            model,
            images,
            protocol,
            images_digest=images_digest,
            home=home,
            device=self.device,
            precision=self.precision,
            workers=self.loaders,
        )

    def extraction_key(
        self, model: Retriever, images: Images, protocol: Protocol, *, images_digest: str
    ) -> dict[str, object]:
        """All that can change the bytes of those descriptors."""
        from vitret.describe.extract import extraction_key

        return extraction_key(
            model,
            images,
            protocol,
            device=self.device,
            precision=self.precision,
            images_digest=images_digest,
        )

"""Local features on demand: the patch tokens of images that a re-ranker asks for, kept while there is room.

They are taken as the protocol frames images, in float32, from the last layer that the head reads. Nothing goes to disk:
a shortlist needs the features of a few hundred images of a set, and those of a whole set can be a thousand times as
many bytes as its descriptors.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor
from torch.nn import functional

from vitret.core.errors import DataError
from vitret.core.protocol import Protocol
from vitret.core.records import Images
from vitret.describe.extract import PIXELS
from vitret.describe.framing import Frame, frame_finder, load, padded, stacked
from vitret.describe.scales import rescaled
from vitret.models.model import Retriever
from vitret.models.reranking import Local

Keep = Callable[[Tensor, Sequence[Tensor]], Local]
"""Descriptor (G,) and patch maps (D, h, w) per scale → what is kept of an image."""


class LocalFeatures:
    """What `keep` makes of images, by row; at most `most` bytes are remembered, the longest unused go first.

    The network is moved to `device` and put into evaluation mode. The descriptor is that of the scale nearest to 1. An
    image that cannot be read has one local feature of zeros, as its descriptor is zeros.
    """

    def __init__(
        self,
        model: Retriever,
        images: Images,
        protocol: Protocol,
        keep: Keep,
        *,
        device: torch.device,
        scales: Sequence[float] = (1.0,),
        workers: int = 1,
        most: int = 2 << 30,
    ) -> None:
        self.model, self.images, self.protocol, self.keep = model.to(device).eval(), images, protocol, keep
        self.device, self.scales, self.workers, self.most = device, tuple(scales), max(1, workers), most
        self.frame = frame_finder(images, protocol, patch=model.patch)
        self.kept: OrderedDict[int, Local] = OrderedDict()
        self.bytes = 0

    def __call__(self, rows: Sequence[int]) -> list[Local]:
        """The local features of some rows, in that order, repetitions allowed."""
        found = {row: self.kept[row] for row in rows if row in self.kept}
        new = self._extract([row for row in dict.fromkeys(rows) if row not in found])
        for row in found:
            self.kept.move_to_end(row)
        for row, local in new.items():
            self.kept[row] = local
            self.bytes += local.bytes
        while self.bytes > self.most and self.kept:
            _, old = self.kept.popitem(last=False)
            self.bytes -= old.bytes
        found |= new
        return [found[row] for row in rows]

    def _extract(self, rows: Sequence[int]) -> dict[int, Local]:
        if not rows:
            return {}
        found: dict[int, Local] = {}
        with ThreadPoolExecutor(self.workers) as pool:
            groups: dict[Frame, list[int]] = {}
            for row, known in zip(rows, pool.map(self.frame, rows), strict=True):
                groups.setdefault(known, []).append(row)
            for known, members in groups.items():
                pixels_each = known.final[0] * known.final[1]
                # On a CPU one by one: then no byte depends on who else was asked for, and little time is lost.
                count = 1 if self.device.type == "cpu" else max(1, PIXELS[self.device.type] // pixels_each)
                for start in range(0, len(members), count):
                    some = members[start : start + count]
                    pixels = list(pool.map(lambda row, plan=known: self._load(row, plan), some))
                    good = [(row, p) for row, p in zip(some, pixels, strict=True) if p is not None]
                    found |= dict.fromkeys(some, self._nothing())
                    if good:
                        found |= self._describe([row for row, _ in good], [p for _, p in good], known)
        return found

    def _load(self, row: int, plan: Frame) -> Tensor | None:
        try:
            return load(self.images, row, plan, self.protocol)
        except DataError:
            return None  # extraction has said why, and counts it

    @torch.no_grad()
    def _describe(self, rows: Sequence[int], pixels: Sequence[Tensor], plan: Frame) -> dict[int, Local]:
        batch = self.model.normalised(stacked(pixels).to(self.device))
        batch = padded(batch, plan.final)
        tokens = [self.model.backbone(rescaled(batch, s, patch=self.model.patch)) for s in self.scales]
        nearest = min(range(len(self.scales)), key=lambda i: abs(self.scales[i] - 1))
        whole = functional.normalize(self.model.head(tokens[nearest]).float(), dim=-1).cpu()
        maps = [given.grids[-1].float().cpu() for given in tokens]
        return {
            row: self.keep(whole[i].clone(), [grid[i].clone() for grid in maps]) for i, row in enumerate(rows)
        }

    def _nothing(self) -> Local:
        width = int(self.model.backbone.widths[-1])  # type: ignore[index]
        return self.keep(torch.zeros(self.model.dim), [torch.zeros(width, 1, 1) for _ in self.scales])

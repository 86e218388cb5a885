"""A matcher of image pairs on the tokens of any network: what it keeps of an image, its logits, its file.

The networks are the two re-ranking transformers (Tan et al., ICCV 2021). Patch tokens as their local descriptors, cut
to those of greatest norm, are our decision; the paper's come from DELG and from a ResNet's last map.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import safetensors
import safetensors.torch
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from vitret.core.config import validate
from vitret.core.errors import DataError
from vitret.core.reranking import MatcherSpec
from vitret.core.store import parse_json, write_bytes
from vitret.models.reranking_rrt import GridRrt, LandmarkRrt, scale_index
from vitret.models.states import load_state


@dataclass(frozen=True, kw_only=True, eq=False)
class Local:
    """What a matcher sees of an image: its descriptor (G,) and local features.

    For the grid matcher `many` is the patch map (D, h, w); for the landmark one it is (L, D), and `rows` (L,) tells the
    scale of each.
    """

    whole: Tensor
    many: Tensor
    rows: Tensor

    @property
    def bytes(self) -> int:
        return self.whole.nbytes + self.many.nbytes + self.rows.nbytes


class Matcher(nn.Module):
    """A re-ranking transformer for tokens of `inputs` channels and descriptors of `global_dim`."""

    def __init__(self, spec: MatcherSpec, *, inputs: int, global_dim: int) -> None:
        super().__init__()
        self.spec, self.inputs, self.global_dim = spec, inputs, global_dim
        sizes = {"width": spec.width, "layers": spec.layers, "heads": spec.heads, "hidden": spec.hidden}
        self.net: GridRrt | LandmarkRrt
        if spec.kind == "grid":
            self.net = GridRrt(inputs=inputs, dropout=spec.dropout, **sizes)
        else:
            self.net = LandmarkRrt(inputs=inputs, global_dim=global_dim, dropout=spec.dropout, **sizes)

    def keep(self, whole: Tensor, maps: Sequence[Tensor]) -> Local:
        """What this matcher needs of a descriptor (G,) and the patch maps (D, h, w), one per scale of its spec."""
        if isinstance(self.net, GridRrt):
            return Local(whole=whole, many=maps[0], rows=torch.zeros(0, dtype=torch.long))
        many = torch.cat([grid.flatten(1).T for grid in maps])
        index = scale_index(self.spec.scales)
        rows = torch.cat([torch.full((grid[0].numel(),), index[i]) for i, grid in enumerate(maps)])
        if len(many) > self.spec.locals:
            best = many.norm(dim=1).topk(self.spec.locals).indices.sort().values
            many, rows = many[best], rows[best.cpu()]
        return Local(whole=whole, many=many.contiguous(), rows=rows)

    def forward(self, left: Sequence[Local], right: Sequence[Local]) -> Tensor:
        """Logits (B,) of pairs of images, which may differ in how many local features they have."""
        device = next(self.parameters()).device
        if isinstance(self.net, LandmarkRrt):
            logits: Tensor = self.net(_padded(left, device), _padded(right, device))
            return logits
        groups: dict[tuple[torch.Size, torch.Size], list[int]] = {}
        for i, (a, b) in enumerate(zip(left, right, strict=True)):
            groups.setdefault((a.many.shape, b.many.shape), []).append(i)
        parts = [
            self.net(
                torch.stack([left[i].many for i in some]).to(device),
                torch.stack([right[i].many for i in some]).to(device),
            )
            for some in groups.values()
        ]
        order = torch.tensor([i for some in groups.values() for i in some], device=device)
        return torch.cat(parts)[order.argsort()]


def _padded(images: Sequence[Local], device: torch.device) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """What `LandmarkRrt` takes; slots behind an image's last descriptor are marked absent."""
    many = pad_sequence([image.many for image in images], batch_first=True)
    rows = pad_sequence([image.rows for image in images], batch_first=True)
    counts = torch.tensor([len(image.many) for image in images])
    absent = torch.arange(many.shape[1]) >= counts[:, None]
    whole = torch.stack([image.whole for image in images])
    return whole.to(device), many.to(device), rows.to(device), absent.to(device)


Find = Callable[[Sequence[int]], Sequence[Local]]
"""Image rows → what the matcher sees of them."""


def pair_score(
    matcher: Matcher, queries: Find, database: Find, *, batch: int = 100
) -> Callable[[int, NDArray[np.int64]], NDArray[np.float32]]:
    """The matcher as the function of numbers that `vitret.measure.rerankers.rrt` takes.

    At most `batch` pairs go through it together. A pair is scored once and remembered: shortlists of several levels
    share most of their images.
    """
    known: dict[tuple[int, int], float] = {}

    def score(query: int, candidates: NDArray[np.int64]) -> NDArray[np.float32]:
        new = [int(c) for c in candidates if (query, int(c)) not in known]
        for start in range(0, len(new), batch):
            some = new[start : start + batch]
            with torch.inference_mode():
                logits = matcher(list(queries([query])) * len(some), database(some)).float().cpu().tolist()
            known.update({(query, c): logit for c, logit in zip(some, logits, strict=True)})
        return np.array([known[query, int(c)] for c in candidates], dtype=np.float32)

    return score


def save_matcher(path: Path, matcher: Matcher) -> None:
    """Write weights and spec into one safetensors file, whole or not at all."""
    state = {name: value.detach().cpu().contiguous() for name, value in matcher.state_dict().items()}
    about = {
        "spec": matcher.spec.model_dump(mode="json"),
        "inputs": matcher.inputs,
        "global_dim": matcher.global_dim,
    }
    text = json.dumps(about, sort_keys=True)
    write_bytes(path, safetensors.torch.save(state, metadata={"vitret.matcher": text}))


def load_matcher(path: Path) -> Matcher:
    """Read what `save_matcher` wrote. In evaluation mode, on the CPU."""
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            about = parse_json(file.metadata()["vitret.matcher"])
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it is no dict)
            spec, inputs, global_dim = (about[key] for key in ("spec", "inputs", "global_dim"))
    except (safetensors.SafetensorError, KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{path}: not a whole file of a matcher ({error}). Remove it; it is trained again."
        ) from error
    matcher = Matcher(validate(MatcherSpec, spec, str(path)), inputs=inputs, global_dim=global_dim)
    load_state(
        matcher, state, source=f"{path}: what it holds", advice="Remove the file; it is trained again."
    )
    return matcher.eval()

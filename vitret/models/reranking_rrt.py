"""Re-ranking transformer: two images' descriptors in one sequence, one logit that they show the same thing.

Tan, Yuan and Ordonez, ICCV 2021; both networks read in the authors' code (uvavision/RerankingTransformer). Trained on
triples with binary cross-entropy by `vitret.learn.reranking`; `vitret.models.reranking` feeds it with the tokens of any
network.
"""

import bisect
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

# DELG's seven image scales, in the double precision in which the authors wrote them down.
_BINS = (0.5, 0.70710677, 1.0, 1.41421354, 2.0, 2.82842708, 4.0)


def scale_index(scales: Sequence[float]) -> list[int]:
    """Row of the scale embedding for each local descriptor's scale, as the authors' code finds it.

    Their comparison of float32 values widened to float64 sends seven scales to four rows; they say that fixing it
    made results worse, and released weights need it.
    >>> scale_index([float(torch.tensor(s)) for s in _BINS])
    [0, 0, 2, 2, 4, 4, 6]
    """
    return [max(0, bisect.bisect_right(_BINS, scale) - 1) for scale in scales]


def sine_positions(height: int, width: int, channels: int, *, scale: float = 2.0) -> Tensor:
    """DETR's position encoding (D, h, w): half of the channels for the row, half for the column; each in (0, scale]."""
    half = channels // 2
    rate = 10000.0 ** (2 * (torch.arange(half) // 2) / half)

    def along(count: int) -> Tensor:
        place = torch.arange(1, count + 1, dtype=torch.float32) / (count + 1e-6) * scale
        angle = place[:, None] / rate
        return torch.stack([angle[:, 0::2].sin(), angle[:, 1::2].cos()], dim=-1).flatten(1)

    rows = along(height)[:, None].expand(-1, width, -1)
    columns = along(width)[None].expand(height, -1, -1)
    return torch.cat([rows, columns], dim=-1).permute(2, 0, 1)


def _encoder(width: int, *, layers: int, heads: int, hidden: int, dropout: float) -> nn.TransformerEncoder:
    layer = nn.TransformerEncoderLayer(width, heads, hidden, dropout, batch_first=True)
    return nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)


def _initialise(module: nn.Module) -> None:
    for parameter in module.parameters():
        if parameter.ndim > 1:
            nn.init.xavier_uniform_(parameter)


class LandmarkRrt(nn.Module):
    """The landmark model: one global and up to L local descriptors per image; 2,243,201 parameters by default.

    Sequence: class, global, locals | separator, global, locals. Post-norm encoder without a last norm; the logit comes
    from the first token. `inputs` adds a linear reduction of local descriptors of that many channels, which the paper's
    have not needed: theirs come with 128.
    """

    def __init__(
        self, *, inputs: int | None = None, global_dim: int = 2048, width: int = 128, layers: int = 6,
        heads: int = 4, hidden: int = 1024, scales: int = 7, dropout: float = 0.0,
    ) -> None:  # fmt: skip
        super().__init__()
        self.encoder = _encoder(width, layers=layers, heads=heads, hidden=hidden, dropout=dropout)
        self.reduce = nn.Linear(inputs, width) if inputs else nn.Identity()
        self.remap = nn.Linear(global_dim, width)
        self.scale_encoder = nn.Embedding(scales, width)
        self.seg_encoder = nn.Embedding(6, width)
        self.classifier = nn.Linear(width, 1)
        _initialise(self)

    def forward(
        self,
        query: tuple[Tensor, Tensor, Tensor, Tensor],
        candidate: tuple[Tensor, Tensor, Tensor, Tensor],
    ) -> Tensor:
        """Logits (B,) of pairs.

        Each image is (global (B, G), locals (B, L, D), scale rows (B, L) int64, absent (B, L) bool: True where the
        slot holds no descriptor).
        """
        segment = self.seg_encoder.weight
        batch = len(query[0])
        parts, absent = [], []
        for i, (whole, locals_, scales, missing) in enumerate((query, candidate)):
            head = segment[2 + i].expand(batch, 1, -1)
            one = functional.normalize(self.remap(whole), dim=-1)[:, None] + segment[4 + i]
            many = (
                functional.normalize(self.reduce(locals_), dim=-1) + self.scale_encoder(scales) + segment[i]
            )
            parts += [head, one, many]
            absent += [missing.new_zeros(batch, 2), missing]
        seen = self.encoder(torch.cat(parts, dim=1), src_key_padding_mask=torch.cat(absent, dim=1))
        logits: Tensor = self.classifier(seen[:, 0]).squeeze(-1)
        return logits


class GridRrt(nn.Module):
    """The product model: a patch map per image, no global descriptor; 1,979,777 parameters without `inputs`.

    `inputs` adds a 1x1 reduction of maps of that many channels to the encoder's width, shared by both images (in the
    authors' code it belongs to the backbone): so the patch tokens of any ViT are its local features.
    """

    def __init__(
        self, *, inputs: int | None = None, width: int = 128, layers: int = 6, heads: int = 4, hidden: int = 1024,
        dropout: float = 0.0,
    ) -> None:  # fmt: skip
        super().__init__()
        self.encoder = _encoder(width, layers=layers, heads=heads, hidden=hidden, dropout=dropout)
        self.seg_encoder = nn.Embedding(4, width)
        self.classifier = nn.Linear(width, 1)
        self.reduce = nn.Conv2d(inputs, width, 1) if inputs else nn.Identity()
        _initialise(self)

    def forward(self, query: Tensor, candidate: Tensor) -> Tensor:
        """Logits (B,) of pairs of maps (B, D, h, w); the two sides may differ in h and w."""
        segment = self.seg_encoder.weight
        parts = []
        for i, grid in enumerate((query, candidate)):
            x = self.reduce(grid)
            x = x + sine_positions(x.shape[2], x.shape[3], x.shape[1]).to(x)
            parts += [segment[i].expand(len(x), 1, -1), x.flatten(2).transpose(1, 2) + segment[2 + i]]
        seen = self.encoder(torch.cat(parts, dim=1))
        logits: Tensor = self.classifier(seen[:, 0]).squeeze(-1)
        return logits


def triple_loss(positive: Tensor, negative: Tensor) -> Tensor:
    """Binary cross-entropy of (anchor, positive) against 1 and (anchor, negative) against 0; mean over both."""
    logits = torch.cat([positive, negative])
    wanted = torch.cat([torch.ones_like(positive), torch.zeros_like(negative)])
    return functional.binary_cross_entropy_with_logits(logits, wanted)

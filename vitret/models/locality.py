"""DToP's enhanced locality module: inverted residual, à-trous pyramid, WaveBlock.

Which parts it has is remembered with medium confidence and agrees with an unofficial re-implementation; the
layers are read from that re-implementation; widths, dilations and WaveBlock's place are open in every source
and are options. WaveBlock itself is read from its authors' code: Wang et al.,
"Attentive WaveBlock", TIP 2022.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional


class ConvNorm(nn.Module):
    """Convolution without bias, batch normalisation, activation (or none): (B, D, h, w) -> (B, O, h, w)."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        kernel: int = 1,
        dilation: int = 1,
        groups: int = 1,
        activation: Callable[[Tensor], Tensor] | None = torch.relu,
    ) -> None:
        super().__init__()
        padding = dilation * (kernel // 2)
        self.conv = nn.Conv2d(
            inputs, outputs, kernel, padding=padding, dilation=dilation, groups=groups, bias=False
        )
        self.bn = nn.BatchNorm2d(outputs)
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.bn(self.conv(x))
        return y if self.activation is None else self.activation(y)


class InvertedResidual(nn.Module):
    """1x1 expand, 3x3 depth-wise, 1x1 project (MobileNetV2), without an inner skip: (B, D, h, w) -> same shape."""

    def __init__(self, width: int, *, expansion: int) -> None:
        super().__init__()
        inner = expansion * width
        self.expand = ConvNorm(width, inner, activation=functional.relu6)
        self.dw = ConvNorm(inner, inner, kernel=3, groups=inner, activation=functional.relu6)
        self.project = ConvNorm(inner, width, activation=None)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.project(self.dw(self.expand(x)))
        return y


class AtrousPyramid(nn.Module):
    """Dilated convolutions side by side with image pooling (DeepLabv3): (B, D, h, w) -> same shape.

    branch0 is 1x1, the following are 3x3 at the given dilations; all `width` channels wide.
    """

    def __init__(self, channels: int, *, width: int, dilations: Sequence[int]) -> None:
        super().__init__()
        self.branches = 1 + len(dilations)
        self.branch0 = ConvNorm(channels, width)
        for i, dilation in enumerate(dilations, start=1):
            self.add_module(f"branch{i}", ConvNorm(channels, width, kernel=3, dilation=dilation))
        self.pool = ConvNorm(channels, width)
        self.proj = ConvNorm((self.branches + 1) * width, width)
        self.out = nn.Conv2d(width, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        seen = [self.get_submodule(f"branch{i}")(x) for i in range(self.branches)]
        whole = self.pool(x.mean(dim=(2, 3), keepdim=True)).expand(-1, -1, *x.shape[2:])
        y: Tensor = self.out(self.proj(torch.cat([*seen, whole], dim=1)))
        return y


class WaveBlock(nn.Module):
    """In training, all rows but one random stripe are multiplied by `rate`; the identity in eval.

    The stripe is round(stripe * h) rows high, the same for the whole batch. 0.3 and 1.5 stand in the authors' code.
    """

    def __init__(self, *, stripe: float = 0.3, rate: float = 1.5) -> None:
        super().__init__()
        self.stripe = stripe
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return x
        height = x.shape[2]
        rows = round(self.stripe * height)
        start = int(torch.randint(0, height - rows + 1, ()))
        wave = x.new_full((height, 1), self.rate)
        wave[start : start + rows] = 1.0
        return x * wave


class EnhancedLocality(nn.Module):
    """Inverted residual, then à-trous pyramid, with WaveBlock at the named place: (B, D, h, w) -> same shape.

    `parts` is "irb", "aspp" or "irb+aspp"; `waveblock` is "off", "pre_irb", "pre_aspp" or "post_aspp" (with one
    part alone, "pre_aspp" still stands between where the two would be).
    """

    def __init__(
        self,
        width: int,
        *,
        parts: str,
        expansion: int,
        aspp_width: int,
        dilations: Sequence[int],
        waveblock: str,
        stripe: float = 0.3,
        rate: float = 1.5,
    ) -> None:
        super().__init__()
        self.irb = InvertedResidual(width, expansion=expansion) if "irb" in parts else nn.Identity()
        self.aspp = (
            AtrousPyramid(width, width=aspp_width, dilations=dilations) if "aspp" in parts else nn.Identity()
        )
        self.wave = WaveBlock(stripe=stripe, rate=rate)
        self.place = waveblock

    def forward(self, x: Tensor) -> Tensor:
        x = self._waved(x, "pre_irb")
        x = self.irb(x)
        x = self._waved(x, "pre_aspp")
        x = self.aspp(x)
        return self._waved(x, "post_aspp")

    def _waved(self, x: Tensor, place: str) -> Tensor:
        return self.wave(x) if self.place == place else x

"""ResNet with SOLAR's second-order attention after a stage: Ng et al., ECCV 2020, read in its code.

The published networks attend after stage 3 here (the code's fourth, reduction 4) and in the head `solar`. With
`attend: []` it is a plain bottleneck ResNet (He et al., CVPR 2016) whose stride stands on the 3x3 convolution, with
torchvision's parameter names. `caffe` asks for the pixels that Caffe's weights expect: BGR order and 0...255 values
less the mean, which is folded into mean, std and a swap of channels.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from vitret.core import plugins
from vitret.core.errors import UserError, did_you_mean
from vitret.models.attention import SecondOrderAttention
from vitret.models.tokens import Tokens
from vitret.models.vision_transformer import IMAGENET_MEAN, IMAGENET_STD, chosen_layers

DEPTHS = {
    "resnet26": (2, 2, 2, 2),
    "resnet50": (3, 4, 6, 3),
    "resnet101": (3, 4, 23, 3),
    "resnet152": (3, 8, 36, 3),
}
# Caffe's mean of a training pixel, here in RGB order and as a fraction of 255; its deviation is 1 of 255 steps.
CAFFE_MEAN = (123.68 / 255, 116.779 / 255, 103.939 / 255)
CAFFE_STD = (1 / 255, 1 / 255, 1 / 255)


class Bottleneck(nn.Module):
    def __init__(self, inputs: int, inner: int, *, stride: int) -> None:
        super().__init__()
        outputs = 4 * inner
        self.conv1 = nn.Conv2d(inputs, inner, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(inner)
        self.conv2 = nn.Conv2d(inner, inner, 3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(inner)
        self.conv3 = nn.Conv2d(inner, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.downsample = (
            nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False), nn.BatchNorm2d(outputs))
            if stride > 1 or inputs != outputs
            else None
        )

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.bn1(self.conv1(x)))
        y = torch.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return torch.relu(y + (x if self.downsample is None else self.downsample(x)))


class ResNet(nn.Module):
    def __init__(
        self, depths: Sequence[int], *, width: int, attend: Sequence[int], layers: list[int], caffe: bool
    ) -> None:
        super().__init__()
        self.layers = layers
        self.patch = 1
        self.prefix_tokens = 0
        self.caffe = caffe
        self.mean: tuple[float, ...] = CAFFE_MEAN if caffe else IMAGENET_MEAN
        self.std: tuple[float, ...] = CAFFE_STD if caffe else IMAGENET_STD
        self.widths: tuple[int, ...] = tuple(4 * width * 2**i for i in layers)
        self.conv1 = nn.Conv2d(3, width, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        inputs = width
        for stage, count in enumerate(depths):
            inner = width * 2**stage
            blocks = [
                Bottleneck(inputs if i == 0 else 4 * inner, inner, stride=2 if stage > 0 and i == 0 else 1)
                for i in range(count)
            ]
            self.add_module(f"layer{stage + 1}", nn.Sequential(*blocks))
            inputs = 4 * inner
            if stage + 1 in attend:
                self.add_module(
                    f"soa{stage + 1}", SecondOrderAttention(inputs, reduction=4 if stage < 3 else 2)
                )
        for module in self.modules():
            if isinstance(module, nn.Conv2d) and module.bias is None:
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: Tensor) -> Tokens:
        """Maps of the chosen stages, strides 4, 8, 16, 32; any image size."""
        x = images.flip(1) if self.caffe else images
        x = self.maxpool(torch.relu(self.bn1(self.conv1(x))))
        found = []
        for stage in range(self.layers[-1] + 1):
            x = self.get_submodule(f"layer{stage + 1}")(x)
            if hasattr(self, f"soa{stage + 1}"):
                x = self.get_submodule(f"soa{stage + 1}")(x)
            if stage in self.layers:
                found.append(x)
        return Tokens(prefix=tuple(x.new_zeros(len(x), 0, x.shape[1]) for x in found), grids=tuple(found))


def build(
    *,
    arch: str = "resnet101",
    pretrained: bool = True,
    weights: str | None = None,
    attend: Sequence[int] = (3,),
    caffe: bool = False,
    width: int = 64,
    depths: Sequence[int] | None = None,
    layers: int | Sequence[int] = 1,
) -> ResNet:
    """A ResNet with attention after the stages in `attend` (1...4).

    `pretrained` and `weights` fill the ResNet as `timm_model` fills its network of that name; attention starts as the
    identity. `caffe` is for raw Caffe weights, which must be named; cirtorch's networks were released for ImageNet's
    pixels.
    `arch` may name timm's tag of the weights, as resnet101.tv_in1k.
    `layers`: how many of the last stages, or their indices 0...3. `width` 64 and `depths` of the architecture are the
    published ones; smaller ones serve tests.
    """
    plain = arch.partition(".")[0]
    if plain not in DEPTHS:
        raise UserError(f"resnet_soa has no architecture '{arch}'. {did_you_mean(plain, DEPTHS)}")
    if caffe and pretrained and weights is None:
        raise UserError(
            "resnet_soa: `caffe: true` feeds BGR pixels of 0…255, and timm's weights expect RGB with ImageNet's mean "
            "and deviation. Name Caffe's weights (`weights: FILE`, or the model's `checkpoint`), or set caffe: false, "
            "or pretrained: false to start from random weights."
        )
    stages = tuple(depths or DEPTHS[plain])
    model = ResNet(stages, width=width, attend=attend, layers=chosen_layers(layers, len(stages)), caffe=caffe)
    if pretrained or weights is not None:
        _fill(model, arch, weights)
    return model


def _fill(model: ResNet, arch: str, weights: str | None) -> None:
    # Where weights come from is decided in one place, which is the part for timm's networks.
    source = plugins.build("backbones", "timm_model", arch=arch, weights=weights)
    wanted = {
        k: v
        for k, v in source.model.state_dict().items()
        if k.partition(".")[0] in dict(model.named_children())
    }
    shapes = {k: v.shape for k, v in model.state_dict().items() if not k.startswith("soa")}
    if {k: v.shape for k, v in wanted.items()} != shapes:
        raise UserError(
            f"resnet_soa: pretrained weights of '{arch}' have its published width and depths. "
            "For another size set pretrained: false."
        )
    model.load_state_dict(wanted, strict=False)

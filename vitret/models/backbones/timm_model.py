"""Any network of timm as a backbone: prefix tokens and patch grids of any layers.

Images have any size where the network takes it; otherwise they are resized to the square it was made for, which is
said. Where weights are looked for stands in `vitret.models.weights`; the hub comes last. The only module that
imports timm.
"""

import functools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import httpx
import huggingface_hub
import torch

from vitret.core.config import location
from vitret.core.errors import DataError, UserError, did_you_mean
from vitret.models import weights as files
from vitret.models.image_sizes import ImageSizes, find_sizes, takes
from vitret.models.own_head import OwnHead, has_own_pooling, projection_width
from vitret.models.positions import interpolate_as_upstream
from vitret.models.timm_backbone import TimmBackbone, has_tokens
from vitret.models.tokens import Tokens
from vitret.models.torchvision_import import import_torchvision
from vitret.models.weights import note, read_state

__all__ = ["TimmBackbone", "build", "families", "family", "read_state", "shape_only", "timm", "weights_file"]

# Options that came after results were committed: core/plugins.py.
UNWRITTEN = ("positions",)
# It resizes every image to its own squares inside, so it is given that square with antialiasing.
_RESIZE_INSIDE = ("crossvit",)


def _import_timm() -> ModuleType:
    import_torchvision()
    import timm

    return timm  # type: ignore[no-any-return]


timm: Any = _import_timm()


def build(
    *,
    arch: str,
    pretrained: bool = True,
    weights: str | None = None,
    layers: int | Sequence[int] = 1,
    norm: Literal["shared_final", "none"] = "shared_final",
    drop_path: float = 0.0,
    img_size: int | None = None,
    arch_options: Mapping[str, Any] | None = None,
    positions: Literal["timm", "upstream"] = "timm",
) -> TimmBackbone:
    """A timm network by name.

    `weights`: a .safetensors or .pth file; `pretrained=False` leaves the weights random.
    `layers`: how many of the last blocks (of a CNN: stages), or their indices, negative from the end.
    `norm`: whether the network's final norm is applied to the tokens of every layer.
    `img_size`: the size whose position embedding is stored; other sizes are interpolated from it on the fly.
    `arch_options`: given to the architecture as they are, `{depth: 4}`.
    `positions`: `upstream` interpolates them as DINOv2's code without registers does, bicubic without antialiasing.
    """
    _check_name(arch)
    options = {
        **({"drop_path_rate": drop_path} if drop_path else {}),
        **({"img_size": img_size} if img_size else {}),
        **(arch_options or {}),
    }
    file = weights_file(arch, weights) if pretrained or weights else None
    made = _create_from_hub(arch, options) if pretrained and file is None else _create(arch, options)
    backbone = _backbone(arch, made, file=file, layers=layers, norm=norm)
    if positions == "upstream":
        interpolate_as_upstream(arch, backbone.model)
    backbone.strict = options.get("dynamic_img_size") is False
    _set_sizes(backbone, options)
    return backbone


def weights_file(arch: str, weights: str | None) -> Path | None:
    """The local file of an architecture's weights, if there is one; the tagged name is looked for first."""
    return files.find(arch, timm.get_pretrained_cfg(arch), weights)


def family(arch: str) -> str:
    """The module of timm that an architecture is in.

    >>> family("vit_tiny_patch16_224.augreg_in21k")
    'vision_transformer'
    """
    _check_name(arch)
    return str(timm.model_entrypoint(arch.partition(".")[0]).__module__).rpartition(".")[2]


def families() -> dict[str, list[str]]:
    """The modules of timm and the architectures of each, all by name."""
    found: dict[str, list[str]] = {}
    for arch in timm.list_models():
        found.setdefault(family(arch), []).append(arch)
    return dict(sorted(found.items()))


def shape_only(
    arch: str,
    options: Mapping[str, Any] | None = None,
    *,
    layers: int | Sequence[int] = 1,
    norm: str = "shared_final",
) -> TimmBackbone:
    """A network without numbers, on torch's meta device: its facts, at no cost."""
    _check_name(arch)
    # A custom start may draw random numbers, which must not move those of the caller.
    with torch.random.fork_rng(devices=[]), torch.device("meta"):
        return _backbone(arch, _create(arch, options or {}), file=None, layers=layers, norm=norm).eval()


def _check_name(arch: str) -> None:
    plain, _, tag = arch.partition(".")
    if not timm.is_model(plain):
        raise UserError(f"timm has no architecture '{arch}'. {did_you_mean(arch, timm.list_models())}")
    known = timm.list_models(f"{plain}.*", pretrained=True) if tag else []
    if tag and arch not in known:
        raise UserError(f"timm has no weights '{tag}' of {plain}. {did_you_mean(arch, known)}")


def _backbone(
    arch: str, model: Any, *, file: Path | None, layers: int | Sequence[int], norm: str
) -> TimmBackbone:
    """Load a file, set the network's own head aside, and wrap the trunk."""
    if not hasattr(model, "forward_intermediates"):
        raise UserError(f"timm's '{arch}' does not give intermediate features; choose another architecture.")
    own: OwnHead | str = _why_no_own_head(arch)
    config = timm.get_pretrained_cfg(arch)
    offered = bool(model.num_classes) or has_own_pooling(model, config)
    sequence = has_tokens(model)
    names = _own_names(model) if offered else frozenset()
    absent = files.load(model, file, own=names) if file is not None else frozenset()
    if absent:
        own = f"{file} does not hold {sorted(absent)[0]}"
    elif offered:
        own = OwnHead(model, sequence=sequence)
    if model.num_classes:
        model.reset_classifier(0)
    # Pooling by attention belongs to the network's own head.
    if getattr(model, "attn_pool", None) is not None:
        model.attn_pool = None
    chosen = _indices(arch, layers, len(model.feature_info))
    backbone = TimmBackbone(model, layers=chosen, norm=norm != "none")
    backbone.arch = arch
    # Past the module's own bookkeeping: registered, it would be part of the backbone's state.
    object.__setattr__(backbone, "_own", own)
    return backbone


def _own_names(model: Any) -> frozenset[str]:
    return frozenset(n for n in model.state_dict() if n.startswith(("attn_pool.", "head.", "fc_norm.")))


def _why_no_own_head(arch: str) -> str:
    config = timm.get_pretrained_cfg(arch)
    if config is not None and config.num_classes:
        return (
            "its weights are a classifier's, and class scores are no descriptor. Use --head cls, gem or mean"
        )
    return "its weights come without a pooling of their own. Use --head cls, gem or mean"


def _set_sizes(backbone: TimmBackbone, options: Mapping[str, Any]) -> None:
    """Find out which sizes the network takes, and say it where that is one alone."""
    asked = json.dumps([options, backbone.layers, backbone.norm], sort_keys=True, default=list)
    backbone.sizes, normalises, backbone.widths = _probed(backbone.arch, asked)
    backbone.patch = backbone.sizes.step
    name = f"timm:{backbone.arch}"
    if backbone.norm and not normalises:
        backbone.norm = False
        backbone.notes.append(f"{name} gives its tokens as they are, without the final norm.")
    if backbone.sizes.fixed and not backbone.strict:
        height, width = backbone.sizes.fixed
        backbone.notes.append(f"{name} takes {height}×{width} pixels alone: every image is resized to that.")
    for line in backbone.notes:
        note(line)


@functools.cache
def _probed(arch: str, asked: str) -> tuple[ImageSizes, bool, tuple[int, ...]]:
    """The sizes a network takes, whether timm applies its final norm to tokens, and the true widths of its layers."""
    options, layers, norm = json.loads(asked)
    shapes = shape_only(arch, options, layers=layers, norm="shared_final" if norm else "none")
    side = options.get("img_size") or shapes.model.pretrained_cfg["input_size"][-1]
    native = (side, side) if isinstance(side, int) else (int(side[0]), int(side[1]))
    made: list[Tokens] = []
    if "norm" in takes(lambda images: made.append(shapes(images)), *native):
        shapes.norm = False
        takes(lambda images: made.append(shapes(images)), *native)
    # SAM's neck is counted to its norm and is narrower than timm's list says.
    widths = tuple(grid.shape[1] for grid in made[-1].grids) if made else shapes.widths
    if family(arch) in _RESIZE_INSIDE:
        return ImageSizes(step=1, fixed=native), shapes.norm, widths
    steps = [shapes.patch]
    if not hasattr(shapes.model, "patch_embed"):
        steps.append(int(shapes.model.feature_info[-1]["reduction"]))
    return find_sizes(shapes, native, steps), shapes.norm, widths


def _indices(arch: str, layers: int | Sequence[int], count: int) -> list[int]:
    """Ascending, non-negative layer indices."""
    asked = range(-layers, 0) if isinstance(layers, int) else layers
    chosen = sorted({index + count if index < 0 else index for index in asked})
    if not chosen or chosen[0] < 0 or chosen[-1] >= count:
        raise UserError(f"layers={layers}: '{arch}' has {count} layers, 0…{count - 1}.")
    return chosen


def _create(arch: str, options: Mapping[str, Any], *, pretrained: bool = False) -> Any:
    """Make the network so that it takes any image size, in whichever way its family spells that."""
    classes = projection_width(timm.get_pretrained_cfg(arch))
    for flexible in ({"dynamic_img_size": True}, {"strict_img_size": False}, {}):
        given = {"num_classes": classes, **flexible, **options}
        try:
            return timm.create_model(arch, pretrained=pretrained, **given)
        except TypeError as error:
            if not any(key in str(error) for key in flexible):
                raise UserError(f"timm's '{arch}' refuses an option: {error}.") from error
    raise AssertionError("the last attempt has no flexible option to refuse")


def _create_from_hub(arch: str, options: Mapping[str, Any]) -> Any:
    """The network with timm's published weights.

    The hub's own client retries for most of a minute before it gives up, so one short request asks first.
    """
    try:
        httpx.head(huggingface_hub.constants.ENDPOINT, timeout=5)
        return _create(arch, options, pretrained=True)
    # A hub that cannot be reached ends as one of these, depending on the layer that noticed first.
    except (OSError, httpx.HTTPError, RuntimeError, ValueError) as error:
        stem = location("weights").path / arch.partition(".")[0]
        raise DataError(
            f"No weights for '{arch}': the hub could not give them ({files.first_line(error)}). Put the "
            f"file at {stem}.safetensors (or .pth), or name it: `vitret extract` with `--weights FILE`, a system in "
            "`model.backbone.weights`. `vitret train` and `bench` may start from random weights: "
            "`--set model.backbone.pretrained=false`."
        ) from error

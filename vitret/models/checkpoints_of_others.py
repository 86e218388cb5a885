"""Other people's published weights, read into our networks by name.

A layout is a list of rules "published name -> our name", tried in order; None marks what is left out on purpose
(classifiers, heads of pre-training). Names were read in each project's code: cirtorch (Radenović), DIR (Revaud),
DOLG on pycls (Yang), Token (Wu), SOLAR (Ng), DINO, DINOv2, DINOv3 (Meta), MoCo v3 (Chen), LV-ViT (Jiang), the R50
hybrids of Google's ViT release, Unicom (An). Files are read without running code in them, and a file that does not
fit is refused with the lists of what is missing, unknown, or of another shape.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from zipfile import BadZipFile

import numpy as np
import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from vitret.core.errors import DataError, UserError, did_you_mean

Rules = Sequence[tuple[str, str | None]]
State = dict[str, Tensor]

# torchvision's ResNet as a list of children: convolution, norm, ReLU, pooling, four stages.
_CHILDREN = {"0": "conv1", "1": "bn1", "4": "layer1", "5": "layer2", "6": "layer3", "7": "layer4"}
_SEQUENTIAL: Rules = [(rf"features\.{i}\.", f"backbone.{name}.") for i, name in _CHILDREN.items()]
_HYBRID = r"backbone.patch_embed.backbone.stages.<\1>.blocks.<\2>."
_PLAIN_VIT: Rules = [(r"(cls_token|pos_embed|patch_embed\.|blocks\.|norm\.)", r"backbone.\1")]

RULES: dict[str, Rules] = {
    "cirtorch": [
        *_SEQUENTIAL,
        (r"pool\.(?:rpool\.)?p$", "head.p"),
        (r"pool\.whiten\.", "head.whiten."),
        (r"whiten\.", "head.fc."),
    ],
    "dir": [
        (r"(conv1|bn1|layer[1-4])\.", r"backbone.\1."),
        (r"adpool\.p$", "head.p"),
        (r"fc\.", "head.fc."),
    ],
    "dolg": [
        (r"globalmodel\.stem\.conv\.", "backbone.conv1."),
        (r"globalmodel\.stem\.bn\.", "backbone.bn1."),
        # Blocks count from 1 there; `_one_less` finishes the number.
        (r"globalmodel\.s([1-4])\.b(\d+)\.proj\.", r"backbone.layer\1.<\2>.downsample.0."),
        (r"globalmodel\.s([1-4])\.b(\d+)\.bn\.", r"backbone.layer\1.<\2>.downsample.1."),
        (r"globalmodel\.s([1-4])\.b(\d+)\.f\.a\.", r"backbone.layer\1.<\2>.conv1."),
        (r"globalmodel\.s([1-4])\.b(\d+)\.f\.a_bn\.", r"backbone.layer\1.<\2>.bn1."),
        (r"globalmodel\.s([1-4])\.b(\d+)\.f\.b\.", r"backbone.layer\1.<\2>.conv2."),
        (r"globalmodel\.s([1-4])\.b(\d+)\.f\.b_bn\.", r"backbone.layer\1.<\2>.bn2."),
        (r"globalmodel\.s([1-4])\.b(\d+)\.f\.c\.", r"backbone.layer\1.<\2>.conv3."),
        (r"globalmodel\.s([1-4])\.b(\d+)\.f\.c_bn\.", r"backbone.layer\1.<\2>.bn3."),
        (r"localmodel\.aspp\.aspp\.", "head.atrous.aspp."),
        (r"localmodel\.aspp\.im_pool\.1\.", "head.atrous.im_pool."),
        (r"localmodel\.aspp\.conv_after\.0\.", "head.atrous.conv_after."),
        (r"localmodel\.", "head.localmodel."),
        (r"pool_g\.p$", "head.p"),
        (r"(fc_t|fc)\.", r"head.\1."),
        (r"desc_cls\.", None),
    ],
    "token": [
        (r"backbone\.block1\.0\.", "backbone.conv1."),
        (r"backbone\.block1\.1\.", "backbone.bn1."),
        *((rf"backbone\.block{i + 1}\.", f"backbone.layer{i}.") for i in range(1, 5)),
        (r"tr\.", "head."),
        (r"classifier\.", None),
    ],
    "solar": [
        (r"features\.conv1\.0\.", "backbone.conv1."),
        (r"features\.conv1\.1\.", "backbone.bn1."),
        (r"features\.conv2_x\.2\.", "backbone.layer1."),
        *((rf"features\.conv{i + 1}_x\.", f"backbone.layer{i}.") for i in range(2, 5)),
        (r"features\.soa[45]\.gamma$", None),  # made there and never used
        (r"features\.soa4\.", "backbone.soa3."),
        (r"features\.soa5\.", "head.soa."),
        (r"pool\.p$", "head.p"),
        (r"whiten\.", "head.whiten."),
    ],
    "dino": [(r"head\.", None), *_PLAIN_VIT],
    "dinov2": [
        (r"mask_token$", None),
        (r"(?:dino_|ibot_)?head\.", None),
        (r"register_tokens$", "backbone.reg_token"),
        (r"blocks\.(\d+\.)?(\d+)\.mlp\.w12\.", r"backbone.blocks.\2.mlp.fc1."),
        (r"blocks\.(\d+\.)?(\d+)\.mlp\.w3\.", r"backbone.blocks.\2.mlp.fc2."),
        (r"blocks\.(\d+)\.(\d+)\.", r"backbone.blocks.\2."),  # chunks of blocks, as training wraps them
        *_PLAIN_VIT,
    ],
    "dinov3": [
        (r"mask_token$", None),
        (r"rope_embed\.", None),  # fixed frequencies
        (r".*\.bias_mask$", None),
        (r"local_cls_norm\.", None),
        (r"storage_tokens$", "backbone.reg_token"),
        (r"blocks\.(\d+)\.ls([12])\.gamma$", r"backbone.blocks.\1.gamma_\2"),
        *_PLAIN_VIT,
    ],
    "mocov3": [
        (r"(?:module\.)?(?:momentum_encoder|predictor)\.", None),
        (r"(?:module\.)?base_encoder\.head\.", None),
        (r"(?:module\.)?base_encoder\.", "backbone."),
    ],
    "lvvit": [(r"(head|aux_head)\.", r"backbone.\1."), *_PLAIN_VIT],
    "unicom": [(r"feature\.", "head.feature."), *_PLAIN_VIT],
    "google_npz": [
        (r"(head|pre_logits)\.", None),
        (r"conv_root\.", "backbone.patch_embed.backbone.stem.conv."),
        (r"gn_root\.", "backbone.patch_embed.backbone.stem.norm."),
        (r"block(\d+)\.unit(\d+)\.conv_proj\.", _HYBRID + r"downsample.conv."),
        (r"block(\d+)\.unit(\d+)\.gn_proj\.", _HYBRID + r"downsample.norm."),
        (r"block(\d+)\.unit(\d+)\.conv(\d)\.", _HYBRID + r"conv\3."),
        (r"block(\d+)\.unit(\d+)\.gn(\d)\.", _HYBRID + r"norm\3."),
        (r"embedding\.", "backbone.patch_embed.proj."),
        (r"cls$", "backbone.cls_token"),
        (r"Transformer\.posembed_input\.pos_embedding$", "backbone.pos_embed"),
        (r"Transformer\.encoder_norm\.", "backbone.norm."),
        (r"Transformer\.encoderblock_(\d+)\.LayerNorm_0\.", r"backbone.blocks.\1.norm1."),
        (r"Transformer\.encoderblock_(\d+)\.LayerNorm_2\.", r"backbone.blocks.\1.norm2."),
        (r"Transformer\.encoderblock_(\d+)\.MultiHeadDotProductAttention_1\.qkv\.", r"backbone.blocks.\1.attn.qkv."),
        (r"Transformer\.encoderblock_(\d+)\.MultiHeadDotProductAttention_1\.out\.", r"backbone.blocks.\1.attn.proj."),
        (r"Transformer\.encoderblock_(\d+)\.MlpBlock_3\.Dense_0\.", r"backbone.blocks.\1.mlp.fc1."),
        (r"Transformer\.encoderblock_(\d+)\.MlpBlock_3\.Dense_1\.", r"backbone.blocks.\1.mlp.fc2."),
    ],
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """What was done with a file: names filled, names of the file left out on purpose."""

    filled: tuple[str, ...]
    left_out: tuple[str, ...]


def read_checkpoint(path: Path) -> State:
    """Tensors of a .safetensors, .npz or PyTorch file, without running any code in it."""
    try:
        if path.suffix == ".safetensors":
            return dict(safetensors.torch.load_file(path))
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as arrays:
                return {name.replace("/", "."): torch.from_numpy(arrays[name]) for name in arrays.files}
        value = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file.") from error
    except (
        UnpicklingError,
        BadZipFile,
        ValueError,
        RuntimeError,
        EOFError,
        safetensors.SafetensorError,
    ) as error:
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise DataError(
            f"{path}: not readable as plain tensors ({first}). A file that carries other objects (a scikit-learn "
            "PCA, an optimiser) must be saved again as a state dict, on a machine where its origin is trusted."
        ) from error
    for wrapper in ("state_dict", "model_state", "model_state_dict", "model", "teacher"):
        if isinstance(value, Mapping) and isinstance(value.get(wrapper), Mapping):
            value = value[wrapper]
    tensors = {k: v for k, v in value.items() if isinstance(v, Tensor)} if isinstance(value, Mapping) else {}
    if not tensors:
        raise DataError(f"{path}: expected a mapping of names to tensors.")
    return tensors


def converted(state: Mapping[str, Tensor], layout: str) -> tuple[State, list[str], list[str]]:
    """A published state under our names ("backbone.…", "head.…"); also what was left out, and what no rule knows."""
    if layout not in RULES:
        raise UserError(f"There is no checkpoint layout '{layout}'. {did_you_mean(layout, RULES)}")
    prepared = _PREPARED.get(layout, _unchanged)(dict(state))
    renamed: State = {}
    left_out: list[str] = []
    unknown: list[str] = []
    for name, value in prepared.items():
        ours = _renamed(name.removeprefix("module.") if layout != "mocov3" else name, layout)
        if ours == "":
            unknown.append(name)
        elif ours is None:
            left_out.append(name)
        else:
            renamed[ours] = value
    return _FINISHED.get(layout, _unchanged)(renamed), left_out, unknown


def _renamed(name: str, layout: str) -> str | None:
    """Our name, None for what is left out on purpose, "" for what no rule knows."""
    if layout in ("dino", "dinov2", "dinov3"):
        name = name.removeprefix("backbone.")  # how training wraps them
    for pattern, ours in RULES[layout]:
        found = re.match(pattern, name)
        if found is None:
            continue
        if ours is None:
            return None
        start = re.sub(r"<(\d+)>", lambda number: str(int(number[1]) - 1), found.expand(ours))
        return start + name[found.end() :]
    return ""


def load_retriever(model: nn.Module, path: Path, *, layout: str) -> Loaded:
    """Fill a whole network (`backbone` and `head`) from a published file; all of it or an error with the lists."""
    return fill(model, read_checkpoint(path), layout=layout, where=str(path))


def load_backbone(backbone: nn.Module, path: Path, *, layout: str) -> Loaded:
    """Fill a backbone alone; what the file holds for a head, or for classifiers the backbone lacks, is left out."""
    return fill(nn.ModuleDict({"backbone": backbone}), read_checkpoint(path), layout=layout, where=str(path))


def fill(model: nn.Module, state: Mapping[str, Tensor], *, layout: str, where: str) -> Loaded:
    """Copy a published state into `model`, strictly.

    A power that the file does not hold (a fixed GeM's) and the step counters of batch norm may be missing.
    """
    renamed, left_out, unknown = converted(state, layout)
    wanted = model.state_dict()
    if any(name.startswith("backbone.model.") for name in wanted):
        renamed = {re.sub(r"^backbone\.", "backbone.model.", name): value for name, value in renamed.items()}
    if not any(name.startswith("head.") for name in wanted):
        left_out += [name for name in renamed if name.startswith("head.")]
    left_out += [name for name in renamed if _classifier(name) and name not in wanted]
    renamed = {name: value for name, value in renamed.items() if name not in left_out}
    missing = [
        n for n in wanted if n not in renamed and n != "head.p" and not n.endswith("num_batches_tracked")
    ]
    unknown += [name for name in renamed if name not in wanted]
    misshapen = [
        f"{name} {tuple(value.shape)} instead of {tuple(wanted[name].shape)}"
        for name, value in renamed.items()
        if name in wanted and value.numel() != wanted[name].numel()
    ]
    problems = [
        f"{len(names)} {title}: {', '.join(names[:8])}{' …' if len(names) > 8 else ''}"
        for title, names in (
            ("missing from the file", missing),
            ("unknown to the network", unknown),
            ("of another shape", misshapen),
        )
        if names
    ]
    if problems:
        raise DataError(
            f"{where}: does not fit as '{layout}': {'; '.join(problems)}. Do architecture, head and image size of the "
            f"system agree with the file's? Layouts: {', '.join(RULES)}."
        )
    model.load_state_dict({n: v.reshape(wanted[n].shape) for n, v in renamed.items()}, strict=False)
    return Loaded(filled=tuple(sorted(renamed)), left_out=tuple(sorted(left_out)))


def _classifier(name: str) -> bool:
    return re.match(r"backbone\.(model\.)?(head|aux_head)\.", name) is not None


def _unchanged(state: State) -> State:
    return state


def _bgr_to_rgb(state: State) -> State:
    # DOLG reads images with OpenCV: its first convolution expects blue first. Ours are red first.
    name = "backbone.conv1.weight"
    return {**state, name: state[name].flip(1)} if name in state else state


def _registers(state: State) -> State:
    """Timm gives class and register tokens no position of their own where registers exist; the sum is the same."""
    if "backbone.reg_token" not in state:
        return state
    positions = state["backbone.pos_embed"]
    token = state["backbone.cls_token"] + positions[:, :1]
    return {**state, "backbone.cls_token": token, "backbone.pos_embed": positions[:, 1:]}


def _key_bias_zero(state: State) -> State:
    # DINOv3 trains no bias for keys; timm keeps the other two apart, and where all are zero it has none.
    found: State = {}
    for name, value in state.items():
        if not name.endswith("attn.qkv.bias"):
            found[name] = value
        elif value.abs().max() > 0:
            stem = name.removesuffix("qkv.bias")
            found[stem + "q_bias"], _, found[stem + "v_bias"] = value.chunk(3)
    return found


def _google(state: State) -> State:
    """Kernels from JAX's order (H, W, in, out) and (in, heads, d) to ours; query, key and value joined."""
    found: State = {}
    for name, value in state.items():
        place, _, kind = name.rpartition(".")
        if place.endswith((".query", ".key", ".value")):
            if not place.endswith(".query"):
                continue
            parts = [
                state[f"{place.removesuffix('query')}{which}.{kind}"] for which in ("query", "key", "value")
            ]
            rows = [p.flatten(1).T if kind == "kernel" else p.flatten() for p in parts]
            end = "weight" if kind == "kernel" else "bias"
            found[f"{place.removesuffix('query')}qkv.{end}"] = torch.cat(rows)
        elif kind == "kernel" and value.ndim == 4:
            found[f"{place}.weight"] = value.permute(3, 2, 0, 1)
        elif kind == "kernel":
            found[f"{place}.weight"] = value.flatten(0, -2).T
        elif kind == "scale":
            found[f"{place}.weight"] = value.flatten()
        elif kind == "bias":
            found[name] = value.flatten()
        else:
            found[name] = value
    return found


_PREPARED: dict[str, Callable[[State], State]] = {"google_npz": _google}
_FINISHED: dict[str, Callable[[State], State]] = {
    "dolg": _bgr_to_rgb,
    "dinov2": _registers,
    "dinov3": _key_bias_zero,
}

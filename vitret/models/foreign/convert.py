"""A published state under our names: the rules of its layout, and what rules cannot say (kernels, channels, tokens)."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from vitret.core.errors import UserError, did_you_mean
from vitret.models.foreign.layouts import LAYOUTS
from vitret.models.foreign.read import State


@dataclass(frozen=True, kw_only=True, eq=False)
class Converted:
    """A published state under our names ("backbone.…", "head.…"); what was left out; what no rule knows."""

    state: State
    left_out: tuple[str, ...]
    unknown: State


def converted(state: Mapping[str, Tensor], layout: str) -> Converted:
    """Give each tensor of a published state the name that its layout's rules say."""
    check_layout(layout)
    prepared = _PREPARED.get(layout, _unchanged)(dict(state))
    renamed: State = {}
    left_out: list[str] = []
    unknown: State = {}
    for name, value in prepared.items():
        ours = _renamed(name.removeprefix("module.") if layout != "mocov3" else name, layout)
        if ours == "":
            unknown[name] = value
        elif ours is None:
            left_out.append(name)
        else:
            renamed[ours] = value
    finished = _FINISHED.get(layout, _unchanged)(renamed)
    return Converted(state=finished, left_out=tuple(left_out), unknown=unknown)


def _renamed(name: str, layout: str) -> str | None:
    """Our name, None for what is left out on purpose, "" for what no rule knows."""
    if layout in ("dino", "dinov2", "dinov3"):
        name = name.removeprefix("backbone.")  # how training wraps them
    for pattern, ours in LAYOUTS[layout].rules:
        found = re.match(pattern, name)
        if found is None:
            continue
        if ours is None:
            return None
        start = re.sub(r"<(\d+)>", lambda number: str(int(number[1]) - 1), found.expand(ours))
        return start + name[found.end() :]
    return ""


def check_layout(layout: str) -> None:
    """Refuse a name that is no layout's."""
    if layout not in LAYOUTS:
        raise UserError(
            f"There is no checkpoint layout '{layout}'. {did_you_mean(layout, LAYOUTS)} All: vitret list layouts"
        )


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

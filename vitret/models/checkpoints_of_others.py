"""Other people's published weights, read into our networks by name (`layouts`).

Files are read without running code in them, and a file that does not fit is refused with the lists of what is missing,
unknown, or of another shape.
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any
from zipfile import BadZipFile

import numpy as np
import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from vitret.core.config import location
from vitret.core.errors import DataError, UserError, did_you_mean
from vitret.models.layouts import LAYOUTS
from vitret.models.vision_transformer import resized_positions

State = dict[str, Tensor]


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """What was done with a file: names filled, names of the file left out on purpose, positions resized.

    `drawn` are names of the head or of attention that the file does not hold: they keep the values they were drawn
    with.
    """

    filled: tuple[str, ...]
    left_out: tuple[str, ...]
    resized: tuple[str, ...] = ()
    drawn: tuple[str, ...] = ()

    def __str__(self) -> str:
        rest = (("left out", self.left_out), ("resized", self.resized), ("not in the file", self.drawn))
        return "; ".join(
            [
                f"{len(self.filled)} tensors filled",
                *(f"{title}: {_some(names)}" for title, names in rest if names),
            ]
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Checkpoint:
    """A file's tensors and, where it says so (cirtorch's `meta`), the mean and deviation of the pixels it expects."""

    state: State
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None


# cirtorch keeps its learned whitening beside the weights as numpy arrays. They are plain numbers: these names rebuild
# an array and can do nothing else. NumPy 2 moved the module; files say the old name.
_REBUILD = np.zeros(0).__reduce__()[0]
_ARRAYS: list[Any] = [
    *((_REBUILD, f"numpy.{core}.multiarray._reconstruct") for core in ("core", "_core")),
    *(np.ndarray, np.dtype, type(np.dtype(np.float32)), type(np.dtype(np.float64))),
]


def read_checkpoint(path: Path) -> Checkpoint:
    """A .safetensors, .npz or PyTorch file, without running any code in it."""
    try:
        if path.suffix == ".safetensors":
            return Checkpoint(state=dict(safetensors.torch.load_file(path)))
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as arrays:
                names = {name.replace("/", "."): torch.from_numpy(arrays[name]) for name in arrays.files}
            return Checkpoint(state=names)
        with torch.serialization.safe_globals(_ARRAYS):
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
    meta = value.get("meta") if isinstance(value, Mapping) else None
    for wrapper in ("state_dict", "model_state", "model_state_dict", "model", "teacher"):
        if isinstance(value, Mapping) and isinstance(value.get(wrapper), Mapping):
            value = value[wrapper]
    tensors = {k: v for k, v in value.items() if isinstance(v, Tensor)} if isinstance(value, Mapping) else {}
    if not tensors:
        raise DataError(f"{path}: expected a mapping of names to tensors.")
    return Checkpoint(state=tensors, mean=_channels(meta, "mean"), std=_channels(meta, "std"))


def _channels(meta: object, key: str) -> tuple[float, ...] | None:
    """Three numbers out of a `meta` that has them."""
    value = meta.get(key) if isinstance(meta, Mapping) else None
    plain = isinstance(value, list | tuple) and all(isinstance(v, int | float) for v in value)
    return tuple(float(v) for v in value) if plain and value is not None else None


def converted(state: Mapping[str, Tensor], layout: str) -> tuple[State, list[str], list[str]]:
    """A published state under our names ("backbone.…", "head.…"); also what was left out, and what no rule knows."""
    _known(layout)
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
    for pattern, ours in LAYOUTS[layout].rules:
        found = re.match(pattern, name)
        if found is None:
            continue
        if ours is None:
            return None
        start = re.sub(r"<(\d+)>", lambda number: str(int(number[1]) - 1), found.expand(ours))
        return start + name[found.end() :]
    return ""


def load_checkpoint(model: nn.Module, file: str, *, layout: str) -> Loaded:
    """Fill a whole network (`backbone` and `head`) from a published file; all of it or an error with the lists.

    A relative name is looked for here and then in the folder of weights. Where the layout's files hold a backbone
    alone, the head keeps what it was drawn with (`Loaded.drawn`). A file that names the mean and deviation of its
    pixels must name the network's.
    """
    _known(layout)
    path = _found(file)
    checkpoint = read_checkpoint(path)
    for title, theirs in (("mean", checkpoint.mean), ("std", checkpoint.std)):
        ours = tuple(float(v) for v in getattr(model, title))
        if theirs is not None and not np.allclose(theirs, ours, atol=1e-3):
            raise DataError(
                f"{path}: made for pixels of {title} {_numbers(theirs)}, this backbone gives {_numbers(ours)} (red, "
                "green, blue; fractions of 255). Choose the backbone whose normalisation is the file's: of resnet_soa, "
                "`caffe: true` is Caffe's and `caffe: false` ImageNet's."
            )
    return fill(model, checkpoint.state, layout=layout, where=str(path))


def load_backbone(backbone: nn.Module, path: Path, *, layout: str) -> Loaded:
    """Fill a backbone alone; what the file holds for a head, or for classifiers the backbone lacks, is left out."""
    return fill(
        nn.ModuleDict({"backbone": backbone}), read_checkpoint(path).state, layout=layout, where=str(path)
    )


def _known(layout: str) -> None:
    if layout not in LAYOUTS:
        raise UserError(
            f"There is no checkpoint layout '{layout}'. {did_you_mean(layout, LAYOUTS)} All: vitret list layouts"
        )


def _found(file: str) -> Path:
    path = Path(file).expanduser()
    kept = location("weights").path / path
    if not path.is_file() and not kept.is_file():
        raise DataError(
            f"{path}: no such file, here or in {location('weights').path}. Download it where its project offers it and "
            "put it there, or name where it is: `--checkpoint FILE`, in a system `model.checkpoint.file`."
        )
    return path if path.is_file() else kept


def _numbers(values: Sequence[float]) -> str:
    return " / ".join(f"{value:.4g}" for value in values)


def fill(model: nn.Module, state: Mapping[str, Tensor], *, layout: str, where: str) -> Loaded:
    """Copy a published state into `model`, strictly; a position embedding of another grid is resized.

    A power that the file does not hold (a fixed GeM's) and the step counters of batch norm may be missing, and the
    head where no file of the layout has one. So may second-order attention, which starts as the identity: SOLAR starts
    from cirtorch's networks.
    """
    renamed, left_out, unknown = converted(state, layout)
    wanted = model.state_dict()
    if any(name.startswith("backbone.model.") for name in wanted):
        renamed = {re.sub(r"^backbone\.", "backbone.model.", name): value for name, value in renamed.items()}
    if not any(name.startswith("head.") for name in wanted):
        left_out += [name for name in renamed if name.startswith("head.")]
    left_out += [name for name in renamed if _classifier(name) and name not in wanted]
    renamed = {name: value for name, value in renamed.items() if name not in left_out}
    renamed, resized = _at_native_grid(model, renamed)
    missing = [
        n for n in wanted if n not in renamed and n != "head.p" and not n.endswith("num_batches_tracked")
    ]
    drawn: list[str] = []
    if not LAYOUTS[layout].has_head:
        drawn = [name for name in missing if name.startswith("head.")]
    if not LAYOUTS[layout].has_attention:
        drawn += [name for name in missing if ".soa" in name and name not in drawn]
    missing = [name for name in missing if name not in drawn]
    unknown += [name for name in renamed if name not in wanted]
    misshapen = [
        f"{name} {tuple(value.shape)} instead of {tuple(wanted[name].shape)}"
        for name, value in renamed.items()
        if name in wanted and _sides(value) != _sides(wanted[name])
    ]
    problems = [
        f"{len(names)} {title}: {_some(names)}"
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
            f"system agree with the file's? '{layout}' fits {LAYOUTS[layout].fits}. Other layouts: vitret list layouts"
        )
    model.load_state_dict({n: v.reshape(wanted[n].shape) for n, v in renamed.items()}, strict=False)
    return Loaded(
        filled=tuple(sorted(renamed)),
        left_out=tuple(sorted(left_out)),
        resized=tuple(resized),
        drawn=tuple(drawn),
    )


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:8]) + (" …" if len(names) > 8 else "")


def _sides(value: Tensor) -> list[int]:
    """A shape without its axes of one: linear layers stand as 1x1 convolutions in some files, powers as scalars."""
    return [side for side in value.shape if side != 1]


def _at_native_grid(model: nn.Module, state: State) -> tuple[State, list[str]]:
    """The state with position embeddings of another (square) grid resized to the network's; also what was done."""
    wanted = model.state_dict()
    changed = dict(state)
    said = []
    for name, value in state.items():
        if not name.endswith("pos_embed") or name not in wanted or value.shape == wanted[name].shape:
            continue
        grid = _grid(model.get_submodule(name.rpartition(".")[0]))
        if grid is None or value.ndim != 3 or value.shape[2] != wanted[name].shape[2]:
            continue
        cells = value.shape[1] - (wanted[name].shape[1] - grid[0] * grid[1])
        side = math.isqrt(max(cells, 0))
        if side > 0 and side * side == cells:
            changed[name] = resized_positions(value, (side, side), grid)
            said.append(f"{name} from {side} x {side} to {grid[0]} x {grid[1]}")
    return changed, said


def _grid(network: nn.Module) -> tuple[int, int] | None:
    """The grid whose positions a network stores: ours has it as `grid`, timm's at its patch embedding."""
    found = getattr(network, "grid", None) or getattr(
        getattr(network, "patch_embed", None), "grid_size", None
    )
    return None if found is None else (int(found[0]), int(found[1]))


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

"""Other projects' checkpoints read into our networks, all of a file or an error with what does not fit."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor, nn

from vitret.core.config import location
from vitret.core.errors import DataError
from vitret.models.foreign.convert import check_layout, converted
from vitret.models.foreign.layouts import LAYOUTS
from vitret.models.foreign.read import State, read_checkpoint
from vitret.models.states import load_state, some
from vitret.models.vision_transformer import resized_positions


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """What was done with a file: names filled, names of the file left out on purpose, positions resized.

    `drawn` are names of the head or of attention that the file does not hold: they keep their initial values.
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
                *(f"{title}: {some(names)}" for title, names in rest if names),
            ]
        )


def load_checkpoint(model: nn.Module, file: str, *, layout: str) -> Loaded:
    """Fill a whole network (`backbone` and `head`) from a published file; all of it or an error with the lists.

    A relative name is looked for here and then in the folder of weights. Where the layout's files hold a backbone
    alone, the head keeps what it was drawn with (`Loaded.drawn`). A file that names the mean and deviation of its
    pixels must name the network's.
    """
    check_layout(layout)
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
    """Fill a backbone alone; a head in the file, and classifiers that the backbone does not have, are left out."""
    return fill(
        nn.ModuleDict({"backbone": backbone}), read_checkpoint(path).state, layout=layout, where=str(path)
    )


def find_checkpoint(file: str) -> Path | None:
    """A checkpoint's file, looked for here and then in the folder of weights."""
    path = Path(file).expanduser()
    kept = location("weights").path / path
    return next((place for place in (path, kept) if place.is_file()), None)


def _found(file: str) -> Path:
    path, found = Path(file).expanduser(), find_checkpoint(file)
    if found is None:
        raise DataError(
            f"{path}: no such file, here or in {location('weights').path}. Download it where its project offers it and "
            "put it there, or name where it is: `--checkpoint FILE`, in a system `model.checkpoint.file`."
        )
    return found


def _numbers(values: Sequence[float]) -> str:
    return " / ".join(f"{value:.4g}" for value in values)


def fill(model: nn.Module, state: Mapping[str, Tensor], *, layout: str, where: str) -> Loaded:
    """Copy a published state into `model`, strictly; a position embedding of another grid is resized.

    A power that the file does not hold (a fixed GeM's) and the step counters of batch norm may be missing, and the
    head where no file of the layout has one.
    """
    published = converted(state, layout)
    wanted = model.state_dict()
    ours = _as_wrapped(published.state, wanted)
    unused = [name for name in ours if _without_place(name, wanted)]
    ours, resized = _at_native_grid(model, {name: v for name, v in ours.items() if name not in unused})
    ours = _with_axes_of(wanted, ours)

    def drawn(name: str) -> bool:
        # Second-order attention starts as the identity: SOLAR starts from cirtorch's networks, which have none.
        attention = ".soa" in name and not LAYOUTS[layout].has_attention
        fresh = name.startswith(LAYOUTS[layout].draws)
        return (
            attention
            or fresh
            or (name.startswith("head.") and name != "head.p" and not LAYOUTS[layout].has_head)
        )

    load_state(
        model,
        {**ours, **{f"{name} (no rule)": value for name, value in published.unknown.items()}},
        source=f"{where}: as '{layout}' it",
        advice="Do architecture, head and image size of the system agree with the file's? "
        f"'{layout}' fits {LAYOUTS[layout].fits}. Other layouts: vitret list layouts",
        may_miss=lambda name: drawn(name) or name == "head.p" or name.endswith("num_batches_tracked"),
    )
    return Loaded(
        filled=tuple(sorted(ours)),
        left_out=tuple(sorted([*published.left_out, *unused])),
        resized=tuple(resized),
        drawn=tuple(name for name in wanted if name not in ours and drawn(name)),
    )


def _as_wrapped(state: State, wanted: Mapping[str, Tensor]) -> State:
    """The state under the names of timm's networks, which stand one level deeper, if the network is one."""
    if not any(name.startswith("backbone.model.") for name in wanted):
        return state
    return {re.sub(r"^backbone\.", "backbone.model.", name): value for name, value in state.items()}


def _without_place(name: str, wanted: Mapping[str, Tensor]) -> bool:
    """Whether a name is a classifier's, or a head's, for which a network without one has no place."""
    if name.startswith("head."):
        return not any(other.startswith("head.") for other in wanted)
    return name not in wanted and _classifier(name)


def _with_axes_of(wanted: Mapping[str, Tensor], state: State) -> State:
    """The state in the network's shapes where only axes of one differ."""
    return {
        name: value.reshape(wanted[name].shape)
        if name in wanted and _sides(value) == _sides(wanted[name])
        else value
        for name, value in state.items()
    }


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

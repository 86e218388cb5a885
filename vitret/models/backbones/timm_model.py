"""Any network of timm as a backbone: prefix tokens and patch grids of any layers, at any image size.

Weights are looked for in this order: the option `weights`, $VITRET_WEIGHTS/<arch>.safetensors or .pth,
the hub's cache on this machine, the hub. The only module that imports timm.
"""

import inspect
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from pickle import UnpicklingError
from types import ModuleType
from typing import Any, Literal

import httpx
import huggingface_hub
import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from vitret.core.config import location
from vitret.core.errors import DataError, UserError, did_you_mean
from vitret.models.tokens import Tokens

SUFFIXES = (".safetensors", ".pth", ".pt", ".bin")
# Names under which training scripts wrap a state dict, and prefixes that wrappers put before its keys.
_WRAPPERS = ("state_dict", "model", "model_state_dict")
_PREFIXES = ("module.", "_orig_mod.")
_CLASSIFIERS = ("head", "head_dist", "head.fc", "fc", "classifier", "last_linear")


def _import_timm() -> ModuleType:
    """Import timm, also where PyPI's CUDA-built torchvision stands beside a CPU-only torch.

    There `import torchvision` dies with "operator torchvision::nms does not exist" (pytorch/vision#9085), because
    its library with the operators cannot be loaded. Declaring the schemas lets its Python part be imported, which is
    all timm needs. Can go when torchvision imports without its operators.
    """
    try:
        import torchvision
    except RuntimeError as error:
        if "operator torchvision::nms does not exist" not in str(error):
            raise
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
        library = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
        for operator in ("nms", "qnms"):
            schema = f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
            library.define(schema)  # type: ignore[no-untyped-call]
        import torchvision

        # The declarations vanish with the object that made them.
        torchvision.schemas_of_missing_operators = library
    import timm

    return timm  # type: ignore[no-any-return]


timm: Any = _import_timm()


class TimmBackbone(nn.Module):
    """A timm network without its classifier.

    `widths` has one entry per asked-for layer; `patch` is what both image sides must be multiples of (1 for a CNN).
    """

    def __init__(self, model: Any, *, layers: list[int], norm: bool) -> None:
        super().__init__()
        self.model = model
        self.layers = layers
        self.norm = norm
        channels = [info["num_chs"] for info in model.feature_info]
        last = len(channels) - 1
        # An EfficientNet pools its 1×1 head convolution, which comes after the last stage that timm lists.
        self.head_conv = last in layers and not _has_tokens(model) and model.num_features != channels[last]
        if self.head_conv:
            channels[last] = model.num_features
        self.widths: tuple[int, ...] = tuple(channels[layer] for layer in layers)
        self.patch: int = _patch(model)
        self.prefix_tokens: int = int(getattr(model, "num_prefix_tokens", 0))
        self.mean: tuple[float, ...] = tuple(model.pretrained_cfg["mean"])
        self.std: tuple[float, ...] = tuple(model.pretrained_cfg["std"])
        known = inspect.signature(model.forward_intermediates).parameters
        self._takes_prefix = "return_prefix_tokens" in known and self.prefix_tokens > 0
        # XCiT and CaiT: the class token enters after the last block, in blocks of its own.
        late = any(
            getattr(model, name, None) is not None for name in ("cls_attn_blocks", "blocks_token_only")
        )
        self.class_attention = late and last in layers
        if late:
            self.prefix_tokens = int(self.class_attention)

    def forward(self, images: Tensor) -> Tokens:
        """Tokens of `images` (B, 3, H, W); H and W are multiples of `patch`.

        With class attention (XCiT, CaiT) the last layer is what the whole network makes, class token and grid; the
        layers before it have no prefix tokens.
        """
        if self.class_attention:
            return self._with_class_token(images)
        extra = {"return_prefix_tokens": True} if self._takes_prefix else {}
        given = self.model.forward_intermediates(
            images,
            indices=self.layers,
            norm=self.norm,
            stop_early=not self.head_conv,
            intermediates_only=not self.head_conv,
            **extra,
        )
        if self.head_conv:
            final, given = given
            given[-1] = final
        if self._takes_prefix:
            return Tokens(prefix=tuple(p for _, p in given), grids=tuple(g for g, _ in given))
        return Tokens(prefix=tuple(_no_prefix(grid) for grid in given), grids=tuple(given))

    def _with_class_token(self, images: Tensor) -> Tokens:
        # Before the final norm, which the network's own forward applies after the class attention.
        grids = self.model.forward_intermediates(
            images, indices=self.layers, norm=False, intermediates_only=True
        )
        size = grids[-1].shape[2:]
        tokens = self.model.forward_cls(grids[-1].flatten(2).transpose(1, 2))
        if self.norm:
            tokens = self.model.norm(tokens)
            # Channels last for the norm, and back.
            grids = [
                self.model.norm(grid.permute(0, 2, 3, 1)).permute(0, 3, 1, 2) for grid in grids[:-1]
            ] + grids[-1:]
        grids[-1] = tokens[:, 1:].transpose(1, 2).unflatten(2, size)
        return Tokens(prefix=(*(_no_prefix(grid) for grid in grids[:-1]), tokens[:, :1]), grids=tuple(grids))


def _no_prefix(grid: Tensor) -> Tensor:
    return grid.new_zeros(grid.shape[0], 0, grid.shape[1])


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
) -> TimmBackbone:
    """A timm network by name.

    `weights`: a .safetensors or .pth file; `pretrained=False` leaves the weights random.
    `layers`: how many of the last blocks (of a CNN: stages), or their indices, negative from the end.
    `norm`: whether the network's final norm is applied to the tokens of every layer.
    `img_size`: the size whose position embedding is stored; other sizes are interpolated from it on the fly.
    `arch_options`: given to the architecture as they are, `{depth: 4}`.
    """
    if not timm.is_model(arch.partition(".")[0]):
        raise UserError(f"timm has no architecture '{arch}'. {did_you_mean(arch, timm.list_models())}")
    file = weights_file(arch, weights) if pretrained or weights else None
    from_hub = pretrained and file is None
    options = {
        **({"drop_path_rate": drop_path} if drop_path else {}),
        **({"img_size": img_size} if img_size else {}),
        **(arch_options or {}),
    }
    model = _from_hub(arch, options) if from_hub else _create(arch, options, pretrained=False)
    if file is not None:
        _load(model, file)
    if not hasattr(model, "forward_intermediates"):
        raise UserError(f"timm's '{arch}' does not give intermediate features; choose another architecture.")
    # Pooling by attention belongs to timm's own head, which is not used here.
    if getattr(model, "attn_pool", None) is not None:
        model.attn_pool = None
    return TimmBackbone(model, layers=_indices(arch, layers, len(model.feature_info)), norm=norm != "none")


def _patch(model: Any) -> int:
    """What image sides must be multiples of: 1 for a CNN."""
    stem = getattr(model, "patch_embed", None)
    if stem is None:
        return 1
    # XCiT's stem of convolutions has no such method.
    return int(stem.feat_ratio() if hasattr(stem, "feat_ratio") else model.feature_info[-1]["reduction"])


def _has_tokens(model: Any) -> bool:
    return hasattr(model, "patch_embed") or bool(getattr(model, "num_prefix_tokens", 0))


def _indices(arch: str, layers: int | Sequence[int], count: int) -> list[int]:
    """Ascending, non-negative layer indices."""
    asked = range(-layers, 0) if isinstance(layers, int) else layers
    chosen = sorted({index + count if index < 0 else index for index in asked})
    if not chosen or chosen[0] < 0 or chosen[-1] >= count:
        raise UserError(f"layers={layers}: '{arch}' has {count} layers, 0…{count - 1}.")
    return chosen


def _create(arch: str, options: Mapping[str, Any], *, pretrained: bool) -> Any:
    """Make the network so that it takes any image size, in whichever way its family spells that."""
    for flexible in ({"dynamic_img_size": True}, {"strict_img_size": False}, {}):
        try:
            return timm.create_model(arch, pretrained=pretrained, num_classes=0, **{**flexible, **options})
        except TypeError as error:
            if not any(key in str(error) for key in flexible):
                raise UserError(f"timm's '{arch}' refuses an option: {error}.") from error
    raise AssertionError("the last attempt has no flexible option to refuse")


def _from_hub(arch: str, options: Mapping[str, Any]) -> Any:
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
            f"No weights for '{arch}': the hub could not give them ({_first_line(error)}). Three ways out: "
            f"put the file at {stem}.safetensors (or .pth); name it with `--weights FILE` (in a system: "
            "`model.backbone.weights`); or start from random weights with `--set model.backbone.pretrained=false`."
        ) from error


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def weights_file(arch: str, weights: str | None) -> Path | None:
    """The local file of an architecture's weights, if there is one; the tagged name is looked for first."""
    if weights is not None:
        path = Path(weights).expanduser()
        if not path.is_file():
            raise DataError(f"{path}: no such weights file.")
        return path
    folder = location("weights").path
    stems = dict.fromkeys((arch, arch.partition(".")[0]))
    found = (folder / f"{stem}{suffix}" for stem in stems for suffix in SUFFIXES)
    return next((path for path in found if path.is_file()), None) or _cached_file(arch)


def _cached_file(arch: str) -> Path | None:
    """What an earlier download left in the hub's cache, so that a second use needs no network."""
    config = timm.get_pretrained_cfg(arch)
    if config is None or not config.hf_hub_id or config.custom_load:
        return None
    for name in (config.hf_hub_filename, "model.safetensors", "pytorch_model.bin"):
        cached = name and huggingface_hub.try_to_load_from_cache(config.hf_hub_id, name)
        if isinstance(cached, str):
            return Path(cached)
    return None


def read_state(path: Path) -> dict[str, Tensor]:
    """Tensors of a .safetensors file or of a PyTorch file, the latter without running any code in it."""
    try:
        if path.suffix == ".safetensors":
            return dict(safetensors.torch.load_file(path))
        value = torch.load(path, map_location="cpu", weights_only=True)
    except (safetensors.SafetensorError, UnpicklingError, RuntimeError, EOFError, OSError) as error:
        raise DataError(
            f"{path}: not readable as weights ({_first_line(error)}). Only plain tensors are accepted: "
            "a checkpoint with code in it must be saved again as a state dict. Files of other projects are read with "
            "--checkpoint FILE --layout NAME (in a system: `checkpoint`): vitret list layouts"
        ) from error
    for key in _WRAPPERS:
        if isinstance(value, Mapping) and isinstance(value.get(key), Mapping):
            value = value[key]
    if not isinstance(value, Mapping) or not value or not all(isinstance(v, Tensor) for v in value.values()):
        raise DataError(f"{path}: expected a mapping of names to tensors.")
    return {_unwrapped(name): tensor for name, tensor in value.items()}


def _unwrapped(name: str) -> str:
    for prefix in _PREFIXES:
        name = name.removeprefix(prefix)
    return name


def _load(model: Any, path: Path) -> None:
    """Load weights strictly, apart from the classifier; refuse with both lists when keys do not match."""
    state = read_state(path)
    # timm's own filter of the family renames foreign checkpoints and resizes position embeddings.
    convert = getattr(sys.modules[type(model).__module__], "checkpoint_filter_fn", None)
    if convert is not None:
        state = convert(state, model)
    wanted = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    names = model.pretrained_cfg.get("classifier") or ()
    heads = {*_CLASSIFIERS, *([names] if isinstance(names, str) else names)}
    dropped = {f"{head}.{end}" for head in heads for end in ("weight", "bias")} - set(wanted)
    state = {k: v for k, v in state.items() if k not in dropped and not k.startswith("attn_pool.")}
    # Exporters leave out the step counters of batch norm, which nothing at test time reads.
    optional = {k for k in wanted if k.startswith("attn_pool.") or k.endswith(".num_batches_tracked")}
    problems = [
        _listing("missing from the file", wanted.keys() - state.keys() - optional),
        _listing("unknown to the network", state.keys() - wanted.keys()),
        _listing(
            "of another shape",
            {
                f"{k} {tuple(state[k].shape)} instead of {wanted[k]}"
                for k in wanted.keys() & state.keys()
                if tuple(state[k].shape) != wanted[k]
            },
        ),
    ]
    if any(problems):
        raise DataError(
            f"{path}: does not fit {type(model).__name__} '{model.pretrained_cfg.get('architecture')}': "
            + "; ".join(p for p in problems if p)
            + ". Is it the file of another architecture, or of another project (vitret list layouts)?"
        )
    model.load_state_dict(state, strict=False)


def _listing(title: str, names: Iterable[str]) -> str:
    names = sorted(names)
    if not names:
        return ""
    more = f" and {len(names) - 6} more" if len(names) > 6 else ""
    return f"{len(names)} {title}: " + ", ".join(names[:6]) + more

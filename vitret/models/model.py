"""A retrieval network: a backbone that gives tokens, a head that makes one vector of them, unit length at the end."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn
from torch.nn import functional

from vitret.core import plugins
from vitret.core.config import validate
from vitret.core.disguise import require_content
from vitret.core.errors import DataError, UserError
from vitret.core.networks import ModelSpec, Part
from vitret.core.store import parse_json, write_bytes
from vitret.models.foreign.fill import Loaded, load_checkpoint
from vitret.models.states import load_state
from vitret.models.torch_files import load_safetensors

# Options of a backbone that only say where weights come from; the weights themselves are in the state.
_ORIGIN = ("pretrained", "weights")


class Retriever(nn.Module):
    """Images to descriptors: tokens, head, L2."""

    def __init__(self, backbone: nn.Module, head: nn.Module, spec: ModelSpec) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head
        self.spec = spec
        # On the device with the weights, so that normalising never waits for a copy; not in checkpoints.
        self.register_buffer("_mean", torch.tensor(self.mean).view(3, 1, 1), persistent=False)
        self.register_buffer("_std", torch.tensor(self.std).view(3, 1, 1), persistent=False)

    @property
    def dim(self) -> int:
        """Channels D of a descriptor."""
        return int(self.head.dim)  # type: ignore[arg-type]

    @property
    def patch(self) -> int:
        """Image sides must be multiples of this many pixels."""
        return int(self.backbone.patch)  # type: ignore[arg-type]

    @property
    def mean(self) -> tuple[float, float, float]:
        r, g, b = (float(v) for v in self.backbone.mean)  # type: ignore[union-attr]
        return r, g, b

    @property
    def std(self) -> tuple[float, float, float]:
        r, g, b = (float(v) for v in self.backbone.std)  # type: ignore[union-attr]
        return r, g, b

    def normalised(self, pixels: Tensor) -> Tensor:
        """What `forward` expects of uint8 RGB pixels (B, 3, H, W): float32, mean and deviation of the backbone."""
        assert isinstance(self._mean, Tensor)
        assert isinstance(self._std, Tensor)
        # One new tensor instead of four: on a CPU every one of them would touch fresh memory.
        return pixels.to(torch.float32, copy=True).div_(255).sub_(self._mean).div_(self._std)

    def forward(self, images: Tensor) -> Tensor:
        """Descriptors (B, dim), float32, of unit length (a zero vector stays zero).

        `images` (B, 3, H, W) as `normalised` gives them; H and W are multiples of `patch`.
        """
        return functional.normalize(self.raw(images), dim=-1)

    def raw(self, images: Tensor) -> Tensor:
        """What the head gives, (B, dim) float32, of any length."""
        y: Tensor = self.head(self.backbone(images)).float()
        return y


def build_model(spec: ModelSpec, *, tell: Callable[[Loaded], None] | None = None) -> Retriever:
    """The network a spec describes; random parts draw from torch's global generator, which the caller seeds.

    `tell` is given what was done with the spec's checkpoint, if it has one.
    """
    spec = spec.resolved()
    _check_norms(spec)
    # A checkpoint fills the whole backbone: other weights would be fetched to be overwritten.
    made = spec if spec.checkpoint is None else without_weights(spec)
    backbone = plugins.build("backbones", made.backbone.name, **made.backbone.options)
    head = plugins.build("heads", made.head.name, backbone.widths, **made.head.options)
    if hasattr(head, "take_from"):
        head.take_from(backbone)
    elif getattr(backbone, "gives_vectors", False):
        raise UserError(
            f"head {made.head.name}: {spec.architecture} gives one vector an image, which is the descriptor as it is. "
            "Leave the head out, or take --head native."
        )
    model = Retriever(backbone, head, spec)
    if spec.checkpoint is not None:
        loaded = load_checkpoint(model, spec.checkpoint.file, layout=spec.checkpoint.layout)
        if tell is not None:
            tell(loaded)
    return model


def _check_norms(spec: ModelSpec) -> None:
    """A head that normalises each layer's tokens itself must get them as they left their layers."""
    given = spec.backbone.options.get("norm", "none")
    if spec.head.options.get("norm_tokens") == "per_layer" and given != "none":
        raise UserError(
            f"head {spec.head.name}: norm_tokens is per_layer, but the backbone has normalised the tokens already "
            f"(norm: {given}). Set its norm: none, `--set model.backbone.norm=none`."
        )


def parameters(module: nn.Module) -> int:
    """How many numbers a module learns or could learn, frozen ones included, shared ones once."""
    return sum(p.numel() for p in module.parameters())


def model_digest(model: Retriever) -> str:
    """Sha256 of everything in a network that can change a descriptor: spec, normalisation, parameters, buffers.

    The same weights give the same digest whatever file they came from.
    """
    about = {
        "spec": without_weights(model.spec).model_dump(mode="json"),
        "mean": model.mean,
        "std": model.std,
    }
    sha = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
    for name, value in sorted(model.state_dict().items()):
        sha.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        sha.update(value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    return sha.hexdigest()


def save_model(path: Path, model: Retriever, spec: ModelSpec | None = None) -> None:
    """Write weights and spec into one safetensors file, whole or not at all."""
    state = {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
    text = json.dumps((spec or model.spec).resolved().model_dump(mode="json"), sort_keys=True)
    # Shared parameters would be refused; a copy of each is what strict loading wants.
    seen: set[int] = set()
    for name, value in state.items():
        if value.data_ptr() in seen:
            state[name] = value.clone()
        seen.add(value.data_ptr())
    # One key only: safetensors writes several in an order of its own, and the same weights must give the same bytes.
    write_bytes(path, safetensors.torch.save(state, metadata={"vitret.model": text}))


def load_model(path: Path) -> tuple[Retriever, ModelSpec]:
    """Read what `save_model` wrote; needs no other weights and no network. In evaluation mode, on the CPU."""
    spec = read_spec(path)
    model = build_model(without_weights(spec))
    load_state(
        model,
        load_safetensors(path),
        source=f"{path}: what it holds",
        advice="The file describes this network itself: was a part changed after it was written?",
    )
    return Retriever(model.backbone, model.head, spec).eval(), spec


def read_spec(path: Path) -> ModelSpec:
    """The spec in the metadata of a file that `save_model` wrote."""
    require_content(path)
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            text = (file.metadata() or {}).get("vitret.model")
    except safetensors.SafetensorError as error:
        raise DataError(f"{path}: not a whole safetensors file ({error}).") from error
    if text is None:
        raise DataError(
            f"{path}: holds weights but no description of a model. Give bare weights with "
            "`vitret extract timm:ARCH DATASET --weights FILE`."
        )
    try:
        return validate(ModelSpec, parse_json(text), str(path))
    except ValueError as error:
        raise DataError(f"{path}: its description of a model is not readable as JSON ({error}).") from error


def without_weights(spec: ModelSpec) -> ModelSpec:
    """The spec without what only says where weights come from."""
    backbone = spec.resolved().backbone
    changes: dict[str, Any] = {"pretrained": False, "weights": None}
    options = {key: changes[key] if key in _ORIGIN else value for key, value in backbone.options.items()}
    return ModelSpec(backbone=Part(name=backbone.name, options=options), head=spec.resolved().head)

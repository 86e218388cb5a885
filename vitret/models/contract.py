"""What every head and every backbone must do: the contract of both, as checks of a small network on the CPU.

A head's rows are normalised by the network, so a head gives vectors of any length but zero.
"""

import copy
import functools
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vitret.core import plugins
from vitret.core.contract import Check, Raised, Stage
from vitret.core.errors import UserError, listed
from vitret.core.networks import ModelSpec, Part
from vitret.models.model import Retriever, build_model, load_model, model_digest, save_model
from vitret.models.tokens import Tokens

# Networks that a head must work on: a transformer with a class token and a CNN without one.
_BACKBONES: Mapping[str, Part] = {
    "a small ViT": Part(
        name="conv_stem_vit",
        options={"width": 32, "depth": 3, "heads": 2, "channels": 8, "img_size": 64},
    ),
    "a small CNN": Part(
        name="resnet_soa",
        options={"pretrained": False, "attend": [], "width": 8, "depths": [1, 1, 1, 1]},
    ),
}
# Heads that read several layers are tried with so many when they refuse fewer.
_MOST_LAYERS = 3
_TOLERANCE = 1e-5


def perturbed(model: Retriever) -> Retriever:
    """The network with noise on its weights, in evaluation mode: what starts at zero must not hide a missing path."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    return model.eval()


def unit_vectors(model: Retriever, *batches: Tensor) -> Iterator[str]:
    """One float32 row of unit length for each image of batches (B, 3, H, W), in evaluation and in training."""
    for images in batches:
        for mode in ("evaluation", "training"):
            torch.manual_seed(0)
            rows = copy.deepcopy(model).train(mode == "training")(images)
            where = f"{mode}, images of {images.shape[3]}×{images.shape[2]}"
            if rows.shape != (len(images), model.dim):
                yield f"{where}: {len(images)} images give {tuple(rows.shape)}, not ({len(images)}, dim = {model.dim})."
                continue
            if rows.dtype != torch.float32:
                yield f"{where}: descriptors are {rows.dtype}, not float32."
            lengths = rows.detach().norm(dim=1)
            if not torch.allclose(lengths, torch.ones(len(images)), atol=_TOLERANCE):
                yield (
                    f"{where}: descriptors are not normalised: lengths from {lengths.min():.3g} to {lengths.max():.3g} "
                    "instead of 1. The network divides by the length, so a vector must be finite and not zero."
                )


def gradients(
    model: Retriever, images: Tensor, *, reached: Callable[[str], bool] = lambda _: True
) -> Iterator[str]:
    """Every parameter that learns, and whose name `reached` accepts, gets a finite gradient; a frozen one gets none."""
    model = copy.deepcopy(model).train()
    torch.manual_seed(0)
    rows = model(images)
    if not rows.requires_grad:
        yield "no gradient: the descriptors do not depend on any parameter (detach, no_grad or numpy on the way)."
        return
    (rows * torch.randn(rows.shape, generator=torch.Generator().manual_seed(2))).sum().backward()
    wanted = {n: p for n, p in model.named_parameters() if p.requires_grad and reached(n)}
    without = [n for n, p in wanted.items() if p.grad is None or (p.ndim > 1 and not p.grad.any())]
    if without:
        yield f"no gradient reaches {listed(without)}: it would never learn."
    broken = [n for n, p in wanted.items() if p.grad is not None and not torch.isfinite(p.grad).all()]
    if broken:
        yield f"the gradient of {listed(broken)} is not finite."
    frozen = [n for n, p in model.named_parameters() if not p.requires_grad and p.grad is not None]
    if frozen:
        yield f"{listed(frozen)} is frozen but has a gradient."


def same_under_a_seed(model: Retriever, images: Tensor) -> Iterator[str]:
    """The same images give the same rows: always in evaluation, under the same seed in training."""
    model = copy.deepcopy(model).eval()
    if not torch.equal(model(images), model(images)):
        yield "two calls in evaluation give different descriptors: nothing may be random there."
    results = []
    for _ in range(2):
        torch.manual_seed(5)
        results.append(copy.deepcopy(model).train()(images))
    if not torch.equal(*results):
        yield "the same seed gives different descriptors in training: use torch's random numbers alone."


def alone_as_in_a_batch(model: Retriever, images: Tensor) -> Iterator[str]:
    """In evaluation an image does not see its batch."""
    alone = torch.cat([model(image[None]) for image in images])
    difference = float((model(images) - alone).detach().abs().max())
    if difference > _TOLERANCE:
        yield f"an image's descriptor changes by {difference:.2g} with the other images of its batch."


def survives_saving(model: Retriever, images: Tensor) -> Iterator[str]:
    """A network that is saved and loaded gives the same descriptors."""
    with tempfile.TemporaryDirectory(prefix="vitret-") as folder:
        file = Path(folder) / "model.safetensors"
        save_model(file, model)
        again, spec = load_model(file)
    if spec.model_dump(mode="json") != model.spec.resolved().model_dump(mode="json"):
        yield "its options are others after saving and loading: options are numbers, texts, lists and mappings."
    if model_digest(again) != model_digest(model) or not torch.equal(again(images), model(images)):
        yield (
            "after saving and loading it gives other descriptors: keep what is learned or counted in parameters and "
            "buffers (register_buffer), not in plain attributes."
        )


def finite_in_half_precision(model: Retriever, images: Tensor) -> Iterator[str]:
    """Rows and gradients are finite under bfloat16."""
    model = copy.deepcopy(model).train()
    torch.manual_seed(0)
    with torch.autocast("cpu", torch.bfloat16):
        rows = model(images)
    if not torch.isfinite(rows).all():
        yield "in bfloat16 some descriptors are not finite."
    if rows.requires_grad:
        rows.sum().backward()
    if not all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None):
        yield "in bfloat16 some gradients are not finite."


def head_stages(name: str, options: Mapping[str, Any]) -> list[Stage]:
    """The contract of a head, on each small network that it does not refuse with a `UserError`."""
    head = Part(name=name, options=dict(options))
    models = {
        words: functools.cache(functools.partial(_with_head, head, below))
        for words, below in _BACKBONES.items()
    }
    seen, wide = _images(4, 4), _images(4, 6)
    refused = {words: _refusal(model, seen) for words, model in models.items()}
    if all(refused.values()):
        return [[("build and forward", lambda: refused.values())]]
    checks: dict[str, _OfImages] = {
        **_CHECKS,
        "descriptors": functools.partial(_unit_vectors_of_both, wide=wide),
        "gradient": functools.partial(gradients, reached=_in_the_head),
    }
    stages: list[Stage] = [[("options", lambda: _plain_options("heads", name, options))]]
    for words, model in models.items():
        if not refused[words]:
            on = f", on {words}"
            stages.append([_bound(f"build{on}", _has_dim, model, seen)])
            stages.append([_bound(f"forward{on}", _raw_rows, model, seen)])
            stages.append([_bound(f"{doing}{on}", check, model, seen) for doing, check in checks.items()])
    return stages


def backbone_stages(name: str, options: Mapping[str, Any]) -> list[Stage]:
    """The contract of a backbone, under generalised-mean pooling."""
    model = functools.cache(functools.partial(_with_gem, name, options))
    seen = functools.cache(lambda: _images(4, 4, unit=model().patch * -(-16 // model().patch)))

    def bound(doing: str, check: _OfImages) -> tuple[str, Check]:
        return doing, lambda: check(model(), seen())

    return [
        [("options", lambda: _plain_options("backbones", name, options))],
        [bound("build", _is_backbone)],
        [bound("forward", _gives_tokens)],
        [bound(doing, check) for doing, check in _CHECKS.items()],
    ]


_OfImages = Callable[[Retriever, Tensor], Iterable[str]]

_CHECKS: Mapping[str, _OfImages] = {
    "descriptors": unit_vectors,
    "gradient": gradients,
    "the same seed": same_under_a_seed,
    "one image alone": alone_as_in_a_batch,
    "saving and loading": survives_saving,
    "bfloat16": finite_in_half_precision,
}


def _bound(doing: str, check: _OfImages, model: Callable[[], Retriever], images: Tensor) -> tuple[str, Check]:
    return doing, lambda: check(model(), images)


def _unit_vectors_of_both(model: Retriever, images: Tensor, *, wide: Tensor) -> Iterator[str]:
    return unit_vectors(model, images, wide)


def _refusal(model: Callable[[], Retriever], images: Tensor) -> str:
    """Why a head refuses a backbone, in its own words; empty where it does not."""
    with Raised(Path()) as raised:
        model().head(model().backbone(images))
    # Whatever else is wrong is found, with its line, by the checks that follow.
    return raised.words if isinstance(raised.error, UserError) else ""


def _in_the_head(parameter: str) -> bool:
    """Which parameters a head answers for; of the backbone it may leave layers out."""
    return parameter.startswith("head.")


def _images(rows: int, columns: int, *, unit: int = 16) -> Tensor:
    """Three images of noise; sides in multiples of `unit` pixels."""
    return torch.randn(3, 3, rows * unit, columns * unit, generator=torch.Generator().manual_seed(1))


def _with_head(head: Part, backbone: Part) -> Retriever:
    """A network under the head, with as many layers of tokens as the head asks for."""
    for layers in range(1, _MOST_LAYERS + 1):
        below = Part(name=backbone.name, options={**backbone.options, "layers": layers})
        torch.manual_seed(0)
        try:
            return perturbed(build_model(ModelSpec(backbone=below, head=head)))
        except (UserError, IndexError, ValueError):
            if layers == _MOST_LAYERS:
                raise
    raise AssertionError


def _with_gem(name: str, options: Mapping[str, Any]) -> Retriever:
    torch.manual_seed(0)
    spec = ModelSpec(backbone=Part(name=name, options=dict(options)), head=Part(name="gem"))
    return perturbed(build_model(spec))


def _plain_options(family: str, name: str, options: Mapping[str, Any]) -> Iterator[str]:
    """Options can be written in YAML."""
    try:
        Part.model_validate_json(
            Part(name=name, options=plugins.resolve(family, name, options)).model_dump_json()
        )
    except ValueError as error:
        yield f"an option cannot be written in YAML: {error}. Use numbers, texts, lists and mappings."


def _has_dim(model: Retriever, _: Tensor) -> Iterator[str]:
    if not isinstance(getattr(model.head, "dim", None), int):
        yield "the head has no attribute `dim`, the number of channels of its vectors; set self.dim in __init__."


def _raw_rows(model: Retriever, images: Tensor) -> Iterator[str]:
    """What the head itself gives, before the network normalises it."""
    rows = model.head(model.backbone(images))
    wanted = (len(images), model.dim)
    if not isinstance(rows, Tensor):
        yield f"the head gives {type(rows).__name__}, not a tensor (B, dim)."
    elif tuple(rows.shape) != wanted:
        yield f"wrong shape: for {len(images)} images the head gives {tuple(rows.shape)}, not (B, dim) = {wanted}."
    elif not rows.is_floating_point():
        yield f"the head gives {rows.dtype}, not floating-point numbers."


def _is_backbone(model: Retriever, _: Tensor) -> Iterator[str]:
    wanted = ("widths", "patch", "mean", "std", "prefix_tokens")
    missing = [name for name in wanted if not hasattr(model.backbone, name)]
    if missing:
        yield f"the backbone has no attribute {listed(missing)}."


def _gives_tokens(model: Retriever, images: Tensor) -> Iterator[str]:
    tokens = model.backbone(images)
    if not isinstance(tokens, Tokens):
        yield f"the backbone gives {type(tokens).__name__}, not vitret.models.tokens.Tokens."
        return
    widths = tuple(grid.shape[1] for grid in tokens.grids)
    if any(grid.ndim != 4 or len(grid) != len(images) for grid in tokens.grids):
        yield f"wrong shape: grids are {[tuple(g.shape) for g in tokens.grids]}, not (B, D, h, w) each."
    elif widths != tuple(model.backbone.widths):  # type: ignore[arg-type]
        yield f"`widths` says {model.backbone.widths}, the grids have {widths} channels."

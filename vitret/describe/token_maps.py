"""Where a network looks in an image, and which of its tokens are like another image: maps on the grid of tokens.

Everything is taken from one pass of an image at scale 1, framed as the protocol frames it, in float32.
"""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from vitret.core.errors import UserError
from vitret.core.protocol import Protocol
from vitret.core.records import Images
from vitret.describe.extract import evaluating
from vitret.describe.framing import frame_finder, load, padded
from vitret.models.attention_weights import AttentionReader, last_class_attention, rollout
from vitret.models.model import Retriever
from vitret.models.tokens import Tokens

Map = NDArray[np.float32]
How = Literal["last", "rollout"]
# A descriptor of a picture with one token everywhere is that token, up to rounding.
_SAME = 0.999


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What a head makes its descriptor of: the class token, patch tokens, and whether it stays in their space.

    `same_space`: an image whose every token is t has the descriptor t, so that a token may be compared with it.
    """

    class_token: bool
    patches: bool
    same_space: bool


@dataclass(frozen=True, kw_only=True, eq=False)
class Seen:
    """One image as a network saw it.

    `pixels` (H, W, 3) uint8 are what it was shown, padding included; `descriptor` (D,) and each of `tokens` (h, w, C)
    have unit length. `attention` (h, w) is that of the class token in multiples of an even share, so 1 where it looks
    at all tokens alike; None where the head reads no class token or no attention was found. `on_patches` is the share
    that lies on patches at all.
    """

    pixels: NDArray[np.uint8]
    descriptor: NDArray[np.float32]
    tokens: NDArray[np.float32]
    reading: Reading
    attention: Map | None = None
    on_patches: float = 1.0


@torch.inference_mode()
def look(
    model: Retriever,
    images: Images,
    row: int,
    protocol: Protocol,
    *,
    device: torch.device,
    attention: How = "last",
) -> Seen:
    """One image through the network; the model is moved to the device.

    Raises `DataError` for an image that cannot be read, `UserError` for a network without tokens, and for a rollout
    that is not defined.
    """
    plan = frame_finder(images, protocol, patch=model.patch)(row)
    shown = load(images, row, plan, protocol)
    model = model.to(device)
    batch = padded(model.normalised(shown[None].to(device)), plan.final)
    with evaluating(model):
        with AttentionReader() as reader:
            tokens = model.backbone(batch)
        _require_tokens(model, tokens)
        descriptor = functional.normalize(model.head(tokens).float(), dim=-1)[0]
        seen = Seen(
            pixels=_with_padding(shown, plan.final, model.mean),
            descriptor=descriptor.cpu().numpy(),
            tokens=functional.normalize(tokens.grids[-1][0].float(), dim=0).permute(1, 2, 0).cpu().numpy(),
            reading=_reading(model, tokens),
        )
    return _with_attention(seen, reader, tokens, model, how=attention)


def to_descriptor(seen: Seen, other: Seen) -> Map:
    """Cosine of each token with the descriptor of another image, (h, w)."""
    return seen.tokens @ other.descriptor


def best_match(seen: Seen, other: Seen) -> Map:
    """The highest cosine of each token with any token of another image, (h, w)."""
    places = seen.tokens.shape[:2]
    flat, others = (one.tokens.reshape(-1, one.tokens.shape[2]) for one in (seen, other))
    found: Map = (flat @ others.T).max(axis=1).reshape(places)
    return found


def _require_tokens(model: Retriever, tokens: Tokens) -> None:
    if tokens.grids[-1][0, 0].numel():
        return
    raise UserError(
        f"{model.spec.architecture}: gives one vector an image and no tokens, so nothing can be drawn of it. Use a "
        "network that gives tokens or a map: a run, a network of timm:, or another output of this one "
        "(hf:OWNER/NAME:output=last_hidden_state:head=cls)."
    )


def _with_padding(shown: Tensor, size: tuple[int, int], mean: tuple[float, ...]) -> NDArray[np.uint8]:
    """Pixels (H, W, 3) with the mean colour right and below, which is what zeros of a normalised image are."""
    colour = np.array([round(255 * value) for value in mean], dtype=np.uint8)
    whole = np.tile(colour, (*size, 1))
    whole[: shown.shape[1], : shown.shape[2]] = shown.permute(1, 2, 0).numpy()
    return whole


def _reading(model: Retriever, tokens: Tokens) -> Reading:
    """What the head reads, by what changes its descriptor."""
    known = model.head(tokens)

    def changes(other: Tokens) -> bool:
        return not torch.allclose(model.head(other), known, rtol=1e-4, atol=1e-6)

    # Direction and length of every token change.
    patches = changes(replace(tokens, grids=tuple(2 * grid + 1 for grid in tokens.grids)))
    first = tuple(torch.cat([2 * prefix[:, :1] + 1, prefix[:, 1:]], dim=1) for prefix in tokens.prefix)
    reads = tokens.class_token and tokens.prefix[-1].shape[1] > 0 and changes(replace(tokens, prefix=first))
    return Reading(class_token=reads, patches=patches, same_space=_same_space(model, tokens))


def _same_space(model: Retriever, tokens: Tokens) -> bool:
    if tokens.grids[-1].shape[1] != model.dim:
        return False

    def everywhere(like: Tensor, channels: int) -> Tensor:
        # Above 0, because some poolings cut off what lies below.
        one = 1 + torch.arange(like.shape[channels], device=like.device).sin() / 2
        shape = [1] * like.dim()
        shape[channels] = -1
        return one.view(shape).expand(like.shape).contiguous()

    same = replace(
        tokens,
        prefix=tuple(everywhere(prefix, 2) for prefix in tokens.prefix),
        grids=tuple(everywhere(grid, 1) for grid in tokens.grids),
    )
    given = functional.cosine_similarity(model.head(same).float(), same.grids[-1][:, :, 0, 0].float())
    return bool(given[0] > _SAME)


def _with_attention(
    seen: Seen, reader: AttentionReader, tokens: Tokens, model: Retriever, *, how: How
) -> Seen:
    places, prefix = seen.tokens.shape[:2], tokens.prefix[-1].shape[1]
    every = prefix + places[0] * places[1]
    if how == "rollout":
        row = rollout(reader.found, every) if seen.reading.class_token else None
        if row is None:
            raise UserError(
                f"--attention rollout: {model.spec.architecture} with head {model.spec.head.name} has no class token "
                "that its descriptor is made of and that all blocks carry. Leave --attention out."
            )
    else:
        row = last_class_attention(reader.found, every) if seen.reading.class_token else None
    if row is None:
        return seen
    weights: Map = row[prefix:].cpu().numpy().reshape(places)
    share = float(weights.sum())
    even: Map = (weights * np.float32(weights.size / max(share, 1e-12))).astype(np.float32)
    return replace(seen, attention=even, on_patches=share)

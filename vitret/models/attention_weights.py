"""The attention weights of a network, read while it runs and without a change to its numbers.

Fused attention keeps no weights: they are computed again from the queries and keys that it was given. Attention that
spells its softmax out is read from that. Rollout is Abnar and Zuidema, "Quantifying Attention Flow in Transformers",
ACL 2020.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

_SOFTMAX = (torch.softmax, Tensor.softmax, functional.softmax)


@dataclass(frozen=True, kw_only=True, eq=False)
class Attention:
    """How `rows` tokens of one image look at `keys` tokens, in several heads.

    `weights` gives some rows, (heads, rows, keys) float32; each sums to 1.
    """

    rows: int
    keys: int
    weights: Callable[[slice], Tensor]

    def mean(self, rows: slice = slice(None)) -> Tensor:
        """The mean over heads, (rows, keys)."""
        return self.weights(rows).mean(dim=0)


class AttentionReader(TorchFunctionMode):
    """Within it, `found` collects the attention of every block that one image goes through, in order.

    >>> with AttentionReader() as reader:
    ...     y = functional.scaled_dot_product_attention(*torch.ones(3, 1, 2, 4, 8))
    >>> reader.found[0].mean()[0].tolist()
    [0.25, 0.25, 0.25, 0.25]
    """

    def __init__(self) -> None:
        super().__init__()
        self.found: list[Attention] = []

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        given = dict(kwargs or {})
        result = func(*args, **given)
        read = None
        if func is functional.scaled_dot_product_attention:
            read = _of_fused(*args, **given)
        elif func in _SOFTMAX:
            read = _of_softmax(result)
        if read is not None:
            self.found.append(read)
        return result


def _of_fused(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Attention | None:
    """Of torch's own function, by its parameters; None where it is no attention of one image over its tokens."""
    if query.dim() != 4 or len(query) != 1 or is_causal or query.shape[1] != key.shape[1]:
        return None
    factor = query.shape[-1] ** -0.5 if scale is None else scale
    whole = (*query.shape[:3], key.shape[2])
    mask = None if attn_mask is None else attn_mask.detach().expand(whole)[0]
    q, k = query.detach()[0], key.detach()[0]

    def weights(rows: slice) -> Tensor:
        scores = factor * (q[:, rows].float() @ k.float().transpose(1, 2))
        if mask is not None:
            some = mask[:, rows]
            scores = (
                scores.masked_fill(~some, float("-inf"))
                if some.dtype == torch.bool
                else scores + some.float()
            )
        return scores.softmax(dim=-1)

    return Attention(rows=whole[2], keys=whole[3], weights=weights)


def _of_softmax(result: Tensor) -> Attention | None:
    if result.dim() != 4 or len(result) != 1:
        return None
    found = result.detach()[0]
    return Attention(rows=found.shape[1], keys=found.shape[2], weights=lambda rows: found[:, rows].float())


def last_class_attention(found: Sequence[Attention], tokens: int) -> Tensor | None:
    """How the first token looks at all `tokens` in the last block, mean over heads, (tokens,); None: no block has it.

    A block whose only query is the class token (CaiT, XCiT) counts as well.
    """
    seen = [one for one in found if one.keys == tokens and one.rows in (1, tokens)]
    return seen[-1].mean(slice(0, 1))[0] if seen else None


def rollout(found: Sequence[Attention], tokens: int) -> Tensor | None:
    """How the first token looks at all `tokens` through all blocks, (tokens,), sum 1; None: no block is square.

    In each block half of the flow is the attention, mean over heads, and half stays where it is: the residual branch.
    """
    blocks = [one for one in found if one.keys == one.rows == tokens]
    if not blocks or found[-1].keys != found[-1].rows:
        return None
    flow = torch.zeros(tokens)
    flow[0] = 1
    for block in reversed(blocks):
        flow = (flow + flow @ block.mean().to(flow.device)) / 2
    return flow

"""Any loss of pytorch-metric-learning (Musgrave et al., 2020), named as `pml:NTXentLoss` in a recipe."""

import importlib
import inspect
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from vitret.core.errors import MachineError, UserError, did_you_mean


class Wrapped(nn.Module):
    def __init__(self, loss: nn.Module) -> None:
        super().__init__()
        self.loss = loss

    def forward(self, descriptors: Tensor, labels: Tensor) -> Tensor:
        value = self.loss(descriptors, labels)
        assert isinstance(value, Tensor)
        return value


def build(dim: int, classes: int, *, loss: str, arguments: Mapping[str, Any] | None = None) -> Wrapped:
    """`loss` is a class of `pytorch_metric_learning.losses`, `arguments` go to it.

    The number of classes and the dimension are filled in where the class asks for them.
    """
    try:
        library = importlib.import_module("pytorch_metric_learning.losses")
    except ModuleNotFoundError as error:
        raise MachineError(
            f"loss pml:{loss} needs pytorch-metric-learning. `pip install 'vitret[pml]'`."
        ) from error
    known = [name for name in vars(library) if name.endswith("Loss") and not name.startswith("Base")]
    if loss not in known:
        raise UserError(f"pytorch-metric-learning has no loss '{loss}'. {did_you_mean(loss, known)}")
    kind = getattr(library, loss)
    facts = {"num_classes": classes, "embedding_size": dim}
    # A class may hand some of its arguments to a parent through **kwargs: every constructor of its line counts.
    accepted = {name for cls in kind.__mro__ for name in inspect.signature(cls.__init__).parameters}
    filled = {name: value for name, value in facts.items() if name in accepted}
    try:
        return Wrapped(kind(**filled, **(arguments or {})))
    except TypeError as error:
        raise UserError(f"loss pml:{loss}: {error}.") from error

"""How a state dict gets into a network: one loader for every file, and one report of what does not fit."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from vitret.core.errors import DataError, listed

_SHOWN = 6


@dataclass(frozen=True, kw_only=True)
class Misfit:
    """Names that the network has and the state does not, the other way round, and shapes that differ."""

    missing: tuple[str, ...]
    unknown: tuple[str, ...]
    misshapen: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.missing or self.unknown or self.misshapen)

    def __str__(self) -> str:
        lists = (
            ("missing from the file", self.missing),
            ("unknown to the network", self.unknown),
            ("of another shape", self.misshapen),
        )
        return "; ".join(f"{len(names)} {title}: {some(names)}" for title, names in lists if names)


def some(names: Collection[str]) -> str:
    """The first few names and how many more there are.

    >>> some(["a", "b"]), some("abcdefgh")
    ('a, b', 'a, b, c, d, e, f and 2 more')
    """
    return listed(names, shown=_SHOWN)


def _nothing(_: str) -> bool:
    return False


def misfit(
    network: nn.Module, state: Mapping[str, Tensor], *, may_miss: Callable[[str], bool] = _nothing
) -> Misfit:
    """What differs between a network and a state; names for which `may_miss` is true need not be in the state."""
    wanted = network.state_dict()
    return Misfit(
        missing=tuple(name for name in wanted if name not in state and not may_miss(name)),
        unknown=tuple(name for name in state if name not in wanted),
        misshapen=tuple(
            f"{name} {tuple(value.shape)} instead of {tuple(wanted[name].shape)}"
            for name, value in state.items()
            if name in wanted and value.shape != wanted[name].shape
        ),
    )


def load_state(
    network: nn.Module,
    state: Mapping[str, Tensor],
    *,
    source: str,
    advice: str,
    may_miss: Callable[[str], bool] = _nothing,
) -> None:
    """Copy a state into a network: every name and every shape must agree, or nothing is copied.

    Names for which `may_miss` is true keep the network's own values where the state does not have them. `source` says
    in the error where the state comes from, `advice` what to do about it.

    Raises:
        DataError: with the names that are missing, unknown or of another shape.
    """
    found = misfit(network, state, may_miss=may_miss)
    if found:
        raise DataError(f"{source} does not fit the network: {found}. {advice}")
    # `strict` only concerns missing names now, and those are allowed to be.
    network.load_state_dict(dict(state), strict=False)

"""What the contract of a part finds, where an exception keeps its traceback."""

from collections.abc import Iterable

from vitret.core.contract import Stage


def sentences(stages: Iterable[Stage]) -> list[str]:
    """The faults of every check, whatever an earlier one found."""
    return [sentence for stage in stages for _, check in stage for sentence in check()]

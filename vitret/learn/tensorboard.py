"""The scalars of a training's log as TensorBoard reads them; extra `tensorboard`.

The log is the one record: it is written again from its start whenever a training starts or continues, so no step
stands twice, and a training that is continued with the option shows its beginning too.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from vitret.core.errors import MachineError
from vitret.core.store import machine_error

_FILES = "events.out.tfevents.*"
# What a line of the log has beside its scalars.
_FACTS = ("step", "steps")


@contextlib.contextmanager
def scalars(folder: Path) -> Iterator[Callable[[Mapping[str, Any]], None]]:
    """Give a function that writes one line of the log; TensorBoard's files that the folder has are replaced.

    Raises `MachineError` where TensorBoard is not installed or the folder cannot be written.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise MachineError("--tensorboard needs TensorBoard. `pip install 'vitret[tensorboard]'`.") from error
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.glob(_FILES):
            old.unlink()
        writer = SummaryWriter(str(folder))
    except OSError as error:
        raise machine_error(folder, error) from error

    def tell(entry: Mapping[str, Any]) -> None:
        for name, value in flat(entry).items():
            writer.add_scalar(name, value, entry["step"])
        writer.flush()

    try:
        yield tell
    finally:
        writer.close()


def flat(entry: Mapping[str, Any]) -> dict[str, float]:
    """The scalars of a line of the log by name.

    >>> flat({"step": 9, "loss": 1.5, "validation": {"map": 0.5}})
    {'loss': 1.5, 'validation/map': 0.5}
    """
    found: dict[str, float] = {}
    for name, value in entry.items():
        if isinstance(value, Mapping):
            found |= {f"{name}/{inner}": number for inner, number in value.items()}
        elif name not in _FACTS:
            found[name] = value
    return found

"""What a training needs to continue as if nothing had happened: one file, whole or absent.

$run/state/trainer.pt holds weights, losses, optimiser, average, memory, random states and the place in the plan. It is
read with `weights_only`, and goes when the training ends.
"""

import json
import shutil
from pathlib import Path
from typing import Any, Protocol

import torch

from vitret.core.errors import DataError
from vitret.core.store import write_text, writing
from vitret.models.torch_files import load_tensors


class Stateful(Protocol):
    """What torch saves and restores: a module, an optimiser, a gradient scaler."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state_dict: dict[str, Any], /) -> Any: ...


def save_state(folder: Path, state: dict[str, Any]) -> None:
    with writing(folder / "trainer.pt") as handle:
        torch.save(state, handle)


def save_own(folder: Path, state: dict[str, Any], *, step: int, rank: int) -> None:
    """What one process alone holds of a saved step; it counts once `save_state` has saved that step too."""
    with writing(_own(folder, step, rank)) as handle:
        torch.save(state, handle)


def load_own(folder: Path, *, step: int, rank: int) -> dict[str, Any]:
    state: dict[str, Any] = load_tensors(
        _own(folder, step, rank), hint="Remove the folder to start from scratch."
    )
    return state


def clear_own(folder: Path, *, step: int) -> None:
    """Remove what processes alone hold of all other steps."""
    for path in folder.glob("own-*.pt"):
        if not path.name.startswith(f"own-{step}-"):
            path.unlink()


def _own(folder: Path, step: int, rank: int) -> Path:
    return folder / f"own-{step}-{rank}.pt"


def load_state(folder: Path, *, recipe: str, processes: int) -> dict[str, Any] | None:
    """The saved state, on the CPU; None where nothing was saved.

    `recipe` is the digest it must have been saved with; `processes` their number, since each has a random state.
    """
    path = folder / "trainer.pt"
    if not path.is_file():
        return None
    state = load_tensors(path, hint="Remove it to start from scratch.")
    if not isinstance(state, dict) or not {"recipe", "random"} <= state.keys():
        raise DataError(f"{path}: damaged. Remove it to start from scratch.")
    if state["recipe"] != recipe:
        raise DataError(f"{path}: belongs to another recipe. Remove it to start from scratch.")
    if len(state["random"]) != processes:
        raise DataError(
            f"{path}: was saved by {len(state['random'])} processes, these are {processes}. Continue with as many as "
            "before, or remove the file to start from scratch."
        )
    return state


def clear_state(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)


def cut_log(log: Path, step: int) -> None:
    """Take out of log.jsonl what was written after `step`, for it will be written again; a torn last line too."""
    if not log.is_file():
        return
    kept = []
    for line in log.read_text(encoding="utf-8").splitlines():
        try:
            entry = json.loads(line)
        except json.JSONDecodeError:
            continue
        if entry.get("step", 0) <= step:
            kept.append(line + "\n")
    write_text(log, "".join(kept))


def random_state(device: torch.device) -> dict[str, torch.Tensor]:
    """Torch's random states that dropping paths and units draws from."""
    state = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    return state


def set_random_state(state: dict[str, torch.Tensor], device: torch.device) -> None:
    torch.set_rng_state(state["cpu"])
    if device.type == "cuda" and "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"], device)
